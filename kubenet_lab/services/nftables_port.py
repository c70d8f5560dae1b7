"""The chains, elements and rules of one Service port in kube-proxy's nftables mode.

Chains: service- all endpoints, local- those on this node, external- what came from outside, firewall- the source ranges of a load
balancer, endpoint- one endpoint; affinity- sets remember clients.
Source: kube-proxy 1.34, pkg/proxy/nftables/proxier.go (syncProxyRules, writeServiceToEndpointRules).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from .endpoint_view import Categories, ProxyEndpoint, ServicePort, categorize
from .kube_proxy import KubeProxy
from .nftables_base import MARK, REJECT, Transaction
from .nftables_names import endpoint_base, port_base
from .node import NodeView

__all__ = ["PortElements"]


@dataclass(slots=True)
class PortElements:
    """Writes one Service port. `if_local` and `if_not_local`: the match for this cluster's pods, "" where kube-proxy cannot tell."""

    tx: Transaction
    port: ServicePort
    node: NodeView
    options: KubeProxy
    if_local: str
    if_not_local: str

    def write(self) -> None:
        tx, port, found = self.tx, self.port, categorize(self.port, self.node)
        base, protocol = port_base(port), port.protocol.lower()
        cluster, local, external, firewall = (f"{kind}-{base}" for kind in ("service", "local", "external", "firewall"))

        for e in found.reachable:
            tx.ensure_chain(f"endpoint-{endpoint_base(port, e)}", f"endpoint {e}" + (f", {e.target}" if e.target else ""))
        uses_cluster = bool(found.cluster) and port.uses_cluster_endpoints
        uses_local = bool(found.local) and port.uses_local_endpoints
        if uses_cluster:
            tx.ensure_chain(cluster, port.origin)
        if uses_local:
            tx.ensure_chain(local, f"{port.origin}, endpoints on {self.node.name}")
        internal = local if port.internal_policy_local else cluster
        has_internal = found.has_any and (not port.internal_policy_local or bool(found.local))
        has_external = found.has_any and (not port.external_policy_local or bool(found.local))
        uses_external = found.has_any and port.externally_accessible
        if uses_external:
            tx.ensure_chain(external, f"{port.origin}, from outside")

        refuse = "drop" if found.has_any else f"goto {REJECT}"
        tx.element("cluster-ips", (port.cluster_ip,))
        key = (port.cluster_ip, protocol, port.port)
        if has_internal:
            tx.element("service-ips", key, f"goto {internal}")
        else:
            tx.element("no-endpoint-services", key, refuse, port.title)
        for ip in port.external_ips:
            self._external(ip, found, has_external, external, refuse)
        uses_firewall = bool(port.load_balancer_vips and port.load_balancer_source_ranges)
        if uses_firewall:
            tx.ensure_chain(firewall, f"{port.origin}, source ranges")
        for ip in port.load_balancer_vips:
            if found.has_any:
                tx.element("service-ips", (ip, protocol, port.port), f"goto {external}")
            if uses_firewall:
                tx.element("firewall-ips", (ip, protocol, port.port), f"goto {firewall}")
        if not has_external:
            for ip in port.load_balancer_vips:
                tx.element("no-endpoint-services", (ip, protocol, port.port), refuse, port.title)
        if port.node_port:
            if found.has_any:
                tx.element("service-nodeports", (protocol, port.node_port), f"goto {external}")
            if not has_external:
                tx.element("no-endpoint-nodeports", (protocol, port.node_port), refuse, port.title)

        if has_internal:
            self._mark_internal(internal)
        if uses_external:
            self._external_chain(external, cluster, local if port.external_policy_local else cluster, has_external)
        if uses_firewall:
            self._firewall(firewall)
        if port.affinity_seconds is not None:
            for e in found.reachable:
                tx.set(f"affinity-{endpoint_base(port, e)}", tx.addr, f"flags dynamic,timeout ; timeout {port.affinity_seconds}s ;")
        if uses_cluster:
            self._choose(cluster, found.cluster or ())
        if uses_local:
            self._choose(local, found.local or ())
        for e in found.reachable:
            self._endpoint(e)

    def _external(self, ip: str, found: Categories, usable: bool, chain: str, refuse: str) -> None:
        key = (ip, self.port.protocol.lower(), self.port.port)
        if found.has_any:
            self.tx.element("service-ips", key, f"goto {chain}")
        if not usable:
            self.tx.element("no-endpoint-services", key, refuse, self.port.title)

    def _mark_internal(self, chain: str) -> None:
        tx, to = self.tx, f"{self.tx.ip} daddr {self.port.cluster_ip}"
        if self.options.masquerade_all:
            tx.rule(chain, to, "jump", MARK)
        elif self.if_not_local:
            tx.rule(chain, to, self.if_not_local, "jump", MARK)

    def _external_chain(self, chain: str, cluster: str, policy: str, usable: bool) -> None:
        tx = self.tx
        if not self.port.external_policy_local:
            tx.rule(chain, "jump", MARK)
        else:
            if self.if_local:
                tx.rule(chain, self.if_local, "goto", cluster, comment="short-circuit pod traffic")
            tx.rule(chain, "fib saddr type local jump", MARK, comment="masquerade local traffic")
            tx.rule(chain, "fib saddr type local goto", cluster, comment="short-circuit local traffic")
        if usable:
            tx.rule(chain, "goto", policy)

    def _firewall(self, chain: str) -> None:
        sources = list(self.port.load_balancer_source_ranges)
        own = self.node.primary_ip(self.tx.family)
        if own and any(ip_address(own) in ip_network(s) for s in sources):
            sources += self.port.load_balancer_vips  # a node that has the address itself talks to it from it
        self.tx.rule(chain, self.tx.ip, "saddr != {", ", ".join(sources), "} drop")

    def _choose(self, chain: str, endpoints: Sequence[ProxyEndpoint]) -> None:
        tx, names = self.tx, [endpoint_base(self.port, e) for e in endpoints]
        if self.port.affinity_seconds is not None:
            for name in names:
                tx.rule(chain, tx.ip, f"saddr @affinity-{name} goto endpoint-{name}")
        listed = " , ".join(f"{i} : goto endpoint-{name}" for i, name in enumerate(names))
        tx.rule(chain, "numgen random mod", len(names), f"vmap {{ {listed} }}")

    def _endpoint(self, e: ProxyEndpoint) -> None:
        tx, name = self.tx, endpoint_base(self.port, e)
        chain = f"endpoint-{name}"
        tx.rule(chain, tx.ip, "saddr", e.ip, "jump", MARK)
        if self.port.affinity_seconds is not None:
            tx.rule(chain, f"update @affinity-{name} {{ {tx.ip} saddr }}")
        tx.rule(chain, "meta l4proto", self.port.protocol.lower(), "dnat to", str(e))
