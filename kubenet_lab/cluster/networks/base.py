"""What a pod network is to the cluster, and what providers that run CNI plugins share: addresses by host-local, and ADD for a pod."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, Self

from ...cni import CniError, NetworkList, PluginHost, Runtime
from ...cni.host_local import Allocator, IpRange, RangeSet
from ...cni.host_local import Store as Leases
from ...cni.rules import RuleStep
from ...errors import KubenetError, Problem
from ...kernel.address import prefix
from ...kernel.network import Network
from ...objects.snapshot import Snapshot
from ...objects.views import Node, Pod
from ..plan import Assumption, Plan

__all__ = [
    "DATASTORE", "Disk", "HostLocalNetwork", "PodNetwork", "Programmed", "Provider", "attach", "container_id", "pod_cidrs", "primary_first",
]  # fmt: skip

Disk = MutableMapping[str, str]
IFNAME = "eth0"
#: the store that belongs to no node
DATASTORE = ""


@dataclass(slots=True)
class Programmed:
    """What programming a network leaves beside the network itself: each node's iptables steps and sets, its files, and what failed."""

    steps: dict[str, tuple[RuleStep, ...]] = field(default_factory=dict)
    ipsets: dict[str, str] = field(default_factory=dict)  # as `ipset restore` takes them
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # node -> {path: text}: configuration, and what agents and plugins keep
    problems: list[Problem] = field(default_factory=list)


class PodNetwork(Protocol):
    """A pod network as the cluster uses it. Holds options only: addresses are in a store, the rest in the network.

    A store is a node's disk, or one datastore of the whole cluster: `store` names it by node. `now` is the lab's clock in seconds.
    """

    name: str  # "flannel vxlan"; the first word is the provider's
    unmodelled: str  # why its packets cannot be walked; "" if they can
    judged_at_devices: bool  # has each pod a device of its own on its node, at which the network's policy engine judges it?

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What had to be settled beside the choice itself."""
        ...

    def pod_ranges(self, plan: Plan) -> tuple[str, ...]:
        """Where pods' addresses are from, in words for a reader: "10.244.0.0/16"."""
        ...

    def joined(self, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        """The network after nodes came or went."""
        ...

    def fits(self, node: Node, pod: Pod) -> bool:
        """Could this network have given the pod its addresses? Asked when a copy gets another network."""
        ...

    def store(self, node: str) -> str:
        """Where the addresses of a node's pods are kept: the node's name, or DATASTORE."""
        ...

    def allocate(self, node: Node, pod: Pod, disk: Disk, now: float) -> tuple[str, ...]:
        """Addresses for a pod, primary family first, remembered in the store. Raises KubenetError."""
        ...

    def observed(self, node: Node, pod: Pod, disk: Disk, now: float) -> None:
        """The pod has its addresses already."""
        ...

    def release(self, pod: Pod, disk: Disk, now: float) -> None: ...

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: Mapping[str, Disk]) -> Programmed:
        """Links, addresses, routes, neighbours and FDB entries of every node and pod; the rules its agents write with iptables.

        `disks`: the stores by name, not to be changed.
        """
        ...


