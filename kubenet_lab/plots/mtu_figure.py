"""Where a packet of n bytes dies: the links of a way with their MTUs, and the fate of packets of several sizes, found by walking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import KubenetError
from ..explain.kernel import short
from ..trace import Hop, Trace
from .canvas import HEADING, Canvas
from .figure import Figure
from .metrics import fit, heading, shorten
from .style import ThemeName

__all__ = ["Fate", "Stop", "describe_mtu", "fates_of", "mtu_figure", "stops_of"]

WIDE, NARROW = 900.0, 420.0
ROW = 40.0
#: sizes that are tried when none are named, at most
MOST = 8


@dataclass(frozen=True, slots=True)
class Stop:
    """One device on the way: where it is, its MTU."""

    place: str
    device: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an IP packet of `size` bytes. `last`: the index of the last stop that it reached. `said`: in a few words."""

    size: int
    verdict: str
    last: int
    said: str
    pieces: bool = False


def stops_of(cluster: Any, trace: Trace) -> tuple[Stop, ...]:
    """The devices by which the packet left a namespace or entered one, in order, each once."""
    network = cluster.walkable()
    out: list[Stop] = []
    for hop in _steps(trace.hops):
        ns = network.namespaces.get(hop.namespace)
        link = ns.links.get(hop.device) if ns is not None else None
        if link is None or link.kind == "loopback":
            continue
        stop = Stop(hop.namespace.removeprefix("pod:"), link.name, link.mtu)
        if stop not in out:
            out.append(stop)
    return tuple(out)


def _steps(hops: Sequence[Hop]) -> list[Hop]:
    return [step for hop in hops for step in (*hop.details, hop)]


def _overhead(trace: Trace) -> int:
    """Bytes of the IP header that the sender writes, and of the ICMP or UDP header behind it."""
    return 48 if any(h.name == "IPv6" for h in trace.hops[0].after) else 28


def _default_sizes(stops: Sequence[Stop]) -> list[int]:
    """Around every MTU that is on the way: the largest that fits it, and one byte more."""
    mtus = sorted({s.mtu for s in stops})
    return sorted({n for m in mtus for n in (m, m + 1)} | {min(mtus) - 100 if mtus else 1000})[:MOST]


def fates_of(
    cluster: Any, src: Any, dst: Any, sizes: Sequence[int], stops: Sequence[Stop], overhead: int, asked: Mapping[str, Any]
) -> tuple[Fate, ...]:
    """`asked`: protocol, port and df of the question; `overhead`: bytes of headers that belong to a size."""
    out = []
    for size in sizes:
        trace = cluster.preview(src, dst, size=size - overhead, **asked)
        reached = [
            i
            for i, s in enumerate(stops)
            if any((h.namespace.removeprefix("pod:"), h.device) == (s.place, s.device) for h in _steps(trace.hops))
        ]
        split = any("fragment" in h.code for h in _steps(trace.hops))
        last = len(stops) - 1 if trace else max(reached, default=0)
        out.append(Fate(size, trace.verdict, last, _said(trace, split), split))
    return tuple(out)


def _said(trace: Trace, split: bool) -> str:
    if trace:
        return "arrives, in fragments" if split else "arrives"
    if trace.verdict == "too-big":
        told = next((h for h in _steps(trace.reply_hops) if h.code == "icmp.received"), None)
        sender = told.params.get("sender") if told is not None else None
        return f"told by {sender}: too big" if sender else "not sent: too big for the sender"
    return "lost without a word" if trace.verdict in ("timeout", "stalled") else trace.verdict


def describe_mtu(question: str, stops: Sequence[Stop], fates: Sequence[Fate]) -> str:
    lines = [f"{question}: where packets of these sizes end"]
    lines.append("the way: " + ", ".join(f"{s.place} {s.device} (MTU {s.mtu})" for s in stops))
    for f in fates:
        at = "" if f.verdict == "delivered" else f" at {stops[f.last].place} {stops[f.last].device}"
        lines.append(f"{f.size} bytes: {f.verdict}{at}, {f.said}")
    whole = [f.size for f in fates if f.verdict == "delivered" and not f.pieces]
    lines.append(f"the largest of these that arrives whole: {max(whole)} bytes" if whole else "none of these arrives whole")
    return "\n".join(lines)


def mtu_figure(
    cluster: Any, src: Any, dst: Any, sizes: Sequence[int] = (), *, protocol: str = "ICMP", port: int | str = 80, df: bool = True,
    columns: int | None = None, theme: ThemeName = "light",
) -> Figure:  # fmt: skip
    protocol = protocol.upper()
    if protocol not in ("ICMP", "UDP"):
        raise KubenetError(f"mtu: protocol {protocol!r}, expected ICMP or UDP: TCP chooses the size of its segments itself")
    asked = {"protocol": protocol, "df": df, **({} if protocol == "ICMP" else {"port": port})}
    small = cluster.preview(src, dst, **asked)
    stops = stops_of(cluster, small)
    if not stops:
        raise KubenetError(f"mtu: nothing is sent from {src} to {dst}")
    chosen = sorted(set(sizes)) if sizes else _default_sizes(stops)
    if any(not isinstance(n, int) or not 28 <= n <= 65535 for n in chosen):
        raise KubenetError(f"mtu: sizes {list(sizes)}, expected numbers of bytes of an IP packet, 28 to 65535")
    fates = fates_of(cluster, src, dst, chosen, stops, _overhead(small), asked)
    return _figure(small.question, stops, fates, df, columns, theme)


