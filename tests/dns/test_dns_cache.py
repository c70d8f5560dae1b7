"""The cache plugin, and how answers are classified for it (coredns v1.14.2 plugin/cache, plugin/pkg/response)."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import Query, Question, Record, Response, Server
from kubenet_lab.dns.message import Edns, Flags
from kubenet_lab.dns.typify import minimal_ttl, typify
from kubenet_lab.errors import NotModelled
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import Box, Scripted, service

SOA = Record("example.org.", "SOA", 3600, "sns.dns.icann.org. noc.dns.icann.org. 2016082540 7200 3600 1209600 3600")
A = Record("a.test.", "A", 300, "192.0.2.1")
RRSIG = Record("miek.nl.", "RRSIG", 1800, "MX 8 2 1800 20160521031301 20160421031301 12051 miek.nl. lAaEzB5t")
APRIL_2017 = 1492768281.0


class Upstream:
    """Answers as told and counts."""

    def __init__(self, **reply: Any):
        self.reply, self.asked = reply, 0

    def answer(self, query: Query) -> Response:
        self.asked += 1
        rcode = self.reply.get("rcode", "NOERROR")
        rest = {k: v for k, v in self.reply.items() if k != "rcode"}
        return query.reply(rcode, **rest)


class Asked:
    """A server with a cache in front of one upstream, and a memory."""

    def __init__(self, options: str = "cache", **reply: Any):
        self.server = Server(f". {{\n {options}\n forward . 192.0.2.53\n}}")
        self.upstream, self.memory = Upstream(**reply), {}
        self.steps: list[str] = []

    def __call__(self, now: float, name: str = "a.test.", type: str = "A", **query: Any) -> Response:
        asked = Query(Question(name, type), **query)
        response, steps = self.server.answer(asked, now=now, memory=self.memory, upstream=self.upstream)
        self.steps = [s.code for s in steps]
        return response


# --- typify: plugin/pkg/response/typify_test.go, cache_test.go TestCacheInsertion ------------------------------------
NS = tuple(Record("miek.nl.", "NS", 3600, f"ns{i}.test.") for i in range(3))
KINDS = [
    ("delegation", Response(authority=NS), "DELEGATION"),
    ("delegation with an expired signature, DO not asked", Response(authority=(*NS, RRSIG)), "DELEGATION"),
    ("the same, DO asked", Response(authority=(*NS, RRSIG), edns=Edns(4096, True)), "OTHERERROR"),
    (
        "NXDOMAIN with an answer",
        Response("NXDOMAIN", answer=(Record("bar.www.example.org.", "CNAME", 5, "foo.example.org."),)),
        "OTHERERROR",
    ),
    ("refused", Response("REFUSED"), "OTHERERROR"),
    ("NXDOMAIN with SOA", Response("NXDOMAIN", authority=(SOA,)), "NXDOMAIN"),
    ("NXDOMAIN without SOA", Response("NXDOMAIN"), "OTHERERROR"),
    ("NODATA", Response(authority=(SOA,)), "NODATA"),
    ("an answer", Response(answer=(A,)), "NOERROR"),
    ("an alias to nothing with SOA", Response(answer=(Record("a.", "CNAME", 5, "b."),), authority=(SOA,)), "NOERROR"),
    ("empty", Response(), "NOERROR"),
    ("SERVFAIL", Response("SERVFAIL"), "SERVERERROR"),
    ("NOTIMP", Response("NOTIMP"), "SERVERERROR"),
    ("FORMERR", Response("FORMERR"), "OTHERERROR"),
    ("a transfer", Response(question=Question("a.", "AXFR")), "META"),
    ("a notify", Response(opcode="NOTIFY"), "META"),
]


@pytest.mark.parametrize(("response", "kind"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_kinds_of_responses(response: Response, kind: str) -> None:
    assert typify(response, APRIL_2017) == kind


@pytest.mark.parametrize(
    ("response", "kind", "ttl"),
    [
        (Response(answer=(A,)), "NOERROR", 300),
        (Response(answer=(A.but(ttl=90000),)), "NOERROR", 3600),
        (Response(), "NOERROR", 5),
        (Response("SERVFAIL", authority=(SOA,)), "SERVERERROR", 5),
        (Response(answer=(A,), additional=(A.but(ttl=7),)), "NOERROR", 7),
        (Response(authority=(SOA.but(ttl=60),)), "NODATA", 60),
    ],
)
def test_the_ttl_of_a_message(response: Response, kind: Any, ttl: int) -> None:
    assert minimal_ttl(response, kind) == ttl


# --- what is kept, and for how long ------------------------------------------------------------------------------------
CACHED = [
    ("an answer", {"answer": (A,)}, True),
    ("a truncated answer", {"answer": (A,), "flags": ("TC",)}, False),
    ("NXDOMAIN with SOA", {"rcode": "NXDOMAIN", "authority": (SOA,)}, True),
    ("NXDOMAIN without SOA", {"rcode": "NXDOMAIN"}, False),
    ("NODATA", {"authority": (SOA,)}, True),
    ("SERVFAIL that an upstream said", {"rcode": "SERVFAIL"}, True),
    ("NOTIMP", {"rcode": "NOTIMP"}, True),
    ("REFUSED", {"rcode": "REFUSED"}, False),
    ("FORMERR", {"rcode": "FORMERR"}, False),
]


@pytest.mark.parametrize(("reply", "kept"), [c[1:] for c in CACHED], ids=[c[0] for c in CACHED])
def test_what_is_kept(reply: dict[str, Any], kept: bool) -> None:
    ask = Asked(**reply)
    first, again = ask(0), ask(1)
    assert ask.upstream.asked == (1 if kept else 2)
    assert first.rcode == again.rcode == reply.get("rcode", "NOERROR")


@pytest.mark.parametrize(
    ("options", "given", "kept"),
    [
        ("cache", 3601, 3600),
        ("cache", 300, 300),
        ("cache 30", 300, 30),
        ("cache 30", 10, 10),
        ("cache", 0, 5),
        ("cache", 3, 5),
        ("cache {\n success 100 60 10\n}", 3, 10),
        ("cache {\n success 100 60 0\n}", 3, 3),
        ("cache {\n success 100 60 90\n}", 3, 60),
    ],
)
def test_every_record_gets_the_one_ttl_already_on_the_first_reply(options: str, given: int, kept: int) -> None:
    ask = Asked(options, answer=(A.but(ttl=given), A.but(ttl=90000, data="192.0.2.2")))
    assert [r.ttl for r in ask(0).answer] == [kept, kept]


def test_ttls_count_down_and_end() -> None:
    ask = Asked("cache 30", answer=(A,))
    assert [ask(t).answer[0].ttl for t in (0, 1.9, 29)] == [30, 29, 1]
    assert ask.upstream.asked == 1 and ask.steps == ["dns.cache_hit"]
    assert ask(30).answer[0].ttl == 30 and ask.upstream.asked == 2


def test_a_ttl_of_zero_is_not_kept_where_the_minimum_is_zero() -> None:
    ask = Asked("cache {\n success 100 60 0\n}", answer=(A.but(ttl=0),))
    assert ask(0).answer[0].ttl == 0
    ask(0)
    assert ask.upstream.asked == 2


@pytest.mark.parametrize(("options", "seconds"), [("cache", 5), ("cache {\n servfail 60s\n}", 60), ("cache {\n servfail 0\n}", 0)])
def test_failures_are_kept_shortly(options: str, seconds: int) -> None:
    ask = Asked(options, rcode="SERVFAIL")
    ask(0)
    ask(max(seconds - 1, 0))
    assert ask.upstream.asked == (1 if seconds else 2)
    ask(seconds)
    assert ask.upstream.asked == (2 if seconds else 3)


def test_denials_are_capped_by_their_own_ttl() -> None:
    ask = Asked("cache", rcode="NXDOMAIN", authority=(SOA,))
    assert ask(0).authority[0].ttl == 1800
    ask(1799)
    assert ask.upstream.asked == 1


def test_names_are_folded_types_and_dnssec_bits_are_not() -> None:
    ask = Asked(answer=(A,))
    ask(0)
    again = ask(1, "A.TEST.")
    assert ask.upstream.asked == 1 and again.question == Question("A.TEST.", "A") and again.answer[0].name == "a.test."
    ask(1, type="AAAA")
    ask(1, cd=True)
    ask(1, edns=Edns(4096, do=True))
    assert ask.upstream.asked == 4


def test_a_hit_is_authoritative_and_keeps_ra() -> None:
    ask = Asked(answer=(A,), flags=("RA", "AD"))
    assert ask(0).flags == Flags({"RD", "RA"})
    assert ask(1).flags == Flags({"AA", "RD", "RA"})
    assert ask(1, ad=True).flags == Flags({"AA", "RD", "RA"})  # AD was taken off before it was kept
    asked = Asked(answer=(A,), flags=("RA", "AD"))
    assert "AD" in asked(0, ad=True).flags
    assert "AD" in asked(1, ad=True).flags and "AD" not in asked(1).flags


@pytest.mark.parametrize(("what", "reply"), [("success", {"answer": (A,)}), ("denial", {"rcode": "NXDOMAIN", "authority": (SOA,)})])
def test_disable_keeps_zones_out(what: str, reply: dict[str, Any]) -> None:
    other = "denial" if what == "success" else "success"
    for options, asked in ((f"disable {what} test", 2), (f"disable {what}", 2), (f"disable {other}", 1), (f"disable {what} org", 1)):
        ask = Asked(f"cache {{\n {options}\n}}", **reply)
        ask(0)
        ask(1)
        assert ask.upstream.asked == asked, options


def test_only_the_zones_of_the_cache() -> None:
    ask = Asked("cache 30 org", answer=(A,))
    ask(0)
    ask(1)
    assert ask.upstream.asked == 2 and ask(2).answer[0].ttl == 300


def test_keepttl() -> None:
    ask = Asked("cache 30 {\n keepttl\n}", answer=(A,))
    assert [ask(t).answer[0].ttl for t in (0, 20)] == [30, 30]


def test_two_server_blocks_have_two_caches() -> None:
    server = Server("a.test {\n cache\n forward . 192.0.2.53\n}\nb.test {\n cache\n forward . 192.0.2.53\n}")
    memory: dict[str, Any] = {}
    upstream = Upstream(answer=(A,))
    for name in ("a.test.", "b.test.", "a.test.", "b.test."):
        server.answer(name, memory=memory, upstream=upstream)
    assert upstream.asked == 2
    assert len({key.split("/")[1] for key in memory}) == 2


# --- serve_stale, prefetch: cache_test.go TestServeFromStaleCache, prefetch_test.go -------------------------------------
@pytest.mark.parametrize(("minutes", "stale"), [(30, True), (60, True), (70, False)])
def test_a_stale_answer_is_served_with_ttl_zero(minutes: int, stale: bool) -> None:
    ask = Asked("cache {\n serve_stale 1h\n}", answer=(A.but(ttl=60),))
    ask(0)
    ask.upstream.reply = {"rcode": "SERVFAIL"}
    response = ask(minutes * 60)
    assert (response.rcode, [r.ttl for r in response.answer]) == (("NOERROR", [0]) if stale else ("SERVFAIL", []))


def test_verify_asks_first_and_serves_the_stale_answer_only_if_that_fails() -> None:
    ask = Asked("cache {\n serve_stale 1h verify\n}", answer=(A.but(ttl=60),))
    ask(0)
    ask.upstream.reply = {"answer": (A.but(data="192.0.2.9"),)}
    assert ask(120).addresses == ("192.0.2.9",)
    ask.upstream.reply = {"rcode": "SERVFAIL"}
    stale = ask(600)
    assert stale.addresses == ("192.0.2.9",) and stale.answer[0].ttl == 0


def test_prefetch_renews_a_popular_answer_before_it_ends() -> None:
    ask = Asked("cache 100 {\n prefetch 2 1m 10%\n}", answer=(A,))
    ask(0)
    for t in (1, 50, 91):
        ask(t)
    assert ask.upstream.asked == 2  # at 91 s: hit 3, 9 s left
    ask.upstream.reply = {"answer": (A.but(data="192.0.2.9"),)}
    assert ask(120).addresses == ("192.0.2.1",) and ask.upstream.asked == 2


def test_a_refresh_in_the_background_of_a_walk_is_not_modelled() -> None:
    from kubenet_lab.dns import CoreDns, DnsPayload
    from kubenet_lab.kernel.process import Message

    upstream = Upstream(answer=(A.but(ttl=60),))
    box = Box(Scripted(lambda query, protocol, nth, server: upstream.answer(query)))
    process = CoreDns(lambda: Snapshot([]), ". {\n cache {\n serve_stale\n }\n forward . 192.0.2.53\n}")
    message = Message(DnsPayload(Query(Question("a.test."))), "10.244.0.5", 5353, "10.244.0.2", 53, "UDP")
    process.handle(message, box)
    box.now = 600.0
    with pytest.raises(NotModelled, match="serve_stale"):
        process.handle(message, box)


# --- a full cache ----------------------------------------------------------------------------------------------------
def test_a_full_shard_loses_an_element_by_a_draw() -> None:
    server = Server(". {\n cache {\n success 256\n }\n forward . 192.0.2.53\n}")
    memory: dict[str, Any] = {}
    drawn: list[int] = []

    def choose(weights: Any, chooser: str) -> int:
        drawn.append(len(weights))
        return 0

    for i in range(3000):
        server.answer(f"n{i}.test.", memory=memory, upstream=Upstream(answer=(A.but(name=f"n{i}.test."),)), choose=choose)
    sizes = [len(shard) for key, shard in memory.items() if "success" in key]
    assert max(sizes) == 4 and set(drawn) == {4} and sum(sizes) + len(drawn) == 3000


# --- the two ways the add-on is shipped ---------------------------------------------------------------------------------
def _names(disabled: bool) -> tuple[str, str]:
    """What a client sees before and after a Service is created within the negative TTL."""
    denied = "disable denial cluster.local" if disabled else ""
    objects = [Snapshot([])]
    server = Server(f". {{\n kubernetes cluster.local {{\n ttl 30\n }}\n cache 30 {{\n {denied}\n }}\n}}", lambda: objects[0])
    memory: dict[str, Any] = {}
    before = server.answer("cart.default.svc.cluster.local.", memory=memory, now=0)[0].rcode
    objects[0] = Snapshot([service("default/cart", "10.96.0.20", ports=["http/TCP/80"])])
    return before, server.answer("cart.default.svc.cluster.local.", memory=memory, now=29)[0].rcode


def test_asking_before_the_service_exists_costs_thirty_seconds_unless_denials_are_off() -> None:
    assert _names(disabled=False) == ("NXDOMAIN", "NXDOMAIN")
    assert _names(disabled=True) == ("NXDOMAIN", "NOERROR")
