"""MetalLB's own objects: IPAddressPools, and the L2Advertisements that say which nodes answer for their addresses.

Source: metallb 0.15, api/v1beta1, internal/config/config.go (poolsFor, addressPoolFromCR, setL2AdvertisementsToPools).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from ..errors import KubenetError, Problem
from ..objects.selectors import matches
from ..objects.snapshot import Snapshot
from ..objects.views import LabelSelector, Namespace, Node, Service
from .load_balancer import address_pool

__all__ = ["KINDS", "AddressPool", "Advertisement", "Configuration", "configured", "read"]

_GROUP = "metallb.io"
#: what is read
KINDS = frozenset(f"{kind}.{_GROUP}" for kind in ("IPAddressPool", "L2Advertisement"))
#: what is announced by BGP, or configures it
_BGP = ("BGPAdvertisement", "BGPPeer")


@dataclass(frozen=True, slots=True)
class AddressPool:
    """`allocate_to`: the selectors of its serviceAllocation; None: any Service. `priority`: the smaller goes first, 0 last."""

    name: str
    cidrs: tuple[str, ...]
    auto_assign: bool = True
    avoid_buggy: bool = False
    namespaces: frozenset[str] = frozenset()
    services: tuple[LabelSelector, ...] = ()
    pinned: bool = False
    priority: int = 0

    def usable(self, ip: str) -> bool:
        """Some devices take an IPv4 address that ends in .0 or .255 for a broadcast address."""
        return not (self.avoid_buggy and ":" not in ip and ip.rsplit(".", 1)[1] in ("0", "255"))

    def holds(self, ip: str) -> bool:
        return self.usable(ip) and any(ip_address(ip) in ip_network(c) for c in self.cidrs)

    def takes(self, service: Service) -> bool:
        """Whether this Service may have an address of it (isPoolCompatibleWithService)."""
        if self.namespaces and service.namespace not in self.namespaces:
            return False
        return not self.services or any(matches(s, service.labels) for s in self.services)


@dataclass(frozen=True, slots=True)
class Advertisement:
    """`pools` None: all. `interfaces` empty: every one."""

    pools: frozenset[str] | None
    nodes: frozenset[str]
    interfaces: tuple[str, ...] = ()
    services: tuple[LabelSelector, ...] = ()

    def covers(self, pool: AddressPool, service: Service) -> bool:
        if self.pools is not None and pool.name not in self.pools:
            return False
        return not self.services or any(matches(s, service.labels) for s in self.services)


@dataclass(frozen=True, slots=True)
class Configuration:
    """`pools` by name. `problems`: objects that MetalLB's webhook would have refused, and what the lab does not model."""

    pools: tuple[AddressPool, ...]
    advertisements: tuple[Advertisement, ...]
    problems: tuple[Problem, ...] = ()

    def pool_of(self, ips: Sequence[str]) -> AddressPool | None:
        return next((p for p in self.pools if all(p.holds(ip) for ip in ips)), None)


def configured(snapshot: Snapshot) -> bool:
    """Whether the objects configure a MetalLB."""
    return bool(snapshot.others(f"IPAddressPool.{_GROUP}"))


def read(snapshot: Snapshot) -> Configuration:
    """The configuration that the objects make."""
    problems: list[Problem] = []
    pools: list[AddressPool] = []
    labels: dict[str, Mapping[str, str]] = {}
    for key, document in snapshot.others(f"IPAddressPool.{_GROUP}").items():
        try:
            pool = _pool(snapshot, document)
            other = next(((c, d) for p in pools for c in p.cidrs for d in pool.cidrs if _overlap(c, d)), None)
            if other:
                raise KubenetError(f'CIDR "{other[1]}" in pool "{pool.name}" overlaps with already defined CIDR "{other[0]}"')
        except (KubenetError, msgspec.ValidationError) as e:
            problems.append(Problem(str(e), "spec", f"IPAddressPool {key}"))
            continue
        pools.append(pool)
        labels[pool.name] = (document.get("metadata") or {}).get("labels") or {}
    advertisements = []
    for key, document in snapshot.others(f"L2Advertisement.{_GROUP}").items():
        try:
            advertisements.append(_advertisement(snapshot, document, labels))
        except (KubenetError, msgspec.ValidationError) as e:
            problems.append(Problem(str(e), "spec", f"L2Advertisement {key}"))
    for kind in _BGP:
        for key in snapshot.others(f"{kind}.{_GROUP}"):
            said = "MetalLB's BGP mode is not modelled: nobody announces by this object"
            problems.append(Problem(said, object=f"{kind} {key}"))
    return Configuration(tuple(pools), tuple(advertisements), tuple(problems))


