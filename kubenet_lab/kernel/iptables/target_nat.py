"""NAT targets: DNAT, SNAT, MASQUERADE, REDIRECT. They end the nat table with a range; the caller makes the mapping.

Sources: Linux net/netfilter/xt_nat.c, xt_MASQUERADE.c, xt_REDIRECT.c; iptables 1.8.9 extensions/libxt_NAT.c; measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..address import canonical
from ..port_names import service_number
from .extension import Env, Given, Opt
from .targets import Target
from .values import Bad, address_text, address_value, integer

__all__ = ["Dnat", "Masquerade", "NatRange", "Redirect", "Snat"]

_WITH_PORTS = frozenset({1, 6, 17, 33, 132})
_NEED_PORTS = "Need TCP, UDP, SCTP or DCCP with port specification"


@dataclass(frozen=True, slots=True)
class NatRange:
    """What to map to. `addresses` and `ports` are inclusive ranges, None where the packet's own are kept.

    `base`: ports are shifted from this one (DNAT). `random`: ports are drawn; `fully_random`: with a fresh seed each.
    `persistent`: a client keeps its address.
    """

    addresses: tuple[str, str] | None = None
    ports: tuple[int, int] | None = None
    base: int | None = None
    random: bool = False
    fully_random: bool = False
    persistent: bool = False


def _port(text: str) -> tuple[int, str]:
    """(port, what stands behind it)."""
    digits = 0
    while digits < len(text) and text[digits] in "0123456789abcdefABCDEFxX":
        digits += 1
    while digits and integer(text[:digits]) is None:
        digits -= 1
    value = integer(text[:digits], 0xFFFF)
    if value is not None:
        return value, text[digits:]
    named = service_number(text)
    if named is None:
        raise Bad(f"Port `{text}' not valid")
    return named, ""


def _parse_ports(text: str, shifted: bool) -> tuple[tuple[int, int], int | None]:
    low, rest = _port(text)
    if not rest:
        return (low, low), None
    if rest[0] == ":":
        raise Bad("Invalid port:port syntax - use dash")
    if rest[0] != "-":
        raise Bad(f"Garbage after port value: `{rest}'")
    text = rest[1:]
    high, rest = _port(text)
    if high < low:
        raise Bad(f"Port range `{text}' funky")
    if not rest:
        return (low, high), None
    if rest[0] != "/" or not shifted:
        raise Bad(f"Garbage after port range: `{rest}'")
    base, tail = _port(rest[1:])
    if tail:
        raise Bad(f"Garbage after base port: `{tail}'")
    return (low, high), base


def _parse_range(text: str, env: Env, shifted: bool) -> NatRange:
    start, colon = text, -1
    ports_text = ""
    if env.family == 4 and "[" in text:
        raise Bad("Invalid address format")
    elif "[" in text:
        inside = text[text.index("[") + 1 :]
        if "]" not in inside:
            raise Bad("Invalid address format")
        start, _, rest = inside.partition("]")
        colon = rest.find(":")
        ports_text = rest[colon + 1 :]
    else:
        colon = text.find(":")
        if colon >= 0 and ":" in text[colon + 1 :]:
            colon = -1
        if colon >= 0:
            start, ports_text = text[:colon], text[colon + 1 :]
    ports = base = None
    if colon >= 0:
        if env.protocol not in _WITH_PORTS and not (env.family == 6 and env.protocol == 58):
            raise Bad(_NEED_PORTS)
        ports, base = _parse_ports(ports_text, shifted)
        if not start:
            return NatRange(None, ports, base)
    low, dash, high = start.partition("-")
    values = []
    for part in (low, high) if dash else (low,):
        value = address_value(part, env.family)
        if value is None:
            raise Bad(f'Bad IP address "{part}"')
        values.append(value)
    texts = [canonical(address_text(v, env.family)) for v in values]
    return NatRange((texts[0], texts[-1]), ports, base)


def _range_text(r: NatRange) -> str:
    out = ""
    if r.addresses:
        out = "-".join(dict.fromkeys(r.addresses))
        if ":" in out and r.ports:
            out = f"[{out}]"
    if r.ports:
        out += ":" + _ports_text(r.ports) + (f"/{r.base}" if r.base is not None else "")
    return out


def _ports_text(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


class _Mapping(Target):
    TO: ClassVar[str] = ""
    TABLES: ClassVar[frozenset[str] | None] = frozenset({"nat"})

    range: NatRange

    @property
    def params(self) -> NatRange:
        return self.range

    def _flags(self) -> list[str]:
        r = self.range
        return [word for word, on in (("random", r.random), ("random-fully", r.fully_random), ("persistent", r.persistent)) if on]

    def save(self) -> str:
        return " ".join([f"--{self.TO} {_range_text(self.range)}", *(f"--{w}" for w in self._flags())])

    def show(self, numeric: bool = True) -> str:
        return " ".join([f" to:{_range_text(self.range)}", *self._flags()])


def _with_flags(r: NatRange, given: Given) -> NatRange:
    return NatRange(r.addresses, r.ports, r.base, "random" in given, "random-fully" in given, "persistent" in given)


@dataclass(frozen=True, slots=True)
class Dnat(_Mapping):
    NAME: ClassVar[str] = "DNAT"
    VERDICT: ClassVar[str] = "DNAT"
    TO: ClassVar[str] = "to-destination"
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("to-destination", mandatory=True), Opt("random", 0), Opt("persistent", 0))

    range: NatRange

    @classmethod
    def build(cls, given: Given, env: Env) -> Dnat:
        return cls(_with_flags(_parse_range(given["to-destination"].text, env, True), given))


@dataclass(frozen=True, slots=True)
class Snat(_Mapping):
    NAME: ClassVar[str] = "SNAT"
    VERDICT: ClassVar[str] = "SNAT"
    TO: ClassVar[str] = "to-source"
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"POSTROUTING", "INPUT"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("to-source", mandatory=True), Opt("random", 0), Opt("random-fully", 0), Opt("persistent", 0),
    )  # fmt: skip

    range: NatRange

    @classmethod
    def build(cls, given: Given, env: Env) -> Snat:
        return cls(_with_flags(_parse_range(given["to-source"].text, env, False), given))


def _to_ports(given: Given, env: Env) -> tuple[int, int] | None:
    if "to-ports" not in given:
        return None
    if env.protocol not in _WITH_PORTS:
        raise Bad(_NEED_PORTS)
    return _parse_ports(given["to-ports"].text, False)[0]


@dataclass(frozen=True, slots=True)
class Masquerade(_Mapping):
    """SNAT to the address of the interface the packet leaves by."""

    NAME: ClassVar[str] = "MASQUERADE"
    VERDICT: ClassVar[str] = "MASQUERADE"
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"POSTROUTING"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("to-ports"), Opt("random", 0), Opt("random-fully", 0))

    range: NatRange

    @classmethod
    def build(cls, given: Given, env: Env) -> Masquerade:
        return cls(_with_flags(NatRange(None, _to_ports(given, env)), given))

    def save(self) -> str:
        words = [f"--to-ports {_ports_text(self.range.ports)}"] if self.range.ports else []
        return " ".join(words + [f"--{w}" for w in self._flags()])

    def show(self, numeric: bool = True) -> str:
        out = f" masq ports: {_ports_text(self.range.ports)}" if self.range.ports else ""
        return out + "".join(f" {w}" for w in self._flags())


@dataclass(frozen=True, slots=True)
class Redirect(_Mapping):
    """DNAT to this machine."""

    NAME: ClassVar[str] = "REDIRECT"
    VERDICT: ClassVar[str] = "REDIRECT"
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("to-ports"), Opt("random", 0))

    range: NatRange

    @classmethod
    def build(cls, given: Given, env: Env) -> Redirect:
        return cls(_with_flags(NatRange(None, _to_ports(given, env)), given))

    def save(self) -> str:
        words = [f"--to-ports {_ports_text(self.range.ports)}"] if self.range.ports else []
        return " ".join(words + [f"--{w}" for w in self._flags()])

    def show(self, numeric: bool = True) -> str:
        out = f" redir ports {_ports_text(self.range.ports)}" if self.range.ports else ""
        return out + "".join(f" {w}" for w in self._flags())
