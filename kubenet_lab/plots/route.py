"""The way of a trace over a scene: for each hop where it happened and the line along which the packet came there."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..kernel.network import PROVIDER, ROUTER
from ..trace import Header, Hop, Trace
from .layout import TRACK
from .shapes import Box, Point, Scene

__all__ = ["Step", "focus_of", "leaf", "length", "place", "route", "walks", "wrapped"]


#: machines that one box stands for: the router, and the one at the far end of its uplink
ROUTERS = (ROUTER, PROVIDER)


@dataclass(frozen=True, slots=True)
class Step:
    """One hop on the picture. `points`: the way from the hop before (empty for the first); `at`: where the packet is now.

    `wrapped`: it travelled there inside another packet; `packed`: it is inside one now.
    """

    number: int
    direction: Literal["forward", "reply"]
    place: str
    points: tuple[Point, ...]
    at: Point
    wrapped: bool
    packed: bool
    failed: bool
    layer: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "place": self.place, "points": [[round(x, 1), round(y, 1)] for x, y in self.points], "at": [round(v, 1) for v in self.at],
            "wrapped": self.wrapped, "packed": self.packed,
        }  # fmt: skip


def wrapped(headers: Sequence[Header]) -> bool:
    """Whether a packet carries another: more than one IP header, ICMP quotes aside."""
    names = [h.name for h in headers]
    until = next((i for i, n in enumerate(names) if n.startswith("ICMP")), len(names))
    return sum(n in ("IPv4", "IPv6") for n in names[:until]) > 1


def walks(trace: Trace) -> tuple[tuple[str, Trace], ...]:
    """The simple traces that a trace is made of, with the names of their stages ("" if it is simple itself)."""
    if not trace.stages:
        return (("", trace),)
    out: list[tuple[str, Trace]] = []
    for name, stage in trace.stages:
        for inner, walk in walks(stage) if isinstance(stage, Trace) else ():
            out.append(((inner and f"{name}: {inner}") or name, walk))
    return tuple(out) or (("", trace),)


def leaf(trace: Trace) -> Trace:
    """The stage that a picture is about: the last one in which a packet moved."""
    found = [walk for _, walk in walks(trace) if walk.hops]
    return found[-1] if found else trace


def focus_of(trace: Trace) -> tuple[str, ...]:
    """Ids of what a trace touches: pods, outside machines and nodes of its hops, in order, and who answered."""
    seen: dict[str, None] = {}
    for _, walk in walks(trace):
        for hop in (*walk.hops, *walk.reply_hops):
            if hop.namespace.startswith(("pod:", "external:")) or hop.namespace in ROUTERS:
                seen.setdefault("gateway" if hop.namespace in ROUTERS else hop.namespace)
            else:
                seen.setdefault(f"node:{hop.host}")
        if walk.answered_by and ":" not in walk.answered_by and "/" in walk.answered_by:
            seen.setdefault(f"pod:{walk.answered_by}")
    return tuple(seen)


def _first(scene: Scene, node: str, kind: str) -> str | None:
    return next((b.id for b in scene.boxes if b.kind == kind and b.inside == f"node:{node}"), None)


def place(scene: Scene, hop: Hop, answered_by: str | None = None) -> str | None:
    """The id of the box where a hop happened; None if the scene does not show it. Asks for code, layer, namespace and device only."""
    where = hop.namespace
    if where in ROUTERS:
        return "gateway" if scene.box("gateway") else None
    if where.startswith(("pod:", "external:")):
        where = scene.members.get(where, where)
        return where if scene.box(where) else None
    node = where if scene.box(f"node:{where}") else hop.host
    if not scene.box(f"node:{node}"):
        return None
    if hop.code.startswith("group.") and (filtered := scene.box(f"filter:{node}")):
        return filtered.id  # outside of the machine
    device = scene.box(f"device:{node}/{hop.device}") if hop.device else None
    if hop.layer == "tunnel":
        return device.id if device and device.kind == "tunnel" else _first(scene, node, "tunnel") or f"kernel:{node}"
    if hop.layer == "bridge":
        return device.id if device and device.kind == "bridge" else _first(scene, node, "bridge") or f"kernel:{node}"
    if hop.layer == "wire":
        return device.id if device and device.kind == "nic" else _first(scene, node, "nic") or f"kernel:{node}"
    if hop.layer in ("nat", "policy") and hop.device and not device and (bridge := _first(scene, node, "bridge")):
        return bridge  # at a bridge port: br_netfilter runs the rules there, before the node takes the frame in
    process = scene.box(f"pod:{answered_by}")
    if hop.layer == "pod" and process and process.kind == "process":
        return process.id
    return f"kernel:{node}"


def length(points: Sequence[Point]) -> float:
    return sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.pairwise(points))


def _join(parts: Iterable[Sequence[Point]]) -> tuple[Point, ...]:
    """One polyline of right angles; what meets inside a box is joined along the first part's end."""
    out: list[Point] = []
    for part in parts:
        for x, y in part:
            if out and out[-1][0] != x and out[-1][1] != y:
                out.append((x, out[-1][1]))
            if not out or out[-1] != (x, y):
                out.append((x, y))
    return tuple(out)


