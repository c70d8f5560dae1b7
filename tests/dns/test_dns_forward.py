"""The forward plugin: which upstream, how often, how long, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import CoreDns, DnsPayload, Query, Question, Record, Server
from kubenet_lab.dns.plugins.base import Asked
from kubenet_lab.errors import NotModelled
from kubenet_lab.kernel.process import Message
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import Box, Scripted


def _ok(query: Query, data: str = "192.0.2.1") -> Any:
    return query.reply(answer=(Record(query.question.name, "A", 60, data),), flags=("RA",))


def _walk(options: str, behave: Any, box: Box | None = None, name: str = "a.test.", protocol: str = "UDP") -> tuple[Any, Box, Any]:
    """One question to a CoreDNS whose packets go to `behave`."""
    box = box or Box()
    box.transport = Scripted(behave)
    process = CoreDns(lambda: Snapshot([]), f". {{\n{options}\n}}")
    answer = process.handle(Message(DnsPayload(Query(Question(name), 77)), "10.244.0.5", 5353, "10.244.0.2", 53, protocol), box)
    assert answer is not None
    return answer.payload.message, box, answer


def test_the_upstreams_answer_comes_back_as_it_is() -> None:
    response, box, _ = _walk("forward . 192.0.2.53", lambda q, *_: _ok(q))
    assert response.addresses == ("192.0.2.1",) and response.flags == {"RD", "RA"} and response.id == 77
    assert box.transport.sent == [("a.test.", "A", "192.0.2.53", None, "UDP")]


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NXDOMAIN", "NOTIMP"])
def test_an_upstreams_rcode_is_passed_on_without_another_try(rcode: str) -> None:
    response, box, _ = _walk("forward . 192.0.2.53 192.0.2.54", lambda q, *_: q.reply(rcode))
    assert response.rcode == rcode and len(box.transport.sent) == 1


def test_three_attempts_of_two_seconds_and_servfail() -> None:
    response, box, answer = _walk("forward . 192.0.2.53", lambda *_: None)
    assert response.rcode == "SERVFAIL" and box.now == 6.0 and len(box.transport.sent) == 3
    assert [s.code for s in answer.payload.steps] == ["dns.forward_failed"] * 3 + ["dns.forward_gave_up"]


def test_an_upstream_that_is_known_to_be_down_is_tried_once() -> None:
    _, box, _ = _walk("forward . 192.0.2.53", lambda *_: None)
    begun = box.now
    response, box, _ = _walk("forward . 192.0.2.53", lambda *_: None, box)
    assert response.rcode == "SERVFAIL" and len(box.transport.sent) == 1 and box.now - begun == 2.0
    response, box, _ = _walk("forward . 192.0.2.53", lambda q, *_: _ok(q), box)
    assert response.rcode == "NOERROR"


def test_a_port_that_refuses_fails_after_the_health_checks() -> None:
    response, _, answer = _walk("forward . 192.0.2.53", lambda *_: "ECONNREFUSED")
    assert response.rcode == "SERVFAIL"
    assert answer.delay == 1.0  # probes at 0, 0.5 and 1 s: then it counts as down


def test_failfast_gives_up_when_all_are_down() -> None:
    box = Box()
    for _ in range(2):
        response, box, _ = _walk("forward . 192.0.2.53 {\n failfast_all_unhealthy_upstreams\n}", lambda *_: None, box)
    assert response.rcode == "SERVFAIL" and box.transport.sent == []


def test_the_next_upstream_takes_over_and_the_dead_one_is_left_out() -> None:
    def behave(query: Query, protocol: str, nth: int, server: str) -> Any:
        return None if server == "192.0.2.53" else _ok(query)

    options = "forward . 192.0.2.53 192.0.2.54 {\n policy sequential\n}"
    response, box, _ = _walk(options, behave)
    assert response.rcode == "NOERROR" and [s[2] for s in box.transport.sent] == ["192.0.2.53", "192.0.2.54"] and box.now == 2.0
    box.now = 10.0
    response, box, _ = _walk(options, behave, box)
    assert [s[2] for s in box.transport.sent] == ["192.0.2.54"] and box.now == 10.0


@pytest.mark.parametrize(
    ("policy", "draw", "order"),
    [
        ("sequential", 0, ["1", "1", "1"]),
        ("round_robin", 0, ["2", "3", "1"]),
        ("random", 0, ["1", "1", "1"]),
        ("random", 2, ["3", "3", "3"]),
    ],
)
def test_policies(policy: str, draw: int, order: list[str]) -> None:
    box = Box(draws={"coredns.forward": draw})
    seen = []
    for _ in order:
        _, box, _ = _walk(f"forward . 10.0.0.1 10.0.0.2 10.0.0.3 {{\n policy {policy}\n}}", lambda q, *_: _ok(q), box)
        seen.append(box.transport.sent[0][2][-1])
    assert seen == order


def test_failover_and_next() -> None:
    def behave(query: Query, protocol: str, nth: int, server: str) -> Any:
        return query.reply("SERVFAIL") if server == "10.0.0.1" else _ok(query)

    response, _, _ = _walk("forward . 10.0.0.1 10.0.0.2 {\n policy sequential\n failover SERVFAIL\n}", behave)
    assert response.rcode == "NOERROR"
    response, _, _ = _walk("forward . 10.0.0.1 {\n next SERVFAIL\n}\nforward . 10.0.0.2", behave)
    assert response.rcode == "NOERROR"
    response, _, _ = _walk("forward . 10.0.0.1 {\n next NXDOMAIN\n}\nforward . 10.0.0.2", behave)
    assert response.rcode == "SERVFAIL"


def test_except_and_the_zone() -> None:
    response, box, _ = _walk("forward . 10.0.0.1 {\n except corp.test\n}", lambda q, *_: _ok(q), name="x.corp.test.")
    assert response.rcode == "SERVFAIL" and box.transport.sent == []
    response, _, _ = _walk("forward corp.test 10.0.0.1\nforward . 10.0.0.2", lambda q, p, n, s: _ok(q, s), name="x.corp.test.")
    assert response.addresses == ("10.0.0.1",)
    response, _, _ = _walk("forward corp.test 10.0.0.1\nforward . 10.0.0.2", lambda q, p, n, s: _ok(q, s), name="x.other.test.")
    assert response.addresses == ("10.0.0.2",)


@pytest.mark.parametrize(
    ("options", "client", "used"),
    [("", "UDP", ["UDP"]), ("", "TCP", ["TCP"]), ("force_tcp", "UDP", ["TCP"]), ("prefer_udp", "TCP", ["UDP", "TCP"])],
)
def test_which_transport(options: str, client: str, used: list[str]) -> None:
    def behave(query: Query, protocol: str, nth: int, server: str) -> Any:
        return query.reply(flags=("TC",)) if protocol == "UDP" and client == "TCP" else _ok(query)

    response, box, _ = _walk(f"forward . 10.0.0.1 {{\n{options}\n}}", behave, protocol=client)
    assert [s[4] for s in box.transport.sent] == used and response.addresses == ("192.0.2.1",)


def test_an_answer_to_another_question_is_a_format_error() -> None:
    response, _, _ = _walk("forward . 10.0.0.1", lambda q, *_: q.asking("other.test.").reply())
    assert response.rcode == "FORMERR"


def test_targets_come_from_resolv_conf() -> None:
    server = Server(". {\n forward . /etc/resolv.conf\n}", files={"/etc/resolv.conf": "nameserver 10.0.0.7\nnameserver fd00::7\n"})
    asked: list[tuple[str, int]] = []

    def ask(address: str, port: int, protocol: str, query: Query, timeout: float) -> Asked:
        asked.append((address, port))
        return Asked(_ok(query))

    for draw in (0, 1):
        env = server.environment("10.244.0.5", lambda: 0.0, {}, lambda w, c, draw=draw: draw, ask)
        server.serve(Query(Question("a.test.")), env)
    assert asked == [("10.0.0.7", 53), ("fd00::7", 53)]


def test_tls_is_not_modelled() -> None:
    with pytest.raises(NotModelled, match="tls"):
        _walk("forward . tls://10.0.0.1", lambda q, *_: _ok(q))


def test_failures_to_reach_an_upstream_are_never_cached() -> None:
    box = Box()
    for _ in range(2):
        _walk("cache\nforward . 192.0.2.53", lambda *_: None, box)
    response, _, _ = _walk("cache\nforward . 192.0.2.53", lambda q, *_: _ok(q), box)
    assert response.rcode == "NOERROR"
