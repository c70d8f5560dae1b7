"""`nft list ...`: tables, chains, sets and maps as nft 1.0.6 prints them.

Sources: nftables 1.0.6 src/rule.c, src/expression.c; all layouts are measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .elements import element_lines, time_text
from .model import Base, Chain, Element, NftRule, NftSet, Table
from .statements import Counter

__all__ = ["Seen", "chain_lines", "list_chain", "list_chains", "list_set", "list_sets", "list_table", "priority_text"]


@dataclass(frozen=True)
class Seen:
    """Dynamic state for a listing: `hits` by uid of a rule, `timed` by "family table set": {text: (key, expires, own timeout)}; `now`."""

    hits: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    timed: Mapping[str, Mapping[str, tuple[Any, float, float]]] = field(default_factory=dict)
    now: float = 0.0


def priority_text(base: Base) -> str:
    """ "filter", "dstnat - 10", "mangle + 5", or the number."""
    for name, number in base.names.items():
        off = base.priority - number
        if abs(off) <= 10:
            return name + (f" {'+' if off > 0 else '-'} {abs(off)}" if off else "")
    return str(base.priority)


def _comment(text: str) -> list[str]:
    return [f'comment "{text}"'] if text else []


def rule_text(rule: NftRule, seen: Seen, stateless: bool) -> str:
    words = []
    for s in rule.statements:
        if isinstance(s, Counter):
            packets, size = seen.hits.get(rule.uid, (0, 0))
            words.append("counter" if stateless else str(Counter(s.packets + packets, s.bytes + size)))
        else:
            words.append(str(s))
    words += _comment(rule.comment)
    return " ".join(words)


def base_line(base: Base) -> str:
    return f"type {base.type} hook {base.hook} priority {priority_text(base)}; policy {base.policy};"


def chain_lines(chain: Chain, seen: Seen, stateless: bool = False, handles: bool = False, rules: bool = True) -> list[str]:
    out = [f"\tchain {chain.name} {{" + (f" # handle {chain.handle}" if handles else "")]
    out += [f"\t\t{line}" for line in _comment(chain.comment)] if rules else []
    if chain.base:
        out.append("\t\t" + base_line(chain.base))
    for rule in chain.rules if rules else ():
        out.append("\t\t" + rule_text(rule, seen, stateless) + (f" # handle {rule.handle}" if handles else ""))
    return [*out, "\t}"]


def _rows(table: Table, found: NftSet, seen: Seen) -> list[tuple[Element, float | None]]:
    rows: list[tuple[Element, float | None]] = [(e, None) for e in found.elements.values()]
    for key, expires, own in seen.timed.get(f"{table.family} {table.name} {found.name}", {}).values():
        if not expires or expires > seen.now:
            rows.append((Element(tuple(key), timeout=own if own != found.timeout else 0.0), expires or None))
    return rows


def set_lines(table: Table, found: NftSet, seen: Seen, stateless: bool = False, handles: bool = False) -> list[str]:
    out = [f"\t{found.kind} {found.name} {{" + (f" # handle {found.handle}" if handles else "")]
    types = " . ".join(map(str, found.types))
    out.append(f"\t\ttype {types}" + (f" : {' . '.join(map(str, found.data))}" if found.data else ""))
    if found.size:
        out.append(f"\t\tsize {found.size}")
    flags = [f for f in ("constant", "interval", "dynamic", "timeout") if f in found.flags]
    if flags:
        out.append(f"\t\tflags {','.join(flags)}")
    if found.timeout:
        out.append(f"\t\ttimeout {time_text(found.timeout)}")
    if found.auto_merge:
        out.append("\t\tauto-merge")
    out += [f"\t\t{line}" for line in _comment(found.comment)]
    if found.counter:
        out.append("\t\tcounter")
    rows = _rows(table, found, seen)
    out += [f"\t\t{line}" for line in element_lines(found, rows, seen.now)]
    return [*out, "\t}"]


def _head(table: Table, handles: bool = False) -> str:
    return f"table {table.family} {table.name} {{" + (f" # handle {table.handle}" if handles else "")


def list_table(table: Table, seen: Seen, stateless: bool = False, handles: bool = False) -> str:
    blocks = [set_lines(table, s, seen, stateless, handles) for s in table.sets.values()]
    blocks += [chain_lines(c, seen, stateless, handles) for c in table.chains.values()]
    out = [_head(table, handles), *[f"\t{line}" for line in _comment(table.comment)]]
    for i, block in enumerate(blocks):
        out += ([""] if i else []) + block
    return "\n".join([*out, "}"]) + "\n"


def list_chain(table: Table, chain: Chain, seen: Seen, stateless: bool = False, handles: bool = False) -> str:
    return "\n".join([_head(table, handles), *chain_lines(chain, seen, stateless, handles), "}"]) + "\n"


def list_chains(table: Table) -> str:
    lines = [line for c in table.chains.values() for line in chain_lines(c, Seen(), rules=False)]
    return "\n".join([_head(table), *lines, "}"]) + "\n"


def list_set(table: Table, found: NftSet, seen: Seen, handles: bool = False) -> str:
    return "\n".join([_head(table, handles), *set_lines(table, found, seen, handles=handles), "}"]) + "\n"


def list_sets(table: Table, kind: str, seen: Seen) -> str:
    lines = [line for s in table.sets.values() if s.kind == kind for line in set_lines(table, s, seen)]
    return "\n".join([_head(table), *lines, "}"]) + "\n"
