"""Elements of sets and maps: found, ordered and printed.

Sources: Linux net/netfilter/nft_set_{hash,rbtree,pipapo}.c; nftables 1.0.6 src/mergesort.c (the order of a listing), src/segtree.c
(intervals as prefixes), src/expression.c (elements per line); all measured.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from .datatypes import DataType
from .errors import Trouble
from .model import Element, NftSet, Outcome

if TYPE_CHECKING:
    from ..hooks import Skb

__all__ = ["data_text", "element_lines", "find_in", "in_order", "key_text", "merged", "one_of", "time_text"]

Find: TypeAlias = "Callable[[Skb, Any], Element | None]"


# --------------------------------------------------------------------------------------------------------- looking up
def find_in(found: NftSet, family: str, table: str) -> Find:
    """A function (packet, key) -> element or None. One dictionary access, or a search by halves in a set of intervals."""
    single = len(found.types) == 1
    if found.interval:
        return _intervals(found, single)
    known: Mapping[Any, Element] = {e.key[0] if single else e.key: e for e in found.elements.values()}
    if not found.dynamic:
        return lambda c, key: known.get(key)
    name = f"{family} {table} {found.name}"

    def dynamic(c: Skb, key: Any) -> Element | None:
        element = known.get(key)
        if element is not None:
            return element
        whole = (key,) if single else key
        row = c.nft_set(name).get(repr(whole))
        return Element(whole) if row is not None and (not row[1] or row[1] > c.now) else None

    return dynamic


def _intervals(found: NftSet, single: bool) -> Find:
    rows = [(tuple(k if isinstance(k, tuple) else (k, k) for k in e.key), e) for e in found.elements.values()]
    if single and all(not isinstance(r[0][0][0], str) for r in rows):
        ordered = sorted(rows, key=lambda r: r[0][0])
        starts = [r[0][0][0] for r in ordered]

        def by_halves(c: Skb, key: Any) -> Element | None:
            at = bisect_right(starts, key) - 1
            return ordered[at][1] if at >= 0 and key <= ordered[at][0][0][1] else None

        return by_halves

    def one_by_one(c: Skb, key: Any) -> Element | None:
        whole = (key,) if single else key
        for ranges, element in rows:
            if all(_inside(value, *r) for value, r in zip(whole, ranges, strict=True)):
                return element
        return None

    return one_by_one


def _inside(value: Any, low: Any, high: Any) -> bool:
    if isinstance(low, str):
        return value.startswith(low[:-1]) if low.endswith("*") else bool(value == low)
    return bool(low <= value <= high)


# --------------------------------------------------------------------------------------------------------------- order
def in_order(found: NftSet, more: Iterable[Element] = ()) -> list[Element]:
    """As listings show them: single values and intervals by size, concatenations by their bytes read from the end."""
    rows = [*found.elements.values(), *more]
    if found.interval and len(found.types) > 1:
        return rows
    if len(found.types) > 1:
        return sorted(rows, key=lambda e: int.from_bytes(_bytes(found, e), "little"))
    kind = found.types[0]

    def size(e: Element) -> Any:
        low = e.key[0][0] if isinstance(e.key[0], tuple) else e.key[0]
        return int.from_bytes(kind.bytes(low), "little") if isinstance(low, str) else low

    return sorted(rows, key=size)


def _bytes(found: NftSet, e: Element) -> bytes:
    return b"".join(t.bytes(k[0] if isinstance(k, tuple) else k) for t, k in zip(found.types, e.key, strict=True))


def merged(elements: Iterable[Element], kind: DataType) -> list[Element]:
    """Intervals that touch or overlap become one, as an anonymous set of intervals does with them."""
    ordered = sorted(elements, key=lambda e: e.key[0] if isinstance(e.key[0], tuple) else (e.key[0], e.key[0]))
    out: list[tuple[int, int]] = []
    for e in ordered:
        low, high = e.key[0] if isinstance(e.key[0], tuple) else (e.key[0], e.key[0])
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return [Element((low if low == high else (low, high),)) for low, high in out]


def overlap(elements: Iterable[Element]) -> bool:
    ranges = sorted(e.key[0] if isinstance(e.key[0], tuple) else (e.key[0], e.key[0]) for e in elements)
    return any(a[1] >= b[0] for a, b in pairwise(ranges))


# --------------------------------------------------------------------------------------------------------------- texts
def one_of(kind: DataType, value: Any, prefix: bool = True) -> str:
    """A value, or an interval as a prefix where it is one."""
    if not isinstance(value, tuple):
        return kind.text(value)
    low, high = value
    size = high - low + 1
    if prefix and size & (size - 1) == 0 and low % size == 0 and kind.address:
        return f"{kind.text(low)}/{kind.bits - size.bit_length() + 1}"
    return f"{kind.text(low)}-{kind.text(high)}"


def key_text(found: NftSet, key: tuple[Any, ...]) -> str:
    return " . ".join(one_of(t, k) for t, k in zip(found.types, key, strict=True))


def data_text(found: NftSet, data: Any) -> str:
    if isinstance(data, Outcome):
        return str(data)
    values = data if isinstance(data, tuple) else (data,)
    return " . ".join(t.text(v) for t, v in zip(found.data, values, strict=True))


def time_text(seconds: float) -> str:
    """As nft prints a time: 3h, 1m30s, 29s992ms."""
    ms = round(seconds * 1000)
    out = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        n, ms = divmod(ms, size)
        out += f"{n}{unit}" if n else ""
    return out or "0s"


def time_value(text: str) -> float:
    """Seconds of "3h", "10800s", "1m30s", "90". Raises Trouble."""
    import re

    if text.isdigit():
        return float(text)
    parts = re.findall(r"(\d+)(ms|d|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise Trouble(f"unexpected time {text!r}")
    return sum(int(n) * {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}[u] for n, u in parts)


def element_text(found: NftSet, e: Element, now: float, expires: float | None) -> str:
    out = key_text(found, e.key)
    if e.timeout:
        out += f" timeout {time_text(e.timeout)}"
    if expires is not None:
        out += f" expires {time_text(max(0.0, expires - now))}"
    if found.counter:
        out += " counter packets 0 bytes 0"
    if e.comment:
        out += f' comment "{e.comment}"'
    return out + (f" : {data_text(found, e.data)}" if found.data else "")


def element_lines(found: NftSet, rows: Iterable[tuple[Element, float | None]], now: float) -> list[str]:
    """`elements = { ... }` as a listing breaks it into lines, without the indentation of the first."""
    listed = {id(e): x for e, x in rows}
    ordered = in_order(NftSet(found.name, found.types, flags=found.flags), [e for e, _ in rows] if isinstance(rows, list) else ())
    if not ordered:
        return []
    per_line = 1 if len(found.types) > 1 else found.types[0].per_line
    lines: list[str] = []
    line, count = "elements = { ", 0
    for i, e in enumerate(ordered):
        line += element_text(found, e, now, listed[id(e)])
        count += 1
        if i == len(ordered) - 1:
            lines.append(line + " }")
        elif count < per_line:
            line += ", "
        else:
            lines.append(line + ",")
            line, count = "\t     ", 0
    return lines
