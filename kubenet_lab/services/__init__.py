"""Services: which address a Service gets, which pods stand behind it, and the rules by which a node finds them.

allocation.py gives out ClusterIPs and node ports, endpoints.py makes EndpointSlices, endpoint_view.py is what a proxy
sees of them, iptables_proxy.py and nftables_proxy.py what kube-proxy writes. metallb.py and cloud.py give
addresses to Services of type LoadBalancer. why.py says why a Service has no endpoint.
"""

from __future__ import annotations

from .allocation import Allocated, ServiceNetwork, allocate
from .cloud import CloudLoadBalancer, balancer_rules
from .conntrack import stale_entries
from .endpoint_view import Categories, ProxyEndpoint, ServicePort, categorize, service_ports
from .endpoints import EndpointChanges, slices
from .iptables_proxy import HealthCheck, IptablesText, health_checks, rules
from .kube_proxy import KubeProxy, serves_loopback
from .load_balancer import LoadBalancer
from .metallb import MetalLB, announcers
from .nftables_proxy import NftablesText, nft_rules
from .node import NodeView
from .why import why_no_endpoints, why_not_an_endpoint

__all__ = [
    "Allocated", "Categories", "CloudLoadBalancer", "EndpointChanges", "HealthCheck", "IptablesText", "KubeProxy", "LoadBalancer",
    "MetalLB", "NftablesText", "NodeView", "ProxyEndpoint", "ServiceNetwork", "ServicePort", "allocate", "announcers", "balancer_rules",
    "categorize", "health_checks", "nft_rules", "rules", "serves_loopback", "service_ports", "slices", "stale_entries",
    "why_no_endpoints", "why_not_an_endpoint",
]  # fmt: skip
