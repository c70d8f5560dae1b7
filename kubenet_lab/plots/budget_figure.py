"""What each way of carrying takes of a wire's MTU, as bars on one axis of bytes, and what is left for the pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import KubenetError
from .canvas import Canvas
from .figure import Figure
from .headers_figure import layer_of
from .metrics import fit, shorten, text_width
from .style import ThemeName

__all__ = ["CARRIERS", "Carrier", "budget_figure", "describe_budget"]

WIDE, NARROW = 900.0, 420.0
SCALE_TO = 88.0  # bytes of headers that the drawn-to-scale part of the axis holds


@dataclass(frozen=True, slots=True)
class Carrier:
    """`headers`: what is put in front of the pod's packet, from the outermost IP header on: an MTU does not count the wire's own Ethernet.

    `tail`: bytes behind it. `set_aside`: what the agent subtracts where that is more than the headers. `source`: where the sizes are from.
    """

    name: str
    headers: tuple[tuple[str, int], ...]
    source: str
    tail: int = 0
    set_aside: int = 0

    @property
    def takes(self) -> int:
        return max(sum(n for _, n in self.headers) + self.tail, self.set_aside)


_VXLAN = (("UDP", 8), ("VXLAN", 8), ("Ethernet", 14))
CARRIERS: tuple[Carrier, ...] = (
    Carrier("plain route (host-gw, routed)", (), "measured: kernel comparison, host-gw"),
    Carrier("IP in IP", (("IPv4", 20),), "RFC 2003"),
    Carrier("flannel udp", (("IPv4", 20), ("UDP", 8)), "flannel, backend/udp"),
    Carrier("VXLAN", (("IPv4", 20), *_VXLAN), "measured: kernel comparison, vxlan"),
    Carrier("Geneve", (("IPv4", 20), ("UDP", 8), ("Geneve", 8), ("Ethernet", 14)), "RFC 8926, no options"),
    Carrier("WireGuard", (("IPv4", 20), ("UDP", 8), ("WireGuard", 16)), "flannel sets 80 bytes aside", 16, 80),
    Carrier("VXLAN over IPv6", (("IPv6", 40), *_VXLAN), "RFC 7348; RFC 8200"),
)


def _left(c: Carrier, mtu: int) -> tuple[int, int]:
    """(the pod's MTU, its TCP segment over IPv4 without options)."""
    return mtu - c.takes, mtu - c.takes - 40


def describe_budget(carriers: Sequence[Carrier], mtu: int) -> str:
    lines = [f"A wire of {mtu} bytes: what each way of carrying takes, and what is left for the pod's packet"]
    for c in carriers:
        pod, mss = _left(c, mtu)
        parts = " + ".join(f"{n} {size}" for n, size in c.headers) or "nothing"
        tail = f" + {c.tail} behind" if c.tail else ""
        aside = f", {c.set_aside} set aside" if c.set_aside > sum(n for _, n in c.headers) + c.tail else ""
        lines.append(f"{c.name}: {parts}{tail}{aside}; pod MTU {pod}, TCP segment {mss} ({c.source})")
    return "\n".join(lines)


def budget_figure(
    mtu: int = 1500, carriers: Sequence[Carrier] = CARRIERS, *, columns: int | None = None, theme: ThemeName = "light"
) -> Figure:
    if not isinstance(mtu, int) or isinstance(mtu, bool) or not 576 <= mtu <= 65535:
        raise KubenetError(f"budget: mtu {mtu!r}, expected a number of bytes from 576 to 65535")
    narrow = columns == 1
    width = NARROW if narrow else WIDE
    row = 62.0 if narrow else 46.0
    left = 16.0 if narrow else 214.0
    right = 16.0 if narrow else 176.0
    bars = width - left - right
    scale = bars * (0.8 if narrow else 0.62) / SCALE_TO
    top = 84.0
    height = top + row * len(carriers) + 34

    def draw(canvas: Canvas) -> None:
        canvas.text(f"A wire that takes {mtu} bytes", 16, 31, 14.5, bold=True)
        said = (
            "what carrying takes, and what is left"
            if narrow
            else "What each way of carrying takes of it, and what is left for the pod's packet"
        )
        canvas.text(shorten(said, width - 32, 12), 16, 51, 12, role="soft")
        for n in range(0, int(SCALE_TO) + 1, 20):
            x = left + n * scale
            canvas.line([(x, top - 8), (x, height - 28)], stroke="line", width=1.4 if n == 0 else 0.7)
            canvas.text(str(n), x, top - 13, 9.5, role="soft", mono=True, anchor="middle")
        if not narrow:
            canvas.text("pod MTU", width - right + 52, top - 13, 10.5, role="soft", anchor="middle")
            canvas.text("TCP segment", width - 52, top - 13, 10.5, role="soft", anchor="middle")
        for n, c in enumerate(carriers):
            _carrier(canvas, c, mtu, top + n * row, left, bars, scale, width, right, narrow)
        canvas.text("headers to scale, in bytes; the pod's packet is cut short", 16, height - 10, 10.5, role="soft")

    small = None if columns else partial(budget_figure, mtu, carriers, columns=1)
    return Figure(f"Header budget of {mtu} bytes", describe_budget(carriers, mtu), (width, height), draw, theme, small)


def _carrier(
    canvas: Canvas, c: Carrier, mtu: int, y: float, left: float, bars: float, scale: float, width: float, right: float, narrow: bool
) -> None:
    pod, mss = _left(c, mtu)
    bar_y = y + 22 if narrow else y + 4
    if narrow:
        canvas.text(c.name, 16, y + 14, 12, bold=True)
        canvas.text(f"pod MTU {pod} · segment {mss}", width - 16, y + 14, 11, anchor="end")
    else:
        text, size = fit(c.name, left - 26, (12, 11, 10.5), bold=True)
        canvas.text(text, 16, y + 16, size, bold=True)
        canvas.text(shorten(c.source, left - 26, 9), 16, y + 30, 9, role="soft")
        canvas.text(str(pod), width - right + 52, y + 22, 13, bold=True, anchor="middle")
        canvas.text(str(mss), width - 52, y + 22, 13, anchor="middle")
    x = left
    for name, size in c.headers:
        w, layer = size * scale, layer_of(name) if name not in ("Geneve", "WireGuard") else "tunnel"
        canvas.rect(x, bar_y, w, 28, fill=f"{layer}bg", stroke=layer, width=1.2, radius=3)
        label = f"{name} {size}"
        if text_width(label, 10.5) <= w - 6:
            canvas.text(label, x + w / 2, bar_y + 18, 10.5, role=layer, anchor="middle")
        else:
            text, points = fit(name, w - 3, (9, 8.5, 8, 7.5, 7))
            canvas.text(text, x + w / 2, bar_y + 12.5, points, role=layer, anchor="middle")
            canvas.text(str(size), x + w / 2, bar_y + 24, 9, role=layer, anchor="middle")
        x += w
    used = sum(n for _, n in c.headers)
    end = left + bars
    rest = (c.takes - used) * scale
    canvas.rect(x, bar_y, end - x - rest, 28, fill="podbg", stroke="pod", width=1.6, radius=3)
    room = end - x - rest
    label = next((t for t in (f"the pod's packet: up to {pod}", f"pod: {pod}", str(pod)) if text_width(t, 11) < room - 26), "")
    canvas.text(label, x + room / 2, bar_y + 18, 11, role="pod", anchor="middle")
    for shift in (0, 5):  # the axis is broken here
        canvas.line([(end - rest - 18 + shift, bar_y + 32), (end - rest - 12 + shift, bar_y - 4)], stroke="wire", width=1.4)
    if rest:
        canvas.rect(end - rest, bar_y, rest, 28, fill="tunnelbg", stroke="tunnel", width=1.2, radius=3, dash=(4, 3))
        spare = c.takes - used - c.tail
        text, points = fit("tag, spare" if spare else "tag", rest - 4, (9, 8.5, 8, 7.5))
        canvas.text(text, end - rest / 2, bar_y + 12.5, points, role="tunnel", anchor="middle")
        sizes = f"{c.tail} + {spare}" if spare else str(c.tail)
        canvas.text(sizes, end - rest / 2, bar_y + 24, 9, role="tunnel", anchor="middle")
