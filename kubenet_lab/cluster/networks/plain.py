"""Plugins without a daemon as a cluster's pod network: the conflist on every node, and the administrator's routes.

No packet is treated here otherwise than by what stands on the nodes: macvlan pods do not reach Services, because kube-proxy's rules
are in a namespace that their packets never enter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...cni import PLUGINS, CniError, Conflist, NetworkList, PluginHost
from ...cni.conflist import CONF_DIR
from ...cni.contract import Call
from ...cni.detect import conflist_of
from ...cni.host_local import Store, load_ranges
from ...cni.plain import NAMED
from ...errors import CommandError, KubenetError, NotModelled, Problem
from ...kernel.network import ROUTER, Network
from ...objects.snapshot import Snapshot
from ...objects.views import Node, Pod
from ..names import node_address
from ..plan import ASSUMED, Assumption, Plan
from .base import IFNAME, Disk, PodNetwork, Programmed, attach, container_id, pod_cidrs, primary_first
from .shares import Shares

__all__ = ["PlainNetwork", "PlainProvider"]

ORIGIN = "the administrator's static routes"


class PlainNetwork:
    """The same conflist on every node. `shares`: each node's part of the node network, where pods have addresses of it."""

    unmodelled = ""
    judged_at_devices = False

    def __init__(self, option: Conflist, shares: Shares | None = None):
        self.option, self.shares = option, shares
        self.name = option.type

    def pod_ranges(self, plan: Plan) -> tuple[str, ...]:
        return plan.pod_cidrs if self.shares is None else ("the node network",)

    def joined(self, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        return self if self.shares is None else PlainNetwork(self.option, Shares.of(snapshot, plan, self.shares))

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        out = []
        if self.shares is not None:
            parts = (f"{f.get('RangeStart') or f.get('RangeStart6')}-{f.get('RangeEnd') or f.get('RangeEnd6')} on {n}" for n, f in
                     self.shares.fields.items())  # fmt: skip
            why = "pods stand on the node network; an administrator gives each node a part of it"
            out.append(Assumption("pod addresses", ", ".join(parts), ASSUMED, why))
        if self.option.routes == "static":
            text = "static: to every node's podCIDRs, on the nodes of its wire and on the router"
            out.append(Assumption("routes between nodes", text, ASSUMED, "no plugin of the conflist writes any"))
        return tuple(out)

    def config(self, node: Node) -> NetworkList:
        """The list as it lies on a node. Raises CniError."""
        cidrs = pod_cidrs(node)
        own = {f"PodCIDR{6 if six else ''}": next((c for c in cidrs if (":" in c) == six), "") for six in (False, True)}
        return self.option.on({**own, **(self.shares.fields.get(node.name, {}) if self.shares else {})})

    # ------------------------------------------------------------------------------------------------------ addresses
    def store(self, node: str) -> str:
        return node

    def _call(self, node: Node, pod: Pod, disk: Disk) -> Call:
        """The call of the main plugin's IPAM. Raises CniError."""
        conf = self.config(node)
        main = {**conf.plugins[0], "name": conf.name, "cniVersion": conf.cni_version}
        return Call(container_id(pod), f"pod:{pod.key}", IFNAME, main, PluginHost(Network(), node.name, PLUGINS, disk))

    def allocate(self, node: Node, pod: Pod, disk: Disk, now: float) -> tuple[str, ...]:
        try:
            call = self._call(node, pod, disk)
            given = [c.ip for c in call.host.plugin(_ipam(call.config)).add(call).ips]
        except CniError as e:
            raise KubenetError(f"{self.name} on node {node.name}: {e}") from None
        if not given:
            raise KubenetError(f"{self.name} on node {node.name}: {_ipam(call.config)} gives no address")
        return primary_first(node, given)

    def observed(self, node: Node, pod: Pod, disk: Disk, now: float) -> None:
        try:
            call = self._call(node, pod, disk)
            sets = load_ranges(call.config) if _ipam(call.config) == "host-local" else ()
        except CniError:
            return  # nothing of this node's configuration can be relied on: program says what is wrong with it
        for ip in pod.ips:
            place = next((i for i, s in enumerate(sets) if ip in s), 0)
            Store(disk, call.name).reserve(container_id(pod), IFNAME, ip, place)

    def release(self, pod: Pod, disk: Disk, now: float) -> None:
        name = self.option.on({}).name
        Store(disk, name).release(container_id(pod), IFNAME)

    def fits(self, node: Node, pod: Pod) -> bool:
        try:
            call = self._call(node, pod, {})
            sets = load_ranges(call.config) if _ipam(call.config) == "host-local" else ()
        except CniError:
            return False
        return all(any(ip in s for s in sets) for ip in pod.ips) and len(sets) == len(pod.ips)

    # ------------------------------------------------------------------------------------------------------ programming
    def program(self, network: Network, nodes: Sequence[Node], pods: Sequence[Pod], disks: Mapping[str, Disk]) -> Programmed:
        done = Programmed()
        for node in nodes:
            host = PluginHost(network, node.name, PLUGINS)
            try:
                config = self.config(node)
            except CniError as e:
                done.problems.append(Problem(f"{e}: pods on this node have no network", "spec.podCIDR", f"Node {node.name}"))
                continue
            for pod in (p for p in pods if p.spec.node_name == node.name):
                if (problem := attach(network, host, config, pod)) is not None:
                    done.problems.append(problem)
            done.steps[node.name] = tuple(host.rules)
            done.files[node.name] = {f"{CONF_DIR}/10-{config.name}.conflist": f"{config}\n", **host.disk}
        if self.option.routes == "static":
            _static_routes(network, nodes)
        done.problems += _twice(pods)
        return done


def _twice(pods: Sequence[Pod]) -> list[Problem]:
    """Addresses that two nodes gave: a range that is the same on every node does that."""
    first: dict[str, Pod] = {}
    out = []
    for pod in pods:
        for ip in pod.ips:
            if (other := first.setdefault(ip, pod)) is not pod:
                text = f"{ip} is also the address of {other.key}: host-local on {pod.spec.node_name} does not know what another node gave"
                out.append(Problem(text, "status.podIP", f"Pod {pod.key}"))
    return out


def _ipam(config: Mapping[str, object]) -> str:
    ipam = config.get("ipam")
    return str(ipam.get("type") or "") if isinstance(ipam, Mapping) else ""


def _static_routes(network: Network, nodes: Sequence[Node]) -> None:
    """To every node's podCIDRs by its address: on the other nodes of its wire, and on the router, which all the others ask."""
    for target in nodes:
        for cidr in pod_cidrs(target):
            via = node_address(target, 6 if ":" in cidr else 4)
            for name in (*(n.name for n in nodes if n.name != target.name), ROUTER):
                if via and name in network.namespaces:
                    try:
                        network.namespaces[name].add_route(cidr, via=via, origin=ORIGIN)
                    except CommandError:
                        pass  # not on its wire: the router knows the way


class PlainProvider:
    names = tuple(NAMED)
    option = Conflist

    def named(self, name: str) -> Conflist:
        return Conflist.named(name)

    def chosen(self, option: Conflist, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        for plugin in (option.type, _ipam(option.plugins[0])):
            if plugin and plugin not in PLUGINS:
                raise NotModelled(f"CNI plugin {plugin}")
        return PlainNetwork(option, Shares.of(snapshot, plan) if option.uses_node_network else None)

    def detected(self, name: str, snapshot: Snapshot, plan: Plan) -> PodNetwork:
        found = conflist_of(snapshot)
        if found is None:
            raise NotModelled(name)
        return self.chosen(Conflist(found[1]), snapshot, plan)
