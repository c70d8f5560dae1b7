"""The expressions behind `tcpdump -i eth0 ...`: pcap-filter(7), as far as hosts, nets, ports and protocols go.

A filter is a function of a frame. A word without a qualifier takes over that of the word before it ("host a or b").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import NotModelled
from ..address import canonical, prefix
from ..packet import Arp, Frame, Packet, Tcp, Udp
from ..port_names import service_number
from .terminal import ToolError
from .words import mac_address

__all__ = ["Filter", "compile_filter"]

Filter = Callable[[Frame], bool]

_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "arp", "ip", "ip6", "sctp")
_KINDS = ("host", "net", "port", "portrange")
_DIRECTIONS = ("src", "dst")


def compile_filter(words: Sequence[str]) -> Filter:
    """The filter of an expression, given as words or as one quoted text. Raises ToolError with tcpdump's complaint."""
    text = " ".join(words)
    for mark in "()!":
        text = text.replace(mark, f" {mark} ")
    tokens = text.replace("&&", " and ").replace("||", " or ").split()
    if not tokens:
        return lambda frame: True
    if "[" in text:
        raise NotModelled(f"capture filters that look at bytes: {text}")
    parser = _Parser(tokens)
    found = parser.expression()
    if parser.tokens:
        raise _syntax()
    return found


def _syntax() -> ToolError:
    return ToolError("tcpdump: can't parse filter expression: syntax error", 1)


class _Parser:
    def __init__(self, tokens: list[str]):
        self.tokens = list(tokens)
        self.last: tuple[str, str, str] = ("", "", "host")  # protocol, direction, kind of the word before

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self) -> str:
        if not self.tokens:
            raise _syntax()
        return self.tokens.pop(0)

    def expression(self) -> Filter:
        """`and` and `or` bind alike, from left to right."""
        left = self.factor()
        while self.peek() in ("and", "or"):
            word = self.take()
            right = self.factor()
            left = _both(left, right) if word == "and" else _either(left, right)
        return left

    def factor(self) -> Filter:
        word = self.peek()
        if word in ("not", "!"):
            self.take()
            inner = self.factor()
            return lambda frame: not inner(frame)
        if word == "(":
            self.take()
            inner = self.expression()
            if self.take() != ")":
                raise _syntax()
            return inner
        return self.primitive()

    def primitive(self) -> Filter:
        protocol = direction = kind = ""
        if self.peek() == "ether":
            return self.ether()
        if self.peek() in ("vlan", "proto", "less", "greater", "gateway", "broadcast", "multicast", "inbound", "outbound", "mpls", "pppoes", "geneve", "len"):
            raise NotModelled(f"capture filter {self.peek()}")
        if self.peek() in _PROTOCOLS:
            protocol = self.take()
            if self.peek() in ("broadcast", "multicast", "proto", "protochain"):
                raise NotModelled(f"capture filter {protocol} {self.peek()}")
        if self.peek() in _DIRECTIONS:
            direction = self.take()
            if self.peek() in ("or", "and") and len(self.tokens) > 2 and self.tokens[1] in _DIRECTIONS and self.tokens[1] != direction:
                word = self.take()
                self.take()
                direction = "" if word == "or" else "both"
        if self.peek() in _KINDS:
            kind = self.take()
        if protocol and not direction and not kind and (not self.tokens or self.peek() in ("and", "or", ")")):
            return _protocol_test(protocol)
        value = self.take()
        if value in ("and", "or", ")", "(") or value in _KINDS or value in _DIRECTIONS:
            raise _syntax()
        if not (protocol or direction or kind):
            protocol, direction, kind = self.last
        kind = kind or "host"
        self.last = (protocol, direction, kind)
        test = _value_test(kind, direction, value, protocol)
        return _both(_protocol_test(protocol), test) if protocol else test

    def ether(self) -> Filter:
        self.take()
        direction = self.take() if self.peek() in _DIRECTIONS else ""
        if self.peek() in ("proto", "broadcast", "multicast"):
            raise NotModelled(f"capture filter ether {self.peek()}")
        if self.peek() == "host":
            self.take()
        text = self.take()
        mac = mac_address(text)
        if mac is None:
            raise ToolError(f"tcpdump: unknown ether host '{text}'", 1)
        return lambda frame: mac in _sides(direction, frame.src, frame.dst)


def _both(a: Filter, b: Filter) -> Filter:
    return lambda frame: a(frame) and b(frame)


def _either(a: Filter, b: Filter) -> Filter:
    return lambda frame: a(frame) or b(frame)


def _sides(direction: str, src: object, dst: object) -> tuple[object, ...]:
    return (src,) if direction == "src" else (dst,) if direction == "dst" else (src, dst)


def _protocol_test(name: str) -> Filter:
    def test(frame: Frame) -> bool:
        body = frame.body
        if isinstance(body, Arp):
            six = ":" in body.target_ip
            return name in ("icmp6", "ip6") if six else name == "arp"
        if name in ("ip", "ip6"):
            return body.family == (4 if name == "ip" else 6)
        return body.proto.lower().replace("icmpv6", "icmp6") == name

    return test


def _value_test(kind: str, direction: str, value: str, protocol: str) -> Filter:
    if kind in ("host", "net"):
        try:
            block = prefix(value if "/" in value else canonical(value))
        except ValueError:
            if kind == "net" and value.replace(".", "").isdigit():
                parts = value.split(".")
                block = prefix(".".join(parts + ["0"] * (4 - len(parts))) + f"/{8 * len(parts)}")
            else:
                raise ToolError(f"tcpdump: unknown {kind if kind == 'host' else 'network'} '{value}'", 1) from None
        if kind == "host" and "/" in value:
            raise _syntax()

        def addresses(frame: Frame) -> bool:
            body = frame.body
            src, dst = (body.sender_ip, body.target_ip) if isinstance(body, Arp) else (body.src, body.dst)
            found = [a in block for a in _sides(direction, src, dst)]
            return all(found) if direction == "both" else any(found)

        return addresses
    low, high = _ports(kind, value, protocol)

    def ports(frame: Frame) -> bool:
        body = frame.body
        if not isinstance(body, Packet) or body.frag:
            return False
        l4 = body.l4 if body.whole is None else body.whole.l4
        if not isinstance(l4, Tcp | Udp):
            return False
        found = [low <= p <= high for p in _sides(direction, l4.sport, l4.dport) if isinstance(p, int)]
        return all(found) if direction == "both" else any(found)

    return ports


def _ports(kind: str, value: str, protocol: str) -> tuple[int, int]:
    parts = value.split("-") if kind == "portrange" else [value]
    numbers = []
    for part in parts:
        number = int(part) if part.isdigit() else service_number(part, protocol if protocol in ("tcp", "udp") else "tcp") or service_number(part, "udp")
        if number is None:
            raise ToolError(f"tcpdump: unknown port '{value}'" if kind == "port" else f"tcpdump: unknown port in range '{value}'", 1)
        if number > 65535:
            raise ToolError(f"tcpdump: illegal port number {number} > 65535", 1)
        numbers.append(number)
    return numbers[0], numbers[-1]


