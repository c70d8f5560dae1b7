"""Domain names as text: labels, zones, the reverse tree.

A name is its presentation form with the closing dot (`cart.shop.svc.cluster.local.`); its case is kept, every
comparison folds it (RFC 4343). Source of the zone rules: coredns plugin/normalize.go, plugin/pkg/dnsutil/reverse.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

__all__ = [
    "IP4_ARPA", "IP6_ARPA", "ancestors", "fqdn", "is_reverse", "is_subdomain", "labels", "longest_zone", "normalize", "parse_ip",
    "reverse_address", "reverse_name", "reverse_zones", "trim_zone",
]  # fmt: skip

IP4_ARPA = ".in-addr.arpa."
IP6_ARPA = ".ip6.arpa."


def fqdn(name: str) -> str:
    """The name with a closing dot."""
    return name if name.endswith(".") and not name.endswith("\\.") else name + "."


def normalize(name: str) -> str:
    """Lower case, with a closing dot: how CoreDNS keeps zones."""
    return fqdn(name).lower()


@lru_cache(maxsize=1 << 14)
def labels(name: str) -> tuple[str, ...]:
    """The labels from the left, without the root; empty labels stay (`..a.` has three)."""
    body = name[:-1] if name.endswith(".") and not name.endswith("\\.") else name
    if not body:
        return ()
    if "\\" not in body:
        return tuple(body.split("."))
    out, current, i = [], "", 0
    while i < len(body):
        if body[i] == "\\" and i + 1 < len(body):
            current += body[i : i + 2]
            i += 2
            continue
        if body[i] == ".":
            out.append(current)
            current = ""
        else:
            current += body[i]
        i += 1
    return (*out, current)


def is_subdomain(zone: str, name: str) -> bool:
    """Whether `name` is the zone's apex or below it."""
    z, n = labels(zone.lower()), labels(name.lower())
    return not z or (len(n) >= len(z) and n[-len(z) :] == z)


def longest_zone(zones: Iterable[str], name: str) -> str:
    """The most specific of the zones that holds the name, or ""."""
    best = ""
    for zone in zones:
        if len(zone) > len(best) and is_subdomain(zone, name):
            best = zone
    return best


def trim_zone(name: str, zone: str) -> str:
    """What stands left of the zone, without a closing dot; "" at the apex."""
    n, count = labels(name), len(labels(zone))
    return ".".join(n[: len(n) - count]) if len(n) > count else ""


def ancestors(name: str) -> Iterable[str]:
    """The name itself, then each name with one label fewer, without the root."""
    parts = labels(name)
    for i in range(len(parts)):
        yield ".".join(parts[i:]) + "."


def is_reverse(name: str) -> int:
    """4 or 6 for a name below in-addr.arpa or ip6.arpa, else 0."""
    lower = name.lower()
    return 4 if lower.endswith(IP4_ARPA) else 6 if lower.endswith(IP6_ARPA) else 0


def parse_ip(text: str) -> str | None:
    """The canonical text of an IP address, or None."""
    try:
        return str(ipaddress.ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


def reverse_address(name: str) -> str | None:
    """The address that a whole reverse name stands for, or None (a zone cut is not an address)."""
    lower = name.lower()
    if lower.endswith(IP4_ARPA):
        ip = parse_ip(".".join(reversed(lower[: -len(IP4_ARPA)].split("."))))
        return ip if ip and ":" not in ip else None
    if lower.endswith(IP6_ARPA):
        nibbles = "".join(reversed(lower[: -len(IP6_ARPA)].split(".")))
        return parse_ip(":".join(nibbles[i : i + 4] for i in range(0, len(nibbles), 4))) if len(nibbles) == 32 else None
    return None


def reverse_name(address: str) -> str:
    """The PTR name of an address. Raises ValueError."""
    return ipaddress.ip_address(address).reverse_pointer + "."


def reverse_zones(cidr: str) -> tuple[str, ...]:
    """The reverse zones of a CIDR: one, or several where the prefix does not end on a label (plugin/pkg/cidr/cidr.go).

    `10.0.0.0/20` has 16 zones of /24. Raises ValueError.
    """
    net = ipaddress.ip_network(cidr, strict=False)
    step = 8 if net.version == 4 else 4
    length = -(-net.prefixlen // step) * step
    out = []
    for sub in net.subnets(new_prefix=length):
        parts = sub.network_address.reverse_pointer.split(".")
        out.append(".".join(parts[(net.max_prefixlen - length) // step :]) + ".")
    return tuple(out)
