"""Netfilter hook points as ordered lists of handlers: iptables tables, conntrack and NAT.

Each namespace and family has, per hook, handlers sorted by priority; a handler takes an `Skb` and lets it go on
or stops it. Priorities and order: Linux include/uapi/linux/netfilter_ipv4.h; NAT: net/netfilter/nf_nat_core.c,
nf_nat_proto.c, nf_nat_masquerade.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any

from . import icmp
from .chance import Lot
from .conntrack import Conntrack, Entry
from .flight import Flight
from .hook_chains import NAT_PRIORITY, Ask, OfChain, OfTable, base_chains, rank
from .iptables import Rule, Verdict
from .local_table import address_type
from .namespace import Namespace
from .nat import nat
from .nftables import MapEntry
from .nftables.model import Element, NftSet
from .nftables.references import tracks
from .nftables.selectors import Place
from .packet import Packet, Tcp
from .state import Memory
from .tracking import confirm, conntrack_in, defrag, unmodelled
from .walk import Ending, Successor, Walk

__all__ = ["HOOKS", "Passed", "Skb", "run"]

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_CHAIN = {h: h.upper() for h in HOOKS}
#: table -> (priority, hooks it is on); the nat table's priority depends on the hook
_TABLES = {
    "raw": (-300, ("prerouting", "output")),
    "mangle": (-150, HOOKS),
    "filter": (0, ("input", "forward", "output")),
    "security": (50, ("input", "forward", "output")),
}
#: (ctinfo, DNAT, SNAT) -> what rules see
_CTSTATE = {
    (info, dnat, snat): frozenset((name, *(("DNAT",) if dnat else ()), *(("SNAT",) if snat else ())))
    for info, name in (
        ("new", "NEW"), ("established", "ESTABLISHED"), ("reply", "ESTABLISHED"), ("related", "RELATED"), ("related-reply", "RELATED"),
        ("untracked", "UNTRACKED"), ("invalid", "INVALID"), ("", "INVALID"),
    ) for dnat in (False, True) for snat in (False, True)
}  # fmt: skip
_NEVER = (0, 0)
_NONE_MET: list[MapEntry] = []  # a rule's own list takes its place before anything is met
_DEFRAG, _CONNTRACK, _CONFIRM = -400, -200, 1 << 30

Stop = Iterable[Successor]
Handler = Callable[["Skb"], "Stop | None"]


class Passed:
    """What came out of a hook: the packet and its flight as the handlers left them, and what happens instead if it was `stopped`.

    This is the one that met no handlers; the others are `Skb`.
    """

    __slots__ = ("flight", "stopped")

    def __init__(self, flight: Flight):
        self.flight = flight
        self.stopped: Stop | None = None

    @property
    def packet(self) -> Packet:
        assert isinstance(self.flight.packet, Packet)
        return self.flight.packet

    @property
    def mark(self) -> int:
        return self.flight.mark

    def to(self, stage: str, **changes: Any) -> Flight:
        return self.flight.to(stage, **changes)


def run(w: Walk, f: Flight, hook: str, *, indev: str = "", outdev: str = "", physin: str = "", physout: str = "") -> Passed | Skb:
    """Run one hook's handlers on a packet."""
    ns = w.ns(f.ns)
    packet = f.packet
    assert isinstance(packet, Packet)
    handlers = _handlers(ns, packet.family, hook)
    if not handlers:
        return Passed(f)
    skb = Skb(w, ns, f, hook, indev, outdev, physin, physout)
    for handle in handlers:
        skb.stopped = handle(skb)
        if skb.stopped is not None:
            break
    return skb


