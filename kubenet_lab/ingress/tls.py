"""Which certificate a controller shows: `tls[]` items chosen by SNI.

Source: networking.k8s.io/v1 IngressTLS: one port, 443; items are told apart by the name in the TLS
extension SNI; where SNI and Host differ, SNI decides the certificate and Host the route. The Secret
lives in the Ingress's namespace and carries tls.crt and tls.key. What is shown without a usable Secret
is up to the controller (ingress-nginx and Traefik show a certificate of their own).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..objects.snapshot import Snapshot
from ..objects.views import Ingress, IngressTLS, Secret
from ..trace import Reason
from .matching import match_host, request_host

__all__ = ["TlsChoice", "choose_tls"]


@dataclass(frozen=True, slots=True)
class TlsChoice:
    """`secret` is "ns/name", or "" where the controller's own certificate is shown."""

    sni: str
    ingress: str
    secret: str
    hosts: tuple[str, ...]
    reason: Reason


def _rank(hosts: list[str], sni: str) -> int | None:
    found = {match_host(h, sni) for h in hosts if h}
    return 0 if "exact" in found else 1 if "wildcard" in found else None if hosts else 2


def choose_tls(snapshot: Snapshot, ingresses: Iterable[Ingress], sni: str) -> TlsChoice:
    """The item for a name: exact before wildcard before an item that lists no hosts; ties by the order given (oldest first)."""
    name = request_host(sni)
    best: tuple[int, Ingress, IngressTLS] | None = None
    for ingress in ingresses:
        for item in ingress.spec.tls:
            rank = _rank(item.hosts, name)
            if rank is not None and (best is None or rank < best[0]):
                best = rank, ingress, item
    if best is None:
        return TlsChoice(name, "", "", (), Reason("ingress.tls-none", {"sni": name or "no name"}))
    _, ingress, item = best
    origin, hosts = f"Ingress {ingress.key}", tuple(item.hosts)
    key = f"{ingress.namespace}/{item.secret_name}" if item.secret_name else ""
    params = {"sni": name or "no name", "ingress": ingress.key, "secret": key}

    def choice(code: str, secret: str, **more: str) -> TlsChoice:
        return TlsChoice(name, ingress.key, secret, hosts, Reason(code, {**params, **more}, origin))

    if not item.secret_name:
        return choice("ingress.tls-unnamed", "")
    secret = snapshot.get(Secret, item.secret_name, ingress.namespace)
    if secret is None:
        return choice("ingress.tls-no-secret", "")
    if secret.type != "kubernetes.io/tls" or not {"tls.crt", "tls.key"} <= set(secret.keys):
        has = f"type {secret.type}, keys {', '.join(sorted(secret.keys)) or 'none'}"
        return choice("ingress.tls-bad-secret", "", has=has)
    return choice("ingress.tls", key)
