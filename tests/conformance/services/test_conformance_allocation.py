"""Allocation of ClusterIPs and node ports against the API server's rules and words."""

from __future__ import annotations

import pytest

from kubenet_lab.services import ServiceNetwork, allocate
from kubenet_lab.services.allocators import ClusterIPRange, NodePortRange
from tests.conformance.services.service_tables import service, table

TABLE = table("allocation.yaml")
SINGLE, DUAL = ServiceNetwork(("10.96.0.0/16",)), ServiceNetwork(("10.96.0.0/16", "fd00:96::/112"))


@pytest.mark.parametrize(("cidr", "first", "static", "last"), TABLE["bands"]["rows"])
def test_cluster_ip_bands(cidr, first, static, last):
    found = ClusterIPRange(cidr)
    assert (found.text(found.first), found.text(found.split), found.text(found.last)) == (first, static, last)


@pytest.mark.parametrize(("text", "dynamic"), TABLE["port_bands"]["rows"])
def test_node_port_bands(text, dynamic):
    assert NodePortRange(text).split == dynamic


@pytest.mark.parametrize("row", TABLE["families"]["rows"], ids=lambda r: r["name"])
def test_families(row):
    document = service({"key": "shop/web", "spec": row["spec"]})
    result = allocate([document], DUAL if row.get("dual") else SINGLE)
    if "error" in row:
        [problem] = result.problems
        assert f"{problem.path}: {problem.message}" == row["error"]
        assert problem.object == "Service shop/web"
        assert result.documents == (document,)
        return
    assert result.problems == ()
    spec = result.documents[0]["spec"]
    assert (spec.get("ipFamilies"), spec.get("ipFamilyPolicy")) == (row["families"], row["policy"])
    ips = spec.get("clusterIPs", [])
    assert len(ips) == row["ips"]
    if ips:
        assert spec["clusterIP"] == ips[0]
    if ips and ips[0] != "None":
        assert ["IPv6" if ":" in ip else "IPv4" for ip in ips] == spec["ipFamilies"]


@pytest.mark.parametrize("row", TABLE["conflicts"]["rows"], ids=lambda r: r["name"])
def test_conflicts(row):
    documents = [service({"key": s["key"], "spec": {"selector": {"a": "b"}, **s["spec"]}}) for s in row["services"]]
    result = allocate(documents, SINGLE)
    found = {p.object.removeprefix("Service "): f"{p.path}: {p.message}" if p.path else p.message for p in result.problems}
    assert found == row["errors"]
    for before, after in zip(documents, result.documents, strict=True):
        key = f"{before['metadata']['namespace']}/{before['metadata']['name']}"
        assert (after == before) == (key in row["errors"])
