"""Values, sets and maps of an nft text, read by the types that the place asks for."""

from __future__ import annotations

from typing import Any

from .datatypes import TYPES, DataType
from .elements import merged, overlap, time_value
from .errors import Trouble
from .lexer import Words
from .model import Element, NftSet, Outcome

__all__ = ["elements", "inline_set", "outcome", "types_of", "value", "value_range"]

VERDICTS = ("accept", "drop", "return", "continue", "jump", "goto")


def types_of(w: Words) -> tuple[DataType, ...]:
    """`ipv4_addr . inet_proto . inet_service`"""
    out = [_type(w)]
    while w.accept("."):
        out.append(_type(w))
    return tuple(out)


def _type(w: Words) -> DataType:
    token = w.name()
    found = TYPES.get(token.text)
    if found is None:
        raise Trouble(f"unknown datatype {token.text}", token.start, token.end)
    return found


def outcome(w: Words) -> Outcome:
    token = w.expect(*VERDICTS)
    return Outcome(token.text, w.name().text if token.text in ("jump", "goto") else "")


def value(w: Words, kind: DataType) -> Any:
    """One value; for flags also several, joined by a comma or `|`."""
    token = w.name()
    low, high, _ = _read(token.text, kind, token.start, token.end)
    if low != high:
        raise Trouble("Value expected, not a range", token.start, token.end)
    return low


def value_range(w: Words, kind: DataType) -> tuple[Any, Any, bool]:
    """(low, high, was it written as a prefix?)"""
    token = w.name()
    low, high, was_prefix = _read(token.text, kind, token.start, token.end)
    if kind.bitmask:
        while w.next.text in (",", "|") and w.ahead().kind == "word":
            w.take()
            more = w.name()
            low = high = low | _one(more.text, kind, more.start, more.end)
    return low, high, was_prefix


def _one(text: str, kind: DataType, start: int, end: int) -> Any:
    try:
        return kind.parse(text)
    except Trouble as e:
        raise Trouble(e.reason, start, end) from None


def _read(text: str, kind: DataType, start: int, end: int) -> tuple[Any, Any, bool]:
    if kind.name in ("ifname", "iface_index"):
        name = _one(text, kind, start, end)
        return name, name, False
    if "/" in text and kind.bits:
        head, _, length = text.partition("/")
        base = _one(head, kind, start, end)
        if not length.isdigit() or int(length) > kind.bits:
            raise Trouble("Prefix length is too long", start, end)
        size = 1 << (kind.bits - int(length))
        base -= base % size
        return base, base + size - 1, True
    low, dash, high = text.partition("-")
    if dash and (kind.address or low.isdigit() or low.startswith("0x")):
        a, b = _one(low, kind, start, end), _one(high, kind, start, end)
        if a > b:
            raise Trouble("Range negative size" if a > b else "Range has zero size", start, end)
        return a, b, False
    found = _one(text, kind, start, end)
    return found, found, False


def elements(w: Words, found: NftSet, origin: str = "") -> list[Element]:
    """`{ a, b comment "x" : verdict, ... }`, the braces included."""
    w.expect("{")
    out: list[Element] = []
    w.blank()
    while not w.accept("}"):
        out.append(_element(w, found, origin))
        w.blank()
        if not w.accept(","):
            w.blank()
            w.expect("}")
            break
        w.blank()
    return out


def _element(w: Words, found: NftSet, origin: str) -> Element:
    key: list[Any] = []
    for i, kind in enumerate(found.types):
        if i:
            w.expect(".")
        start = w.next
        low, high, _ = _key(w, kind)
        if low != high and not found.interval:
            hint = "You must add 'flags interval' to your set declaration if you want to add prefix elements"
            raise Trouble(hint, start.start, start.end)
        key.append(low if low == high else (low, high))
    if w.next.text == "." and w.next.kind == "word":
        raise Trouble("datatype mismatch, expected fewer parts", w.next.start, w.next.end)
    comment, timeout = "", 0.0
    while word := w.accept("comment", "timeout", "expires", "counter", "packets", "bytes"):
        if word == "comment":
            comment = w.string()
        elif word == "timeout":
            timeout = time_value(w.name().text)
        elif word != "counter":
            w.name()
    data: Any = None
    if found.data:
        w.expect(":")
        if found.verdicts:
            data = outcome(w)
        else:
            values = []
            for i, kind in enumerate(found.data):
                if i:
                    w.expect(".")
                values.append(value(w, kind))
            data = values[0] if len(values) == 1 else tuple(values)
        while word := w.accept("comment"):
            comment = w.string()
    return Element(tuple(key), data, comment, timeout, origin)


def _key(w: Words, kind: DataType) -> tuple[Any, Any, bool]:
    token = w.name()
    return _read(token.text, kind, token.start, token.end)


def inline_set(w: Words, types: tuple[DataType, ...], data: tuple[DataType, ...] = ()) -> NftSet:
    """An anonymous set or map. Intervals that touch become one; the same key twice is refused where its data differ."""
    start = w.next
    found = NftSet("", types, data=data, flags=frozenset(("interval",)))
    listed = elements(w, found)
    end = w.tokens[w.at - 1].end
    if not listed:
        raise Trouble("Set is empty" if not data else "Map is empty", start.start, end)
    ranges = any(isinstance(k, tuple) for e in listed for k in e.key)
    found.flags = frozenset(("interval",)) if ranges else frozenset()
    if ranges and len(types) == 1:
        if data and overlap(listed):
            raise Trouble("conflicting intervals specified", start.start, end)
        found.auto_merge = len(listed) > 1  # several that became one stay a set in the listing
        listed = listed if data else merged(listed, types[0])
    for e in listed:
        if e.key in found.elements and found.elements[e.key].data != e.data:
            raise Trouble("conflicting map elements", start.start, end)
        found.elements[e.key] = e
    return found
