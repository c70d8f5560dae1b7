"""The statements that end a packet's way otherwise: NAT and reject.

Sources: Linux net/netfilter/nft_{nat,masq,redir,reject}.c; texts measured, nftables 1.0.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from ...errors import NotModelled
from ..iptables import NatRange
from .selectors import Place
from .statements import Deed, MapValue, Sets, Statement, Step

if TYPE_CHECKING:
    from ..hooks import Skb

__all__ = ["REJECTS", "Nat", "Reject"]

_ICMP = {
    "net-unreachable": "icmp-net-unreachable", "host-unreachable": "icmp-host-unreachable", "prot-unreachable": "icmp-proto-unreachable",
    "port-unreachable": "icmp-port-unreachable", "net-prohibited": "icmp-net-prohibited", "host-prohibited": "icmp-host-prohibited",
    "admin-prohibited": "icmp-admin-prohibited",
}  # fmt: skip
_ICMP6 = {
    "no-route": "icmp6-no-route", "admin-prohibited": "icmp6-adm-prohibited", "addr-unreachable": "icmp6-addr-unreachable",
    "port-unreachable": "icmp6-port-unreachable", "policy-fail": "", "reject-route": "",
}  # fmt: skip
_ICMPX = {
    "port-unreachable": ("icmp-port-unreachable", "icmp6-port-unreachable"),
    "admin-prohibited": ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
    "no-route": ("icmp-net-unreachable", "icmp6-no-route"), "host-unreachable": ("icmp-host-unreachable", "icmp6-addr-unreachable"),
}  # fmt: skip
REJECTS = {"icmp": tuple(_ICMP), "icmpv6": tuple(_ICMP6), "icmpx": tuple(_ICMPX)}


@dataclass(frozen=True, slots=True)
class Reject(Statement):
    """`kind`: "tcp", "icmp", "icmpv6", "icmpx"; `plain`: it is the family's usual answer and is printed without a type."""

    kind: str
    code: str
    plain: bool = False

    def compile(self, place: Place, sets: Sets) -> Step:
        kind, code = self.kind, self.code
        if kind == "tcp":
            reset = Deed("REJECT", "tcp-reset")
            return lambda c: reset if c.packet.proto == "TCP" else False
        if kind == "icmpx":
            four, six = (Deed("REJECT", how) for how in _ICMPX[code])
            return lambda c: four if c.packet.family == 4 else six
        how = (_ICMP if kind == "icmp" else _ICMP6)[code]
        if not how:
            raise NotModelled(f"reject with icmpv6 {code}")
        version, deed = 4 if kind == "icmp" else 6, Deed("REJECT", how)
        return lambda c: deed if c.packet.family == version else False

    def __str__(self) -> str:
        if self.plain:
            return "reject"
        return "reject with tcp reset" if self.kind == "tcp" else f"reject with {self.kind} {self.code}"


@dataclass(frozen=True, slots=True)
class Nat(Statement):
    """`kind`: dnat, snat, masquerade, redirect. `family`: "ip" or "ip6" where an inet table names it; addresses and ports are ranges,
    or `mapped` gives them."""

    kind: str
    family: str = ""
    addresses: tuple[str, str] | None = None
    ports: tuple[int, int] | None = None
    mapped: MapValue | None = None
    flags: tuple[str, ...] = ()

    def compile(self, place: Place, sets: Sets) -> Step:
        random, fully = "random" in self.flags, "fully-random" in self.flags
        version = {"ip": 4, "ip6": 6}.get(self.family, 0)
        kind = self.kind.upper()

        def range_of(addresses: tuple[str, str] | None, ports: tuple[int, int] | None) -> NatRange:
            return NatRange(addresses, ports, None, random, fully, "persistent" in self.flags)

        if self.mapped is None:
            deed = Deed(kind, range_of(self.addresses, self.ports))
            if not version:
                return lambda c: deed
            return lambda c: deed if c.packet.family == version else False
        get = self.mapped.compile(place, sets)

        def mapped(c: Skb) -> bool | Deed:
            if version and c.packet.family != version:
                return False
            data = get(c)
            if data is None:
                return False
            address, *port = data if isinstance(data, tuple) else (data,)
            text = str(IPv4Address(address) if c.packet.family == 4 else IPv6Address(address))
            return Deed(kind, range_of((text, text), (port[0], port[0]) if port else None))

        return mapped

    def __str__(self) -> str:
        out = self.kind + (f" {self.family}" if self.family else "")
        flags = " " + ",".join(self.flags) if self.flags else ""
        if self.mapped is not None:
            return f"{out} to {self.mapped}{flags}"
        ports = "" if not self.ports else str(self.ports[0]) if self.ports[0] == self.ports[1] else f"{self.ports[0]}-{self.ports[1]}"
        to = "-".join(dict.fromkeys(self.addresses)) if self.addresses else ""
        if to and ports and ":" in to:
            to = "-".join(f"[{a}]" for a in dict.fromkeys(self.addresses or ()))
        to += f":{ports}" if ports else ""
        return f"{out} to {to}{flags}" if to else out + flags
