"""What a `conntrack` command line asks of an entry: a template that options fill, the last one counting, and how entries are compared with it.

Sources: conntrack-tools 1.4.7 src/conntrack.c (do_parse, nfct_filter), libnetfilter_conntrack src/conntrack/compare.c, Linux
net/netfilter/nf_conntrack_netlink.c (what a list filters); measured.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...errors import NotModelled
from ..conntrack import TCP_TIMEOUTS, Entry, Tuple
from .conntrack_options import HEAD, Given, fail
from .terminal import ToolError

__all__ = ["Template"]

_SEEN_REPLY, _ASSURED = 1 << 1, 1 << 2
_BITS = {
    "ASSURED": _ASSURED, "SEEN_REPLY": _SEEN_REPLY, "UNSET": 0, "FIXED_TIMEOUT": 1 << 10, "EXPECTED": 1 << 0, "OFFLOAD": 1 << 14,
    "HW_OFFLOAD": 1 << 15,
}  # fmt: skip
_OUTPUTS = ("xml", "extended", "timestamp", "id", "ktimestamp", "labels", "userspace", "save")
#: options that make the tool compare an entry with the template at all
_COMPARED = set("sdrqpmuciwl()")
_SIDES = {"s": ("orig", "src"), "d": ("orig", "dst"), "r": ("reply", "src"), "q": ("reply", "dst")}
_LEFT_OUT = {"l": "labels", "(": "zones of one direction", ")": "zones of one direction", "<": "labels", ">": "labels", "[": "expectations", "]": "expectations"}
#: what --any-nat with an address leaves as the original source, before any later -s: 2 with three bytes that nobody set
_NOBODY = "2.255.255.255"


@dataclass(slots=True)
class Template:
    """The attributes that were set. `had` holds them by name: "orig.src.4", "proto", "sport", "state", "nat.n", ..."""

    had: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, int] = field(default_factory=dict)  # of -s and -d: "orig.src.4" -> netmask
    words: dict[str, int] = field(default_factory=lambda: {"sport": 0, "dport": 0})  # of the original direction: ports, or ICMP id, type and code
    family: int = 0
    mark: tuple[int, int] | None = None  # as given: the kernel compares a list's entries with it
    mark_value: int = 0  # what the tool itself compares with under that mask: a later -u writes over it
    status: int = 0
    status_mask: int = 0
    extended: bool = False
    ids: bool = False
    left_out: str = ""
    warnings: str = ""

    def visit(self, g: Given, letter: str, value: str | None) -> None:
        """One option. Raises ToolError for an argument that the tool refuses."""
        text = value or ""
        match letter:
            case "p":
                self.had["proto"] = g.protocols[-1]
            case "f":
                if not text.startswith(("ipv4", "ipv6")):
                    raise fail(f"`{text}' unsupported protocol")
                self._of_family(6 if text.startswith("ipv6") else 4)
            case "s" | "d" | "r" | "q":
                self._side(letter, text)
            case "{" | "}":
                fam, found = self._address(text, "mask-src" if letter == "{" else "mask-dst")
                self.masks[f"orig.{'src' if letter == '{' else 'dst'}.{fam}"] = int(ipaddress.ip_address(found))
            case "n" | "g" | "j":
                if value is not None:
                    self._nat_address(letter, text)
            case "m":
                self.mark = _mark(text)
                self.mark_value = self.mark[0]
            case "u":
                self._bits(text)
                self.mark_value = self.status
            case "o":
                self._output(text)
            case "w":
                self.had["zone"] = _number(text) & 0xFFFF
            case "z" | "b" | "e" | "t" | "c":
                pass
            case _ if letter in _LEFT_OUT:
                self.left_out = self.left_out or f"conntrack with {_LEFT_OUT[letter]}"
            case _:
                self._of_protocol(g.protocols[-1], letter, text)

    def test(self, g: Given) -> Callable[[Entry], bool]:
        """Does an entry fit? Raises ToolError as the tool and the kernel refuse the question, NotModelled for what the lab has not."""
        if self.left_out:
            raise NotModelled(self.left_out)
        if g.command in "LD" and g.table == "conntrack":
            for side in ("src", "dst"):
                if any(name.startswith(f"orig.{side}.") for name in self.masks) and side[0] not in g.letters:
                    raise fail(f"Can't use --mask-{side} without --{side}")
        listed = g.command == "L" and "u" in g.letters  # only a list is filtered by the kernel too
        if listed and not self.status_mask:
            raise ToolError(f"{self.warnings}{HEAD}Operation failed: invalid parameters", 1)
        if g.command == "L" and "z" in g.letters and g.letters & _COMPARED:
            raise fail("Can't use -z with filtering parameters")
        compared = bool(g.letters & _COMPARED)

        def fits(e: Entry) -> bool:
            if self.family and (":" in e.orig.src) != (self.family == 6):
                return False
            if listed and _status(e) & self.status_mask != self.status:
                return False
            if self.mark is not None and not e.mark & self.mark[1] == self.mark[0] == self.mark_value:
                return False
            return self._nat(e, g.letters) and self._network(e) and (not compared or self._same(e))

        return fits

    # ------------------------------------------------------------------------------------------------ options
    def _of_family(self, fam: int) -> None:
        if self.family not in (0, fam):
            raise fail("mismatched address family")
        self.family = fam

    def _address(self, text: str, option: str = "") -> tuple[int, str]:
        """The family and the address; `option` takes no network."""
        head, slash, _ = text.partition("/")
        found = _aton(head)
        if found is None:
            raise fail(f"Invalid IP address `{text}'")
        fam = 6 if ":" in found else 4
        self._of_family(fam)
        if slash and option:
            raise fail(f"CIDR notation unavailable for `--{option}'")
        return fam, found

    def _side(self, letter: str, text: str) -> None:
        direction, end = _SIDES[letter]
        fam, found = self._address(text, "" if letter in "sd" else f"reply-{end}")
        name, bits = f"{direction}.{end}.{fam}", 128 if fam == 6 else 32
        tail = text.partition("/")[2]
        if "/" in text and (not tail.isdigit() or int(tail) > bits):
            raise fail("Invalid netmask")
        self.had[name] = found
        self.had[f"{direction}.family"] = fam
        if tail and int(tail) < bits:
            self.masks[name] = (1 << bits) - (1 << (bits - int(tail)))

    def _nat_address(self, letter: str, text: str) -> None:
        address, port = _split(text)
        fam, found = self._address(address, {"n": "src-nat", "g": "dst-nat", "j": "any-nat"}[letter])
        self.had["orig.family"] = fam
        for end in "gn" if letter == "j" else letter:
            self.had[f"nat.{end}.{fam}"] = found
            if port is not None:
                self.had[f"nat.{end}.port"] = port
        if letter == "j":  # its table has no entry of its own: the first attribute of all is overwritten
            self.had["orig.src.4"] = _NOBODY

    def _of_protocol(self, protocol: str, name: str, text: str) -> None:
        icmp = name.startswith("icmp")
        if name in ("state", "role"):
            if protocol != "TCP":
                self.left_out = self.left_out or f"conntrack -p {protocol.lower()} --{name}"
            elif text not in TCP_TIMEOUTS and text not in ("SYN_SENT2", "NONE", "LISTEN"):
                raise fail(f"unknown TCP state `{text}'")
            self.had["state"] = "SYN_SENT2" if text == "LISTEN" else text
        elif not name.startswith(("mask-", "tuple-")) and not name.endswith("-vtag"):
            name, number, words = name.replace("icmpv6", "icmp"), _number(text), self.words
            self.had[name] = number & 0xFFFF
            match name:  # ports and ICMP's words are one place: what is set last of them is what both are compared with
                case "sport" | "icmp-id":
                    words["sport"] = number & 0xFFFF
                case "dport":
                    words["dport"] = number & 0xFFFF
                case "icmp-type":
                    words["dport"] = words["dport"] & 0xFF | (number & 0xFF) << 8
                case "icmp-code":
                    words["dport"] = words["dport"] & 0xFF00 | number & 0xFF
            reply = name.startswith("reply-")
            self.had["reply.proto" if reply else "proto"] = protocol
            if icmp and "reply.family" in self.had:
                self.had["reply.proto"] = protocol

    def _bits(self, text: str) -> None:
        rest = text
        for word in text.split(","):
            negated, bare = word.startswith("!"), word.removeprefix("!")
            if not negated and word.startswith("UNREPLIED"):
                self.status_mask |= _SEEN_REPLY
            elif bare and (nat := next((n for n in ("SRC_NAT", "DST_NAT") if n.startswith(bare.upper())), None)):
                self.warnings += f"WARNING: ignoring {nat}, use --{nat[:3].lower()}-nat instead\n"
            else:
                bit = next((n for n in _BITS if bare and n.startswith(bare.upper())), None)
                if bit is None:
                    raise fail(f"Bad parameter `{rest.removeprefix('!') if bare else rest}'")
                if negated:
                    self.status_mask |= _BITS[bit]
                else:
                    self.status |= _BITS[bit]
            rest = rest.partition(",")[2]
        if self.status_mask == 0:
            self.status_mask = self.status

    def _output(self, text: str) -> None:
        rest = text
        for word in text.split(","):
            found = next((n for n in _OUTPUTS if word and n.startswith(word.lower())), None)
            if found is None:
                raise fail(f"Bad parameter `{rest}'")
            if found in ("xml", "save", "labels"):
                self.left_out = self.left_out or f"conntrack -o {found}"
            self.extended, self.ids = self.extended or found == "extended", self.ids or found == "id"
            rest = rest.partition(",")[2]

    # ---------------------------------------------------------------------------------------------- comparison
    def _nat(self, e: Entry, letters: set[str]) -> bool:
        """filter_nat. Without an address an entry counts that the nat table has seen and whose reply is no mirror: in its addresses, or in
        the words where others have ports. An ICMP entry has an id there and in the other place its type, so it always counts."""
        found = {
            "n": e.src_bound and self._moved("n", e.reply.dst, e.reply.dst != e.orig.src, _words(e.reply)[1], _words(e.orig)[0]),
            "g": e.dst_bound and self._moved("g", e.reply.src, e.reply.src != e.orig.dst, _words(e.reply)[0], _words(e.orig)[1]),
        }
        return any(found.values()) if "j" in letters else all(found[x] for x in "ng" if x in letters)

    def _moved(self, letter: str, address: str, moved: bool, port: int, was: int) -> bool:
        wanted, wanted_port = self.had.get(f"nat.{letter}.4"), self.had.get(f"nat.{letter}.port")  # an IPv6 address is not looked at
        if wanted is None and wanted_port is None:
            return moved or port != was
        at_port = wanted_port is None or (port != was and port == wanted_port)
        return at_port and (wanted is None or (moved and address == wanted))

    def _network(self, e: Entry) -> bool:
        for name, mask in self.masks.items():
            if self.family != int(name[-1]) or (":" in e.orig.src) != (self.family == 6):
                return False
            found = self.had.get(name)
            address = e.orig.src if ".src." in name else e.orig.dst
            if found is not None and (int(ipaddress.ip_address(address)) ^ int(ipaddress.ip_address(found))) & mask:
                return False
        return True

    def _same(self, e: Entry) -> bool:
        """nfct_cmp: every attribute that is set here is there, and the same."""
        fam = 6 if ":" in e.orig.src else 4
        had = self.had
        if self.status & _status(e) != self.status or had.get("zone", 0):
            return False
        if "state" in had and (e.orig.proto != "TCP" or e.tcp_state != had["state"]):
            return False
        for direction, x, family, proto, ports in (
            ("orig", e.orig, "orig.family", "proto", ("sport", "dport")),
            ("reply", e.reply, "reply.family", "reply.proto", ("reply-port-src", "reply-port-dst")),
        ):
            if had.get(family, fam) != fam or (proto in had and not self._same_transport(had[proto], e, x, ports)):
                return False
            for end, address in (("src", x.src), ("dst", x.dst)):
                if f"{direction}.{end}.{fam}" not in self.masks and had.get(f"{direction}.{end}.{fam}", address) != address:
                    return False
                if f"{direction}.{end}.{10 - fam}" in had:
                    return False
        return True

    def _same_transport(self, proto: str, e: Entry, x: Tuple, ports: tuple[str, str]) -> bool:
        if proto != x.proto:
            return False
        word = self.words
        wanted = self.had | {k: v for k, v in word.items() if k in self.had}
        if proto in ("ICMP", "ICMPv6"):  # in both directions what the first packet had
            there = {"icmp-type": e.orig.dport >> 8, "icmp-code": e.orig.dport & 0xFF, "icmp-id": e.orig.sport}
            now = {"icmp-type": word["dport"] >> 8, "icmp-code": word["dport"] & 0xFF, "icmp-id": word["sport"]}
            wanted |= {k: v for k, v in now.items() if k in self.had}
        elif proto in ("TCP", "UDP", "SCTP"):
            there = {ports[0]: x.sport, ports[1]: x.dport}
        else:
            return True
        return all(wanted.get(name, value) == value for name, value in there.items())


def _status(e: Entry) -> int:
    return (_SEEN_REPLY if e.seen_reply else 0) | (_ASSURED if e.assured else 0)


def _words(x: Tuple) -> tuple[int, int]:
    """The two 16-bit words that stand for source and destination in a tuple; for ICMP the id, and type and code."""
    return x.sport, x.dport


def _aton(text: str) -> str | None:
    """What inet_aton(3) and inet_pton(3) take: "10.1" is 10.0.0.1."""
    parts = text.split(".")
    if 1 <= len(parts) <= 4 and all(re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", p) for p in parts):
        try:
            numbers = [int(p, 16 if p[:2] in ("0x", "0X") else 8 if p[0] == "0" else 10) for p in parts]
        except ValueError:
            return None
        if all(n < 256 for n in numbers[:-1]) and numbers[-1] < 256 ** (5 - len(parts)):
            value = sum(n << 8 * (3 - i) for i, n in enumerate(numbers[:-1])) + numbers[-1]
            return str(ipaddress.IPv4Address(value))
        return None
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return None


def _split(text: str) -> tuple[str, int | None]:
    """The address and the port of a NAT binding: A.B.C.D:PORT, [X::Y]:PORT."""
    if "[" in text:
        head, closed, rest = text.partition("[")[2].partition("]")
        if closed and not head:
            raise fail("No IPv6 address specified")
        if not closed:
            raise fail("No closing ']' around IPv6 address")
        colon, port = ":" in rest, rest.partition(":")[2]
    else:
        colon = text.count(":") == 1
        head, _, port = text.partition(":")
    if not colon:
        return text, None
    if not port:
        raise fail("No port specified after `:'")
    if not port.isdigit() or int(port) > 0xFFFF:
        raise fail(f"Invalid port `{port}'")
    return head, int(port)


def _number(text: str) -> int:
    """What atoi(3) makes of it."""
    match = re.match(r"\s*([+-]?\d+)", text)
    return int(match.group(1)) if match else 0


def _strtoul(text: str) -> tuple[int, str]:
    """strtoul(3) with base 0 into 32 bits, and the rest of the text."""
    match = re.match(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)", text)
    if match is None:
        return 0, text
    digits = match[2]
    number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
    number = min(number, (1 << 64) - 1)
    return (-number if match[1] == "-" else number) & 0xFFFFFFFF, text[match.end() :]


def _mark(text: str) -> tuple[int, int]:
    number, rest = _strtoul(text)
    return number, _strtoul(rest[1:])[0] if rest.startswith("/") else 0xFFFFFFFF
