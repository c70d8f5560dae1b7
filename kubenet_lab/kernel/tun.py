"""TUN devices that a program holds to carry packets by UDP: what is sent into the device, the program reads, looks up in a table of its
own and sends on as the payload of a datagram; what it receives, it writes into the device.

The program is flannel's proxy (flannel-io/flannel pkg/backend/udp/proxy_amd64.c): it takes a TTL on each side, discards without an
ICMP error what has none left, and answers "network unreachable" where its table knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from .address import prefix
from .flight import Flight
from .links import Link, TunOptions
from .namespace import Namespace
from .packet import Enclosed, Icmp, Packet, Udp
from .walk import Ending, Successor, Walk, stage

__all__ = ["read", "tun_device"]


def _next_hop(options: TunOptions, dst: str) -> str:
    return next((hop for cidr, hop in options.routes if dst in prefix(cidr)), "")


def tun_device(ns: Namespace, packet: Packet) -> Link | None:
    """The device whose program is bound to this UDP packet's address and port."""
    l4 = packet.l4
    if not isinstance(l4, Udp):
        return None
    return next(
        (k for k in ns.links.values() if k.tun is not None and k.up and (k.tun.local, k.tun.port) == (packet.dst, l4.dport)), None
    )


def read(w: Walk, f: Flight, ns: Namespace, link: Link) -> Iterable[Successor]:
    """tun_to_udp: the program reads a packet from the device."""
    w.tap(f)
    packet, own = f.packet, link.tun
    assert own is not None
    if not isinstance(packet, Packet):
        return ()
    hop = _next_hop(own, packet.dst)
    if not hop:
        f = w.note(f, "tun.no_route", failed=True, ip=packet.dst)
        w.endings.append(Ending(w.now, "tun.no_route", f))
        source = next((a.ip for a in link.addresses if a.family == 4), own.local)
        answer = Packet(source, packet.src, "ICMP", Icmp(3, 0, quote=packet), df=False)
        back = Flight("rx", ns.id, link.name, answer, cause=f.trail, label="icmp net-unreachable")
        return ((0.0, w.note(back, "icmp.error", kind="net-unreachable", about=packet.dst, mtu=0, dev=link.name)),)
    if packet.ttl <= 1:
        return w.end(f, "tun.ttl")
    outer = Packet(own.local, hop, "UDP", Udp(own.port, own.port, Enclosed(packet.but(ttl=packet.ttl - 1))), ttl=64, df=True)
    f = w.note(f, "tun.encap", after=outer, remote=hop, port=own.port, more=outer.size - packet.size)
    return ((0.0, f.anew("output", dev="", smac="", dmac="", mark=0, gso=False, dont_fragment_locally=True)),)


@stage("tun_write")
def tun_write(w: Walk, f: Flight) -> Iterable[Successor]:
    """udp_to_tun: the program writes what it received into the device."""
    packet = f.packet
    assert isinstance(packet, Packet) and isinstance(packet.l4, Udp)
    link = tun_device(w.ns(f.ns), packet)
    assert link is not None
    if not isinstance(packet.l4.payload, Enclosed):
        return w.end(f, "tun.garbage", dev=link.name, remote=packet.src)
    inner = packet.l4.payload.packet
    if inner.ttl <= 1:
        return w.end(f, "tun.ttl", dev=link.name)
    f = w.note(f, "tun.decap", after=inner.but(ttl=inner.ttl - 1), dev=link.name, remote=packet.src, smac="", dmac="")
    return ((0.0, f.anew("rx", dev=link.name, mark=0)),)
