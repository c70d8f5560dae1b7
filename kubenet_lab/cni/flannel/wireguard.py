"""Backend wireguard: a device with a route to the whole network, and a peer per remote node whose allowed IPs are that node's subnet.

Header and MTU only: keys are names, nothing is encrypted. Mode "separate" has a device per family, the others carry both in one.
Source: flannel-io/flannel pkg/backend/wireguard.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from ...kernel.address import prefix
from ...kernel.links import WireguardOptions, WireguardPeer
from ...kernel.namespace import Namespace
from ..result import CniError
from .backend import ORIGIN, underlay
from .leases import Lease
from .options import Flannel

__all__ = ["WireguardBackend"]

#: what the daemon leaves for headers: IPv6 (40), UDP (8), WireGuard (32), in bytes; over IPv4 20 of them stay unused
OVERHEAD = 80


class WireguardBackend:
    type = "wireguard"

    def mtu(self, underlay: int, options: Flannel) -> int:
        return (underlay if options.mtu is None else options.mtu) - OVERHEAD

    def start(self, node: Namespace, mine: Sequence[Lease], options: Flannel) -> None:
        assert options.port is not None and options.port6 is not None
        for lease in mine:
            name = options.device(lease.family)
            if name in node.links:
                node.remove_link(name)
        for lease in mine:
            name, dev = options.device(lease.family), underlay(node, lease)
            if name not in node.links:
                port = options.port6 if name == "flannel-wg-v6" else options.port
                own = WireguardOptions(lease.public_key, port)
                node.add_link(name, "wireguard", mtu=self.mtu(node.link(dev).mtu, options), wireguard=own, origin=ORIGIN)
            node.add_address(name, lease.host)
            # one route for everybody: which peer it is, the allowed IPs say
            network = str(prefix(options.network_of(lease.family)))
            node.add_route(network, dev=name, origin=ORIGIN, replace_existing=True)
        if options.mode == "ipv6" and not any(lease.family == 6 for lease in mine):
            raise CniError(999, "wireguard Mode ipv6: the node has no IPv6 lease to reach the others by")

    def add(self, node: Namespace, mine: Sequence[Lease], other: Sequence[Lease], options: Flannel) -> list[str]:
        if options.mode == "separate":
            for lease in other:
                self._peer(node, options.device(lease.family), [lease], lease.public_ip)
        else:
            self._peer(node, options.device(), other, _endpoint(mine, other, options.mode))
        return []

    @staticmethod
    def _peer(node: Namespace, device: str, leases: Sequence[Lease], endpoint: str) -> None:
        own = node.link(device).wireguard
        assert own is not None
        peer = WireguardPeer(leases[0].public_key, endpoint, own.port, tuple(lease.subnet for lease in leases))
        node.set_link(device, wireguard=replace(own, peers=(*own.peers, peer)))


def _endpoint(mine: Sequence[Lease], other: Sequence[Lease], mode: str) -> str:
    """Where one device reaches a peer of both families (selectPublicEndpoint): IPv4 first, IPv6 where only that is public."""
    of = {lease.family: lease.public_ip for lease in other}
    if len(of) == 1:
        return next(iter(of.values()))
    if mode in ("ipv4", "ipv6"):
        return of[4 if mode == "ipv4" else 6]
    public4, public6 = (not ipaddress.ip_address(of[f]).is_private for f in (4, 6))
    own6 = any(lease.family == 6 and not ipaddress.ip_address(lease.address).is_private for lease in mine)
    return of[6] if not public4 and public6 and own6 else of[4]