def _handlers(ns: Namespace, fam: int, hook: str) -> Sequence[Handler]:
    found: Sequence[Handler] | None = ns.derived.get((fam, hook))
    if found is None:
        rules = ns.ruleset(fam)
        listed: list[tuple[tuple[int, ...], Handler]] = []
        for name, (priority, on) in _TABLES.items():
            if hook in on and _asks(rules, name, _CHAIN[hook]):
                listed.append(((priority, 1), _table_handler(name, OfTable(ns, name, fam, hook))))
        for table, chain in base_chains(ns, fam, hook):
            if chain.base is not None and chain.base.type != "nat" and (chain.rules or chain.base.policy != "accept"):
                listed.append((rank(chain), _table_handler(table.name, OfChain(ns, table, chain))))
        if _tracks(rules) or tracks(ns.nft):
            if hook == "prerouting":
                listed.append(((_DEFRAG, 1), defrag))
            if hook in ("prerouting", "output"):
                listed += [((_CONNTRACK, 1), conntrack_in), ((NAT_PRIORITY[hook], 1), nat)]
            else:
                listed += [((NAT_PRIORITY[hook], 1), nat)] if hook != "forward" else []
                listed += [((_CONFIRM, 1), confirm)] if hook != "forward" else []
        if ns.unmodelled and hook in ("forward", "input"):
            listed.append(((_TABLES["filter"][0], 0), unmodelled))  # such programs put their rules before all others
        found = tuple(h for _, h in sorted(listed, key=lambda x: x[0]))
        ns.derived[fam, hook] = found
    return found


def _asks(rules: Any, table: str, chain: str) -> bool:
    t = rules.tables.get(table)
    if t is None or chain not in t.chains:
        return False
    c = t.chains[chain]
    return bool(c.rules) or c.counted or c.policy not in (None, "ACCEPT", "-")


def _tracks(rules: Any) -> bool:
    """conntrack works in a namespace as soon as something there needs it (a nat table, a ct match or target)."""
    return "nat" in rules.tables or any(
        needle in rule.spec.text
        for t in rules.tables.values()
        for c in t.chains.values()
        for rule in c.rules
        for needle in ("conntrack", "--state", "CONNMARK", "connmark")
    )


def _table_handler(table: str, ask: Ask) -> Handler:
    def handle(skb: Skb) -> Stop | None:
        verdict = ask(skb)
        return None if verdict.kind == "ACCEPT" else skb.refuse(verdict, table)

    return handle


