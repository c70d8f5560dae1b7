"""The statements of a rule: matches, lookups, verdicts, marks, counters, updates of sets. NAT and reject: statements_nat.py.

A compiled statement gives True (go on), False (the rule ends here) or an `Outcome` or `Deed`.
Sources: Linux net/netfilter/nft_{cmp,lookup,immediate,meta,ct,dynset,counter}.c; texts measured, nftables 1.0.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .datatypes import TYPES, DataType
from .elements import data_text, find_in, key_text, one_of, time_text
from .model import Element, NftSet, Outcome
from .selectors import Field, Get, Mixed, Numgen, Place, Selector

if TYPE_CHECKING:
    from ..hooks import Skb

__all__ = [
    "Counter", "Deed", "FlagMatch", "Log", "Lookup", "MapValue", "Match", "Notrack", "SetMark", "Sets", "Statement", "Step", "Update",
    "Verdict", "Vmap",
]  # fmt: skip


class Deed(NamedTuple):
    """A verdict that the hook carries out: DNAT, SNAT, MASQUERADE, REDIRECT (with a NatRange), REJECT (with what it sends)."""

    kind: str
    params: Any


Step: TypeAlias = "Callable[[Skb], bool | Outcome | Deed]"
Sets: TypeAlias = "Callable[[str], NftSet]"


class Statement:
    """One statement. `sets` gives the table's sets by name."""

    __slots__ = ()
    target = ""  # the chain it names

    def compile(self, place: Place, sets: Sets) -> Step:
        raise NotImplementedError


def value_text(kind: DataType, low: Any, high: Any, prefix: bool = False) -> str:
    return one_of(kind, low if low == high else (low, high), prefix)


@dataclass(frozen=True, slots=True)
class Match(Statement):
    """selector op value. `high` ends a range; `prefix`: the range is printed as one."""

    of: Field | Mixed
    op: str  # "", "==", "!=", "<", "<=", ">", ">="
    low: Any
    high: Any
    prefix: bool = False

    def compile(self, place: Place, sets: Sets) -> Step:
        get, low, high, op = self.of.compile(place), self.low, self.high, self.op
        kind = self.of.type
        if isinstance(low, str):
            star = low.endswith("*")
            name, wanted = low.rstrip("*") if star else low, op != "!="

            def named(c: Skb) -> bool:
                value = get(c)
                return value is not None and ((value.startswith(name) if star else value == name) is wanted)

            return named
        if kind.bitmask and isinstance(self.of, Field) and op in ("", "!="):
            some = op == ""

            def bits(c: Skb) -> bool:
                value = get(c)
                return value is not None and bool(value & low) is some

            return bits
        if op in ("<", "<=", ">", ">="):
            first, last = {"<": (-1, low - 1), "<=": (-1, low), ">": (low + 1, 1 << 129), ">=": (low, 1 << 129)}[op]
        else:
            first, last = low, high
        wanted = op != "!="
        if first == last and wanted:
            return lambda c: get(c) == first

        def between(c: Skb) -> bool:
            value = get(c)
            return value is not None and (first <= value <= last) is wanted

        return between

    def __str__(self) -> str:
        op = self.op or ("==" if isinstance(self.of, Mixed) else "")
        return f"{self.of} {op + ' ' if op else ''}{value_text(self.of.type, self.low, self.high, self.prefix)}"


@dataclass(frozen=True, slots=True)
class FlagMatch(Statement):
    """`tcp flags syn / syn,ack`: of the bits of the mask, exactly these are set."""

    of: Field
    value: int
    mask: int
    op: str = ""

    def compile(self, place: Place, sets: Sets) -> Step:
        get, value, mask, wanted = self.of.compile(place), self.value, self.mask, self.op != "!="

        def flags(c: Skb) -> bool:
            found = get(c)
            return found is not None and (found & mask == value) is wanted

        return flags

    def __str__(self) -> str:
        no = "!= " if self.op == "!=" else ""
        text = self.of.type.text
        return f"{self.of} {no}{text(self.value)} / {text(self.mask)}"


def set_text(named: str, inline: NftSet | None) -> str:
    if inline is None:
        return f"@{named}"
    return "{ " + ", ".join(inline_elements(inline)) + " }"


def inline_elements(found: NftSet) -> list[str]:
    from .elements import in_order

    return [key_text(found, e.key) + (f" : {data_text(found, e.data)}" if found.data else "") for e in in_order(found)]


@dataclass(frozen=True, slots=True)
class Lookup(Statement):
    """selector @set, or selector { ... }."""

    of: Selector
    named: str
    inline: NftSet | None = None
    negated: bool = False

    def compile(self, place: Place, sets: Sets) -> Step:
        get, found, wanted = self.of.compile(place), self.inline or sets(self.named), not self.negated
        has = find_in(found, place.family, place.table)

        def lookup(c: Skb) -> bool:
            key = get(c)
            return key is not None and (has(c, key) is not None) is wanted

        return lookup

    def __str__(self) -> str:
        return f"{self.of} {'!= ' if self.negated else ''}{set_text(self.named, self.inline)}"


