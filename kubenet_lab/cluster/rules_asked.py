"""How many rules the first packet of a connection is compared with on its way: counted on a walk, rule by rule.

The lab finds the rules that can fit by an index, the kernel asks one after the other (net/ipv4/netfilter/ip_tables.c, ipt_do_table).
So what was met is followed through the chains, and every rule before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel.iptables import BUILTIN, Rule, Table, Verdict
from ..kernel.nftables.model import Chain as NftChain
from ..kernel.nftables.model import Table as NftTable
from ..kernel.nftables.program import Program, evaluate
from .connect import connect

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Asked", "rules_asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One base chain for nat (of iptables or nftables) in one network namespace, and how many rules were asked there and below."""

    namespace: str
    chain: str
    rules: int


def rules_asked(cluster: Cluster, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP") -> tuple[Asked, ...]:
    """The nat rules that one new connection asks, drawn as `connect` does; the nat table sees only a connection's first packet.

    Packets that carry it through a tunnel have flows of their own, and ask too: see `namespace` and `chain`.
    Works on a fork. Raises KubenetError for ends that do not exist, NotModelled for a proxy that writes no iptables rules.
    """
    if cluster.proxy.mode == "nftables":
        return _asked_of_nftables(cluster, src, dst, port, protocol)
    cluster.proxy.only_iptables()
    fork = cluster.fork()
    fork.state.forget("hits")
    connect(fork, src, dst, port, protocol)
    found = []
    for key in sorted(k for k in fork.state.keys() if k[0] == "hits"):  # noqa: SIM118  (no mapping)
        met = fork.state.read(*key).keys()
        for family in (4, 6):
            table = fork.network.namespaces[key[1]].ruleset(family).tables.get("nat")
            if table is None:
                continue
            for chain in BUILTIN["nat"]:
                if table.policy_rules[chain].uid in met or any(r.uid in met for r in table.chains[chain].rules):
                    found.append(Asked(key[1], chain, _asked(table, chain, met)[0]))
    return tuple(found)


class _Counted(list[Any]):
    """The rules of a chain ready to run, which notes each that is taken up."""

    def __init__(self, rules: list[Any], note: Callable[[], None]):
        super().__init__(rules)
        self._note = note

    def __getitem__(self, at: Any) -> Any:
        self._note()
        return super().__getitem__(at)


class _Counting(Program):
    """A table that counts the rules which the first packet asks, by the base chain where it came in. A look-up in a map is one rule."""

    def __init__(self, table: NftTable):
        super().__init__(table)
        self.counts: dict[str, int] = {}
        self._base = ""  # of the packet under way, if it is the first one there

    def code(self, name: str) -> Any:
        if self.table.chains[name].base is not None:
            self._base = "" if name in self.counts else name
            self.counts.setdefault(name, 0)
        return _Counted(super().code(name), self._note)

    def answer(self, chain: NftChain, c: Any, known: Any) -> tuple[Verdict, list[Any]]:
        """Nothing is remembered: each packet asks the rules."""
        path: list[Any] = []
        return evaluate(self, chain, c, path), path

    def _note(self) -> None:
        if self._base:
            self.counts[self._base] += 1


def _asked_of_nftables(cluster: Cluster, src: Any, dst: Any, port: int | str, protocol: str) -> tuple[Asked, ...]:
    """The same for nftables' nat chains. The kernel asks one rule after the other, too (nf_tables_core.c, nft_do_chain)."""
    fork = cluster.fork()
    counting: dict[tuple[str, str], _Counting] = {}
    try:
        for ns in fork.network.namespaces.values():
            ns.touch()  # who asks the table's chains is looked up anew
            for table in ns.nft.tables.values():
                program = counting[ns.id, f"{table.family} {table.name}"] = _Counting(table)
                ns.derived["nft", table.family, table.name] = program
        connect(fork, src, dst, port, protocol)
    finally:
        for ns in fork.network.namespaces.values():
            ns.touch()
    return tuple(
        Asked(place, chain, count)
        for (place, _), program in sorted(counting.items(), key=lambda x: x[0])
        for chain, count in program.counts.items()
        if (base := program.table.chains[chain].base) is not None and base.type == "nat"
    )


def _asked(table: Table, chain: str, met: Collection[int]) -> tuple[int, bool]:
    """(rules asked in this chain and below, whether the walk ended there)."""
    count = 0
    for rule in table.chains[chain].rules:
        count += 1
        if rule.uid not in met:
            continue
        if rule.spec.jump:
            below, ended = _asked(table, rule.spec.jump, met)
            count += below
            if ended:
                return count, True
        elif _returns(rule):
            return count, False
        elif rule.target is not None and rule.target.kind:
            return count, True
    return count, False


def _returns(rule: Rule) -> bool:
    return rule.target is not None and rule.target.words.split()[1:] == ["RETURN"]
