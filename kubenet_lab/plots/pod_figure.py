"""The anatomy of one pod: what its containers share, and how that is plugged into the node."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..cluster.anatomy import Anatomy, Interface, anatomy_of
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, shorten, text_width
from .style import ThemeName

__all__ = ["describe_pod", "pod_figure"]

WIDE, NARROW = 900.0, 420.0
PAD, GAP, LINE = 14.0, 12.0, 17.0
BOX = 62.0  # height of an interface
CABLE = 2 * PAD + 24  # where the cable comes down


def _address(i: Interface) -> str:
    return ", ".join(i.addresses) or "no address"


def _listens(a: Anatomy) -> str:
    return ", ".join(f"{port}/{protocol}" for protocol, port, _ in a.listening) or "nothing"


def describe_pod(a: Anatomy) -> str:
    where = f"the namespace of {a.node} itself (hostNetwork)" if a.host_network else "one network namespace of its own"
    lines = [f"{a.pod} on {a.node}: {len(a.containers)} container{'s' if len(a.containers) != 1 else ''} in {where}"]
    lines += [f"container {c.name}: " + (f"its manifest names {', '.join(c.ports)}" if c.ports else "names no port") for c in a.containers]
    lines.append(f"listening: {_listens(a)}")
    lines += [f"{i.name}: {_address(i)}, MAC {i.mac}, MTU {i.mtu}" + (f", {i.note}" if i.note else "") for i in a.interfaces]
    if a.host_end is not None:
        at = f", {a.host_end.note} ({_address(a.bridge)})" if a.bridge is not None else ""
        lines.append(f"the other end of the cable: {a.host_end.name} on {a.node}{at}")
    elif a.lower is not None:
        lines.append(f"no cable: it hangs on {a.lower.name} of {a.node} ({_address(a.lower)})")
    if a.way_in:
        lines.append(f"{a.node} reaches it by: {a.way_in}")
    lines += ["routes:", *(f"  {r}" for r in a.routes)]
    return "\n".join(lines)


class _Plan:
    """Where everything stands, for one width."""

    def __init__(self, a: Anatomy, width: float):
        self.a, self.width = a, width
        self.narrow = width < 600
        self.inner = width - 4 * PAD
        per = 1 if self.narrow else min(3, max(1, len(a.containers)))
        self.per = per
        self.rows = -(-len(a.containers) // per)
        self.containers_h = self.rows * 50.0
        self.beside = not self.narrow
        self.table_w = self.inner * 0.56 if self.beside else self.inner
        self.interfaces_h = len(a.interfaces) * (BOX + 8)
        self.table_h = 26 + LINE * max(1, len(a.routes))
        body = max(self.interfaces_h, self.table_h + LINE) if self.beside else self.interfaces_h + self.table_h + GAP
        self.pod_h = 34 + self.containers_h + 26 + body + PAD
        node_boxes = [i for i in (a.host_end, a.bridge, a.lower, None if a.lower else a.uplink) if i is not None]
        self.node_boxes = node_boxes if not a.host_network else []
        across = len(self.node_boxes) if not self.narrow else 1
        self.across = max(1, across)
        node_rows = -(-len(self.node_boxes) // self.across)
        self.node_h = 0.0 if a.host_network else 34 + node_rows * (BOX + GAP) + (LINE * (2 if self.narrow else 1) + 10 if a.way_in else 4)
        self.cable = 0.0 if a.host_network else 34.0
        self.top = 62.0
        self.height = self.top + self.pod_h + self.cable + self.node_h + 16


def pod_figure(source: Any, who: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    a = source if isinstance(source, Anatomy) else anatomy_of(source, who)
    p = _Plan(a, NARROW if columns == 1 else WIDE)

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(f"{a.pod} on {a.node}", p.width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        said = "the pod uses its node's network" if a.host_network else "what its containers share, and its cable to the node"
        canvas.text(shorten(said, p.width - 32, 12), 16, 50, 12, role="soft")
        _pod(canvas, p)
        if not a.host_network:
            _node(canvas, p)

    small = None if columns else partial(pod_figure, a, who, columns=1)
    return Figure(f"Anatomy of {a.pod}", describe_pod(a), (p.width, p.height), draw, theme, small)


def _pod(canvas: Canvas, p: _Plan) -> None:
    a, y = p.a, p.top
    layer = "node" if a.host_network else "pod"
    canvas.rect(PAD, y, p.width - 2 * PAD, p.pod_h, fill=f"{layer}bg", stroke=layer, width=1.8, radius=10)
    title = f"the network namespace of {a.node}" if a.host_network else "one network namespace"
    canvas.text(title, 2 * PAD, y + 22, 12, role=layer, bold=True)
    y += 34
    w = (p.inner - GAP * (p.per - 1)) / p.per
    for n, c in enumerate(a.containers):
        x, top = 2 * PAD + (n % p.per) * (w + GAP), y + (n // p.per) * 50
        canvas.rect(x, top, w, 42, fill="bg", stroke="pod", width=1, radius=6, dash=(4, 3))
        text, size = fit(f"container {c.name}", w - 20, (12, 11, 10), bold=True)
        canvas.text(text, x + 10, top + 17, size, bold=True)
        ports = f"manifest: {', '.join(c.ports)}" if c.ports else "manifest: no port"
        canvas.text(shorten(ports, w - 20, 10.5), x + 10, top + 33, 10.5, role="soft")
    y += p.containers_h
    canvas.text(shorten(f"they listen on: {_listens(a)}", p.inner, 11.5), 2 * PAD, y + 13, 11.5)
    y += 26
    wide = p.inner - p.table_w - GAP if p.beside else p.inner
    if not p.beside:  # the interface that the cable leaves stands lowest
        _routes(canvas, a, 2 * PAD, y, p.table_w)
        y += p.table_h + GAP
    for n, i in enumerate(a.interfaces):
        _interface(canvas, i, 2 * PAD, y + n * (BOX + 8), wide, "pod" if not a.host_network else "node")
    if p.beside:
        _routes(canvas, a, 2 * PAD + wide + GAP, y, p.table_w)


def _interface(canvas: Canvas, i: Interface, x: float, y: float, w: float, layer: str) -> None:
    canvas.rect(x, y, w, BOX, fill="bg", stroke=layer, width=1.6, radius=5)
    canvas.text(i.name, x + 10, y + 18, 12, bold=True, mono=True, role=layer)
    right = f"MTU {i.mtu}" + ("" if i.up else " · down")
    room = w - 30 - text_width(i.name, 12, mono=True) - text_width(right, 10.5)
    if i.note:
        canvas.text(shorten(i.note, room, 10.5), x + 18 + text_width(i.name, 12, mono=True), y + 18, 10.5, role="soft")
    canvas.text(right, x + w - 10, y + 18, 10.5, role="soft", anchor="end")
    text, size = fit(_address(i), w - 20, (12, 11, 10), mono=True, bold=False)
    canvas.text(text, x + 10, y + 36, size, mono=True)
    canvas.text(shorten(i.mac, w - 20, 10.5, mono=True), x + 10, y + 53, 10.5, role="soft", mono=True)


def _routes(canvas: Canvas, a: Anatomy, x: float, y: float, w: float) -> None:
    canvas.rect(x, y, w, 26 + LINE * max(1, len(a.routes)), fill="bg", stroke="line", width=1, radius=5)
    canvas.text("routes", x + 10, y + 17, 11, bold=True, role="soft")
    for n, r in enumerate(a.routes or ("none",)):
        text, size = fit(r, w - 20, (11, 10.5, 10, 9.5), mono=True)
        canvas.text(text, x + 10, y + 34 + n * LINE, size, mono=True)


def _node(canvas: Canvas, p: _Plan) -> None:
    a = p.a
    end = p.top + p.pod_h
    y = end + p.cable
    canvas.rect(PAD, y, p.width - 2 * PAD, p.node_h, fill="nodebg", stroke="node", width=1.8, radius=10)
    canvas.text(a.node, CABLE + 14, y + 22, 12, role="node", bold=True)
    w = (p.inner - GAP * (p.across - 1)) / p.across
    for n, i in enumerate(p.node_boxes):
        x, top = 2 * PAD + (n % p.across) * (w + GAP), y + 34 + (n // p.across) * (BOX + GAP)
        layer = "bridge" if i.kind == "bridge" else "wire" if i.kind == "physical" else "pod"
        if n and a.host_end is not None and n == 1 and a.bridge is not None:
            if p.narrow:
                canvas.line([(x + 30, top - GAP), (x + 30, top)], stroke="bridge", width=3)
            else:
                canvas.line([(x - GAP, top + BOX / 2), (x, top + BOX / 2)], stroke="bridge", width=3)
        _interface(canvas, i, x, top, w, layer)
    # from the last interface of the pod to the first box of the node
    canvas.line([(CABLE, end - PAD - 8), (CABLE, y + 34)], stroke="pod", width=3.2)
    what = "a veth pair: one cable, two ends" if a.host_end is not None else "no cable: a child of the node's interface"
    canvas.text(what, CABLE + 14, end + p.cable / 2 + 4, 11, role="pod", halo="bg")
    if a.way_in:
        foot = y + p.node_h - 12
        canvas.text(f"{a.node} reaches the pod by", 2 * PAD, foot - 17 * p.narrow, 10.5, role="soft")
        at = 2 * PAD if p.narrow else 2 * PAD + text_width(f"{a.node} reaches the pod by  ", 10.5)
        text, size = fit(a.way_in, p.width - PAD * 2 - at, (10.5, 10, 9.5, 9), mono=True)
        canvas.text(text, at, foot, size, mono=True)