def _figure(
    question: str, stops: Sequence[Stop], fates: Sequence[Fate], df: bool, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    narrow = columns == 1
    width = NARROW if narrow else WIDE
    left = 16.0 if narrow else 104.0
    right = 16.0 if narrow else 214.0
    row = 52.0 if narrow else ROW
    at = [left + (width - left - right) * (i + 0.5) / len(stops) for i in range(len(stops))]
    asked = heading(question, width - 32, 14.5)
    drop = (len(asked) - 1) * HEADING
    top = 152.0 + drop
    height = top + row * len(fates) + 30
    largest = max((f.size for f in fates if f.verdict == "delivered" and not f.pieces), default=0)

    def draw(canvas: Canvas) -> None:
        canvas.heading(asked)
        said = "packets that may not be split" if df else "packets that may be split"
        canvas.text(f"Where {said} end, by size", 16, 51 + drop, 12, role="soft")
        _stops(canvas, stops, at, top, height)
        for n, f in enumerate(fates):
            _lane(canvas, f, at, top + n * row, left, right, width, narrow, f.size == largest)
        canvas.text("sizes are those of the IP packet that is sent, in bytes", 16, height - 11, 10.5, role="soft")

    small = None if columns else partial(_figure, question, stops, fates, df, 1)
    return Figure(f"Packet sizes: {question}", describe_mtu(question, stops, fates), (width, height), draw, theme, small)


def _short(place: str) -> str:
    """A pod's workload and a node by its name: the row of devices has little room."""
    return short(place.rpartition("/")[2])


def _stops(canvas: Canvas, stops: Sequence[Stop], at: Sequence[float], top: float, height: float) -> None:
    tightest = min(s.mtu for s in stops)
    each = at[1] - at[0] if len(at) > 1 else 120.0
    group = 0
    for i, s in enumerate(stops):
        layer = "tunnel" if s.device.startswith(("flannel", "vxlan")) else "bridge" if s.device.startswith("cni") else "wire"
        canvas.line([(at[i], top - 14), (at[i], height - 26)], stroke="line", width=1)
        text, size = fit(s.device, each - 6, (11, 10, 9, 8, 7.5), mono=True, keep="end")
        canvas.text(text, at[i], top - 36, size, mono=True, anchor="middle", role=layer)
        canvas.text(str(s.mtu), at[i], top - 20, 11, bold=s.mtu == tightest, role="no" if s.mtu == tightest else "ink", anchor="middle")
        if i + 1 == len(stops) or stops[i + 1].place != s.place:
            a, b = at[group] - each / 2 + 4, at[i] + each / 2 - 4
            canvas.line([(a, top - 56), (b, top - 56)], stroke="soft", width=1.4)
            text, size = fit(_short(s.place), b - a, (11, 10, 9, 8), bold=True)
            canvas.text(text, (a + b) / 2, top - 64, size, bold=True, anchor="middle")
            group = i + 1


def _lane(
    canvas: Canvas, f: Fate, at: Sequence[float], y: float, left: float, right: float, width: float, narrow: bool, largest: bool
) -> None:
    ok = f.verdict == "delivered"
    role = "ok" if ok else "no"
    mid = y + (26 if narrow else 16)
    size = f"{f.size} B"
    symbol = "✓" if ok else "✗"
    if narrow:
        canvas.text(size, 16, y + 12, 12, bold=True, mono=True)
        canvas.text(shorten(f"{symbol} {f.said}", width - 110, 10.5), width - 16, y + 12, 10.5, role=role, anchor="end")
    else:
        canvas.text(size, left - 18, mid + 4, 12, bold=True, mono=True, anchor="end")
        text, points = fit(f.said, right - 36, (11, 10.5, 10, 9.5))
        canvas.text(text, width - right + 22, mid + (0 if largest else 4), points, role=role)
        if largest:
            canvas.text("the largest that arrives whole", width - right + 22, mid + 14, 9.5, role="soft")
    end = at[f.last]
    canvas.line([(at[0], mid), (end, mid)], stroke=role, width=3.4 if ok else 2.4, dash=(7, 4) if f.pieces else ())
    for x in at[: f.last + (1 if ok else 0)]:
        canvas.rect(x - 3.5, mid - 3.5, 7, 7, fill=role, radius=3.5)
    if ok:
        canvas.badge(end, mid, symbol, "ok", 8)
    else:
        canvas.badge(end, mid, symbol, "policy", 8)
