"""What every backend of flannel is: a way to carry packets to another node's subnet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...kernel.namespace import Namespace
from ..result import CniError
from .leases import Lease
from .options import Flannel

__all__ = ["ORIGIN", "Backend", "underlay"]

ORIGIN = "DaemonSet kube-flannel/kube-flannel-ds"


class Backend(Protocol):
    """One backend. It writes entries into nodes; it never decides a path. A node's leases are one per family."""

    type: str

    def mtu(self, underlay: int, options: Flannel) -> int:
        """The MTU of pods in bytes, from that of the node's interface."""
        ...

    def start(self, node: Namespace, mine: Sequence[Lease], options: Flannel) -> None:
        """The node's own devices. Raises CniError for what the daemon cannot start with."""
        ...

    def add(self, node: Namespace, mine: Sequence[Lease], other: Sequence[Lease], options: Flannel) -> list[str]:
        """The entries for another node's subnets; gives the daemon's error lines, none if all went well."""
        ...


def underlay(node: Namespace, lease: Lease) -> str:
    """The device that has the node's address. Raises CniError."""
    dev = node.local_device(lease.address)
    if dev is None:
        raise CniError(999, f"failed to find interface with address {lease.address} on {lease.node}")
    return dev


def on_link(node: Namespace, address: str) -> bool:
    """Is an address reached without a gateway, as the routing table says now? (pkg/ip/iface.go DirectRouting)"""
    route = node.fib(6 if ":" in address else 4).lookup(address)
    return route is not None and not route.via and route.type == "unicast"
