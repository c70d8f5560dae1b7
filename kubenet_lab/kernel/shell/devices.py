"""What `ip` and `bridge` say of a link: flags, carrier, operational state, the name with its peer.

Source: iproute2 6.1 ip/ipaddress.c (print_linkinfo), Linux net/sched/sch_generic.c and net/core/link_watch.c; measured on Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..links import Link
from ..namespace import Namespace
from ..network import Network

__all__ = ["by_index", "carrier", "flags", "netnsid", "operstate", "peer_of", "port_cost", "qdisc", "shown_name"]


def by_index(ns: Namespace) -> list[Link]:
    return sorted(ns.links.values(), key=lambda k: k.index)


def peer_of(net: Network, link: Link) -> Link | None:
    """The other end of a veth pair."""
    if link.peer is None or link.peer[0] not in net.namespaces:
        return None
    return net.namespaces[link.peer[0]].links.get(link.peer[1])


def carrier(net: Network, ns: Namespace, link: Link) -> bool:
    """Is there someone at the other end? A veth asks its peer, a bridge its ports."""
    if link.kind == "veth":
        peer = peer_of(net, link)
        return peer is not None and peer.up
    if link.kind == "bridge":
        return any(p.up and carrier(net, ns, p) for p in ns.ports(link.name))
    return True


def operstate(net: Network, ns: Namespace, link: Link) -> str:
    if not link.up:
        return "DOWN"
    if link.kind in ("loopback", "vxlan", "wireguard"):
        return "UNKNOWN"
    if not carrier(net, ns, link):
        return "LOWERLAYERDOWN" if link.kind == "veth" else "DOWN"
    return "UP"


def flags(net: Network, ns: Namespace, link: Link) -> list[str]:
    """IFF_ flags in the order in which iproute2 prints them."""
    on = link.up and carrier(net, ns, link)
    out = ["NO-CARRIER"] if link.up and not on else []
    usual = {"loopback": ["LOOPBACK"], "wireguard": ["POINTOPOINT"], "tun": ["POINTOPOINT", "MULTICAST"]}
    out += usual.get(link.kind, ["BROADCAST", "MULTICAST"])
    if not link.arp:
        out.append("NOARP")
    if link.allmulti:
        out.append("ALLMULTI")
    if link.promisc:
        out.append("PROMISC")
    if link.up:
        out.append("UP")
    if on:
        out.append("LOWER_UP")
    if link.kind == "veth" and link.peer is not None and link.peer[0] == ns.id:
        peer = peer_of(net, link)
        if peer is not None and not peer.up:
            out.append("M-DOWN")
    return out


def qdisc(link: Link) -> str:
    """A NIC gets the distribution's default (fq_codel under systemd), software devices have no queue."""
    if not link.up and not link.opened:
        return "noop"
    return "fq_codel" if link.kind in ("physical", "tun") else "noqueue"


def port_cost(link: Link) -> int:
    """A bridge port's path cost: a veth says that it is a 10 Gbit/s link, others do not say (br_if.c, port_cost)."""
    return 2 if link.kind == "veth" else 100


def shown_name(net: Network, ns: Namespace, link: Link) -> str:
    """`eth0@if7` when the peer is in another namespace, `d0@d1` in the same."""
    if link.kind != "veth" or link.peer is None:
        return link.name
    peer = peer_of(net, link)
    if peer is None:
        return link.name
    return f"{link.name}@{link.peer[1]}" if link.peer[0] == ns.id else f"{link.name}@if{peer.index}"


def netnsid(net: Network, ns: Namespace, link: Link) -> int | None:
    """The number this namespace has given to the namespace of the peer: in order of first use."""
    if peer_of(net, link) is None or link.peer is None or link.peer[0] == ns.id:
        return None
    seen: dict[str, int] = {}
    for k in by_index(ns):
        if k.peer is not None and k.peer[0] != ns.id and k.peer[0] in net.namespaces:
            seen.setdefault(k.peer[0], len(seen))
    return seen[link.peer[0]]


def lines(parts: Iterable[str], oneline: bool) -> str:
    """Lines of one record: with -o they are joined by a backslash."""
    return ("\\" if oneline else "\n").join(parts) + "\n"
