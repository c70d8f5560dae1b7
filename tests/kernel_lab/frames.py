"""Captured Ethernet frames read far enough to compare: addresses, sizes, flags, the MSS option and what VXLAN carries."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from kubenet_lab.kernel.packet import Arp, Packet, Tcp, Udp, Vxlan

FLAGS = ((0x02, "S"), (0x10, "A"), (0x08, "P"), (0x01, "F"), (0x04, "R"))


@dataclass(frozen=True)
class Seen:
    """One IP packet on a link. `inner` is the frame inside a VXLAN packet."""

    smac: str
    dmac: str
    src: str
    dst: str
    proto: int
    ttl: int
    df: bool
    size: int
    sport: int = 0
    dport: int = 0
    flags: str = ""
    mss: int | None = None
    vni: int | None = None
    inner: Seen | None = None


def read(frame: bytes) -> Seen | None:
    """An Ethernet frame with IPv4; None for anything else (ARP)."""
    if frame[12:14] != b"\x08\x00":
        return None
    ip = frame[14:]
    head = (ip[0] & 15) * 4
    size, frag = struct.unpack_from("!H2xH", ip, 2)
    macs = [":".join(f"{b:02x}" for b in frame[i : i + 6]) for i in (6, 0)]
    base = (*macs, socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20]), ip[9], ip[8], bool(frag & 0x4000), size)
    l4 = ip[head:size]
    if ip[9] not in (6, 17):
        return Seen(*base)
    sport, dport = struct.unpack_from("!HH", l4)
    if ip[9] == 6:
        flags = "".join(name for bit, name in FLAGS if l4[13] & bit)
        return Seen(*base, sport, dport, flags, _mss(l4[20 : (l4[12] >> 4) * 4]))
    if dport == 8472:
        return Seen(*base, sport, dport, vni=int.from_bytes(l4[12:15], "big"), inner=read(l4[16:]))
    return Seen(*base, sport, dport)


def _mss(options: bytes) -> int | None:
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        if options[0] == 2:
            return int(struct.unpack_from("!H", options, 2)[0])
        options = options[options[1] :]
    return None


def of_model(smac: str, dmac: str, packet: Packet | Arp) -> Seen | None:
    """The same view of a packet of the walk."""
    if isinstance(packet, Arp):
        return None
    base = (smac, dmac, packet.src, packet.dst, {"ICMP": 1, "TCP": 6, "UDP": 17}[packet.proto], packet.ttl, packet.df, packet.size)
    l4 = packet.l4
    if isinstance(l4, Tcp):
        flags = "".join(name for _, name in FLAGS if name in l4.flags)
        return Seen(*base, l4.sport, l4.dport, flags, l4.mss)
    if isinstance(l4, Udp) and isinstance(l4.payload, Vxlan):
        inner = l4.payload.frame
        return Seen(*base, l4.sport, l4.dport, vni=l4.payload.vni, inner=of_model(inner.src, inner.dst, inner.body))
    if isinstance(l4, Udp):
        return Seen(*base, l4.sport, l4.dport)
    return Seen(*base)
