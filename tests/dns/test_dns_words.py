"""Every reason of the chapter has words, and they say what is true: the myths and what resolves instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kubenet_lab.dns
from kubenet_lab.dns import Server, query
from kubenet_lab.explain.dns import PHRASES
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import endpoint_slice, obj, pod, service

CODES = sorted({c for f in Path(kubenet_lab.dns.__file__).parent.rglob("*.py") for c in re.findall(r'"(dns\.[a-z_]+)"', f.read_text())})
ZONE = "svc.cluster.local"
THINGS = [
    obj("Namespace", "", "shop"),
    service("shop/cart", "10.96.0.20", ports=["http/TCP/8080"]),
    service("data/cart", "10.96.0.21", ports=["http/TCP/80"]),
    service("shop/out", external="example.com"),
    service("shop/ip", external="192.0.2.7"),
    service("shop/none", "None", ports=["x/TCP/1"]),
    service("shop/db", "None", ports=["sql/TCP/5432"]),
    endpoint_slice("db", "shop/db", "10.244.1.5", ports=["sql/TCP/5432"]),
    endpoint_slice("none", "shop/none", "10.244.1.8", ports=["x/TCP/1"], ready=False),
    pod("shop/web-0", "10.244.1.9"),
]


def test_every_code_has_a_phrase_and_every_phrase_a_code() -> None:
    assert set(CODES) == set(PHRASES)
    assert len(CODES) > 55
    assert all(p.evidence is not None for p in PHRASES.values())


@pytest.mark.parametrize("code", CODES)
def test_words_follow_the_house_style(code: str) -> None:
    phrase = PHRASES[code]
    for words in (phrase.title, phrase.sentence):
        if isinstance(words, str):
            assert "!" not in words and "simply" not in words.lower()
    if isinstance(phrase.sentence, str):
        assert phrase.sentence.endswith(".") or phrase.sentence.endswith("{zone}")


def _why(name: str, type: str = "A", corefile: str | None = None) -> str:
    answer = query(Server(corefile, Snapshot(THINGS)), name, type)
    for reason in answer.reasons:
        from kubenet_lab.explain.story import command, title

        assert title(reason.code, reason.params) and reason.evidence is not None
        assert "{" not in command(reason.code, reason.params)
    return str(answer.explain())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"cart.shop.{ZONE}", "Service shop/cart has the address 10.96.0.20. It has no ready endpoint; the name resolves all the same"),
        (f"crat.shop.{ZONE}", "There is no Service crat in namespace shop"),
        (f"crat.shop.{ZONE}", "Near it: cart.shop."),
        (f"cart.ops.{ZONE}", "There is no namespace ops"),
        (f"web-0.shop.{ZONE}", "a pod's name is not a record"),
        (f"web-0.shop.{ZONE}", "10-244-1-9.shop.pod.cluster.local"),
        ("web-0.shop.pod.cluster.local", "the record made of its address is 10-244-1-9.shop.pod."),
        ("10-9-9-9.shop.pod.cluster.local", "No pod of that namespace has this address: with `pods insecure` nobody checks."),
        ("10-244-1-9.shop.pod.cluster.local", "A pod of that namespace has this address, but nobody checked."),
        (f"web-0.db.shop.{ZONE}", "There is a pod of that name, but a pod's name is not a record: set its hostname"),
        (f"none.shop.{ZONE}", "1 endpoint not ready yet: with publishNotReadyAddresses the name would hold them."),
        (f"db.shop.{ZONE}", "headless: its name stands for its ready endpoints, 10.244.1.5."),
        (f"ip.shop.{ZONE}", "has the externalName 192.0.2.7"),
        (f"out.shop.{ZONE}", "is an alias (CNAME) of example.com"),
        (f"x.out.shop.{ZONE}", "no name stands below it"),
        (f"_grpc._tcp.cart.shop.{ZONE}", "has no port _grpc._tcp. Its ports are http/TCP."),
        ("cart.shop.cluster.local", "only svc and pod exist, not shop"),
        (f"a.b.c.d.cart.shop.{ZONE}", "more labels than any name"),
        ("5.1.244.10.in-addr.arpa", "there is a PTR record for each whole address"),
        ("api.example.com", "so it asks 192.0.2.53:53, which says NOERROR."),
    ],
)
def test_reasons_teach(name: str, words: str) -> None:
    assert words in _why(name)


@pytest.mark.parametrize(
    ("name", "type", "corefile", "words"),
    [
        ("10-1-1-1.shop.pod.cluster.local", "A", ". {\n kubernetes cluster.local\n}", "`pods disabled` is the plugin's default"),
        ("10-1-1-1.shop.pod.cluster.local", "A", ". {\n kubernetes cluster.local {\n pods verified\n }\n}", "None has."),
        (f"cart.shop.{ZONE}", "AAAA", ". {\n kubernetes cluster.local\n}", "a record of type AAAA does not"),
        (f"cart.shop.{ZONE}", "A", ". {\n kubernetes cluster.local {\n namespaces data\n }\n}", "does not list it"),
        (
            f"cart.shop.{ZONE}",
            "A",
            ". {\n kubernetes cluster.local {\n ignore empty_service\n }\n}",
            "with `ignore empty_service` its name does not exist",
        ),
        ("example.com", "A", "cluster.local {\n kubernetes\n}", "it serves cluster.local."),
        ("example.com", "A", ". {\n kubernetes cluster.local\n}", "SERVFAIL, not NXDOMAIN"),
        ("20.0.96.10.in-addr.arpa", "PTR", None, "is the clusterIP of Service shop/cart"),
        ("5.1.244.10.in-addr.arpa", "PTR", None, "one name for each Service that selects it: 10-244-1-5.db.shop.svc.cluster.local."),
        ("9.9.9.9.in-addr.arpa", "PTR", None, "hands the question to the next plugin"),
    ],
)
def test_reasons_of_other_corefiles(name: str, type: str, corefile: str | None, words: str) -> None:
    assert words in _why(name, type, corefile)


def test_parameters_are_worked_out_when_read() -> None:
    answer = query(Server(snapshot=Snapshot(THINGS)), f"crat.shop.{ZONE}")
    params: Any = answer.reasons[0].params
    assert callable(params._values["near"])
    assert params["near"] == ("cart.shop",) and params._values["near"] == ("cart.shop",)
    assert answer.to_dict()["reasons"][0]["origin"] == ""
