"""Sockets: what a namespace does with a packet that is for it, and what an application hears.

TCP here is connection set-up, ordered data with acknowledgement and retransmission, resets and path MTU
discovery; one segment is under way at a time, so windows and congestion play no part. Sources: Linux
net/ipv4/{tcp_input,tcp_ipv4,tcp_output,tcp_timer,udp,ping,icmp}.c; RFC 9293, RFC 1191.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import icmp
from .flight import Flight, Timer
from .l3 import learn_path_mtu, path_mtu, route_output
from .namespace import Listener, Namespace
from .packet import EMPTY, Icmp, Packet, Payload, Tcp, Udp
from .process import Exchange, Message
from .state import Memory
from .tun import tun_device
from .vxlan import device_for
from .walk import Successor, Walk, stage
from .wireguard import wireguard_device

__all__ = ["Conn", "Key", "Slice", "local_failure", "open_tcp", "send_data"]

Key = tuple[str, int, str, int]  # local address and port, remote address and port
Successors = Iterable[Successor]
RTO_SYN, RTO_DATA = 1.0, 0.2


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [start, stop) of a message: what one segment carries."""

    whole: Payload
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __bytes__(self) -> bytes:
        return bytes(self.whole)[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Conn:
    """One end of a TCP connection."""

    role: str  # "client" | "server"
    state: str  # SYN_SENT, SYN_RECV, ESTABLISHED
    isn: int
    peer_isn: int = 0
    peer_mss: int = 536
    listener: Listener | None = None
    sent: int = 0  # bytes of ours acknowledged so far
    received: int = 0  # bytes of theirs taken so far
    out: Payload | None = None  # the message being sent
    done: int = 0  # bytes of it acknowledged
    got: int = 0  # bytes of the peer's present message
    tries: int = 0
    epoch: int = 0
    last: int = 0  # bytes of the segment under way
    ttl: int = 64


def isn_of(w: Walk, key: Key) -> int:
    return int.from_bytes(hashlib.blake2b(f"{w.net.seed}{key}".encode(), digest_size=4).digest(), "big")


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
        return _tcp_in(w, f, ns, packet, l4)
    if isinstance(l4, Udp):
        if device_for(ns, packet) is not None:
            return ((0.0, f.to("vxlan_rcv")),)
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
        return ((0.0, _reply(f, packet, replace(l4, type=0 if l4.type == 8 else 129), "echo-reply")),)
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
        conn: Conn | None = w.state.read("tcp", ns.id).get(key)
        if conn is None:
            return ()
        if errno == "EMSGSIZE":
            return send_data(w, ns, key, conn, again=True) if conn.out is not None else ()
        if conn.state == "SYN_SENT":
            del w.state.write("tcp", ns.id)[key]
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
    answer, delay = _ask_process(w, ns, listener, Message(l4.payload, packet.src, l4.sport, packet.dst, l4.dport, "UDP"))
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


# ------------------------------------------------------------------------------------------------------ processes
class _Machine:
    """`process.Machine` over a walk. An exchange runs a walk of its own on the same state; its time passes here too."""

    def __init__(self, w: Walk, ns: Namespace, listener: Listener):
        self.namespace, self._w, self._listener = ns.id, w, listener
        self.waited = 0.0
        self.memory: MutableMapping[str, Any] = Memory(w.state, "memory", ns.id, f"{listener.process.name}")

    @property
    def now(self) -> float:
        return self._w.now + self.waited

    def exchange(self, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None) -> Exchange:
        from .ask import exchange

        start = self._w.state.clock
        self._w.state.clock = start + self.waited
        try:
            done = exchange(self._w, self.namespace, dst, port, protocol, payload, timeout, source_port=source_port)
        finally:
            self._w.state.clock = start
        self.waited += done.elapsed
        self._w.exchanges.append((self._listener.owner, done))
        return done

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        return self._w.choose(weights, f"{self.namespace}/{chooser}")


def _ask_process(w: Walk, ns: Namespace, listener: Listener, message: Message) -> tuple[Payload | None, float]:
    machine = _Machine(w, ns, listener)
    answer = listener.process.handle(message, machine)
    if answer is None:
        return None, machine.waited
    return answer.payload, machine.waited + answer.delay


# ------------------------------------------------------------------------------------------------------------ TCP
def open_tcp(w: Walk, ns: Namespace, key: Key, ttl: int = 64) -> Successors:
    """connect(): the first SYN, and the timer that repeats it. `ttl` is the socket's IP_TTL."""
    conn = Conn("client", "SYN_SENT", isn_of(w, key), epoch=w.state.next_serial(), ttl=ttl)
    w.state.write("tcp", ns.id)[key] = conn
    return [(0.0, _segment(w, ns, key, conn, "S", "syn")), (RTO_SYN, Timer("tcp_timer", ns.id, (key, conn.epoch)))]


def _mss(w: Walk, ns: Namespace, key: Key) -> int:
    route, _, problem = route_output(ns, key[2], key[0])
    mtu = path_mtu(w, ns, key[2], route) if route is not None and not problem and route.dev in ns.links else 1500
    return mtu - (60 if ":" in key[2] else 40)


def _segment(
    w: Walk, ns: Namespace, key: Key, conn: Conn, flags: str, label: str, payload: Slice | None = None, cause: Any = None
) -> Flight:
    seq = conn.isn if "S" in flags else conn.isn + 1 + conn.sent
    ack = conn.peer_isn + 1 + conn.received if "A" in flags else 0
    mss = _mss(w, ns, key) if "S" in flags else None
    tcp = Tcp(key[1], key[3], flags, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, mss, payload if payload is not None else EMPTY)
    packet = Packet(key[0], key[2], "TCP", tcp, ttl=conn.ttl)
    f = Flight("output", ns.id, "", packet, cause=cause, label=label)
    if label in ("syn", "data") or label == "answer":
        f = w.note(f, "socket.send", label=ns.label, flags=flags, dst=key[2], port=key[3], protocol="TCP", size=len(tcp.payload))
    return f


def send_data(w: Walk, ns: Namespace, key: Key, conn: Conn, again: bool = False, cause: Any = None, alone: bool = False) -> Successors:
    """The next segment of the message in `conn.out`, or the same one `again`; `alone` when a timer repeats it."""
    out = conn.out
    assert out is not None
    room = max(1, min(conn.peer_mss, _mss(w, ns, key)) - 12)  # the timestamp option travels in every segment
    start = conn.done
    stop = min(len(out), start + room)
    epoch = w.state.next_serial()
    conn = replace(conn, epoch=epoch, last=stop - start, tries=conn.tries + 1 if again else 0)
    w.state.write("tcp", ns.id)[key] = conn
    flags = "PA" if stop == len(out) else "A"
    label = "data" if conn.role == "client" else "answer"
    f = _segment(w, ns, key, conn, flags, label, Slice(out, start, stop), cause)
    if len(out) > room and not alone:
        # what one write sends leaves as one buffer (tcp_write_xmit), also after a path MTU error; a timer repeats one segment
        f = f.to(f.stage, gso=True)
    return [(0.0, f), (RTO_DATA * 2**conn.tries, Timer("tcp_timer", ns.id, (key, epoch)))]


@stage("tcp_timer")
def tcp_timer(w: Walk, t: Timer) -> Successors:
    key, epoch = t.args
    conn: Conn | None = w.state.read("tcp", t.ns).get(key)
    if conn is None or conn.epoch != epoch:
        return ()
    ns = w.ns(t.ns)
    if conn.state == "SYN_SENT":
        if conn.tries >= ns.sysctl("net.ipv4.tcp_syn_retries"):
            del w.state.write("tcp", t.ns)[key]
            w.tell(None, t.ns, key, "error", "ETIMEDOUT")
            return ()
        conn = replace(conn, tries=conn.tries + 1, epoch=w.state.next_serial())
        w.state.write("tcp", t.ns)[key] = conn
        return [(0.0, _segment(w, ns, key, conn, "S", "syn")), (RTO_SYN * 2**conn.tries, Timer("tcp_timer", t.ns, (key, conn.epoch)))]
    if conn.state == "SYN_RECV":
        if conn.tries >= 5:
            del w.state.write("tcp", t.ns)[key]
            return ()
        conn = replace(conn, tries=conn.tries + 1, epoch=w.state.next_serial())
        w.state.write("tcp", t.ns)[key] = conn
        return [(0.0, _segment(w, ns, key, conn, "SA", "syn-ack")), (RTO_SYN * 2**conn.tries, Timer("tcp_timer", t.ns, (key, conn.epoch)))]
    if conn.out is not None and conn.tries < 15:
        return send_data(w, ns, key, conn, again=True, alone=True)
    return ()


@stage("app")
def app(w: Walk, t: Timer) -> Successors:
    """A server's process has made up its answer."""
    key, payload, cause = t.args
    conn: Conn | None = w.state.read("tcp", t.ns).get(key)
    if conn is None:
        return ()
    return send_data(w, w.ns(t.ns), key, replace(conn, out=payload, done=0), cause=cause)


def _reset(w: Walk, f: Flight, packet: Packet, l4: Tcp) -> Successors:
    if "R" in l4.flags:
        return ()
    size = len(l4.payload) + ("S" in l4.flags) + ("F" in l4.flags)
    acked = "A" in l4.flags
    rst = Tcp(l4.dport, l4.sport, "R" if acked else "RA", seq=l4.ack if acked else 0, ack=0 if acked else (l4.seq + size) & 0xFFFFFFFF)
    return ((0.0, w.note(_reply(f, packet, rst, "rst"), "tcp.reset_sent", port=l4.dport)),)


def _tcp_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp) -> Successors:
    key: Key = (packet.dst, l4.dport, packet.src, l4.sport)
    conn: Conn | None = w.state.read("tcp", ns.id).get(key)
    if conn is None:
        return _tcp_new(w, f, ns, packet, l4, key)
    if "R" in l4.flags:
        del w.state.write("tcp", ns.id)[key]
        f = w.note(f, "tcp.reset", state=conn.state)
        w.tell(f, ns.id, key, "error", "ECONNREFUSED" if conn.state == "SYN_SENT" else "ECONNRESET")
        return ()
    if conn.state == "SYN_SENT":
        if l4.flags != "SA":
            return ()
        conn = replace(conn, state="ESTABLISHED", peer_isn=l4.seq, peer_mss=l4.mss or 536, tries=0, epoch=w.state.next_serial())
        w.state.write("tcp", ns.id)[key] = conn
        f = w.note(f, "socket.connected", mss=l4.mss)
        w.tell(f, ns.id, key, "connected")
        return ((0.0, _segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
    if conn.state == "SYN_RECV":
        if l4.flags == "S":
            return ((0.0, _segment(w, ns, key, conn, "SA", "syn-ack", cause=f.trail)),)
        conn = replace(conn, state="ESTABLISHED", tries=0, epoch=w.state.next_serial())
        w.state.write("tcp", ns.id)[key] = conn
        assert conn.listener is not None
        w.tell(f, ns.id, key, "accepted", (conn.listener.owner, packet.src))
    elif "S" in l4.flags:
        # our ACK was lost: the peer repeats its SYN-ACK
        return ((0.0, _segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
    out: list[Successor] = []
    if "A" in l4.flags and conn.out is not None and l4.ack == (conn.isn + 1 + conn.sent + conn.last) & 0xFFFFFFFF and conn.last:
        conn = replace(conn, sent=conn.sent + conn.last, done=conn.done + conn.last, last=0, tries=0, epoch=w.state.next_serial())
        if conn.out is not None and conn.done >= len(conn.out):
            conn = replace(conn, out=None)
            w.state.write("tcp", ns.id)[key] = conn
            w.tell(f, ns.id, key, "acked")
        else:
            w.state.write("tcp", ns.id)[key] = conn
            out += send_data(w, ns, key, conn)
            conn = w.state.read("tcp", ns.id)[key]
    if len(l4.payload) and isinstance(l4.payload, Slice):
        out += _data_in(w, f, ns, packet, l4, key, conn, l4.payload)
    if "F" in l4.flags:
        out.append((0.0, _segment(w, ns, key, replace(conn, received=conn.received + 1), "FA", "fin", cause=f.trail)))
        w.state.write("tcp", ns.id).pop(key, None)
    return out


def _tcp_new(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp, key: Key) -> Successors:
    if l4.flags != "S":
        return _reset(w, w.note(f, "tcp.stray", failed=True, flags=l4.flags, port=l4.dport), packet, l4)
    listener = ns.listener("TCP", packet.dst, l4.dport)
    if listener is None:
        return _reset(w, w.note(f, "socket.closed", failed=True, port=l4.dport, protocol="TCP", label=ns.label), packet, l4)
    f = w.note(
        f, "socket.deliver", entry=listener, port=l4.dport, protocol="TCP", owner=listener.owner, src=packet.src, assumed=listener.assumed
    )
    conn = Conn("server", "SYN_RECV", isn_of(w, key), l4.seq, l4.mss or 536, listener, epoch=w.state.next_serial())
    w.state.write("tcp", ns.id)[key] = conn
    w.tell(f, ns.id, key, "syn", (listener.owner, packet.src))
    answer = _segment(w, ns, key, conn, "SA", "syn-ack", cause=f.trail)
    return [(0.0, answer), (RTO_SYN, Timer("tcp_timer", ns.id, (key, conn.epoch)))]


def _data_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp, key: Key, conn: Conn, part: Slice) -> Successors:
    expected = (conn.peer_isn + 1 + conn.received) & 0xFFFFFFFF
    if l4.seq != expected:
        return ((0.0, _segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
    complete = part.stop == len(part.whole)
    conn = replace(conn, received=conn.received + len(part), got=0 if complete else part.stop)
    w.state.write("tcp", ns.id)[key] = conn
    f = w.note(f, "socket.data", size=len(part), total=len(part.whole), label=ns.label)
    out: list[Successor] = [(0.0, _segment(w, ns, key, conn, "A", "ack", cause=f.trail))]
    if not complete:
        return out
    w.tell(f, ns.id, key, "answer" if conn.role == "client" else "message", part.whole)
    if conn.role == "server" and conn.listener is not None:
        answer, delay = _ask_process(w, ns, conn.listener, Message(part.whole, packet.src, l4.sport, packet.dst, l4.dport, "TCP"))
        if answer is not None and len(answer):
            out.append((delay, Timer("app", ns.id, (key, answer, f.trail))))
    return out
