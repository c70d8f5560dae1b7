"""Addresses as the API's older fields take them, and as every program reads them.

Fields that are older than strict validation keep forms like 010.096.000.010 or ::ffff:10.96.0.10; the object keeps its text, and
who acts on it parses it: leading zeros are decimal, an IPv4-mapped IPv6 address is its IPv4.
Source: apimachinery pkg/util/validation/ip.go (IsValidIPForLegacyField), k8s.io/utils/net (ParseIPSloppy, ParseCIDRSloppy).
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

__all__ = ["Address", "Network", "parse_cidr", "parse_ip", "plain"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_V4_SLOPPY = re.compile(r"(\d{1,10})\.(\d{1,10})\.(\d{1,10})\.(\d{1,10})\Z", re.ASCII)
_ODD = re.compile(r"(?:^|[./])0\d|:.*\.")  # a leading zero, or IPv4 inside IPv6


@lru_cache(maxsize=1 << 14)
def parse_ip(text: str) -> Address | None:
    """An address as the API's older fields take it: leading zeros in IPv4 are read as decimal, an IPv4-mapped IPv6 is its IPv4."""
    if not text.isascii() or "%" in text or "/" in text:
        return None
    found = _V4_SLOPPY.match(text)
    if found:
        octets = [int(o) for o in found.groups()]
        return ipaddress.IPv4Address(".".join(map(str, octets))) if max(octets) < 256 else None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


@lru_cache(maxsize=1 << 14)
def parse_cidr(text: str) -> Network | None:
    """A CIDR; host bits are allowed and masked, as Go's ParseCIDR does."""
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or len(length) > 3:
        return None
    ip = parse_ip(address)
    if ip is None:
        return None
    if ip.version == 4 and ":" in address:  # ::ffff:1.2.3.4/120: Go keeps the length of the IPv6 form
        return None
    if int(length) > ip.max_prefixlen:
        return None
    return ipaddress.ip_network((ip, int(length)), strict=False)


@lru_cache(maxsize=1 << 16)
def plain(text: str) -> str:
    """The one form that all programs read; a text that has it already, or that is no address or CIDR, stays as it is."""
    if not _ODD.search(text):
        return text
    found = parse_cidr(text.strip()) if "/" in text else parse_ip(text)
    return text if found is None else str(found)
