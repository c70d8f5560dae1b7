"""Random frames of every kind the kernel room knows, and pcap files of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenet_lab.kernel.l3 import fragments
from kubenet_lab.kernel.packet import BROADCAST, Arp, Filler, Frame, Icmp, Packet, Raw, Tcp, Udp, Vxlan
from kubenet_lab.kernel.pcap import file_bytes

Draw = random.Random


def _mac(r: Draw) -> str:
    return ":".join(f"{b:02x}" for b in (r.randrange(256) & 0xFC | 2, *(r.randrange(256) for _ in range(5))))


def _address(r: Draw, fam: int) -> str:
    return f"10.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(1, 255)}" if fam == 4 else f"fd00:{r.randrange(1, 65535):x}::{r.randrange(1, 65535):x}"


def _size(r: Draw) -> int:
    return r.choice((0, 1, 2, 7, 8, 56, 100, 557, 1398, 1472))


def transport(r: Draw, fam: int, deep: int) -> tuple[str, object]:
    kind = r.randrange(6 if deep else 4)
    port = lambda: r.choice((1234, 40000, 8443, r.randrange(20000, 30000)))  # noqa: E731
    if kind == 0:
        flags = r.choice(("S", "SA", "A", "PA", "FA", "R", "RA"))
        data = Filler(_size(r)) if flags in ("A", "PA") else Filler(0)
        mss = r.choice((1460, 1410, 536, 65495)) if "S" in flags else None
        return "TCP", Tcp(port(), port(), flags, r.randrange(1 << 32), r.randrange(1 << 32) if "A" in flags else 0, mss, data)
    if kind == 1:
        return "UDP", Udp(port(), port(), Filler(_size(r)))
    if kind in (2, 3):
        request = r.random() < 0.5
        code = (8 if request else 0) if fam == 4 else 128 if request else 129
        return ("ICMP" if fam == 4 else "ICMPv6"), Icmp(code, 0, r.randrange(65536), r.randrange(65536), payload=Filler(_size(r)))
    if kind == 4:
        errors = [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 9), (3, 10), (3, 13), (11, 0)] if fam == 4 else [(1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0)]
        type_, code = r.choice(errors)
        quote = packet(r, fam, 0)
        if (type_, code) == (3, 2):
            quote = quote.but(proto="253", l4=Raw(Filler(40)))
        elif (type_, code) in ((3, 3), (1, 4)):
            quote = quote.but(proto="UDP", l4=Udp(port(), port(), Filler(_size(r))))
        mtu = r.choice((1280, 1450)) if (type_, code) in ((3, 4), (2, 0)) else 0
        return ("ICMP" if fam == 4 else "ICMPv6"), Icmp(type_, code, mtu=mtu, quote=quote)
    return "UDP", Udp(port(), r.choice((8472, 4789)), Vxlan(r.randrange(1 << 24), frame(r, deep - 1)))


def packet(r: Draw, fam: int, deep: int = 2) -> Packet:
    proto, l4 = transport(r, fam, deep)
    return Packet(
        _address(r, fam), _address(r, fam), proto, l4, ttl=r.choice((1, 63, 64, 255)), tos=r.choice((0, 0, 0xC0)), df=fam == 4 and r.random() < 0.5,  # type: ignore[arg-type]
        ident=r.randrange(65536) if fam == 4 else 0,
    )  # fmt: skip


def frame(r: Draw, deep: int = 2) -> Frame:
    fam = r.choice((4, 4, 6))
    if r.random() < 0.15:
        ask = r.random() < 0.5
        mac, other = _mac(r), _mac(r)
        arp = Arp("request" if ask else "reply", mac, _address(r, fam), "00:00:00:00:00:00" if ask else other, _address(r, fam))
        return Frame(mac, BROADCAST if ask else other, arp)
    p = packet(r, fam, deep)
    if r.random() < 0.15 and p.l4.size > 600:
        pieces = fragments(p.but(df=False, ident=r.randrange(1, 65536)), 600)
        p = r.choice(pieces)
    return Frame(_mac(r), _mac(r), p)


@pytest.fixture(scope="session")
def random_frames() -> Callable[[int, int], list[Frame]]:
    """`random_frames(n, seed)`."""

    def make(count: int, seed: int) -> list[Frame]:
        r = random.Random(f"wire {seed}")
        return [frame(r) for _ in range(count)]

    return make


@pytest.fixture
def pcap_of(tmp_path: Path) -> Callable[[list[Frame]], Path]:
    """A file of the frames, one per lab millisecond."""

    def make(frames: list[Frame]) -> Path:
        path = tmp_path / "frames.pcap"
        path.write_bytes(file_bytes([(i / 1000, f) for i, f in enumerate(frames)]))
        return path

    return make
