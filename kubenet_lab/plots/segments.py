"""Several segments: each a wire of its own under its nodes, the router between them, machines outside and on the segments.

Nodes that fit side by side stand over the pieces of one line, the router below the middle. Else each segment has rows of its own,
joined in a lane at the left that leads down to the router: the lanes and the router's sides are in such an order that no wire
crosses another.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..cluster.topology import Topology, TopologyNode, TopologySegment
from ..kernel.address import prefix
from .layout import NODE_GAP, PAD, Builder
from .metrics import text_width
from .shapes import Box, Line, Point, Scene

__all__ = ["place_segments"]

ROUTER_W, ROUTER_H, EXTERNAL_W = 138.0, 38.0, 146.0
LANE, LEVEL = 14.0, 18.0


@dataclass(slots=True)
class _Run:
    """A stretch of a wire: its height, its ends, and what is plugged in: (id, x)."""

    y: float
    left: float
    right: float
    taps: list[tuple[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class _Wire:
    segment: TopologySegment
    runs: list[_Run] = field(default_factory=list)
    lane: float | None = None


def place_segments(
    b: Builder, topology: Topology, shown: Sequence[TopologyNode], columns: int, top: float, width: float, outside: Sequence[str]
) -> Scene:  # fmt: skip
    """The nodes from `top` downwards, their wires, the router, and the machines in `outside`. `width`: that of `columns` nodes."""
    home = {s.name: s for s in topology.segments if any(n.segment == s.name for n in shown)}
    order = list(home)
    nodes = sorted(shown, key=lambda n: order.index(n.segment))
    beside = len(nodes) <= columns
    rows = [nodes] if beside else [list(g) for name in order for g in _chunks([n for n in nodes if n.segment == name], columns)]
    trunk = 0.0 if beside else 22.0 + LANE * (len(order) - 1)
    width += trunk
    wires = {name: _Wire(home[name], lane=None if beside else PAD + 6 + LANE * i) for i, name in enumerate(order)}
    y = top
    for row in rows:
        y = _row(b, row, wires, PAD + trunk, y, width) + 34
    last = y - 34
    low = _router(b, topology, list(wires.values()), last, width, outside, beside)
    for wire in wires.values():
        _draw(b, wire)
    words = [f"pod network: {topology.pod_network}"]
    if hidden := len(topology.nodes) - len(shown):
        words.append(f"{hidden} more node{'s' * (hidden > 1)} not drawn")
    b.label(None, " · ".join(words), PAD + 4, low + 19, width - 8, (11, 10.5, 10, 9.5, 9), role="soft")
    return Scene(tuple(b.boxes), tuple(b.lines), tuple(b.labels), (width + 2 * PAD, low + 24 + PAD), tuple(b.links), b.members)


def _chunks(nodes: Sequence[TopologyNode], size: int) -> list[Sequence[TopologyNode]]:
    return [nodes[i : i + size] for i in range(0, len(nodes), size)]


def _row(b: Builder, row: Sequence[TopologyNode], wires: dict[str, _Wire], left: float, y: float, width: float) -> float:
    """One row of nodes and the runs of wire below it; gives the height of the wire."""
    items = {n.name: b.items(n) for n in row}
    deep = max([1, *(-(-len(i) // b.columns) for i in items.values())])
    chips = min(2, max(-(-len(b.processes(n)) // b.columns) for n in row))
    b.begin_row(row)
    frames = [b.node(n, items[n.name], left + k * (b.node_width + NODE_GAP), y, deep, chips) for k, n in enumerate(row)]
    bus = max(f.y + f.h for f, _ in frames) + b.drop
    for name, group in itertools.groupby(zip(row, frames, strict=True), key=lambda p: p[0].segment):
        here = list(group)
        wire, first, end = wires[name], here[0][1][0], here[-1][1][0]
        right = end.x + end.w - 6 if wire.lane is None else PAD + width - 6
        start = first.x + 6 if wire.lane is None else wire.lane
        wire.runs.append(_Run(bus, start, right, [(f"tap:{n.name}", out) for n, (_, out) in here]))
    return bus


# --------------------------------------------------------------------------------------------------------- the router
def _router(
    b: Builder, topology: Topology, wires: Sequence[_Wire], last: float, width: float, outside: Sequence[str], beside: bool
) -> float:  # fmt: skip
    """The router below everything, a line to each wire, the machines outside; gives the lowest height that is used."""
    w = min(ROUTER_W, width * 0.42)
    x = PAD + (width - w) / 2 if beside and width > 450 else PAD + width - w - 6
    ports = [x + w * (j + 0.5) / len(wires) for j in range(len(wires))]
    local: dict[str, list[str]] = {wire.segment.name: [] for wire in wires}
    for a in sorted(outside, key=lambda a: f"external:{a}" not in b.focus):
        if (wire := next((v for v in wires if a in prefix(v.segment.cidr)), None)) is not None:
            local[wire.segment.name].append(a)
    y = (_sides if beside else _stretches)(b, wires, ports, last, x + w / 2, local)
    rules = topology.router_filter
    full = "the router between the segments: " + ", ".join(f"{s.gateway} on {s.name}" for s in topology.segments)
    gate = b.box("gateway", "gateway", x, y, w, ROUTER_H, "wire", full + (f"; filter: {'; '.join(rules)}" if rules else ""))
    b.label(gate, "router", x + w / 2, y + 16, w - 8, (12, 11), anchor="middle")
    rest = f" (+{len(rules) - 1})" if len(rules) > 1 else ""
    sub = f"{rules[0]}{rest}" if rules else "between the segments" if w > 120 else "between"
    b.label(gate, sub, x + w / 2, y + 30, w - 8, (10.5, 9.5, 9), role="policy" if rules else "soft", anchor="middle")
    _beyond(b, [a for a in outside if not any(a in here for here in local.values())], x, y)
    low = y + ROUTER_H
    for wire in wires if beside else ():
        run, wide = wire.runs[-1], min(EXTERNAL_W, width * 0.45)
        after = run.left + run.right > 2 * x + w  # at the outer end of its wire
        at = run.right - wide if after else run.left
        top = y
        while any(_touches(box, at, top, wide) for box in b.boxes):
            top += ROUTER_H + 14
        if local[wire.segment.name]:
            low = max(low, _on_wire(b, wire, run, local[wire.segment.name], at, top, wide, run.right - 8 if after else run.left + 8))
    return low


def _touches(box: Box, x: float, y: float, w: float) -> bool:
    return not box.inside and box.x < x + w + 8 and x < box.x + box.w + 8 and box.y < y + ROUTER_H and y < box.y + box.h


def _sides(
    b: Builder, wires: Sequence[_Wire], ports: Sequence[float], last: float, middle: float, local: Mapping[str, Sequence[str]]
) -> float:  # fmt: skip
    """Lines from wires that lie side by side to a router below their middle; gives its height."""
    depth = _depths(wires, ports, middle)
    level = last + 40
    y = level + LEVEL * (max(depth.values(), default=-1) + 1) + 6
    for j, (wire, px) in enumerate(zip(wires, ports, strict=True)):
        run = wire.runs[-1]
        ways: tuple[Point, ...] = ((px, run.y), (px, y))
        if j in depth:
            sx, down = run.right - 14 if px > run.right - 8 else run.left + 14, level + LEVEL * depth[j]
            ways = ((sx, run.y), (sx, down), (px, down), (px, y))
        _port(b, wire, run, ways)
        room = 22.0 if local[wire.segment.name] else 4.0  # beside the line of a machine on it
        _name(b, wire, run, run.left + room, run.right - room, ways[0][0])
    return y


def _stretches(
    b: Builder, wires: Sequence[_Wire], ports: Sequence[float], last: float, middle: float, local: Mapping[str, Sequence[str]]
) -> float:  # fmt: skip
    """A stretch at the foot for each wire above the last one, with the machines that are on it; gives the router's height."""
    heights, tops, y = [last] * len(wires), [0.0] * len(wires), last
    for j in range(len(wires) - 1, -1, -1):
        heights[j], y = y, y + (34 if j == len(wires) - 1 else LEVEL)
        if local[wires[j].segment.name]:
            tops[j] = y - 4
            y = tops[j] + ROUTER_H + 14
    y += 6
    for j, (wire, px) in enumerate(zip(wires, ports, strict=True)):
        run, lane, here, foot = wire.runs[-1], wire.lane or 0.0, local[wire.segment.name], j == len(wires) - 1
        _name(b, wire, run, lane + (26 if here and foot else 14), run.right - 4, px if foot else None)
        if not foot:  # the last one's own wire is there already
            run = _Run(heights[j], lane, px)
            wire.runs.append(run)
        _port(b, wire, run, ((px, run.y), (px, y)))
        if here:
            _on_wire(b, wire, run, here, lane + 10, tops[j], min(EXTERNAL_W, ports[0] - lane - 30), lane + 18)
    return y


