"""Dynamic state: what traffic leaves behind, as a copy-on-write overlay.

Conntrack entries, learned neighbours and FDB entries, path MTUs, counters, sockets' connections, the memory of
processes, what is under way, and the clock. Programmed state is elsewhere (`namespace`). A fork costs one dictionary copy; values in
the tables are immutable, so forks never see each other's changes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any

from .frames import Frames

__all__ = ["Memory", "State"]

Key = tuple[str, ...]


class State:
    __slots__ = ("_owned", "_tables", "capture", "clock", "later", "programmed", "seen", "serial")

    def __init__(self, seen: Callable[[list[tuple[Any, ...]]], None] | None = None) -> None:
        """`seen` is told of the frames of the background."""
        self.clock = 0.0
        self.serial = 0  # orders events of one instant, numbers conntrack entries
        self.later: list[tuple[float, int, Any]] = []  # a heap of what has yet to happen: (lab time, order, flight or timer)
        #: the frames of the last question. Its capture goes on until the next one: how its connection closes is in it
        self.capture: Frames | None = None
        self.seen = seen
        self.programmed: tuple[int, int] | None = None  # `Network.serial`, `Namespace.changes` of the last look at what devices end
        self._tables: dict[Key, dict[Any, Any]] = {}
        self._owned: set[Key] = set()

    def fork(self, seen: Callable[[list[tuple[Any, ...]]], None] | None = None) -> State:
        """A state that starts as this one; each goes its own way."""
        other = State(seen)
        other.clock, other.serial, other.later, other.programmed = self.clock, self.serial, list(self.later), self.programmed
        other._tables = dict(self._tables)
        self._owned = set()  # both now share every table
        return other

    def read(self, *key: str) -> dict[Any, Any]:
        """A table, not to be changed."""
        return self._tables.get(key, _EMPTY)

    def write(self, *key: str) -> dict[Any, Any]:
        """A table that this state may change."""
        table = self._tables.get(key)
        if key not in self._owned:
            table = dict(table) if table else {}
            self._tables[key] = table
            self._owned.add(key)
        return table  # type: ignore[return-value]

    def keys(self) -> Iterator[Key]:
        return iter(self._tables)

    def share(self, key: Key, table: dict[Any, Any]) -> None:
        """Put in place a table that others have, too."""
        self._tables[key] = table
        self._owned.discard(key)

    def disown(self, keys: Iterable[Key]) -> None:
        """Others may keep these tables from here on."""
        self._owned.difference_update(keys)

    def tables(self) -> Iterable[tuple[Key, dict[Any, Any]]]:
        """Every table, not to be changed. Forks share one until somebody writes to it."""
        return self._tables.items()

    def drop(self, *key: str) -> None:
        self._tables.pop(key, None)
        self._owned.discard(key)

    def forget(self, kind: str) -> None:
        """Drop every table of a kind: "hits" when rules are written anew, since counters belong to rules."""
        for key in [k for k in self._tables if k[0] == kind]:
            self.drop(*key)

    def flush(self) -> None:
        """Forget everything but the clock."""
        self._tables.clear()
        self._owned.clear()
        self.later = []

    def at(self, when: float, item: Any) -> None:
        """`item` (a flight or a timer) has yet to happen; see `background.catch_up`."""
        heapq.heappush(self.later, (when, self.next_serial(), item))

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial


_EMPTY: dict[Any, Any] = {}


class Memory(MutableMapping[str, Any]):
    """One table of a state as a mapping: what a process remembers, or a list of `recent` addresses."""

    __slots__ = ("_key", "_state")

    def __init__(self, state: State, *key: str):
        self._state, self._key = state, key

    def __getitem__(self, key: str) -> Any:
        return self._state.read(*self._key)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._state.write(*self._key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._state.write(*self._key)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._state.read(*self._key)))

    def __len__(self) -> int:
        return len(self._state.read(*self._key))
