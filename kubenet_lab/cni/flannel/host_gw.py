"""Backend host-gw: one route per remote node, by that node's own address. Nothing is wrapped, so all nodes must share a wire.

A node that is not on-link gets no route: the kernel refuses it as a gateway, and the daemon logs that and goes on.
Sources: flannel-io/flannel pkg/backend/hostgw, pkg/backend/route_network.go; Linux net/ipv4/fib_semantics.c fib_check_nh.
"""

from __future__ import annotations

from ...errors import CommandError
from ...kernel.namespace import Namespace
from ..result import CniError
from .backend import ORIGIN, underlay
from .leases import Lease
from .options import Flannel

__all__ = ["HostGwBackend"]


class HostGwBackend:
    type = "host-gw"

    def mtu(self, underlay: int, options: Flannel) -> int:
        """The interface's: the backend reads no MTU from net-conf.json."""
        return underlay

    def start(self, node: Namespace, lease: Lease, options: Flannel) -> None:
        underlay(node, lease)
        if lease.public_ip != lease.address:
            raise CniError(
                999, "your PublicIP differs from interface IP, meaning that probably you're on a NAT, "
                "which is not supported by host-gw backend",
            )  # fmt: skip

    def add(self, node: Namespace, mine: Lease, other: Lease, options: Flannel) -> str:
        dev = underlay(node, mine)
        try:
            node.add_route(other.subnet, via=other.public_ip, dev=dev, origin=ORIGIN, replace_existing=True)
        except CommandError:
            # as the vendored netlink library prints a route
            index = node.link(dev).index
            route = f"{{Ifindex: {index} Dst: {other.subnet} Src: <nil> Gw: {other.public_ip} Flags: [] Table: 0 Realm: 0}}"
            return f"Error adding route to {route}: network is unreachable"
        return ""
