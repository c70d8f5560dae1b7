"""Which rules and maps lead to a chain or use a set, and whether the jumps of a table end somewhere.

Source: Linux net/netfilter/nf_tables_api.c (nft_chain_validate, NFT_JUMP_STACK_SIZE).
"""

from __future__ import annotations

from typing import Any

from .model import Chain, NftRule, Table
from .statements import Notrack
from .statements_nat import Nat

__all__ = ["check", "jumps_of", "tracks", "users_of_chain", "users_of_set"]

_DEEPEST = 16
LOOP = "Too many links"


def _leads_to(table: Table, chain: Chain) -> set[str]:
    out: set[str] = set()
    for rule in chain.rules:
        for s in rule.statements:
            if s.target:
                out.add(s.target)
            found = getattr(s, "inline", None)
            if found is None and (name := getattr(s, "named", "")):
                found = table.sets.get(name)
            if found is not None and found.verdicts:
                out.update(e.data.chain for e in found.elements.values() if e.data.chain)
    return out


def jumps_of(rule: NftRule) -> tuple[str, ...]:
    """The chains that a rule itself names, in its order: not those of a named map."""
    out: list[str] = []
    for s in rule.statements:
        found = getattr(s, "inline", None)
        out += [s.target] if s.target else []
        out += [e.data.chain for e in found.elements.values() if e.data.chain] if found is not None and found.verdicts else []
    return tuple(dict.fromkeys(out))


def check(table: Table) -> str:
    """What is wrong with the jumps of a table: a loop, or more than 16 chains deep; "" if nothing is.

    Only what a base chain leads to counts.
    """
    depth: dict[str, int] = {}
    for start in [c.name for c in table.chains.values() if c.base is not None]:
        stack: list[tuple[str, Any]] = [(start, None)]
        under_way: set[str] = set()
        while stack:
            name, rest = stack.pop()
            if name in depth:
                continue
            if rest is None:
                if name in under_way:
                    return LOOP
                under_way.add(name)
                rest = sorted(_leads_to(table, table.chains[name]))
            ahead = [n for n in rest if n not in depth and n in table.chains]
            if ahead:
                if ahead[0] in under_way:
                    return LOOP
                stack += [(name, rest), (ahead[0], None)]
                continue
            under_way.discard(name)
            depth[name] = 1 + max((depth[n] for n in rest if n in depth), default=0)
            if depth[name] > _DEEPEST:
                return LOOP
    return ""


def users_of_chain(table: Table, name: str) -> bool:
    """Does a rule or an element of a map lead to this chain?"""
    if any(_holds(found, name) for found in table.sets.values()):
        return True
    return any(
        s.target == name or _holds(getattr(s, "inline", None), name)
        for chain in table.chains.values() if chain.name != name for rule in chain.rules for s in rule.statements
    )  # fmt: skip


def _holds(found: Any, chain: str) -> bool:
    return found is not None and found.verdicts and any(e.data.chain == chain for e in found.elements.values())


def users_of_set(table: Table, name: str) -> bool:
    """Does a rule use this set or map?"""
    return any(
        name in (getattr(s, "named", ""), getattr(getattr(s, "mapped", None), "named", ""), getattr(getattr(s, "value", None), "named", ""))
        for chain in table.chains.values() for rule in chain.rules for s in rule.statements
    )  # fmt: skip


def tracks(ruleset: Any) -> bool:
    """Does something here need connection tracking: a nat chain, or a rule that asks `ct`?"""
    return any(
        (c.base is not None and c.base.type == "nat") or any(_asks_ct(s) for r in c.rules for s in r.statements)
        for t in ruleset.tables.values() for c in t.chains.values()
    )  # fmt: skip


def _asks_ct(s: Any) -> bool:
    if isinstance(s, Nat | Notrack):
        return True
    fields = getattr(getattr(s, "of", None), "parts", (getattr(s, "of", None),))
    words = [getattr(getattr(f, "of", f), "words", "") for f in fields]
    words += [getattr(s, "where", ""), getattr(getattr(s, "value", None), "words", "")]
    return any(w.startswith("ct ") for w in words)
