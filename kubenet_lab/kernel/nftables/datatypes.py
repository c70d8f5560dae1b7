"""The types of nftables' values: how each is read, printed and laid out in listings.

A value is a number everywhere (an interface's name is a text), so that a lookup is one access to a dictionary.
Sources: nftables 1.0.6 src/datatype.c, src/ct.c, src/fib.c; what is printed: measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ..address import number
from .errors import Trouble

__all__ = ["PROTOCOLS", "TYPES", "DataType", "datatype"]

#: IP protocol numbers by the names that nft prints
PROTOCOLS = {
    "ip": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "ipv6-icmp": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
_ALIASES = {"icmpv6": 58, "ospfigp": 89}
_SERVICES = {"ssh": 22, "domain": 53, "http": 80, "https": 443, "ntp": 123, "telnet": 23, "smtp": 25, "bootps": 67, "bootpc": 68}

_CT_STATE = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
_CT_STATUS = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512}
_FIB_TYPE = {
    "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6, "unreachable": 7, "prohibit": 8,
}  # fmt: skip
_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "router-advertisement": 9,
    "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14,
    "info-request": 15, "info-reply": 16, "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMP6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128, "echo-reply": 129,
    "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137,
}  # fmt: skip
_TCP_FLAG = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}


@dataclass(frozen=True, slots=True)
class DataType:
    """`bits`: the width of a value, 0 where it has none of its own. `per_line`: so many elements stand on one line of a listing.

    `bitmask`: a plain match asks whether one of the bits is set. `little`: kept in the machine's byte order (which sorts concatenations).
    """

    name: str
    bits: int
    parse: Callable[[str], Any]
    text: Callable[[Any], str]
    per_line: int = 1
    bitmask: bool = False
    little: bool = False

    @property
    def address(self) -> bool:
        return self.name in ("ipv4_addr", "ipv6_addr")

    @property
    def full(self) -> int:
        return (1 << self.bits) - 1

    def bytes(self, value: Any) -> bytes:
        """The value as the kernel keeps it."""
        if isinstance(value, str):
            return value.encode().ljust(16, b"\0")
        return int(value).to_bytes(max(1, (self.bits + 7) // 8), "little" if self.little else "big")

    def __str__(self) -> str:
        return self.name


def _integer(text: str, bits: int = 32) -> int:
    try:
        value = int(text, 16 if text[:2].lower() == "0x" else 10)
    except ValueError:
        raise Trouble(f"Could not parse integer {text!r}") from None
    if not 0 <= value < 1 << bits:
        raise Trouble(f"Value {value} exceeds valid range 0-{(1 << bits) - 1}")
    return value


def _address(text: str, bits: int) -> int:
    if (":" in text) != (bits == 128):
        raise Trouble("Could not resolve hostname: Name or service not known")
    try:
        return number(text)
    except ValueError:
        raise Trouble("Could not resolve hostname: Name or service not known") from None


def _mac(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6 or not all(re.fullmatch("[0-9a-fA-F]{1,2}", part) for part in parts):
        raise Trouble("Could not parse MAC address")
    return int.from_bytes(bytes(int(part, 16) for part in parts), "big")


def _named(table: Mapping[str, int], bits: int, what: str, extra: Mapping[str, int] | None = None) -> tuple[Any, Any]:
    names: dict[int, str] = {}
    for name, value in table.items():
        names.setdefault(value, name)
    known = {**table, **(extra or {})}

    def parse(text: str) -> int:
        if text in known:
            return known[text]
        if not text[:1].isdigit():
            raise Trouble(f"Could not parse {what}")
        return _integer(text, bits)

    return parse, lambda value: names.get(value, str(value))


def _flags(table: Mapping[str, int], bits: int, what: str) -> tuple[Any, Any]:
    parse, _ = _named(table, bits, what)

    def text(value: int) -> str:
        found = [name for name, bit in table.items() if value & bit == bit]
        rest = value & ~sum(table.values())
        return ",".join([*found, *([f"{rest:#x}"] if rest else [])]) or f"{value:#x}"

    return parse, text


def _name(text: str) -> str:
    return text.strip('"')


_PROTO = _named(PROTOCOLS, 8, "Internet protocol", _ALIASES)

TYPES: dict[str, DataType] = {
    t.name: t
    for t in (
        DataType("ipv4_addr", 32, lambda s: _address(s, 32), lambda v: str(IPv4Address(v)), 2),
        DataType("ipv6_addr", 128, lambda s: _address(s, 128), lambda v: str(IPv6Address(v)), 1),
        DataType("inet_proto", 8, *_PROTO, 5),
        DataType("inet_service", 16, lambda s: _SERVICES[s] if s in _SERVICES else _integer(s, 16), str, 5),
        DataType("mark", 32, _integer, lambda v: f"0x{v:08x}", 5, little=True),
        DataType("integer", 32, _integer, str, 5),
        DataType("ifname", 128, _name, lambda v: f'"{v}"', 1, little=True),
        DataType("iface_index", 32, _name, lambda v: f'"{v}"', 5, little=True),
        DataType("ct_state", 32, *_flags(_CT_STATE, 32, "conntrack state"), 5, bitmask=True, little=True),
        DataType("ct_status", 32, *_flags(_CT_STATUS, 32, "conntrack status"), 5, bitmask=True, little=True),
        DataType("ct_dir", 8, *_named({"original": 0, "reply": 1}, 8, "conntrack direction"), 5),
        DataType("fib_addrtype", 32, *_named(_FIB_TYPE, 32, "fib address type"), 1, little=True),
        DataType("icmp_type", 8, *_named(_ICMP, 8, "ICMP type"), 3),
        DataType("icmpv6_type", 8, *_named(_ICMP6, 8, "ICMPv6 type"), 3),
        DataType("tcp_flag", 8, *_flags(_TCP_FLAG, 8, "TCP flag"), 5, bitmask=True),
        DataType("nf_proto", 8, *_named({"ipv4": 2, "ipv6": 10}, 8, "netfilter protocol"), 5),
        DataType("ether_type", 16, *_named({"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "vlan": 0x8100}, 16, "ethertype"), 3),
        DataType("ether_addr", 48, _mac, lambda v: ":".join(f"{b:02x}" for b in v.to_bytes(6, "big")), 2),
        DataType("pkt_type", 8, *_named({"host": 0, "broadcast": 1, "multicast": 2, "other": 3}, 8, "packet type", {"unicast": 0}), 5),
        DataType("verdict", 0, str, str, 1),
    )
}  # fmt: skip


def datatype(name: str) -> DataType:
    """Raises Trouble for a type that is not known."""
    found = TYPES.get(name)
    if found is None:
        raise Trouble(f"unknown datatype {name}")
    return found
