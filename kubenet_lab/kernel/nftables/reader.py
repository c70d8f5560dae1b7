"""`Reader`: what every nft command of a text works with: the words, the draft, the names of tables, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...errors import NotModelled
from . import listing
from .errors import MISSING, Trouble
from .lexer import Token, Words
from .model import Table
from .parse_rule import RuleReader
from .ruleset import Draft

__all__ = ["FAMILIES", "Done", "Reader"]

FAMILIES = ("ip", "ip6", "inet", "bridge")
_OTHER = ("arp", "netdev")


@dataclass(slots=True)
class Done:
    """What a text came to: what it printed, and the timed elements that it put into sets (True) or took away."""

    output: str = ""
    timed: list[tuple[bool, str, tuple[Any, ...] | None, float, float]] = field(default_factory=list)
    changed: bool = False


class Reader:
    def __init__(self, draft: Draft, origin: Callable[[str, Any], str] | None, late: bool, seen: listing.Seen, options: frozenset[str]):
        self.draft, self.late, self.seen, self.options, self.done = draft, late, seen, options, Done()
        self.origin = origin or (lambda where, element: "")
        self.words: Words
        self.touched: dict[tuple[str, str], Token] = {}
        self._rules: dict[tuple[str, str], RuleReader] = {}
        self._kind = ""  # what the command is about: "chain", "map"

    def _family(self) -> str:
        w = self.words
        if w.next.text in _OTHER and w.ahead().kind == "word":
            raise NotModelled(f"nft tables of family {w.next.text}")
        return w.accept(*FAMILIES) or "ip"

    def _table(self) -> tuple[Table, Token]:
        family = self._family()
        token = self.words.name()
        table = self.draft.table(family, token.text)
        if table is None:
            raise Trouble(MISSING, token.start, token.end)
        return table, token

    def _looked_at(self) -> Table:
        family = self._family()
        token = self.words.name()
        table = self.draft.tables.get((family, token.text))
        if table is None:
            raise Trouble(MISSING, token.start, token.end)
        return table

    def _touch(self, table: Table, token: Token) -> None:
        self.touched[table.family, table.name] = token
