"""Blocks of addresses, as Calico's IPAM keeps them: who has which ordinal, and in which order the free ones go out.

Sources: projectcalico/calico libcalico-go/lib/ipam/ipam_block.go, ipam_block_reader_writer.go (randomBlockGenerator),
design/ipam/ipam-core-library.md (release and cooldown).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...kernel.address import Prefix, number, prefix
from .go_random import GoRandom, fnv1
from .options import IpPool

__all__ = ["Block", "resource_name", "walk"]


def resource_name(cidr: str) -> str:
    """A block as the name of a resource: "10-244-0-0-26"."""
    return cidr.replace(".", "-").replace(":", "-").replace("/", "-")


def _text(value: int, family: int) -> str:
    return str(ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value))


def walk(pool: IpPool, host: str, now: float = 0.0) -> Iterator[str]:
    """Every block of a pool, from a place that the host's name decides: the same host begins at the same block, others elsewhere.

    Blocks of a single address are walked from a place that the clock decides.
    """
    p = prefix(pool.cidr)
    step = 1 << (p.bits - pool.size)
    count = 1 << (pool.size - p.length)
    seed = int(now * 1e9) if pool.size == p.bits else fnv1(host)
    start = GoRandom(seed).below(count)
    for i in range(count):
        yield f"{_text(p.network + (start + i) % count * step, p.family)}/{pool.size}"


@dataclass(slots=True)
class Block:
    """One IPAMBlock. `allocations[ordinal]` is an index into `attributes` or None; `unallocated` is a queue, longest idle first."""

    cidr: str
    affinity: str | None = None  # "host:worker-1"
    claimed: float | None = None  # when, in lab seconds
    allocations: list[int | None] = field(default_factory=list)
    unallocated: list[int] = field(default_factory=list)
    attributes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def new(cls, cidr: str, host: str | None, now: float) -> Block:
        size = 1 << (prefix(cidr).bits - prefix(cidr).length)
        return cls(cidr, f"host:{host}" if host else None, now, [None] * size, list(range(size)))

    @classmethod
    def from_resource(cls, spec: Mapping[str, Any]) -> Block:
        """From an IPAMBlock's spec, a real one's too."""
        attributes = [dict(a) for a in spec.get("attributes") or ()]
        claimed = spec.get("affinityClaimTime")
        block = cls(
            str(spec["cidr"]), spec.get("affinity") or None, claimed if isinstance(claimed, int | float) else 0.0,
            list(spec.get("allocations") or ()), list(spec.get("unallocated") or ()), attributes,
        )  # fmt: skip
        size = 1 << (block.prefix.bits - block.prefix.length)
        if len(block.allocations) != size:
            block.allocations = (block.allocations + [None] * size)[:size]
        return block

    def to_resource(self) -> dict[str, Any]:
        return {
            "cidr": self.cidr, "affinity": self.affinity, "affinityClaimTime": self.claimed, "allocations": self.allocations,
            "unallocated": self.unallocated, "attributes": self.attributes,
        }  # fmt: skip

    def dumps(self) -> str:
        return json.dumps(self.to_resource(), separators=(",", ":"))

    # ---------------------------------------------------------------------------------------------------- addresses
    @property
    def prefix(self) -> Prefix:
        return prefix(self.cidr)

    @property
    def host(self) -> str:
        """The host that it is affine to, "" if none."""
        kind, _, name = (self.affinity or "").partition(":")
        return name if kind == "host" else ""

    def address(self, ordinal: int) -> str:
        return _text(self.prefix.network + ordinal, self.prefix.family)

    def ordinal(self, ip: str) -> int:
        return number(ip) - self.prefix.network

    def addresses(self) -> list[tuple[str, dict[str, Any]]]:
        """(address, attribute) of everything that is in use; what rests after its release is not."""
        return [
            (self.address(i), self.attributes[a])
            for i, a in enumerate(self.allocations)
            if a is not None and "releasedAt" not in self.attributes[a]
        ]

    @property
    def empty(self) -> bool:
        return all(a is None for a in self.allocations)

    def free(self, reserved: Sequence[str] = ()) -> int:
        """How many addresses can be given."""
        if not reserved:
            return len(self.unallocated)
        return sum(not is_reserved(self.address(o), reserved) for o in self.unallocated)

    # ------------------------------------------------------------------------------------------------------ changes
    def give(self, handle: str, secondary: Mapping[str, str], reserved: Sequence[str] = ()) -> str | None:
        """The address at the head of the queue, reserved ones left out; None if there is none."""
        for i, ordinal in enumerate(self.unallocated):
            if reserved and is_reserved(self.address(ordinal), reserved):
                continue
            del self.unallocated[i]
            self.allocations[ordinal] = self._attribute(handle, secondary)
            return self.address(ordinal)
        return None

    def take(self, ip: str, handle: str, secondary: Mapping[str, str]) -> bool:
        """This very address; False if it is in use, or rests."""
        ordinal = self.ordinal(ip)
        if self.allocations[ordinal] is not None:
            return False
        self.allocations[ordinal] = self._attribute(handle, secondary)
        if ordinal in self.unallocated:
            self.unallocated.remove(ordinal)
        return True

    def _attribute(self, handle: str, secondary: Mapping[str, str]) -> int:
        wanted = {"handle_id": handle, "secondary": dict(secondary)}
        for i, a in enumerate(self.attributes):
            if a == wanted:
                return i
        self.attributes.append(wanted)
        return len(self.attributes) - 1

    def release(self, handle: str, now: float) -> list[str]:
        """Mark what a handle has as released; `collect` makes it free."""
        gone = []
        for i, a in enumerate(self.allocations):
            if a is not None and self.attributes[a].get("handle_id") == handle:
                gone.append(self.address(i))
        for attribute in self.attributes:
            if attribute.get("handle_id") == handle:
                attribute["handle_id"], attribute["releasedAt"] = None, now
        return gone

    def collect(self, now: float, cooldown: float) -> bool:
        """What was released longer ago than the cooldown goes to the end of the queue, the longest idle first; unused attributes go."""
        done = {i for i, a in enumerate(self.attributes) if "releasedAt" in a and now - a["releasedAt"] >= cooldown}
        done |= set(range(len(self.attributes))) - {a for a in self.allocations if a is not None}
        if not done:
            return False
        back = [(self.attributes[a]["releasedAt"], o) for o, a in enumerate(self.allocations) if a in done]
        for _, ordinal in sorted(back):
            self.allocations[ordinal] = None
            self.unallocated.append(ordinal)
        place = {old: new for new, old in enumerate(i for i in range(len(self.attributes)) if i not in done)}
        self.attributes = [a for i, a in enumerate(self.attributes) if i not in done]
        self.allocations = [None if a is None else place[a] for a in self.allocations]
        return True


def is_reserved(ip: str, reserved: Sequence[str]) -> bool:
    return any(ip in prefix(c) for c in reserved)
