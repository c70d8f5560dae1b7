"""What a scene is made of: boxes, lines, labels, and the links that a packet can take. Pure geometry in pixels, y downwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .metrics import text_width

__all__ = ["Box", "Label", "Line", "Link", "Point", "Scene"]

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """`name` is the whole text of what the box stands for; `inside` the id of the box around it. `dashed`: virtual, or not ready."""

    id: str
    kind: Literal[
        "node", "pod", "group", "process", "bridge", "kernel", "tunnel", "nic", "gateway", "external", "service", "more", "filter",
    ]  # fmt: skip
    x: float
    y: float
    w: float
    h: float
    layer: str
    name: str
    inside: str = ""
    marked: bool = False
    dashed: bool = False

    @property
    def centre(self) -> Point:
        return self.x + self.w / 2, self.y + self.h / 2


@dataclass(frozen=True, slots=True)
class Line:
    id: str
    kind: Literal["veth", "child", "stem", "wire", "uplink"]  # child: of a macvlan, to its parent
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Text at a baseline point. `role` is a colour of the palette, `full` the text before it was shortened."""

    text: str
    x: float
    y: float
    size: float
    role: str = "ink"
    bold: bool = False
    mono: bool = False
    anchor: Literal["start", "middle", "end"] = "start"
    box: str = ""
    full: str = ""

    @property
    def extent(self) -> tuple[float, float]:
        """(left, right) as DejaVu Sans sets it."""
        width = text_width(self.text, self.size, bold=self.bold, mono=self.mono)
        left = self.x - {"start": 0, "middle": width / 2, "end": width}[self.anchor]
        return left, left + width


@dataclass(frozen=True, slots=True)
class Link:
    """A way that a packet can go between two places: ids of boxes or of taps on the node network ("tap:worker-1")."""

    a: str
    b: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    labels: tuple[Label, ...]
    size: tuple[float, float]
    links: tuple[Link, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)  # "pod:ns/name" -> id of the box that stands for it

    def box(self, id: str) -> Box | None:
        return next((b for b in self.boxes if b.id == id), None)
