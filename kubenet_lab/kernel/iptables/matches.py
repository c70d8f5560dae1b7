"""Which matches there are, by name; and which the tool knows but the lab does not model."""

from __future__ import annotations

from ...errors import NotModelled
from .extension import Match
from .match_chance import HashLimit, Limit, Recent, Statistic
from .match_header import Dscp, Hl, Icmp, Icmp6, Length, PktType, Ttl
from .match_place import AddrType, Comment, Cpu, IpRange, Owner, PhysDev, SetMatch
from .match_tracking import ConnMark, Conntrack, Mark, State
from .match_transport import MultiPort, Sctp, Tcp, TcpMss, Udp
from .values import Bad

__all__ = ["MATCHES", "find_match", "protocol_match"]

MATCHES: dict[str, type[Match]] = {
    m.NAME: m
    for m in (
        Tcp, Udp, Sctp, Icmp, Icmp6, MultiPort, TcpMss, Ttl, Hl, Length, PktType, Dscp, Comment, AddrType, SetMatch, PhysDev, IpRange, Cpu,
        Owner, Mark, ConnMark, Conntrack, State, Statistic, Recent, Limit, HashLimit,
    )
}  # fmt: skip

_BY_PROTOCOL = {6: Tcp, 17: Udp, 132: Sctp, 1: Icmp, 58: Icmp6}

# extensions of iptables 1.8.9 that are left out
_LEFT_OUT = frozenset({
    "ah", "bpf", "cgroup", "cluster", "connbytes", "connlabel", "connlimit", "dccp", "devgroup", "dst", "ecn", "esp", "eui64", "frag",
    "hbh", "helper", "ipcomp", "ipv6header", "ipvs", "mac", "mh", "nfacct", "osf", "policy", "quota", "rateest", "realm", "rpfilter", "rt",
    "socket", "srh", "string", "time", "tos", "u32",
})  # fmt: skip


def find_match(name: str, family: int) -> type[Match]:
    """Raises Bad as the tool does for a name that is none, NotModelled for one that is left out."""
    found = MATCHES.get("icmp6" if name in ("icmpv6", "ipv6-icmp") else name)
    if found is not None and family in found.FAMILIES:
        return found
    if found is None and name in _LEFT_OUT:
        raise NotModelled(f"iptables -m {name}")
    raise Bad(f"Couldn't load match `{name}':No such file or directory\n")


def protocol_match(protocol: int, family: int) -> type[Match] | None:
    """The match that `-p` brings with it."""
    found: type[Match] | None = _BY_PROTOCOL.get(protocol)
    return found if found is not None and family in found.FAMILIES else None
