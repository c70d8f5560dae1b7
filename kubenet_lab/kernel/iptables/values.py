"""Values on an iptables command line, and how the tools print them.

Sources: iptables 1.8.9 libxtables/xtables.c (integers, quoting, addresses and masks), checked against the tool.
Every function raises `Bad` with the tool's own words.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from ..port_names import service_number

__all__ = [
    "PROTOCOLS", "TOO_SHORT", "Bad", "address_text", "address_value", "host_length", "integer", "mask_bits", "mask_value",
    "network", "network_text", "ports", "protocol_name", "protocol_number", "quote", "resolved_port", "resolved_ports",
    "split_line",
]  # fmt: skip


class Bad(Exception):
    """The tool's complaint about an argument, without its program name.

    `bare`: printed without the program name in front; `before`: what is printed ahead of it. `status` is the tool's exit status.
    """

    def __init__(self, message: str, bare: bool = False, status: int = 2, before: str = ""):
        super().__init__(message)
        self.message, self.bare, self.status, self.before = message, bare, status, before


TOO_SHORT = "Argument must have a minimum length of 1 characters\n"

# name -> number; the first name of a number is the one that is printed (/etc/protocols of Debian 12, then the tool's own table)
PROTOCOLS: dict[str, int] = {
    "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "ipip": 94, "st": 5, "tcp": 6, "egp": 8, "igp": 9, "pup": 12, "udp": 17, "hmp": 20,
    "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43,
    "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "skip": 57, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108,
    "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135, "ipv6-mh": 135, "mh": 135, "udplite": 136,
    "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143, "all": 0, "ip": 0,
}  # fmt: skip
_NAMES: dict[int, str] = {}
for _name, _number in PROTOCOLS.items():
    _NAMES.setdefault(_number, _name)
_NAMES[0] = "all"

_NUMBER = re.compile(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")


def integer(text: str, maximum: int = 0xFFFFFFFF, minimum: int = 0) -> int | None:
    """An unsigned number, decimal, 0x or octal (strtoul base 0); None if it is none or out of range."""
    if not _NUMBER.match(text):
        return None
    digits = text.lstrip("+")
    value = int(digits, 16) if digits[:2].lower() == "0x" else int(digits, 8) if digits[0] == "0" else int(digits)
    return value if minimum <= value <= maximum else None


def protocol_number(text: str) -> int:
    """Raises Bad for a name that is none."""
    value = integer(text, 255)
    if value is None:
        value = PROTOCOLS.get(text.lower())
    if value is None:
        raise Bad(f'unknown protocol "{text}" specified')
    return value


def protocol_name(number: int) -> str:
    return _NAMES.get(number, str(number))


def port(text: str, protocol: str = "") -> int | None:
    """A number or a service's name; without a protocol any one's."""
    value = integer(text, 0xFFFF)
    return service_number(text, protocol) if value is None else value


def ports(text: str, protocol: str) -> tuple[int, int]:
    """"80", "80:90", ":90", "80:" or a service name, as the tcp and sctp matches read it."""
    low, colon, high = text.partition(":")
    values = []
    for part, default in ((low, 0), (high if colon else low, 0xFFFF)):
        value = default if not part and colon else port(part, protocol)
        if value is None:
            raise Bad(f"invalid port/service `{part}' specified")
        values.append(value)
    if values[0] > values[1]:
        raise Bad("invalid portrange (min > max)")
    return values[0], values[1]


def resolved_port(text: str) -> int:
    """As getaddrinfo(3) reads a service: decimal, of which 16 bits are kept, or a name."""
    if re.fullmatch(r"\+?\d*", text) and (value := int(text or "0") & 0xFFFFFFFF) != 0xFFFFFFFF:
        return value & 0xFFFF
    found = service_number(text)
    if found is None:
        raise Bad(f'Port "{text}" does not resolve to anything.\n')
    return found


def resolved_ports(extension: str, option: str, text: str) -> tuple[int, int]:
    """A port or a range of them where the tool has its general parser read it; the ends may be the wrong way round."""
    parts = text.split(":")
    if len(parts) > 2:
        raise Bad(f'{extension}: Too many components for option "--{option}" (max: 2)\n')
    values = [resolved_port(p) if p or len(parts) == 1 else default for p, default in zip(parts, (0, 0xFFFF), strict=False)]
    return values[0], values[-1]


def _ipv4(text: str) -> int | None:
    """As inet_aton reads it: one to four parts, each decimal, 0x or octal; the last one fills the rest."""
    parts = [integer(p) for p in text.split(".")]
    if not 1 <= len(parts) <= 4:
        return None
    value = 0
    for i, part in enumerate(parts):
        if part is None or part >= (1 << 8 * (5 - len(parts)) if i == len(parts) - 1 else 256):
            return None
        value |= part if i == len(parts) - 1 else part << 8 * (3 - i)
    return value


@lru_cache(maxsize=1 << 14)
def address_value(text: str, family: int) -> int | None:
    """The number of an address in text form, None if it is none of this family."""
    if family == 6:
        try:
            return int(ipaddress.IPv6Address(text)) if "%" not in text else None
        except ValueError:
            return None
    # a dotted quad only here: the classful short forms ("10.1") are for addresses with a mask
    if text.count(".") != 3:
        return None
    return _ipv4(text)


@lru_cache(maxsize=1 << 14)
def address_text(value: int, family: int) -> str:
    """As inet_ntop prints it."""
    if family == 4:
        return str(ipaddress.IPv4Address(value))
    high, low = value >> 32, value & 0xFFFFFFFF
    if high == 0xFFFF or (high == 0 and low >= 0x10000):
        return ("::ffff:" if high else "::") + str(ipaddress.IPv4Address(low))
    return str(ipaddress.IPv6Address(value))


def mask_value(text: str, family: int) -> int:
    """"24" or "255.255.255.0" as a number."""
    bits = 32 if family == 4 else 128
    plain = integer(text, bits)
    if plain is not None:
        return ((1 << plain) - 1) << (bits - plain)
    if family == 4:
        value = _ipv4(text) if text.count(".") == 3 else None
    else:
        value = address_value(text, 6)
    if value is None:
        raise Bad(f"invalid mask `{text}' specified")
    return value


def mask_bits(mask: int, family: int) -> int | None:
    """The prefix length of a mask, None if its ones do not stand together at the left."""
    bits = 32 if family == 4 else 128
    inverse = ~mask & ((1 << bits) - 1)
    return bits - inverse.bit_length() if inverse & (inverse + 1) == 0 else None


def network(text: str, family: int) -> tuple[int, int]:
    """(address & mask, mask) of "10.0.0.5/24", "10.0.0.5/255.0.255.0", "10.0.0.5". Host names are not looked up."""
    address, slash, mask_text = text.partition("/")
    mask = mask_value(mask_text if slash else str(32 if family == 4 else 128), family)
    if mask == 0:
        return 0, 0
    value = address_value(address, family)
    if value is None and family == 4 and re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", address):
        # short forms are filled with zeros at the right: "10.1" is 10.1.0.0
        value = address_value(address + ".0" * (3 - address.count(".")), 4)
    if value is None:
        raise Bad(f"host/network `{address}' not found")
    return value & mask, mask


def host_length(extension: str, option: str, text: str, family: int) -> tuple[int, int]:
    """An address, as inet_aton(3) reads it, and a prefix length, where the tool has its general parser read them."""
    host, slash, mask_text = text.partition("/")
    value = (_ipv4(host) if family == 4 else address_value(host, family)) if host else None
    if value is None:
        raise Bad(f"host/network `{host}' not found")
    bits = 32 if family == 4 else 128
    if not slash:
        return value, bits
    length = integer(mask_text, 128)
    if length is not None:
        return value, min(length, bits)  # too long a length is let pass
    mask = (_ipv4(mask_text) if mask_text.count(".") == 3 else None) if family == 4 else address_value(mask_text, 6)
    if mask is None:
        raise Bad(f'{extension}: bad value for option "--{option}", neither a valid network mask nor valid CIDR (0-{bits}).\n')
    found = mask_bits(mask, family)
    return value, bits if found is None else found  # so is a mask with holes: it counts as none


def network_text(value: int, mask: int, family: int) -> str:
    """As iptables-save prints an address: always with a mask."""
    length = mask_bits(mask, family)
    return f"{address_text(value, family)}/{length if length is not None else address_text(mask, family)}"


_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPED = re.compile(r"([\"\\'])")


def quote(text: str) -> str:
    """As xtables_save_string prints a string: quoted unless it is a word."""
    return text if _PLAIN.match(text) else '"' + _ESCAPED.sub(r"\\\1", text) + '"'


def split_line(line: str) -> list[str]:
    """The words of a line as iptables-restore splits them: double quotes, backslash inside quotes, nothing else."""
    if '"' not in line:
        return line.split()
    before, _, rest = line.partition('"')
    inner, closed, after = rest.partition('"')
    if closed and before[-1:] in ("", " ") and after[:1] in ("", " ") and "\\" not in inner and '"' not in after:
        return [*before.split(), inner, *after.split()]  # one quoted word, the usual case
    words: list[str] = []
    word: list[str] = []
    inside = quoted = escaped = False
    for c in line:
        if inside:
            if escaped:
                word.append(c)
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                inside = False
            else:
                word.append(c)
        elif c == '"':
            inside = quoted = True
        elif c in " \t\n":
            if word or quoted:
                words.append("".join(word))
            word, quoted = [], False
        else:
            word.append(c)
    if word or quoted:
        words.append("".join(word))
    return words
