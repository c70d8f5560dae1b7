"""What load-balancer providers have in common: which Services are theirs, and the status by which a Service gets its address.

Without a provider a Service of type LoadBalancer stays pending: it has its ClusterIP and node ports, and no address.
Source: Kubernetes 1.34, staging/src/k8s.io/cloud-provider/controllers/service/controller.go (wantsLoadBalancer); KEP-1959
(loadBalancerClass), KEP-1860 (ipMode).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Any, Protocol

from ..errors import KubenetError, Problem
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Service

__all__ = ["EXCLUDED", "LoadBalancer", "address_pool", "eligible", "families_of", "given", "is_mine", "with_ingress"]

Document = dict[str, Any]
#: nodes with this label are no balancer's backends (KEP-1143)
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


class LoadBalancer(Protocol):
    """A provider: gives addresses to Services of type LoadBalancer. How packets find a node is programmed by the cluster."""

    @property
    def name(self) -> str: ...

    @property
    def load_balancer_class(self) -> str | None: ...

    def assign(self, snapshot: Snapshot) -> tuple[list[Document], list[Problem]]:
        """Service documents whose status changes, and what could not be given."""
        ...


def is_mine(service: Service, load_balancer_class: str | None) -> bool:
    """Of type LoadBalancer, and of this provider's class; one without a class belongs to the provider that has none."""
    return service.spec.type == "LoadBalancer" and (service.spec.load_balancer_class or None) == load_balancer_class


def given(service: Service) -> tuple[str, ...]:
    """The addresses that its status shows."""
    return tuple(str(ip_address(i.ip)) for i in service.status.load_balancer.ingress if i.ip)


def families_of(service: Service) -> tuple[int, ...]:
    """The families in which the Service has an address."""
    return tuple(4 if f == "IPv4" else 6 for f in service.spec.ip_families) or (4,)


def eligible(snapshot: Snapshot) -> tuple[Node, ...]:
    """The nodes that may be a balancer's backends."""
    return tuple(n for n in snapshot.list(Node) if EXCLUDED not in n.labels)


def with_ingress(snapshot: Snapshot, service: Service, ips: Sequence[str], ip_mode: str = "VIP") -> Document | None:
    """The Service's document with these addresses in its status; None where it shows them already."""
    document = snapshot.document("Service", service.name, service.namespace) or {}
    wanted = [{"ip": ip, "ipMode": ip_mode} for ip in ips]
    status = document.get("status") or {}
    if ((status.get("loadBalancer") or {}).get("ingress") or []) == wanted:
        return None
    out = copy.deepcopy(document)
    out["status"] = {**status, "loadBalancer": {"ingress": wanted} if wanted else {}}
    return out


def address_pool(texts: Collection[str], what: str) -> tuple[str, ...]:
    """CIDRs of a pool that is written as CIDRs and ranges "192.168.50.240-192.168.50.250". Raises KubenetError."""
    out: list[str] = []
    for text in texts:
        try:
            low, dash, high = text.partition("-")
            if dash:
                first, last = ip_address(low.strip()), ip_address(high.strip())
                out += [str(n) for n in summarize_address_range(first, last)]
            else:
                out.append(str(ip_network(text.strip())))
        except (ValueError, TypeError):
            raise KubenetError(f"{what}: found {text!r}, expected a CIDR or a range such as 192.168.50.240-192.168.50.250") from None
    return tuple(out)


def addresses(pool: Collection[str], family: int) -> Iterator[str]:
    """Every address of the pool's CIDRs of one family, in their order."""
    for cidr in pool:
        network = ip_network(cidr)
        if network.version == family:
            yield from (str(a) for a in network)
