"""Solutions of notebook 02b."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "02b.a": "0",
    # the network's name, its broadcast address, the gateway
    "02b.1": "2 ** (32 - 27) - 3",
    "02b.2": "1",
    "02b.3": '"GC"',
}
