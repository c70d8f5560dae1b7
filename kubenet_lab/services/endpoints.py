"""The EndpointSlice controllers: which addresses stand behind a Service, as EndpointSlice documents.

For Services with a selector, from the pods; for Services without one, from Endpoints objects (mirroring.py).
Source: Kubernetes 1.34, pkg/controller/endpointslice/endpointslice_controller.go (syncService), staging/src/k8s.io/endpointslice/utils.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, Node, Pod, Service
from .mirroring import CONTROLLER as MIRRORING
from .mirroring import mirrored
from .pod_endpoints import groups
from .slice_documents import HEADLESS, MANAGED_BY, RESERVED, SERVICE_NAME, TRIGGER_TIME, generated_name, owner, slice_document
from .slice_hints import give_hints, settle_hints
from .slice_ports import as_documents
from .slice_reconciler import Draft, SlicePlan, owned, reconcile
from .topology_hints import ZONE, asks_for_hints, counted

__all__ = ["CONTROLLER", "EndpointChanges", "address_types", "selects", "slices"]

Document = dict[str, Any]

CONTROLLER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100


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


def labels_of(service: Service) -> dict[str, str]:
    labels = {k: v for k, v in sorted(service.labels.items()) if k not in RESERVED}
    if service.spec.cluster_ip in ("", "None"):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: service.name, MANAGED_BY: CONTROLLER}


class _Namespace:
    """What the controller looks up in a namespace: pods by label, names of slices that are taken."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self.taken: set[str] = set()
        self._by_pair: defaultdict[tuple[str, str], list[Pod]] = defaultdict(list)
        for pod in pods:
            for pair in pod.labels.items():
                self._by_pair[pair].append(pod)

    def selected(self, service: Service) -> list[Pod]:
        """The pods that a Service selects, by name."""
        pairs = service.spec.selector.items()
        fewest = min((self._by_pair.get(pair, []) for pair in pairs), key=len, default=[])
        return [p for p in fewest if pairs <= p.labels.items()]


def slices(snapshot: Snapshot, observed: Collection[str] = (), max_endpoints: int = MAX_ENDPOINTS) -> EndpointChanges:
    """What the EndpointSlice and the mirroring controller change, so that every Service has its slices.

    The slices that there are stay as far as they can: see slice_reconciler.py. `observed`: keys of slices that a real cluster's controller
    made. A Service that has one keeps what it has: they are used as they are. Slices of other writers are never touched. Applied to its own
    result it changes nothing. `max_endpoints`: the most of one slice.
    """
    existing = snapshot.list(EndpointSlice)
    settled = {(s.namespace, s.service) for s in existing if s.key in observed}
    nodes = {n.name: n for n in snapshot.list(Node)}
    pods: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in snapshot.list(Pod):
        pods[pod.namespace].append(pod)
    namespaces: dict[str, _Namespace] = {}
    mine: defaultdict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    copied: defaultdict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    for namespace in {s.namespace for s in (*existing, *snapshot.list(Service))}:
        namespaces[namespace] = _Namespace(pods[namespace])
    for slice_ in existing:
        namespaces[slice_.namespace].taken.add(slice_.name)
        if (slice_.namespace, slice_.service) not in settled:
            by = {CONTROLLER: mine, MIRRORING: copied}.get(slice_.labels.get(MANAGED_BY, ""))
            if by is not None:
                by[slice_.namespace, slice_.service].append(slice_)
    write: list[Document] = []
    gone: list[EndpointSlice] = []
    notes: list[str] = []
    for service in snapshot.list(Service):
        had = mine.pop((service.namespace, service.name), [])
        # the controller looks at no Service without a selector, nor at ExternalName: slices from before stay behind
        if not service.spec.selector or service.spec.type == "ExternalName" or (service.namespace, service.name) in settled:
            continue
        place = namespaces[service.namespace]
        written, deleted = _changes(snapshot, service, place.selected(service), nodes, had, place.taken, max_endpoints)
        write += written
        gone += deleted
        if note := _unknown_hints(service, nodes):
            notes.append(note)
    for orphans in mine.values():  # their Service is gone: the garbage collector's
        gone += [s for s in orphans if s.metadata.owner_references]
    written, deleted = mirrored(snapshot, settled, copied, {name: n.taken for name, n in namespaces.items()})
    return EndpointChanges((*write, *written), tuple(sorted(s.key for s in (*gone, *deleted))), tuple(notes))


def _changes(
    snapshot: Snapshot, service: Service, pods: Sequence[Pod], nodes: Mapping[str, Node], had: Sequence[EndpointSlice], taken: set[str],
    size: int,
) -> tuple[list[Document], list[EndpointSlice]]:  # fmt: skip
    """Documents to write and slices to delete for one Service with a selector, whose slices are `had`."""

    def stored(slice_: EndpointSlice) -> Document:
        found = snapshot.document("EndpointSlice", slice_.name, slice_.namespace)
        return found if found is not None else msgspec.to_builtins(slice_)

    write: list[Document] = []
    families, labels = address_types(service), labels_of(service)
    owners, prefix = owner("Service", service.name, service.metadata.uid), f"{service.name}-"
    gone = [s for s in had if s.address_type not in families]
    for address_type in families:
        plan = SlicePlan(stored)
        before = [s for s in had if s.address_type == address_type]
        reconcile(plan, service, groups(service, pods, nodes, address_type), before, labels, size)
        give_hints(plan, service, nodes)
        plan.recycle({s.key for s in before if owned(s, service)})
        if service.metadata.deletion_timestamp is not None:
            plan.create.clear()
        for draft in plan.create:
            what = repr(tuple(tuple(p.items()) for p in as_documents(draft.ports)))
            draft.name = generated_name(prefix, f"{service.key}|{address_type}|{what}", taken)
            taken.add(draft.name)
        settle_hints(plan, service, nodes)
        for draft in (*plan.create, *plan.update):
            if draft.changes is not None:
                write.append(_changed(stored(draft.changes), draft, labels))
            else:
                listed = as_documents(draft.ports)
                namespace, endpoints = service.namespace, draft.endpoints
                write.append(slice_document(namespace, draft.name, prefix, labels, owners, address_type, endpoints, listed))
        gone += plan.delete
    return write, gone


def _changed(document: Document, draft: Draft, labels: Mapping[str, str]) -> Document:
    metadata = dict(document["metadata"])
    if draft.relabelled:
        metadata["labels"] = dict(labels)
    if TRIGGER_TIME in (metadata.get("annotations") or {}):  # of a change before this one
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != TRIGGER_TIME}
    return {**document, "metadata": metadata, "endpoints": draft.endpoints}


def _unknown_hints(service: Service, nodes: Mapping[str, Node]) -> str:
    """Hints of this kind share the endpoints between zones by their nodes' CPUs, which every real node has."""
    among = counted(nodes.values())
    zones = {n.labels.get(ZONE, "") for n in among}
    if asks_for_hints(service.metadata.annotations) and len(zones) > 1 and all(zones) and not all(n.status.allocatable for n in among):
        return f"Service {service.key}: its endpoints get no hints, for a node has no status.allocatable.cpu to share them by"
    return ""
