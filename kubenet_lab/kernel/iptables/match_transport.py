"""Matches on the transport and IP header: tcp, udp, sctp, icmp, icmp6, multiport, tcpmss, ttl, hl, length, pkttype, dscp.

Sources: Linux net/netfilter/xt_tcpudp.c, xt_sctp.c, xt_multiport.c, xt_tcpmss.c, xt_hl.c, xt_length.c, xt_pkttype.c,
net/ipv4/netfilter/ip_tables.c (icmp), net/ipv6/netfilter/ip6_tables.c (icmp6); what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ...errors import NotModelled
from ..packet import Icmp as IcmpHeader
from ..packet import Tcp as TcpHeader
from .context import Context, Place
from .extension import Env, Given, Match, Opt, Test, number, number_range, unmodelled
from .icmp_types import icmp_type_text, parse_icmp_type
from .values import SERVICES, Bad, integer, port, ports

__all__ = ["Dscp", "Hl", "Icmp", "Icmp6", "Length", "MultiPort", "PktType", "Sctp", "Tcp", "TcpMss", "Ttl", "Udp"]

Range: TypeAlias = tuple[int, int]
ALL: Range = (0, 0xFFFF)
_PORT_NAMES = {number: name for name, number in reversed(SERVICES.items())}


def _port_name(number: int, numeric: bool) -> str:
    return str(number) if numeric else _PORT_NAMES.get(number, str(number))


def _not(inverted: bool) -> str:
    return "! " if inverted else ""


def _save_range(option: str, r: Range, inverted: bool) -> list[str]:
    if r == ALL:
        return []
    return [f"{_not(inverted)}--{option} {r[0]}" + (f":{r[1]}" if r[1] != r[0] else "")]


def _show_range(name: str, r: Range, inverted: bool, numeric: bool) -> str:
    if r == ALL and not inverted:
        return ""
    no = "!" if inverted else ""
    if r[0] == r[1]:
        return f" {name}:{no}{_port_name(r[0], numeric)}"
    return f" {name}s:{no}{_port_name(r[0], numeric)}:{_port_name(r[1], numeric)}"


def _dport_test(r: Range, inverted: bool) -> Test | None:
    low, high = r
    if r == ALL:
        return None if not inverted else lambda c: False
    if inverted:
        return lambda c: (p := c.packet.dport) is not None and not low <= p <= high
    if low == high:
        return lambda c: c.packet.dport == low
    return lambda c: (p := c.packet.dport) is not None and low <= p <= high


def _sport_test(r: Range, inverted: bool) -> Test | None:
    low, high = r
    if r == ALL:
        return None if not inverted else lambda c: False
    if inverted:
        return lambda c: (p := c.packet.sport) is not None and not low <= p <= high
    return lambda c: (p := c.packet.sport) is not None and low <= p <= high


def _has_ports(c: Context) -> bool:
    # a later fragment carries no header: these matches say no to it, even when negated
    return c.packet.dport is not None


def _both(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    first, *rest = tests
    others = tuple(rest)
    return lambda c: first(c) and all(t(c) for t in others)


@dataclass(frozen=True, slots=True)
class _Ports(Match):
    """What tcp, udp and sctp have in common."""

    sport: Range = ALL
    sport_inverted: bool = False
    dport: Range = ALL
    dport_inverted: bool = False

    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("source-port", invert=True), Opt("sport", invert=True, of="source-port"),
        Opt("destination-port", invert=True), Opt("dport", invert=True, of="destination-port"),
    )  # fmt: skip

    @classmethod
    def given_twice(cls, option: Opt) -> Bad:
        return Bad(f"Only one `--{option.canonical}' allowed")

    def _saved_ports(self) -> list[str]:
        return _save_range("sport", self.sport, self.sport_inverted) + _save_range("dport", self.dport, self.dport_inverted)

    def _shown_ports(self, numeric: bool) -> str:
        return _show_range("spt", self.sport, self.sport_inverted, numeric) + _show_range("dpt", self.dport, self.dport_inverted, numeric)

    def _port_tests(self) -> list[Test]:
        found = [_sport_test(self.sport, self.sport_inverted), _dport_test(self.dport, self.dport_inverted)]
        return [t for t in found if t] or [_has_ports]


def _given_ports(given: Given) -> tuple[Range, bool, Range, bool]:
    s, d = given.get("source-port"), given.get("destination-port")
    return ports(s.text) if s else ALL, bool(s and s.inverted), ports(d.text) if d else ALL, bool(d and d.inverted)


TCP_FLAGS = (("FIN", 0x01, "F"), ("SYN", 0x02, "S"), ("RST", 0x04, "R"), ("PSH", 0x08, "P"), ("ACK", 0x10, "A"), ("URG", 0x20, "U"))


def _flags_value(text: str) -> int:
    value = 0
    for word in text.split(","):
        if word.upper() == "ALL":
            value |= 0x3F
        elif word.upper() != "NONE":
            bit = next((b for n, b, _ in TCP_FLAGS if n == word.upper()), None)
            if bit is None:
                raise Bad(f"Unknown TCP flag `{word}'")
            value |= bit
    return value


def _flags_text(value: int) -> str:
    return ",".join(n for n, b, _ in TCP_FLAGS if value & b) or "NONE"


def flag_bits(letters: str) -> int:
    return sum(b for _, b, letter in TCP_FLAGS if letter in letters)


@dataclass(frozen=True, slots=True)
class Tcp(_Ports):
    NAME: ClassVar[str] = "tcp"
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({6})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        *_Ports.OPTIONS, Opt("syn", 0, invert=True), Opt("tcp-flags", 2, invert=True), Opt("tcp-option", invert=True),
    )  # fmt: skip

    flags: tuple[int, int] | None = None  # (mask, what is to be set)
    flags_inverted: bool = False
    option: int | None = None
    option_inverted: bool = False

    @classmethod
    def given_twice(cls, option: Opt) -> Bad:
        if option.name in ("syn", "tcp-flags"):
            return Bad("Only one of `--syn' or `--tcp-flags'  allowed")
        return Bad(f"Only one `--{option.canonical}' allowed")

    @classmethod
    def build(cls, given: Given, env: Env) -> Tcp:
        flags, inverted = None, False
        if "syn" in given and "tcp-flags" in given:
            raise cls.given_twice(Opt("syn"))
        if "syn" in given:
            flags, inverted = (0x17, 0x02), given["syn"].inverted
        elif "tcp-flags" in given:
            mask, comp = given["tcp-flags"].args
            flags, inverted = (_flags_value(mask), _flags_value(comp)), given["tcp-flags"].inverted
        option = given.get("tcp-option")
        kind = integer(option.text, 255) if option else None
        if option and not kind:
            raise Bad(f"Bad TCP option `{option.text}'")
        return cls(*_given_ports(given), flags, inverted, kind, bool(option and option.inverted))

    def save(self) -> str:
        parts = self._saved_ports()
        if self.option is not None:
            parts.append(f"{_not(self.option_inverted)}--tcp-option {self.option}")
        if self.flags:
            parts.append(f"{_not(self.flags_inverted)}--tcp-flags {_flags_text(self.flags[0])} {_flags_text(self.flags[1])}")
        return " ".join(parts)

    def show(self, numeric: bool = True) -> str:
        out = " tcp" + self._shown_ports(numeric)
        if self.option is not None:
            out += f" option={'!' if self.option_inverted else ''}{self.option}"
        if self.flags:
            mask, comp = self.flags
            no = "!" if self.flags_inverted else ""
            out += f" flags:{no}0x{mask:02X}/0x{comp:02X}" if numeric else f" flags:{no}{_flags_text(mask)}/{_flags_text(comp)}"
        return out

    def compile(self, place: Place) -> Test:
        if self.option is not None:
            return unmodelled("iptables --tcp-option", place)
        tests = self._port_tests()
        if self.flags:
            mask, comp = self.flags
            wanted = not self.flags_inverted
            known: dict[str, bool] = {}

            def flags(c: Context) -> bool:
                l4 = c.packet.l4
                if not isinstance(l4, TcpHeader):
                    return False
                found = known.get(l4.flags)
                if found is None:
                    found = known[l4.flags] = (flag_bits(l4.flags) & mask == comp) is wanted
                return found

            tests = [t for t in tests if t is not _has_ports] + [flags]
        return _both(tests)


@dataclass(frozen=True, slots=True)
class Udp(_Ports):
    NAME: ClassVar[str] = "udp"
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({17})

    @classmethod
    def build(cls, given: Given, env: Env) -> Udp:
        return cls(*_given_ports(given))

    def save(self) -> str:
        return " ".join(self._saved_ports())

    def show(self, numeric: bool = True) -> str:
        return " udp" + self._shown_ports(numeric)

    def compile(self, place: Place) -> Test:
        return _both(self._port_tests())


@dataclass(frozen=True, slots=True)
class Sctp(_Ports):
    NAME: ClassVar[str] = "sctp"
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({132})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (*_Ports.OPTIONS, Opt("chunk-types", 2, invert=True))

    @classmethod
    def build(cls, given: Given, env: Env) -> Sctp:
        if "chunk-types" in given:
            raise NotModelled("iptables -m sctp --chunk-types")
        return cls(*_given_ports(given))

    def save(self) -> str:
        return " ".join(self._saved_ports())

    def show(self, numeric: bool = True) -> str:
        return " sctp" + self._shown_ports(True)  # /etc/services has next to no names for SCTP

    def compile(self, place: Place) -> Test:
        return _both(self._port_tests())


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
            return f"{_not(self.inverted)}--icmp-type any"
        code = f"/{self.codes[0]}" if self.codes != (0, 255) else ""
        return f"{_not(self.inverted)}--icmp-type {self.type}{code}"

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
        return f"{_not(self.inverted)}--icmpv6-type {self.type}{code}"

    def show(self, numeric: bool = True) -> str:
        return " ipv6-icmp" + icmp_type_text(self.type, self.codes, self.inverted, numeric, 6)

    def compile(self, place: Place) -> Test:
        kind, (low, high), wanted = self.type, self.codes, not self.inverted
        return lambda c: isinstance(l4 := c.packet.l4, IcmpHeader) and (l4.type == kind and low <= l4.code <= high) is wanted


@dataclass(frozen=True, slots=True)
class MultiPort(Match):
    NAME: ClassVar[str] = "multiport"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("source-ports", invert=True, excludes=("destination-ports", "ports")), Opt("sports", invert=True, of="source-ports"),
        Opt("destination-ports", invert=True, excludes=("source-ports", "ports")), Opt("dports", invert=True, of="destination-ports"),
        Opt("ports", invert=True, excludes=("source-ports", "destination-ports")),
    )  # fmt: skip
    WORKS: ClassVar[frozenset[int]] = frozenset({6, 17, 33, 132, 136})

    which: str  # "sports" | "dports" | "ports"
    ranges: tuple[Range, ...]
    inverted: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("multiport expection an option")
        if env.protocol_inverted or (env.protocol and env.protocol not in cls.WORKS):
            raise Bad("multiport only works with TCP, UDP, UDPLITE, SCTP and DCCP")
        if not env.protocol:
            raise Bad("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")

    @classmethod
    def build(cls, given: Given, env: Env) -> MultiPort:
        option, value = next(iter(given.items()))
        ranges: list[Range] = []
        slots = 0
        for part in value.text.split(","):
            low, colon, high = part.partition(":")
            bounds = []
            for text in (low, high) if colon else (low,):
                p = port(text)
                if p is None:
                    raise Bad(f"invalid port/service `{text}' specified")
                bounds.append(p)
            slots += len(bounds)
            if bounds[0] > bounds[-1] or (colon and bounds[0] == bounds[1]):
                raise Bad("invalid portrange specified")
            ranges.append((bounds[0], bounds[-1]))
        if slots > 15:
            raise Bad("too many ports specified")
        which = {"source-ports": "sports", "destination-ports": "dports"}.get(option, option)
        return cls(which, tuple(ranges), value.inverted)

    def _list(self, numeric: bool = True) -> str:
        return ",".join(":".join(_port_name(p, numeric) for p in dict.fromkeys(r)) for r in self.ranges)

    def save(self) -> str:
        return f"{_not(self.inverted)}--{self.which} {self._list()}"

    def show(self, numeric: bool = True) -> str:
        return f" multiport {self.which} {' !' if self.inverted else ''}{self._list(numeric)}"

    def compile(self, place: Place) -> Test:
        ranges, wanted, which = self.ranges, not self.inverted, self.which

        def inside(p: int | None) -> bool:
            return p is not None and any(low <= p <= high for low, high in ranges)

        if which == "dports":
            return lambda c: (p := c.packet.dport) is not None and inside(p) is wanted
        if which == "sports":
            return lambda c: (p := c.packet.sport) is not None and inside(p) is wanted
        return lambda c: (p := c.packet.dport) is not None and (inside(p) or inside(c.packet.sport)) is wanted


@dataclass(frozen=True, slots=True)
class TcpMss(Match):
    NAME: ClassVar[str] = "tcpmss"
    PROTOCOLS: ClassVar[frozenset[int] | None] = frozenset({6})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("mss", invert=True, mandatory=True),)

    range: Range
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> TcpMss:
        return cls(number_range(cls, given, "mss", 0xFFFF), given["mss"].inverted)

    def _text(self) -> str:
        low, high = self.range
        return str(low) if low == high else f"{low}:{high}"

    def save(self) -> str:
        return f"{_not(self.inverted)}--mss {self._text()}"

    def show(self, numeric: bool = True) -> str:
        return f" tcpmss match {'!' if self.inverted else ''}{self._text()}"

    def compile(self, place: Place) -> Test:
        (low, high), inverted = self.range, self.inverted

        def test(c: Context) -> bool:
            mss = c.packet.l4.mss if isinstance(c.packet.l4, TcpHeader) else None
            return inverted if mss is None else (low <= mss <= high) is not inverted

        return test


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
        return f"{_not(self.inverted)}--{self.NAME}-{self.relation} {self.value}"

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
        return f"{_not(self.inverted)}--length {self._text()}"

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
        return f"{_not(self.inverted)}--pkt-type {self.type}"

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
        return f"{_not(self.inverted)}--dscp 0x{self.value:02x}"

    def show(self, numeric: bool = True) -> str:
        return f" DSCP match {'!' if self.inverted else ''}0x{self.value:02x}"

    def compile(self, place: Place) -> Test:
        value, wanted = self.value, not self.inverted
        return lambda c: (c.packet.tos >> 2 == value) is wanted
