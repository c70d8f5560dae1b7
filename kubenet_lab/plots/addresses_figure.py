"""The address plan: which range belongs to whom, and which addresses of it are taken."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..cluster.topology import Topology, TopologyDevice, TopologyNode
from ..kernel.address import prefix
from .canvas import Canvas
from .figure import Figure
from .layout import display_name
from .metrics import fit, text_width
from .style import ThemeName
from .topology_figure import topology_of

__all__ = ["Range", "addresses_figure", "ranges"]

MOST = 24  # addresses of one range that are named in the picture


@dataclass(frozen=True, slots=True)
class Range:
    """One block of addresses. `used`: (address, who, layer) in address order; `parts`: CIDRs cut out of it."""

    title: str
    cidr: str
    layer: str
    used: tuple[tuple[str, str, str], ...]
    parts: tuple[tuple[str, str], ...] = ()
    inside: bool = False

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        return ipaddress.ip_network(self.cidr) if self.cidr else None


def _sorted(used: Sequence[tuple[str, str, str]]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        sorted(
            (u for u in used if u[0] and u[0] != "None"),
            key=lambda u: (ipaddress.ip_address(u[0]).version, int(ipaddress.ip_address(u[0])), u[1]),
        )
    )


def _within(d: TopologyDevice, node: TopologyNode) -> bool:
    """Whether a bridge or tunnel has an address of its node's pods."""
    return d.kind != "physical" and d.address != "" and d.address in prefix(node.pod_cidr)


def ranges(t: Topology) -> tuple[Range, ...]:
    """Node network, pod network with each node's part, Service network: with what is taken in each.

    Pods whose addresses are no part of their node's pod CIDR stand in the range that they are of: the node network (macvlan),
    or the pod network as a whole (Calico's pools).
    """
    nodes = [(d.address, f"{n.name} {d.name}", "wire") for n in t.nodes for d in n.devices if d.kind == "physical"]
    known = {a for a, _, _ in nodes}
    nodes += [(n.address, n.name, "wire") for n in t.nodes if n.address not in known]
    wires = [(f"segment {s.name}", s.cidr) for s in t.segments] or [("node network", t.node_network)]
    home = {n.name: n.pod_cidr for n in t.nodes}
    pods = [(p.address, f"{p.namespace}/{display_name(p)}", "pod", p.node) for p in t.pods if not p.host_network]
    own = {a for a, *_, node in pods if home.get(node) and a in prefix(home[node])}
    nodes += [(a, who, layer) for a, who, layer, _ in pods if a not in own]
    out = [Range(title, cidr, "wire", _sorted([u for u in nodes if u[0] and (not cidr or u[0] in prefix(cidr))])) for title, cidr in wires]
    loose = [(a, who, layer) for a, who, layer, _ in pods if a not in own and t.pod_cidr and a in prefix(t.pod_cidr)]
    if loose:
        out.append(Range("pod network", t.pod_cidr, "pod", _sorted(loose)))
    cidrs = [(n.name, n.pod_cidr) for n in t.nodes if n.pod_cidr] if own or not pods else []
    if cidrs and not loose and (t.pod_cidr or len(cidrs) > 1):
        out.append(Range("pod network", t.pod_cidr, "pod", (), tuple(cidrs)))
    for n in t.nodes:
        if (n.name, n.pod_cidr) in cidrs:
            used = [(d.address, d.name, "bridge" if d.kind == "bridge" else "tunnel") for d in n.devices if _within(d, n)]
            used += [(a, who, layer) for a, who, layer, node in pods if node == n.name and a in own]
            out.append(Range(f"pods of {n.name}", n.pod_cidr, "pod", _sorted(used), inside=bool(t.pod_cidr) or len(cidrs) > 1))
    if t.services:
        out.append(Range("Services (virtual)", t.service_cidr, "nat", _sorted([(a, name, "nat") for name, a in t.services])))
    return tuple(out)


def _room(network: Any) -> str:
    n = network.num_addresses
    return f"{n:,}" if n < 1 << 24 else f"2^{n.bit_length() - 1}"


def describe_addresses(plan: Sequence[Range]) -> str:
    lines = []
    for r in plan:
        room = f" of {_room(r.network)} addresses" if r.network else " addresses"
        head = f"{r.title} {r.cidr}".rstrip()
        if r.parts:
            lines.append(f"{head}: {', '.join(f'{cidr} {name}' for name, cidr in r.parts)}")
        else:
            lines.append(f"{head}: {len(r.used)}{room} in use: {', '.join(f'{a} {who}' for a, who, _ in r.used) or 'none'}")
    return "\n".join(lines)


