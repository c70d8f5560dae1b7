"""Sockets: what a namespace does with a packet that is for it, and what an application hears. TCP has modules of its own.

Sources: Linux net/ipv4/{udp,ping,icmp}.c; RFC 1191.
"""

from __future__ import annotations

from . import icmp
from .flight import Flight
from .l3 import learn_path_mtu, path_mtu, route_output
from .machine import ask_process
from .namespace import Namespace
from .packet import Icmp, Packet, Tcp, Udp
from .process import Message
from .tcp import not_unicast, send_data, tcp_in
from .tcp_conn import Key, Successors, find, forget
from .tun import tun_device
from .vxlan import device_for
from .walk import Walk, stage
from .wireguard import wireguard_device

__all__ = ["local_failure"]


# --------------------------------------------------------------------------------------------------- from the net
@stage("deliver")
def deliver(w: Walk, f: Flight) -> Successors:
    packet = f.packet
    assert isinstance(packet, Packet)
    ns = w.ns(f.ns)
    l4 = packet.l4
    if isinstance(l4, Icmp):
        return _icmp_in(w, f, ns, packet, l4)
    if isinstance(l4, Tcp):
        return tcp_in(w, f, ns, packet, l4)
    if isinstance(l4, Udp):
        if device_for(ns, packet) is not None:
            return w.go("vxlan_rcv", f)
        if wireguard_device(ns, packet) is not None:
            return ((0.0, f.to("wireguard_rcv")),)
        if tun_device(ns, packet) is not None:
            return ((0.0, f.to("tun_write")),)
        return _udp_in(w, f, ns, packet, l4)
    f = w.note(f, "socket.no_protocol", failed=True, proto=packet.proto)
    return icmp.error(w, f, "proto-unreachable")


def _reply(f: Flight, packet: Packet, l4: Tcp | Udp | Icmp, label: str) -> Flight:
    """An answer to `packet` from the address it was sent to."""
    return Flight(
        "output", f.ns, "", Packet(packet.dst, packet.src, packet.proto, l4, df=not isinstance(l4, Icmp)), cause=f.trail, label=label
    )


# ----------------------------------------------------------------------------------------------------------- ICMP
def _icmp_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Icmp) -> Successors:
    if l4.quote is not None:
        return _icmp_error_in(w, f, ns, packet, l4)
    if l4.type in (8, 128):
        if ns.sysctl("net.ipv4.icmp_echo_ignore_all"):
            return w.end(f, "icmp.ignored")
        f = w.note(f, "icmp.echoed", label=ns.label)
        w.tell(f, ns.id, ("icmp", l4.id), "echoed", (ns.label, packet.src))
        answer = _reply(f, packet, l4.but(type=0 if l4.type == 8 else 129), "echo-reply")
        if not_unicast(f):  # from an address of its own (icmpv6_echo_reply)
            answer = answer.to("output", packet=answer.packet.but(src=""))
        return ((0.0, answer),)
    if l4.type in (0, 129):
        if ("icmp", l4.id) in w.state.read("sockets", ns.id):
            f = w.note(f, "socket.answer", label=ns.label)
            w.tell(f, ns.id, ("icmp", l4.id), "answer", l4.payload)
        return ()
    return ()


def _icmp_error_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Icmp) -> Successors:
    """An error about something we sent: path MTU, or an errno for the socket."""
    quote = l4.quote
    assert quote is not None
    errno = icmp.errno_of(l4, packet.family)
    f = w.note(f, "icmp.received", errno=errno, kind=_kind(l4, packet.family), sender=packet.src, mtu=l4.mtu)
    if errno == "EMSGSIZE":
        learn_path_mtu(w, ns, quote.dst, l4.mtu)
    inner = quote.l4
    if isinstance(inner, Tcp):
        key = (quote.src, inner.sport, quote.dst, inner.dport)
        conn = find(w.state, ns.id, key)
        if conn is None:
            return ()
        if errno == "EMSGSIZE":
            return send_data(w, ns, key, conn, again=True) if conn.out is not None else ()
        if conn.state == "SYN_SENT":
            forget(w.state, ns.id, key)
            w.tell(f, ns.id, key, "error", errno)
        return ()
    if isinstance(inner, Udp):
        key = (quote.src, inner.sport, quote.dst, inner.dport)
        if key in w.state.read("sockets", ns.id):
            w.tell(f, ns.id, key, "error", errno)
        return ()
    if isinstance(inner, Icmp) and ("icmp", inner.id) in w.state.read("sockets", ns.id):
        w.tell(f, ns.id, ("icmp", inner.id), "error", errno)
    return ()


def _kind(l4: Icmp, fam: int) -> str:
    return next((k for k, v in icmp.ERRORS.items() if v[0 if fam == 4 else 1] == (l4.type, l4.code)), f"type {l4.type} code {l4.code}")


def local_failure(w: Walk, f: Flight, errno: str) -> None:
    """A send call fails with an errno. TCP takes no notice: the segment counts as lost and is sent again (tcp_retransmit_timer)."""
    packet = f.packet
    if not isinstance(packet, Packet):
        return
    l4 = packet.l4
    if isinstance(l4, Udp):
        w.tell(f, f.ns, (packet.src, l4.sport, packet.dst, l4.dport), "error", errno)
    elif isinstance(l4, Icmp) and l4.quote is None:
        w.tell(f, f.ns, ("icmp", l4.id), "error", errno)


# ------------------------------------------------------------------------------------------------------------ UDP
def _udp_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Udp) -> Successors:
    key: Key = (packet.dst, l4.dport, packet.src, l4.sport)
    if key in w.state.read("sockets", ns.id):
        f = w.note(f, "socket.answer", label=ns.label)
        w.tell(f, ns.id, key, "answer", l4.payload)
        return ()
    listener = ns.listener("UDP", packet.dst, l4.dport)
    if listener is None:
        f = w.note(f, "socket.closed", failed=True, port=l4.dport, protocol="UDP", label=ns.label)
        return icmp.error(w, f, "port-unreachable")
    f = w.note(
        f, "socket.deliver", entry=listener, port=l4.dport, protocol="UDP", owner=listener.owner, src=packet.src, assumed=listener.assumed
    )
    w.tell(f, ns.id, key, "datagram", (listener.owner, packet.src))
    answer, delay = ask_process(w, ns, listener, Message(l4.payload, packet.src, l4.sport, packet.dst, l4.dport, "UDP"))
    if answer is None:
        return ()
    return ((delay, _answer_datagram(w, ns, _reply(f, packet, Udp(l4.dport, l4.sport, answer), "answer"))),)


def _answer_datagram(w: Walk, ns: Namespace, f: Flight) -> Flight:
    """A server's socket has the default IP_PMTUDISC_WANT: DF on what fits the known path, fragments of what does not.

    Source: Linux net/ipv4/ip_output.c __ip_make_skb.
    """
    packet = f.packet
    assert isinstance(packet, Packet)
    route, _, problem = route_output(ns, packet.dst, packet.src)
    if problem or route is None or route.dev not in ns.links or packet.size <= path_mtu(w, ns, packet.dst, route):
        return f
    return f.to(f.stage, packet=packet.but(df=packet.family == 6), dont_fragment_locally=True)
