"""Backend host-gw: one route per remote node, by that node's own address. Nothing is wrapped, so all nodes must share a wire.

A node that is not on-link gets no route: the kernel refuses it as a gateway, and the daemon logs that and goes on.
Sources: flannel-io/flannel pkg/backend/hostgw, pkg/backend/route_network.go; Linux net/ipv4/fib_semantics.c fib_check_nh.
"""

from __future__ import annotations

from collections.abc import Sequence

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

    def start(self, node: Namespace, mine: Sequence[Lease], options: Flannel) -> None:
        for lease in mine:
            underlay(node, lease)
            if lease.family == 4 and lease.public_ip != lease.address:
                raise CniError(
                    999, "your PublicIP differs from interface IP, meaning that probably you're on a NAT, "
                    "which is not supported by host-gw backend",
                )  # fmt: skip

    def add(self, node: Namespace, mine: Sequence[Lease], other: Sequence[Lease], options: Flannel) -> list[str]:
        dev, lines = underlay(node, mine[0]), []
        for lease in other:
            try:
                node.add_route(lease.subnet, via=lease.public_ip, dev=dev, origin=ORIGIN, replace_existing=True)
            except CommandError:
                # the route as the vendored netlink library prints it; the error of each family is its own
                index = node.link(dev).index
                route = f"{{Ifindex: {index} Dst: {lease.subnet} Src: <nil> Gw: {lease.public_ip} Flags: [] Table: 0 Realm: 0}}"
                why = "network is unreachable" if lease.family == 4 else "no route to host"
                lines.append(f"Error adding route to {route}: {why}")
        return lines
