"""kube-proxy's nftables mode against the tables of its own tests."""

from __future__ import annotations

import pytest

from kubenet_lab.services import KubeProxy, nft_rules
from tests.conformance.services.nft_flows import flow
from tests.conformance.services.service_tables import NODE, case_snapshot, table

CASE = table("kube_proxy_nftables.yaml")
SERVICES = next(c for c in table("kube_proxy_rules.yaml") if c.get("source") == CASE["services_of"])
CIDRS = ("172.30.0.0/16", "fd00:10:96::/112")
FLOWS = [pytest.param(case, row, id=f"{case['source']}: {row[0]}") for case in table("kube_proxy_flows.yaml") for row in case["flows"]]


def proxy(case, **more):
    given = {"cluster_cidr": "10.0.0.0/8,fd00:10::/64", "node_port_addresses": ("192.168.0.2/32", "2001:db8::1/128")}
    given |= case.get("options", {})
    given.pop("localhost_node_ports", None)
    given.pop("nfacct", None)
    return KubeProxy(mode="nftables", **{**given, **more})


def test_everything_that_is_handed_over():
    text = nft_rules(case_snapshot(SERVICES), NODE, proxy({}), 4, CIDRS)
    plain = text.text.replace("0x00004000", "0x4000").splitlines()
    declared = [line for line in plain if line.startswith(("add table", "add set", "add map", "add chain")) and "{" in line]
    assert {line.removeprefix("add ").replace(" ip kube-proxy", "") for line in declared} == set(CASE["declared"])
    chains = {line.split()[4] for line in plain if line.startswith("add chain")}
    assert chains == set(CASE["chains"])
    for name, expected in CASE["chains"].items():
        assert [r.replace("0x00004000", "0x4000") for r in text.chain(name)] == expected, name
    for name, expected in CASE["elements"].items():
        assert sorted(text.elements(name)) == sorted(expected), name


@pytest.mark.parametrize(("case", "row"), FLOWS)
def test_flows(case, row):
    name, source, destination, port, outcome, masqueraded, *protocol = row
    expected = {"output": outcome, "masq": masqueraded, **case.get("overrides", {}).get(name, {}), **CASE["differences"].get(name, {})}
    text = nft_rules(case_snapshot(case), NODE, proxy(case), 4, CIDRS)
    assert flow(text, source, destination, port, *protocol) == (expected["output"], expected["masq"])


def test_the_differences_name_flows():
    named = {row.values[1][0] for row in FLOWS}
    assert CASE["differences"].keys() <= named


def test_unallocated_cluster_ips_are_dropped_and_unused_ports_refused():
    """TestClusterIPGeneral: "packet to unallocated cluster ip"; without ServiceCIDRs there is no such rule."""
    objects = case_snapshot(SERVICES)
    text = nft_rules(objects, NODE, proxy({}), 4, CIDRS)
    assert flow(text, "10.180.0.2", "172.30.0.50", 80) == ("DROP", False)
    assert flow(text, "10.180.0.2", "172.30.0.41", 81) == ("REJECT", False)
    assert flow(nft_rules(objects, NODE, proxy({})), "10.180.0.2", "172.30.0.50", 80) == ("", False)


@pytest.mark.parametrize(
    ("addresses", "alt"), [((), False), (("primary",), False), (("0.0.0.0/0", "::/0"), True), (("192.168.0.0/16", "2001:db8::/32"), True)]
)
@pytest.mark.parametrize("family", [4, 6])
def test_node_ports(addresses, alt, family):
    """TestNodePorts: on the primary address unless told otherwise, and never on localhost."""
    cluster_ip, one, client, node, other, localhost = (
        ("172.30.0.41", "10.180.0.1", "203.0.113.2", "192.168.0.2", "192.168.1.2", "127.0.0.1")
        if family == 4
        else ("fd00:172:30::41", "fd00:10:180::1", "2600:5200::1", "2001:db8::1", "2001:db8:1::2", "::1")
    )
    spec = {"type": "NodePort", "clusterIP": cluster_ip, "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}
    slices = [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": [one]}]
    objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}], "slices": slices})
    text = nft_rules(objects, NODE, proxy({}, node_port_addresses=addresses), family, CIDRS)
    reached = (f"[{one}]:80" if family == 6 else f"{one}:80", True)
    assert flow(text, client, node, 3001) == reached
    assert flow(text, client, other, 3001) == (reached if alt else ("", False))
    assert flow(text, localhost, localhost, 3001) == ("", False)
    assert flow(text, client, cluster_ip, 80) == reached
