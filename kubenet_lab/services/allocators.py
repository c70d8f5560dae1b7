"""The API server's allocators: which ClusterIP, which node port is still free, and in which band to look first.

Every allocator keeps its lower band free as long as it can, for the numbers that people choose by hand
(KEP-3070 for ClusterIPs, KEP-3668 for node ports).
Source: kube-apiserver 1.34, pkg/registry/core/service/ipallocator/{ipallocator,cidrallocator}.go, portallocator/allocator.go.
"""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ..errors import KubenetError

__all__ = ["ClusterIPRange", "NodePortRange", "pick"]


class Refused(Exception):
    """The allocator's own words."""


ALLOCATED_IP = "provided IP is already allocated"
ALLOCATED_PORT = "provided port is already allocated"
FULL = "range is full"
NO_RANGE = "the provided network does not match the current range"


_PORT_RANGE = re.compile(r"(\d{1,9})(?:([-+])(\d{1,9}))?", re.ASCII)


def pick(seed: int, what: str, low: int, high: int, taken: set[int]) -> int | None:
    """A free number of low..high, inclusive: the first from a place that the hash of (seed, what) names. None if all are taken."""
    size = high - low + 1
    if size <= 0:
        return None
    start = int.from_bytes(sha256(f"{seed}|{what}".encode()).digest()[:8], "big") % size
    for i in range(min(size, len(taken) + 1)):
        number = low + (start + i) % size
        if number not in taken:
            return number
    return None


def band(size: int, step: int, low: int, high: int) -> int:
    """The size of the static band: size/step, at least `low`, at most `high`; 0 where the range is no larger than `low`."""
    return 0 if size <= low else min(max(low, size // step), high)


class ClusterIPRange:
    """One Service CIDR. The network address is never given out, nor an IPv4 broadcast address."""

    __slots__ = ("first", "last", "network", "split", "taken")

    def __init__(self, cidr: str):
        try:
            self.network: IPv4Network | IPv6Network = ip_network(cidr, strict=False)
        except ValueError:
            raise KubenetError(f"service CIDR: found {cidr!r}, expected a CIDR like 10.96.0.0/16") from None
        if self.network.version == 6 and self.network.prefixlen < 64:
            raise KubenetError(f"service CIDR: found {cidr!r}, the shortest allowed prefix length for service CIDR is 64")
        base = int(self.network.network_address)
        self.first = base + 1
        self.last = base + self.network.num_addresses - 1 - (self.network.version == 4)
        self.split = base + band(self.network.num_addresses, 16, 16, 256)  # last address of the static band
        self.taken: set[int] = set()

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    @property
    def first_address(self) -> str:
        return self.text(self.first)

    def text(self, number: int) -> str:
        return str(self.network.network_address + (number - int(self.network.network_address)))

    def __contains__(self, ip: str) -> bool:
        """Neither the network's own address nor the broadcast address is in it: they may be in a wider range."""
        address = ip_address(ip)
        return address in self.network and self.first <= int(address) <= self.last

    def reserve(self, ip: str) -> None:
        """Takes one of its addresses. Raises Refused."""
        number = int(ip_address(ip))
        if number in self.taken:
            raise Refused(ALLOCATED_IP)
        self.taken.add(number)

    def release(self, ip: str) -> None:
        self.taken.discard(int(ip_address(ip)))

    def next(self, seed: int, what: str) -> str | None:
        """An address from the dynamic band, from the static one when that is full. None if the range is full."""
        number = pick(seed, what, self.split + 1, self.last, self.taken)
        if number is None:
            number = pick(seed, what, self.first, min(self.split, self.last), self.taken)
        if number is None:
            return None
        self.taken.add(number)
        return self.text(number)


class NodePortRange:
    """The node ports of a cluster. One number is one number: TCP and UDP of different Services cannot share it.

    `text` as kube-apiserver's --service-node-port-range takes it (apimachinery pkg/util/net/port_range.go): "30000-32767", "30000+2767"
    or one port. From 1 on: 0 is no port that a Service can have. Raises KubenetError.
    """

    __slots__ = ("high", "low", "split", "taken", "text")

    def __init__(self, text: str):
        found = _PORT_RANGE.fullmatch(text.strip()) if isinstance(text, str) else None
        low, sign, end = found.groups() if found else ("0", "", "")
        self.low = int(low)
        self.high = int(end or low) + (self.low if sign == "+" else 0)
        self.text = f"{self.low}-{self.high}"
        if not 0 < self.low <= self.high < 65536:
            raise KubenetError(f"node port range: found {text!r}, expected a range like 30000-32767")
        self.split = self.low + band(self.high - self.low + 1, 32, 16, 128)  # first port of the dynamic band
        self.taken: set[int] = set()

    def reserve(self, port: int) -> None:
        if not self.low <= port <= self.high:
            raise Refused(f"provided port is not in the valid range. The range of valid ports is {self.text}")
        if port in self.taken:
            raise Refused(ALLOCATED_PORT)
        self.taken.add(port)

    def release(self, port: int) -> None:
        self.taken.discard(port)

    def next(self, seed: int, what: str) -> int | None:
        port = pick(seed, what, self.split, self.high, self.taken)
        if port is None:
            port = pick(seed, what, self.low, min(self.split - 1, self.high), self.taken)
        if port is not None:
            self.taken.add(port)
        return port
