"""Services: which address a Service gets, which pods stand behind it, and the rules by which a node finds them.

allocation.py gives out ClusterIPs and node ports, endpoints.py makes EndpointSlices, endpoint_view.py is what a proxy
sees of them, iptables_proxy.py and nftables_proxy.py what kube-proxy writes. why.py says why a Service has no endpoint.
"""

from __future__ import annotations

from .allocation import Allocated, ServiceNetwork, allocate, keep_allocated
from .endpoint_view import Categories, ProxyEndpoint, ServicePort, categorize, service_ports
from .endpoints import EndpointChanges, slices
from .iptables_proxy import HealthCheck, IptablesText, health_checks, rules
from .kube_proxy import KubeProxy, serves_loopback
from .nftables_proxy import NftablesText, nft_rules
from .node import NodeView
from .why import why_no_endpoints, why_not_an_endpoint

__all__ = [
    "Allocated", "Categories", "EndpointChanges", "HealthCheck", "IptablesText", "KubeProxy", "NftablesText", "NodeView", "ProxyEndpoint",
    "ServiceNetwork", "ServicePort", "allocate", "categorize", "health_checks", "keep_allocated", "nft_rules", "rules", "serves_loopback",
    "service_ports", "slices", "why_no_endpoints", "why_not_an_endpoint",
]  # fmt: skip
