"""Questions for neighbours on a wire, asked once for many ways.

Of a question's many ways (`ways`), a hundred may lead to the same node. Each asks for that node's hardware address in the same
instant, from the same state, and nothing else happens until the answer is there. So the first one's exchange is kept: what it
changed, the frames that were seen, and when the answer came. For the others it happens by putting that in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .frames import Record

if TYPE_CHECKING:
    from .namespace import Neighbour
    from .walk import Walk

__all__ = ["Exchange", "Exchanges", "Recording"]

#: tables that questions for neighbours neither read nor write: in them the ways differ
_APART = frozenset(("ct", "ct-entries", "hits", "tcp", "sockets", "pairs", "recent", "nft-set", "nat-draws"))

#: (namespace, device, address that is asked for, address that asks, lab time) -> what came of it
Exchanges = dict[tuple[str, str, str, str, float], "Exchange"]
Tables = Mapping[tuple[str, ...], dict[Any, Any]]


def _tables(w: Walk) -> dict[tuple[str, ...], dict[Any, Any]]:
    return {key: table for key, table in w.state.tables() if key[0] not in _APART}


@dataclass(frozen=True, slots=True)
class Exchange:
    before: Tables
    changed: Tables
    frames: Iterable[Record]
    end: float
    steps: int
    entry: Neighbour
    code: str  # how the address became known

    def fits(self, w: Walk) -> bool:
        """Would it go the same way here? Tables are shared by forks until somebody writes, so the same tables are the same objects."""
        if not w.quiet_until(self.end):
            return False
        count, before = 0, self.before
        for key, table in w.state.tables():
            if key[0] not in _APART:
                if before.get(key) is not table:
                    return False
                count += 1
        return count == len(before)

    def happen(self, w: Walk) -> None:
        for key, table in self.changed.items():
            w.state.share(key, table)
        if w.frames is not None:
            w.frames.put(self.frames)
        w.state.clock, w.steps = self.end, w.steps + self.steps


class Recording:
    """One that is under way."""

    __slots__ = ("_before", "_frames", "_marks", "_steps", "key")

    def __init__(self, w: Walk, key: tuple[str, str, str, str, float]):
        self.key, self._before, self._steps = key, _tables(w), w.steps
        self._frames = w.frames.mark() if w.frames is not None else 0
        self._marks = self._left(w)
        w.state.disown(self._before)  # who writes to them from here on writes to a copy

    @staticmethod
    def _left(w: Walk) -> tuple[Any, ...]:
        """What else a walk is left with: nothing of it may change."""
        return len(w.events), len(w.endings), len(w.exchanges), dict(w.silences), dict(w.refusals), w.pending()

    def kept(self, w: Walk, entry: Neighbour, code: str) -> None:
        """The answer is here."""
        if w.known is None or self._left(w) != self._marks:
            return
        after = _tables(w)
        changed = {key: table for key, table in after.items() if self._before.get(key) is not table}
        w.state.disown(changed)
        frames = w.frames.since(self._frames) if w.frames is not None else ()
        w.known[self.key] = Exchange(self._before, changed, frames, w.state.clock, w.steps - self._steps, entry, code)