def _depths(wires: Sequence[_Wire], ports: Sequence[float], middle: float) -> dict[int, int]:
    """For the wires whose line to the router is no straight one: how far down it turns. Those further out turn lower."""
    far = [j for j, w in enumerate(wires) if not w.runs[-1].left + 8 <= ports[j] <= w.runs[-1].right - 8]
    left = [j for j in far if ports[j] < middle]
    right = [j for j in far if j not in left]
    return {j: n for side in (reversed(left), right) for n, j in enumerate(side)}


def _port(b: Builder, wire: _Wire, run: _Run, ways: Sequence[Point]) -> None:
    """A line from a wire down to one side of the router."""
    name = f"tap:gateway/{wire.segment.name}"
    run.taps.append((name, ways[0][0]))
    b.lines.append(Line(f"uplink:{name}", "uplink", tuple(ways)))
    b.link("gateway", name, (ways[-1][0], ways[-1][1] + ROUTER_H / 2), *reversed(ways))


def _name(b: Builder, wire: _Wire, run: _Run, left: float, right: float, port: float | None) -> None:
    """What a wire is called, below it: on the side of the router's line where there is more room."""
    s = wire.segment
    if port is not None and left - 14 < port < right:
        left, right = (left, port - 14) if port - left >= right - port else (port + 14, right)
    parts = [s.name, f"{s.cidr} · MTU {s.mtu}"]
    if text_width(" · ".join(parts), 10.5) <= right - left:
        b.label(None, " · ".join(parts), left, run.y + 17, right - left, (11, 10.5), role="soft")
    else:
        for n, text in enumerate(parts):
            b.label(None, text, left, run.y + 15 + 13 * n, right - left, (11, 10.5, 10, 9.5, 9), role="soft")


