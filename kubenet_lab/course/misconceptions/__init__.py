"""The wrong ideas of the course, one module per notebook: the one whose cell refutes them."""

from __future__ import annotations

from importlib import import_module

from ..exercises import NOTEBOOKS
from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS", "misconception"]

MISCONCEPTIONS: dict[str, Misconception] = {
    m.id: m for notebook in NOTEBOOKS for m in import_module(f"{__name__}.nb{notebook}").MISCONCEPTIONS
}


def misconception(id: str) -> Misconception:
    return MISCONCEPTIONS[id]
