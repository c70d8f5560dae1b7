"""What a real kernel did with kube-proxy's rules, one test for each fact and mode: shares, sources seen, refusals, silence, pings.

Measured on Linux 6.18 with iptables 1.8.9 and nftables 1.0.6 in namespaces: nodes 192.168.50.11 and on, pod networks 10.244.N.0/24.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.trace import Trace
from tests.cluster.cluster_fixtures import SMALL, pod, service

LAN = "external:192.168.50.200"
NETWORKS: dict[str, Any] = {"vxlan": kn.Flannel(), "host-gw": kn.Flannel(backend="host-gw"), "routed": kn.Calico()}
MODES = ("iptables", "nftables")
each_mode = pytest.mark.parametrize("mode", MODES)


def load(mode: str, cni: Any = "flannel", endpoints: tuple[str, ...] = ("near", "far"), **spec: Any) -> kn.Cluster:
    ports = (
        {"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080},
        {"name": "echo", "port": 9, "targetPort": 9000, "protocol": "UDP"},
    )
    server = service("s", {"app": "server"}, *ports, type="NodePort", **spec)
    docs = [d for d in SMALL[:3] if d["metadata"]["name"] in ("client", *endpoints)]
    return kn.load([*docs, server], cni=cni, proxy=mode)


def cluster_ip(cluster: kn.Cluster) -> str:
    return str(cluster.get("svc", "default/s").spec.cluster_ip)  # type: ignore[attr-defined]


def told(trace: Trace) -> tuple[str, str]:
    """(the address from which the error came, what it was)."""
    fields = {(h.name, f.name): f.value for h in trace.reply_hops[-1].after for f in h.fields}
    return fields["IPv4", "src"], fields["ICMP", "type"].split()[0]


@each_mode
@pytest.mark.parametrize(("protocol", "port"), [("TCP", 80), ("UDP", 9)])
def test_three_endpoints_share_300_connections_evenly(mode: str, protocol: str, port: int) -> None:
    """Seen: chi2 from 0.02 to 3.44 in nine runs; 5 % of fair draws exceed 5.99, 0.1 % exceed 13.8."""
    third = pod("default/third", "worker-2", {"app": "server"}, (("http", 8080, "TCP"), ("echo", 9000, "UDP")))
    cluster = load(mode).apply(third)
    assert {o.probability for o in cluster.outcomes("default/client", "svc:default/s", port, protocol)} == {Fraction(1, 3)}
    seen = Counter(cluster.connect("default/client", "svc:default/s", port, protocol).answered_by for _ in range(300))
    assert len(seen) == 3 and sum((n - 100) ** 2 / 100 for n in seen.values()) < 13.8


@each_mode
def test_udp_from_one_port_stays_on_one_endpoint_and_goes_on_to_one_that_is_gone(mode: str) -> None:
    cluster = load(mode)

    def ask(port: int = 5555) -> Trace:
        return cluster.connect("default/client", "svc:default/s", 9, "UDP", source_port=port)

    first = {ask().answered_by for _ in range(20)}
    assert len(first) == 1
    for name in ("near", "far"):
        cluster.delete("pod", f"default/{name}")
    assert ask().verdict == "timeout"  # kube-proxy leaves the flows of a Service without any endpoint alone
    assert ask(5556).error == "ECONNREFUSED"
    cluster.flush()
    assert ask().error == "ECONNREFUSED"


@each_mode
@pytest.mark.parametrize(
    ("network", "local", "remote"),
    [
        ("vxlan", "10.244.0.1", "10.244.0.0"),  # cni0's and flannel.1's address: the masquerade takes that of the outgoing interface
        ("host-gw", "10.244.0.1", "192.168.50.11"),
        ("routed", "192.168.50.11", "192.168.50.11"),
    ],
)
def test_node_port_source_seen(mode: str, network: str, local: str, remote: str) -> None:
    seen = {o.answered_by: o.source_seen for o in load(mode, NETWORKS[network]).outcomes(LAN, "node:worker-1", 30080)}
    assert seen == {"default/near": local, "default/far": remote}


@each_mode
def test_policy_local_keeps_the_client_and_a_node_without_endpoint_is_silent_but_not_for_its_own_side(mode: str) -> None:
    cluster = load(mode, endpoints=("far",), externalTrafficPolicy="Local")
    assert cluster.connect(LAN, "node:worker-2", 30080).source_seen == "192.168.50.200"
    assert cluster.connect(LAN, "node:worker-1", 30080).verdict == "timeout"
    inside = cluster.connect("default/client", "node:worker-1", 30080)
    assert (inside.answered_by, inside.source_seen) == ("default/far", cluster.get("pod", "default/client").ips[0])  # type: ignore[attr-defined]
    own = cluster.connect("node:worker-1", "node:worker-1", 30080)
    assert (own.answered_by, own.source_seen) == ("default/far", "10.244.0.0")


def test_node_port_on_localhost() -> None:
    assert load("iptables").connect("node:worker-1", "127.0.0.1", 30080)
    without = load("iptables").copy(proxy=kn.KubeProxy(localhost_node_ports=False))
    assert without.connect("node:worker-1", "127.0.0.1", 30080).error == "ECONNREFUSED"
    cluster = load("iptables")
    cluster.node("worker-1").run("sysctl -w net.ipv4.conf.all.route_localnet=0")
    assert cluster.connect("node:worker-1", "127.0.0.1", 30080).verdict == "timeout"
    for route_localnet in (0, 1):
        cluster = load("nftables")
        cluster.node("worker-1").run(f"sysctl -w net.ipv4.conf.all.route_localnet={route_localnet}")
        assert cluster.connect("node:worker-1", "127.0.0.1", 30080).error == "ECONNREFUSED"


@each_mode
def test_affinity_ties_a_client_to_one_endpoint_until_its_time_is_over(mode: str) -> None:
    cluster = load(mode, sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    first = {cluster.connect("default/client", "svc:default/s", 80).answered_by for _ in range(30)}
    assert len(first) == 1
    assert len(cluster.outcomes("default/client", "svc:default/s", 80)) == 1
    cluster.tick(61)
    assert len(cluster.outcomes("default/client", "svc:default/s", 80)) == 2


@each_mode
def test_hairpin_by_its_own_service_sees_the_gateway(mode: str) -> None:
    def seen(cni: Any) -> dict[str | None, tuple[str, str | None]]:
        return {o.answered_by: (o.verdict, o.source_seen) for o in load(mode, cni).outcomes("default/near", "svc:default/s", 80)}

    assert seen(kn.Flannel())["default/near"] == ("delivered", "10.244.0.1")
    assert seen(kn.Calico())["default/near"] == ("delivered", "192.168.50.11")
    without = seen(kn.Flannel(hairpin_mode=False))
    assert without.keys() == {None, "default/far"} and without[None][0] == "timeout"


@each_mode
def test_no_endpoints_are_refused_at_once_by_who_had_the_packet(mode: str) -> None:
    cluster = load(mode)
    for name in ("near", "far"):
        cluster.set_pod(f"default/{name}", ready=False)
    for src, dst, port, by in (("default/client", "svc:default/s", 80, "10.244.0.1"), (LAN, "node:worker-1", 30080, "192.168.50.11")):
        trace = cluster.connect(src, dst, port)
        assert (trace.verdict, trace.error, told(trace)) == ("refused", "ECONNREFUSED", (by, "3/3"))
        assert trace.elapsed < 0.1


@pytest.mark.parametrize(("src", "ping"), [("default/client", "ECONNREFUSED"), ("node:worker-1", "EPERM")])
def test_unused_ports_unused_addresses_and_pings(src: str, ping: str) -> None:
    """iptables: they leak to the default route and nobody answers. nftables: refused, but for an address that is nobody's, dropped."""
    cluster = load("iptables")
    ip = cluster_ip(cluster)
    for dst, port, protocol in ((ip, 81, "TCP"), ("10.96.200.200", 80, "TCP"), (ip, 0, "ICMP")):
        leaked = cluster.connect(src, dst, port, protocol)
        assert leaked.verdict == "timeout" and "eth0" in str(leaked)
    cluster = load("nftables")
    unused, dropped, echo = (cluster.connect(src, *ask) for ask in ((ip, 81, "TCP"), ("10.96.200.200", 80, "TCP"), (ip, 0, "ICMP")))
    assert (unused.error, dropped.verdict, echo.error) == ("ECONNREFUSED", "timeout", ping)
    assert max(unused.elapsed, echo.elapsed) < 0.1
    if src == "default/client":
        assert told(unused) == told(echo) == ("10.244.0.1", "3/3")
        assert "Destination Port Unreachable" in cluster.pod("default/client").run(f"ping -c 1 {ip}")


