"""Layer 2: what a device does with a frame. NICs and wires, veth pairs, bridges.

Sources: Linux net/core/dev.c, drivers/net/veth.c, net/bridge/{br_input,br_forward,br_device,br_fdb,br_netfilter_hooks}.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import bridge_nft, bridge_vlans, hearers, hooks, macvlan
from .arp import arp_input
from .flight import Flight
from .links import Link
from .namespace import FdbEntry, Namespace
from .neighbours import resolve
from .packet import Arp, Packet, is_group
from .port_filter import passes
from .stacked import promiscuity
from .switch import switch_of
from .walk import Successor, Walk, stage

__all__ = ["learn_address", "learned_fdb", "lookup_fdb"]

Successors = Iterable[Successor]


# ------------------------------------------------------------------------------------------------------- sending
@stage("xmit")
def xmit(w: Walk, f: Flight) -> Successors:
    """A frame leaves by device `f.dev`."""
    ns = w.ns(f.ns)
    link = ns.links.get(f.dev)
    if link is None:
        return w.end(f, "link.gone")
    if not link.up:
        return w.end(f, "link.down")
    if link.kind == "bridge":
        return bridge_xmit(w, f, ns, link)
    if link.kind == "loopback":
        w.tap(f)
        return ((0.0, f.to("rx")),)
    if link.kind == "vxlan":
        from .vxlan import encapsulate

        return encapsulate(w, f, ns, link)
    if link.kind == "macvlan":
        return macvlan.send(w, f, ns, link)
    if link.kind == "wireguard":
        from .wireguard import encrypt

        return encrypt(w, f, ns, link)
    if link.kind == "tun":
        from .tun import read

        return read(w, f, ns, link)
    w.tap(f)
    if link.kind == "veth":
        return veth_xmit(w, f, link)
    return wire_xmit(w, f, link)


def veth_xmit(w: Walk, f: Flight, link: Link) -> Successors:
    if link.peer is None or link.peer[0] not in w.net.namespaces or link.peer[1] not in w.ns(link.peer[0]).links:
        return w.end(f, "link.gone")
    peer = w.ns(link.peer[0]).links[link.peer[1]]
    if not peer.up:
        return w.end(f, "link.no_carrier", peer=link.peer[1], peer_ns=link.peer[0])
    if f.packet.size > peer.mtu + 4 and not f.gso:  # is_skb_forwardable: a VLAN tag's room is granted
        return w.end(f, "mtu.veth", size=f.packet.size, mtu=peer.mtu, peer=peer.name, peer_ns=link.peer[0])
    told = {"peer": peer.name, "peer_ns": link.peer[0]}
    trail = w.trail(f, "veth.cross", f.packet, f.smac, f.dmac, f.dev, told, major=False)
    return ((0.0, f.arriving("rx", *link.peer, link.peer[1], trail)),)


def wire_xmit(w: Walk, f: Flight, link: Link) -> Successors:
    """A switch that knows who is where: to the port that has the address, or to all that want everything.

    A frame does not go back by the port it came in by, unless that port reflects.
    """
    segment, here = w.net.segments[link.segment], (f.ns, f.dev)
    if f.packet.size > segment.mtu + 4:  # a switch takes a tagged frame: four bytes more than it promises
        return w.end(f, "mtu.wire", size=f.packet.size, mtu=segment.mtu, segment=segment.name)
    if not segment.foreign_macs and f.smac != link.mac:
        return w.end(f, "wire.foreign_mac", mac=f.smac, own=link.mac, segment=segment.name)
    if (at := segment.filters.get(here)) is not None and (rule := passes(w, f, at, f"{f.ns}/{f.dev}", "egress")) is not None:
        return w.end(f, "group.denied", entry=rule, group=at.name, rule=str(rule), way="egress")
    switch = switch_of(w.net, segment)
    takers: Iterable[Any]
    if is_group(f.dmac):
        asked = hearers.question(f) if not segment.filters else None
        all_ = hearers.on_wire(switch).parts(asked.target_ip, here) if asked is not None else switch.ports
        takers = all_ if here in segment.hairpin else [p for p in all_ if isinstance(p, hearers.Group) or p[0] != here]
    else:
        takers = switch.takers(f.dmac, segment.foreign_macs)
        if here not in segment.hairpin and any(p[0] == here for p in takers):
            return w.end(f, "wire.same_port", mac=f.dmac, segment=segment.name)
        if not takers and segment.foreign_macs:
            takers = [p for p in switch.ports if p[0] != here and promiscuity(p[1], p[2])]
        if not takers:
            return w.end(f, "wire.nobody", mac=f.dmac, segment=segment.name)
    out: list[Successor] = []
    for taker in takers:
        if isinstance(taker, hearers.Group):
            out.append(hearers.crossed(f, taker, segment.delay))
            continue
        (ns_id, name), other, nic = taker
        told = {"to_host": other.host, "to_ns": ns_id, "to_dev": name, "segment": segment.name}
        trail = w.trail(f, "wire.cross", f.packet, f.smac, f.dmac, f.dev, told)
        if f.packet.size > nic.mtu + 4:  # a NIC's receive buffer holds its MTU and a VLAN tag
            g = f.to("rx", ns=ns_id, dev=name, trail=trail)
            w.end(g, "mtu.nic", size=f.packet.size, mtu=nic.mtu, segment=segment.name)
            continue
        at = segment.filters.get((ns_id, name))
        if at is not None and (rule := passes(w, f, at, f"{ns_id}/{name}", "ingress")) is not None:
            g = f.to("rx", ns=ns_id, dev=name, trail=trail)
            w.end(g, "group.denied", entry=rule, group=at.name, rule=str(rule), way="ingress")
            continue
        out.append((segment.delay, f.arriving("rx", ns_id, name, name, trail)))
    return out


# ----------------------------------------------------------------------------------------------------- receiving
@stage("rx")
def rx(w: Walk, f: Flight) -> Successors:
    """A frame arrives at device `f.dev`."""
    ns = w.ns(f.ns)
    link = ns.links[f.dev]
    if not link.up:
        return w.end(f, "link.down")
    if link.kind != "loopback":
        w.tap(f)
        if link.master:
            return bridge_input(w, f, ns, link)
        if link.name in ns.macvlans:
            taken, passed = macvlan.handle(w, f, ns, link)
            return [*taken, *own_rx(w, f, link)] if passed else taken
    return own_rx(w, f, link)


def own_rx(w: Walk, f: Flight, link: Link) -> Successors:
    """The device's own stack: it ignores frames for somebody else."""
    if link.kind != "loopback" and f.dmac != link.mac and not is_group(f.dmac):
        return w.end(f, "rx.other_host", mac=link.mac)
    return to_protocol(w, f)


