"""Rules that a new connection asks as Services grow: counted by walking, on copies of the cluster with more and more Services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..cluster.rules_asked import rules_asked
from ..errors import KubenetError
from ..objects.views import Pod, Service
from .canvas import Canvas
from .figure import Figure
from .metrics import shorten
from .style import ThemeName

__all__ = ["COUNTS", "Point", "describe_growth", "growth_figure", "points_of"]

WIDE, NARROW = 900.0, 420.0
COUNTS = (10, 100, 200, 300)
MOST = 5000


@dataclass(frozen=True, slots=True)
class Point:
    """`services`: how many the cluster has; `first`, `last`: rules asked in iptables mode for the first and the last of those that were
    added; `nftables`: those asked for the last in nftables mode."""

    services: int
    first: int
    last: int
    nftables: int


def _document(model: Service, name: str) -> dict[str, Any]:
    port = model.spec.ports[0]
    ports = [{"port": port.port, "targetPort": port.target_port or port.port, "protocol": port.protocol}]
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": model.namespace},
        "spec": {"selector": dict(model.spec.selector), "ports": ports},
    }  # fmt: skip


def _subjects(cluster: Any) -> tuple[Service, Pod]:
    """A Service that has a selector and an address, and a pod of another workload that asks."""
    snapshot = cluster.snapshot()
    for service in snapshot.list(Service):
        if service.spec.selector and service.spec.ports and service.spec.cluster_ip not in ("", "None"):
            wanted = service.spec.selector.items()
            mine = [p for p in snapshot.list(Pod, service.namespace) if wanted <= p.labels.items() and p.ready]
            others = [p for p in snapshot.list(Pod) if p.ips and not p.spec.host_network and not wanted <= p.labels.items()]
            if mine and others:
                return service, others[0]
    raise KubenetError("growth: no Service here has a ready pod behind it and another pod that could ask")


def points_of(cluster: Any, counts: Sequence[int]) -> tuple[Point, ...]:
    """Copies with so many Services more, all in front of the same pods; what one pod's connection asks at its own node."""
    model, client = _subjects(cluster)
    port = model.spec.ports[0]
    out = []
    for count in counts:
        names = [f"{model.name}-{n:05}" for n in range(count)]
        lab = cluster.copy(proxy="iptables").apply([_document(model, name) for name in names])
        other = lab.copy(proxy="nftables")
        asked = [
            next((a.rules for a in rules_asked(where, f"pod/{client.key}", f"svc:{model.namespace}/{name}", port.port, port.protocol)
                  if a.namespace == client.spec.node_name and a.chain in ("PREROUTING", "nat-prerouting")), None)
            for where, name in ((lab, names[0]), (lab, names[-1]), (other, names[-1]))
        ]  # fmt: skip
        counted = [n for n in asked if n is not None]
        if len(counted) < len(asked):  # pods of macvlan
            raise KubenetError(f"growth: packets of {client.key} meet no rule of {client.spec.node_name}")
        out.append(Point(len(lab.objects("Service")), *counted))
    return tuple(out)


def describe_growth(points: Sequence[Point]) -> str:
    out = ["Rules for nat that a pod's new connection is compared with at its node"]
    for p in points:
        out.append(f"{p.services} Services: iptables {p.first} for the first of those added, {p.last} for the last; nftables {p.nftables}")
    return "\n".join(out)


def _round_up(n: int) -> int:
    """The next number whose quarters are plain: 4, 8, 12, 16, 20, 24, 32, 40, 80, 120 ..."""
    step = 4
    while True:
        for k in (1, 2, 3, 4, 5, 6, 8):
            if n <= k * step:
                return k * step
        step *= 10


def _series(points: Sequence[Point]) -> tuple[tuple[str, str, tuple[float, ...], list[int]], ...]:
    """(name, colour, dash, values) of each line; where two lie on each other both dashes show."""
    return (
        ("iptables, the last", "nat", (), [p.last for p in points]),
        ("iptables, the first", "bridge", (7.0, 5.0), [p.first for p in points]),
        ("nftables", "tunnel", (2.0, 4.0), [p.nftables for p in points]),
    )


