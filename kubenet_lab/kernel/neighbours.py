"""Neighbours: how a next hop's address becomes a MAC address, and what happens when nobody answers.

IPv6 neighbour discovery does the same work here with the same values; who answers is told in `arp`. Sources: Linux net/ipv4/arp.c
(arp_solicit), net/core/neighbour.c; RFC 826, RFC 4861.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import icmp
from .address import family, prefix
from .bridge_vlans import kept_apart
from .exchanges import Recording
from .flight import Flight, Timer
from .links import Link
from .macvlan import unheard
from .namespace import Namespace, Neighbour
from .packet import BROADCAST, Arp, Packet
from .walk import Ending, Successor, Walk, stage

__all__ = ["ask", "learn", "learned_neighbours", "resolve"]

ASK_AGAIN = 1.0  # seconds between ARP requests (neigh retrans_time)
ASKS = 3  # requests before a neighbour is FAILED (ucast_solicit + mcast_solicit as seen from outside)
REACHABLE = 30.0  # base_reachable_time

Successors = Iterable[Successor]


def learned_neighbours(w: Walk, ns: str) -> dict[tuple[str, str], Neighbour]:
    """(dev, ip) -> entry, of what ARP has found out; state by age."""
    out = {}
    for (dev, ip), (mac, when) in w.state.read("neigh", ns).items():
        out[dev, ip] = Neighbour(ip, dev, mac, "REACHABLE" if w.state.clock - when <= REACHABLE else "STALE")
    return out


def resolve(w: Walk, f: Flight, ns: Namespace, link: Link, nexthop: str, then: str, keep_source: bool = False) -> Successors:
    """Give the frame its addresses: from the neighbour table, else by asking; the flight goes on at stage `then`."""
    smac = f.smac if keep_source else link.mac
    if link.kind == "loopback" or not link.arp:
        return w.go(then, f.to(then, smac=link.mac, dmac=link.mac))
    if f.route is not None and f.route.type == "broadcast":
        return ((0.0, f.to(then, smac=smac, dmac=BROADCAST)),)
    fixed = ns.neighbours.get((link.name, nexthop))
    if fixed is not None and fixed.state != "FAILED" and fixed.mac:
        trail = w.trail(f, "neigh.use", f.packet, smac, fixed.mac, link.name, {}, major=False, entry=fixed)
        return w.go(then, f.addressed(then, smac, fixed.mac, trail))
    known = w.state.read("neigh", ns.id).get((link.name, nexthop))
    if known is not None:
        entry = Neighbour(nexthop, link.name, known[0], "REACHABLE" if w.state.clock - known[1] <= REACHABLE else "STALE")
        trail = w.trail(f, "neigh.use", f.packet, smac, known[0], link.name, {}, major=False, entry=entry)
        return w.go(then, f.addressed(then, smac, known[0], trail))
    if fixed is not None and fixed.state == "NOARP":
        return ((0.0, f.to(then, smac=smac, dmac=fixed.mac or link.mac)),)
    waiting = w.asking.get((ns.id, link.name, nexthop), ())
    held = f.to(then, smac=smac, dev=f.dev)
    w.asking[ns.id, link.name, nexthop] = (*waiting, held)[-64:]
    if waiting:
        return ()
    timer = (ASK_AGAIN, Timer("neigh_timer", ns.id, (link.name, nexthop, 1)))
    if w.known is not None and link.segment and len(w.asking) == 1:
        return [(0.0, Timer("ask_as_known", ns.id, (link.name, nexthop))), timer]
    if link.kind == "bridge":
        return [(0.0, Timer("ask_behind", ns.id, (link.name, nexthop))), timer]
    return [(0.0, ask(w, ns, link, nexthop)), timer]


@stage("ask_as_known")
def ask_as_known(w: Walk, t: Timer) -> Successors:
    """The first question for an address, where another way of the same question may have asked it."""
    dev, ip = t.args
    ns = w.ns(t.ns)
    request = ask(w, ns, ns.links[dev], ip)
    assert w.known is not None and isinstance(request.packet, Arp)
    key = (t.ns, dev, ip, request.packet.sender_ip, w.state.clock)
    found = w.known.get(key)
    if found is not None and found.fits(w):
        found.happen(w)
        return _released(w, ns, dev, ip, found.entry, found.code)
    if w.quiet_until(w.state.clock):
        w.recording = Recording(w, key)
    return w.go("xmit", request)


def ask(w: Walk, ns: Namespace, link: Link, ip: str) -> Flight:
    """A question for the hardware address of `ip`, to everyone."""
    source = ns.select_source(link.name, ip, "link") or ("0.0.0.0" if family(ip) == 4 else "::")
    waiting = w.asking.get((ns.id, link.name, ip), ())
    if waiting and isinstance(waiting[0].packet, Packet) and _announces(ns, link, waiting[0].packet.src, ip):
        source = waiting[0].packet.src
    arp = Arp("request", link.mac, source, "00:00:00:00:00:00", ip)
    return Flight("xmit", ns.id, link.name, arp, link.mac, BROADCAST, aux=True)


def _announces(ns: Namespace, link: Link, source: str, target: str) -> bool:
    """arp_announce: is the source of the packet that waits, if it is ours, also the one that asks?"""
    if ns.local_device(source) in (None, "lo"):
        return False
    mode = ns.dev_sysctl(link.name, "arp_announce") if family(target) == 4 else 0
    if mode == 1:
        return any(source in n and target in n for n in (prefix(str(a)) for a in link.addresses))
    return mode == 0


@stage("neigh_timer")
def neigh_timer(w: Walk, t: Timer) -> Successors:
    dev, ip, asked = t.args
    waiting = w.asking.get((t.ns, dev, ip))
    if not waiting:
        return ()
    ns = w.ns(t.ns)
    link = ns.links.get(dev)
    if link is not None and link.up and asked < ASKS:
        return [(0.0, ask(w, ns, link, ip)), (ASK_AGAIN, Timer("neigh_timer", t.ns, (dev, ip, asked + 1)))]
    del w.asking[t.ns, dev, ip]
    out: list[Successor] = []
    silence = None
    if (silent := w.silences.get(ip)) is not None:
        from .arp import silence_of

        there = w.ns(silent[0])
        silence = silence_of(there, there.links[silent[1]], silent[2])
    why = unheard(w, ns, link, ip) if link is not None else None
    apart = (kept_apart(w.net, ns, link, ip) if link is not None else None) or w.refusals.get(ip)
    for f in waiting:
        f = w.note(f, "neigh.failed", dev=dev, failed=True, ip=ip, seconds=ASKS * ASK_AGAIN, silence=silence)
        if why is not None:
            f = w.note(f, why[0], dev=dev, failed=True, **why[1])
        elif apart is not None:  # told where the bridge is
            f = f.but(trail=w.note(f.but(ns=apart[1]), apart[0], dev=apart[2]["port"], failed=True, **apart[2]).trail)
        w.endings.append(Ending(w.state.clock, "neigh.failed", f))
        if isinstance(f.packet, Packet):
            out += icmp.error(w, f, "host-unreachable")
    return out


def learn(w: Walk, ns: Namespace, dev: str, ip: str, mac: str, code: str = "neigh.learned") -> list[Successor]:
    """An answer (or a question) told us an address: remember it and send what waited. `code` tells how it became known."""
    if (dev, ip) in ns.neighbours and ns.neighbours[dev, ip].state == "PERMANENT":
        return []
    w.state.write("neigh", ns.id)[dev, ip] = (mac, w.state.clock)
    if (ns.id, dev, ip) not in w.asking:
        return []
    entry = Neighbour(ip, dev, mac, "REACHABLE")
    if w.recording is not None:
        if w.recording.key[:3] == (ns.id, dev, ip):
            w.recording.kept(w, entry, code)
        w.recording = None
    return _released(w, ns, dev, ip, entry, code)


def _released(w: Walk, ns: Namespace, dev: str, ip: str, entry: Neighbour, code: str) -> list[Successor]:
    """What waited for an address goes on."""
    waiting = w.asking.pop((ns.id, dev, ip))
    return [(0.0, w.note(f, code, major=False, entry=entry, dmac=entry.mac, dev=dev, ip=ip)) for f in waiting]
