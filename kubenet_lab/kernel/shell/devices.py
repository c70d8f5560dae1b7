"""What `ip` and `bridge` say of a link: flags, carrier, operational state, the name with its peer.

Source: iproute2 6.1 ip/ipaddress.c (print_linkinfo), Linux net/sched/sch_generic.c and net/core/link_watch.c; measured on Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import stacked
from ..address import number
from ..links import RAW, Link
from ..local_table import routes_six, subnet_routers
from ..namespace import Namespace
from ..network import Network

__all__ = [
    "by_index", "carrier", "flags", "iflink", "multicast_list", "netnsid", "operstate", "peer_of", "port_cost", "qdisc", "shown_name", "unicast_list",
]  # fmt: skip


def by_index(ns: Namespace) -> list[Link]:
    return sorted(ns.links.values(), key=lambda k: k.index)


def peer_of(net: Network, link: Link) -> Link | None:
    """The other end of a veth pair."""
    if link.peer is None or link.peer[0] not in net.namespaces:
        return None
    return net.namespaces[link.peer[0]].links.get(link.peer[1])


def iflink(net: Network, link: Link) -> tuple[Namespace, Link] | None:
    """The device that a link names as its own other one (IFLA_LINK): a veth's peer, a macvlan child's parent; and its namespace."""
    place = link.macvlan.lower if link.macvlan is not None else link.peer
    there = net.namespaces.get(place[0]) if place is not None else None
    other = there.links.get(place[1]) if there is not None and place is not None else None
    return (there, other) if there is not None and other is not None else None


def carrier(net: Network, ns: Namespace, link: Link) -> bool:
    """Is there someone at the other end? A veth asks its peer, a bridge its ports, a macvlan child its parent."""
    return stacked.carrier(ns, link)


def operstate(net: Network, ns: Namespace, link: Link) -> str:
    """Without carrier: LOWERLAYERDOWN if the device of that index in this namespace has none either (link_watch.c default_operstate)."""
    if not link.up:
        return "DOWN"
    if link.kind in ("loopback", "vxlan", "wireguard"):
        return "UNKNOWN"
    if carrier(net, ns, link):
        return "UP"
    other = iflink(net, link)
    # the index is looked up here, even when the other device is in another namespace
    here = next((k for k in ns.links.values() if other is not None and k.index == other[1].index), None)
    return "LOWERLAYERDOWN" if here is not None and here is not link and not (here.up and carrier(net, ns, here)) else "DOWN"


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
    other = iflink(net, link)
    if other is not None and other[0] is ns and not other[1].up:
        out.append("M-DOWN")
    return out


def qdisc(link: Link) -> str:
    """A NIC gets the distribution's default (fq_codel under systemd), software devices have no queue."""
    if not link.up and not link.opened:
        return "noop"
    return "fq_codel" if link.kind in ("physical", "tun") else "noqueue"


def port_cost(ns: Namespace, link: Link) -> int:
    """A bridge port's path cost: a veth, and what stands on one, say that they are 10 Gbit/s links, others do not say (br_if.c, port_cost)."""
    below = stacked.lower_of(ns, link)
    return 2 if (below[1] if below is not None else link).kind == "veth" else 100


def shown_name(net: Network, ns: Namespace, link: Link) -> str:
    """`eth0@if7` when the other device is in another namespace, `d0@d1` in the same."""
    other = iflink(net, link)
    if other is None:
        return link.name
    return f"{link.name}@{other[1].name}" if other[0] is ns else f"{link.name}@if{other[1].index}"


def netnsid(net: Network, ns: Namespace, link: Link) -> int | None:
    """The number this namespace has given to the namespace of the other device: in order of first use."""
    mine = iflink(net, link)
    if mine is None or mine[0] is ns:
        return None
    seen: dict[str, int] = {}
    for k in by_index(ns):
        other = iflink(net, k)
        if other is not None and other[0] is not ns:
            seen.setdefault(other[0].id, len(seen))
    return seen[mine[0].id]


def lines(parts: Iterable[str], oneline: bool) -> str:
    """Lines of one record: with -o they are joined by a backslash."""
    return ("\\" if oneline else "\n").join(parts) + "\n"


def unicast_list(ns: Namespace, link: Link) -> list[str]:
    """Further addresses that a device takes frames for: those of its macvlan children that are up (macvlan_open; passthru has none)."""
    if link.name not in ns.macvlans:
        return []
    return [k.mac for _, k in stacked.children(ns, link.name) if k.up and k.macvlan is not None and k.macvlan.mode != "passthru"]


def multicast_list(ns: Namespace, link: Link) -> list[str]:
    """Link-layer groups that a device has joined: all hosts of both families, IPv6 solicited-node groups, a bridge's snooping ones.

    A device that forwards IPv6 is in the group of all routers, and in those of its anycast addresses (dev_forward_change).
    """
    if link.kind in ("loopback", "vxlan") or link.kind in RAW:
        return []
    out = ["33:33:00:00:00:01"] if link.up or not link.opened else []
    if link.up:
        if link.kind == "bridge":
            out += ["01:00:5e:00:00:6a", "33:33:00:00:00:6a"]
        out.append("01:00:5e:00:00:01")
        if routes_six(ns, link):
            out.append("33:33:00:00:00:02")
        for ip in [*(a.ip for a in link.addresses if a.family == 6), *subnet_routers(ns, link)]:
            low = number(ip) & 0xFFFFFF
            mac = f"33:33:ff:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
            if mac not in out:
                out.append(mac)
    return out
