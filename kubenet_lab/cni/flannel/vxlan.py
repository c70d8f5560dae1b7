"""Backend vxlan: the device flannel.VNI, and per remote node a route, a permanent neighbour and an FDB entry.

With DirectRouting a node that is reached without a gateway gets a plain route instead. Source: flannel-io/flannel pkg/backend/vxlan.
"""

from __future__ import annotations

from ...errors import CommandError
from ...kernel.links import VxlanOptions
from ...kernel.namespace import Namespace
from .backend import ORIGIN, underlay
from .leases import Lease
from .options import Flannel

__all__ = ["OVERHEAD", "VxlanBackend"]

#: outer Ethernet, IPv4, UDP and VXLAN headers, in bytes
OVERHEAD = 50


class VxlanBackend:
    type = "vxlan"

    def mtu(self, underlay: int, options: Flannel) -> int:
        return (underlay if options.mtu is None else options.mtu) - OVERHEAD

    def start(self, node: Namespace, lease: Lease, options: Flannel) -> None:
        dev = underlay(node, lease)
        wanted = VxlanOptions(options.vni, lease.address, dev, options.port, options.learning)
        link = node.links.get(options.device)
        if link is not None and link.vxlan != wanted:
            # the daemon deletes a device that does not fit and makes it anew
            node.remove_link(options.device)
            link = None
        if link is None:
            mtu = self.mtu(node.link(dev).mtu, options)
            node.add_link(options.device, "vxlan", mac=lease.vtep_mac, mtu=mtu, vxlan=wanted, origin=ORIGIN)
            # /32, so that no route to the subnet comes with it: it is a source address for what the node itself sends to pods
            node.add_address(options.device, f"{lease.vtep_ip}/32")

    def add(self, node: Namespace, mine: Lease, other: Lease, options: Flannel) -> str:
        if options.direct_routing:
            route = node.fib(4).lookup(other.public_ip)
            if route is not None and not route.via and route.type == "unicast":
                try:
                    node.add_route(other.subnet, via=other.public_ip, origin=ORIGIN, replace_existing=True)
                except CommandError:
                    return f"Error adding route to {other.subnet} via {other.public_ip}: network is unreachable"
                return ""
        node.add_neighbour(other.vtep_ip, other.vtep_mac, options.device, origin=ORIGIN)
        node.add_fdb(other.vtep_mac, options.device, dst=other.public_ip, origin=ORIGIN)
        # last, as the daemon does: with the route first, traffic would ask by ARP
        node.add_route(other.subnet, dev=options.device, via=other.vtep_ip, onlink=True, origin=ORIGIN, replace_existing=True)
        return ""
