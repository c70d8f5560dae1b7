"""The EndpointSlice controller: which addresses stand behind a Service, as EndpointSlice documents.

For Services with a selector, from the pods; for Services without one, from Endpoints objects (mirroring.py).
Source: Kubernetes 1.34, pkg/controller/endpointslice, staging/src/k8s.io/endpointslice (utils.go, reconciler.go, trafficdist).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgspec

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, Node, Pod, Service
from .mirroring import CONTROLLER as MIRRORING
from .mirroring import mirrored
from .slice_documents import HEADLESS, MANAGED_BY, RESERVED, SERVICE_NAME, chunks, owner, slice_document
from .target_port import find_port
from .topology_hints import ZONE, add_hints, asks_for_hints, counted, cpu_ratios

__all__ = ["CONTROLLER", "EndpointChanges", "address_types", "desired", "selects", "slices"]

Document = dict[str, Any]

CONTROLLER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")


@dataclass(frozen=True, slots=True)
class EndpointChanges:
    """What the controllers change: documents to write, keys ("ns/name") of slices to delete, and what they could not know."""

    write: tuple[Document, ...] = ()
    delete: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def selects(service: Service, pod: Pod) -> bool:
    """A Service selects pods of its own namespace that carry all its pairs; without a selector it selects none."""
    selector = service.spec.selector
    return bool(selector) and pod.namespace == service.namespace and selector.items() <= pod.labels.items()


def address_types(service: Service) -> tuple[str, ...]:
    """ "IPv4", "IPv6" or both: for each a Service has slices of its own."""
    if service.spec.ip_families:
        return tuple(f for f in ("IPv4", "IPv6") if f in service.spec.ip_families)
    if service.spec.cluster_ip not in ("", "None"):
        return ("IPv6",) if ":" in service.spec.cluster_ip else ("IPv4",)
    return ("IPv4", "IPv6")


def labels_of(service: Service, controller: str = CONTROLLER) -> dict[str, str]:
    labels = {k: v for k, v in sorted(service.labels.items()) if k not in RESERVED}
    if service.spec.cluster_ip in ("", "None"):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: service.name, MANAGED_BY: controller}


def is_candidate(pod: Pod) -> bool:
    """Pods that have an address and have not run to their end; terminating ones stay until they are gone."""
    return not pod.terminated and bool(pod.ips)


def _addresses(pod: Pod, address_type: str) -> list[str]:
    wanted = 6 if address_type == "IPv6" else 4
    return [str(ip) for a in pod.ips if (ip := ip_address(a)).version == wanted]


def _endpoint(service: Service, pod: Pod, addresses: list[str], zone: str) -> Document:
    serving, terminating = pod.ready, pod.metadata.deletion_timestamp is not None
    reference = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name}
    if pod.metadata.uid:
        reference["uid"] = pod.metadata.uid
    endpoint: Document = {
        "addresses": addresses,
        "conditions": {
            "ready": service.spec.publish_not_ready_addresses or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": reference,
    }
    if pod.spec.hostname and pod.spec.subdomain == service.name:
        endpoint["hostname"] = pod.spec.hostname
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
    if zone:
        endpoint["zone"] = zone
    distribution = service.spec.traffic_distribution
    if distribution in CLOSE and endpoint["conditions"]["ready"] and not asks_for_hints(service.metadata.annotations):
        hints: Document = {}
        if zone:
            hints["forZones"] = [{"name": zone}]
        if distribution == "PreferSameNode" and pod.spec.node_name:
            hints["forNodes"] = [{"name": pod.spec.node_name}]
        if hints:
            endpoint["hints"] = hints
    return endpoint


def _ports(service: Service, pod: Pod) -> tuple[tuple[tuple[str, Any], ...], ...]:
    """The ports as this pod resolves them; one whose named target the pod lacks is left out."""
    found = []
    for port in service.spec.ports:
        number = find_port(pod, port)
        if number is not None:
            entry: list[tuple[str, Any]] = [("name", port.name), ("port", number), ("protocol", port.protocol)]
            if port.app_protocol is not None:
                entry.append(("appProtocol", port.app_protocol))
            found.append(tuple(entry))
    return tuple(found)


def desired(
    service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node], taken: set[str] | None = None, max_endpoints: int = MAX_ENDPOINTS,
    existing: Mapping[str, EndpointSlice] | None = None,
) -> list[Document]:  # fmt: skip
    """The slices of one Service that has a selector. `pods` are those of its namespace, in order; `existing` its slices so far, by key.

    Pods whose node is not known are left out unless the Service publishes unready addresses; where no node is
    known at all, nothing is left out for that reason.
    """
    taken = set() if taken is None else taken
    members = [p for p in pods if selects(service, p) and is_candidate(p)]
    labels, owners = labels_of(service), owner("Service", service.name, service.metadata.uid)
    documents: list[Document] = []
    for address_type in address_types(service):
        groups: dict[tuple[tuple[tuple[str, Any], ...], ...], list[Document]] = {}
        for pod in members:
            node = nodes.get(pod.spec.node_name)
            if nodes and node is None and not service.spec.publish_not_ready_addresses:
                continue
            if addresses := _addresses(pod, address_type):
                zone = node.labels.get(ZONE, "") if node else ""
                groups.setdefault(_ports(service, pod), []).append(_endpoint(service, pod, addresses, zone))
        order = sorted(groups.items(), key=lambda g: [[v for _, v in port[:3]] for port in g[0]])
        first = len(documents)
        # a Service that selects nothing still has one slice, an empty one
        for ports, endpoints in order or [((), [])]:
            for i, part in enumerate(list(chunks(endpoints, max_endpoints)) or [[]]):
                what = f"{service.key}|{address_type}|{ports!r}|{i}"
                listed = [dict(p) for p in ports]
                prefix = f"{service.name}-"
                documents.append(slice_document(service.namespace, prefix, what, labels, owners, address_type, part, listed, taken))
        if asks_for_hints(service.metadata.annotations):
            _share(documents[first:], existing or {}, nodes)
    return documents


def _share(documents: Collection[Document], existing: Mapping[str, EndpointSlice], nodes: Mapping[str, Node]) -> None:
    """Hints for the endpoints of one address type; slices in which nothing else changes hand in the hints that they have."""
    changed: list[Document] = []
    unchanged: list[list[Document]] = []
    for document in documents:
        old = existing.get(f"{document['metadata']['namespace']}/{document['metadata']['name']}")
        if old is None or not _same(document, _without_hints(old)):
            changed += document["endpoints"]
            continue
        for endpoint, was in zip(document["endpoints"], old.endpoints, strict=True):
            if was.hints is not None:
                lists = {"forZones": was.hints.for_zones, "forNodes": was.hints.for_nodes}
                endpoint["hints"] = {k: [{"name": h.name} for h in hints] for k, hints in lists.items() if hints}
        unchanged.append(document["endpoints"])
    ratios = cpu_ratios(nodes.values())
    add_hints(changed, ratios, unchanged)
    # a zone may have ended up below its least number: the controller's next round finds that, and shares anew what does not fit
    add_hints([], ratios, [d["endpoints"] for d in documents])


def _without_hints(slice_: EndpointSlice) -> EndpointSlice:
    return msgspec.structs.replace(slice_, endpoints=[msgspec.structs.replace(e, hints=None) for e in slice_.endpoints])


def _same(document: Document, existing: EndpointSlice) -> bool:
    new = msgspec.convert(document, EndpointSlice)
    if new.labels.get(MANAGED_BY) == MIRRORING and new.metadata.annotations != existing.metadata.annotations:
        return False
    return (new.address_type, new.endpoints, new.ports, new.labels) == (
        existing.address_type,
        existing.endpoints,
        existing.ports,
        existing.labels,
    )


def slices(snapshot: Snapshot, observed: Collection[str] = (), max_endpoints: int = MAX_ENDPOINTS) -> EndpointChanges:
    """What the EndpointSlice and the mirroring controller change, so that every Service has its slices.

    `observed`: keys of slices that a real cluster's controller made. A Service that has one keeps what it has: they are
    used as they are. Slices of other writers are never touched. Applied to its own result it changes nothing.
    """
    existing = {s.key: s for s in snapshot.list(EndpointSlice)}
    settled = {(s.namespace, s.service) for key, s in existing.items() if key in observed}
    managed = {k for k, s in existing.items() if s.labels.get(MANAGED_BY) in (CONTROLLER, MIRRORING) and k not in observed}
    before = {k: existing[k] for k in managed}
    nodes = {n.name: n for n in snapshot.list(Node)}
    wanted: list[Document] = []
    notes: list[str] = []
    taken: dict[str, set[str]] = {}
    for key, other in existing.items():
        if key not in managed:
            taken.setdefault(other.namespace, set()).add(other.name)
    pods: dict[str, tuple[Pod, ...]] = {}
    for service in snapshot.list(Service):
        if not service.spec.selector or service.spec.type == "ExternalName" or (service.namespace, service.name) in settled:
            continue
        namespace = service.namespace
        if namespace not in pods:
            pods[namespace] = snapshot.list(Pod, namespace)
        wanted += desired(service, pods[namespace], nodes, taken.setdefault(namespace, set()), max_endpoints, before)
        if note := _unknown_hints(service, nodes):
            notes.append(note)
    wanted += mirrored(snapshot, settled, taken)

    names = {f"{d['metadata']['namespace']}/{d['metadata']['name']}" for d in wanted}
    write = []
    for document in wanted:
        old = existing.get(f"{document['metadata']['namespace']}/{document['metadata']['name']}")
        if old is None or not _same(document, old):
            write.append(document)
    gone = sorted(
        k for k in managed - names if not _left_alone(snapshot, existing[k]) and (existing[k].namespace, existing[k].service) not in settled
    )
    return EndpointChanges(tuple(write), tuple(gone), tuple(notes))


def _left_alone(snapshot: Snapshot, slice_: EndpointSlice) -> bool:
    """The controller looks at no Service without a selector, nor at ExternalName: slices from before stay behind."""
    service = snapshot.get(Service, slice_.service, slice_.namespace)
    if service is None or slice_.labels.get(MANAGED_BY) != CONTROLLER:
        return False
    return not service.spec.selector or service.spec.type == "ExternalName"


def _unknown_hints(service: Service, nodes: Mapping[str, Node]) -> str:
    """Hints of this kind share the endpoints between zones by their nodes' CPUs, which every real node has."""
    among = counted(nodes.values())
    zones = {n.labels.get(ZONE, "") for n in among}
    if asks_for_hints(service.metadata.annotations) and len(zones) > 1 and all(zones) and not all(n.status.allocatable for n in among):
        return f"Service {service.key}: its endpoints get no hints, for a node has no status.allocatable.cpu to share them by"
    return ""
