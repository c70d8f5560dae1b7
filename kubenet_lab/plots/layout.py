"""How a cluster is laid out: what a node looks like inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..cluster.topology import Topology, TopologyNode, TopologyPod
from ..kernel.address import prefix
from .metrics import fit, text_width
from .shapes import Box, Label, Line, Link, Point

__all__ = ["BAR_H", "MARGIN", "PAD", "TRACK", "TUNNEL_LANE", "Builder", "display_name"]

MOST_PODS = 60  # drawn one by one
MOST_NODES = 8
MOST_BOXES = 72  # of pods and workloads, over all nodes, once they are counted by workload
PAD, NODE_GAP, MARGIN = 12.0, 20.0, 15.0
POD_W, POD_H, COLUMN_GAP, ROW_GAP, COLUMNS = 86.0, 50.0, 10.0, 13.0, 3
BAR_H, TRACK, CHIP_H = 35.0, 8.0, 22.0
DROP, FILTER_H = 22.0, 22.0
SECOND_H, CHILD_W, CHILD_H = 13.0, 20.0, 24.0  # a second address in a pod; beside and above the bar, for the line of macvlan children
# the two lanes that lead down through a node run in the gaps between the columns
TUNNEL_LANE, PLAIN_LANE = POD_W + COLUMN_GAP / 2, 2 * POD_W + 1.5 * COLUMN_GAP


def display_name(pod: TopologyPod) -> str:
    """What a pod is called in a picture: its workload where its own name ends in a random suffix, else its own name."""
    return pod.workload if pod.workload_kind not in ("", "Pod", "StatefulSet") and pod.workload else pod.key.partition("/")[2]


def _system(namespace: str) -> bool:
    return namespace.startswith("kube-")


@dataclass(frozen=True, slots=True)
class _Item:
    """One box among a node's pods."""

    id: str
    kind: Literal["pod", "group", "more"]
    top: str
    name: str
    sub: str
    full: str
    marked: bool = False
    ready: bool = True
    second: str = ""
    parent: str = ""  # the interface that its own is a child of


