"""The address plan: which networks there are, read off the objects where they show it, else the defaults.

Also the documents that every cluster has and manifests leave out: nodes, and the `kubernetes` Service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..cni.flannel import observed_networks
from ..errors import KubenetError
from ..kernel.address import prefix
from ..objects.snapshot import Snapshot
from ..objects.views import ConfigMap, Endpoints, EndpointSlice, Node, Service
from .names import node_address
from .options import Options
from .segments import (
    FIRST,
    LAN,
    NODE_CIDR,
    NODE_CIDR6,
    NodeSegment,
    covering,
    detected_networks,
    gateways,
    node_addresses,
    node_names,
    place,
)

__all__ = ["ASSUMED", "DETECTED", "OBSERVED", "Assumption", "Plan", "api_server_documents", "kubeadm_value", "node_documents", "plan_for"]

OBSERVED, DETECTED, ASSUMED = "observed", "detected", "assumed"

POD_CIDR, SERVICE_CIDR = "10.244.0.0/16", "10.96.0.0/12"
POD_CIDR6, SERVICE_CIDR6 = "fd00:10:244::/56", "fd00:10:96::/112"


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing the lab had to settle: `how` is observed, detected or assumed, and `why`."""

    what: str
    value: str
    how: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.value} ({self.how}: {self.why})"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every network of the cluster, primary family first in the tuples."""

    segments: tuple[NodeSegment, ...]  # the wires of the node network
    api_server: str
    pod_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    assumptions: tuple[Assumption, ...] = ()
    added_service_cidrs: tuple[str, ...] = ()  # those of service_cidrs that ServiceCIDR objects add

    @property
    def node_cidr(self) -> str:
        """The node network; of several segments the first one's."""
        return self.segments[0].cidrs[0]

    @property
    def node_cidrs(self) -> tuple[str, ...]:
        """The networks of every segment and family."""
        return tuple(c for s in self.segments for c in s.cidrs)

    @property
    def gateway_address(self) -> str:
        """The router's address on the (first) segment."""
        return self.segments[0].gateways[0].split("/")[0]

    def segment_of(self, name: str, addresses: Sequence[str] = ()) -> NodeSegment:
        """Where a node stands: where it was put, else where its address belongs, else on the first segment."""
        put = next((s for s in self.segments if name in s.nodes), None)
        return put or next((s for s in self.segments for a in addresses if s.holds(a)), self.segments[0])

    def cluster_dns(self, taken: Collection[str] = ()) -> str:
        """The address for the DNS Service: the tenth of the first Service network by convention, else the first free one after it."""
        net = ipaddress.ip_network(self.service_cidrs[0])
        address = net.network_address + 10
        while str(address) in taken and address + 1 in net:
            address += 1
        return str(address)


def plan_for(snapshot: Snapshot, options: Options, strict: bool = False) -> Plan:
    """The networks: as asked for, else as the objects show them, else the defaults.

    `strict`: raises NotFound for a node that the underlay's segments name and that is not there.
    """
    notes: list[Assumption] = []
    servers = _api_servers(snapshot)
    taken = {a.address for n in snapshot.list(Node) for a in n.status.addresses}.union(servers)
    segments = tuple(replace(s, gateways=gateways(s.cidrs, taken)) for s in _segments(snapshot, options, notes, strict))
    api = servers[0] if servers else _api_address(segments[0], taken)
    pods = (
        _cidrs(options.pod_cidr) or _of_plugin(options, notes) or _observed_pods(snapshot, notes) or _defaults(options, POD_CIDR, POD_CIDR6)
    )
    if not options.pod_cidr and not any(n.what == "pod network" for n in notes):
        notes.append(Assumption("pod network", ", ".join(pods), ASSUMED, "kubeadm's and flannel's usual range"))
    services = _cidrs(options.service_cidr) or _observed_services(snapshot, notes) or _defaults(options, SERVICE_CIDR, SERVICE_CIDR6)
    if not options.service_cidr and not any(n.what == "Service network" for n in notes):
        notes.append(Assumption("Service network", ", ".join(services), ASSUMED, "kubeadm's default"))
    plan = Plan(segments, api, pods, services, tuple(notes))
    _disjoint(plan.node_cidrs, pods, services)
    return plan


def _api_address(segment: NodeSegment, taken: Collection[str]) -> str:
    """An address for the API server: the node network's tenth, else the first free one after it, else the router's."""
    net = ipaddress.ip_network(segment.cidrs[0])
    router = segment.gateways[0].split("/")[0]
    free = (a for a in net.hosts() if str(a) not in taken and str(a) != router)
    return next((str(a) for a in free if int(a) >= int(net.network_address) + 10), router)


