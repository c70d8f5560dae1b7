"""TCP: connections open, data goes over them in order, and what is lost is sent again.

One segment is under way at a time, so windows and congestion play no part. Sources: Linux
net/ipv4/{tcp_input,tcp_ipv4,tcp_output,tcp_timer}.c; RFC 9293, RFC 1191, RFC 4821.
"""

from __future__ import annotations

from typing import Any

from .flight import Flight, Timer
from .machine import ask_process
from .namespace import Namespace
from .packet import Packet, Payload, Tcp
from .process import Message
from .tcp_close import WITH_FIN, all_acked, drop, fin_again, fin_in, finish, time_wait_in
from .tcp_conn import ORPHAN_TRIES, Conn, Key, Queue, Slice, Successors, find, forget, isn_of, keep, reset_for, room, segment, timer
from .walk import Successor, Walk, stage

__all__ = ["not_unicast", "open_tcp", "send_data", "tcp_in", "write"]

#: timeouts before a connection that somebody waits for is given up, and SYN-ACKs (tcp_retries2, tcp_synack_retries)
TRIES, SYNACK_TRIES = 15, 5


def open_tcp(w: Walk, ns: Namespace, key: Key, ttl: int = 64) -> Successors:
    """connect(): the first SYN, and the timer that repeats it. `ttl` is the socket's IP_TTL."""
    probing = ns.sysctl("net.ipv4.tcp_mtu_probing") > 1
    conn = Conn(
        "client", "SYN_SENT", isn_of(w, key), epoch=w.state.next_serial(), ttl=ttl,
        probe_mss=ns.sysctl("net.ipv4.tcp_base_mss") if probing else 0,
    )  # fmt: skip
    keep(w.state, ns.id, key, conn)
    return [(0.0, segment(w, ns, key, conn, "S", "syn")), timer(ns, key, conn)]


def write(w: Walk, ns: Namespace, key: Key, conn: Conn, payload: Payload) -> Successors:
    """write(): a message goes out, behind one that is still on its way."""
    if conn.out is None:
        return send_data(w, ns, key, conn.but(out=payload, done=0))
    keep(w.state, ns.id, key, conn.but(out=Queue((Slice(conn.out, conn.done, len(conn.out)), payload)), done=0))
    return ()


def send_data(w: Walk, ns: Namespace, key: Key, conn: Conn, again: bool = False, cause: Any = None, alone: bool = False) -> Successors:
    """The next segment of the message in `conn.out`, or the same one `again`; `alone` when a timer repeats it."""
    out = conn.out
    assert out is not None
    space = room(w, ns, key, conn)
    start = conn.done
    stop = min(len(out), start + space)
    if not again:
        conn = conn.but(tries=0, probed=len(out) - start > space)
    conn = conn.but(epoch=w.state.next_serial(), last=stop - start)
    keep(w.state, ns.id, key, conn)
    flags = "PA" if stop == len(out) else "A"
    f = segment(w, ns, key, conn, flags, "data" if conn.role == "client" else "answer", Slice(out, start, stop), cause)
    if len(out) > space and not alone:
        # what one write sends leaves as one buffer (tcp_write_xmit), also after a path MTU error; a timer repeats one segment
        f = f.to(f.stage, gso=True)
    return [(0.0, f), timer(ns, key, conn)]


# --------------------------------------------------------------------------------------------------------- timers
def _counts(w: Walk, t: Timer) -> bool:
    conn = find(w.state, t.ns, t.args[0])
    return conn is not None and conn.epoch == t.args[1]


@stage("tcp_timer", lasting=_counts)
def tcp_timer(w: Walk, t: Timer) -> Successors:
    if not _counts(w, t):
        return ()
    key = t.args[0]
    conn = find(w.state, t.ns, key)
    assert conn is not None
    ns = w.ns(t.ns)
    if conn.state in ("SYN_SENT", "SYN_RECV"):
        ours = conn.state == "SYN_SENT"
        if conn.tries >= (ns.sysctl("net.ipv4.tcp_syn_retries") if ours else SYNACK_TRIES):
            return drop(w, ns, key, "ETIMEDOUT" if ours else "")
        conn = conn.but(tries=conn.tries + 1, epoch=w.state.next_serial())
        keep(w.state, t.ns, key, conn)
        return [(0.0, segment(w, ns, key, conn, *(("S", "syn") if ours else ("SA", "syn-ack")))), timer(ns, key, conn)]
    if conn.unsent or conn.state in WITH_FIN:
        if conn.tries >= (ORPHAN_TRIES if conn.closed else TRIES):
            return drop(w, ns, key, "" if conn.closed else "ETIMEDOUT")
        conn = _smaller(ns, conn).but(tries=conn.tries + 1) if conn.probed else conn.but(probed=True)
        return send_data(w, ns, key, conn, again=True, alone=True) if conn.unsent else fin_again(w, ns, key, conn)
    return ()


