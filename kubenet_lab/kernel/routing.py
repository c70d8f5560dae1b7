"""Routing tables, `ip rule`, longest-prefix match and source address choice.

Source of the behaviour: Linux net/ipv4/fib_trie.c, fib_rules.c, fib_semantics.c; ip-route(8), ip-rule(8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .address import Prefix, number, prefix
from .value import Value, value

__all__ = ["LOCAL", "TABLES", "Fib", "Route", "RouteType", "RoutingRule", "default_rules"]

RouteType = Literal["unicast", "local", "broadcast", "anycast", "blackhole", "unreachable", "prohibit", "throw"]

#: the types of routes to this namespace itself
LOCAL = ("local", "anycast")
TABLES = {"local": 255, "main": 254, "default": 253}
_TABLE_NAMES = {v: k for k, v in TABLES.items()}


@value
class Route(Value):
    """One route. `dst` is a CIDR ("0.0.0.0/0" and "::/0" are default); `mtu` 0 means the device's, `advmss` 0 what the MTU leaves."""

    dst: str
    dev: str = ""
    via: str = ""
    type: RouteType = "unicast"
    scope: Literal["global", "link", "host", "nowhere"] = "global"
    src: str = ""
    metric: int = 0
    proto: str = "boot"  # "kernel", "boot", "static" ...: who put it there; "rule": no route, an `ip rule` said so
    onlink: bool = False
    mtu: int = 0
    advmss: int = 0  # the MSS that TCP announces by this route, whatever the MTU
    table: int = 254
    origin: str = ""

    @property
    def family(self) -> int:
        return 6 if ":" in self.dst else 4

    @property
    def default(self) -> bool:
        return self.dst in ("0.0.0.0/0", "::/0")

    @property
    def key(self) -> tuple[str, int, int]:
        """Two routes of one table with the same key are the same entry to `ip route add` ("File exists")."""
        return (self.dst, self.metric, self.table)

    def __str__(self) -> str:
        """As `ip route show` prints it."""
        p = prefix(self.dst)
        name = "default" if self.default else str(prefix(self.dst).address) if p.length == p.bits else self.dst
        words = [name] if self.type == "unicast" else [self.type, name]
        if self.via:
            words += ["via", self.via]
        if self.dev:
            words += ["dev", self.dev]
        if self.table not in (254, 255) and self.table:
            words += ["table", _TABLE_NAMES.get(self.table, str(self.table))]
        if self.proto != "boot":
            words += ["proto", self.proto]
        if self.scope != "global" and self.family == 4:
            words += ["scope", self.scope]
        if self.src:
            words += ["src", self.src]
        if self.metric:
            words += ["metric", str(self.metric)]
        if self.mtu:
            words += ["mtu", str(self.mtu)]
        if self.advmss:
            words += ["advmss", str(self.advmss)]
        if self.onlink:
            words += ["onlink"]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """One `ip rule`. Empty fields match everything."""

    priority: int
    table: int
    src: str = ""  # CIDR
    dst: str = ""
    fwmark: int = 0
    fwmask: int = 0
    iif: str = ""
    oif: str = ""
    action: Literal["lookup", "blackhole", "unreachable", "prohibit"] = "lookup"
    family: int = 4
    invert: bool = False

    def matches(self, src: str, dst: str, mark: int, iif: str, oif: str) -> bool:
        hit = not (
            (self.src and (not src or src not in prefix(self.src)))  # no source yet is 0.0.0.0
            or (self.dst and dst not in prefix(self.dst))
            or (self.fwmask and mark & self.fwmask != self.fwmark)
            or (self.iif and self.iif != (iif or "lo"))  # what is sent from here "comes in" by lo
            or (self.oif and self.oif != oif)
        )
        return hit != self.invert

    def __str__(self) -> str:
        """As `ip rule show` prints it."""
        words = [f"{self.priority}:\t" + ("not " if self.invert else "") + "from " + (_bare(self.src) or "all")]
        if self.dst:
            words.append(f"to {_bare(self.dst)}")
        if self.fwmask:
            words.append(f"fwmark {self.fwmark:#x}" + ("" if self.fwmask == 0xFFFFFFFF else f"/{self.fwmask:#x}"))
        if self.iif:
            words.append(f"iif {self.iif}")
        if self.oif:
            words.append(f"oif {self.oif}")
        words.append(f"lookup {_TABLE_NAMES.get(self.table, self.table)}" if self.action == "lookup" else self.action)
        return " ".join(words)


