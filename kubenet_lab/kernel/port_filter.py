"""Packet filters outside of a machine, at the port of the wire that its NIC is plugged into: a cloud's security group.

A packet that such a filter drops never reaches the machine, and no tool on it shows the packet. Rules are looked at in order, and the
first that fits decides. Where none fits, an answer to what was let through passes (the filter is stateful, and an ICMP error
belongs to the packet that it is about); else the default. ARP and neighbour discovery always pass.

Sources: what the clouds document (AWS "Control traffic to your AWS resources using security groups", Azure "Network security
groups", OpenStack Neutron "Security groups"): at the interface of the machine, both directions, stateful. That deny rules may stand
beside allow rules, in an order, is Azure's form; AWS knows allow rules only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ..errors import KubenetError
from .address import prefix
from .conntrack import Conntrack, Entry, invert, tuple_of
from .iptables.icmp_types import parse_icmp_type
from .iptables.values import Bad
from .packet import Icmp, Packet

if TYPE_CHECKING:
    from .flight import Flight
    from .namespace import Namespace
    from .walk import Walk

__all__ = ["FilterRule", "PortFilter", "filter_router", "passes", "router_filter"]

Direction = Literal["ingress", "egress"]
PROTOCOLS = ("TCP", "UDP", "SCTP", "ICMP")
_DIRECTIONS = {"in": "ingress", "inbound": "ingress", "ingress": "ingress", "out": "egress", "outbound": "egress", "egress": "egress"}
#: names that stand for the same thing in both families
_BOTH = dict.fromkeys(
    ("frag-needed", "fragmentation-needed", "packet-too-big", "too-big"), ("fragmentation-needed", "packet-too-big")
)  # fmt: skip
_FORM = "such as 'deny udp 8472', 'allow ingress tcp 30000-32767 from 10.0.0.0/8', 'deny icmp frag-needed' or 'deny all'"


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One rule. What is "" or None fits everything; `ports` are destination ports, the last included.

    `direction` is seen from the machine: "ingress" to it, "egress" from it, "" both. A rule without any condition says what
    happens where no other rule fits.
    """

    action: Literal["allow", "deny"]
    direction: str = ""
    protocol: str = ""  # "TCP", "UDP", "SCTP", "ICMP" (of both families)
    ports: tuple[int, int] | None = None
    icmp: str = ""  # "frag-needed", "echo-request", "3/4"
    source: str = ""
    destination: str = ""

    def __post_init__(self) -> None:
        if self.action not in ("allow", "deny"):
            raise KubenetError(f"filter rule: found the action {self.action!r}, expected allow or deny")
        if self.direction and self.direction not in ("ingress", "egress"):
            raise KubenetError(f"filter rule: found the direction {self.direction!r}, expected ingress or egress")
        if self.protocol and self.protocol not in PROTOCOLS:
            raise KubenetError(f"filter rule: found the protocol {self.protocol!r}, expected {', '.join(PROTOCOLS)}")
        if self.ports is not None:
            if self.protocol not in ("TCP", "UDP", "SCTP"):
                whose = self.protocol or "all"
                raise KubenetError(f"filter rule: found port {_ports(self.ports)} of {whose}, expected it with TCP, UDP or SCTP")
            low, high = self.ports
            if not 0 < low <= high < 65536:
                raise KubenetError(f"filter rule: found port {_ports(self.ports)}, expected 1 to 65535")
        if self.icmp:
            if self.protocol != "ICMP":
                raise KubenetError(f"filter rule: found the ICMP type {self.icmp!r} of {self.protocol or 'all'}, expected it with ICMP")
            if all(_icmp(self.icmp, f) is None for f in (4, 6)):
                raise KubenetError(f"filter rule: found the ICMP type {self.icmp!r}, expected one such as frag-needed, echo-request or 3/4")
        for field in ("source", "destination"):
            if (cidr := getattr(self, field)) != "":
                object.__setattr__(self, field, _cidr(field, cidr))

    @classmethod
    def parse(cls, text: str) -> FilterRule:
        """A rule from its text: "deny udp 8472", "allow in tcp 443 from 10.0.0.0/8". Raises KubenetError."""
        words = text.lower().split() if isinstance(text, str) else []
        if not words or words[0] not in ("allow", "deny"):
            raise KubenetError(f"filter rule: found {text!r}, expected one {_FORM}")
        action: Literal["allow", "deny"] = "allow" if words.pop(0) == "allow" else "deny"
        direction = _DIRECTIONS[words.pop(0)] if words and words[0] in _DIRECTIONS else ""
        protocol, ports, kind, ends = "", None, "", {"from": "", "to": ""}
        if words and words[0] in ("all", "any"):
            words.pop(0)
        elif words and words[0] not in ends:
            protocol = {"ICMPV6": "ICMP"}.get(words[0].upper(), words[0].upper())
            words.pop(0)
        if words and words[0] in ("port", "type"):
            words.pop(0)
        if words and words[0] not in ends:
            if protocol == "ICMP":
                kind = words.pop(0)
            elif (found := re.fullmatch(r"([0-9]{1,5})(?:[-:]([0-9]{1,5}))?", words[0])) is not None:
                ports = int(found[1]), int(found[2] or found[1])
                words.pop(0)
        while len(words) > 1 and words[0] in ends and not ends[words[0]]:
            end = words.pop(0)
            ends[end] = words.pop(0)
        if words:
            raise KubenetError(f"filter rule: found {text!r}, could not read {' '.join(words)!r}; expected a rule {_FORM}")
        return cls(action, direction, protocol, ports, kind, ends["from"], ends["to"])

    def __str__(self) -> str:
        words = [self.action, self.direction, self.protocol.lower() or ("" if self.source or self.destination else "all")]
        words += [_ports(self.ports) if self.ports else "", self.icmp]
        words += [f"from {self.source}" if self.source else "", f"to {self.destination}" if self.destination else ""]
        return " ".join(w for w in words if w)

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def catch_all(self) -> bool:
        """It has no condition but a direction: it is the default."""
        return not (self.protocol or self.source or self.destination)

    def fits(self, packet: Packet, direction: str) -> bool:
        """Does the rule speak of this packet? A fragment is judged by the datagram that it belongs to."""
        whole = packet.whole or packet
        if self.direction and self.direction != direction:
            return False
        if self.protocol == "ICMP":
            if not isinstance(whole.l4, Icmp):
                return False
            if self.icmp:
                wanted = _icmp(self.icmp, packet.family)
                if wanted is None or whole.l4.type != wanted[0] or not wanted[1][0] <= whole.l4.code <= wanted[1][1]:
                    return False
        elif self.protocol and whole.proto != self.protocol:
            return False
        if self.ports is not None and not (whole.dport is not None and self.ports[0] <= whole.dport <= self.ports[1]):
            return False
        if self.source and packet.src not in prefix(self.source):
            return False
        return not self.destination or packet.dst in prefix(self.destination)

    def iptables(self, family: int) -> str | None:
        """The same rule as iptables (or ip6tables) matches it, without its target; None where it speaks of the other family only."""
        if any(c and (":" in c) != (family == 6) for c in (self.source, self.destination)):
            return None
        words = [f"-s {self.source}" if self.source else "", f"-d {self.destination}" if self.destination else ""]
        if self.protocol == "ICMP":
            name = "icmp" if family == 4 else "icmpv6"
            words.append(f"-p {name}")
            if self.icmp:
                wanted = _icmp(self.icmp, family)
                if wanted is None:
                    return None
                kind, (low, high) = wanted
                words.append(f"--{name}-type {kind}" + ("" if (low, high) == (0, 255) else f"/{low}"))
        elif self.protocol:
            words.append(f"-p {self.protocol.lower()}")
        if self.ports:
            low, high = self.ports
            words.append(f"--dport {low}" if low == high else f"--dport {low}:{high}")
        return " ".join(w for w in words if w)


