"""The commands that print: `list ruleset`, `list table`, `list chain` and the others."""

from __future__ import annotations

from . import listing
from .errors import MISSING, Trouble
from .reader import FAMILIES, Reader

__all__ = ["ListCommands"]


class ListCommands(Reader):
    def _print(self, text: str) -> None:
        self.done.output += text

    @property
    def _how(self) -> dict[str, bool]:
        return {"stateless": "s" in self.options, "handles": "a" in self.options}

    def _list_ruleset(self, verb: str) -> None:
        family = self.words.accept(*FAMILIES)
        for table in self.draft.tables.values():
            if not family or table.family == family:
                self._print(listing.list_table(table, self.seen, **self._how))

    def _list_tables(self, verb: str) -> None:
        family = self.words.accept(*FAMILIES)
        self._print("".join(f"table {f} {n}\n" for f, n in self.draft.tables if not family or f == family))

    def _list_table(self, verb: str) -> None:
        self._print(listing.list_table(self._looked_at(), self.seen, **self._how))

    def _list_chain(self, verb: str) -> None:
        table = self._looked_at()
        token = self.words.name()
        chain = table.chains.get(token.text)
        if chain is None:
            raise Trouble(MISSING, token.start, token.end)
        self._print(listing.list_chain(table, chain, self.seen, **self._how))

    def _list_chains(self, verb: str) -> None:
        family = self.words.accept(*FAMILIES)
        for table in self.draft.tables.values():
            if not family or table.family == family:
                self._print(listing.list_chains(table))

    def _list_set(self, verb: str) -> None:
        table = self._looked_at()
        token = self.words.name()
        found = table.sets.get(token.text)
        if found is None or found.kind != self._kind:
            raise Trouble(MISSING, token.start, token.end)
        self._print(listing.list_set(table, found, self.seen, handles="a" in self.options))

    def _list_sets(self, verb: str) -> None:
        kind = self._kind[:-1]
        family = self.words.accept(*FAMILIES)
        for table in self.draft.tables.values():
            if not family or table.family == family:
                self._print(listing.list_sets(table, kind, self.seen))