def _of_plugin(options: Options, notes: list[Assumption]) -> tuple[str, ...]:
    """The pod network that an options object names, as kn.Flannel(network=...)."""
    named: tuple[str, ...] = getattr(options.cni, "networks", ())
    if named:
        notes.append(Assumption("pod network", ", ".join(named), DETECTED, "the option cni names it"))
    return _cidrs(named)


def _api_servers(snapshot: Snapshot) -> list[str]:
    """Where Service default/kubernetes leads: addresses that nobody else gets."""
    slices = snapshot.list(EndpointSlice, "default")
    return [a for s in slices if s.service == "kubernetes" for e in s.endpoints for a in e.addresses]


def _defaults(options: Options, v4: str, v6: str) -> tuple[str, ...]:
    return tuple(v4 if f == "IPv4" else v6 for f in options.ip_families)


def _cidrs(text: str | Sequence[str] | None) -> tuple[str, ...]:
    if not text:
        return ()
    parts = text.split(",") if isinstance(text, str) else list(text)
    out = []
    for p in parts:
        try:
            out.append(str(ipaddress.ip_network(p.strip())))
        except ValueError as e:
            raise KubenetError(f"CIDR {p.strip()!r}: {e}") from None
    return tuple(out)


def _segments(snapshot: Snapshot, options: Options, notes: list[Assumption], strict: bool) -> list[NodeSegment]:
    """The wires of the node network, the router's addresses left out."""
    asked = _cidrs(options.node_cidr)
    families = _node_families(snapshot, options, asked)
    if options.underlay.segments:
        if asked:
            raise KubenetError("node_cidr: the underlay's segments have networks of their own; give one or the other")
        found, turns = place(snapshot, options.underlay, families, options.nodes, strict)
        if turns:
            value = ", ".join(f"{n} on {next(s.name for s in found if n in s.nodes)}" for n in turns)
            why = "neither the option underlay nor an address says where; the segments take turns"
            notes.append(Assumption("segments", value, ASSUMED, why))
        return found
    if asked:
        return [NodeSegment(LAN, _both(asked, families, snapshot), ())]
    nodes = snapshot.list(Node)
    primary = [a for n in nodes if (a := node_address(n, families[0]))]
    if not primary:
        cidr = NODE_CIDR6 if families[0] == 6 else NODE_CIDR
        notes.append(Assumption("node network", cidr, ASSUMED, "the objects contain no nodes"))
        return [NodeSegment(LAN, _both((cidr,), families, snapshot), ())]
    apart, why = detected_networks(nodes)
    if len(apart) > 1:
        notes.append(Assumption("node network", ", ".join(apart), DETECTED, f"{why}; a router between them"))
        return _apart(snapshot, apart, families)
    most = 64 if families[0] == 6 else 24
    cidr = apart[0] if apart else covering([f"{a}/{128 if ':' in a else 32}" for a in primary], most)
    why = why or f"the smallest network (at least a /{most}) that holds every node's InternalIP"
    notes.append(Assumption("node network", cidr, DETECTED, f"{why}; all nodes on one wire"))
    return [NodeSegment(LAN, _both((cidr,), families, snapshot), ())]


def _node_families(snapshot: Snapshot, options: Options, asked: Sequence[str]) -> tuple[int, ...]:
    """The families in which nodes have addresses, the primary one first."""
    if asked:
        first = 6 if ":" in asked[0] else 4
    else:
        seen = [a for n in snapshot.list(Node) for f in options.families for a in [node_address(n, f)] if a] or [
            a for n in snapshot.list(Node) for f in (4, 6) for a in [node_address(n, f)] if a
        ]
        if not seen:
            return options.families
        first = 6 if ":" in seen[0] else 4
    other = 10 - first
    nodes = snapshot.list(Node)
    second = other in options.families if not nodes else any(node_address(n, other) for n in nodes)
    return (first, other) if second else (first,)


def _both(cidrs: Sequence[str], families: Sequence[int], snapshot: Snapshot) -> tuple[str, ...]:
    """The network of the wire in every family: as given, else the one that holds the nodes' addresses, else the default."""
    out = list(cidrs[:1])
    for f in families[1:]:
        seen = [a for n in snapshot.list(Node) if (a := node_address(n, f))]
        given = next((c for c in cidrs[1:] if (":" in c) == (f == 6)), "")
        size, bits, default = (64, 128, NODE_CIDR6) if f == 6 else (24, 32, NODE_CIDR)
        out.append(given or (covering([f"{a}/{bits}" for a in seen], size) if seen else default))
    return tuple(out)


