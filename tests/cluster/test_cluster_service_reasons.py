"""Why a Service led nowhere, in both modes: the sentence that stands first is about the Service, and is the right one.

The answers themselves are compared with a kernel in tests/services/test_services_random_twins.py. Sources: kube-proxy 1.34,
pkg/proxy/{iptables,nftables}/proxier.go; KEP-1860 (ipMode), KEP-3866 (nftables mode, node ports).
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, service

ONE, VIP = "worker-1", "203.0.113.77"
LAN, CLIENT = "external:192.168.50.200", "default/client"
BALANCED = {"type": "LoadBalancer", "ingress": {"ip": VIP}}
PROXIED = {"type": "LoadBalancer", "ingress": {"ip": VIP, "ipMode": "Proxy"}}
RANGES = ["198.51.100.0/24"]
LOCAL = {"externalTrafficPolicy": "Local"}
FIREWALL = "198.51.100.0/24; 10.244.0.2 is not in it. Its packets to 203.0.113.77 are dropped."


def load(mode: str, ingress: Any = None, proxy: Any = None, **spec: Any) -> kn.Cluster:
    port = {"name": "t", "port": 80, "targetPort": 8080, "nodePort": 30080}
    door = service("s", {"app": "server"}, port, **{"type": "NodePort", **spec})
    if ingress:
        door["status"] = {"loadBalancer": {"ingress": [ingress]}}
    if spec.get("allocateLoadBalancerNodePorts") is False:
        del port["nodePort"]
    return kn.load([*SMALL[:3], door], proxy=kn.KubeProxy(mode=mode, **(proxy or {})), policy="none")


#: (what is asked, of what Service, by kube-proxy's options; the first reason in iptables mode, in nftables mode; words in it)
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any], str | None, str | None, str]] = [
    ("not in the source ranges", (CLIENT, VIP, 80), BALANCED | {"loadBalancerSourceRanges": RANGES}, {},
     "service.source_range", "service.source_range", FIREWALL + " Node port 30080"),
    ("the same with policy Local, whose endpoints are here", (CLIENT, VIP, 80), BALANCED | LOCAL | {"loadBalancerSourceRanges": RANGES}, {},
     "service.source_range", "service.source_range", FIREWALL),
    ("and without node ports", (CLIENT, VIP, 80), BALANCED | {"loadBalancerSourceRanges": RANGES, "allocateLoadBalancerNodePorts": False},
     {}, "service.source_range", "service.source_range", "are dropped.$"),
    ("ipMode Proxy, and no balancer", (CLIENT, VIP, 80), PROXIED, {}, "service.balancer_alone", "service.balancer_alone", "ipMode Proxy"),
    ("a ping of a ClusterIP", (CLIENT, "svc:default/s", 0, "ICMP"), {}, {}, "service.no_ping", "service.no_ping", "a ping has none"),
    ("a node port at the ClusterIP", (CLIENT, "svc:default/s", 30080), {}, {}, "service.no_rule", "service.port_refused", "30080/TCP"),
    ("a node port at a bridge's address", (CLIENT, "10.244.0.1", 30080), {}, {}, None, "service.no_node_port_here", "nftables mode"),
    ("a node port at localhost", (f"node:{ONE}", "127.0.0.1", 30080), {}, {}, None, "service.no_node_port_here", "never localhost"),
    ("at localhost, switched off", (f"node:{ONE}", "127.0.0.1", 30080), {}, {"localhost_node_ports": False},
     "service.no_node_port_here", "service.no_node_port_here", "localhost"),
    ("at the node's address, which was not given", (LAN, f"node:{ONE}", 30080), {}, {"node_port_addresses": ["10.0.0.0/8"]},
     "service.no_node_port_here", "service.no_node_port_here", "nodePortAddresses is 10.0.0.0/8"),
    ("an external address that is a node's", (LAN, f"node:{ONE}", 30080), {"externalIPs": ["192.168.50.11"]}, {}, None, None, ""),
    ("a port of no Service", (LAN, f"node:{ONE}", 30070), {}, {}, "socket.closed", "socket.closed", "no socket listens"),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_the_first_reason(case: tuple[Any, ...], mode: str) -> None:
    _, asked, spec, proxy, *codes, words = case
    trace = load(mode, proxy=proxy, **spec).connect(*asked)
    code = codes[mode == "nftables"]
    if code is None:
        assert trace and not trace.reasons
        return
    first = trace.reasons[0]
    assert not trace and first.code == code
    assert str(first).endswith(words[:-1]) if words.endswith("$") else words in str(first)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_a_pod_that_ends_and_is_not_ready_gets_nothing_even_as_the_last_one(mode: str) -> None:
    cluster = load(mode)
    cluster.set_pod("default/far", ready=False)
    cluster.set_pod("default/near", terminating=True, serving=True)
    assert cluster.connect(CLIENT, "svc:default/s", 80).answered_by == "default/near"
    cluster.set_pod("default/near", terminating=True, serving=False)
    trace = cluster.connect(CLIENT, "svc:default/s", 80)
    assert trace.error == "ECONNREFUSED" and any("not even as the last one" in str(r) for r in trace.reasons)
