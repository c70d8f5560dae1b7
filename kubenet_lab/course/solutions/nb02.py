"""Solutions of notebook 02."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "02.a": '"10.1.0.4"',
    "02.b": '"unreachable"',
    # three were given: .2, .3 and .4
    "02.1": '"10.1.0.5"',
    "02.2": '["tuning", "portmap", "bridge"]',
    "02.3": '"host-local"',
    "02.4": '"no"',
}
