"""Packets as bytes: sizes, and what tshark makes of them."""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.kernel.l3 import fragments
from kubenet_lab.kernel.packet import Arp, Filler, Frame, Icmp, Packet, Raw, Tcp, Udp, Vxlan
from kubenet_lab.kernel.wire import checksum, frame_bytes, packet_bytes

CHECKS = [w for name in ("ip", "tcp", "udp") for w in ("-o", f"{name}.check_checksum:TRUE")]


def test_size_is_what_the_model_says(random_frames: Callable[[int, int], list[Frame]], cases: Callable[[int], int], seed: int) -> None:
    for f in random_frames(cases(600), seed):
        assert len(frame_bytes(f)) == f.size, f


@given(st.binary(max_size=200))
def test_a_checksum_over_itself_is_zero(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    assert checksum(padded + checksum(padded).to_bytes(2, "big")) == 0


def test_syn_carries_the_options_of_linux() -> None:
    data = packet_bytes(Packet("10.0.0.1", "10.0.0.2", "TCP", Tcp(1, 2, "S", 7, 0, 1410)))
    assert len(data) == 60
    assert data[40:46] == bytes([2, 4, 0x05, 0x82, 4, 2])  # MSS 1410, SACK permitted
    assert data[46:48] == bytes([8, 10])  # timestamps
    assert data[56:60] == bytes([1, 3, 3, 7])  # NOP, window scale
    assert int.from_bytes(data[34:36], "big") == 64860  # 46 segments, as measured


def test_the_pieces_of_a_packet_are_the_packet() -> None:
    whole = Packet("10.0.0.1", "10.0.0.2", "UDP", Udp(5, 6, Filler(3000)), df=False)
    pieces = fragments(whole, 1400)
    assert len(pieces) == 3
    joined = b"".join(packet_bytes(p)[20:] for p in pieces)
    assert joined == packet_bytes(whole)[20:]
    six = Packet("fd00::1", "fd00::2", "UDP", Udp(5, 6, Filler(3000)))
    assert b"".join(packet_bytes(p)[48:] for p in fragments(six, 1400)) == packet_bytes(six)[40:]


def test_zero_is_not_a_udp_checksum() -> None:
    """RFC 768: a computed sum of zero is sent as all ones."""
    r = random.Random(1)
    sums = set()
    for port in range(65536):
        p = Packet("10.0.0.1", "10.0.0.2", "UDP", Udp(port, r.randrange(65536), Filler(0)))
        sums.add(packet_bytes(p)[26:28])
    assert b"\0\0" not in sums and b"\xff\xff" in sums


def _fields(tshark: str, path: Path, names: list[str]) -> list[dict[str, str]]:
    wanted = [w for n in names for w in ("-e", n)]
    out = subprocess.run(
        [tshark, "-n", "-r", str(path), "-d", "udp.port==8472,vxlan", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", *CHECKS,
         "-T", "fields", "-E", "separator=,", "-E", "quote=d", "-E", "occurrence=a", "-E", "aggregator=;", *wanted],
        capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"},
    ).stdout  # fmt: skip
    return [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(out))]


FIELDS = ["eth.src", "eth.dst", "ip.src", "ip.dst", "ip.ttl", "ip.id", "ip.flags.df", "ip.flags.mf", "ip.frag_offset", "ip.len", "ip.checksum.status",
          "ipv6.src", "ipv6.dst", "ipv6.hlim", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.checksum.status",
          "tcp.options.mss_val", "udp.srcport", "udp.dstport", "udp.checksum.status", "icmp.type", "icmp.code", "icmp.checksum.status", "icmp.ident",
          "icmp.seq", "icmp.mtu", "icmpv6.type", "icmpv6.code", "icmpv6.checksum.status", "icmpv6.mtu", "vxlan.vni", "arp.opcode", "arp.src.proto_ipv4",
          "arp.dst.proto_ipv4", "arp.src.hw_mac", "icmpv6.nd.ns.target_address", "icmpv6.nd.na.target_address", "_ws.malformed", "_ws.expert.severity",
          "_ws.expert.message"]  # fmt: skip
BITS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}


def first(row: dict[str, str], name: str) -> str:
    return row[name].split(";")[0]


