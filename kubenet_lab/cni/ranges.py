"""Ranges of addresses, as host-local's configuration gives them.

Defaults, checks and messages are those of containernetworking/plugins plugins/ipam/host-local/backend/allocator
(range.go, range_set.go) of the modelled release. Newer releases also refuse a gateway outside its subnet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from ..kernel.address import canonical, family, number
from .result import CniError

__all__ = ["IpRange", "RangeSet", "address_text"]


def _fail(message: str) -> CniError:
    return CniError(999, message)


def address_text(value: int, fam: int) -> str:
    return str(ipaddress.IPv4Address(value) if fam == 4 else ipaddress.IPv6Address(value))


def _parse_ip(text: str) -> str:
    try:
        return canonical(str(text))
    except ValueError:
        raise _fail(f"invalid IP address: {text}") from None


@dataclass(frozen=True, slots=True)
class IpRange:
    """One range: `start` and `end` are inclusive. Made by `of`, which fills in what is not given."""

    subnet: str
    start: str
    end: str
    gateway: str

    @classmethod
    def of(cls, subnet: str, range_start: str = "", range_end: str = "", gateway: str = "") -> IpRange:
        """Defaults: gateway and start are the network address + 1, the end is the last usable address
        (IPv4: one below broadcast; IPv6: all ones). Raises CniError as the plugin does."""
        try:
            if "/" not in subnet:
                raise ValueError
            net = ipaddress.ip_interface(subnet)
        except ValueError:
            raise _fail(f"invalid CIDR address: {subnet}") from None
        network, fam = net.network, net.version
        if isinstance(net.ip, ipaddress.IPv6Address) and net.ip.ipv4_mapped is not None:
            raise _fail("IPNet IP and Mask version mismatch")
        if network.prefixlen > network.max_prefixlen - 2:
            raise _fail(f"Network {net} too small to allocate from")
        if net.ip != network.network_address:
            mask = f"a subnet mask of length {network.prefixlen}"
            raise _fail(f"Network has host bits set. For {mask} the network address is {network.network_address}")
        first = int(network.network_address)
        gateway = _parse_ip(gateway) if gateway else address_text(first + 1, fam)
        start = _parse_ip(range_start) if range_start else address_text(first + 1, fam)
        end = _parse_ip(range_end) if range_end else address_text(int(network.broadcast_address) - (1 if fam == 4 else 0), fam)
        # each is checked against what is known of the range by then: a start against the end that was given, an end against the start
        if range_start and not (start in _In(str(network)) and (not range_end or number(start) <= number(end))):
            raise _fail(f"RangeStart {start} not in network {network}")
        if range_end and not (end in _In(str(network)) and number(start) <= number(end)):
            raise _fail(f"RangeEnd {end} not in network {network}")
        return cls(str(network), start, end, gateway)

    @property
    def family(self) -> int:
        return family(self.subnet)

    @property
    def length(self) -> int:
        return int(self.subnet.partition("/")[2])

    def __contains__(self, ip: object) -> bool:
        return (
            isinstance(ip, str)
            and family(ip) == self.family
            and ip in _In(self.subnet)
            and number(self.start) <= number(ip) <= number(self.end)
        )

    def overlaps(self, other: IpRange) -> bool:
        if self.family != other.family:
            return False
        return other.start in self or other.end in self or self.start in other or self.end in other

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class _In:
    """`ip in _In(cidr)` for addresses of either family."""

    def __init__(self, cidr: str):
        self._net = ipaddress.ip_network(cidr)

    def __contains__(self, ip: object) -> bool:
        return isinstance(ip, str) and ipaddress.ip_address(ip) in self._net


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family that give one address together. A container gets one address of each set."""

    ranges: tuple[IpRange, ...]

    @classmethod
    def of(cls, ranges: Sequence[IpRange]) -> RangeSet:
        if not ranges:
            raise _fail("empty range set")
        for r in ranges[1:]:
            if r.family != ranges[0].family:
                raise _fail("mixed address families")
        for i, r in enumerate(ranges):
            for other in ranges[i + 1 :]:
                if r.overlaps(other):
                    raise _fail(f"subnets {r} and {other} overlap")
        return cls(tuple(ranges))

    def range_for(self, ip: str) -> IpRange | None:
        return next((r for r in self.ranges if ip in r), None)

    def overlaps(self, other: RangeSet) -> bool:
        return any(a.overlaps(b) for a in self.ranges for b in other.ranges)

    def __contains__(self, ip: object) -> bool:
        return any(ip in r for r in self.ranges)

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))
