"""What was seen on links, for captures: a frame that is on many links in one instant is one record until somebody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .packet import Arp, Packet

__all__ = ["Frames", "Record", "Seen"]

#: lab time, "namespace/device", source MAC, destination MAC, what was in it
Seen = tuple[float, str, str, str, Packet | Arp]
Record = tuple[float, str | Iterable[str], str, str, Packet | Arp]


class Frames:
    """Frames in the order in which they were seen; reading them gives `Seen`."""

    __slots__ = ("_before", "_records")

    def __init__(self) -> None:
        self._before: tuple[list[Record], ...] = ()  # nobody writes to these any more
        self._records: list[Record] = []

    def add(self, now: float, where: str | Iterable[str], smac: str, dmac: str, packet: Packet | Arp) -> None:
        """`where`: a place, or those at which the same frame is seen; they may be read late, and more than once."""
        self._records.append((now, where, smac, dmac, packet))

    def extend(self, other: Frames) -> None:
        for records in other._parts():
            self._records += records

    def put(self, records: Iterable[Record]) -> None:
        """What `since` gave elsewhere."""
        self._records += records

    def mark(self) -> int:
        """A place for `since`, good until the next fork."""
        return len(self._records)

    def since(self, mark: int) -> list[Record]:
        return self._records[mark:]

    def fork(self) -> Frames:
        """Frames that start as these; each goes its own way."""
        if self._records:
            self._before, self._records = (*self._before, self._records), []
        new = Frames()
        new._before = self._before
        return new

    def _parts(self) -> Iterator[list[Record]]:
        yield from self._before
        yield self._records

    def __iter__(self) -> Iterator[Seen]:
        for records in self._parts():
            for now, where, smac, dmac, packet in records:
                if isinstance(where, str):
                    yield now, where, smac, dmac, packet
                else:
                    for place in where:
                        yield now, place, smac, dmac, packet

    def __bool__(self) -> bool:
        return any(self._parts())
