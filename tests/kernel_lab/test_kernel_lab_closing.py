"""How connections end, on the real kernel and in the model: what conntrack and the sockets say afterwards.

Sources: Linux net/netfilter/nf_conntrack_proto_tcp.c, net/ipv4/tcp_input.c, tcp_minisocks.c, tcp_timer.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernel_lab.both import Both
from tests.kernel_lab.found import dnat
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import TCP_PORT, cluster

pytestmark = pytest.mark.kernel

SERVICE, FAR = "10.96.0.50", "10.244.1.2"
LOST = "iptables -A FORWARD -s {} -p tcp -m tcp --tcp-flags FIN FIN -j DROP"
FOUND = "iptables -D FORWARD -s {} -p tcp -m tcp --tcp-flags FIN FIN -j DROP"
#: seconds that both clocks may differ by: the real one runs while programs start, and its retransmission timers are not exact
ABOUT = 3


@pytest.fixture(scope="module")
def tools(require_tool: Callable[..., None]) -> None:
    require_tool("conntrack")
    require_tool("ss")


@pytest.fixture
def both(real: Real, tools: None) -> Iterator[Both]:
    """p02 reaches p12 on the other node by a Service's address; what happens is remembered."""
    with Both(real, cluster(2, 2), forgetful=False) as found:
        found.run(*dnat("n0", f"{FAR}:{TCP_PORT}", "tcp", 80))
        found.run("n1", "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP")
        yield found


def tracked(text: str) -> tuple[tuple[str, ...], int]:
    """(state, tuples and flags) of the one TCP connection of `conntrack -L`, and its seconds left."""
    (line,) = [line for line in text.splitlines() if line.startswith("tcp")]
    words = line.split()
    return tuple(w for w in words[3:] if not w.startswith(("use=", "mark="))), int(words[2])


def same_tables(both: Both, *spaces: str) -> dict[str, str]:
    """The state that conntrack has the connection in, by space; both sides agree on all of the line."""
    out = {}
    for space in spaces:
        (said, left), (found, really_left) = (tracked(text) for text in both.tool(space, "conntrack -L -p tcp"))
        assert said == found, f"{space}: model {said}, real {found}"
        assert abs(left - really_left) <= ABOUT, f"{space} {said[0]}: {left} seconds left in the model, {really_left} in reality"
        out[space] = said[0]
    return out


def same_sockets(both: Both, *spaces: str) -> dict[str, str]:
    """The states of the sockets that do not listen."""
    out = {}
    for space in spaces:
        said, found = (_connections(text) for text in both.tool(space, "ss -tanH"))
        assert said == found, f"{space}: model {said}, real {found}"
        out[space] = " ".join(line.split()[0] for line in said)
    return out


def _connections(text: str) -> list[str]:
    return sorted(" ".join(line.split()) for line in text.splitlines() if "LISTEN" not in line)


def asked(both: Both, **more: object) -> None:
    both.ask("p02", SERVICE, 80, close="fin", **more)
    both.real.ask("serve", seconds=0.1)


def test_both_ends_close(both: Both) -> None:
    asked(both)
    assert same_tables(both, "n0", "n1") == {"n0": "TIME_WAIT", "n1": "TIME_WAIT"}
    assert same_sockets(both, "p02", "p12") == {"p02": "TIME-WAIT", "p12": ""}
    both.wait(3)
    same_tables(both, "n0", "n1")


def test_a_reset(both: Both) -> None:
    both.ask("p02", SERVICE, 80, close="reset")
    both.real.ask("serve", seconds=0.1)
    assert same_tables(both, "n0", "n1") == {"n0": "CLOSE", "n1": "CLOSE"}
    assert same_sockets(both, "p02", "p12") == {"p02": "", "p12": ""}


def test_a_refused_connection_leaves_nothing(both: Both) -> None:
    both.run("p12", "iptables -A INPUT -p tcp -m tcp --dport 81 -j ACCEPT")
    both.ask("p02", FAR, 81, close="fin")
    for text in both.tool("n0", "conntrack -L -p tcp"):
        assert "tcp" not in text.split()
    assert same_sockets(both, "p02") == {"p02": ""}


def test_the_clients_fin_is_lost_and_comes_through_later(both: Both) -> None:
    both.run("n0", LOST.format("10.244.0.2"))
    asked(both)
    assert same_tables(both, "n0", "n1") == {"n0": "FIN_WAIT", "n1": "ESTABLISHED"}
    assert same_sockets(both, "p02", "p12") == {"p02": "FIN-WAIT-1", "p12": "ESTAB"}
    both.wait(2)
    assert same_tables(both, "n0", "n1") == {"n0": "LAST_ACK", "n1": "ESTABLISHED"}, "a FIN again leads on, as if it were the other end's"
    both.run("n0", FOUND.format("10.244.0.2"))
    both.wait(3)
    assert same_tables(both, "n0", "n1") == {"n0": "TIME_WAIT", "n1": "TIME_WAIT"}
    assert same_sockets(both, "p02", "p12") == {"p02": "TIME-WAIT", "p12": ""}


def test_the_servers_fin_is_lost_and_comes_through_later(both: Both) -> None:
    both.run("n0", LOST.format(FAR))
    asked(both)
    assert same_tables(both, "n0") == {"n0": "LAST_ACK"}
    assert same_sockets(both, "p02", "p12") == {"p02": "FIN-WAIT-1", "p12": "LAST-ACK"}
    both.wait(2)
    assert same_tables(both, "n0", "n1") == {"n0": "TIME_WAIT", "n1": "TIME_WAIT"}
    assert same_sockets(both, "p02", "p12") == {"p02": "FIN-WAIT-2", "p12": "LAST-ACK"}
    both.run("n0", FOUND.format(FAR))
    both.wait(3)
    assert same_sockets(both, "p02", "p12") == {"p02": "TIME-WAIT", "p12": ""}


def test_data_that_nobody_acknowledges(both: Both) -> None:
    """Half a minute after the question the client is gone, its socket is not, and conntrack waits for five minutes, not for five days."""
    both.run("n0", "iptables -A FORWARD -s 10.244.0.2 -p tcp -m length --length 100:65535 -j DROP")
    asked(both)
    assert same_tables(both, "n0", "n1") == {"n0": "ESTABLISHED", "n1": "ESTABLISHED"}
    assert same_sockets(both, "p02", "p12") == {"p02": "FIN-WAIT-1", "p12": "ESTAB"}
    both.run("n0", "iptables -F FORWARD")
    both.wait(4)
    assert same_tables(both, "n0", "n1") == {"n0": "CLOSE", "n1": "CLOSE"}, "the answer comes to a socket that nobody reads: a reset"
    assert same_sockets(both, "p02", "p12") == {"p02": "", "p12": ""}


def test_a_port_pair_in_time_wait_is_used_again_by_who_asks_for_it(both: Both) -> None:
    for _ in range(3):
        both.ask("p02", SERVICE, 80, close="fin", sport=30001)
        both.real.ask("serve", seconds=0.1)
        assert same_tables(both, "n0", "n1") == {"n0": "TIME_WAIT", "n1": "TIME_WAIT"}
        assert same_sockets(both, "p02", "p12") == {"p02": "TIME-WAIT", "p12": ""}
