"""The rules of one Service port in kube-proxy's iptables mode.

Chains: KUBE-SVC all endpoints, KUBE-SVL those on this node, KUBE-EXT what came from outside, KUBE-FW the
source ranges of a load balancer, KUBE-SEP one endpoint.
Source: kube-proxy 1.34, pkg/proxy/iptables/proxier.go (syncProxyRules, writeServiceToEndpointRules).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from .endpoint_view import Categories, ProxyEndpoint, ServicePort, categorize
from .iptables_base import LOCALHOST_COUNTER
from .iptables_names import endpoint_chain, external_chain, firewall_chain, local_chain, service_chain
from .kube_proxy import KubeProxy, LocalDetector
from .node import NodeView

__all__ = ["PortRules", "Ruleset", "probability"]


def probability(n: int) -> str:
    """1/n as kube-proxy prints it: ten decimals."""
    return f"{1 / n:.10f}"


@dataclass(slots=True)
class Ruleset:
    """Lines in the making, per table; chains and rules are kept apart as kube-proxy hands them over."""

    filter_rules: list[str] = field(default_factory=list)
    nat_chains: list[str] = field(default_factory=list)
    nat_rules: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)  # chain -> what it stands for
    rule_origins: dict[str, str] = field(default_factory=dict)  # rule -> the Service port it serves

    def chain(self, name: str, origin: str) -> None:
        self.nat_chains.append(name)
        self.origins[name] = origin


@dataclass(slots=True)
class PortRules:
    """Writes the rules of one Service port on one node."""

    out: Ruleset
    port: ServicePort
    node: NodeView
    options: KubeProxy
    detector: LocalDetector | None
    comments: bool  # False in large-cluster mode: endpoint rules carry no comments
    localhost_counter: bool = False
    unchanged: bool = False  # in a partial sync: its chains are as they were, and stay out of the text

    def write(self) -> None:
        port, found = self.port, categorize(self.port, self.node)
        title, protocol = port.title, port.protocol.lower()
        cluster_chain, local = service_chain(title, protocol), local_chain(title, protocol)
        external, firewall = external_chain(title, protocol), firewall_chain(title, protocol)

        internal_chain = local if port.internal_policy_local else cluster_chain
        has_internal = found.has_any and (not port.internal_policy_local or bool(found.local))
        has_external = found.has_any and (not port.external_policy_local or bool(found.local))
        uses_firewall = found.has_any and bool(port.load_balancer_vips and port.load_balancer_source_ranges)

        self._capture_cluster_ip(found, has_internal, internal_chain)
        self._capture_external_ips(found, has_external, external)
        self._capture_load_balancer(found, has_external, firewall if uses_firewall else external, firewall if uses_firewall else "")
        self._capture_node_port(found, has_external, external)
        self._capture_health_check()
        if self.unchanged:
            self.out = replace(self.out, nat_chains=[], nat_rules=[])

        if has_internal:
            self._mark_internal(internal_chain)
        if found.has_any and port.externally_accessible:
            self._external_chain(external, cluster_chain, local if port.external_policy_local else cluster_chain, has_external)
        if uses_firewall:
            self._firewall_chain(firewall, external)
        if found.cluster:
            self.out.chain(cluster_chain, port.origin)
            self._choose(cluster_chain, found.cluster)
        if found.local:
            self.out.chain(local, f"{port.origin}, endpoints on {self.node.name}")
            self._choose(local, found.local)
        for endpoint in found.reachable:
            self._endpoint_chain(endpoint)

    # --- lines -------------------------------------------------------------------------------------------------
    def _nat(self, rule: str) -> None:
        self.out.nat_rules.append(rule)
        self.out.rule_origins[rule] = self.port.origin

    def _filter(self, rule: str) -> None:
        self.out.filter_rules.append(rule)
        self.out.rule_origins[rule] = self.port.origin

    def _to(self, address: str) -> str:
        protocol = self.port.protocol.lower()
        return f"-m {protocol} -p {protocol} -d {address} --dport {self.port.port}"

    def _refuse(self, has_any: bool) -> tuple[str, str]:
        """Nothing anywhere: refuse. Something, but nothing that this node may use: drop, and the client waits."""
        if not has_any:
            return f'"{self.port.title} has no endpoints"', "REJECT"
        return f'"{self.port.title} has no local endpoints"', "DROP"

    # --- what is caught ----------------------------------------------------------------------------------------
    def _capture_cluster_ip(self, found: Categories, usable: bool, chain: str) -> None:
        to = self._to(self.port.cluster_ip)
        if usable:
            self._nat(f'-A KUBE-SERVICES -m comment --comment "{self.port.title} cluster IP" {to} -j {chain}')
            return
        comment, target = self._refuse(found.has_any)
        self._filter(f"-A KUBE-SERVICES -m comment --comment {comment} {to} -j {target}")

    def _capture_external_ips(self, found: Categories, usable: bool, chain: str) -> None:
        comment, target = self._refuse(found.has_any)
        for ip in self.port.external_ips:
            if found.has_any:
                self._nat(f'-A KUBE-SERVICES -m comment --comment "{self.port.title} external IP" {self._to(ip)} -j {chain}')
            if not usable:
                self._filter(f"-A KUBE-EXTERNAL-SERVICES -m comment --comment {comment} {self._to(ip)} -j {target}")

    def _capture_load_balancer(self, found: Categories, usable: bool, chain: str, firewall: str) -> None:
        title = self.port.title
        for ip in self.port.load_balancer_vips:
            if found.has_any:
                self._nat(f'-A KUBE-SERVICES -m comment --comment "{title} loadbalancer IP" {self._to(ip)} -j {chain}')
            if firewall:
                comment = f'"{title} traffic not accepted by {firewall}"'
                self._filter(f"-A KUBE-PROXY-FIREWALL -m comment --comment {comment} {self._to(ip)} -j DROP")
        if not usable:
            comment, target = self._refuse(found.has_any)
            for ip in self.port.load_balancer_vips:
                self._filter(f"-A KUBE-EXTERNAL-SERVICES -m comment --comment {comment} {self._to(ip)} -j {target}")

    def _capture_node_port(self, found: Categories, usable: bool, chain: str) -> None:
        port = self.port
        if not port.node_port:
            return
        protocol = port.protocol.lower()
        head = f"-A KUBE-NODEPORTS -m comment --comment {port.title} -m {protocol} -p {protocol}"
        if found.has_any:
            if self.localhost_counter:
                counter = f"-m nfacct --nfacct-name {LOCALHOST_COUNTER}"
                self._nat(f"{head} -d 127.0.0.0/8 --dport {port.node_port} {counter} -j {chain}")
            self._nat(f"{head} --dport {port.node_port} -j {chain}")
        if not usable:
            comment, target = self._refuse(found.has_any)
            match = f"-m addrtype --dst-type LOCAL -m {protocol} -p {protocol} --dport {port.node_port}"
            self._filter(f"-A KUBE-EXTERNAL-SERVICES -m comment --comment {comment} {match} -j {target}")

    def _capture_health_check(self) -> None:
        if number := self.port.health_check_node_port:
            comment = f'"{self.port.title} health check node port"'
            self._filter(f"-A KUBE-NODEPORTS -m comment --comment {comment} -m tcp -p tcp --dport {number} -j ACCEPT")

    # --- where it goes -----------------------------------------------------------------------------------------
    def _mark_internal(self, chain: str) -> None:
        match = f'-m comment --comment "{self.port.title} cluster IP" {self._to(self.port.cluster_ip)}'
        if self.options.masquerade_all:
            self._nat(f"-A {chain} {match} -j KUBE-MARK-MASQ")
        elif self.detector:
            # somebody outside may route the Service network to this node: the answer has to come back this way
            self._nat(f"-A {chain} {match} {self.detector.if_not_local} -j KUBE-MARK-MASQ")

    def _external_chain(self, chain: str, cluster_chain: str, policy_chain: str, usable: bool) -> None:
        title = self.port.title
        self.out.chain(chain, f"{self.port.origin}, from outside")
        if not self.port.external_policy_local:
            comment = f'"masquerade traffic for {title} external destinations"'
            self._nat(f"-A {chain} -m comment --comment {comment} -j KUBE-MARK-MASQ")
        else:
            if self.detector:
                # a pod that asks for the outside address: as if it went out to the load balancer and came back in
                comment = f'"pod traffic for {title} external destinations"'
                self._nat(f"-A {chain} -m comment --comment {comment} {self.detector.if_local} -j {cluster_chain}")
            local = "-m addrtype --src-type LOCAL"
            mark, route = (f'"{verb} LOCAL traffic for {title} external destinations"' for verb in ("masquerade", "route"))
            self._nat(f"-A {chain} -m comment --comment {mark} {local} -j KUBE-MARK-MASQ")
            self._nat(f"-A {chain} -m comment --comment {route} {local} -j {cluster_chain}")
        if usable:
            self._nat(f"-A {chain} -j {policy_chain}")

    def _firewall_chain(self, chain: str, external: str) -> None:
        port, own = self.port, self.node.primary_ip(6 if ":" in self.port.cluster_ip else 4)
        self.out.chain(chain, f"{port.origin}, source ranges")
        head = f'-A {chain} -m comment --comment "{port.title} loadbalancer IP"'
        from_node = False
        for cidr in port.load_balancer_source_ranges:
            self._nat(f"{head} -s {cidr} -j {external}")
            from_node = from_node or (bool(own) and ip_address(own) in ip_network(cidr))
        if from_node:
            # where the address is bound on the node, the node's own request carries it as its source
            for ip in port.load_balancer_vips:
                self._nat(f"{head} -s {ip} -j {external}")
        self._nat(f'-A {chain} -m comment --comment "other traffic to {port.title} will be dropped by KUBE-PROXY-FIREWALL"')

    def _choose(self, chain: str, endpoints: Sequence[ProxyEndpoint]) -> None:
        title, protocol = self.port.title, self.port.protocol.lower()
        heads, targets = [], []
        for endpoint in endpoints:
            comment = f' -m comment --comment "{title} -> {endpoint}"' if self.comments else ""
            heads.append(f"-A {chain}{comment}")
            targets.append(endpoint_chain(title, protocol, str(endpoint)))
        if (seconds := self.port.affinity_seconds) is not None:
            for head, target in zip(heads, targets, strict=True):
                self._nat(f"{head} -m recent --name {target} --rcheck --seconds {seconds} --reap -j {target}")
        count = len(endpoints)
        for i, (head, target) in enumerate(zip(heads, targets, strict=True)):
            chance = f" -m statistic --mode random --probability {probability(count - i)}" if i < count - 1 else ""
            self._nat(f"{head}{chance} -j {target}")

    def _endpoint_chain(self, endpoint: ProxyEndpoint) -> None:
        port, protocol = self.port, self.port.protocol.lower()
        chain = endpoint_chain(port.title, protocol, str(endpoint))
        self.out.chain(chain, f"endpoint {endpoint}")
        head = f"-A {chain} -m comment --comment {port.title}" if self.comments else f"-A {chain}"
        self._nat(f"{head} -s {endpoint.ip} -j KUBE-MARK-MASQ")  # a pod that reaches itself through its Service
        recent = f" -m recent --name {chain} --set" if port.affinity_seconds is not None else ""
        self._nat(f"{head}{recent} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}")
