"""`Conn`: one end of a TCP connection as a value, and the segments it sends.

Sources: Linux net/ipv4/tcp_output.c, net/ipv4/tcp.c; RFC 9293, RFC 4821.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from .flight import Flight, Timer
from .l3 import path_mtu, route_output
from .namespace import Listener, Namespace
from .packet import EMPTY, Packet, Payload, Tcp
from .state import State
from .value import Value, value
from .walk import Successor, Walk

__all__ = ["ORPHAN_TRIES", "Conn", "Key", "Queue", "Slice", "Successors", "find", "forget", "keep", "reset_for", "room", "segment", "timer"]

Key = tuple[str, int, str, int]  # local address and port, remote address and port
Successors = Iterable[Successor]

#: seconds until a SYN is sent again, anything else, and at most (TCP_TIMEOUT_INIT, TCP_RTO_MIN, TCP_RTO_MAX)
RTO_SYN, RTO, RTO_MAX = 1.0, 0.2, 120.0
#: timeouts before an end without an owner is given up (tcp_orphan_retries)
ORPHAN_TRIES = 8
#: bytes of the timestamp option, which every segment after the SYN carries
TIMESTAMPS = 12


@value
class Slice(Value):
    """Bytes [start, stop) of a message: what one segment carries."""

    whole: Payload
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __bytes__(self) -> bytes:
        return bytes(self.whole)[self.start : self.stop]


@value
class Queue(Value):
    """What was written while an earlier message was still on its way: TCP carries a stream, and does not keep them apart."""

    parts: tuple[Payload, ...]

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def __bytes__(self) -> bytes:
        return b"".join(bytes(p) for p in self.parts)


@value
class Conn(Value):
    """One end of a TCP connection."""

    role: str  # "client" | "server"
    state: str  # SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSING, TIME_WAIT, CLOSE_WAIT, LAST_ACK
    isn: int
    peer_isn: int = 0
    peer_mss: int = 536
    listener: Listener | None = None
    sent: int = 0  # bytes of ours acknowledged so far, our FIN among them
    received: int = 0  # bytes of theirs taken so far, their FIN among them
    out: Payload | None = None  # the message being sent
    done: int = 0  # bytes of it acknowledged
    tries: int = 0  # timeouts since anything was acknowledged
    probed: bool = False  # the tail loss probe was sent, or there is none
    epoch: int = 0  # which timer counts
    last: int = 0  # bytes of the segment under way
    ttl: int = 64
    busy: bool = False  # the process is making up its answer
    closed: bool = False  # the process has closed it: nobody reads here any more
    expires: float = 0.0  # TIME_WAIT and a FIN_WAIT2 that nobody owns: when it is over
    probe_mss: int = 0  # packetization-layer path MTU discovery: segments are no larger than this; 0: off

    @property
    def unsent(self) -> int:
        """Bytes of the message that are not acknowledged."""
        return len(self.out) - self.done if self.out is not None else 0


def isn_of(w: Walk, key: Key) -> int:
    return int.from_bytes(hashlib.blake2b(f"{w.net.seed}{key}".encode(), digest_size=4).digest(), "big")


# ------------------------------------------------------------------------------------------------------ the table
def find(state: State, ns: str, key: Key) -> Conn | None:
    """The connection, if it is not over."""
    conn: Conn | None = state.read("tcp", ns).get(key)
    if conn is not None and conn.expires and conn.expires <= state.clock:
        del state.write("tcp", ns)[key]
        return None
    return conn


def keep(state: State, ns: str, key: Key, conn: Conn) -> None:
    """Store it; of what is over, the oldest ones go."""
    table = state.write("tcp", ns)
    table[key] = conn
    if conn.expires:
        for old in [k for k, _ in zip(table, range(2), strict=False)]:
            if table[old].expires and table[old].expires <= state.clock:
                del table[old]


def forget(state: State, ns: str, key: Key) -> None:
    if key in state.read("tcp", ns):
        del state.write("tcp", ns)[key]


# ------------------------------------------------------------------------------------------------------- segments
def announced_mss(w: Walk, ns: Namespace, key: Key) -> int:
    """The MSS option of a SYN: the route's `advmss`, else what the path is believed to take (tcp_connect_init, tcp_make_synack)."""
    route, _, _ = route_output(ns, key[2], key[0])
    return route.advmss if route is not None and route.advmss else own_mss(w, ns, key)


def own_mss(w: Walk, ns: Namespace, key: Key) -> int:
    """What the path is believed to take in one segment: its MTU without the two headers."""
    route, _, problem = route_output(ns, key[2], key[0])
    mtu = path_mtu(w, ns, key[2], route) if route is not None and not problem and route.dev in ns.links else 1500
    return mtu - (60 if ":" in key[2] else 40)


def room(w: Walk, ns: Namespace, key: Key, conn: Conn) -> int:
    """Bytes of payload that a segment of this connection may carry now (tcp_current_mss)."""
    most = max(1, min(conn.peer_mss, own_mss(w, ns, key)) - TIMESTAMPS)
    return min(most, conn.probe_mss) if conn.probe_mss else most


def segment(
    w: Walk, ns: Namespace, key: Key, conn: Conn, flags: str, label: str, payload: Slice | None = None, cause: Any = None
) -> Flight:
    """The next segment of a connection, as a flight. A FIN stands behind everything that was written."""
    seq = conn.isn if "S" in flags else conn.isn + 1 + conn.sent
    if "F" in flags:
        seq += conn.unsent
    ack = conn.peer_isn + 1 + conn.received if "A" in flags else 0
    mss = announced_mss(w, ns, key) if "S" in flags else None
    tcp = Tcp(key[1], key[3], flags, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, mss, payload if payload is not None else EMPTY)
    f = Flight("output", ns.id, "", Packet(key[0], key[2], "TCP", tcp, ttl=conn.ttl), cause=cause, label=label)
    if label in ("syn", "data", "answer", "fin", "reset"):
        f = w.note(f, "socket.send", label=ns.label, flags=flags, dst=key[2], port=key[3], protocol="TCP", size=len(tcp.payload))
    return f


def reset_for(key: Key, l4: Tcp) -> Tcp:
    """The reset that answers a segment which fits nothing here (tcp_v4_send_reset)."""
    size = len(l4.payload) + ("S" in l4.flags) + ("F" in l4.flags)
    acked = "A" in l4.flags
    return Tcp(key[1], key[3], "R" if acked else "RA", seq=l4.ack if acked else 0, ack=0 if acked else (l4.seq + size) & 0xFFFFFFFF)


def timer(ns: Namespace, key: Key, conn: Conn) -> Successor:
    """When what was just sent is sent again.

    A segment that is alone on its way is first repeated as the tail loss probe, which waits as long as a timeout (tcp_schedule_loss_probe).
    """
    first = RTO_SYN if conn.state in ("SYN_SENT", "SYN_RECV") else RTO
    return min(first * 2**conn.tries, RTO_MAX), Timer("tcp_timer", ns.id, (key, conn.epoch))
