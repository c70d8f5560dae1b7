"""What a chain's policy has counted, and how devices with a wildcard are listed and matched: as the real tool says after real packets."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fake_context import Fake
from iptables_mirror import Mirror, tidy
from test_iptables_kernel import SEND

from kubenet_lab.kernel.iptables import evaluate
from kubenet_lab.kernel.packet import Filler, Packet, Udp

pytestmark = [pytest.mark.real, pytest.mark.kernel]

PACKET = ("127.0.0.1", 42000, "127.0.0.2", 5353, 20)
TRAFFIC = ([sys.executable, "-I", "-c", SEND, json.dumps([PACKET])], "")
LO = (["ip", "link", "set", "lo", "up"], "")
WILD = ("+", "l+", "lo+", "lo", "++", "eth+", "eth0", "abcdefghijklmn+", "eth0.10+")
LISTED = [(["iptables", *words.split()], "") for words in ("-S", "-v -S", "-L -v", "-L -v -n", "-L -n", "-L -v -x")]
LISTED += [(["iptables-save"], ""), (["iptables-save", "-c"], "")]


def send(lab: Mirror) -> None:
    """The datagram leaves by lo and comes in by it."""
    src, sport, dst, dport, size = PACKET
    program = lab.rules[4].program("filter")
    for hook, devices in (("OUTPUT", {"outdev": "lo"}), ("INPUT", {"indev": "lo"})):
        table = lab.rules[4].tables.get("filter")
        if program is None or table is None or not (lab.rules[4].backend == "legacy" or hook not in table.absent):
            continue
        packet = Packet(src, dst, "UDP", Udp(sport, dport, Filler(size)))
        context = Fake(packet, **devices)  # type: ignore[arg-type]
        verdict = evaluate(program, hook, context)
        for rule in context.hits:
            n, total = lab.counters[4].get(rule.uid, (0, 0))
            lab.counters[4][rule.uid] = (n + 1, total + packet.size)
        if verdict.kind == "DROP":
            return


def both(lab: Mirror, tool: Any, commands: list[tuple[list[str], str]]) -> None:
    theirs = tool.run([LO, *commands])[1:]
    for line, real in zip(commands, theirs, strict=True):
        if line == TRAFFIC:
            send(lab)
            continue
        ours = lab.one(*line)
        assert (ours.status, tidy(ours.out)) == (real.status, tidy(real.out)), (line, commands)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_wildcards_of_devices(backend: str, real: Callable[[str], Any]) -> None:
    rules = [["-A", chain, *no, o, w] for w in WILD for no in ([], ["!"]) for chain, o in (("INPUT", "-i"), ("OUTPUT", "-o"))]
    rules += [["-A", "FORWARD", "-i", a, *no, "-o", b, "-j", "ACCEPT"] for a in WILD[:3] for no in ([], ["!"]) for b in WILD[:3]]
    both(Mirror(backend), real(backend), [*((["iptables", *r], "") for r in rules), TRAFFIC, *LISTED])


RESTORED = [f"*filter\n{line}\n-A INPUT\nCOMMIT\n" for line in (":INPUT ACCEPT [0:0]", ":INPUT ACCEPT [5:50]", ":INPUT - [0:0]", "")]
STEPS: list[tuple[list[str], str]] = [
    TRAFFIC, TRAFFIC, TRAFFIC,
    *((["iptables", *w.split()], "") for w in ("-A INPUT", "-A OUTPUT", "-P INPUT ACCEPT", "-P OUTPUT ACCEPT", "-L -Z")),
    *((["iptables", *w.split()], "") for w in ("-Z", "-Z INPUT", "-Z OUTPUT", "-Z INPUT 1")),
    *((["iptables-restore", *options], text) for text in RESTORED for options in ([], ["-c"], ["-n"], ["-n", "-c"])),
]  # fmt: skip


def test_what_a_policy_has_counted(real: Callable[[str], Any], cases: Callable[[int], int], seed: int) -> None:
    """The nft kind's chains count from the first -P, -Z or line of iptables-restore on, and begin at zero each time."""
    tool = real("nft")
    for case in range(cases(25)):
        r = random.Random(f"policy {seed} {case}")
        steps = [(["iptables", "-A", "INPUT"], ""), *(r.choice(STEPS) for _ in range(8)), TRAFFIC]
        if r.random() < 0.5:
            steps += [(["iptables", *w.split()], "") for w in ("-F", "-X", "-A INPUT")] + [TRAFFIC]
        both(Mirror("nft"), tool, [*steps, (["iptables", "-L", "-v"], ""), (["iptables-save", "-c"], "")])
