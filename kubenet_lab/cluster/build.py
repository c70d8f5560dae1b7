"""From objects to a programmed network: machines, wires, pods, sockets, and the rules of every agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from ..dns import Upstream, Zones
from ..errors import Problem
from ..ingress import HttpServer
from ..kernel.ipset import IpSets
from ..kernel.iptables import Spec
from ..kernel.namespace import Listener, Namespace
from ..kernel.network import Network
from ..kernel.process import Echo
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Pod
from ..policy import PolicyEngine, kube_router_rules_for
from ..services import NodeView, rules, serves_loopback
from .listening import bind_pod
from .names import node_address
from .options import Options
from .plan import Plan
from .pod_network import Disk, PodNetwork

__all__ = ["LAN", "Builder"]

#: the segment that joins the nodes
LAN = "lan"


@dataclass(frozen=True, slots=True)
class Part:
    """One text for iptables-restore --noflush, whose it is, and what each of its rules stands for."""

    agent: str
    text: str
    origin: Callable[[str, Spec], str]
    ipset: str = ""


@dataclass(slots=True)
class Builder:
    """Programs a network from a snapshot. `engine` is the policy engine that enforces, or None."""

    snapshot: Snapshot
    options: Options
    plan: Plan
    network: PodNetwork
    disks: MutableMapping[str, Disk]
    engine: str | None
    current: Callable[[], Snapshot]
    corefile: Callable[[], str]
    resolv_of: Callable[[Pod], Any]
    zones: Callable[[], Zones]

    def build(self) -> tuple[Network, list[Problem]]:
        net = Network(self.options.seed)
        under = self.options.underlay
        net.add_segment(LAN, cidr=self.plan.node_cidr, mtu=under.mtu, delay=under.delay)
        gateway = net.add_gateway(LAN, self.plan.gateway)
        upstream = Upstream(self.zones())
        for protocol in ("UDP", "TCP"):
            gateway.root.listen(Listener(protocol, 53, upstream, "gateway"))  # type: ignore[arg-type]
        nodes = [n for n in self.snapshot.list(Node) if node_address(n)]
        for node in nodes:
            self._node(net, node)
        self._api_server(net)
        pods = [p for p in self.snapshot.list(Pod) if p.ips and not p.terminated and p.spec.node_name in net.hosts]
        own = [p for p in pods if not p.spec.host_network]
        problems = self.network.program(net, nodes, own, self.disks)
        for pod in pods:
            ns = net.namespaces.get(pod.spec.node_name if pod.spec.host_network else f"pod:{pod.key}")
            if ns is not None:
                bind_pod(
                    ns, pod, self.snapshot, self.options.listening, self.current, self.corefile, self.resolv_of, self.options.domain
                )  # fmt: skip
        for node in nodes:
            net.namespaces[node.name].program_rules_with(self._rules(node))
        return net, problems

    def _node(self, net: Network, node: Node) -> None:
        host = net.add_host(node.name, "node")
        ns = host.root
        ns.label = f"node:{node.name}"
        v4 = node_address(node, 4) or node_address(node, 6)
        net.plug(node.name, LAN, "eth0", address=f"{v4}/{self.plan.node_prefix_length}")
        ns.add_route("default", via=self.plan.gateway_address)
        # what kubeadm's preflight asks for, and kubelet sets
        ns.set_sysctl("net.ipv4.ip_forward", 1)
        ns.set_sysctl("net.bridge.bridge-nf-call-iptables", 1)
        if serves_loopback(self.proxy_options, 4):
            ns.set_sysctl("net.ipv4.conf.all.route_localnet", 1)  # kube-proxy's, for node ports on 127.0.0.1
        ns.listen(Listener("TCP", 10250, Echo("kubelet"), f"node:{node.name}"))

    def _api_server(self, net: Network) -> None:
        """A control plane that is not a node of this cluster stands on the node network."""
        if net.owner_of(self.plan.api_server) is None:
            ns = net.external(self.plan.api_server)
            ns.label = "kube-apiserver"
            ns.listen(Listener("TCP", 6443, HttpServer("kube-apiserver"), "kube-apiserver"))

    def _rules(self, node: Node) -> Callable[[Namespace], None]:
        def program(ns: Namespace) -> None:
            for fam in (4, 6):
                for part in self._parts(ns, node, fam):
                    if part.ipset:
                        ns.ipsets = ns.ipsets or IpSets()
                        ns.ipsets.restore(part.ipset)
                    ns.ruleset(fam).restore(part.text, noflush=True, origin=part.origin)
            ns.rules_changed()

        return program

    def _parts(self, ns: Namespace, node: Node, fam: int) -> Iterator[Part]:
        """What the agents of a node write, in the order in which they start: the pod network's, kube-proxy, the policy engine."""
        addresses = [a.address for a in node.status.addresses if a.type == "InternalIP"]
        if fam == 4 and (text := self.network.rules(ns)):
            name = self.network.name
            yield Part(name, text, lambda chain, spec: name)
        if not any((":" in a) == (fam == 6) for a in addresses):
            return
        done = rules(self.snapshot, NodeView.of(node, _device_addresses(ns)), self.proxy_options, fam)
        for name, text in (("kube-proxy: canaries", done.canaries), ("kube-proxy: jumps", done.jumps), ("kube-proxy", done.text)):
            if text:
                yield Part(name, text, _origins(done.origins, done.rule_origins))
        if self.engine == "kube-router":
            option = self.options.policy if isinstance(self.options.policy, PolicyEngine) else PolicyEngine()
            compiled = kube_router_rules_for(
                self.snapshot, node.name, addresses, service_cidrs=option.service_cidrs or self.plan.service_cidrs,
                node_port_range=option.node_port_range or (30000, 32767),
            )  # fmt: skip
            text = compiled.iptables_text if fam == 4 else compiled.ip6tables_text
            if text:
                first = fam == (4 if compiled.iptables_text else 6)  # the sets of both families are one text
                yield Part("kube-router", text, _origins(compiled.origins, {}), compiled.ipset_text if first else "")

    def written(self, node_name: str, fam: int) -> str:
        """What the agents hand over on a node, with a comment line before each."""
        node = next(n for n in self.snapshot.list(Node) if n.name == node_name)
        net, _ = self.build()
        out = []
        for part in self._parts(net.namespaces[node_name], node, fam):
            out.append(f"# {part.agent}\n{part.text}")
        return "\n".join(out)

    @property
    def proxy_options(self) -> Any:
        from dataclasses import replace

        proxy = self.options.kube_proxy
        if proxy.cluster_cidr is None:
            proxy = replace(proxy, cluster_cidr=",".join(self.plan.pod_cidrs))
        return proxy


def _origins(chains: Mapping[str, str], lines: Mapping[str, str]) -> Callable[[str, Spec], str]:
    """What a rule stands for: its own line's object if there is one, else its chain's."""
    return lambda chain, spec: lines.get(f"-A {chain} {spec.text}") or chains.get(chain, "")


def _device_addresses(ns: Namespace) -> list[str]:
    return [a.ip for dev, a in ns.addresses() if dev != "lo"]
