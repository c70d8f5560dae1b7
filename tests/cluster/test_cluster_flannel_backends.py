"""Flannel's backends through the cluster's own doors: what a packet meets on each, and what the summary says.

The facts of host-gw were measured on Linux 6.18 in network namespaces: 1500 bytes from end to end, no encapsulation, the far node's
address as the second hop, the node's own address as the source of what it sends to pods.
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, pod


@pytest.fixture(scope="module")
def host_gw() -> kn.Cluster:
    return kn.load(SMALL, cni=kn.Flannel(backend="host-gw"))


@pytest.fixture(scope="module")
def direct() -> kn.Cluster:
    return kn.load(SMALL, cni=kn.Flannel(direct_routing=True))


def links(cluster: kn.Cluster, node: str = "worker-1") -> list[str]:
    return list(cluster.node(node).links().ifname)


def codes(trace: kn.Trace) -> list[str]:
    return [h.code for h in (*trace.hops, *trace.reply_hops)]


def address(cluster: kn.Cluster, key: str) -> str:
    return cluster.get("pod", key).ips[0]  # type: ignore[attr-defined,no-any-return]


# ------------------------------------------------------------------------------------------------------------- host-gw
def test_host_gw_routes_and_wraps_nothing(host_gw: kn.Cluster) -> None:
    assert "flannel.1" not in links(host_gw)
    assert "10.244.1.0/24 via 192.168.50.12 dev eth0" in host_gw.node("worker-1").run("ip route")
    trace = host_gw.connect("default/client", "default/far", 8080)
    assert trace and trace.source_seen == address(host_gw, "default/client") and not any("vxlan" in c for c in codes(trace))


def test_host_gw_carries_1500_bytes_from_end_to_end(host_gw: kn.Cluster) -> None:
    far = address(host_gw, "default/far")
    assert "mtu 1500" in host_gw.pod("default/client").run("ip link show eth0")
    assert host_gw.connect("default/client", far, protocol="ICMP", size=1472).verdict == "delivered"
    too_big = host_gw.connect("default/client", far, protocol="ICMP", size=1473)
    assert (too_big.verdict, too_big.error) == ("too-big", "EMSGSIZE")


def test_host_gw_shows_the_far_node_as_second_hop(host_gw: kn.Cluster) -> None:
    far = address(host_gw, "default/far")
    lines = host_gw.pod("default/client").run(f"traceroute -n {far}").splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["10.244.0.1", "192.168.50.12", far]


def test_host_gw_lets_a_node_speak_with_its_own_address(host_gw: kn.Cluster) -> None:
    assert host_gw.connect("node:worker-1", "default/far", 8080).source_seen == "192.168.50.11"
    assert host_gw.connect("node:worker-1", "default/client", 8080, protocol="ICMP").source_seen == "10.244.0.1"


def test_host_gw_absent_address_is_answered_by_the_far_node(host_gw: kn.Cluster) -> None:
    trace = host_gw.connect("default/client", "10.244.1.99", 80)
    assert (trace.verdict, trace.error) == ("unreachable", "EHOSTUNREACH")
    assert trace.reply_hops[-1].frame.src == "192.168.50.12"


def test_host_gw_masquerades_what_leaves_the_cluster(host_gw: kn.Cluster) -> None:
    assert host_gw.connect("default/client", "external:203.0.113.7", 80).source_seen == "192.168.50.11"
    # between pods and nodes: to another node's address it is masqueraded, which is in no pod network
    assert host_gw.connect("default/client", "node:worker-2", 10250).source_seen == "192.168.50.11"


def test_a_node_that_is_not_on_link_gets_no_route() -> None:
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{i}"}, "spec": {"podCIDR": f"10.244.{i}.0/24"},
         "status": {"addresses": [{"type": "InternalIP", "address": ip}], "conditions": [{"type": "Ready", "status": "True"}]}}
        for i, ip in enumerate(("192.168.50.11", "192.168.50.12", "192.168.60.13"))
    ]  # fmt: skip
    pods = [pod(f"default/p{i}", f"n{i}", {}, (("http", 8080, "TCP"),)) for i in range(3)]
    cluster = kn.load([*nodes, *pods], cni=kn.Flannel(backend="host-gw"), node_cidr="192.168.50.0/24")
    assert cluster.connect("default/p0", "default/p1", 8080)
    lost = [f for f in cluster.findings if f.object == "Node n0" and "flanneld logs" in f.message]
    assert len(lost) == 1
    route = "{Ifindex: 2 Dst: 10.244.2.0/24 Src: <nil> Gw: 192.168.60.13 Flags: [] Table: 0 Realm: 0}"
    assert f"Error adding route to {route}: network is unreachable" in lost[0].message
    assert "10.244.2.0/24" not in cluster.node("n0").run("ip route")
    trace = cluster.connect("default/p0", "default/p2", 8080)
    assert trace.verdict == "timeout"
    # the same cluster over vxlan needs no shared wire, only a way to the node's address
    assert not [f for f in cluster.copy(cni=kn.Flannel()).findings if "flanneld logs" in f.message]


# ------------------------------------------------------------------------------------------------------- DirectRouting
def test_direct_routing_skips_the_tunnel_on_one_wire_and_keeps_its_mtu(direct: kn.Cluster) -> None:
    assert "flannel.1" in links(direct) and "10.244.1.0/24 via 192.168.50.12 dev eth0" in direct.node("worker-1").run("ip route")
    trace = direct.connect("default/client", "default/far", 8080)
    assert trace and not any("vxlan" in c for c in codes(trace))
    # the daemon does not know what will need the tunnel, so pods keep room for it
    assert "mtu 1450" in direct.pod("default/client").run("ip link show eth0")
    assert direct.connect("node:worker-1", "default/far", 8080).source_seen == "192.168.50.11"


# --------------------------------------------------------------------------------------- udp and wireguard: header and MTU
@pytest.mark.parametrize(
    ("backend", "mtu", "stack", "more"),
    [
        ("udp", 1472, ["Ethernet", "IPv4", "UDP", "IPv4", "TCP"], 28),
        ("wireguard", 1420, ["Ethernet", "IPv4", "UDP", "WireGuard", "IPv4", "TCP"], 64),  # 60, and 4 that fill up 60 to 64
    ],
)
def test_what_stands_around_a_packet(backend: str, mtu: int, stack: list[str], more: int) -> None:
    cluster = kn.load(SMALL, cni=kn.Flannel(backend=backend))
    assert f"mtu {mtu}" in cluster.pod("default/client").run("ip link show eth0")
    trace = cluster.connect("default/client", "default/far", 8080)
    assert trace.source_seen == address(cluster, "default/client") and trace.answered_by == "default/far"
    wrapped = next(h for h in trace.hops if h.code == f"{'tun' if backend == 'udp' else backend}.encap")
    assert [h.name for h in wrapped.after] == stack and sum(h.size for h in wrapped.after) == 14 + 60 + more
    assert wrapped.evidence is not None and wrapped.evidence.kind == "documented"
    syn = next(h for h in trace.hops[0].after if h.name == "TCP")
    assert syn.get("mss") == str(mtu - 40)
    assert cluster.connect("default/client", "default/far", protocol="ICMP", size=mtu - 28)
    assert cluster.connect("default/client", "default/far", protocol="ICMP", size=mtu - 27).error == "EMSGSIZE"
    assert cluster.connect("node:worker-1", "default/far", 8080).source_seen == "10.244.0.0"


def test_a_blocked_wireguard_port_is_silence_to_that_node() -> None:
    cluster = kn.load(SMALL, cni=kn.Flannel(backend="wireguard"))
    cluster.node("worker-2").run("iptables -A INPUT -p udp --dport 51820 -j DROP")
    assert cluster.connect("default/client", "default/far", 8080).verdict == "timeout"
    assert cluster.connect("default/client", "default/near", 8080)


# ----------------------------------------------------------------------------------------------------------- all of them
NAMES = {
    "vxlan": kn.Flannel(), "vxlan with DirectRouting": kn.Flannel(direct_routing=True), "host-gw": kn.Flannel(backend="host-gw"),
    "udp": kn.Flannel(backend="udp"), "wireguard": kn.Flannel(backend="wireguard"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_on_another_backend_says_so(name: str) -> None:
    base = kn.load(SMALL)
    twin = base.copy(cni=NAMES[name])
    assert twin.pod_network == f"flannel {name}" and f"flannel {name}" in str(twin.summary())
    assert {p.key: p.ips for p in base.objects("pod")} == {p.key: p.ips for p in twin.objects("pod")}  # type: ignore[attr-defined]
    assert twin.connect("default/client", "svc:default/server")
    assert base.pod_network == "flannel vxlan"


@pytest.mark.parametrize("name", NAMES)
def test_policies_change_nothing_on_any_backend(name: str) -> None:
    deny: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }  # fmt: skip
    trace = kn.load([*SMALL, deny], cni=NAMES[name]).connect("default/client", "default/far", 8080)
    assert trace and trace.reasons[0].code == "cluster.policy_not_enforced" and "default/deny" in str(trace.explain())
