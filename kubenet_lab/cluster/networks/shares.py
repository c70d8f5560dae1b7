"""Shares of the node network: where pods stand on the nodes' own wire, each node gives addresses of a part of it that is its own.

An administrator who puts host-local on macvlan has to make such a plan, since no host-local knows of another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import KubenetError
from ...kernel.address import number, prefix
from ...objects.snapshot import Snapshot
from ...objects.views import Node
from ..names import further_addresses, node_addresses
from ..plan import Plan
from ..segments import NodeSegment

__all__ = ["Shares"]

#: places are made for more nodes than there are, so that a new one takes nothing from the others
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Shares:
    """`places`: {segment: nodes in the order of their parts}; `slots`: {segment: into how many parts the half of the network is cut}."""

    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # {node: {field of a conflist: value}}
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    slots: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, plan: Plan, before: Shares | None = None) -> Shares:
        """The shares of all nodes; who has one keeps it. A node for which no place is left has none. Raises KubenetError."""
        nodes = snapshot.list(Node)
        homes = {n.name: plan.segment_of(n.name, node_addresses(n)) for n in nodes}
        fields: dict[str, dict[str, str]] = {}
        places: dict[str, Sequence[str]] = {}
        slots: dict[str, int] = {}
        for segment in plan.segments:
            here = [n.name for n in nodes if homes[n.name] is segment]
            known = list((before.places if before else {}).get(segment.name, ()))
            count = (before.slots if before else {}).get(segment.name) or max(FEWEST, 1 << len(here).bit_length())
            known += [n for n in here if n not in known][: count - len(known)]
            places[segment.name], slots[segment.name] = tuple(known), count
            own = [(*node_addresses(n), *further_addresses(n)) for n in nodes if homes[n.name] is segment]
            taken = [a for addresses in own for a in addresses] + [plan.api_server]
            for node in here:
                if node in known:
                    fields[node] = _fields(segment, known.index(node), count, taken)
        return cls(fields, places, slots)


def _fields(segment: NodeSegment, place: int, slots: int, taken: Sequence[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for cidr in segment.cidrs:
        six = "6" if ":" in cidr else ""
        start, end = _range(cidr, place, slots, [a for a in taken if (":" in a) == bool(six)])
        out |= {f"NodeCIDR{six}": cidr, f"RangeStart{six}": start, f"RangeEnd{six}": end, f"Gateway{six}": segment.gateway(6 if six else 4)}
    return out


def _range(cidr: str, place: int, slots: int, taken: Sequence[str]) -> tuple[str, str]:
    """The first and last address of one of `slots` equal parts, of that half of the network in which fewer machines stand."""
    p = prefix(cidr)
    bits, half_size = p.bits, 1 << max(0, p.bits - p.length - 1)
    halves = (p.network + half_size, p.network) if p.length < bits else (p.network,)
    half = min(halves, key=lambda h: sum(h <= number(a) < h + half_size for a in taken))
    size = half_size // slots
    if size < 4:
        raise KubenetError(f"node network {cidr}: too small to give the pods of {slots} nodes addresses of it")
    first = half + place * size
    last = first + size - 1
    # neither the network's own address nor the broadcast address
    first += first == p.network
    last -= last == p.network + 2 * half_size - 1
    kind = ipaddress.IPv4Address if p.family == 4 else ipaddress.IPv6Address
    return str(kind(first)), str(kind(last))