def addresses_figure(source: Any, *, theme: ThemeName = "light") -> Figure:
    plan = ranges(topology_of(source))
    width, columns = 900.0, 4
    cell = (width - 32 - 24) / columns
    blocks: list[tuple[Range, float]] = []
    for r in plan:
        rows = -(-min(len(r.used), MOST) // columns)
        blocks.append((r, 62.0 if r.parts else 48.0 + 19 * rows + 8))
    height = 44.0 + sum(h for _, h in blocks) + 14

    def draw(canvas: Canvas) -> None:
        canvas.text("Address plan", 16, 31, 14.5, bold=True)
        canvas.text(
            "each bar is one range, each mark an address in use", 16 + text_width("Address plan  ", 14.5, bold=True), 31, 12, role="soft"
        )
        y = 44.0
        for r, tall in blocks:
            left = 40.0 if r.inside else 16.0
            _head(canvas, r, left, y, width)
            bar_y, wide = y + 25, width - 16 - left
            canvas.rect(
                left,
                bar_y,
                wide,
                13 if not r.parts else 24,
                fill=f"{r.layer}bg",
                stroke=r.layer,
                width=1,
                radius=3,
                dash=(4, 3) if r.layer == "nat" else (),
            )
            if r.parts:
                _parts(canvas, r, left, bar_y, wide)
            else:
                _marks(canvas, r, left, bar_y, wide)
                _cells(canvas, r, left, bar_y + 29, cell - (6 if r.inside else 0))
            y += tall

    return Figure("Address plan", describe_addresses(plan), (width, height), draw, theme)


def _head(canvas: Canvas, r: Range, left: float, y: float, width: float) -> None:
    canvas.text(r.title, left, y + 18, 12.5, bold=True, role=r.layer)
    canvas.text(r.cidr, left + text_width(r.title + "  ", 12.5, bold=True), y + 18, 11.5, mono=True)
    if not r.parts:
        said = f"{len(r.used)} of {_room(r.network)} in use" if r.network else f"{len(r.used)} in use"
    else:
        said = f"{len(r.parts)} parts, one for each node"
    canvas.text(said, width - 16, y + 18, 11, role="soft", anchor="end")


def _span(r: Range) -> tuple[int, int]:
    """(first, size) of what the bar shows: the range, or the used part where the range is unknown."""
    if r.network is not None:
        return int(r.network.network_address), r.network.num_addresses
    numbers = [int(ipaddress.ip_address(a)) for a, _, _ in r.used]
    first = min(numbers, default=0)
    return first, max(max(numbers, default=0) - first + 1, 2)


def _scale(offset: int, size: int) -> float:
    """Where in the bar an address stands, 0 to 1: to scale up to 1024 addresses; in larger ranges the first 256 take half the bar."""
    if size <= 1024:
        return (offset + 0.5) / size
    return (offset + 0.5) / 256 / 2 if offset < 256 else 0.5 + (offset - 256) / (size - 256) / 2


def _marks(canvas: Canvas, r: Range, left: float, y: float, wide: float) -> None:
    first, size = _span(r)
    if size > 1024:
        canvas.line([(left + wide / 2, y - 3), (left + wide / 2, y + 16)], stroke=r.layer, width=1, dash=(2, 2))
        canvas.text("first 256", left + wide / 2 - 5, y + 10, 8.5, role="soft", anchor="end")
        canvas.text("all the rest", left + wide / 2 + 5, y + 10, 8.5, role="soft")
    seen: set[float] = set()
    for address, _, layer in r.used:
        at = round(left + wide * _scale(int(ipaddress.ip_address(address)) - first, size), 1)
        if at not in seen:
            seen.add(at)
            canvas.line([(at, y + 1.5), (at, y + 11.5)], stroke=layer, width=2.4, cap="butt")


def _cells(canvas: Canvas, r: Range, left: float, y: float, cell: float) -> None:
    shown = r.used if len(r.used) <= MOST else r.used[: MOST - 1]
    per = -(-min(len(r.used), MOST) // 4)
    digits = max((text_width(a, 10.5, mono=True) for a, _, _ in shown), default=0.0)
    for n, (address, who, layer) in enumerate(shown):
        column, row = divmod(n, per)
        x, base = left + column * cell, y + row * 19 + 6
        canvas.rect(x, base - 8.5, 4, 11, fill=layer, radius=1)
        room = cell - 12
        text, size = fit(address, min(digits, room * 0.62), (10.5, 9.5, 9), mono=True, keep="end")
        canvas.text(text, x + 9, base, size, role="ink", mono=True)
        at = x + 9 + min(digits, room * 0.62) + 6
        said, points = fit(who, x + cell - 6 - at, (10.5, 9.5, 9))
        canvas.text(said, at, base, points, role="soft")
    if rest := len(r.used) - len(shown):
        column, row = divmod(len(shown), per)
        canvas.text(f"and {rest} more", left + column * cell + 9, y + row * 19 + 6, 10.5, role="soft")


def _parts(canvas: Canvas, r: Range, left: float, y: float, wide: float) -> None:
    """The nodes' parts side by side, and the rest of the range: in order, not to scale where that would hide them."""
    taken = wide * (
        0.82 if r.network is not None and r.network.num_addresses > sum(ipaddress.ip_network(c).num_addresses for _, c in r.parts) else 1.0
    )
    each = taken / len(r.parts)
    parts = sorted(r.parts, key=lambda p: int(ipaddress.ip_network(p[1]).network_address))
    for n, (name, cidr) in enumerate(parts):
        x = left + n * each
        canvas.rect(x + 1.5, y + 2.5, each - 3, 19, fill="bg", stroke="pod", width=1, radius=3)
        text = f"{name}  {cidr}" if text_width(f"{name}  {cidr}", 10.5) < each - 10 else cidr
        short, size = fit(text, each - 8, (10.5, 9.5, 8.5, 8))
        canvas.text(short, x + each / 2, y + 16, size, anchor="middle")
    if taken < wide:
        canvas.text("not given out", left + taken + (wide - taken) / 2, y + 16, 10.5, role="soft", anchor="middle")
