"""How many rules the first packet of a connection is compared with on its way: counted on a walk, rule by rule.

The lab finds the rules that can fit by an index, the kernel asks one after the other (net/ipv4/netfilter/ip_tables.c, ipt_do_table).
So what was met is followed through the chains, and every rule before it counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..kernel.iptables import BUILTIN, Rule, Table
from .connect import connect

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Asked", "rules_asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One built-in chain of the nat table in one network namespace: how many rules were asked, in it and in the chains it led to."""

    namespace: str
    chain: str
    rules: int


def rules_asked(cluster: Cluster, src: Any, dst: Any, port: int | str = 80, protocol: str = "TCP") -> tuple[Asked, ...]:
    """The nat rules that one new connection asks, drawn as `connect` does; the nat table sees only a connection's first packet.

    Packets that carry it through a tunnel have flows of their own, and ask too: see `namespace` and `chain`.
    Works on a fork. Raises KubenetError for ends that do not exist, NotModelled for a proxy that writes no iptables rules.
    """
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
