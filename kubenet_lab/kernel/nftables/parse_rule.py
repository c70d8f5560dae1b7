"""A rule's text as statements.

Sources: nft(8); nftables 1.0.6 src/parser_bison.y, src/evaluate.c (what a match implies), src/payload.c (what a listing leaves out).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import NotModelled
from .datatypes import TYPES, DataType
from .elements import time_value
from .errors import Trouble
from .lexer import Words
from .model import NftSet
from .parse_values import VERDICTS, inline_set, outcome, value, value_range
from .selectors import Concat, Field, Mixed, Numgen, Selector, field_of
from .statements import Counter, FlagMatch, Log, Lookup, MapValue, Match, Notrack, SetMark, Statement, Update, Verdict, Vmap
from .statements_nat import REJECTS, Nat, Reject

__all__ = ["RuleReader"]

_NOT_MODELLED = ("limit", "quota", "queue", "dup", "fwd", "tproxy", "synproxy", "meter", "flow", "tcp option", "xt", "secmark", "last")
_PORTED = ("tcp", "udp", "sctp")
_FLAGS = ("random", "fully-random", "persistent")
_NUMBER = {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "ipv6-icmp"}


_OF_FRAMES = ("ether saddr", "ether daddr", "meta iifname", "meta oifname")


class RuleReader:
    """Reads the rules of one table. `sets` gives its sets and maps by name, None for one that is not there."""

    def __init__(self, family: str, sets: Callable[[str], NftSet | None]):
        self.family, self.sets = family, sets

    def read(self, w: Words) -> tuple[tuple[Statement, ...], str]:
        """(the statements, the comment), up to the end of the statement."""
        out: list[Statement] = []
        comment = ""
        self.transport, self.known_version = "", {"ip": 4, "ip6": 6}.get(self.family, 0)
        while not w.statement_ends:
            if w.accept("comment"):
                comment = w.string()
                break
            start = w.next
            if out and isinstance(out[-1], Verdict | Reject | Nat) and start.text != "comment":
                raise Trouble("Statement after terminal statement has no effect", start.start, start.end)
            statement = self._statement(w)
            self._on_frames(statement)
            self._add(out, statement)
        if not w.statement_ends:
            raise w.trouble()
        if not out:
            raise w.trouble("a statement")
        return tuple(out), comment

    def _on_frames(self, s: Statement) -> None:
        """Of a frame its addresses and ports are known. The rest of family bridge, and frames in other families, is not modelled."""
        field = s.of.words if isinstance(s, Match) and isinstance(s.of, Field) else ""
        known = field in _OF_FRAMES if isinstance(s, Match) else isinstance(s, Verdict | Counter)
        if known != (self.family == "bridge") and (self.family == "bridge" or field.startswith("ether ")):
            raise NotModelled(f"nft `{s}` in a table of family {self.family}")

    def _add(self, out: list[Statement], s: Statement) -> None:
        """A match on a protocol that the next match implies is left out, as a listing leaves it out."""
        of = getattr(s, "of", None) or getattr(getattr(s, "mapped", None), "of", None)
        version, transport = of.layer if of is not None else (0, "")
        last = out[-1] if out else None
        if isinstance(last, Match) and last.op in ("", "==") and last.low == last.high and isinstance(last.of, Field):
            same_transport = transport and last.of.words == "meta l4proto" and _NUMBER.get(last.low) == transport
            same_version = version and last.of.words == "meta nfproto" and last.low == (2 if version == 4 else 10)
            if (same_transport or same_version) and isinstance(s, Match | Lookup | Vmap | FlagMatch | Nat):
                out.pop()
        words = s.of.words if isinstance(s, Match) and isinstance(s.of, Field) else ""
        if isinstance(s, Match) and s.op in ("", "==") and words in ("meta l4proto", "ip protocol", "ip6 nexthdr"):
            self.transport = _NUMBER.get(s.low, "")
        elif isinstance(s, Lookup) and isinstance(s.of, Field) and s.of.words == "meta l4proto":
            self.transport = "tcp"  # one of those in the set: nft lets a port follow
        elif transport:
            self.transport = transport
        out.append(s)

    # ------------------------------------------------------------------------------------------------- statements
    def _statement(self, w: Words) -> Statement:
        token = w.next
        word = token.text
        if word in _NOT_MODELLED:
            raise NotModelled(f"nft statement `{word}`")
        if word in VERDICTS:
            found = outcome(w)
            return Verdict(found.kind, found.chain)
        simple: dict[str, Callable[[Words], Statement]] = {
            "counter": self._counter, "reject": self._reject, "dnat": self._nat, "snat": self._nat, "masquerade": self._nat,
            "redirect": self._nat, "log": self._log, "add": self._update, "update": self._update, "delete": self._update,
        }  # fmt: skip
        if word in simple:
            return simple[word](w)
        if word == "notrack":
            w.take()
            return Notrack()
        for name in (("meta", "mark", "set"), ("ct", "mark", "set")):
            if tuple(w.ahead(i).text for i in range(3)) == name:
                w.at += 3
                return SetMark(f"{name[0]} mark", self._mark_value(w))
        if word == "mark" and w.ahead().text == "set":
            w.at += 2
            return SetMark("meta mark", self._mark_value(w))
        if word in ("meta", "ct") and w.ahead(2).text == "set":
            raise NotModelled(f"nft statement `{word} {w.ahead().text} set`")
        return self._match(w)

    def _counter(self, w: Words) -> Statement:
        w.take()
        if w.next.text == "name":
            raise NotModelled("nft named counters")
        packets = value(w, TYPES["integer"]) if w.accept("packets") else 0
        return Counter(packets, int(w.name().text) if w.accept("bytes") else 0)

    def _reject(self, w: Words) -> Statement:
        w.take()
        usual = {"ip": "icmp", "ip6": "icmpv6"}.get(self.family, "icmpx")
        if not w.accept("with"):
            return Reject(usual, "port-unreachable", True)
        token = w.name()
        if token.text == "tcp":
            w.expect("reset")
            return Reject("tcp", "reset")
        if token.text not in REJECTS:
            raise Trouble(f"syntax error, unexpected {token.text}", token.start, token.end)
        w.accept("type")
        code = w.name()
        if code.text not in REJECTS[token.text]:
            raise Trouble("Could not parse reject code", code.start, code.end)
        if token.text != usual and self.family != "inet":
            other = "conflicting protocols specified: ip vs ip6"
            raise Trouble(other if token.text != "icmpx" else "abstracted ICMP unreachable not supported", token.start, token.end)
        return Reject(token.text, code.text, token.text == usual and code.text == "port-unreachable")

    def _log(self, w: Words) -> Statement:
        w.take()
        prefix, rest = "", []
        while word := w.accept("prefix", "level", "group", "snaplen", "queue-threshold", "flags"):
            if word == "prefix":
                prefix = w.string()
            else:
                rest.append(f"{word} {w.name().text}")
        return Log(prefix, " ".join(rest))

    def _update(self, w: Words) -> Statement:
        verb = w.take().text
        w.expect("@")
        token = w.name()
        found = self._named(token.text, token.start, token.end)
        w.expect("{")
        of = self._selector(w)
        timeout = time_value(w.name().text) if w.accept("timeout") else 0.0
        if w.next.text in ("counter", "limit", "quota", ":"):
            raise NotModelled("nft: stateful elements added by packets")
        w.expect("}")
        self._fits(of, found.types, token.start, token.end)
        if verb != "delete":
            found.flags |= {"dynamic"}
        found.size = found.size or 65535  # nft_dynset_init
        return Update(verb, token.text, of, timeout)

    def _mark_value(self, w: Words) -> Any:
        if w.next.kind == "word" and w.next.text[0].isdigit():
            return value(w, TYPES["mark"])
        of = self._selector(w)
        if w.accept("map"):
            return self._map(w, of, (TYPES["mark"],))
        if isinstance(of, Concat):
            raise w.trouble()
        if not isinstance(of, Numgen) and of.type.name not in ("mark",):
            raise NotModelled(f"nft: a mark set from `{of}`")
        return of.of if isinstance(of, Mixed) and of.mask == of.type.full and not of.xor else of

    def _map(self, w: Words, of: Selector, data: tuple[DataType, ...]) -> MapValue:
        if w.accept("@"):
            token = w.name()
            found = self._named(token.text, token.start, token.end)
            self._fits(of, found.types, token.start, token.end)
            if not found.data or found.verdicts:
                raise Trouble("Expression is not a map with mappings", token.start, token.end)
            return MapValue(of, token.text)
        return MapValue(of, "", inline_set(w, _types(of), data))

    def _nat(self, w: Words) -> Statement:
        start = w.take()
        kind = start.text
        family = w.accept("ip", "ip6")
        pair = False
        if w.accept("addr"):  # `ip addr . port to`: what maps give is a pair
            w.expect(".")
            w.expect("port")
            pair = True
        wide = "ip6" if (family or self.family) == "ip6" else "ip"
        if self.family == "inet" and not family and w.next.text == "to" and w.ahead().text != ":":
            raise Trouble("ip or ip6 must be specified with address for inet tables.", start.start, start.end)
        address = TYPES["ipv6_addr" if wide == "ip6" else "ipv4_addr"]
        addresses = ports = None
        mapped: MapValue | None = None
        shown = family if self.family == "inet" else ""
        if w.accept("to"):
            if w.next.text == ":":
                ports = self._ports(w)
            elif w.next.text == "[":
                w.take()
                addresses = self._addresses(w, address)
                w.expect("]")
                ports = self._ports(w) if w.next.text == ":" else None
            elif field_of(self._words(w)) or w.next.text == "numgen":
                of = self._selector(w)
                w.expect("map")
                mapped = self._map(w, of, (address, TYPES["inet_service"]) if pair or self._pair_ahead(w) else (address,))
            else:
                addresses = self._addresses(w, address)
                ports = self._ports(w) if w.next.text == ":" else None
        elif kind in ("dnat", "snat"):
            raise w.trouble("to")
        if ports and not self.transport:
            token = w.tokens[w.at - 1]
            raise Trouble("transport protocol mapping is only valid after transport protocol match", token.start, token.end)
        flags: list[str] = []
        while word := w.accept(*_FLAGS):
            flags.append(word)
            w.accept(",")
        return Nat(kind, shown, addresses, ports, mapped, tuple(f for f in _FLAGS if f in flags))

    def _pair_ahead(self, w: Words) -> bool:
        """Does the first element of the anonymous map give an address and a port?"""
        at = w.at
        while w.tokens[at].text not in (":", "}") and w.tokens[at].kind != "end":
            at += 1
        return w.tokens[min(at + 2, len(w.tokens) - 1)].text == "."

    def _addresses(self, w: Words, kind: DataType) -> tuple[str, str]:
        low, high, was_prefix = value_range(w, kind)
        if was_prefix:
            raise NotModelled("nft: NAT to a prefix")
        return kind.text(low), kind.text(high)

    def _ports(self, w: Words) -> tuple[int, int]:
        w.expect(":")
        low, high, _ = value_range(w, TYPES["inet_service"])
        return low, high

    # ---------------------------------------------------------------------------------------------------- matches
    def _words(self, w: Words) -> tuple[str, ...]:
        return tuple(w.ahead(i).text for i in range(4))

    def _selector(self, w: Words) -> Selector:
        if w.accept("numgen"):
            mode = w.expect("random", "inc").text
            w.expect("mod")
            token = w.next
            mod = value(w, TYPES["integer"])
            if mod < 1:
                raise Trouble("Modulus must be greater than zero", token.start, token.end)
            return Numgen(mode, mod, value(w, TYPES["integer"]) if w.accept("offset") else 0)
        parts = [self._field(w)]
        while w.next.text == "." and w.next.kind == "word":
            w.take()
            parts.append(self._field(w))
        if len(parts) > 1:
            return Concat(tuple(parts))
        mixed = Mixed(parts[0], parts[0].type.full)
        plain = True
        while word := w.accept("and", "or", "xor", "&", "|", "^"):
            if parts[0].words == "tcp flags":
                raise NotModelled("nft: tcp flags with `&` in this form; write `tcp flags syn / syn,ack`")
            number = value(w, parts[0].type)
            plain = False
            mixed = {"and": mixed.and_, "&": mixed.and_, "or": mixed.or_, "|": mixed.or_, "xor": mixed.xor_, "^": mixed.xor_}[word](number)
        return parts[0] if plain else mixed

    def _field(self, w: Words) -> Field:
        found = field_of(self._words(w))
        if found is None:
            raise w.trouble()
        field, taken = found
        token = w.next
        w.at += taken
        version = field.layer[0]
        if version and self.known_version and version != self.known_version:
            a, b = ("ip", "ip6") if self.known_version == 4 else ("ip6", "ip")
            raise Trouble(f"conflicting protocols specified: {a} vs. {b}", token.start, w.tokens[w.at - 1].end)
        return field

    def _match(self, w: Words) -> Statement:
        of = self._selector(w)
        if w.accept("vmap"):
            return self._vmap(w, of)
        op = w.accept("==", "!=", "<=", ">=", "<", ">", "eq", "ne", "lt", "gt", "le", "ge")
        op = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}.get(op, op)
        if w.accept("@"):
            token = w.name()
            found = self._named(token.text, token.start, token.end)
            self._fits(of, found.types, token.start, token.end)
            if found.data:
                raise Trouble("Expression is a map, not a set", token.start, token.end)
            return Lookup(of, token.text, None, op == "!=")
        if w.next.text == "{":
            inline = inline_set(w, _types(of))
            if len(inline.elements) == 1 and not inline.auto_merge and not isinstance(of, Concat | Numgen):
                [only] = inline.elements.values()
                low, high = only.key[0] if isinstance(only.key[0], tuple) else (only.key[0], only.key[0])
                return self._single(of, "" if op == "==" else op, low, high, low != high)
            return Lookup(of, "", inline, op == "!=")
        if isinstance(of, Concat | Numgen):
            raise w.trouble("@ or {")
        low, high, was_prefix = value_range(w, of.type)
        if isinstance(of, Field) and of.type.bitmask and w.accept("/"):
            mask, _, _ = value_range(w, of.type)
            return FlagMatch(of, low, mask, op)
        return self._single(of, op, low, high, was_prefix)

    def _single(self, of: Selector, op: str, low: Any, high: Any, was_prefix: bool) -> Match:
        assert isinstance(of, Field | Mixed)
        if op == "==" and isinstance(of, Field) and not of.type.bitmask:
            op = ""
        return Match(of, op, low, high, was_prefix)

    def _vmap(self, w: Words, of: Selector) -> Statement:
        if w.accept("@"):
            token = w.name()
            found = self._named(token.text, token.start, token.end)
            self._fits(of, found.types, token.start, token.end)
            if not found.verdicts:
                raise Trouble("Expression is not a verdict map", token.start, token.end)
            return Vmap(of, token.text)
        return Vmap(of, "", inline_set(w, _types(of), (TYPES["verdict"],)))

    def _named(self, name: str, start: int, end: int) -> NftSet:
        found = self.sets(name)
        if found is None:
            raise Trouble("No such file or directory", start, end)
        return found

    def _fits(self, of: Selector, types: tuple[DataType, ...], start: int, end: int) -> None:
        mine = _types(of)
        if [t.name for t in mine] != [t.name for t in types] and not {mine[0].name, types[0].name} <= {"integer", "mark"}:
            expected, found = " . ".join(t.name for t in types), " . ".join(t.name for t in mine)
            raise Trouble(f"datatype mismatch, expected {found}, expression has type {expected}", start, end)


def _types(of: Selector) -> tuple[DataType, ...]:
    return of.types if isinstance(of, Concat) else (of.type,)
