"""`conntrack -L`, `-D`, `-F`, `-C`. Source: conntrack-tools 1.4.7 src/conntrack.c, libnetfilter_conntrack; measured."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import NotModelled
from ..conntrack import TCP_TIMEOUTS, Conntrack, Entry, Tuple
from .conntrack_options import HEAD, Given, fail, parse
from .terminal import Terminal, ToolError

__all__ = ["run"]

_NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132}

_USAGE = """Command line interface for the connection tracking system. Version 1.4.7
Usage: conntrack [commands] [options]

Commands:
  -L [table] [options]\t\tList conntrack or expectation table
  -D [table] parameters\t\tDelete conntrack or expectation
  -F [table]\t\t\tFlush table
  -C [table]\t\t\tShow counter

Options: -s -d -r -q -p -f -u -m -n -g -j -o; with -p tcp or udp: --sport, --dport, --reply-port-src, --reply-port-dst, --state
(this is what kubenet-lab models of conntrack)
"""

Test = Callable[[Entry], bool]


@dataclass(slots=True)
class _Asked:
    """What of the table is meant, and how it is shown."""

    tests: list[Test] = field(default_factory=list)
    nat: dict[str, str] = field(default_factory=dict)  # n, g, j: the address
    bits: set[str] | None = None  # of -u
    extended: bool = False
    ids: bool = False
    family: int = 0
    protocol: str = ""
    left_out: str = ""
    warnings: str = ""

    def visit(self, g: Given, letter: str, value: str | None) -> None:
        """One option. Raises ToolError for an argument that the tool refuses."""
        text = value or ""
        match letter:
            case "p":
                if self.protocol:
                    self.left_out = self.left_out or "conntrack with two -p"
                self.protocol = g.protocol
                self.tests.append(lambda e, p=g.protocol: e.orig.proto == p)  # type: ignore[misc]
            case "f":
                if text not in ("ipv4", "ipv6"):
                    raise fail(f"`{text}' unsupported protocol")
                _family(self, 6 if text == "ipv6" else 4)
            case "s" | "d" | "r" | "q":
                self.tests.append(_side(self, letter, text))
            case "n" | "g" | "j":
                self.nat[letter] = _nat_address(self, letter, text) if value is not None else ""
            case "m":
                self.tests.append(_mark(text))
            case "u":
                self.bits = (self.bits or set()) | _bits(self, text)
            case "o":
                _output(self, text)
            case "w":
                zone = _number(text)
                self.tests.append(lambda e: zone == 0)  # the lab has one zone
            case "z" | "b" | "e" | "t" | "c":
                pass
            case "l" | "{" | "}" | "(" | ")" | "[" | "]" | "<" | ">":
                named = {"l": "labels", "{": "--mask-src: write the address as CIDR", "}": "--mask-dst: write the address as CIDR"}
                self.left_out = self.left_out or f"conntrack {named.get(letter, 'with zones or tuples of one direction')}"
            case _:
                self.tests.append(_of_protocol(self, g.protocol, letter, text))

    def wanted(self, command: str) -> list[Test]:
        """Everything an entry must pass. Raises ToolError as the kernel refuses."""
        if self.left_out:
            raise NotModelled(self.left_out)
        out = list(self.tests)
        if self.bits is not None:
            if command == "L" and not self.bits - {"UNSET"}:  # the kernel, which filters for a list, refuses to look for no bit at all
                raise ToolError(f"{self.warnings}{HEAD}Operation failed: invalid parameters", 1)
            out.append(_status(self.bits, command))
        if self.nat:
            out.append(_nat(self.nat))
        if self.family:
            out.append(lambda e: (":" in e.orig.src) == (self.family == 6))
        return out


def _family(a: _Asked, fam: int) -> None:
    if a.family not in (0, fam):
        raise fail("mismatched address family")
    a.family = fam


def _address(text: str) -> str | None:
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


def _side(a: _Asked, letter: str, text: str) -> Test:
    head, slash, tail = text.partition("/")
    found = _address(head)
    if found is None:
        raise fail(f"Invalid IP address `{text}'")
    fam = 6 if ":" in found else 4
    _family(a, fam)
    if slash and letter in "rq":
        raise fail(f"CIDR notation unavailable for `--{'reply-src' if letter == 'r' else 'reply-dst'}'")
    if slash and (not tail.isdigit() or int(tail) > (128 if fam == 6 else 32)):
        raise fail("Invalid netmask")
    direction, end = ("orig" if letter in "sd" else "reply"), ("src" if letter in "sr" else "dst")
    if not slash:
        return lambda e: bool(getattr(getattr(e, direction), end) == found)
    network = ipaddress.ip_network(f"{found}/{tail}", strict=False)
    return lambda e: (":" in e.orig.src) == (fam == 6) and ipaddress.ip_address(getattr(getattr(e, direction), end)) in network


def _number(text: str) -> int:
    """What atoi(3) makes of it."""
    match = re.match(r"\s*([+-]?\d+)", text)
    return int(match.group(1)) if match else 0


def _of_protocol(a: _Asked, protocol: str, name: str, text: str) -> Test:
    if name == "state":
        if protocol != "TCP":
            a.left_out = a.left_out or f"conntrack -p {protocol.lower()} --state"
            return lambda e: False
        if text not in TCP_TIMEOUTS and text not in ("SYN_SENT2", "NONE"):
            raise fail(f"unknown TCP state `{text}'")
        return lambda e: e.tcp_state == text
    number = _number(text)
    match name:
        case "sport" | "orig-port-src":
            return lambda e: e.orig.sport == number & 0xFFFF
        case "dport" | "orig-port-dst":
            return lambda e: e.orig.dport == number & 0xFFFF
        case "reply-port-src":
            return lambda e: e.reply.sport == number & 0xFFFF
        case "reply-port-dst":
            return lambda e: e.reply.dport == number & 0xFFFF
        case "icmp-type" | "icmpv6-type":
            return lambda e: e.orig.dport >> 8 == number & 0xFF
        case "icmp-code" | "icmpv6-code":
            return lambda e: e.orig.dport & 0xFF == number & 0xFF
        case "icmp-id" | "icmpv6-id":
            return lambda e: e.orig.sport == number & 0xFFFF
    a.left_out = a.left_out or f"conntrack --{name}"
    return lambda e: False


def _nat_address(a: _Asked, letter: str, text: str) -> str:
    head, colon, _ = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    if colon:
        a.left_out = a.left_out or "conntrack with the port of a NAT binding"
    found = _address(head)
    if found is None:
        raise fail(f"Invalid IP address `{head}'")
    _family(a, 6 if ":" in found else 4)
    return found


def _l4(x: Tuple) -> tuple[int, int]:
    """The two 16-bit words that stand for source and destination in a tuple; for ICMP the id, and type and code."""
    return x.sport, x.dport


def _nat(wanted: dict[str, str]) -> Test:
    """-n, -g, -j. Without an address an entry counts that the nat table has seen and whose reply is no mirror: in its addresses, or in the
    words where others have ports. An ICMP entry has an id there and in the other place its type, so it always counts."""

    def source(e: Entry, address: str) -> bool:
        if not e.src_bound:
            return False
        moved = e.reply.dst != e.orig.src
        return (moved and address == e.reply.dst) if address else moved or _l4(e.reply)[1] != _l4(e.orig)[0]

    def target(e: Entry, address: str) -> bool:
        if not e.dst_bound:
            return False
        moved = e.reply.src != e.orig.dst
        return (moved and address == e.reply.src) if address else moved or _l4(e.reply)[0] != _l4(e.orig)[1]

    if "j" in wanted:
        return lambda e: source(e, wanted["j"]) or target(e, wanted["j"])
    return lambda e: ("n" not in wanted or source(e, wanted["n"])) and ("g" not in wanted or target(e, wanted["g"]))


def _mark(text: str) -> Test:
    match = re.match(r"\s*\+?(0[xX][0-9a-fA-F]+|\d+)?(/)?\s*\+?(0[xX][0-9a-fA-F]+|\d+)?", text)
    assert match is not None
    number = [int(x, 16 if x[:2] in ("0x", "0X") else 8 if x[0] == "0" else 10) if x else 0 for x in (match[1], match[3])]
    mask = number[1] if match[2] else 0xFFFFFFFF
    return lambda e: e.mark & mask == number[0] & 0xFFFFFFFF


_BITS = ("ASSURED", "SEEN_REPLY", "UNSET", "UNREPLIED", "FIXED_TIMEOUT", "EXPECTED", "OFFLOAD", "HW_OFFLOAD")


def _bits(a: _Asked, text: str) -> set[str]:
    wanted: set[str] = set()
    rest = text
    for word in text.split(","):
        for bit in ("SRC_NAT", "DST_NAT"):
            if word and bit.startswith(word.upper()):
                a.warnings += f"WARNING: ignoring {bit}, use --{bit[:3].lower()}-nat instead\n"
                break
        else:
            found = next((n for n in _BITS if word and n.startswith(word.upper())), None)
            if found is None:
                raise fail(f"Bad parameter `{rest}'")
            wanted.add(found)
        rest = rest.partition(",")[2]
    return wanted


def _status(wanted: set[str], command: str) -> Test:
    if wanted & {"FIXED_TIMEOUT", "EXPECTED", "OFFLOAD", "HW_OFFLOAD"}:
        return lambda e: False  # nothing in the lab is any of these
    return lambda e: (
        ("ASSURED" not in wanted or e.assured) and ("SEEN_REPLY" not in wanted or e.seen_reply)
        and ("UNREPLIED" not in wanted or "SEEN_REPLY" in wanted or command == "D" or not e.seen_reply)  # -D compares set bits only
    )  # fmt: skip


def _output(a: _Asked, text: str) -> None:
    rest = text
    for word in text.split(","):
        found = next((n for n in ("xml", "extended", "timestamp", "id", "ktimestamp", "labels", "save") if word and n.startswith(word.lower())), None)
        if found is None:
            raise fail(f"Bad parameter `{rest}'")
        if found in ("xml", "save"):
            a.left_out = a.left_out or f"conntrack -o {found}"
        a.extended, a.ids = a.extended or found == "extended", a.ids or found == "id"
        rest = rest.partition(",")[2]


def _tuple(x: Tuple) -> str:
    text = f"src={x.src} dst={x.dst} "
    if x.proto in ("ICMP", "ICMPv6"):
        return text + f"type={x.dport >> 8} code={x.dport & 0xFF} id={x.sport} "
    if x.proto in ("TCP", "UDP", "SCTP"):
        return text + f"sport={x.sport} dport={x.dport} "
    return text


def _line(t: Terminal, e: Entry, a: _Asked) -> str:
    six = ":" in e.orig.src
    text = (f"{'ipv6' if six else 'ipv4':<8} {10 if six else 2} ") if a.extended else ""
    proto = e.orig.proto
    number = _NUMBERS.get(proto) or (int(proto) if proto.isdigit() else 255)
    name = proto.lower() if proto in _NUMBERS else "unknown"
    text += f"{name:<8} {number} {max(0, int(e.expires - t.state.clock))} "
    if proto == "TCP":
        text += f"{e.tcp_state or 'NONE'} "
    text += _tuple(e.orig)
    if not e.seen_reply:
        text += "[UNREPLIED] "
    text += _tuple(e.reply)
    if e.assured:
        text += "[ASSURED] "
    return text + f"mark={e.mark} use=1" + (f" id={e.id}" if a.ids else "")


def run(t: Terminal, argv: list[str]) -> str:
    a = _Asked()
    g = parse(argv, a.visit)
    table = Conntrack(t.state, t.ns.id)
    if g.command in ("", "h"):
        return _USAGE
    if g.command == "V":
        return "conntrack v1.4.7 (conntrack-tools)\n"
    if g.command not in "LDFC":
        raise NotModelled(f"conntrack -{g.command}; kubenet-lab knows -L, -D, -F and -C")
    tests = a.wanted(g.command)
    t.stderr += g.warnings + a.warnings
    expect = g.table == "expect"
    if g.command == "F":
        for e in () if expect else table.entries():
            table.delete(e)
        t.stderr += f"{HEAD}{'expectation' if expect else 'connection tracking'} table has been emptied.\n"
        return ""
    if g.command == "C":
        return f"{0 if expect else len(table.entries())}\n"
    if g.table != "conntrack":
        if g.command == "D":
            raise NotModelled("conntrack -D expect: the lab has no expectations")
        t.stderr += f"{HEAD}0 {'expectations' if expect else 'flow entries'} have been shown.\n"
        return ""
    found = [e for e in table.entries() if all(test(e) for test in tests)]
    out = "".join(f"{_line(t, e, a)}\n" for e in found)
    if g.command == "D":
        for e in found:
            table.delete(e)
        t.status = 0 if found else 1
    t.stderr += f"{HEAD}{len(found)} flow entries have been {'deleted' if g.command == 'D' else 'shown'}.\n"
    return out
