"""Drawing the way of a packet over a scene: lines, the sleeve of a tunnel, numbered badges, the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from .canvas import Canvas
from .layout import BAR_H, MARGIN, TUNNEL_LANE
from .metrics import text_width
from .route import Step, length
from .shapes import Box, Point, Scene
from .style import LAYER_STYLES

__all__ = ["KEY_ROW", "Key", "cross", "draw_badges", "draw_keys", "draw_way", "place_keys"]

KEY_ROW = 20.0
#: a second way runs beside the first: (right, down), outside the sleeve where there is one
_BESIDE, _BESIDE_SLEEVE, _HERE = (7.0, 4.0), (10.0, 9.0), (0.0, 0.0)


def _arrow(canvas: Canvas, points: Sequence[Point], role: str, size: float = 6.5) -> None:
    """An arrow head in the middle of the longest stretch of a way."""
    (ax, ay), (bx, by) = max(pairwise(points), key=lambda s: abs(s[0][0] - s[1][0]) + abs(s[0][1] - s[1][1]))
    far = length([(ax, ay), (bx, by)])
    if far < 3 * size:
        return
    ux, uy = (bx - ax) / far, (by - ay) / far
    mx, my = (ax + bx) / 2 + ux * size, (ay + by) / 2 + uy * size
    base = (mx - 2 * size * ux, my - 2 * size * uy)
    canvas.polygon(
        [(mx, my), (base[0] - size * uy, base[1] + size * ux), (base[0] + size * uy, base[1] - size * ux)],
        fill=role,
        stroke="bg",
        width=1.2,
    )


def _merged(ways: Sequence[tuple[Point, ...]]) -> list[tuple[Point, ...]]:
    """Ways that continue each other as one line."""
    out: list[tuple[Point, ...]] = []
    for points in ways:
        if out and out[-1][-1] == points[0]:
            out[-1] += points[1:]
        else:
            out.append(points)
    return out


def draw_way(
    canvas: Canvas, steps: Sequence[Step], role: str, *, width: float = 3.4, dash: Sequence[float] = (), beside: bool = False
) -> None:
    """The line of a walk; `beside` another one that is drawn already."""
    ways = []
    for s in steps:
        if len(s.points) > 1:
            dx, dy = (_BESIDE_SLEEVE if s.wrapped else _BESIDE) if beside else _HERE
            ways.append((tuple((x + dx, y + dy) for x, y in s.points), s.wrapped and not beside))
    sleeve = LAYER_STYLES["tunnel"].width
    for points, inside in ways:
        if inside:
            canvas.line(points, stroke="tunnel", width=sleeve + 3)
            canvas.line(points, stroke="tunnelbg", width=sleeve)
    for points in _merged([p for p, _ in ways]):
        canvas.line(points, stroke=role, width=width, dash=dash, cap="butt" if dash else "round")
    for inside, group in groupby(ways, key=lambda w: w[1]):
        longest = max((p for p, _ in group), key=lambda p: max(length(s) for s in pairwise(p)))
        _arrow(canvas, longest, "tunnel" if inside else role)


def _spots(box: Box, count: int) -> list[Point]:
    """Where up to three badges of one place stand: in the free middle of a bar, else along the top right edge of a box."""
    if box.kind in ("bridge", "kernel"):
        middle = box.x - 8 + MARGIN + TUNNEL_LANE + 51
        y = box.y + (23 if box.h >= BAR_H else box.h / 2)
        return [(middle + (n - (count - 1) / 2) * 20, y) for n in range(count)]
    return [(box.x + box.w - 2 - (count - 1 - n) * 19, box.y + 1) for n in range(count)]


def _runs(here: Sequence[tuple[int, Step]]) -> list[tuple[str, str]]:
    """(text, layer) of the badges of one place: each hop its own; where they are many, each unbroken run one."""

    def layer(step: Step) -> str:
        return "policy" if step.failed else step.layer

    if len(here) <= 3:
        return [(str(n), layer(s)) for n, s in here]
    runs: list[list[tuple[int, Step]]] = []
    for n, s in here:
        if runs and runs[-1][-1][0] == n - 1:
            runs[-1].append((n, s))
        else:
            runs.append([(n, s)])
    texts = [(str(r[0][0]) if len(r) == 1 else f"{r[0][0]}–{r[-1][0]}", layer(r[-1][1])) for r in runs]
    return texts if len(texts) <= 2 else [(f"{here[0][0]}…{here[-1][0]}", layer(here[-1][1]))]


def cross(canvas: Canvas, x: float, y: float) -> None:
    """The packet ends here."""
    canvas.rect(x - 11, y - 11, 22, 22, fill="nobg", stroke="no", width=2.2, radius=11)
    for a, b in (((-4.5, -4.5), (4.5, 4.5)), ((-4.5, 4.5), (4.5, -4.5))):
        canvas.line([(x + a[0], y + a[1]), (x + b[0], y + b[1])], stroke="no", width=3)


def draw_badges(canvas: Canvas, s: Scene, steps: Sequence[tuple[int, Step]]) -> None:
    """The numbers of the hops at their places, and a cross where the packet ended."""
    places: dict[str, list[tuple[int, Step]]] = {}
    for n, step in steps:
        if step.place:
            places.setdefault(step.place, []).append((n, step))
    for place, here in places.items():
        if (box := s.box(place)) is not None:
            runs = _runs(here)
            for (x, y), (text, layer) in zip(_spots(box, len(runs)), runs, strict=True):
                canvas.badge(x, y, text, layer)
    for _, step in steps:
        if step.failed and step.place:
            cross(canvas, *step.at)


@dataclass(frozen=True, slots=True)
class Key:
    """What one kind of line means. `sleeve`: the double line of a tunnel."""

    text: str
    role: str
    width: float = 3.4
    dash: tuple[float, ...] = ()
    sleeve: bool = False


def place_keys(keys: Sequence[Key], width: float) -> list[tuple[Key, float, int]]:
    """(key, left, row) for each, in as many rows as they need; nothing if there is only one kind of line."""
    out: list[tuple[Key, float, int]] = []
    x, row = 0.0, 0
    for key in keys if len(keys) > 1 else ():
        wide = 34 + text_width(key.text, 11)
        if x and x + wide > width:
            x, row = 0.0, row + 1
        out.append((key, x, row))
        x += wide + 22
    return out


def draw_keys(canvas: Canvas, x: float, y: float, keys: Sequence[tuple[Key, float, int]]) -> None:
    for key, shift, row in keys:
        left, at = x + shift, y + row * KEY_ROW
        if key.sleeve:
            for stroke, width in (("tunnel", 12.0), ("tunnelbg", 9.0)):
                canvas.line([(left + 4, at), (left + 22, at)], stroke=stroke, width=width)
        canvas.line([(left, at), (left + 26, at)], stroke=key.role, width=key.width, dash=key.dash, cap="butt" if key.dash else "round")
        canvas.text(key.text, left + 34, at + 4, 11, role="soft")
