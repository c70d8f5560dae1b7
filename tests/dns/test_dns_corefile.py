"""Corefiles: the grammar, the plugins' options, which server block a name belongs to, and CoreDNS's own error messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.dns import Corefile, CorefileError, Server
from kubenet_lab.dns.caddyfile import parse_blocks, tokenize
from kubenet_lab.dns.corefile import hosts_of, shipped
from kubenet_lab.dns.plugins.kube_index import Address
from kubenet_lab.dns.plugins.kube_lookup import NoSuchName, parse_request
from kubenet_lab.errors import KubenetError, NotModelled
from tests.dns.dns_fixtures import table

TABLE = table("corefile.yaml")
SETUP = [pytest.param(c, id=f"{g['source'].split()[-1]}-{i}") for g in table("setup.yaml")["groups"] for i, c in enumerate(g["cases"])]


@pytest.mark.parametrize("case", TABLE["blocks"]["cases"], ids=range(len(TABLE["blocks"]["cases"])))
def test_blocks(case: dict[str, Any]) -> None:
    files = case.get("files", {})
    if "error" in case:
        with pytest.raises(CorefileError, match=case["error"].replace("$", r"\$").replace("{", r"\{")):
            parse_blocks(case["text"], "Testfile", None, case.get("env"), files)
        return
    (block,) = parse_blocks(case["text"], "Testfile", None, case.get("env"), files)
    assert list(block.keys) == case["keys"]
    assert {name: len(tokens) for name, tokens in block.directives.items()} == case["directives"]


@pytest.mark.parametrize("case", TABLE["tokens"]["cases"], ids=range(len(TABLE["tokens"]["cases"])))
def test_tokens(case: dict[str, Any]) -> None:
    assert [f"{t.line} {t.text}" for t in tokenize(case["text"])] == case["tokens"]


@pytest.mark.parametrize("case", TABLE["zones"]["cases"], ids=[c["text"] for c in TABLE["zones"]["cases"]])
def test_zones_of_a_key(case: dict[str, Any]) -> None:
    assert list(hosts_of(case["text"])) == case["zones"]


@pytest.mark.parametrize("case", TABLE["names"]["cases"], ids=[c["name"] for c in TABLE["names"]["cases"]])
def test_names_taken_apart(case: dict[str, Any]) -> None:
    if case["parsed"] is None:
        with pytest.raises(NoSuchName):
            parse_request(case["name"].lower(), TABLE["names"]["zone"])
    else:
        assert str(parse_request(case["name"].lower(), TABLE["names"]["zone"], case.get("multicluster", False))) == case["parsed"]


@pytest.mark.parametrize("case", TABLE["labels"]["cases"])
def test_endpoint_labels(case: list[Any]) -> None:
    ip, hostname, pod, pod_names, label = case
    assert Address(ip, hostname, pod).label(pod_names) == label


@pytest.mark.parametrize("case", SETUP)
def test_plugin_options(case: dict[str, Any]) -> None:
    error = None
    try:
        Server(f". {{\n{case['input']}\n}}")
    except NotModelled:
        pass  # a valid Corefile whose effect is not modelled
    except CorefileError as raised:
        error = str(raised)
    assert (error is None) == case["ok"], error
    if error is not None:
        assert case.get("error", "") in error
        assert error.startswith("plugin/")


def test_the_setup_table_is_whole() -> None:
    assert len(SETUP) == 173


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".:53 {\n  errors\n  kubernets cluster.local\n}\n", "Corefile:3 - Error during parsing: Unknown directive 'kubernets'"),
        (
            ".:53 {\n  kubernetes cluster.local {\n    pod insecure\n  }\n}\n",
            "plugin/kubernetes: Corefile:3 - Error during parsing: unknown property 'pod'",
        ),
        (
            ". {\n  cache {\n    sucess 10\n  }\n}",
            "plugin/cache: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'sucess'",
        ),
        (". {\n errors\n", "Corefile:2 - Syntax error: Unexpected token 'errors', expecting '}'"),
        (". {\n whoami\n}\n. {\n whoami\n}\n", "cannot serve dns://.:53 - it is already defined"),
        ("example.org: {\n whoami\n}", 'expecting data after last colon: "example.org:"'),
        (". {\n forward . /etc/nothing\n}", "not modelled"),
    ],
)
def test_messages_are_coredns_own(text: str, message: str) -> None:
    with pytest.raises(KubenetError) as raised:
        Server(text)
    assert message in str(raised.value)


def test_the_line_of_an_error_is_kept() -> None:
    with pytest.raises(CorefileError) as raised:
        Server(".:53 {\n  kubernetes cluster.local {\n    ttl 4000\n  }\n}\n")
    assert raised.value.line == 3
    assert str(raised.value) == "plugin/kubernetes: Corefile:3 - Error during parsing: ttl must be in range [0, 3600]: 4000"


def test_the_shipped_corefile_reads_and_names_the_domain() -> None:
    corefile = Corefile.parse(shipped("corp.example"))
    (block,) = corefile.blocks
    assert block.zones == (".",) and corefile.ports == (53,)
    assert block.plugins == (
        "reload",
        "ready",
        "health",
        "prometheus",
        "errors",
        "loadbalance",
        "cache",
        "kubernetes",
        "loop",
        "forward",
    )
    assert "kubernetes corp.example in-addr.arpa ip6.arpa {" in shipped("corp.example")


BLOCKS = """
acme.local:53 {
    template IN A acme.local { answer "{{ .Name }} 60 IN A 192.0.2.1" }
}
deep.acme.local {
    template IN A . {
        answer "{{ .Name }} 60 IN A 192.0.2.2"
    }
}
10.0.0.0/15 {
    whoami
}
other.test:5353 {
    whoami
}
nothing.test {
}
"""


def test_the_longest_zone_decides_the_block() -> None:
    text = BLOCKS.replace('{ answer "{{ .Name }} 60 IN A 192.0.2.1" }', '{\n answer "{{ .Name }} 60 IN A 192.0.2.1"\n }')
    server = Server(text)
    assert server.ports == (53, 5353)
    assert server.answer("x.acme.local")[0].addresses == ("192.0.2.1",)
    assert server.answer("x.DEEP.Acme.local")[0].addresses == ("192.0.2.2",)
    for name in ("example.org", "local", "nothing.test"):
        assert server.answer(name)[0].rcode == "REFUSED", name
    assert server.answer("x.other.test")[0].rcode == "REFUSED"  # served on another port
    with pytest.raises(NotModelled, match="whoami"):
        server.answer("x.other.test", port=5353)
    with pytest.raises(NotModelled, match="whoami"):
        server.answer("1.0.1.10.in-addr.arpa", type="PTR")
    assert server.answer("1.0.2.10.in-addr.arpa", type="PTR")[0].rcode == "REFUSED"


def test_a_block_without_forward_fails_for_names_that_nobody_owns() -> None:
    server = Server(". {\n kubernetes cluster.local\n}")
    response, steps = server.answer("example.com")
    assert response.rcode == "SERVFAIL" and response.authority == ()
    assert [s.code for s in steps] == ["dns.no_next_plugin"]


def test_a_key_may_be_a_cidr_that_covers_several_zones() -> None:
    (block,) = Corefile.parse("10.0.0.0/15 example.org {\n whoami\n}").blocks
    assert block.zones == ("0.10.in-addr.arpa.", "1.10.in-addr.arpa.", "example.org.")


@pytest.mark.parametrize("plugin", ["errors", "log", "health", "ready", "prometheus", "reload", "loop", "pprof", "debug"])
def test_directives_without_effect_on_answers(plugin: str) -> None:
    server = Server(f". {{\n {plugin}\n hosts {{\n 192.0.2.9 a.test\n }}\n}}")
    assert server.answer("a.test")[0].addresses == ("192.0.2.9",)


@pytest.mark.parametrize(
    ("directive", "name", "type"),
    [
        ("acl", "a.test", "A"),
        ("any", "a.test", "ANY"),
        ("k8s_external example.org", "x.example.org", "A"),
        ("file db.example example.org", "x.example.org", "A"),
        ("transfer", "a.test", "AXFR"),
        ("dns64", "a.test", "AAAA"),
    ],
)
def test_what_is_not_modelled_says_so_only_where_it_decides(directive: str, name: str, type: str) -> None:
    server = Server(f". {{\n {directive}\n hosts {{\n 192.0.2.9 a.test b.test\n fallthrough\n }}\n}}")
    with pytest.raises(NotModelled, match=directive.split()[0]):
        server.answer(name, type=type)
    if directive != "acl":
        assert server.answer("b.test")[0].addresses == ("192.0.2.9",)


def test_an_empty_corefile_is_whoami() -> None:
    assert Corefile.parse("# nothing\n").blocks[0].plugins == ("log", "whoami")


@given(st.text(alphabet='{}"#\\\n\t (){$}%.:,abc/0123', max_size=60))
def test_any_text_gives_a_corefile_or_one_clear_error(text: str) -> None:
    try:
        Server(text, env={})
    except KubenetError as error:
        assert str(error)
