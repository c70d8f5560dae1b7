"""VXLAN devices: the whole frame goes into a UDP packet to the node that the FDB names.

Sources: Linux drivers/net/vxlan/vxlan_core.c; RFC 7348.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from . import icmp
from .flight import Flight
from .l3 import learn_path_mtu, path_mtu, route_output
from .links import Link, VxlanOptions
from .namespace import FdbEntry, Namespace
from .packet import BROADCAST, Arp, Frame, Icmp, Packet, Udp, Vxlan
from .walk import Ending, Successor, Walk, stage

__all__ = ["device_for", "encapsulate", "largest_mtu"]

_ALL = "00:00:00:00:00:00"


def flow_source_port(packet: Packet | Arp, smac: str, dmac: str) -> int:
    """udp_flow_src_port: a hash of the inner flow, in the local port range, so that each flow keeps one path."""
    key = f"{packet.src}{packet.dst}{packet.proto}{packet.sport}{packet.dport}" if isinstance(packet, Packet) else f"{smac}{dmac}"
    return 32768 + int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big") % 28232


def largest_mtu(underlay: int, family: int) -> int:
    """The largest MTU that the kernel gives a device over an underlay of this MTU, whatever is asked for (vxlan_config_apply)."""
    return underlay - (50 if family == 4 else 70)


def encapsulate(w: Walk, f: Flight, ns: Namespace, link: Link) -> Iterable[Successor]:
    w.tap(f)
    assert link.vxlan is not None
    table = _remotes(ns, link)
    remotes = table.get(f.dmac, [])
    if not remotes and link.vxlan.learning:
        found = w.state.read("fdb", ns.id).get((link.name, f.dmac))
        if found:
            remotes = [FdbEntry(f.dmac, link.name, found[0], "dynamic")]
    if not remotes:
        remotes = table.get(_ALL, [])
    elif f.dmac != BROADCAST:
        remotes = remotes[:1]
    if not remotes:
        return w.end(f, "fdb.miss", mac=f.dmac, via=f.nexthop) if isinstance(f.packet, Packet) else ()
    out: list[Successor] = []
    for e in remotes:
        inner = Vxlan(link.vxlan.vni, Frame(f.smac, f.dmac, f.packet))
        udp = Udp(flow_source_port(f.packet, f.smac, f.dmac), link.vxlan.port, inner)
        outer = Packet(link.vxlan.local, e.dst, "UDP", udp, ttl=64, df=_outer_df(link.vxlan, f.packet, e.dst))
        if (refused := _check_pmtu(w, f, ns, link, outer)) is not None:
            out.append(refused)
            continue
        told = {"remote": e.dst, "vni": link.vxlan.vni, "port": link.vxlan.port, "more": outer.size - f.packet.size}
        trail = w.trail(f, "vxlan.encap", outer, "", "", f.dev, told, entry=e)
        # the mark stays on the skb; conntrack and the route are those of the outer packet now
        out.append((0.0, f.reframed("output", "", outer, "", "", f.mark, trail)))
    return out


def _remotes(ns: Namespace, link: Link) -> dict[str, list[FdbEntry]]:
    """The device's own forwarding database, by hardware address."""
    found: dict[str, list[FdbEntry]] | None = ns.derived.get(("remotes", link.name))
    if found is None:
        found = ns.derived["remotes", link.name] = {}
        for e in ns.fdb:
            if e.dev == link.name and e.dst:
                found.setdefault(e.mac, []).append(e)
    return found


def _outer_df(options: VxlanOptions, inner: Packet | Arp, remote: str) -> bool:
    """May nobody fragment the outer packet? A tunnel's IPv6 packet is not taken apart by its own node either (ip6_fragment)."""
    if ":" in remote:
        return True
    return options.df == "set" or (options.df == "inherit" and isinstance(inner, Packet) and inner.family == 4 and inner.df)


def _check_pmtu(w: Walk, f: Flight, ns: Namespace, link: Link, outer: Packet) -> Successor | None:
    """skb_tunnel_check_pmtu: does the packet fit into one outer packet on the path that is known?

    If not, its route learns what would fit. Only the node's own sockets go by that: a packet that is forwarded is cut or
    refused by the device's MTU, so the pods behind a node do not hear of it. A device that is a bridge's port has no route;
    there the packet is taken out, and its sender is told in the name of its destination.
    """
    inner = f.packet
    if not isinstance(inner, Packet) or (f.route is None and not link.master):
        return None
    way, _, problem = route_output(ns, outer.dst, outer.src, f.mark)
    if problem or way is None or way.dev not in ns.links:
        return None
    mtu = path_mtu(w, ns, outer.dst, way) - (outer.size - inner.size)
    if inner.size <= mtu:
        return None
    if f.route is not None and mtu < path_mtu(w, ns, inner.dst, f.route):
        learn_path_mtu(w, ns, inner.dst, mtu)
    four = inner.family == 4
    if not link.master or mtu < (576 if four else 1280) or (four and not inner.df) or icmp.is_error(inner):
        return None
    f = w.note(f, "mtu.tunnel", failed=True, dev=link.name, size=inner.size, mtu=mtu, remote=outer.dst)
    w.endings.append(Ending(w.now, "mtu.tunnel", f))
    message = Icmp(3, 4, mtu=mtu, quote=inner) if four else Icmp(2, 0, mtu=mtu, quote=inner)
    answer = Packet(inner.dst, inner.src, "ICMP" if four else "ICMPv6", message, ttl=64)
    g = Flight("rx", ns.id, link.name, answer, f.dmac, f.smac, cause=f.trail, label="icmp frag-needed")
    return 0.0, w.note(g, "icmp.error", kind="frag-needed", about=inner.dst, mtu=mtu)


def device_for(ns: Namespace, packet: Packet) -> Link | None:
    """The VXLAN device whose socket takes this UDP packet: by family, port and VNI (vxlan_find_sock, vxlan_vs_find_vni)."""
    l4 = packet.l4
    if not (isinstance(l4, Udp) and isinstance(l4.payload, Vxlan)):
        return None
    tunnels: list[Link] | None = ns.derived.get("vxlan")
    if tunnels is None:
        tunnels = ns.derived["vxlan"] = [k for k in ns.links.values() if k.vxlan is not None]
    for link in tunnels:
        v = link.vxlan
        if v is not None and link.up and v.port == l4.dport and v.vni == l4.payload.vni and v.family == packet.family:
            return link
    return None


@stage("vxlan_rcv")
def vxlan_rcv(w: Walk, f: Flight) -> Iterable[Successor]:
    """The inner frame appears on the VXLAN device."""
    packet = f.packet
    assert isinstance(packet, Packet) and isinstance(packet.l4, Udp) and isinstance(packet.l4.payload, Vxlan)
    ns = w.ns(f.ns)
    link = device_for(ns, packet)
    inner = packet.l4.payload.frame
    if link is None:
        return w.end(f, "vxlan.unknown_vni", vni=packet.l4.payload.vni)
    if inner.src == link.mac:
        return ()
    assert link.vxlan is not None
    if link.vxlan.learning:
        w.state.write("fdb", ns.id)[link.name, inner.src] = (packet.src, w.now)
    told = {"remote": packet.src, "vni": link.vxlan.vni}
    trail = w.trail(f, "vxlan.decap", inner.body, inner.src, inner.dst, link.name, told)
    return w.go("rx", f.reframed("rx", link.name, inner.body, inner.src, inner.dst, 0, trail))
