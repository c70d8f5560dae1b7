"""Packets as the bytes that cross a link, with right checksums.

Sources: RFC 791, 792, 768, 826, 4443, 4861, 7348, 8200, 9293; what Linux 6.18 sends was looked at in captures: TCP options and
windows, and a real checksum in the UDP header around VXLAN (`udpcsum` is the kernel's default).
"""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache

from .address import family, number
from .packet import BROADCAST, Arp, Frame, Icmp, Packet, Raw, Tcp, Udp

__all__ = ["PROTOCOLS", "frame_bytes", "packet_bytes"]

PROTOCOLS = {"ICMP": 1, "TCP": 6, "UDP": 17, "ICMPv6": 58, "SCTP": 132}
_FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10}
_WINDOW_SCALE = 7
#: a millisecond clock that stands still: a whole conversation of the lab fits into one tick
_CLOCK = 1000


@lru_cache(maxsize=4096)
def _ip(address: str) -> bytes:
    return ipaddress.ip_address(address or "0.0.0.0").packed


@lru_cache(maxsize=4096)
def _mac(address: str) -> bytes:
    return bytes.fromhex((address or "00:00:00:00:00:00").replace(":", ""))


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo(src: str, dst: str, protocol: int, size: int) -> bytes:
    if family(dst) == 4:
        return _ip(src) + _ip(dst) + struct.pack("!BBH", 0, protocol, size)
    return _ip(src) + _ip(dst) + struct.pack("!IxxxB", size, protocol)


# -------------------------------------------------------------------------------------------------------- transports
def _tcp(p: Packet, l4: Tcp) -> bytes:
    flags = sum(_FLAGS[c] for c in l4.flags)
    echo = _CLOCK if "A" in l4.flags else 0
    if l4.mss is not None:
        stamps = struct.pack("!BBII", 8, 10, _CLOCK, echo)
        options = struct.pack("!BBHBB", 2, 4, l4.mss & 0xFFFF, 4, 2) + stamps + struct.pack("!BBBB", 1, 3, 3, _WINDOW_SCALE)
        # as many whole segments as fit into 65535 bytes; the answer knows that timestamps take 12 of each
        segment = max(1, l4.mss - (12 if "A" in l4.flags else 0))
        window = 65535 // segment * segment
    elif "R" in l4.flags:
        options, window = b"", 0
    else:
        options, window = struct.pack("!BBBBII", 1, 1, 8, 10, _CLOCK, echo), 502
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", l4.sport, l4.dport, l4.seq & 0xFFFFFFFF, l4.ack & 0xFFFFFFFF, offset, flags, window, 0, 0) + options
    data = head + bytes(l4.payload)
    sum_ = checksum(_pseudo(p.src, p.dst, 6, len(data)) + data)
    return data[:16] + struct.pack("!H", sum_) + data[18:]


def _udp(p: Packet, l4: Udp) -> bytes:
    data = struct.pack("!HHHH", l4.sport, l4.dport, l4.size & 0xFFFF, 0) + bytes(l4.payload)
    # a sum of 0 would say that there is none (RFC 768)
    sum_ = checksum(_pseudo(p.src, p.dst, 17, len(data)) + data) or 0xFFFF
    return data[:6] + struct.pack("!H", sum_) + data[8:]


def _icmp(p: Packet, l4: Icmp) -> bytes:
    six = p.family == 6
    if l4.quote is not None:
        if six:
            rest = struct.pack("!I", l4.mtu if l4.type == 2 else 0)
        else:
            rest = struct.pack("!HH", 0, l4.mtu if (l4.type, l4.code) == (3, 4) else 0)
        body = packet_bytes(l4.quote)[: l4.size - 8]
    else:
        rest = struct.pack("!HH", l4.id & 0xFFFF, l4.seq & 0xFFFF)
        body = bytes(l4.payload)
    data = struct.pack("!BBH", l4.type, l4.code, 0) + rest + body
    sum_ = checksum((_pseudo(p.src, p.dst, 58, len(data)) if six else b"") + data)
    return data[:2] + struct.pack("!H", sum_) + data[4:]