def _way(scene: Scene, start: str, goal: str) -> tuple[Point, ...]:
    """The shortest way between two places along the scene's links (Dijkstra; ties by id)."""
    near: dict[str, list[tuple[str, tuple[Point, ...]]]] = {}
    for link in scene.links:
        near.setdefault(link.a, []).append((link.b, link.points))
        near.setdefault(link.b, []).append((link.a, link.points[::-1]))
    queue: list[tuple[float, str, tuple[tuple[Point, ...], ...]]] = [(0.0, start, ())]
    done: set[str] = set()
    while queue:
        cost, at, parts = heapq.heappop(queue)
        if at == goal:
            return _join(parts)
        if at in done:
            continue
        done.add(at)
        for to, points in near.get(at, ()):
            if to not in done:
                heapq.heappush(queue, (cost + length(points) + 1, to, (*parts, points)))
    return ()


def _anchor(box: Box, points: Sequence[Point], hop: Hop) -> Point:
    """Where the packet stands: on the track of a bar, under a pod, on the wire side of a device; never on a text."""
    x, _y = box.centre
    if box.kind in ("bridge", "kernel"):
        return (points[-1][0] if points else x, box.y + TRACK)
    if box.kind == "tunnel":
        return (x, box.y - 9 if hop.added < 0 else box.y + box.h + 14)
    if box.kind == "nic" and hop.code == "macvlan.switch":  # from child to child: it never gets to the wire
        return (points[-1][0] if points else x, box.y - 10)
    if box.kind == "nic":
        return (x, box.y + box.h + 12)
    if box.kind == "filter":
        return (x, box.y - 4 if hop.params.get("way") == "egress" else box.y + box.h + 10)
    return (x, box.y + box.h + 6.5)


def route(scene: Scene, hops: Sequence[Hop], answered_by: str | None = None, start: str | None = None) -> tuple[Step, ...]:
    """A step for each hop, in order. A hop in a place that the scene does not show stays where the packet was.

    `start`: where the packet is before the first hop, where that is known (an answer starts where the question ended).
    """
    out: list[Step] = []
    box = scene.box(start) if start else None
    here = box.id if box else None
    last: Point = box.centre if box else (0.0, 0.0)
    headers: tuple[Header, ...] = ()
    for hop in hops:
        there = place(scene, hop, answered_by) or here
        carried = wrapped(headers or hop.before)
        points: tuple[Point, ...] = ()
        if here and there and here != there:
            points = _way(scene, here, there)
            if points and last != points[0] and (box := scene.box(here)) and box.kind in ("bridge", "kernel"):
                points = _join(((last,), points))  # go on from where the packet stands on the bar
        box = scene.box(there) if there else None
        at = _anchor(box, points, hop) if box and (points or there != here) else last
        if box and there == here and box.kind == "tunnel":
            at = _anchor(box, points, hop)
        headers = hop.after or hop.before or headers
        out.append(Step(hop.number, hop.direction, there or "", points, at, carried, wrapped(headers), hop.failed, hop.layer))
        here, last = there, at
    return tuple(out)
