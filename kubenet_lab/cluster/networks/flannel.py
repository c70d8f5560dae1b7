"""Flannel as a cluster's pod network: its daemons and its conflist, with the bridge, host-local and portmap plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...cni import PLUGINS, CniError, Flannel, Lease, NetworkList, PluginHost
from ...cni.conflist import CONF_DIR
from ...cni.flannel import Observed, backend_of_node, conflist, leases, node_steps, observed, program, subnet_files
from ...errors import NotModelled, Problem
from ...kernel.network import Network
from ...objects.snapshot import Snapshot
from ...objects.views import Node, Pod
from ..plan import OBSERVED, Assumption, Plan
from .base import Disk, HostLocalNetwork, PodNetwork, Programmed, attach, pod_cidrs

__all__ = ["FlannelNetwork", "FlannelProvider"]


class FlannelNetwork(HostLocalNetwork):
    """One flannel daemon per node, by the same options."""

    unmodelled = ""

    def __init__(self, options: Flannel, seen: Observed | None = None):
        """`seen`: the objects show it; then a node whose daemon says that it runs another backend does."""
        self.options, self.seen = options, seen
        self.name = options.name
        self.network_name = NetworkList.parse(conflist(options)).name

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        if self.seen is None or not self.seen.configured:
            return ()
        why = f"every node's annotation; net-conf.json says {self.seen.configured}, which daemons read when they start"
        return (Assumption("flannel backend", self.options.backend, OBSERVED, why),)

    def ranges(self, node: Node) -> tuple[str, ...]:
        """IPv4 before IPv6, as the plugin reads them from subnet.env, whatever the primary family is."""
        cidrs = pod_cidrs(node)
        return tuple(c for family in self.options.families for c in cidrs if (":" in c) == (family == 6))

    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: Mapping[str, Disk]) -> Programmed:
        done = Programmed()
        found: list[Lease] = []
        for n in nodes:
            other = backend_of_node(n) if self.seen is not None else ""
            if other and other != self.options.backend:
                text = f"flanneld runs backend {other} here: the others log 'Ignoring non-{self.options.backend} subnet: type={other}'"
                done.problems.append(Problem(f"{text}; pods on this node have no network", "metadata.annotations", f"Node {n.name}"))
                continue
            try:
                found += leases([n], self.options)
            except CniError as e:
                done.problems.append(Problem(f"{e}: pods on this node have no network", "spec.podCIDR", f"Node {n.name}"))
        held, complaints = program(network, found, self.options)
        done.problems += complaints
        config = NetworkList.parse(conflist(self.options))
        files = subnet_files(network, held, self.options)
        hosts = {node: PluginHost(network, node, PLUGINS, disk) for node, disk in files.items()}
        for pod in pods:
            host = hosts.get(pod.spec.node_name)
            if host is not None and (problem := attach(network, host, config, pod)) is not None:
                done.problems.append(problem)
        for name, host in hosts.items():
            steps = [s for lease in held if lease.node == name for s in node_steps(lease, self.options)]
            done.steps[name] = (*steps, *host.rules)
            done.files[name] = {f"{CONF_DIR}/10-flannel.conflist": json.dumps(conflist(self.options), indent=2) + "\n", **host.disk}
        return done


class FlannelProvider:
    names = ("flannel",)
    option = Flannel

    def named(self, name: str) -> Flannel:
        return Flannel()

    def chosen(self, option: Flannel, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        return _network(option, snapshot, plan, stated=bool(option.networks))

    def detected(self, name: str, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        seen = observed(snapshot)
        if seen is None:
            return _network(Flannel(), snapshot, plan, stated=False)
        _require_plugins(seen.options)
        return _network(seen.options, snapshot, plan, seen.stated, seen)


def _network(options: Flannel, snapshot: Snapshot, plan: Plan, stated: bool, seen: Observed | None = None) -> PodNetwork:
    """`stated`: the options name the pod networks themselves; else they are the plan's."""
    if not stated:
        v4 = next((c for c in plan.pod_cidrs if ":" not in c), "")
        v6 = next((c for c in plan.pod_cidrs if ":" in c), "")
        options = replace(options, network=v4, ipv6_network=v6)
    return FlannelNetwork(options, seen)


def _require_plugins(options: Flannel) -> None:
    """Raises NotModelled for a conflist with plugins that the lab does not have."""
    try:
        types = [str(p["type"]) for p in NetworkList.parse(conflist(options)).plugins]
    except (CniError, ValueError) as e:
        raise NotModelled(f"flannel's cni-conf.json: {e}") from None
    if missing := [t for t in types if t not in PLUGINS]:
        raise NotModelled(f"flannel's cni-conf.json: CNI plugin {missing[0]}")
