"""`route`: which Ingress, which path, which Service answers a request, and why not the others.

A pure function of the objects. Order of the decision: the Ingress objects that are served at all
(classes.py), the most specific host, in it the best path (matching.py), else a default backend; then the
backend's Service and endpoints (backends.py). Sources: the API's text (networking.k8s.io/v1), the
documentation page "Ingress", KEP-1453. Where these leave the answer to the controller, the decision carries
a reason that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import NotFound, NotModelled
from ..objects.snapshot import Snapshot
from ..objects.views import Ingress, IngressBackend, IngressPath
from ..trace import Decision, Reason
from .backends import Backend, Endpoint, backend_name, resolve_backend
from .classes import Service, age, resolve
from .http import split_url
from .matching import HOST_RANK, HostMatch, match_host, match_path, open_parts, precedence, request_host
from .tls import TlsChoice, choose_tls

if TYPE_CHECKING:
    from ..explain.story import Story

__all__ = ["CONTROLLERS", "Candidate", "RouteDecision", "route"]

#: what `controller=` takes, and whether it is modelled
CONTROLLERS: dict[str, bool] = {"spec": True, "ingress-nginx": False, "traefik": False, "traefik-strict": False}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One path of one rule that did not take the request (or, with path None, a whole Ingress or default backend), and why."""

    ingress: str
    rule: int | None
    path_index: int | None
    host: str
    path: str
    path_type: str
    backend: str
    why: Reason

    def __str__(self) -> str:
        where = f"rules[{self.rule}]" if self.rule is not None else "defaultBackend"
        if self.path_index is not None:
            where += f".paths[{self.path_index}]"
        what = f" {self.host or '*'}{self.path} ({self.path_type})" if self.path_index is not None else ""
        return f"{self.ingress} {where}{what} -> {self.backend or '-'}: {self.why.sentence}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A path of a rule of a served Ingress, with how its host covers the request."""

    ingress: Ingress
    rule: int
    index: int
    host: str
    path: IngressPath
    match: HostMatch | None

    def lost(self, code: str, **params: object) -> Candidate:
        p, i = self.path, self.ingress
        name = backend_name(i.namespace, p.backend)
        facts = {"ingress": i.key, "host": self.host or "every host", "path": p.path, "path_type": p.path_type, "backend": name}
        why = Reason(code, {**facts, **params}, f"Ingress {i.key}")
        return Candidate(i.key, self.rule, self.index, self.host, p.path, p.path_type, name, why)


