"""ARP and neighbours: how a next hop's address becomes a MAC address, and what happens when nobody answers.

IPv6 neighbour discovery does the same work here with the same values. Sources: Linux net/ipv4/arp.c, net/core/neighbour.c;
RFC 826, RFC 4861.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import icmp
from .address import family
from .flight import Flight, Timer
from .links import Link
from .namespace import Namespace, Neighbour
from .packet import BROADCAST, Arp, Packet
from .walk import Ending, Successor, Walk, stage

__all__ = ["arp_input", "learned_neighbours", "resolve"]

ASK_AGAIN = 1.0  # seconds between ARP requests (neigh retrans_time)
ASKS = 3  # requests before a neighbour is FAILED (ucast_solicit + mcast_solicit as seen from outside)
REACHABLE = 30.0  # base_reachable_time

Successors = Iterable[Successor]


def learned_neighbours(w: Walk, ns: str) -> dict[tuple[str, str], Neighbour]:
    """(dev, ip) -> entry, of what ARP has found out; state by age."""
    out = {}
    for (dev, ip), (mac, when) in w.state.read("neigh", ns).items():
        out[dev, ip] = Neighbour(ip, dev, mac, "REACHABLE" if w.now - when <= REACHABLE else "STALE")
    return out


def resolve(w: Walk, f: Flight, ns: Namespace, link: Link, nexthop: str, then: str, keep_source: bool = False) -> Successors:
    """Give the frame its addresses: from the neighbour table, else by asking; the flight goes on at stage `then`."""
    smac = f.smac if keep_source else link.mac
    if link.kind == "loopback" or not link.arp:
        return ((0.0, f.to(then, smac=link.mac, dmac=link.mac)),)
    if f.route is not None and f.route.type == "broadcast":
        return ((0.0, f.to(then, smac=smac, dmac=BROADCAST)),)
    fixed = ns.neighbours.get((link.name, nexthop))
    if fixed is not None and fixed.state != "FAILED" and fixed.mac:
        f = w.note(f, "neigh.use", major=False, entry=fixed, smac=smac, dmac=fixed.mac, dev=link.name)
        return ((0.0, f.to(then)),)
    known = w.state.read("neigh", ns.id).get((link.name, nexthop))
    if known is not None:
        entry = Neighbour(nexthop, link.name, known[0], "REACHABLE" if w.now - known[1] <= REACHABLE else "STALE")
        f = w.note(f, "neigh.use", major=False, entry=entry, smac=smac, dmac=known[0], dev=link.name)
        return ((0.0, f.to(then)),)
    if fixed is not None and fixed.state == "NOARP":
        return ((0.0, f.to(then, smac=smac, dmac=fixed.mac or link.mac)),)
    waiting = w.asking.get((ns.id, link.name, nexthop), ())
    held = f.to(then, smac=smac, dev=f.dev)
    w.asking[ns.id, link.name, nexthop] = (*waiting, held)[-64:]
    if waiting:
        return ()
    return [*_ask(w, ns, link, nexthop), (ASK_AGAIN, Timer("neigh_timer", ns.id, (link.name, nexthop, 1)))]


def _ask(w: Walk, ns: Namespace, link: Link, ip: str) -> Successors:
    source = ns.select_source(link.name, ip, "link") or ("0.0.0.0" if family(ip) == 4 else "::")
    waiting = w.asking.get((ns.id, link.name, ip), ())
    # arp_announce 0: the source of the packet that asks is used if it is ours
    if waiting and isinstance(waiting[0].packet, Packet) and ns.local_device(waiting[0].packet.src) not in (None, "lo"):
        source = waiting[0].packet.src
    arp = Arp("request", link.mac, source, "00:00:00:00:00:00", ip)
    return ((0.0, Flight("xmit", ns.id, link.name, arp, link.mac, BROADCAST, aux=True)),)


@stage("neigh_timer")
def neigh_timer(w: Walk, t: Timer) -> Successors:
    dev, ip, asked = t.args
    waiting = w.asking.get((t.ns, dev, ip))
    if not waiting:
        return ()
    ns = w.ns(t.ns)
    link = ns.links.get(dev)
    if link is not None and link.up and asked < ASKS:
        return [*_ask(w, ns, link, ip), (ASK_AGAIN, Timer("neigh_timer", t.ns, (dev, ip, asked + 1)))]
    del w.asking[t.ns, dev, ip]
    out: list[Successor] = []
    for f in waiting:
        f = w.note(f, "neigh.failed", dev=dev, failed=True, ip=ip, seconds=ASKS * ASK_AGAIN)
        w.endings.append(Ending(w.now, "neigh.failed", f))
        if isinstance(f.packet, Packet):
            out += icmp.error(w, f, "host-unreachable")
    return out


def _learn(w: Walk, ns: Namespace, dev: str, ip: str, mac: str) -> list[Successor]:
    """An answer (or a question) told us an address: remember it and send what waited."""
    if (dev, ip) in ns.neighbours and ns.neighbours[dev, ip].state == "PERMANENT":
        return []
    w.state.write("neigh", ns.id)[dev, ip] = (mac, w.now)
    waiting = w.asking.pop((ns.id, dev, ip), ())
    if not waiting:
        return []
    entry = Neighbour(ip, dev, mac, "REACHABLE")
    return [(0.0, w.note(f, "neigh.learned", major=False, entry=entry, dmac=mac, dev=dev)) for f in waiting]


def arp_input(w: Walk, f: Flight, arp: Arp) -> Successors:
    ns = w.ns(f.ns)
    link = ns.links[f.dev]
    if arp.op == "reply":
        return _learn(w, ns, f.dev, arp.sender_ip, arp.sender_mac) if arp.target_mac == link.mac or f.dmac == link.mac else ()
    mine = ns.local_device(arp.target_ip) is not None
    if not mine and not _proxies(ns, link, arp):
        # a gratuitous request still refreshes an entry that exists
        if (f.dev, arp.sender_ip) in w.state.read("neigh", ns.id) and arp.sender_ip == arp.target_ip:
            w.state.write("neigh", ns.id)[f.dev, arp.sender_ip] = (arp.sender_mac, w.now)
        return ()
    out = _learn(w, ns, f.dev, arp.sender_ip, arp.sender_mac) if arp.sender_ip not in ("0.0.0.0", "::") else []
    reply = Arp("reply", link.mac, arp.target_ip, arp.sender_mac, arp.sender_ip)
    out.append((0.0, Flight("xmit", ns.id, f.dev, reply, link.mac, arp.sender_mac, aux=True)))
    return out


def _proxies(ns: Namespace, link: Link, arp: Arp) -> bool:
    """proxy_arp: answer for an address whose route leaves by another device (arp_fwd_proxy)."""
    fam = family(arp.target_ip)
    if not (ns.dev_sysctl(link.name, "proxy_arp", fam) and ns.forwards(fam)):
        return False
    route = ns.fib(fam).lookup(arp.target_ip, iif=link.name)
    return route is not None and route.type == "unicast" and route.dev != link.name
