"""The commands on sets, maps and their elements.

Sources: nft(8); Linux net/netfilter/nf_tables_api.c (nf_tables_newset, nf_tables_newsetelem).
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import NotModelled
from .elements import time_value
from .errors import BUSY, EXISTS, MISSING, Trouble
from .lexer import Token
from .model import Element, NftSet, Table
from .parse_values import elements, types_of
from .reader import Reader
from .references import users_of_set

__all__ = ["SetCommands"]

_FLAGS = ("constant", "interval", "timeout", "dynamic")


class SetCommands(Reader):
    def _add_set(self, verb: str) -> None:
        kind = self._kind
        table, _ = self._table()
        token = self.words.name()
        self._declare_set(table, kind, token, verb, block=False)

    def _declare_set(self, table: Table, kind: str, token: Token, verb: str, block: bool) -> tuple[NftSet, list[int]]:
        """The set, and where its elements stand: in a block they may name chains that follow."""
        w = self.words
        w.expect("{")
        found = NftSet(token.text, ())
        listed: list[int] = []
        w.newlines()
        while not w.accept("}"):
            word = w.take()
            if word.text == "type":
                found.types = types_of(w)
                if w.accept(":"):
                    found.data = types_of(w)
            elif word.text == "typeof":
                raise NotModelled("nft sets declared with typeof")
            elif word.text == "flags":
                flags = [w.expect(*_FLAGS).text]
                while w.accept(","):
                    flags.append(w.expect(*_FLAGS).text)
                found.flags = frozenset(flags)
            elif word.text == "timeout":
                found.timeout = time_value(w.name().text)
                found.flags |= {"timeout"}
            elif word.text == "size":
                found.size = int(w.name().text)
            elif word.text == "comment":
                found.comment = w.string()
            elif word.text == "counter":
                found.counter = True
            elif word.text == "auto-merge":
                found.auto_merge = True
            elif word.text == "policy":
                w.expect("performance", "memory")
            elif word.text == "elements":
                w.expect("=")
                listed.append(w.at)
                self._skip_braces()
            elif word.text == "gc-interval":
                raise NotModelled("nft gc-interval")
            else:
                w.at -= 1
                raise w.trouble()
            w.newlines()
        if not found.types:
            raise Trouble("set definition does not specify key", token.start, token.end)
        if (kind == "map") != bool(found.data):
            what = "map definition does not specify mapping data type" if kind == "map" else "set definition has conflicting data"
            raise Trouble(what, token.start, token.end)
        old = self.draft.set(table, token.text)
        if old is not None:
            same = (old.types, old.data, old.timeout) == (found.types, found.data, found.timeout)
            if verb == "create" or not same:
                raise Trouble(EXISTS, token.start, token.end)
            found = old
        else:
            found.handle = table.number()
            self.draft.put_set(table, found)
        if block:
            return found, listed
        end = w.at
        for at in listed:
            w.at = at
            self._put(table, found, token, "add")
        w.at = end
        return found, []

    def _skip_braces(self) -> None:
        w = self.words
        w.expect("{")
        depth = 1
        while depth:
            if w.next.kind == "end":
                raise w.trouble()
            depth += {"{": 1, "}": -1}.get(w.take().text, 0)

    def _set(self, table: Table) -> tuple[NftSet, Token]:
        token = self.words.name()
        found = self.draft.set(table, token.text)
        if found is None:
            raise Trouble(MISSING, token.start, token.end)
        return found, token

    def _add_element(self, verb: str) -> None:
        table, _ = self._table()
        found, token = self._set(table)
        self._put(table, found, token, verb)
        self._touch(table, token)

    def _put(self, table: Table, found: NftSet, token: Token, verb: str) -> None:
        name = f"{table.family} {table.name} {found.name}"
        for e in elements(self.words, found):
            if found.verdicts and e.data.chain:
                target = table.chains.get(e.data.chain)
                if target is None or target.base is not None:
                    raise Trouble(MISSING if target is None else "Operation not supported", token.start, token.end)
            if found.timeout or e.timeout:
                self.done.timed.append((True, name, e.key, e.timeout or found.timeout, e.timeout))
                continue
            old = found.elements.get(e.key)
            if old is not None and (verb == "create" or old.data != e.data):
                raise Trouble(EXISTS, token.start, token.end)
            if old is None:
                if found.interval and len(found.types) == 1 and not found.auto_merge and _overlaps(found, e):
                    raise Trouble("interval overlaps with an existing one", token.start, token.end)
                if found.size and len(found.elements) >= found.size:
                    raise Trouble("Too many open files in system", token.start, token.end)
                found.elements[e.key] = replace(e, origin=self.origin(found.name, e))

    def _delete_element(self, verb: str) -> None:
        table, _ = self._table()
        found, token = self._set(table)
        keys = NftSet(found.name, found.types, flags=found.flags)
        at = self.words.at
        try:
            listed = elements(self.words, keys)
        except Trouble:
            self.words.at = at
            listed = elements(self.words, found)
        name = f"{table.family} {table.name} {found.name}"
        for e in listed:
            if found.dynamic and e.key not in found.elements:
                if repr(e.key) not in self.seen.timed.get(name, {}):
                    raise Trouble(MISSING, token.start, token.end)
                self.done.timed.append((False, name, e.key, 0.0, 0.0))
            elif found.elements.pop(e.key, None) is None:
                raise Trouble(MISSING, token.start, token.end)

    def _delete_set(self, verb: str) -> None:
        table, _ = self._table()
        found, token = self._set(table)
        if users_of_set(table, found.name):
            raise Trouble(BUSY, token.start, token.end)
        self.done.timed.append((False, f"{table.family} {table.name} {found.name}", None, 0.0, 0.0))
        del table.sets[found.name]

    def _flush_set(self, verb: str) -> None:
        table, _ = self._table()
        found, _ = self._set(table)
        found.elements.clear()
        self.done.timed.append((False, f"{table.family} {table.name} {found.name}", None, 0.0, 0.0))


def _overlaps(found: NftSet, e: Element) -> bool:
    low, high = e.key[0] if isinstance(e.key[0], tuple) else (e.key[0], e.key[0])
    if isinstance(low, str):
        return False
    for other in found.elements.values():
        a, b = other.key[0] if isinstance(other.key[0], tuple) else (other.key[0], other.key[0])
        if a <= high and low <= b:
            return True
    return False
