"""Flannel as a cluster's pod network: its daemons and its conflist, with the bridge, host-local and portmap plugins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...cni import PLUGINS, CniError, Flannel, Lease, NetworkList, PluginHost
from ...cni.detect import flannel_options
from ...cni.flannel import conflist, leases, node_steps, program, subnet_file
from ...errors import Problem
from ...kernel.network import Network
from ...objects.snapshot import Snapshot
from ...objects.views import Node, Pod
from ..plan import Plan
from .base import HostLocalNetwork, PodNetwork, Programmed, attach, pod_cidrs
from .unmodelled import UnmodelledNetwork

__all__ = ["FlannelNetwork", "FlannelProvider"]


class FlannelNetwork(HostLocalNetwork):
    """One flannel daemon per node, by the same options."""

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
            if host is not None and (problem := attach(network, host, config, pod)) is not None:
                done.problems.append(problem)
        for lease in held:
            done.steps[lease.node] = (*node_steps(lease, self.options), *hosts[lease.node].rules)
        return done


class FlannelProvider:
    names = ("flannel",)
    option = Flannel

    def named(self, name: str) -> Flannel:
        return Flannel()

    def chosen(self, option: Flannel, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        return _network(option, snapshot, plan, stated=bool(option.networks))

    def detected(self, name: str, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        stated = flannel_options(snapshot)
        return _network(stated or Flannel(), snapshot, plan, stated=stated is not None)


def _network(options: Flannel, snapshot: Snapshot, plan: Plan, stated: bool) -> PodNetwork:
    """Flannel as far as it is modelled. `stated`: the options name the pod network themselves."""
    six = any(":" in c for c in plan.pod_cidrs) or any(":" in c for n in snapshot.list(Node) for c in pod_cidrs(n))
    if six or any(":" in ip for p in snapshot.list(Pod) for ip in p.ips if not p.spec.host_network):
        return UnmodelledNetwork(f"{options.name} with IPv6")
    return FlannelNetwork(options if stated else replace(options, network=plan.pod_cidrs[0]))
