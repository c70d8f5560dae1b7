"""Questions to the walk: open a connection, send a datagram, ping; and what came of it.

`Question` in, `Result` out. A result holds the trails; `story` makes hops of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

from ..errors import KubenetError
from ..trace import Phase, Verdict
from . import l2, sockets  # noqa: F401  (their stages register themselves)
from .address import prefix
from .background import catch_up
from .chance import kernel_share
from .flight import Flight, Timer, Trail
from .l3 import MAX_SIZE as MAX_PACKET
from .l3 import connected_to, path_mtu, route_output
from .network import Network
from .packet import Filler, Icmp, Packet, Payload, Udp
from .process import Exchange
from .state import State
from .tcp import open_tcp, write
from .tcp_close import close_tcp
from .tcp_conn import Conn, Key, find, forget
from .walk import Draws, Ending, Event, Script, Walk

__all__ = ["DEFAULT_TIMEOUT", "Question", "Result", "close", "exchange", "outcomes", "put", "send"]

#: lab seconds a client waits before it gives up: long enough for three ARP requests and three SYNs
DEFAULT_TIMEOUT = 10.0
MAX_DEPTH = 12
MAX_OUTCOMES = 4096
MAX_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """What a client in namespace `ns` tries. `payload` is sent after the handshake (TCP) or in the datagram.

    `wait_answer` waits for what the server says. `closing`: how a TCP client ends; by SO_LINGER 0 it is a reset.
    """

    ns: str
    dst: str
    port: int = 0
    protocol: str = "TCP"
    payload: Payload | None = None
    wait_answer: bool = False
    source: str = ""
    source_port: int | None = None
    df: bool = True
    ttl: int = 64
    timeout: float = DEFAULT_TIMEOUT
    closing: Literal["fin", "reset", "none"] = "fin"


@dataclass(slots=True)
class Result:
    """What came of a question."""

    question: Question
    verdict: Verdict
    phase: Phase
    error: str | None
    elapsed: float
    answered_by: str | None
    source_seen: str | None
    forward: Trail | None
    reply: Trail | None
    answer: Payload | None = None
    started: float = 0.0
    walk: Walk = field(repr=False, default=None)  # type: ignore[assignment]
    key: tuple[Any, ...] = ()
    ending: str = ""  # code of the event that ended it, "" if delivered
    kernel_share: Fraction = Fraction(1)  # of `outcomes`: its probability by the numbers that the kernel keeps


def source_port_of(net: Network, state: State, q: Question, src: str = "") -> int:
    """An ephemeral port: a hash of the pair and of how often it has talked. `src`: the address it is for, if that is known."""
    pairs = state.read("pairs")
    n = pairs.get((q.ns, q.dst, q.port, q.protocol), 0)
    text = f"{net.seed}/{q.ns}/{q.dst}/{q.port}/{q.protocol}/{n}"
    base = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
    if not src:
        src = route_output(net.namespace(q.ns), q.dst, q.source)[1]
    datagrams = state.read("sockets", q.ns)
    for i in range(28232):
        port = 32768 + (base + i) % 28232
        key = (src, port, q.dst, q.port)
        if key not in datagrams and ("icmp", port) not in datagrams and find(state, q.ns, key) is None:
            return port
    raise KubenetError("no free local port: EADDRNOTAVAIL")


def put(net: Network, state: State, q: Question, *, script: Script | None = None, depth: int = 0, capture: bool = True) -> Result:
    """Ask one question. Leaves its marks in `state`; draws are hashes of (seed, client, target, count, chooser).

    A TCP client closes when it has what it wanted. That goes on in the background (`State.later`), after the answer.
    """
    if len(q.payload or ()) > MAX_SIZE:
        raise KubenetError(f"size {len(q.payload or ())}: at most {MAX_SIZE} bytes")
    catch_up(net, state)
    q = replace(q, dst=connected_to(q.dst, q.source)) if q.dst in ("0.0.0.0", "::") else q
    target = (q.ns, q.dst, q.port, q.protocol)
    count = state.read("pairs").get(target, 0)
    ns = net.namespace(q.ns)
    route, src, problem = route_output(ns, q.dst, q.source)
    sport = q.source_port if q.source_port is not None else source_port_of(net, state, q, src)
    w = Walk(net, state, script or Draws(net.seed, *target, count), depth, capture)
    state.capture = w.frames
    state.write("pairs")[target] = count + 1
    start = state.clock
    packet = Packet(src or q.source or "0.0.0.0", q.dst, q.protocol, Udp(sport, q.port), ttl=q.ttl)
    if route is not None and route.type == "broadcast":
        problem = "ENETUNREACH" if q.protocol == "TCP" else "EACCES"  # tcp_v4_connect, __ip4_datagram_connect
    code = "route.none" if route is None else "route.refused"
    if q.dst in prefix("fe80::/10"):
        problem, code = "EINVAL", "route.no_device"  # tcp_v6_connect, __ip6_datagram_connect: no scope id
    if problem:
        f = w.note(
            Flight("output", q.ns, "", packet),
            code,
            entry=route,
            failed=True,
            errno=problem,
            dst=q.dst,
        )
        return Result(q, "unreachable", "handshake", problem, 0.0, None, None, f.trail, None, started=start, walk=w, ending="route.none")
    asker = {"TCP": _tcp, "UDP": _udp, "ICMP": _ping}.get(q.protocol)
    if asker is None:
        raise KubenetError(f"protocol {q.protocol!r}: TCP, UDP or ICMP")
    result = asker(w, q, src, sport)
    result.started = start
    result.elapsed = w.heard - start
    w.leave()
    state.capture = w.frames  # questions of processes on the way had their own
    if result.key in state.read("tcp", q.ns) and q.closing != "none":
        state.at(state.clock, Timer("tcp_close", q.ns, (result.key, q.closing == "reset")))
    return result


# ------------------------------------------------------------------------------------------------------ the three
def _tcp(w: Walk, q: Question, src: str, sport: int) -> Result:
    key: Key = (src, sport, q.dst, q.port)
    ns = w.ns(q.ns)
    other = find(w.state, q.ns, key)
    if other is not None and not other.expires:  # TIME_WAIT gives way to a socket that is bound to its port (tcp_twsk_unique)
        raise KubenetError(f"source port {sport} is in use towards {q.dst}:{q.port} ({other.state}): EADDRNOTAVAIL")
    for delay, item in open_tcp(w, ns, key, q.ttl):
        w.send(item, delay)
    deadline = w.now + q.timeout
    first = _wait(w, q.ns, key, ("connected", "error"), deadline)
    if first is None or first.what == "error":
        forget(w.state, q.ns, key)
        return _failed(w, q, key, "handshake", first)
    if q.payload is None or not len(q.payload):
        w.settle()
        return _good(w, q, key, first, None)
    conn = find(w.state, q.ns, key)
    if conn is None:
        return _failed(w, q, key, "data", None)
    mark = len(w.events)
    for delay, item in write(w, ns, key, conn, q.payload):
        w.send(item, delay)
    wanted = ("answer", "error") if q.wait_answer else ("acked", "error")
    last = _wait(w, q.ns, key, wanted, w.now + q.timeout, mark)
    if last is None or last.what == "error":
        return _failed(w, q, key, "data", last)
    w.settle()
    return _good(w, q, key, first, last)


def _udp(w: Walk, q: Question, src: str, sport: int) -> Result:
    payload = q.payload if q.payload is not None else Filler(1)
    packet = Packet(src, q.dst, "UDP", Udp(sport, q.port, payload), ttl=q.ttl, df=q.df)
    return _datagram(w, q, (src, sport, q.dst, q.port), packet, len(payload))


def _ping(w: Walk, q: Question, src: str, sport: int) -> Result:
    payload = q.payload if q.payload is not None else Filler(56)
    six = ":" in q.dst
    ident = sport & 0xFFFF
    echo = Icmp(128 if six else 8, 0, ident, 1, payload=payload)
    packet = Packet(src, q.dst, "ICMPv6" if six else "ICMP", echo, ttl=q.ttl, df=q.df)
    return _datagram(w, q, ("icmp", ident), packet, len(payload))


def _datagram(w: Walk, q: Question, key: tuple[Any, ...], packet: Packet, size: int) -> Result:
    """One packet out of a socket, and the wait for what comes back to it."""
    early = _too_big(w, q, packet)
    if early is not None:
        return early
    w.state.write("sockets", q.ns)[key] = True
    f = Flight("output", q.ns, "", packet, label="datagram", dont_fragment_locally=not q.df)
    port = q.port if q.protocol == "UDP" else 0
    w.send(w.note(f, "socket.send", label=w.ns(q.ns).label, flags="", dst=q.dst, port=port, protocol=q.protocol, size=size))
    event = _wait(w, q.ns, key, ("answer", "error"), w.now + q.timeout)
    w.state.write("sockets", q.ns).pop(key, None)
    if event is None or event.what == "error":
        return _failed(w, q, key, "data", event)
    return _good(w, q, key, event, event)


def _too_big(w: Walk, q: Question, packet: Packet) -> Result | None:
    """EMSGSIZE from the send call, and nothing is sent: with DF beyond the known path MTU, without beyond what IP can carry at all."""
    ns = w.ns(q.ns)
    route, _, _ = route_output(ns, q.dst, packet.src)
    if route is None or route.dev not in ns.links:
        return None
    mtu = path_mtu(w, ns, q.dst, route) if q.df else MAX_PACKET[packet.family]
    if packet.size <= min(mtu, MAX_PACKET[packet.family]):
        return None
    f = w.note(Flight("output", q.ns, route.dev, packet), "mtu.send", entry=route, failed=True, size=packet.size, mtu=mtu, df=q.df)
    return Result(q, "too-big", "data", "EMSGSIZE", 0.0, None, None, f.trail, None, walk=w, ending="mtu.send")


def send(net: Network, state: State, opened: Result, payload: Payload, timeout: float = DEFAULT_TIMEOUT) -> Result:
    """`payload` over a connection that `put(..., closing="none")` opened: a walk of its own. Raises KubenetError if it is gone."""
    if len(payload) > MAX_SIZE:
        raise KubenetError(f"size {len(payload)}: at most {MAX_SIZE} bytes")
    w, conn = _over(net, state, opened, "send")
    q, key, start = opened.question, opened.key, w.now
    for delay, item in write(w, w.ns(q.ns), key, conn, payload):
        w.send(item, delay)
    event = _wait(w, q.ns, key, ("acked", "error"), start + timeout)
    return _so_far(w, opened, event, start)


def close(net: Network, state: State, opened: Result, reset: bool = False) -> Result:
    """The client closes a connection that `put(..., closing="none")` opened, by a FIN or a `reset`: all that happens at once.

    close() itself never waits: what is lost is sent again in the background. Raises KubenetError if the connection is gone.
    """
    w, conn = _over(net, state, opened, "close")
    q, key, start = opened.question, opened.key, w.now
    for delay, item in close_tcp(w, w.ns(q.ns), key, conn, reset):
        w.send(item, delay)
    w.settle()
    # a reset is not answered: the other end has heard it when it has
    heard = (e for e in w.events if (e.what == "error" if reset else e.what == "closed" and e.key == key))
    event = next((e.but(what="closed") for e in heard), None)
    w.heard = event.time if event is not None else w.now
    done = _so_far(w, opened, event, start)
    done.error = None
    return done


def _over(net: Network, state: State, opened: Result, what: str) -> tuple[Walk, Conn]:
    """A walk over an open connection, and the client's end of it."""
    catch_up(net, state)
    conn = find(state, opened.question.ns, opened.key)
    if conn is None or conn.closed:
        raise KubenetError("the connection is not open")
    w = Walk(net, state, Draws(net.seed, *opened.key, what))
    state.capture = w.frames
    mine = [x for x in state.later if isinstance(x[2], Timer) and x[2].ns == opened.question.ns and x[2].args[0] == opened.key]
    state.later = sorted((x for x in state.later if x not in mine), key=lambda x: x[:2])
    w.take(mine)  # what it has sent before and nobody has acknowledged
    return w, conn


