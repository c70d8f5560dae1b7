"""Packet filters of the underlay, as people write them: `kn.Deny`, `kn.Allow`, `kn.SecurityGroup`, texts, dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import KubenetError
from ..kernel.network import ROUTER, Network
from ..kernel.port_filter import FilterRule, PortFilter, filter_router

__all__ = ["EVERY_NODE", "ROUTER_KEY", "Allow", "Deny", "SecurityGroup", "place_filters", "rules_of", "set_filter"]

#: how filters name the router, and all nodes
ROUTER_KEY, EVERY_NODE = "router", "*"


def Deny(
    protocol: str = "", port: int | str | None = None, icmp: str = "", source: str = "", destination: str = "", direction: str = "",
) -> FilterRule:  # fmt: skip
    """A packet filter's rule that drops: `kn.Deny("UDP", 8472)`, `kn.Deny("ICMP", icmp="frag-needed")`.

    `port`: a destination port or a range "30000-32767". `source`, `destination`: networks. `direction`: "ingress" to the machine,
    "egress" from it, "" both. Without any condition: whatever no other rule lets through. Raises KubenetError.
    """
    return _rule("deny", protocol, port, icmp, source, destination, direction)


def Allow(
    protocol: str = "", port: int | str | None = None, icmp: str = "", source: str = "", destination: str = "", direction: str = "",
) -> FilterRule:  # fmt: skip
    """A packet filter's rule that lets through; as `kn.Deny`."""
    return _rule("allow", protocol, port, icmp, source, destination, direction)


def _rule(
    action: Literal["allow", "deny"], protocol: Any, port: Any, icmp: Any, source: Any, destination: Any, direction: Any
) -> FilterRule:  # fmt: skip
    for name, value in (("protocol", protocol), ("icmp", icmp), ("source", source), ("destination", destination), ("direction", direction)):
        if not isinstance(value, str):
            raise KubenetError(f"filter rule {name}: found {value!r}, expected a text")
    ports = None
    if port is not None:
        low, _, high = str(port).partition("-")
        if isinstance(port, bool) or not (low.isascii() and low.isdigit()) or (high and not (high.isascii() and high.isdigit())):
            raise KubenetError(f"filter rule port: found {port!r}, expected a number or a range such as '30000-32767'")
        ports = int(low), int(high or low)
    return FilterRule(action, direction.lower(), protocol.upper(), ports, icmp.lower(), source, destination)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A list of what may pass, as clouds have it: `kn.SecurityGroup(ingress=["udp 8472 from 192.168.50.0/24", "tcp 10250"])`.

    What no entry of `ingress` names does not come in; answers do. `egress` None: everything may leave; a list: what it names.
    """

    ingress: Any = ()
    egress: Any = None

    def __post_init__(self) -> None:
        self.rules  # noqa: B018 - raises for what is no rule

    @property
    def rules(self) -> tuple[FilterRule, ...]:
        out: list[FilterRule] = []
        for direction, given in (("ingress", self.ingress), ("egress", self.egress)):
            if given is None:
                continue
            for r in rules_of(given, "allow"):
                if r.action != "allow" or r.direction not in ("", direction):
                    raise KubenetError(f"SecurityGroup {direction}: found {str(r)!r}, expected what may pass, such as 'udp 8472'")
                out.append(FilterRule("allow", direction, r.protocol, r.ports, r.icmp, r.source, r.destination))
            out.append(FilterRule("deny", direction))
        return tuple(out)


def rules_of(given: Any, default: str = "") -> tuple[FilterRule, ...]:
    """Rules from what people write: a rule, a text ("deny udp 8472; deny tcp 22"), a dict, a security group, a list of these.

    `default`: the action of a text that names none. Raises KubenetError.
    """
    if given is None:
        return ()
    if isinstance(given, FilterRule):
        return (given,)
    if isinstance(given, SecurityGroup):
        return given.rules
    if isinstance(given, str):
        texts = [t.strip() for t in given.split(";") if t.strip()]
        return tuple(FilterRule.parse(t if t.lower().startswith(("allow", "deny")) or not default else f"{default} {t}") for t in texts)
    if isinstance(given, Mapping):
        fields = ("protocol", "port", "icmp", "source", "destination", "direction")
        action = given.get("action", default)
        if action not in ("allow", "deny") or not given.keys() - {"action"} <= set(fields):
            raise KubenetError(f"filter rule: found {dict(given)!r}, expected the action allow or deny, and of {', '.join(fields)}")
        return (_rule(action, *(given.get(f, None if f == "port" else "") for f in fields)),)
    if isinstance(given, Iterable):
        return tuple(r for g in given for r in rules_of(g, default))
    raise KubenetError(f"filter rules: found {given!r}, expected rules such as 'deny udp 8472' or kn.Deny('UDP', 8472)")


def check_place(where: str, rules: Iterable[FilterRule]) -> None:
    """Raises KubenetError for what cannot be at this place."""
    if where == ROUTER_KEY and any(r.direction for r in rules):
        raise KubenetError("the router's filter: found ingress or egress, expected rules for all that passes it")


def set_filter(network: Network, where: str, rules: tuple[FilterRule, ...]) -> None:
    """Program a filter: at a node's port, or as iptables rules on the router. An empty one is none."""
    check_place(where, rules)
    if where == ROUTER_KEY:
        filter_router(network.namespaces[ROUTER], rules)
    else:
        network.filter_port(where, PortFilter(f"the security group of {where}", rules))


def place_filters(network: Network, filters: Mapping[str, tuple[FilterRule, ...]], nodes: Iterable[str]) -> None:
    """Program what an underlay's options say. A node's own rules come before those of every node."""
    if filters.get(ROUTER_KEY):
        set_filter(network, ROUTER_KEY, filters[ROUTER_KEY])
    for node in nodes:
        rules = (*filters.get(node, ()), *filters.get(EVERY_NODE, ()))
        if rules:
            set_filter(network, node, rules)
