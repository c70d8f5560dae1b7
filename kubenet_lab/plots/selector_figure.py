"""The selector join: one Service against the pods of its namespace, term by term, and which of them became endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import KubenetError, NotFound
from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, Pod, Service
from ..services import why_no_endpoints, why_not_an_endpoint
from ..trace import Reason
from .canvas import Canvas
from .figure import Figure
from .metrics import fit, lines, shorten, text_width
from .style import ThemeName

__all__ = ["Candidate", "Term", "candidates", "describe_selector", "selector_figure"]

WIDE, NARROW = 900.0, 420.0
ROW, MOST = 40.0, 12
_SHORT = {
    "service.pod_not_selected": "not selected",
    "service.endpoint_terminated": "has ended",
    "service.endpoint_no_address": "has no address yet",
    "service.endpoint_node_missing": "its node is gone",
    "service.endpoint_wrong_family": "has no address of this family",
    "service.endpoint_terminating": "terminating",
    "service.endpoint_not_ready": "not ready",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the selector against one pod. `found`: the pod's value, None where it lacks the label."""

    key: str
    wanted: str
    found: str | None

    @property
    def fits(self) -> bool:
        return self.found == self.wanted

    @property
    def said(self) -> str:
        return self.wanted if self.fits else "no such label" if self.found is None else self.found or '""'


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pod. `endpoints`: "ip:port" of each slice entry; `state`: its conditions there; `reasons`: why it gets no traffic, or not all."""

    pod: str
    terms: tuple[Term, ...]
    ready: str  # "ready", "not ready", "terminating"
    endpoints: tuple[str, ...]
    state: str  # "ready", "serving", "not ready" or "" where it is in no slice
    reasons: tuple[Reason, ...]

    @property
    def selected(self) -> bool:
        return bool(self.terms) and all(t.fits for t in self.terms)

    @property
    def takes_traffic(self) -> bool:
        return bool(self.endpoints) and self.state == "ready"

    @property
    def said(self) -> str:
        """The result in a few words."""
        if self.takes_traffic:
            return ", ".join(self.endpoints)
        first = self.reasons[0] if self.reasons else None
        if first is None:
            return f"{self.endpoints[0]} {self.state}" if self.endpoints else "not in a slice"
        if first.code in ("service.target_port_missing", "service.target_port_protocol"):
            return f"no port {first.params['target']}/{first.params['protocol']}"
        words = _SHORT.get(first.code, "no endpoint")
        return f"{words}, serving" if self.state == "serving" else words


    @property
    def standing(self) -> str:
        """Its readiness and the result, each once."""
        return self.said if self.said.startswith(self.ready) else f"{self.ready} · {self.said}"


def service_of(cluster: Any, key: str) -> Service:
    """The Service of this name ("shop/cart" or "svc:shop/cart"). Raises NotFound."""
    snapshot: Snapshot = cluster.snapshot()
    name = str(key).removeprefix("svc:")
    found = next((s for s in snapshot.list(Service) if s.key == name), None)
    if found is None:
        raise NotFound("Service", name, [s.key for s in snapshot.list(Service)])
    return found


def _entries(snapshot: Snapshot, service: Service) -> Mapping[str, tuple[tuple[str, ...], str]]:
    """Per pod name: its addresses with ports in the Service's slices, and how the slices have it."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for piece in snapshot.list(EndpointSlice, service.namespace):
        if piece.service != service.name:
            continue
        for endpoint in piece.endpoints:
            if endpoint.target_ref is None or endpoint.target_ref.kind != "Pod" or not endpoint.addresses:
                continue
            ip, c = endpoint.addresses[0], endpoint.conditions
            ready = c.ready is None or c.ready
            state = "ready" if ready else "serving" if c.serving and c.terminating else "not ready"
            shown = tuple(f"[{ip}]:{p.port}" if ":" in ip else f"{ip}:{p.port}" for p in piece.ports if p.port)
            shown = shown or (() if service.spec.ports else (ip,))
            before = found.get(endpoint.target_ref.name, ((), state))
            found[endpoint.target_ref.name] = (tuple(dict.fromkeys((*before[0], *shown))), state)
    return found


