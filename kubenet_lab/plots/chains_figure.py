"""The chains of a Service as boxes: where a node catches its packets, who is chosen with what chance, how often each rule was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..cluster.service_rules import service_rules
from ..objects.views import Pod
from .canvas import Canvas
from .chain_graph import ChainBox, ChainGraph, Edge, chain_graph
from .figure import Figure
from .lanes import lanes
from .metrics import fit, lines, shorten, text_width
from .style import ThemeName

__all__ = ["chains_figure", "describe_chains"]

WIDE, NARROW = 900.0, 420.0
HEAD, ROW, NOTE, GAP = 25.0, 19.0, 13.0, 13.0
COLUMN = 40.0  # between two columns
MOST = 8  # rows of a box
_MEANS = {
    "service-ips": "all Service addresses", "service-nodeports": "all node ports", "no-endpoint-services": "without endpoints",
    "no-endpoint-nodeports": "without endpoints", "firewall-ips": "source ranges", "service": "all endpoints",
    "local": "endpoints on this node", "external": "from outside", "firewall": "allowed sources", "endpoint": "one endpoint",
    "KUBE-SERVICES": "all Service addresses", "KUBE-NODEPORTS": "all node ports", "KUBE-EXTERNAL-SERVICES": "without endpoints",
    "KUBE-PROXY-FIREWALL": "source ranges", "KUBE-SVC": "all endpoints", "KUBE-SVL": "endpoints on this node", "KUBE-EXT": "from outside",
    "KUBE-FW": "allowed sources", "KUBE-SEP": "one endpoint",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A box in the picture, with the y of each of its rows."""

    box: ChainBox
    rows: tuple[Edge, ...]
    more: int
    notes: tuple[str, ...]
    x: float
    y: float
    w: float
    h: float
    said: tuple[tuple[str, ...], ...]  # of each row: what it asks, in lines
    tall: tuple[float, ...]  # of each row

    def row_y(self, n: int) -> float:
        return self.y + HEAD + NOTE * len(self.notes) + sum(self.tall[:n]) + ROW / 2


def _means(name: str) -> str:
    parts = name.split("-")
    return _MEANS.get(name) or _MEANS.get("-".join(parts[:2]) if parts[0] == "KUBE" else parts[0], "")


def _end(name: str) -> str:
    words = name.split()
    return f"{words[0]} ({words[-1]})" if "--reject-with" in words else name.removeprefix("DNAT ")


def _share(e: Edge) -> str:
    return str(e.share) if e.share is not None else ""


def _folded(graph: ChainGraph) -> ChainGraph:
    """The ends as rows of the chains that lead to them: boxes are chains only."""
    return replace(graph, boxes=tuple(b for b in graph.boxes if b.kind in ("caught", "chain")))


def describe_chains(graph: ChainGraph, pods: Mapping[str, str]) -> str:
    kind = "chain" if graph.mode == "iptables" else "map"
    caught = [b.name for b in graph.boxes if b.kind == "caught"]
    where = f"the {kind}{'s' if len(caught) > 1 else ''} {', '.join(caught)}" if caught else f"no {kind}"
    out = [f"The rules of Service {graph.service} on {graph.node}, in {where}"]
    for b in sorted(graph.boxes, key=lambda b: b.depth):
        edges = graph.leads_to(b.name)
        if not edges and not b.notes:
            continue
        out.append(f"{b.name} ({_means(b.name)}):" if _means(b.name) else f"{b.name}:")
        out += [f"  {n}" for n in b.notes]
        for e in edges:
            chance = f"{_share(e)} of them" if e.share is not None else ""
            what = ", ".join(p for p in (e.condition, chance) if p) or "all"
            whom = pods.get(_end(e.target).rsplit(":", 1)[0].strip("[]"), "")
            met = "" if e.hits is None else f", met {e.hits} time{'' if e.hits == 1 else 's'}"
            out.append(f"  {what} → {_end(e.target)}{f' ({whom})' if whom else ''}{met}")
    return "\n".join(out)


