"""Solutions of notebook 08."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "08.a": '"timeout"',
    "08.b": '"timeout"',
    "08.c": "503",
    # the pod is on worker-1; the packet leaves worker-3 by flannel.1
    "08.1": '"10.244.2.0"',
    "08.2": '["worker-1"]',
    "08.3": '"delivered"',
    # half of the customers, and two pods to take them
    "08.4": '"1/4"',
    "08.5": '"delivered"',
    "08.6": '["worker-1"]',
}
