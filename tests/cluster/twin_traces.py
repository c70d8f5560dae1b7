"""What the kernel itself tells of a packet's way through its rules, in a twin: nft's trace, read from netlink.

`meta nftrace set 1` before all other chains, then one connection at a time. The rules of iptables are loaded by its nft kind, whose
rules are traced as nft's own; the legacy kind is not. Source: Linux net/netfilter/nf_tables_trace.c.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tests.cluster.kernel_twin import Servers, build, serve
from tests.cluster.twin_many import ECHO, ask_many, inside, opened
from tests.kernel_lab.netns import Space

#: one base chain that a packet met: [family, table, chain, ACCEPT or DROP, [[chain, number of the rule, 0 for the policy]]]
Met = list[Any]
#: seconds of silence that end a question; a connection's second packet comes after one second, the news of a failed neighbour after three
SILENCE = 0.5
TABLE = "traced"
SOL_NETLINK, ADD_MEMBERSHIP, NETFILTER, NFNLGRP_NFTRACE, MSG_TRACE = 270, 1, 12, 9, 0x0A11
#: attributes (enum nft_trace_attributes) and values
A_TABLE, A_CHAIN, A_HANDLE, A_TYPE, A_VERDICT, A_ID, A_HEADER, A_FAMILY, A_POLICY = 1, 2, 3, 4, 5, 6, 8, 15, 16
POLICY = 1  # NFT_TRACETYPE_POLICY
FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
#: what is compared: the first packets both ways. The wrapping of VXLAN is as many packets as the connection is
PACKETS = """
tcp flags & (syn | rst) != 0 meta nftrace set 1
meta l4proto udp udp dport != 8472 meta nftrace set 1
icmp type { echo-request, echo-reply, destination-unreachable } meta nftrace set 1
icmpv6 type { echo-request, echo-reply, destination-unreachable } meta nftrace set 1
"""


class Tracer:
    """The kernel's words about one namespace."""

    def __init__(self, space: Space):
        self.space = space
        chains = "".join(f"chain {h} {{\ntype filter hook {h} priority -500\n{PACKETS}}}\n" for h in ("prerouting", "output"))
        self.rules = self._numbered()
        space.run("nft", "-f", "-", stdin=f"table inet {TABLE} {{\n{chains}}}\n")
        with space:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, NFNLGRP_NFTRACE)
        self.socket.setblocking(False)

    def _numbered(self) -> dict[tuple[str, str, int], int]:
        """(family, table, handle) -> number of the rule in its chain; chains that have rules are keys too, by name."""
        found: dict[Any, int] = {}
        for item in json.loads(self.space.run("nft", "-j", "-a", "list", "ruleset"))["nftables"]:
            if rule := item.get("rule"):
                chain = (rule["family"], rule["table"], rule["chain"])
                found[chain] = found.get(chain, 0) + 1
                found[rule["family"], rule["table"], rule["handle"]] = found[chain]
        return found

    def heard(self) -> list[dict[int, bytes]]:
        out: list[dict[int, bytes]] = []
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return out
            while data:
                length, kind = struct.unpack("=IH", data[:6])
                if kind == MSG_TRACE:
                    out.append(dict(attributes(data[20:length])))
                data = data[(length + 3) & ~3 :]

    def met(self, events: list[dict[int, bytes]]) -> list[Met]:
        """The base chains in the order in which packets came to them. Of each packet the first event in a chain carries its header."""
        out: list[Met] = []
        under_way: dict[bytes, Met] = {}
        for e in events:
            family, table = FAMILIES[struct.unpack("!I", e[A_FAMILY])[0]], text(e[A_TABLE])
            if table == TABLE:
                continue
            chain, kind = text(e[A_CHAIN]), struct.unpack("!I", e[A_TYPE])[0]
            if A_HEADER in e:
                under_way[e[A_ID]] = [family, table, chain, "", []]
                out.append(under_way[e[A_ID]])
            now = under_way[e[A_ID]]
            if kind == POLICY:
                now[4].append([now[2], 0])
                now[3] = "ACCEPT" if e[A_POLICY][-1] else "DROP"
            elif A_HANDLE in e:
                now[4].append([chain, self.rules[family, table, struct.unpack("!Q", e[A_HANDLE])[0]]])
                code = struct.unpack("!i", dict(attributes(e[A_VERDICT]))[1])[0]
                now[3] = {0: "DROP", 1: "ACCEPT"}.get(code, now[3])
        return [m for m in out if (m[0], m[1], m[2]) in self.rules or m[3] != "ACCEPT"]  # type: ignore[comparison-overlap]

    def forget(self) -> None:
        """Connections and affinity: each question is the first one."""
        self.space.run("conntrack", "-F", check=False)
        for item in json.loads(self.space.run("nft", "-j", "list", "sets"))["nftables"]:
            if (s := item.get("set")) and s["name"].startswith("affinity-"):
                self.space.run("nft", "flush", "set", s["family"], s["table"], s["name"])
        with inside(self.space):
            folder = "/proc/thread-self/net/xt_recent"
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                with open(f"{folder}/{name}", "w", encoding="ascii") as f:
                    f.write("/")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack("=HH", data[:4])
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()


def begin(space: Space, protocol: str, dst: str, port: int) -> socket.socket | None:
    """A connection, a datagram or an echo request on its way."""
    s = opened(space, protocol, dst)
    s.setblocking(False)
    try:
        s.connect((dst, port))
        if protocol != "TCP":
            s.send(b"?" if protocol == "UDP" else ECHO[s.family])
    except BlockingIOError:
        pass
    except OSError:
        s.close()
        return None
    return s


def traced(tracers: dict[str, Tracer], space: Space, protocol: str, dst: str, port: int) -> dict[str, list[Met]]:
    """What each namespace's rules met of one connection's first packets, both ways: until the answer, or until nothing is heard."""
    for tracer in tracers.values():
        tracer.forget()
        tracer.heard()
    events: dict[str, list[dict[int, bytes]]] = {id: [] for id in tracers}
    s = begin(space, protocol, dst, port)
    with selectors.DefaultSelector() as waiting:
        for id, tracer in tracers.items():
            waiting.register(tracer.socket, selectors.EVENT_READ, id)
        if s is not None:
            waiting.register(s, selectors.EVENT_READ, "")
            while (ready := [key.data for key, _ in waiting.select(SILENCE)]) and "" not in ready:
                for id in ready:
                    events[id] += tracers[id].heard()
    for id, tracer in tracers.items():
        events[id] += tracer.heard()
    if s is not None:
        with suppress(OSError), s:
            s.recv(4096)  # unread, it would be answered by a reset
    return {id: met for id, tracer in tracers.items() if (met := tracer.met(events[id]))}


def main() -> None:
    spec = json.load(sys.stdin)
    spaces = build(spec)
    serve(Servers(), spaces, spec)
    ruled = [id for id, s in spec["spaces"].items() if s["nft"] or any(text.strip() for text in s["rules"].values())]
    tracers = {id: Tracer(spaces[id]) for id in ruled}
    if spec["again"]:  # neighbours that a busy machine was late to find are known then
        with ThreadPoolExecutor(len(spec["traced"])) as pool:
            list(pool.map(lambda q: ask_many(spaces[q[0]], *q[1:], 1), spec["traced"]))
    json.dump([traced(tracers, spaces[ns], *rest) for ns, *rest in spec["traced"]], sys.stdout)


if __name__ == "__main__":
    main()
