"""Matches on the IP header and on ICMP: icmp, icmp6, ttl, hl, length, pkttype, dscp.

Sources: Linux net/netfilter/xt_hl.c, xt_length.c, xt_pkttype.c, xt_dscp.c, net/ipv4/netfilter/ip_tables.c (icmp),
net/ipv6/netfilter/ip6_tables.c (icmp6); what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..packet import Icmp as IcmpHeader
from .context import Place
from .extension import Env, Given, Match, Opt, Test, number, number_range
from .icmp_types import icmp_type_text, parse_icmp_type
from .match_transport import Range, invert_text
from .values import Bad

__all__ = ["Dscp", "Hl", "Icmp", "Icmp6", "Length", "PktType", "Ttl"]


@dataclass(frozen=True, slots=True)
class Icmp(Match):
    NAME: ClassVar[str] = "icmp"
    FAMILIES: ClassVar[tuple[int, ...]] = (4,)
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({1})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("icmp-type", invert=True, mandatory=True),)

    type: int
    codes: Range
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> Icmp:
        kind, codes = parse_icmp_type(given["icmp-type"].text, 4)
        return cls(kind, codes, given["icmp-type"].inverted)

    def save(self) -> str:
        if self.type == 255:
            return f"{invert_text(self.inverted)}--icmp-type any"
        code = f"/{self.codes[0]}" if self.codes != (0, 255) else ""
        return f"{invert_text(self.inverted)}--icmp-type {self.type}{code}"

    def show(self, numeric: bool = True) -> str:
        return " icmp" + icmp_type_text(self.type, self.codes, self.inverted, numeric, 4)

    def compile(self, place: Place) -> Test:
        kind, (low, high), wanted = self.type, self.codes, not self.inverted
        if kind == 255:
            return lambda c: isinstance(c.packet.l4, IcmpHeader) and wanted
        return lambda c: isinstance(l4 := c.packet.l4, IcmpHeader) and (l4.type == kind and low <= l4.code <= high) is wanted


@dataclass(frozen=True, slots=True)
class Icmp6(Match):
    NAME: ClassVar[str] = "icmp6"
    FAMILIES: ClassVar[tuple[int, ...]] = (6,)
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({58})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("icmpv6-type", invert=True, mandatory=True),)

    type: int
    codes: Range
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> Icmp6:
        kind, codes = parse_icmp_type(given["icmpv6-type"].text, 6)
        return cls(kind, codes, given["icmpv6-type"].inverted)

    def save(self) -> str:
        code = f"/{self.codes[0]}" if self.codes != (0, 255) else ""
        return f"{invert_text(self.inverted)}--icmpv6-type {self.type}{code}"

    def show(self, numeric: bool = True) -> str:
        return " ipv6-icmp" + icmp_type_text(self.type, self.codes, self.inverted, numeric, 6)

    def compile(self, place: Place) -> Test:
        kind, (low, high), wanted = self.type, self.codes, not self.inverted
        return lambda c: isinstance(l4 := c.packet.l4, IcmpHeader) and (l4.type == kind and low <= l4.code <= high) is wanted


@dataclass(frozen=True, slots=True)
class Ttl(Match):
    """`-m ttl` (IPv4); `Hl` is the same for IPv6."""

    NAME: ClassVar[str] = "ttl"
    WORD: ClassVar[str] = "TTL"
    FAMILIES: ClassVar[tuple[int, ...]] = (4,)
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("ttl-lt", excludes=("ttl-gt", "ttl-eq")), Opt("ttl-gt", excludes=("ttl-lt", "ttl-eq")),
        Opt("ttl-eq", invert=True, excludes=("ttl-lt", "ttl-gt")), Opt("ttl", invert=True, of="ttl-eq"),
    )  # fmt: skip

    relation: str  # "eq" | "lt" | "gt"
    value: int
    inverted: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            n = cls.NAME
            raise Bad(f"{cls.WORD} match: You must specify one of `--{n}-eq', `--{n}-lt', `--{n}-gt" + ("'" if n == "hl" else ""))

    @classmethod
    def build(cls, given: Given, env: Env) -> Ttl:
        option, value = next(iter(given.items()))
        return cls(option[-2:], number(cls, given, option, 255), value.inverted)

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--{self.NAME}-{self.relation} {self.value}"

    def show(self, numeric: bool = True) -> str:
        sign = "!=" if self.inverted else {"eq": "==", "lt": "<", "gt": ">"}[self.relation]
        return f" {self.WORD} match {self.WORD} {sign} {self.value}"

    def compile(self, place: Place) -> Test:
        v = self.value
        if self.relation == "lt":
            return lambda c: c.packet.ttl < v
        if self.relation == "gt":
            return lambda c: c.packet.ttl > v
        wanted = not self.inverted
        return lambda c: (c.packet.ttl == v) is wanted


@dataclass(frozen=True, slots=True)
class Hl(Ttl):
    NAME: ClassVar[str] = "hl"
    WORD: ClassVar[str] = "HL"
    FAMILIES: ClassVar[tuple[int, ...]] = (6,)
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("hl-lt", excludes=("hl-gt", "hl-eq")), Opt("hl-gt", excludes=("hl-lt", "hl-eq")),
        Opt("hl-eq", invert=True, excludes=("hl-lt", "hl-gt")),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length(Match):
    NAME: ClassVar[str] = "length"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("length", invert=True, mandatory=True),)

    range: Range
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> Length:
        return cls(number_range(cls, given, "length", 0xFFFF), given["length"].inverted)

    def _text(self) -> str:
        low, high = self.range
        return str(low) if low == high else f"{low}:{high}"

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--length {self._text()}"

    def show(self, numeric: bool = True) -> str:
        return f" length {'!' if self.inverted else ''}{self._text()}"

    def compile(self, place: Place) -> Test:
        (low, high), wanted = self.range, not self.inverted
        return lambda c: (low <= c.packet.size <= high) is wanted


@dataclass(frozen=True, slots=True)
class PktType(Match):
    NAME: ClassVar[str] = "pkttype"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("pkt-type", invert=True, mandatory=True),)
    NAMES: ClassVar[dict[str, str]] = {
        "unicast": "unicast", "broadcast": "broadcast", "multicast": "multicast", "otherhost": "otherhost",
        "bcast": "broadcast", "mcast": "multicast", "host": "unicast",
    }  # fmt: skip

    type: str
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> PktType:
        text = given["pkt-type"].text
        name = cls.NAMES.get(text.lower())
        if name is None:
            raise Bad(f"Bad packet type '{text}'")
        return cls(name, given["pkt-type"].inverted)

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--pkt-type {self.type}"

    def show(self, numeric: bool = True) -> str:
        return f" PKTTYPE {'!=' if self.inverted else '='} {self.type}"

    def compile(self, place: Place) -> Test:
        kind, wanted = self.type, not self.inverted
        return lambda c: (c.pkttype == kind) is wanted


_CLASSES = {"BE": 0, "EF": 0x2E} | {f"CS{n}": n << 3 for n in range(8)}
_CLASSES |= {f"AF{n}{m}": n << 3 | m << 1 for n in range(1, 5) for m in range(1, 4)}


def dscp_class(text: str) -> int:
    value = _CLASSES.get(text.upper())
    if value is None:
        raise Bad(f"Invalid DSCP value `{text}'")
    return value


@dataclass(frozen=True, slots=True)
class Dscp(Match):
    NAME: ClassVar[str] = "dscp"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("dscp", invert=True, excludes=("dscp-class",)), Opt("dscp-class", invert=True, excludes=("dscp",)),
    )  # fmt: skip

    value: int
    inverted: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("DSCP match: Parameter --dscp is required")

    @classmethod
    def build(cls, given: Given, env: Env) -> Dscp:
        if "dscp" in given:
            return cls(number(cls, given, "dscp", 63), given["dscp"].inverted)
        return cls(dscp_class(given["dscp-class"].text), given["dscp-class"].inverted)

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--dscp 0x{self.value:02x}"

    def show(self, numeric: bool = True) -> str:
        return f" DSCP match {'!' if self.inverted else ''}0x{self.value:02x}"

    def compile(self, place: Place) -> Test:
        value, wanted = self.value, not self.inverted
        return lambda c: (c.packet.tos >> 2 == value) is wanted
