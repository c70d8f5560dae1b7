"""What a proxy sees of the Services: one `ServicePort` per port and family, with its endpoints merged from the EndpointSlices.

Source: kube-proxy 1.34, pkg/proxy/serviceport.go, endpointslicecache.go, topology.go (CategorizeEndpoints).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from ..objects.snapshot import Snapshot
from ..objects.views import Endpoint, EndpointSlice, Service
from .node import NodeView

__all__ = ["Categories", "ProxyEndpoint", "ServicePort", "categorize", "join", "service_ports", "topology_mode"]

#: Services and EndpointSlices with one of these labels are another proxy's, or nobody's
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
DEFAULT_AFFINITY_SECONDS = 10800


def join(ip: str, port: int) -> str:
    """ "ip:port", with brackets for IPv6."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


@dataclass(frozen=True, slots=True)
class ProxyEndpoint:
    """One endpoint of one Service port. Conditions are resolved: a missing `ready` counts as ready."""

    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    zone_hints: tuple[str, ...] = ()
    node_hints: tuple[str, ...] = ()
    target: str = ""  # "Pod shop/cart-0", if the slice says so

    @property
    def usable_while_terminating(self) -> bool:
        return self.serving and self.terminating

    def __str__(self) -> str:
        return join(self.ip, self.port)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service in one family, as kube-proxy works with it."""

    namespace: str
    name: str
    port_name: str
    protocol: str  # "TCP", "UDP", "SCTP"
    port: int
    cluster_ip: str
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_vips: tuple[str, ...] = ()
    load_balancer_source_ranges: tuple[str, ...] = ()
    affinity_seconds: int | None = None  # None: no session affinity
    external_policy_local: bool = False
    internal_policy_local: bool = False
    health_check_node_port: int = 0
    endpoints: tuple[ProxyEndpoint, ...] = ()
    #: what a health check port counts: of the Service's slices also what is under no port of the Service
    in_slices: tuple[ProxyEndpoint, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def title(self) -> str:
        """ "ns/name:port", or "ns/name" if the port has no name: what kube-proxy writes into comments and hashes."""
        return f"{self.key}:{self.port_name}" if self.port_name else self.key

    @property
    def origin(self) -> str:
        return f"Service {self.key} port {self.port_name or self.port}"

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.load_balancer_vips or self.external_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        # traffic from inside to an external address is short-circuited to all endpoints, whatever the external policy
        return not self.internal_policy_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_policy_local or (self.external_policy_local and self.externally_accessible)


def _of_family(addresses: Sequence[str], family: int) -> tuple[str, ...]:
    return tuple(str(ip_address(a)) for a in addresses if a and (6 if ":" in a else 4) == family)


def _cluster_ip(service: Service, family: int) -> str:
    spec = service.spec
    for ip in spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else []):
        if ip and ip != "None" and (6 if ":" in ip else 4) == family:
            return str(ip_address(ip))
    return ""


def _affinity(service: Service) -> int | None:
    if service.spec.session_affinity != "ClientIP":
        return None
    config = (service.spec.session_affinity_config or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds", DEFAULT_AFFINITY_SECONDS))


def proxied(service: Service) -> bool:
    """Whether kube-proxy makes rules for it at all: not headless, not ExternalName, not another proxy's.

    The two labels keep a Service, like a slice, out of what kube-proxy watches (cmd/kube-proxy/app/server.go).
    """
    spec = service.spec
    return spec.type != "ExternalName" and spec.cluster_ip not in ("", "None") and not {PROXY_NAME, HEADLESS} & service.labels.keys()


def external_policy_local(service: Service) -> bool:
    spec = service.spec
    external = spec.type in ("LoadBalancer", "NodePort") or (spec.type == "ClusterIP" and bool(spec.external_ips))
    return external and spec.external_traffic_policy == "Local"


def _ports(service: Service, family: int) -> list[ServicePort]:
    cluster_ip = _cluster_ip(service, family)
    if not proxied(service) or not cluster_ip:
        return []
    spec = service.spec
    vips = [i.ip for i in service.status.load_balancer.ingress if i.ip and i.ip_mode != "Proxy"]
    texts = [r.strip() for r in spec.load_balancer_source_ranges]  # validation lets blanks around a CIDR pass
    ranges = tuple(str(ip_network(r, strict=False)) for r in texts if (6 if ":" in r else 4) == family)
    if any(r.endswith("/0") for r in ranges):
        ranges = ()  # everybody may: the same as no ranges
    local = external_policy_local(service)
    health = spec.health_check_node_port if spec.type == "LoadBalancer" and local else 0
    return [
        ServicePort(
            namespace=service.namespace,
            name=service.name,
            port_name=port.name,
            protocol=port.protocol,
            port=port.port,
            cluster_ip=cluster_ip,
            node_port=port.node_port,
            external_ips=_of_family(spec.external_ips, family),
            load_balancer_vips=_of_family(vips, family),
            load_balancer_source_ranges=ranges,
            affinity_seconds=_affinity(service),
            external_policy_local=local,
            internal_policy_local=spec.internal_traffic_policy == "Local",
            health_check_node_port=health,
        )
        for port in spec.ports
    ]


def proxy_endpoint(endpoint: Endpoint, port: int) -> ProxyEndpoint:
    c, hints = endpoint.conditions, endpoint.hints
    ref = endpoint.target_ref
    return ProxyEndpoint(
        ip=str(ip_address(endpoint.addresses[0])),  # further addresses of one endpoint are ignored
        port=port,
        ready=c.ready is None or c.ready,
        serving=c.serving is None or c.serving,
        terminating=bool(c.terminating),
        node=endpoint.node_name,
        zone_hints=tuple(h.name for h in hints.for_zones) if hints else (),
        node_hints=tuple(h.name for h in hints.for_nodes) if hints else (),
        target=f"{ref.kind} {ref.namespace}/{ref.name}" if ref and ref.name else "",
    )


def _merged(snapshot: Snapshot, family: int) -> Mapping[tuple[str, str, str, str], dict[str, list[ProxyEndpoint]]]:
    """Per (namespace, service, port name, protocol): the endpoints of that text, in the order of the slices' names."""
    merged: dict[tuple[str, str, str, str], dict[str, list[ProxyEndpoint]]] = {}
    for slice_ in snapshot.list(EndpointSlice):
        if slice_.address_type != f"IPv{family}" or not slice_.service or {PROXY_NAME, HEADLESS} & slice_.labels.keys():
            continue
        for port in slice_.ports:
            if not port.port:
                continue
            found = merged.setdefault((slice_.namespace, slice_.service, port.name, port.protocol), {})
            for endpoint in slice_.endpoints:
                if endpoint.addresses:
                    seen = proxy_endpoint(endpoint, port.port)
                    found.setdefault(str(seen), []).append(seen)
    return merged


