"""Matches on where an address or a frame belongs: comment, addrtype, set, physdev, iprange; cpu and owner are kept but not modelled.

Sources: Linux net/netfilter/xt_addrtype.c, xt_set.c, xt_physdev.c, xt_iprange.c; what is printed: measured, iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..address import number as address_number
from .context import Context, Place
from .extension import Env, Given, Match, Opt, Test, number, unmodelled
from .values import Bad, address_text, address_value, integer, quote

if TYPE_CHECKING:
    from .spec import Spec

__all__ = ["AddrType", "Comment", "Cpu", "IpRange", "Owner", "PhysDev", "SetMatch", "check_interface", "interface_test", "set_flags"]


@dataclass(frozen=True, slots=True)
class Comment(Match):
    NAME: ClassVar[str] = "comment"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("comment", mandatory=True),)

    text: str

    @classmethod
    def build(cls, given: Given, env: Env) -> Comment:
        return cls(given["comment"].text.encode()[:255].decode(errors="ignore"))

    def save(self) -> str:
        return f"--comment {quote(self.text)}"

    def show(self, numeric: bool = True) -> str:
        return f" /* {self.text} */"

    def compile(self, place: Place) -> None:
        return None

    @property
    def plain(self) -> bool:
        return True


TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
)  # fmt: skip


def _fits(c: Context, address: str, dev: str | None, types: frozenset[str]) -> bool:
    return c.addrtype(address, dev) in types


def _fits_six(c: Context, address: str, dev: str | None, types: frozenset[str]) -> bool:
    """match_type6: classes of addresses by the address alone, and all of them must fit; only the other types ask for a route."""
    group = address.startswith("ff")
    if ("MULTICAST" in types and not group) or ("UNICAST" in types and (group or address == "::")):
        return False
    if "UNSPEC" in types and address != "::":
        return False
    return not types & {"LOCAL", "ANYCAST", "UNREACHABLE"} or c.addrtype(address, dev) in types


@dataclass(frozen=True, slots=True)
class AddrType(Match):
    NAME: ClassVar[str] = "addrtype"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("src-type", invert=True), Opt("dst-type", invert=True),
        Opt("limit-iface-in", 0, excludes=("limit-iface-out",)), Opt("limit-iface-out", 0, excludes=("limit-iface-in",)),
    )  # fmt: skip

    family: int
    source: frozenset[str] | None
    source_inverted: bool
    dest: frozenset[str] | None
    dest_inverted: bool
    limit: str = ""  # "" | "in" | "out"

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if "src-type" not in given and "dst-type" not in given:
            raise Bad("addrtype: you must specify --src-type or --dst-type")

    @classmethod
    def build(cls, given: Given, env: Env) -> AddrType:
        s, d = given.get("src-type"), given.get("dst-type")
        return cls(
            env.family, _types(s.text) if s else None, bool(s and s.inverted), _types(d.text) if d else None, bool(d and d.inverted),
            "in" if "limit-iface-in" in given else "out" if "limit-iface-out" in given else "",
        )  # fmt: skip

    def save(self) -> str:
        parts = []
        if self.source is not None:
            parts.append(f"{'! ' if self.source_inverted else ''}--src-type {_type_text(self.source)}")
        if self.dest is not None:
            parts.append(f"{'! ' if self.dest_inverted else ''}--dst-type {_type_text(self.dest)}")
        if self.limit:
            parts.append(f"--limit-iface-{self.limit}")
        return " ".join(parts)

    def show(self, numeric: bool = True) -> str:
        out = " ADDRTYPE match"
        if self.source is not None:
            out += f" src-type {'!' if self.source_inverted else ''}{_type_text(self.source)}"
        if self.dest is not None:
            out += f" dst-type {'!' if self.dest_inverted else ''}{_type_text(self.dest)}"
        return out + (f" limit-{self.limit}" if self.limit else "")

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        if (self.limit == "in" and hooks & {"POSTROUTING", "OUTPUT"}) or (self.limit == "out" and hooks & {"PREROUTING", "INPUT"}):
            return True
        asked = (self.source or frozenset()) | (self.dest or frozenset())
        return self.family == 6 and bool(asked & {"BROADCAST", "BLACKHOLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"})

    def compile(self, place: Place) -> Test:
        source, source_wanted = self.source, not self.source_inverted
        dest, dest_wanted = self.dest, not self.dest_inverted
        limit, fits = self.limit, _fits_six if self.family == 6 else _fits

        def test(c: Context) -> bool:
            dev = (c.indev if limit == "in" else c.outdev) if limit else None
            if source is not None and fits(c, c.packet.src, dev, source) is not source_wanted:
                return False
            return dest is None or fits(c, c.packet.dst, dev, dest) is dest_wanted

        if source is None and not limit and dest == frozenset({"LOCAL"}):
            return lambda c: (c.addrtype(c.packet.dst, None) == "LOCAL") is dest_wanted
        return test

    @property
    def plain(self) -> bool:
        return True


def _types(text: str) -> frozenset[str]:
    found = set()
    for word in text.split(","):
        name = next((t for t in TYPES if word and t.startswith(word.upper())), None)
        if name is None:
            raise Bad(f'addrtype: bad type "{word}"')
        found.add(name)
    return frozenset(found)


def _type_text(types: frozenset[str]) -> str:
    return ",".join(t for t in TYPES if t in types)


def set_flags(name: str, flags: str) -> tuple[str, ...]:
    if len(name) > 31:
        raise Bad(f"setname `{name}' too long, max 31 characters.")
    words = tuple(flags.split(","))
    if any(w not in ("src", "dst") for w in words):
        raise Bad("You must spefify (the comma separated list of) 'src' or 'dst'.")
    if len(words) > 6:
        raise Bad("Can't be more src/dst options than 6.")
    return words


@dataclass(frozen=True, slots=True)
class SetMatch(Match):
    NAME: ClassVar[str] = "set"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("match-set", 2, invert=True), Opt("set", 2, invert=True, of="match-set"), Opt("return-nomatch", 0),
        Opt("update-counters", 0, invert=True), Opt("update-subcounters", 0, invert=True),
        *(Opt(f"{n}-{r}", invert=r == "eq") for n in ("packets", "bytes") for r in ("eq", "lt", "gt")),
    )  # fmt: skip

    name: str
    flags: tuple[str, ...]
    inverted: bool = False
    return_nomatch: bool = False
    extra: tuple[str, ...] = ()  # options on the set's own counters, as saved

    @classmethod
    def not_inverted(cls, option: Opt) -> Bad:
        return Bad(f"--{option.name} {'option' if option.args else 'flag'} cannot be inverted")

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if "match-set" not in given:
            raise Bad("You must specify `--match-set' with proper arguments")

    @classmethod
    def build(cls, given: Given, env: Env) -> SetMatch:
        for what in ("packets", "bytes"):
            if sum(n.startswith(what) for n in given) > 1:
                raise Bad(f"only one of the --{what}-[eq|lt|gt] is allowed")
        extra = [f"! --{n}" for n in ("update-counters", "update-subcounters") if n in given and given[n].inverted]
        for n, v in sorted(given.items(), key=lambda x: x[0][:5] == "bytes"):
            if n[:7] == "packets" or n[:5] == "bytes":
                value = integer(v.text, (1 << 64) - 1)
                if value is None:
                    raise Bad(f"Cannot parse {v.text} as a counter value")
                extra.append(f"{'! ' if v.inverted else ''}--{n} {value}")
        name, flags = given["match-set"].args
        return cls(name, set_flags(name, flags), given["match-set"].inverted, "return-nomatch" in given, tuple(extra))

    def _words(self) -> list[str]:
        return ["--return-nomatch"] * self.return_nomatch + list(self.extra)

    def save(self) -> str:
        return " ".join([f"{'! ' if self.inverted else ''}--match-set {self.name} {','.join(self.flags)}", *self._words()])

    def show(self, numeric: bool = True) -> str:
        words = [w.replace("--", "") for w in self._words()]
        return " ".join([f" {'! ' if self.inverted else ''}match-set {self.name} {','.join(self.flags)}", *words])

    def compile(self, place: Place) -> Test:
        if self.extra or self.return_nomatch:
            return unmodelled("iptables -m set with counters or --return-nomatch", place)
        name, flags, wanted = self.name, self.flags, not self.inverted

        def test(c: Context) -> bool:
            found = c.ipset(name)
            return (found is not None and found.test(c.packet, flags, c.now)) is wanted

        return test


def check_interface(name: str) -> str:
    if not name:
        raise Bad("Empty interface is likely to be undesired")
    if len(name) > 15:
        raise Bad(f"interface name `{name}' must be shorter than IFNAMSIZ (15)")
    return name


@dataclass(frozen=True, slots=True)
class PhysDev(Match):
    NAME: ClassVar[str] = "physdev"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("physdev-in", invert=True), Opt("physdev-out", invert=True), Opt("physdev-is-in", 0, invert=True),
        Opt("physdev-is-out", 0, invert=True), Opt("physdev-is-bridged", 0, invert=True),
    )  # fmt: skip

    indev: tuple[str, bool] | None = None  # (name, inverted)
    outdev: tuple[str, bool] | None = None
    is_in: bool | None = None  # what is asked for
    is_out: bool | None = None
    bridged: bool | None = None

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("PHYSDEV: no physdev option specified")

    @classmethod
    def build(cls, given: Given, env: Env) -> PhysDev:
        def device(name: str) -> tuple[str, bool] | None:
            return (check_interface(given[name].text), given[name].inverted) if name in given else None

        def flag(name: str) -> bool | None:
            return not given[name].inverted if name in given else None

        return cls(
            device("physdev-in"), device("physdev-out"), flag("physdev-is-in"), flag("physdev-is-out"), flag("physdev-is-bridged")
        )

    def save(self) -> str:
        parts = []
        for flag, device, word in ((self.is_in, self.indev, "in"), (self.is_out, self.outdev, "out")):
            if flag is not None:
                parts.append(f"{'' if flag else '! '}--physdev-is-{word}")
            if device:
                parts.append(f"{'! ' if device[1] else ''}--physdev-{word} {device[0]}")
        if self.bridged is not None:
            parts.append(f"{'' if self.bridged else '! '}--physdev-is-bridged")
        return " ".join(parts)

    def show(self, numeric: bool = True) -> str:
        return f" PHYSDEV match {self.save()}"

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        return bool("OUTPUT" in hooks and (self.outdev or self.is_out is not None) and not self.bridged)

    def compile(self, place: Place) -> Test:
        is_in, is_out, bridged = self.is_in, self.is_out, self.bridged
        in_test, in_wanted = interface_test(self.indev[0]) if self.indev else None, not (self.indev and self.indev[1])
        out_test, out_wanted = interface_test(self.outdev[0]) if self.outdev else None, not (self.outdev and self.outdev[1])
        # a packet that no bridge shows passes only if nothing but negations is asked
        unbridged = not (is_in or is_out or bridged or (self.indev and in_wanted) or (self.outdev and out_wanted))

        def test(c: Context) -> bool:
            physin, physout = c.physin, c.physout
            if not physin and not physout:
                return unbridged
            if bridged is not None and bool(physout) is not bridged:
                return False
            if (is_in is not None and bool(physin) is not is_in) or (is_out is not None and bool(physout) is not is_out):
                return False
            if in_test and physin and in_test(physin) is not in_wanted:
                return False
            return out_test is None or (bool(physout) and out_test(physout)) is out_wanted

        return test

    @property
    def plain(self) -> bool:
        return True


def interface_test(pattern: str) -> Callable[[str], bool]:
    """A function of an interface's name; "eth+" stands for every name that begins so."""
    if pattern.endswith("+"):
        start = pattern[:-1]
        return lambda name: name.startswith(start)
    return lambda name: name == pattern