def to_protocol(w: Walk, f: Flight) -> Successors:
    if isinstance(f.packet, Arp):
        return arp_input(w, f, f.packet)
    return w.go("ip_rcv", f if f.indev == f.dev else f.to("ip_rcv", indev=f.dev))


# -------------------------------------------------------------------------------------------------------- bridge
def learned_fdb(w: Walk, ns: str, bridge: str) -> dict[str, tuple[str, float]]:
    """mac -> (port, when last seen) of the addresses a bridge has learned."""
    return {k[1]: v for k, v in w.state.read("fdb", ns).items() if k[0] == bridge}


def _learned_at(bridge: Link, mac: str, vlan: int) -> tuple[str, tuple[str, ...] | tuple[str, str, int]]:
    """The table and the key of a learned address: a bridge that filters learns by VLAN."""
    return ("fdb-vlan", (bridge.name, mac, vlan)) if vlan else ("fdb", (bridge.name, mac))


def lookup_fdb(w: Walk, ns: Namespace, bridge: Link, mac: str, vlan: int = 0) -> tuple[str, Any] | None:
    """("local", port), (port name, entry) or None for an unknown address. A bridge that filters knows addresses by VLAN.

    A "permanent" entry of the bridge is a local address. A "static" one never ages, but it moves to the port where
    the address is seen sending (br_fdb.c br_fdb_update; only `sticky` would hold it).
    """
    local, static = _programmed_fdb(ns, bridge, vlan)
    if (own := local.get(mac)) is not None:
        return "local", own
    fixed = static.get(mac)
    table, key = _learned_at(bridge, mac, vlan)
    found = w.state.read(table, ns.id).get(key)
    if found and found[0] in ns.links and ns.links[found[0]].master == bridge.name:
        if fixed is not None:
            return found[0], fixed.but(dev=found[0])
        if w.state.clock - found[1] <= bridge.bridge.ageing:
            return found[0], FdbEntry(mac, found[0], state="dynamic", self_=False, master=bridge.name, vlan=vlan)
    return (fixed.dev, fixed) if fixed is not None else None


