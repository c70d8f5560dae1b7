"""IP sets: what iptables' `-m set` asks, and the ipset command that fills them.

Sources: Linux net/netfilter/ipset (ip_set_core.c, ip_set_hash_*.c, ip_set_bitmap_port.c, ip_set_list_set.c); ipset 7.17, whose
output and complaints are measured. The kernel keeps hash members in the order of a keyed hash; here they stay in the order in
which they were added, and the key that is printed (initval) is made from the set's name.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..errors import CommandError, NotModelled
from .address import number
from .ipset_elements import Element, Part, Refused, bitmap_port, element_text, expand, masked, parse_number, split_words
from .packet import Icmp, Packet

__all__ = ["IpSet", "IpSets", "IpsetError"]

_TYPES: dict[str, tuple[str, ...]] = {
    "hash:ip": ("ip",), "hash:net": ("net",), "hash:ip,port": ("ip", "port"), "hash:net,port": ("net", "port"),
    "hash:ip,port,ip": ("ip", "port", "ip"), "hash:ip,port,net": ("ip", "port", "net"), "hash:net,net": ("net", "net"),
    "bitmap:port": ("plainport",), "list:set": ("set",),
}  # fmt: skip
_LEFT_OUT = {
    "bitmap:ip", "bitmap:ip,mac", "hash:mac", "hash:ip,mac", "hash:ip,mark", "hash:net,iface", "hash:net,port,net", "hash:ipmac",
}  # fmt: skip
_OLD_NAMES = {"iphash": "hash:ip", "nethash": "hash:net", "ipporthash": "hash:ip,port", "setlist": "list:set", "portmap": "bitmap:port"}
_WORDS = {6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMP", 58: "ICMPv6", 136: "136"}


class IpsetError(CommandError):
    """What ipset prints on its error output; `status` is its exit status."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Member:
    expires: float | None = None  # lab time; None: stays
    nomatch: bool = False
    comment: str | None = None


