"""What the lab's tcpdump prints is what tcpdump prints of the same bytes."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rrset
import pytest

from kubenet_lab.kernel.packet import Arp, Frame, Icmp, Packet, Raw, Tcp, Udp, Vxlan
from kubenet_lab.kernel.shell.capture_filter import compile_filter
from kubenet_lab.kernel.shell.capture_text import Printer
from kubenet_lab.kernel.shell.tcpdump import clock


def real(tcpdump: str, path: Path, *options: str) -> str:
    done = subprocess.run([tcpdump, *options, "-r", str(path)], capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


OPTIONS = {"-n": {}, "-ne": {"ethernet": True}, "-nv": {"verbose": True}, "-nev": {"ethernet": True, "verbose": True}, "-nS": {"absolute": True}}


@pytest.mark.real
@pytest.mark.parametrize("options", OPTIONS)
def test_lines_of_tcpdump(
    options: str, random_frames: Callable[[int, int], list[Frame]], pcap_of: Callable[[list[Frame]], Path], require_tool: Callable[[str], str],
    cases: Callable[[int], int], seed: int,
) -> None:  # fmt: skip
    tcpdump = require_tool("tcpdump")
    frames = random_frames(cases(400), seed)
    said = real(tcpdump, pcap_of(frames), options)
    printer = Printer(numeric=True, **OPTIONS[options])
    mine = "".join(f"{clock(i / 1000, 0)}{printer.frame(f)}\n" for i, f in enumerate(frames))
    for ours, theirs in zip(mine.split("\n"), said.split("\n"), strict=False):
        assert ours == theirs
    assert mine == said


def messages() -> list[bytes]:
    """Questions and answers as they are seen in a cluster."""
    name = "cart.shop.svc.cluster.local."
    out = []
    for kind in ("A", "AAAA", "SRV", "PTR", "TXT"):
        q = dns.message.make_query(name, kind)
        q.id = 4242
        out.append(q.to_wire())
    q = dns.message.make_query(name, "A", use_edns=0, payload=1232)
    q.id = 7
    out.append(q.to_wire())
    for text, kind in (("A 10.96.0.10", "A"), ("AAAA fd00::7", "AAAA"), ("SRV 0 100 80 a.b.c.", "SRV"), ("PTR x.y.", "PTR"), ("CNAME www.example.com.", "A")):
        q = dns.message.make_query(name, kind)
        q.id = 9
        r = dns.message.make_response(q, recursion_available=True)
        r.flags |= dns.flags.AA
        rtype, _, rest = text.partition(" ")
        r.answer.append(dns.rrset.from_text(name, 30, "IN", rtype, rest))
        if kind == "A" and rtype == "A":
            r.answer[0].add(dns.rdata.from_text("IN", "A", "10.96.0.11"))
        out.append(r.to_wire())
    r = dns.message.make_response(dns.message.make_query("nope.shop.svc.cluster.local.", "A"))
    r.set_rcode(dns.rcode.NXDOMAIN)
    r.authority.append(dns.rrset.from_text("cluster.local.", 30, "IN", "SOA", "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30"))
    out.append(r.to_wire())
    r = dns.message.make_response(dns.message.make_query("x.example.", "A"))
    r.set_rcode(dns.rcode.SERVFAIL)
    out.append(r.to_wire())
    return out


HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
HTTP = [b"GET /cart HTTP/1.1\r\nHost: shop.example\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"not http at all", b"POST /x HTTP/1.1\r\n\r\n",
        HEAD, *(HEAD + body for body in (b"a\nb", b"a\nb\n", b"a\tb\r\nx", b"\x80\n", b"a\rb\n", b"\n\nx\n", b"a\n\x01b\nc\n")),
        b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\nHost: a\n\nb\n"]  # fmt: skip


@dataclass(frozen=True)
class Text:
    data: bytes

    def __len__(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.data


@pytest.mark.real
@pytest.mark.parametrize("options", ["-n", "-nv"])
def test_names_and_requests(options: str, pcap_of: Callable[[list[Frame]], Path], require_tool: Callable[[str], str]) -> None:
    tcpdump = require_tool("tcpdump")
    frames = []
    for fam in (4, 6):
        a, b = ("10.0.0.1", "10.0.0.2") if fam == 4 else ("fd00::1", "fd00::2")
        for m in messages():
            frames.append(Packet(a, b, "UDP", Udp(40000, 53, Text(m))))
        frames += [Packet(a, b, "TCP", Tcp(p, 80 if i % 2 else 8080, "PA", 5, 6, payload=Text(h))) for i, h in enumerate(HTTP) for p in (40000 + i,)]
    sent = [Frame("02:00:00:00:00:01", "02:00:00:00:00:02", p) for p in frames]
    printer = Printer(numeric=True, verbose=options == "-nv")
    mine = "".join(f"{clock(i / 1000, 0)}{printer.frame(f)}\n" for i, f in enumerate(sent))
    for ours, theirs in zip(mine.split("\n"), real(tcpdump, pcap_of(sent), options).split("\n"), strict=True):
        assert ours == theirs


@pytest.mark.real
def test_type_vxlan(random_frames: Callable[[int, int], list[Frame]], pcap_of: Callable[[list[Frame]], Path], require_tool: Callable[[str], str], seed: int) -> None:
    """-T vxlan reads port 8472 as VXLAN; by itself tcpdump takes it for OTV."""
    tcpdump = require_tool("tcpdump")

    def plain(f: Frame) -> bool:
        return isinstance(f.body, Arp) or (not isinstance(f.body.l4, Udp | Raw) and not (isinstance(f.body.l4, Icmp) and f.body.l4.quote is not None))

    inner = [f for f in random_frames(200, seed) if plain(f)]
    sent = [Frame(f.src, f.dst, Packet("10.0.0.1", "10.0.0.2", "UDP", Udp(40000, 8472, Vxlan(7, f)), df=False)) for f in inner]
    printer = Printer(numeric=True, tunnel="vxlan")
    mine = "".join(f"{clock(i / 1000, 0)}{printer.frame(f)}\n" for i, f in enumerate(sent))
    assert mine == real(tcpdump, pcap_of(sent), "-n", "-T", "vxlan")


FILTERS = ["host 10.0.0.1", "net 10.0.0.0/9", "src net 10.128.0.0/9", "tcp", "udp", "icmp", "icmp6", "arp", "ip", "ip6", "not ip6", "port 1234",
           "tcp port 40000", "udp dst port 8472", "src port 8443", "portrange 20000-25000", "tcp or udp", "icmp or arp and not net 10.0.0.0/8",
           "port 1234 or 8443", "(tcp or udp) and port 40000", "udp and (dst port 8472 or dst port 4789)", "ip and not tcp", "src or dst net 10.64.0.0/10",
           "net 10.7 or 10.8", "! arp", "tcp && port 40000 || icmp"]  # fmt: skip


@pytest.mark.real
def test_filters_keep_what_tcpdump_keeps(
    random_frames: Callable[[int, int], list[Frame]], pcap_of: Callable[[list[Frame]], Path], require_tool: Callable[[str], str],
    cases: Callable[[int], int], seed: int,
) -> None:  # fmt: skip
    tcpdump = require_tool("tcpdump")
    frames = random_frames(cases(400), seed)
    path = pcap_of(frames)
    kept: Counter[str] = Counter()
    for text in FILTERS:
        times = [line.split(" ")[0] for line in real(tcpdump, path, "-n", *text.split()).splitlines() if line[:3] == "00:"]
        keep = compile_filter(text.split())
        mine = [clock(i / 1000, 0).strip() for i, f in enumerate(frames) if keep(f)]
        assert mine == times, text
        kept[text] = len(mine)
    print(dict(kept))
    assert sum(1 for n in kept.values() if n) > len(FILTERS) // 2