class Builder:
    def __init__(self, topology: Topology, focus: Iterable[str], nodes: Sequence[TopologyNode], most: int, columns: int):
        self.topology, self.focus = topology, frozenset(focus)
        self.columns = columns  # of pods in a node
        self.inner = columns * POD_W + (columns - 1) * COLUMN_GAP
        self.boxes: list[Box] = []
        self.lines: list[Line] = []
        self.labels: list[Label] = []
        self.links: list[Link] = []
        self.members: dict[str, str] = {}
        drawn = frozenset(n.name for n in nodes)
        self.drop = DROP  # from a node's frame down to the wire
        here = [p for p in topology.pods if p.node in drawn and not p.host_network]
        self.pod_height = POD_H + SECOND_H * any(p.second for p in here)
        self.lane = CHILD_W * any(p.parent for p in here)  # beside each node's bars, past its kernel
        self.node_width = self.inner + 2 * MARGIN + self.lane
        self.aggregate = len(here) > most
        self.room = max(6, MOST_BOXES // max(len(nodes), 1))  # boxes in one node

    # -- what a node holds

    def single(self, p: TopologyPod) -> _Item:
        marked = f"pod:{p.key}" in self.focus
        top = p.namespace if p.ready else "not ready"
        return _Item(f"pod:{p.key}", "pod", top, display_name(p), p.address, p.key, marked, p.ready, p.second, p.parent)

    def items(self, node: TopologyNode) -> list[_Item]:
        pods = sorted(
            (p for p in self.topology.pods if p.node == node.name and not p.host_network),
            key=lambda p: (_system(p.namespace), p.namespace, p.workload, p.key),
        )
        single = [p for p in pods if not self.aggregate or f"pod:{p.key}" in self.focus]
        items = [self.single(p) for p in single]
        groups: dict[tuple[str, str], list[TopologyPod]] = {}
        for p in pods:
            if p not in single:
                groups.setdefault((p.namespace, p.workload or p.key.partition("/")[2]), []).append(p)
        room = max(self.room - len(items), 3)
        shown = list(groups.items()) if len(groups) <= room else list(groups.items())[: room - 1]
        for (namespace, workload), members in shown:
            if len(members) == 1:  # as one box, it may as well have its address
                items.append(self.single(members[0]))
                continue
            id = f"group:{node.name}/{namespace}/{workload}"
            unready = sum(not p.ready for p in members)
            count = f"{len(members)} pods"
            full = f"{namespace}/{workload}: {count}" + (f", {unready} not ready" if unready else "")
            sub, parent = f"{unready} unready" if unready else count, members[0].parent
            items.append(_Item(id, "group", namespace, f"{workload} ×{len(members)}", sub, full, parent=parent))
            self.members |= {f"pod:{p.key}": id for p in members}
        if rest := list(groups.items())[len(shown) :]:
            id, left = f"more:{node.name}", sum(len(m) for _, m in rest)
            items.append(
                _Item(id, "more", "and", f"+{len(rest)} more", f"{left} pods", ", ".join(f"{n}/{w} ×{len(m)}" for (n, w), m in rest))
            )
            self.members |= {f"pod:{p.key}": id for _, m in rest for p in m}
        self.members |= {i.id: i.id for i in items if i.kind == "pod"}
        return items

    def pod_cidr(self, node: TopologyNode) -> str:
        """The node's part of the pod network; "" where the pods on it have their addresses from elsewhere (Calico's pools, macvlan)."""
        own = [p.address for p in self.topology.pods if p.node == node.name and not p.host_network]
        return node.pod_cidr if node.pod_cidr and (not own or any(a in prefix(node.pod_cidr) for a in own)) else ""

    def processes(self, node: TopologyNode) -> list[TopologyPod]:
        mine = [p for p in self.topology.pods if p.node == node.name and p.host_network]
        return sorted(mine, key=lambda p: (f"pod:{p.key}" not in self.focus, _system(p.namespace), p.namespace, p.key))

    def begin_row(self, nodes: Iterable[TopologyNode]) -> None:
        """Leave room above the wire for the security groups of a row of nodes."""
        self.drop = DROP + (FILTER_H + 18 if any(n.filter for n in nodes) else 0)

    # -- drawing

    def box(self, *args: Any, **options: Any) -> Box:
        box = Box(*args, **options)
        self.boxes.append(box)
        return box

    def label(
        self,
        box: Box | None,
        text: str,
        x: float,
        y: float,
        width: float,
        sizes: Sequence[float],
        keep: Literal["start", "end"] = "start",
        **options: Any,
    ) -> None:
        short, size = fit(text, width, sizes, bold=options.get("bold", False), mono=options.get("mono", False), keep=keep)
        self.labels.append(Label(short, x, y, size, box=box.id if box else "", full=text, **options))

    def link(self, a: str, b: str, *points: Point) -> None:
        self.links.append(Link(a, b, points))

    def pods(self, node: TopologyNode, items: list[_Item], frame: Box, x: float, y: float, rows: int, rail: str, rail_y: float) -> float:
        """`rail` is what the pods are wired to: the bridge, or the node itself; `rail_y` the height of its track.

        Children of an interface (macvlan) are wired to a line of their own above it, "children:NODE"; gives where that begins.
        """
        start = x + self.inner
        last, high = rows - 1, self.pod_height
        bottom = y + rows * high + last * ROW_GAP
        for n, item in enumerate(items):
            row, column = divmod(n, self.columns)
            row += rows - -(-len(items) // self.columns)  # the rows of a node stand on its bridge
            px, py = x + column * (POD_W + COLUMN_GAP), y + row * (high + ROW_GAP)
            to, foot, edge = (f"children:{node.name}", bottom + CHILD_H / 2, 0.0) if item.parent else (rail, rail_y, TRACK)
            box = self.box(item.id, item.kind, px, py, POD_W, high, "pod", item.full, frame.id, item.marked, not item.ready)
            cx, wide = px + POD_W / 2, POD_W - 6
            self.label(box, item.top, cx, py + 13, wide, (9.5, 9), role="soft" if item.ready else "no", anchor="middle")
            self.label(box, item.name, cx, py + 27.5, wide, (12.5, 11.5, 11), bold=item.marked, anchor="middle")
            self.label(box, item.sub, cx, py + 42, wide, (10.5, 10, 9.5, 9), keep="end", role="soft", mono=True, anchor="middle")
            if item.second:
                self.label(box, item.second, cx, py + 55, wide, (9.5, 9), keep="end", role="soft", mono=True, anchor="middle")
            if row == last:
                way: tuple[Point, ...] = ((cx, py + high), (cx, foot))
            else:
                # upper rows come down beside the boxes, side by side like the wires of a ribbon cable
                lane = px - COLUMN_GAP / 2 - min(2.5, 7 / max(last - 1, 1)) * ((last - 1) / 2 - row)
                turn = py + high + ROW_GAP / 2
                way = ((cx, py + high), (cx, turn), (lane, turn), (lane, foot))
            if item.kind != "more":
                kind: Literal["child", "veth"] = "child" if item.parent else "veth"
                self.lines.append(Line(f"{kind}:{item.id}", kind, (*way[:-1], (way[-1][0], foot - edge))))
                self.link(item.id, to, *way)
                start = min(start, way[-1][0]) if item.parent else start
        if not items:
            self.label(frame, "no pods here yet", x + self.inner / 2, bottom - high / 2, self.inner, (11,), role="soft", anchor="middle")
        return start

    def bar(
        self, id: str, kind: Literal["bridge", "kernel"], layer: str, frame: Box, y: float, name: str, sub: str, full: str, h: float = BAR_H
    ) -> Box:
        box = self.box(id, kind, frame.x + MARGIN - 8, y, self.inner + 16, h, layer, full, frame.id)
        x = frame.x + MARGIN
        self.label(box, name, x + 2, y + 27, TUNNEL_LANE - 12, (12, 11, 10.5), role=layer)
        lane = PLAIN_LANE if self.columns > 2 else TUNNEL_LANE
        self.label(
            box,
            sub,
            x + self.inner - 2,
            y + 27,
            self.inner - lane - 8,
            (10.5, 10, 9.5, 9),
            keep="end",
            role="soft",
            mono=kind == "bridge",
            anchor="end",
        )
        return box

    def device(
        self, id: str, kind: Literal["tunnel", "nic"], layer: str, frame: Box, x: float, y: float, w: float, name: str, sub: str, full: str
    ) -> Box:
        box = self.box(id, kind, x, y, w, 38.0, layer, full, frame.id)
        self.label(box, name, x + w / 2, y + 16, w - 10, (12, 11, 10), role=layer if kind == "tunnel" else "ink", anchor="middle")
        self.label(box, sub, x + w / 2, y + 30, w - 6, (10.5, 10, 9.5, 9), keep="end", role="soft", mono=True, anchor="middle")
        return box

    def node(self, node: TopologyNode, items: list[_Item], x: float, y: float, rows: int, chips: int) -> tuple[Box, float]:
        """Draw one node with room for `rows` of pods and `chips` rows of processes; gives its frame and where its wire leaves."""
        devices = node.devices
        bridges = [d for d in devices if d.kind == "bridge"]
        parent = next((i.parent for i in items if i.parent), "")
        first = next((d for d in devices if d.kind == "physical"), None)
        nics = sorted((d for d in devices if d.kind == "physical"), key=lambda d: (d != first, d.name != parent))
        tunnels = [d for d in devices if d.kind not in ("bridge", "physical")]
        frame = self.box(f"node:{node.name}", "node", x, y, self.node_width, 0.0, "node", node.name)
        left = x + MARGIN
        given, right = self.pod_cidr(node), left + self.inner + self.lane
        cidr, size = fit(given, 0.6 * self.inner - 10, (10.5, 10, 9.5, 9), keep="end", mono=True)
        self.labels.append(Label(cidr, right, y + 23, size, "soft", mono=True, anchor="end", box=frame.id, full=given))
        room = self.inner + self.lane - text_width(cidr, size, mono=True) - 8
        self.label(frame, node.name + (" · control plane" if node.control_plane else ""), left, y + 23, room, (13.5, 12, 11), bold=True)

        top = y + 36
        rail_y = top + rows * self.pod_height + (rows - 1) * ROW_GAP + CHILD_H / 2
        at = rail_y + CHILD_H / 2 + (CHILD_H if self.lane else 0)
        kernel = f"kernel:{node.name}"
        rail = f"device:{node.name}/{bridges[0].name}" if bridges else kernel
        start = self.pods(node, items, frame, left, top, rows, rail, at + TRACK)
        for n, d in enumerate(bridges):
            id = f"device:{node.name}/{d.name}"
            self.bar(id, "bridge", "bridge", frame, at, d.name, d.address, f"bridge {d.name} {d.address}".strip())
            self.link(id, kernel, (left + TUNNEL_LANE, at + TRACK), (left + TUNNEL_LANE, at + (len(bridges) - n) * (BAR_H + 15) + TRACK))
            self.lines.append(Line(f"stem:{id}", "stem", ((left + TUNNEL_LANE, at + BAR_H), (left + TUNNEL_LANE, at + BAR_H + 15))))
            at += BAR_H + 15
        height = BAR_H + (chips * (CHIP_H + 5) + 2 if chips else 0)
        self.bar(
            kernel,
            "kernel",
            "node",
            frame,
            at,
            "routes, rules",
            "the node itself",
            f"{node.name}: routes, rules and connection tracking",
            height,
        )
        self.chips(node, frame, left, at + BAR_H - 1, chips)
        track, at = at + TRACK, at + height + 18
        foot, nic_y = at - 18, at + (38 + 30 if tunnels else 6)
        width = min(150.0, (PLAIN_LANE - 12) / max(len(tunnels), 1) - 4)
        first_nic = f"device:{node.name}/{nics[0].name}" if nics else f"tap:{node.name}"
        for n, d in enumerate(tunnels):
            centre = left + TUNNEL_LANE if len(tunnels) == 1 else left + 4 + width / 2 + n * (width + 4)
            id, note = f"device:{node.name}/{d.name}", " · ".join(t for t in (d.note, d.address) if t)
            seen = note if text_width(note, 9, mono=True) <= width - 6 else d.address or d.note
            self.device(
                id,
                "tunnel",
                "tunnel",
                frame,
                centre - width / 2,
                at,
                width,
                d.name,
                seen or d.kind,
                f"{d.kind} {d.name} {note}, MTU {d.mtu}",
            )
            self.link(kernel, id, (centre, track), (centre, at + 19))
            self.link(id, first_nic, (centre, at + 19), (centre, nic_y + 19))
            self.lines.append(Line(f"stem:{id}", "stem", ((centre, foot), (centre, at))))
            self.lines.append(Line(f"stem:{id}:out", "stem", ((centre, at + 38), (centre, nic_y))))
        self.lines.append(Line(f"stem:{kernel}", "stem", ((left + PLAIN_LANE, foot), (left + PLAIN_LANE, nic_y))))
        out, bottom = left + self.inner / 2, nic_y + 38
        below = next((d for d in nics if d.name == parent), first)  # a parent that is not drawn stands on the first one
        for n, d in enumerate(nics):
            id = f"device:{node.name}/{d.name}"
            if n == 0:
                nx, ny, wide = (left + 15, nic_y, self.inner - 30) if self.columns > 2 else (left + 1, nic_y, self.inner + 9)
            else:  # further interfaces stand beside the first one's wire
                row, column = divmod(n - 1, 2)
                wide = self.inner / 2 - 27
                nx, ny = left + 15 + (1 - column) * (self.inner / 2 - 3), nic_y + (row + 1) * 46
            if parent and d == below:
                nx, wide = (frame.x + 7 if n == 0 else nx), frame.x + self.node_width - 7 - (frame.x + 7 if n == 0 else nx)
                self.children(frame, id, parent, (start, rail_y), ny)
            self.device(id, "nic", "wire", frame, nx, ny, wide, d.name, d.address, f"{d.name} {d.address}, MTU {d.mtu}")
            self.link(kernel, id, (left + PLAIN_LANE, track), (left + PLAIN_LANE, ny + 19))
            bottom = max(bottom, ny + 38)
        end = bottom + 14
        self.boxes[self.boxes.index(frame)] = frame = replace(frame, h=end - y)
        self.lines.append(Line(f"uplink:{node.name}", "uplink", ((out, nic_y + 38), (out, end + self.drop))))
        if node.filter:
            self.filter(node, out, end + 9)
            self.link(first_nic, f"filter:{node.name}", (out, nic_y + 19), (out, end + 20))
            self.link(f"filter:{node.name}", f"tap:{node.name}", (out, end + 20), (out, end + self.drop))
        else:
            self.link(first_nic, f"tap:{node.name}", (out, nic_y + 19), (out, end + self.drop))
        return frame, out

    def children(self, frame: Box, nic: str, parent: str, start: Point, nic_y: float) -> None:
        """The line that a node's macvlan children share: past the node's routes and rules, into their parent."""
        id, y, lane = f"children:{frame.name}", start[1], frame.x + MARGIN + self.inner + CHILD_W
        self.lines.append(Line(id, "child", (start, (lane, y), (lane, nic_y))))
        self.link(id, nic, (lane, y), (lane, nic_y + 19))
        words = f"macvlan children of {parent}: past the node's routes and rules"
        self.label(frame, words, frame.x + MARGIN + 2, y + 15, self.inner + CHILD_W - 10, (10.5, 10, 9.5, 9), role="wire")

    def filter(self, node: TopologyNode, x: float, y: float) -> None:
        """A node's security group: a gate on the way between its NIC and the wire."""
        rest = f" (+{len(node.filter) - 1})" if len(node.filter) > 1 else ""
        text, size = fit(f"{node.filter[0]}{rest}", self.node_width - 24, (10.5, 10, 9.5))
        w = text_width(text, size) + 16
        full = f"security group of {node.name}: {'; '.join(node.filter)}"
        box = self.box(f"filter:{node.name}", "filter", x - w / 2, y, w, FILTER_H, "policy", full)
        self.labels.append(Label(text, x, y + 15, size, "policy", anchor="middle", box=box.id, full=full))

    def chips(self, node: TopologyNode, frame: Box, x: float, y: float, rows: int) -> None:
        """Processes that live in the node's own network (hostNetwork pods)."""
        mine = self.processes(node)
        room = rows * self.columns
        shown = mine if len(mine) <= room else mine[: room - 1]
        for n, pod in enumerate(shown):
            row, column = divmod(n, self.columns)
            cx, cy = x + column * (POD_W + COLUMN_GAP), y + row * (CHIP_H + 5)
            id = f"pod:{pod.key}"
            marked = id in self.focus
            box = self.box(
                id,
                "process",
                cx,
                cy,
                POD_W,
                CHIP_H,
                "pod",
                f"{pod.key}, in the node's own network",
                f"kernel:{node.name}",
                marked,
                not pod.ready,
            )
            self.label(box, display_name(pod), cx + POD_W / 2, cy + 15, POD_W - 8, (11, 10, 9.5), bold=marked, anchor="middle")
            self.members[id] = id
            lane, side = (
                (x + TUNNEL_LANE, cx if column else cx + POD_W)
                if column < 2
                else (x + PLAIN_LANE + (column - 2) * (POD_W + COLUMN_GAP), cx)
            )
            self.link(id, f"kernel:{node.name}", (side, cy + CHIP_H / 2), (lane, cy + CHIP_H / 2), (lane, y - BAR_H + 1 + TRACK))
        if rest := mine[len(shown) :]:
            row, column = divmod(len(shown), self.columns)
            cx, cy = x + column * (POD_W + COLUMN_GAP), y + row * (CHIP_H + 5)
            names = ", ".join(p.key for p in rest)
            box = self.box(f"more:kernel:{node.name}", "more", cx, cy, POD_W, CHIP_H, "pod", names, f"kernel:{node.name}")
            self.label(box, f"+{len(rest)} more", cx + POD_W / 2, cy + 15, POD_W - 8, (11, 10), role="soft", anchor="middle")
            self.members |= {f"pod:{p.key}": f"kernel:{node.name}" for p in rest}