@dataclass(frozen=True, slots=True)
class IpRange(Match):
    NAME: ClassVar[str] = "iprange"
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("src-range", invert=True), Opt("dst-range", invert=True))

    family: int
    source: tuple[int, int, bool] | None
    dest: tuple[int, int, bool] | None

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("iprange match: You must specify `--src-range' or `--dst-range'")

    @classmethod
    def build(cls, given: Given, env: Env) -> IpRange:
        def bounds(name: str) -> tuple[int, int, bool] | None:
            if name not in given:
                return None
            low, dash, high = given[name].text.partition("-")
            values = [address_value(t, env.family) for t in (low, high if dash else low)]
            if values[0] is None or values[1] is None:
                raise Bad(f'iprange: Bad value for "--{name}" option: "{low if values[0] is None else high}"')
            return values[0], values[1], given[name].inverted

        return cls(env.family, bounds("src-range"), bounds("dst-range"))

    def _text(self, bounds: tuple[int, int, bool]) -> str:
        return f"{address_text(bounds[0], self.family)}-{address_text(bounds[1], self.family)}"

    def save(self) -> str:
        sides = ((self.source, "src"), (self.dest, "dst"))
        return " ".join(f"{'! ' if b[2] else ''}--{word}-range {self._text(b)}" for b, word in sides if b)

    def show(self, numeric: bool = True) -> str:
        sides = ((self.source, "source"), (self.dest, "destination"))
        return "".join(f" {word} IP range {'! ' if b[2] else ''}{self._text(b)}" for b, word in sides if b)

    def compile(self, place: Place) -> Test:
        source, dest = self.source, self.dest

        def test(c: Context) -> bool:
            if source and (source[0] <= address_number(c.packet.src) <= source[1]) is source[2]:
                return False
            return not dest or (dest[0] <= address_number(c.packet.dst) <= dest[1]) is not dest[2]

        return test

    @property
    def plain(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Cpu(Match):
    NAME: ClassVar[str] = "cpu"
    KEYED: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Opt, ...]] = (Opt("cpu", invert=True, mandatory=True),)

    cpu: int
    inverted: bool = False

    @classmethod
    def build(cls, given: Given, env: Env) -> Cpu:
        return cls(number(cls, given, "cpu"), given["cpu"].inverted)

    def save(self) -> str:
        return f"{'! ' if self.inverted else ''}--cpu {self.cpu}"

    def show(self, numeric: bool = True) -> str:
        return f" cpu {'! ' if self.inverted else ''}{self.cpu}"

    def compile(self, place: Place) -> Test:
        return unmodelled("iptables -m cpu: the lab has no processors", place)


