"""What happened: values that record a walk or a decision, and know nothing of how it was made.

`Trace`, `Hop`, `Entry`, `Header`, `Reason`, `Decision`, `Outcome`. Words are made elsewhere
(explain/) from the codes and parameters here; the delegations are lazy.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LAYERS", "Decision", "Entry", "Evidence", "Field", "Header", "Hop", "Layer", "Outcome", "Phase", "Reason", "Trace", "Verdict"]

Verdict = Literal["delivered", "refused", "timeout", "unreachable", "too-big", "stalled"]
Phase = Literal["resolve", "handshake", "data"]
Layer = Literal["pod", "bridge", "node", "tunnel", "nat", "policy", "wire", "dns", "ingress"]

#: every layer has one colour everywhere (figures, widgets); see plots/style.py
LAYERS: tuple[Layer, ...] = ("pod", "bridge", "node", "tunnel", "nat", "policy", "wire", "dns", "ingress")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a statement is believed: measured (test, tool version), upstream (table row) or documented (source)."""

    kind: Literal["measured", "upstream", "documented"]
    source: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.source}"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and its parameters; `explain` makes the sentence. Names objects by `origin` ("NetworkPolicy shop/deny")."""

    code: str
    params: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    origin: str = ""

    @property
    def sentence(self) -> str:
        from .explain import sentence

        return sentence(self.code, self.params)

    @property
    def evidence(self) -> Evidence | None:
        from .explain import evidence

        return evidence(self.code)

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Entry:
    """The programmed entry that decided: as the real tool prints it, and the command that prints it."""

    kind: str  # "route", "neighbour", "fdb", "rule", "socket", "conntrack", "address"
    text: str
    command: str = ""
    origin: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header. `name` is the field's standard word: "src", "dst", "ttl", "sport", "vni", "flags"..."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Header:
    """One header of a packet on a link, outermost first. `size` in bytes."""

    name: str  # "Ethernet", "IPv4", "IPv6", "UDP", "VXLAN", "WireGuard", "TCP", "ICMP", "ARP", "data"
    size: int
    fields: tuple[Field, ...]

    def get(self, name: str) -> str | None:
        return next((f.value for f in self.fields if f.name == name), None)


@dataclass(frozen=True, slots=True)
class Hop:
    """One thing that happened to a packet.

    `host` is the machine ("worker-1", "external:203.0.113.7"), `namespace` the network namespace in it
    ("worker-1" itself or "pod:shop/web-6c9d8-x2k"), `device` the interface where it happened, if any.
    `before` and `after` are the packet's headers, outermost first; `entry` is what decided.
    `details` are smaller steps that belong to this one, in order.
    """

    number: int
    time: float
    code: str
    layer: Layer
    host: str
    namespace: str
    device: str
    direction: Literal["forward", "reply"]
    params: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    before: tuple[Header, ...] = ()
    after: tuple[Header, ...] = ()
    entry: Entry | None = None
    details: tuple[Hop, ...] = ()
    frame: Any = field(default=None, repr=False, compare=False)  # the packet after this hop (kernel.packet)
    failed: bool = False  # the packet ended here

    @property
    def title(self) -> str:
        """A short line for lists: "flannel.1 wraps it in VXLAN"."""
        from .explain import title

        return title(self.code, self._all)

    @property
    def sentence(self) -> str:
        """One or two plain sentences: what happened and why."""
        from .explain import sentence

        return sentence(self.code, self._all)

    @property
    def command(self) -> str:
        """The real command that shows the same on a real node or pod, or ""."""
        if self.entry and self.entry.command:
            return self.entry.command
        from .explain import command

        return command(self.code, self._all)

    @property
    def evidence(self) -> Evidence | None:
        from .explain import evidence

        return evidence(self.code)

    @property
    def _all(self) -> Mapping[str, Any]:
        return {"host": self.host, "namespace": self.namespace, "device": self.device, **self.params}

    @property
    def changed(self) -> tuple[tuple[str, str, str, str], ...]:
        """(header, field, before, after) for each field that differs, headers matched from the innermost outwards."""
        out = []
        for old, new in zip(reversed(self.before), reversed(self.after), strict=False):
            if old.name != new.name:
                break
            out += [(new.name, f.name, o, f.value) for f in new.fields if (o := old.get(f.name)) is not None and o != f.value]
        return tuple(reversed(out))

    @property
    def added(self) -> int:
        """How many outer headers this hop added (negative: removed)."""
        return len(self.after) - len(self.before) if self.before and self.after else 0

    def __str__(self) -> str:
        return f"{self.number:>2}. {self.title}" + (f"   [{self.entry.text}]" if self.entry else "")

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number, "time": self.time, "code": self.code, "layer": self.layer, "host": self.host,
            "namespace": self.namespace, "device": self.device, "direction": self.direction, "title": self.title,
            "sentence": self.sentence, "command": self.command, "entry": self.entry.text if self.entry else None,
            "before": _stack(self.before), "after": _stack(self.after), "failed": self.failed,
            "details": [d.to_dict() for d in self.details],
        }  # fmt: skip


def _stack(headers: Sequence[Header]) -> list[dict[str, Any]]:
    return [{"name": h.name, "size": h.size, **{f.name: f.value for f in h.fields}} for h in headers]


