"""How each box of a scene is painted: rectangles with colours by role. The figures and the widgets both ask here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .layout import TRACK
from .shapes import Box, Label, Scene

__all__ = ["BACK", "Rect", "halo", "paint", "scene_data"]

#: kinds of boxes that a packet's way runs across: drawn below it
BACK = ("node", "bridge", "kernel")

_RADIUS = {"node": 13.0, "bridge": 7.0, "kernel": 7.0, "tunnel": 8.0, "nic": 8.0, "process": 6.0, "filter": 5.0}


@dataclass(frozen=True, slots=True)
class Rect:
    x: float
    y: float
    w: float
    h: float
    fill: str
    stroke: str
    width: float
    radius: float
    dash: tuple[float, ...] = ()


def paint(box: Box) -> tuple[Rect, ...]:
    """The rectangles of a box, lowest first. Marked: tinted and thick. Not ready or virtual: dashed."""
    radius = _RADIUS.get(box.kind, 9.0)
    dash = (4.0, 3.0) if box.dashed else ()

    def rect(fill: str, stroke: str, width: float = 1.1, shift: float = 0.0, narrow: float = 0.0) -> Rect:
        return Rect(box.x + shift, box.y - shift, box.w - narrow, box.h, fill, stroke, width, radius, dash)

    match box.kind:
        case "node":
            return (rect("card", "line"),)
        case "bridge" | "tunnel":
            return (rect(f"{box.layer}bg", box.layer),)
        case "kernel":
            return (rect("nodebg", "line"),)
        case "group" | "more":  # a small pile: more than one
            return (rect("bg", "line", shift=3, narrow=3), rect("bg", "line", narrow=3))
        case "service":
            return (rect("natbg", "nat", 2.2 if box.marked else 1.1),)
        case "filter":
            return (rect("policybg", "policy"),)
        case "nic" | "gateway":
            return (rect("bg", "wire"),)
        case "external":
            return (rect("podbg", "pod", 2.4) if box.marked else rect("bg", "wire"),)
        case _:
            return (rect("podbg", "pod", 2.4) if box.marked else rect("bg", "no" if box.dashed else "line"),)


def halo(label: Label, boxes: dict[str, Box]) -> str:
    """The role that a label is outlined with where a way may run beneath it, else ""."""
    box = boxes.get(label.box)
    return f"{box.layer}bg" if box and box.kind in ("bridge", "kernel") else ""


def scene_data(s: Scene) -> dict[str, Any]:
    """A scene as plain data for a widget, painted: rectangles below and above the way, lines, texts, and the box of each place."""
    boxes = {b.id: b for b in s.boxes}

    def r(v: float) -> float:
        return round(v, 1)

    def rects(back: bool) -> list[list[Any]]:
        return [
            [r(p.x), r(p.y), r(p.w), r(p.h), p.fill, p.stroke, p.width, p.radius, " ".join(f"{d:g}" for d in p.dash)]
            for b in s.boxes if (b.kind in BACK) is back for p in paint(b)
        ]  # fmt: skip

    return {
        "size": [r(v) for v in s.size],
        "back": rects(True),
        "lines": [[ln.kind, [[r(x), r(y)] for x, y in ln.points]] for ln in s.lines],
        "front": rects(False),
        "texts": [[t.text, r(t.x), r(t.y), t.size, t.role, int(t.bold), int(t.mono), t.anchor, halo(t, boxes)] for t in s.labels],
        "places": {
            b.id: [r(b.x), r(b.y), r(b.w), r(b.h), _RADIUS.get(b.kind, 9.0)] for b in s.boxes if b.kind not in ("node", "more", "service")
        },
        "track": TRACK,
    }
