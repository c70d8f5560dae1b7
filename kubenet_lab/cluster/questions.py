"""Questions about traffic: connect, ping, request, resolve, ask, outcomes, open.

Each works on a `Fork`: the programmed network with one dynamic state. `connect`, `request`, `resolve` and `ask` use the
cluster's own state and leave their marks; `outcomes` and previews use a copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotModelled
from ..ingress import HttpRequest, HttpResponse, split_url
from ..kernel.ask import DEFAULT_TIMEOUT, Question, Result, put
from ..kernel.ask import outcomes as all_outcomes
from ..kernel.network import Network
from ..kernel.packet import Filler, Payload
from ..kernel.process import Exchange
from ..kernel.sockets import Conn, send_data
from ..kernel.state import State
from ..kernel.story import trace_of
from ..kernel.walk import Draws, Walk
from ..objects.views import Service
from ..trace import Outcome, Reason, Trace
from .names import Party, as_ip, party

if TYPE_CHECKING:
    from ..dns import Resolution
    from .cluster import Cluster

__all__ = ["Connection", "Fork", "ask", "connect", "open_connection", "outcomes", "request", "resolve"]

PROTOCOLS = ("TCP", "UDP", "ICMP", "SCTP")


@dataclass(slots=True)
class Fork:
    """The network as programmed, and the dynamic state that questions read and change. Implements `kernel.process.Transport`."""

    cluster: Cluster
    network: Network
    state: State

    def exchange(
        self, host: str, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None
    ) -> Exchange:
        q = Question(host, dst, port, protocol, payload, wait_answer=True, timeout=timeout, source_port=source_port)
        result = put(self.network, self.state, q)
        reply = result.answer if result.verdict == "delivered" else None
        return Exchange(reply, None if reply is not None else result.error or "ETIMEDOUT", result.elapsed, trace_of(result))

    @property
    def now(self) -> float:
        return self.state.clock


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a connection goes, after names: an address, what it stood for, and the resolution if a name was asked for."""

    address: str
    label: str
    resolution: Any = None
    party: Party | None = None


# ------------------------------------------------------------------------------------------------------------ names
def _source(fork: Fork, src: Any) -> Party:
    who = party(fork.cluster.snapshot(), src)
    if who.kind == "service":
        raise KubenetError(f"source {src!r}: a Service sends nothing; name a pod, a node or external:IP")
    if who.kind == "external":
        fork.network.external(who.address)
    elif who.kind == "ip" and not who.namespace:
        raise KubenetError(f"source {src!r}: no pod or node has this address; for a machine outside write external:{who.address}")
    if who.namespace and who.namespace not in fork.network.namespaces:
        cni = fork.cluster.pod_network
        raise NotModelled(f"pod network: {cni}")
    return who


def _port(fork: Fork, who: Party, port: int | str, protocol: str) -> int:
    """A port is a number or a name: of the Service's port, or of a container port of the pod."""
    if isinstance(port, int) and not isinstance(port, bool):
        if not 0 <= port <= 65535:
            raise KubenetError(f"port: found {port}, expected 1 to 65535")
        return port
    text = str(port)
    if text.isdigit():
        return _port(fork, who, int(text), protocol)
    choices: list[str] = []
    if who.service is not None:
        for p in who.service.spec.ports:
            choices.append(p.name)
            if p.name == text:
                return p.port
    if who.pod is not None:
        for c in who.pod.spec.containers:
            for cp in c.ports:
                choices.append(cp.name)
                if cp.name == text and cp.protocol == protocol:
                    return cp.container_port
    from ..errors import NotFound

    raise NotFound(f"port of {who.label}", text, [c for c in choices if c])


def _target(fork: Fork, source: Party, dst: Any, port: int | str, protocol: str, family: str = "any") -> tuple[_Target, int]:
    who = party(fork.cluster.snapshot(), dst, role="destination")
    if who.kind == "name":
        name = who.address
        resolution = resolve_from(fork, source, name, family)
        if not resolution.addresses:
            return _Target("", name, resolution, who), port if isinstance(port, int) else 0
        number = _port(fork, _service_at(fork, resolution.addresses[0]) or who, port, protocol)
        return _Target(resolution.addresses[0], name, resolution, who), number
    if who.kind == "service":
        if not who.address:
            kind = "is of type ExternalName: only DNS knows it" if who.service and who.service.spec.type == "ExternalName" else "is headless: it has no address of its own"
            raise KubenetError(f"{who.label} {kind}; ask for its DNS name instead")
        return _Target(who.address, who.label, None, who), _port(fork, who, port, protocol)
    if who.kind == "external" or (who.kind == "ip" and not who.namespace):
        _outside(fork, who.address)
    return _Target(who.address, who.label, None, who), _port(fork, who, port, protocol)


