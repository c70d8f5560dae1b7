"""`connect`, `outcomes`, `resolve`: one connection, datagram or ping; all the ways it can go; what a name resolves to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotModelled
from ..kernel.ask import DEFAULT_TIMEOUT, Question, Result, put
from ..kernel.packet import Filler, Packet, Payload
from ..kernel.story import trace_of
from ..kernel.ways import no_collections
from ..kernel.ways import outcomes as all_outcomes
from ..trace import Outcome, Reason, Trace
from .fork import Fork, Target, entering, source_of, target_of
from .names import Party, as_ip
from .outcomes import Outcomes
from .reasons import reasons_for

if TYPE_CHECKING:
    from ..dns import Resolution

__all__ = ["connect", "outcomes", "payload_of", "question_of", "resolve", "staged", "told", "unresolved"]

PROTOCOLS = ("TCP", "UDP", "ICMP", "SCTP")


def payload_of(size: int | None) -> Payload | None:
    """`size` bytes of nothing in particular. Raises KubenetError."""
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise KubenetError(f"size: found {size!r}, expected a number of bytes")
    return Filler(size)


def _protocol(protocol: Any) -> str:
    found = protocol.upper() if isinstance(protocol, str) else protocol
    if found not in PROTOCOLS:
        raise KubenetError(f"protocol: found {protocol!r}, expected TCP, UDP or ICMP")
    if found == "SCTP":
        raise NotModelled("SCTP sockets")
    return str(found)


def _seconds(timeout: Any) -> float:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout <= 86400:
        raise KubenetError(f"timeout: found {timeout!r}, expected lab seconds above 0, at most a day")
    return float(timeout)


def source_port_of(number: Any) -> int | None:
    """Raises KubenetError for what no socket can be bound to."""
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 65535):
        raise KubenetError(f"source_port: found {number!r}, expected 1 to 65535")
    return number


def _asked(
    fork: Fork, src: Any, dst: Any, port: int | str, protocol: str, size: int | None, timeout: float, source_port: int | None = None,
    df: bool = True, ttl: int = 64,
) -> tuple[Party, Target, str, Question]:  # fmt: skip
    """The ends, the question in words, and as the kernel takes it."""
    protocol = _protocol(protocol)
    payload, timeout, source_port = payload_of(size), _seconds(timeout), source_port_of(source_port)
    source = source_of(fork, src)
    target = target_of(fork, source, dst, port if protocol != "ICMP" else 0, protocol)
    q = Question(
        source.namespace, target.address, target.port, protocol, payload, source=source.address if source.kind == "external" else "",
        source_port=source_port, df=df, timeout=timeout, ttl=ttl,
    )  # fmt: skip
    return source, target, question_of(source, target, protocol), q


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
    source, target, question, q = _asked(fork, src, dst, port, protocol, size, timeout, source_port, df, ttl)
    if not target.address:
        return unresolved(fork, question, target.resolution)
    with entering(fork, source, target.address, via):
        result = put(fork.network, fork.state, q)
    trace = told(fork, result, question, source, target)
    if target.resolution is None:
        return trace
    return staged(question, trace, [("resolve", target.resolution), ("connect", trace)], target.resolution.elapsed)


def question_of(source: Party, target: Target, protocol: str) -> str:
    """ "shop/web → svc:shop/cart:8080 TCP"."""
    where = f"[{target.label}]" if ":" in target.label and as_ip(target.label) else target.label
    return f"{source.label} → {where}{f':{target.port}' if target.port else ''} {protocol}"


def told(fork: Fork, result: Result, question: str, source: Party, target: Target, facts: Mapping[str, Any] | None = None) -> Trace:
    """The trace with what the cluster knows about it: Services, policies that nobody enforces, assumptions.

    `facts`: `fork.facts`, where many traces share them.
    """
    notes = [n for n in (source.note, target.note) if n]
    reasons = reasons_for(fork.cluster, result, source, target)
    if fork.live:
        fork.cluster.capture = tuple(result.walk.frames or ())
    return trace_of(result, question=question, reasons=reasons, assumptions=notes, facts=facts or fork.facts)


def staged(question: str, last: Trace, stages: Sequence[tuple[str, Any]], before: float) -> Trace:
    """A trace whose hops are those of its last walk, with the earlier stages beside it."""
    return Trace(
        question=question, verdict=last.verdict, phase=last.phase, error=last.error, elapsed=before + last.elapsed,
        answered_by=last.answered_by,
        source_seen=last.source_seen, build=lambda: (last.hops, last.reply_hops), frames=lambda: last.frames, reasons=last.reasons,
        stages=stages,
        answer=last.answer, facts=last.facts, assumptions=last.assumptions,
    )  # fmt: skip


def unresolved(fork: Fork, question: str, resolution: Any) -> Trace:
    """The name did not resolve: the trace of the query that decided, and the resolver's words."""
    walks = [q.trace for q in resolution.queries if q.trace is not None]
    bad = next((t for t in walks if not t), walks[-1] if walks else None)
    reasons = [
        Reason("cluster.unresolved", {"name": resolution.name, "error": resolution.error}),
        *(bad.reasons if bad is not None and not bad else ()),
    ]
    return Trace(
        question=question, verdict="unreachable", phase="resolve", error=resolution.error, elapsed=resolution.elapsed, answered_by=None,
        source_seen=None, build=lambda: (bad.hops, bad.reply_hops) if bad is not None else ((), ()),
        frames=lambda: bad.frames if bad is not None else (), reasons=reasons, stages=[("resolve", resolution)], facts=fork.facts,
    )  # fmt: skip


