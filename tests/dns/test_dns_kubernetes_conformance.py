"""The kubernetes plugin against CoreDNS's own tables (tests/conformance/dns/kubernetes_plugin.yaml)."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import Server
from kubenet_lab.dns.names import fqdn
from tests.dns.dns_fixtures import objects, short, table

GROUPS = table("kubernetes_plugin.yaml")["groups"]
CASES = [
    pytest.param(group, case, id=f"{group['name']}-{i}-{case['ask']}".replace(" ", "_"))
    for group in GROUPS
    for i, case in enumerate(group["cases"])
]


def _server(group: dict[str, Any]) -> Server:
    zones = " ".join(table("objects.yaml")[group["objects"]].get("zones", ["cluster.local"]))
    return Server(f". {{\n kubernetes {zones} {{\n {group['option']}\n }}\n}}", objects(group["objects"]), local_ips=["127.0.0.1"])


def _normal(records: list[str]) -> list[str]:
    out = []
    for text in records:
        name, rest = text.split(" ", 1)
        out.append(f"{fqdn(name)} {rest}")
    return sorted(out)


@pytest.mark.parametrize(("group", "case"), CASES)
def test_answer(group: dict[str, Any], case: dict[str, Any]) -> None:
    name, kind = case["ask"].split()
    response, _ = _server(group).answer(name, type=kind, protocol="TCP")  # the tables know no limit of size
    assert response.rcode == case["rcode"]
    for section in ("answer", "authority", "additional"):
        assert sorted(short(r) for r in getattr(response, section)) == _normal(case.get(section, [])), section
    assert "AA" in response.flags and not response.truncated


def test_the_tables_are_whole() -> None:
    assert {g["name"]: len(g["cases"]) for g in GROUPS} == {
        "services": 34,
        "endpoints and aliases": 10,
        "case of names": 4,
        "ignore empty_service": 2,
        "pods disabled": 2,
        "pods insecure": 7,
        "pods verified": 5,
        "apex": 6,
        "reverse": 11,
    }