def _service_at(fork: Fork, address: str) -> Party | None:
    for s in fork.cluster.snapshot().list(Service):
        if address in s.spec.cluster_ips or address == s.spec.cluster_ip:
            return Party("service", f"svc:{s.key}", address=address, service=s)
    return None


def _outside(fork: Fork, address: str) -> None:
    """A destination outside the cluster's own ranges is a machine that is there and answers (an assumption that the answer states)."""
    from ..kernel.address import prefix

    plan = fork.cluster.plan
    inside = [*plan.pod_cidrs, *plan.service_cidrs]
    if any(address in prefix(c) for c in inside) or fork.network.owner_of(address) is not None:
        return
    first = address.split(".")[0]
    if ":" not in address and (first in ("0", "127") or int(first) >= 224):
        return
    if address in prefix(plan.node_cidr):
        return  # an unused address of the node network: nobody answers there
    fork.cluster.outside_server(fork.network, address)


def resolve_from(fork: Fork, source: Party, name: str, family: str = "any", resolver: str = "glibc") -> Resolution:
    """What the stub resolver in `source` makes of a name; its queries walk through the network."""
    return fork.cluster.stub_resolve(fork, source, name, family, resolver)


# ---------------------------------------------------------------------------------------------------------- connect
def _payload(size: int | None) -> Payload | None:
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise KubenetError(f"size: found {size!r}, expected a number of bytes")
    return Filler(size)


def connect(
    fork: Fork,
    src: Any,
    dst: Any,
    port: int | str = 80,
    protocol: str = "TCP",
    *,
    size: int | None = None,
    df: bool = True,
    source_port: int | None = None,
    via: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    ttl: int = 64,
) -> Trace:
    """One connection (TCP), datagram (UDP) or ping (ICMP), as a Trace."""
    protocol = protocol.upper()
    if protocol not in PROTOCOLS:
        raise KubenetError(f"protocol: found {protocol!r}, expected TCP, UDP or ICMP")
    if protocol == "SCTP":
        raise NotModelled("SCTP sockets")
    source = _source(fork, src)
    target, number = _target(fork, source, dst, port if protocol != "ICMP" else 0, protocol)
    question = _question(source, target, number, protocol)
    if not target.address:
        return _unresolved(question, target.resolution)
    if via is not None:
        _enter(fork, source, target.address, via)
    q = Question(
        source.namespace, target.address, number, protocol, _payload(size), source=source.address if source.kind == "external" else "",
        source_port=source_port, df=df, timeout=timeout, ttl=ttl,
    )  # fmt: skip
    result = put(fork.network, fork.state, q)
    trace = _told(fork, result, question, source, target)
    if target.resolution is None:
        return trace
    return _staged(question, trace, [("resolve", target.resolution), ("connect", trace)], target.resolution.elapsed)


def _question(source: Party, target: _Target, port: int, protocol: str) -> str:
    where = f"[{target.label}]" if ":" in target.label and as_ip(target.label) else target.label
    return f"{source.label} → {where}{f':{port}' if port else ''} {protocol}"


def _told(fork: Fork, result: Result, question: str, source: Party, target: _Target) -> Trace:
    """The trace with what the cluster knows about it: Services, policies that nobody enforces, assumptions."""
    notes = [n for n in (source.note, target.party.note if target.party else "") if n]
    reasons = fork.cluster.reasons_for(result, source, target.party, target.address)
    trace = trace_of(result, question=question, reasons=reasons, assumptions=notes, facts={"topology": fork.cluster.topology()})
    fork.cluster.last_result = result
    return trace


def _staged(question: str, last: Trace, stages: Sequence[tuple[str, Any]], before: float) -> Trace:
    """A trace whose hops are those of its last walk, with the earlier stages beside it."""
    return Trace(
        question=question, verdict=last.verdict, phase=last.phase, error=last.error, elapsed=before + last.elapsed, answered_by=last.answered_by,
        source_seen=last.source_seen, build=lambda: (last.hops, last.reply_hops), frames=lambda: last.frames, reasons=last.reasons, stages=stages,
        answer=last.answer, facts=last.facts, assumptions=last.assumptions,
    )  # fmt: skip


def _unresolved(question: str, resolution: Any) -> Trace:
    """The name did not resolve: the trace of the query that decided, and the resolver's words."""
    walks = [q.trace for q in resolution.queries if q.trace is not None]
    bad = next((t for t in walks if not t), walks[-1] if walks else None)
    reasons = [Reason("cluster.unresolved", {"name": resolution.name, "error": resolution.error}), *(bad.reasons if bad is not None and not bad else ())]
    return Trace(
        question=question, verdict="unreachable", phase="resolve", error=resolution.error, elapsed=resolution.elapsed, answered_by=None,
        source_seen=None, build=lambda: (bad.hops, bad.reply_hops) if bad is not None else ((), ()),
        frames=lambda: bad.frames if bad is not None else (), reasons=reasons, stages=[("resolve", resolution)],
        facts=bad.facts if bad is not None else {},
    )  # fmt: skip