def resolve(fork: Fork, src: Any, name: str, family: str = "any", resolver: str = "glibc") -> Resolution:
    """What the stub resolver in `src` makes of a name; its queries walk through the network."""
    return fork.cluster.stub_resolve(fork, source_of(fork, src), name, family, resolver)


def _outcome(same: Sequence[tuple[Fraction, Result]], trace: Trace) -> Outcome:
    """Walks that ended the same way; endpoint and masquerade are None where they differ."""
    share, r = same[0]
    kernel_share, (endpoint, source) = r.kernel_share, _translated(r)
    for more, other in same[1:]:
        share, kernel_share, ends = share + more, kernel_share + other.kernel_share, _translated(other)
        endpoint, source = endpoint if endpoint == ends[0] else None, source if source == ends[1] else None
    return Outcome(share, r.verdict, r.answered_by, r.source_seen, r.error, trace, endpoint, source, kernel_share)


def _translated(r: Result) -> tuple[str | None, str | None]:
    """What the last translations on the way there made of the destination, and of the source."""
    endpoint = source = None
    event = r.forward
    while event is not None and (endpoint is None or source is None):
        if event.code.startswith("nat.") and isinstance(event.after, Packet):
            if endpoint is None and event.code == "nat.dnat":
                port = getattr(event.after.l4, "dport", 0)
                endpoint = f"[{event.after.dst}]:{port}" if ":" in event.after.dst else f"{event.after.dst}:{port}"
            if source is None and event.code in ("nat.masquerade", "nat.snat"):
                source = event.after.src
        event = event.parent
    return endpoint, source


def outcomes(
    fork: Fork,
    src: Any,
    dst: Any,
    port: int | str = 80,
    protocol: str = "TCP",
    *,
    via: str | None = None,
    size: int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Outcomes:
    """Every way one connection can go, likeliest first; the probabilities are exact and sum to 1."""
    source, target, question, q = _asked(fork, src, dst, port, protocol, size, timeout)
    if not target.address:
        trace = unresolved(fork, question, target.resolution)
        return Outcomes((Outcome(Fraction(1), trace.verdict, None, None, trace.error, trace),))
    with no_collections():
        with entering(fork, source, target.address, via):
            found: list[tuple[Fraction, Result]] = all_outcomes(fork.network, fork.state, q, lambda r: r)
        merged: dict[tuple[Any, ...], list[tuple[Fraction, Result]]] = {}
        for share, r in found:
            merged.setdefault((r.verdict, r.answered_by, r.source_seen, r.error), []).append((share, r))
        facts = fork.facts
        listed = [_outcome(same, told(fork, same[0][1], question, source, target, facts)) for same in merged.values()]
    listed.sort(key=lambda o: (o.verdict, o.answered_by or "", o.source_seen or ""))
    return Outcomes(sorted(listed, key=lambda o: (o.probability,), reverse=True))  # a tuple asks first if it is the same number
