"""Leases with the kube subnet manager: a node's spec.podCIDRs *are* its leases; the rest stands in node annotations.

What a dump shows there (public address, VTEP MAC, public key) is used as it is.
Source: flannel-io/flannel pkg/subnet/kube/{kube,annotations}.go.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...kernel.address import canonical, prefix
from ...kernel.links import mac_of
from ...objects.views import Node
from ..result import CniError
from .options import Flannel

__all__ = ["ANNOTATION", "Lease", "leases", "node_annotations"]

ANNOTATION = "flannel.alpha.coreos.com"


@dataclass(frozen=True, slots=True)
class Lease:
    """What one node has of one family's network, and how the others reach it.

    `address` is that of the node's interface, `public_ip` what the others send to: the same, unless an annotation overwrites it.
    `vtep_mac` is the vxlan device's, `public_key` wireguard's.
    """

    node: str
    subnet: str  # CIDR
    public_ip: str
    vtep_mac: str
    address: str
    public_key: str = ""

    @property
    def family(self) -> int:
        return 6 if ":" in self.subnet else 4

    @property
    def vtep_ip(self) -> str:
        """The address of the node's flannel device: the subnet's network address."""
        return self.subnet.partition("/")[0]

    @property
    def host(self) -> str:
        """`vtep_ip` as a network of its own: a source address for what the node itself sends to pods, without a route to the subnet."""
        return f"{self.vtep_ip}/{32 if self.family == 4 else 128}"

    @property
    def gateway(self) -> str:
        """The bridge's address, as subnet.env carries it: the first of the subnet, with the prefix length."""
        p = prefix(self.subnet)
        first = p.network + 1
        return f"{ipaddress.IPv4Address(first) if p.family == 4 else ipaddress.IPv6Address(first)}/{p.length}"


def _key(name: str, family: int) -> str:
    """Annotations of IPv6 have names of their own."""
    if family == 6:
        name = {"backend-data": "backend-v6-data"}.get(name, name.replace("public-ip", "public-ipv6"))
    return f"{ANNOTATION}/{name}"


def _address(node: Node, family: int) -> str:
    stated = node.metadata.annotations.get(_key("public-ip", family))
    if stated:
        return canonical(stated)
    return next((a.address for a in node.status.addresses if a.type == "InternalIP" and (":" in a.address) == (family == 6)), "")


def leases(nodes: Iterable[Node], options: Flannel) -> tuple[Lease, ...]:
    """The leases of every node, by name; one per family. Raises CniError for a node that can have none, in the daemon's words."""
    return tuple(_lease(node, family, options) for node in sorted(nodes, key=lambda n: n.name) for family in options.families)


def _lease(node: Node, family: int, options: Flannel) -> Lease:
    cidrs = node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])
    subnet = next((c for c in cidrs if (":" in c) == (family == 6)), "")
    kind = "" if family == 4 else "IPv6 "
    if not subnet:
        raise CniError(999, f'failed to acquire lease: node "{node.name}" {kind}pod cidr not assigned')
    network = options.network_of(family)
    if not prefix(network).covers(prefix(subnet)):
        raise CniError(
            999, f'failed to acquire lease: subnet "{network}" specified in the flannel net config doesn\'t contain "{subnet}" '
            f'PodCIDR of the "{node.name}" node',
        )  # fmt: skip
    try:
        ip = _address(node, family)
        public = node.metadata.annotations.get(_key("public-ip-overwrite", family)) or ip
        public = canonical(public) if public else ""
    except ValueError as e:
        raise CniError(999, f"failed to acquire lease: annotations of node {node.name}: {e}") from None
    if not ip:
        raise CniError(999, f"failed to find any valid interface to use: node {node.name} has no IPv{family} address")
    data = _backend_data(node, family)
    mac = str(data.get("VtepMAC") or "").lower() or mac_of(f"{node.name}/{options.device(family)}")
    key = str(data.get("PublicKey") or "") or _public_key(node.name)
    return Lease(node.name, str(prefix(subnet)), public, mac, ip, key)


def _backend_data(node: Node, family: int) -> dict[str, Any]:
    try:
        stated = json.loads(node.metadata.annotations.get(_key("backend-data", family)) or "{}")
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


def _public_key(node: str) -> str:
    """A stand-in for the key that the daemon draws once and keeps in /run/flannel/wgkey: 32 bytes in base64."""
    return base64.b64encode(hashlib.sha256(f"{node}/wgkey".encode()).digest()).decode()


def node_annotations(held: Sequence[Lease], options: Flannel) -> dict[str, str]:
    """What the daemon writes on its own Node object, for the others to read: `held` are its leases."""
    out = {f"{ANNOTATION}/backend-type": options.backend, f"{ANNOTATION}/kube-subnet-manager": "true"}
    for lease in held:
        values: dict[str, dict[str, Any]] = {
            "vxlan": {"VNI": options.vni, "VtepMAC": lease.vtep_mac}, "wireguard": {"PublicKey": lease.public_key},
        }  # fmt: skip
        out[_key("backend-data", lease.family)] = json.dumps(values.get(options.backend), separators=(",", ":"))
        out[_key("public-ip", lease.family)] = lease.public_ip
    return dict(sorted(out.items()))