def _enter(fork: Fork, source: Party, address: str, via: str) -> None:
    """A packet from outside enters by one node: the world's routers send this address there."""
    if source.kind != "external":
        raise KubenetError("via: only a packet from outside (src external:IP) enters by a node")
    node = party(fork.cluster.snapshot(), via if via.startswith("node:") else f"node:{via}")
    bits = 128 if ":" in address else 32
    on_link = any(p[0] == source.namespace for p in fork.network.segments["lan"].ports)
    ns = fork.network.namespaces[source.namespace if on_link else "gateway"]
    ns.add_route(f"{address}/{bits}", via=node.address, dev="" if on_link else "lan", replace_existing=True)


def outcomes(
    fork: Fork, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP", *, via: str | None = None, size: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> tuple[Outcome, ...]:
    """Every way one connection can go, likeliest first; the probabilities are exact and sum to 1."""
    source = _source(fork, src)
    protocol = protocol.upper()
    target, number = _target(fork, source, dst, port if protocol != "ICMP" else 0, protocol)
    question = _question(source, target, number, protocol)
    if not target.address:
        trace = _unresolved(question, target.resolution)
        return (Outcome(Fraction(1), trace.verdict, None, None, trace.error, trace),)
    if via is not None:
        _enter(fork, source, target.address, via)
    q = Question(source.namespace, target.address, number, protocol, _payload(size), timeout=timeout)
    found = all_outcomes(fork.network, fork.state, q, lambda r: r)
    merged: dict[tuple[Any, ...], tuple[Fraction, Result]] = {}
    for share, r in found:
        key = (r.verdict, r.answered_by, r.source_seen, r.error)
        before = merged.get(key)
        merged[key] = (share + before[0], before[1]) if before else (share, r)
    listed = [
        Outcome(share, r.verdict, r.answered_by, r.source_seen, r.error, trace_of(r, question=question, facts={"topology": fork.cluster.topology()}))
        for share, r in merged.values()
    ]
    return tuple(sorted(listed, key=lambda o: (-o.probability, o.verdict, o.answered_by or "", o.source_seen or "")))


# ---------------------------------------------------------------------------------------------------------- request
def request(
    fork: Fork, src: Any, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body_size: int = 0,
    timeout: float = DEFAULT_TIMEOUT,
) -> Trace:
    """DNS, connection and HTTP exchange, each with its own trace; an ingress controller's inner leg is one more stage."""
    source = _source(fork, src)
    parts = split_url(url)
    message = HttpRequest.to(parts, method, headers, body_size)
    address = as_ip(parts.host)
    stages: list[tuple[str, Any]] = []
    before = 0.0
    question = f"{source.label} → {message.method} {parts}"
    if address is None:
        resolution = resolve_from(fork, source, parts.host)
        stages.append(("resolve", resolution))
        before = resolution.elapsed
        if not resolution.addresses:
            return _unresolved(question, resolution)
        address = resolution.addresses[0]
    else:
        _outside(fork, address)
    target = _Target(address, parts.host, None, party(fork.cluster.snapshot(), address, role="destination"))
    q = Question(source.namespace, address, parts.port, "TCP", message, wait_answer=True, timeout=timeout)
    result = put(fork.network, fork.state, q)
    first = _told(fork, result, f"{source.label} → {parts.host}:{parts.port} TCP", source, target)
    stages.append(("connect", first))
    answer = result.answer
    if isinstance(answer, HttpResponse):
        if answer.decision is not None:
            stages.append(("route", answer.decision))
        if answer.exchange is not None:
            inner = answer.exchange.trace
            inner.question = f"{result.answered_by} → {answer.endpoint} TCP"
            inner.facts = {"topology": fork.cluster.topology()}
            stages.append(("forward", inner))
        stages.append(("answer", _HttpAnswer(answer)))
    decision = fork.cluster.policy_on(source, result)
    if decision is not None:
        stages.insert(next(i for i, (name, _) in enumerate(stages) if name == "connect") + 1, ("policy", decision))
    trace = _staged(question, first, stages, before)
    trace.answer = answer
    return trace


class _HttpAnswer:
    """The response, as the last stage of a request."""

    def __init__(self, response: HttpResponse):
        self.response = response

    @property
    def summary(self) -> str:
        first = bytes(self.response.body).decode(errors="replace").splitlines()
        return f"{self.response}" + (f" · {first[0]}" if first else "")

    def explain(self) -> str:
        return "\n".join([str(self.response), *(f"  {line}" for line in bytes(self.response.body).decode(errors="replace").splitlines())])

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.response.status, "body": bytes(self.response.body).decode(errors="replace")}

    def __repr__(self) -> str:
        return f"HTTP {self.response}"