class Skb:
    """A packet inside a hook: what matches and targets see and change (`iptables.Context`)."""

    __slots__ = (
        "_start", "ct", "ctinfo", "hit", "hook", "indev", "mark", "met_elements", "now", "ns", "outdev", "packet", "path", "physin",
        "physout", "plain", "stopped", "trail_flight", "w",
    )  # fmt: skip

    pkttype = "unicast"

    def __init__(self, w: Walk, ns: Namespace, f: Flight, hook: str, indev: str, outdev: str, physin: str, physout: str):
        self.w, self.ns, self.hook = w, ns, hook
        self.indev: str = indev
        self.outdev: str = outdev
        self.physin, self.physout = physin, physout
        assert isinstance(f.packet, Packet)
        self._start = f
        self.trail_flight = f
        self.packet: Packet = f.packet
        self.mark: int = f.mark
        self.ct: Entry | None = f.ct
        self.ctinfo: str = f.ctinfo
        self.now: float = w.state.clock
        self.stopped: Stop | None = None
        self.path: Sequence[Any] = ()
        self.met_elements: list[MapEntry] = _NONE_MET
        self.plain = False
        self.hit: Callable[[Rule], None]

    # ------------------------------------------------------------------------------------- what rules see and do

    @property
    def connmark(self) -> int:
        return self.ct.mark if self.ct else 0

    @connmark.setter
    def connmark(self, value: int) -> None:
        if self.ct:
            self.ct = self.ct.but(mark=value)
            if self.ct.confirmed:
                Conntrack(self.w.state, self.ns.id).save(self.ct)

    @property
    def ctstate(self) -> frozenset[str]:
        ct = self.ct
        return _CTSTATE[self.ctinfo, ct is not None and ct.dnat, ct is not None and ct.snat]

    @property
    def ct_original(self) -> tuple[str, int, str, int, str] | None:
        return tuple(self.ct.orig) if self.ct else None  # type: ignore[return-value]

    def notrack(self) -> None:
        self.ct, self.ctinfo = None, "untracked"

    def set_mss(self, value: int | None) -> None:
        """xt_TCPMSS: an MSS is only ever lowered. None: to what the path takes, there and back (tcpmss_reverse_mtu)."""
        l4 = self.packet.l4
        if not isinstance(l4, Tcp) or l4.mss is None:
            return
        if value is None:
            from .l3 import path_mtu

            there, back = self._start.route, self.ns.fib(self.packet.family).lookup(self.packet.src)
            ways = ((self.packet.dst, there), (self.packet.src, back))
            mtu = min((path_mtu(self.w, self.ns, end, r) for end, r in ways if r is not None and r.dev in self.ns.links), default=1500)
            value = mtu - (40 if self.packet.family == 4 else 60)
        if value < l4.mss:
            rule = self.path[-1] if self.path else None
            self.note("mss.lowered", self.packet.but(l4=l4.but(mss=value)), entry=rule, mss=value, was=l4.mss)

    def addrtype(self, address: str, dev: str | None = None) -> str:
        return address_type(self.ns, address, dev)

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        return self.w.choose(weights, f"{self.ns.id}/{chooser}")

    def first(self, lot: Lot) -> int:
        return self.w.first(lot, f"{self.ns.id}/")

    def recent(self, name: str) -> MutableMapping[str, Any]:
        return Memory(self.w.state, "recent", self.ns.id, name)

    def nft_set(self, name: str) -> MutableMapping[str, Any]:
        """The timed elements of an nft set, by the text of their key: (key, when it expires, its own timeout)."""
        return Memory(self.w.state, "nft-set", self.ns.id, name)

    def met(self, found: NftSet, element: Element, place: Place) -> None:
        """An element of a named map decided."""
        self.met_elements.append(MapEntry(found, element, place.family, place.table))

    def count(self, uid: int) -> None:
        """A counter of an nft rule."""
        hits = self.w.state.write("nft-hits", self.ns.id)
        n, total = hits.get(uid, _NEVER)
        hits[uid] = (n + 1, total + self.packet.size)

    def ipset(self, name: str) -> Any:
        return self.ns.ipsets.get(name) if self.ns.ipsets is not None else None

    # ------------------------------------------------------------------------------------------------- the walk's
    @property
    def flight(self) -> Flight:
        f = self.trail_flight
        if f.packet is not self.packet or f.mark != self.mark or f.ct is not self.ct or f.ctinfo != self.ctinfo:
            f = f.seen(self.packet, self.mark, self.ct, self.ctinfo)
        return f

    def to(self, stage: str, **changes: Any) -> Flight:
        """The flight as it is now, at another stage."""
        return self.trail_flight.to(stage, packet=self.packet, mark=self.mark, ct=self.ct, ctinfo=self.ctinfo, **changes)

    @property
    def where(self) -> str:
        """The device a rule's work is shown at."""
        return self.physin or self.indev or self.outdev

    def note(self, code: str, after: Packet, *, entry: Any = None, major: bool = True, **params: Any) -> None:
        """A change of the packet, as an event."""
        self.trail_flight = self.w.note(self.flight, code, after=after, entry=entry, major=major, dev=self.where, hook=self.hook, **params)
        self.packet = after

    def refuse(self, verdict: Verdict, table: str) -> Stop:
        """DROP and REJECT."""
        f = self.flight
        common: dict[str, Any] = {
            "table": table, "chain": verdict.chain, "hook": self.hook, "rules": tuple(self.path), "dev": self.where,
        }  # fmt: skip
        origin = verdict.rule.origin if verdict.rule is not None else ""
        if self.hook == "output" and not self._start.indev:
            f = f.to(f.stage)  # a local sender: DROP is EPERM for it
        if verdict.kind == "REJECT":
            how = verdict.params
            f = self.w.note(f, "filter.reject", entry=verdict.rule, failed=True, how=how, origin=origin, **common)
            self.w.endings.append(Ending(self.w.now, "filter.reject", f))
            self._refused_locally(f)
            return icmp.reject(self.w, f, how)
        out = list(
            self.w.end(
                f, "filter.drop", entry=verdict.rule, origin=origin, policy=verdict.rule is None or bool(verdict.rule.policy), **common
            )
        )
        self._refused_locally(f)
        return out

    def _refused_locally(self, f: Flight) -> None:
        """The send call of a local sender fails with EPERM, also where REJECT answers as well (nf_hook_slow, NF_DROP)."""
        self.fails(f, "EPERM")

    def fails(self, f: Flight, errno: str) -> None:
        """Tell the local sender. It knows the packet as it handed it over, before any NAT."""
        if self.hook == "output":
            from .sockets import local_failure

            local_failure(self.w, f.to(f.stage, packet=self._start.packet), errno)
