"""A question for everyone behind a bridge: who has nothing to say to an ARP request or a neighbour solicitation.

On a node with a hundred pods a request is heard a hundred times, and one of them answers. Behind the other ports stand plain
ends, which neither have the address nor speak for others. What is left of the request there is two frames, so those that
stand side by side take it in one step of the walk; frames, their order and what is learned are as if each took its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .arp import UNKNOWN, arp_input
from .flight import Flight, Timer
from .links import Link
from .local_table import routes_six
from .namespace import Namespace
from .packet import Arp, is_group
from .walk import Successor, Walk, stage

__all__ = ["Hearers", "hearers_of", "question"]

#: both ends of a port let a question through
_ROOM = 576


@dataclass(frozen=True, slots=True)
class Hearer:
    """A plain end, and the two places at which a frame for it is seen ("namespace/device")."""

    ns: str
    dev: str
    port: str
    end: str


@dataclass(slots=True)
class Hearers:
    """The ports of a bridge, and behind which of them is more than a plain end (None)."""

    when: int
    ports: tuple[Link, ...]
    plain: list[Hearer | None] = field(default_factory=list)
    others: list[int] = field(default_factory=list)  # positions of those that are asked one by one
    owners: dict[str, list[int]] = field(default_factory=dict)  # address -> positions of the plain ends that have it
    at: dict[str, int] = field(default_factory=dict)  # port name -> position

    def parts(self, ip: str, ingress: str) -> Iterator[Link | list[Hearer]]:
        """In the order of the ports: one that is asked for itself, or plain ends side by side that have not got `ip`."""
        alone = {*self.others, *self.owners.get(ip, ())}
        if ingress:
            alone.add(self.at[ingress])
        start = 0
        for stop in sorted(alone):
            if start < stop:
                yield self.plain[start:stop]  # type: ignore[misc]
            yield self.ports[stop]
            start = stop + 1
        if start < len(self.ports):
            yield self.plain[start:]  # type: ignore[misc]


def hearers_of(w: Walk, ns: Namespace, bridge: Link) -> Hearers:
    """Kept until something is programmed otherwise, anywhere."""
    found: Hearers | None = ns.derived.get(("hearers", bridge.name))
    if found is None or found.when != Namespace.changes:
        found = ns.derived["hearers", bridge.name] = Hearers(Namespace.changes, tuple(ns.ports(bridge.name)))
        for i, port in enumerate(found.ports):
            found.at[port.name] = i
            end = _plain_end(w, port)
            found.plain.append(_hearer(ns, port, *end) if end is not None else None)
            if end is None:
                found.others.append(i)
                continue
            for a in {a.ip for k in end[0].links.values() for a in k.addresses}:
                found.owners.setdefault(a, []).append(i)
    return found


def _hearer(ns: Namespace, port: Link, end: Namespace, link: Link) -> Hearer:
    return Hearer(end.id, link.name, f"{ns.id}/{port.name}", f"{end.id}/{link.name}")


def _plain_end(w: Walk, port: Link) -> tuple[Namespace, Link] | None:
    """The far end of a port, if it answers for nothing but the addresses of its devices."""
    if port.kind != "veth" or not port.up or port.port.isolated or port.peer is None or port.mtu < _ROOM:
        return None
    ns = w.net.namespaces.get(port.peer[0])
    link = ns.links.get(port.peer[1]) if ns is not None else None
    if ns is None or link is None or not link.up or not link.arp or link.master or link.mtu < _ROOM or link.name in ns.macvlans:
        return None
    if ns.proxies or ns.announced or ns.forwards(4, link.name) or routes_six(ns, link) or any(r.type == "local" for r in ns.routes):
        return None
    whole = (a for k in ns.links.values() if k.kind == "loopback" for a in k.addresses if a.family == 4 and a.length < 32)
    return (ns, link) if all(a.ip.startswith("127.") for a in whole) else None


def question(f: Flight) -> Arp | None:
    """The question, if the frame is one for everybody from someone who has an address."""
    arp = f.packet
    if not isinstance(arp, Arp) or arp.op != "request" or not is_group(f.dmac):
        return None
    return None if arp.sender_ip in UNKNOWN or arp.target_ip.startswith("127.") else arp


def flooded(w: Walk, f: Flight, ns: Namespace, group: list[Hearer]) -> Successor:
    """The question goes out of the ports of these ends; they hear it when it is their turn."""
    w.tap_each(f, [h.port for h in group])
    return (0.0, Timer("hear", ns.id, (f, group)))


@stage("hear")
def hear(w: Walk, t: Timer) -> Iterable[Successor]:
    f, group = t.args
    arp: Arp = f.packet
    w.tap_each(f, [h.end for h in group])
    asking = any(ip == arp.sender_ip for _, _, ip in w.asking)
    knowing = {key[1] for key in w.state.keys() if key[0] == "neigh"}  # noqa: SIM118  (a State is no dictionary)
    out: list[Successor] = []
    for h in group:
        # who knows somebody may know the asker; the last one tells whom nobody heard from
        if h.ns in knowing or asking or h is group[-1]:
            out += arp_input(w, f.anew("rx", ns=h.ns, dev=h.dev, mark=0), arp)
    return out
