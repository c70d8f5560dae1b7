"""What a rule can look at: header fields, meta data, connection tracking, the routing table, chance.

`get` gives the value for a packet, None where the packet has none (the rule then does not match).
Sources: nftables 1.0.6 src/proto.c, src/meta.c, src/ct.c; Linux net/netfilter/nft_{payload,meta,ct,fib,numgen}.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ...errors import NotModelled
from ..address import number
from ..chance import Weights
from ..iptables.match_tracking import PROTO_NAMES
from ..packet import Icmp, Tcp
from .datatypes import TYPES, DataType

if TYPE_CHECKING:
    from ..hooks import Skb

__all__ = ["Concat", "Field", "Get", "Mixed", "Numgen", "Place", "Selector", "field_of"]

Get: TypeAlias = "Callable[[Skb], Any]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule stands: names the choices that it makes."""

    family: str
    table: str
    chain: str
    number: int  # 1-based
    uid: int = 0

    @property
    def chooser(self) -> str:
        return f"nft {self.family} {self.table} {self.chain} {self.number}"


class Selector(Protocol):
    """Something a rule looks at. `layer`: the IP version (4, 6) and the transport protocol that a packet must have for it."""

    @property
    def type(self) -> DataType: ...
    @property
    def layer(self) -> tuple[int, str]: ...
    def compile(self, place: Place) -> Get: ...


_NUMBERS = {name: value for value, name in PROTO_NAMES.items()}
_STATE = {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}
_FIB = {"UNICAST": 1, "LOCAL": 2, "BROADCAST": 3, "ANYCAST": 4, "MULTICAST": 5, "BLACKHOLE": 6, "UNREACHABLE": 7, "PROHIBIT": 8}
_PKTTYPE = {"unicast": 0, "broadcast": 1, "multicast": 2, "otherhost": 3}
_TCP_BITS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}


def protocol_number(proto: str) -> int:
    found = _NUMBERS.get(proto)
    return int(proto) if found is None and proto.isdigit() else found or 0


def _port(which: str) -> Get:
    def get(c: Skb) -> Any:
        return None if c.packet.frag > 0 else getattr(c.packet.l4, which)

    return get


def _tcp_flags(c: Skb) -> Any:
    l4 = c.packet.l4
    return sum(_TCP_BITS[f] for f in l4.flags) if isinstance(l4, Tcp) and not c.packet.frag else None


def _icmp(which: str) -> Get:
    return lambda c: getattr(c.packet.l4, which) if isinstance(c.packet.l4, Icmp) and not c.packet.frag else None


def _state(c: Skb) -> int:
    return sum(_STATE.get(name, 0) for name in c.ctstate)


def _status(c: Skb) -> Any:
    ct = c.ct
    if ct is None:
        return None
    return 2 * ct.seen_reply + 4 * ct.assured + 8 * ct.confirmed + 16 * ct.snat + 32 * ct.dnat


def _direction(c: Skb) -> Any:
    return None if c.ct is None else int(c.ctinfo.endswith("reply"))


def _tuple(reply: bool, index: int) -> Get:
    def get(c: Skb) -> Any:
        if c.ct is None:
            return None
        value = (c.ct.reply if reply else c.ct.orig)[index]
        return number(value) if isinstance(value, str) else value

    return get


def _hardware(which: str) -> Get:
    return lambda c: int(getattr(c, which).replace(":", ""), 16)


def _fib(which: str) -> Get:
    return lambda c: _FIB.get(c.addrtype(getattr(c.packet, which)), 1)


