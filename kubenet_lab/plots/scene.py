"""The cluster as boxes, lines and labels: pure geometry in pixels, drawn alike by the figures and by the widgets.

`scene(topology)` places everything. Ids are the words that hops use: "node:worker-1", "device:worker-1/cni0",
"kernel:worker-1" (the node's routes and rules), "pod:shop/web-6c9d8-x2k", "external:203.0.113.7", "gateway",
"service:shop/cart". Up to 60 pods are drawn one by one, more are counted by workload ("web ×12").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ..cluster.topology import Topology, TopologyNode
from .layout import COLUMNS, MOST_NODES, MOST_PODS, NODE_GAP, PAD, Builder
from .metrics import text_width
from .segments import place_segments
from .shapes import Line, Scene
from .surroundings import place_outside, place_services

__all__ = ["scene"]


def _nodes(topology: Topology, focus: Sequence[str], names: Iterable[str] | None) -> tuple[TopologyNode, ...]:
    """The nodes to draw, in the cluster's order."""
    if names is None and len(topology.nodes) <= MOST_NODES:
        return topology.nodes
    wanted = frozenset(names) if names is not None else frozenset(n.name for n in topology.nodes)
    home = {f"pod:{p.key}": p.node for p in topology.pods}
    first = {home.get(f, f.removeprefix("node:")) for f in focus}
    ranked = sorted((n for n in topology.nodes if n.name in wanted), key=lambda n: n.name not in first)[:MOST_NODES]
    return tuple(n for n in topology.nodes if n in ranked)


def _columns(nodes: int) -> int:
    return nodes if nodes <= 3 else 2 if nodes == 4 else 3


def scene(
    topology: Topology,
    focus: Iterable[str] = (),
    *,
    columns: int | None = None,
    pod_columns: int = COLUMNS,
    nodes: Iterable[str] | None = None,
    most: int = MOST_PODS,
    services: bool | Iterable[str] = False,
    externals: bool | Iterable[str] = True,
) -> Scene:
    """Place a cluster. `focus`: ids to mark, always drawn singly ("pod:shop/web-...", "external:203.0.113.7", "service:shop/cart").

    `columns`: nodes side by side (default by their number; 1 for narrow screens);
    `pod_columns`: pods side by side in a node, 2 or more. `nodes`: draw only these; at most eight are
    drawn, the focus first, the rest is counted in words. `most`: pods drawn one by one. `services`: a strip of Service
    addresses, all or these names. `externals`: the router and machines outside, all known ones or these addresses.
    """
    focus = tuple(focus)
    shown = _nodes(topology, focus, nodes)
    b = Builder(topology, focus, shown, most, max(2, pod_columns))
    columns = max(1, min(columns or _columns(len(shown)), max(len(shown), 1)))
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    trunk = 22.0 if len(rows) > 1 else 0.0
    width = trunk + columns * b.node_width + (columns - 1) * NODE_GAP
    names = None if isinstance(services, bool) else frozenset(services)
    wanted = tuple(s for s in topology.services if (services is True if names is None else s[0] in names))
    y = place_services(b, wanted, PAD, width)
    if len(topology.segments) > 1:
        return place_segments(b, topology, shown, columns, y, width - trunk, _outside(topology, focus, externals))
    bus = y
    taps: list[list[tuple[str, float, float]]] = []
    for row in rows:
        items = {n.name: b.items(n) for n in row}
        deep = max([1, *(-(-len(i) // b.columns) for i in items.values())])
        chips = min(2, max(-(-len(b.processes(n)) // b.columns) for n in row))
        b.begin_row(row)
        frames = [b.node(n, items[n.name], PAD + trunk + k * (b.node_width + NODE_GAP), y, deep, chips) for k, n in enumerate(row)]
        bottom = max(f.y + f.h for f, _ in frames)
        bus = bottom + b.drop
        taps.append([(f"tap:{n.name}", out, bus) for n, (_, out) in zip(row, frames, strict=True)])
        y = bus + 20
    last = bus
    parts = [f"node network {topology.node_network} · MTU {topology.node_mtu}", f"pod network: {topology.pod_network}"]
    if hidden := len(topology.nodes) - len(shown):
        parts.append(f"{hidden} more node{'s' * (hidden > 1)} not drawn")
    room = width - trunk - 10
    words = [" · ".join(parts)] if text_width(" · ".join(parts), 10.5) <= room else parts
    for n, text in enumerate(words):
        b.label(None, text, PAD + trunk + 4, last + 25 + 15 * n, room, (11, 10.5, 10, 9.5, 9), role="soft")
    below = last + 33 + 15 * (len(words) - 1)
    outside = _outside(topology, focus, externals)
    end = below
    if outside or "gateway" in focus:
        end = place_outside(b, outside, below + 7, width, last) + 4
        gate = next(box for box in b.boxes if box.id == "gateway")
        taps[-1].append(("tap:gateway", gate.centre[0], last))
    _wires(b, taps, PAD + 6 if trunk else None, PAD + trunk, PAD + width)
    return Scene(tuple(b.boxes), tuple(b.lines), tuple(b.labels), (width + 2 * PAD, end + PAD), tuple(b.links), b.members)


def _outside(topology: Topology, focus: Sequence[str], externals: bool | Iterable[str]) -> list[str]:
    """The addresses of the machines outside that are to be drawn."""
    seen = {e.address for e in topology.externals} if externals is True else set(() if isinstance(externals, bool) else externals)
    return sorted(seen | {f.removeprefix("external:") for f in focus if f.startswith("external:")})


def _wires(b: Builder, taps: list[list[tuple[str, float, float]]], trunk: float | None, left: float, right: float) -> None:
    """The node network: one line under each row of nodes, joined at the left."""
    for n, row in enumerate(taps):
        if not row:
            continue
        y = row[0][2]
        b.lines.append(Line(f"wire:{n}", "wire", ((trunk if trunk is not None else left + 6, y), (right - 6, y))))
        ends = sorted(row, key=lambda t: t[1])
        if trunk is not None:
            ends.insert(0, (f"corner:{n}", trunk, y))
        for (a, ax, _), (z, zx, _) in itertools.pairwise(ends):
            b.link(a, z, (ax, y), (zx, y))
    if trunk is not None:
        for n, (one, two) in enumerate(itertools.pairwise(taps)):
            b.link(f"corner:{n}", f"corner:{n + 1}", (trunk, one[0][2]), (trunk, two[0][2]))
            b.lines.append(Line(f"wire:trunk:{n}", "wire", ((trunk, one[0][2]), (trunk, two[0][2]))))