def _bare(cidr: str) -> str:
    return cidr.split("/")[0] if cidr.endswith(("/32", "/128")) else cidr


def default_rules(family: int) -> tuple[RoutingRule, ...]:
    rules = [RoutingRule(0, 255, family=family), RoutingRule(32766, 254, family=family)]
    if family == 4:
        rules.append(RoutingRule(32767, 253))
    return tuple(rules)


class Fib:
    """Routes of one namespace and family compiled for lookup: per table, per prefix length, by network number."""

    __slots__ = ("_by_device", "_cache", "_rules", "_simple", "_tables")

    def __init__(self, routes: Iterable[Route], rules: Iterable[RoutingRule]):
        tables: dict[int, dict[int, dict[int, list[tuple[Prefix, Route]]]]] = {}
        for r in routes:
            p = prefix(r.dst)
            tables.setdefault(r.table, {}).setdefault(p.length, {}).setdefault(p.network, []).append((p, r))
        self._tables = {}
        for table, lengths in tables.items():
            for nets in lengths.values():
                for found in nets.values():
                    found.sort(key=lambda pr: pr[1].metric)  # stable: the first added of equals wins
            self._tables[table] = sorted(lengths.items(), reverse=True)
        # in IPv6 what comes in prefers, of routes that are equal, the one of the device it came by (rt6_score_route)
        self._by_device = any(
            len(found) > 1 and found[0][1].family == 6
            for lengths in tables.values() for nets in lengths.values() for found in nets.values()
        )  # fmt: skip
        self._rules = sorted(rules, key=lambda r: r.priority)
        # only destination decides while every rule is "from all lookup T": then answers can be cached by destination
        self._simple = all(r == RoutingRule(r.priority, r.table, family=r.family) for r in self._rules)
        self._cache: dict[tuple[str, str, str], Route | None] = {}

    def lookup(self, dst: str, *, src: str = "", mark: int = 0, iif: str = "", oif: str = "") -> Route | None:
        """The route for a packet, or None ("Network is unreachable")."""
        if self._simple:
            key = (dst, oif, iif if self._by_device else "")
            if key in self._cache:
                return self._cache[key]
            found = self._find(dst, src, mark, iif, oif)
            self._cache[key] = found
            return found
        return self._find(dst, src, mark, iif, oif)

    def towards_gateway(self, dst: str, oif: str = "") -> Route | None:
        """The route by which a new route's gateway is reached: in IPv4 only routes of scope link or narrower (fib_check_nh_v4_gw)."""
        if ":" in dst:
            return self.lookup(dst, oif=oif)
        value = number(dst)
        for rule in self._rules:
            if rule.action != "lookup" or not rule.matches("", dst, 0, "", oif):
                continue
            for length, nets in self._tables.get(rule.table, ()):
                network = value >> (32 - length) << (32 - length) if length else 0
                for _, route in nets.get(network, ()):
                    if route.scope != "global" and (not oif or route.dev == oif):
                        return route
        return None

    def _find(self, dst: str, src: str, mark: int, iif: str, oif: str) -> Route | None:
        for rule in self._rules:
            if not rule.matches(src, dst, mark, iif, oif):
                continue
            if rule.action != "lookup":
                return Route("0.0.0.0/0" if rule.family == 4 else "::/0", type=rule.action, proto="rule", table=rule.table)
            found = self._in_table(rule.table, dst, oif, iif if self._by_device else "")
            if found is not None and found.type != "throw":
                return found
        return None

    def _in_table(self, table: int, dst: str, oif: str, iif: str) -> Route | None:
        value = number(dst)
        bits = 128 if ":" in dst else 32
        for length, nets in self._tables.get(table, ()):
            network = value >> (bits - length) << (bits - length) if length else 0
            fit = [route for _, route in nets.get(network, ()) if not oif or route.dev == oif]
            if fit:
                return next((r for r in fit if r.dev == iif and r.metric == fit[0].metric), fit[0]) if iif else fit[0]
        return None