def _apart(snapshot: Snapshot, networks: Sequence[str], families: Sequence[int]) -> list[NodeSegment]:
    """One segment for each network in which nodes were seen, with the network of their other family."""
    out = []
    for i, cidr in enumerate(networks):
        here = [n for n in snapshot.list(Node) if node_address(n, families[0]) in prefix(cidr)]
        cidrs = [cidr]
        for f in families[1:]:
            seen = [a for n in here if (a := node_address(n, f))]
            if seen:
                cidrs.append(covering([f"{a}/{128 if f == 6 else 32}" for a in seen], 64 if f == 6 else 24))
        out.append(NodeSegment(f"lan-{i + 1}", tuple(cidrs), (), tuple(n.name for n in here)))
    return out


def _by_family(texts: Sequence[str]) -> list[list[str]]:
    """Addresses or networks by family, the first one's family first."""
    found: dict[bool, list[str]] = {}
    for t in texts:
        found.setdefault(":" in t, []).append(t)
    return list(found.values())


def _observed_pods(snapshot: Snapshot, notes: list[Assumption]) -> tuple[str, ...]:
    config = kubeadm_value(snapshot, "podSubnet")
    if config:
        notes.append(Assumption("pod network", config, DETECTED, "ConfigMap kube-system/kubeadm-config, podSubnet"))
        return _cidrs(config)
    network, where = observed_networks(snapshot)
    if network:
        first = next((":" in c for n in snapshot.list(Node) for c in (*n.spec.pod_cidrs, n.spec.pod_cidr) if c), False)
        named = tuple(sorted(_cidrs(network), key=lambda c: (":" in c) != first))
        notes.append(Assumption("pod network", ", ".join(named), DETECTED, where))
        return named
    cidrs = [c for n in snapshot.list(Node) for c in (n.spec.pod_cidrs or ([n.spec.pod_cidr] if n.spec.pod_cidr else []))]
    if not cidrs:
        return ()
    found = tuple(covering(group, 56 if ":" in group[0] else 16) for group in _by_family(cidrs))
    notes.append(
        Assumption("pod network", ", ".join(found), DETECTED, "the smallest network (at least a /16) that holds every node's podCIDR")
    )
    return found


def kubeadm_value(snapshot: Snapshot, key: str) -> str:
    """A value of kubeadm's ClusterConfiguration, "" where there is none; of extraArgs in either form, `key: value` or name and value."""
    config = snapshot.get(ConfigMap, "kubeadm-config", "kube-system")
    text = config.data.get("ClusterConfiguration", "") if config is not None else ""
    named = ""
    for line in text.splitlines():
        name, _, value = line.strip().removeprefix("- ").partition(":")
        value = value.strip().strip("'\"")
        if name == key or (name == "value" and named == key):
            return value
        named = value if name == "name" else ""
    return ""


def _observed_services(snapshot: Snapshot, notes: list[Assumption]) -> tuple[str, ...]:
    spec = snapshot.others("ServiceCIDR.networking.k8s.io").get("kubernetes", {}).get("spec")
    if isinstance(spec, Mapping) and isinstance(cidrs := spec.get("cidrs"), list) and cidrs:
        notes.append(Assumption("Service network", ", ".join(map(str, cidrs)), OBSERVED, "ServiceCIDR kubernetes"))
        return _cidrs([str(c) for c in cidrs])
    config = kubeadm_value(snapshot, "serviceSubnet")
    if config:
        notes.append(Assumption("Service network", config, DETECTED, "ConfigMap kube-system/kubeadm-config, serviceSubnet"))
        return _cidrs(config)
    api = snapshot.get(Service, "kubernetes", "default")
    first = [ip for ip in (api.spec.cluster_ips or (api.spec.cluster_ip,)) if ip] if api is not None else []
    ips = [*first, *(ip for s in snapshot.list(Service) for ip in (s.spec.cluster_ips or (s.spec.cluster_ip,)) if ip not in ("", "None"))]
    if not ips:
        return ()
    found, why = [], "kubeadm's default holds every ClusterIP"
    for group in _by_family(ips):
        default = SERVICE_CIDR6 if ":" in group[0] else SERVICE_CIDR
        if all(ip in prefix(default) for ip in group):
            found.append(default)
        else:
            most = 112 if ":" in group[0] else 16
            found.append(covering([f"{ip}/{128 if ':' in ip else 32}" for ip in group], most))
            why = f"the smallest network (at least a /{most}) that holds every ClusterIP"
    notes.append(Assumption("Service network", ", ".join(found), DETECTED, why))
    return tuple(found)