def _compare(f: Frame, row: dict[str, str], seen: Counter[str]) -> None:
    assert first(row, "eth.src") == f.src
    body = f.body
    if isinstance(body, Arp):
        six = ":" in body.target_ip
        seen["ND" if six else "ARP"] += 1
        if six:
            name = "icmpv6.nd.ns.target_address" if body.op == "request" else "icmpv6.nd.na.target_address"
            assert row[name] == (body.target_ip if body.op == "request" else body.sender_ip)
            assert row["icmpv6.checksum.status"] == "1"
        else:
            assert (row["arp.opcode"], row["arp.src.proto_ipv4"], row["arp.dst.proto_ipv4"], row["arp.src.hw_mac"]) == (
                "1" if body.op == "request" else "2", body.sender_ip, body.target_ip, body.sender_mac,
            )  # fmt: skip
        return
    assert first(row, "eth.dst") == f.dst
    if body.family == 4:
        assert (first(row, "ip.src"), first(row, "ip.dst"), first(row, "ip.ttl")) == (body.src, body.dst, str(body.ttl))
        assert int(first(row, "ip.id"), 16) == body.ident and first(row, "ip.len") == str(body.size)
        assert first(row, "ip.flags.df") == str(int(body.df)) and first(row, "ip.flags.mf") == str(int(body.more))
        assert int(first(row, "ip.frag_offset")) * (1 if int(first(row, "ip.frag_offset")) == body.frag else 8) == body.frag
        assert first(row, "ip.checksum.status") == "1"
    else:
        assert (first(row, "ipv6.src"), first(row, "ipv6.dst"), first(row, "ipv6.hlim")) == (body.src, body.dst, str(body.ttl))
    seen[f"IPv{body.family}"] += 1
    if body.is_fragment:
        seen["fragment"] += 1
        return
    _compare_transport(body, row, seen)


def _compare_transport(body: Packet, row: dict[str, str], seen: Counter[str]) -> None:
    l4 = body.l4
    seen[type(l4).__name__] += 1
    if isinstance(l4, Tcp):
        assert (first(row, "tcp.srcport"), first(row, "tcp.dstport")) == (str(l4.sport), str(l4.dport))
        assert (first(row, "tcp.seq_raw"), first(row, "tcp.ack_raw")) == (str(l4.seq), str(l4.ack))
        assert int(first(row, "tcp.flags"), 16) == sum(BITS[c] for c in l4.flags)
        assert first(row, "tcp.options.mss_val") == ("" if l4.mss is None else str(l4.mss))
        assert first(row, "tcp.checksum.status") == "1"
    elif isinstance(l4, Udp):
        assert (first(row, "udp.srcport"), first(row, "udp.dstport"), first(row, "udp.checksum.status")) == (str(l4.sport), str(l4.dport), "1")
        if isinstance(l4.payload, Vxlan):
            seen["VXLAN"] += 1
            assert first(row, "vxlan.vni") == str(l4.payload.vni)
    elif isinstance(l4, Icmp):
        name = "icmp" if body.family == 4 else "icmpv6"
        assert (first(row, f"{name}.type"), first(row, f"{name}.code"), first(row, f"{name}.checksum.status")) == (str(l4.type), str(l4.code), "1")
        if l4.quote is not None:
            seen["ICMP error"] += 1
            assert first(row, f"{name}.mtu") == (str(l4.mtu) if l4.mtu else first(row, f"{name}.mtu"))
        elif body.family == 4:
            assert first(row, "icmp.ident") == str(l4.id) and first(row, "icmp.seq") == str(l4.seq)
    else:
        assert isinstance(l4, Raw)


@pytest.mark.real
def test_tshark_reads_what_the_model_says(
    random_frames: Callable[[int, int], list[Frame]], pcap_of: Callable[[list[Frame]], Path], require_tool: Callable[[str], str],
    cases: Callable[[int], int], seed: int,
) -> None:  # fmt: skip
    tshark = require_tool("tshark")
    frames = random_frames(cases(800), seed)
    rows = _fields(tshark, pcap_of(frames), FIELDS)
    assert len(rows) == len(frames)
    seen: Counter[str] = Counter()
    for f, row in zip(frames, rows, strict=True):
        _compare(f, row, seen)
        assert not row["_ws.malformed"] or _quotes(f), (f, row)
        # 0x800000 is an error: a bad checksum, a length that does not fit
        assert "8388608" not in row["_ws.expert.severity"] or _quotes(f), (f, row["_ws.expert.message"])
    print(dict(seen))
    assert {"IPv4", "IPv6", "ARP", "ND", "Tcp", "Udp", "Icmp", "VXLAN", "ICMP error", "fragment"} <= set(seen)


def _quotes(f: Frame) -> bool:
    """An ICMP error quotes part of a packet, which a dissector may call short."""
    body = f.body
    while isinstance(body, Packet) and isinstance(body.l4, Udp) and isinstance(body.l4.payload, Vxlan):
        body = body.l4.payload.frame.body
    return isinstance(body, Packet) and ((isinstance(body.l4, Icmp) and body.l4.quote is not None) or body.is_fragment)


@pytest.mark.real
def test_a_wrong_byte_is_noticed(
    random_frames: Callable[[int, int], list[Frame]], tmp_path: Path, require_tool: Callable[[str], str], seed: int
) -> None:  # fmt: skip
    """The comparison can fail: tshark sees a flipped bit in a TCP payload."""
    tshark = require_tool("tshark")
    from kubenet_lab.kernel.pcap import file_bytes

    data = bytearray(file_bytes([(0.0, Frame("02:00:00:00:00:01", "02:00:00:00:00:02", Packet("10.0.0.1", "10.0.0.2", "TCP", Tcp(1, 2, "PA", payload=Filler(9)))))]))
    data[-1] ^= 1
    path = tmp_path / "bad.pcap"
    path.write_bytes(data)
    assert _fields(tshark, path, ["tcp.checksum.status"])[0]["tcp.checksum.status"] == "0"