@dataclass(slots=True)
class IpSet:
    """One set. `timeout` is what new members get (None: the set knows no timeouts; 0: they stay)."""

    name: str
    type: str
    family: int = 4  # 0 for sets that have none
    timeout: int | None = None
    maxelem: int = 65536
    hashsize: int = 1024
    netmask: int | None = None
    bucketsize: int = 12
    initval: int | None = None
    ports: tuple[int, int] = (0, 65535)  # bitmap:port
    size: int = 8  # list:set
    flags: tuple[str, ...] = ()  # counters, comment, skbinfo, forceadd
    members: dict[Element, _Member] = field(default_factory=dict)
    names: dict[str, _Member] = field(default_factory=dict)  # list:set
    _all: Mapping[str, IpSet] = field(default_factory=dict, repr=False, compare=False)
    _lengths: dict[int, list[int]] | None = field(default=None, repr=False, compare=False)
    _shared: bool = field(default=False, repr=False, compare=False)  # the members belong to a copy too

    @property
    def dimensions(self) -> tuple[str, ...]:
        return _TYPES[self.type]

    @property
    def kind(self) -> tuple[object, ...]:
        """What two sets must have in common for `create -exist` to let one stand for the other."""
        return self.type, self.family, self.timeout, self.maxelem, self.netmask, self.ports, self.size, self.flags

    def test(self, packet: Packet, directions: Sequence[str], now: float = 0.0) -> bool:
        """Is the packet's side ("src" or "dst" per dimension) in the set? Fewer directions than dimensions: no."""
        if self.type == "list:set":
            return any(
                (s := self._all.get(n)) is not None and s.test(packet, directions, now) for n, m in self.names.items() if _alive(m, now)
            )
        dims = self.dimensions
        if len(directions) < len(dims) or self.family not in (0, packet.family):
            return False
        parts: list[Part] = []
        for kind, side in zip(dims, directions, strict=False):
            part = _packet_part(kind, packet, side)
            if part is None:
                return False
            parts.append(part)
        return self._find(tuple(parts), now)

    def _find(self, element: Element, now: float) -> bool:
        for candidate in self._candidates(element):
            member = self.members.get(candidate)
            if member is not None and _alive(member, now):
                return not member.nomatch
        return False

    def _candidates(self, element: Element) -> Iterator[Element]:
        """The element under every prefix length in use, longest first."""
        bits = 128 if self.family == 6 else 32
        choices: list[list[Part]] = []
        for i, (kind, part) in enumerate(zip(self.dimensions, element, strict=True)):
            if kind == "net":
                choices.append([(part[0] >> (bits - n) << (bits - n), n) for n in self._used_lengths(i) if n <= part[1]])
            elif kind == "ip" and self.netmask is not None and i == 0:
                choices.append([(masked(part[0], self.netmask, bits),)])
            else:
                choices.append([part])
        return itertools.product(*choices)

    def _used_lengths(self, i: int) -> list[int]:
        if self._lengths is None:
            self._lengths = {
                k: sorted({e[k][1] for e in self.members}, reverse=True) for k, kind in enumerate(self.dimensions) if kind == "net"
            }
        return self._lengths[i]

    def copy(self) -> IpSet:
        """A set of its own; the members are shared until one of the two changes."""
        self._shared = True
        return replace(self)

    def own(self) -> IpSet:
        """This set, before its members are changed."""
        if self._shared:
            self.members, self.names, self._shared = dict(self.members), dict(self.names), False
        self._lengths = None
        return self

    # ------------------------------------------------------------------------------------------------------- printing
    def header(self) -> str:
        """What stands behind the type in `ipset save`."""
        if self.type == "list:set":
            words = [f"size {self.size}"]
        elif self.type == "bitmap:port":
            words = [f"range {self.ports[0]}-{self.ports[1]}"]
        else:
            words = [f"family {'inet6' if self.family == 6 else 'inet'} hashsize {self.hashsize} maxelem {self.maxelem}"]
            if self.netmask is not None:
                words.append(f"netmask {self.netmask}")
        if self.timeout is not None:
            words.append(f"timeout {self.timeout}")
        words += [f for f in self.flags if f != "forceadd"]
        if self.type.startswith("hash:"):
            initval = zlib.crc32(self.name.encode()) if self.initval is None else self.initval
            words.append(f"bucketsize {self.bucketsize} initval 0x{initval:08x}")
        return " ".join(words)

    def lines(self, now: float) -> Iterator[str]:
        """The members as `ipset save` and `ipset list` print them."""
        for text, member in (
            *((self.text(e), m) for e, m in self.members.items()),
            *self.names.items(),
        ):
            if not _alive(member, now):
                continue
            words = [text]
            if self.timeout is not None:
                words.append(f"timeout {int(member.expires - now) if member.expires is not None else 0}")
            if "counters" in self.flags:
                words.append("packets 0 bytes 0")
            if member.nomatch:
                words.append("nomatch")
            if member.comment is not None:
                words.append(f'comment "{member.comment}"')
            yield " ".join(words)

    def text(self, element: Element) -> str:
        return element_text(element, self.dimensions, self.family)


@lru_cache(maxsize=1024)
def _lasting(nomatch: bool, comment: str | None) -> _Member:
    """A member without an end; most members are the same."""
    return _Member(None, nomatch, comment)


@lru_cache(maxsize=1 << 16)
def _single(text: str, kind: str, family: int) -> Element | None:
    """The element of a set of addresses or networks that a plain address or prefix stands for; None for what needs a closer look."""
    if "-" in text or "," in text or ("/" in text and kind == "ip"):
        return None
    try:
        (element,) = expand(text, (kind,), family, "", (0, 0))
    except Refused:
        return None
    return element


def _alive(member: _Member, now: float) -> bool:
    return member.expires is None or member.expires > now