# ------------------------------------------------------------------------------------------------------------ machines
def _beyond(b: Builder, addresses: Sequence[str], gate: float, y: float) -> None:
    """Machines beyond the router, at its left."""
    ordered = sorted(addresses, key=lambda a: f"external:{a}" not in b.focus)
    wide = min(EXTERNAL_W, max(gate - PAD - 30, 60.0))
    room = max(1, int((gate - PAD - 24) // (wide + 14)))
    x = gate
    for n, address in enumerate(ordered[:room]):
        x -= (28 if n == 0 else 14) + wide
        more = f" (+{len(ordered) - room} more)" if n == room - 1 and len(ordered) > room else ""
        _machine(b, address, x, y, wide, "outside" + more, f"{address}, outside the cluster")
        b.link(f"external:{address}", "gateway", (x + wide / 2, y + ROUTER_H / 2), (gate + 20, y + ROUTER_H / 2))
    b.members |= {f"external:{a}": f"external:{ordered[room - 1]}" for a in ordered[room:]}
    if ordered:
        b.lines.append(Line("wire:outside", "wire", ((x + wide / 2, y + ROUTER_H / 2), (gate, y + ROUTER_H / 2))))


def _on_wire(
    b: Builder, wire: _Wire, run: _Run, addresses: Sequence[str], x: float, y: float, w: float, line: float
) -> float:  # fmt: skip
    """The machines on a segment as one box on a line of its own; gives its lower edge."""
    first, *rest = addresses
    more = f" (+{len(rest)} more)" if rest else ""
    _machine(b, first, x, y, w, f"on {wire.segment.name}{more}", f"{first}, on the segment {wire.segment.name}")
    b.members |= {f"external:{a}": f"external:{first}" for a in rest}
    b.lines.append(Line(f"uplink:external:{first}", "uplink", ((line, run.y), (line, y))))
    run.taps.append((f"tap:external:{first}", line))
    b.link(f"external:{first}", f"tap:external:{first}", (line, y + ROUTER_H / 2), (line, run.y))
    return y + ROUTER_H


def _machine(b: Builder, address: str, x: float, y: float, w: float, title: str, full: str) -> None:
    marked = f"external:{address}" in b.focus
    box = b.box(f"external:{address}", "external", x, y, w, ROUTER_H, "wire", full, "", marked)
    b.label(box, title, x + w / 2, y + 16, w - 8, (12, 11, 10), bold=marked, anchor="middle")
    b.label(box, address, x + w / 2, y + 30, w - 8, (10.5, 9.5, 9), keep="end", role="soft", mono=True, anchor="middle")


# ---------------------------------------------------------------------------------------------------------- the wires
def _draw(b: Builder, wire: _Wire) -> None:
    """A segment's runs as lines, joined in its lane, and the ways along them."""
    name = wire.segment.name
    for n, run in enumerate(wire.runs):
        b.lines.append(Line(f"wire:{name}:{n}", "wire", ((run.left, run.y), (run.right, run.y))))
        ends = sorted(run.taps, key=lambda t: t[1])
        if wire.lane is not None:
            ends.insert(0, (f"corner:{name}:{n}", wire.lane))
        for (a, ax), (z, zx) in itertools.pairwise(ends):
            b.link(a, z, (ax, run.y), (zx, run.y))
    for n, (one, two) in enumerate(itertools.pairwise(wire.runs)):
        assert wire.lane is not None
        b.link(f"corner:{name}:{n}", f"corner:{name}:{n + 1}", (wire.lane, one.y), (wire.lane, two.y))
        b.lines.append(Line(f"wire:{name}:lane:{n}", "wire", ((wire.lane, one.y), (wire.lane, two.y))))