@dataclass(frozen=True)
class Decision:
    """A verdict without a walk: what decided, and on demand why. `bool(decision)` is the verdict.

    Chapters subclass it with what their verdict carries.
    """

    verdict: bool
    reasons: tuple[Reason, ...] = ()

    def __bool__(self) -> bool:
        return self.verdict

    def explain(self) -> str:
        return "\n".join(str(r) for r in self.reasons)

    @property
    def summary(self) -> str:
        """The decision in one line."""
        return next(iter(str(self.explain()).splitlines()), "yes" if self.verdict else "no")


class Trace:
    """One question's whole walk: forward hops, reply hops, verdict and the entries that decided.

    `hops` and `reply_hops` are made when first read. `bool(trace)` is True if delivered.
    `stages` are the traces this one is made of, by name ("resolve", "connect", "request"), in order; empty for a simple one.
    """

    def __init__(
        self,
        *,
        question: str,
        verdict: Verdict,
        phase: Phase,
        error: str | None,
        elapsed: float,
        answered_by: str | None,
        source_seen: str | None,
        build: Callable[[], tuple[Sequence[Hop], Sequence[Hop]]],
        frames: Callable[[], Sequence[tuple[float, str, Any]]] = lambda: (),
        reasons: Sequence[Reason] = (),
        stages: Sequence[tuple[str, Any]] = (),
        answer: Any = None,
        facts: Mapping[str, Any] = _NOTHING,
        assumptions: Sequence[str] = (),
    ):
        self.question, self.verdict, self.phase, self.error = question, verdict, phase, error
        self.elapsed, self.answered_by, self.source_seen = elapsed, answered_by, source_seen
        self.reasons, self.stages, self.answer = tuple(reasons), tuple(stages), answer
        self.facts, self.assumptions = facts, tuple(assumptions)
        self._build, self._frames = build, frames

    @cached_property
    def _hops(self) -> tuple[tuple[Hop, ...], tuple[Hop, ...]]:
        forward, reply = self._build()
        return tuple(forward), tuple(reply)

    @property
    def hops(self) -> tuple[Hop, ...]:
        """What happened to the packets from the source, in order."""
        return self._hops[0]

    @property
    def reply_hops(self) -> tuple[Hop, ...]:
        """What happened to the answer (or the ICMP error) on its way back."""
        return self._hops[1]

    @property
    def frames(self) -> Sequence[tuple[float, str, Any]]:
        """(lab time, "host/device", frame) for every frame seen on a link, in order."""
        return self._frames()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the statements of this trace rest on, without repeats."""
        seen: dict[Evidence, None] = {}
        found = [r.evidence for r in self.reasons] + [h.evidence for h in (*self.hops, *self.reply_hops)]
        for e in found:
            if e is not None:
                seen.setdefault(e)
        return tuple(seen)

    def __bool__(self) -> bool:
        return self.verdict == "delivered"

    def __iter__(self) -> Iterator[Hop]:
        return iter(self.hops)

    @property
    def summary(self) -> str:
        from .explain import summary

        return summary(self)

    def explain(self, details: bool = False) -> Any:
        """The story in plain sentences, hop by hop, each with the real command that shows the same."""
        from .explain import explain

        return explain(self, details=details)

    def plot(self, **options: Any) -> Any:
        """The path over the topology, as a figure."""
        from .plots import path

        return path(self, **options)

    def to_frame(self) -> pd.DataFrame:
        """One row per hop: hop, direction, host, device, layer, what, entry, size (bytes on the link)."""
        from .plots.tables import trace_frame

        return trace_frame(self)

    def to_pcap(self, path: Any, at: str | None = None) -> Any:
        """Write the frames as a pcap file that tshark and Wireshark read; `at` limits it to one "host/device"."""
        from .kernel.pcap import write

        return write(self, path, at=at)

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.question, "verdict": self.verdict, "phase": self.phase, "error": self.error,
            "elapsed": self.elapsed, "answered_by": self.answered_by, "source_seen": self.source_seen,
            "reasons": [{"code": r.code, "sentence": r.sentence, "origin": r.origin} for r in self.reasons],
            "hops": [h.to_dict() for h in self.hops], "reply_hops": [h.to_dict() for h in self.reply_hops],
            "stages": [{"name": n, **t.to_dict()} for n, t in self.stages], "assumptions": list(self.assumptions),
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"Trace({self.question}: {self.verdict}{f', {self.error}' if self.error else ''})"

    def __str__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        from .explain import trace_html

        return trace_html(self)


@dataclass(frozen=True)
class Outcome:
    """One way a connection can go, with its exact probability."""

    probability: Fraction
    verdict: Verdict
    answered_by: str | None
    source_seen: str | None
    error: str | None = None
    trace: Trace | None = field(default=None, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False)  # "10.244.1.5:8080", where the destination was translated to
    masquerade: str | None = field(default=None, repr=False)  # the address that the source was translated to
    #: by the kernel's own numbers: a rule's 0.3333333333 is 31 bits there, and not 1/3
    kernel_probability: Fraction | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return self.verdict == "delivered"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"
