"""The pod network of a cluster: which one it is, and its two jobs, addresses and programming.

A pod network that is not modelled still loads: its pods keep the addresses they show, and a walk ends at NotModelled.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..cni import PLUGINS, CniError, Flannel, Lease, NetworkList, PluginHost, Runtime
from ..cni.detect import detect, flannel_options
from ..cni.flannel import conflist, leases, node_steps, program, subnet_file
from ..cni.host_local import Allocator, IpRange, RangeSet
from ..cni.host_local import Store as Leases
from ..cni.rules import restore_text
from ..errors import KubenetError, NotFound, NotModelled, Problem
from ..kernel.namespace import Namespace
from ..kernel.network import Network
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Pod
from .options import Options
from .plan import ASSUMED, DETECTED, Assumption, Plan

__all__ = ["FlannelNetwork", "PodNetwork", "UnmodelledNetwork", "container_id", "pod_network"]

Disk = MutableMapping[str, str]
IFNAME = "eth0"


def container_id(pod: Pod) -> str:
    """The sandbox id: 64 hex digits, drawn by the runtime in a real cluster."""
    return hashlib.sha256(f"{pod.key}/{pod.metadata.uid}".encode()).hexdigest()


class PodNetwork(Protocol):
    """A provider as the cluster uses it."""

    name: str  # "flannel vxlan"
    modelled: bool

    def allocate(self, node: Node, pod: Pod, disk: Disk) -> str:
        """An address for a pod, remembered on the node's disk. Raises KubenetError."""
        ...

    def observed(self, node: Node, pod: Pod, ip: str, disk: Disk) -> None:
        """The pod has this address already."""
        ...

    def release(self, pod: Pod, disk: Disk) -> None: ...

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: MutableMapping[str, Disk]) -> list[Problem]:
        """Links, addresses, routes, neighbours and FDB entries of every node and pod."""
        ...

    def rules(self, node: Namespace) -> str:
        """What its agents have written with iptables on this node, for `iptables-restore --noflush`."""
        ...


class _HostLocalNetwork:
    """Addresses by host-local from the node's podCIDR."""

    network_name = "cbr0"

    def _allocator(self, node: Node, disk: Disk) -> Allocator:
        cidr = node.spec.pod_cidr
        if not cidr:
            raise KubenetError(f"node {node.name} has no podCIDR: host-local has nothing to give")
        return Allocator(RangeSet.of([IpRange.of(cidr)]), Leases(disk, self.network_name))

    def allocate(self, node: Node, pod: Pod, disk: Disk) -> str:
        return self._allocator(node, disk).get(container_id(pod), IFNAME).ip

    def observed(self, node: Node, pod: Pod, ip: str, disk: Disk) -> None:
        Leases(disk, self.network_name).reserve(container_id(pod), IFNAME, ip, 0)

    def release(self, pod: Pod, disk: Disk) -> None:
        Leases(disk, self.network_name).release(container_id(pod), IFNAME)


class FlannelNetwork(_HostLocalNetwork):
    """Flannel's vxlan backend with the bridge, host-local and portmap plugins."""

    modelled = True

    def __init__(self, options: Flannel):
        self.options = options
        self.name = f"flannel {options.backend}"
        self._leases: dict[str, Lease] = {}
        self._hosts: dict[str, PluginHost] = {}

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: MutableMapping[str, Disk]) -> list[Problem]:
        problems: list[Problem] = []
        usable = []
        for n in nodes:
            try:
                leases([n], self.options)
                usable.append(n)
            except CniError as e:
                problems.append(Problem(f"{e}: pods on this node have no network", object=f"Node {n.name}"))
        found = leases(usable, self.options)
        self._leases = {lease.node: lease for lease in found}
        program(network, found, self.options)
        config = NetworkList.parse(conflist(self.options))
        self._hosts = {}
        for lease in found:
            disk = {**subnet_file(network, lease, self.options)}
            self._hosts[lease.node] = PluginHost(network, lease.node, PLUGINS, disk)
        for pod in pods:
            host = self._hosts.get(pod.spec.node_name)
            if host is None:
                continue
            netns = f"pod:{pod.key}"
            network.add_namespace(pod.spec.node_name, netns, f"Pod {pod.key}").label = pod.key
            v4 = next((ip for ip in pod.ips if ":" not in ip), "")
            mappings = [
                {"hostPort": p.host_port, "containerPort": p.container_port, "protocol": p.protocol.lower(), "hostIP": p.host_ip}
                for c in pod.spec.containers for p in c.ports if p.host_port
            ]  # fmt: skip
            try:
                Runtime(host).add(
                    config, container_id(pod), netns, IFNAME, f"IgnoreUnknown=1;IP={v4}" if v4 else "", {"portMappings": mappings} if mappings else {}
                )
            except CniError as e:
                network.remove_namespace(netns)
                problems.append(Problem(f"failed to set up the sandbox: {e}", "status.podIP", f"Pod {pod.key}"))
        return problems

    def rules(self, node: Namespace) -> str:
        lease, host = self._leases.get(node.id), self._hosts.get(node.id)
        if lease is None or host is None:
            return ""
        return restore_text([*node_steps(lease, self.options), *host.rules])


class UnmodelledNetwork(_HostLocalNetwork):
    """A pod network whose packets the lab cannot walk. Addresses are observed, or assumed from the podCIDRs."""

    modelled = False

    def __init__(self, name: str):
        self.name = name

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: MutableMapping[str, Disk]) -> list[Problem]:
        return []

    def rules(self, node: Namespace) -> str:
        return ""


_LATER = ("bridge", "host-local", "calico", "cilium", "weave", "kube-router", "macvlan", "canal")


def pod_network(snapshot: Snapshot, options: Options, plan: Plan, notes: list[Assumption]) -> PodNetwork:
    """The pod network: what was asked for, else what the objects show, else flannel vxlan."""
    chosen: Any = options.cni
    if chosen == "auto":
        found = detect(snapshot)
        if not found:
            notes.append(Assumption("pod network plugin", "flannel vxlan", ASSUMED, "the objects show none"))
            return FlannelNetwork(replace(Flannel(), network=_v4(plan)))
        notes.append(Assumption("pod network plugin", found.name, DETECTED, ", ".join(found.evidence)))
        if found.name != "flannel":
            return UnmodelledNetwork(found.name)
        try:
            return FlannelNetwork(flannel_options(snapshot) or replace(Flannel(), network=_v4(plan)))
        except NotModelled as e:
            return UnmodelledNetwork(e.reason)
    if isinstance(chosen, Flannel):
        return FlannelNetwork(chosen if chosen.network != Flannel().network else replace(chosen, network=_v4(plan)))
    if chosen == "flannel":
        return FlannelNetwork(replace(Flannel(), network=_v4(plan)))
    if isinstance(chosen, str):
        if chosen in _LATER:
            raise NotModelled(f"pod network: {chosen}")
        raise NotFound("pod network plugin", chosen, ("flannel", *_LATER))
    raise KubenetError(f"cni: found {chosen!r}, expected 'auto', a plugin's name or an options object such as kn.Flannel()")


def _v4(plan: Plan) -> str:
    found = next((c for c in plan.pod_cidrs if ":" not in c), None)
    if found is None:
        raise NotModelled("flannel without an IPv4 pod network")
    return found
