"""MetalLB in layer-2 mode: an address of a pool for each Service, and one node that answers ARP and NDP for it.

Source: metallb internal/allocator/allocator.go (which address, sharing), speaker/layer2_controller.go (ShouldAnnounce: which node),
internal/k8s/epslices (which endpoints count), internal/layer2/{arp,ndp}.go (what is answered).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address, ip_network

from ..errors import Problem
from ..objects.snapshot import Snapshot
from ..objects.views import EndpointConditions, EndpointSlice, Service
from .load_balancer import Document, address_pool, addresses, eligible, families_of, given, is_mine, with_ingress

__all__ = ["MetalLB", "announcers"]

#: the annotations' prefix, and the older one
PREFIXES = ("metallb.io/", "metallb.universe.tf/")


@dataclass(frozen=True, slots=True)
class MetalLB:
    """`pool`: CIDRs and ranges of the node network, e.g. ("192.168.50.240-192.168.50.250",); empty: the cluster fills in a piece of it.

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

    def assign(self, snapshot: Snapshot) -> tuple[list[Document], list[Problem]]:
        """Who has a good address keeps it; then the others, by namespace and name, get the first free one of the pool."""
        mine = [s for s in snapshot.list(Service) if is_mine(s, self.load_balancer_class)]
        pool = address_pool(self.pool, "MetalLB pool")
        holders: dict[str, list[Service]] = {}
        chosen: dict[str, tuple[str, ...]] = {}
        problems: list[Problem] = []
        for service in sorted(mine, key=lambda s: (not given(s), s.key)):
            why, ips = self._choose(service, pool, holders)
            chosen[service.key] = ips
            for ip in ips:
                holders.setdefault(ip, []).append(service)
            if why:
                problems.append(Problem(f"failed to allocate IP for {service.key}: {why}", "status.loadBalancer", f"Service {service.key}"))
        documents = [d for s in mine if (d := with_ingress(snapshot, s, chosen[s.key])) is not None]
        return documents, problems

    def _choose(self, service: Service, pool: Sequence[str], holders: Mapping[str, list[Service]]) -> tuple[str, tuple[str, ...]]:
        """(what is wrong, the addresses)."""
        asked = _requested(service)
        wanted = families_of(service)
        if asked:
            if not all(_is_ip(ip) for ip in asked):
                return f"invalid requested loadBalancer IPs {', '.join(asked)}", ()
            outside = next((ip for ip in asked if not any(ip_address(ip) in ip_network(c) for c in pool)), "")
            if outside:
                return f'"{outside}" is not allowed in config', ()
            if any((6 if ":" in ip else 4) not in wanted for ip in asked):
                return f"requested loadBalancer IPs {', '.join(asked)} do not match the Service's IP families", ()
            busy = next((ip for ip in asked if not _free(service, holders.get(ip, ()))), "")
            if busy:
                others = ", ".join(s.key for s in holders[busy])
                return f"can't change sharing key for {service.key!r}, address also in use by {others}", ()
            return "", tuple(asked)
        kept = given(service)
        good = bool(kept) and all(any(ip_address(ip) in ip_network(c) for c in pool) and _free(service, holders.get(ip, ())) for ip in kept)
        if good and sorted(6 if ":" in ip else 4 for ip in kept) == sorted(wanted):
            return "", kept
        found = []
        for family in wanted:
            ip = next((a for a in addresses(pool, family) if _free(service, holders.get(a, ()))), "")
            if ip:
                found.append(ip)
        if len(found) < len(wanted) and not (found and service.spec.ip_family_policy == "PreferDualStack"):
            return "no available IPs", ()
        return "", tuple(found)


def _annotation(service: Service, name: str) -> str:
    notes = service.metadata.annotations
    return next((notes[p + name] for p in PREFIXES if p + name in notes), "")


def _requested(service: Service) -> list[str]:
    text = _annotation(service, "loadBalancerIPs") or service.spec.load_balancer_ip
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _free(service: Service, holders: Sequence[Service]) -> bool:
    """An address may be shared by Services with the same key, other ports, and policy Cluster (or the same pods)."""
    key = _annotation(service, "allow-shared-ip")
    mine = {(p.protocol, p.port) for p in service.spec.ports}
    return all(
        key != ""
        and _annotation(other, "allow-shared-ip") == key
        and not mine & {(p.protocol, p.port) for p in other.spec.ports}
        and (
            _policy(service) == _policy(other) == "Cluster"
            or (_policy(service) == _policy(other) and service.spec.selector == other.spec.selector)
        )
        for other in holders
    )


def _policy(service: Service) -> str:
    return service.spec.external_traffic_policy or "Cluster"


def announcers(snapshot: Snapshot, option: MetalLB) -> dict[str, str]:
    """{address: node that answers for it}: of the nodes that may, the first by sha256(node#address).

    Nobody answers while no endpoint can serve; with policy Local only nodes that have one may.
    """
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for s in snapshot.list(EndpointSlice):
        slices.setdefault((s.namespace, s.service), []).append(s)
    speakers = [n.name for n in eligible(snapshot)]
    out: dict[str, str] = {}
    for service in snapshot.list(Service):
        if not is_mine(service, option.load_balancer_class) or not (ips := given(service)):
            continue
        able = [e for s in slices.get((service.namespace, service.name), ()) for e in s.endpoints if _can_serve(e.conditions)]
        if not able:
            continue
        nodes = speakers if _policy(service) == "Cluster" else [n for n in speakers if any(e.node_name == n for e in able)]
        if nodes:
            winner = min(nodes, key=lambda n: sha256(f"{n}#{ips[0]}".encode()).digest())
            out |= {ip: winner for ip in ips if ip not in out}
    return out


def _can_serve(conditions: EndpointConditions) -> bool:
    """epslices.EndpointCanServe: ready (nothing said is ready), else serving."""
    return conditions.ready is None or conditions.ready or bool(conditions.serving)
