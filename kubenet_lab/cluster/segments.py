"""Which node stands on which wire: the segments of the node network, their networks, the router's addresses on them."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import KubenetError, NotFound
from ..kernel.address import prefix
from ..objects.snapshot import Snapshot
from ..objects.views import Node
from .names import node_address
from .underlay import Underlay, UnderlaySegment

__all__ = ["LAN", "NODE_CIDR", "NODE_CIDR6", "NodeSegment", "covering", "detected_networks", "node_names", "place", "renumbered"]

#: the segment that joins the nodes when there is only one
LAN = "lan"
NODE_CIDR, NODE_CIDR6 = "192.168.50.0/24", "fd50::/64"
#: a node's address is the network's eleventh or later, as far as there is room
FIRST = 11
#: nodes whose smallest common network is larger than these are not on one wire
WIDEST, WIDEST6 = 16, 48


@dataclass(frozen=True, slots=True)
class NodeSegment:
    """One wire of the node network. `cidrs`, primary family first; `gateways`: the router's address in each, with prefix length."""

    name: str
    cidrs: tuple[str, ...]
    gateways: tuple[str, ...]
    nodes: tuple[str, ...] = ()  # that the option names, or that took their turn

    def holds(self, address: str) -> bool:
        return any(address in prefix(c) for c in self.cidrs)

    def cidr(self, family: int) -> str:
        """Its network of a family, "" if it has none."""
        return next((c for c in self.cidrs if prefix(c).family == family), "")

    def gateway(self, family: int) -> str:
        """The router's address of a family, without prefix length; "" if it has none."""
        return next((g.split("/")[0] for g in self.gateways if prefix(g).family == family), "")


def covering(cidrs: Sequence[str], most: int) -> str:
    """The smallest network that holds all of these networks of one family, with a prefix of at most `most` bits."""
    nets = [ipaddress.ip_network(c, strict=False) for c in cidrs]
    length = min(most, *(n.prefixlen for n in nets))
    bits = nets[0].max_prefixlen
    while length and len({int(n.network_address) >> (bits - length) for n in nets}) > 1:
        length -= 1
    return str(ipaddress.ip_network((int(nets[0].network_address) >> (bits - length) << (bits - length), length)))


# -------------------------------------------------------------------------------------------------- what a dump shows
def detected_networks(nodes: Sequence[Node]) -> tuple[list[str], str]:
    """The networks in which nodes of one family's addresses stand, where they show it plainly, and what shows it; else ([], "").

    Calico keeps each node's address with its prefix length in an annotation. Without that, addresses that have not even
    a /16 (IPv6: a /48) in common cannot be on one wire; they are taken as one /24 (/64) each.
    """
    primary = [a for n in nodes if (a := node_address(n))] or [a for n in nodes if (a := node_address(n, 6))]
    if not primary:
        return [], ""
    six = ":" in primary[0]
    key = f"projectcalico.org/IPv{6 if six else 4}Address"
    kept = [n.metadata.annotations.get(key, "") for n in nodes]
    if all("/" in k for k in kept):
        try:
            found = dict.fromkeys(str(ipaddress.ip_interface(k).network) for k in kept)
        except ValueError:
            found = {}
        whole = all(prefix(c).length < (127 if six else 31) for c in found)  # a cloud's /32 says nothing of wires
        if found and whole and all(any(a in prefix(c) for c in found) for a in primary):
            return list(found), f"the nodes' annotation {key}"
    if prefix(covering([f"{a}/{128 if six else 32}" for a in primary], 128 if six else 32)).length >= (WIDEST6 if six else WIDEST):
        return [], ""
    size = 64 if six else 24
    apart = dict.fromkeys(str(ipaddress.ip_network(f"{a}/{size}", strict=False)) for a in primary)
    return list(apart), f"the nodes' InternalIPs have not even a /{WIDEST6 if six else WIDEST} in common; one /{size} each"


# ------------------------------------------------------------------------------------------------ segments by the option
def node_names(underlay: Underlay, count: int) -> list[str]:
    """The names of nodes to be made: those that the segments name, and worker-1, worker-2 ... until there are `count`."""
    named = [n for s in underlay.segments for n in s.nodes]
    free = (w for i in range(1, 10_000) if (w := f"worker-{i}") not in named)
    while len(named) < count:
        named.append(next(free))
    return sorted(named, key=lambda n: [(not p.isdigit(), int(p) if p.isdigit() else p) for p in n.replace("-", " ").split()])


