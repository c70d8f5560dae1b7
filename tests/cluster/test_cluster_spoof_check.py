"""macspoofchk: a pod that changes its hardware address is not heard, as measured with the plugins' release 1.1.1."""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import pod

PLUGIN = {
    "type": "bridge", "bridge": "br0", "isDefaultGateway": True, "macspoofchk": True,
    "ipam": {"type": "host-local", "subnet": "10.244.0.0/24"},
}  # fmt: skip
OTHER = "ip link set eth0 address 02:00:00:00:00:99"


def cluster(**options: Any) -> kn.Cluster:
    docs = [pod(f"default/{n}", "worker-1", {"app": n}, (("http", 8080, "TCP"),)) for n in ("a", "b")]
    conflist = {"cniVersion": "1.0.0", "name": "lan", "plugins": [PLUGIN]}
    return kn.load(docs, nodes=1, cni=kn.Conflist(conflist), dns="none", **options)


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_only_with_its_own_address(proxy: str) -> None:
    c = cluster(proxy=proxy)
    assert c.connect("default/a", "default/b", 8080)
    c.flush()
    c.pod("default/a").run(OTHER)
    trace = c.connect("default/a", "default/b", 8080)
    assert trace.verdict == "unreachable" and trace.error == "EHOSTUNREACH", "its ARP requests are dropped before the bridge learns"
    assert "02:00:00:00:00:99" not in c.node("worker-1").run("bridge fdb show br br0")
    assert c.connect("default/b", "node:worker-1", 10250, timeout=1.0).verdict != "unreachable", "others are heard"


def test_the_rules_are_on_the_node_and_can_be_taken_away() -> None:
    c = cluster()
    node = c.node("worker-1")
    listed = node.run("nft list table bridge nat")
    assert "priority dstnat; policy accept;" in listed and listed.count("ether saddr") == 2 and listed.count("drop comment") == 2
    c.pod("default/a").run(OTHER)
    node.run("nft flush chain bridge nat PREROUTING")
    assert c.connect("default/a", "default/b", 8080)


def test_the_trace_tells_the_rule() -> None:
    c = cluster()
    a, b = c.pod("default/a"), c.pod("default/b")
    a.run(OTHER)
    asked = c.connect("default/a", "default/b", 8080)
    assert "refuses a frame from 02:00:00:00:00:99" in str(asked.explain()), "it is the ARP request that is lost"
    a.run(f"ip neigh replace {b.ip} lladdr {c.network().namespaces['pod:default/b'].links['eth0'].mac} dev eth0")
    trace = c.connect("default/a", "default/b", 8080)
    assert trace.verdict == "timeout"
    assert "bridge.filtered" in [h.code for h in trace.hops] and "nft list chain bridge nat cni-br-iface-" in str(trace.explain())
