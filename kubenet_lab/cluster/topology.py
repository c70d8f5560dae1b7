"""What a figure or a widget needs to know of a cluster: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..kernel.network import ROUTER, Network
from ..kernel.port_filter import router_filter
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Pod, Service
from .names import node_address, owner_workload
from .plan import Plan

__all__ = [
    "Topology", "TopologyDevice", "TopologyExternal", "TopologyNode", "TopologyPod", "TopologySegment", "topology_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TopologyDevice:
    name: str  # "cni0", "flannel.1", "eth0"
    kind: str  # "bridge", "vxlan", "wireguard", "tun", "physical"
    address: str  # without prefix length; "" if none
    mtu: int
    note: str = ""  # "VNI 1"


@dataclass(frozen=True, slots=True)
class TopologyNode:
    name: str
    address: str
    pod_cidr: str
    devices: tuple[TopologyDevice, ...]
    control_plane: bool = False
    segment: str = ""  # the wire that it stands on, where there are several
    filter: tuple[str, ...] = ()  # the rules of its security group


@dataclass(frozen=True, slots=True)
class TopologyPod:
    key: str  # "shop/web-6c9d8-x2k": the same text that a hop's namespace carries after "pod:"
    address: str
    node: str
    namespace: str
    workload: str  # "web"
    workload_kind: str  # "Deployment"
    ready: bool = True
    host_network: bool = False
    app: str = ""
    parent: str = ""  # the node's interface that its own is a child of (macvlan); "" for a veth pair
    second: str = ""  # its address of the other family


@dataclass(frozen=True, slots=True)
class TopologyExternal:
    """A machine outside the cluster; its hops carry namespace "external:ADDRESS"."""

    address: str


@dataclass(frozen=True, slots=True)
class TopologySegment:
    """One of several layer-2 networks; `gateway` is the router's address there."""

    name: str
    cidr: str
    mtu: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Topology:
    nodes: tuple[TopologyNode, ...]
    pods: tuple[TopologyPod, ...]
    externals: tuple[TopologyExternal, ...]
    node_network: str  # "192.168.50.0/24"
    node_mtu: int
    pod_network: str  # "flannel vxlan"
    services: tuple[tuple[str, str], ...] = ()  # ("shop/cart", "10.96.0.20")
    pod_cidr: str = ""  # the whole cluster's, "10.244.0.0/16"
    service_cidr: str = ""  # "10.96.0.0/12"
    segments: tuple[TopologySegment, ...] = ()  # where the node network is more than one wire
    router_filter: tuple[str, ...] = ()  # the rules of the router's packet filter


_SHOWN = ("bridge", "vxlan", "wireguard", "tun", "physical")


def _parent(network: Network, pod: str, node: str) -> str:
    """The interface of the node that a pod's own hangs on, without a cable of its own."""
    inner = network.namespaces.get(pod)
    for link in inner.links.values() if inner is not None else ():
        if link.macvlan is not None and link.macvlan.lower[0] == node:
            return link.macvlan.lower[1]
    return ""


def topology_of(
    snapshot: Snapshot, network: Network, plan: Plan, node_mtu: int, pod_network: str, externals: Sequence[str] = ()
) -> Topology:
    """The topology of a programmed network; `externals` are the machines outside that are to be shown."""
    nodes = []
    several = len(plan.segments) > 1
    filters = {host: tuple(at.lines) for s in network.segments.values() for (host, _), at in s.filters.items()}
    for n in snapshot.list(Node):
        ns = network.namespaces.get(n.name)
        devices = tuple(
            TopologyDevice(k.name, k.kind, next((a.ip for a in k.addresses), ""), k.mtu, f"VNI {k.vxlan.vni}" if k.vxlan else "")
            for k in (ns.links.values() if ns is not None else ()) if k.kind in _SHOWN
        )  # fmt: skip
        control = (
            any(t.key == "node-role.kubernetes.io/control-plane" for t in n.spec.taints)
            or "node-role.kubernetes.io/control-plane" in n.labels
        )
        own = node_address(n) or node_address(n, 6)
        segment = plan.segment_of(n.name, (own,)).name if several else ""
        nodes.append(TopologyNode(n.name, own, n.spec.pod_cidr, devices, control, segment, filters.get(n.name, ())))
    pods = []
    for p in snapshot.list(Pod):
        if not p.ips or p.terminated:
            continue
        kind, name = owner_workload(snapshot, p)
        app = p.labels.get("app.kubernetes.io/name") or p.labels.get("app") or p.labels.get("k8s-app") or ""
        host = p.spec.host_network
        parent = "" if host else _parent(network, f"pod:{p.key}", p.spec.node_name)
        second = p.ips[1] if len(p.ips) > 1 else ""
        pods.append(TopologyPod(p.key, p.ips[0], p.spec.node_name, p.namespace, name, kind, p.ready, host, app, parent, second))
    services = tuple((s.key, s.spec.cluster_ip) for s in snapshot.list(Service) if s.spec.cluster_ip not in ("", "None"))
    segments = tuple(
        TopologySegment(s.name, s.cidrs[0], network.segments[s.name].mtu, s.gateways[0].split("/")[0]) for s in plan.segments if several
    )
    return Topology(
        tuple(nodes), tuple(pods), tuple(TopologyExternal(a) for a in externals), ", ".join(c for c in plan.node_cidrs if several)
        or plan.node_cidr, node_mtu, pod_network, services, plan.pod_cidrs[0], plan.service_cidrs[0], segments,
        router_filter(network.namespaces[ROUTER]) if ROUTER in network.namespaces else (),
    )  # fmt: skip
