"""The real kernel counts which rules a packet meets; the lab must count the same, rule by rule."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fake_context import Fake
from iptables_random import ADDRESSES, PORTS, random_rules

from kubenet_lab.kernel.iptables import Ruleset, evaluate
from kubenet_lab.kernel.packet import Packet, Udp

# sends UDP from and to addresses of the loopback network; every port has a listener, so that no ICMP error comes back
SEND = """
import json, socket, sys
keep = []
ports = {p[3] for p in json.loads(sys.argv[1])}
for port in ports:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", port)); keep.append(s)
for src, sport, dst, dport, size in json.loads(sys.argv[1]):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((src, sport)); keep.append(s)
    try:
        s.sendto(b"x" * size, (dst, dport))
    except PermissionError:
        pass
"""


def _loopback(text: str) -> str:
    return re.sub(r"\b(10\.(244|96)|192\.168)\.", lambda m: f"127.{m[1].split('.')[1]}.", text)


@pytest.mark.real
@pytest.mark.kernel
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_kernel_counts_the_same_rules(backend: str, real: Callable[[str], Any], pytestconfig: pytest.Config) -> None:
    tool = real(backend)
    met = 0
    for case in range(pytestconfig.getoption("--cases") or 8):
        r = random.Random(f"{pytestconfig.getoption('--seed')} {case}")
        text = random_rules(r, rules=80, chance=False, tables={"filter": ("OUTPUT",)}, reject=False)
        text = re.sub(r"-m physdev[^-]*--\S+( veth\S+)?|-i \S+|-p tcp -m tcp .*?(?= -[jmg])", "", text).replace("! -m", "-m")
        text = _loopback(
            text.replace("0.0.0.0/0", "127.0.0.0/8").replace(" !  -", " -").replace("-p tcp", "-p udp").replace("-m tcp", "-m udp")
        )
        lines = [line for line in text.split("\n") if "--tcp-flags" not in line and " ! -j" not in line and " ! -g" not in line]
        nth = [f"-A OUTPUT -m statistic --mode nth --every {n} --packet {n - 2} -j {c}" for n, c in ((2, "C1"), (3, "C0"))]
        lines[lines.index("COMMIT") : lines.index("COMMIT")] = nth
        text = "\n".join(lines)
        packets = []
        for n in range(40):
            src, dst = (_loopback(r.choice(ADDRESSES)) for _ in range(2))
            packets.append((src, 41000 + n, dst, r.choice([*PORTS[1:], 1005]), r.choice([5, 20])))
        results = tool.run([
            (["ip", "link", "set", "lo", "up"], ""), (["iptables-restore"], text),
            ([sys.executable, "-I", "-c", SEND, json.dumps(packets)], ""), (["iptables-save", "-c"], ""),
        ])  # fmt: skip
        assert [x.status for x in results] == [0, 0, 0, 0], [x.err for x in results]
        kernel = [line for line in results[3].out.split("\n") if line.startswith(("[", ":OUTPUT"))]

        rules = Ruleset(4, backend)
        rules.restore(text)
        program = rules.program("filter")
        assert program is not None
        counters: dict[int, tuple[int, int]] = {}
        lists: dict[str, dict[str, tuple[float, ...]]] = {}
        from kubenet_lab.kernel.packet import Filler

        for src, sport, dst, dport, size in packets:
            packet = Packet(src, dst, "UDP", Udp(sport, dport, Filler(size)))
            context = Fake(
                packet, outdev="lo", ct_original=(src, sport, dst, dport, "UDP"), types={a: "LOCAL" for p in packets for a in (p[0], p[2])},
                lists=lists,
            )  # fmt: skip
            evaluate(program, "OUTPUT", context)
            for rule in context.hits:
                n, total = counters.get(rule.uid, (0, 0))
                counters[rule.uid] = (n + 1, total + packet.size)
        ours = [line for line in rules.save(counters).split("\n") if line.startswith(("[", ":OUTPUT"))]
        assert ours == kernel
        met += sum(not line.startswith(("[0:0]", ":")) for line in kernel)
    assert met > 40
