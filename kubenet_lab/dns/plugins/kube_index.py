"""What CoreDNS keeps of the API: Services, EndpointSlices and Pods by the keys that its lookups use.

Only what is ready is kept, as the informers' transforms do. Source: coredns plugin/kubernetes/controller.go,
object/endpoint.go, object/service.go, object/pod.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import TypeVar

from ...objects.selectors import matches_text
from ...objects.snapshot import Snapshot
from ...objects.views import EndpointSlice, Namespace, Object, Pod, Service
from ..names import parse_ip

__all__ = ["Address", "KubeIndex", "KubeService", "Port", "Slice", "index_of"]

Kept = TypeVar("Kept", bound=Object)

#: namespaces that the API server makes itself
ALWAYS = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service or slice; `port` -1 stands for "no port given" and never makes an SRV record."""

    port: int
    name: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """One ready address of a slice. `pod` is the targetRef's name if it is short enough for a label."""

    ip: str
    hostname: str = ""
    pod: str = ""

    def label(self, pod_names: bool) -> str:
        """The endpoint's own label in names: its hostname, with `endpoint_pod_names` its pod, else its address with dashes."""
        if self.hostname:
            return self.hostname
        if pod_names and self.pod:
            return self.pod
        dashed = self.ip.replace(".", "-") if "." in self.ip else self.ip.replace(":", "-")
        return dashed + "0" if dashed.endswith("-") else dashed


@dataclass(frozen=True, slots=True)
class Slice:
    name: str
    namespace: str
    service: str
    addresses: tuple[Address, ...]
    ports: tuple[Port, ...]
    not_ready: int = 0  # how many addresses were left out


@dataclass(frozen=True, slots=True)
class KubeService:
    name: str
    namespace: str
    type: str
    cluster_ips: tuple[str, ...]
    external_name: str
    ports: tuple[Port, ...]

    @property
    def headless(self) -> bool:
        return self.cluster_ips[:1] == ("None",)

    @property
    def origin(self) -> str:
        return f"Service {self.namespace}/{self.name}"


@dataclass(slots=True)
class KubeIndex:
    """Lookups by name and by address; built once per snapshot."""

    services: dict[tuple[str, str], KubeService] = field(default_factory=dict)  # (namespace, name)
    slices: dict[tuple[str, str], list[Slice]] = field(default_factory=dict)  # (namespace, service)
    slices_by_ip: dict[str, list[Slice]] = field(default_factory=dict)
    services_by_ip: dict[str, list[KubeService]] = field(default_factory=dict)
    pods_by_ip: dict[str, list[Pod]] = field(default_factory=dict)
    pod_names: dict[tuple[str, str], Pod] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)
    modified: int = 0  # unix time of the newest Service or slice

    def near(self, namespace: str, name: str) -> tuple[str, ...]:
        """Services with a name like this one: in its namespace, and of the same name elsewhere."""
        here = [s for ns, s in self.services if ns == namespace]
        found = [f"{n}.{namespace}" for n in get_close_matches(name, here, n=2, cutoff=0.6)]
        found += [f"{s}.{ns}" for ns, s in self.services if s == name and ns != namespace]
        return tuple(found[:3])


def _unix(stamp: str | None) -> int:
    if not stamp:
        return 0
    try:
        return int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return 0


def _service(s: Service) -> KubeService:
    spec = s.spec
    ips = tuple(spec.cluster_ips) or ((spec.cluster_ip,) if spec.cluster_ip else ())
    ports = tuple(Port(p.port, p.name, p.protocol) for p in spec.ports) or (Port(-1),)
    return KubeService(s.name, s.namespace, spec.type, ips, spec.external_name, ports)


def _slice(e: EndpointSlice) -> Slice:
    ports = tuple(Port(-1 if p.port is None else p.port, p.name, p.protocol) for p in e.ports) or (Port(-1),)
    addresses, left_out = [], 0
    for end in e.endpoints:
        if end.conditions.ready is False:  # absent means ready
            left_out += len(end.addresses)
            continue
        pod = end.target_ref.name if end.target_ref and len(end.target_ref.name) < 64 else ""
        addresses += [Address(parse_ip(a) or a, end.hostname, pod) for a in end.addresses]
    return Slice(e.name, e.namespace, e.service, tuple(addresses), ports, left_out)


def _build(snapshot: Snapshot, selector: str, namespace_selector: str, endpoints: bool) -> KubeIndex:
    index = KubeIndex()

    def chosen(objects: Iterable[Kept]) -> Iterable[Kept]:
        return (o for o in objects if not selector or matches_text(selector, o.labels))

    declared = {n.name for n in snapshot.list(Namespace)}
    lived_in = {o.namespace for kind in (Service, EndpointSlice, Pod) for o in snapshot.list(kind)}
    index.namespaces = {*ALWAYS, *declared, *lived_in} - {""}
    if namespace_selector:
        index.namespaces = {n for n in index.namespaces if matches_text(namespace_selector, snapshot.namespace_labels(n))}
    for s in chosen(snapshot.list(Service)):
        service = _service(s)
        index.services[s.namespace, s.name] = service
        index.modified = max(index.modified, _unix(s.metadata.creation_timestamp))
        for ip in service.cluster_ips:
            if canonical := parse_ip(ip):
                index.services_by_ip.setdefault(canonical, []).append(service)
    for e in chosen(snapshot.list(EndpointSlice) if endpoints else ()):
        if e.address_type == "FQDN":
            continue
        made = _slice(e)
        index.slices.setdefault((e.namespace, made.service), []).append(made)
        index.modified = max(index.modified, _unix(e.metadata.creation_timestamp))
        for ip in dict.fromkeys(a.ip for a in made.addresses):
            index.slices_by_ip.setdefault(ip, []).append(made)
    for p in chosen(snapshot.list(Pod)):
        index.pod_names[p.namespace, p.name] = p
        if p.status.phase in ("Succeeded", "Failed", "Unknown") or p.metadata.deletion_timestamp:
            continue
        if p.status.pod_ip:  # the primary address only
            index.pods_by_ip.setdefault(parse_ip(p.status.pod_ip) or p.status.pod_ip, []).append(p)
    return index


_kept: dict[tuple[int, str, str, bool], tuple[Snapshot, KubeIndex]] = {}


def index_of(snapshot: Snapshot, selector: str = "", namespace_selector: str = "", endpoints: bool = True) -> KubeIndex:
    """The index of a snapshot; the last few are kept, since a snapshot never changes."""
    key = (id(snapshot), selector, namespace_selector, endpoints)
    if key in _kept and _kept[key][0] is snapshot:
        return _kept[key][1]
    while len(_kept) >= 8:
        del _kept[next(iter(_kept))]
    index = _build(snapshot, selector, namespace_selector, endpoints)
    _kept[key] = (snapshot, index)
    return index
