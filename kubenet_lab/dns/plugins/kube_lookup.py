"""From a qname to what the cluster holds under it: services, endpoints, pods, reverse names.

Returns `Item`s (CoreDNS's msg.Service) or raises `NameError_` for what becomes NXDOMAIN; an empty list is NODATA.
Source: coredns plugin/kubernetes/kubernetes.go (Services, Records, findServices, findPods), parse.go, reverse.go, ns.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..message import Query
from ..names import fqdn, is_reverse, labels, parse_ip, reverse_address, trim_zone
from .base import Env
from .kube_index import KubeIndex, KubeService, Port, Slice

__all__ = ["Item", "Lookup", "NoSuchName", "Request", "parse_request"]

SCHEMA_VERSION = "1.1.0"  # of the DNS-based service discovery specification
NS_PREFIX = "ns.dns."


class NoSuchName(Exception):
    """The name does not exist: NXDOMAIN, or the next plugin's if the name falls through."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing found: `host` is an address or a name, `owner` the name that SRV targets and NS records give it."""

    host: str
    ttl: int
    owner: str = ""
    port: int = 0
    text: str = ""

    @property
    def type(self) -> str:
        """ "A", "AAAA", "TXT", or "CNAME" for a host that is a name."""
        if (ip := parse_ip(self.host)) is None:
            return "TXT" if self.text else "CNAME"
        return "AAAA" if ":" in ip else "A"


@dataclass(frozen=True, slots=True)
class Request:
    """A qname taken apart: `_port._protocol.service.namespace.svc`, `endpoint.service.namespace.svc`, `a-b-c-d.namespace.pod`."""

    port: str = ""
    protocol: str = ""
    endpoint: str = ""
    cluster: str = ""
    service: str = ""
    namespace: str = ""
    kind: str = ""  # "svc", "pod", or "" at the apex and at the bare `svc` and `pod`

    def __str__(self) -> str:
        return ".".join((self.port, self.protocol, self.endpoint, self.cluster, self.service, self.namespace, self.kind))


def parse_request(name: str, zone: str, multicluster: bool = False) -> Request:
    """The grammar left of the zone, read from the right. The underscores of port and protocol are optional. Raises NoSuchName."""
    base = trim_zone(name, zone)
    if base in ("", "svc", "pod"):
        return Request()
    *rest, kind = base.split(".") if "\\" not in base else labels(base)
    if kind not in ("svc", "pod"):
        raise NoSuchName("kind")
    namespace = rest.pop() if rest else ""
    service = rest.pop() if rest else ""
    if not rest:
        return Request(kind=kind, namespace=namespace, service=service)
    if len(rest) == 1:
        return Request(kind=kind, namespace=namespace, service=service, endpoint=rest[0])
    if len(rest) == 2:
        left, right = rest
        if multicluster and not left.startswith("_") and not right.startswith("_"):
            return Request(kind=kind, namespace=namespace, service=service, endpoint=left, cluster=right)
        return Request(kind=kind, namespace=namespace, service=service, port=left.removeprefix("_"), protocol=right.removeprefix("_"))
    raise NoSuchName("too long")


def _same(a: str, b: str) -> bool:
    return a.lower() == b.lower()