def chains_figure(
    cluster: Any, key: str, node: str, *, port: int | str | None = None, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    graph = chain_graph(service_rules(cluster, node, key, port=port))
    pods = {ip: p.key for p in cluster.snapshot().list(Pod) if not p.spec.host_network for ip in p.ips}
    return _drawn(graph, pods, columns == 1, theme, not columns)


def _drawn(graph: ChainGraph, pods: Mapping[str, str], narrow: bool, theme: ThemeName = "light", both: bool = False) -> Figure:
    width = NARROW if narrow else WIDE
    folded = _folded(graph)
    places, bottom = _stacked(folded, width) if narrow else _columns(folded, width)
    height = bottom + 34
    counts = any(e.hits is not None for e in graph.edges) or any("×" in n for b in graph.boxes for n in b.notes)
    asks = "a rule" if graph.mode == "iptables" else "a rule, or a map's element"
    said = f"each row is {asks}: what it asks, its share{', how often it was met' if counts else ''}"
    if narrow and graph.mode != "iptables":
        said = f"each row is {asks}"
    foot = "n× = packets that met the rule; NAT rules see the first of a connection"
    title = f"{'Chains' if graph.mode == 'iptables' else 'Maps and chains'} of {graph.service} on {graph.node}"

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(title, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        canvas.text(shorten(said, width - 32, 12), 16, 50, 12, role="soft")
        if not places:
            canvas.text("no rule on this node knows this Service", 16, 84, 12, role="no", bold=True)
        if not narrow:
            _wires(canvas, places)
        for p in places.values():
            _draw_box(canvas, p, pods)
        canvas.text(foot if counts or not places else "no counts: these rules hold no counter", 16, height - 12, 10.5, role="soft")

    small = partial(_drawn, graph, pods, True) if both else None
    return Figure(title, describe_chains(graph, pods), (width, height), draw, theme, small)


def _place(graph: ChainGraph, b: ChainBox, x: float, y: float, w: float, narrow: bool = False) -> Place:
    edges = graph.leads_to(b.name)
    rows = edges if len(edges) <= MOST else edges[: MOST - 1]
    notes = tuple(line for n in b.notes for line in lines(n, w - 18, 9.5))
    inner = {b.name for b in graph.boxes}
    said = tuple(tuple(lines(_asks(e), w - 18 - _count_width(e), 10)) for e in rows)
    tall = tuple(
        ROW + NOTE * (len(s) - 1) + (NOTE if narrow or e.target not in inner else 0) for e, s in zip(rows, said, strict=True)
    )  # fmt: skip
    h = HEAD + NOTE * len(notes) + sum(tall) + (ROW if len(edges) > len(rows) else 0) + 6
    return Place(b, rows, len(edges) - len(rows), notes, x, y, w, h, said, tall)


def _asks(e: Edge) -> str:
    return " ".join(x for x in (e.condition, f"{_share(e)} of them" if e.share is not None else "") if x) or "all"


def _count_width(e: Edge) -> float:
    return text_width(f"{e.hits}×", 10, bold=True) + 6 if e.hits else 0.0


def _reached(graph: ChainGraph) -> list[str]:
    """The chains that a drawn row leads to, in the order in which packets meet them."""
    by_name = {b.name: b for b in graph.boxes}
    waiting = [b.name for b in graph.boxes if b.kind == "caught"]
    found: list[str] = []
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += [e.target for e in _place(graph, by_name[name], 0, 0, WIDE).rows if e.target in by_name]
    return sorted(found, key=lambda n: by_name[n].depth)


def _columns(graph: ChainGraph, width: float) -> tuple[dict[str, Place], float]:
    """Side by side by depth; only chains that a drawn row leads to."""
    depths = sorted({b.depth for b in graph.boxes})
    if not depths:
        return {}, 96.0
    w = min(270.0, (width - 32 - COLUMN * (len(depths) - 1)) / len(depths))
    by_name = {b.name: b for b in graph.boxes}
    reached = _reached(graph)
    stacks = [[_place(graph, by_name[n], 0, 0, w) for n in reached if by_name[n].depth == d] for d in depths]
    tall = max(sum(p.h for p in s) + GAP * (len(s) - 1) for s in stacks)
    places: dict[str, Place] = {}
    for column, stack in enumerate(stacks):
        y = 66.0 + (tall - sum(p.h for p in stack) - GAP * (len(stack) - 1)) / 2
        for p in stack:
            places[p.box.name] = _place(graph, p.box, 16 + column * (w + COLUMN), y, w)
            y += p.h + GAP
    return places, 66.0 + tall


def _stacked(graph: ChainGraph, width: float) -> tuple[dict[str, Place], float]:
    """One below the other, in the order in which packets meet them."""
    places: dict[str, Place] = {}
    y = 66.0
    by_name = {b.name: b for b in graph.boxes}
    for b in (by_name[name] for name in _reached(graph)):
        indent = min(b.depth, 4) * 10.0
        p = places[b.name] = _place(graph, b, 16 + indent, y, width - 32 - indent, narrow=True)
        y += p.h + 9
    return places, max(y, 96.0)


def _wires(canvas: Canvas, places: Mapping[str, Place]) -> None:
    """From each row to its chain; those that were met lie above."""
    rows = [(p, p.row_y(n), e, places[e.target]) for p in places.values() for n, e in enumerate(p.rows) if e.target in places]
    wires: list[tuple[bool, list[tuple[float, float]]]] = []
    for a in {p.x + p.w for p, *_ in rows}:
        beside = [(y, to, e) for p, y, e, to in rows if p.x + p.w == a]
        for (y, to, e), bend in zip(beside, lanes([(y, to.y + HEAD / 2) for y, to, _ in beside], a + 7, a + COLUMN - 14), strict=True):
            end = to.y + HEAD / 2
            wires.append((bool(e.hits), [(a, y), (bend, y), (bend, end), (to.x - 5, end)]))
    for met, points in sorted(wires):
        x, y = points[-1]
        canvas.line(points, stroke="hot" if met else "wire", width=2.4 if met else 1.3)
        canvas.polygon([(x + 4, y), (x - 3, y - 4), (x - 3, y + 4)], fill="hot" if met else "wire")


def _draw_box(canvas: Canvas, p: Place, pods: Mapping[str, str]) -> None:
    layer = "node" if p.box.kind == "caught" else "pod" if _means(p.box.name) == "one endpoint" else "nat"
    canvas.rect(p.x, p.y, p.w, p.h, fill=f"{layer}bg", stroke=layer, width=1.4, radius=6)
    means = _means(p.box.name)
    room = p.w - 16
    wide_enough = means and text_width(p.box.name, 10, mono=True, bold=True) + text_width(means, 9.5) + 10 < room
    beside = text_width(means, 9.5) + 8 if wide_enough else 0
    text, size = fit(p.box.name, room - beside, (10.5, 10, 9.5, 9, 8.5), mono=True, bold=True, keep="both")
    canvas.text(text, p.x + 8, p.y + 16, size, mono=True, bold=True, role=layer)
    if wide_enough:
        canvas.text(means, p.x + p.w - 8, p.y + 16, 9.5, role="soft", anchor="end")
    y = p.y + HEAD
    for note in p.notes:
        canvas.text(note, p.x + 9, y + 8, 9.5, role="soft")
        y += NOTE
    for e, said, tall in zip(p.rows, p.said, p.tall, strict=True):
        _draw_row(canvas, e, said, p, y, tall, pods)
        y += tall
    if p.more:
        canvas.text(f"and {p.more} rules more", p.x + 9, y + 13, 10, role="soft")


def _draw_row(canvas: Canvas, e: Edge, said: tuple[str, ...], p: Place, y: float, tall: float, pods: Mapping[str, str]) -> None:
    """What the rule asks for, in the last line where it leads; its counter at the right."""
    refused = e.target.split()[0] in ("REJECT", "DROP")
    if e.hits:
        canvas.rect(p.x + 4, y + 1, p.w - 8, tall - 2, fill="hotbg", stroke="hot", width=1.2, radius=4)
        canvas.text(f"{e.hits}×", p.x + p.w - 9, y + 13.5, 10, role="hot", bold=True, anchor="end")
    end = _end(e.target)
    whom = pods.get(end.rsplit(":", 1)[0].strip("[]"), "").split("/")[-1]
    alone = bool(whom) and said == ("all",)
    for n, line in enumerate((f"→ {end}",) if alone else said):
        canvas.text(line, p.x + 9, y + 13.5 + NOTE * n, 10, role="no" if refused else "ink")
    if tall > ROW + NOTE * (len(said) - 1):
        text, size = fit(whom if alone else f"→ {end}{f' {whom}' if whom else ''}", p.w - 28, (10, 9.5, 9, 8.5), keep="both")
        canvas.text(text, p.x + 18, y + 14 + NOTE * len(said), size, role="no" if refused else "soft", bold=refused)
