"""kube-proxy's nftables text as a whole: names, options, origins, and that the real nft takes it and prints the same."""

from __future__ import annotations

import pytest

from kubenet_lab.errors import NotModelled
from kubenet_lab.kernel.nftables import NftRuleset
from kubenet_lab.services import KubeProxy, NftablesText, NodeView, nft_rules, rules
from tests.conformance.services.service_tables import NODE, case_snapshot, table
from tests.services.test_services_iptables import random_case

CASE = next(c for c in table("kube_proxy_rules.yaml") if c.get("source") == "TestOverallIPTablesRules")
PROXY = KubeProxy(mode="nftables", cluster_cidr="10.0.0.0/8,fd00:10::/64")
CIDRS = ("172.30.0.0/16", "fd00:10:96::/112")


def loaded(text: NftablesText) -> NftRuleset:
    ruleset = NftRuleset()
    ruleset.load(text.text, origin=text.origin)
    return ruleset


def test_a_mode_has_its_own_writer():
    with pytest.raises(NotModelled, match="kube-proxy mode iptables"):
        nft_rules(case_snapshot(CASE), NODE, KubeProxy())
    with pytest.raises(NotModelled, match="kube-proxy mode nftables"):
        rules(case_snapshot(CASE), NODE, PROXY)


def test_names_are_cut_where_nft_would_not_take_them():
    """proxier_test.go, Test_servicePortChainNameBase and Test_servicePortEndpointChainNameBase: at most 240 characters."""
    spec = {"clusterIP": "172.30.0.1", "ports": [{"name": "p" * 63, "port": 80}]}
    slices = [{"service": f"{'n' * 63}/{'s' * 63}", "ports": {"p" * 63: 80}, "endpoints": ["fd00:1111:2222:3333:4444:5555:6666:7777"]}]
    six = {**spec, "clusterIP": "fd00:10:96::1"}
    objects = case_snapshot({"services": [{"key": f"{'n' * 63}/{'s' * 63}", "spec": six}], "slices": slices})
    [endpoint] = [c for c in nft_rules(objects, NODE, PROXY, 6).origins if c.startswith("endpoint-")]
    assert len(endpoint) == len("endpoint-") + 240 and endpoint.endswith("...")
    assert ":" not in endpoint


def test_the_two_parts_come_to_the_whole():
    text = nft_rules(case_snapshot(CASE), NODE, PROXY, 4, CIDRS)
    parts = NftRuleset()
    parts.load(text.shared)
    parts.load(text.own)
    assert parts.ruleset() == loaded(text).ruleset()
    assert text.own == "add element ip kube-proxy nodeport-ips { 192.168.0.2 }\n"


def test_a_second_sync_changes_nothing():
    ruleset = loaded(nft_rules(case_snapshot(CASE), NODE, PROXY, 4, CIDRS))
    before = ruleset.ruleset()
    ruleset.load(nft_rules(case_snapshot(CASE), NODE, PROXY, 4, CIDRS).text.replace("delete chain", "flush chain"))
    assert sorted(ruleset.ruleset().splitlines()) == sorted(before.splitlines())


def test_origins():
    ruleset = loaded(nft_rules(case_snapshot(CASE), NODE, PROXY, 4, CIDRS))
    [kube_proxy] = ruleset.tables.values()
    found = {c.name: {r.origin for r in c.rules} for c in kube_proxy.chains.values()}
    assert found["service-ULMVA6XW-ns1/svc1/tcp/p80"] == {"Service ns1/svc1 port p80"}
    assert found["endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"] == {"endpoint 10.180.0.1:80"}
    assert all(o for origins in found.values() for o in origins)
    missing = {e.origin for e in kube_proxy.sets["no-endpoint-services"].elements.values()}
    assert missing == {"Service ns2/svc2 port p80", "Service ns6/svc6 port p80"}


@pytest.mark.parametrize(
    ("given", "chain"),
    [
        ({}, ["ip daddr 172.30.0.41 ip saddr != 10.0.0.0/8 jump mark-for-masquerade"]),
        ({"masquerade_all": True}, ["ip daddr 172.30.0.41 jump mark-for-masquerade"]),
        ({"cluster_cidr": ""}, []),
        ({"detect_local_mode": "NodeCIDR"}, ["ip daddr 172.30.0.41 ip saddr != 10.244.7.0/24 jump mark-for-masquerade"]),
        (
            {"detect_local_mode": "BridgeInterface", "bridge_interface": "br"},
            ["ip daddr 172.30.0.41 iifname != br jump mark-for-masquerade"],
        ),
        (
            {"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth"},
            ["ip daddr 172.30.0.41 iifname != veth* jump mark-for-masquerade"],
        ),
    ],
)
def test_who_is_masqueraded(given, chain):
    """pkg/proxy/util/localdetector_test.go"""
    node = NodeView("test-node", ("192.168.0.2",), pod_cidrs=("10.244.7.0/24",))
    options = KubeProxy(**{"mode": "nftables", "cluster_cidr": "10.0.0.0/8", **given})
    found = nft_rules(case_snapshot(CASE), node, options).chain("service-ULMVA6XW-ns1/svc1/tcp/p80")
    assert list(found[:-1]) == chain and "numgen random mod 1" in found[-1]


def test_masquerade_bit():
    text = nft_rules(case_snapshot(CASE), NODE, KubeProxy(mode="nftables", masquerade_bit=15)).text
    assert "mark or 0x00008000" in text and "0x00004000" not in text


@pytest.mark.real
def test_the_real_nft_takes_it_and_prints_the_same(real_nft, cases, seed):
    texts = []
    options = [PROXY, KubeProxy(mode="nftables", masquerade_all=True), KubeProxy(mode="nftables", node_port_addresses=("0.0.0.0/0",))]
    options.append(KubeProxy(mode="nftables", detect_local_mode="InterfaceNamePrefix", interface_name_prefix="veth"))
    drawn = [random_case(seed * 1000 + s) for s in range(cases(20))]
    for case in [*table("kube_proxy_rules.yaml"), *table("kube_proxy_flows.yaml"), *drawn]:
        objects = case_snapshot(case)
        texts += [nft_rules(objects, NODE, o, 4, CIDRS) for o in options]
    spec = {"type": "NodePort", "clusterIP": "fd00:10:96::41", "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}
    slices = [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": ["fd00:10:180::1", "fd00:10:180::2:1@test-node"]}]
    six = case_snapshot({"services": [{"key": "ns1/svc1", "spec": {**spec, "sessionAffinity": "ClientIP"}}], "slices": slices})
    texts.append(nft_rules(six, NODE, PROXY, 6, CIDRS))
    for text, printed in zip(texts, real_nft([t.text for t in texts]), strict=True):
        assert loaded(text).ruleset() == printed
