"""Matches on marks and on what connection tracking knows: mark, connmark, conntrack, state.

Sources: Linux net/netfilter/xt_mark.c, xt_connmark.c, xt_conntrack.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import NotModelled
from ..address import number as address_number
from .context import Context, Place
from .extension import Env, Given, Match, Opt, Test, mark_mask, number_range
from .values import Bad, address_text, host_length, mask_bits, protocol_number, resolved_ports

__all__ = ["PROTO_NAMES", "ConnMark", "Conntrack", "Mark", "State"]

FULL = 0xFFFFFFFF
#: the packet model's word for a protocol number
PROTO_NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")  # as printed
_SEARCHED = ("INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT")  # as looked up: beginnings are enough
STATUSES = ("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")


def _mark_text(value: int, mask: int) -> str:
    return f"0x{value:x}" if mask == FULL else f"0x{value:x}/0x{mask:x}"


@dataclass(frozen=True, slots=True)
class Mark(Match):
    NAME: ClassVar[str] = "mark"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("mark", invert=True, mandatory=True),)

    value: int
    mask: int
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> Mark:
        return cls(*mark_mask(cls, given, "mark"), given["mark"].inverted)

    def save(self) -> str:
        return f"{'! ' if self.inverted else ''}--mark {_mark_text(self.value, self.mask)}"

    def show(self, numeric: bool = True) -> str:
        return f" mark match {'! ' if self.inverted else ''}{_mark_text(self.value, self.mask)}"

    def compile(self, place: Place) -> Test:
        value, mask = self.value, self.mask
        if self.inverted:
            return lambda c: c.mark & mask != value
        return lambda c: c.mark & mask == value

    @property
    def plain(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ConnMark(Match):
    NAME: ClassVar[str] = "connmark"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("mark", invert=True, mandatory=True),)

    value: int
    mask: int
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> ConnMark:
        return cls(*mark_mask(cls, given, "mark"), given["mark"].inverted)

    def save(self) -> str:
        return f"{'! ' if self.inverted else ''}--mark {_mark_text(self.value, self.mask)}"

    def show(self, numeric: bool = True) -> str:
        return f" connmark match {'! ' if self.inverted else ' '}{_mark_text(self.value, self.mask)}"

    def compile(self, place: Place) -> Test:
        value, mask, wanted = self.value, self.mask, not self.inverted
        # a packet without a connection matches neither form
        return lambda c: c.ct_original is not None and (c.connmark & mask == value) is wanted


def _words(text: str, known: tuple[str, ...], what: str) -> frozenset[str]:
    found = []
    rest = text
    for word in text.split(","):
        if what == "state" and not rest:
            raise Bad('"--state" requires a list of states with no spaces, e.g. ESTABLISHED,RELATED')
        name = next((n for n in known if word and n.startswith(word.upper())), None)
        if name is None:
            raise Bad(f'Bad {what} "{rest}"')
        found.append(name)
        rest = rest.partition(",")[2]
    return frozenset(found)


def _state_test(states: frozenset[str], wanted: bool) -> Test:
    # one state of the five, plus SNAT and DNAT flags: any of them will do
    known: dict[frozenset[str], bool] = {}

    def test(c: Context) -> bool:
        seen = c.ctstate
        found = known.get(seen)
        if found is None:
            found = known[seen] = bool(states & seen) is wanted
        return found

    return test


@dataclass(frozen=True, slots=True)
class State(Match):
    NAME: ClassVar[str] = "state"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("state", invert=True, mandatory=True),)

    states: frozenset[str]
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> State:
        return cls(_words(given["state"].text, _SEARCHED[:5], "state"), given["state"].inverted)

    def save(self) -> str:
        return f"{'! ' if self.inverted else ''}--state {_join(self.states)}"

    def show(self, numeric: bool = True) -> str:
        return f" {'! ' if self.inverted else ''}state {_join(self.states)}"

    def compile(self, place: Place) -> Test:
        return _state_test(self.states, not self.inverted)

    @property
    def plain(self) -> bool:
        return True


def _join(states: frozenset[str]) -> str:
    return ",".join(s for s in STATES if s in states)


@dataclass(frozen=True, slots=True)
class _Tuple:
    """One of the eight tests on a tuple: an address with mask, or a range of ports."""

    name: str  # "ctorigsrc" ...
    low: int  # address, or lowest port
    high: int  # mask, or highest port
    inverted: bool


_ADDRESSES = ("ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst")
_PORTS = ("ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport")


@dataclass(frozen=True, slots=True)
class Conntrack(Match):
    NAME: ClassVar[str] = "conntrack"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("ctstate", invert=True), Opt("ctproto", invert=True), *(Opt(n, invert=True) for n in _ADDRESSES + _PORTS),
        Opt("ctstatus", invert=True), Opt("ctexpire", invert=True), Opt("ctdir"),
    )  # fmt: skip

    family: int
    states: tuple[frozenset[str], bool] | None = None
    protocol: tuple[int, bool] | None = None
    tuples: tuple[_Tuple, ...] = ()
    statuses: tuple[frozenset[str], bool] | None = None
    expire: tuple[int, int, bool] | None = None
    direction: str | None = None

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("conntrack: At least one option is required")

    @classmethod
    def build(cls, given: Given, env: Env) -> Conntrack:
        tuples = [_address_test(given, n, env.family) for n in _ADDRESSES if n in given]
        for n in _PORTS:
            if n in given:
                low, high = _ct_ports(given, n)
                tuples.append(_Tuple(n, low, high, given[n].inverted))
        states = protocol = statuses = expire = direction = None
        if v := given.get("ctstate"):
            states = (_words(v.text, _SEARCHED, "ctstate"), v.inverted)
        if v := given.get("ctproto"):
            protocol = (protocol_number(v.text), v.inverted)
        if v := given.get("ctstatus"):
            found = frozenset() if v.text.upper() == "NONE" else _words(v.text, STATUSES, "ctstatus")
            statuses = (found, v.inverted)
        if v := given.get("ctexpire"):
            expire = (*number_range(cls, given, "ctexpire", FULL), v.inverted)
        if v := given.get("ctdir"):
            direction = v.text.upper()
            if direction not in ("ORIGINAL", "REPLY"):
                raise Bad(f'conntrack: Bad value for "--ctdir" option: "{v.text}"')
        return cls(env.family, states, protocol, tuple(tuples), statuses, expire, direction)

    def _parts(self) -> list[tuple[bool, str, str]]:
        parts: list[tuple[bool, str, str]] = []
        if self.states:
            parts.append((self.states[1], "ctstate", _join(self.states[0])))
        if self.protocol:
            parts.append((self.protocol[1], "ctproto", str(self.protocol[0])))
        for t in self.tuples:
            if t.name in _ADDRESSES:
                length = mask_bits(t.high, self.family)
                text = address_text(t.low, self.family)
                if length != (32 if self.family == 4 else 128):
                    text += f"/{length if length is not None else address_text(t.high, self.family)}"
            else:
                text = str(t.low) if t.low == t.high else f"{t.low}:{t.high}"
            parts.append((t.inverted, t.name, text))
        if self.statuses:
            parts.append((self.statuses[1], "ctstatus", ",".join(s for s in STATUSES if s in self.statuses[0]) or "NONE"))
        if self.expire:
            low, high, inverted = self.expire
            parts.append((inverted, "ctexpire", str(low) if low == high else f"{low}:{high}"))
        if self.direction:
            parts.append((False, "ctdir", self.direction))
        return parts

    def save(self) -> str:
        return " ".join(f"{'! ' if no else ''}--{name} {text}" for no, name, text in self._parts())

    def show(self, numeric: bool = True) -> str:
        anywhere = {t.name for t in self.tuples if t.name in _ADDRESSES and not t.low and not numeric}
        return "".join(f" {'! ' if no else ''}{name} {'anywhere' if name in anywhere else text}" for no, name, text in self._parts())

    @property
    def plain(self) -> bool:
        return not (self.protocol or self.tuples or self.statuses or self.expire or self.direction)

    def compile(self, place: Place) -> Test:
        tests: list[Test] = []
        if self.protocol:
            name = PROTO_NAMES.get(self.protocol[0], str(self.protocol[0]))
            wanted = not self.protocol[1]
            tests.append(lambda c: c.ct_original is not None and (c.ct_original[4] == name) is wanted)
        tests += [_tuple_test(t) for t in self.tuples]
        if self.statuses:
            statuses, status_wanted = self.statuses[0], not self.statuses[1]
            tests.append(lambda c: bool(statuses & _known(c, "ct_status", "--ctstatus")) is status_wanted)
        if self.expire:
            tests.append(lambda c: _known(c, "ct_expires", "--ctexpire"))
        if self.direction:
            direction = self.direction
            tests.append(lambda c: bool(_known(c, "ct_direction", "--ctdir") == direction))
        rest = tuple(tests)
        if self.states is None:
            return lambda c: c.ct_original is not None and all(t(c) for t in rest)
        state = _state_test(self.states[0], not self.states[1])
        if not rest:
            return state
        # a packet that belongs to no connection is judged by its state alone
        return lambda c: state(c) and (c.ct_original is None or all(t(c) for t in rest))


def _ct_ports(given: Given, name: str) -> tuple[int, int]:
    """Ports here may be service names, and large numbers lose their upper bits, as in the tool."""
    return resolved_ports("conntrack", name, given[name].text)


def _known(c: Context, name: str, option: str) -> Any:
    value = getattr(c, name, None)
    if value is None:
        raise NotModelled(f"iptables -m conntrack {option}")
    return value


def _address_test(given: Given, name: str, family: int) -> _Tuple:
    value, length = host_length("conntrack", name, given[name].text, family)
    bits = 32 if family == 4 else 128
    return _Tuple(name, value, (1 << bits) - (1 << (bits - length)), given[name].inverted)


def _tuple_test(t: _Tuple) -> Test:
    index = {"origsrc": 0, "origdst": 2, "replsrc": 0, "repldst": 2}[t.name[2:9]] + (1 if t.name.endswith("port") else 0)
    original, low, high, wanted = t.name.startswith("ctorig"), t.low, t.high, not t.inverted

    def side(c: Context) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = c.ct_original if original else _known(c, "ct_reply", f"--{t.name}")
        assert found is not None
        return found

    if t.name.endswith("port"):
        return lambda c: (low <= side(c)[index] <= high) is wanted
    network = low & high
    return lambda c: (address_number(side(c)[index]) & high == network) is wanted