@dataclass(frozen=True)
class RouteDecision(Decision):
    """Where a request goes. `bool()` is True when a backend with a ready endpoint takes it.

    `status` is what the client gets from the controller itself: 404 (nothing matches), 503 (nothing to dial), or
    200, which stands for "whatever the backend answers". `rule` and `path_index` are indices into the Ingress's YAML;
    both are None for a default backend.
    """

    url: str = ""
    method: str = "GET"
    host: str = ""
    path: str = ""
    status: int = 404
    controller: str = "spec"
    ingress: str = ""
    ingress_class: str = ""
    rule: int | None = None
    path_index: int | None = None
    matched_host: str = ""
    matched_path: str = ""
    path_type: str = ""
    default_backend: bool = False
    service: str = ""
    port: int | None = None
    target_port: int | str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    tls: TlsChoice | None = None
    undefined: bool = False  # the API does not define this answer: controllers differ
    snapshot: Snapshot | None = None
    only_class: str | None = None

    @property
    def backend(self) -> str:
        """ "ns/service:port", or ""."""
        return f"{self.service}:{self.port}" if self.service and self.port is not None else self.service

    @property
    def summary(self) -> str:
        """The decision in one line: what took the request, and what the client gets."""
        if not self.service:
            return f"✗ {self.status}: no rule takes {self.host}{self.path}"
        how = "defaultBackend" if self.default_backend else f"{self.matched_host or '*'}{self.matched_path} ({self.path_type})"
        mark, what = ("✓", "") if self else ("✗", f"{self.status}: ")
        return f"{mark} {what}Ingress {self.ingress}, {how} → {self.backend}"

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every path and default backend that did not get the request, each with the reason; in the order of the objects."""
        return tuple(_losers(self)) if self.snapshot is not None else ()

    def explain(self) -> Story:
        """The decision in plain sentences, and why the others lost."""
        from ..explain.ingress import explain_route

        return explain_route(self)

    def to_dict(self) -> dict[str, object]:
        return {
            "url": self.url, "method": self.method, "status": self.status, "verdict": self.verdict, "controller": self.controller,
            "ingress": self.ingress, "ingress_class": self.ingress_class, "rule": self.rule, "path_index": self.path_index,
            "host": self.matched_host, "path": self.matched_path, "path_type": self.path_type, "default_backend": self.default_backend,
            "service": self.service, "port": self.port, "target_port": self.target_port, "endpoints": [str(e) for e in self.endpoints],
            "secret": self.tls.secret if self.tls else None, "undefined": self.undefined,
            "reasons": [{"code": r.code, "sentence": r.sentence, "origin": r.origin} for r in self.reasons],
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"RouteDecision({self.method} {self.url}: {self.status}{f', {self.backend}' if self.service else ''})"

    def __str__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()


def _check_controller(controller: str | None) -> str:
    name = controller or "spec"
    if name not in CONTROLLERS:
        raise NotFound("ingress controller", name, CONTROLLERS)
    if not CONTROLLERS[name]:
        raise NotModelled(f"ingress controller {name}: only the API's own text (controller='spec') is")
    return name


def _served(snapshot: Snapshot, only: str | None) -> tuple[list[tuple[Ingress, Service]], list[tuple[Ingress, Service]]]:
    """The Ingress objects that are served and those that are not, oldest first."""
    yes: list[tuple[Ingress, Service]] = []
    no: list[tuple[Ingress, Service]] = []
    for ingress in sorted(snapshot.list(Ingress), key=age):
        by = resolve(snapshot, ingress, only)
        (yes if by.served else no).append((ingress, by))
    return yes, no


def _entries(ingresses: Iterable[Ingress], host: str) -> list[_Entry]:
    return [
        _Entry(ingress, i, j, rule.host, path, match_host(rule.host, host))
        for ingress in ingresses
        for i, rule in enumerate(ingress.spec.rules)
        if rule.http is not None
        for j, path in enumerate(rule.http.paths)
    ]


def _key(e: _Entry) -> tuple[int, int, int]:
    return precedence(e.path.path_type, e.path.path)


def _pick(entries: list[_Entry], path: str) -> tuple[_Entry | None, list[_Entry]]:
    """The winner among the paths of one host, and those that tie with it (the same match, said twice); the list's order breaks ties."""
    matching = [e for e in entries if match_path(e.path.path_type, e.path.path, path)]
    if not matching:
        return None, []
    best = min(matching, key=_key)
    return best, [e for e in matching if e is not best and _key(e) == _key(best)]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the objects decide: an entry, or an Ingress's default backend, or nothing."""

    entry: _Entry | None
    ingress: Ingress | None
    level: HostMatch | None  # the most specific way in which any rule covers the host
    reasons: tuple[Reason, ...]


