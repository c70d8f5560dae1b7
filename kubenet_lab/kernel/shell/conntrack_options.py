"""The command line of `conntrack`, as getopt_long(3) and the tool read it. Source: conntrack-tools 1.4.7 src/conntrack.c; messages measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .terminal import ToolError

__all__ = ["HEAD", "PROTOCOLS", "Given", "Visit", "fail", "parse"]

HEAD = "conntrack v1.4.7 (conntrack-tools): "

#: name -> the lab's; others are numbers
PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "ICMPv6", "ipv6-icmp": "ICMPv6", "sctp": "SCTP"}
_NUMBERS = {6: "TCP", 17: "UDP", 1: "ICMP", 58: "ICMPv6", 132: "SCTP"}
#: further names of /etc/protocols that one meets
_OTHERS = {"ip": 0, "igmp": 2, "ipencap": 4, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "udplite": 136}

#: long name -> (letter, argument: 0 none, 1 needed, 2 may stand in the next word)
_LONG = {
    "dump": ("L", 2), "create": ("I", 2), "delete": ("D", 2), "update": ("U", 2), "get": ("G", 2), "flush": ("F", 2), "event": ("E", 2),
    "count": ("C", 2), "add": ("A", 2), "stats": ("S", 0), "version": ("V", 0), "help": ("h", 0), "src": ("s", 1), "orig-src": ("s", 1),
    "dst": ("d", 1), "orig-dst": ("d", 1), "reply-src": ("r", 1), "reply-dst": ("q", 1), "protonum": ("p", 1), "timeout": ("t", 1),
    "status": ("u", 1), "zero": ("z", 0), "event-mask": ("e", 1), "tuple-src": ("[", 1), "tuple-dst": ("]", 1), "mask-src": ("{", 1),
    "mask-dst": ("}", 1), "nat-range": ("a", 1), "mark": ("m", 1), "secmark": ("c", 1), "id": ("i", 2), "family": ("f", 1),
    "src-nat": ("n", 2), "dst-nat": ("g", 2), "output": ("o", 1), "buffer-size": ("b", 1), "any-nat": ("j", 2), "zone": ("w", 1),
    "label": ("l", 1), "label-add": ("<", 1), "label-del": (">", 2), "orig-zone": ("(", 1), "reply-zone": (")", 1),
}  # fmt: skip
_SHORT = {letter: (letter, kind) for letter, kind in _LONG.values()} | {"i": ("i", 1)}
_NAMES = {letter: name for name, (letter, _) in reversed(_LONG.items())} | {"s": "src", "d": "dst"}

_PORTS = ("sport", "dport", "reply-port-src", "reply-port-dst", "mask-port-src", "mask-port-dst")
_ALIASES = {"orig-port-src": "sport", "orig-port-dst": "dport", "orig-key-src": "srckey", "orig-key-dst": "dstkey"}
#: a protocol's options, each at the place of its number; `mask-` and `tuple-` ones are for expectations
_OF_PROTOCOL = {
    "TCP": (*_PORTS, "state", "tuple-port-src", "tuple-port-dst"), "UDP": (*_PORTS, "tuple-port-src", "tuple-port-dst"),
    "SCTP": (*_PORTS, "state", "tuple-port-src", "tuple-port-dst", "orig-vtag", "reply-vtag"),
    "33": (*_PORTS, "state", "tuple-port-src", "tuple-port-dst", "role"), "136": (*_PORTS, "tuple-port-src", "tuple-port-dst"),  # DCCP, UDP-Lite
    "47": ("srckey", "dstkey", "reply-key-src", "reply-key-dst", "mask-key-src", "mask-key-dst", "tuple-key-src", "tuple-key-dst"),  # GRE
    "ICMP": ("icmp-type", "icmp-code", "icmp-id"), "ICMPv6": ("icmpv6-type", "icmpv6-code", "icmpv6-id"),
}  # fmt: skip
#: what a command takes, in the order in which the tool looks
_ORDER = "sdrqptuze[]{}amifngocbjwl<>()"
_TAKEN = {
    "L": "sdrqpuz{}mfngocjwl()", "D": "sdrqptu{}mifngowl()", "F": "", "C": "", "S": "", "V": "", "h": "p", "": "",
    "L expect": "fo", "F expect": "", "C expect": "",
}  # fmt: skip


def fail(message: str) -> ToolError:
    return ToolError(f"{HEAD}{message}\nTry `conntrack -h' or 'conntrack --help' for more information.", 2)


@dataclass(slots=True)
class Given:
    """The command, the table, the protocol, and which options were there."""

    command: str = ""
    table: str = "conntrack"
    protocols: list[str] = field(default_factory=list)  # of each -p in turn: the last one counts
    letters: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)  # of the protocol's options that were there, whichever protocol's
    warnings: str = ""


#: called for each option in its turn: a letter, or the name of a protocol's option, and its argument (None if there is none)
Visit = Callable[[Given, str, str | None], None]


def parse(argv: Sequence[str], visit: Visit) -> Given:
    """Raises ToolError in the tool's words; `visit` may, of an argument."""
    g, words, at = Given(), list(argv[1:]), 0

    def argument(text: str, kind: int, attached: str | None) -> str | None:
        nonlocal at
        if kind == 1:
            if attached is not None:
                return attached
            if at >= len(words):
                raise fail(f"option `{text}' requires an argument")
            at += 1
            return words[at - 1]
        if kind == 2 and attached is None and at < len(words) and words[at][:1] not in ("-", "!"):
            at += 1
            return words[at - 1]
        return None  # an attached optional argument is read by getopt, and then not used by the tool

    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found, kind = _long(name, g.protocols, word)
            if kind == 0 and equals:
                raise fail(f"unknown option `{word}'")
            value_ = argument(word, kind, value if equals else None)
            if isinstance(found, str):
                _take(g, visit, found, value_)
            else:
                _take_of_protocol(g, visit, *found, value_)
        elif word.startswith("-") and len(word) > 1:
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter not in _SHORT or not letter.isalpha():
                    # the complaint names the last word that getopt has left behind
                    raise fail(f"unknown option `{word if not rest else argv[at - 1]}'")
                _, kind = _SHORT[letter]
                _take(g, visit, letter, argument(word, kind, (rest or None) if kind else None))
                if kind:
                    break
    _legal(g)
    return g


