"""Addresses as canonical strings with cached arithmetic.

The walk compares addresses millions of times; strings hash fast and print as they are,
so numbers and prefixes are derived from them once and cached.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

__all__ = ["Prefix", "canonical", "family", "host_prefix", "number", "prefix"]


def family(address: str) -> int:
    """4 or 6, of an address or a prefix in text form."""
    return 6 if ":" in address else 4


@lru_cache(maxsize=1 << 16)
def canonical(address: str) -> str:
    """The canonical text of an IP address. Raises ValueError."""
    return str(ipaddress.ip_address(address))


@lru_cache(maxsize=1 << 16)
def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


class Prefix:
    """A CIDR: `in` tests an address of either family; hashable, ordered by text."""

    __slots__ = ("address", "bits", "family", "length", "mask", "network", "text")

    def __init__(self, text: str):
        interface = ipaddress.ip_interface(text)
        self.family = interface.version
        self.bits = 32 if self.family == 4 else 128
        self.length: int = interface.network.prefixlen
        self.mask = (((1 << self.length) - 1) << (self.bits - self.length)) if self.length else 0
        self.network = int(interface.network.network_address)
        self.address = str(interface.ip)  # as written, host bits kept
        self.text = str(interface.network)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str) or family(address) != self.family:
            return False
        return number(address) & self.mask == self.network

    def covers(self, other: Prefix) -> bool:
        return self.family == other.family and self.length <= other.length and other.network & self.mask == self.network

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefix) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Prefix({self.text!r})"


@lru_cache(maxsize=1 << 14)
def prefix(text: str) -> Prefix:
    """The prefix of a CIDR or of a single address. Raises ValueError."""
    return Prefix(text)


def host_prefix(address: str) -> Prefix:
    return prefix(f"{address}/{32 if family(address) == 4 else 128}")
