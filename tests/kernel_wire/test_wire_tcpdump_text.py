"""What the lab's tcpdump prints is what tcpdump prints of the same bytes."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenet_lab.kernel.packet import Frame
from kubenet_lab.kernel.shell.capture_filter import compile_filter
from kubenet_lab.kernel.shell.capture_text import Printer
from kubenet_lab.kernel.shell.tcpdump import clock


def real(tcpdump: str, path: Path, *options: str) -> str:
    done = subprocess.run([tcpdump, *options, "-r", str(path)], capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


OPTIONS = {"-n": {}, "-ne": {"ethernet": True}, "-nv": {"verbose": True}, "-nev": {"ethernet": True, "verbose": True}, "-nS": {"absolute": True},
           "-nTvxlan": {"tunnel": "vxlan"}}  # fmt: skip


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
