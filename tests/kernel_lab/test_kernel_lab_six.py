"""A black hole over IPv6, and what gets through it: the real kernel and the model take the same steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.kernel import tcp_conn
from kubenet_lab.kernel.ask import Question, put
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Filler
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State
from tests.kernel_lab.six import DST, LINES, NARROW, PORT, WIRES

pytestmark = pytest.mark.kernel

Step = tuple[Any, ...]
FLUSH = (("run", "a", "ip -6 route flush cache"), ("run", "b", "ip -6 route flush cache"))
SILENCE: tuple[Step, ...] = tuple(("run", s, "ip6tables -A OUTPUT -p icmpv6 --icmpv6-type packet-too-big -j DROP") for s in "rs")
CLAMP = "ip6tables -t mangle -{} FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"


def announce(mss: int) -> tuple[Step, ...]:
    return tuple(("run", s, f"ip -6 route replace default via fd00:{n}::1 dev eth0 advmss {mss}") for s, n in (("a", 1), ("b", 2)))


#: {what it shows: (steps, the answers)}
SCENES: dict[str, tuple[tuple[Step, ...], list[str]]] = {
    "the router says what the next wire takes, and everybody finds the way": (
        (("ask", "ICMP", NARROW - 47, 1), ("ask", "ICMP", NARROW - 48, 1), *FLUSH, ("ask", "TCP", 4000, 3)),
        ["too-big", "delivered", "delivered"],
    ),
    "Packet Too Big is dropped: what is too long is lost, the handshake is not (RFC 4890, 4.3.1)": (
        (*SILENCE, ("ask", "ICMP", NARROW - 48, 1), ("ask", "ICMP", NARROW - 47, 1), ("ask", "TCP", 200, 2), ("ask", "TCP", 4000, 3),
         ("ask", "TCP", NARROW - 72, 2), ("ask", "TCP", NARROW - 71, 2)),
        ["delivered", "timeout", "delivered", "stalled", "delivered", "stalled"],
    ),
    "the router lowers the MSS of both, and the hole is not met": (
        (*SILENCE, ("run", "r", CLAMP.format("A")), ("ask", "TCP", 4000, 3), ("run", "r", CLAMP.format("D")), ("ask", "TCP", 4000, 3)),
        ["delivered", "stalled"],
    ),
    "a route's advmss is announced whatever the MTU (net/ipv4/tcp_output.c tcp_connect_init, tcp_make_synack)": (
        (*SILENCE, *announce(NARROW - 60), ("ask", "TCP", 4000, 3), *announce(NARROW - 59), ("ask", "TCP", 4000, 3)),
        ["delivered", "stalled"],
    ),
}  # fmt: skip


def model(steps: tuple[Step, ...]) -> list[str]:
    net, state, answers = Network(), State(), []
    for name in "arsb":
        net.add_host(name)
    for n, (one, dev, other, there) in enumerate(WIRES):
        net.add_segment(str(n))
        net.plug(one, str(n), dev)
        net.plug(other, str(n), there)
    for name, line in LINES:
        Shell(net, state, name).run(line)
    net.namespaces["b"].listen(Listener("TCP", PORT, Echo(), "b"))
    for kind, *rest in steps:
        if kind == "run":
            said = Shell(net, state, rest[0]).run(rest[1])
            assert said == "", said
        else:
            protocol, size, seconds = rest
            q = Question("a", DST, PORT if protocol == "TCP" else 0, protocol, Filler(size), wait_answer=True, timeout=seconds)
            answers.append(put(net, state, q).verdict)
    return answers


@pytest.fixture(scope="module")
def real(require_tool: Callable[[str], str]) -> list[list[str]]:
    """The answers of the real kernel, scene by scene, all at the same time."""
    for tool in ("ip", "ip6tables", "ping"):
        require_tool(tool)
    root = Path(__file__).parents[2]
    running = []
    for steps, _ in SCENES.values():
        p = subprocess.Popen(
            ["unshare", "-n", "-m", sys.executable, "-m", "tests.kernel_lab.six"], cwd=root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert p.stdin is not None
        p.stdin.write(json.dumps({"steps": steps}))
        p.stdin.close()
        p.stdin = None
        running.append(p)
    out = []
    for p in running:
        said, wrong = p.communicate()
        assert p.returncode == 0, wrong
        out.append(json.loads(said))
    return out


@pytest.mark.parametrize("what", SCENES)
def test_the_kernel_answers_so(what: str, real: list[list[str]]) -> None:
    assert real[list(SCENES).index(what)] == SCENES[what][1]


@pytest.mark.parametrize("what", SCENES)
def test_the_model_answers_so(what: str) -> None:
    steps, answers = SCENES[what]
    assert model(steps) == answers


def test_a_model_without_advmss_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_conn, "announced_mss", tcp_conn.own_mss)
    steps, answers = SCENES[list(SCENES)[-1]]
    assert model(steps) != answers