def _held(mapped: Vmap | MapValue, place: Place, sets: Sets) -> Callable[[Skb], Element | None]:
    """What a map has for a packet's key; an element of a named map is told."""
    get, found = mapped.of.compile(place), mapped.inline or sets(mapped.named)
    has, named = find_in(found, place.family, place.table), mapped.inline is None

    def held(c: Skb) -> Element | None:
        key = get(c)
        element = has(c, key) if key is not None else None
        if element is not None and named:
            c.met(found, element, place)
        return element

    return held


@dataclass(frozen=True, slots=True)
class Vmap(Statement):
    """selector vmap @map, or selector vmap { ... }: the verdict is what the map holds for the key."""

    of: Selector
    named: str
    inline: NftSet | None = None

    def compile(self, place: Place, sets: Sets) -> Step:
        held = _held(self, place, sets)

        def vmap(c: Skb) -> bool | Outcome:
            element = held(c)
            return False if element is None else element.data

        return vmap

    def __str__(self) -> str:
        return f"{self.of} vmap {set_text(self.named, self.inline)}"


@dataclass(frozen=True, slots=True)
class MapValue:
    """selector map @map, or selector map { ... }: a value looked up, as NAT and marks use it."""

    of: Selector
    named: str
    inline: NftSet | None = None

    def compile(self, place: Place, sets: Sets) -> Get:
        held = _held(self, place, sets)

        def value(c: Skb) -> Any:
            element = held(c)
            return None if element is None else element.data

        return value

    def __str__(self) -> str:
        return f"{self.of} map {set_text(self.named, self.inline)}"


@dataclass(frozen=True, slots=True)
class Verdict(Statement):
    kind: str
    chain: str = ""

    @property
    def target(self) -> str:  # type: ignore[override]
        return self.chain

    def compile(self, place: Place, sets: Sets) -> Step:
        outcome = Outcome(self.kind, self.chain)
        return lambda c: outcome

    def __str__(self) -> str:
        return str(Outcome(self.kind, self.chain))


@dataclass(frozen=True, slots=True)
class Counter(Statement):
    """Counts the packets that reach it. `packets` and `bytes` are those it began with."""

    packets: int = 0
    bytes: int = 0

    def compile(self, place: Place, sets: Sets) -> Step:
        uid = place.uid

        def count(c: Skb) -> bool:
            c.count(uid)
            return True

        return count

    def __str__(self) -> str:
        return f"counter packets {self.packets} bytes {self.bytes}"


@dataclass(frozen=True, slots=True)
class SetMark(Statement):
    """`meta mark set ...` and `ct mark set ...`."""

    where: str  # "meta mark" or "ct mark"
    value: int | Field | Mixed | Numgen | MapValue

    def compile(self, place: Place, sets: Sets) -> Step:
        value = self.value
        get: Get
        if isinstance(value, int):
            number = value
            get = lambda c: number  # noqa: E731
        elif isinstance(value, MapValue):
            get = value.compile(place, sets)
        else:
            get = value.compile(place)
        name = "mark" if self.where == "meta mark" else "connmark"

        def mark(c: Skb) -> bool:
            found = get(c)
            if found is None:
                return False
            setattr(c, name, found)
            return True

        return mark

    def __str__(self) -> str:
        value = TYPES["mark"].text(self.value) if isinstance(self.value, int) else self.value
        return f"{self.where} set {value}"


@dataclass(frozen=True, slots=True)
class Update(Statement):
    """`add @set { key }`, `update @set { key timeout 1m }`, `delete @set { key }`: a packet changes a set."""

    verb: str
    named: str
    of: Selector
    timeout: float = 0.0

    def compile(self, place: Place, sets: Sets) -> Step:
        get, found = self.of.compile(place), sets(self.named)
        life, own, verb = self.timeout or found.timeout, self.timeout, self.verb
        name = f"{place.family} {place.table} {found.name}"
        full = found.size or 65535

        def update(c: Skb) -> bool:
            key = get(c)
            if key is None:
                return False
            key = key if isinstance(key, tuple) else (key,)
            memory = c.nft_set(name)
            text = repr(key)
            if verb == "delete":
                memory.pop(text, None)
                return True
            old = memory.get(text)
            alive = old is not None and (not old[1] or old[1] > c.now)
            if verb == "add" and alive:
                return True
            if not alive and key not in found.elements and len(found.elements) + len(memory) >= full:
                return False
            memory[text] = (key, c.now + life if life else 0.0, own)
            return True

        return update

    def __str__(self) -> str:
        return f"{self.verb} @{self.named} {{ {self.of}{f' timeout {time_text(self.timeout)}' if self.timeout else ''} }}"


@dataclass(frozen=True, slots=True)
class Log(Statement):
    prefix: str = ""
    rest: str = ""

    def compile(self, place: Place, sets: Sets) -> Step:
        return lambda c: True

    def __str__(self) -> str:
        return "log" + (f' prefix "{self.prefix}"' if self.prefix else "") + (f" {self.rest}" if self.rest else "")


@dataclass(frozen=True, slots=True)
class Notrack(Statement):
    def compile(self, place: Place, sets: Sets) -> Step:
        def notrack(c: Skb) -> bool:
            c.notrack()
            return True

        return notrack

    def __str__(self) -> str:
        return "notrack"
