"""The rules of one Service on a node in nftables mode: the map elements that catch it, and every chain that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..kernel.namespace import Namespace
from ..kernel.nftables.elements import data_text, key_text
from ..kernel.nftables.model import NftRule, Outcome, Table
from ..kernel.nftables.references import jumps_of
from ..kernel.nftables.statements import Counter
from .service_rules import ProgrammedRule, ServiceRules

__all__ = ["nft_service_rules"]

TABLE = "kube-proxy"
_COMMON = ("mark-for-masquerade", "reject-chain")


def nft_service_rules(
    ns: Namespace, service: str, ports: tuple[str, ...], ip_family: int, node: str, hits: Mapping[int, tuple[int, int]]
) -> ServiceRules:
    """`ports`: the Service ports as kube-proxy's rules name their origin ("Service shop/cart port http"). `hits`: what counters counted."""
    table = ns.nft.tables.get(("ip6" if ip_family == 6 else "ip", TABLE))
    if table is None:
        return ServiceRules(service, node, (), {}, "nftables")
    where = f"{table.family} {table.name}"
    caught = []
    waiting: list[str] = []
    for found in table.sets.values():
        for element in found.elements.values():
            if found.verdicts and isinstance(element.data, Outcome) and element.origin.split(",")[0] in ports:
                comment = f' comment "{element.comment}"' if element.comment else ""
                text = f"{key_text(found, element.key)}{comment} : {data_text(found, element.data)}"
                caught.append(ProgrammedRule(where, found.name, text, element.data.chain or element.data.kind, None, None))
                waiting.append(element.data.chain)
    chains: dict[str, tuple[ProgrammedRule, ...]] = {}
    for first in waiting:
        for name in _following(table, first):
            if name not in chains:
                rules = table.chains[name].rules
                chains[name] = tuple(ProgrammedRule(where, name, r.text, " ".join(jumps_of(r)), None, _met(r, hits)) for r in rules)
    return ServiceRules(service, node, tuple(caught), chains, "nftables", table)


def _met(rule: NftRule, hits: Mapping[int, tuple[int, int]]) -> int | None:
    """What a counter in the rule says; None without one."""
    began = next((s.packets for s in rule.statements if isinstance(s, Counter)), None)
    return None if began is None else began + hits.get(rule.uid, (0, 0))[0]


def _following(table: Table, chain: str) -> Iterator[str]:
    waiting, seen = [chain], set()
    while waiting:
        name = waiting.pop()
        if name in _COMMON or name in seen or name not in table.chains:
            continue
        seen.add(name)
        yield name
        waiting += reversed([to for r in table.chains[name].rules for to in jumps_of(r)])
