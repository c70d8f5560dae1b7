"""From an Ingress backend to the addresses of pods: Service, port by number or name, ready endpoints.

A controller dials endpoints itself: it takes them from the EndpointSlices and bypasses the Service's
address, kube-proxy's rules and session affinity. Sources: networking.k8s.io/v1 IngressBackend and
ServiceBackendPort; discovery.k8s.io/v1 EndpointConditions (an unset `ready` counts as ready).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotModelled
from ..kernel.address import number
from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, IngressBackend, ServicePort
from ..objects.views import Service as ServiceView
from ..trace import Reason

__all__ = ["Backend", "Endpoint", "backend_name", "endpoints_of", "resolve_backend"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address a controller may dial. `pod` is "ns/name" or "" (an address nobody's pod has)."""

    address: str
    port: int
    pod: str = ""
    node: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Backend:
    """What a backend means now: the Service's port and the ready endpoints, or the reason why there is nothing to dial."""

    service: str  # "ns/name"
    port: int | None  # the Service's port number
    target_port: int | str | None
    endpoints: tuple[Endpoint, ...]
    reason: Reason

    @property
    def reachable(self) -> bool:
        return bool(self.endpoints)


def backend_name(namespace: str, backend: IngressBackend) -> str:
    """ "ns/service:port" as people write it; "" for no backend."""
    if backend.service is not None:
        return f"{namespace}/{backend.service.name}:{backend.service.port.name or backend.service.port.number}"
    if backend.resource is not None:
        return f"{backend.resource.get('kind', 'resource')} {namespace}/{backend.resource.get('name', '')}"
    return ""


def endpoints_of(snapshot: Snapshot, service: ServiceView, port: ServicePort) -> tuple[Endpoint, ...]:
    """The ready endpoints of one port of a Service, without repeats, by address; of the Service's first IP family."""
    slices = [s for s in snapshot.list(EndpointSlice, service.namespace) if s.service == service.name]
    wanted = service.spec.ip_families[0] if service.spec.ip_families else ""
    kinds = {s.address_type for s in slices}
    if wanted not in kinds:
        wanted = "IPv4" if "IPv4" in kinds else "IPv6"
    found: dict[tuple[str, int], Endpoint] = {}
    for s in slices:
        if s.address_type != wanted:
            continue
        for p in s.ports:
            if (p.name or "") != port.name or p.protocol != port.protocol or p.port is None:
                continue
            for e in s.endpoints:
                if e.conditions.ready is False or not e.addresses:
                    continue
                ref = e.target_ref
                pod = f"{ref.namespace or s.namespace}/{ref.name}" if ref is not None and ref.kind == "Pod" else ""
                found.setdefault((e.addresses[0], p.port), Endpoint(e.addresses[0], p.port, pod, e.node_name))
    return tuple(sorted(found.values(), key=lambda e: (number(e.address), e.port)))


def resolve_backend(snapshot: Snapshot, namespace: str, backend: IngressBackend, origin: str) -> Backend:
    """What a backend of an Ingress in `namespace` means. Raises NotModelled for what the API leaves to the controller."""
    if backend.service is None:
        if backend.resource is not None:
            raise NotModelled(f"backend resource {backend.resource.get('kind', '')}: it is up to the controller what it serves")
        return Backend("", None, None, (), Reason("ingress.no-backend", {}, origin))
    ref = backend.service
    key, asked = f"{namespace}/{ref.name}", ref.port.name or str(ref.port.number)
    service = snapshot.get(ServiceView, ref.name, namespace)
    params = {"service": key, "port": asked}
    if service is None:
        return Backend(key, None, None, (), Reason("ingress.no-service", params, origin))
    if service.spec.type == "ExternalName":
        raise NotModelled(f"backend Service {key} of type ExternalName: controllers differ")
    port = next((p for p in service.spec.ports if (p.name == ref.port.name if ref.port.name else p.port == ref.port.number)), None)
    if port is None:
        has = ", ".join(f"{p.port}{f' ({p.name})' if p.name else ''}" for p in service.spec.ports) or "none"
        return Backend(key, None, None, (), Reason("ingress.no-port", {**params, "ports": has}, origin))
    target = port.target_port or port.port
    found = endpoints_of(snapshot, service, port)
    if not found:
        return Backend(key, port.port, target, (), Reason("ingress.no-endpoints", params, origin))
    reason = Reason("ingress.endpoints", {**params, "count": len(found), "endpoints": ", ".join(map(str, found))}, origin)
    return Backend(key, port.port, target, found, reason)