def place(snapshot: Snapshot, underlay: Underlay, families: Sequence[int], count: int, strict: bool) -> tuple[list[NodeSegment], list[str]]:
    """The segments of the option with their networks and nodes, and the nodes that took their turn.

    Without nodes in the objects: those that will be made. `strict`: raises NotFound for a segment's node that is not there.
    """
    nodes = snapshot.list(Node)
    names = [n.name for n in nodes] or node_names(underlay, count)
    addresses = {n.name: [a for f in families if (a := node_address(n, f))] for n in nodes}
    given: tuple[UnderlaySegment, ...] = underlay.segments
    if strict:
        for missing in (n for s in given for n in s.nodes if n not in names):
            raise NotFound("node (of a segment)", missing, names)
    home = {n: s.name for s in given for n in s.nodes}
    turns: list[str] = []
    for name in names:
        if name in home:
            continue
        fits = next((s.name for s in given for a in addresses.get(name, ()) if any(a in prefix(c) for c in s.cidr)), None)
        if fits is None:
            fits = given[len(turns) % len(given)].name
            turns.append(name)
        home[name] = fits
    used = [ipaddress.ip_network(c) for s in given for c in s.cidr]
    out = []
    for s in given:
        here = tuple(n for n in names if home[n] == s.name)
        cidrs = []
        for f in families:
            own = next((c for c in s.cidr if prefix(c).family == f), "")
            if not own:
                seen = [a for n in here if n in s.nodes for a in addresses.get(n, ()) if (":" in a) == (f == 6)]
                own = _read_off(s, seen, f, used)
                used.append(ipaddress.ip_network(own))
            cidrs.append(own)
        out.append(NodeSegment(s.name, tuple(cidrs), (), here))
    return out, turns


def _read_off(s: UnderlaySegment, seen: Sequence[str], family: int, used: Collection[Any]) -> str:
    """A network for a segment that was given none: the one of its nodes, else the next one that is free."""
    if seen:
        found = covering([f"{a}/{128 if family == 6 else 32}" for a in seen], 64 if family == 6 else 24)
        net: Any = ipaddress.ip_network(found)
        clash = next((u for u in used if u.version == net.version and u.overlaps(net)), None)
        if clash is None:
            return found
    first: Any = ipaddress.ip_network(NODE_CIDR if family == 4 else NODE_CIDR6)
    step = 1 << (first.max_prefixlen - first.prefixlen)
    for i in range(1000):
        net = ipaddress.ip_network((int(first.network_address) + i * step, first.prefixlen))
        if not any(u.version == net.version and u.overlaps(net) for u in used):
            return str(net)
    raise KubenetError(f"Underlay segments[{s.name!r}]: no network is free for it; give it a cidr")


# -------------------------------------------------------------------------------------------------------- addresses
def gateways(cidrs: Iterable[str], taken: Collection[str]) -> tuple[str, ...]:
    """The router's address in each network, with prefix length: the first that nobody has. Raises KubenetError."""
    out = []
    for c in cidrs:
        net = ipaddress.ip_network(c)
        free = next((str(a) for a in net.hosts() if str(a) not in taken), "")
        if not free:
            raise KubenetError(f"node network {c}: too small, the nodes and a router need an address each")
        out.append(f"{free}/{net.prefixlen}")
    return tuple(out)


def node_addresses(segment: NodeSegment, offset: int, taken: Collection[str]) -> list[str]:
    """An address of each family for a node: at `offset` in the network if that is free, else the first free one after the tenth."""
    busy = {*taken, *(g.split("/")[0] for g in segment.gateways)}
    out = []
    for c in segment.cidrs:
        net: Any = ipaddress.ip_network(c)
        wanted = net.network_address + offset if offset < net.num_addresses - 1 else None
        candidates = ([wanted] if wanted is not None else []) + list(_from(net, FIRST)) + list(_from(net, 1, FIRST))
        found = next((str(a) for a in candidates if str(a) not in busy), "")
        if not found:
            raise KubenetError(f"node network {c} of segment {segment.name}: too small for its nodes")
        out.append(found)
    return out


def _from(net: Any, start: int, stop: int = 1024) -> Iterator[Any]:
    last = net.num_addresses - (1 if net.version == 4 else 0)
    return (net.network_address + i for i in range(start, min(stop, last)))


def renumbered(document: dict[str, Any], old: Sequence[str], new: Sequence[str]) -> dict[str, Any]:
    """A Node's document with other InternalIPs; what repeats one of the old ones (flannel's annotation) follows."""
    out = copy.deepcopy(document)
    change = dict(zip(old, new, strict=False))
    status = out.setdefault("status", {})
    rest = [a for a in status.get("addresses") or [] if a.get("type") != "InternalIP"]
    status["addresses"] = [*({"type": "InternalIP", "address": a} for a in new), *rest]
    notes = out.get("metadata", {}).get("annotations") or {}
    for key, value in notes.items():
        if isinstance(value, str) and value.split("/")[0] in change:
            notes[key] = change[value.split("/")[0]]
    return out
