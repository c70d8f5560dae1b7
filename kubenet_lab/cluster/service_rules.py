"""The rules of one Service on one node, read from the programmed ruleset: where it is caught, and every chain that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import KubenetError, NotFound
from ..kernel.address import canonical, family
from ..kernel.iptables import Rule, Table
from ..kernel.iptables.match_chance import Statistic
from ..kernel.iptables.match_place import Comment
from ..kernel.iptables.values import address_text
from ..objects.views import Service
from .names import party

if TYPE_CHECKING:
    from ..kernel.nftables.model import Table as NftTable
    from .cluster import Cluster

__all__ = ["CAUGHT_IN", "HasNoRules", "ProgrammedRule", "ServiceRules", "service_rules"]

#: the chains in which kube-proxy catches Service addresses and node ports (pkg/proxy/iptables/proxier.go)
CAUGHT_IN = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL")
_COMMON = (*CAUGHT_IN, "KUBE-MARK-MASQ")


class HasNoRules(KubenetError):
    """A Service for which no proxy programs anything: headless, ExternalName."""


@dataclass(frozen=True, slots=True)
class ProgrammedRule:
    """One rule as it stands. `chance`: of those packets that come to it, the share that it takes by chance; None: no such match.

    `packets` is its counter; None: it has none, as kube-proxy's rules in nftables mode.
    """

    table: str
    chain: str
    text: str
    goes_to: str  # a chain, "DNAT 10.244.1.3:8080", "REJECT" ...
    chance: Fraction | None
    packets: int | None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """`caught`: the rules that know the Service's addresses and ports. `chains`: those that follow, in the order in which they are met.

    `table`: that of nftables, if it is nftables that holds them.
    """

    service: str
    node: str
    caught: tuple[ProgrammedRule, ...]
    chains: Mapping[str, tuple[ProgrammedRule, ...]]
    mode: str = "iptables"
    table: NftTable | None = None

    def __iter__(self) -> Iterator[ProgrammedRule]:
        yield from self.caught
        for rules in self.chains.values():
            yield from rules

    def __str__(self) -> str:
        """As `iptables-save` (or `nft list ruleset`, as far as it is this Service's) prints them; empty if there are none."""
        if self.mode == "nftables":
            return self._nft()
        lines: list[str] = []
        for table in ("nat", "filter"):
            found = [str(r) for r in self if r.table == table]
            lines += [f"*{table}", *found, "COMMIT"] if found else []
        return "\n".join(lines)

    def _nft(self) -> str:
        if not self.caught:
            return ""
        maps: dict[str, list[str]] = {}
        for rule in self.caught:
            maps.setdefault(rule.chain, []).append(rule.text)
        lines = [f"table {self.caught[0].table} {{"]
        for name, elements in maps.items():
            lines += [f"\tmap {name} {{", f"\t\telements = {{ {', '.join(elements)} }}", "\t}"]
        for name, rules in self.chains.items():
            lines += [f"\tchain {name} {{", *(f"\t\t{r.text}" for r in rules), "\t}"]
        return "\n".join([*lines, "}"])


def _comment(rule: Rule) -> str:
    return next((m.text for m in rule.matches if isinstance(m, Comment)), "")


def _goes_to(rule: Rule) -> str:
    target = rule.target
    if rule.spec.jump:
        return rule.spec.jump
    if target is None:
        return ""
    return target.words.removeprefix("-j ").replace("--to-destination ", "")


def _chance(rule: Rule) -> Fraction | None:
    return next((m.probability for m in rule.matches if isinstance(m, Statistic) and m.mode == "random"), None)


def _title(service: Service, port: str) -> str:
    """What kube-proxy calls a Service port in its comments."""
    return f"{service.key}:{port}" if port else service.key


def _belongs(rule: Rule, titles: frozenset[str], others: frozenset[str], addresses: frozenset[str]) -> bool:
    """kube-proxy's comments begin with the Service port; what somebody wrote by hand is known by its destination."""
    first = next(iter(_comment(rule).split()), "")
    if first in titles or first in others:
        return first in titles
    value, mask = rule.header.dest
    return bool(mask) and not rule.header.dest_inverted and canonical(address_text(value, rule.family)) in addresses


def service_rules(cluster: Cluster, node: str, key: str, ip_family: int | None = None, port: int | str | None = None) -> ServiceRules:
    """The rules of one Service ("shop/cart" or "svc:shop/cart") on one node, of its first family unless told otherwise.

    `port`: only those of this port, by number or name. Raises NotFound, HasNoRules for a Service without an address, KubenetError
    for one without such a port, and NotModelled for a proxy that is not modelled.
    """
    name = key if key.startswith("svc:") else f"svc:{key}"
    service = party(cluster.snapshot(), name, role="destination").service
    if service is None:
        raise NotFound("service", key, [s.key for s in cluster.snapshot().list(Service)])
    addresses = _addresses(service)
    if not addresses:
        kind = "ExternalName" if service.spec.type == "ExternalName" else "headless"
        raise HasNoRules(f"Service {service.key} is {kind}: it has no address, and no node has a rule for it")
    version = ip_family or family(addresses[0])
    view = cluster.node(node)
    ns = cluster.walkable().namespaces[view.name]
    ports = [p for p in service.spec.ports if port is None or port in (p.port, p.name)]
    if not ports:
        has = ", ".join(f"{p.name} {p.port}".strip() for p in service.spec.ports)
        raise KubenetError(f"Service {service.key} has no port {port!r}: it has {has or 'none'}")
    if cluster.proxy.mode == "nftables":
        from .service_rules_nft import nft_service_rules

        named = tuple(f"Service {service.key} port {p.name or p.port}" for p in ports)
        named += () if ports[0].name else (f"Service {service.key}",)  # as kube-proxy's comments call its only port
        return nft_service_rules(ns, service.key, named, version, view.name, cluster.state.read("nft-hits", ns.id))
    cluster.proxy.only_iptables()
    hits = cluster.state.read("hits", ns.id)
    titles = frozenset(_title(service, p.name) for p in ports)
    others = frozenset(_title(s, p.name) for s in cluster.snapshot().list(Service) for p in s.spec.ports)
    wanted = frozenset(addresses if port is None else ())
    rules = ns.ruleset(version)

    def programmed(rule: Rule) -> ProgrammedRule:
        count = hits.get(rule.uid, (0, 0))[0]
        return ProgrammedRule(rule.table, rule.chain, str(rule), _goes_to(rule), _chance(rule), count)

    caught: list[ProgrammedRule] = []
    chains: dict[str, tuple[ProgrammedRule, ...]] = {}
    for table in (rules.table("nat"), rules.table("filter")):
        first = [r for name in CAUGHT_IN if name in table.chains for r in table.chains[name].rules if _belongs(r, titles, others, wanted)]
        caught += [programmed(r) for r in first]
        for rule in first:
            for name in _following(table, rule.spec.jump):
                chains.setdefault(name, tuple(programmed(r) for r in table.chains[name].rules))
    return ServiceRules(service.key, view.name, tuple(caught), chains)


def _following(table: Table, chain: str) -> Iterator[str]:
    """A chain and those that it leads to, without the ones that all Services share."""
    waiting, seen = [chain], set()
    while waiting:
        name = waiting.pop()
        if not name or name in _COMMON or name in seen or name not in table.chains:
            continue
        seen.add(name)
        yield name
        waiting += reversed([r.spec.jump for r in table.chains[name].rules])


def _addresses(service: Service) -> list[str]:
    spec = service.spec
    if spec.type == "ExternalName":
        return []
    given = [ip for ip in (spec.cluster_ips or [spec.cluster_ip]) if ip and ip != "None"]
    outside = [*spec.external_ips, *(i.ip for i in service.status.load_balancer.ingress if i.ip)]
    return [canonical(a) for a in (*given, *outside)] if given else []
