"""Solutions of notebook 05."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "05.a": '"too-big"',
    "05.b": '"stalled"',
    # outer IPv4 + UDP + VXLAN + inner Ethernet
    "05.1": "9000 - 20 - 8 - 8 - 14",
    "05.2": "1400 - 20 - 8",
    "05.3": '"stalled"',
    "05.4": "1400 - 20 - 20",
}
