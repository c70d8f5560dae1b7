"""hosts, rewrite, template, autopath, loadbalance, local, minimal, bufsize (coredns v1.14.2, each plugin's own tests)."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import Query, Question, Record, Response, Server
from kubenet_lab.dns.message import Edns
from kubenet_lab.errors import NotModelled
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import pod, service, short


class Up:
    """An upstream that owns every name: A, and whatever `records` say by (name, type)."""

    def __init__(self, **records: Any):
        self.asked: list[str] = []
        self.records = records.pop("records", {})
        self.only = records.pop("only", None)

    def answer(self, query: Query) -> Response:
        self.asked.append(str(query))
        name = query.question.name
        if self.only is not None and query.name not in self.only:
            return query.reply("NXDOMAIN", authority=(Record(".", "SOA", 60, "a. b. 1 2 3 4 60"),))
        found = self.records.get((query.name, query.type)) or (Record(name, "A", 300, "192.0.2.1"),)
        return query.reply(answer=tuple(found), flags=("RA",))


def _ask(options: str, name: str, type: str = "A", upstream: Any = None, things: Any = (), **more: Any) -> tuple[Response, list[str]]:
    server = Server(f". {{\n{options}\n}}", Snapshot(things), files=more.pop("files", None))
    response, steps = server.answer(Query(Question(name, type), **more.pop("query", {})), upstream=upstream or Up(), **more)
    return response, [s.code for s in steps]


# --- hosts -----------------------------------------------------------------------------------------------------------
HOSTS = "hosts {{\n 10.0.0.1 example.org example.com\n 10.0.0.2 example.org # a comment\n ::2 example.org\n nonsense x\n {}\n}}\n"


@pytest.mark.parametrize(
    ("name", "type", "rcode", "data"),
    [
        ("example.org.", "A", "NOERROR", ["10.0.0.1", "10.0.0.2"]),
        ("EXAMPLE.com.", "A", "NOERROR", ["10.0.0.1"]),
        ("example.org.", "AAAA", "NOERROR", ["::2"]),
        ("example.com.", "AAAA", "NOERROR", []),
        ("example.org.", "MX", "NOERROR", []),
        ("www.example.org.", "A", "SERVFAIL", []),
        ("1.0.0.10.in-addr.arpa.", "PTR", "NOERROR", ["example.org.", "example.com."]),
        ("x.", "A", "SERVFAIL", []),
    ],
)
def test_hosts(name: str, type: str, rcode: str, data: list[str]) -> None:
    response, _ = _ask(HOSTS.format(""), name, type)
    assert (response.rcode, [r.data for r in response.answer], response.authority) == (rcode, data, ())
    assert all(r.ttl == 3600 and r.name == name.lower() for r in response.answer)


def test_hosts_options_and_files() -> None:
    up = Up()
    assert _ask(HOSTS.format("fallthrough") + "forward . 9.9.9.9", "www.example.org.", upstream=up)[0].addresses == ("192.0.2.1",)
    assert _ask(HOSTS.format("fallthrough com") + "forward . 9.9.9.9", "www.example.org.")[0].rcode == "SERVFAIL"
    assert _ask(HOSTS.format("no_reverse") + "forward . 9.9.9.9", "1.0.0.10.in-addr.arpa.", "PTR", up)[0].answer[0].type == "A"
    assert _ask(HOSTS.format("ttl 7"), "example.com.")[0].answer[0].ttl == 7
    files = {"/etc/my.hosts": "10.9.9.9 file.test other.zone\n"}
    options = "hosts /etc/my.hosts test {\n 10.8.8.8 inline.test\n}"
    assert _ask(options, "file.test.", files=files)[0].addresses == ("10.9.9.9",)
    assert _ask(options, "inline.test.", files=files)[0].addresses == ("10.8.8.8",)
    assert _ask(options + "\nforward . 9.9.9.9", "other.zone.", files=files)[0].addresses == ("192.0.2.1",)
    with pytest.raises(NotModelled, match=r"my\.hosts"):
        _ask(options, "file.test.")


def test_hosts_stands_above_kubernetes() -> None:
    things = [service("shop/cart", "10.96.0.20", ports=["http/TCP/80"])]
    options = "kubernetes cluster.local\nhosts {\n 10.1.1.1 cart.shop.svc.cluster.local\n fallthrough\n}"
    assert _ask(options, "cart.shop.svc.cluster.local.", things=things)[0].addresses == ("10.1.1.1",)


# --- rewrite: name_test.go, rewrite_test.go, reverter_test.go ------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "name", "asked"),
    [
        ("name from.nl to.nl", "from.nl.", "to.nl. A"),
        ("name from.nl to.nl", "FROM.nl.", "to.nl. A"),
        ("name from.nl to.nl", "a.nl.", "a.nl. A"),
        ("name exact from.nl to.nl", "from.nl.", "to.nl. A"),
        ("name prefix foo. bar.", "foo.example.com.", "bar.example.com. A"),
        ("name suffix .nl .com", "a.nl.", "a.com. A"),
        ("name suffix .nl. .com.", "anl.", "anl. A"),
        ("name substring .old. .new.", "a.old.test.", "a.new.test. A"),
        ("name regex (h)\\.(d)\\.(c)\\.test {2}.{1}.{3}.nl", "h.d.c.test.", "d.h.c.nl. A"),
        ("type A AAAA", "a.nl.", "a.nl. AAAA"),
        ("type MX AAAA", "a.nl.", "a.nl. A"),
    ],
)
def test_rewritten_questions(rule: str, name: str, asked: str) -> None:
    up = Up()
    response, _ = _ask(f"rewrite {rule}\nforward . 9.9.9.9", name, upstream=up)
    assert up.asked == [asked]
    assert response.question == Question(name, "A")  # the question always comes back


def test_exact_rules_rewrite_the_answer_others_only_when_told() -> None:
    assert _ask("rewrite name from.nl to.nl\nforward . 9.9.9.9", "from.nl.")[0].answer[0].name == "from.nl."
    assert _ask("rewrite name suffix .a .b\nforward . 9.9.9.9", "x.a.")[0].answer[0].name == "x.b."
    assert _ask("rewrite name suffix .a .b answer auto\nforward . 9.9.9.9", "x.a.")[0].answer[0].name == "x.a."
    assert _ask(r"rewrite name suffix .a .b answer name (.*)\.b {1}.z" + "\nforward . 9.9.9.9", "x.a.")[0].answer[0].name == "x.z."


def test_auto_rewrites_targets_too() -> None:
    records = {
        ("to.nl.", "SRV"): (Record("to.nl.", "SRV", 60, "0 1 80 x.to.nl."),),
        ("to.nl.", "CNAME"): (Record("to.nl.", "CNAME", 60, "to.nl."),),
    }
    srv, _ = _ask("rewrite name from.nl to.nl\nforward . 9.9.9.9", "from.nl.", "SRV", Up(records=records))
    assert short(srv.answer[0]) == "from.nl. 60 SRV 0 1 80 x.from.nl."
    value, _ = _ask(
        r"rewrite name suffix .a .nl answer value (.*)\.to\.nl {1}.here" + "\nforward . 9.9.9.9", "to.a.", "SRV", Up(records=records)
    )
    assert short(value.answer[0]) == "to.nl. 60 SRV 0 1 80 x.here."


def test_continue_chains_and_answers_are_reverted_in_reverse() -> None:
    up = Up()
    rules = "rewrite continue name a.test b.test\nrewrite name b.test c.test\nrewrite name c.test d.test"
    response, codes = _ask(f"{rules}\nforward . 9.9.9.9", "a.test.", upstream=up)
    assert up.asked == ["c.test. A"] and response.answer[0].name == "a.test."
    assert codes[:2] == ["dns.rewritten", "dns.rewritten"]


@pytest.mark.parametrize(
    ("rule", "ttl"),
    [("ttl a.test 30", 30), ("ttl a.test 400-500", 400), ("ttl a.test -100", 100), ("ttl suffix test 600-", 600), ("ttl b.test 1", 300)],
)
def test_ttl_rules(rule: str, ttl: int) -> None:
    assert _ask(f"rewrite {rule}\nforward . 9.9.9.9", "a.test.")[0].answer[0].ttl == ttl


def test_rcode_rules_need_a_record_to_hang_on() -> None:
    up = Up(only=())
    assert _ask("rewrite rcode a.test NXDOMAIN NOERROR\nforward . 9.9.9.9", "a.test.", upstream=up)[0].rcode == "NOERROR"
    assert _ask("rewrite rcode a.test SERVFAIL NOERROR", "a.test.")[0].rcode == "SERVFAIL"


def test_an_error_below_a_rewrite_is_written_with_the_first_question() -> None:
    response, _ = _ask("rewrite name a.test b.test", "a.test.")
    assert response.rcode == "SERVFAIL" and response.question == Question("a.test.", "A")


@pytest.mark.parametrize("rule", ["edns0 local set 0xffee abc", "class CH IN", "cname exact a.test b.test"])
def test_rules_that_are_not_modelled(rule: str) -> None:
    with pytest.raises(NotModelled, match=rule.split()[0]):
        _ask(f"rewrite {rule}", "a.test.")


def test_in_this_release_the_cache_sees_the_name_before_rewrite() -> None:
    server = Server(". {\n rewrite name a.test b.test\n cache\n forward . 9.9.9.9\n}")
    memory: dict[str, Any] = {}
    up = Up()
    for name in ("a.test.", "b.test.", "a.test."):
        server.answer(name, memory=memory, upstream=up)
    assert up.asked == ["b.test. A", "b.test. A"]


# --- template: template_test.go, README --------------------------------------------------------------------------------
TEMPLATE = r"""template IN A example {
    match ^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$
    answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
    FALL
}
template ANY ANY invalid {
    rcode NXDOMAIN
    authority "invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"
}
template IN AAAA . {
    rcode NOERROR
}
"""


@pytest.mark.parametrize(
    ("name", "type", "rcode", "answer"),
    [
        ("ip-10-0-0-7.example.", "A", "NOERROR", ["ip-10-0-0-7.example. 60 A 10.0.0.7"]),
        ("other.example.", "A", "SERVFAIL", []),
        ("x.invalid.", "MX", "NXDOMAIN", []),
        ("anything.test.", "AAAA", "NOERROR", []),
        ("anything.test.", "A", "NOERROR", ["anything.test. 300 A 192.0.2.1"]),
    ],
)
def test_template(name: str, type: str, rcode: str, answer: list[str]) -> None:
    response, _ = _ask(TEMPLATE.replace("FALL", "") + "forward . 9.9.9.9", name, type)
    assert (response.rcode, [short(r) for r in response.answer]) == (rcode, answer)


def test_template_falls_through_and_chases_aliases() -> None:
    assert _ask(TEMPLATE.replace("FALL", "fallthrough") + "forward . 9.9.9.9", "other.example.")[0].addresses == ("192.0.2.1",)
    options = 'template IN ANY here {\n match (.*)[.]here\n answer "{{ .Name }} IN CNAME {{ index .Match 1 }}.test."\n}\nforward . 9.9.9.9'
    assert [short(r) for r in _ask(options, "a.here.")[0].answer] == ["a.here. 3600 CNAME a.test.", "a.test. 300 A 192.0.2.1"]
    assert [r.type for r in _ask(options, "a.here.", "MX")[0].answer] == ["CNAME"]


def test_other_expressions_of_templates_are_not_modelled() -> None:
    with pytest.raises(NotModelled, match="printf"):
        _ask('template IN A . {\n answer "{{ printf .Name }} 60 IN A 1.2.3.4"\n}', "a.test.")


# --- autopath -------------------------------------------------------------------------------------------------------------
AUTOPATH = "autopath @kubernetes\nkubernetes cluster.local {\n pods verified\n}\nforward . 9.9.9.9"
FILES = {"/etc/resolv.conf": "nameserver 192.0.2.53\nsearch corp.test\n"}


def test_autopath_walks_the_clients_search_list() -> None:
    things = [pod("shop/web", "10.244.0.5"), service("data/db", "10.96.0.9", ports=["x/TCP/1"])]
    up = Up(only={"example.com.", "intra.corp.test."})

    def ask(name: str, client: str = "10.244.0.5", options: str = AUTOPATH) -> tuple[Response, list[str]]:
        return _ask(options, name, things=things, upstream=up, client_ip=client, files=FILES)

    response, codes = ask("example.com.shop.svc.cluster.local.")
    assert [short(r) for r in response.answer] == [
        "example.com.shop.svc.cluster.local. 300 CNAME example.com.",
        "example.com. 300 A 192.0.2.1",
    ]
    assert "dns.autopath" in codes and response.question == Question("example.com.shop.svc.cluster.local.", "A")
    assert ask("db.data.shop.svc.cluster.local.")[0].answer[1].data == "10.96.0.9"
    assert ask("intra.shop.svc.cluster.local.")[0].answer[0].data == "intra.corp.test."
    assert ask("nothing.shop.svc.cluster.local.")[0].rcode == "NXDOMAIN"
    # another client, another search list; without `pods verified` nobody is known
    assert ask("example.com.shop.svc.cluster.local.", client="10.244.0.9")[0].rcode == "NXDOMAIN"
    assert ask("example.com.shop.svc.cluster.local.", options=AUTOPATH.replace("verified", "insecure"))[0].rcode == "NXDOMAIN"
    assert ask("example.com.data.svc.cluster.local.")[0].rcode == "NXDOMAIN"


# --- loadbalance, local, minimal, bufsize ----------------------------------------------------------------------------
MIXED = (
    Record("a.test.", "A", 60, "10.0.0.1"),
    Record("x.test.", "CNAME", 60, "a.test."),
    Record("a.test.", "MX", 60, "1 m.test."),
    Record("a.test.", "A", 60, "10.0.0.2"),
    Record("a.test.", "A", 60, "10.0.0.3"),
    Record("a.test.", "TXT", 60, '"t"'),
)


def test_loadbalance_orders_by_kind_and_shuffles_addresses() -> None:
    up = Up(records={("a.test.", "A"): MIXED})
    response, codes = _ask("loadbalance\nforward . 9.9.9.9", "a.test.", upstream=up)
    assert [r.data for r in response.answer] == ["a.test.", '"t"', "10.0.0.1", "10.0.0.2", "10.0.0.3", "1 m.test."]
    assert "dns.shuffled" in codes
    last, _ = _ask("loadbalance\nforward . 9.9.9.9", "a.test.", upstream=up, choose=lambda w, c: len(w) - 1)
    assert [r.data for r in last.answer if r.type == "A"] == ["10.0.0.3", "10.0.0.2", "10.0.0.1"]


def test_loadbalance_prefers_subnets() -> None:
    up = Up(records={("a.test.", "A"): MIXED})
    response, _ = _ask("loadbalance round_robin {\n prefer 10.0.0.3/32 10.0.0.2/32\n}\nforward . 9.9.9.9", "a.test.", upstream=up)
    assert [r.data for r in response.answer if r.type == "A"] == ["10.0.0.3", "10.0.0.2", "10.0.0.1"]


def test_loadbalance_with_weights_is_not_modelled_where_it_matters() -> None:
    up = Up(records={("a.test.", "A"): MIXED})
    assert _ask("loadbalance weighted w.txt\nforward . 9.9.9.9", "one.test.", upstream=up)[0].rcode == "NOERROR"
    with pytest.raises(NotModelled, match=r"w\.txt"):
        _ask("loadbalance weighted w.txt\nforward . 9.9.9.9", "a.test.", upstream=up)


@pytest.mark.parametrize(
    ("name", "type", "rcode", "answer"),
    [
        ("localhost.", "A", "NOERROR", ["localhost. 604800 A 127.0.0.1"]),
        ("localhost.", "AAAA", "NOERROR", ["localhost. 604800 AAAA ::1"]),
        ("localhost.example.net.", "A", "NOERROR", ["localhost.example.net. 604800 A 127.0.0.1"]),
        ("localhost.", "MX", "NOERROR", []),
        ("x.localhost.", "A", "NXDOMAIN", []),
        ("1.0.0.127.in-addr.arpa.", "PTR", "NOERROR", ["1.0.0.127.in-addr.arpa. 604800 PTR localhost."]),
        ("127.in-addr.arpa.", "NS", "NOERROR", ["127.in-addr.arpa. 604800 NS localhost."]),
        ("a.test.", "A", "NOERROR", ["a.test. 300 A 192.0.2.1"]),
    ],
)
def test_local(name: str, type: str, rcode: str, answer: list[str]) -> None:
    response, _ = _ask("local\nforward . 9.9.9.9", name, type)
    assert (response.rcode, [short(r) for r in response.answer]) == (rcode, answer)
    assert bool(response.authority) == (not answer)


def test_minimal_and_bufsize() -> None:
    things = [service("shop/cart", "10.96.0.20", ports=["http/TCP/80"])]
    name = "cart.shop.svc.cluster.local."
    assert _ask("kubernetes cluster.local", name, "SRV", things=things)[0].additional
    assert not _ask("minimal\nkubernetes cluster.local", name, "SRV", things=things)[0].additional
    assert _ask("minimal\nkubernetes cluster.local", name, "AAAA", things=things)[0].authority
    up = Up(records={("a.test.", "A"): tuple(Record("a.test.", "A", 60, f"10.0.0.{i}") for i in range(60))})
    wide, _ = _ask("forward . 9.9.9.9", "a.test.", upstream=up, query={"edns": Edns(4096)})
    assert not wide.truncated and wide.edns == Edns(4096)
    narrow, _ = _ask("bufsize 512\nforward . 9.9.9.9", "a.test.", upstream=up, query={"edns": Edns(4096)})
    assert narrow.truncated and narrow.edns == Edns(512)
