"""Backend udp, the oldest: a TUN device with a route to the whole network, and the daemon itself as the program that carries packets.

Header and MTU only: what the program does is documented, not measured. Source: flannel-io/flannel pkg/backend/udp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...kernel.address import prefix
from ...kernel.links import TunOptions
from ...kernel.namespace import Namespace
from .backend import ORIGIN, underlay
from .leases import Lease
from .options import Flannel

__all__ = ["UdpBackend"]

#: IPv4 and UDP header, in bytes
OVERHEAD = 28


class UdpBackend:
    type = "udp"

    def mtu(self, underlay: int, options: Flannel) -> int:
        return underlay - OVERHEAD

    def start(self, node: Namespace, mine: Sequence[Lease], options: Flannel) -> None:
        (lease,) = mine
        dev, name = underlay(node, lease), options.device()
        if name in node.links:
            node.remove_link(name)
        assert options.port is not None
        node.add_link(name, "tun", mtu=self.mtu(node.link(dev).mtu, options), tun=TunOptions(lease.address, options.port), origin=ORIGIN)
        node.add_address(name, lease.host)
        node.add_route(str(prefix(options.network)), dev=name, scope="global", origin=ORIGIN, replace_existing=True)

    def add(self, node: Namespace, mine: Sequence[Lease], other: Sequence[Lease], options: Flannel) -> list[str]:
        tun = node.link(options.device()).tun
        assert tun is not None
        for lease in other:
            tun = replace(tun, routes=(*tun.routes, (lease.subnet, lease.public_ip)))
        node.set_link(options.device(), tun=tun)
        return []
