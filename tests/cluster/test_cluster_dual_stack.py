"""Both families through the cluster: pods, nodes, Services and machines outside, by every verb.

The MTU of flannel's IPv6 device was measured on Linux 6.18: asked for 1450 over 1500, the kernel makes it 1430.
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, node, service

DUAL = [*SMALL, service("dual", {"app": "server"}, ipFamilyPolicy="RequireDualStack")]
BACKENDS = {"vxlan": kn.Flannel(), "host-gw": kn.Flannel(backend="host-gw"), "direct": kn.Flannel(direct_routing=True)}
FAR4, FAR6 = "10.244.1.2", "fd00:10:244:1::2"


@pytest.fixture(scope="module")
def dual() -> kn.Cluster:
    return kn.load(DUAL, ip_families=("IPv4", "IPv6"))


def ips(cluster: kn.Cluster, key: str) -> tuple[str, ...]:
    return tuple(cluster.get("pod", key).ips)  # type: ignore[attr-defined]


# -------------------------------------------------------------------------------------------------------- what there is
def test_every_pod_and_node_has_an_address_of_each_family(dual: kn.Cluster) -> None:
    assert ips(dual, "default/client") == ("10.244.0.2", "fd00:10:244::2") and not dual.findings
    assert [a.address for a in dual.nodes[0].status.addresses if a.type == "InternalIP"] == ["192.168.50.11", "fd50::b"]
    shown = dual.pod("default/client").run("ip -br addr show eth0")
    assert "10.244.0.2/24" in shown and "fd00:10:244::2/64" in shown


def test_flannel_programs_each_family_with_a_device_of_its_own(dual: kn.Cluster) -> None:
    one = dual.node("worker-1")
    assert "fd00:10:244:1::/64 via fd00:10:244:1:: dev flannel-v6.1 metric 1024 onlink" in one.run("ip -6 route")
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in one.run("ip route")
    assert "dst fd50::c self permanent" in one.run("bridge fdb show dev flannel-v6.1")
    assert "local fd50::b" in one.run("ip -d link show flannel-v6.1")
    assert "mtu 1430" in one.run("ip link show flannel-v6.1") and "mtu 1450" in one.run("ip link show flannel.1")
    assert "mtu 1450" in dual.pod("default/client").run("ip link show eth0")


def test_the_primary_family_comes_first() -> None:
    turned = kn.load(DUAL, ip_families=("IPv6", "IPv4"))
    assert ips(turned, "default/client") == ("fd00:10:244::2", "10.244.0.2")
    assert turned.connect("default/client", "default/far", 8080).source_seen == "fd00:10:244::2"
    assert turned.connect("default/client", FAR4, 8080).source_seen == "10.244.0.2"


# ------------------------------------------------------------------------------------------------------------- the walk
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6", "IPv4"), ("IPv6",)], ids="+".join)
def test_both_families_walk_on_every_backend(families: tuple[str, ...], backend: str) -> None:
    cluster = kn.load(SMALL, ip_families=families, cni=BACKENDS[backend])
    for far, client in zip(ips(cluster, "default/far"), ips(cluster, "default/client"), strict=True):
        trace = cluster.connect("default/client", far, 8080)
        assert (trace.verdict, trace.source_seen, trace.answered_by) == ("delivered", client, "default/far")
        assert any("vxlan" in h.code for h in trace.hops) == (backend == "vxlan")
    assert cluster.connect("default/client", "svc:default/server") and cluster.connect("default/client", "default/near", 8080)
    assert cluster.ask("default/client", "http://server")


def test_a_node_speaks_to_pods_with_its_flannel_address_of_the_same_family(dual: kn.Cluster) -> None:
    assert dual.connect("node:worker-1", FAR6, 8080).source_seen == "fd00:10:244::"
    assert dual.connect("node:worker-1", FAR4, 8080).source_seen == "10.244.0.0"
    host_gw = dual.copy(cni=BACKENDS["host-gw"])
    assert host_gw.connect("node:worker-1", FAR6, 8080).source_seen == "fd50::b"


def test_a_dual_stack_service_leads_to_endpoints_of_its_family(dual: kn.Cluster) -> None:
    v4, v6 = dual.get("svc", "default/dual").spec.cluster_ips  # type: ignore[attr-defined]
    assert ":" in v6 and ":" not in v4
    assert dual.connect("default/client", v6, 80).source_seen == "fd00:10:244::2"
    assert dual.connect("default/client", v4, 80).source_seen == "10.244.0.2"
    assert {o.source_seen for o in dual.outcomes("default/client", v6, 80)} == {"fd00:10:244::2"}
    assert sum(o.probability for o in dual.outcomes("default/client", v6, 80)) == 1
    assert dual.resolve("default/client", "dual").addresses == (v4, v6)


@pytest.mark.parametrize(
    ("src", "dst", "port", "seen"),
    [
        ("default/client", "external:2001:db8::7", 80, "fd50::b"),  # masqueraded, as in IPv4
        ("default/client", "external:203.0.113.7", 80, "192.168.50.11"),
        ("default/client", "fd50::c", 10250, "fd50::b"),
        ("external:2001:db8::7", "node:worker-2", 10250, "2001:db8::7"),
        ("external:203.0.113.7", "node:worker-2", 10250, "203.0.113.7"),
    ],
)
def test_to_and_from_the_world(dual: kn.Cluster, src: str, dst: str, port: int, seen: str) -> None:
    trace = dual.connect(src, dst, port)
    assert (trace.verdict, trace.source_seen) == ("delivered", seen)


def test_from_outside_by_a_node(dual: kn.Cluster) -> None:
    """The masquerade takes the address of the outgoing interface: flannel's device towards another node, in either family."""
    six = dual.connect("external:2001:db8::7", "default/far", 8080, via="worker-1")
    four = dual.connect("external:203.0.113.7", "default/far", 8080, via="worker-1")
    assert (six.source_seen, four.source_seen) == ("fd00:10:244::", "10.244.0.0")


