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

__all__ = ["NAT_PRIORITY", "Ask", "OfChain", "OfTable", "base_chains", "nat_chains", "nft_program", "rank"]

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


class OfChain:
    """A base chain of nftables."""

    __slots__ = ("_known", "_program", "chain", "table")

    def __init__(self, ns: Namespace, table: NftTable, chain: NftChain):
        self.table, self.chain = table, chain
        self._program = nft_program(ns, table)
        self._known = self._program.answers(chain)

    def __call__(self, skb: Skb) -> Verdict:
        verdict, skb.path = self._program.answer(self.chain, skb, self._known)
        return verdict


class OfTable:
    """A table of iptables that exists, at one hook. The rules that match count the packet and its bytes."""

    __slots__ = ("_chain", "_known", "_ns", "_program", "table")

    def __init__(self, ns: Namespace, table: str, fam: int, hook: str):
        program = ns.ruleset(fam).program(table)
        assert program is not None
        self.table, self._program, self._chain, self._ns = table, program, hook.upper(), ns.id
        self._known: dict[tuple[Any, ...], tuple[Verdict, list[Rule], int]] = {}

    def __call__(self, skb: Skb) -> Verdict:
        look, known = looks(skb), self._known
        found = known.get(look)
        if found is None:
            path: list[Rule] = []
            skb.path, skb.hit = path, path.append
            verdict = evaluate(self._program, self._chain, skb)
            if skb.plain:
                if len(known) >= _KEPT:
                    known.clear()
                known[look] = verdict, path, skb.mark
        else:
            verdict, path, skb.mark = found
            skb.path = path
        hits, size = skb.w.state.write("hits", self._ns), skb.packet.size
        for rule in path:
            n, total = hits.get(rule.uid, _NEVER)
            hits[rule.uid] = (n + 1, total + size)
        return verdict


def nat_chains(ns: Namespace, fam: int, hook: str) -> Sequence[Ask]:
    """Who is asked where a connection's first packet is bound, by priority: iptables' nat table among them."""
    found: Sequence[Ask] | None = ns.derived.get(("nat chains", fam, hook))
    if found is None:
        listed: list[tuple[tuple[int, ...], Ask]] = []
        if "nat" in ns.ruleset(fam).tables:
            listed.append(((NAT_PRIORITY[hook], 1), OfTable(ns, "nat", fam, hook)))
        for table, chain in base_chains(ns, fam, hook):
            if chain.base is not None and chain.base.type == "nat":
                listed.append((rank(chain), OfChain(ns, table, chain)))
        found = ns.derived["nat chains", fam, hook] = tuple(ask for _, ask in sorted(listed, key=lambda x: x[0]))
    return found
