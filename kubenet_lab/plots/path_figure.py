"""The path figure: the way of one question over the topology, its hops numbered in the picture and named beside the same numbers below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..cluster.topology import Topology
from ..explain import summary
from ..trace import Hop, Trace
from .canvas import HEADING, Canvas
from .figure import Figure
from .metrics import fit, heading, shorten, text_width
from .route import Step, focus_of, place, route, walks
from .scene import scene
from .shapes import Scene
from .style import LAYER_STYLES, ThemeName
from .topology_figure import draw_back, draw_front, topology_of
from .way import KEY_ROW, Key, draw_badges, draw_keys, draw_way, place_keys

__all__ = ["describe_path", "path_figure", "services_of"]

HEAD, LINE, ROW, GAP = 54.0, 18.0, 33.0, 16.0
#: the colour of a stage's line, where it is not the first connection's
_ROLES = {"resolve": "dns", "forward": "ingress"}


def services_of(topology: Topology, trace: Trace) -> tuple[str, ...]:
    """The Services whose address a packet of this trace carried."""
    seen = {
        f.value
        for _, w in walks(trace)
        for h in w.hops
        for header in h.before
        if header.name in ("IPv4", "IPv6")
        for f in header.fields
        if f.name == "dst"
    }
    return tuple(name for name, address in topology.services if address in seen)


def _topology(trace: Trace, source: Any) -> Topology:
    if source is not None:
        return topology_of(source)
    for _, walk in (("", trace), *walks(trace)):
        if (found := walk.facts.get("topology")) is not None:
            return topology_of(found() if callable(found) else found)
    raise ValueError("this trace carries no topology: give the cluster, as in plots.path(trace, cluster)")


def _stage_lines(trace: Trace) -> list[tuple[str, str]]:
    """(stage, what came of it) for a question of several stages; what the verdict says already is left out."""
    out = []
    for name, stage in trace.stages:
        words = getattr(stage, "summary", None) or next(iter(str(stage).splitlines()), "").partition(". ")[0]
        if words and words != summary(trace):
            out.append((name, str(words)))
    return out


def describe_path(trace: Trace, reply: bool = False) -> str:
    """The picture in words: question, verdict, stages, and every hop with its place and the entry that decided."""
    lines = [trace.question, summary(trace), *(f"{name}: {words}" for name, words in _stage_lines(trace))]
    number = 0
    for stage, walk in walks(trace):
        for back, hops in ((False, walk.hops), (True, walk.reply_hops if reply else ())):
            if hops and (stage or back):
                lines.append(f"{stage}{', ' if stage and back else ''}{'the way back' if back else ''}:")
            for n, hop in enumerate(hops, 1):
                number += not back
                where = hop.host + (f", {hop.device}" if hop.device else "")
                entry = f" [{hop.entry.text}]" if hop.entry else ""
                lines.append(f"{n if back else number}. {where}: {hop.title}{entry}{' ✗' if hop.failed else ''}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Leg:
    """One walk of the question: its hops with their running numbers, its steps, and the steps of its answer."""

    stage: str
    hops: tuple[tuple[int, Hop], ...]
    steps: tuple[tuple[int, Step], ...]
    back: tuple[Step, ...]

    @property
    def role(self) -> str:
        return _ROLES.get(self.stage.rpartition(": ")[2], "pod")


def _legs(s: Scene, trace: Trace, reply: bool) -> list[_Leg]:
    legs: list[_Leg] = []
    number, here = 0, ""
    for stage, walk in walks(trace):
        if walk.hops:
            # a proxy in the node's own network opens the next leg where the last one ended
            end, first = s.box(here), place(s, walk.hops[0])
            steps = route(s, walk.hops, walk.answered_by, here if end and end.inside and end.inside == first else None)
            here = steps[-1].place
            numbers = range(number + 1, number + 1 + len(steps))
            back = route(s, walk.reply_hops, walk.answered_by, steps[-1].place) if reply else ()
            legs.append(_Leg(stage, tuple(zip(numbers, walk.hops, strict=True)), tuple(zip(numbers, steps, strict=True)), back))
            number += len(steps)
    return legs


def _keys(legs: Sequence[_Leg]) -> list[Key]:
    keys = [Key(leg.stage if len(legs) > 1 else "the packet", leg.role, dash=LAYER_STYLES[leg.role].dash) for leg in legs]
    if any(step.wrapped for leg in legs for _, step in leg.steps):
        keys.append(Key("the packet inside another", "pod", sleeve=True))
    if any(leg.back for leg in legs):
        keys.append(Key("the way back", "node", 2, (5, 4)))
    return keys


def _draw_list(canvas: Canvas, hops: Sequence[tuple[int, Hop]], x: float, y: float, width: float, columns: int) -> None:
    per = -(-len(hops) // columns)
    wide = (width - (columns - 1) * GAP) / columns
    titles = [("✗ " if hop.failed else "") + hop.title for _, hop in hops]
    size = next(
        (v for v in (12, 11.5, 11) if all(text_width(t, v, bold=h.failed) <= wide - 30 for t, (_, h) in zip(titles, hops, strict=True))),
        10.5,
    )
    for i, ((number, hop), title) in enumerate(zip(hops, titles, strict=True)):
        column, row = divmod(i, per)
        left, top = x + column * (wide + GAP), y + row * ROW
        canvas.badge(left + 10, top + 11, str(number), "policy" if hop.failed else hop.layer)
        canvas.text(
            shorten(title, wide - 30, size, bold=hop.failed), left + 28, top + 11, size, role="no" if hop.failed else "ink", bold=hop.failed
        )
        under = hop.entry.text if hop.entry else hop.host
        canvas.text(shorten(under, wide - 30, 10, mono=True, keep="both"), left + 28, top + 24.5, 10, role="soft", mono=True)


def _draw_stages(canvas: Canvas, stages: Sequence[tuple[str, str]], x: float, y: float, width: float) -> None:
    wide = max((text_width(name, 11.5, bold=True) for name, _ in stages), default=0.0) + 12
    for n, (name, words) in enumerate(stages):
        canvas.text(name, x, y + n * LINE, 11.5, bold=True, role=_ROLES.get(name, "node"))
        text, size = fit(words, width - wide, (11.5, 11, 10.5, 10))
        canvas.text(text, x + wide, y + n * LINE, size)


def path_figure(
    trace: Trace, source: Any = None, *, reply: bool = False, legend: bool = True, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    t = _topology(trace, source)
    services, focus = services_of(t, trace), focus_of(trace)
    outside = [f.removeprefix("external:") for f in focus if f.startswith("external:")]
    s = scene(t, (*focus, *(f"service:{n}" for n in services)), columns=columns, services=services, externals=outside)
    legs = _legs(s, trace, reply)
    hops = [pair for leg in legs for pair in leg.hops]
    width = s.size[0]
    in_row = 1 if width < 500 else 2 if width < 900 else 3
    rows = -(-len(hops) // in_row) if legend else 0
    keys = place_keys(_keys(legs), width - 32)
    key_height = (keys[-1][-1] + 1) * KEY_ROW + 4 if keys else 0.0
    verdict, _, tail = summary(trace).partition(" · ")
    used = text_width(verdict + "  ", 12.5, bold=True)
    beside = used + text_width("· " + tail, 12) <= width - 32
    stages = _stage_lines(trace)
    asked = heading(trace.question, width - 32, 14.5)
    drop = (len(asked) - 1) * HEADING
    below = HEAD + drop + (0 if beside or not tail else LINE)
    head = below + (len(stages) * LINE + 6 if stages else 0)
    height = head + 8 + s.size[1] + key_height + (rows * ROW + 6 if rows else 0)

    def draw(canvas: Canvas) -> None:
        canvas.heading(asked)
        canvas.text(shorten(verdict, width - 32, 12.5, bold=True), 16, 52 + drop, 12.5, role="ok" if trace else "no", bold=True)
        if tail:
            said = "· " + tail if beside else shorten(tail, width - 32, 12)
            canvas.text(said, 16 + used * beside, 52 + drop + (0 if beside else LINE), 12, role="soft")
        _draw_stages(canvas, stages, 16, below + 18, width - 32)
        canvas.origin = (0, head)
        draw_back(canvas, s)
        for leg in legs:
            if leg.back:
                draw_way(canvas, leg.back, "node", width=2, dash=(5, 4), beside=True)
        for n, leg in enumerate(legs):
            draw_way(canvas, [step for _, step in leg.steps], leg.role, dash=LAYER_STYLES[leg.role].dash, beside=n > 0)
        draw_front(canvas, s)
        draw_badges(canvas, s, [pair for leg in legs for pair in leg.steps])
        at = head + s.size[1]
        canvas.origin = (0, 0)
        draw_keys(canvas, 16, at + 6, keys)
        if rows:
            _draw_list(canvas, hops, 14, at + key_height, width - 32, in_row)

    small = None if columns else partial(path_figure, trace, t, reply=reply, legend=legend, columns=1)
    return Figure(f"{trace.question}: {trace.verdict}", describe_path(trace, reply), (width, height), draw, theme, small)
