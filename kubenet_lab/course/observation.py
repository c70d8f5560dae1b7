"""What a client of a mystery sees: how its question ended and what its errno, its status line or its resolver said.

Nothing of the way between: no hop, no entry that decided, no reason. Those are the lab's knowledge, which no operator has; each
observation keeps them back until its case is closed.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from ..cluster.outcomes import Outcomes
from ..dns.resolver import ERRORS, Resolution
from ..trace import Outcome, Trace
from .logbook import CourseError

__all__ = ["Observation", "observed", "shares"]

_WHILE = {"resolve": "while it looked up the name", "handshake": "while it connected"}


@dataclass(frozen=True, repr=False)
class Observation:
    """One question and its end, as the client knows it. `bool(observation)`: it got what it asked for.

    `verdict`, `error`, `phase` and `elapsed` (lab seconds) are a `Trace`'s, "resolved" or "unresolved" if only a name was looked up.
    `status` is the HTTP status line; `answered_by` and `source_seen` are what the answer itself tells, None without one; `lines` are
    the resolver's queries. `trace`, `explain()` are for later: they raise CourseError until the case is closed.
    """

    question: str
    verdict: str
    error: str | None
    phase: str
    elapsed: float
    status: str | None = None
    answered_by: str | None = None
    source_seen: str | None = None
    addresses: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    _whole: Any = field(default=None, compare=False)
    _closed: Callable[[], bool] = field(default=lambda: False, compare=False)

    @property
    def trace(self) -> Any:
        """The whole story, hop by hop with the entries that decided: a Trace, or a Resolution. Raises CourseError before the end."""
        if not self._closed():
            raise CourseError(
                "the way of the packet is told when the case is closed, by a right m.accuse(...) or by m.reveal(); until then look as an "
                'operator does: m.node("worker-1").run("tcpdump -ni any") shows what the last question put on links'
            )
        return self._whole

    def explain(self, **options: Any) -> Any:
        """`trace.explain()`."""
        return self.trace.explain(**options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in dir(self._whole):
            raise AttributeError(f"an observation has no {name!r}")
        return getattr(self.trace, name)

    def __bool__(self) -> bool:
        return self.verdict in ("delivered", "resolved")

    @property
    def summary(self) -> str:
        """The end in one line."""
        head = f"{'✓' if self else '✗'} {self.verdict}"
        if self.error:
            head += f" ({self.error}{f': {ERRORS[self.error]}' if self.error in ERRORS else ''})"
        if not self and self.phase in _WHILE and self.verdict != "unresolved":
            head += f" {_WHILE[self.phase]}"
        parts = [f"{head}, after {self.elapsed:.3g} s"]
        if self.status:
            parts.append(f"HTTP {self.status}")
        if self.answered_by:
            parts.append(f"{self.answered_by} answered" + (f" {self.source_seen}" if self.source_seen else ""))
        if self.addresses:
            parts.append(", ".join(self.addresses))
        return " · ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        names = ("question", "verdict", "error", "phase", "elapsed", "status", "answered_by", "source_seen", "addresses", "lines")
        return {n: list(v) if isinstance(v := getattr(self, n), tuple) else v for n in names}

    def __repr__(self) -> str:
        return f"Observation({self.question}: {self.verdict}{f', {self.error}' if self.error else ''})"

    def __str__(self) -> str:
        return "\n".join([self.question, self.summary, *self.lines])

    def _repr_html_(self) -> str:
        rest = f"<pre>{html.escape(chr(10).join(self.lines))}</pre>" if self.lines else ""
        return f"<div role='status'><b>{html.escape(self.question)}</b><br>{html.escape(self.summary)}</div>{rest}"


def observed(found: Trace | Resolution, client: str, closed: Callable[[], bool]) -> Observation:
    """The client's part of an answer. `client` is who asked, as it was typed."""
    if isinstance(found, Resolution):
        return Observation(
            f"{client} looks up {found.name}", "resolved" if found else "unresolved", found.error, "resolve",
            found.elapsed, addresses=found.addresses, lines=tuple(str(q) for q in found.queries), _whole=found, _closed=closed,
        )  # fmt: skip
    answered = bool(found)
    return Observation(
        found.question, found.verdict, found.error, found.phase, found.elapsed, status=str(found.answer) if found.answer else None,
        answered_by=found.answered_by if answered else None, source_seen=found.source_seen if answered else None,
        _whole=found, _closed=closed,
    )  # fmt: skip


def shares(found: Outcomes) -> Outcomes:
    """What a client that asks again and again counts: how often which end. Ends that it cannot tell apart are one."""
    told: dict[tuple[Any, ...], Outcome] = {}
    for o in found:
        answered = bool(o)
        seen = Outcome(Fraction(0), o.verdict, o.answered_by if answered else None, o.source_seen if answered else None, o.error)
        key = (seen.verdict, seen.answered_by, seen.source_seen, seen.error)
        before = told.get(key, seen)
        told[key] = replace(before, probability=before.probability + o.probability)
    return Outcomes(sorted(told.values(), key=lambda o: -o.probability))
