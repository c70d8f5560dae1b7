"""What the rules ask of a packet's walk, and what they may change: the only door between rules and dynamic state."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..chance import Lot
from ..packet import Packet, Tcp

if TYPE_CHECKING:
    from ..ipset import IpSet
    from .model import Rule

__all__ = ["Context", "Place", "looks"]


class Context(Protocol):
    """One packet at one hook. The walk implements it.

    Optional attributes, read only by the conntrack match: `ct_reply` (a tuple like `ct_original`),
    `ct_direction` ("ORIGINAL" or "REPLY"), `ct_status` (a set of EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED).
    Where they are missing, a rule that asks for them raises NotModelled.
    """

    packet: Packet
    indev: str  # "" where there is none
    outdev: str
    physin: str  # bridge ports, while br_netfilter shows a bridged packet
    physout: str
    mark: int
    connmark: int
    pkttype: str  # "unicast" | "broadcast" | "multicast" | "otherhost"
    now: float  # lab seconds
    plain: bool  # set by `evaluate`: were only rules asked whose answer follows from the packet's `looks`?

    @property
    def ctstate(self) -> frozenset[str]:
        """Of NEW ESTABLISHED RELATED INVALID UNTRACKED, and DNAT SNAT."""
        ...

    @property
    def ct_original(self) -> tuple[str, int, str, int, str] | None:
        """src, sport, dst, dport, proto of the connection's first packet."""
        ...

    def notrack(self) -> None: ...

    def set_mss(self, value: int | None) -> None:
        """Write the MSS of a SYN (never raise it); None: clamp it to the path MTU."""
        ...

    def addrtype(self, address: str, dev: str | None) -> str:
        """The type a route lookup gives: "LOCAL", "UNICAST", "BROADCAST", "MULTICAST", "BLACKHOLE"...; `dev` limits what is local."""
        ...

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        """The one door of chance: an index drawn with these weights."""
        ...

    def first(self, lot: Lot) -> int:
        """How many of these coins fall the other way before one falls this way."""
        ...

    def recent(self, name: str) -> MutableMapping[str, tuple[float, ...]]:
        """The list `name` of xt_recent: address -> (ttl, time stamps...), in the order in which entries were set.

        Names that begin with "/" hold what nth, limit and hashlimit count.
        """
        ...

    def ipset(self, name: str) -> IpSet | None: ...

    def hit(self, rule: Rule) -> None:
        """The rule matched: count the packet and its bytes. A chain's policy comes as a rule too (its uid is the chain's)."""
        ...


def looks(c: Context) -> tuple[Any, ...]:
    """What plain matches look at: packets of one look get the same answer from them, on one machine as it is programmed."""
    packet = c.packet
    l4 = packet.l4
    flags = l4.flags if isinstance(l4, Tcp) else ""
    return (
        packet.src, packet.dst, packet.proto, l4.dport, flags, packet.frag > 0, c.mark, c.ctstate, c.indev, c.outdev, c.physin, c.physout,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule stands: names the choices it makes and the counters it keeps."""

    table: str
    chain: str
    number: int  # 1-based, as --line-numbers
    uid: int

    @property
    def chooser(self) -> str:
        return f"{self.table} {self.chain} {self.number}"

    def memory(self, what: str) -> str:
        return f"/{what} {self.table} {self.uid}"