def _so_far(w: Walk, opened: Result, event: Event | None, start: float) -> Result:
    q, key = opened.question, opened.key
    if event is None or event.what == "error":
        done = _failed(w, q, key, "data", event)
    else:
        w.settle()
        done = _good(w, q, key, event, event)
        done.answered_by, done.source_seen = done.answered_by or opened.answered_by, done.source_seen or opened.source_seen
    done.started, done.elapsed = start, w.heard - start
    w.leave()
    return done


# --------------------------------------------------------------------------------------------------------- verdict
def _wait(w: Walk, ns: str, key: tuple[Any, ...], kinds: tuple[str, ...], deadline: float, mark: int = 0) -> Event | None:
    cursor = mark

    def heard() -> Event | None:
        nonlocal cursor
        while cursor < len(w.events):
            e = w.events[cursor]
            if e.ns == ns and e.key == key and e.what in kinds:
                return e
            cursor += 1
        return None

    w.run(lambda: heard() is not None, deadline)
    w.heard = w.now
    return heard()


def _server(w: Walk) -> tuple[str | None, str | None]:
    """(who answered, the source it saw): from the last server socket that took something."""
    for e in reversed(w.events):
        if e.what in ("accepted", "syn", "datagram", "echoed", "message") and e.value and isinstance(e.value, tuple):
            return e.value
    return None, None


