"""Solutions of notebook 09."""

from __future__ import annotations

__all__ = ["ANSWERS"]

ANSWERS = {
    "09.a": "3",
    "09.b": '"does not exist"',
    "09.c": "404",
    "09.1": "4 - 1",
    "09.2": '"does not exist"',
    "09.3": '"timeout"',
    "09.4": '"a wrong certificate"',
}