def _programmed_fdb(ns: Namespace, bridge: Link, vlan: int) -> tuple[dict[str, FdbEntry], dict[str, FdbEntry]]:
    """The addresses for which a bridge is itself the end in a VLAN (its own, its ports', permanent entries), and its static entries."""
    found: tuple[dict[str, FdbEntry], dict[str, FdbEntry]] | None = ns.derived.get(("fdb", bridge.name, vlan))
    if found is None:
        entries: dict[str, FdbEntry] = {}
        for e in ns.fdb:
            if e.master == bridge.name:
                entries.setdefault(e.mac, e)
        local = {mac: e for mac, e in entries.items() if e.state == "permanent"}
        for k in (*reversed(ns.ports(bridge.name)), bridge):
            if bridge_vlans.egress(bridge, None if k is bridge else k, vlan) is not None:
                local[k.mac] = FdbEntry(k.mac, k.name, self_=False, master=bridge.name)
        found = ns.derived["fdb", bridge.name, vlan] = (local, {mac: e for mac, e in entries.items() if e.state != "permanent"})
    return found


def bridge_input(w: Walk, f: Flight, ns: Namespace, port: Link) -> Successors:
    bridge = ns.links[port.master]
    if not bridge.up:
        return w.end(f, "link.down", dev=bridge.name)
    if bridge_nft.refused(w, f, ns, bridge, port):
        return ()
    vlan = bridge_vlans.ingress(bridge, port)
    if port.port.learning and not is_group(f.smac) and vlan is not None:
        learn_address(w, ns, bridge, port, f.smac, vlan)
    f = f.to("bridge_finish", physin=port.name, indev=bridge.name)
    if isinstance(f.packet, Packet) and not f.bridged and _calls_iptables(ns, f.packet):
        passed = hooks.run(w, f, "prerouting", indev=bridge.name, physin=port.name)
        if passed.stopped is not None:
            return passed.stopped
        before, f = f, passed.to("bridge_finish", bridged=True)
        assert isinstance(before.packet, Packet) and isinstance(f.packet, Packet)
        if f.packet.dst != before.packet.dst:
            return _bridged_dnat(w, f, ns, bridge)
    return bridge_finish(w, f)


def learn_address(w: Walk, ns: Namespace, bridge: Link, port: Link, mac: str, vlan: int) -> None:
    """A frame from this address has come in by the port (br_fdb_update)."""
    table, key = _learned_at(bridge, mac, vlan)
    known = w.state.read(table, ns.id).get(key)
    if known is None or known[0] != port.name or w.state.clock - known[1] > 1.0:
        w.state.write(table, ns.id)[key] = (port.name, w.state.clock)


def _calls_iptables(ns: Namespace, packet: Packet) -> bool:
    key = "net.bridge.bridge-nf-call-iptables" if packet.family == 4 else "net.bridge.bridge-nf-call-ip6tables"
    return bool(ns.sysctl(key))