def _ports(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


def _cidr(field: str, text: object) -> str:
    try:
        found = prefix(str(text))
    except ValueError as e:
        raise KubenetError(f"filter rule: found the {field} {text!r}, expected an address or a network ({e})") from None
    return str(found)


@lru_cache(maxsize=256)
def _icmp(name: str, family: int) -> tuple[int, tuple[int, int]] | None:
    """(type, codes) of an ICMP type in a family; None where the family has none of that name."""
    name = _BOTH[name][0 if family == 4 else 1] if name in _BOTH else name
    if family == 6 and name[:1].isdigit():
        return None  # numbers are those of ICMP for IPv4
    try:
        return parse_icmp_type(name, family)
    except Bad:
        return None


@dataclass(frozen=True, slots=True)
class PortFilter:
    """The rules at one port. `name`: what people call it ("the security group of worker-2")."""

    name: str
    rules: tuple[FilterRule, ...] = ()

    def default(self, direction: str) -> FilterRule | None:
        """The rule that says what happens where no other fits; None: it passes."""
        return next((r for r in self.rules if r.catch_all and r.direction in ("", direction)), None)

    def decides(self, packet: Packet, direction: str) -> FilterRule | None:
        """The first rule with a condition that fits."""
        return next((r for r in self.rules if not r.catch_all and r.fits(packet, direction)), None)

    @property
    def stateful(self) -> bool:
        """Does it matter what passed before? Only where something is denied by default."""
        return any(r.catch_all and r.action == "deny" for r in self.rules)

    @property
    def lines(self) -> Sequence[str]:
        return [str(r) for r in self.rules]


def passes(w: Walk, f: Flight, at: PortFilter, place: str, direction: Direction) -> FilterRule | None:
    """The rule that drops the flight's packet at this port, None where it passes. `place` names the port in the dynamic state."""
    packet = f.packet
    if not isinstance(packet, Packet):
        return None
    table = Conntrack(w.state, f"port {place}")
    whole = packet.whole.but(src=packet.src, dst=packet.dst) if packet.whole is not None else packet
    rule = at.decides(packet, direction)
    known = _known(table, whole) if at.stateful else None
    if rule is None and known is None:
        rule = at.default(direction)
    if rule is not None and rule.action == "deny":
        return rule
    if at.stateful:
        _remember(table, whole)
    return None


def _known(table: Conntrack, packet: Packet) -> tuple[Entry, bool] | None:
    """The connection that a packet belongs to; that of an ICMP error is the one of the packet it quotes."""
    l4 = packet.l4
    about = l4.quote if isinstance(l4, Icmp) and l4.quote is not None else packet
    t = tuple_of(about)
    return None if t is None else table.find(t) or table.find(invert(t))


def _remember(table: Conntrack, packet: Packet) -> None:
    if isinstance(packet.l4, Icmp) and packet.l4.quote is not None:
        return
    t = tuple_of(packet)
    assert t is not None
    found = table.find(t)
    if found is None:
        entry = table.refresh(table.new(t), packet, False)
        if entry is not None:
            table.confirm(entry)
        return
    table.refresh(found[0], packet, found[1])


# ------------------------------------------------------------------------------------------------------ on the router
#: the chain that stands for the filter in the router's iptables
CHAIN = "UNDERLAY"


def filter_router(ns: Namespace, rules: Sequence[FilterRule]) -> None:
    """Write the rules as a chain of iptables and ip6tables on a router, for what it forwards, sends and takes in."""
    for family in (4, 6):
        ruleset = ns.ruleset(family)
        jumps = CHAIN not in ruleset.tables["filter"].chains if "filter" in ruleset.tables else True
        if jumps and not rules:
            continue
        lines = [f":{CHAIN} - [0:0]"]
        lines += [f"-A {chain} -j {CHAIN}" for chain in ("INPUT", "FORWARD", "OUTPUT")] if jumps else []
        for rule in rules:
            match = rule.iptables(family)
            if match is not None and not rule.catch_all:
                lines.append(f'-A {CHAIN} {match} -m comment --comment "{rule}" -j {_TARGETS[rule.action]}')
        last = next((r for r in rules if r.catch_all), None)
        if last is not None and last.action == "deny":
            lines.append(f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
            lines.append(f'-A {CHAIN} -m comment --comment "{last}" -j DROP')
        ruleset.restore("*filter\n" + "\n".join(lines) + "\nCOMMIT\n", noflush=True, origin="the router's filter")
    ns.rules_changed()


def router_filter(ns: Namespace) -> tuple[str, ...]:
    """The rules of a router's filter as people wrote them, both families' in order."""
    found: dict[str, None] = {}
    for family in (4, 6):
        table = ns.ruleset(family).tables.get("filter")
        for rule in table.chains[CHAIN].rules if table is not None and CHAIN in table.chains else ():
            if (said := re.search(r'--comment "([^"]*)"', rule.spec.text)) is not None:
                found.setdefault(said[1])
    return tuple(found)


_TARGETS = {"allow": "ACCEPT", "deny": "DROP"}
