"""kube-proxy's nftables mode: names, node ports, ways to a balancer's address and Service networks, as its own tests have them.

Source: kubernetes/kubernetes 1.34, pkg/proxy/nftables/proxier_test.go (Test_servicePortChainNameBase,
Test_servicePortEndpointChainNameBase, TestNodePorts, TestLoadBalancerIngressRouteTypeProxy, TestProxier_OnServiceCIDRsChanged), in our
own form.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.services import KubeProxy, NftablesText, nft_rules, service_ports
from kubenet_lab.services.nftables_names import endpoint_base, port_base
from tests.conformance.services.nft_flows import flow
from tests.conformance.services.service_tables import NODE, case_snapshot

LONG_NAMESPACE = "very-long-namespace-name-abcdefghijklmnopqrstuvwxyz0123456789xx"
LONG_SERVICE = "very-long-service-name-why-would-you-even-do-this-i-mean-really"
LONG_PORT = "port-443-providing-the-hypertext-transmission-protocol-with-tls"
LONG = f"{LONG_NAMESPACE}/{LONG_SERVICE}/sctp/{LONG_PORT}"


def objects_of(key: str, port: str, number: int, protocol: str, cluster_ip: str, endpoints: list[str]) -> Snapshot:
    spec = {"clusterIP": cluster_ip, "ports": [{"name": port, "port": number, "protocol": protocol}]}
    slices = [{"service": key, "ports": {port: f"{number}/{protocol}"}, "endpoints": endpoints}]
    return case_snapshot({"services": [{"key": key, "spec": spec}], "slices": slices})


def rules(key: str, port: str, number: int, protocol: str, cluster_ip: str, endpoints: list[str], **more: Any) -> NftablesText:
    objects = objects_of(key, port, number, protocol, cluster_ip, endpoints)
    return nft_rules(objects, NODE, KubeProxy(mode="nftables"), 6 if ":" in cluster_ip else 4, **more)


@pytest.mark.parametrize(("key", "port", "number", "protocol", "cluster_ip", "endpoint", "service_chain", "endpoint_chain"), [
    ("testing/service", "http", 80, "TCP", "10.96.0.20", "10.180.0.1", "P4ZYZVCF-testing/service/tcp/http",
     "JO2XBXZR-testing/service/tcp/http__10.180.0.1/80"),
    ("testing/service", "http", 80, "TCP", "10.96.0.20", "10.180.0.2", "P4ZYZVCF-testing/service/tcp/http",
     "5S6H3H22-testing/service/tcp/http__10.180.0.2/80"),
    ("testing/service", "https", 443, "TCP", "10.96.0.20", "10.180.0.1", "LZBRENCP-testing/service/tcp/https",
     "OEGTVYIL-testing/service/tcp/https__10.180.0.1/443"),  # this endpoint is none of upstream's
    ("testing/service", "http", 80, "TCP", "fd00::20", "fd80:abcd:12::a1b2:c3d4:e5f6:9999", "P4ZYZVCF-testing/service/tcp/http",
     "U7E2ET36-testing/service/tcp/http__fd80.abcd.12..a1b2.c3d4.e5f6.9999/80"),
    (f"{LONG_NAMESPACE}/{LONG_SERVICE}", LONG_PORT, 443, "SCTP", "fd00::20", "1234:5678:9abc:def0::abc:1234", f"KR6NACJP-{LONG}",
     f"5YS7AFEA-{LONG}__1234.5678.9abc.def0..abc.1234/443"),
    # two that are the same as far as they go
    (f"{LONG_NAMESPACE}/{LONG_SERVICE}", LONG_PORT, 443, "SCTP", "fd00::20", "1234:5678:9abc:def0::abcd:1234:5678", f"KR6NACJP-{LONG}",
     f"CI6C53Q3-{LONG}__1234.5678.9abc.def0..abcd.1234..."),
    (f"{LONG_NAMESPACE}/{LONG_SERVICE}", LONG_PORT, 443, "SCTP", "fd00::20", "1234:5678:9abc:def0::abcd:1234:8765", f"KR6NACJP-{LONG}",
     f"2FLXFK6X-{LONG}__1234.5678.9abc.def0..abcd.1234..."),
])  # fmt: skip
def test_names(
    key: str, port: str, number: int, protocol: str, cluster_ip: str, endpoint: str, service_chain: str, endpoint_chain: str
) -> None:
    [found] = service_ports(objects_of(key, port, number, protocol, cluster_ip, [endpoint]), 6 if ":" in cluster_ip else 4)
    written = replace(found.endpoints[0], ip=endpoint)  # upstream's test gives some of them in a form that is not the canonical one
    assert (port_base(found), endpoint_base(found, written)) == (service_chain, endpoint_chain)
    assert len(f"external-{service_chain}") <= 256 and len(f"endpoint-{endpoint_chain}") <= 256
    assert f"service-{service_chain}" in rules(key, port, number, protocol, cluster_ip, [endpoint]).text


@pytest.mark.parametrize(("family", "addresses", "alt"), [
    (4, (), False), (4, ("192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64"), True), (6, (), False),
    (6, ("192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64", "2001:db8:1::2/128"), True),
])  # fmt: skip
def test_node_ports(family: int, addresses: tuple[str, ...], alt: bool) -> None:
    cluster_ip, ends, pod, client, node, other, localhost = (
        ("172.30.0.41", ["10.180.0.1", "10.180.2.1"], "10.0.0.2", "203.0.113.2", "192.168.0.2", "192.168.1.2", "127.0.0.1")
        if family == 4
        else ("fd00:172:30::41", ["fd00:10:180::1", "fd00:10:180::2:1"], "fd00:10::2", "2600:5200::1", "2001:db8::1", "2001:db8:1::2",
              "::1")
    )  # fmt: skip
    spec = {"type": "NodePort", "clusterIP": cluster_ip, "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}
    slices = [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": ends}]
    objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}], "slices": slices})
    proxy = KubeProxy(mode="nftables", cluster_cidr="10.0.0.0/8,fd00:10::/64", node_port_addresses=addresses)
    text = nft_rules(objects, NODE, proxy, family)
    both = ", ".join(f"[{e}]:80" if family == 6 else f"{e}:80" for e in ends)
    assert flow(text, pod, cluster_ip, 80) == (both, False)
    for source in (pod, client, node):
        assert flow(text, source, node, 3001) == (both, True)
        assert flow(text, source, other, 3001) == ((both, True) if alt else ("", False))
    assert flow(text, localhost, localhost, 3001) == ("", False)


@pytest.mark.parametrize(("mode", "captured"), [("Proxy", False), ("VIP", True), (None, True)])
def test_the_way_to_a_balancers_address(mode: str | None, captured: bool) -> None:
    spec = {"type": "LoadBalancer", "clusterIP": "172.30.0.41", "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}  # fmt: skip
    ingress = [{"ip": "1.2.3.4"} | ({"ipMode": mode} if mode else {})]
    for endpoints in (["10.180.0.1"], []):
        slices = [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": endpoints}] if endpoints else []
        objects = case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec, "ingress": ingress}], "slices": slices})
        text = nft_rules(objects, NODE, KubeProxy(mode="nftables"), 4)
        held = "service-ips" if endpoints else "no-endpoint-services"
        assert any("1.2.3.4" in e for e in text.elements(held)) is captured
        assert any("1.2.3.4" in e for e in text.elements("firewall-ips")) is captured
        assert any("172.30.0.41" in e for e in text.elements(held))


@pytest.mark.parametrize(("cidrs", "family", "rule"), [
    (("172.30.0.0/16", "fd00:10:96::/112"), 4, "ip daddr { 172.30.0.0/16 } drop"),
    (("172.30.0.0/16", "fd00:10:96::/112"), 6, "ip6 daddr { fd00:10:96::/112 } drop"),
    (("172.30.0.0/16", "172.50.0.0/16", "fd00:10:96::/112", "fd00:172:30::/112"), 4, "ip daddr { 172.30.0.0/16, 172.50.0.0/16 } drop"),
    (("172.30.0.0/16", "172.50.0.0/16", "fd00:10:96::/112", "fd00:172:30::/112"), 6,
     "ip6 daddr { fd00:10:96::/112, fd00:172:30::/112 } drop"),
    ((), 4, ""), (("fd00:10:96::/112",), 4, ""),
])  # fmt: skip
def test_service_networks(cidrs: tuple[str, ...], family: int, rule: str) -> None:
    text = rules("ns1/svc1", "p80", 80, "TCP", "172.30.0.41" if family == 4 else "fd00:10:96::41", [], service_cidrs=cidrs)
    assert [r.split(" comment")[0].replace(",", ", ").replace(",  ", ", ") for r in text.chain("cluster-ips-check") if "drop" in r] == (
        [rule] if rule else []
    )