Row = tuple[str, Get, tuple[int, str]]
_ANY = (0, "")
_T4, _T6 = (4, ""), (6, "")
_FIELDS: dict[str, Row] = {
    "ip saddr": ("ipv4_addr", lambda c: number(c.packet.src), _T4),
    "ip daddr": ("ipv4_addr", lambda c: number(c.packet.dst), _T4),
    "ip protocol": ("inet_proto", lambda c: protocol_number(c.packet.proto), _T4),
    "ip ttl": ("integer", lambda c: c.packet.ttl, _T4),
    "ip6 saddr": ("ipv6_addr", lambda c: number(c.packet.src), _T6),
    "ip6 daddr": ("ipv6_addr", lambda c: number(c.packet.dst), _T6),
    "ip6 nexthdr": ("inet_proto", lambda c: protocol_number(c.packet.proto), _T6),
    "ip6 hoplimit": ("integer", lambda c: c.packet.ttl, _T6),
    **{
        f"{proto} {which}": ("inet_service", _port(which), (0, "" if proto == "th" else proto))
        for proto in ("tcp", "udp", "sctp", "th") for which in ("sport", "dport")
    },
    "tcp flags": ("tcp_flag", _tcp_flags, (0, "tcp")),
    "icmp type": ("icmp_type", _icmp("type"), (4, "icmp")),
    "icmp code": ("integer", _icmp("code"), (4, "icmp")),
    "icmpv6 type": ("icmpv6_type", _icmp("type"), (6, "ipv6-icmp")),
    "icmpv6 code": ("integer", _icmp("code"), (6, "ipv6-icmp")),
    "ether saddr": ("ether_addr", _hardware("smac"), _ANY),
    "ether daddr": ("ether_addr", _hardware("dmac"), _ANY),
    "meta mark": ("mark", lambda c: c.mark, _ANY),
    "meta l4proto": ("inet_proto", lambda c: protocol_number(c.packet.proto), _ANY),
    "meta nfproto": ("nf_proto", lambda c: 2 if c.packet.family == 4 else 10, _ANY),
    "meta protocol": ("ether_type", lambda c: 0x0800 if c.packet.family == 4 else 0x86DD, _ANY),
    "meta length": ("integer", lambda c: c.packet.size, _ANY),
    "meta iifname": ("ifname", lambda c: c.indev, _ANY),  # "" where a hook has no such device: != matches then (measured)
    "meta oifname": ("ifname", lambda c: c.outdev, _ANY),
    "meta iif": ("iface_index", lambda c: c.indev, _ANY),
    "meta oif": ("iface_index", lambda c: c.outdev, _ANY),
    "meta pkttype": ("pkt_type", lambda c: _PKTTYPE.get(c.pkttype, 0), _ANY),
    "ct state": ("ct_state", _state, _ANY),
    "ct status": ("ct_status", _status, _ANY),
    "ct direction": ("ct_dir", _direction, _ANY),
    "ct mark": ("mark", lambda c: c.connmark if c.ct else None, _ANY),
    **{
        f"ct {way} {ip} {which}": (f"ipv{4 if ip == 'ip' else 6}_addr", _tuple(way == "reply", at), (4 if ip == "ip" else 6, ""))
        for way in ("original", "reply") for ip in ("ip", "ip6") for which, at in (("saddr", 0), ("daddr", 2))
    },
    **{
        f"ct {way} {which}": ("inet_service", _tuple(way == "reply", at), _ANY)
        for way in ("original", "reply") for which, at in (("proto-src", 1), ("proto-dst", 3))
    },
    "fib saddr type": ("fib_addrtype", _fib("src"), _ANY),
    "fib daddr type": ("fib_addrtype", _fib("dst"), _ANY),
}  # fmt: skip
#: printed without "meta"
_BARE = {f"meta {word}": word for word in ("iifname", "oifname", "iif", "oif")}