def _packet_part(kind: str, packet: Packet, side: str) -> Part | None:
    address = packet.src if side == "src" else packet.dst
    if kind == "ip":
        return (number(address),)
    if kind == "net":
        return number(address), 32 if packet.family == 4 else 128
    if isinstance(packet.l4, Icmp):
        return (1 if packet.proto == "ICMP" else 58, packet.l4.type << 8 | packet.l4.code) if kind == "port" else None
    port = packet.sport if side == "src" else packet.dport
    if port is None:
        return None
    protocol = next((n for n, w in _WORDS.items() if w == packet.proto), None)
    if kind == "plainport":
        return (port,)
    return None if protocol is None else (protocol, port)


class IpSets:
    """All sets of one network namespace. `used` tells whether something else (a rule) holds on to a set."""

    def __init__(self, used: Callable[[str], bool] | None = None):
        self._sets: dict[str, IpSet] = {}
        self.used = used

    def get(self, name: str) -> IpSet | None:
        return self._sets.get(name)

    def __iter__(self) -> Iterator[IpSet]:
        return iter(self._sets.values())

    def __len__(self) -> int:
        return len(self._sets)

    def copy(self) -> IpSets:
        other = IpSets(self.used)
        for name, s in self._sets.items():
            other._sets[name] = s.copy()
            other._sets[name]._all = other._sets
        return other

    def save(self, name: str = "", now: float = 0.0) -> str:
        """As `ipset save` prints it: lists of sets come last, for they name the others."""
        out = []
        for s in sorted([self._named(name)] if name else self._sets.values(), key=lambda s: s.type == "list:set"):
            out.append(f"create {s.name} {s.type} {s.header()}\n")
            out += [f"add {s.name} {line}\n" for line in s.lines(now)]
        return "".join(out)

    def restore(self, text: str, exist: bool = False, now: float = 0.0) -> None:
        """What `ipset restore [-exist]` does: line by line, what came before an error stays. Raises IpsetError."""
        before: tuple[str, ...] = ()  # command and set of the line before
        lenient = exist
        for i, line in enumerate(text.split("\n"), 1):
            if not exist and (name := self._add_plainly(line)):
                lenient, before = lenient and before == ("add", name), ("add", name)
                continue
            words = split_words(line)
            if not words or words[0].startswith("#") or words == ["COMMIT"]:
                continue
            # lines of one command on one set travel together, and the first one's -exist goes for all
            asked = exist or "-exist" in words
            words = [w for w in words if w != "-exist"]
            lenient = lenient if tuple(words[:2]) == before else asked
            before = tuple(words[:2])
            try:
                self._command(words, lenient, now)
            except Refused as e:
                if e.usage:
                    raise IpsetError(f"ipset v7.17: {e.message}\nTry `ipset help' for more information.", 2) from None
                raise IpsetError(f"ipset v7.17: Error in line {i}: {e.message}") from None

    def _add_plainly(self, line: str) -> str:
        """The commonest line, `add SET ADDRESS timeout 0`, if nothing is wrong with it. The set's name; "": to be read as any other."""
        words = line.split(" ")
        if len(words) not in (3, 5) or words[0] != "add" or words[3:] not in ([], ["timeout", "0"]):
            return ""
        s = self._sets.get(words[1])
        if s is None or s.type not in ("hash:ip", "hash:net") or s.netmask is not None or (s.timeout != 0 if words[3:] else s.timeout):
            return ""
        element = _single(words[2], s.dimensions[0], s.family)
        if element is None or len(s.members) >= s.maxelem or element in s.members:
            return ""
        s.own().members[element] = _lasting(False, None)
        return s.name

    def run(self, argv: Sequence[str], *, stdin: str = "", now: float = 0.0) -> str:
        """One ipset command line; what it prints. Raises IpsetError in the tool's words."""
        words = [w for w in argv[1:] if w not in ("-exist", "-!", "--exist", "-q", "-quiet", "-o", "plain")]
        exist = any(w in ("-exist", "-!", "--exist") for w in argv)
        quiet = "-q" in argv or "-quiet" in argv
        try:
            if words[:1] in (["restore"], ["-R"]):
                self.restore(stdin, exist, now)
                return ""
            return self._command(words, exist, now)
        except Refused as e:
            if quiet:
                raise IpsetError("", 1) from None
            if e.usage:
                raise IpsetError(f"ipset v7.17: {e.message}\nTry `ipset help' for more information.", 2) from None
            bare = e.message.endswith(".") and " is NOT in set " in e.message
            raise IpsetError(e.message if bare else f"ipset v7.17: {e.message}") from None

    # ------------------------------------------------------------------------------------------------------- commands
    def _named(self, name: str, complaint: str = "The set with the given name does not exist") -> IpSet:
        found = self._sets.get(name)
        if found is None:
            raise Refused(complaint)
        return found

    def _command(self, words: Sequence[str], exist: bool, now: float) -> str:
        if not words:
            raise Refused("No command specified.", usage=True)
        if "-exist" in words:
            words, exist = [w for w in words if w != "-exist"], True
        name = _COMMANDS.get(words[0])
        if name is None:
            raise Refused(f"No command specified: unknown argument {words[0]}", usage=True)
        needs = {"create": 2, "add": 2, "del": 2, "test": 2, "swap": 2, "rename": 2}.get(name, 0)
        if len(words) - 1 < needs:
            which = "second mandatory" if len(words) == 2 else "mandatory"
            raise Refused(f"Missing {which} argument to command {name}", usage=True)
        args = words[1:]
        for given in args[: 2 if name in ("rename", "swap") else 1]:
            if len(given) > 31:
                raise Refused(f"Syntax error: setname '{given}' is longer than 31 characters")
        match name:
            case "create":
                self._create(args, exist)
            case "add" | "del" | "test":
                return self._element(name, args, exist, now)
            case "destroy":
                self._destroy(args[0] if args else "", exist)
            case "flush":
                for s in [self._named(args[0])] if args else list(self._sets.values()):
                    s.own()
                    s.members.clear()
                    s.names.clear()
            case "swap":
                self._swap(*args[:2])
            case "rename":
                self._rename(*args[:2])
            case "save":
                return self.save(args[0] if args else "", now)
            case "list":
                return self._list(args, now)
        return ""

    def _create(self, args: Sequence[str], exist: bool) -> None:
        name, type_name = args[0], _OLD_NAMES.get(args[1], args[1])
        if type_name in _LEFT_OUT:
            raise NotModelled(f"ipset type {type_name}")
        if type_name not in _TYPES:
            raise Refused(f"Syntax error: typename '{type_name}' is unknown")
        made = IpSet(name, type_name, 0 if type_name in ("list:set", "bitmap:port") else 4, _all=self._sets)
        rest = list(args[2:])
        while rest:
            option = rest.pop(0)
            hashed = type_name.startswith("hash:")
            if option in ("counters", "comment", "skbinfo", "forceadd"):
                made.flags = tuple(f for f in ("counters", "comment", "skbinfo", "forceadd") if f in (*made.flags, option))
                continue
            known = {"timeout"} | ({"hashsize", "maxelem", "family", "netmask", "bucketsize", "initval"} if hashed else set())
            known |= {"range"} if type_name == "bitmap:port" else {"size"} if type_name == "list:set" else set()
            if option not in known or (option == "netmask" and type_name != "hash:ip"):
                raise Refused(f"Unknown argument: `{option}'", usage=True)
            if not rest:
                raise Refused(f"Missing mandatory argument of option `{option}'", usage=True)
            value = rest.pop(0)
            if option == "family":
                if value not in ("inet", "inet6", "-4", "-6", "ipv4", "ipv6"):
                    raise Refused(f"Syntax error: unknown inet family {value}")
                made.family = 6 if value in ("inet6", "-6", "ipv6") else 4
            elif option == "range":
                low, dash, high = value.partition("-")
                first, last = bitmap_port(low), bitmap_port(high if dash else low)
                if not dash:
                    raise Refused("Mandatory option `to' is missing", usage=True)
                made.ports = min(first, last), max(first, last)
            else:
                setattr(made, option, parse_number(value, 2147483 if option == "timeout" else 0xFFFFFFFF))
        if type_name == "bitmap:port" and "range" not in args[2:]:
            raise Refused("Mandatory option `range' is missing", usage=True)
        made.size = max(made.size, 4) if type_name == "list:set" else made.size
        if made.netmask is not None and not 0 < made.netmask <= (128 if made.family == 6 else 32):
            raise Refused("The value of the netmask parameter is invalid")
        # the kernel rounds up to a power of two
        made.hashsize = 1 << max(made.hashsize, 64).bit_length() - (made.hashsize & made.hashsize - 1 == 0 and made.hashsize >= 64)
        old = self._sets.get(name)
        if old is None:
            self._sets[name] = made
        elif not exist or old.kind != made.kind:
            raise Refused("Set cannot be created: set with the same name already exists")

    def _destroy(self, name: str, exist: bool) -> None:
        if name and name not in self._sets and exist:
            return
        for s in [self._named(name)] if name else list(self._sets.values()):
            if self._held(s.name):
                raise Refused("Set cannot be destroyed: it is in use by a kernel component")
        for s in [self._sets[name]] if name else list(self._sets.values()):
            del self._sets[s.name]

    def _held(self, name: str) -> bool:
        return any(name in other.names for other in self._sets.values()) or (self.used is not None and self.used(name))

    def _swap(self, first: str, second: str) -> None:
        a = self._named(first)
        b = self._named(second, "Sets cannot be swapped: the second set does not exist")
        if (a.type, a.family) != (b.type, b.family):
            raise Refused("The sets cannot be swapped: their type does not match")
        a.name, b.name = b.name, a.name
        self._sets[first], self._sets[second] = b, a

    def _rename(self, old: str, new: str) -> None:
        s = self._named(old)
        if self._held(old):
            raise Refused("Set cannot be renamed: it is in use by another system")
        if new in self._sets:
            raise Refused("Set cannot be renamed: a set with the new name already exists")
        self._sets = {new if n == old else n: x for n, x in self._sets.items()}
        s.name = new
        for x in self._sets.values():
            x._all = self._sets

    def _element(self, command: str, args: Sequence[str], exist: bool, now: float) -> str:
        s = self._named(args[0])
        if s.type == "list:set":
            return self._list_member(s, command, args[1], self._options(s, command, args[2:], now), exist, now)
        elements = expand(args[1], s.dimensions, s.family, s.type, s.ports, command == "test")
        first = next(elements)  # what is wrong with its text is told before what is wrong with the options
        elements = itertools.chain((first,), elements)
        member = self._options(s, command, args[2:], now)
        if command == "test":
            element = next(elements)
            text = args[1] if s.type == "hash:ip" and ("/" in args[1] or "-" in args[1]) else s.text(element)
            if s._find(element, now):
                return f"Warning: {text} is in set {s.name}.\n"
            raise Refused(f"{text} is NOT in set {s.name}.")
        s.own()
        for element in elements:
            if s.type == "hash:ip" and s.netmask is not None:
                element = ((masked(element[0][0], s.netmask, 128 if s.family == 6 else 32),),)
            there = element in s.members and _alive(s.members[element], now)
            if command == "del":
                if not there and not exist:
                    raise Refused("Element cannot be deleted from the set: it's not added")
                s.members.pop(element, None)
            else:
                if there and not exist:
                    raise Refused("Element cannot be added to the set: it's already added")
                full = s.maxelem and len(s.members) >= s.maxelem and sum(_alive(m, now) for m in s.members.values()) >= s.maxelem
                if not there and full and s.type != "bitmap:port":
                    raise Refused("Hash is full, cannot add more elements")
                s.members[element] = member
        return ""

    def _list_member(self, s: IpSet, command: str, name: str, member: _Member, exist: bool, now: float) -> str:
        other = self._sets.get(name)
        if other is None and command == "test":
            raise Refused(f"{name} is NOT in set {s.name}.")
        if other is None:
            raise Refused("Set to be added/deleted/tested as element does not exist.")
        if other.type == "list:set":
            raise Refused("Sets with list:set type cannot be added to the set.")
        there = name in s.names and _alive(s.names[name], now)
        if command == "test":
            if there:
                return f"Warning: {name} is in set {s.name}.\n"
            raise Refused(f"{name} is NOT in set {s.name}.")
        s.own()
        if command == "del":
            if not there and not exist:
                raise Refused("Element cannot be deleted from the set: it's not added")
            s.names.pop(name, None)
        elif there and not exist:
            raise Refused("Element cannot be added to the set: it's already added")
        else:
            s.names[name] = member
        return ""

    def _options(self, s: IpSet, command: str, words: Sequence[str], now: float) -> _Member:
        timeout, nomatch, comment = s.timeout, False, None
        rest = list(words)
        while rest:
            option = rest.pop(0)
            if option == "nomatch" and "net" in s.dimensions:
                nomatch = True
                continue
            if command != "add" or option not in ("timeout", "comment", "packets", "bytes"):
                raise Refused(f"Unknown argument: `{option}'", usage=True)
            if not rest:
                raise Refused(f"Missing mandatory argument of option `{option}'", usage=True)
            value = rest.pop(0)
            if option == "timeout":
                if s.timeout is None:
                    raise Refused("Timeout cannot be used: set was created without timeout support")
                timeout = parse_number(value, 2147483)
            elif option == "comment":
                if "comment" not in s.flags:
                    raise Refused("Comment cannot be used: set was created without comment support")
                comment = value
        return _Member(now + timeout, nomatch, comment) if timeout else _lasting(nomatch, comment)

    def _list(self, args: Sequence[str], now: float) -> str:
        terse = "-t" in args or "-terse" in args
        names = [a for a in args if not a.startswith("-")]
        if "-n" in args or "-name" in args:
            return "".join(f"{s.name}\n" for s in ([self._named(names[0])] if names else self._sets.values()))
        blocks = []
        for s in [self._named(names[0])] if names else self._sets.values():
            members = list(s.lines(now))
            lines = [
                f"Name: {s.name}", f"Type: {s.type}", f"Revision: {_REVISIONS[s.type]}", f"Header: {s.header()}",
                f"References: {sum(s.name in o.names for o in self._sets.values()) + bool(self.used and self.used(s.name))}",
                f"Number of entries: {len(members)}",
            ]  # fmt: skip
            blocks.append("".join(f"{line}\n" for line in lines + ([] if terse else ["Members:", *members])))
        return "\n".join(blocks)


_COMMANDS = {n: n for n in ("create", "add", "del", "test", "destroy", "flush", "swap", "rename", "save", "list")} | {
    "-N": "create", "-A": "add", "-D": "del", "-T": "test", "-X": "destroy", "-F": "flush", "-W": "swap", "-E": "rename", "-S": "save",
    "-L": "list", "n": "create", "x": "destroy",
}  # fmt: skip
_REVISIONS = {
    "hash:ip": 6, "hash:net": 7, "hash:ip,port": 7, "hash:net,port": 8, "hash:ip,port,ip": 6, "hash:ip,port,net": 8, "hash:net,net": 4,
    "bitmap:port": 3, "list:set": 3,
}  # fmt: skip
