"""Who is asked at a hook: iptables' tables and nftables' base chains of a namespace, each with what it has answered already.

Priorities where they tie: Linux net/netfilter/core.c (nf_hook_entries_grow).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .iptables import Rule, Verdict, evaluate, looks
from .namespace import Namespace
from .nftables import Program as NftProgram
from .nftables.model import Chain as NftChain
from .nftables.model import Table as NftTable

if TYPE_CHECKING:
    from .hooks import Skb

__all__ = ["Ask", "NAT_PRIORITY", "base_chains", "nat_chains", "nft_chain", "nft_program", "rank", "table_chain"]

#: asks for a verdict; the rules that matched (and map elements that decided) are the packet's `path` then
Ask: TypeAlias = "Callable[[Skb], Verdict]"

#: of iptables' nat table: the destination's side, and the source's
NAT_PRIORITY = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}
_KEPT = 4096  # answers per table and hook
_NEVER = (0, 0)


def base_chains(ns: Namespace, fam: int, hook: str) -> Iterator[tuple[NftTable, NftChain]]:
    """The base chains that a packet of this family meets at a hook."""
    for table in ns.nft.tables.values():
        if fam in table.versions:
            yield from ((table, c) for c in table.chains.values() if c.base is not None and c.base.hook == hook)


def rank(chain: NftChain) -> tuple[int, ...]:
    """Where priorities tie, what was registered last is met first (nf_hook_entries_grow)."""
    assert chain.base is not None
    return chain.base.priority, 0 if chain.base.late else 2, -chain.uid


def nft_program(ns: Namespace, table: NftTable) -> NftProgram:
    found: NftProgram | None = ns.derived.get(("nft", table.family, table.name))
    if found is None:
        found = ns.derived["nft", table.family, table.name] = NftProgram(table)
    return found


def nft_chain(ns: Namespace, table: NftTable, chain: NftChain) -> Ask:
    program = nft_program(ns, table)
    known = program.answers(chain)

    def ask(skb: Skb) -> Verdict:
        verdict, skb.path = program.answer(chain, skb, known)
        return verdict

    return ask


def table_chain(ns: Namespace, table: str, fam: int, hook: str) -> Ask:
    """A table of iptables that exists. The rules that match count the packet and its bytes."""
    program = ns.ruleset(fam).program(table)
    assert program is not None
    chain, id = hook.upper(), ns.id
    known: dict[tuple[Any, ...], tuple[Verdict, list[Rule], int]] = {}

    def ask(skb: Skb) -> Verdict:
        look = looks(skb)
        found = known.get(look)
        if found is None:
            path: list[Rule] = []
            skb.path, skb.hit = path, path.append
            verdict = evaluate(program, chain, skb)
            if skb.plain:
                if len(known) >= _KEPT:
                    known.clear()
                known[look] = verdict, path, skb.mark
        else:
            verdict, path, skb.mark = found
            skb.path = path
        hits, size = skb.w.state.write("hits", id), skb.packet.size
        for rule in path:
            n, total = hits.get(rule.uid, _NEVER)
            hits[rule.uid] = (n + 1, total + size)
        return verdict

    return ask


def nat_chains(ns: Namespace, fam: int, hook: str) -> Sequence[Ask]:
    """Who is asked where a connection's first packet is bound, by priority: iptables' nat table among them."""
    found: Sequence[Ask] | None = ns.derived.get(("nat chains", fam, hook))
    if found is None:
        listed: list[tuple[tuple[int, ...], Ask]] = []
        if "nat" in ns.ruleset(fam).tables:
            listed.append(((NAT_PRIORITY[hook], 1), table_chain(ns, "nat", fam, hook)))
        for table, chain in base_chains(ns, fam, hook):
            if chain.base is not None and chain.base.type == "nat":
                listed.append((rank(chain), nft_chain(ns, table, chain)))
        found = ns.derived["nat chains", fam, hook] = tuple(ask for _, ask in sorted(listed, key=lambda x: x[0]))
    return found
