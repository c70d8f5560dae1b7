"""A packet's headers as `trace.Header` values, outermost first."""

from __future__ import annotations

from ..trace import Field, Header
from .packet import Arp, Enclosed, Frame, Icmp, Packet, Raw, Tcp, Udp, Vxlan, WireGuard

__all__ = ["headers"]

_FLAGS = {"S": "SYN", "A": "ACK", "R": "RST", "F": "FIN", "P": "PSH"}
_ICMP = {
    (8, 0): "echo request", (0, 0): "echo reply", (3, 0): "net unreachable", (3, 1): "host unreachable", (3, 2): "protocol unreachable",
    (3, 3): "port unreachable", (3, 4): "fragmentation needed", (3, 13): "admin prohibited", (11, 0): "TTL exceeded",
    (3, 10): "host prohibited", (3, 9): "net prohibited",
}  # fmt: skip
_ICMP6 = {
    (128, 0): "echo request", (129, 0): "echo reply", (1, 0): "no route", (1, 1): "admin prohibited", (1, 3): "address unreachable",
    (1, 4): "port unreachable", (2, 0): "packet too big", (3, 0): "hop limit exceeded",
}  # fmt: skip


def headers(body: Packet | Arp | Frame, smac: str = "", dmac: str = "") -> tuple[Header, ...]:
    """`smac` and `dmac` give the Ethernet header of a bare packet; without them it has none (it is inside a stack)."""
    if isinstance(body, Frame):
        return headers(body.body, body.src, body.dst)
    out: list[Header] = []
    if dmac:
        kind = "ARP" if isinstance(body, Arp) else "IPv4" if body.family == 4 else "IPv6"
        out.append(_header("Ethernet", 14, src=smac, dst=dmac, type=kind))
    if isinstance(body, Arp):
        out.append(_header("ARP", body.size, op=body.op, sender=f"{body.sender_ip} {body.sender_mac}", target=body.target_ip))
        return tuple(out)
    v4 = body.family == 4
    fields = {"src": body.src, "dst": body.dst, "ttl": str(body.ttl), "proto": body.proto}
    if v4:
        fields["flags"] = "DF" if body.df else "MF" if body.more else "none"
    if body.is_fragment:
        fields["fragment"] = f"offset {body.frag}" + (", more follow" if body.more else ", last")
    out.append(_header("IPv4" if v4 else "IPv6", body.header_size, **fields))
    l4 = body.l4
    if isinstance(l4, Tcp):
        fields = {"sport": str(l4.sport), "dport": str(l4.dport), "flags": "-".join(_FLAGS[c] for c in l4.flags)}
        if l4.mss is not None:
            fields["mss"] = str(l4.mss)
        out.append(_header("TCP", l4.header_size, **fields))
    elif isinstance(l4, Udp):
        out.append(_header("UDP", 8, sport=str(l4.sport), dport=str(l4.dport)))
        if isinstance(l4.payload, Vxlan):
            out.append(_header("VXLAN", 8, vni=str(l4.payload.vni)))
            return (*out, *headers(l4.payload.frame))
        if isinstance(l4.payload, WireGuard):
            out.append(_header("WireGuard", len(l4.payload) - l4.payload.packet.size, type="data", tag="16 bytes"))
        if isinstance(l4.payload, WireGuard | Enclosed):
            return (*out, *headers(l4.payload.packet))
    elif isinstance(l4, Icmp):
        words = (_ICMP if v4 else _ICMP6).get((l4.type, l4.code), "")
        fields = {"type": f"{l4.type}/{l4.code}" + (f" {words}" if words else "")}
        if l4.mtu:
            fields["mtu"] = str(l4.mtu)
        if l4.quote is not None:
            fields["about"] = f"{l4.quote.src} → {l4.quote.dst}" + (f":{l4.quote.dport}" if l4.quote.dport else "")
        else:
            fields["id"] = str(l4.id)
        out.append(_header("ICMP" if v4 else "ICMPv6", 8, **fields))
    size = l4.size - l4.header_size
    if size > 0 or isinstance(l4, Raw):
        out.append(_header("data", size))
    return tuple(out)


def _header(name: str, size: int, **fields: str) -> Header:
    return Header(name, size, tuple(Field(k, v) for k, v in fields.items()))