def resolve(fork: Fork, src: Any, name: str, family: str = "any", resolver: str = "glibc") -> Resolution:
    return resolve_from(fork, _source(fork, src), name, family, resolver)


_HOST_PORT = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|[^:]+):(?P<port>[A-Za-z0-9-]+)$")


def ask(fork: Fork, src: Any, target: Any, **options: Any) -> Any:
    """One verb for the first lessons: a URL is requested, host:port is connected to, a bare name is resolved."""
    if isinstance(target, str):
        if "://" in target:
            return request(fork, src, target, **options)
        if not target.startswith(("svc:", "node:", "external:")) and as_ip(target) is None:
            if m := _HOST_PORT.match(target):
                port: int | str = int(m["port"]) if m["port"].isdigit() else m["port"]
                return connect(fork, src, m["host"].strip("[]"), port, **options)
            if "/" not in target:
                return resolve(fork, src, target, **options)
        elif (m := re.match(r"^((?:svc|node|external):[^:]+(?:\.[^:]+)*):([A-Za-z0-9-]+)$", target)) is not None:
            return connect(fork, src, m[1], int(m[2]) if m[2].isdigit() else m[2], **options)
        elif as_ip(target) is not None and "port" not in options:
            return connect(fork, src, target, 0, "ICMP", **options)
    return connect(fork, src, target, **options)


# ------------------------------------------------------------------------------------------------ an open connection
class Connection:
    """An established TCP flow: `send` walks its packets, `close` ends it. Keeps its endpoint, whatever changes meanwhile."""

    def __init__(self, fork: Fork, result: Result, question: str):
        self._fork, self._result, self.question = fork, result, question
        self.trace = trace_of(result, question=question, facts={"topology": fork.cluster.topology()})
        self.open = bool(self.trace)

    @property
    def verdict(self) -> str:
        return self.trace.verdict

    def _conn(self) -> Conn | None:
        found: Conn | None = self._fork.state.read("tcp", self._result.question.ns).get(self._result.key)
        return found

    def send(self, size: int = 1, timeout: float = DEFAULT_TIMEOUT) -> Trace:
        """`size` bytes to the server and their acknowledgement, as a Trace."""
        from dataclasses import replace

        from ..kernel.ask import _failed, _good, _wait

        conn = self._conn()
        if not self.open or conn is None:
            raise KubenetError(f"{self.question}: the connection is not open")
        payload = _payload(size)
        assert payload is not None
        fork, q, key = self._fork, self._result.question, self._result.key
        network = fork.cluster.network()
        w = Walk(network, fork.state, Draws(network.seed, *key, "send"))
        start = fork.state.clock
        for delay, item in send_data(w, w.ns(q.ns), key, replace(conn, out=payload, done=0)):
            w.send(item, delay)
        event = _wait(w, q.ns, key, ("acked", "error"), start + timeout)
        w.settle()
        done = _failed(w, q, key, "data", event) if event is None or event.what == "error" else _good(w, q, key, event, event)
        done.elapsed = fork.state.clock - start
        done.answered_by = done.answered_by or (self._result.answered_by if done.verdict == "delivered" else None)
        done.source_seen = done.source_seen or self._result.source_seen
        if event is None or event.what == "error":
            self.open = False
        return trace_of(done, question=f"{self.question}: {size} bytes", facts={"topology": fork.cluster.topology()})

    def close(self) -> None:
        """Both ends close."""
        for key in [k for k in self._fork.state.keys() if k[0] == "tcp"]:
            table = self._fork.state.read(*key)
            mine = self._result.key if key[1] == self._result.question.ns else None
            gone = [k for k in table if k == mine or (k in {e.key for e in self._result.walk.events} and key[1] != self._result.question.ns)]
            for k in gone:
                del self._fork.state.write(*key)[k]
        self.open = False

    def __bool__(self) -> bool:
        return self.open

    def __repr__(self) -> str:
        return f"Connection({self.question}: {'open' if self.open else self.trace.verdict})"


def open_connection(fork: Fork, src: Any, dst: Any, port: int | str = 80, *, source_port: int | None = None, timeout: float = DEFAULT_TIMEOUT) -> Connection:
    source = _source(fork, src)
    target, number = _target(fork, source, dst, port, "TCP")
    if not target.address:
        raise KubenetError(f"{target.label} does not resolve: {target.resolution.error}")
    q = Question(source.namespace, target.address, number, "TCP", source_port=source_port, timeout=timeout, keep=True)
    result = put(fork.network, fork.state, q)
    return Connection(fork, result, _question(source, target, number, "TCP"))


