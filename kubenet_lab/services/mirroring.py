"""The EndpointSlice mirroring controller: Endpoints that somebody wrote by hand, as EndpointSlices.

Source: Kubernetes 1.34, pkg/controller/endpointslicemirroring (endpointslicemirroring_controller.go, reconciler.go, utils.go),
pkg/api/v1/endpoints/util.go (RepackSubsets).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointAddress, Endpoints, EndpointSlice, EndpointSubset, Service
from .pod_endpoints import Identity, identity, identity_of, same
from .slice_documents import MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, generated_name, owner, slice_document
from .slice_ports import Port, Ports, as_documents, in_order, ports_of

__all__ = ["CONTROLLER", "mirrored"]

Document = dict[str, Any]

CONTROLLER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = (TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")
MAX_PER_SUBSET = 1000  # the rest is in no slice


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


def mirrored(
    snapshot: Snapshot, settled: Collection[tuple[str, str]], existing: Mapping[tuple[str, str], list[EndpointSlice]],
    taken: Mapping[str, set[str]],
) -> tuple[list[Document], list[EndpointSlice]]:  # fmt: skip
    """Slices to write and to delete, so that all Endpoints objects that are mirrored have theirs.

    `existing`: the mirrored slices so far, by namespace and Service; `settled`: Services whose slices are observed; `taken`: names of
    slices by namespace, which grow.
    """
    write: list[Document] = []
    gone = dict(existing)
    for endpoints in snapshot.list(Endpoints):
        service = snapshot.get(Service, endpoints.name, endpoints.namespace)
        if (endpoints.namespace, endpoints.name) not in settled and is_mirrored(endpoints, service):
            key = (endpoints.namespace, endpoints.name)
            written, gone[key] = _changes(endpoints, existing.get(key, []), taken[endpoints.namespace])
            write += written
    return write, [s for left in gone.values() for s in left]


def _repacked(subsets: Iterable[EndpointSubset]) -> Iterator[tuple[Ports, list[tuple[EndpointAddress, bool]]]]:
    """The subsets in the form that the controller works with: each set of addresses once, with all its ports; ready addresses first.

    An address is ready at a port if every subset that has both says so. Addresses without ports make a set of their own.
    """
    known: dict[tuple[str, str], EndpointAddress] = {}
    by_port: dict[Port | None, dict[tuple[str, str], bool]] = {}
    for subset in subsets:
        listed: list[Port | None] = [(p.name, p.port, p.protocol, p.app_protocol) for p in subset.ports]
        for port in listed or [None]:
            for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False)):
                for address in addresses:
                    key = (address.ip, address.target_ref.uid if address.target_ref else "")
                    known.setdefault(key, address)
                    at = by_port.setdefault(port, {})
                    at[key] = at.get(key, True) and ready
    ports: dict[frozenset[tuple[tuple[str, str], bool]], list[Port]] = {}
    for offer, at in by_port.items():
        ports.setdefault(frozenset(at.items()), []).extend([offer] if offer is not None else [])
    for members, offered in ports.items():
        yield in_order(offered), [(known[key], ready) for key, ready in sorted(members, key=lambda m: (not m[1], m[0]))]


def _groups(endpoints: Endpoints) -> dict[tuple[str, Ports], dict[Identity, Document]]:
    """The endpoints by family and ports."""
    groups: dict[tuple[str, Ports], dict[Identity, Document]] = {}
    for ports, addresses in _repacked(endpoints.subsets):
        for address, ready in addresses[:MAX_PER_SUBSET]:
            family, endpoint = "IPv6" if ":" in address.ip else "IPv4", _endpoint(address, ready)
            groups.setdefault((family, ports), {})[identity_of(endpoint)] = endpoint
    return groups


def _changes(endpoints: Endpoints, existing: list[EndpointSlice], taken: set[str]) -> tuple[list[Document], list[EndpointSlice]]:
    """One slice for each family and list of ports; one that is no longer needed gives its name to one that is made (recycleSlices)."""
    labels = {**dict(sorted(endpoints.labels.items())), SERVICE_NAME: endpoints.name, MANAGED_BY: CONTROLLER}
    notes = {k: v for k, v in endpoints.metadata.annotations.items() if k not in NOT_COPIED}
    by_ports: dict[tuple[str, Ports], list[EndpointSlice]] = {}
    for slice_ in existing:
        by_ports.setdefault((slice_.address_type, ports_of(slice_.ports)), []).append(slice_)
    write: list[Document] = []
    made: list[tuple[str, Ports, dict[Identity, Document]]] = []
    gone: list[EndpointSlice] = []

    def written(name: str, family: str, ports: Ports, members: dict[Identity, Document]) -> None:
        owners = owner("Endpoints", endpoints.name, endpoints.metadata.uid)
        prefix, part = f"{endpoints.name}-", list(members.values())
        write.append(slice_document(endpoints.namespace, name, prefix, labels, owners, family, part, as_documents(ports), notes))

    for (family, ports), members in sorted(_groups(endpoints).items(), key=lambda g: (g[0][0], [str(p) for p in g[0][1]])):
        had = by_ports.pop((family, ports), [])
        gone += had[1:]
        if not had:
            made.append((family, ports, members))
        elif not _mirrors(had[0], members, labels, notes):
            written(had[0].name, family, ports, members)
    for left in by_ports.values():
        gone += left
    for family, ports, members in made:
        old = next((s for s in gone if s.address_type == family), None)
        if old is not None:
            gone.remove(old)
            name = old.name
        else:
            name = generated_name(f"{endpoints.name}-", f"{endpoints.key}|{family}|{ports!r}", taken)
            taken.add(name)
        written(name, family, ports, members)
    return write, gone


def _mirrors(slice_: EndpointSlice, members: Mapping[Identity, Document], labels: Mapping[str, str], notes: Mapping[str, str]) -> bool:
    if (slice_.labels, slice_.metadata.annotations) != (labels, notes) or len(slice_.endpoints) != len(members):
        return False
    found = [(members.get(identity(e)), e) for e in slice_.endpoints]
    return all(wanted is not None and same(wanted, e) for wanted, e in found)
