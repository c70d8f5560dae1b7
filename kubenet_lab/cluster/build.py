"""From objects to a programmed network: machines, wires, pods, sockets, and the rules of every agent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from ..cni import INSTALLED
from ..cni.live import LiveHost
from ..cni.rules import RuleStep, replay, restore_text
from ..dns import Upstream, Zones, parse_resolv_conf
from ..errors import NotFound, Problem
from ..ingress import HttpServer
from ..kernel.address import prefix
from ..kernel.ipset import IpSets
from ..kernel.iptables import Ruleset, Spec
from ..kernel.namespace import Listener, Namespace
from ..kernel.network import Network
from ..kernel.nftables import NftRuleset
from ..kernel.process import Echo
from ..kernel.state import State
from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, Node, Pod
from ..policy import PodPeer, PolicyEngine, kube_router_rules_for
from ..policy.index import policy_index
from ..services import KubeProxy, NftablesText, NodeView, nft_rules, rules, serves_loopback, service_ports
from ..services.iptables_base import jump_text
from ..services.kube_proxy import FAMILIES
from .balancers import program as program_balancer
from .balancers import provider
from .detect import INSTEAD
from .filters import place_filters
from .host_ports import host_port_problems
from .kubelet_rules import ORIGINS as KUBELET
from .kubelet_rules import kubelet_text
from .listening import bind_pod
from .names import as_ip, further_addresses, node_address
from .node_disk import NodeDisk
from .outside import Server, named_machines, names_api_server
from .proxy_health import bind_health_servers
from .sanity import programmable
from .settle import Declared

__all__ = ["Build", "World"]


@dataclass(frozen=True, slots=True)
class World:
    """What processes ask for while they run: the objects as they are, the Corefile, resolv.conf of a pod, the names of the world."""

    snapshot: Callable[[], Snapshot]
    corefile: Callable[[], str]
    resolv_of: Callable[[Pod], Any]
    node_resolv_conf: str
    zones: Callable[[], Zones]


@dataclass(frozen=True, slots=True)
class Part:
    """What one agent writes on a node: single commands, or a text for iptables-restore --noflush and what each rule stands for."""

    agent: str
    text: str
    steps: tuple[RuleStep, ...] = ()
    origin: Callable[[str, Spec], str] = lambda chain, spec: ""
    ipset: str = ""
    shared: bool = False  # the same text on most nodes


class Build:
    """A network programmed from declared state: `network`, `problems`, and what each agent writes.

    A node's rules are made when they are first looked at, from the state at the time of building.
    """

    def __init__(self, declared: Declared, world: World):
        self.hosts: dict[str, LiveHost] = {}  # nodes on which CNI was run by hand
        self._templates: dict[tuple[int, tuple[str, ...]], Ruleset] = {}
        self._sets: dict[str, IpSets] = {}
        self._nft_templates: dict[tuple[str, ...], NftRuleset] = {}
        self._proxied = cache(lambda fam: service_ports(self.snapshot, fam))  # the same on every node
        assert declared.plan is not None and declared.network is not None, "nothing was loaded"
        self.options, self.plan, self.engine = declared.options, declared.plan, declared.engine
        (self.snapshot, self.problems), self.world = programmable(declared.store.snapshot()), world
        self._proxy, self._once_named = declared.proxy, declared.once_named
        self.network = net = Network(self.options.seed)
        self._addresses: dict[str, list[str]] = {}  # of a node's devices, as the agents found them
        under = self.options.underlay
        for seg in self.plan.segments:
            net.add_segment(seg.name, cidr=seg.cidrs, mtu=under.mtu_of(seg.name), delay=under.delay_of(seg.name))
        sides = {s.name: s.gateways for s in self.plan.segments}
        net.add_router(sides, mtus={s: under.router_mtu(s) for s in sides}, uplink_mtu=under.uplink_mtu or 0)
        nodes = [n for n in self.snapshot.list(Node) if node_address(n) or node_address(n, 6)]
        for node in nodes:
            self._node(node)
        names = [n.name for n in nodes]
        place_filters(net, under.all_filters, names)
        self.problems += [Problem(str(NotFound("node", key, names)), f"underlay.{field}[{key!r}]") for field, key in under.unknown(names)]
        pods = [p for p in self.snapshot.list(Pod) if p.ips and not p.terminated and p.spec.node_name in net.hosts]
        if declared.blocked:
            self._steps: Mapping[str, Sequence[RuleStep]] = {}
            self._ipsets: Mapping[str, str] = {}
            self.files: Mapping[str, Mapping[str, str]] = {}  # what the pod network keeps on each node's disk
            self.probe_again: Callable[[], None] = lambda: None  # a balancer's health checks may come out otherwise
            return
        done = declared.network.program(net, nodes, [p for p in pods if not p.spec.host_network], declared.disks)
        self._steps, self._ipsets, self.files = done.steps, done.ipsets, done.files
        if declared.unenforced:
            self._unjudged(pods, declared.unenforced)
        self.problems += [*done.problems, *host_port_problems(pods)]
        self._sockets(pods)
        self._resolvers()
        self._other_endpoints()
        bind_health_servers(net, self._proxied, nodes, self.proxy)
        self.probe_again = program_balancer(net, self.snapshot, self.plan, provider(self.options, self.plan, self.snapshot))
        for node in nodes:
            ns = net.namespaces[node.name]
            self._addresses[node.name] = [a.ip for dev, a in ns.addresses() if dev != "lo"]
            ns.program_rules_with(self._program(node))

    def _unjudged(self, pods: Sequence[Pod], why: str) -> None:
        """Tell the nodes at which pods' devices an engine judges that is not modelled: those that a policy isolates, in its direction.

        What a node's own processes send to its pods is never judged (felix/rules/static.go, "From host to workload").
        """
        index = policy_index(self.snapshot)
        for pod in pods:
            ns = self.network.namespaces.get(f"pod:{pod.key}")
            link = ns.links.get("eth0") if ns is not None else None
            if link is None or link.peer is None:
                continue
            peer = PodPeer(pod, self.snapshot.namespace_labels(pod.namespace))
            node = self.network.namespaces[link.peer[0]]
            for direction, way in (("egress", "in"), ("ingress", "out")):
                names = ", ".join(p.key for p in index.isolating(peer, direction))  # type: ignore[arg-type]
                if names:
                    said = f"{why}, which judges the {direction} of Pod {pod.key} (policy {names}); {INSTEAD}"
                    node.unmodelled[link.peer[1], way] = said

    def live_host(self, node: str, kept: MutableMapping[str, str], state: State) -> LiveHost:
        """A node for CNI by hand. `kept`: what is on its disk beside what the agents left there."""
        if node not in self.hosts:
            self.hosts[node] = LiveHost(self.network, node, INSTALLED, NodeDisk(kept, self.files.get(node, {})), state=state)
        return self.hosts[node]

    # --------------------------------------------------------------------------------------------------- machines
    def _node(self, node: Node) -> None:
        host = self.network.add_host(node.name, "node")
        ns = host.root
        ns.label = f"node:{node.name}"
        own = [a for f in (4, 6) if (a := node_address(node, f))]
        seg = self.plan.segment_of(node.name, own)
        own.sort(key=lambda a: (":" in a) != (":" in seg.cidrs[0]))  # the primary family first
        self.network.plug(node.name, seg.name, "eth0", mtu=self.options.underlay.nic_mtu.get(node.name, 0))
        for address in own:
            cidr = seg.cidr(6 if ":" in address else 4)
            inside = bool(cidr) and address in prefix(cidr)
            # an address of another network: the machine is alone with it
            length = prefix(cidr).length if cidr else 128 if ":" in address else 32
            ns.add_address("eth0", f"{address}/{length}")
            if inside:
                ns.add_route("::/0" if ":" in address else "default", via=seg.gateway(6 if ":" in address else 4))
        for address in further_addresses(node):  # kubelet reports them, and not where they are: with the first ones
            cidr = seg.cidr(6 if ":" in address else 4)
            inside = bool(cidr) and address in prefix(cidr)
            ns.add_address("eth0", f"{address}/{prefix(cidr).length if inside else 128 if ':' in address else 32}")
        # what kubeadm's preflight asks for, and kubelet sets
        ns.set_sysctl("net.ipv4.ip_forward", 1)
        ns.set_sysctl("net.bridge.bridge-nf-call-iptables", 1)
        if serves_loopback(self.proxy, 4):
            ns.set_sysctl("net.ipv4.conf.all.route_localnet", 1)  # kube-proxy's, for node ports on 127.0.0.1
        ns.listen(Listener("TCP", 10250, Echo("kubelet"), f"node:{node.name}"))

    def _sockets(self, pods: Sequence[Pod]) -> None:
        w = self.world
        for pod in pods:
            ns = self.network.namespaces.get(pod.spec.node_name if pod.spec.host_network else f"pod:{pod.key}")
            if ns is not None:
                self.problems += bind_pod(
                    ns, pod, self.snapshot, self.options.listening, w.snapshot, w.corefile, w.resolv_of, self.options.domain
                )

    def _resolvers(self) -> None:
        """The resolver of the node network's router, and those that the nodes' resolv.conf or the Corefile name outside the cluster."""
        upstream = Upstream(cache(self.world.zones))
        named = [*parse_resolv_conf(self.world.node_resolv_conf).nameservers, *_forwards(self.world.corefile())]
        for address in dict.fromkeys([self.plan.gateway_address, *named]):
            ns = self.network.owner_of(address) or (self.network.external(address) if self.is_outside(address) else None)
            if ns is not None and self.network.hosts[ns.host].role != "node":
                for protocol in ("UDP", "TCP"):
                    if ns.listener(protocol, address, 53) is None:
                        ns.listen(Listener(protocol, 53, upstream, ns.label))

    def _other_endpoints(self) -> None:
        """Machines that EndpointSlices name, or have named, instead of pods: the API server, and servers outside the cluster."""
        for server, s in named_machines(self.snapshot.list(EndpointSlice)):
            self._machine(server, f"EndpointSlice {s.key} names it", names_api_server(s))
        for server, key in self._once_named.items():
            self._machine(server, f"EndpointSlice {key} named it")

    def _machine(self, server: Server, why: str, api: bool = False) -> None:
        address, protocol, port = server
        if as_ip(address) is None:
            return
        ns = self.network.owner_of(address)
        if ns is None and (self.is_outside(address) or any(address in prefix(c) for c in self.plan.node_cidrs)):
            ns = self.network.external(address)
            ns.label = "kube-apiserver" if api else ns.label
        if ns is None or (self.network.hosts[ns.host].role != "external" and not api):
            return
        if ns.listener(protocol, address, port) is None:
            owner = "kube-apiserver" if api else ns.label
            why = "" if api else f"{ns.label} listens on {port}/{protocol}, because {why}"
            process = HttpServer(owner) if protocol == "TCP" and not api else Echo(owner)
            ns.listen(Listener(protocol, port, process, owner, "", why))  # type: ignore[arg-type]

    def is_outside(self, address: str) -> bool:
        """An address of the world: in none of the cluster's networks, and one that a machine can have."""
        inside = [*self.plan.pod_cidrs, *self.plan.service_cidrs, *self.plan.node_cidrs]
        return usable(address) and not any(address in prefix(c) for c in inside)

    # ------------------------------------------------------------------------------------------------------ rules
    def _program(self, node: Node) -> Callable[[Namespace], None]:
        def program(ns: Namespace) -> None:
            self._program_nft(node, ns)
            for fam in (4, 6):
                parts = list(self._parts(node, fam))
                ns.use_ruleset(self._started_with(fam, [p for p in parts if p.shared]))
                for part in parts:
                    if part.shared:
                        continue
                    if part.ipset:
                        ns.ipsets = self._sets_of(part.ipset)
                    if part.steps:
                        replay(ns.ruleset(fam), part.steps)
                        continue
                    ns.ruleset(fam).restore(part.text, noflush=True, origin=part.origin)
            ns.rules_changed()

        return program

    def _nft_texts(self, node: Node) -> list[NftablesText]:
        """What kube-proxy hands to nft on a node, family by family; empty in another mode."""
        if self.proxy.mode != "nftables":
            return []
        view = NodeView.of(node, self._addresses[node.name])
        return [nft_rules(self._proxied(fam), view, self.proxy, fam, self.plan.service_cidrs) for fam in FAMILIES]

    def _program_nft(self, node: Node, ns: Namespace) -> None:
        texts = self._nft_texts(node)
        if not texts:
            return
        key = tuple(t.shared for t in texts)
        if key not in self._nft_templates:
            made = NftRuleset()
            for t in texts:
                made.load(t.shared, origin=t.origin)
            self._nft_templates[key] = made
        own = self._nft_templates[key].copy()
        for t in texts:
            own.load(t.own, origin=t.origin)
        own.take_in(ns.nft)  # what CNI plugins have made
        ns.use_nft(own)

    def nft_written(self, node_name: str) -> str:
        """What kube-proxy hands to `nft -f -` on a node, one transaction a family."""
        node = next(n for n in self.snapshot.list(Node) if n.name == node_name)
        return "".join(t.text for t in self._nft_texts(node))

    def _started_with(self, fam: int, parts: list[Part]) -> Ruleset:
        """A ruleset of its own that begins with these texts. Most nodes get the same from kube-proxy: it is read once."""
        key = (fam, tuple(p.text for p in parts))
        if key not in self._templates:
            made = Ruleset(fam)
            for p in parts:
                made.restore(p.text, noflush=True, origin=p.origin)
            self._templates[key] = made
        return self._templates[key].copy()

    def _sets_of(self, text: str) -> IpSets:
        """The sets that a text makes. The policy engine writes the same ones on every node: they are read once."""
        if text not in self._sets:
            self._sets[text] = IpSets()
            self._sets[text].restore(text)
        return self._sets[text].copy()

    def _parts(self, node: Node, fam: int) -> Iterator[Part]:
        """What the agents of a node write, in the order in which they start: kubelet, kube-proxy, the pod network's, the policy engine."""
        yield Part("kubelet", kubelet_text(fam), origin=_origins(KUBELET, {}), shared=True)
        if self.proxy.mode == "iptables":
            done = rules(self._proxied(fam), NodeView.of(node, self._addresses[node.name]), self.proxy, fam)
            jumps = jump_text(KUBELET if fam == 4 else ())
            for name, text in (("kube-proxy: canaries", done.canaries), ("kube-proxy: jumps", jumps), ("kube-proxy", done.text)):
                if text:
                    yield Part(name, text, origin=_origins(done.origins, done.rule_origins), shared=True)
        steps = tuple(s for s in self._steps.get(node.name, ()) if s.family == fam)
        if steps:
            # the sets of both families are one text, and it comes before the first rules
            first = fam == min(s.family for s in self._steps[node.name])
            yield Part("the pod network", restore_text(steps, fam), steps, ipset=self._ipsets.get(node.name, "") if first else "")
        addresses = [a.address for a in node.status.addresses if a.type == "InternalIP"]
        if any((":" in a) == (fam == 6) for a in addresses) and self.engine == "kube-router":
            option = self.options.policy if isinstance(self.options.policy, PolicyEngine) else PolicyEngine()
            compiled = kube_router_rules_for(
                self.snapshot, node.name, addresses, service_cidrs=option.service_cidrs or self.plan.service_cidrs,
                node_port_range=option.node_port_range or (30000, 32767),
            )  # fmt: skip
            text = compiled.iptables_text if fam == 4 else compiled.ip6tables_text
            if text:
                first = fam == (4 if compiled.iptables_text else 6)  # the sets of both families are one text
                yield Part("kube-router", text, origin=_origins(compiled.origins, {}), ipset=compiled.ipset_text if first else "")

    def written(self, node_name: str, fam: int) -> str:
        """What the agents hand over on a node, with a comment line before each."""
        node = next(n for n in self.snapshot.list(Node) if n.name == node_name)
        return "\n".join(f"# {part.agent}\n{part.text}" for part in self._parts(node, fam))

    @cached_property
    def proxy(self) -> KubeProxy:
        """kube-proxy's options with the cluster's pod network filled in."""
        found = self._proxy
        return replace(found, cluster_cidr=",".join(self.plan.pod_cidrs)) if found.cluster_cidr is None else found