@dataclass(slots=True)
class Lookup:
    """The lookups of one query in one zone. `zone` keeps the case of the query."""

    index: KubeIndex
    env: Env
    zone: str
    primary_zone: str
    ttl: int
    pods: str  # "disabled", "insecure", "verified"
    namespaces: Collection[str]  # if any, only these exist
    pod_names: bool = False
    ignore_empty: bool = False
    local_ips: tuple[str, ...] = ()
    quiet: bool = field(default=False)

    # --- services ------------------------------------------------------------------------------------------------
    def services(self, query: Query) -> list[Item]:
        """What a query of any type but PTR finds. Raises NoSuchName."""
        name = query.name
        if query.type == "TXT":
            if _same(trim_zone(name, self.zone), "dns-version"):
                return [Item("", 28800, fqdn(query.question.name), text=SCHEMA_VERSION)]
            try:
                if self.records(name):
                    return []
            except NoSuchName:
                pass
            raise NoSuchName("TXT")
        if query.type == "NS":
            return [Item(ip, self.ttl, owner) for owner, ip in self.name_servers()]
        if name.startswith(NS_PREFIX) and name.find(self.zone) == len(NS_PREFIX):
            found = [Item(ip, self.ttl, query.question.name) for _, ip in self.name_servers()]
            return [i for i in found if i.type == query.type]
        found = self.records(name)
        # an SRV for an ExternalName is not made
        return [i for i in found if i.type != "CNAME"] if query.type == "SRV" else found

    def records(self, name: str) -> list[Item]:
        request = self._parsed(name)
        if not request.kind:
            return []
        if is_reverse(name):
            self._no("dns.nxdomain_reverse_zone", name=name, zone=self.zone)
        if not self.exposed(request.namespace):
            hidden = request.namespace in self.index.namespaces
            self._no("dns.namespace_hidden" if hidden else "dns.nxdomain_namespace", name=name, namespace=request.namespace)
        return self._pods(request, name) if request.kind == "pod" else self._services(request, name)

    def _parsed(self, name: str) -> Request:
        try:
            return parse_request(name, self.zone)
        except NoSuchName as why:
            code = "dns.nxdomain_kind" if str(why) == "kind" else "dns.nxdomain_too_long"
            if is_reverse(name):
                code = "dns.nxdomain_reverse_zone"
            left = labels(trim_zone(name, self.zone))
            self._no(code, name=name, label=left[-1] if left else "", zone=self.zone)

    def exposed(self, namespace: str) -> bool:
        """The namespace exists and the Corefile's `namespaces`, if any, lists it."""
        return namespace in self.index.namespaces and (not self.namespaces or namespace in self.namespaces)

    def _services(self, r: Request, name: str) -> list[Item]:
        if not r.service:
            return []  # the namespace's own node exists and is empty
        service = self.index.services.get((r.namespace, r.service))
        if service is None:
            index = self.index
            pod = index.pod_names.get((r.namespace, r.service))
            self._no(
                "dns.nxdomain_pod_name" if pod is not None else "dns.nxdomain_service", name=name, service=r.service, namespace=r.namespace,
                near=lambda: index.near(r.namespace, r.service), ip=pod.status.pod_ip if pod else "", zone=self.zone,
            )  # fmt: skip
        slices = self.index.slices.get((service.namespace, service.name), [])
        facts: dict[str, Any] = {"name": name, "service": service.name, "namespace": service.namespace}
        if self.ignore_empty and service.type != "ExternalName" and not service.headless and not any(s.addresses for s in slices):
            self._no("dns.nxdomain_empty_service", service.origin, **facts)
        owner = f"{service.name}.{service.namespace}.svc.{self.zone}"
        if service.type == "ExternalName":
            return self._external(service, r, facts, owner)
        if service.headless or r.endpoint:
            return self._endpoints(service, slices, r, facts, owner)
        matching = [p for p in service.ports if _port_matches(r, p.name, p.protocol)]
        if not matching:
            self._no("dns.nxdomain_port", service.origin, **facts, port=r.port, protocol=r.protocol, ports=_port_names(service.ports))
        ready = sum(len(s.addresses) for s in slices)
        self._found("dns.service_found", service.origin, **facts, addresses=service.cluster_ips, ready=ready)
        return [Item(ip, self.ttl, owner, p.port) for p in matching for ip in service.cluster_ips]

    def _external(self, service: KubeService, r: Request, facts: dict[str, Any], owner: str) -> list[Item]:
        if r.endpoint or r.port or r.protocol:
            self._no("dns.nxdomain_below_external", service.origin, **facts)
        if parse_ip(service.external_name) is not None:
            self._no("dns.nxdomain_external_ip", service.origin, **facts, target=service.external_name)
        self._found("dns.external_name", service.origin, **facts, target=service.external_name)
        return [Item(service.external_name, self.ttl, owner)]

    def _endpoints(self, service: KubeService, slices: list[Slice], r: Request, facts: dict[str, Any], owner: str) -> list[Item]:
        found, seen = [], []
        for s in slices:
            for a in s.addresses:
                label = a.label(self.pod_names)
                seen.append(label)
                if r.endpoint and not _same(r.endpoint, label):
                    continue
                for p in s.ports:
                    if _port_matches(r, p.name, p.protocol):
                        found.append(Item(a.ip, self.ttl, f"{label}.{owner}", p.port))
        if found:
            code = "dns.endpoint_found" if r.endpoint else "dns.headless"
            self._found(code, service.origin, **facts, addresses=tuple(dict.fromkeys(i.host for i in found)), endpoint=r.endpoint)
            return found
        if r.endpoint and seen:
            is_pod = (r.namespace, r.endpoint) in self.index.pod_names
            self._no(
                "dns.nxdomain_endpoint", service.origin, **facts, endpoint=r.endpoint, endpoints=tuple(dict.fromkeys(seen)), is_pod=is_pod
            )
        elif seen:
            ports = _port_names([p for s in slices for p in s.ports])
            self._no("dns.nxdomain_port", service.origin, **facts, port=r.port, protocol=r.protocol, ports=ports)
        self._no("dns.nxdomain_no_endpoints", service.origin, **facts, not_ready=sum(s.not_ready for s in slices))

    # --- pods ----------------------------------------------------------------------------------------------------
    def _pods(self, r: Request, name: str) -> list[Item]:
        facts: dict[str, Any] = {"name": name, "label": r.service, "namespace": r.namespace}
        if self.pods == "disabled":
            self._no("dns.pod_disabled", **facts)
        if not r.service:
            return []
        v4 = r.service.count("-") == 3 and "--" not in r.service
        text = r.service.replace("-", "." if v4 else ":")
        ip = parse_ip(text)
        holder = self.index.pod_names.get((r.namespace, r.service))
        if self.pods == "insecure":
            if ip is None:
                self._no("dns.nxdomain_pod_label", **facts, is_pod=holder is not None, ip=holder.status.pod_ip if holder else "")
            held = any(p.namespace == r.namespace for p in self.index.pods_by_ip.get(ip, ()))
            self._found("dns.pod_insecure", **facts, ip=ip, held=held)
            return [Item(ip, self.ttl, f"{r.service}.{r.namespace}.pod.{self.zone}")]
        owners = [p for p in self.index.pods_by_ip.get(text, ()) if p.namespace == r.namespace]
        if not owners:
            self._no("dns.pod_not_verified", **facts, ip=ip or "", is_pod=holder is not None)
        self._found("dns.pod_verified", f"Pod {owners[0].key}", **facts, ip=ip, pod=owners[0].name)
        return [Item(text, self.ttl, f"{r.service}.{r.namespace}.pod.{self.zone}") for _ in owners]

    # --- the other way round -------------------------------------------------------------------------------------
    def reverse(self, query: Query) -> list[Item]:
        """What a PTR query finds: the Service with that clusterIP, else one name per Service that has it as an endpoint."""
        ip = reverse_address(query.name)
        if ip is None:
            self.records(query.name)
            return []
        for s in self.index.services_by_ip.get(ip, ()):
            if self.namespaces and not self.exposed(s.namespace):
                continue
            self._found("dns.reverse_service", s.origin, name=query.name, ip=ip, service=s.name, namespace=s.namespace)
            return [Item(f"{s.name}.{s.namespace}.svc.{self.primary_zone}", self.ttl)]
        found = []
        for e in self.index.slices_by_ip.get(ip, ()):
            if self.namespaces and not self.exposed(e.namespace):
                continue
            target = f"{e.service}.{e.namespace}.svc.{self.primary_zone}"
            found += [Item(f"{a.label(self.pod_names)}.{target}", self.ttl) for a in e.addresses if a.ip == ip]
        if not found:
            self._no("dns.nxdomain_reverse", name=query.name, ip=ip)
        self._found("dns.reverse_endpoint", name=query.name, ip=ip, targets=tuple(dict.fromkeys(i.host for i in found)))
        return found

    def name_servers(self) -> list[tuple[str, str]]:
        """(name, address) of this CoreDNS: its Services' if it finds itself as an endpoint, else `ns.dns.ZONE` and its own addresses."""
        out, found = [], False
        for local in self.local_ips:
            for e in self.index.slices_by_ip.get(local, ()):
                found = True
                s = self.index.services.get((e.namespace, e.service))
                if s is None:
                    continue
                owner = f"{s.name}.{s.namespace}.svc.{self.zone}"
                if s.headless:
                    out += [(f"{a.label(self.pod_names)}.{owner}", a.ip) for a in e.addresses]
                else:
                    out += [(owner, ip) for ip in s.cluster_ips]
        return out if found else [(f"{NS_PREFIX}{self.zone}", ip) for ip in self.local_ips]

    # --- telling -------------------------------------------------------------------------------------------------
    def _found(self, code: str, origin: str = "", /, **params: Any) -> None:
        if not self.quiet:
            self.env.step(code, origin, **params)

    def _no(self, code: str, origin: str = "", /, **params: Any) -> NoReturn:
        if not self.quiet:
            self.env.step(code, origin, **params)
        raise NoSuchName(code)


def _port_names(ports: Iterable[Port]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{p.name or '(no name)'}/{p.protocol}" for p in ports if p.port != -1))


def _port_matches(r: Request, port: str, protocol: str) -> bool:
    return (not r.port or _same(r.port, port)) and (not r.protocol or _same(r.protocol, protocol))
