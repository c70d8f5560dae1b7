"""The names of kube-proxy's chains: a hash of the Service port, so that they fit into 28 characters.

Source: kube-proxy 1.34, pkg/proxy/iptables/proxier.go (portProtoHash, servicePortEndpointChainName).
"""

from __future__ import annotations

from base64 import b32encode
from functools import lru_cache
from hashlib import sha256

__all__ = ["SERVICE_CHAINS", "endpoint_chain", "external_chain", "firewall_chain", "local_chain", "port_hash", "service_chain"]

#: what kube-proxy's own per-Service chains begin with; chains of these names that nothing needs are removed
SERVICE_CHAINS = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-")


@lru_cache(maxsize=1 << 17)
def _hash(text: str) -> str:
    return b32encode(sha256(text.encode()).digest())[:16].decode()


def port_hash(port_name: str, protocol: str) -> str:
    """16 characters for one Service port. `port_name` is "ns/name" or "ns/name:port"; `protocol` in lower case."""
    return _hash(port_name + protocol)


def service_chain(port_name: str, protocol: str) -> str:
    """KUBE-SVC: all endpoints, for traffic policy Cluster."""
    return f"KUBE-SVC-{port_hash(port_name, protocol)}"


def local_chain(port_name: str, protocol: str) -> str:
    """KUBE-SVL: the endpoints on this node, for traffic policy Local."""
    return f"KUBE-SVL-{port_hash(port_name, protocol)}"


def external_chain(port_name: str, protocol: str) -> str:
    """KUBE-EXT: what came to a node port, an external IP or a load-balancer address."""
    return f"KUBE-EXT-{port_hash(port_name, protocol)}"


def firewall_chain(port_name: str, protocol: str) -> str:
    """KUBE-FW: loadBalancerSourceRanges."""
    return f"KUBE-FW-{port_hash(port_name, protocol)}"


def endpoint_chain(port_name: str, protocol: str, endpoint: str) -> str:
    """KUBE-SEP: one endpoint of one Service port. `endpoint` is "ip:port" ("[ip]:port" for IPv6)."""
    return f"KUBE-SEP-{_hash(port_name + protocol + endpoint)}"
