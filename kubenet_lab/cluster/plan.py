"""The address plan: which networks there are, read off the objects where they show it, else the defaults.

Also the documents that every cluster has and manifests leave out: nodes, and the `kubernetes` Service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import KubenetError
from ..kernel.address import prefix
from ..objects.snapshot import Snapshot
from ..objects.views import ConfigMap, Node, Service
from .names import node_address
from .options import Options

__all__ = ["ASSUMED", "DETECTED", "OBSERVED", "Assumption", "Plan", "api_server_documents", "node_documents", "plan_for"]

OBSERVED, DETECTED, ASSUMED = "observed", "detected", "assumed"

NODE_CIDR, POD_CIDR, SERVICE_CIDR = "192.168.50.0/24", "10.244.0.0/16", "10.96.0.0/12"
NODE_CIDR6, POD_CIDR6, SERVICE_CIDR6 = "fd50::/64", "fd00:10:244::/56", "fd00:10:96::/112"


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

    node_cidr: str
    gateway: str  # address with prefix length
    api_server: str
    pod_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    assumptions: tuple[Assumption, ...] = ()

    @property
    def node_prefix_length(self) -> int:
        return prefix(self.node_cidr).length

    @property
    def gateway_address(self) -> str:
        return self.gateway.split("/")[0]

    @property
    def cluster_dns(self) -> str:
        """The conventional address of the DNS Service: the tenth of the first Service network."""
        net = ipaddress.ip_network(self.service_cidrs[0])
        return str(net.network_address + 10)


def plan_for(snapshot: Snapshot, options: Options) -> Plan:
    notes: list[Assumption] = []
    node_cidr = _node_network(snapshot, options, notes)
    net = ipaddress.ip_network(node_cidr)
    taken = {a.address for n in snapshot.list(Node) for a in n.status.addresses}
    free = (str(a) for a in net.hosts() if str(a) not in taken)
    gateway = next(free)
    api = next((a for a in free if int(ipaddress.ip_address(a)) >= int(net.network_address) + 10), gateway)
    pods = _cidrs(options.pod_cidr, options) or _observed_pods(snapshot, notes) or _defaults(options, POD_CIDR, POD_CIDR6)
    if not options.pod_cidr and not any(n.what == "pod network" for n in notes):
        notes.append(Assumption("pod network", ", ".join(pods), ASSUMED, "kubeadm's and flannel's usual range"))
    services = _cidrs(options.service_cidr, options) or _observed_services(snapshot, notes) or _defaults(options, SERVICE_CIDR, SERVICE_CIDR6)
    if not options.service_cidr and not any(n.what == "Service network" for n in notes):
        notes.append(Assumption("Service network", ", ".join(services), ASSUMED, "kubeadm's default"))
    _disjoint(node_cidr, pods, services)
    return Plan(node_cidr, f"{gateway}/{net.prefixlen}", api, pods, services, tuple(notes))


def _defaults(options: Options, v4: str, v6: str) -> tuple[str, ...]:
    return tuple(v4 if f == "IPv4" else v6 for f in options.ip_families)


def _cidrs(text: str | Sequence[str] | None, options: Options) -> tuple[str, ...]:
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


def _node_network(snapshot: Snapshot, options: Options, notes: list[Assumption]) -> str:
    if options.node_cidr:
        return _cidrs(options.node_cidr, options)[0]
    addresses = [a for n in snapshot.list(Node) if (a := node_address(n))]
    if not addresses:
        notes.append(Assumption("node network", NODE_CIDR, ASSUMED, "the objects contain no nodes"))
        return NODE_CIDR
    numbers = [int(ipaddress.ip_address(a)) for a in addresses]
    length = 24
    while length > 8 and len({n >> (32 - length) for n in numbers}) > 1:
        length -= 1
    found = str(ipaddress.ip_network((numbers[0] >> (32 - length) << (32 - length), length)))
    notes.append(Assumption("node network", found, DETECTED, "the smallest network (at least a /24) that holds every node's InternalIP; all nodes on one wire"))
    return found


def _observed_pods(snapshot: Snapshot, notes: list[Assumption]) -> tuple[str, ...]:
    config = _kubeadm(snapshot, "podSubnet")
    if config:
        notes.append(Assumption("pod network", config, DETECTED, "ConfigMap kube-system/kubeadm-config, podSubnet"))
        return tuple(c.strip() for c in config.split(","))
    flannel = next((c for c in snapshot.list(ConfigMap) if c.name == "kube-flannel-cfg"), None)
    if flannel is not None and "net-conf.json" in flannel.data:
        import json

        try:
            network = json.loads(flannel.data["net-conf.json"]).get("Network")
        except ValueError:
            network = None
        if network:
            notes.append(Assumption("pod network", network, DETECTED, f"ConfigMap {flannel.key}, net-conf.json"))
            return (network,)
    cidrs = [c for n in snapshot.list(Node) for c in (n.spec.pod_cidrs or ([n.spec.pod_cidr] if n.spec.pod_cidr else [])) if ":" not in c]
    if not cidrs:
        return ()
    nets = [ipaddress.ip_network(c) for c in cidrs]
    numbers = [int(n.network_address) for n in nets]
    length = min(16, min(n.prefixlen for n in nets))
    while length > 4 and len({n >> (32 - length) for n in numbers}) > 1:
        length -= 1
    found = str(ipaddress.ip_network((numbers[0] >> (32 - length) << (32 - length), length)))
    notes.append(Assumption("pod network", found, DETECTED, "the smallest network (at least a /16) that holds every node's podCIDR"))
    return (found,)


def _kubeadm(snapshot: Snapshot, key: str) -> str:
    config = snapshot.get(ConfigMap, "kubeadm-config", "kube-system")
    text = config.data.get("ClusterConfiguration", "") if config is not None else ""
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        if name == key:
            return value.strip().strip("'\"")
    return ""


def _observed_services(snapshot: Snapshot, notes: list[Assumption]) -> tuple[str, ...]:
    config = _kubeadm(snapshot, "serviceSubnet")
    if config:
        notes.append(Assumption("Service network", config, DETECTED, "ConfigMap kube-system/kubeadm-config, serviceSubnet"))
        return tuple(c.strip() for c in config.split(","))
    found = [s.spec.cluster_ip for s in snapshot.list(Service) if s.spec.cluster_ip not in ("", "None") and ":" not in s.spec.cluster_ip]
    if not found:
        return ()
    if all(ip in prefix(SERVICE_CIDR) for ip in found):
        notes.append(Assumption("Service network", SERVICE_CIDR, DETECTED, "kubeadm's default holds every ClusterIP"))
        return (SERVICE_CIDR,)
    first = ipaddress.ip_address(found[0])
    length = 16
    while length > 8 and not all(ipaddress.ip_address(ip) in ipaddress.ip_network((int(first) >> (32 - length) << (32 - length), length)) for ip in found):
        length -= 1
    net = str(ipaddress.ip_network((int(first) >> (32 - length) << (32 - length), length)))
    notes.append(Assumption("Service network", net, DETECTED, "the smallest network (at least a /16) that holds every ClusterIP"))
    return (net,)


def _disjoint(node: str, pods: Sequence[str], services: Sequence[str]) -> None:
    named = [("node network", node), *(("pod network", p) for p in pods), *(("Service network", s) for s in services)]
    for i, (a, x) in enumerate(named):
        for b, y in named[i + 1 :]:
            n, m = ipaddress.ip_network(x), ipaddress.ip_network(y)
            if n.version == m.version and n.overlaps(m):
                raise KubenetError(f"{a} {x} and {b} {y} overlap: traffic for one would be taken for the other")


def node_documents(plan: Plan, options: Options, count: int) -> list[dict[str, Any]]:
    """Nodes for manifests that bring none: worker-1 ... worker-N, each with an InternalIP and a podCIDR per family."""
    nodes = ipaddress.ip_network(plan.node_cidr)
    cutters = [_cutter(c) for c in plan.pod_cidrs]
    out = []
    for i in range(count):
        name = f"worker-{i + 1}"
        cidrs = [next(c) for c in cutters]
        addresses = [{"type": "InternalIP", "address": str(nodes.network_address + 11 + i)}, {"type": "Hostname", "address": name}]
        if len(plan.pod_cidrs) > 1 or ":" in plan.pod_cidrs[0]:
            six = ipaddress.ip_network(NODE_CIDR6)
            addresses.insert(1 if ":" not in plan.pod_cidrs[0] else 0, {"type": "InternalIP", "address": str(six.network_address + 11 + i)})
        out.append(
            {
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
                "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
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


def missing_pod_cidrs(snapshot: Snapshot, plan: Plan) -> list[tuple[str, str]]:
    """(node, podCIDR) for observed nodes that have none: the free ones in order."""
    used = {c for n in snapshot.list(Node) for c in (*n.spec.pod_cidrs, n.spec.pod_cidr) if c}
    free = (c for c in _cutter(plan.pod_cidrs[0]) if c not in used)
    return [(n.name, next(free)) for n in snapshot.list(Node) if not n.spec.pod_cidr]


def api_server_documents(snapshot: Snapshot, plan: Plan) -> list[dict[str, Any]]:
    """The `kubernetes` Service and its endpoint, which the API server itself keeps."""
    if snapshot.get(Service, "kubernetes", "default") is not None:
        return []
    service = {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": str(ipaddress.ip_network(plan.service_cidrs[0]).network_address + 1),
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
    }  # fmt: skip
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4" if ":" not in plan.api_server else "IPv6",
        "endpoints": [{"addresses": [plan.api_server], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }  # fmt: skip
    return [service, endpoints]