@dataclass(frozen=True, slots=True)
class Field:
    """One field, by the words that name it in full: "ip saddr", "meta mark"."""

    words: str

    @property
    def type(self) -> DataType:
        return TYPES[_FIELDS[self.words][0]]

    @property
    def layer(self) -> tuple[int, str]:
        return _FIELDS[self.words][2]

    def compile(self, place: Place) -> Get:
        get, (version, transport) = _FIELDS[self.words][1], self.layer
        if not version and not transport:
            return get
        wanted = protocol_number(transport.upper()) if transport in ("tcp", "udp", "sctp", "icmp") else 58 if transport else 0
        names = {0: "", 6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMP", 58: "ICMPv6"}
        proto = names[wanted]

        def checked(c: Skb) -> Any:
            packet = c.packet
            if (version and packet.family != version) or (proto and packet.proto != proto):
                return None
            return get(c)

        return checked

    def __str__(self) -> str:
        return _BARE.get(self.words, self.words)


@dataclass(frozen=True, slots=True)
class Concat:
    """Several fields as one key: `ip daddr . meta l4proto . th dport`."""

    parts: tuple[Field, ...]

    @property
    def types(self) -> tuple[DataType, ...]:
        return tuple(p.type for p in self.parts)

    @property
    def type(self) -> DataType:
        return self.parts[0].type

    @property
    def layer(self) -> tuple[int, str]:
        version = next((p.layer[0] for p in self.parts if p.layer[0]), 0)
        return version, next((p.layer[1] for p in self.parts if p.layer[1]), "")

    def compile(self, place: Place) -> Get:
        gets = [p.compile(place) for p in self.parts]

        def get(c: Skb) -> Any:
            key = []
            for one in gets:
                value = one(c)
                if value is None:
                    return None
                key.append(value)
            return tuple(key)

        return get

    def __str__(self) -> str:
        return " . ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class Mixed:
    """(value & mask) ^ xor: what `and`, `or` and `xor` come to (nft_bitwise)."""

    of: Field
    mask: int
    xor: int = 0

    @property
    def type(self) -> DataType:
        return self.of.type

    @property
    def layer(self) -> tuple[int, str]:
        return self.of.layer

    def and_(self, value: int) -> Mixed:
        return Mixed(self.of, self.mask & value, self.xor & value)

    def or_(self, value: int) -> Mixed:
        return Mixed(self.of, self.mask & ~value & self.type.full, self.xor & ~value & self.type.full | value)

    def xor_(self, value: int) -> Mixed:
        return Mixed(self.of, self.mask, self.xor ^ value)

    def compile(self, place: Place) -> Get:
        get, mask, xor = self.of.compile(place), self.mask, self.xor

        def mixed(c: Skb) -> Any:
            value = get(c)
            return None if value is None else value & mask ^ xor

        return mixed

    def __str__(self) -> str:
        full, text, m, x, o = self.type.full, self.type.text, self.mask, self.xor, 0
        if m != full or x:
            o = m & x ^ x
            x ^= o
            m |= o
        out = str(self.of)
        out += f" & {text(m)}" if m != full else ""
        out += f" ^ {text(x)}" if x else ""
        return out + (f" | {text(o)}" if o else "")


@dataclass(frozen=True, slots=True)
class Numgen:
    """A number from `offset` to offset + mod - 1: drawn (`random`), or one after the other (`inc`)."""

    mode: str
    mod: int
    offset: int = 0

    @property
    def type(self) -> DataType:
        return TYPES["integer"]

    @property
    def layer(self) -> tuple[int, str]:
        return _ANY

    def compile(self, place: Place) -> Get:
        mod, offset, chooser = self.mod, self.offset, place.chooser
        if self.mode == "random":
            weights = Weights.even(mod)
            return (lambda c: offset) if mod == 1 else (lambda c: offset + c.choose(weights, chooser))

        def following(c: Skb) -> int:
            memory = c.recent(f"/{chooser}")
            count = (int(memory.get("", (-1.0,))[0]) + 1) % mod
            memory[""] = (float(count),)
            return offset + count

        return following

    def __str__(self) -> str:
        return f"numgen {self.mode} mod {self.mod}" + (f" offset {self.offset}" if self.offset else "")


_META = frozenset(w.split()[1] for w in _FIELDS if w.startswith("meta "))
_UNMODELLED = frozenset(("dscp", "ecn", "id", "hdrlength", "version", "checksum", "length", "flowlabel", "skuid", "skgid", "rtclassid",
    "cgroup", "cpu", "iifgroup", "oifgroup", "iiftype", "oiftype", "day", "hour", "time", "zone", "helper", "label", "expiration", "id",
    "bytes", "packets", "avgpkt", "sequence", "ackseq", "window", "doff", "urgptr", "mtu", "nftrace", "priority"))  # fmt: skip


def field_of(words: tuple[str, ...]) -> tuple[Field, int] | None:
    """The field that these words begin with, and how many of them it takes. Raises NotModelled for one the lab does not know of."""
    if not words:
        return None
    if words[0] in _META and words[0] not in ("protocol", "length", "l4proto"):
        return Field(f"meta {words[0]}"), 1
    for n in (4, 3, 2):
        name = " ".join(words[:n])
        if len(words) >= n and name in _FIELDS:
            return Field(name), n
    if words[0] in ("ip", "ip6", "tcp", "udp", "sctp", "th", "icmp", "icmpv6", "meta", "ct", "fib") and len(words) > 1:
        if words[0] == "fib" or words[1] in _UNMODELLED:
            raise NotModelled(f"nft expression `{' '.join(words[:2])}`")
        return None
    if words[0] in ("ether", "vlan", "arp", "ah", "esp", "comp", "udplite", "dccp", "exthdr", "rt", "hbh", "frag", "dst", "mh", "socket",
                    "osf", "jhash", "symhash", "ipsec", "tunnel", "igmp"):  # fmt: skip
        raise NotModelled(f"nft expression `{words[0]}`")
    return None
