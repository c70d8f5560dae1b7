"""`Underlay`: the network under the pods, as one says it: segments, a router between them, MTUs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import KubenetError
from ..kernel.port_filter import FilterRule
from .filters import EVERY_NODE, ROUTER_KEY, check_place, rules_of

__all__ = ["Underlay", "UnderlaySegment"]

_NAME = re.compile(r"\A[a-z0-9]([-a-z0-9.]{0,13}[a-z0-9])?\Z")  # it names the router's interface too: at most 15 letters
_TAKEN = ("lo", "wan", "outside", "uplink", ROUTER_KEY)


def _bytes(what: str, found: Any) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 576 <= found <= 65535:
        raise KubenetError(f"Underlay {what}: found {found!r}, expected a number of bytes from 576 to 65535")
    return found


def _seconds(what: str, found: Any) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < 60:
        raise KubenetError(f"Underlay {what}: found {found!r}, expected seconds from 0 to 60")
    return found


@dataclass(frozen=True, slots=True)
class UnderlaySegment:
    """One layer-2 network. `cidr`: its network, one of each family in dual stack ((): read off its nodes, else the next free one).

    `nodes` are those that stand on it; a node that no segment names stands where its address belongs, else they take turns.
    `mtu` in bytes and `delay` in seconds one way; None is what the whole underlay has.
    """

    name: str
    cidr: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    mtu: int | None = None
    delay: float | None = None

    @classmethod
    def of(cls, name: Any, given: Any) -> UnderlaySegment:
        """A segment from what people write: a CIDR, or a dict. Raises KubenetError."""
        where = f"segments[{name!r}]"
        if not isinstance(name, str) or not _NAME.match(name) or name in _TAKEN:
            wanted = f"up to 15 small letters, digits and dashes, not {', '.join(_TAKEN)}"
            raise KubenetError(f"Underlay segments: found the name {name!r}, expected {wanted}")
        if isinstance(given, cls):
            return given
        if isinstance(given, str) or (isinstance(given, list | tuple) and all(isinstance(c, str) for c in given)):
            given = {"cidr": given}
        if given is None:
            given = {}
        known = [f for f in cls.__dataclass_fields__ if f != "name"]
        if not isinstance(given, Mapping) or not given.keys() <= set(known):
            found = sorted(map(str, given)) if isinstance(given, Mapping) else given
            raise KubenetError(f"Underlay {where}: found {found!r}, expected a CIDR or a dict of {', '.join(known)}")
        nodes = given.get("nodes") or ()
        if isinstance(nodes, str) or not isinstance(nodes, Sequence) or not all(isinstance(n, str) and n for n in nodes):
            raise KubenetError(f"Underlay {where} nodes: found {nodes!r}, expected a list of node names")
        mtu, delay = given.get("mtu"), given.get("delay")
        return cls(
            name, _networks(where, given.get("cidr")), tuple(nodes), None if mtu is None else _bytes(f"{where} mtu", mtu),
            None if delay is None else _seconds(f"{where} delay", delay),
        )  # fmt: skip


def _networks(where: str, given: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else list(given or ()) if isinstance(given, list | tuple | None) else [given]
    out: list[str] = []
    for p in parts:
        try:
            out.append(str(ipaddress.ip_network(p.strip())))
        except (ValueError, AttributeError) as e:
            raise KubenetError(f"Underlay {where} cidr: found {p!r}, expected a network such as '192.168.51.0/24' ({e})") from None
    if len({":" in c for c in out}) != len(out):
        raise KubenetError(f"Underlay {where} cidr: found {given!r}, expected one network of each family at most")
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Underlay:
    """The network between the nodes. `mtu` in bytes and `delay` one way in seconds are those of every wire.

    `segments`: several layer-2 networks with a router between them, by name:

        kn.Underlay(segments={"rack-a": {"cidr": "192.168.50.0/24", "nodes": ["worker-1"]},
                              "rack-b": {"cidr": "192.168.51.0/24", "nodes": ["worker-2"], "mtu": 1400}})

    A segment may be its CIDR alone; a number makes that many. Without segments all nodes are on one wire.
    `nic_mtu`: the MTU of single NICs: {"worker-1": 9000, "router": 1400} or, of one of the router's, {"router/rack-b": 1400}.
    `filters`: packet filters, by node (its security group), "*" (every node) or "router": {"worker-2": "deny udp 8472",
    "*": kn.SecurityGroup(ingress=["udp 8472", "tcp 10250"])}. `icmp` "blocked": the router neither sends nor forwards any ICMP.
    `uplink_mtu`: the way to the outside is a link of that MTU, a VPN or PPPoE say, with the provider's router at its far end.
    """

    mtu: int = 1500
    delay: float = 0.0002
    segments: Any = ()  # a tuple of UnderlaySegment once it is made
    nic_mtu: Mapping[str, int] = field(default_factory=dict)
    filters: Mapping[str, Any] = field(default_factory=dict)  # a dict of tuples of FilterRule once it is made
    icmp: str = "allowed"
    uplink_mtu: int | None = None

    def __post_init__(self) -> None:
        _bytes("mtu", self.mtu)
        _seconds("delay", self.delay)
        object.__setattr__(self, "segments", _segments(self.segments))
        if self.uplink_mtu is not None:
            _bytes("uplink_mtu", self.uplink_mtu)
        names = [n for s in self.segments for n in s.nodes]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise KubenetError(f"Underlay segments: found {twice[0]} in more than one segment, expected a node on one wire")
        given = [ipaddress.ip_network(c) for s in self.segments for c in s.cidr]
        for i, a in enumerate(given):
            for b in given[i + 1 :]:
                if a.version == b.version and a.overlaps(b):
                    raise KubenetError(f"Underlay segments: {a} and {b} overlap")
        if not isinstance(self.nic_mtu, Mapping) or not all(isinstance(k, str) for k in self.nic_mtu):
            raise KubenetError(f'Underlay nic_mtu: found {self.nic_mtu!r}, expected a dict such as {{"worker-1": 9000}}')
        for name, mtu in self.nic_mtu.items():
            _bytes(f"nic_mtu[{name!r}]", mtu)
            head, _, segment = name.partition("/")
            if segment and (head != ROUTER_KEY or segment not in [s.name for s in self.segments]):
                raise KubenetError(f"Underlay nic_mtu: found {name!r}, expected a node, 'router' or 'router/' and a segment")

        if not isinstance(self.filters, Mapping) or not all(isinstance(k, str) for k in self.filters):
            raise KubenetError(f'Underlay filters: found {self.filters!r}, expected a dict such as {{"worker-2": "deny udp 8472"}}')
        object.__setattr__(self, "filters", {k: rules_of(v) for k, v in self.filters.items()})
        for where, rules in self.filters.items():
            check_place(where, rules)
        if self.icmp not in ("allowed", "blocked"):
            raise KubenetError(f"Underlay icmp: found {self.icmp!r}, expected 'allowed' or 'blocked'")

    def unknown(self, nodes: Collection[str]) -> list[tuple[str, str]]:
        """(option, key) of what is said of nodes that are not there."""
        heads = [(k, k.partition("/")[0]) for k in self.nic_mtu]
        return [("filters", k) for k in self.filters if k not in (ROUTER_KEY, EVERY_NODE, *nodes)] + [
            ("nic_mtu", k) for k, head in heads if head not in (ROUTER_KEY, *nodes)
        ]

    @property
    def all_filters(self) -> dict[str, tuple[FilterRule, ...]]:
        """The filters by place, what `icmp` says included."""
        blocked = (FilterRule("deny", protocol="ICMP"),) if self.icmp == "blocked" else ()
        return {**self.filters, ROUTER_KEY: (*self.filters.get(ROUTER_KEY, ()), *blocked)}

    def segment(self, name: str) -> UnderlaySegment:
        """What was said of a segment; nothing for one that was not named."""
        return next((s for s in self.segments if s.name == name), UnderlaySegment(name))

    def mtu_of(self, segment: str) -> int:
        """The MTU of a wire."""
        return self.segment(segment).mtu or self.mtu

    def delay_of(self, segment: str) -> float:
        """The delay of a wire, one way."""
        found = self.segment(segment).delay
        return self.delay if found is None else found

    def router_mtu(self, segment: str) -> int:
        """The MTU of the router's interface on a segment."""
        return self.nic_mtu.get(f"{ROUTER_KEY}/{segment}") or self.nic_mtu.get(ROUTER_KEY) or self.mtu_of(segment)


def _segments(given: Any) -> tuple[UnderlaySegment, ...]:
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 50:
        return tuple(UnderlaySegment(f"lan-{i + 1}") for i in range(given))
    if isinstance(given, Mapping):
        return tuple(UnderlaySegment.of(name, s) for name, s in given.items())
    made = isinstance(given, list | tuple) and all(isinstance(s, UnderlaySegment) for s in given)
    if made and len({s.name for s in given}) == len(given):
        return tuple(UnderlaySegment.of(s.name, s) for s in given)
    wanted = 'a dict such as {"rack-a": {"cidr": "192.168.50.0/24"}} or a number up to 50'
    raise KubenetError(f"Underlay segments: found {given!r}, expected {wanted}")
