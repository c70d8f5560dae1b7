"""How a TCP connection ends: FIN and FIN, the states between them, and resets.

An end whose process has closed it lives on in the kernel without an owner, until the other end has said the same or nobody
answers any more. Sources: Linux net/ipv4/tcp.c (__tcp_close), tcp_input.c (tcp_fin, tcp_rcv_state_process), tcp_minisocks.c
(tcp_timewait_state_process), tcp_timer.c (tcp_orphan_retries); RFC 9293, 3.6 and 3.10.
"""

from __future__ import annotations

from .flight import Flight, Timer
from .namespace import Namespace
from .packet import Tcp
from .tcp_conn import Conn, Key, Successors, find, forget, keep, room, segment, timer
from .walk import Walk, stage

__all__ = ["WITH_FIN", "all_acked", "close_tcp", "drop", "fin_again", "fin_in", "finish", "time_wait_in"]

#: seconds of TIME_WAIT, and of a FIN_WAIT2 without an owner (TCP_TIMEWAIT_LEN, tcp_fin_timeout)
TIME_WAIT = 60.0
#: segments that a sender may have under way before anything is acknowledged (TCP_INIT_CWND)
FIRST_WINDOW = 10
#: states in which our FIN is sent and not acknowledged
WITH_FIN = frozenset(("FIN_WAIT1", "CLOSING", "LAST_ACK"))


def drop(w: Walk, ns: Namespace, key: Key, errno: str, f: Flight | None = None) -> Successors:
    """The connection is over at once; its owner, if there is one, hears `errno`."""
    forget(w.state, ns.id, key)
    if errno:
        w.tell(f, ns.id, key, "error", errno)
    return ()


# ----------------------------------------------------------------------------------------------- the process's side
def close_tcp(w: Walk, ns: Namespace, key: Key, conn: Conn, reset: bool = False) -> Successors:
    """close(): a FIN behind what was written. `reset`: with SO_LINGER 0, a reset instead."""
    if conn.state == "SYN_SENT" or conn.closed:
        return () if conn.closed else drop(w, ns, key, "")
    if reset:
        drop(w, ns, key, "")
        return ((0.0, segment(w, ns, key, conn, "RA", "reset")),)
    return finish(w, ns, key, conn)


def finish(w: Walk, ns: Namespace, key: Key, conn: Conn, f: Flight | None = None) -> Successors:
    """Our FIN. What was written goes first: all of it is under way if it is no more than a first window, and nothing was lost."""
    state = "LAST_ACK" if conn.state == "CLOSE_WAIT" else "FIN_WAIT1"
    conn = conn.but(state=state, closed=True)
    if not conn.unsent:
        return fin_again(w, ns, key, conn, f)
    keep(w.state, ns.id, key, conn)
    if conn.tries or conn.unsent > FIRST_WINDOW * room(w, ns, key, conn):
        return ()
    return ((0.0, segment(w, ns, key, conn, "FA", "fin")),)


def fin_again(w: Walk, ns: Namespace, key: Key, conn: Conn, f: Flight | None = None) -> Successors:
    """The FIN, and the timer that repeats it."""
    conn = conn.but(epoch=w.state.next_serial())
    keep(w.state, ns.id, key, conn)
    return [(0.0, segment(w, ns, key, conn, "FA", "fin", cause=f.trail if f is not None else None)), timer(ns, key, conn)]


@stage("tcp_close", lasting=lambda w, t: find(w.state, t.ns, t.args[0]) is not None)
def tcp_close(w: Walk, t: Timer) -> Successors:
    """A process closes its socket when it has what it wanted, or ends."""
    key, reset = t.args
    conn = find(w.state, t.ns, key)
    return close_tcp(w, w.ns(t.ns), key, conn, reset) if conn is not None else ()


# ---------------------------------------------------------------------------------------------- the other end's side
def all_acked(w: Walk, f: Flight, ns: Namespace, key: Key, conn: Conn) -> tuple[Conn | None, Successors]:
    """The other end has taken our FIN."""
    if conn.state == "LAST_ACK":
        drop(w, ns, key, "")
        w.tell(f, ns.id, key, "closed")
        return None, ()
    if conn.state == "CLOSING":
        conn = _time_wait(w, f, ns, key, conn)
    else:
        conn = conn.but(state="FIN_WAIT2", expires=w.now + TIME_WAIT)
        keep(w.state, ns.id, key, conn)
    return conn, ()


def fin_in(w: Walk, f: Flight, ns: Namespace, l4: Tcp, key: Key, conn: Conn) -> Successors:
    """The other end will send no more. A server's process that has nothing left to say closes too."""
    if (l4.seq + len(l4.payload)) & 0xFFFFFFFF != (conn.peer_isn + 1 + conn.received) & 0xFFFFFFFF:
        return ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)  # a repetition, or something before it is missing
    f = w.note(f, "tcp.fin", label=ns.label, state=conn.state)
    conn = conn.but(received=conn.received + 1)
    if conn.state == "ESTABLISHED":
        conn = conn.but(state="CLOSE_WAIT")
        if conn.role == "server" and not conn.busy and conn.out is None:
            return finish(w, ns, key, conn, f)  # the FIN is in time to carry the acknowledgement (inet_csk_enter_pingpong_mode)
        keep(w.state, ns.id, key, conn)
    elif conn.state == "FIN_WAIT1":
        conn = conn.but(state="CLOSING")
        keep(w.state, ns.id, key, conn)
    else:
        conn = _time_wait(w, f, ns, key, conn)
    return ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)


def _time_wait(w: Walk, f: Flight, ns: Namespace, key: Key, conn: Conn) -> Conn:
    conn = conn.but(state="TIME_WAIT", expires=w.now + TIME_WAIT)
    keep(w.state, ns.id, key, conn)
    w.tell(f, ns.id, key, "closed")
    return conn


def time_wait_in(w: Walk, f: Flight, ns: Namespace, l4: Tcp, key: Key, conn: Conn) -> Successors:
    """Somebody did not hear our last ACK, and hears it again."""
    if l4.flags == "A" and not len(l4.payload):
        return ()
    if "F" in l4.flags:
        keep(w.state, ns.id, key, conn.but(expires=w.now + TIME_WAIT))
    return ((0.0, segment(w, ns, key, conn, "A", "ack", cause=f.trail)),)
