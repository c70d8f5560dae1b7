"""`Flight`: a packet and where it is, as a value. `Trail`: what happened to it so far, a linked list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .conntrack import Entry
from .packet import Arp, Packet
from .routing import Route
from .value import Value, copy_with, value

__all__ = ["Flight", "Timer", "Trail"]

#: what one stack knows of a packet and the next one does not
_STACK = ("indev", "physin", "ct", "ctinfo", "bridged", "forwarded", "route", "nexthop", "dont_fragment_locally", "frag_max")


class Trail:
    """One thing that happened. `major` events become hops, the others details of the hop they belong to."""

    __slots__ = ("after", "before", "code", "dev", "dmacs", "entry", "failed", "major", "ns", "params", "parent", "smacs", "time")

    def __init__(
        self, parent: Trail | None, code: str, time: float, ns: str, dev: str, before: Packet | Arp | None, after: Packet | Arp | None,
        smacs: tuple[str, str], dmacs: tuple[str, str], entry: Any, params: Mapping[str, Any], major: bool, failed: bool,
    ):  # fmt: skip
        self.parent, self.code, self.time, self.ns, self.dev = parent, code, time, ns, dev
        self.before, self.after, self.smacs, self.dmacs = before, after, smacs, dmacs
        self.entry, self.params, self.major, self.failed = entry, params, major, failed

    def events(self) -> list[Trail]:
        """From the first event to this one."""
        out: list[Trail] = []
        node: Trail | None = self
        while node is not None:
            out.append(node)
            node = node.parent
        out.reverse()
        return out

    def __iter__(self) -> Iterator[Trail]:
        return iter(self.events())


@value
class Flight(Value):
    """A packet on its way. `stage` names the function that handles it next, `ns` and `dev` where.

    `ct` and `ctinfo` are the skb's conntrack reference; `bridged` says that bridge netfilter has already run the
    inet PREROUTING hooks; `cause` is the trail of the packet that this one answers.
    """

    stage: str
    ns: str
    dev: str
    packet: Packet | Arp
    smac: str = ""
    dmac: str = ""
    trail: Trail | None = None
    cause: Trail | None = None
    mark: int = 0
    indev: str = ""
    physin: str = ""
    ct: Entry | None = None
    ctinfo: str = ""  # "", "new", "established", "reply", "related", "related-reply", "untracked", "invalid"
    bridged: bool = False
    forwarded: bool = False
    route: Route | None = None
    nexthop: str = ""
    aux: bool = False  # ARP and the like: not part of the story's own packets
    dont_fragment_locally: bool = False
    gso: bool = False  # travels in one large buffer with its neighbours: devices and bridges do not look at its size
    frag_max: int = 0  # put together by conntrack on the way: the size of the largest fragment it came in
    label: str = ""  # "syn", "data", ...: what a socket calls it

    if TYPE_CHECKING:

        def to(self, stage: str, **changes: Any) -> Flight:
            """The flight at another stage, with some fields replaced."""

        def on(self, trail: Trail | None) -> Flight:
            """The flight with another trail."""

        def anew(self, stage: str, **changes: Any) -> Flight:
            """The flight as a fresh skb: what the stack it leaves knew of it (connection, route, hooks run) stays behind."""

        def arriving(self, stage: str, ns: str, dev: str, indev: str, trail: Trail | None) -> Flight:
            """The flight as a fresh skb, without a mark, that comes in at a device (`dev` and `indev`) of a namespace."""

        def reframed(self, stage: str, dev: str, packet: Packet | Arp, smac: str, dmac: str, mark: int, trail: Trail | None) -> Flight:
            """The flight as a fresh skb with another packet: the one around it, or the one in it."""

        def routed(self, packet: Packet, dev: str, route: Route, nexthop: str, forwarded: bool, trail: Trail | None) -> Flight:
            """The flight on its way out; by which port of a bridge it came in plays no part any more."""

        def addressed(self, stage: str, smac: str, dmac: str, trail: Trail | None) -> Flight:
            """The flight with the addresses of its frame."""

        def rewritten(self, trail: Trail | None, packet: Packet | Arp, smac: str, dmac: str) -> Flight:
            """The flight with another packet or other addresses on its frame."""

        def seen(self, packet: Packet, mark: int, ct: Entry | None, ctinfo: str) -> Flight:
            """The flight as a hook leaves it."""
    else:
        to = copy_with("stage")
        on = copy_with("trail", more=False)
        anew = copy_with("stage", reset=_STACK)
        arriving = copy_with("stage", "ns", "dev", "indev", "trail", reset=(*_STACK, "mark"), more=False)
        reframed = copy_with("stage", "dev", "packet", "smac", "dmac", "mark", "trail", reset=_STACK, more=False)
        routed = copy_with("packet", "dev", "route", "nexthop", "forwarded", "trail", reset=("physin", "bridged"), more=False)
        addressed = copy_with("stage", "smac", "dmac", "trail", more=False)
        rewritten = copy_with("trail", "packet", "smac", "dmac", more=False)
        seen = copy_with("packet", "mark", "ct", "ctinfo", more=False)


@value
class Timer(Value):
    """Something that happens later: `stage` names the function that does it, `args` are immutable."""

    stage: str
    ns: str
    args: tuple[Any, ...]
