"""A question for everyone behind a bridge or on a wire: who has nothing to say to an ARP request or a neighbour solicitation.

On a node with a hundred pods a request is heard a hundred times, and one of them answers. Behind the other ports stand plain
ends, which neither have the address nor speak for others. What is left of the request there is a frame or two, so those that
stand side by side take it in one step of the walk; frames, their order and what is learned are as if each took its own.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .arp import UNKNOWN, arp_input
from .flight import Flight, Timer
from .links import Link
from .local_table import subnet_routers
from .namespace import Namespace
from .packet import Arp, is_group
from .switch import Port, Switch
from .walk import Successor, Walk, stage

__all__ = ["Group", "Hearers", "behind_bridge", "crossed", "flooded", "heard", "on_wire", "places", "question"]

#: both ends of a port let a question through
_ROOM = 576


@dataclass(frozen=True, slots=True)
class Hearer:
    """A plain end, and the places at which a frame for it is seen ("namespace/device"): the port before it (a bridge's), and itself."""

    ns: str
    dev: str
    port: str
    end: str


@dataclass(slots=True)
class Hearers:
    """The ports of a bridge or a wire, and behind which of them is more than a plain end (None)."""

    when: int
    ports: Sequence[Link | Port]
    plain: list[Hearer | None] = field(default_factory=list)
    others: list[int] = field(default_factory=list)  # positions of those that are asked one by one
    owners: dict[str, list[int]] = field(default_factory=dict)  # address -> positions of the plain ends that have it
    at: dict[Hashable, int] = field(default_factory=dict)  # port's name -> position
    of: dict[str, list[int]] = field(default_factory=dict)  # namespace -> positions of its plain ends
    #: (address, who asks) -> port, namespace and device of the end that answers at once (`bridge_questions`)
    speakers: dict[tuple[str, str], tuple[Link, Namespace, Link] | None] = field(default_factory=dict)

    def add(self, name: Hashable, port: str, end: tuple[Namespace, Link] | None) -> None:
        """The next port."""
        i = self.at[name] = len(self.plain)
        if end is None:
            self.plain.append(None)
            self.others.append(i)
            return
        ns, link = end
        self.plain.append(Hearer(ns.id, link.name, port, f"{ns.id}/{link.name}"))
        self.of.setdefault(ns.id, []).append(i)
        own = {a.ip for k in ns.links.values() for a in k.addresses} | {a for k in ns.links.values() for a in subnet_routers(ns, k)}
        for a in own:
            self.owners.setdefault(a, []).append(i)

    def parts(self, ip: str, ingress: Hashable) -> Iterator[Any]:
        """In the order of the ports: one that is asked for itself, or plain ends side by side that have not got `ip`."""
        alone = {*self.others, *self.owners.get(ip, ())}
        if ingress:
            alone.add(self.at[ingress])
        start = 0
        for stop in sorted(alone):
            if start < stop:
                yield Group(self, start, stop)
            yield self.ports[stop]
            start = stop + 1
        if start < len(self.ports):
            yield Group(self, start, len(self.ports))


class Group:
    """Plain ends side by side."""

    __slots__ = ("_start", "_stop", "_whole")

    def __init__(self, whole: Hearers, start: int, stop: int):
        self._whole, self._start, self._stop = whole, start, stop

    def __iter__(self) -> Iterator[Hearer]:
        return iter(self._whole.plain[self._start : self._stop])  # type: ignore[arg-type]

    @property
    def last(self) -> Hearer:
        return self._whole.plain[self._stop - 1]  # type: ignore[return-value]

    def concerned(self, w: Walk, asker: str) -> Iterable[Hearer]:
        """Those to whom a question says something: who asks himself for the asker, or knows him."""
        for _, _, ip in w.asking:
            if ip == asker:
                return self
        of, found = self._whole.of, []
        for key in w.state.keys():  # noqa: SIM118  (a State is no dictionary)
            if key[0] == "neigh" and key[1] in of:
                found += self._knowing(w.state.read(*key), asker, of[key[1]])
        return [self._whole.plain[i] for i in sorted(found)] if found else ()  # type: ignore[misc]

    def _knowing(self, known: Container[tuple[str, str]], asker: str, positions: Iterable[int]) -> list[int]:
        plain = self._whole.plain
        return [i for i in positions if self._start <= i < self._stop and (plain[i].dev, asker) in known]  # type: ignore[union-attr]


class _Ports:
    """The places at which a group's frame leaves a bridge."""

    __slots__ = ("group",)

    def __init__(self, group: Group):
        self.group = group

    def __iter__(self) -> Iterator[str]:
        return (h.port for h in self.group)


class _Ends(_Ports):
    """The places at which it arrives."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        return (h.end for h in self.group)


def behind_bridge(w: Walk, ns: Namespace, bridge: Link) -> Hearers:
    """Kept until something is programmed otherwise, anywhere."""
    found: Hearers | None = ns.derived.get(("hearers", bridge.name))
    if found is None or found.when != Namespace.changes:
        found = ns.derived["hearers", bridge.name] = Hearers(Namespace.changes, ns.ports(bridge.name))
        for port in ns.ports(bridge.name):
            found.add(port.name, f"{ns.id}/{port.name}", _far_end(w, port))
    return found


def on_wire(switch: Switch) -> Hearers:
    """Kept with the switch, which is looked up anew when something is programmed otherwise."""
    if switch.hearers is None:
        found = switch.hearers = Hearers(Namespace.changes, switch.ports)
        for at, ns, nic in switch.ports:
            found.add(at, "", (ns, nic) if _plain(ns, nic) else None)
    return switch.hearers


def _far_end(w: Walk, port: Link) -> tuple[Namespace, Link] | None:
    """The far end of a bridge's port, if it is a plain one."""
    if port.kind != "veth" or not port.up or port.port.isolated or port.peer is None or port.mtu < _ROOM:
        return None
    ns = w.net.namespaces.get(port.peer[0])
    link = ns.links.get(port.peer[1]) if ns is not None else None
    return (ns, link) if ns is not None and link is not None and _plain(ns, link) else None


def _plain(ns: Namespace, link: Link) -> bool:
    """Does it answer for nothing but the addresses of its devices?"""
    if not link.up or not link.arp or link.master or link.mtu < _ROOM or link.name in ns.macvlans:
        return False
    if ns.proxies or ns.announced or any(r.type == "local" for r in ns.routes):
        return False
    if ns.forwards(4, link.name) and (ns.dev_sysctl(link.name, "proxy_arp") or ns.dev_sysctl(link.name, "proxy_arp_pvlan")):
        return False
    whole = (a for k in ns.links.values() if k.kind == "loopback" for a in k.addresses if a.family == 4 and a.length < 32)
    return all(a.ip.startswith("127.") for a in whole)


def question(f: Flight) -> Arp | None:
    """The question, if the frame is one for everybody from someone who has an address."""
    arp = f.packet
    if not isinstance(arp, Arp) or arp.op != "request" or not is_group(f.dmac):
        return None
    return None if arp.sender_ip in UNKNOWN or arp.target_ip.startswith("127.") else arp


def places(group: Group) -> Iterable[str]:
    """The places at which a group's frame leaves a bridge."""
    return _Ports(group)


def flooded(w: Walk, f: Flight, group: Group) -> Successor:
    """The question goes out of the ports of a bridge; the ends behind them hear it when it is their turn."""
    w.tap_each(f, places(group))
    return crossed(f, group, 0.0)


def crossed(f: Flight, group: Group, delay: float) -> Successor:
    """The ends on a wire hear it `delay` seconds later."""
    return (delay, Timer("hear", f.ns, (f, group)))


@stage("hear", moving=True)
def hear(w: Walk, t: Timer) -> Iterable[Successor]:
    return heard(w, *t.args)


def heard(w: Walk, f: Flight, group: Group) -> list[Successor]:
    """The ends of a group hear the question."""
    arp = f.packet
    assert isinstance(arp, Arp)
    w.tap_each(f, _Ends(group))
    out: list[Successor] = []
    for h in group.concerned(w, arp.sender_ip):
        out += arp_input(w, f.arriving("rx", h.ns, h.dev, h.dev, None), arp)
    if group.last.port:  # behind a bridge: who heard it last tells why, should nobody answer
        w.silences[arp.target_ip] = (group.last.ns, group.last.dev, arp)
    return out
