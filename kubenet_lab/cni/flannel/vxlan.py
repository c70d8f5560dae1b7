"""Backend vxlan: the device flannel.VNI (flannel-v6.VNI), and per remote node a route, a permanent neighbour and an FDB entry.

With DirectRouting a node that is reached without a gateway gets a plain route instead. Source: flannel-io/flannel pkg/backend/vxlan.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CommandError
from ...kernel.links import VxlanOptions
from ...kernel.namespace import Namespace
from ...kernel.vxlan import largest_mtu
from .backend import ORIGIN, on_link, underlay
from .leases import Lease
from .options import Flannel

__all__ = ["OVERHEAD", "VxlanBackend"]

#: outer Ethernet, IPv4, UDP and VXLAN headers, in bytes; the daemon takes it for IPv6 too, whose header has 20 bytes more
OVERHEAD = 50


class VxlanBackend:
    type = "vxlan"

    def mtu(self, underlay: int, options: Flannel) -> int:
        return (underlay if options.mtu is None else options.mtu) - OVERHEAD

    def start(self, node: Namespace, mine: Sequence[Lease], options: Flannel) -> None:
        for lease in mine:
            self._device(node, lease, options)

    def _device(self, node: Namespace, lease: Lease, options: Flannel) -> None:
        dev, name = underlay(node, lease), options.device(lease.family)
        assert options.port is not None
        wanted = VxlanOptions(options.vni, lease.address, dev, options.port, options.learning)
        link = node.links.get(name)
        if link is not None and link.vxlan != wanted:
            # the daemon deletes a device that does not fit and makes it anew
            node.remove_link(name)
            link = None
        if link is None:
            # the kernel takes no more than fits: over IPv6 it is 20 bytes less than what the pods are told
            mtu = min(self.mtu(node.link(dev).mtu, options), largest_mtu(node.link(dev).mtu, lease.family))
            node.add_link(name, "vxlan", mac=lease.vtep_mac, mtu=mtu, vxlan=wanted, origin=ORIGIN)
            node.add_address(name, lease.host)

    def add(self, node: Namespace, mine: Sequence[Lease], other: Sequence[Lease], options: Flannel) -> list[str]:
        return [line for lease in other if (line := self._add(node, lease, options))]

    def _add(self, node: Namespace, other: Lease, options: Flannel) -> str:
        if options.direct_routing and on_link(node, other.public_ip):
            try:
                node.add_route(other.subnet, via=other.public_ip, origin=ORIGIN, replace_existing=True)
            except CommandError:
                return f"Error adding route to {other.subnet} via {other.public_ip}: network is unreachable"
            return ""
        device = options.device(other.family)
        node.add_neighbour(other.vtep_ip, other.vtep_mac, device, origin=ORIGIN)
        node.add_fdb(other.vtep_mac, device, dst=other.public_ip, origin=ORIGIN)
        # last, as the daemon does: with the route first, traffic would ask by ARP
        node.add_route(other.subnet, dev=device, via=other.vtep_ip, onlink=True, origin=ORIGIN, replace_existing=True)
        return ""