def _overlap(one: str, other: str) -> bool:
    a, b = ip_network(one), ip_network(other)
    return a.version == b.version and a.overlaps(b)


class _Allocation(msgspec.Struct, rename="camel"):
    priority: int = 0
    namespaces: list[str] = []
    namespace_selectors: list[LabelSelector] = []
    service_selectors: list[LabelSelector] = []


class _PoolSpec(msgspec.Struct, rename={"avoid_buggy": "avoidBuggyIPs", "auto_assign": "autoAssign", "allocation": "serviceAllocation"}):
    addresses: list[str] = []
    auto_assign: bool | None = None
    avoid_buggy: bool = False
    allocation: _Allocation | None = None


class _L2Spec(msgspec.Struct, rename={
    "pools": "ipAddressPools", "pool_selectors": "ipAddressPoolSelectors", "node_selectors": "nodeSelectors",
    "service_selectors": "serviceSelectors", "preferred": "preferredNodeSelectors",
}):  # fmt: skip
    pools: list[str] = []
    pool_selectors: list[LabelSelector] = []
    node_selectors: list[LabelSelector] = []
    service_selectors: list[LabelSelector] = []
    interfaces: list[str] = []
    preferred: list[Any] = []


def _named(document: Mapping[str, Any]) -> str:
    return str((document.get("metadata") or {}).get("name", ""))


def _pool(snapshot: Snapshot, document: Mapping[str, Any]) -> AddressPool:
    spec, name = msgspec.convert(document.get("spec") or {}, _PoolSpec), _named(document)
    if not spec.addresses:
        raise KubenetError("pool has no prefixes defined")
    auto = spec.auto_assign is not False
    plain = AddressPool(name, _cidrs(spec.addresses, name), auto, spec.avoid_buggy)
    to = spec.allocation
    if to is None:
        return plain
    known = {n.name for n in snapshot.list(Namespace)} | {s.namespace for s in snapshot.list(Service)}
    chosen = {n for s in to.namespace_selectors for n in known if matches(s, snapshot.namespace_labels(n))}
    if not (to.namespaces or to.namespace_selectors or to.service_selectors):
        to.service_selectors = [LabelSelector()]  # any Service
    return AddressPool(
        name, plain.cidrs, auto, spec.avoid_buggy, frozenset({*to.namespaces, *chosen}), tuple(to.service_selectors), True, to.priority
    )


def _cidrs(texts: Sequence[str], pool: str) -> tuple[str, ...]:
    """As net.ParseCIDR reads them: host bits of a CIDR are cut off. Ranges stand for the CIDRs that make them up."""
    out: list[str] = []
    for text in texts:
        try:
            out += address_pool([text], "") if "-" in text else (_plain(text),)
        except (KubenetError, ValueError):
            what = "IP range" if "-" in text else "CIDR"
            raise KubenetError(f'invalid CIDR "{text}" in pool "{pool}": invalid {what} "{text}"') from None
    return tuple(out)


def _plain(text: str) -> str:
    if "/" not in text:
        raise ValueError(text)
    return str(ip_network(text, strict=False))


def _advertisement(snapshot: Snapshot, document: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]) -> Advertisement:
    spec = msgspec.convert(document.get("spec") or {}, _L2Spec)
    if spec.preferred:
        raise KubenetError("preferredNodeSelectors are not modelled: this advertisement is left out")
    nodes = {n.name for n in snapshot.list(Node) if not spec.node_selectors or any(matches(s, n.labels) for s in spec.node_selectors)}
    pools: frozenset[str] | None = None
    if spec.pools or spec.pool_selectors:
        selected = {name for name, own in labels.items() if any(matches(s, own) for s in spec.pool_selectors)}
        pools = frozenset({*spec.pools, *selected})
    return Advertisement(pools, frozenset(nodes), tuple(spec.interfaces), tuple(spec.service_selectors))