def candidates(cluster: Any, service: Service) -> tuple[Candidate, ...]:
    """Every pod of the Service's namespace: those that take traffic first, then those that fit in more terms."""
    snapshot: Snapshot = cluster.snapshot()
    entries = _entries(snapshot, service)
    out = []
    for pod in snapshot.list(Pod, service.namespace):
        terms = tuple(Term(k, v, pod.labels.get(k)) for k, v in sorted(service.spec.selector.items()))
        endpoints, state = entries.get(pod.name, ((), ""))
        ready = "terminating" if pod.metadata.deletion_timestamp is not None else "ready" if pod.ready else "not ready"
        out.append(Candidate(pod.key, terms, ready, endpoints, state, why_not_an_endpoint(snapshot, service, pod)))
    return tuple(sorted(out, key=lambda c: (not c.takes_traffic, not c.selected, -sum(t.fits for t in c.terms), c.pod)))


def _ports(service: Service) -> str:
    return ", ".join(
        f"{f'{p.name} ' if p.name else ''}{p.port} → {p.target_port or p.port}{'' if p.protocol == 'TCP' else f'/{p.protocol}'}"
        for p in service.spec.ports
    )


def hint(cluster: Any, service: Service, pods: tuple[Candidate, ...]) -> str:
    """Where nobody is selected: what comes nearest."""
    if any(c.selected for c in pods):
        return ""
    return next((r.sentence for r in why_no_endpoints(cluster.snapshot(), service)), "")


def describe_selector(service: Service, pods: tuple[Candidate, ...], hint: str = "") -> str:
    text = ", ".join(f"{k}={v}" for k, v in sorted(service.spec.selector.items()))
    count = sum(c.takes_traffic for c in pods)
    out = [f"Service {service.key} selects {text}; port {_ports(service) or 'none'}; {count} of {len(pods)} pods take its traffic"]
    for c in pods:
        terms = ", ".join(f"{'✓' if t.fits else '✗'} {t.key}={t.said}" if t.found is not None else f"✗ {t.key}: {t.said}" for t in c.terms)
        out.append(f"{'✓' if c.takes_traffic else '✗'} {c.pod}: {terms}; {c.standing}")
        if c.selected:
            out += [f"    {r.sentence}" for r in c.reasons]
    out += [hint] if hint else []
    return "\n".join(out)


def selector_figure(cluster: Any, key: str, *, columns: int | None = None, theme: ThemeName = "light") -> Figure:
    service = service_of(cluster, key)
    if service.spec.type == "ExternalName" or not service.spec.selector:
        raise KubenetError(f"Service {service.key} has no selector: nothing joins it with pods")
    pods = candidates(cluster, service)
    return _drawn(service, pods, hint(cluster, service, pods), columns == 1, theme, not columns)


def _drawn(
    service: Service, pods: tuple[Candidate, ...], nearest: str, narrow: bool, theme: ThemeName = "light", both: bool = False
) -> Figure:
    shown = pods[:MOST]
    width = NARROW if narrow else WIDE
    keys = sorted(service.spec.selector)
    rows = [34.0 + 20.0 * (len(keys) + 1) if narrow else ROW for _ in shown]
    chips = _chips([f"{k}={service.spec.selector[k]}" for k in keys], width)
    top = chips[-1][1] + (34 if narrow else 54)
    notes = lines(nearest, width - 40, 11)
    if rest := len(pods) - len(shown):
        notes.insert(0, f"and {rest} more pods" + ("" if any(c.selected for c in pods[MOST:]) else ", not selected"))
    height = top + sum(rows) + 12 + 16 * len(notes)

    def draw(canvas: Canvas) -> None:
        canvas.text(shorten(f"Who stands behind Service {service.key}?", width - 32, 14.5, bold=True), 16, 31, 14.5, bold=True)
        said = f"port {_ports(service) or 'none'}" + ("" if narrow else " · a pod must carry every label of the selector, and be ready")
        canvas.text(shorten(said, width - 32, 12), 16, 51, 12, role="soft")
        for text, y, x, w, size in chips:
            canvas.rect(x, y, w, 21, fill="natbg", stroke="nat", width=1.4, radius=5)
            canvas.text(text, x + 8, y + 15, size, mono=True, role="nat")
        y = top
        if not narrow:
            _head(canvas, keys, y - 10, width)
        for c, tall in zip(shown, rows, strict=True):
            _card(canvas, c, y, tall, width) if narrow else _row(canvas, c, keys, y, width)
            y += tall
        for n, line in enumerate(notes):
            canvas.text(line, 18, y + 10 + 16 * n, 11, role="soft")

    small = partial(_drawn, service, pods, nearest, True) if both else None
    return Figure(f"Selector of Service {service.key}", describe_selector(service, pods, nearest), (width, height), draw, theme, small)


