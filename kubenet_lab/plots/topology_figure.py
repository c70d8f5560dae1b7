"""The topology figure: nodes, pods, bridges, tunnels and the network between the nodes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ..cluster.topology import Topology, TopologyPod
from .canvas import Canvas
from .figure import Figure
from .layout import TRACK
from .paint import BACK, halo, paint
from .scene import scene
from .shapes import Box, Scene
from .style import ThemeName

__all__ = ["describe", "draw_back", "draw_front", "topology_figure", "topology_of"]


def topology_of(source: Any) -> Topology:
    """The Topology of a cluster, or the one given."""
    return source if isinstance(source, Topology) else source.topology()


def _paint(canvas: Canvas, box: Box) -> None:
    for p in paint(box):
        canvas.rect(p.x, p.y, p.w, p.h, fill=p.fill, stroke=p.stroke, width=p.width, radius=p.radius, dash=p.dash)


def draw_back(canvas: Canvas, s: Scene) -> None:
    """What a packet's way runs over."""
    for box in s.boxes:
        if box.kind in BACK:
            _paint(canvas, box)
    for line in s.lines:
        wide = line.kind == "wire"
        canvas.line(
            line.points,
            stroke="wire" if line.kind in ("wire", "uplink", "child") else "line",
            width=2.2 if wide else 1.4,
            cap="butt" if line.kind == "veth" else "round",
        )


def draw_front(canvas: Canvas, s: Scene, *, track: bool = True) -> None:
    """What stands above the way: boxes and every text. Without a way, the tracks of the bars are not kept free."""
    for box in s.boxes:
        if box.kind not in BACK:
            _paint(canvas, box)
    boxes = {b.id: b for b in s.boxes}
    for t in s.labels:
        outline = halo(t, boxes)
        y = t.y if track or not outline else t.y - TRACK / 2 - 1
        canvas.text(t.text, t.x, y, t.size, role=t.role, bold=t.bold, mono=t.mono, anchor=t.anchor, halo=outline if track else "")


def _count(n: int, one: str) -> str:
    return f"{n} {one}{'' if n == 1 else 's'}"


def _pod_words(pod: TopologyPod) -> str:
    return f"{pod.key} {pod.address}" + (f" {pod.second}" if pod.second else "") + ("" if pod.ready else " (not ready)")


def describe(t: Topology, services: Iterable[str] = ()) -> str:
    """The picture in words: every node, device and pod with its address; workloads with counts where pods are too many to name."""
    size = f"{_count(len(t.nodes), 'node')} and {_count(len(t.pods), 'pod')}"
    if t.segments:
        lines = [f"{size} on {_count(len(t.segments), 'segment')} with a router between; pod network: {t.pod_network}."]
        lines += [f"Segment {s.name}: {s.cidr}, MTU {s.mtu}, the router is {s.gateway}." for s in t.segments]
    else:
        lines = [f"{size} on the node network {t.node_network} (MTU {t.node_mtu}); pod network: {t.pod_network}."]
    if t.router_filter:
        lines.append(f"The router's filter: {'; '.join(t.router_filter)}.")
    for node in t.nodes:
        devices = ", ".join(f"{d.name} {d.address}".strip() for d in node.devices) or "no devices"
        role = " (control plane)" if node.control_plane else ""
        where = f" on {node.segment}" if node.segment else ""
        lines.append(f"{node.name}{role}: {node.address}{where}, pod CIDR {node.pod_cidr or 'none'}; {devices}.")
        if node.filter:
            lines.append(f"  security group: {'; '.join(node.filter)}")
        mine = sorted((p for p in t.pods if p.node == node.name), key=lambda p: (p.host_network, p.namespace.startswith("kube-"), p.key))
        if len(t.pods) <= 60:
            own = [_pod_words(p) for p in mine if not p.host_network]
            host = [p.key for p in mine if p.host_network]
            parent = next((p.parent for p in mine if p.parent), "")
            lines.append(f"  pods{f', each with a macvlan of {parent}' if parent else ''}: {', '.join(own) or 'none'}")
            if host:
                lines.append(f"  in the node's own network: {', '.join(host)}")
        else:
            counts: dict[str, int] = {}
            for p in mine:
                counts[f"{p.namespace}/{p.workload}"] = counts.get(f"{p.namespace}/{p.workload}", 0) + 1
            lines.append(f"  pods by workload: {', '.join(f'{w} ×{n}' for w, n in counts.items()) or 'none'}")
    names = frozenset(services)
    if shown := [f"{name} {address}" for name, address in t.services if name in names]:
        lines.append(f"Services: {', '.join(shown)}.")
    if t.externals:
        lines.append(f"Outside the cluster: {', '.join(e.address for e in t.externals)}.")
    return "\n".join(lines)


def topology_figure(
    source: Any,
    *,
    focus: Iterable[str] = (),
    services: bool | Iterable[str] = False,
    columns: int | None = None,
    theme: ThemeName = "light",
) -> Figure:
    t, focus = topology_of(source), tuple(focus)
    services = services if isinstance(services, bool) else tuple(services)
    names = [n for n, _ in t.services] if services is True else [] if services is False else list(services)
    s = scene(t, focus, columns=columns, services=services)

    def draw(canvas: Canvas) -> None:
        draw_back(canvas, s)
        draw_front(canvas, s, track=False)

    title = f"{_count(len(t.nodes), 'node')}, {_count(len(t.pods), 'pod')}: {t.pod_network}"
    small = None if columns else partial(topology_figure, t, focus=focus, services=services, columns=1)
    return Figure(title, describe(t, names), s.size, draw, theme, small)