def _choose(ingresses: list[Ingress], host: str, path: str) -> _Choice:
    entries = _entries(ingresses, host)
    hosts: list[HostMatch] = [m for i in ingresses for r in i.spec.rules if (m := match_host(r.host, host)) is not None]
    level = min(hosts, key=HOST_RANK.__getitem__, default=None)
    reasons: list[Reason] = []
    entry, ties = _pick([e for e in entries if e.match == level], path) if level else (None, [])
    if entry is None and level not in (None, "any"):
        # "no host: every host" by the letter of the API; nginx looks no further than the host's own server block
        entry, ties = _pick([e for e in entries if e.match == "any"], path)
        if entry is not None:
            reasons.append(Reason("ingress.host-fallback", {"host": host, "path": path}, f"Ingress {entry.ingress.key}"))
    if entry is not None:
        for tie in ties:
            if tie.path.backend != entry.path.backend or tie.ingress.namespace != entry.ingress.namespace:
                params = {"other": tie.ingress.key, "path": entry.path.path, "host": entry.host or "every host"}
                reasons.append(Reason("ingress.tie", params, f"Ingress {tie.ingress.key}"))
        return _Choice(entry, entry.ingress, level, tuple(reasons))
    holders = [i for i in ingresses if i.spec.default_backend is not None]
    # the default backend of an Ingress whose rules name this host comes first (KEP-1453: "for the host"), then the oldest
    holders.sort(key=lambda i: not any(level and match_host(r.host, host) == level for r in i.spec.rules))
    if not holders:
        return _Choice(None, None, level, ())
    if len(holders) > 1:
        others = ", ".join(i.key for i in holders[1:])
        reasons.append(Reason("ingress.default-conflict", {"ingress": holders[0].key, "others": others}, f"Ingress {holders[0].key}"))
    if any(r.http is None and match_host(r.host, host) for r in holders[0].spec.rules):
        reasons.append(Reason("ingress.rule-without-paths", {"ingress": holders[0].key, "host": host}, f"Ingress {holders[0].key}"))
    return _Choice(None, holders[0], level, tuple(reasons))


#: reasons that mean: the API leaves this to the controller
UNDEFINED = frozenset({
    "ingress.host-fallback", "ingress.tie", "ingress.default-conflict", "ingress.rule-without-paths", "ingress.open-path",
    "ingress.no-service", "ingress.no-port", "ingress.no-endpoints", "ingress.tls-none", "ingress.tls-no-secret",
    "ingress.tls-bad-secret", "ingress.tls-unnamed", "ingress.classless", "ingress.class-annotation",
})  # fmt: skip


def route(
    snapshot: Snapshot,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    client_ip: str | None = None,
    tls_sni: str | None = None,
    controller: str | None = None,
    ingress_class: str | None = None,
) -> RouteDecision:
    """Where a request for `url` goes.

    A Host among `headers` replaces the URL's host for routing; `tls_sni` is the name in the TLS handshake (default: the
    URL's host). Method, other headers and client address play no part in Ingress v1; they are taken for the controllers
    that look at them. `ingress_class` limits the answer to what one class's controller serves.
    Raises NotModelled for controllers other than "spec", for ImplementationSpecific paths of the host, for resource
    backends; KubenetError for a bad URL.
    """
    name = _check_controller(controller)
    parts = split_url(url)
    header = next((v for n, v in (headers or {}).items() if n.lower() == "host"), None)
    host = request_host(parts.authority if header is None else header)
    by_pair, _ = _served(snapshot, ingress_class)
    by = {i.key: s for i, s in by_pair}
    ingresses = [i for i, _ in by_pair]
    sni = parts.host if tls_sni is None else tls_sni
    tls = choose_tls(snapshot, ingresses, sni) if parts.scheme == "https" else None
    choice = _choose(ingresses, host, parts.path)

    reasons: list[Reason] = []
    if tls is not None:
        reasons.append(tls.reason)
    if opened := open_parts(parts.path):
        reasons.append(Reason("ingress.open-path", {"path": parts.path, "parts": " and ".join(opened)}))
    shown = f"{parts.scheme}://{host}{parts.target}" if header is not None else str(parts)

    def decision(status: int, why: list[Reason], **more: object) -> RouteDecision:
        return RouteDecision(
            verdict=status == 200, reasons=tuple(why), url=shown, method=method.upper(), host=host, path=parts.path, status=status,
            controller=name, tls=tls, snapshot=snapshot, only_class=ingress_class,
            undefined=any(r.code in UNDEFINED for r in why), **more,  # type: ignore[arg-type]
        )  # fmt: skip

    chosen = choice.ingress
    if chosen is None:
        params = {"host": host, "path": parts.path, "count": len(ingresses)}
        code = "ingress.no-ingress" if not ingresses else "ingress.no-host" if choice.level is None else "ingress.no-match"
        return decision(404, [*reasons, Reason(code, params)])
    origin, entry = f"Ingress {chosen.key}", choice.entry
    if entry is not None:
        backend_ref: IngressBackend = entry.path.backend
        params = {
            "ingress": chosen.key, "host": entry.host or "every host", "path": entry.path.path, "path_type": entry.path.path_type,
            "request_path": parts.path, "backend": backend_name(chosen.namespace, backend_ref),
        }  # fmt: skip
        reasons.append(Reason("ingress.rule", params, origin))
    else:
        assert chosen.spec.default_backend is not None
        backend_ref = chosen.spec.default_backend
        params = {"ingress": chosen.key, "host": host, "path": parts.path, "backend": backend_name(chosen.namespace, backend_ref)}
        reasons.append(Reason("ingress.default-backend" if chosen.spec.rules else "ingress.default-only", params, origin))
    reasons += choice.reasons
    backend: Backend = resolve_backend(snapshot, chosen.namespace, backend_ref, origin)
    reasons += [by[chosen.key].reason, backend.reason]
    return decision(
        200 if backend.reachable else 503, reasons, ingress=chosen.key, ingress_class=by[chosen.key].name,
        rule=entry.rule if entry else None, path_index=entry.index if entry else None,
        matched_host=entry.host if entry else "", matched_path=entry.path.path if entry else "",
        path_type=entry.path.path_type if entry else "", default_backend=entry is None, service=backend.service, port=backend.port,
        target_port=backend.target_port, endpoints=backend.endpoints,
    )  # fmt: skip