def _apart(wanted: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Heights for labels, near those wanted (in falling order of value), at least `gap` apart and none below `lowest`."""
    out: list[float] = []
    for y in wanted:
        out.append(max(y, out[-1] + gap) if out else y)
    over = out[-1] - lowest
    return [y - over if over > 0 and y > lowest - gap * (len(out) - n) else y for n, y in enumerate(out)]


def growth_figure(cluster: Any, counts: Sequence[int] = COUNTS, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    counts = sorted(set(counts))
    if not counts or any(not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST for n in counts):
        raise KubenetError(f"growth: counts {counts!r}, expected numbers of Services from 1 to {MOST}")
    return _drawn(points_of(cluster, counts), columns == 1, theme, not columns)


def _drawn(points: Sequence[Point], narrow: bool, theme: ThemeName = "light", both: bool = False) -> Figure:
    width, height = (NARROW, 400.0) if narrow else (WIDE, 380.0)
    left, right, top, bottom = 62.0, (26.0 if narrow else 186.0), (142.0 if narrow else 84.0), height - 62
    most_x, most_y = points[-1].services, _round_up(max(p.last for p in points))
    step = _round_up(most_x) // 4

    def at(services: float, rules: float) -> tuple[float, float]:
        return left + (width - left - right) * services / most_x, bottom - (bottom - top) * rules / most_y

    def draw(canvas: Canvas) -> None:
        canvas.text("Rules compared as Services grow", 16, 31, 14.5, bold=True)
        said = "nat rules that a pod's first packet is compared with at its node: to the first and to the last of the Services added"
        said = "nat rules that a first packet is compared with" if narrow else said
        canvas.text(shorten(said, width - 32, 12), 16, 51, 12, role="soft")
        for n in range(5):
            y = at(0, most_y * n / 4)[1]
            canvas.line([(left, y), (width - right, y)], stroke="line", width=1.4 if n == 0 else 0.7)
            canvas.text(f"{most_y * n / 4:g}", left - 8, y + 4, 10, role="soft", mono=True, anchor="end")
        for n in range(0, most_x + 1, step):
            x = at(n, 0)[0]
            canvas.line([(x, bottom), (x, bottom + 5)], stroke="line", width=1)
            canvas.text(f"{n}", x, bottom + 19, 10, role="soft", mono=True, anchor="middle")
        canvas.text("Services in the cluster", (left + width - right) / 2, bottom + 38, 11, role="soft", anchor="middle")
        canvas.text("rules", left - 8, top - 12, 11, role="soft", anchor="end")
        series = _series(points)
        for _, role, dash, values in series:
            line = [at(p.services, v) for p, v in zip(points, values, strict=True)]
            canvas.line(line, stroke=role, width=2.4, dash=dash)
            for x, y in line:
                _mark(canvas, x, y, role, bool(dash))
        # beside the ends of the lines, or where there is no room for that, above the picture
        ends = _apart([at(0, values[-1])[1] for *_, values in series], 17, bottom)
        for n, (name, role, dash, values) in enumerate(series):
            x, y = (22.0, 74.0 + 17 * n) if narrow else (width - right + 14, ends[n])
            if narrow:
                _mark(canvas, x, y - 4, role, bool(dash))
            canvas.text(f"{name}: {values[-1]}", x + (12 if narrow else 0), y if narrow else y + 4, 11.5, role=role, bold=True)

    small = partial(_drawn, points, True) if both else None
    return Figure("Rules compared as Services grow", describe_growth(points), (width, height), draw, theme, small)


def _mark(canvas: Canvas, x: float, y: float, role: str, hollow: bool) -> None:
    if hollow:
        canvas.rect(x - 4, y - 4, 8, 8, fill="bg", stroke=role, width=1.8, radius=4)
    else:
        canvas.rect(x - 4, y - 4, 8, 8, fill=role, stroke="bg", width=1.2)
