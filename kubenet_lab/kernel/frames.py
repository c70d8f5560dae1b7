"""What was seen on links, for captures: a frame that is on many links in one instant is one record until somebody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .packet import Arp, Packet

if TYPE_CHECKING:
    from .flight import Flight

__all__ = ["Frames", "Record", "Seen"]

#: lab time, "namespace/device", source MAC, destination MAC, what was in it
Seen = tuple[float, str, str, str, Packet | Arp]
#: lab time, the frame; and where it is seen, if that is not where the flight is: it may be read late, and more than once
Record = tuple[float, "Flight", Iterable[str] | None]


class Frames:
    """Frames in the order in which they were seen; reading them gives `Seen`."""

    __slots__ = ("_before", "records")

    def __init__(self) -> None:
        self._before: tuple[list[Record], ...] = ()  # nobody writes to these any more
        self.records: list[Record] = []  # of its own: a frame that is seen is put here

    def extend(self, other: Frames) -> None:
        for records in other._parts():
            self.records += records

    def put(self, records: Iterable[Record]) -> None:
        """What `since` gave elsewhere."""
        self.records += records

    def mark(self) -> int:
        """A place for `since`, good until the next fork."""
        return len(self.records)

    def since(self, mark: int) -> list[Record]:
        return self.records[mark:]

    def fork(self) -> Frames:
        """Frames that start as these; each goes its own way."""
        if self.records:
            self._before, self.records = (*self._before, self.records), []
        new = Frames()
        new._before = self._before
        return new

    def _parts(self) -> Iterator[list[Record]]:
        yield from self._before
        yield self.records

    def __iter__(self) -> Iterator[Seen]:
        for records in self._parts():
            for now, f, places in records:
                for place in (f"{f.ns}/{f.dev}",) if places is None else places:
                    yield now, place, f.smac, f.dmac, f.packet

    def __bool__(self) -> bool:
        return any(self._parts())
