"""A cloud's balancer: an address outside the cluster, behind it a machine that sends each connection to a node port of a healthy node.

The machine is programmed like a node is: it translates the destination to a node and its node port, the source to its own address. How a
balancer chooses, and what it says without a backend, is the cloud's matter; here: evenly, and nothing. The API leaves it to the cloud
whether it heeds loadBalancerSourceRanges; this one does, by the address that it sees.
Source: Kubernetes 1.34, staging/src/k8s.io/cloud-provider/service/helpers/helper.go (health check: healthCheckNodePort with policy Local,
else kube-proxy's healthz on 10256; GetLoadBalancerSourceRanges), KEP-1860 (ipMode).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from ..errors import KubenetError, Problem
from ..objects.snapshot import Snapshot
from ..objects.views import Service
from .endpoint_view import external_policy_local, join
from .iptables_port import probability
from .load_balancer import Document, address_pool, addresses, eligible, families_of, given, is_mine, with_ingress
from .node import NodeView

__all__ = ["CloudLoadBalancer", "balancer_rules"]

SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


@dataclass(frozen=True, slots=True)
class CloudLoadBalancer:
    """`pool`: addresses that the cloud gives out. `ip_mode` "Proxy": clients inside go by the balancer too, kube-proxy makes no rule."""

    pool: tuple[str, ...] = ("198.51.100.0/24",)
    ip_mode: str = "VIP"
    load_balancer_class: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", (self.pool,) if isinstance(self.pool, str) else tuple(self.pool))
        address_pool(self.pool, "CloudLoadBalancer pool")
        if self.ip_mode not in ("VIP", "Proxy"):
            raise KubenetError(f"CloudLoadBalancer ip_mode: found {self.ip_mode!r}, expected 'VIP' or 'Proxy'")

    @property
    def name(self) -> str:
        return "cloud"

    def assign(self, snapshot: Snapshot) -> tuple[list[Document], list[Problem]]:
        """Each Service gets the first free address of each of its families, what it asks for in loadBalancerIP first."""
        pool = address_pool(self.pool, "CloudLoadBalancer pool")
        mine = [s for s in snapshot.list(Service) if is_mine(s, self.load_balancer_class)]
        taken: set[str] = set()
        chosen: dict[str, tuple[str, ...]] = {}
        problems = []
        for service in sorted(mine, key=lambda s: (not given(s), s.key)):
            kept = [ip for ip in given(service) if ip not in taken and any(ip_address(ip) in ip_network(c) for c in pool)]
            found = []
            for family in families_of(service):
                asked = service.spec.load_balancer_ip
                options = [*([asked] if asked and (":" in asked) == (family == 6) else []), *kept]
                ip = next((a for a in options if (":" in a) == (family == 6) and a not in taken), "")
                ip = ip or next((a for a in addresses(_usable(pool), family) if a not in taken), "")
                if ip:
                    found.append(ip)
                    taken.add(ip)
            chosen[service.key] = tuple(found)
            if not found:
                problems.append(Problem("the balancer's pool has no free address", "status.loadBalancer", f"Service {service.key}"))
        return [d for s in mine if (d := with_ingress(snapshot, s, chosen[s.key], self.ip_mode)) is not None], problems


def _usable(pool: Sequence[str]) -> list[str]:
    """Without network and broadcast addresses."""
    out: list[str] = []
    for cidr in pool:
        network = ip_network(cidr)
        out += (
            [cidr]
            if network.num_addresses <= 2
            else [f"{a}/{network.max_prefixlen}" for _, a in zip(range(512), network.hosts(), strict=False)]
        )
    return out


def source_ranges(service: Service, family: int) -> tuple[str, ...]:
    """The clients that may come, as networks of one family; empty: everybody. The annotation counts where the field says nothing."""
    texts = service.spec.load_balancer_source_ranges or service.metadata.annotations.get(SOURCE_RANGES, "").split(",")
    found = (str(ip_network(t.strip(), strict=False)) for t in texts if t.strip() and (6 if ":" in t else 4) == family)
    ranges = tuple(dict.fromkeys(found))
    return () if any(r.endswith("/0") for r in ranges) else ranges


def balancer_rules(snapshot: Snapshot, option: CloudLoadBalancer, healthy: Callable[[str, int], bool], family: int = 4) -> str:
    """What the balancer does, as text for iptables-restore: one even choice per Service port among the nodes that it found healthy.

    `healthy`: does the health check at this address and port answer 200; port 0 is kube-proxy's own.
    """
    backends = [ip for n in eligible(snapshot) if (ip := NodeView.of(n).primary_ip(family))]
    nat, drop = [], []
    for service in (s for s in snapshot.list(Service) if is_mine(s, option.load_balancer_class)):
        check = service.spec.health_check_node_port if external_policy_local(service) else 0
        found = [ip for ip in backends if healthy(ip, check)] if given(service) else []
        sources = source_ranges(service, family)
        for ip in [a for a in given(service) if (6 if ":" in a else 4) == family]:
            for port in service.spec.ports:
                protocol = port.protocol.lower()
                to = f"-d {ip} -p {protocol} -m {protocol} --dport {port.port}"
                comment = f'-m comment --comment "{service.key}:{port.name or port.port}"'
                if not found or not port.node_port:
                    drop.append(f"-A INPUT {to} {comment} -j DROP")
                    continue
                for source in sources or ("",):
                    client = f" -s {source}" if source else ""
                    for i, node in enumerate(found):
                        left = len(found) - i
                        chance = f" -m statistic --mode random --probability {probability(left)}" if left > 1 else ""
                        nat.append(f"-A PREROUTING{client} {to} {comment}{chance} -j DNAT --to-destination {join(node, port.node_port)}")
                if sources:
                    others = f'-m comment --comment "{service.key}:{port.name or port.port}: not in loadBalancerSourceRanges"'
                    drop.append(f"-A INPUT {to} {others} -j DROP")
    if nat:
        nat.append("-A POSTROUTING -m conntrack --ctstate DNAT -j MASQUERADE")
    return "\n".join(["*nat", *nat, "COMMIT", "*filter", *drop, "COMMIT"]) + "\n"