@each_mode
def test_every_router_on_the_way_to_a_service_shows_the_services_address(mode: str) -> None:
    """The errors of a flow are translated as its answers are; behind a bridge an endpoint of the same node answers at TTL 1."""
    far = load(mode, endpoints=("far",))
    traces = [far.connect("default/client", "svc:default/s", 9, "UDP", ttl=ttl) for ttl in (1, 2, 3)]
    assert [told(t) for t in traces[:2]] == [(cluster_ip(far), "11/0")] * 2
    assert traces[2].answered_by == "default/far"
    near = load(mode, endpoints=("near",))
    assert near.connect("default/client", "svc:default/s", 9, "UDP", ttl=1).answered_by == "default/near"


@each_mode
def test_without_bridge_netfilter_only_the_endpoint_on_the_same_node_is_lost(mode: str) -> None:
    cluster = load(mode)
    cluster.node("worker-1").run("sysctl -w net.bridge.bridge-nf-call-iptables=0")
    verdicts = {o.answered_by: o.verdict for o in cluster.outcomes("default/client", "svc:default/s", 80)}
    assert verdicts == {None: "timeout", "default/far": "delivered"}


@each_mode
@pytest.mark.parametrize("detect", [{}, {"detect_local_mode": "BridgeInterface", "bridge_interface": "cni0"}])
def test_a_host_network_client_is_masqueraded(mode: str, detect: dict[str, Any]) -> None:
    """Also where pods are told by their device: in the OUTPUT hook there is none, and `! -i cni0`, `iifname != cni0` match."""
    cluster = load(mode).copy(proxy=kn.KubeProxy(mode=mode, **detect))
    seen = {o.answered_by: o.source_seen for o in cluster.outcomes("node:worker-1", "svc:default/s", 80)}
    assert seen == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}