def _good(w: Walk, q: Question, key: tuple[Any, ...], event: Event, last: Event | None) -> Result:
    who, seen = _server(w)
    flight = event.flight
    assert flight is not None
    forward, reply = (flight.cause, flight.trail) if flight.cause is not None else (flight.trail, None)
    return Result(
        q, "delivered", "data" if last is not None else "handshake", None, 0.0, who, seen, forward, reply,
        answer=last.value if last is not None else None, walk=w, key=key,
    )  # fmt: skip


_VERDICTS: dict[str, Verdict] = {
    "ECONNREFUSED": "refused", "ECONNRESET": "refused", "EMSGSIZE": "too-big", "ETIMEDOUT": "timeout", "EPERM": "refused",
}  # fmt: skip


def _failed(w: Walk, q: Question, key: tuple[Any, ...], phase: Phase, event: Event | None) -> Result:
    seen = _server(w)[1]
    if event is not None and event.value != "ETIMEDOUT":
        verdict = _VERDICTS.get(event.value, "unreachable")
        flight = event.flight
        forward, reply = (
            (flight.cause, flight.trail) if flight is not None and flight.cause is not None else (flight.trail if flight else None, None)
        )
        code = forward.code if forward is not None else ""
        return Result(q, verdict, phase, event.value, 0.0, None, seen, forward, reply, walk=w, key=key, ending=code)
    tcp = q.protocol == "TCP"
    ending = _decisive(w, phase)
    forward = reply = None
    if ending is not None:
        f = ending.flight
        forward, reply = (f.cause, f.trail) if f.cause is not None else (f.trail, None)
    return Result(
        q, "stalled" if phase == "data" and tcp else "timeout", phase, "ETIMEDOUT" if tcp else None, 0.0, None, seen,
        forward, reply, walk=w, key=key, ending=ending.code if ending else "",
    )  # fmt: skip


