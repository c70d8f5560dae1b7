"""The sequence of a CNI operation: who calls whom, what goes in and comes out, and what each call changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import wrap

from ..cni.record import Operation, PluginCall
from ..errors import KubenetError
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, shorten, text_width
from .style import ThemeName

__all__ = ["Step", "describe_sequence", "sequence_figure", "steps_of"]

WIDE, NARROW = 900.0, 420.0
MOST = 5  # changes of one call that are named
CALL, NOTE = 34.0, 15.0


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow. `kind`: "call", "result" or "error"; `notes`: what was changed before it, for results."""

    kind: str
    source: str
    target: str
    text: str
    notes: tuple[str, ...] = ()
    title: str = ""  # of the operation that begins here


def _input(call: PluginCall) -> str:
    return call.command + (" with prevResult" if "prevResult" in call.stdin else "")


def _answer(call: PluginCall) -> tuple[str, str]:
    if call.error is not None:
        return "error", f"error {call.error.code}: {call.error.msg}"
    out = call.stdout or {}
    ips = [str(ip.get("address", "")) for ip in out.get("ips", ())]
    links = [i["name"] for i in out.get("interfaces", ())]
    if ips or links:
        return "result", " · ".join(p for p in (", ".join(ips), f"{len(links)} interfaces" if links else "") if p)
    return "result", "ok"


#: what a reader looks for first
_ORDER = ("link", "address", "route", "rule", "neighbour", "fdb", "file", "iptables", "sysctl")


def _changes(call: PluginCall) -> tuple[str, ...]:
    ordered = sorted(call.own_changes, key=lambda c: _ORDER.index(c.kind) if c.kind in _ORDER else len(_ORDER))
    said = [f"{c.action} {c.place}: {c.entry}" for c in ordered]
    return tuple(said if len(said) <= MOST else [*said[: MOST - 1], f"and {len(said) - MOST + 1} more"])


def _calls(caller: str, calls: Sequence[PluginCall], title: str) -> list[Step]:
    out: list[Step] = []
    for call in calls:
        out.append(Step("call", caller, call.plugin, _input(call), title=title))
        title = ""
        out += _calls(call.plugin, call.calls, "")
        kind, text = _answer(call)
        told = tuple(wrap(text, 48)) if kind == "error" else ()
        out.append(Step(kind, call.plugin, caller, f"error {call.error.code}" if call.error else text, (*told, *_changes(call))))
    return out


def steps_of(operations: Sequence[Operation]) -> tuple[Step, ...]:
    """Every arrow; where there are several operations, the first of each carries its title."""
    several = len(operations) > 1
    return tuple(step for op in operations for step in _calls("runtime", op.calls, op.title if several else ""))


def describe_sequence(operations: Sequence[Operation], steps: Sequence[Step]) -> str:
    lines = [f"{op.title}:" for op in operations if len(operations) == 1 and op.calls]
    for s in steps:
        if s.title:
            lines.append(f"{s.title}:")
        arrow = "→" if s.kind == "call" else "⇠"
        lines += [f"      {n}" for n in s.notes]
        lines.append(f"  {s.source} {arrow} {s.target}: {s.text}")
    for op in operations:
        if not op.calls:
            lines.append(f"{op.title}: no plugin was called" + (f", error {op.error.code}: {op.error.msg}" if op.error else ""))
    return "\n".join(lines)


def sequence_figure(*operations: Operation, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    if not operations or not all(isinstance(op, Operation) for op in operations):
        raise KubenetError("cni_sequence: expected one or more operations, as CniRuntime().add(...) gives them")
    steps = steps_of(operations)
    people = list(dict.fromkeys(["runtime", *(name for s in steps for name in (s.source, s.target))]))
    narrow = columns == 1
    width = NARROW if narrow else WIDE
    notes_w = 0.0 if narrow else 330.0
    lane = (width - 32 - notes_w) / len(people)
    at = {name: 16 + lane * (i + 0.5) for i, name in enumerate(people)}
    heights = [
        CALL + (26 if s.title else 0) + (NOTE * len(s.notes) if narrow else max(0.0, NOTE * len(s.notes) - CALL + 10)) for s in steps
    ]
    top = 84.0
    height = top + sum(heights) + 22
    title = " · ".join(op.title for op in operations)

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(title, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        for i, name in enumerate(people):
            x = at[name]
            layer = "node" if i == 0 else "bridge"
            canvas.line([(x, 72), (x, height - 12)], stroke="line", width=1.4, dash=(5, 4))
            text, size = fit(name, lane - 12, (12, 11, 10, 9, 8.5), bold=True)
            w = text_width(text, size, bold=True) + 14
            canvas.rect(x - w / 2, 46, w, 24, fill=f"{layer}bg", stroke=layer, width=1.4, radius=5)
            canvas.text(text, x, 62, size, bold=True, role=layer, anchor="middle")
        if not narrow:
            canvas.text("what the call changed", width - notes_w + 4, 62, 11, role="soft")
        y = top
        for s, tall in zip(steps, heights, strict=True):
            _step(canvas, s, at, y, tall, width, notes_w, narrow)
            y += tall

    small = None if columns else partial(sequence_figure, *operations, columns=1)
    return Figure(f"CNI sequence: {title}", describe_sequence(operations, steps), (width, height), draw, theme, small)


def _step(canvas: Canvas, s: Step, at: dict[str, float], y: float, tall: float, width: float, notes_w: float, narrow: bool) -> None:
    if s.title:
        canvas.line([(16, y + 2), (width - 16, y + 2)], stroke="line", width=1)
        canvas.text(shorten(s.title, width - 32, 11, bold=True), 16, y + 18, 11, bold=True, role="soft", halo="bg")
        y += 26
    a, b = at[s.source], at[s.target]
    arrow = y + 24
    if narrow:
        for n, note in enumerate(s.notes):
            canvas.text(shorten(note, width - 40, 9.5, mono=True), 24, y + 12 + n * NOTE, 9.5, mono=True, role=_role(note), halo="bg")
        arrow += NOTE * len(s.notes)
    else:
        for n, note in enumerate(s.notes):
            canvas.text(
                shorten(note, notes_w - 20, 9.5, mono=True, keep="both"),
                width - notes_w + 4,
                y + 14 + n * NOTE,
                9.5,
                mono=True,
                role=_role(note),
            )
    role = {"call": "ink", "result": "ok", "error": "no"}[s.kind]
    canvas.line([(a, arrow), (b, arrow)], stroke=role, width=1.6, dash=() if s.kind == "call" else (5, 3))
    step = 7 if b > a else -7
    canvas.polygon([(b, arrow), (b - step, arrow - 4), (b - step, arrow + 4)], fill=role)
    span = abs(b - a)
    text, size = fit(s.text, max(span - 14, 96), (10.5, 10, 9.5, 9))
    canvas.text(text, (a + b) / 2, arrow - 6, size, role=role, anchor="middle", halo="bg")


def _role(note: str) -> str:
    return {"+ ": "ok", "- ": "no", "~ ": "hot"}.get(note[:2], "no" if note.startswith("error") else "soft")
