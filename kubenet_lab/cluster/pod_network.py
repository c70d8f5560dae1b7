"""The pod network of a cluster: which one it is, and its two jobs, addresses and programming.

A pod network that is not modelled still loads: its pods keep the addresses they show, and a walk ends at NotModelled.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from ..cni import PLUGINS, CniError, Flannel, Lease, NetworkList, PluginHost, Runtime
from ..cni.detect import detect, flannel_options
from ..cni.flannel import conflist, leases, node_steps, program, subnet_file
from ..cni.host_local import Allocator, IpRange, RangeSet
from ..cni.host_local import Store as Leases
from ..cni.rules import RuleStep
from ..errors import KubenetError, NotFound, NotModelled, Problem
from ..kernel.address import prefix
from ..kernel.network import Network
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Pod
from .options import Options
from .plan import ASSUMED, DETECTED, Assumption, Plan

__all__ = ["FlannelNetwork", "PodNetwork", "Programmed", "UnmodelledNetwork", "container_id", "pod_cidrs", "pod_network"]

Disk = MutableMapping[str, str]
IFNAME = "eth0"


def container_id(pod: Pod) -> str:
    """The sandbox id: 64 hex digits, drawn by the runtime in a real cluster."""
    return hashlib.sha256(f"{pod.key}/{pod.metadata.uid}".encode()).hexdigest()


@dataclass(slots=True)
class Programmed:
    """What programming a network leaves beside the network itself: each node's iptables steps, and what failed."""

    steps: dict[str, tuple[RuleStep, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class PodNetwork(Protocol):
    """A provider as the cluster uses it. Holds options only: addresses are on the nodes' disks, the rest in the network."""

    name: str  # "flannel vxlan"
    unmodelled: str  # why its packets cannot be walked; "" if they can

    def allocate(self, node: Node, pod: Pod, disk: Disk) -> tuple[str, ...]:
        """Addresses for a pod, primary family first, remembered on the node's disk. Raises KubenetError."""
        ...

    def observed(self, node: Node, pod: Pod, disk: Disk) -> None:
        """The pod has its addresses already."""
        ...

    def release(self, pod: Pod, disk: Disk) -> None: ...

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod]) -> Programmed:
        """Links, addresses, routes, neighbours and FDB entries of every node and pod; the rules its agents write with iptables."""
        ...


class _HostLocalNetwork:
    """Addresses by host-local from the node's podCIDRs."""

    network_name = "cbr0"

    def allocate(self, node: Node, pod: Pod, disk: Disk) -> tuple[str, ...]:
        cidrs = pod_cidrs(node)
        if not cidrs:
            raise KubenetError(f"node {node.name} has no podCIDR: host-local has nothing to give")
        store = Leases(disk, self.network_name)
        return tuple(Allocator(_range_set(c), store, i).get(container_id(pod), IFNAME).ip for i, c in enumerate(cidrs))

    def observed(self, node: Node, pod: Pod, disk: Disk) -> None:
        store = Leases(disk, self.network_name)
        for ip in pod.ips:
            place = next((i for i, c in enumerate(pod_cidrs(node)) if ip in prefix(c)), 0)
            store.reserve(container_id(pod), IFNAME, ip, place)

    def release(self, pod: Pod, disk: Disk) -> None:
        Leases(disk, self.network_name).release(container_id(pod), IFNAME)


def pod_cidrs(node: Node) -> tuple[str, ...]:
    """The node's podCIDRs, primary family first."""
    return tuple(node.spec.pod_cidrs) or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


@lru_cache(maxsize=1024)
def _range_set(cidr: str) -> RangeSet:
    return RangeSet.of([IpRange.of(cidr)])


