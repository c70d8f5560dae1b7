"""Questions to the walk: open a connection, send a datagram, ping.

A question under way (`Asked`) is a walk and what its client waits for: between two units of work it can be forked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..errors import KubenetError
from . import bridge_questions, l2, sockets  # noqa: F401  (their stages register themselves)
from .address import prefix
from .background import catch_up
from .flight import Flight, Timer
from .l3 import MAX_SIZE as MAX_PACKET
from .l3 import connected_to, path_mtu, route_output
from .network import Network
from .packet import Filler, Icmp, Packet, Payload, Udp
from .process import Exchange
from .state import State
from .tcp import open_tcp, write
from .tcp_close import close_tcp
from .tcp_conn import Conn, Key, find, forget
from .verdict import DEFAULT_TIMEOUT, Question, Result, failed, good
from .walk import FLIGHT_TIME, Draws, Event, Script, Walk

__all__ = ["DEFAULT_TIMEOUT", "Asked", "Question", "Result", "close", "exchange", "put", "send"]

MAX_DEPTH = 12
MAX_SIZE = 1 << 20


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


@dataclass(frozen=True, slots=True)
class Wait:
    """What a client waits for: an event of one of these `kinds` for its socket, or, without any, that what is under way has arrived.

    `then` goes on with the event, or with None when there is none before the lab's clock would pass `deadline`.
    """

    ns: str
    key: tuple[Any, ...]
    kinds: tuple[str, ...]
    deadline: float
    then: Callable[[Walk, Event | None], Wait | Result]
    mark: int = 0  # events before this one were for somebody else


class Asked:
    """A question under way. `unit` lets the next thing happen, until there is a `result`.

    Everything it knows is in the walk, the state and `Wait`; so a fork between two units goes on as the original would.
    """

    __slots__ = ("_cursor", "_question", "_started", "_wait", "result", "walk")

    def __init__(self, net: Network, state: State, q: Question, script: Script | None = None, depth: int = 0, capture: bool = True):
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
        self.walk, self._question, self._started, self._cursor = w, q, state.clock, 0
        self._wait: Wait | None = None
        self.result: Result | None = None
        packet = Packet(src or q.source or "0.0.0.0", q.dst, q.protocol, Udp(sport, q.port), ttl=q.ttl)
        if route is not None and route.type == "broadcast":
            problem = "ENETUNREACH" if q.protocol == "TCP" else "EACCES"  # tcp_v4_connect, __ip4_datagram_connect
        code = "route.none" if route is None else "route.refused"
        if q.dst in prefix("fe80::/10"):
            problem, code = "EINVAL", "route.no_device"  # tcp_v6_connect, __ip6_datagram_connect: no scope id
        if problem:
            f = w.note(Flight("output", q.ns, "", packet), code, entry=route, failed=True, errno=problem, dst=q.dst)
            self.result = Result(
                q, "unreachable", "handshake", problem, 0.0, None, None, f.trail, None, started=state.clock, walk=w, ending="route.none"
            )
            return
        asker = {"TCP": _tcp, "UDP": _udp, "ICMP": _ping}.get(q.protocol)
        if asker is None:
            raise KubenetError(f"protocol {q.protocol!r}: TCP, UDP or ICMP")
        self._go_on(asker(w, q, src, sport))

    @property
    def script(self) -> Script:
        """Its chooser, where choices are told."""
        assert isinstance(self.walk.chooser, Script)
        return self.walk.chooser

    def fork(self, script: Script) -> Asked:
        """Another one that goes on from here with these choices, on a fork of the state."""
        other = object.__new__(Asked)
        other.walk, other._question, other._started = self.walk.fork(script), self._question, self._started
        other._wait, other._cursor, other.result = self._wait, self._cursor, self.result
        return other

    def unit(self) -> None:
        """The next step of the walk; or, if what was waited for is there or cannot come any more, what the client does then."""
        w, wait, event = self.walk, self._wait, None
        assert wait is not None
        if wait.kinds and self._cursor < len(w.events):
            event = self._heard(wait)
        if event is None and (wait.kinds or not w.settled):
            if w.step(wait.deadline):
                return
            w.state.clock = max(w.state.clock, wait.deadline)  # the one who asked waits to the end
        if wait.kinds:
            w.heard = w.now
        w.steps += 1
        self._go_on(wait.then(w, event))

    def _heard(self, wait: Wait) -> Event | None:
        events = self.walk.events
        while self._cursor < len(events):
            e = events[self._cursor]
            if e.what in wait.kinds and e.ns == wait.ns and e.key == wait.key:
                return e
            self._cursor += 1
        return None

    def _go_on(self, what: Wait | Result) -> None:
        if isinstance(what, Wait):
            self._wait, self._cursor = what, what.mark
            return
        w, q, result = self.walk, self._question, what
        self.result = result
        result.started = self._started
        result.elapsed = w.heard - self._started
        w.leave()
        w.state.capture = w.frames  # questions of processes on the way had their own
        if result.key in w.state.read("tcp", q.ns) and q.closing != "none":
            w.state.at(w.state.clock, Timer("tcp_close", q.ns, (result.key, q.closing == "reset")))


def put(net: Network, state: State, q: Question, *, script: Script | None = None, depth: int = 0, capture: bool = True) -> Result:
    """Ask one question. Leaves its marks in `state`; draws are hashes of (seed, client, target, count, chooser).

    A TCP client closes when it has what it wanted. That goes on in the background (`State.later`), after the answer.
    """
    asked = Asked(net, state, q, script, depth, capture)
    while asked.result is None:
        asked.unit()
    return asked.result


def _settled(w: Walk, result: Callable[[Walk], Result]) -> Wait | Result:
    """Let what is under way arrive (the last ACK, say); who asked has gone on before.

    It changes nothing for who asked. So where all ways are walked, it is left to the background: for who looks at a way's frames.
    """
    if isinstance(w.chooser, Script) and not w.depth:
        return result(w)
    return Wait("", (), (), w.now + FLIGHT_TIME, lambda w, _: result(w))


# ------------------------------------------------------------------------------------------------------ the three
def _tcp(w: Walk, q: Question, src: str, sport: int) -> Wait:
    key: Key = (src, sport, q.dst, q.port)
    ns = w.ns(q.ns)
    other = find(w.state, q.ns, key)
    if other is not None and not other.expires:  # TIME_WAIT gives way to a socket that is bound to its port (tcp_twsk_unique)
        raise KubenetError(f"source port {sport} is in use towards {q.dst}:{q.port} ({other.state}): EADDRNOTAVAIL")
    for delay, item in open_tcp(w, ns, key, q.ttl):
        w.send(item, delay)
    return Wait(q.ns, key, ("connected", "error"), w.now + q.timeout, partial(_opened, q, key))


def _opened(q: Question, key: Key, w: Walk, first: Event | None) -> Wait | Result:
    """The handshake is over."""
    if first is None or first.what == "error":
        forget(w.state, q.ns, key)
        return failed(w, q, key, "handshake", first)
    if q.payload is None or not len(q.payload):
        return _settled(w, lambda w: good(w, q, key, first, None))
    conn = find(w.state, q.ns, key)
    if conn is None:
        return failed(w, q, key, "data", None)
    mark = len(w.events)
    for delay, item in write(w, w.ns(q.ns), key, conn, q.payload):
        w.send(item, delay)
    wanted = ("answer", "error") if q.wait_answer else ("acked", "error")
    return Wait(q.ns, key, wanted, w.now + q.timeout, partial(_said, q, key, first), mark)


def _said(q: Question, key: Key, first: Event, w: Walk, last: Event | None) -> Wait | Result:
    """The data is acknowledged, or answered."""
    if last is None or last.what == "error":
        return failed(w, q, key, "data", last)
    return _settled(w, lambda w: good(w, q, key, first, last))


def _udp(w: Walk, q: Question, src: str, sport: int) -> Wait | Result:
    payload = q.payload if q.payload is not None else Filler(1)
    packet = Packet(src, q.dst, "UDP", Udp(sport, q.port, payload), ttl=q.ttl, df=q.df)
    return _datagram(w, q, (src, sport, q.dst, q.port), packet, len(payload))


def _ping(w: Walk, q: Question, src: str, sport: int) -> Wait | Result:
    payload = q.payload if q.payload is not None else Filler(56)
    six = ":" in q.dst
    ident = sport & 0xFFFF
    echo = Icmp(128 if six else 8, 0, ident, 1, payload=payload)
    packet = Packet(src, q.dst, "ICMPv6" if six else "ICMP", echo, ttl=q.ttl, df=q.df)
    return _datagram(w, q, ("icmp", ident), packet, len(payload))


def _datagram(w: Walk, q: Question, key: tuple[Any, ...], packet: Packet, size: int) -> Wait | Result:
    """One packet out of a socket, and the wait for what comes back to it."""
    early = _too_big(w, q, packet)
    if early is not None:
        return early
    w.state.write("sockets", q.ns)[key] = True
    f = Flight("output", q.ns, "", packet, label="datagram", dont_fragment_locally=not q.df)
    port = q.port if q.protocol == "UDP" else 0
    w.send(w.note(f, "socket.send", label=w.ns(q.ns).label, flags="", dst=q.dst, port=port, protocol=q.protocol, size=size))
    return Wait(q.ns, key, ("answer", "error"), w.now + q.timeout, partial(_came_back, q, key))


def _came_back(q: Question, key: tuple[Any, ...], w: Walk, event: Event | None) -> Result:
    w.state.write("sockets", q.ns).pop(key, None)
    if event is None or event.what == "error":
        return failed(w, q, key, "data", event)
    return good(w, q, key, event, event)


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


def _wait(w: Walk, ns: str, key: tuple[Any, ...], kinds: tuple[str, ...], deadline: float) -> Event | None:
    def heard() -> Event | None:
        return next((e for e in w.events if e.what in kinds and e.ns == ns and e.key == key), None)

    w.run(lambda: heard() is not None, deadline)
    w.heard = w.now
    return heard()


def _so_far(w: Walk, opened: Result, event: Event | None, start: float) -> Result:
    q, key = opened.question, opened.key
    if event is None or event.what == "error":
        done = failed(w, q, key, "data", event)
    else:
        w.settle()
        done = good(w, q, key, event, event)
        done.answered_by, done.source_seen = done.answered_by or opened.answered_by, done.source_seen or opened.source_seen
    done.started, done.elapsed = start, w.heard - start
    w.leave()
    return done


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
