"""WireGuard devices, as far as headers and sizes go: which peer a packet is for, what stands around it, whom it may come from.

Keys are names here: nothing is encrypted, and the handshake that a first packet waits for is not walked.
Sources: Linux drivers/net/wireguard/{device,send,receive,allowedips}.c; the WireGuard whitepaper, 5.4.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import icmp
from .address import prefix
from .flight import Flight
from .links import Link, WireguardOptions, WireguardPeer
from .namespace import Namespace
from .packet import Packet, Tcp, Udp, WireGuard
from .walk import Ending, Successor, Walk, stage

__all__ = ["encrypt", "peer_for", "wireguard_device"]


def peer_for(options: WireguardOptions, address: str) -> WireguardPeer | None:
    """The peer whose allowed IPs hold the address, by longest prefix (cryptokey routing)."""
    found = [(prefix(cidr).length, peer) for peer in options.peers for cidr in peer.allowed_ips if address in prefix(cidr)]
    return max(found, key=lambda f: f[0])[1] if found else None


def wireguard_device(ns: Namespace, packet: Packet) -> Link | None:
    """The device whose socket takes this UDP packet: it listens on every address of both families."""
    l4 = packet.l4
    if not isinstance(l4, Udp):
        return None
    return next((k for k in ns.links.values() if k.wireguard is not None and k.up and k.wireguard.port == l4.dport), None)


def encrypt(w: Walk, f: Flight, ns: Namespace, link: Link) -> Iterable[Successor]:
    """wg_xmit: the peer by the inner destination, then a data message to its endpoint."""
    w.tap(f)
    packet, own = f.packet, link.wireguard
    assert own is not None
    if not isinstance(packet, Packet):
        return ()
    peer = peer_for(own, packet.dst)
    if peer is None:
        f = w.note(f, "wireguard.no_peer", failed=True, ip=packet.dst)
        w.endings.append(Ending(w.now, "wireguard.no_peer", f))
        if not f.forwarded and not isinstance(packet.l4, Tcp):
            from .sockets import local_failure

            local_failure(w, f, "ENOKEY")
        return icmp.error(w, f, "host-unreachable")
    padded = min(link.mtu, -(-packet.size // 16) * 16)
    message = WireGuard(own.public_key, packet, max(padded, packet.size))
    outer = Packet("", peer.endpoint, "UDP", Udp(own.port, peer.port, message), ttl=64, df=False)
    more = outer.size - packet.size
    f = w.note(f, "wireguard.encap", after=outer, remote=peer.endpoint, port=peer.port, allowed=", ".join(peer.allowed_ips), more=more)
    return ((0.0, f.anew("output", dev="", smac="", dmac="", mark=0, gso=False)),)


@stage("wireguard_rcv")
def wireguard_rcv(w: Walk, f: Flight) -> Iterable[Successor]:
    """The inner packet appears on the device, if it comes from a peer and from an address that the peer may use."""
    packet = f.packet
    assert isinstance(packet, Packet) and isinstance(packet.l4, Udp)
    link = wireguard_device(w.ns(f.ns), packet)
    assert link is not None and link.wireguard is not None
    message = packet.l4.payload
    peer = next((p for p in link.wireguard.peers if isinstance(message, WireGuard) and p.public_key == message.sender), None)
    if peer is None or not isinstance(message, WireGuard):
        return w.end(f, "wireguard.unknown_peer", dev=link.name, remote=packet.src)
    inner = message.packet
    if peer_for(link.wireguard, inner.src) != peer:
        return w.end(f, "wireguard.disallowed", dev=link.name, remote=packet.src, ip=inner.src, allowed=", ".join(peer.allowed_ips))
    f = w.note(f, "wireguard.decap", after=inner, dev=link.name, remote=packet.src, smac="", dmac="")
    return ((0.0, f.anew("rx", dev=link.name, mark=0)),)
