"""Clients, addresses and traffic policies: who is answered, and whom the server sees, each cell from `outcomes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from ..errors import KubenetError
from ..objects.views import Node, Pod, Service
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, shorten
from .selector_figure import service_of
from .style import ThemeName

__all__ = ["Cell", "Client", "Way", "cells", "clients_of", "describe_traffic", "traffic_figure", "ways_of"]

WIDE, NARROW = 900.0, 420.0
ROW, LINE = 46.0, 19.0
OUTSIDE = ("203.0.113.7", "2001:db8::7")
MOST_NODES = 3


@dataclass(frozen=True, slots=True)
class Client:
    label: str
    src: str
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Way:
    """An address by which the Service can be asked."""

    label: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Cell:
    """`answered`: the share that is delivered; `endpoints`: how many may answer; `seen`: whom they see; `failed`: what else happens."""

    answered: Fraction
    endpoints: int
    seen: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def mark(self) -> str:
        return "✓" if self.answered == 1 else "✗" if not self.answered else "±"

    @property
    def said(self) -> str:
        if not self.answered:
            return " or ".join(self.failed)
        whom = f"{self.endpoints} endpoint{'' if self.endpoints == 1 else 's'}"
        return whom if self.answered == 1 else f"{self.answered}: {whom}, else {' or '.join(self.failed)}"

    @property
    def sees(self) -> str:
        return f"sees {' or '.join(self.seen)}" if self.seen else ""


def policy_field(service: Service) -> str:
    """The traffic policy that makes a difference: the external one where the Service can be asked from outside."""
    spec = service.spec
    return "externalTrafficPolicy" if spec.type in ("NodePort", "LoadBalancer") or spec.external_ips else "internalTrafficPolicy"


def clients_of(cluster: Any, service: Service) -> tuple[Client, ...]:
    """A pod on each of the first nodes (rather one that is no endpoint), and a machine outside."""
    snapshot = cluster.snapshot()
    wanted = service.spec.selector.items()
    six = ":" in service.spec.cluster_ip
    out = []
    for node in snapshot.list(Node)[:MOST_NODES]:
        here = [p for p in snapshot.list(Pod) if p.spec.node_name == node.name and p.ips and not p.spec.host_network and not p.terminated]
        here.sort(key=lambda p: (p.namespace == service.namespace and wanted <= p.labels.items(), p.namespace != service.namespace))
        if here:
            out.append(Client(f"pod on {node.name}", f"pod/{here[0].key}", frozenset(here[0].ips)))
    return (*out, Client("outside", f"external:{OUTSIDE[six]}", frozenset(OUTSIDE)))


def ways_of(cluster: Any, service: Service) -> tuple[Way, ...]:
    """ClusterIP, the node port of each of the first nodes, external and load-balancer addresses: of the first port that is TCP or UDP."""
    port = next((p for p in service.spec.ports if p.protocol in ("TCP", "UDP")), None)
    if port is None or service.spec.cluster_ip in ("", "None"):
        raise KubenetError(f"Service {service.key} has no address of its own that could be asked")
    out = [Way("ClusterIP", service.spec.cluster_ip, port.port)]
    if port.node_port:
        out += [Way(f"{n.name}:{port.node_port}", f"node:{n.name}", port.node_port) for n in cluster.snapshot().list(Node)[:MOST_NODES]]
    vips = [*service.spec.external_ips, *(i.ip for i in service.status.load_balancer.ingress if i.ip)]
    return (*out, *(Way(vip, vip, port.port) for vip in vips[:1]))


def _whom(cluster: Any, address: str, client: Client) -> str:
    if address in client.addresses:
        return "the client"
    owner = cluster.walkable().owner_of(address)
    return owner.label.removeprefix("node:") if owner is not None else address


def _cell(cluster: Any, client: Client, way: Way, protocol: str) -> Cell:
    try:
        found = cluster.outcomes(client.src, way.address, port=way.port, protocol=protocol)
    except KubenetError as e:
        return Cell(Fraction(0), 0, (), (str(e),))
    good = [o for o in found if o and not (o.answered_by or "").startswith("external:")]
    seen = tuple(dict.fromkeys(_whom(cluster, o.source_seen, client) for o in good if o.source_seen))
    return Cell(
        sum((o.probability for o in good), Fraction(0)), len({o.answered_by for o in good}), seen,
        tuple(dict.fromkeys("another machine answers" if o else o.verdict for o in found if o not in good)),
    )  # fmt: skip


def cells(cluster: Any, service: Service, policy: str) -> tuple[tuple[Cell, ...], ...]:
    """The matrix under one traffic policy ("Cluster" or "Local"), on a copy: one row per client, one cell per way."""
    field = policy_field(service)
    document = cluster.store.document("Service", service.key)
    lab = cluster
    if (document["spec"].get(field) or "Cluster") != policy:
        document["spec"][field] = policy
        lab = cluster.copy().apply(document)
    protocol = next(p.protocol for p in service.spec.ports if p.protocol in ("TCP", "UDP"))
    now = service_of(lab, service.key)
    return tuple(tuple(_cell(lab, c, w, protocol) for w in ways_of(lab, now)) for c in clients_of(lab, now))


Block = tuple[str, Sequence[Sequence[Cell]]]


def describe_traffic(service: Service, clients: Sequence[Client], ways: Sequence[Way], blocks: Sequence[Block]) -> str:
    field = policy_field(service)
    out = [f"Who is answered by Service {service.key}, and whom the server sees"]
    for policy, rows in blocks:
        out.append(f"{field} {policy}:")
        for client, row in zip(clients, rows, strict=True):
            out.append(f"  {client.label} ({client.src}):")
            out += [f"    {w.label}: {c.mark} {c.said}{f', {c.sees}' if c.sees else ''}" for w, c in zip(ways, row, strict=True)]
    return "\n".join(out)


def traffic_figure(cluster: Any, key: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    service = service_of(cluster, key)
    ways, clients = ways_of(cluster, service), clients_of(cluster, service)
    blocks: list[Block] = [(policy, cells(cluster, service, policy)) for policy in ("Cluster", "Local")]
    return _drawn(service, clients, ways, blocks, columns == 1, theme, not columns)


def _drawn(
    service: Service, clients: Sequence[Client], ways: Sequence[Way], blocks: Sequence[Block], narrow: bool, theme: ThemeName = "light",
    both: bool = False,
) -> Figure:  # fmt: skip
    width = NARROW if narrow else WIDE
    card = 30.0 + LINE * 2 * len(ways)
    tall = 30.0 + len(clients) * (card + 6) if narrow else 50.0 + ROW * len(clients)
    height = 66.0 + len(blocks) * (tall + 12) + 22
    title = f"Who is answered by {service.key}, and whom the server sees"

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(f"Who is answered by {service.key}" if narrow else title, width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        said = "rows: who asks; columns: by which address" if not narrow else "who asks, by which address, and whom the server sees"
        canvas.text(said, 16, 50, 12, role="soft")
        y = 66.0
        for policy, rows in blocks:
            canvas.text(f"{policy_field(service)}: {policy}", 16, y + 17, 12.5, bold=True, role="nat")
            (_narrow_block if narrow else _wide_block)(canvas, clients, ways, rows, y, width)
            y += tall + 12
        canvas.text("✓ always answered · ± sometimes · ✗ never", 16, height - 12, 10.5, role="soft")

    small = partial(_drawn, service, clients, ways, blocks, True) if both else None
    return Figure(title, describe_traffic(service, clients, ways, blocks), (width, height), draw, theme, small)


def _roles(c: Cell) -> tuple[str, str]:
    return {"✓": ("okbg", "ok"), "✗": ("nobg", "no")}.get(c.mark, ("hotbg", "hot"))


def _wide_block(
    canvas: Canvas, clients: Sequence[Client], ways: Sequence[Way], rows: Sequence[Sequence[Cell]], y: float, width: float
) -> None:
    left = 132.0
    w = (width - 32 - left) / len(ways)
    for n, way in enumerate(ways):
        text, size = fit(way.label, w - 12, (11, 10.5, 10, 9.5, 9))
        canvas.text(text, 16 + left + n * w + 4, y + 40, size, role="soft")
    for r, (client, row) in enumerate(zip(clients, rows, strict=True)):
        top = y + 47 + r * ROW
        text, size = fit(client.label, left - 10, (11.5, 11, 10.5, 10))
        canvas.text(text, 16, top + 24, size, bold=True)
        for n, c in enumerate(row):
            x = 16 + left + n * w
            fill, role = _roles(c)
            canvas.rect(x, top, w - 6, ROW - 6, fill=fill, stroke=role, width=1.4, radius=6)
            text, size = fit(f"{c.mark} {c.said}", w - 22, (11, 10.5, 10, 9.5, 9, 8.5), bold=True)
            canvas.text(text, x + 8, top + (17 if c.sees else 24), size, role=role, bold=True)
            text, size = fit(c.sees, w - 22, (10.5, 10, 9.5, 9, 8.5))
            canvas.text(text, x + 8, top + 32, size, role="ink")


def _narrow_block(
    canvas: Canvas, clients: Sequence[Client], ways: Sequence[Way], rows: Sequence[Sequence[Cell]], y: float, width: float
) -> None:
    card = 30.0 + LINE * 2 * len(ways)
    for r, (client, row) in enumerate(zip(clients, rows, strict=True)):
        top = y + 28 + r * (card + 6)
        canvas.rect(16, top, width - 32, card, fill="card", stroke="line", width=1, radius=7)
        canvas.text(shorten(client.label, width - 60, 12, bold=True), 26, top + 19, 12, bold=True)
        for n, (way, c) in enumerate(zip(ways, row, strict=True)):
            at = top + 38 + n * LINE * 2
            text, size = fit(f"{c.mark} {way.label}", width - 60, (11, 10.5, 10), bold=True)
            canvas.text(text, 26, at, size, bold=True, role=_roles(c)[1])
            text, size = fit(f"{c.said}{f', {c.sees}' if c.sees else ''}", width - 76, (10.5, 10, 9.5, 9))
            canvas.text(text, 40, at + 15, size, role="ink")
