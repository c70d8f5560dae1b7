"""Leases with the etcd subnet manager: each daemon takes a free subnet of the network for 24 hours and renews it.

A cluster's nodes hold their podCIDRs instead (see leases.py); here are the rules alone, as functions over what etcd keeps. Chance comes
in by `choose`. Sources: flannel-io/flannel pkg/subnet/config.go (CheckNetworkConfig), etcd/local_manager.go, subnet.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...errors import KubenetError
from ...kernel.address import number, prefix

__all__ = ["TTL", "EtcdLease", "SubnetRange", "acquire", "living", "parse_key", "subnet_key"]

#: how long a lease lives without being renewed, in seconds
TTL = 24 * 3600.0
#: of so many free subnets one is picked
CANDIDATES = 100


def _text(value: int, family: int) -> str:
    return str(ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value))


@dataclass(frozen=True, slots=True)
class SubnetRange:
    """How one family's network is cut: subnets of `length` bits, from the one that begins at `first` to the one at `last`."""

    network: str
    length: int
    first: str
    last: str

    @classmethod
    def of(cls, network: str, length: int = 0, first: str = "", last: str = "") -> SubnetRange:
        """Network, SubnetLen, SubnetMin and SubnetMax, with upstream's defaults. Raises KubenetError in the daemon's words.

        Without SubnetLen a node gets a /24 (IPv6: a /64) if four of them fit, else a quarter. The first subnet is left out: its
        address is the network's own.
        """
        p = prefix(network)
        six = p.family == 6
        most, usual, smallest = (126, 64, 124) if six else (30, 24, 28)
        if length:
            if length > most:
                raise KubenetError(f"SubnetLen must be less than /{most + 1}")
            if length < p.length + 2:
                raise KubenetError("network must be able to accommodate at least four subnets")
        else:
            if p.length > smallest:
                name = "IPv6Network" if six else "network"
                raise KubenetError(f"{name} is too small. Minimum useful network prefix is /{smallest}")
            length = max(usual, p.length + 2) if p.length <= usual - 2 else p.length + 2
        size, end = 1 << (p.bits - length), p.network + (1 << (p.bits - p.length))
        low = number(first) if first else p.network + size
        high = number(last) if last else end - size
        for name, value in (("SubnetMin", low), ("SubnetMax", high)):
            name = f"IPv6{name}" if six else name
            if not p.network <= value < end:
                raise KubenetError(f"{name} is not in the range of the {'IPv6Network' if six else 'Network'}")
            if value % size:
                raise KubenetError(f"{name} is not on a SubnetLen boundary: {_text(value, p.family)}")
        return cls(str(p), length, _text(low, p.family), _text(high, p.family))

    @property
    def family(self) -> int:
        return prefix(self.network).family

    def fits(self, subnet: str) -> bool:
        """Could this configuration have given it?"""
        p = prefix(subnet)
        return p.family == self.family and p.length == self.length and number(self.first) <= p.network <= number(self.last)

    def free(self, taken: Sequence[str]) -> list[str]:
        """The first free subnets in order, at most CANDIDATES."""
        p = prefix(self.network)
        out: list[str] = []
        size = 1 << (p.bits - self.length)
        known = [t for t in map(prefix, taken) if t.family == self.family]
        value, last = number(self.first), number(self.last)
        while value <= last and len(out) < CANDIDATES:
            cidr = prefix(f"{_text(value, self.family)}/{self.length}")
            if not any(cidr.covers(t) or t.covers(cidr) for t in known):
                out.append(str(cidr))
            value += size
        return out


@dataclass(frozen=True, slots=True)
class EtcdLease:
    """One key of etcd: a subnet per family, whose it is, and when it ends (lab seconds; None: reserved by hand, never)."""

    subnets: tuple[str, ...]
    public_ip: str
    expires: float | None = None

    @property
    def key(self) -> str:
        return subnet_key(self.subnets)


def living(leases: Sequence[EtcdLease], now: float) -> tuple[EtcdLease, ...]:
    """What etcd still keeps: what nobody renewed is gone."""
    return tuple(x for x in leases if x.expires is None or now < x.expires)


def acquire(
    ranges: Sequence[SubnetRange], leases: Sequence[EtcdLease], public_ip: str, now: float, choose: Callable[[int], int],
    previous: Sequence[str] = (),
) -> tuple[EtcdLease, tuple[EtcdLease, ...]]:  # fmt: skip
    """(the lease of the daemon with this address, all leases after). `ranges`: IPv4's, and IPv6's in dual stack.

    Its own lease is taken again if it still fits the configuration (a reservation stays one), else deleted; then the subnet of its
    last run (`previous`, from subnet.env) if nobody has it; then one of the first free ones at random: `choose(n)` gives a number
    below n. Raises KubenetError where none is left.
    """
    kept = list(living(leases, now))
    own = next((x for x in kept if x.public_ip == public_ip), None)
    if own is not None:
        kept.remove(own)
        if len(own.subnets) == len(ranges) and all(r.fits(s) for r, s in zip(ranges, own.subnets, strict=True)):
            renewed = own if own.expires is None else replace(own, expires=now + TTL)
            return renewed, (*kept, renewed)
    taken = [s for x in kept for s in x.subnets]
    fits = len(previous) == len(ranges) and all(r.fits(s) for r, s in zip(ranges, previous, strict=True))
    if fits and str(prefix(previous[0])) not in taken:
        subnets = tuple(str(prefix(s)) for s in previous)
    else:
        free = [r.free(taken) for r in ranges]
        if not all(free):
            raise KubenetError("out of subnets")
        subnets = tuple(candidates[choose(len(candidates))] for candidates in free)
    lease = EtcdLease(subnets, public_ip, now + TTL)
    return lease, (*kept, lease)


def subnet_key(subnets: Sequence[str]) -> str:
    """The last part of a lease's key: "10.3.1.0-24", in dual stack "10.3.1.0-24&fc00:0:0:1::-64"."""
    return "&".join(s.replace("/", "-") for s in subnets)


def parse_key(key: str) -> tuple[str, ...]:
    """The subnets of a key, () for what is none."""
    out = []
    for part in key.rpartition("/")[2].split("&"):
        address, _, length = part.rpartition("-")
        try:
            out.append(str(prefix(f"{ipaddress.ip_address(address)}/{int(length)}")))
        except ValueError:
            return ()
    return tuple(out)
