"""The names of kube-proxy's nftables chains and sets: a short hash before the Service port in plain words.

Source: kube-proxy 1.34, pkg/proxy/nftables/proxier.go (hashAndTruncate, servicePortChainNameBase, servicePortEndpointChainNameBase).
"""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256

from .endpoint_view import ProxyEndpoint, ServicePort

__all__ = ["endpoint_base", "port_base"]

#: the longest name that nftables takes is 256 characters; the longest prefix has 16
LONGEST = 240


def _hashed(name: str) -> str:
    name = f"{b32encode(sha256(name.encode()).digest())[:8].decode()}-{name}"
    return name if len(name) <= LONGEST else name[: LONGEST - 3] + "..."


def port_base(port: ServicePort) -> str:
    """ "ULMVA6XW-ns1/svc1/tcp/p80": what follows "service-", "local-", "external-" and "firewall-"."""
    return _hashed(f"{port.namespace}/{port.name}/{port.protocol.lower()}/{port.port_name}")


def endpoint_base(port: ServicePort, endpoint: ProxyEndpoint) -> str:
    """ "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80": what follows "endpoint-" and "affinity-"."""
    ip = endpoint.ip.replace(":", ".")
    return _hashed(f"{port.namespace}/{port.name}/{port.protocol.lower()}/{port.port_name}__{ip}/{endpoint.port}")
