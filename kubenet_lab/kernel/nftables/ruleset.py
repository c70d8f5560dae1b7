"""All nftables tables of one network namespace, and the one door through which they change.

A text is one transaction: all of it or nothing (nf_tables_api.c, nf_tables_commit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .model import Chain, NftRule, NftSet, Table

__all__ = ["Draft", "NftRuleset", "Origin"]

#: what a rule or an element stands for: (chain or set, text of the rule or key) -> "Service shop/cart port http"
Origin = Callable[[str, str], str]
Key = tuple[str, str]


class NftRuleset:
    """The tables, in the order in which they were made. Counters and timed elements are dynamic state and not kept here."""

    def __init__(self) -> None:
        self._tables: dict[Key, Table] = {}
        self._last = 0  # uids
        self.version = 0  # grows with every change

    @property
    def tables(self) -> Mapping[Key, Table]:
        """By (family, name)."""
        return self._tables

    def table(self, family: str, name: str) -> Table | None:
        return self._tables.get((family, name))

    def chain(self, family: str, table: str, name: str) -> Chain | None:
        found = self.table(family, table)
        return found.chains.get(name) if found else None

    def load(self, text: str, *, origin: Origin | None = None, late: bool = False, file: str = "") -> None:
        """What `nft -f` does with this text.

        Raises NftError (with `.line`) in the tool's words, NotModelled for what the lab does not know.
        """
        from .parse import run_text

        run_text(self, text, origin=origin, late=late, file=file)

    def ruleset(self, *, state: Any = None, family: str = "", stateless: bool = False, handles: bool = False) -> str:
        """What `nft list ruleset` prints. `state` gives counters and timed elements: see `listing.Seen`."""
        from .listing import Seen, list_table

        seen = state or Seen()
        shown = [t for t in self._tables.values() if not family or t.family == family]
        return "".join(list_table(t, seen, stateless=stateless, handles=handles) for t in shown)

    def take_in(self, other: NftRuleset) -> None:
        """The tables of another ruleset too, as their listing has them."""
        if other:
            self.load(other.ruleset(stateless=True))

    def draft(self) -> Draft:
        return Draft(self)

    def accept(self, draft: Draft) -> None:
        """Make a draft true."""
        self._tables, self._last = draft.tables, draft.last
        self.version += 1

    def copy(self) -> NftRuleset:
        """A ruleset of its own with the same tables; they are shared until they change."""
        other = NftRuleset()
        other._tables, other._last, other.version = dict(self._tables), self._last, self.version
        return other

    def __bool__(self) -> bool:
        return bool(self._tables)

    def __repr__(self) -> str:
        rules = sum(len(c.rules) for t in self._tables.values() for c in t.chains.values())
        return f"NftRuleset({', '.join(f'{f} {n}' for f, n in self._tables) or 'no tables'}; {rules} rules)"


class Draft:
    """A ruleset in the making: tables, chains and sets are copied when they are first changed."""

    def __init__(self, of: NftRuleset):
        self.tables, self.last = dict(of._tables), of._last
        self._own: set[int] = set()
        self._kept: list[Any] = []  # keeps ids of copies from being given to others

    def uid(self) -> int:
        self.last += 1
        return self.last

    def _mine(self, thing: Any) -> Any:
        self._own.add(id(thing))
        self._kept.append(thing)
        return thing

    def add_table(self, table: Table) -> Table:
        self.tables[table.family, table.name] = self._mine(table)
        return table

    def table(self, family: str, name: str) -> Table | None:
        """The table, ready to be changed."""
        found = self.tables.get((family, name))
        if found is None or id(found) in self._own:
            return found
        copy = Table(found.family, found.name, found.comment, found.handle, found.flags, dict(found.chains), dict(found.sets), found.last)
        return self.add_table(copy)

    def chain(self, table: Table, name: str) -> Chain | None:
        found = table.chains.get(name)
        if found is None or id(found) in self._own:
            return found
        return self.put_chain(table, Chain(found.name, found.uid, found.handle, found.base, found.comment, list(found.rules)))

    def put_chain(self, table: Table, chain: Chain) -> Chain:
        table.chains[chain.name] = self._mine(chain)
        return chain

    def set(self, table: Table, name: str) -> NftSet | None:
        found = table.sets.get(name)
        if found is None or id(found) in self._own:
            return found
        return self.put_set(table, replace(found, elements=dict(found.elements)))

    def put_set(self, table: Table, found: NftSet) -> NftSet:
        table.sets[found.name] = self._mine(found)
        return found

    def rule(self, statements: Any, table: Table, chain: str, comment: str, origin: str) -> NftRule:
        for s in statements:
            if getattr(s, "inline", None) is not None or getattr(getattr(s, "mapped", None), "inline", None) is not None:
                table.number()  # an anonymous set has a handle of its own
        return NftRule(statements, table.family, table.name, chain, self.uid(), table.number(), comment, origin)
