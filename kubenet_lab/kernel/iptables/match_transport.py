"""Matches on the transport header: tcp, udp, sctp, multiport, tcpmss.

Sources: Linux net/netfilter/xt_tcpudp.c, xt_sctp.c, xt_multiport.c, xt_tcpmss.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ...errors import NotModelled
from ..packet import Tcp as TcpHeader
from ..port_names import service_name
from .context import Context, Place
from .extension import Env, Given, Match, Opt, Test, number_range, unmodelled
from .values import Bad, integer, port, ports, resolved_ports

__all__ = ["MultiPort", "Range", "Sctp", "Tcp", "TcpMss", "Udp", "flag_bits", "invert_text"]

Range: TypeAlias = tuple[int, int]
ALL: Range = (0, 0xFFFF)
_PROTOCOL_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}


def _port_name(number: int, numeric: bool, protocol: str) -> str:
    return str(number) if numeric else service_name(number, protocol) or str(number)


def invert_text(inverted: bool) -> str:
    return "! " if inverted else ""


def _save_range(option: str, r: Range, inverted: bool) -> list[str]:
    if r == ALL:
        return []
    return [f"{invert_text(inverted)}--{option} {r[0]}" + (f":{r[1]}" if r[1] != r[0] else "")]


def _show_range(name: str, r: Range, inverted: bool, numeric: bool, protocol: str) -> str:
    if r == ALL and not inverted:
        return ""
    no = "!" if inverted else ""
    if r[0] == r[1]:
        return f" {name}:{no}{_port_name(r[0], numeric, protocol)}"
    return f" {name}s:{no}{_port_name(r[0], numeric, protocol)}:{_port_name(r[1], numeric, protocol)}"


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

    def _saved_ports(self) -> list[str]:
        return _save_range("sport", self.sport, self.sport_inverted) + _save_range("dport", self.dport, self.dport_inverted)

    def _shown_ports(self, numeric: bool) -> str:
        sport = _show_range("spt", self.sport, self.sport_inverted, numeric, self.NAME)
        return sport + _show_range("dpt", self.dport, self.dport_inverted, numeric, self.NAME)

    def _port_tests(self) -> list[Test]:
        found = [_sport_test(self.sport, self.sport_inverted), _dport_test(self.dport, self.dport_inverted)]
        return [t for t in found if t] or [_has_ports]

    @property
    def plain(self) -> bool:
        return self.sport == ALL and not self.sport_inverted


def _given_ports(given: Given, read: Callable[[str, str], Range]) -> tuple[Range, bool, Range, bool]:
    s, d = (given.get(name) for name in ("source-port", "destination-port"))
    return (
        read("source-port", s.text) if s else ALL, bool(s and s.inverted),
        read("destination-port", d.text) if d else ALL, bool(d and d.inverted),
    )  # fmt: skip


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
            raise Bad(f'Bad TCP option "{option.text}"')
        return cls(*_given_ports(given, lambda option, text: ports(text, "tcp")), flags, inverted, kind, bool(option and option.inverted))

    def save(self) -> str:
        parts = self._saved_ports()
        if self.option is not None:
            parts.append(f"{invert_text(self.option_inverted)}--tcp-option {self.option}")
        if self.flags:
            parts.append(f"{invert_text(self.flags_inverted)}--tcp-flags {_flags_text(self.flags[0])} {_flags_text(self.flags[1])}")
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
        return cls(*_given_ports(given, lambda option, text: resolved_ports("udp", option, text)))

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
    def given_twice(cls, option: Opt) -> Bad:
        return Bad(f"Only one `--{option.canonical}' allowed")

    @classmethod
    def build(cls, given: Given, env: Env) -> Sctp:
        if "chunk-types" in given:
            raise NotModelled("iptables -m sctp --chunk-types")
        return cls(*_given_ports(given, lambda option, text: ports(text, "sctp")))

    def save(self) -> str:
        return " ".join(self._saved_ports())

    def show(self, numeric: bool = True) -> str:
        return " sctp" + self._shown_ports(numeric)

    def compile(self, place: Place) -> Test:
        return _both(self._port_tests())


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
    protocol: str = "tcp"  # whose port names are shown

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("multiport expection an option")

    @classmethod
    def build(cls, given: Given, env: Env) -> MultiPort:
        if env.protocol_inverted or (env.protocol and env.protocol not in cls.WORKS):
            raise Bad("multiport only works with TCP, UDP, UDPLITE, SCTP and DCCP")
        if not env.protocol:
            raise Bad("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")
        option, value = list(given.items())[-1]
        protocol = _PROTOCOL_NAMES.get(env.protocol, "none")
        ranges: list[Range] = []
        slots = 0
        for part in value.text.split(","):
            low, colon, high = part.partition(":")
            bounds = []
            for text in (low, high) if colon else (low,):
                p = port(text, protocol)
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
        return cls(which, tuple(ranges), value.inverted, protocol)

    def _list(self, numeric: bool = True) -> str:
        return ",".join(":".join(_port_name(p, numeric, self.protocol) for p in dict.fromkeys(r)) for r in self.ranges)

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--{self.which} {self._list()}"

    def show(self, numeric: bool = True) -> str:
        return f" multiport {self.which} {' !' if self.inverted else ''}{self._list(numeric)}"

    @property
    def plain(self) -> bool:
        return self.which == "dports"

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
        low, high = number_range(cls, given, "mss", 0xFFFF)
        if low > high:
            raise Bad("tcpmss: invalid range given")
        return cls((low, high), given["mss"].inverted)

    def _text(self) -> str:
        low, high = self.range
        return str(low) if low == high else f"{low}:{high}"

    def save(self) -> str:
        return f"{invert_text(self.inverted)}--mss {self._text()}"

    def show(self, numeric: bool = True) -> str:
        return f" tcpmss match {'!' if self.inverted else ''}{self._text()}"

    def compile(self, place: Place) -> Test:
        (low, high), inverted = self.range, self.inverted

        def test(c: Context) -> bool:
            mss = c.packet.l4.mss if isinstance(c.packet.l4, TcpHeader) else None
            return inverted if mss is None else (low <= mss <= high) is not inverted

        return test