def usable(address: str) -> bool:
    """An address that a machine can have: not unspecified, loopback, multicast, link-local or reserved."""
    if ":" in address:
        return address not in ("::", "::1") and not address.lower().startswith(("ff", "fe8", "fe9", "fea", "feb"))
    first, second = (int(x) for x in address.split(".")[:2])
    return first not in (0, 127) and first < 224 and (first, second) != (169, 254)


_FORWARD = re.compile(r"^[ \t]*forward[ \t]+\S+[ \t]+(?P<to>[^{#\n]+)", re.MULTILINE)


def _forwards(corefile: str) -> list[str]:
    """The addresses that `forward` directives of a Corefile name."""
    found = []
    for m in _FORWARD.finditer(corefile):
        for word in m["to"].split():
            word = word.removeprefix("dns://")
            host = word[1:].split("]")[0] if word.startswith("[") else word.split(":")[0] if word.count(":") == 1 else word
            if (ip := as_ip(host)) is not None:
                found.append(ip)
    return found


_COMMENT = re.compile(r'--comment (?:"((?:[^"\\]|\\.)*)"|(\S+))')
#: chains of kube-proxy that many Services share; a rule there stands for the one that its comment names
_SHARED = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")


def _comment(rule: str) -> str:
    found = _COMMENT.search(rule)
    return (found[1] or found[2] or "") if found else ""


def _origins(chains: Mapping[str, str], lines: Mapping[str, str]) -> Callable[[str, Spec], str]:
    """What a rule stands for: in a chain of many Services its own line's object, else its chain's.

    Lines are told by their comment: the text that is handed over and the text that is kept differ in their order.
    """
    own: dict[tuple[str, str], str] = {}
    for line, origin in lines.items():
        chain = line.split(" ", 2)[1]
        if chain in _SHARED:
            own.setdefault((chain, _comment(line)), origin)
    return lambda chain, spec: (own.get((chain, _comment(spec.text))) if chain in _SHARED else None) or chains.get(chain, "")