def _decisive(w: Walk, phase: Phase) -> Ending | None:
    """The first ending that explains the silence: of a data segment in the data phase, else of any packet of the conversation."""
    labels = ("data", "answer") if phase == "data" else ()
    for e in w.endings:
        if e.flight.label in labels:
            return e
    return w.endings[0] if w.endings else None


# -------------------------------------------------------------------------------------------------------- outcomes
def outcomes(net: Network, state: State, q: Question, record: Callable[[Result], Any]) -> list[tuple[Fraction, Any]]:
    """Every way the question can go, on forks of `state`: the walk is run once per sequence of choices."""
    found: list[tuple[Fraction, Any]] = []
    pending: list[list[int]] = [[]]
    while pending:
        told = pending.pop()
        script = Script(told)
        result = put(net, state.fork(), q, script=script)
        share = Fraction(1)
        for pick, weights in script.made:
            share *= Fraction(weights[pick], sum(weights))
        found.append((share, record(replace(result, kernel_share=kernel_share(script.made)))))
        if len(found) > MAX_OUTCOMES:
            raise KubenetError(f"more than {MAX_OUTCOMES} ways this can go")
        for i in range(len(script.made) - 1, len(told) - 1, -1):
            pick, weights = script.made[i]
            for other in range(len(weights) - 1, pick, -1):
                if weights[other]:
                    pending.append([p for p, _ in script.made[:i]] + [other])
    return found


# -------------------------------------------------------------------------------------------------------- exchange
def exchange(
    w: Walk, ns: str, dst: str, port: int, protocol: str, payload: Payload, timeout: float, *, source_port: int | None = None
) -> Exchange:
    """A process's question, as a walk of its own on the same state, with the asking walk's chooser."""
    from .story import trace_of

    if w.depth >= MAX_DEPTH:
        raise KubenetError(f"{MAX_DEPTH} processes wait for each other: a forwarding loop between servers")
    q = Question(ns, dst, port, protocol, payload, wait_answer=True, timeout=timeout, source_port=source_port)
    script = w.chooser if isinstance(w.chooser, Script) else None
    result = put(w.net, w.state, q, script=script, depth=w.depth + 1, capture=w.frames is not None)
    reply = result.answer if result.verdict == "delivered" else None
    error = None if reply is not None else result.error or "ETIMEDOUT"
    return Exchange(reply, error, result.elapsed, trace_of(result))
