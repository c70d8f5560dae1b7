"""ICMP errors as packets that walk back, and what a socket makes of them.

Sources: Linux net/ipv4/icmp.c (icmp_send, icmp_err_convert), net/ipv6/icmp.c, net/netfilter/nf_reject_ipv4.c; RFC 1122, RFC 4443.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .address import number
from .flight import Flight
from .packet import Icmp, Packet, Tcp

if TYPE_CHECKING:
    from .walk import Successor, Walk

__all__ = ["ERRORS", "errno_of", "error", "reject"]

#: name -> (ICMP type, code), (ICMPv6 type, code)
ERRORS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "net-unreachable": ((3, 0), (1, 0)),
    "host-unreachable": ((3, 1), (1, 3)),
    "proto-unreachable": ((3, 2), (4, 1)),
    "port-unreachable": ((3, 3), (1, 4)),
    "frag-needed": ((3, 4), (2, 0)),
    "net-prohibited": ((3, 9), (1, 1)),
    "host-prohibited": ((3, 10), (1, 1)),
    "admin-prohibited": ((3, 13), (1, 1)),
    "ttl-exceeded": ((11, 0), (3, 0)),
    "reassembly-timeout": ((11, 1), (3, 1)),
}

_REJECT_WITH = {
    "icmp-net-unreachable": "net-unreachable", "icmp-host-unreachable": "host-unreachable", "icmp-port-unreachable": "port-unreachable",
    "icmp-proto-unreachable": "proto-unreachable", "icmp-net-prohibited": "net-prohibited", "icmp-host-prohibited": "host-prohibited",
    "icmp-admin-prohibited": "admin-prohibited", "icmp6-no-route": "net-unreachable", "icmp6-adm-prohibited": "admin-prohibited",
    "icmp6-addr-unreachable": "host-unreachable", "icmp6-port-unreachable": "port-unreachable",
}  # fmt: skip

#: protocols without a checksum over all they carry: REJECT does not verify theirs (nf_reject_verify_csum)
_NO_SUM = ("SCTP", "GRE", "ESP", "AH", "DCCP", "UDPLITE", "132", "47", "50", "51", "33", "136")

#: ICMP code of type 3 -> errno (icmp_err_convert)
_UNREACHABLE = {
    0: "ENETUNREACH", 1: "EHOSTUNREACH", 2: "ENOPROTOOPT", 3: "ECONNREFUSED", 4: "EMSGSIZE", 5: "EOPNOTSUPP", 6: "ENETUNREACH",
    7: "EHOSTDOWN", 8: "ENONET", 9: "ENETUNREACH", 10: "EHOSTUNREACH", 11: "ENETUNREACH", 12: "EHOSTUNREACH", 13: "EHOSTUNREACH",
    14: "EHOSTUNREACH", 15: "EHOSTUNREACH",
}  # fmt: skip
#: ICMPv6 code of type 1 -> errno (icmpv6_err_convert)
_UNREACHABLE6 = {0: "ENETUNREACH", 1: "EACCES", 2: "EHOSTUNREACH", 3: "EHOSTUNREACH", 4: "ECONNREFUSED", 5: "EACCES", 6: "EACCES"}


def errno_of(message: Icmp, fam: int) -> str:
    """The errno a socket gets for an ICMP error."""
    if fam == 6:
        if message.type == 1:
            return _UNREACHABLE6.get(message.code, "EHOSTUNREACH")
        return {2: "EMSGSIZE", 3: "EHOSTUNREACH", 4: "EPROTO"}.get(message.type, "EPROTO")
    if message.type == 3:
        return _UNREACHABLE.get(message.code, "EHOSTUNREACH")
    return "EHOSTUNREACH" if message.type == 11 else "EPROTO"


def is_error(packet: Packet) -> bool:
    return isinstance(packet.l4, Icmp) and packet.l4.quote is not None


def error(w: Walk, f: Flight, kind: str, *, mtu: int = 0) -> list[Successor]:
    """The ICMP error that this namespace sends about the flight's packet; nothing where the RFCs forbid one."""
    packet = f.packet
    assert isinstance(packet, Packet)
    if is_error(packet) or (packet.frag > 0) or packet.src in ("0.0.0.0", "::"):
        return []
    ns = w.ns(f.ns)
    fam = packet.family
    if fam == 4 and (number(packet.dst) >> 28 == 14 or packet.dst == "255.255.255.255"):
        return []
    to_us = ns.fib(fam).lookup(packet.dst)
    mine = ns.local_device(packet.dst) is not None or (to_us is not None and to_us.type == "anycast")
    source = packet.dst if mine else ""
    kind4, kind6 = ERRORS[kind]
    type_, code = kind4 if fam == 4 else kind6
    quote = packet if packet.whole is None else packet.whole.but(ttl=packet.ttl)
    message = Icmp(type_, code, mtu=mtu, quote=quote)
    answer = Packet(source, packet.src, "ICMP" if fam == 4 else "ICMPv6", message, ttl=64, tos=0xC0 if fam == 4 else 0, df=False)
    g = Flight("output", ns.id, "", answer, cause=f.trail, label=f"icmp {kind}", **_attached(f))
    return [(0.0, w.note(g, "icmp.error", kind=kind, about=packet.dst, mtu=mtu, dev=f.indev or f.dev))]


def _attached(f: Flight) -> dict[str, Any]:
    """An answer in the kernel's own name belongs to the connection of its cause, confirmed or not (nf_conntrack_attach)."""
    if f.ct is None:
        return {}
    return {"ct": f.ct, "ctinfo": "related" if f.ctinfo in ("reply", "related-reply") else "related-reply"}


def _sum_accepted(w: Walk, f: Flight, fragment: Packet) -> bool:
    """REJECT verifies a packet's checksum, and a fragment's is of the whole (nf_send_unreach).

    What a tunnel has let out counts as verified: csum_valid of the outer UDP header stays on the skb (vxlan_rcv), WireGuard says so itself.
    """
    inward = w.ns(f.ns).links.get(f.indev)
    return fragment.proto in _NO_SUM or (inward is not None and inward.kind in ("vxlan", "wireguard"))


def reject(w: Walk, f: Flight, how: str) -> list[Successor]:
    """The target REJECT: an ICMP error, or a TCP reset in the name of the destination."""
    packet = f.packet
    assert isinstance(packet, Packet)
    if packet.is_fragment and not _sum_accepted(w, f, packet):
        return []
    if how != "tcp-reset":
        return error(w, f, _REJECT_WITH[how])
    l4 = packet.l4
    if not isinstance(l4, Tcp) or "R" in l4.flags:
        return []
    ack = l4.seq + len(l4.payload) + ("S" in l4.flags) + ("F" in l4.flags)
    reset = Tcp(
        l4.dport, l4.sport, "R" if "A" in l4.flags else "RA", seq=l4.ack if "A" in l4.flags else 0, ack=0 if "A" in l4.flags else ack
    )
    answer = Packet(packet.dst, packet.src, "TCP", reset, ttl=64)
    g = Flight("output", f.ns, "", answer, cause=f.trail, label="rst", **_attached(f))
    return [(0.0, w.note(g, "tcp.reset_sent", dev=f.indev or f.dev, port=l4.dport))]
