"""MetalLB in layer-2 mode: an address of a pool for each Service, and one node that answers ARP and NDP for it.

Source: metallb 0.15, controller/service.go, internal/allocator/allocator.go (which address, sharing), speaker/layer2_controller.go
(ShouldAnnounce: which node), internal/k8s/epslices (which endpoints count), internal/layer2/{arp,ndp}.go (what is answered).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from ..errors import Problem
from ..kernel.address import family as ip_version
from ..objects.snapshot import Snapshot
from ..objects.views import EndpointConditions, EndpointSlice, Node, Service
from .load_balancer import Document, address_pool, addresses, eligible, families_of, given, is_mine, with_ingress
from .metallb_config import AddressPool, Advertisement, Configuration, configured, read

__all__ = ["Announcer", "MetalLB", "announcers"]

#: the annotations' prefix, and the older one
PREFIXES = ("metallb.io/", "metallb.universe.tf/")


@dataclass(frozen=True, slots=True)
class MetalLB:
    """`pool`: CIDRs and ranges of the node network, e.g. ("192.168.50.240-192.168.50.250",); empty: what IPAddressPool and
    L2Advertisement objects say, and where there are none the cluster fills in a piece of its node network.

    `load_balancer_class`: serves only Services of this class; None: those without a class.
    """

    pool: tuple[str, ...] = ()
    load_balancer_class: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", (self.pool,) if isinstance(self.pool, str) else tuple(self.pool))
        address_pool(self.pool, "MetalLB pool")

    @property
    def name(self) -> str:
        return "metallb"

    def configuration(self, snapshot: Snapshot) -> Configuration:
        """The pools and advertisements in force."""
        if not self.pool and configured(snapshot):
            return read(snapshot)
        everywhere = Advertisement(None, frozenset(n.name for n in snapshot.list(Node)))
        return Configuration((AddressPool("default", address_pool(self.pool, "MetalLB pool")),), (everywhere,))

    def assign(self, snapshot: Snapshot) -> tuple[list[Document], list[Problem]]:
        """Who has a good address keeps it; then the others, by namespace and name, get the first free one.

        Several pools without priority are tried by name (MetalLB's own order is that of a Go map).
        """
        mine = [s for s in snapshot.list(Service) if is_mine(s, self.load_balancer_class)]
        config = self.configuration(snapshot)
        allocator = _Allocator(config, {})
        chosen: dict[str, tuple[str, ...]] = {}
        problems = list(config.problems)
        for settled in (True, False):
            for service in sorted((s for s in mine if not chosen.get(s.key)), key=lambda s: s.key):
                try:
                    chosen[service.key] = allocator.kept(service) if settled else allocator.choose(service) if config.pools else ()
                except _Refused as why:
                    if not settled:
                        said = f'Failed to allocate IP for "{service.key}": {why}'
                        problems.append(Problem(said, "status.loadBalancer", f"Service {service.key}"))
                for ip in chosen.setdefault(service.key, ()):
                    allocator.holders.setdefault(ip, []).append(service)
        documents = [d for s in mine if (d := with_ingress(snapshot, s, chosen[s.key])) is not None]
        return documents, problems


class _Refused(Exception):
    """MetalLB's own words."""


@dataclass(frozen=True, slots=True)
class _Allocator:
    config: Configuration
    holders: dict[str, list[Service]]  # of each address

    def choose(self, service: Service) -> tuple[str, ...]:
        """Raises _Refused."""
        asked, wanted = _requested(service), families_of(service)
        pool_name = annotation(service, "address-pool")
        if asked:
            if sorted(map(ip_version, asked)) != sorted(wanted):
                raise _Refused(f"requested loadBalancer IP(s) {_quoted(asked)} does not match the ipFamily of the service")
            pool = self._assign(service, asked)
            if pool_name and pool.name != pool_name:
                raise _Refused(f"requested loadBalancer IP(s) {_quoted(asked)} is not compatible with requested address pool {pool_name}")
            return asked
        if pool_name:
            found = next((p for p in self.config.pools if p.name == pool_name), None)
            if found is None:
                raise _Refused(f'unknown pool "{pool_name}"')
            ips = self._select(service, self._free_of(found, service), wanted)
            if not ips:
                family = "dual-stack" if len(wanted) == 2 else f"ipv{wanted[0]}"
                raise _Refused(f"no available IPs in pool {pool_name} for {family} IPFamily")
            self._assign(service, ips)
            return ips
        pinned = [p for p in self.config.pools if p.auto_assign and p.pinned and p.takes(service)]
        pinned.sort(key=lambda p: (p.priority == 0, p.priority))
        for pools in (pinned, [p for p in self.config.pools if p.auto_assign and not p.pinned]):
            if ips := self._best(service, pools, wanted):
                return ips
        raise _Refused("no available IPs")

    def kept(self, service: Service) -> tuple[str, ...]:
        """What it has already, if nothing speaks against it; for PreferDualStack with the second address, if its pool has one."""
        kept, asked, wanted = given(service), _requested(service), families_of(service)
        pool_name = annotation(service, "address-pool")
        prefers = service.spec.ip_family_policy == "PreferDualStack"
        if not kept or (sorted(map(ip_version, kept)) != sorted(wanted) and not (prefers and len(wanted) == 2)):
            return ()
        try:
            pool = self._assign(service, kept)
        except _Refused:
            return ()
        if (pool_name and pool.name != pool_name) or (asked and sorted(asked) != sorted(kept)):
            return ()
        if len(kept) == 1 and len(wanted) == 2:
            other = 4 if ip_version(kept[0]) == 6 else 6
            return (*kept, *(ip for ip in [self._free_of(pool, service).get(other, "")] if ip))
        return kept

    def _assign(self, service: Service, ips: Sequence[str]) -> AddressPool:
        """The pool that these are of, if this Service may have them."""
        pool = self.config.pool_of(ips)
        if pool is None:
            raise _Refused(f"{_quoted(ips)} is not allowed in config")
        if not pool.takes(service):
            raise _Refused(f"pool {pool.name} not compatible for ip assignment")
        for ip in ips:
            if why := _taken(service, ip, self.holders.get(ip, ())):
                raise _Refused(why)
        return pool

    def _free_of(self, pool: AddressPool, service: Service) -> dict[int, str]:
        """The first free address of each family."""
        found = {}
        for family in (4, 6):
            usable = (a for a in addresses(pool.cidrs, family) if pool.usable(a) and not _taken(service, a, self.holders.get(a, ())))
            if ip := next(usable, ""):
                found[family] = ip
        return found

    def _select(self, service: Service, free: Mapping[int, str], wanted: Sequence[int]) -> tuple[str, ...]:
        """Of free addresses those that the Service gets, IPv4 before IPv6; none where they do not do."""
        ips = tuple(free[f] for f in (4, 6) if f in free and f in wanted)
        return ips if len(ips) == len(wanted) or service.spec.ip_family_policy == "PreferDualStack" else ()

    def _best(self, service: Service, pools: Sequence[AddressPool], wanted: Sequence[int]) -> tuple[str, ...]:
        """From the first pool with all that is wanted; for PreferDualStack else from one with the first family, or the second."""
        partial: dict[int, tuple[str, ...]] = {}
        for pool in pools:
            ips = self._select(service, self._free_of(pool, service), wanted)
            if len(ips) == len(wanted):
                return ips
            for ip in ips:
                partial.setdefault(ip_version(ip), (ip,))
        return next((partial[f] for f in wanted if f in partial), ())


def annotation(service: Service, name: str) -> str:
    notes = service.metadata.annotations
    return next((notes[p + name] for p in PREFIXES if p + name in notes), "")


def _quoted(ips: Sequence[str]) -> str:
    """As Go's %q prints a list."""
    return "[" + " ".join(f'"{ip}"' for ip in ips) + "]"


def _requested(service: Service) -> tuple[str, ...]:
    """The addresses that a Service asks for. Raises _Refused."""
    text, field = annotation(service, "loadBalancerIPs"), service.spec.load_balancer_ip
    if text and field:
        raise _Refused("service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP")
    try:
        return tuple(str(ip_address(part.strip())) for part in (text or field).split(",")) if text or field else ()
    except ValueError:
        what = f'metallb.io/loadBalancerIPs: "{text}"' if text else f'spec.loadBalancerIP "{field}"'
        raise _Refused(f"invalid {what}") from None


def _taken(service: Service, ip: str, holders: Sequence[Service]) -> str:
    """Why the address is not this Service's to take, "": it is. Services share one if they have the same key, other ports, and
    policy Cluster or the same pods (checkSharing, k8salloc.BackendKey)."""
    others = [o for o in holders if o.key != service.key]
    if not others:
        return ""
    key = annotation(service, "allow-shared-ip")
    if not key or any((annotation(o, "allow-shared-ip"), _backend(o)) != (key, _backend(service)) for o in others):
        return f'can\'t change sharing key for "{service.key}", address also in use by {",".join(o.key for o in others)}'
    used = {(p.protocol, p.port) for o in others for p in o.spec.ports}
    port = next((p for p in service.spec.ports if (p.protocol, p.port) in used), None)
    return f'port {port.protocol}/{port.port} is already in use on "{ip}"' if port is not None else ""


def _backend(service: Service) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(service.spec.selector.items())) if service.spec.external_traffic_policy == "Local" else ()


