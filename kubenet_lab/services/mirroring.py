"""The EndpointSlice mirroring controller: Endpoints that somebody wrote by hand, as EndpointSlices.

Source: Kubernetes 1.34, pkg/controller/endpointslicemirroring (endpointslicemirroring_controller.go, reconciler.go, utils.go).
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointAddress, Endpoints, Service
from .slice_documents import MANAGED_BY, SERVICE_NAME, owner, slice_document

__all__ = ["CONTROLLER", "mirrored"]

Document = dict[str, Any]

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
MAX_PER_SUBSET = 1000
MAX_ENDPOINTS = 1000  # of one family and one list of ports: the rest is in no slice


def is_mirrored(endpoints: Endpoints, service: Service | None) -> bool:
    """Only for a Service that exists and has no selector, and not for leader locks or what asks not to be mirrored."""
    if endpoints.labels.get(SKIP) == "true" or LEADER in endpoints.metadata.annotations:
        return False
    return service is not None and not service.spec.selector


def _endpoint(address: EndpointAddress, ready: bool) -> Document:
    found: Document = {"addresses": [str(ip_address(address.ip))], "conditions": {"ready": ready}}
    if address.hostname:
        found["hostname"] = address.hostname
    if address.node_name:
        found["nodeName"] = address.node_name
    if ref := address.target_ref:
        fields = {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
        found["targetRef"] = {k: v for k, v in fields.items() if v}
    return found


def mirrored(snapshot: Snapshot, settled: Collection[tuple[str, str]], taken: dict[str, set[str]]) -> list[Document]:
    """The slices for all Endpoints objects that are mirrored; `settled` are Services whose slices are observed."""
    documents: list[Document] = []
    for endpoints in snapshot.list(Endpoints):
        service = snapshot.get(Service, endpoints.name, endpoints.namespace)
        if (endpoints.namespace, endpoints.name) in settled or not is_mirrored(endpoints, service):
            continue
        groups: dict[tuple[str, tuple[tuple[str, int, str, str], ...]], list[Document]] = {}
        for subset in endpoints.subsets:
            ports = tuple((p.name, p.port or 0, p.protocol, p.app_protocol or "") for p in subset.ports)
            both = [(a, True) for a in subset.addresses] + [(a, False) for a in subset.not_ready_addresses]
            for address, ready in both[:MAX_PER_SUBSET]:
                family = "IPv6" if ":" in address.ip else "IPv4"
                groups.setdefault((family, ports), []).append(_endpoint(address, ready))
        labels = {**dict(sorted(endpoints.labels.items())), SERVICE_NAME: endpoints.name, MANAGED_BY: CONTROLLER}
        notes = {k: v for k, v in endpoints.metadata.annotations.items() if k not in NOT_COPIED}
        owners = owner("Endpoints", endpoints.name, endpoints.metadata.uid)
        names = taken.setdefault(endpoints.namespace, set())
        for (family, ports), members in sorted(groups.items(), key=lambda g: g[0]):
            listed = [{"name": n, "port": i, "protocol": protocol} | ({"appProtocol": a} if a else {}) for n, i, protocol, a in ports]
            what, prefix = f"{endpoints.key}|{family}|{ports!r}", f"{endpoints.name}-"
            part = members[:MAX_ENDPOINTS]
            documents.append(slice_document(endpoints.namespace, prefix, what, labels, owners, family, part, listed, names, notes))
    return documents
