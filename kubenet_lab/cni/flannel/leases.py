"""Leases with the kube subnet manager: a node's spec.podCIDR *is* its lease; the rest stands in node annotations.

What a dump shows there (public address, VTEP MAC) is used as it is. Source: flannel-io/flannel pkg/subnet/kube.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from ...kernel.address import prefix
from ...kernel.links import mac_of
from ...objects.views import Node
from ..result import CniError
from .options import Flannel

__all__ = ["ANNOTATION", "Lease", "leases", "node_annotations"]

ANNOTATION = "flannel.alpha.coreos.com"


@dataclass(frozen=True, slots=True)
class Lease:
    """What one node has of the network, and how the others reach it.

    `address` is that of the node's interface, `public_ip` what the others send to: the same, unless an annotation overwrites it.
    """

    node: str
    subnet: str  # CIDR
    public_ip: str
    vtep_mac: str
    address: str

    @property
    def vtep_ip(self) -> str:
        """The address of the node's flannel device: the subnet's network address."""
        return self.subnet.partition("/")[0]

    @property
    def gateway(self) -> str:
        """The bridge's address, as subnet.env carries it: the first of the subnet, with the prefix length."""
        p = prefix(self.subnet)
        return f"{ipaddress.IPv4Address(p.network + 1)}/{p.length}"


def _address(node: Node) -> str:
    stated = node.metadata.annotations.get(f"{ANNOTATION}/public-ip")
    return stated or next((a.address for a in node.status.addresses if a.type == "InternalIP" and ":" not in a.address), "")


def leases(nodes: Iterable[Node], options: Flannel) -> tuple[Lease, ...]:
    """The lease of every node, by name. Raises CniError for a node that can have none, in the daemon's words."""
    out = []
    for node in sorted(nodes, key=lambda n: n.name):
        cidrs = node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])
        subnet = next((c for c in cidrs if ":" not in c), "")
        if not subnet:
            raise CniError(999, f'failed to acquire lease: node "{node.name}" pod cidr not assigned')
        if not prefix(options.network).covers(prefix(subnet)):
            raise CniError(
                999, f"failed to acquire lease: subnet {subnet} of node {node.name} is not in the flannel network {options.network}"
            )
        ip = _address(node)
        if not ip:
            raise CniError(999, f"failed to find any valid interface to use: node {node.name} has no IPv4 address")
        public = node.metadata.annotations.get(f"{ANNOTATION}/public-ip-overwrite") or ip
        out.append(Lease(node.name, str(prefix(subnet)), public, _vtep_mac(node, options), ip))
    return tuple(out)


def _vtep_mac(node: Node, options: Flannel) -> str:
    try:
        stated = json.loads(node.metadata.annotations.get(f"{ANNOTATION}/backend-data") or "{}")
        if mac := str(stated.get("VtepMAC") or ""):
            return mac.lower()
    except (ValueError, AttributeError):
        pass
    return mac_of(f"{node.name}/{options.device}")


def node_annotations(lease: Lease, options: Flannel) -> dict[str, str]:
    """What the daemon writes on its own Node object, for the others to read."""
    data = json.dumps({"VNI": options.vni, "VtepMAC": lease.vtep_mac}, separators=(",", ":")) if options.backend == "vxlan" else "null"
    return {
        f"{ANNOTATION}/backend-data": data, f"{ANNOTATION}/backend-type": options.backend, f"{ANNOTATION}/kube-subnet-manager": "true",
        f"{ANNOTATION}/public-ip": lease.public_ip,
    }  # fmt: skip
