"""The texts of ipset members: addresses, prefixes, ranges, protocol:port.

Source: ipset 7.17 lib/parse.c; its complaints are measured.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

__all__ = ["PROTOCOLS", "Element", "Part", "Refused", "element_text", "expand", "masked", "parse_number", "split_words"]

Part: TypeAlias = tuple[int, ...]  # (address,) | (network, length) | (protocol number, port) | (port,)
Element: TypeAlias = tuple[Part, ...]

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "udplite": 136}
_SERVICES = {"http": 80, "https": 443, "domain": 53, "ssh": 22}
_CIDR = "The value of the CIDR parameter of the IP address is invalid"


class Refused(Exception):
    """What ipset complains of. `usage`: it points to its help, and ends with status 2."""

    def __init__(self, message: str, usage: bool = False):
        super().__init__(message)
        self.message, self.usage = message, usage


def masked(value: int, length: int, bits: int) -> int:
    return value >> (bits - length) << (bits - length)


def element_text(element: Element, dimensions: Sequence[str], family: int) -> str:
    """A member as `ipset save` prints it."""
    bits = 128 if family == 6 else 32
    out = []
    for kind, part in zip(dimensions, element, strict=True):
        if kind in ("ip", "net"):
            address = str(ipaddress.IPv6Address(part[0]) if bits == 128 else ipaddress.IPv4Address(part[0]))
            out.append(address if kind == "ip" or part[1] == bits else f"{address}/{part[1]}")
        elif kind == "port":
            name = next((n for n, v in PROTOCOLS.items() if v == part[0]), str(part[0]))
            out.append(f"{name}:{f'{part[1] >> 8}/{part[1] & 255}' if part[0] in (1, 58) else part[1]}")
        else:
            out.append(str(part[0]))
    return ",".join(out)


def parse_number(text: str, maximum: int) -> int:
    try:
        value = int(text, 0) if not text.startswith("0") or text[:2].lower() == "0x" else int(text, 8)
    except ValueError:
        raise Refused(f"Syntax error: '{text}' is invalid as number") from None
    if not 0 <= value <= maximum:
        raise Refused(f"Syntax error: '{text}' is out of range 0-{maximum}")
    return value


def split_words(line: str) -> list[str]:
    if '"' not in line:
        return line.split()
    head, _, rest = line.partition('"')
    quoted, _, tail = rest.partition('"')
    return [*head.split(), quoted, *split_words(tail)]


def _address(text: str, family: int) -> int:
    try:
        if family == 6:
            return int(ipaddress.IPv6Address(text))
        return int(ipaddress.IPv4Address(text))
    except ValueError:
        raise Refused(f"Syntax error: cannot parse {text}: resolving to IPv{family} address failed") from None


def _networks(text: str, family: int, single: bool) -> Iterator[Part]:
    """What an address part stands for: `single` addresses (hash:ip expands), or networks."""
    bits = 128 if family == 6 else 32
    low_text, dash, high_text = text.partition("-")
    address_text, slash, length_text = low_text.partition("/")
    low = _address(address_text, family)
    if slash:
        length = parse_number(length_text, bits) if length_text.isdigit() else -1
        if length < 0:
            raise Refused(f"Syntax error: '{length_text}' is invalid as number")
        if length == 0 or (single and family == 6 and length != bits):
            raise Refused(_CIDR)
        first = masked(low, length, bits)
        if not single:
            yield first, length
            return
        low, high = first, first + (1 << (bits - length)) - 1
    elif dash:
        high = _address(high_text, family)
        if family == 6:
            raise Refused("Syntax error: range is not supported for IPv6")
        low, high = min(low, high), max(low, high)
    else:
        yield (low,) if single else (low, bits)
        return
    if single:
        yield from ((n,) for n in range(low, high + 1))
        return
    make = ipaddress.IPv6Address if family == 6 else ipaddress.IPv4Address
    for net in ipaddress.summarize_address_range(make(low), make(high)):
        yield int(net.network_address), net.prefixlen


def _port_parts(text: str) -> Iterator[Part]:
    name, colon, rest = text.partition(":")
    if not colon:
        name, rest = "tcp", text
    protocol = PROTOCOLS.get(name.lower())
    if protocol is None:
        try:
            protocol = parse_number(name, 255)
        except Refused:
            raise Refused(f"Syntax error: cannot parse '{name}' as a protocol") from None
    if protocol in (1, 58):
        kind, slash, code = rest.partition("/")
        if not slash or not kind.isdigit() or not code.isdigit():
            raise Refused(f"Cannot parse {rest} as an {'ICMP' if protocol == 1 else 'ICMPv6'} type/code.")
        yield protocol, int(kind) << 8 | int(code)
        return
    low_text, dash, high_text = rest.partition("-")
    low = _SERVICES.get(low_text) or parse_number(low_text, 65535)
    high = (_SERVICES.get(high_text) or parse_number(high_text, 65535)) if dash else low
    yield from ((protocol, p) for p in range(min(low, high), max(low, high) + 1))


def expand(text: str, dims: Sequence[str], family: int, type_name: str, ports: tuple[int, int]) -> Iterator[Element]:
    """The elements that a text stands for: ranges and prefixes become many where the type holds single ones."""
    words = text.split(",")
    for i, word in enumerate(("Second", "Third"), 1):
        if len(dims) > i >= len(words):
            raise Refused(f"Syntax error: {word} element is missing from {text}.")
    if len(words) > len(dims):
        raise Refused(f"Syntax error: Elem separator in {text}, but settype {type_name} supports none.")
    choices: list[Iterator[Part]] = []
    for kind, word in zip(dims, words, strict=True):
        if kind == "plainport":
            low, _, high = word.partition("-")
            first, last = parse_number(low, 65535), parse_number(high or low, 65535)
            if not ports[0] <= first <= last <= ports[1]:
                raise Refused("Element is out of the range of the set")
            choices.append((p,) for p in range(first, last + 1))
        elif kind == "port":
            choices.append(_port_parts(word))
        else:
            choices.append(_networks(word, family, kind == "ip"))
    if len(choices) == 1:
        return ((part,) for part in choices[0])
    return itertools.product(*choices)
