"""Every way that a question can go: the tree of its choices, walked branch by branch.

What happens before a choice is the same on all its branches, and is walked once: a branch goes on from the last moment
between two units of work before its choice (`Asked.fork`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..errors import KubenetError
from .ask import Asked
from .chance import kernel_share, meant_share
from .network import Network
from .state import State
from .verdict import Question, Result
from .walk import Script

__all__ = ["no_collections", "outcomes"]

MAX_OUTCOMES = 4096


@dataclass(frozen=True, slots=True)
class Branch:
    """Where it begins, and the choices that are told, from the question's beginning on."""

    start: Asked
    told: tuple[int, ...] = ()

    def begun(self) -> Asked:
        return self.start.fork(Script(self.told, self.start.script.made))


@contextmanager
def no_collections() -> Iterator[None]:
    """No cycle collections for this while: all ways are kept, so each collection would look at them, and find nothing.

    What was made meanwhile counts as old from then on: the next collection of the young would be the same work in vain.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # somebody's frozen objects would become old, too
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def outcomes(net: Network, state: State, q: Question, record: Callable[[Result], Any]) -> list[tuple[Fraction, Any]]:
    """Every way the question can go, on forks of `state`, with its probability: one for every sequence of choices."""
    found: list[tuple[Fraction, Any]] = []
    first = Asked(net, state.fork(), q, Script())
    first.walk.known = {}
    pending = [Branch(first)]
    while pending:
        branch = pending.pop()
        asked, places = _walked(branch)
        result, made = asked.result, asked.script.made
        assert result is not None
        result.kernel_share = kernel_share(made)
        found.append((meant_share(made), record(result)))
        if len(found) > MAX_OUTCOMES:
            raise KubenetError(f"more than {MAX_OUTCOMES} ways this can go")
        pending += _others(branch, made, places)
    return found


def _walked(branch: Branch) -> tuple[Asked, list[int]]:
    """A branch at its end, and how many steps it was before the unit of work in which each of its own choices was made."""
    asked = branch.begun()
    made = asked.script.made
    known, places, walk = len(made), list[int](), asked.walk
    while asked.result is None:
        before = walk.steps
        asked.unit()
        while len(made) > known:
            known += 1
            places.append(before)
    return asked, places


def _others(branch: Branch, made: Sequence[tuple[int, tuple[int, ...]]], places: Sequence[int]) -> list[Branch]:
    """The branches that leave this one where it made a choice that nobody had told; the next one to walk is the last."""
    known, picks = len(made) - len(places), [pick for pick, _ in made]
    open_ = [i for i in range(len(branch.told), len(made)) if any(made[i][1][picks[i] + 1 :])]
    starts = _stops(branch, sorted({places[i - known] for i in open_}))
    out = []
    for i in reversed(open_):
        weights, start, before = made[i][1], starts[places[i - known]], picks[:i]
        out += [Branch(start, (*before, other)) for other in range(len(weights) - 1, picks[i], -1) if weights[other]]
    return out


def _stops(branch: Branch, places: Sequence[int]) -> dict[int, Asked]:
    """The branch at each of these places. Only now is it known where that is, so it goes there once more."""
    found, asked = {}, branch.start
    for place in places:
        if asked.walk.steps < place:
            asked = Branch(asked, branch.told).begun()
        while asked.walk.steps < place:
            asked.unit()
        found[place] = asked
    return found