class Provider(Protocol):
    """Who makes a pod network: from an options object, or from what the objects show. One per module of this folder."""

    @property
    def names(self) -> tuple[str, ...]:
        """What `cni=` takes, and what cni.detect finds."""
        ...

    @property
    def option(self) -> type:
        """The options object: kn.Flannel. What it has as `networks` are pod networks that it names itself."""
        ...

    def named(self, name: str) -> Any:
        """The options that a bare name stands for."""
        ...

    def chosen(self, option: Any, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        """The network that someone asked for."""
        ...

    def detected(self, name: str, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        """The network that the objects show. Raises NotModelled."""
        ...


def container_id(pod: Pod) -> str:
    """The sandbox id: 64 hex digits, drawn by the runtime in a real cluster."""
    return hashlib.sha256(f"{pod.key}/{pod.metadata.uid}".encode()).hexdigest()


def pod_cidrs(node: Node) -> tuple[str, ...]:
    """The node's podCIDRs, primary family first."""
    return tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


class HostLocalNetwork:
    """Addresses by host-local from the node's podCIDRs."""

    network_name = "cbr0"
    judged_at_devices = False

    def pod_ranges(self, plan: Plan) -> tuple[str, ...]:
        return plan.pod_cidrs

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        return ()

    def joined(self, snapshot: Snapshot, plan: Plan) -> Self:
        return self

    def fits(self, node: Node, pod: Pod) -> bool:
        return all(any(ip in prefix(c) for c in self.ranges(node)) for ip in pod.ips)

    def ranges(self, node: Node) -> tuple[str, ...]:
        """The networks that the plugin's range sets hold on this node, in order."""
        return pod_cidrs(node)

    def store(self, node: str) -> str:
        return node

    def allocate(self, node: Node, pod: Pod, disk: Disk, now: float) -> tuple[str, ...]:
        cidrs = self.ranges(node)
        if not cidrs:
            raise KubenetError(f"node {node.name} has no podCIDR: host-local has nothing to give")
        store = Leases(disk, self.network_name)
        given = [Allocator(_range_set(c), store, i).get(container_id(pod), IFNAME).ip for i, c in enumerate(cidrs)]
        return primary_first(node, given)

    def observed(self, node: Node, pod: Pod, disk: Disk, now: float) -> None:
        store = Leases(disk, self.network_name)
        for ip in pod.ips:
            place = next((i for i, c in enumerate(self.ranges(node)) if ip in prefix(c)), 0)
            store.reserve(container_id(pod), IFNAME, ip, place)

    def release(self, pod: Pod, disk: Disk, now: float) -> None:
        Leases(disk, self.network_name).release(container_id(pod), IFNAME)


def primary_first(node: Node, ips: Sequence[str]) -> tuple[str, ...]:
    """Addresses as kubelet lists them: those of the node's primary family first (pkg/kubelet/kubelet_pods.go sortPodIPs)."""
    six = any(":" in c for c in pod_cidrs(node)[:1])
    return tuple(sorted(ips, key=lambda ip: (":" in ip) != six))


@lru_cache(maxsize=1024)
def _range_set(cidr: str) -> RangeSet:
    return RangeSet.of([IpRange.of(cidr)])


def kubelet_args(pod: Pod) -> str:
    """CNI_ARGS as a kubelet's runtime gives them: who the pod is."""
    named = {"K8S_POD_NAMESPACE": pod.namespace, "K8S_POD_NAME": pod.name, "K8S_POD_INFRA_CONTAINER_ID": container_id(pod)}
    return ";".join(["IgnoreUnknown=1", *(f"{k}={v}" for k, v in named.items()), f"K8S_POD_UID={pod.metadata.uid}"])


def attach(network: Network, host: PluginHost, config: NetworkList, pod: Pod, host_local: bool = True) -> Problem | None:
    """CNI ADD for a pod that has its addresses.

    `host_local`: the first one is asked for, the plugin gives the others as it did the first time. Else the IPAM plugin knows them.
    """
    netns = f"pod:{pod.key}"
    network.add_namespace(pod.spec.node_name, netns, f"Pod {pod.key}").label = pod.key
    mappings = [
        {"hostPort": p.host_port, "containerPort": p.container_port, "protocol": p.protocol.lower(), "hostIP": p.host_ip}
        for c in pod.spec.containers for p in c.ports if p.host_port
    ]  # fmt: skip
    args = kubelet_args(pod)
    if host_local:
        args += f";IP={pod.ips[0]}"
        for ip in pod.ips[1:]:
            Leases(host.disk, config.name).give_next(ip)
    try:
        done = Runtime(host).add(config, container_id(pod), netns, IFNAME, args, {"portMappings": mappings} if mappings else {})
        given = {c.ip for c in done.ips}
        if given != set(pod.ips):
            raise CniError(999, f"the plugins give {', '.join(sorted(given))}, the pod has {', '.join(pod.ips)}")
    except CniError as e:
        network.remove_namespace(netns)
        return Problem(f"failed to set up the sandbox: {e}", "status.podIP", f"Pod {pod.key}")
    if mappings and not any((p.get("capabilities") or {}).get("portMappings") for p in config.plugins):
        ports = ", ".join(str(m["hostPort"]) for m in mappings)
        text = f"hostPort {ports}: no plugin of network {config.name} has the capability portMappings, so nobody maps it"
        return Problem(text, "spec.containers.ports", f"Pod {pod.key}")
    return None
