"""A question to the walk, what came of it, and how the one who asked tells: delivered, or what went wrong.

`Question` in, `Result` out. A result holds the trails; `story` makes hops of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from ..trace import Phase, Verdict
from .flight import Trail
from .packet import Payload
from .walk import Ending, Event, Walk

__all__ = ["DEFAULT_TIMEOUT", "Question", "Result", "failed", "good"]

#: lab seconds a client waits before it gives up: long enough for three ARP requests and three SYNs
DEFAULT_TIMEOUT = 10.0


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


def server(w: Walk) -> tuple[str | None, str | None]:
    """(who answered, the source it saw): from the last server socket that took something."""
    for e in reversed(w.events):
        if e.what in ("accepted", "syn", "datagram", "echoed", "message") and e.value and isinstance(e.value, tuple):
            return e.value
    return None, None


def good(w: Walk, q: Question, key: tuple[Any, ...], event: Event, last: Event | None) -> Result:
    who, seen = server(w)
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


def failed(w: Walk, q: Question, key: tuple[Any, ...], phase: Phase, event: Event | None) -> Result:
    seen = server(w)[1]
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