def _long(name: str, protocols: Sequence[str], word: str) -> tuple[str | tuple[str, int], int]:
    """A long option or an unambiguous beginning of one: its letter, or its protocol and number; does it have an argument?

    Each -p appends its protocol's options to the list. Two of one name are different options: the whole name finds the first, a part none.
    """
    known: list[tuple[str, tuple[str | tuple[str, int], int], object]] = [(n, found, found) for n, found in _LONG.items()]
    for turn, protocol in enumerate(protocols):
        names = _OF_PROTOCOL.get(protocol, ())
        for n in (*names, *(a for a, of in _ALIASES.items() if of in names)):
            number = names.index(_ALIASES.get(n, n))
            known.append((n, ((protocol, number), 1), (turn, number)))
    whole = next((found for n, found, _ in known if n == name), None)
    if whole is not None:
        return whole
    begun = {same: found for n, found, same in known if n.startswith(name)}
    if len(begun) != 1:
        raise fail(f"unknown option `{word}'")
    return next(iter(begun.values()))


def _take_of_protocol(g: Given, visit: Visit, protocol: str, number: int, value: str | None) -> None:
    """The protocol of the last -p reads the option by its number, be it another's. SCTP counts from 1, the others from the letter '1'."""
    names = _OF_PROTOCOL.get(g.protocols[-1], ())
    if (protocol == "SCTP") != (g.protocols[-1] == "SCTP") or number >= len(names):
        return
    g.numbers.add(number)
    visit(g, names[number], value)


def _take(g: Given, visit: Visit, letter: str, value: str | None) -> None:
    if letter in "LIDUGFECASVh" and len(letter) == 1:
        if g.command:
            raise fail("Invalid commands combination")
        g.command = letter
        if value is not None:
            found = next((t for t in ("expect", "conntrack", "dying", "unconfirmed") if t.startswith(value)), None)
            if found is None:
                raise fail(f"unknown type `{value}'")
            if found in ("dying", "unconfirmed") and letter != "L":
                raise fail("Can't do that command with tables `dying' and `unconfirmed'")
            g.table = found
        return
    if letter == "p":
        g.protocols.append(_protocol(value or ""))
    if letter == "a":
        g.warnings += "WARNING: ignoring -a, deprecated option.\n"
        return
    if letter == "i":
        g.warnings += "WARNING: ignoring -i, deprecated option.\n"
        return
    g.letters.add(letter)
    visit(g, letter, value)


def _protocol(name: str) -> str:
    if name.lower() in PROTOCOLS:
        return PROTOCOLS[name.lower()]
    if name in _OTHERS:
        return str(_OTHERS[name])
    try:
        number = int(name, 0 if re.match(r"\+?0[xX]", name) else 8 if re.match(r"\+?0", name) else 10)
    except ValueError:
        number = -1
    if not 0 <= number <= 255:
        raise fail(f"`{name}' unsupported protocol")
    return _NUMBERS.get(number, str(number))


def _legal(g: Given) -> None:
    """Does the command take these options?"""
    if "j" in g.letters and g.letters & {"n", "g"}:
        raise fail("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'")
    taken = _TAKEN.get(f"{g.command} expect" if g.table == "expect" else g.command)
    if taken is None:
        return
    for letter in _ORDER:
        if letter in g.letters and letter not in taken:
            raise fail(f"Illegal option `--{_NAMES[letter]}' with this command")
    names = _OF_PROTOCOL.get(g.protocols[-1], ()) if g.command not in ("", "h") and g.protocols else ()
    for number in sorted(g.numbers) if names else ():
        name = "(null)" if number == len(names) else names[number] if number < len(names) else ""  # the tool's tables are one longer than the names
        if name == "(null)" or name.startswith(("mask-", "tuple-")) or name.endswith("-vtag"):
            raise fail(f"Illegal option `--{name}' with this command")
