"""kube-proxy in iptables mode: the text that it hands to `iptables-restore --noflush`, for one node and one family.

A pure function of the Services, their EndpointSlices, the node and the options. Order: by
namespace and name of the Service, then its own order of ports (kube-proxy's own order of Services is that of a Go map).
Source: kube-proxy 1.34, pkg/proxy/iptables/proxier.go (syncProxyRules).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..objects.snapshot import Snapshot
from .endpoint_view import ServicePort, for_node, service_ports
from .iptables_base import CANARIES, FILTER_CHAINS, LAST_RULE, NAT_CHAINS, forward_rules, jump_text, loopback_rule, masquerade_rules
from .iptables_names import SERVICE_CHAINS
from .iptables_port import PortRules, Ruleset
from .kube_proxy import KubeProxy, local_detector, node_port_addresses, serves_loopback
from .node import NodeView

__all__ = ["HealthCheck", "IptablesText", "health_checks", "rules"]

#: what the fixed chains are for
CHAIN_ORIGINS = {
    "KUBE-SERVICES": "kube-proxy: all Service addresses",
    "KUBE-EXTERNAL-SERVICES": "kube-proxy: external addresses without endpoints",
    "KUBE-NODEPORTS": "kube-proxy: node ports",
    "KUBE-FORWARD": "kube-proxy: forwarding",
    "KUBE-PROXY-FIREWALL": "kube-proxy: load-balancer source ranges",
    "KUBE-FIREWALL": "kube-proxy: loopback guard",
    "KUBE-POSTROUTING": "kube-proxy: masquerade",
    "KUBE-MARK-MASQ": "kube-proxy: mark for masquerade",
}


@dataclass(frozen=True, slots=True)
class IptablesText:
    """What kube-proxy programs on one node in one family.

    Load `jumps` (and `canaries`) once, then `text`, each with `iptables-restore --noflush` (`ip6tables-restore` for family 6).
    `origins` says what each chain stands for; `rule_origins` which Service port a rule line serves.
    `sysctls` are the kernel settings that kube-proxy makes.
    """

    family: int
    text: str
    jumps: str
    canaries: str
    sysctls: Mapping[str, str]
    origins: Mapping[str, str]
    rule_origins: Mapping[str, str]
    large_cluster: bool = False

    def chain(self, name: str, table: str = "nat") -> tuple[str, ...]:
        """The rules of one chain, in order."""
        head = f"-A {name} "
        return tuple(line for line in self.table(table) if line.startswith(head))

    def table(self, name: str) -> tuple[str, ...]:
        """The lines of one table, without its first line and COMMIT."""
        lines = self.text.splitlines()
        start = lines.index(f"*{name}") + 1
        return tuple(lines[start : lines.index("COMMIT", start)])

    def __str__(self) -> str:
        return self.text


def rules(
    snapshot: Snapshot | Sequence[ServicePort],
    node: NodeView,
    options: KubeProxy = KubeProxy(),  # noqa: B008  (frozen)
    family: int = 4,
    existing_chains: Iterable[str] = (),
    changed: Collection[str] | None = None,
) -> IptablesText:
    """The rules of one node. Give `service_ports(snapshot, family)` instead of the snapshot to share that work between nodes.

    `existing_chains`: chains of the nat table as they are; those of kube-proxy's that nothing needs any more are removed (`-X`).
    `changed`: a partial sync (KEP-3453) after a change to these Services ("ns/name") or their slices: the others' own chains are not
    written again. None: a full sync, as after a start.
    Raises NotModelled for another mode than iptables.
    """
    options.only_iptables()
    ports = service_ports(snapshot, family) if isinstance(snapshot, Snapshot) else tuple(snapshot)
    loopback = serves_loopback(options, family)
    large = sum(len(for_node(p.endpoints, node.name)) for p in ports) > options.large_cluster_endpoints
    detector = local_detector(options, node, family)

    out = Ruleset()
    filter_chains = [*FILTER_CHAINS]
    out.nat_rules += masquerade_rules(options)
    if loopback:
        filter_chains.append("KUBE-FIREWALL")
        out.filter_rules.append(loopback_rule())
    for port in ports:
        PortRules(out, port, node, options, detector, comments=not large, localhost_counter=options.nfacct and loopback,
                  unchanged=changed is not None and port.key not in changed).write()  # fmt: skip

    stale = [c for c in sorted(set(existing_chains)) if c.startswith(SERVICE_CHAINS) and c not in out.origins]
    out.nat_rules += [f"-X {chain}" for chain in stale]
    out.nat_rules += _node_port_jumps(options, node, family, loopback)
    out.filter_rules += forward_rules(options)

    return IptablesText(
        family=family,
        text=_text(filter_chains, out.filter_rules, [*NAT_CHAINS, *out.nat_chains, *stale], out.nat_rules),
        jumps=jump_text(),
        canaries=CANARIES,
        sysctls={"net.ipv4.conf.all.route_localnet": "1"} if loopback else {},
        origins={**CHAIN_ORIGINS, **out.origins},
        rule_origins=out.rule_origins,
        large_cluster=large,
    )


def _node_port_jumps(options: KubeProxy, node: NodeView, family: int, loopback: bool) -> list[str]:
    head = f"-A KUBE-SERVICES -m comment --comment {LAST_RULE}"
    addresses = node_port_addresses(options, node, family)
    if addresses is None:
        but = " ! -d ::1/128" if family == 6 else "" if loopback else " ! -d 127.0.0.0/8"
        return [f"{head} -m addrtype --dst-type LOCAL{but} -j KUBE-NODEPORTS"]
    loopbacks = ("127.", "::1")
    return [f"{head} -d {a} -j KUBE-NODEPORTS" for a in addresses if loopback or not a.startswith(loopbacks)]


def _text(filter_chains: Sequence[str], filter_rules: Sequence[str], nat_chains: Sequence[str], nat_rules: Sequence[str]) -> str:
    def table(name: str, chains: Sequence[str], lines: Sequence[str]) -> list[str]:
        return [f"*{name}", *(f":{c} - [0:0]" for c in chains), *lines, "COMMIT"]

    return "\n".join([*table("filter", filter_chains, filter_rules), *table("nat", nat_chains, nat_rules)]) + "\n"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A healthCheckNodePort: kube-proxy answers HTTP 200 with the number of local ready endpoints, 503 when there is none."""

    port: int
    service: str  # "ns/name"
    local_endpoints: int

    @property
    def status(self) -> int:
        return 200 if self.local_endpoints else 503


def health_checks(snapshot: Snapshot | Sequence[ServicePort], node: NodeView, family: int = 4) -> tuple[HealthCheck, ...]:
    """One per Service with externalTrafficPolicy Local; terminating endpoints do not count.

    Source: pkg/proxy/endpointschangetracker.go (LocalReadyEndpoints): distinct addresses over all ports of the slices.
    """
    ports = service_ports(snapshot, family) if isinstance(snapshot, Snapshot) else tuple(snapshot)
    addresses: dict[tuple[int, str], set[str]] = {}
    for port in ports:
        if port.health_check_node_port:
            here = {e.ip for e in port.in_slices if e.node == node.name and e.ready}
            addresses.setdefault((port.health_check_node_port, port.key), set()).update(here)
    return tuple(HealthCheck(number, key, len(ips)) for (number, key), ips in sorted(addresses.items()))