@dataclass(frozen=True, slots=True)
class Owner(Match):
    NAME: ClassVar[str] = "owner"
    KEYED: ClassVar[bool] = True
    HOOKS: ClassVar[frozenset[str] | None] = frozenset({"OUTPUT", "POSTROUTING"})
    OPTIONS: ClassVar[tuple[Opt, ...]] = (
        Opt("uid-owner", invert=True), Opt("gid-owner", invert=True), Opt("socket-exists", 0, invert=True), Opt("suppl-groups", 0),
    )  # fmt: skip

    uid: tuple[int, int, bool] | None
    gid: tuple[int, int, bool] | None
    socket: bool | None
    supplementary: bool = False

    @classmethod
    def check(cls, given: Given, env: Env) -> None:
        if not given:
            raise Bad("owner: At least one of --uid-owner, --gid-owner or --socket-exists is required")

    @classmethod
    def build(cls, given: Given, env: Env) -> Owner:
        def owner(name: str) -> tuple[int, int, bool] | None:
            if name not in given:
                return None
            low, dash, high = given[name].text.partition("-")
            first, last = integer(low, 0xFFFFFFFE), integer(high if dash else low, 0xFFFFFFFE)
            if given[name].text == "root":
                first = last = 0
            if first is None or last is None:
                raise Bad(f'owner: Bad value for "--{name}" option: "{given[name].text}"')
            return first, last, given[name].inverted

        if "suppl-groups" in given and "gid-owner" not in list(given)[: list(given).index("suppl-groups")]:
            raise Bad('owner: Bad value for "--suppl-groups" option: "you need to use --gid-owner first"')
        exists = given.get("socket-exists")
        return cls(owner("uid-owner"), owner("gid-owner"), not exists.inverted if exists else None, "suppl-groups" in given)

    def refuses(self, hooks: frozenset[str], spec: Spec, backend: str) -> bool:
        return any(b is not None and b[0] > b[1] for b in (self.uid, self.gid))

    def save(self) -> str:
        parts = [f"{'' if self.socket else '! '}--socket-exists"] if self.socket is not None else []
        for bounds, word in ((self.uid, "uid"), (self.gid, "gid")):
            if bounds:
                parts.append(f"{'! ' if bounds[2] else ''}--{word}-owner {_bounds(bounds)}")
        return " ".join(parts + ["--suppl-groups"] * self.supplementary)

    def show(self, numeric: bool = True) -> str:
        out = f"{'' if self.socket else ' !'} owner socket exists" if self.socket is not None else ""
        for bounds, word in ((self.uid, "UID"), (self.gid, "GID")):
            if bounds:
                name = "root" if bounds[:2] == (0, 0) and not numeric else _bounds(bounds)
                out += f" {'! ' if bounds[2] else ''}owner {word} match {name}"
        return out + (" incl. suppl. groups" if self.supplementary else "")

    def compile(self, place: Place) -> Test:
        return unmodelled("iptables -m owner: the lab's sockets have no users", place)


def _bounds(b: tuple[int, int, bool]) -> str:
    return str(b[0]) if b[0] == b[1] else f"{b[0]}-{b[1]}"
