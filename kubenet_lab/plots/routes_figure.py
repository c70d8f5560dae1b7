"""Route tables side by side: for one address, which entry of each table fits, which is the most exact, and why the others lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import KubenetError
from ..kernel.address import canonical, family, prefix
from ..kernel.namespace import Namespace
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, shorten
from .style import ThemeName

__all__ = ["Row", "Table", "describe_routes", "routes_figure", "tables_for"]

WIDE, NARROW = 900.0, 420.0
LINE = 32.0


@dataclass(frozen=True, slots=True)
class Row:
    """One entry. `verdict`: "wins", "fits" (but another is more exact) or "no"; `why` in a few words."""

    text: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Table:
    """The main table of one namespace for one address. `own`: the address is the namespace's own, so no route is asked."""

    place: str
    address: str
    rows: tuple[Row, ...]
    own: str = ""
    layer: str = "node"


def _table(ns: Namespace, address: str, place: str) -> Table:
    layer = "pod" if place.startswith("pod") or ns.id.startswith("pod:") else "node"
    own = ns.local_device(address) or ""
    best = ns.fib(family(address)).lookup(address)
    rows = []
    for r in sorted((r for r in ns.routes if r.table == 254 and r.family == family(address)), key=lambda r: -prefix(r.dst).length):
        length = prefix(r.dst).length
        if r == best and not own:
            rows.append(Row(str(r), "wins", f"fits, and no other is as exact: /{length}"))
        elif address in prefix(r.dst):
            rows.append(Row(str(r), "fits", "not asked: the address is its own" if own else f"fits, but /{length} is less exact"))
        else:
            rows.append(Row(str(r), "no", f"does not hold {address}"))
    if best is not None and not own and not any(r.verdict == "wins" for r in rows):
        rows.insert(0, Row(str(best), "wins", f"from table {best.table}, by a rule"))
    return Table(place, address, tuple(rows), own, layer)


def tables_for(cluster: Any, address: str, at: Sequence[Any]) -> tuple[Table, ...]:
    """The tables of these places ("shop/web", "worker-1", "node:worker-1") for an address. Raises KubenetError."""
    network = cluster.walkable()
    out = []
    for place in at:
        name = str(place).removeprefix("node:")
        if name in network.hosts:
            out.append(_table(network.namespaces[name], address, name))
        else:
            view = cluster.pod(place)
            out.append(_table(view._ns, address, view.name))
    return tuple(out)


def _of_trace(cluster: Any, trace: Any) -> tuple[Table, ...]:
    """The tables that the packet's way met, each for the destination that it had there."""
    network = cluster.walkable()
    seen: dict[str, Table] = {}
    for hop in trace.hops:
        ip = next((h for h in reversed(hop.before or hop.after) if h.name in ("IPv4", "IPv6")), None)
        ns = network.namespaces.get(hop.namespace)
        if ip is None or ns is None or hop.entry is None or hop.entry.kind != "route" or hop.namespace in seen:
            continue
        seen[hop.namespace] = _table(ns, str(ip.get("dst")), ns.label.removeprefix("node:"))
    return tuple(seen.values())


def describe_routes(tables: Sequence[Table]) -> str:
    lines = []
    marks = {"wins": "→", "fits": "·", "no": "-"}
    for t in tables:
        lines.append(f"{t.place}, where to with {t.address}?" + (f" It is its own address, on {t.own}." if t.own else ""))
        lines += [f"  {marks[r.verdict]} {r.text} ({r.why})" for r in t.rows]
        if not t.own and not any(r.verdict == "wins" for r in t.rows):
            lines.append("  no entry fits: network unreachable")
    return "\n".join(lines)


def routes_figure(source: Any, to: Any = None, at: Sequence[Any] = (), *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    if hasattr(to, "hops"):
        tables = _of_trace(source, to)
    else:
        try:
            address = canonical(str(to))
        except ValueError:
            raise KubenetError(f"routes: found {to!r}, expected a trace or an IP address") from None
        places = at or [n.name for n in source.objects("Node")]
        tables = tables_for(source, address, places)
    if not tables:
        raise KubenetError("routes: no route table was asked on this way")
    return _figure(tables, columns, theme)


def _figure(tables: Sequence[Table], columns: int | None = None, theme: ThemeName = "light") -> Figure:
    width = NARROW if columns == 1 else WIDE
    per = 1 if columns == 1 else min(2, len(tables))
    w = (width - 32 - 16 * (per - 1)) / per
    lines = [tables[i : i + per] for i in range(0, len(tables), per)]
    heights = [54 + LINE * max(max(len(t.rows), 1) + (1 if t.own else 0) for t in line) for line in lines]
    height = 62.0 + sum(heights) + 14 * (len(lines) - 1) + 40
    addresses = list(dict.fromkeys(t.address for t in tables))
    title = f"Routes for {' and '.join(addresses)}"

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(title, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        said = "the most exact entry that fits decides"
        canvas.text(shorten(said, width - 32, 12), 16, 50, 12, role="soft")
        y = 62.0
        for line, tall in zip(lines, heights, strict=True):
            for n, t in enumerate(line):
                _draw_table(canvas, t, 16 + n * (w + 16), y, w, tall)
            y += tall + 14
        key = "→ it decides    · fits, but is less exact    – does not fit"
        canvas.text(key, 16, height - 14, 10.5, role="soft")

    small = None if columns else partial(_figure, tables, 1)
    return Figure(title, describe_routes(tables), (width, height), draw, theme, small)


def _draw_table(canvas: Canvas, t: Table, x: float, y: float, w: float, h: float) -> None:
    canvas.rect(x, y, w, h, fill=f"{t.layer}bg", stroke=t.layer, width=1.6, radius=8)
    text, size = fit(t.place, w * 0.62, (12.5, 11.5, 10.5), bold=True, keep="start")
    canvas.text(text, x + 12, y + 22, size, bold=True, role=t.layer)
    canvas.text(t.address, x + w - 12, y + 22, 11.5, mono=True, anchor="end")
    at = y + 34
    if t.own:
        canvas.rect(x + 10, at, w - 20, LINE - 5, fill="okbg", stroke="ok", width=1.8, radius=4)
        canvas.text(f"its own address, on {t.own}: for itself", x + 20, at + 18, 11, role="ok", bold=True)
        at += LINE
    for r in t.rows:
        wins = r.verdict == "wins"
        if wins:
            canvas.rect(x + 10, at - 0.5, w - 20, LINE - 2, fill="hotbg", stroke="hot", width=1.8, radius=4)
        mark = {"wins": "→", "fits": "·", "no": "–"}[r.verdict]
        canvas.text(mark, x + 18, at + 14, 12, bold=True, role="hot" if wins else "soft")
        text, size = fit(r.text, w - 50, (11, 10.5, 10, 9.5, 9), mono=True)
        canvas.text(text, x + 34, at + 13, size, mono=True, bold=wins, role="ink" if r.verdict != "no" else "soft")
        canvas.text(shorten(r.why, w - 50, 9.5), x + 34, at + 24.5, 9.5, role="soft")
        at += LINE
    if not t.rows and not t.own:
        canvas.text("no entry: network unreachable", x + 18, at + 14, 11, role="no", bold=True)
