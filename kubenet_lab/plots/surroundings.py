"""Around the nodes: the strip of Service addresses above them, the router and the machines beyond it below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .layout import PAD, Builder
from .shapes import Line

__all__ = ["place_outside", "place_services"]

SERVICE_W, SERVICE_H = 156.0, 36.0  # the widest


def place_services(b: Builder, services: Sequence[tuple[str, str]], y: float, width: float) -> float:
    if not services:
        return y
    per_row = max(1, int((width + 8) // (118 + 8)))
    most = per_row * 2
    lines = -(-min(len(services), most) // per_row)
    per_row = -(-min(len(services), most) // lines)
    wide = min(SERVICE_W, (width + 8) / per_row - 8)
    ordered = sorted(services, key=lambda s: f"service:{s[0]}" not in b.focus)
    shown = ordered if len(ordered) <= most else ordered[: most - 1]
    b.label(None, "Service addresses: rules on every node, no interface anywhere", PAD + 4, y + 12, width, (11, 10, 9), role="soft")
    y += 20
    cells = [(f"service:{name}", name, address, f"service:{name}" in b.focus) for name, address in shown]
    if rest := ordered[len(shown) :]:
        cells.append(("more:services", f"+{len(rest)} more", "", False))
    for n, (id, name, address, marked) in enumerate(cells):
        row, column = divmod(n, per_row)
        x, top = PAD + column * (wide + 8), y + row * (SERVICE_H + 8)
        kind: Literal["service", "more"] = "service" if address else "more"
        full = f"Service {name} {address}" if address else ", ".join(f"{a} {b}" for a, b in rest)
        box = b.box(id, kind, x, top, wide, SERVICE_H, "nat", full, "", marked, True)
        b.label(box, name, x + wide / 2, top + 15, wide - 8, (12, 11, 10.5, 10, 9.5), bold=marked, anchor="middle")
        b.label(
            box,
            address or "Services",
            x + wide / 2,
            top + 29,
            wide - 8,
            (10.5, 9.5),
            keep="end",
            role="soft",
            mono=True,
            anchor="middle",
        )
    return y + -(-len(cells) // per_row) * (SERVICE_H + 8) + 6


def place_outside(b: Builder, addresses: Sequence[str], y: float, width: float, bus: float) -> float:
    """The router and the machines beyond it, under the last stretch of the node network."""
    right = PAD + width
    gate_w, h = min(92.0, width * 0.36), 38.0
    gx = right - gate_w - 6
    ext_w = min(146.0, gx - PAD - 30)
    gate = b.box("gateway", "gateway", gx, y, gate_w, h, "wire", "the router of the node network")
    b.label(gate, "router", gx + gate_w / 2, y + 16, gate_w - 8, (12, 11), anchor="middle")
    b.label(gate, "way out", gx + gate_w / 2, y + 30, gate_w - 8, (10.5, 9.5), role="soft", anchor="middle")
    b.lines.append(Line("uplink:gateway", "uplink", ((gx + gate_w / 2, bus), (gx + gate_w / 2, y))))
    b.link("gateway", "tap:gateway", (gx + gate_w / 2, y + h / 2), (gx + gate_w / 2, bus))
    room = max(1, int((gx - PAD - 24) // (ext_w + 14)))
    ordered = sorted(addresses, key=lambda a: f"external:{a}" not in b.focus)
    x = gx
    for n, address in enumerate(ordered[:room]):
        x -= (28 if n == 0 else 14) + ext_w
        marked = f"external:{address}" in b.focus
        box = b.box(f"external:{address}", "external", x, y, ext_w, h, "wire", f"{address}, outside the cluster", "", marked)
        more = f" (+{len(ordered) - room} more)" if n == room - 1 and len(ordered) > room else ""
        b.label(box, "outside" + more, x + ext_w / 2, y + 16, ext_w - 8, (12, 11), bold=marked, anchor="middle")
        b.label(box, address, x + ext_w / 2, y + 30, ext_w - 8, (10.5, 9.5, 9), keep="end", role="soft", mono=True, anchor="middle")
        b.link(f"external:{address}", "gateway", (x + ext_w / 2, y + h / 2), (gx + gate_w / 2, y + h / 2))
    b.members |= {f"external:{a}": f"external:{ordered[room - 1]}" for a in ordered[room:]}
    if ordered:
        b.lines.append(Line("wire:outside", "wire", ((x + ext_w / 2, y + h / 2), (gx, y + h / 2))))
    return y + h