def service_ports(snapshot: Snapshot, family: int = 4) -> tuple[ServicePort, ...]:
    """Every Service port that kube-proxy handles in this family, by (namespace, name) and in the Service's own order of ports.

    Endpoints are ordered by their text "ip:port", as kube-proxy orders them. Where two slices list the same
    address and port, the first slice by name counts (kube-proxy lets one on its own node win: see `for_node`).
    """
    merged = _merged(snapshot, family)
    listed = [port for service in snapshot.list(Service) for port in _ports(service, family)]
    counted: dict[tuple[str, str], list[ProxyEndpoint]] = {(p.namespace, p.name): [] for p in listed if p.health_check_node_port}
    for (namespace, name, *_), found in merged.items():
        if (namespace, name) in counted:
            counted[namespace, name] += (e for same in found.values() for e in same)
    ports = []
    for port in listed:
        found = merged.get((port.namespace, port.name, port.port_name, port.protocol), {})
        endpoints = tuple(e for text in sorted(found) for e in found[text])
        if port.health_check_node_port:
            port = replace(port, in_slices=tuple(counted[port.namespace, port.name]))
        ports.append(replace(port, endpoints=endpoints) if endpoints else port)
    return tuple(ports)


def for_node(endpoints: Sequence[ProxyEndpoint], node: str) -> tuple[ProxyEndpoint, ...]:
    """One endpoint per address and port: the first, or the last of those that say they are on this node."""
    chosen: dict[str, ProxyEndpoint] = {}
    for endpoint in endpoints:
        text = str(endpoint)
        if text not in chosen or endpoint.node == node:
            chosen[text] = endpoint
    return tuple(chosen.values())


@dataclass(frozen=True, slots=True)
class Categories:
    """The endpoints that a node uses for one Service port; None where the Service never uses that kind."""

    cluster: tuple[ProxyEndpoint, ...] | None
    local: tuple[ProxyEndpoint, ...] | None
    reachable: tuple[ProxyEndpoint, ...]
    has_any: bool  # anything usable anywhere: decides between REJECT and DROP
    topology: str = ""  # "PreferSameNode", "PreferSameZone" or ""


def topology_mode(endpoints: Sequence[ProxyEndpoint], node: str, zone: str) -> str:
    """What the hints say, not the Service: one ready endpoint without a hint switches the hints off.

    KEP-4444, KEP-3015: node hints are looked at first, then zone hints.
    """
    ready = [e for e in endpoints if e.ready]
    if all(e.node_hints for e in ready) and any(node in e.node_hints for e in ready):
        return "PreferSameNode"
    if all(e.zone_hints for e in ready) and any(zone in e.zone_hints for e in ready):
        return "PreferSameZone"
    return ""


def _available(mode: str, node: str, zone: str) -> Callable[[ProxyEndpoint], bool]:
    if mode == "PreferSameNode":
        return lambda e: node in e.node_hints
    if mode == "PreferSameZone":
        return lambda e: zone in e.zone_hints
    return lambda e: True


def categorize(port: ServicePort, node: NodeView) -> Categories:
    """Which endpoints this node uses for this Service port.

    Ready ones; where there is none, those that are terminating and still serving. Hints narrow only the Cluster list.
    """
    endpoints = for_node(port.endpoints, node.name)
    zone = node.labels.get(ZONE, "")
    cluster: tuple[ProxyEndpoint, ...] | None = None
    local: tuple[ProxyEndpoint, ...] | None = None
    mode, has_any = "", False
    if port.uses_cluster_endpoints:
        mode = topology_mode(endpoints, node.name, zone)
        available = _available(mode, node.name, zone)
        cluster = tuple(e for e in endpoints if e.ready and available(e)) or tuple(e for e in endpoints if e.usable_while_terminating)
        has_any = bool(cluster)
    if not port.uses_local_endpoints:
        return Categories(cluster, None, cluster or (), has_any, mode)

    has_any = has_any or any(e.ready or e.usable_while_terminating for e in endpoints)
    here = [e for e in endpoints if e.node == node.name]
    local = tuple(e for e in here if e.ready)
    fallback = () if local else tuple(e for e in here if e.usable_while_terminating)
    local = local or fallback
    if cluster is None:
        return Categories(None, local, local, has_any)
    if not mode and not fallback:
        return Categories(cluster, local, cluster, has_any)
    union = {str(e): e for e in (*cluster, *local)}
    return Categories(cluster, local, tuple(union[text] for text in sorted(union)), has_any, mode)
