"""Captures of whole questions, link by link: tshark finds nothing malformed and no wrong checksum, tcpdump prints what the lab's prints."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.kernel.pcap import file_bytes, frames_of
from kubenet_lab.kernel.shell.terminal import captured
from tests.kernel_wire.test_wire_bytes import CHECKS

pytestmark = pytest.mark.real

SEEN = ["frame.protocols", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
        "ip.flags.mf", "ip.frag_offset", "icmp.type", "icmpv6.type", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message"]  # fmt: skip
BAD_CHECKSUM, ERROR = "0", "8388608"


def questions() -> list[tuple[str, Any, str]]:
    """(what, trace, the pod that asked): every protocol, whole and in pieces, answered and refused, through a tunnel, in both families."""
    c = kn.example("bookshop", ip_families=("IPv4", "IPv6"))
    far = c.pod("shop/cart").object.ips
    near = next(p.ips for p in c.objects("Pod") if p.spec.node_name == "worker-1" and p.name.startswith("api"))
    c.apply("apiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: shop}\nspec: {selector: {app: cart}, ports: [{port: 53, protocol: UDP}]}\n")
    out: list[tuple[str, Any]] = [
        ("tcp", c.connect("shop/web", "shop/cart", 8080)), ("tcp data", c.connect("shop/web", "shop/cart", 8080, size=5000)),
        ("tcp refused", c.connect("shop/web", "shop/cart", 81)), ("tcp6", c.connect("shop/web", far[1], 8080, size=3000)),
        ("tcp6 refused", c.connect("shop/web", far[1], 81)), ("same node", c.connect("shop/web", near[0], 8080)), ("page", c.request("shop/web", "http://cart:8080/x")),
        ("service", c.connect("shop/web", "svc:shop/cart", 8080)), ("name", c.resolve("shop/web", "cart").queries[-1].trace), ("udp refused", c.connect("shop/web", far[0], 4000, "UDP", size=300)),
        ("udp6 refused", c.connect("shop/web", far[1], 4000, "UDP", size=300)), ("udp in pieces", c.connect("shop/web", far[0], 4000, "UDP", size=4000, df=False)),
        ("ping", c.connect("shop/web", far[0], protocol="ICMP")), ("ping6", c.connect("shop/web", far[1], protocol="ICMP")),
        ("ping in pieces", c.connect("shop/web", far[0], protocol="ICMP", size=4000, df=False)), ("ttl", c.connect("shop/web", far[0], protocol="ICMP", ttl=1)),
        ("ttl6", c.connect("shop/web", far[1], protocol="ICMP", ttl=2)), ("outside", c.connect("shop/web", "203.0.113.9", 443)),
        ("from outside", c.connect("external:203.0.113.7", "node:worker-1", 22)), ("nobody", c.connect("shop/web", "10.244.1.99", 80, timeout=4)),
    ]  # fmt: skip
    c.node("worker-1").run("ip link set eth0 mtu 1400")
    c.flush()
    out.append(("too big", c.connect("shop/web", far[0], protocol="ICMP", size=1400)))
    c.pod("shop/web").run("ip link set eth0 mtu 9000")
    out.append(("too big6", c.connect("shop/web", far[1], protocol="ICMP", size=2000)))
    out.append(("too big udp", c.connect("shop/web", far[0], 4000, "UDP", size=1500)))
    return [(what, trace, c.pod("shop/web").object.key) for what, trace in out]


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, Path, int]]:
    """(what, link, pcap, how many frames)"""
    folder, out = tmp_path_factory.mktemp("captures"), []
    for i, (what, trace, _) in enumerate(questions()):
        for j, link in enumerate(dict.fromkeys(where for _, where, _ in frames_of(trace))):
            path = folder / f"{i}-{j}.pcap"
            out.append((what, link, path, trace.to_pcap(path, at=link)))
    return out


def _rows(tshark: str, path: Path) -> list[dict[str, str]]:
    wanted = [w for n in SEEN for w in ("-e", n)]
    out = subprocess.run(
        [tshark, "-n", "-r", str(path), "-d", "udp.port==8472,vxlan", *CHECKS, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;", *wanted],
        capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"},
    ).stdout  # fmt: skip
    return [dict(zip(SEEN, line.split("|"), strict=True)) for line in out.splitlines()]


@pytest.mark.slow
def test_tshark_has_no_complaint(captures: list[tuple[str, str, Path, int]], require_tool: Callable[[str], str], tmp_path: Path) -> None:
    tshark, merge = require_tool("tshark"), require_tool("mergecap")
    seen: Counter[str] = Counter()
    # one run over all of them: reassembly belongs to a question, and is checked by its own run below
    merged = tmp_path / "all.pcap"
    subprocess.run([merge, "-a", "-F", "pcap", "-w", str(merged), *(str(path) for _, _, path, _ in captures)], check=True)
    rows = _rows(tshark, merged)
    assert len(rows) == sum(n for *_, n in captures)
    owners = [f"{what} at {link}" for what, link, _, n in captures for _ in range(n)]
    wrong = []
    for who, row in zip(owners, rows, strict=True):
        quotes = _quotes(row)
        for name in SEEN:
            if name.endswith("checksum.status"):
                states = row[name].split(";")
                # of a packet that an error quotes only a part is there, so the transport's sum cannot be had
                if BAD_CHECKSUM in (states[:1] if quotes and name.startswith(("ip.", "icmp")) else [] if quotes else states):
                    wrong.append((who, name, row))
        if (row["_ws.malformed"] or ERROR in row["_ws.expert.severity"]) and not quotes:
            wrong.append((who, "complaint", row))
        for protocol in row["frame.protocols"].split(";")[0].split(":"):
            seen[protocol] += 1
        seen["error"] += quotes
        seen["piece"] += "True" in row["ip.flags.mf"] or "1" in row["ip.flags.mf"].split(";")
    print(dict(seen))
    assert not wrong, "\n".join(map(str, wrong[:5]))
    assert {"tcp", "udp", "icmp", "icmpv6", "vxlan", "arp", "dns", "http", "ipv6", "error", "piece"} <= {k for k, n in seen.items() if n}


def _quotes(row: dict[str, str]) -> bool:
    errors = {"3", "5", "11", "12"} & set(row["icmp.type"].split(";")) or {"1", "2", "3", "4"} & set(row["icmpv6.type"].split(";"))
    return bool(errors)


def test_tshark_joins_the_pieces(captures: list[tuple[str, str, Path, int]], require_tool: Callable[[str], str]) -> None:
    tshark = require_tool("tshark")
    joined = 0
    for what, link, path, _ in captures:
        if "pieces" in what and link.endswith("veth4107e68b"):
            out = subprocess.run([tshark, "-n", "-r", str(path), *CHECKS, "-T", "fields", "-e", "ip.reassembled.length", "-e", "icmp.checksum.status", "-e", "udp.checksum.status"],
                                 capture_output=True, text=True, check=True).stdout  # fmt: skip
            whole = [line.split("\t") for line in out.splitlines() if line.split("\t")[0]]
            assert whole and all("0" not in w[1:] for w in whole), out
            joined += len(whole)
    assert joined >= 3


@pytest.mark.slow
@pytest.mark.parametrize("options", ["-n", "-nev"])
def test_tcpdump_of_the_last_trace(options: str, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """What `tcpdump` prints on a machine of the lab is what tcpdump prints of the same link's capture."""
    tcpdump = require_tool("tcpdump")
    c = kn.example("bookshop", ip_families=("IPv4", "IPv6"))
    far = c.pod("shop/cart").object.ips
    compared = 0
    asks: list[Callable[[], Any]] = [
        lambda: c.connect("shop/web", "shop/cart", 8080, size=3000), lambda: c.connect("shop/web", far[1], 81), lambda: c.connect("shop/web", far[0], 4000, "UDP", size=3000, df=False),
        lambda: c.connect("shop/web", far[0], protocol="ICMP", ttl=1), lambda: c.connect("shop/web", far[1], protocol="ICMP", ttl=2), lambda: c.resolve("shop/web", "cart"),
    ]  # fmt: skip
    for ask in asks:
        c.flush()
        ask()
        c.pod("shop/web").run("true")  # what is under way in the background goes on: the connection closes
        frames = captured(c.capture)
        for link in dict.fromkeys(where for _, where, _ in frames):
            place, _, device = link.rpartition("/")
            machine = c.node(place) if place in {n.name for n in c.nodes} else c.pod(place.removeprefix("pod:")) if place.startswith("pod:") else None
            if machine is None:
                continue
            path = tmp_path / "link.pcap"
            path.write_bytes(file_bytes([(when, frame) for when, where, frame in frames if where == link]))
            said = subprocess.run([tcpdump, options, "-r", str(path)], capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}, check=True).stdout
            mine = [k for k in machine.run(f"tcpdump {options} -i {device}").splitlines() if not k.startswith(("tcpdump:", "listening")) and " packet" not in k]
            theirs = said.splitlines()
            assert mine == theirs, "\n".join([link, *(f"- {k}" for k in mine if k not in theirs), *(f"+ {k}" for k in theirs if k not in mine)])
            compared += len(mine)
    assert compared > 100