def _bridged_dnat(w: Walk, f: Flight, ns: Namespace, bridge: Link) -> Successors:
    """DNAT changed the destination of a frame inside the bridge (br_nf_pre_routing_finish).

    An endpoint behind the same bridge gets the frame without being routed: no TTL is spent. Anything else goes
    up to the node as if it had been sent to the bridge's own address.
    """
    from .l3 import martian

    assert isinstance(f.packet, Packet)
    problem = martian(ns, f.indev, f.packet.src, f.packet.dst)
    if problem:
        return w.end(f, problem, dev=bridge.name)
    route = ns.fib(f.packet.family).lookup(f.packet.dst, src=f.packet.src, mark=f.mark, iif=bridge.name)
    if route is not None and route.type == "unicast" and not ns.forwards(f.packet.family, bridge.name):
        # ip_route_input gives a dst that only says "no": the frame goes up and is dropped there, also towards the same bridge
        return w.end(f, "forward.disabled", dev=bridge.name)
    if route is None or route.type != "unicast" or route.dev != bridge.name:
        return bridge_finish(w, f.to("bridge_finish", dmac=bridge.mac))
    return resolve(w, f, ns, bridge, route.via or f.packet.dst, "bridge_finish", keep_source=True)


@stage("bridge_finish")
def bridge_finish(w: Walk, f: Flight) -> Successors:
    """br_handle_frame_finish: where does the frame go?"""
    ns = w.ns(f.ns)
    port = ns.links[f.physin]
    bridge = ns.links[port.master]
    vlan = bridge_vlans.ingress(bridge, port)
    if vlan is None:
        return w.end(f, "vlan.ingress", dev=port.name, port=port.name, bridge=bridge.name)
    if is_group(f.dmac):
        own = bridge_vlans.egress(bridge, None, vlan)
        up = [(0.0, f.to("bridge_up", dev=bridge.name))] if own is not None and own.untagged else []
        return [*_flood(w, f, ns, bridge, port.name, vlan), *up]
    found = lookup_fdb(w, ns, bridge, f.dmac, vlan)
    above: Successors = ()
    if promiscuity(ns, bridge) and (found is None or found[0] != "local"):
        w.tap(f.to("rx", dev=bridge.name))  # a promiscuous bridge takes in a copy of what it passes on
        above = macvlan.handle(w, f.to("rx", dev=bridge.name), ns, bridge)[0] if bridge.name in ns.macvlans else ()
    if found is None:
        f = w.note(f, "bridge.flood", major=False, dev=bridge.name, bridge=bridge.name)
        return [*above, *_flood(w, f, ns, bridge, port.name, vlan)]
    if found[0] == "local":
        f = (
            w.note(f, "bridge.up", entry=found[1], dev=bridge.name, bridge=bridge.name, port=port.name)
            if isinstance(f.packet, Packet)
            else f
        )
        return bridge_up(w, f.to("rx", dev=bridge.name))
    return [*above, *_to_port(w, f, ns, bridge, ns.links[found[0]], found[1], vlan)]


@stage("bridge_up")
def bridge_up(w: Walk, f: Flight) -> Successors:
    ns = w.ns(f.ns)
    w.tap(f)
    if f.dev in ns.macvlans:
        taken, passed = macvlan.handle(w, f, ns, ns.links[f.dev])
        return [*taken, *(to_protocol(w, f) if passed else ())]
    return to_protocol(w, f)


def _flood(w: Walk, f: Flight, ns: Namespace, bridge: Link, ingress: str, vlan: int) -> list[Successor]:
    """br_flood: out of every port but the one it came by, and out of that one too where its hairpin flag is on."""
    out: list[Successor] = []
    asked = hearers.question(f) if not vlan else None
    parts = hearers.behind_bridge(w, ns, bridge).parts(asked.target_ip, ingress) if asked is not None else ns.ports(bridge.name)
    for p in parts:
        if isinstance(p, hearers.Group):
            out.append(hearers.flooded(w, f, p))
            continue
        # the flood flag stops unknown unicast only
        to = p.up and (p.port.flood or is_group(f.dmac)) and (p.name != ingress or p.port.hairpin)
        if to and bridge_vlans.egress(bridge, p, vlan) is not None:
            out += _to_port(w, f, ns, bridge, p, None, vlan)
    return out