# ------------------------------------------------------------------------------------------------------- who answers
@dataclass(frozen=True, slots=True)
class Announcer:
    """`interfaces` empty: on every one."""

    node: str
    interfaces: frozenset[str] = frozenset()


def announcers(snapshot: Snapshot, option: MetalLB) -> dict[str, Announcer]:
    """{address: who answers for it}: of the nodes that may, the first by sha256(node#address).

    Nobody answers while no endpoint can serve, or without an L2Advertisement; with policy Local only nodes that have an endpoint may.
    """
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for s in snapshot.list(EndpointSlice):
        slices.setdefault((s.namespace, s.service), []).append(s)
    speakers = [n.name for n in eligible(snapshot) if not _network_unavailable(snapshot, n)]
    config, out = option.configuration(snapshot), dict[str, Announcer]()
    for service in snapshot.list(Service):
        if not is_mine(service, option.load_balancer_class) or not (ips := given(service)):
            continue
        able = [e for s in slices.get((service.namespace, service.name), ()) for e in s.endpoints if _can_serve(e.conditions)]
        pool = config.pool_of(ips)
        if not able or pool is None:
            continue
        told = [a for a in config.advertisements if a.covers(pool, service)]
        nodes = [n for n in speakers if any(n in a.nodes for a in told)]
        if service.spec.external_traffic_policy == "Local":
            nodes = [n for n in nodes if any(e.node_name == n for e in able)]
        if nodes:
            winner = min(nodes, key=lambda n: sha256(f"{n}#{ips[0]}".encode()).digest())
            own = [a.interfaces for a in told if winner in a.nodes]
            interfaces = frozenset() if () in own else frozenset(i for names in own for i in names)
            out |= {ip: Announcer(winner, interfaces) for ip in ips if ip not in out}
    return out


def _network_unavailable(snapshot: Snapshot, node: Node) -> bool:
    status = (snapshot.document("Node", node.name) or {}).get("status") or {}
    return any(c.get("type") == "NetworkUnavailable" and c.get("status") == "True" for c in status.get("conditions") or [])


def _can_serve(conditions: EndpointConditions) -> bool:
    """epslices.EndpointCanServe: ready (nothing said is ready), else serving."""
    return conditions.ready is None or conditions.ready or bool(conditions.serving)
