"""How TCP connections end, and what goes on by itself after a question is answered.

The times are those of Linux 6.18, seen in captures between namespaces: a lone FIN is repeated after 0.2 s (the tail loss
probe), then 0.2, 0.4, 0.8 ... s later, and given up 102.4 s after the first one (net/ipv4/tcp_timer.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.ask import Question, close, put, send
from kubenet_lab.kernel.background import catch_up
from kubenet_lab.kernel.conntrack import Conntrack
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.packet import Filler, Packet, Tcp
from kubenet_lab.kernel.process import Answer, Machine, Message
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.tcp_conn import find
from kubenet_lab.kernel.ways import outcomes
from tests.kernel.two_nodes import TCP_PORT, Lab, codes, frames

FAR = "10.244.1.2"
NO_FIN = "iptables -{} FORWARD -s {} -p tcp -m tcp --tcp-flags FIN FIN -j DROP"
TRACKS = "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP"


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    for node in ("n0", "n1"):
        run(lab, node, TRACKS)
    return lab


def run(lab: Lab, ns: str, line: str) -> str:
    return Shell(lab.net, lab.state, ns).run(line)


def tick(lab: Lab, seconds: float) -> list:
    lab.state.clock += seconds
    return catch_up(lab.net, lab.state)


def opened(lab: Lab, src: str = "p02", dst: str = FAR, **options):
    return lab.ask(src, dst, closing="none", **options)


def sockets(lab: Lab) -> dict[str, list[str]]:
    catch_up(lab.net, lab.state)
    found: dict[str, list[str]] = {}
    for kind, *ns in list(lab.state.keys()):
        for key in list(lab.state.read(kind, *ns)) if kind == "tcp" else ():
            conn = find(lab.state, ns[0], key)
            if conn is not None:
                found.setdefault(ns[0], []).append(conn.state)
    return found


def tracked(lab: Lab, ns: str) -> list[str]:
    catch_up(lab.net, lab.state)
    return [e.tcp_state for e in Conntrack(lab.state, ns).entries() if e.orig.proto == "TCP"]


def flags(seen: list, where: str) -> list[str]:
    return [p.l4.flags for _, at, _, _, p in seen if at == where and isinstance(p, Packet) and isinstance(p.l4, Tcp)]


# ------------------------------------------------------------------------------------------------------ close()
def test_three_segments_close_a_connection(lab: Lab) -> None:
    done = close(lab.net, lab.state, opened(lab))
    assert [(p.l4.flags, p.src) for p in frames(done, "p02/eth0")] == [("FA", "10.244.0.2"), ("FA", FAR), ("A", "10.244.0.2")]
    fin, back, last = (p.l4 for p in frames(done, "p02/eth0"))
    assert (back.ack, last.ack, last.seq) == (fin.seq + 1, back.seq + 1, fin.seq + 1), "a FIN counts as one byte"
    assert (done.verdict, done.error, done.phase, done.answered_by) == ("delivered", None, "data", "p12")
    assert done.elapsed == pytest.approx(2 * 0.0002), "there and back; the last ACK is nobody's wait"
    assert codes(done.forward)[0] == "socket.send" and codes(done.forward)[-1] == codes(done.reply)[-1] == "tcp.fin"
    assert sockets(lab) == {"p02": ["TIME_WAIT"]}
    assert tracked(lab, "n0") == tracked(lab, "n1") == ["TIME_WAIT"]


def test_a_fin_stands_behind_the_data(lab: Lab) -> None:
    conn = opened(lab)
    assert send(lab.net, lab.state, conn, Filler(3000)).verdict == "delivered"
    done = close(lab.net, lab.state, conn)
    first, *_ = frames(done, "p02/eth0")
    syn = next(p for p in frames(conn, "p02/eth0") if isinstance(p, Packet) and p.l4.flags == "S")
    assert first.l4.seq == (syn.l4.seq + 1 + 3000) & 0xFFFFFFFF
    assert sockets(lab) == {"p02": ["TIME_WAIT"]}


def test_a_reset_is_not_answered(lab: Lab) -> None:
    done = close(lab.net, lab.state, opened(lab), reset=True)
    assert flags(done.walk.frames, "p02/eth0") == ["RA"] and done.verdict == "delivered"
    assert codes(done.forward)[-1] == "tcp.reset" and done.reply is None
    assert sockets(lab) == {} and tracked(lab, "n0") == tracked(lab, "n1") == ["CLOSE"]


def test_what_is_closed_is_closed(lab: Lab) -> None:
    conn = opened(lab)
    close(lab.net, lab.state, conn)
    for again in (lambda: close(lab.net, lab.state, conn), lambda: send(lab.net, lab.state, conn, Filler(1))):
        with pytest.raises(KubenetError, match="not open"):
            again()


# ------------------------------------------------------------------------------------------------- one-shot clients
def test_a_client_closes_when_it_has_its_answer(lab: Lab) -> None:
    answer = lab.ask("p02", FAR)
    assert flags(answer.walk.frames, "p02/eth0") == ["S", "SA", "A"], "the answer does not wait for the closing"
    clock = lab.state.clock
    assert sockets(lab) == {"p02": ["TIME_WAIT"]} and lab.state.clock > clock
    assert tracked(lab, "n0") == tracked(lab, "n1") == ["TIME_WAIT"]
    tick(lab, 61)
    assert lab.ask("p02", FAR) and len(sockets(lab)["p02"]) == 1, "TIME_WAIT is over, and the next one is in it"


def test_it_is_the_same_whether_somebody_looks_in_between() -> None:
    clocks = []
    for looks in (False, True):
        lab = Lab()
        for _ in range(4):
            lab.ask("p02", FAR, payload=Filler(500))
            if looks:
                catch_up(lab.net, lab.state)
        catch_up(lab.net, lab.state)
        clocks.append((lab.state.clock, sorted(lab.state.read("tcp", "p02"))))
    assert clocks[0] == clocks[1]


def test_outcomes_close_nothing(lab: Lab) -> None:
    lab.ask("p02", FAR)
    catch_up(lab.net, lab.state)
    before = (lab.state.clock, sockets(lab))
    assert outcomes(lab.net, lab.state, Question("p02", FAR, TCP_PORT), lambda r: r.verdict) == [(Fraction(1), "delivered")]
    assert (lab.state.clock, sockets(lab), lab.state.later) == (*before, [])


def test_a_client_that_closes_by_reset_leaves_nothing(lab: Lab) -> None:
    lab.ask("p02", FAR, closing="reset")
    assert sockets(lab) == {} and tracked(lab, "n1") == ["CLOSE"]


# ------------------------------------------------------------------------------------------------------- what is lost
def test_a_lost_fin_is_sent_again_until_it_is_given_up(lab: Lab) -> None:
    run(lab, "n0", NO_FIN.format("A", "10.244.0.2"))
    conn = opened(lab)
    done = close(lab.net, lab.state, conn)
    assert (done.verdict, done.error, done.ending) == ("stalled", None, "filter.drop")
    start = lab.state.clock
    seen = [*tick(lab, 102.3)]
    times = [round(t - start, 1) for t, at, _, _, p in seen if at == "p02/eth0"]
    assert times == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2]
    assert sockets(lab) == {"p02": ["FIN_WAIT1"], "p12": ["ESTABLISHED"]}
    tick(lab, 0.2)
    assert sockets(lab) == {"p12": ["ESTABLISHED"]}, "the client is gone; the server has never heard of it"
    assert not lab.state.later


def test_time_goes_on_in_the_background_of_other_questions(lab: Lab) -> None:
    run(lab, "n0", NO_FIN.format("A", "10.244.0.2"))
    lab.ask("p02", FAR)
    assert tracked(lab, "n0") == ["FIN_WAIT"] and tracked(lab, "n1") == ["ESTABLISHED"]
    run(lab, "n0", NO_FIN.format("D", "10.244.0.2"))
    assert lab.ask("p03", "10.244.0.77", timeout=5).error == "EHOSTUNREACH", "three seconds"
    assert tracked(lab, "n0") == ["TIME_WAIT"] and sockets(lab) == {"p02": ["TIME_WAIT"]}


def test_the_servers_fin_is_lost(lab: Lab) -> None:
    run(lab, "n0", NO_FIN.format("A", FAR))
    lab.ask("p02", FAR)
    assert sockets(lab) == {"p02": ["FIN_WAIT1"], "p12": ["LAST_ACK"]} and tracked(lab, "n0") == ["LAST_ACK"]
    tick(lab, 0.5)
    assert sockets(lab) == {"p02": ["FIN_WAIT2"], "p12": ["LAST_ACK"]}
    tick(lab, 103)
    run(lab, "n0", NO_FIN.format("D", FAR))
    lab.ask("p02", FAR)
    assert sockets(lab) == {"p02": ["TIME_WAIT"]}, "a FIN_WAIT2 that nobody owns is over after a minute"


def test_half_an_opening_is_given_up(lab: Lab) -> None:
    run(lab, "n0", "iptables -A FORWARD -s 10.244.1.2 -j DROP")
    assert lab.ask("p02", FAR, timeout=2).verdict == "timeout"
    assert sockets(lab) == {"p12": ["SYN_RECV"]}
    seen = tick(lab, 70)
    assert flags(seen, "p12/eth0") == ["SA"] * 4, "after 3, 7, 15 and 31 seconds; the first one was in the question's own time"
    assert sockets(lab) == {} and not lab.state.later


def test_data_that_was_lost_arrives_when_the_fault_is_repaired(lab: Lab) -> None:
    conn = opened(lab)
    run(lab, "n0", "iptables -A FORWARD -s 10.244.0.2 -j DROP")
    stalled = send(lab.net, lab.state, conn, Filler(700), timeout=3)
    assert (stalled.verdict, stalled.phase) == ("stalled", "data")
    assert [e.expires - lab.state.clock > 200 for e in Conntrack(lab.state, "n0").entries() if e.orig.proto == "TCP"] == [True]
    assert all(e.expires - lab.state.clock < 301 for e in Conntrack(lab.state, "n0").entries())
    run(lab, "n0", "iptables -F FORWARD")
    run(lab, "n0", TRACKS)
    more = send(lab.net, lab.state, conn, Filler(300), timeout=5)
    assert more.verdict == "delivered" and more.elapsed == pytest.approx(0.2, abs=0.01), "behind what waits: the next timeout sends it"
    (taken,) = [e.value for e in more.walk.events if e.what == "message"]
    assert len(taken) == 1000 and bytes(taken) == bytes(Filler(700)) + bytes(Filler(300)), "one stream"
    assert close(lab.net, lab.state, conn) and sockets(lab) == {"p02": ["TIME_WAIT"]}


def test_a_stale_connection_at_the_other_end_is_reset(lab: Lab) -> None:
    """The server still has the port pair of a client that is gone: challenge ACK, reset, and the SYN again (RFC 9293, 3.10.7.4)."""
    run(lab, "n0", NO_FIN.format("A", "10.244.0.2"))
    lab.ask("p02", FAR, source_port=44444)
    tick(lab, 110)
    assert sockets(lab) == {"p12": ["ESTABLISHED"]}
    run(lab, "n0", NO_FIN.format("D", "10.244.0.2"))
    again = lab.ask("p02", FAR, source_port=44444)
    assert again.verdict == "delivered" and again.elapsed == pytest.approx(1.0, abs=0.01)
    assert flags(again.walk.frames, "p02/eth0") == ["S", "A", "R", "S", "SA", "A"]


# ------------------------------------------------------------------------------------------------------------ servers
@dataclass(frozen=True)
class Slow:
    """Thinks for a while before it answers."""

    seconds: float
    says: int = 100
    name: str = "slow"

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        return Answer(Filler(self.says), self.seconds) if self.says else None


def test_an_answer_to_a_closed_socket_is_reset(lab: Lab) -> None:
    lab["p12"].listen(Listener("TCP", 9000, Slow(2.0), "p12"))
    assert lab.ask("p02", FAR, 9000, payload=Filler(10)).verdict == "delivered", "acknowledged is enough for this client"
    assert sockets(lab) == {"p02": ["FIN_WAIT2"], "p12": ["CLOSE_WAIT"]}, "the server is not done"
    seen = tick(lab, 3)
    assert flags(seen, "p02/eth0") == ["PA", "R"]
    assert sockets(lab) == {} and tracked(lab, "n0") == tracked(lab, "n1") == ["CLOSE"]


def test_a_server_that_says_nothing_closes_too(lab: Lab) -> None:
    lab["p12"].listen(Listener("TCP", 9000, Slow(2.0, 0), "p12"))
    lab.ask("p02", FAR, 9000, payload=Filler(10))
    assert sockets(lab) == {"p02": ["TIME_WAIT"]}


# ----------------------------------------------------------------------------------------------------- nothing leaks
RULES = ["", NO_FIN.format("A", "10.244.0.2"), NO_FIN.format("A", FAR), "iptables -A FORWARD -s 10.244.1.2 -j DROP",
         "iptables -A FORWARD -p tcp -m length --length 200:65535 -j DROP"]  # fmt: skip


STEPS = st.tuples(st.sampled_from(RULES), st.sampled_from([0, 10, 1000, 5000]), st.sampled_from(["fin", "reset"]), st.floats(0, 20))


@given(st.lists(STEPS, max_size=5))
def test_after_twenty_minutes_only_servers_that_never_heard_are_left(steps: list[tuple[str, int, str, float]]) -> None:
    lab = Lab()
    for rule, size, closing, seconds in steps:
        run(lab, "n0", "iptables -F FORWARD")
        if rule:
            run(lab, "n0", rule)
        put(lab.net, lab.state, Question("p02", FAR, TCP_PORT, payload=Filler(size), closing=closing, timeout=2))  # type: ignore[arg-type]
        tick(lab, seconds)
    tick(lab, 1200)
    assert set(sockets(lab)) <= {"p12"} and set(sockets(lab).get("p12", ())) <= {"ESTABLISHED"} and not lab.state.later


def test_what_is_over_does_not_pile_up(lab: Lab) -> None:
    for _ in range(200):
        lab.ask("p02", FAR)
        tick(lab, 2)
    assert len(lab.state.read("tcp", "p02")) < 40, "those of the last minute"