def _flags(tshark: str, path: Path) -> list[str]:
    wanted = ["-e", "tcp.flags.syn", "-e", "tcp.flags.fin", "-e", "tcp.analysis.flags", "-e", "tcp.completeness"]
    out = subprocess.run([tshark, "-n", "-2", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "occurrence=a", *wanted], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


#: tshark's tcp.completeness: SYN 1, SYN-ACK 2, ACK 4, DATA 8, FIN 16
WHOLE, WITHOUT_DATA = 31, 23


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_that_closed_is_whole(family: int, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """The client closes after its answer. Both FINs and the last ACK are in the capture, at every link on the way."""
    tshark = require_tool("tshark")
    c = kn.example("bookshop", ip_families=(f"IPv{family}",))
    web, path = c.pod("shop/web"), tmp_path / "whole.pcap"
    own = f"pod:{web.object.key}/eth0"
    for ask, whole in (
        (lambda: c.request("shop/web", "http://cart:8080/"), WHOLE), (lambda: c.connect("shop/web", "svc:shop/cart", 8080, size=20), WHOLE),
        (lambda: c.connect("shop/web", "shop/cart", 8080), WITHOUT_DATA), (lambda: c.preview("shop/web", "shop/cart", 8080), WITHOUT_DATA),
        (lambda: c.open("shop/web", "shop/cart", 8080).close(), None),
    ):  # fmt: skip
        trace = ask()
        links = [link for link in dict.fromkeys(where for _, where, _ in trace.frames) if link == own or "/flannel" in link]
        assert len(links) == 3
        for link in links:
            trace.to_pcap(path, at=link)
            rows = [line.split("\t") for line in _flags(tshark, path)]
            fins = [row for row in rows if row[1] in ("1", "True")]
            assert len(fins) == 2, (link, rows)
            assert not any(row[2] for row in rows), "no segment is lost, repeated or out of order"
            if whole is not None:
                assert {row[3] for row in rows} == {str(whole)}, rows
    first, again = [t.to_pcap(path, at=own) for t in [c.connect("shop/web", "shop/cart", 8080)] for _ in range(2)]
    assert first == again == 6, "a look changes nothing"
    assert c.connect("shop/cart", "shop/web", 8080).frames and len(c.capture) == len(c.copy().connect("shop/cart", "shop/web", 8080).frames)
    assert web.run("tcpdump -n -i eth0").count("Flags [F.]") == 2


def _segments(trace: Any) -> list[tuple[int, str]]:
    """(port of the client, flags) of what the client's own interface saw."""
    tcp = [f.body for _, where, f in trace.frames if where.startswith("pod:shop/web") and getattr(f.body, "proto", "") == "TCP"]
    return [(p.l4.sport if p.l4.dport == 8080 else p.l4.dport, p.l4.flags) for p in tcp]


def test_a_capture_ends_with_the_next_question() -> None:
    c = kn.example("bookshop")
    asked = [c.connect("shop/web", "shop/cart", 8080) for _ in range(2)]
    c.tick(1)
    for trace in asked:
        assert [flags for _, flags in _segments(trace)] == ["S", "SA", "A", "FA", "FA", "A"]
        assert len({port for port, _ in _segments(trace)}) == 1, "its own connection's"
    broken = c.copy()
    broken.node("worker-1").run("iptables -I FORWARD -p tcp --tcp-flags FIN FIN -j DROP")
    lost = broken.connect("shop/web", "shop/cart", 8080)
    assert [flags for _, flags in _segments(lost)] == ["S", "SA", "A", "FA"]
    broken.tick(3)
    assert [flags for _, flags in _segments(lost)].count("FA") > 2, "it is sent again"


def test_a_planted_fault_is_caught(captures: list[tuple[str, str, Path, int]], require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """A wrong byte in any of these files is seen: in a TCP segment, a ping, an inner packet of the tunnel."""
    tshark = require_tool("tshark")
    for what, link, protocol in (("tcp data", "veth4107e68b", "tcp"), ("ping", "veth4107e68b", "icmp"), ("ping6", "veth4107e68b", "icmpv6"), ("ping", "worker-1/eth0", "icmp")):
        path = next(p for w, k, p, _ in captures if w == what and k.endswith(link))
        data = bytearray(path.read_bytes())
        data[-1] ^= 0x40
        (tmp_path / "bad.pcap").write_bytes(data)
        assert any(BAD_CHECKSUM in row[f"{protocol}.checksum.status"].split(";") for row in _rows(tshark, tmp_path / "bad.pcap")), what
