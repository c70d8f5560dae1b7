"""What a real kernel did with kube-proxy's iptables rules, one test for each fact: sources seen, refusals, silence, pings.

Measured on Linux 6.18 with iptables 1.8.9 in namespaces: nodes 192.168.50.11 and on, pod networks 10.244.N.0/24.
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, service

LAN = "external:192.168.50.200"
NETWORKS: dict[str, Any] = {"vxlan": kn.Flannel(), "host-gw": kn.Flannel(backend="host-gw"), "routed": kn.Calico()}


def load(cni: Any = "flannel", proxy: Any = "auto", **spec: Any) -> kn.Cluster:
    port = {"port": 80, "targetPort": 8080, "nodePort": 30080}
    return kn.load([*SMALL[:3], service("s", {"app": "server"}, port, type="NodePort", **spec)], cni=cni, proxy=proxy)


@pytest.mark.parametrize(
    ("network", "local", "remote"),
    [
        ("vxlan", "10.244.0.1", "10.244.0.0"),  # cni0's and flannel.1's address: the masquerade takes that of the outgoing interface
        ("host-gw", "10.244.0.1", "192.168.50.11"),
        ("routed", "192.168.50.11", "192.168.50.11"),
    ],
)
def test_node_port_source_seen(network: str, local: str, remote: str) -> None:
    seen = {o.answered_by: o.source_seen for o in load(NETWORKS[network]).outcomes(LAN, "node:worker-1", 30080)}
    assert seen == {"default/near": local, "default/far": remote}


def test_policy_local_keeps_the_client_and_a_node_without_endpoint_is_silent_but_not_for_its_own_side() -> None:
    cluster = load(externalTrafficPolicy="Local")
    cluster.delete("pod", "default/near")  # worker-1 has none now
    assert cluster.connect(LAN, "node:worker-2", 30080).source_seen == "192.168.50.200"
    assert cluster.connect(LAN, "node:worker-1", 30080).verdict == "timeout"
    pod = cluster.connect("default/client", "node:worker-1", 30080)
    assert (pod.answered_by, pod.source_seen) == ("default/far", cluster.get("pod", "default/client").ips[0])  # type: ignore[attr-defined]
    own = cluster.connect("node:worker-1", "node:worker-1", 30080)
    assert (own.answered_by, own.source_seen) == ("default/far", "10.244.0.0")


def test_node_port_on_localhost() -> None:
    assert load().connect("node:worker-1", "127.0.0.1", 30080)
    without = load(proxy=kn.KubeProxy(localhost_node_ports=False))
    assert without.connect("node:worker-1", "127.0.0.1", 30080).error == "ECONNREFUSED"
    cluster = load()
    cluster.node("worker-1").run("sysctl -w net.ipv4.conf.all.route_localnet=0")
    assert cluster.connect("node:worker-1", "127.0.0.1", 30080).verdict == "timeout"


def test_affinity_ties_a_client_to_one_endpoint_until_its_time_is_over() -> None:
    cluster = load(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    first = {cluster.connect("default/client", "svc:default/s").answered_by for _ in range(30)}
    assert len(first) == 1
    assert len(cluster.outcomes("default/client", "svc:default/s")) == 1
    cluster.tick(61)
    assert len(cluster.outcomes("default/client", "svc:default/s")) == 2


def test_hairpin_by_its_own_service_sees_the_gateway() -> None:
    cluster = load()
    found = {o.answered_by: o.source_seen for o in cluster.outcomes("default/near", "svc:default/s")}
    assert found["default/near"] == "10.244.0.1"
    cluster = load(kn.Flannel(hairpin_mode=False))
    verdicts = {o.answered_by: o.verdict for o in cluster.outcomes("default/near", "svc:default/s")}
    assert verdicts == {None: "timeout", "default/far": "delivered"}


def test_no_endpoints_are_refused_at_once() -> None:
    cluster = load()
    for name in ("near", "far"):
        cluster.set_pod(f"default/{name}", ready=False)
    for src, dst, port in (("default/client", "svc:default/s", 80), (LAN, "node:worker-1", 30080)):
        trace = cluster.connect(src, dst, port)
        assert (trace.verdict, trace.error) == ("refused", "ECONNREFUSED")
        assert trace.elapsed < 0.1


def test_unused_ports_unused_addresses_and_pings_leak_to_the_default_route() -> None:
    cluster = load()
    ip = cluster.get("svc", "default/s").spec.cluster_ip  # type: ignore[attr-defined]
    assert cluster.connect("default/client", ip, 81).verdict == "timeout"
    assert cluster.connect("default/client", "10.96.200.200", 80).verdict == "timeout"
    assert cluster.connect("default/client", ip, 0, "ICMP").verdict == "timeout"


def test_without_bridge_netfilter_only_the_endpoint_on_the_same_node_is_lost() -> None:
    cluster = load()
    cluster.node("worker-1").run("sysctl -w net.bridge.bridge-nf-call-iptables=0")
    verdicts = {o.answered_by: o.verdict for o in cluster.outcomes("default/client", "svc:default/s")}
    assert verdicts == {None: "timeout", "default/far": "delivered"}


def test_a_host_network_client_is_masqueraded() -> None:
    seen = {o.answered_by: o.source_seen for o in load().outcomes("node:worker-1", "svc:default/s")}
    assert seen == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}
