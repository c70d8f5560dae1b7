"""Packets as values: Ethernet frames, ARP, IP with TCP, UDP and ICMP, VXLAN, WireGuard.

Everything is frozen: a hop that changes a packet makes a new one, so a trace can
keep every stage without copying. Addresses are canonical strings
(`10.244.0.5`, `fd00::5`, `0a:58:0a:f4:00:05`). A payload is any object with
`len()` and `bytes()`: the kernel never looks inside it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from .address import family
from .value import Value, copy_with, derived, value

__all__ = [
    "BROADCAST", "EMPTY", "Arp", "Enclosed", "Filler", "Frame", "Icmp", "Packet", "Payload", "Raw", "Tcp", "Udp", "Vxlan", "WireGuard",
    "is_group",
]  # fmt: skip

BROADCAST = "ff:ff:ff:ff:ff:ff"
_ODD = frozenset("13579bdfBDF")


def is_group(mac: str) -> bool:
    """Broadcast or multicast: the lowest bit of the first byte."""
    return mac[1:2] in _ODD



class Payload(Protocol):
    """Application bytes: opaque to the kernel."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...


@value
class Filler(Value):
    """`size` bytes that carry no meaning (probe data), not stored byte by byte."""

    size: int = 0

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        return (b"kubenet-lab " * (self.size // 12 + 1))[: self.size]


EMPTY = Filler(0)


@value
class Tcp(Value):
    """A TCP segment. `flags` is a subset of "FSRPA" in that order; `mss` only on SYN segments."""

    sport: int
    dport: int
    flags: str = "S"
    seq: int = 0
    ack: int = 0
    mss: int | None = None
    payload: Payload = EMPTY

    @property
    def header_size(self) -> int:
        # as Linux sends it: SYN carries MSS, SACK-permitted, timestamps, window scale (40); later segments timestamps (32); RST none
        return 40 if self.mss is not None else 20 if "R" in self.flags else 32

    @property
    def size(self) -> int:
        return self.header_size + len(self.payload)


@value
class Udp(Value):
    sport: int
    dport: int
    payload: Payload = EMPTY

    @property
    def header_size(self) -> int:
        return 8

    @property
    def size(self) -> int:
        return 8 + len(self.payload)


@value
class Icmp(Value):
    """ICMP (or ICMPv6, by the packet's family). `quote` is the packet that an error is about."""

    type: int
    code: int = 0
    id: int = 0
    seq: int = 0
    mtu: int = 0
    quote: Packet | None = None
    payload: Payload = EMPTY

    sport: ClassVar[None] = None  # no ports
    dport: ClassVar[None] = None

    @property
    def header_size(self) -> int:
        return 8

    @property
    def size(self) -> int:
        if self.quote is not None:
            # Linux quotes as much as keeps an IPv4 error within 576 bytes, an IPv6 error within 1280
            room = 576 - 28 if self.quote.family == 4 else 1280 - 48
            return 8 + min(self.quote.size, room)
        return 8 + len(self.payload)


@value
class Raw(Value):
    """Any other transport, or a fragment that carries no transport header."""

    payload: Payload = EMPTY

    sport: ClassVar[None] = None
    dport: ClassVar[None] = None

    @property
    def header_size(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return len(self.payload)


Transport: TypeAlias = Tcp | Udp | Icmp | Raw
_HEADER = {4: 20, 6: 40}


@value
class Packet(Value):
    """An IP packet. `proto` is "TCP", "UDP", "ICMP", "ICMPv6", "SCTP" or a number as text.

    `frag` is the fragment offset in bytes, `more` the more-fragments bit; `whole` is kept on
    fragments so that reassembly is exact.
    """

    src: str
    dst: str
    proto: str
    l4: Transport
    ttl: int = 64
    tos: int = 0
    df: bool = True
    ident: int = 0
    frag: int = 0
    more: bool = False
    whole: Packet | None = None

    family: int = derived(lambda p: 6 if ":" in p.dst else 4)
    size: int = derived(lambda p: _HEADER[p.family] + p.l4.size if p.whole is None or p.family == 4 else 48 + p.l4.size)
    """Bytes of the IP packet: what an MTU is compared with. An IPv6 fragment has an extension header."""

    if TYPE_CHECKING:

        def aged(self, ttl: int) -> Packet:
            """The packet with another TTL."""
    else:
        aged = copy_with("ttl", more=False, keep=("family", "size"))

    @property
    def header_size(self) -> int:
        return _HEADER[self.family]

    @property
    def sport(self) -> int | None:
        return self.l4.sport

    @property
    def dport(self) -> int | None:
        return self.l4.dport

    @property
    def is_fragment(self) -> bool:
        return self.whole is not None


@value
class Arp(Value):
    """ARP, and for IPv6 the neighbour solicitation and advertisement that do its work."""

    op: str  # "request" | "reply"
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str

    @property
    def size(self) -> int:
        return 28 if family(self.target_ip) == 4 else 72


@value
class Frame(Value):
    src: str
    dst: str
    body: Packet | Arp

    @property
    def size(self) -> int:
        return 14 + self.body.size


@value
class Vxlan(Value):
    """A VXLAN payload: 8 bytes of header and a whole inner frame."""

    vni: int
    frame: Frame

    def __len__(self) -> int:
        return 8 + self.frame.size

    def __bytes__(self) -> bytes:
        from .wire import frame_bytes

        return bytes([8, 0, 0, 0]) + (self.vni << 8).to_bytes(4, "big") + frame_bytes(self.frame)


@value
class WireGuard(Value):
    """A WireGuard data message: type, index and counter (16 bytes), the packet in `padded` bytes, the authentication tag (16 bytes).

    `sender` is the sender's public key: in reality the receiver finds it by the index.
    """

    sender: str
    packet: Packet
    padded: int

    def __len__(self) -> int:
        return 32 + self.padded

    def __bytes__(self) -> bytes:
        # nobody on the way can read it: bytes that look like ciphertext and depend on what is inside
        from .wire import packet_bytes

        index = hashlib.sha256(self.sender.encode()).digest()[:4]
        return b"\4\0\0\0" + index + bytes(8) + hashlib.shake_128(packet_bytes(self.packet)).digest(self.padded + 16)


@value
class Enclosed(Value):
    """A whole IP packet as a datagram's payload, without a header of its own."""

    packet: Packet

    def __len__(self) -> int:
        return self.packet.size

    def __bytes__(self) -> bytes:
        from .wire import packet_bytes

        return packet_bytes(self.packet)