def _disjoint(nodes: Sequence[str], pods: Sequence[str], services: Sequence[str]) -> None:
    named = [*(("node network", n) for n in nodes), *(("pod network", p) for p in pods), *(("Service network", s) for s in services)]
    for i, (a, x) in enumerate(named):
        for b, y in named[i + 1 :]:
            n, m = ipaddress.ip_network(x), ipaddress.ip_network(y)
            if n.version == m.version and n.overlaps(m):
                raise KubenetError(f"{a} {x} and {b} {y} overlap: traffic for one would be taken for the other")


def node_documents(plan: Plan, options: Options, count: int) -> list[dict[str, Any]]:
    """Nodes for manifests that bring none: worker-1 ... worker-N, each with an InternalIP and a podCIDR per family."""
    names = node_names(options.underlay, count)
    if not options.underlay.segments:
        for cidr in plan.node_cidrs:
            if ipaddress.ip_network(cidr).num_addresses < count + 12:
                raise KubenetError(f"node network {cidr}: too small for {count} nodes, whose addresses begin at the eleventh")
    taken = {plan.api_server}
    cutters = [_cutter(c) for c in plan.pod_cidrs]
    out = []
    for i, name in enumerate(names):
        cidrs = [next(c, "") for c in cutters]
        if not all(cidrs):
            raise KubenetError(f"pod network {', '.join(plan.pod_cidrs)}: too small for {count} nodes, each takes a /24 (IPv6: a /64)")
        own = node_addresses(plan.segment_of(name), FIRST + i, taken)
        taken.update(own)
        addresses = [{"type": "InternalIP", "address": a} for a in own]
        out.append(
            {
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
                "status": {"addresses": [*addresses, {"type": "Hostname", "address": name}],
                           "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
            }
        )  # fmt: skip
    return out


def _cutter(cidr: str) -> Any:
    """/24 (or /64) after /24 of a pod network: the node IPAM controller's node-cidr-mask-size."""
    net = ipaddress.ip_network(cidr)
    size = 24 if net.version == 4 else 64
    if net.prefixlen > size:
        raise KubenetError(f"pod network {cidr}: too small, each node takes a /{size}")
    return (str(n) for n in net.subnets(new_prefix=size))


def missing_pod_cidrs(snapshot: Snapshot, plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    """(node, podCIDRs) for nodes that have none: the free ones in order, one per family. () where the pod network is used up."""
    if all(n.spec.pod_cidr or n.spec.pod_cidrs for n in snapshot.list(Node)):
        return []
    used = [ipaddress.ip_network(c, strict=False) for n in snapshot.list(Node) for c in {*n.spec.pod_cidrs, n.spec.pod_cidr} if c]
    cutters = [(c for c in _cutter(cidr) if not any(_overlap(c, u) for u in used)) for cidr in plan.pod_cidrs]
    out = []
    for n in snapshot.list(Node):
        if not n.spec.pod_cidr and not n.spec.pod_cidrs:
            cidrs = [next(c, "") for c in cutters]
            out.append((n.name, tuple(cidrs) if all(cidrs) else ()))
    return out


def _overlap(cidr: str, used: Any) -> bool:
    net = ipaddress.ip_network(cidr)
    return net.version == used.version and bool(net.overlaps(used))


def api_server_documents(snapshot: Snapshot, plan: Plan) -> list[dict[str, Any]]:
    """The `kubernetes` Service and its endpoint, which the API server itself keeps, as far as they are not there."""
    out: list[dict[str, Any]] = []
    if snapshot.get(Service, "kubernetes", "default") is None:
        first = str(ipaddress.ip_network(plan.service_cidrs[0]).network_address + 1)
        out.append({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"type": "ClusterIP", "clusterIP": first,
             "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        })  # fmt: skip
    if not _api_servers(snapshot) and snapshot.get(Endpoints, "kubernetes", "default") is None:
        out.append({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4" if ":" not in plan.api_server else "IPv6",
            "endpoints": [{"addresses": [plan.api_server], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        })  # fmt: skip
    return out