class FlannelNetwork(_HostLocalNetwork):
    """Flannel with the bridge, host-local and portmap plugins."""

    unmodelled = ""

    def __init__(self, options: Flannel):
        self.options = options
        self.name = options.name

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod]) -> Programmed:
        done = Programmed()
        found: list[Lease] = []
        for n in nodes:
            try:
                found += leases([n], self.options)
            except CniError as e:
                done.problems.append(Problem(f"{e}: pods on this node have no network", "spec.podCIDR", f"Node {n.name}"))
        held, complaints = program(network, found, self.options)
        done.problems += complaints
        config = NetworkList.parse(conflist(self.options))
        hosts = {lease.node: PluginHost(network, lease.node, PLUGINS, {**subnet_file(network, lease, self.options)}) for lease in held}
        for pod in pods:
            host = hosts.get(pod.spec.node_name)
            if host is not None and (problem := self._attach(network, host, config, pod)) is not None:
                done.problems.append(problem)
        for lease in held:
            done.steps[lease.node] = (*node_steps(lease, self.options), *hosts[lease.node].rules)
        return done

    @staticmethod
    def _attach(network: Network, host: PluginHost, config: NetworkList, pod: Pod) -> Problem | None:
        """CNI ADD for a pod that has its address."""
        netns = f"pod:{pod.key}"
        network.add_namespace(pod.spec.node_name, netns, f"Pod {pod.key}").label = pod.key
        v4 = next((ip for ip in pod.ips if ":" not in ip), "")
        mappings = [
            {"hostPort": p.host_port, "containerPort": p.container_port, "protocol": p.protocol.lower(), "hostIP": p.host_ip}
            for c in pod.spec.containers for p in c.ports if p.host_port
        ]  # fmt: skip
        try:
            Runtime(host).add(
                config,
                container_id(pod),
                netns,
                IFNAME,
                f"IgnoreUnknown=1;IP={v4}" if v4 else "",
                {"portMappings": mappings} if mappings else {},
            )
        except CniError as e:
            network.remove_namespace(netns)
            return Problem(f"failed to set up the sandbox: {e}", "status.podIP", f"Pod {pod.key}")
        return None


class UnmodelledNetwork(_HostLocalNetwork):
    """A pod network whose packets the lab cannot walk. Addresses are observed, or assumed from the podCIDRs."""

    def __init__(self, name: str, why: str = ""):
        self.name, self.unmodelled = name, why or name

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod]) -> Programmed:
        return Programmed()


_LATER = ("bridge", "host-local", "calico", "cilium", "weave", "kube-router", "macvlan", "canal")


def pod_network(snapshot: Snapshot, options: Options, plan: Plan, notes: list[Assumption]) -> PodNetwork:
    """The pod network: what was asked for, else what the objects show, else flannel vxlan."""
    chosen: Any = options.cni
    if chosen == "auto":
        found = detect(snapshot)
        if not found:
            notes.append(Assumption("pod network plugin", "flannel vxlan", ASSUMED, "the objects show none"))
            return _flannel(snapshot, plan, Flannel())
        notes.append(Assumption("pod network plugin", found.name, DETECTED, ", ".join(found.evidence)))
        if found.name != "flannel":
            return UnmodelledNetwork(found.name)
        try:
            return _flannel(snapshot, plan, flannel_options(snapshot) or Flannel(), stated=flannel_options(snapshot) is not None)
        except NotModelled as e:
            return UnmodelledNetwork("flannel", e.reason)
    if isinstance(chosen, Flannel):
        return _flannel(snapshot, plan, chosen, stated=chosen.network != Flannel().network)
    if chosen == "flannel":
        return _flannel(snapshot, plan, Flannel())
    if isinstance(chosen, str):
        if chosen in _LATER:
            raise NotModelled(f"pod network: {chosen}")
        raise NotFound("pod network plugin", chosen, ("flannel", *_LATER))
    raise KubenetError(f"cni: found {chosen!r}, expected 'auto', a plugin's name or an options object such as kn.Flannel()")


def _flannel(snapshot: Snapshot, plan: Plan, options: Flannel, stated: bool = False) -> PodNetwork:
    """Flannel as far as it is modelled. `stated`: the options name the pod network themselves."""
    six = any(":" in c for c in plan.pod_cidrs) or any(":" in c for n in snapshot.list(Node) for c in pod_cidrs(n))
    if six or any(":" in ip for p in snapshot.list(Pod) for ip in p.ips if not p.spec.host_network):
        return UnmodelledNetwork(f"{options.name} with IPv6")
    return FlannelNetwork(options if stated else replace(options, network=plan.pod_cidrs[0]))
