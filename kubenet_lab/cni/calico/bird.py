"""The routes that BIRD installs in a full mesh: a blackhole per own block, a route per block and per borrowed address of the others.

The sessions themselves are not modelled: every node has heard every other. BIRD resolves a peer's address like any route
("gateway recursive"): on one network the route leads to the peer, across networks to the router, which may not know the pods.
Sources: projectcalico/calico confd templates bird.cfg, bird_aggr.cfg (calico_aggr), bird_ipam.cfg and their IPv6 twins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...kernel.address import prefix
from ...kernel.namespace import Namespace
from .felix import ORIGIN
from .ipam import Ipam
from .options import IpPool

__all__ = ["Speaker", "exports", "program"]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One node as its peers know it: its addresses by family, the blocks that it has, its own pods' addresses."""

    name: str
    addresses: Mapping[int, str]
    blocks: tuple[tuple[str, str], ...]  # (CIDR, state of the affinity)
    pods: tuple[str, ...]

    @classmethod
    def of(cls, name: str, addresses: Mapping[int, str], ipam: Ipam, pods: Iterable[str]) -> Speaker:
        return cls(name, addresses, tuple(ipam.affinities(name)), tuple(pods))


def exports(speaker: Speaker, pools: Iterable[IpPool]) -> list[str]:
    """What a node announces (CIDRs): its confirmed blocks whole, pods outside of them one by one, all of it only from its pools."""
    pools = [p for p in pools if not p.disable_bgp_export]
    own = [cidr for cidr, state in speaker.blocks if state in ("confirmed", "")]
    single = [ip for ip in speaker.pods if not any(ip in prefix(c) for c in own)]
    wanted = [*own, *(f"{ip}/{32 if ':' not in ip else 128}" for ip in single)]
    return [c for c in wanted if any(prefix(p.cidr).covers(prefix(c)) for p in pools)]


def program(node: Namespace, own: Speaker, others: Iterable[Speaker], pools: Iterable[IpPool]) -> None:
    """Give one node its routes. What it had of them before is replaced."""
    pools = list(pools)
    for r in [r for r in node.routes if r.origin == ORIGIN]:
        node.remove_route(r.dst, dev=r.dev, via=r.via)
    for cidr, _ in own.blocks:
        if prefix(cidr).length < prefix(cidr).bits:
            node.add_route(cidr, type="blackhole", proto="bird", origin=ORIGIN)
    for other in others:
        if other.name == own.name:
            continue
        for cidr in exports(other, pools):
            fam = prefix(cidr).family
            peer = other.addresses.get(fam)
            if peer and own.addresses.get(fam):
                _install(node, cidr, peer)


def _install(node: Namespace, cidr: str, peer: str) -> None:
    fam = prefix(cidr).family
    towards = node.fib(fam).lookup(peer)
    if any(r.dst == cidr and r.table == 254 for r in node.routes):
        return  # two nodes announce it, or a pod of this node has the address: the first stays
    if towards is None or towards.type != "unicast":
        node.add_route(cidr, type="unreachable", proto="bird", origin=ORIGIN)
    else:
        node.add_route(cidr, via=towards.via or peer, dev=towards.dev, proto="bird", origin=ORIGIN)