def _chips(texts: list[str], width: float) -> list[tuple[str, float, float, float, float]]:
    """The selector's terms side by side, as many as fit into a line: (text, y, x, width, size)."""
    out: list[tuple[str, float, float, float, float]] = []
    x, y = 16.0, 64.0
    for whole in texts:
        text, size = fit(whole, width - 48, (11, 10.5, 10, 9.5, 9), mono=True, keep="both")
        w = text_width(text, size, mono=True) + 16
        if x > 16 and x + w > width - 16:
            x, y = 16.0, y + 26
        out.append((text, y, x, w, size))
        x += w + 10
    return out


def _grid(keys: list[str], width: float) -> tuple[float, list[tuple[float, float]], float, float]:
    """Left of the terms, (x, width) of each, x of the readiness, x of the result."""
    name, ready, result = 230.0, 96.0, 206.0
    each = (width - 32 - name - ready - result) / max(1, len(keys))
    return name, [(16 + name + n * each, each) for n in range(len(keys))], width - 16 - result - ready, width - 16 - result


def _head(canvas: Canvas, keys: list[str], y: float, width: float) -> None:
    _, terms, ready, result = _grid(keys, width)
    canvas.text("pod", 24, y, 10.5, role="soft")
    for k, (x, w) in zip(keys, terms, strict=True):
        text, size = fit(k, w - 10, (10.5, 10, 9.5, 9), keep="end")
        canvas.text(text, x, y, size, role="soft")
    canvas.text("readiness", ready, y, 10.5, role="soft")
    canvas.text("endpoint", result, y, 10.5, role="soft")


def _result_role(c: Candidate) -> str:
    return "ok" if c.takes_traffic else "no" if c.selected else "soft"


def _row(canvas: Canvas, c: Candidate, keys: list[str], y: float, width: float) -> None:
    name, terms, ready, result = _grid(keys, width)
    role = _result_role(c)
    fill, stroke = ("okbg", "ok") if c.takes_traffic else ("nobg", "no") if c.selected else ("card", "line")
    canvas.rect(16, y, width - 32, ROW - 6, fill=fill, stroke=stroke, width=1.6 if c.selected else 1, radius=6)
    text, size = fit(c.pod, name - 16, (11.5, 11, 10.5, 10, 9.5), bold=c.selected)
    canvas.text(text, 26, y + 21, size, bold=c.selected, role="ink" if c.selected else "soft")
    for t, (x, w) in zip(c.terms, terms, strict=True):
        text, size = fit(f"{'✓' if t.fits else '✗'} {t.said}", w - 10, (11, 10.5, 10, 9.5, 9))
        canvas.text(text, x, y + 21, size, role="ok" if t.fits else "no")
    mark = "✓" if c.ready == "ready" else "✗"
    canvas.text(f"{mark} {c.ready}", ready, y + 21, 10.5, role="ok" if c.ready == "ready" else "no")
    text, size = fit(f"{'✓' if c.takes_traffic else '✗'} {c.said}", 196, (11, 10.5, 10, 9.5, 9), bold=c.takes_traffic)
    canvas.text(text, result, y + 21, size, bold=c.takes_traffic, role=role)


def _card(canvas: Canvas, c: Candidate, y: float, tall: float, width: float) -> None:
    fill, stroke = ("okbg", "ok") if c.takes_traffic else ("nobg", "no") if c.selected else ("card", "line")
    canvas.rect(16, y, width - 32, tall - 7, fill=fill, stroke=stroke, width=1.6 if c.selected else 1, radius=6)
    text, size = fit(c.pod, width - 56, (11.5, 11, 10.5, 10), bold=True)
    canvas.text(text, 26, y + 18, size, bold=True, role="ink" if c.selected else "soft")
    at = y + 36
    for t in c.terms:
        said = f"{t.key}={t.said}" if t.found is not None else f"{t.key}: {t.said}"
        text, size = fit(f"{'✓' if t.fits else '✗'} {said}", width - 56, (11, 10.5, 10, 9.5, 9))
        canvas.text(text, 26, at, size, role="ok" if t.fits else "no")
        at += 20
    text, size = fit(f"{'✓' if c.takes_traffic else '✗'} {c.standing}", width - 56, (11, 10.5, 10, 9.5, 9), bold=c.takes_traffic)
    canvas.text(text, 26, at, size, bold=c.takes_traffic, role=_result_role(c))
