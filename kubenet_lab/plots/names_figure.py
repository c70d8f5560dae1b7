"""What the DNS names of Services stand for: a ClusterIP, every ready endpoint, one pod, another name; asked of the cluster DNS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any

from ..errors import KubenetError
from ..objects.views import EndpointSlice, Pod, Service
from .canvas import Canvas
from .figure import Figure
from .lanes import entries, lanes
from .metrics import fit, lines, shorten
from .selector_figure import service_of
from .style import ThemeName

__all__ = ["Name", "describe_names", "names_figure", "names_of"]

WIDE, NARROW = 900.0, 420.0
ROW, GAP, TOP = 40.0, 9.0, 90.0
MOST = 9  # names in one picture


@dataclass(frozen=True, slots=True)
class Name:
    """`addresses`: the A and AAAA records of the final answer; `alias`: where a CNAME points; `rcode` as DNS says it."""

    name: str
    addresses: tuple[str, ...]
    alias: str
    rcode: str

    @property
    def said(self) -> str:
        if self.alias:
            return f"CNAME {self.alias}"
        if not self.addresses:
            return "does not exist" if self.rcode == "NXDOMAIN" else f"no address ({self.rcode})"
        return "one address" if len(self.addresses) == 1 else f"{len(self.addresses)} addresses"


def _ask(cluster: Any, name: str) -> Name:
    found = [cluster.dns.query(name, kind) for kind in ("A", "AAAA")]
    records = [r for a in found for r in a.answer]
    addresses = sorted({r.data for r in records if r.type in ("A", "AAAA")}, key=lambda a: (ip_address(a).version, ip_address(a)))
    alias = next((r.data.rstrip(".") for r in records if r.type == "CNAME"), "")
    return Name(name, tuple(addresses), alias, found[0].rcode)


def names_of(cluster: Any, service: Service) -> tuple[Name, ...]:
    """A Service's own name and, without a ClusterIP, those of its endpoints: by hostname, else as CoreDNS names them.

    An endpoint that has no name now stands under the one that it would have.
    Source: coredns/plugin/kubernetes (endpointHostname); Kubernetes DNS-Based Service Discovery 1.1.0, section 2.4.
    """
    zone = f"{service.name}.{service.namespace}.svc.{cluster.options.domain}"
    out = [_ask(cluster, zone)]
    if service.spec.cluster_ip == "None":
        for piece in cluster.snapshot().list(EndpointSlice, service.namespace):
            for e in piece.endpoints if piece.service == service.name else ():
                dashed = e.addresses[0].replace(".", "-").replace(":", "-")
                pod = e.target_ref.name if e.target_ref is not None else ""
                asked = [_ask(cluster, f"{host}.{zone}") for host in ([e.hostname] if e.hostname else [dashed, pod]) if host]
                out.append(next((n for n in asked if n.addresses), asked[0]))
    return (out[0], *sorted({n.name: n for n in out[1:]}.values(), key=lambda n: n.name))


@dataclass(frozen=True, slots=True)
class _Facts:
    names: tuple[Name, ...]
    left_out: int
    virtual: Mapping[str, tuple[str, ...]]  # ClusterIP -> the ready endpoints behind it
    owners: Mapping[str, str]  # address -> pod
    services: Mapping[str, str]  # ClusterIP -> Service

    @property
    def ends(self) -> tuple[str, ...]:
        """Addresses of pods, or of machines outside, in the order in which the names lead to them."""
        found = (end for n in self.names for a in n.addresses for end in self.by_pod(self.virtual.get(a, (a,))))
        return tuple(dict.fromkeys(found))

    def by_pod(self, addresses: Sequence[str]) -> list[str]:
        return sorted(addresses, key=lambda a: (self.whom(a) or "~", a))

    def whom(self, address: str) -> str:
        return self.owners.get(address, "")


def _facts(cluster: Any, keys: Sequence[str]) -> _Facts:
    snapshot = cluster.snapshot()
    names = [n for key in keys for n in names_of(cluster, service_of(cluster, key))]
    ips = {ip: s for s in snapshot.list(Service) for ip in (s.spec.cluster_ips or [s.spec.cluster_ip]) if ip and ip != "None"}
    virtual = {a: ips[a] for n in names[:MOST] for a in n.addresses if a in ips}
    slices = snapshot.list(EndpointSlice)
    ready = {
        a: tuple(x for piece in slices if (piece.namespace, piece.service) == (s.namespace, s.name) for e in piece.endpoints
                 if e.conditions.ready is not False for x in e.addresses if (":" in x) == (":" in a))
        for a, s in virtual.items()
    }  # fmt: skip
    owners = {ip: p.key for p in snapshot.list(Pod) if not p.spec.host_network for ip in p.ips}
    return _Facts(tuple(names[:MOST]), len(names) - len(names[:MOST]), ready, owners, {a: s.key for a, s in virtual.items()})


def describe_names(facts: _Facts, keys: Sequence[str]) -> str:
    out = [f"What the names of {' and '.join(keys)} stand for"]
    for n in facts.names:
        out.append(f"{n.name}: {'✓' if n.addresses else '✗'} {n.said}")
        for a in n.addresses:
            if a in facts.virtual:
                behind = ", ".join(facts.whom(x) or x for x in facts.by_pod(facts.virtual[a])) or "nobody"
                out.append(f"  {a}, the ClusterIP of {facts.services[a]}; behind it: {behind}")
            else:
                out.append(f"  {a}{f', {facts.whom(a)}' if facts.whom(a) else ''}")
    return "\n".join([*out, *([f"and {facts.left_out} names more"] if facts.left_out else [])])


def names_figure(cluster: Any, *services: str, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    keys = [service_of(cluster, key).key for key in services]
    if not keys:
        raise KubenetError('names: found no Service, expected at least one, as in names(cluster, "shop/cart")')
    return _drawn(_facts(cluster, keys), keys, columns == 1, theme, not columns)


def _drawn(facts: _Facts, keys: Sequence[str], narrow: bool, theme: ThemeName = "light", both: bool = False) -> Figure:
    title = f"What the names of {' and '.join(keys)} stand for"
    height, draw = (_narrow if narrow else _wide)(facts, title)
    small = partial(_drawn, facts, keys, True) if both else None
    return Figure(title, describe_names(facts, keys), (NARROW if narrow else WIDE, height), draw, theme, small)


def _head(canvas: Canvas, facts: _Facts, title: str, width: float, height: float) -> None:
    text, size = fit(title, width - 32, (14.5, 13.5, 12.5, 11.5), bold=True)
    canvas.text(text, 16, 31, size, bold=True)
    canvas.text(shorten("asked of the cluster DNS: A and AAAA records", width - 32, 12), 16, 50, 12, role="soft")
    foot = "✓ exists · ✗ does not" + (f" · and {facts.left_out} names more" if facts.left_out else "")
    canvas.text(foot, 16, height - 12, 10.5, role="soft")


def _wide(facts: _Facts, title: str) -> tuple[float, Any]:
    left, middle, right = (16.0, 372.0), (450.0, 180.0), (694.0, 190.0)  # x and width of each column
    rows = len(facts.names)
    inside = max(rows, len(facts.ends)) * (ROW + GAP) - GAP
    height = TOP + inside + 40

    def spread(count: int) -> list[float]:
        first = TOP + (inside - (count * (ROW + GAP) - GAP)) / 2
        return [first + n * (ROW + GAP) for n in range(count)]

    name_y, end_y = spread(rows), dict(zip(facts.ends, spread(len(facts.ends)), strict=True))
    virtual_y = {a: y for y, n in reversed(list(zip(name_y, facts.names, strict=True))) for a in n.addresses if a in facts.virtual}

    def wire(canvas: Canvas, x: float, y: float, bend: float, to: tuple[float, float], dash: tuple[float, ...] = ()) -> None:
        canvas.line([(x, y), (bend, y), (bend, to[1]), (to[0] - 5, to[1])], stroke="wire", width=1.4, dash=dash)
        canvas.polygon([(to[0] - 1, to[1]), (to[0] - 8, to[1] - 4), (to[0] - 8, to[1] + 4)], fill="wire")

    straight = [(y + ROW / 2, a) for y, n in zip(name_y, facts.names, strict=True) for a in n.addresses if a not in facts.virtual]
    chosen = [(y + ROW / 2, end) for a, y in virtual_y.items() for end in facts.virtual[a]]
    meets = entries([*straight, *chosen], end_y, ROW)

    def draw(canvas: Canvas) -> None:
        _head(canvas, facts, title, WIDE, height)
        heads = [(left, "name"), (right, "pod" if all(facts.whom(a) for a in facts.ends) else "machine")]
        for (x, _), text in [*heads, *([(middle, "ClusterIP: a node's rules choose")] if virtual_y else [])]:
            canvas.text(text, x, TOP - 10, 10.5, role="soft")
        for y, name in zip(name_y, facts.names, strict=True):
            for a in name.addresses:
                if a in virtual_y:
                    wire(canvas, left[0] + left[1], y + ROW / 2, left[0] + left[1] + 20, (middle[0], virtual_y[a] + ROW / 2))
        before, after = meets[: len(straight)], meets[len(straight) :]
        turns = lanes([(y, at) for (y, _), at in zip(straight, before, strict=True)], middle[0] + middle[1] + 4, right[0] - 30)
        for (y, _), at, bend in zip(straight, before, turns, strict=True):
            wire(canvas, left[0] + left[1], y, bend, (right[0], at))
        turns = lanes([(y, at) for (y, _), at in zip(chosen, after, strict=True)], right[0] - 24, right[0] - 14)
        for (y, _), at, bend in zip(chosen, after, turns, strict=True):
            wire(canvas, middle[0] + middle[1], y, bend, (right[0], at), (4.0, 3.0))
        for y, name in zip(name_y, facts.names, strict=True):
            _name_box(canvas, name, left[0], y, left[1])
        for a, y in virtual_y.items():
            _box(canvas, "nat", a, f"of {facts.services[a]}" if facts.virtual[a] else "nobody behind it", middle[0], y, middle[1])
        for a, y in end_y.items():
            _box(canvas, "pod" if facts.whom(a) else "node", a, facts.whom(a), right[0], y, right[1])

    return height, draw


def _name_box(canvas: Canvas, name: Name, x: float, y: float, w: float) -> None:
    good = bool(name.addresses)
    canvas.rect(x, y, w, ROW, fill="card" if good else "nobg", stroke="line" if good else "no", width=1.4, radius=6)
    text, size = fit(name.name, w - 20, (10.5, 10, 9.5, 9, 8.5), mono=True, bold=True, keep="both")
    canvas.text(text, x + 10, y + 17, size, mono=True, bold=True)
    text, size = fit(f"{'✓' if good else '✗'} {name.said}", w - 20, (10.5, 10, 9.5, 9))
    canvas.text(text, x + 10, y + 32, size, role="ok" if good else "no")


def _box(canvas: Canvas, layer: str, address: str, whom: str, x: float, y: float, w: float) -> None:
    canvas.rect(x, y, w, ROW, fill=f"{layer}bg", stroke=layer, width=1.4, radius=6)
    text, size = fit(address, w - 20, (11, 10, 9, 8), bold=True, keep="both")
    canvas.text(text, x + 10, y + (17 if whom else 24), size, bold=True)
    text, size = fit(whom, w - 20, (10.5, 10, 9.5, 9, 8.5), keep="both")
    canvas.text(text, x + 10, y + 32, size, role="soft")


def _narrow(facts: _Facts, title: str) -> tuple[float, Any]:
    """One card for each name, with what it stands for in lines."""
    cards: list[tuple[Name, list[str]]] = []
    for name in facts.names:
        said = []
        for a in name.addresses:
            if a in facts.virtual:
                behind = ", ".join(facts.whom(x) or x for x in facts.by_pod(facts.virtual[a])) or "nobody"
                said += [f"{a}, a ClusterIP. Behind it:", *(f"   {line}" for line in lines(behind, NARROW - 80, 10.5))]
            else:
                said.append(" · ".join(filter(None, (a, facts.whom(a)))))
        cards.append((name, said))
    height = 66.0 + sum(ROW + 15 * len(said) + GAP + 6 for _, said in cards) + 24

    def draw(canvas: Canvas) -> None:
        _head(canvas, facts, title, NARROW, height)
        y = 66.0
        for name, said in cards:
            tall = ROW + 15 * len(said)
            good = bool(name.addresses)
            canvas.rect(16, y, NARROW - 32, tall + 6, fill="card" if good else "nobg", stroke="line" if good else "no", width=1.4, radius=6)
            text, size = fit(name.name, NARROW - 52, (10.5, 10, 9.5, 9, 8.5), mono=True, bold=True, keep="both")
            canvas.text(text, 26, y + 17, size, mono=True, bold=True)
            text, size = fit(f"{'✓' if good else '✗'} {name.said}", NARROW - 52, (10.5, 10, 9.5, 9))
            canvas.text(text, 26, y + 33, size, role="ok" if good else "no")
            for n, line in enumerate(said):
                text, size = fit(line, NARROW - 60, (10.5, 10, 9.5, 9, 8.5), keep="both")
                canvas.text(text, 36, y + 49 + 15 * n, size, role="soft")
            y += tall + 6 + GAP

    return height, draw
