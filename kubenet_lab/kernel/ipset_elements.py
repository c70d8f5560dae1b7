"""The texts of ipset members: addresses, prefixes, ranges, protocol:port.

Source: ipset 7.17 lib/parse.c; its complaints are measured.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from .port_names import service_number

__all__ = ["PROTOCOLS", "Element", "Part", "Refused", "bitmap_port", "element_text", "expand", "masked", "parse_number", "split_words"]

Part: TypeAlias = tuple[int, ...]  # (address,) | (network, length) | (protocol number, port) | (port,)
Element: TypeAlias = tuple[Part, ...]

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "udplite": 136}
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


def _networks(text: str, family: int, single: bool, testing: bool = False) -> Iterator[Part]:
    """What an address part stands for: `single` addresses (hash:ip expands), or networks."""
    bits = 128 if family == 6 else 32
    low_text, dash, high_text = text.partition("-")
    address_text, slash, length_text = low_text.partition("/")
    low = _address(address_text, family)
    if slash:
        length = parse_number(length_text, bits) if length_text.isdigit() else -1
        if length < 0:
            raise Refused(f"Syntax error: '{length_text}' is invalid as number")
        if length == 0 and not testing:
            raise Refused("Null-valued element, cannot be stored in a hash type of set" if single else _CIDR)
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
    low = bitmap_port(low_text)
    high = bitmap_port(high_text) if dash else low
    yield from ((protocol, p) for p in range(min(low, high), max(low, high) + 1))


def bitmap_port(text: str) -> int:
    """A port of a bitmap. The tool tries it as a service's name after it has complained of the number, and complains again."""
    found = service_number(text, "tcp")
    if found is not None:
        return found
    try:
        return parse_number(text, 65535)
    except Refused as e:
        raise Refused(f"{e.message}\nSyntax error: 'tcp' is invalid as number\ncannot parse '{text}' as a tcp port") from None


def _one_only(kind: str, word: str, place: int, count: int, family: int, type_name: str) -> str:
    """Why `test` does not take a range here, or ""."""
    said = ""
    if kind in ("port", "plainport") and "-" in word and not word.startswith("icmp"):
        said = "FROM-TO port range is"
    elif place == 0 and kind == "net" and "-" in word:
        said = "FROM-TO IP range is"
    elif place == 0 and kind == "ip" and count > 1 and ("-" in word or "/" in word):
        said = "IP/CIDR range is"
    where = {4: "inet", 6: "inet6"}.get(family, "unspec")
    return said and f"{said} not allowed in command test with set type {type_name} and family {where}"


def expand(
    text: str, dims: Sequence[str], family: int, type_name: str, ports: tuple[int, int], testing: bool = False
) -> Iterator[Element]:
    """The elements that a text stands for: ranges and prefixes become many where the type holds single ones, unless it is `testing`."""
    words = text.split(",")
    for i, word in enumerate(("Second", "Third"), 1):
        if len(dims) > i >= len(words):
            raise Refused(f"Syntax error: {word} element is missing from {text}.")
    if len(words) > len(dims):
        raise Refused(f"Syntax error: Elem separator in {text}, but settype {type_name} supports none.")
    choices: list[Iterator[Part]] = []
    refusal = ""
    for place, (kind, word) in enumerate(zip(dims, words, strict=True)):
        if kind == "ip" and (family == 6 or place == 2) and ("/" in word or "-" in word):
            raise Refused(f"Syntax error: plain IP address must be supplied: {word}")
        if kind == "plainport":
            protocol, colon, rest = word.partition(":")
            if colon and protocol.lower() not in PROTOCOLS:
                raise Refused(f"Syntax error: cannot parse '{protocol}' as a protocol")
            low, dash, high = (rest if colon else word).partition("-")
            ends = [bitmap_port(low), bitmap_port(high if dash else low)]
            if not testing and not ports[0] <= min(ends) <= max(ends) <= ports[1]:
                raise Refused("Element is out of the range of the set")
            choices.append((p,) for p in range(min(ends), max(ends) + 1))
        elif kind == "port":
            choices.append(iter(list(_port_parts(word))))
        else:
            choices.append(_networks(word, family, kind == "ip", testing))
        refusal = refusal or (_one_only(kind, word, place, len(dims), family, type_name) if testing else "")
    if refusal:
        raise Refused(refusal)
    if len(choices) == 1:
        return ((part,) for part in choices[0])
    return itertools.product(*choices)
