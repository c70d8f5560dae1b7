"""Answers for the cells tagged `answer:ID` and `predict:ID`, one module per notebook: what to write in place of `...`.

They stand apart from the notebooks, as code that works them out with the lab, so that they cannot grow
old unnoticed: a test fills them in, runs every notebook and finds all checks passed.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..exercises import NOTEBOOKS

__all__ = ["solutions"]


@cache
def solutions() -> dict[str, str]:
    """Exercise id -> Python expression, to be evaluated in the notebook where the cell stands."""
    found: dict[str, str] = {}
    for notebook in NOTEBOOKS:
        found |= import_module(f"{__name__}.nb{notebook}").ANSWERS
    return found