def test_the_other_verbs_take_ipv6_literals(dual: kn.Cluster) -> None:
    answer = dual.ask("default/client", f"http://[{FAR6}]:8080/x")
    assert answer.answered_by == "default/far" and f"[{FAR6}]:8080" in str(answer.explain())
    assert dual.request("default/client", f"http://[{FAR6}]:8080/").source_seen == "fd00:10:244::2"
    assert dual.ask("default/client", FAR6).answered_by == "default/far"
    flow = dual.open("default/client", FAR6, 8080)
    assert flow.send(size=5000)
    flow.close()
    client = dual.pod("default/client")
    assert "1 received" in client.run(f"ping -c 1 {FAR6}")
    hops = [line.split()[1] for line in client.run(f"traceroute -n {FAR6}").splitlines()[1:]]
    assert hops == ["fd00:10:244::1", "fd00:10:244:1::", FAR6]
    assert f"connects to [{FAR6}]:8080" in dual.connect("default/client", FAR6, 8080).hops[0].title


def test_ipv6_over_vxlan_has_twenty_bytes_less_than_the_pods_are_told(dual: kn.Cluster) -> None:
    assert dual.copy().flush().connect("default/client", FAR6, protocol="ICMP", size=1430 - 48).verdict == "delivered"
    fresh = dual.copy().flush()
    trace = fresh.connect("default/client", FAR6, protocol="ICMP", size=1430 - 47)
    assert (trace.verdict, trace.error) == ("too-big", "EMSGSIZE")
    error = trace.reply_hops[-1].frame
    assert error.src == "fd00:10:244::1" and error.l4.mtu == 1430, "Packet Too Big from the pod's own gateway"
    assert fresh.connect("default/client", FAR4, protocol="ICMP", size=1422).verdict == "delivered"
    # TCP is not hurt: it takes what the error says
    assert fresh.open("default/client", FAR6, 8080).send(size=5000)


def test_one_family_can_be_broken_alone(dual: kn.Cluster) -> None:
    cluster = dual.copy()
    cluster.node("worker-1").run("ip -6 neigh del fd00:10:244:1:: dev flannel-v6.1")
    assert cluster.connect("default/client", FAR6, 8080).verdict != "delivered"
    assert cluster.connect("default/client", FAR4, 8080).verdict == "delivered"


# -------------------------------------------------------------------------------------------------------------- mistakes
def test_a_node_without_an_ipv6_address_holds_no_lease_at_all() -> None:
    nodes = [node("n1", "192.168.50.11"), node("n2", "192.168.50.12")]
    for i, doc in enumerate(nodes):
        doc["spec"] = {"podCIDR": f"10.244.{i}.0/24", "podCIDRs": [f"10.244.{i}.0/24", f"fd00:10:244:{i}::/64"]}
    cluster = kn.load(nodes, ip_families=("IPv4", "IPv6"))
    said = [f.message for f in cluster.findings if f.object == "Node n1"]
    assert any("failed to find any valid interface to use: node n1 has no IPv6 address" in m for m in said)


def test_options_name_the_networks_of_both_families() -> None:
    cni = kn.Flannel(network="10.5.0.0/16", ipv6_network="fd00:5::/56")
    cluster = kn.load(SMALL, cni=cni, ip_families=("IPv4", "IPv6"))
    assert ips(cluster, "default/client") == ("10.5.0.2", "fd00:5::2") and cluster.plan.pod_cidrs == ("10.5.0.0/16", "fd00:5::/56")
    alone: dict[str, Any] = {"cni": kn.Flannel(network="", ipv6_network="fd00:5::/56"), "ip_families": ("IPv6",)}
    assert ips(kn.load(SMALL, **alone), "default/client") == ("fd00:5::2",)
