"""Node ports on a node with several addresses: which ones nodePortAddresses picks in each mode.

Sources: Kubernetes 1.34, pkg/proxy/{iptables,nftables}/proxier_test.go (TestNodePorts), pkg/proxy/util/nodeport_addresses_test.go.
"""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import Doc, node, pod, service

WORLD = "external:203.0.113.7"
#: the node IP, a second address on its wire, and one of another network
ADDRESSES = ("192.168.50.11", "192.168.50.77", "10.99.0.5")
PORT = 30100


def objects() -> list[Doc]:
    machine = node("worker-1", ADDRESSES[0], "10.244.1.0/24")
    machine["status"]["addresses"] += [{"type": "InternalIP", "address": a} for a in ADDRESSES[1:]]
    front = service("front", {"app": "server"}, {"port": 80, "nodePort": PORT}, type="NodePort")
    return [machine, pod("server", "worker-1", {"app": "server"}), front]


@pytest.mark.parametrize(
    ("mode", "given", "served"),
    [
        ("iptables", (), ADDRESSES), ("iptables", ("primary",), ADDRESSES[:1]), ("iptables", ("10.99.0.0/16",), ADDRESSES[2:]),
        ("iptables", ("192.168.0.0/16", "10.99.0.5/32"), ADDRESSES), ("iptables", ("172.16.0.0/12",), ()),
        ("nftables", (), ADDRESSES[:1]), ("nftables", ("primary",), ADDRESSES[:1]), ("nftables", ("10.99.0.0/16",), ADDRESSES[2:]),
        ("nftables", ("192.168.0.0/16", "10.99.0.5/32"), ADDRESSES), ("nftables", ("172.16.0.0/12",), ()),
        ("nftables", ("0.0.0.0/0",), ADDRESSES),
    ],
)  # fmt: skip
def test_node_ports_are_served_where_node_port_addresses_says(mode: str, given: tuple[str, ...], served: tuple[str, ...]) -> None:
    cluster = kn.load(objects(), proxy=kn.KubeProxy(mode=mode, node_port_addresses=given), dns="none")
    verdicts = {a: cluster.connect(WORLD, a, PORT, via="worker-1").verdict for a in ADDRESSES}
    assert verdicts == {a: "delivered" if a in served else "refused" for a in ADDRESSES}


def test_further_addresses_are_on_the_node_and_said_to_be_assumed() -> None:
    cluster = kn.load(objects(), dns="none")
    printed = cluster.node("worker-1").run("ip -4 -br addr show eth0")
    assert "192.168.50.11/24" in printed and "192.168.50.77/24" in printed and "10.99.0.5/32" in printed
    assert any(a.what == "further InternalIPs" and "10.99.0.5" in a.value for a in cluster.assumptions)
    assert any("10.99.0.5 is outside of the node network" in str(f) for f in cluster.findings)
    assert cluster.connect(WORLD, "192.168.50.77", PORT).verdict == "delivered"  # the router asks for it on the wire
    assert cluster.connect(WORLD, "10.99.0.5", PORT).verdict == "timeout"  # nobody knows that it is there


def test_both_families_are_programmed_whatever_the_cluster_uses() -> None:
    """cmd/kube-proxy/app/server_linux.go: dual-stack wherever the machine has both families (platformCheckSupported, createProxier)."""
    worker = kn.load(objects(), dns="none").node("worker-1")
    nat = [line for line in worker.run("ip6tables-save -t nat").splitlines() if line.startswith("-A KUBE-")]
    assert nat == [
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
        '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
        '-A KUBE-SERVICES ! -d ::1/128 -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
        " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    ]
    worker = kn.load(objects(), proxy="nftables", dns="none").node("worker-1")
    assert worker.run("nft list tables").split("\n")[:2] == ["table ip kube-proxy", "table ip6 kube-proxy"]
    assert "elements" not in worker.run("nft list table ip6 kube-proxy")
    # no node IP of this family: on every local address
    assert "fib daddr type local ip6 daddr != ::1" in worker.run("nft list chain ip6 kube-proxy services")