def _losers(d: RouteDecision) -> Iterable[Candidate]:
    assert d.snapshot is not None
    served, unserved = _served(d.snapshot, d.only_class)
    ingresses = [i for i, _ in served]
    choice = _choose(ingresses, d.host, d.path)
    winner = choice.entry
    for e in _entries(ingresses, d.host):
        if winner is not None and (e.ingress.key, e.rule, e.index) == (winner.ingress.key, winner.rule, winner.index):
            continue
        if e.match is None:
            yield e.lost("ingress.lost-host", request_host=d.host)
        elif e.match != choice.level and not (winner is not None and e.match == winner.match):
            yield e.lost("ingress.lost-general-host", request_host=d.host)
        elif not match_path(e.path.path_type, e.path.path, d.path):
            yield e.lost("ingress.lost-path", request_path=d.path, similar=d.path.startswith(e.path.path.rstrip("/")))
        elif winner is not None and precedence("Prefix", e.path.path)[0] > precedence("Prefix", winner.path.path)[0]:
            yield e.lost("ingress.lost-shorter", winner=winner.path.path)
        elif winner is not None and e.path.path_type != winner.path.path_type:
            yield e.lost("ingress.lost-prefix", winner=winner.path.path)
        elif winner is not None:
            yield e.lost("ingress.lost-younger", winner=winner.ingress.key)
    for ingress, by in [*served, *unserved]:
        ref = ingress.spec.default_backend
        target = backend_name(ingress.namespace, ref) if ref else ""
        if not by.served:
            yield Candidate(ingress.key, None, None, "", "", "", target, by.reason)
        elif ref is not None and winner is not None:
            why = Reason("ingress.lost-default", {"ingress": ingress.key}, f"Ingress {ingress.key}")
            yield Candidate(ingress.key, None, None, "", "", "", target, why)
        elif ref is not None and choice.ingress is not None and ingress.key != choice.ingress.key:
            why = Reason("ingress.lost-younger", {"ingress": ingress.key, "winner": choice.ingress.key}, f"Ingress {ingress.key}")
            yield Candidate(ingress.key, None, None, "", "", "", target, why)
