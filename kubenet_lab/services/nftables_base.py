"""What kube-proxy's nftables mode always writes: the table, base chains with their priorities, sets, maps and the rules between them.

Source: kube-proxy 1.34, pkg/proxy/nftables/proxier.go (nftablesBaseChains, nftablesJumpChains, setupNFTables).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .kube_proxy import KubeProxy

__all__ = ["CHAIN_ORIGINS", "Transaction", "set_up"]

TABLE = "kube-proxy"
REJECT = "reject-chain"
MARK = "mark-for-masquerade"

#: name, type, hook, priority
BASE_CHAINS = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
)
#: (chain, the base chain that jumps to it, which packets)
JUMPS = (
    ("nodeport-endpoints-check", "filter-input", "ct state new"),
    ("service-endpoints-check", "filter-input", "ct state new"),
    ("service-endpoints-check", "filter-forward", "ct state new"),
    ("service-endpoints-check", "filter-output", "ct state new"),
    ("firewall-check", "filter-prerouting-pre-dnat", "ct state new"),
    ("firewall-check", "filter-output-pre-dnat", "ct state new"),
    ("services", "nat-output", ""),
    ("services", "nat-prerouting", ""),
    ("masquerading", "nat-postrouting", ""),
    ("cluster-ips-check", "filter-forward", "ct state new"),
    ("cluster-ips-check", "filter-output", "ct state new"),
)
#: what the fixed chains are for
CHAIN_ORIGINS = {
    **{name: f"kube-proxy: {hook}" for name, _, hook, _ in BASE_CHAINS},
    "nodeport-endpoints-check": "kube-proxy: node ports without endpoints",
    "service-endpoints-check": "kube-proxy: Service addresses without endpoints",
    "firewall-check": "kube-proxy: load-balancer source ranges",
    "services": "kube-proxy: all Service addresses",
    "masquerading": "kube-proxy: masquerade",
    "cluster-ips-check": "kube-proxy: ClusterIPs",
    MARK: "kube-proxy: mark for masquerade",
    REJECT: "kube-proxy: refuses",
}


@dataclass(slots=True)
class Transaction:
    """Commands for `nft -f -` in the making, where nothing of kube-proxy is there yet (sigs.k8s.io/knftables)."""

    family: int
    lines: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)  # chain -> what it stands for
    made: set[str] = field(default_factory=set)
    values: dict[tuple[str, str], str] = field(default_factory=dict)  # (set or map, key) -> value

    @property
    def ip(self) -> str:
        return "ip" if self.family == 4 else "ip6"

    @property
    def addr(self) -> str:
        return "ipv4_addr" if self.family == 4 else "ipv6_addr"

    def _do(self, verb: str, thing: str, name: str, tail: str = "") -> None:
        self.lines.append(f"{verb} {thing} {self.ip} {TABLE}{f' {name}' if name else ''}{f' {tail}' if tail else ''}")

    def table(self, comment: str) -> None:
        self._do("add", "table", "", f'{{ comment "{comment}" ; }}')

    def add_chain(self, name: str, properties: str = "") -> None:
        self._do("add", "chain", name, f"{{ {properties} ; }}" if properties else "")

    def flush(self, thing: str, name: str) -> None:
        self._do("flush", thing, name)

    def delete(self, thing: str, name: str) -> None:
        self._do("delete", thing, name)

    def ensure_chain(self, name: str, origin: str = "") -> None:
        """There, and empty; once in a transaction."""
        if name in self.made:
            return
        self.made.add(name)
        if origin:
            self.origins[name] = origin
        self.add_chain(name)
        self.flush("chain", name)

    def rule(self, chain: str, *words: Any, comment: str = "") -> None:
        text = " ".join(str(w) for w in words if w not in ("", None))
        self._do("add", "rule", chain, text + (f' comment "{comment}"' if comment else ""))

    def set(self, name: str, type_: str, more: str = "") -> None:
        self._do("add", "set", name, f"{{ type {type_} ; {more}{' ' if more else ''}}}")

    def map(self, name: str, type_: str, comment: str) -> None:
        self._do("add", "map", name, f'{{ type {type_} : verdict ; comment "{comment}" ; }}')

    def element(self, where: str, key: Sequence[Any], value: str = "", comment: str = "") -> None:
        """There, with this value: where two Services claim one address and port, the last one has it (ensureElem)."""
        name = " . ".join(map(str, key))
        had = self.values.get((where, name))
        if had == value:
            return
        if had is not None:
            self._do("delete", "element", where, f"{{ {name} }}")
        self.values[where, name] = value
        text = name + (f' comment "{comment}"' if comment else "") + (f" : {value}" if value else "")
        self._do("add", "element", where, f"{{ {text} }}")


def set_up(tx: Transaction, options: KubeProxy, service_cidrs: Sequence[str], node_ports_on: Sequence[str] | None) -> None:
    """The fixed part of a full sync. `node_ports_on`: the addresses with node ports, None: every local one."""
    ip, addr, mark = tx.ip, tx.addr, f"{1 << options.masquerade_bit:#010x}"
    tx.table("rules for kube-proxy")
    for name, *_ in BASE_CHAINS:  # made anew, since the priority of a chain cannot be changed
        tx.add_chain(name)
        tx.delete("chain", name)
    for name, kind, hook, priority in BASE_CHAINS:
        tx.add_chain(name, f"type {kind} hook {hook} priority {priority}")
        tx.flush("chain", name)
    for chain, base, packets in JUMPS:
        tx.ensure_chain(chain)
        tx.rule(base, packets, "jump", chain)
    tx.ensure_chain(MARK)

    tx.rule(MARK, "mark set mark or", mark)
    tx.rule("masquerading", "mark and", mark, "== 0 return")
    tx.rule("masquerading", "mark set mark xor", mark)
    tx.rule("masquerading", "masquerade fully-random")

    tx.set("cluster-ips", addr, 'comment "Active ClusterIPs" ;')
    tx.rule("cluster-ips-check", ip, "daddr @cluster-ips reject", comment="Reject traffic to invalid ports of ClusterIPs")
    if service_cidrs:
        tx.rule("cluster-ips-check", ip, "daddr {", ",".join(service_cidrs), "} drop", comment="Drop traffic to unallocated ClusterIPs")

    tx.set("nodeport-ips", addr, 'comment "IPs that accept NodePort traffic" ;')
    if node_ports_on is None:
        tx.delete("set", "nodeport-ips")
    else:
        tx.flush("set", "nodeport-ips")
        for address in node_ports_on:
            tx.element("nodeport-ips", (address,))

    by_address, by_port = f"{addr} . inet_proto . inet_service", "inet_proto . inet_service"
    tx.map("no-endpoint-services", by_address, "vmap to drop or reject packets to services with no endpoints")
    tx.map("no-endpoint-nodeports", by_port, "vmap to drop or reject packets to service nodeports with no endpoints")
    tx.add_chain(REJECT, 'comment "helper for @no-endpoint-services / @no-endpoint-nodeports"')
    tx.flush("chain", REJECT)
    tx.rule(REJECT, "reject")

    no_localhost = "ip daddr != 127.0.0.0/8" if tx.family == 4 else "ip6 daddr != ::1"
    here = no_localhost if node_ports_on is None else f"{ip} daddr @nodeport-ips"
    look_up = f"{ip} daddr . meta l4proto . th dport vmap"
    tx.rule("service-endpoints-check", look_up, "@no-endpoint-services")
    tx.rule("nodeport-endpoints-check", here, "meta l4proto . th dport vmap @no-endpoint-nodeports")
    tx.map("firewall-ips", by_address, "destinations that are subject to LoadBalancerSourceRanges")
    tx.rule("firewall-check", look_up, "@firewall-ips")
    tx.map("service-ips", by_address, "ClusterIP, ExternalIP and LoadBalancer IP traffic")
    tx.map("service-nodeports", by_port, "NodePort traffic")
    tx.rule("services", look_up, "@service-ips")
    local = "fib daddr type local " if node_ports_on is None else ""
    tx.rule("services", f"{local}{here}", "meta l4proto . th dport vmap @service-nodeports")