def _to_port(w: Walk, f: Flight, ns: Namespace, bridge: Link, port: Link, entry: FdbEntry | None, vlan: int = 0) -> Successors:
    """br_forward: the checks of should_deliver, then the inet FORWARD and POSTROUTING hooks of bridge netfilter."""
    if f.physin:
        source = ns.links[f.physin]
        if port.name == f.physin and not port.port.hairpin:
            return w.end(f, "bridge.no_hairpin", dev=port.name, bridge=bridge.name, entry=entry)
        if source.port.isolated and port.port.isolated:
            return w.end(f, "bridge.isolated", dev=port.name, port=port.name, bridge=bridge.name)
    if not port.up:
        return w.end(f, "link.down", dev=port.name)
    member = bridge_vlans.egress(bridge, port, vlan)
    if member is None or not member.untagged:  # nobody behind a port has a device for tagged frames
        return w.end(f, "vlan.egress" if member is None else "vlan.tagged", dev=port.name, port=port.name, bridge=bridge.name, vlan=vlan)
    pieces = [f]
    if isinstance(f.packet, Packet):
        f = w.note(f, "bridge.forward", entry=entry, dev=port.name, bridge=bridge.name, port=port.name)
        pieces = [f]
        if f.physin and f.bridged and isinstance(f.packet, Packet) and _calls_iptables(ns, f.packet):
            for hook in ("forward", "postrouting"):
                passed = hooks.run(w, f, hook, indev=bridge.name, outdev=bridge.name, physin=f.physin, physout=port.name)
                if passed.stopped is not None:
                    return passed.stopped
                f = passed.flight
            pieces = _refit(w, f, bridge, port)
    out: list[Successor] = []
    for f in pieces:
        if f.packet.size > port.mtu + 4 and not f.gso:  # is_skb_forwardable: a VLAN tag's room is granted
            out += w.end(f, "mtu.bridge", dev=port.name, size=f.packet.size, mtu=port.mtu, bridge=bridge.name)
        else:
            out += xmit(w, f.to("xmit", dev=port.name))
    return out


def _refit(w: Walk, f: Flight, bridge: Link, port: Link) -> list[Flight]:
    """br_nf_dev_queue_xmit: bridge netfilter fragments what is larger than the port, or lets it be lost without a word."""
    packet = f.packet
    assert isinstance(packet, Packet)
    if f.gso or packet.size <= min(port.mtu, f.frag_max or port.mtu):
        return [f]
    mtu = bridge.bridge.nf_mtu
    if packet.df or f.frag_max > mtu:
        w.end(f, "mtu.bridge", dev=port.name, size=packet.size, mtu=port.mtu, bridge=bridge.name)
        return []
    mtu = min(mtu, f.frag_max or mtu)
    f = f.to(f.stage, frag_max=0)
    if packet.size <= mtu:
        return [f]
    from .l3 import fragments

    f = w.note(f, "ip.fragment", size=packet.size, mtu=mtu, dev=port.name)
    return [f.to(f.stage, packet=piece) for piece in fragments(packet, mtu)]


def bridge_xmit(w: Walk, f: Flight, ns: Namespace, bridge: Link) -> Successors:
    """A frame that the node itself sends through its bridge (br_dev_xmit)."""
    w.tap(f)
    if f.physin or f.bridged:
        f = f.to("xmit", physin="", bridged=False)
    vlan = bridge_vlans.ingress(bridge, None)
    if vlan is None:
        return w.end(f, "vlan.ingress", dev=bridge.name, port=bridge.name, bridge=bridge.name)
    if is_group(f.dmac):
        return _flood(w, f, ns, bridge, "", vlan)
    found = lookup_fdb(w, ns, bridge, f.dmac, vlan)
    if found is None:
        return _flood(w, w.note(f, "bridge.flood", major=False, bridge=bridge.name), ns, bridge, "", vlan)
    if found[0] == "local":
        return w.end(f, "bridge.own_address", bridge=bridge.name)
    return _to_port(w, f, ns, bridge, ns.links[found[0]], found[1], vlan)
