"""The path figure: the way of one question over the topology, its hops numbered in the picture and named beside the same numbers below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..cluster.topology import Topology
from ..explain import summary
from ..trace import Hop, Trace
from .canvas import Canvas
from .figure import Figure
from .metrics import shorten, text_width
from .route import Step, focus_of, leaf, length, route, walks
from .scene import BAR_H, MARGIN, TUNNEL_LANE, Box, Point, Scene, scene
from .style import LAYER_STYLES, ThemeName
from .topology_figure import draw_back, draw_front, topology_of

__all__ = ["describe_path", "path_figure", "services_of"]

HEAD, LINE, ROW, GAP, KEY = 62.0, 18.0, 33.0, 16.0, 20.0


def services_of(topology: Topology, trace: Trace) -> tuple[str, ...]:
    """The Services whose address a packet of this trace carried."""
    seen = {f.value for _, w in walks(trace) for h in w.hops for header in h.before if header.name in ("IPv4", "IPv6") for f in header.fields if f.name == "dst"}  # fmt: skip
    return tuple(name for name, address in topology.services if address in seen)


def _topology(trace: Trace, source: Any) -> Topology:
    if source is not None:
        return topology_of(source)
    for _, walk in (("", trace), *walks(trace)):
        if (found := walk.facts.get("topology")) is not None:
            return topology_of(found() if callable(found) else found)
    raise ValueError("this trace carries no topology: give the cluster, as in plots.path(trace, cluster)")


def _arrow(canvas: Canvas, points: Sequence[Point], role: str, size: float = 6.5) -> None:
    """An arrow head in the middle of the longest stretch of a way."""
    (ax, ay), (bx, by) = max(zip(points, points[1:], strict=False), key=lambda s: abs(s[0][0] - s[1][0]) + abs(s[0][1] - s[1][1]))
    far = length([(ax, ay), (bx, by)])
    if far < 3 * size:
        return
    ux, uy = (bx - ax) / far, (by - ay) / far
    mx, my = (ax + bx) / 2 + ux * size, (ay + by) / 2 + uy * size
    canvas.polygon([(mx, my), (mx - 2 * size * ux - size * uy, my - 2 * size * uy + size * ux), (mx - 2 * size * ux + size * uy, my - 2 * size * uy - size * ux)], fill=role, stroke="bg", width=1.2)  # fmt: skip


def _merged(ways: Sequence[tuple[Point, ...]]) -> list[tuple[Point, ...]]:
    """Ways that continue each other as one line."""
    out: list[tuple[Point, ...]] = []
    for points in ways:
        if out and out[-1][-1] == points[0]:
            out[-1] += points[1:]
        else:
            out.append(points)
    return out


#: a second way runs beside the first: (right, down), outside the sleeve where there is one
_BESIDE, _BESIDE_SLEEVE, _HERE = (7.0, 4.0), (10.0, 9.0), (0.0, 0.0)


def _draw_way(canvas: Canvas, steps: Sequence[Step], role: str, *, width: float = 3.4, dash: Sequence[float] = (), beside: bool = False) -> None:
    ways = []
    for s in steps:
        if len(s.points) > 1:
            dx, dy = (_BESIDE_SLEEVE if s.wrapped else _BESIDE) if beside else _HERE
            ways.append((tuple((x + dx, y + dy) for x, y in s.points), s.wrapped and not beside))
    for points, inside in ways:
        if inside:
            sleeve = LAYER_STYLES["tunnel"].width
            canvas.line(points, stroke="tunnel", width=sleeve + 3)
            canvas.line(points, stroke="tunnelbg", width=sleeve)
    for points in _merged([p for p, _ in ways]):
        canvas.line(points, stroke=role, width=width, dash=dash)
    for inside, group in groupby(ways, key=lambda w: w[1]):
        longest = max((p for p, _ in group), key=lambda p: max(length(s) for s in zip(p, p[1:], strict=False)))
        _arrow(canvas, longest, "tunnel" if inside else role)


def _spots(box: Box, count: int) -> list[Point]:
    """Where up to three badges of one place stand: in the free middle of a bar, else along the top right edge of a box."""
    if box.kind in ("bridge", "kernel"):
        middle = box.x - 8 + MARGIN + TUNNEL_LANE + 51
        y = box.y + (23 if box.h >= BAR_H else box.h / 2)
        return [(middle + (n - (count - 1) / 2) * 20, y) for n in range(count)]
    return [(box.x + box.w - 2 - (count - 1 - n) * 19, box.y + 1) for n in range(count)]


def _runs(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """(text, layer) of the badges of one place: each hop its own, or first and last where they are many."""
    if len(steps) <= 3:
        return [(str(s.number), "policy" if s.failed else s.layer) for s in steps]
    return [(f"{steps[0].number}–{steps[-1].number}", "policy" if any(s.failed for s in steps) else steps[-1].layer)]


def _cross(canvas: Canvas, x: float, y: float) -> None:
    canvas.rect(x - 11, y - 11, 22, 22, fill="nobg", stroke="no", width=2.2, radius=11)
    for a, b in (((-4.5, -4.5), (4.5, 4.5)), ((-4.5, 4.5), (4.5, -4.5))):
        canvas.line([(x + a[0], y + a[1]), (x + b[0], y + b[1])], stroke="no", width=3)


def _draw_badges(canvas: Canvas, s: Scene, steps: Sequence[Step]) -> None:
    places: dict[str, list[Step]] = {}
    for step in steps:
        if step.place:
            places.setdefault(step.place, []).append(step)
    for place, here in places.items():
        if (box := s.box(place)) is not None:
            runs = _runs(here)
            for (x, y), (text, layer) in zip(_spots(box, len(runs)), runs, strict=True):
                canvas.badge(x, y, text, layer)
    for step in steps:
        if step.failed and step.place:
            _cross(canvas, *step.at)


def _draw_list(canvas: Canvas, hops: Sequence[Hop], x: float, y: float, width: float, columns: int) -> None:
    per = -(-len(hops) // columns)
    wide = (width - (columns - 1) * GAP) / columns
    for n, hop in enumerate(hops):
        column, row = divmod(n, per)
        left, top = x + column * (wide + GAP), y + row * ROW
        canvas.badge(left + 10, top + 11, str(hop.number), "policy" if hop.failed else hop.layer)
        text = ("✗ " if hop.failed else "") + hop.title
        canvas.text(shorten(text, wide - 30, 12, bold=hop.failed), left + 28, top + 11, 12, role="no" if hop.failed else "ink", bold=hop.failed)
        under = hop.entry.text if hop.entry else hop.host
        canvas.text(shorten(under, wide - 30, 10, mono=True), left + 28, top + 24.5, 10, role="soft", mono=True)


def describe_path(trace: Trace, reply: bool = False) -> str:
    """The picture in words: question, verdict, and every hop with its place and the entry that decided."""
    lines = [trace.question, summary(trace)]
    walk = leaf(trace)
    for name, stage in walks(trace):
        if stage is not walk:
            lines.append(f"before that, {name}: {summary(stage)}")
    for title, hops in (("", walk.hops), ("The way back:", walk.reply_hops if reply else ())):
        if hops and title:
            lines.append(title)
        for hop in hops:
            where = hop.host + (f", {hop.device}" if hop.device else "")
            lines.append(f"{hop.number}. {where}: {hop.title}" + (f" [{hop.entry.text}]" if hop.entry else "") + (" ✗" if hop.failed else ""))
    return "\n".join(lines)


def path_figure(
    trace: Trace, source: Any = None, *, reply: bool = False, legend: bool = True, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    t = _topology(trace, source)
    walk = leaf(trace)
    services = services_of(t, walk)
    s = scene(t, (*focus_of(walk), *(f"service:{n}" for n in services)), columns=columns, services=services, externals=[f.removeprefix("external:") for f in focus_of(walk) if f.startswith("external:")])  # fmt: skip
    forward = route(s, walk.hops, walk.answered_by)
    back = route(s, walk.reply_hops, walk.answered_by) if reply else ()
    others = [(name, route(s, w.hops, w.answered_by)) for name, w in walks(trace) if w is not walk and w.hops]
    width = s.size[0]
    in_row = 1 if width < 500 else 2 if width < 900 else 3
    rows = -(-len(walk.hops) // in_row) if legend else 0
    keys = _keys(forward, bool(back), [name for name, _ in others], width - 32)
    key_height = (keys[-1][-1] + 1) * KEY + 4 if keys else 0.0
    verdict, _, tail = summary(walk).partition(" · ")
    used = text_width(verdict + "  ", 12.5, bold=True)
    beside = used + text_width("· " + tail, 12) <= width - 32
    head = HEAD + (0 if beside or not tail else LINE) - 8
    height = head + 8 + s.size[1] + key_height + (rows * ROW + 6 if rows else 0)

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(trace.question, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        canvas.text(shorten(verdict, width - 32, 12.5, bold=True), 16, 52, 12.5, role="ok" if walk else "no", bold=True)
        if tail:
            canvas.text("· " + tail if beside else shorten(tail, width - 32, 12), 16 + used * beside, 52 if beside else 52 + LINE, 12, role="soft")
        canvas.origin = (0, head)
        draw_back(canvas, s)
        for _, steps in others:
            _draw_way(canvas, steps, "dns", width=LAYER_STYLES["dns"].width, dash=LAYER_STYLES["dns"].dash, beside=True)
        if back:
            _draw_way(canvas, back, "node", width=2, dash=(5, 4), beside=True)
        _draw_way(canvas, forward, "pod")
        draw_front(canvas, s)
        _draw_badges(canvas, s, forward)
        at = head + s.size[1]
        canvas.origin = (0, 0)
        _draw_keys(canvas, 16, at + 6, keys)
        at += key_height
        if rows:
            _draw_list(canvas, walk.hops, 14, at, width - 32, in_row)

    return Figure(f"{trace.question}: {walk.verdict}", describe_path(trace, reply), (width, height), draw, theme)


def _keys(steps: Sequence[Step], back: bool, others: Sequence[str], width: float) -> list[tuple[str, str, float, tuple[float, ...], float, int]]:
    """What the lines mean, as far as they occur: (text, role, thickness, dash, left, row)."""
    keys: list[tuple[str, str, float, tuple[float, ...]]] = [("the packet", "pod", 3.4, ())]
    if any(s.wrapped for s in steps):
        keys.append(("the packet inside another", "tunnel", 0, ()))
    if back:
        keys.append(("the way back", "node", 2, (5, 4)))
    keys += [(f"before that: {', '.join(others)}", "dns", LAYER_STYLES["dns"].width, LAYER_STYLES["dns"].dash)] if others else []
    if len(keys) == 1:
        return []
    out, x, row = [], 0.0, 0
    for text, role, thick, dash in keys:
        wide = 34 + text_width(text, 11)
        if x and x + wide > width:
            x, row = 0.0, row + 1
        out.append((text, role, thick, dash, x, row))
        x += wide + 22
    return out


def _draw_keys(canvas: Canvas, x: float, y: float, keys: Sequence[tuple[str, str, float, tuple[float, ...], float, int]]) -> None:
    for text, role, thick, dash, shift, row in keys:
        left, at = x + shift, y + row * KEY
        if role == "tunnel":
            for stroke, width in (("tunnel", 12.0), ("tunnelbg", 9.0)):
                canvas.line([(left + 4, at), (left + 22, at)], stroke=stroke, width=width)
            canvas.line([(left, at), (left + 26, at)], stroke="pod", width=3.4)
        else:
            canvas.line([(left, at), (left + 26, at)], stroke=role, width=thick, dash=dash)
        canvas.text(text, left + 34, at + 4, 11, role="soft")
