"""Pods on the node network by macvlan: who reaches whom, and why Services do not work. Measured on Linux 6.18 with the real plugin."""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from kubenet_lab.cni import PLUGINS
from kubenet_lab.kernel.address import prefix
from tests.cluster.cluster_fixtures import SMALL, node, pod

pytestmark = pytest.mark.skipif("macvlan" not in PLUGINS, reason="no macvlan plugin in CNI_PATH yet")
PORTS = (("http", 8080, "TCP"),)


@pytest.fixture(scope="module")
def macvlan() -> kn.Cluster:
    return kn.load(SMALL, cni="macvlan")


def ips(cluster: kn.Cluster, key: str) -> list[str]:
    return list(cluster.get("pod", key).ips)  # type: ignore[attr-defined]


def test_pods_stand_on_the_node_network_each_node_with_a_part_of_it(macvlan: kn.Cluster) -> None:
    assert macvlan.pod_network == "macvlan" and not macvlan.findings
    assert (ips(macvlan, "default/client"), ips(macvlan, "default/far")) == (["192.168.50.128"], ["192.168.50.144"])
    note = next(a for a in macvlan.assumptions if a.what == "pod addresses")
    assert note.value == "192.168.50.128-192.168.50.143 on worker-1, 192.168.50.144-192.168.50.159 on worker-2"
    assert "default via 192.168.50.1" in macvlan.pod("default/client").run("ip route")
    assert "10.244" not in macvlan.node("worker-1").run("ip route")


@pytest.mark.parametrize("dst", ["default/near", "default/far"])
def test_pods_reach_each_other_without_their_nodes(macvlan: kn.Cluster, dst: str) -> None:
    trace = macvlan.connect("default/client", dst, 8080)
    assert trace and trace.source_seen == "192.168.50.128" and not any("routes" in h.title for h in trace.hops)


def test_a_node_does_not_reach_its_own_pods_but_those_of_others(macvlan: kn.Cluster) -> None:
    own = macvlan.connect("node:worker-1", "default/near", 8080)
    assert (own.verdict, own.error) == ("unreachable", "EHOSTUNREACH") and own.elapsed > 2.9
    assert macvlan.connect("node:worker-1", "default/far", 8080).source_seen == "192.168.50.11"
    assert macvlan.connect("default/client", "node:worker-1", 10250).error == "EHOSTUNREACH"
    assert macvlan.connect("default/client", "node:worker-2", 10250).source_seen == "192.168.50.128"


def test_the_world_sees_the_pod_itself(macvlan: kn.Cluster) -> None:
    for world in ("external:203.0.113.7", "external:192.168.50.100"):
        assert macvlan.connect("default/client", world).source_seen == "192.168.50.128"
        assert macvlan.connect(world, "default/far", 8080).source_seen == world.removeprefix("external:")


def test_services_do_not_work_because_kube_proxy_never_sees_the_packet(macvlan: kn.Cluster) -> None:
    trace = macvlan.connect("default/client", "svc:default/server")
    assert trace.verdict == "timeout" and not any(h.code.startswith("nat") for h in trace.hops)
    assert any(h.code.startswith("nat") for h in macvlan.connect("node:worker-1", "svc:default/server").hops), "a node's own packet is seen"
    assert not macvlan.resolve("default/client", "server").addresses, "the cluster's DNS is behind a Service too"


def test_copies_move_pods_to_the_node_network_and_back() -> None:
    base = kn.load(SMALL)
    moved = base.copy(cni="macvlan")
    assert all(ip in prefix("192.168.50.0/24") for p in moved.objects("pod") for ip in p.ips)  # type: ignore[attr-defined]
    assert moved.connect("default/client", "default/far", 8080)
    back = moved.copy(cni="flannel")
    assert ips(back, "default/client")[0].startswith("10.244.") and back.connect("default/client", "svc:default/server")


def test_a_node_that_comes_later_gets_a_part_of_its_own() -> None:
    cluster = kn.load(SMALL, cni="macvlan")
    cluster.apply([node("worker-3", "192.168.50.30"), pod("default/new", "worker-3", {}, PORTS)])
    assert ips(cluster, "default/new") == ["192.168.50.160"] and ips(cluster, "default/far") == ["192.168.50.144"]
    assert cluster.connect("default/client", "default/new", 8080)


def test_both_families() -> None:
    cluster = kn.load(SMALL, cni="macvlan", ip_families=("IPv4", "IPv6"))
    assert ips(cluster, "default/far") == ["192.168.50.144", "fd50::9000:0:0:0"]
    for ip in ips(cluster, "default/far"):
        assert cluster.connect("default/client", ip, 8080)
