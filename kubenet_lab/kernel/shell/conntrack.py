"""`conntrack -L`, `-D`, `-F`, `-C`. Source: conntrack-tools 1.4.7 src/conntrack.c, libnetfilter_conntrack; measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import NotModelled
from ..conntrack import TCP_TIMEOUTS, Conntrack, Entry, Tuple
from .terminal import Terminal, ToolError
from .words import address

__all__ = ["run"]

_HEAD = "conntrack v1.4.7 (conntrack-tools): "
_PROTOCOLS = {
    "tcp": "TCP",
    "udp": "UDP",
    "icmp": "ICMP",
    "icmpv6": "ICMPv6",
    "sctp": "SCTP",
    "6": "TCP",
    "17": "UDP",
    "1": "ICMP",
    "58": "ICMPv6",
}
_NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132}


def _fail(message: str) -> ToolError:
    return ToolError(f"{_HEAD}{message}\nTry `conntrack -h' or 'conntrack --help' for more information.", 2)


@dataclass(slots=True)
class _Asked:
    command: str = ""
    protocol: str = ""
    family: int = 0
    tests: list[Callable[[Entry], bool]] = field(default_factory=list)
    extended: bool = False


def _parse(argv: list[str]) -> _Asked:
    a = _Asked()
    words = argv[1:]
    at = 0

    def value(option: str) -> str:
        nonlocal at
        if at >= len(words):
            raise _fail(f"option `{option}' requires an argument")
        at += 1
        return words[at - 1]

    ports: list[tuple[str, str]] = []
    while at < len(words):
        word = words[at]
        at += 1
        match word:
            case "-L" | "--dump" | "-D" | "--delete" | "-F" | "--flush" | "-C" | "--count":
                letter = {"--dump": "L", "--delete": "D", "--flush": "F", "--count": "C"}.get(word, word[1:])
                if a.command:
                    raise _fail("Cannot use two commands")
                a.command = letter
                if at < len(words) and not words[at].startswith("-"):
                    if words[at] != "conntrack":
                        raise NotModelled(f"conntrack table {words[at]}")
                    at += 1
            case "-p" | "--protonum" | "--proto":
                name = value(word).lower()
                if name not in _PROTOCOLS:
                    raise _fail(f"`{name}' unsupported protocol")
                a.protocol = _PROTOCOLS[name]
                a.tests.append(lambda e, p=a.protocol: e.orig.proto == p)  # type: ignore[misc]
            case "-f" | "--family":
                name = value(word)
                if name not in ("ipv4", "ipv6"):
                    raise _fail("Unknown protocol family")
                a.family = 4 if name == "ipv4" else 6
                a.tests.append(lambda e, six=name == "ipv6": (":" in e.orig.src) == six)  # type: ignore[misc]
            case "-s" | "--src" | "--orig-src":
                a.tests.append(_side("orig", "src", value(word)))
            case "-d" | "--dst" | "--orig-dst":
                a.tests.append(_side("orig", "dst", value(word)))
            case "-r" | "--reply-src":
                a.tests.append(_side("reply", "src", value(word)))
            case "-q" | "--reply-dst":
                a.tests.append(_side("reply", "dst", value(word)))
            case "--sport" | "--orig-port-src" | "--dport" | "--orig-port-dst" | "--reply-port-src" | "--reply-port-dst" | "--state":
                ports.append((word, value(word)))
            case "-n" | "--src-nat" | "-g" | "--dst-nat" | "-j" | "--any-nat":
                wanted = ""
                if at < len(words) and not words[at].startswith("-"):
                    wanted = address(value(word))
                a.tests.append(_nat(word, wanted))
            case "-m" | "--mark":
                a.tests.append(_mark(value(word)))
            case "-u" | "--status":
                a.tests.append(_status(value(word)))
            case "-o" | "--output":
                kind = value(word)
                if kind != "extended":
                    raise NotModelled(f"conntrack -o {kind}")
                a.extended = True
            case "-G" | "-I" | "-U" | "-E" | "-A" | "-S" | "-z" | "-w" | "--zone" | "-l" | "-t" | "--mask-src" | "--mask-dst" | "-e":
                raise NotModelled(f"conntrack {word}; kubenet-lab knows -L, -D, -F and -C")
            case _:
                raise _fail(f"unknown option `{word}'")
    for word, text in ports:
        if word == "--state":
            if a.protocol != "TCP":
                raise _fail("unknown option `--state'")
            if text not in TCP_TIMEOUTS and text not in ("SYN_SENT2", "NONE"):
                raise _fail(f"unknown TCP state `{text}'")
            a.tests.append(lambda e, s=text: e.tcp_state == s)  # type: ignore[misc]
            continue
        if a.protocol not in ("TCP", "UDP", "SCTP"):
            raise _fail(f"unknown option `{word}'")
        a.tests.append(_port(word, text))
    return a


def _side(direction: str, end: str, text: str) -> Callable[[Entry], bool]:
    wanted = address(text)
    return lambda e: getattr(getattr(e, direction), end) == wanted


def _port(word: str, text: str) -> Callable[[Entry], bool]:
    if not text.isdigit():
        raise _fail(f"port number invalid: {text}")
    port = int(text)
    return {
        "--sport": lambda e: e.orig.sport == port, "--orig-port-src": lambda e: e.orig.sport == port, "--dport": lambda e: e.orig.dport == port,
        "--orig-port-dst": lambda e: e.orig.dport == port, "--reply-port-src": lambda e: e.reply.sport == port,
        "--reply-port-dst": lambda e: e.reply.dport == port,
    }[word]  # fmt: skip


def _nat(word: str, wanted: str) -> Callable[[Entry], bool]:
    def source(e: Entry) -> bool:
        return e.snat and wanted in ("", e.reply.dst)

    def target(e: Entry) -> bool:
        return e.dnat and wanted in ("", e.reply.src)

    return source if word in ("-n", "--src-nat") else target if word in ("-g", "--dst-nat") else lambda e: source(e) or target(e)


def _mark(text: str) -> Callable[[Entry], bool]:
    value, _, mask = text.partition("/")
    try:
        want, bits = int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF
    except ValueError:
        raise _fail(f"Invalid mark: {text}") from None
    return lambda e: e.mark & bits == want


def _status(text: str) -> Callable[[Entry], bool]:
    checks: dict[str, Callable[[Entry], bool]] = {
        "ASSURED": lambda e: e.assured, "SEEN_REPLY": lambda e: e.seen_reply, "UNREPLIED": lambda e: not e.seen_reply,
        "SRC_NAT": lambda e: e.snat, "DST_NAT": lambda e: e.dnat, "CONFIRMED": lambda e: True,
    }  # fmt: skip
    found = []
    for name in text.split(","):
        if name not in checks:
            raise NotModelled(f"conntrack -u {name}")
        found.append(checks[name])
    return lambda e: all(check(e) for check in found)


def _tuple(x: Tuple) -> str:
    text = f"src={x.src} dst={x.dst} "
    if x.proto in ("ICMP", "ICMPv6"):
        return text + f"type={x.dport >> 8} code={x.dport & 0xFF} id={x.sport} "
    if x.proto in ("TCP", "UDP", "SCTP"):
        return text + f"sport={x.sport} dport={x.dport} "
    return text


def _line(t: Terminal, e: Entry, extended: bool) -> str:
    six = ":" in e.orig.src
    text = (f"{'ipv6' if six else 'ipv4':<8} {10 if six else 2} ") if extended else ""
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
    return text + f"mark={e.mark} use=1"


def run(t: Terminal, argv: list[str]) -> str:
    a = _parse(argv)
    table = Conntrack(t.state, t.ns.id)
    if not a.command:
        raise _fail("You need to supply a command: -L, -D, -F or -C (kubenet-lab models these)")
    if a.command == "F":
        for e in table.entries():
            table.delete(e)
        return f"{_HEAD}connection tracking table has been emptied.\n"
    if a.command == "C":
        return f"{len(table.entries())}\n"
    found = [e for e in table.entries() if all(test(e) for test in a.tests)]
    out = "".join(f"{_line(t, e, a.extended)}\n" for e in found)
    if a.command == "D":
        for e in found:
            table.delete(e)
        t.status = 0 if found else 1
    return out + f"{_HEAD}{len(found)} flow entries have been {'deleted' if a.command == 'D' else 'shown'}.\n"