def _smaller(ns: Namespace, conn: Conn) -> Conn:
    """tcp_mtu_probing: after a few timeouts the segments themselves are suspected, and shrink. Nobody needs to send an ICMP error.

    They never grow again here: that takes a probe among at least ten segments under way (tcp_mtu_probe).
    """
    if not ns.sysctl("net.ipv4.tcp_mtu_probing") or conn.tries <= ns.sysctl("net.ipv4.tcp_retries1"):
        return conn
    base = ns.sysctl("net.ipv4.tcp_base_mss")
    if not conn.probe_mss:
        return conn.but(probe_mss=base)
    return conn.but(probe_mss=max(min(base, conn.probe_mss // 2), ns.sysctl("net.ipv4.tcp_mtu_probe_floor")))


@stage("app", lasting=lambda w, t: find(w.state, t.ns, t.args[0]) is not None)
def app(w: Walk, t: Timer) -> Successors:
    """A server's process has made up its answer."""
    key, payload, cause = t.args
    conn = find(w.state, t.ns, key)
    if conn is None:
        return ()
    conn, ns = conn.but(busy=False), w.ns(t.ns)
    if payload is None or not len(payload):
        keep(w.state, t.ns, key, conn)
        return finish(w, ns, key, conn) if conn.state == "CLOSE_WAIT" else ()
    return send_data(w, ns, key, conn.but(out=payload, done=0), cause=cause)


# --------------------------------------------------------------------------------------------------- from the net
def tcp_in(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp) -> Successors:
    """A segment for this namespace."""
    key: Key = (packet.dst, l4.dport, packet.src, l4.sport)
    conn = find(w.state, ns.id, key)
    if conn is None:
        return _new(w, f, ns, packet, l4, key)
    if "R" in l4.flags:
        f = w.note(f, "tcp.reset", state=conn.state)
        return drop(w, ns, key, "ECONNREFUSED" if conn.state == "SYN_SENT" else "ECONNRESET", f)
    if conn.state == "SYN_SENT":
        return _connecting(w, f, ns, packet, l4, key, conn)
    if conn.state == "TIME_WAIT":
        if l4.flags == "S" and ns.listener("TCP", packet.dst, l4.dport) is not None:
            forget(w.state, ns.id, key)
            return _new(w, f, ns, packet, l4, key)
        return time_wait_in(w, f, ns, l4, key, conn)
    if conn.state == "SYN_RECV":
        if l4.flags == "S":
            return ((0.0, segment(w, ns, key, conn, "SA", "syn-ack", cause=f.trail)),)
        conn = conn.but(state="ESTABLISHED", tries=0, epoch=w.state.next_serial())
        keep(w.state, ns.id, key, conn)
        assert conn.listener is not None
        w.tell(f, ns.id, key, "accepted", (conn.listener.owner, packet.src))
    elif "S" in l4.flags:
        # our ACK was lost and the peer repeats its SYN-ACK; or a SYN of somebody who has forgotten this connection (RFC 5961)
        return ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
    out: list[Successor] = []
    if "A" in l4.flags:
        found, more = _acked(w, f, ns, l4, key, conn)
        out += more
        if found is None:
            return out
        conn = found
    if len(l4.payload) and isinstance(l4.payload, Slice):
        if conn.closed:
            # data for a socket that nobody reads any more: RFC 1122, 4.2.2.13
            return [*drop(w, ns, key, "", f), (0.0, _answer(w, f, key, reset_for(key, l4)))]
        conn, more = _data_in(w, f, ns, packet, l4, key, conn, l4.payload)
        out += more
    if "F" in l4.flags:
        out += fin_in(w, f, ns, l4, key, conn)
    return out


def _answer(w: Walk, f: Flight, key: Key, rst: Tcp) -> Flight:
    """A segment of the kernel's own, to the sender of this one."""
    g = Flight("output", f.ns, "", Packet(key[0], key[2], "TCP", rst), cause=f.trail, label="rst")
    return w.note(g, "tcp.reset_sent", port=key[1])


def not_unicast(f: Flight) -> bool:
    """Did it come in to an anycast address? TCP says nothing to that (tcp_v6_conn_request, tcp_v6_send_reset)."""
    return f.route is not None and f.route.type == "anycast"


def _new(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp, key: Key) -> Successors:
    """A segment that belongs to no connection: a SYN for a listener, or a reset goes back."""
    if not_unicast(f):
        return w.end(f, "tcp.anycast", entry=f.route, port=l4.dport, label=ns.label)
    listener = ns.listener("TCP", packet.dst, l4.dport) if l4.flags == "S" else None
    if listener is None:
        if l4.flags == "S":
            f = w.note(f, "socket.closed", failed=True, port=l4.dport, protocol="TCP", label=ns.label)
        else:
            f = w.note(f, "tcp.stray", failed=True, flags=l4.flags, port=l4.dport)
        return () if "R" in l4.flags else ((0.0, _answer(w, f, key, reset_for(key, l4))),)
    f = w.note(
        f, "socket.deliver", entry=listener, port=l4.dport, protocol="TCP", owner=listener.owner, src=packet.src, assumed=listener.assumed
    )
    probing = ns.sysctl("net.ipv4.tcp_mtu_probing") > 1
    conn = Conn(
        "server", "SYN_RECV", isn_of(w, key), l4.seq, l4.mss or 536, listener, epoch=w.state.next_serial(),
        probe_mss=ns.sysctl("net.ipv4.tcp_base_mss") if probing else 0,
    )  # fmt: skip
    keep(w.state, ns.id, key, conn)
    w.tell(f, ns.id, key, "syn", (listener.owner, packet.src))
    return [(0.0, segment(w, ns, key, conn, "SA", "syn-ack", cause=f.trail)), timer(ns, key, conn)]


def _connecting(w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp, key: Key, conn: Conn) -> Successors:
    """What comes back for our SYN. An ACK of something else is a stale connection at the other end: a reset ends it."""
    if l4.flags != "SA":
        return ((0.0, _answer(w, f, key, reset_for(key, l4))),) if "A" in l4.flags else ()
    conn = conn.but(state="ESTABLISHED", peer_isn=l4.seq, peer_mss=l4.mss or 536, tries=0, epoch=w.state.next_serial())
    keep(w.state, ns.id, key, conn)
    f = w.note(f, "socket.connected", mss=l4.mss)
    w.tell(f, ns.id, key, "connected")
    return ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)


def _acked(w: Walk, f: Flight, ns: Namespace, l4: Tcp, key: Key, conn: Conn) -> tuple[Conn | None, Successors]:
    """What the other end has taken: bytes of the message, or our FIN behind them."""
    gain = (l4.ack - (conn.isn + 1 + conn.sent)) & 0xFFFFFFFF
    if not 0 < gain <= conn.unsent + (conn.state in WITH_FIN):
        return conn, ()
    whole = gain > conn.unsent
    conn = conn.but(sent=conn.sent + gain, done=conn.done + gain - whole, last=0, tries=0, probed=False, epoch=w.state.next_serial())
    if conn.out is not None and conn.done >= len(conn.out):
        conn = conn.but(out=None, done=0)
        w.tell(f, ns.id, key, "acked")
    if whole:
        return all_acked(w, f, ns, key, conn)
    keep(w.state, ns.id, key, conn)
    if conn.out is not None:
        more = send_data(w, ns, key, conn)
    elif conn.state in WITH_FIN:
        more = fin_again(w, ns, key, conn)
    elif conn.state == "CLOSE_WAIT" and conn.role == "server":
        more = finish(w, ns, key, conn)
    else:
        return conn, ()
    return find(w.state, ns.id, key), more


def _data_in(
    w: Walk, f: Flight, ns: Namespace, packet: Packet, l4: Tcp, key: Key, conn: Conn, part: Slice
) -> tuple[Conn, Successors]:  # fmt: skip
    known = (conn.peer_isn + 1 + conn.received - l4.seq) & 0xFFFFFFFF  # bytes at its beginning that are here already
    if known >= len(part):
        return conn, ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
    complete = part.stop == len(part.whole)
    answers = complete and conn.role == "server" and conn.listener is not None
    conn = conn.but(received=conn.received + len(part) - known, busy=conn.busy or answers)
    keep(w.state, ns.id, key, conn)
    f = w.note(f, "socket.data", size=len(part), total=len(part.whole), label=ns.label)
    out: list[Successor] = [(0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail))]
    if complete:
        w.tell(f, ns.id, key, "answer" if conn.role == "client" else "message", part.whole)
    if answers:
        assert conn.listener is not None
        answer, delay = ask_process(w, ns, conn.listener, Message(part.whole, packet.src, l4.sport, packet.dst, l4.dport, "TCP"))
        out.append((delay, Timer("app", ns.id, (key, answer, f.trail))))
    return conn, out