def _transport(p: Packet) -> bytes:
    l4 = p.l4
    if isinstance(l4, Tcp):
        return _tcp(p, l4)
    if isinstance(l4, Udp):
        return _udp(p, l4)
    if isinstance(l4, Icmp):
        return _icmp(p, l4)
    return bytes(l4.payload)


def protocol_number(name: str) -> int:
    found = PROTOCOLS.get(name)
    return found if found is not None else int(name) & 0xFF


# ---------------------------------------------------------------------------------------------------------------- IP
def packet_bytes(packet: Packet) -> bytes:
    """An IP packet. A fragment carries its part of the bytes of the whole."""
    if packet.whole is not None and isinstance(packet.l4, Raw):
        entire = _transport(packet.whole.but(src=packet.src, dst=packet.dst))
        data = entire[packet.frag : packet.frag + packet.l4.size]
    else:
        data = _transport(packet)
    protocol = protocol_number(packet.proto)
    if packet.family == 4:
        flags = (0x4000 if packet.df else 0) | (0x2000 if packet.more else 0) | packet.frag >> 3
        head = struct.pack("!BBHHHBBH", 0x45, packet.tos, 20 + len(data) & 0xFFFF, packet.ident & 0xFFFF, flags, packet.ttl, protocol, 0)
        head += _ip(packet.src) + _ip(packet.dst)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data
    if packet.is_fragment:
        data = struct.pack("!BxHI", protocol, packet.frag | int(packet.more), packet.ident) + data
        protocol = 44
    head = struct.pack("!IHBB", 6 << 28 | packet.tos << 20, len(data) & 0xFFFF, protocol, packet.ttl)
    return head + _ip(packet.src) + _ip(packet.dst) + data


# ------------------------------------------------------------------------------------------------ ARP and its IPv6 twin
def _arp(a: Arp) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1 if a.op == "request" else 2)
    return head + _mac(a.sender_mac) + _ip(a.sender_ip) + _mac(a.target_mac) + _ip(a.target_ip)


def _neighbour(a: Arp, multicast: bool) -> bytes:
    """A neighbour solicitation to the solicited-node group (or to the neighbour), or the advertisement that answers it."""
    if a.op == "request":
        dst = f"ff02::1:ff{number(a.target_ip) >> 16 & 0xFF:02x}:{number(a.target_ip) & 0xFFFF:x}" if multicast else a.target_ip
        if a.sender_ip == "::":  # nobody yet: no address to tell, a nonce instead (RFC 7527)
            option = b"\x0e\x01" + _mac(a.sender_mac)
        else:
            option = b"\x01\x01" + _mac(a.sender_mac)
        body = struct.pack("!BBHI", 135, 0, 0, 0) + _ip(a.target_ip) + option
    else:
        dst = a.target_ip
        body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + _ip(a.sender_ip) + b"\x02\x01" + _mac(a.sender_mac)
    sum_ = checksum(_pseudo(a.sender_ip, dst, 58, len(body)) + body)
    body = body[:2] + struct.pack("!H", sum_) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + _ip(a.sender_ip) + _ip(dst) + body


def frame_bytes(frame: Frame) -> bytes:
    """An Ethernet frame without its checksum, not padded to the minimum: `len()` is `frame.size`."""
    body = frame.body
    dst = frame.dst
    if isinstance(body, Packet):
        kind, data = (0x0800 if body.family == 4 else 0x86DD), packet_bytes(body)
    elif family(body.target_ip) == 4:
        kind, data = 0x0806, _arp(body)
    else:
        everyone = dst == BROADCAST
        kind, data = 0x86DD, _neighbour(body, everyone)
        if everyone and body.op == "request":  # IPv6 has no broadcast: the group's own address
            low = number(body.target_ip) & 0xFFFFFF
            dst = f"33:33:ff:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
    return _mac(dst) + _mac(frame.src) + struct.pack("!H", kind) + data
