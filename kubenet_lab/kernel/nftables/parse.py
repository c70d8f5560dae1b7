"""The commands of an nft text, carried out on a draft: add, create, insert, replace, delete, flush, rename, list, and blocks in braces.

Sources: nft(8); nftables 1.0.6 src/parser_bison.y; Linux net/netfilter/nf_tables_api.c (what is refused).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...errors import NotModelled
from . import listing
from .errors import BUSY, EXISTS, MISSING, NftError, Trouble
from .lexer import Token, Words
from .model import NAMES, Base, Chain, NftRule, NftSet, Table
from .parse_lists import ListCommands
from .parse_rule import RuleReader
from .parse_sets import SetCommands
from .reader import FAMILIES, Done
from .references import check, users_of_chain
from .ruleset import NftRuleset

__all__ = ["Done", "run_text"]

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_VERBS = (
    "add", "create", "insert", "replace", "delete", "destroy", "flush", "rename", "list", "reset", "get", "monitor", "describe", "table",
)  # fmt: skip
_OBJECTS = (
    "flowtable", "counter", "quota", "limit", "limits", "counters", "quotas", "meter", "meters", "secmark", "hooks", "ct", "flowtables",
    "synproxy",
)  # fmt: skip


def run_text(
    ruleset: NftRuleset, text: str, *, origin: Callable[[str, Any], str] | None = None, late: bool = False, file: str = "",
    seen: listing.Seen | None = None, options: frozenset[str] = frozenset(),
) -> Done:  # fmt: skip
    """Carry a text out on the ruleset, all of it or nothing."""
    reader = _Reader(ruleset.draft(), origin, late, seen or listing.Seen(), options)
    try:
        reader.words = Words(text)
        reader.run()
    except Trouble as e:
        raise NftError(e.reason, text, *(_place(reader, e)), file) from None
    if reader.done.changed:
        ruleset.accept(reader.draft)
    return reader.done


def _place(reader: _Reader, e: Trouble) -> tuple[int, int]:
    if e.start >= 0:
        return e.start, e.end
    words = getattr(reader, "words", None)
    token = words.tokens[max(0, words.at - 1)] if words is not None else None
    return (token.start, token.end) if token else (0, 1)


class _Reader(SetCommands, ListCommands):
    # ------------------------------------------------------------------------------------------------------ commands
    def run(self) -> None:
        w = self.words
        w.newlines()
        while w.next.kind != "end":
            self._command()
            if not w.statement_ends or w.next.text == "}":
                raise w.trouble()
            w.newlines()
        for key, token in self.touched.items():
            table = self.draft.tables.get(key)
            if table is not None:
                trouble = check(table)
                if trouble:
                    raise Trouble(trouble, token.start, token.end)

    def _command(self) -> None:
        w = self.words
        verb = w.next
        if verb.text not in _VERBS:
            if verb.text in ("define", "include", "import", "export", "undefine", "redefine"):
                raise NotModelled(f"nft: `{verb.text}`")
            raise w.trouble()
        if verb.text == "table":
            w.take()
            self._add_table("add")
            return
        w.take()
        if verb.text in ("reset", "get", "monitor", "describe", "destroy"):
            raise NotModelled(f"nft {verb.text}")
        thing = w.name()
        doors: dict[str, dict[str, Callable[[str], None]]] = {
            "add": {"table": self._add_table, "chain": self._add_chain, "rule": self._add_rule, "set": self._add_set, "map": self._add_set,
                    "element": self._add_element},
            "delete": {"table": self._delete_table, "chain": self._delete_chain, "rule": self._delete_rule, "set": self._delete_set,
                       "map": self._delete_set, "element": self._delete_element},
            "flush": {"ruleset": self._flush_ruleset, "table": self._flush_table, "chain": self._flush_chain, "set": self._flush_set,
                      "map": self._flush_set},
            "list": {"ruleset": self._list_ruleset, "table": self._list_table, "tables": self._list_tables, "chain": self._list_chain,
                     "chains": self._list_chains, "set": self._list_set, "map": self._list_set, "sets": self._list_sets,
                     "maps": self._list_sets},
            "insert": {"rule": self._add_rule}, "replace": {"rule": self._replace_rule}, "rename": {"chain": self._rename_chain},
        }  # fmt: skip
        doors["create"] = {k: v for k, v in doors["add"].items() if k != "rule"}
        door = doors[verb.text].get(thing.text)
        if door is None:
            if verb.text == "add" and thing.text in FAMILIES:  # `add ip t c ...`: short for `add rule`
                w.at -= 1
                return self._add_rule("add")
            if thing.text in _OBJECTS:
                raise NotModelled(f"nft {verb.text} {thing.text}")
            raise Trouble(f"syntax error, unexpected {thing.text}", thing.start, thing.end)
        if verb.text != "list":
            self.done.changed = True
        self._kind = thing.text
        door(verb.text)

    # ------------------------------------------------------------------------------------------------------- tables
    def _add_table(self, verb: str) -> None:
        w = self.words
        family = self._family()
        token = w.name()
        table = self.draft.table(family, token.text)
        if table is not None and verb == "create":
            raise Trouble(EXISTS, token.start, token.end)
        if table is None:
            table = self.draft.add_table(Table(family, token.text, handle=len(self.draft.tables) + 1))
        self.done.changed = True
        self._touch(table, token)
        if w.accept("{"):
            self._block(table)

    def _block(self, table: Table) -> None:
        """The inside of `table ... { }`: first what it declares, then the rules, as nft sends them."""
        w = self.words
        later: list[tuple[int, str]] = []
        filled: list[tuple[int, NftSet, Token]] = []
        w.newlines()
        while not w.accept("}"):
            if w.accept("comment"):
                table.comment = w.string()
            elif w.accept("flags"):
                table.flags = frozenset((w.name().text,))
            elif word := w.accept("chain"):
                name = w.name()
                chain = self._declare_chain(table, name, "add")
                w.expect("{")
                later.append((w.at, chain.name))
                self._chain_block(table, chain, rules=False)
            elif word := w.accept("set", "map"):
                name = w.name()
                found, listed = self._declare_set(table, word, name, "add", block=True)
                filled += [(at, found, name) for at in listed]
            elif w.next.text in ("flowtable", "counter", "quota", "limit", "ct", "secmark", "synproxy"):
                raise NotModelled(f"nft {w.next.text} objects")
            else:
                raise w.trouble()
            w.newlines()
        end = w.at
        for at, into, name in filled:
            w.at = at
            self._put(table, into, name, "add")
        for at, chain_name in later:
            w.at = at
            own = self.draft.chain(table, chain_name)
            assert own is not None
            self._chain_block(table, own, rules=True)
        w.at = end

    def _chain_block(self, table: Table, chain: Chain, rules: bool) -> None:
        w = self.words
        w.newlines()
        while not w.accept("}"):
            if w.next.text in ("type", "policy", "comment", "devices", "flags"):
                self._chain_property(chain, rules, table.family)
            elif rules:
                self._append(table, chain, w.next)
            else:
                depth = 0
                if w.next.kind == "end":
                    raise w.trouble()
                while not (w.statement_ends and depth == 0) and w.next.kind != "end":
                    depth += {"{": 1, "}": -1}.get(w.take().text, 0)
            w.newlines()

    # ------------------------------------------------------------------------------------------------------- chains
    def _add_chain(self, verb: str) -> None:
        w = self.words
        table, _ = self._table()
        name = w.name()
        chain = self._declare_chain(table, name, verb)
        self._touch(table, name)
        if w.accept("{"):
            self._chain_block(table, chain, rules=False)

    def _declare_chain(self, table: Table, name: Token, verb: str) -> Chain:
        found = self.draft.chain(table, name.text)
        if found is not None:
            if verb == "create":
                raise Trouble(EXISTS, name.start, name.end)
            return found
        return self.draft.put_chain(table, Chain(name.text, self.draft.uid(), table.number()))

    def _chain_property(self, chain: Chain, again: bool, family: str) -> None:
        w = self.words
        word = w.take()
        if word.text == "comment":
            chain.comment = w.string()
        elif word.text == "policy":
            policy = w.expect("accept", "drop").text
            if chain.base is None:
                raise Trouble("Operation not supported", word.start, word.end)
            chain.base = replace(chain.base, policy=policy)
        elif word.text == "type":
            kind = w.expect("filter", "nat", "route").text
            w.expect("hook")
            hook = w.name()
            if family == "bridge" and (kind, hook.text) != ("filter", "prerouting"):
                raise NotModelled(f"nft chains of family bridge, type {kind}, hook {hook.text}")
            if hook.text == "ingress":
                raise NotModelled("nft chains at ingress")
            if hook.text not in HOOKS:
                raise Trouble("unknown chain hook", hook.start, hook.end)
            if (kind == "nat" and hook.text == "forward") or (kind == "route" and hook.text != "output"):
                raise Trouble("Operation not supported", word.start, hook.end)
            if w.next.text == "device":
                raise NotModelled("nft chains on a device")
            priority = 0
            if w.accept("priority"):
                priority = self._priority(Base(kind, hook.text, 0, family=family))
            policy = chain.base.policy if chain.base else "accept"
            if not again:
                if chain.base and (chain.base.hook, chain.base.priority) != (hook.text, priority):
                    raise Trouble(EXISTS, word.start, hook.end)
                chain.base = Base(kind, hook.text, priority, policy, chain.base.late if chain.base else self.late, family=family)
        else:
            raise NotModelled(f"nft chain {word.text}")

    def _priority(self, where: Base) -> int:
        w = self.words
        token = w.name()
        text = token.text
        if text.lstrip("-").isdigit():
            return int(text)
        name, _, rest = text.partition("-")
        base = where.names.get(name)
        if base is None and name in NAMES:
            raise Trouble("invalid priority expression value in this context.", token.start, token.end)
        if base is None or (rest and not rest.isdigit()):
            raise Trouble(f"'{text}' is invalid priority.", token.start, token.end)
        if rest:
            return base - int(rest)
        sign = w.accept("+", "-")
        if sign:
            return base + (1 if sign == "+" else -1) * int(w.name().text)
        if w.next.kind == "word" and w.next.text.startswith("-") and w.next.text[1:].isdigit():
            return base + int(w.take().text)
        return base

    def _chain(self, table: Table) -> tuple[Chain, Token]:
        token = self.words.name()
        chain = self.draft.chain(table, token.text)
        if chain is None:
            raise Trouble(MISSING, token.start, token.end)
        return chain, token

    def _delete_chain(self, verb: str) -> None:
        table, _ = self._table()
        chain, token = self._chain(table)
        if self.words.accept("{"):  # the tool takes its properties along
            while not self.words.accept("}"):
                if self.words.take().kind == "end":
                    raise self.words.trouble()
        if users_of_chain(table, chain.name):
            raise Trouble(BUSY, token.start, token.end)
        del table.chains[chain.name]

    def _rename_chain(self, verb: str) -> None:
        table, _ = self._table()
        chain, _ = self._chain(table)
        new = self.words.name()
        if new.text in table.chains:
            raise Trouble(EXISTS, new.start, new.end)
        if users_of_chain(table, chain.name):
            raise NotModelled("nft rename of a chain that rules jump to")
        rules = [replace(r, chain=new.text) for r in chain.rules]
        chains = [Chain(new.text, c.uid, c.handle, c.base, c.comment, rules) if c is chain else c for c in table.chains.values()]
        table.chains = {c.name: c for c in chains}

    def _flush_chain(self, verb: str) -> None:
        table, _ = self._table()
        chain, _ = self._chain(table)
        chain.rules.clear()

    # -------------------------------------------------------------------------------------------------------- rules
    def _reader(self, table: Table) -> RuleReader:
        key = (table.family, table.name)
        if key not in self._rules:
            draft = self.draft
            # a rule that adds to a set may change its flags, so the set is made the draft's own first
            self._rules[key] = RuleReader(table.family, lambda name: draft.set(draft.tables[key], name))
        return self._rules[key]

    def _rule(self, table: Table, chain: Chain, token: Token) -> NftRule:
        statements, comment = self._reader(table).read(self.words)
        self._allowed(statements, chain, token)
        self._touch(table, token)
        for s in statements:
            for target in _targets(s):
                found = table.chains.get(target)
                if found is None or found.base is not None:
                    last = self.words.tokens[self.words.at - 1]
                    raise Trouble(MISSING if found is None else "Operation not supported", token.start, last.end)
        return self.draft.rule(statements, table, chain.name, comment, self.origin(chain.name, None))

    def _allowed(self, statements: Any, chain: Chain, token: Token) -> None:
        """NAT stands in chains of type nat, at the hooks where it can be done (nft_nat_validate)."""
        if chain.base is None:
            return
        hooks = {"dnat": ("prerouting", "output"), "redirect": ("prerouting", "output"), "snat": ("postrouting", "input"),
                 "masquerade": ("postrouting",)}  # fmt: skip
        for s in statements:
            wanted = hooks.get(getattr(s, "kind", "") if hasattr(s, "mapped") else "")
            if wanted and (chain.base.type != "nat" or chain.base.hook not in wanted):
                raise Trouble("Operation not supported", token.start, self.words.tokens[self.words.at - 1].end)

    def _append(self, table: Table, chain: Chain, token: Token) -> None:
        chain.rules.append(self._rule(table, chain, token))

    def _add_rule(self, verb: str) -> None:
        w = self.words
        table, _ = self._table()
        chain, token = self._chain(table)
        at: int | None = None
        if word := w.accept("position", "handle", "index"):
            number = int(w.name().text)
            if word == "index":
                at = number
                if not 0 <= at < len(chain.rules):
                    raise Trouble(MISSING, token.start, token.end)
            else:
                at = self._by_handle(chain, number, token)
        rule = self._rule(table, chain, token)
        if verb == "insert":
            chain.rules.insert(at or 0, rule)
        elif at is None:
            chain.rules.append(rule)
        else:
            chain.rules.insert(at + 1, rule)

    def _by_handle(self, chain: Chain, handle: int, token: Token) -> int:
        for i, rule in enumerate(chain.rules):
            if rule.handle == handle:
                return i
        raise Trouble(MISSING, token.start, token.end)

    def _replace_rule(self, verb: str) -> None:
        table, _ = self._table()
        chain, token = self._chain(table)
        self.words.expect("handle")
        number = self.words.name()
        at = self._by_handle(chain, int(number.text), number)
        chain.rules[at] = replace(self._rule(table, chain, token), handle=chain.rules[at].handle)

    def _delete_rule(self, verb: str) -> None:
        table, _ = self._table()
        chain, _ = self._chain(table)
        self.words.expect("handle")
        number = self.words.name()
        del chain.rules[self._by_handle(chain, int(number.text), number)]

    # ------------------------------------------------------------------------------------------------------ deleting
    def _delete_table(self, verb: str) -> None:
        table, _ = self._table()
        del self.draft.tables[table.family, table.name]
        self.done.timed += [(False, f"{table.family} {table.name} {s}", None, 0.0, 0.0) for s in table.sets]

    def _flush_table(self, verb: str) -> None:
        table, _ = self._table()
        for name in table.chains:
            chain = self.draft.chain(table, name)
            assert chain is not None
            chain.rules.clear()

    def _flush_ruleset(self, verb: str) -> None:
        family = self.words.accept(*FAMILIES)
        for key in [k for k in self.draft.tables if not family or k[0] == family]:
            self.done.timed += [(False, f"{key[0]} {key[1]} {s}", None, 0.0, 0.0) for s in self.draft.tables[key].sets]
            del self.draft.tables[key]

def _targets(statement: Any) -> list[str]:
    out = [statement.target] if statement.target else []
    inline = getattr(statement, "inline", None)
    if inline is not None and inline.verdicts:
        out += [e.data.chain for e in inline.elements.values() if e.data.chain]
    return out
