"""Wires between two columns of boxes, each with a turn and an end of its own, so that the eye can follow one of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

__all__ = ["entries", "lanes"]

K = TypeVar("K", bound=Hashable)


def lanes(wires: Sequence[tuple[float, float]], left: float, right: float) -> list[float]:
    """The x between `left` and `right` at which each wire turns; a wire is (y of its start, y of its end), in pixels.

    Of wires that go up a lower one turns further right, of wires that go down further left: so those that keep their order never cross.
    """
    turns = [right] * len(wires)
    for up in (True, False):
        starts = sorted({y for y, end in wires if y != end and (end < y) == up}, reverse=not up)
        step = (right - left) / max(len(starts) - 1, 1)
        for n, (y, end) in enumerate(wires):
            if y in starts and (end < y) == up:
                turns[n] = left + step * starts.index(y) if len(starts) > 1 else (left + right) / 2
    return turns


def entries(wires: Sequence[tuple[float, K]], tops: Mapping[K, float], height: float) -> list[float]:
    """The y at which each wire meets its box; a wire is (y of its start, the box), a box starts at its top and is `height` high."""
    found = [0.0] * len(wires)
    for box, top in tops.items():
        mine = sorted((n for n, (_, to) in enumerate(wires) if to == box), key=lambda n: wires[n][0])
        for place, n in enumerate(mine, 1):
            found[n] = top + height * place / (len(mine) + 1)
    return found
