"""Outcomes of a Service: exact and kernel's own probabilities, endpoint, masquerade; UDP flows to endpoints that went away.

Sources: Linux net/netfilter/xt_statistic.c (31 bits), libxt_statistic.c; Kubernetes 1.34 pkg/proxy/conntrack/cleanup.go and its tests.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.kernel.conntrack import Entry, Tuple
from kubenet_lab.kernel.packet import Packet, Tcp
from kubenet_lab.services import ProxyEndpoint, ServicePort, stale_entries
from tests.cluster.cluster_fixtures import Doc, pod, service

PORTS = (("http", 8080, "TCP"), ("echo", 9000, "UDP"))


def cluster(count: int, **spec: Any) -> kn.Cluster:
    docs: list[Doc] = [pod("default/client", "worker-1", {"app": "client"})]
    docs += [pod(f"default/s{i}", f"worker-{1 + i % 2}", {"app": "server"}, PORTS) for i in range(count)]
    ports = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "echo", "port": 9, "targetPort": 9000, "protocol": "UDP"})
    return kn.load([*docs, service("server", {"app": "server"}, *ports, **spec)])


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_each_endpoint_has_its_exact_share_and_the_kernel_its_own(count: int) -> None:
    found = cluster(count).outcomes("default/client", "svc:default/server")
    assert [o.probability for o in found] == [Fraction(1, count)] * count
    own = [o.kernel_probability for o in found if o.kernel_probability is not None]
    assert sum(own) == 1
    left, want = Fraction(1), []
    for i in range(count - 1):  # what the kernel keeps of the ten decimals of 1/(n-i)
        kept = Fraction(round(float(f"{1 / (count - i):.10f}") * 2**31), 2**31)
        want.append(left * kept)
        left *= 1 - kept
    assert sorted(own) == sorted([*want, left])
    assert (count in (1, 2)) == all(p == Fraction(1, count) for p in own)


def test_endpoint_and_masquerade() -> None:
    c = cluster(2, type="NodePort")
    ips = {p.key: p.ips[0] for p in c.objects("pod")}  # type: ignore[attr-defined]
    for o in c.outcomes("default/client", "svc:default/server"):
        assert (o.endpoint, o.masquerade) == (f"{ips[o.answered_by or '']}:8080", None)
    port = c.get("svc", "default/server").spec.ports[0].node_port  # type: ignore[attr-defined]
    for o in c.outcomes("external:192.168.50.200", "node:worker-1", port):
        assert o.masquerade == o.source_seen
    direct = c.outcomes("default/client", "default/s1", 8080)[0]
    assert (direct.endpoint, direct.masquerade, direct.kernel_probability) == (None, None, 1)


def test_a_udp_client_leaves_an_endpoint_that_does_not_serve_any_more() -> None:
    c = cluster(3)

    def ask() -> str | None:
        return c.connect("default/client", "svc:default/server", 9, "UDP", source_port=5555).answered_by

    first = ask()
    assert first is not None
    assert {ask() for _ in range(4)} == {first}
    c.set_pod(first, terminating=True)  # it serves until it ends: the flow stays
    assert ask() == first
    c.set_pod(first, serving=False)
    assert ask() not in (first, None)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_an_endpoint_that_comes_back_has_forgotten_its_clients(mode: str) -> None:
    """A list of xt_recent ends with the last rule that names it, an affinity set is deleted with its endpoint (nftables/proxier.go)."""
    for seed in range(4):
        c = cluster(2, sessionAffinity="ClientIP").copy(proxy=mode, seed=seed)
        first = c.connect("default/client", "svc:default/server").answered_by
        c.set_pod(str(first), ready=False)
        second = c.connect("default/client", "svc:default/server").answered_by
        c.set_pod(str(first), ready=True)
        assert first != second and [o.answered_by for o in c.outcomes("default/client", "svc:default/server")] == [second]
        c.set_pod(str(second), ready=False)
        c.set_pod(str(second), ready=True)
        assert len(c.outcomes("default/client", "svc:default/server")) == 2


def test_what_a_hand_takes_away_is_forgotten() -> None:
    """Seen on Linux 6.18: after `iptables -F` and the same rule again, /proc/net/xt_recent/NAME is empty."""
    c = cluster(1)
    seen, again = "FORWARD -p udp -m recent --name seen --set", "FORWARD -p udp -m recent --name seen --update -j DROP"

    def by_hand(*rules: str) -> None:
        for rule in rules:
            c.node("worker-1").run(f"iptables {rule}")

    def ask() -> bool:
        return bool(c.connect("default/client", "svc:default/server", 9, "UDP"))

    by_hand(f"-I {seen}", f"-I {again}")
    assert ask() and not ask()
    by_hand(f"-D {seen}", f"-I {seen}", f"-D {again}", f"-I {again}")
    assert not ask(), "there was always a rule that names the list"
    by_hand(f"-D {seen}", f"-D {again}", f"-I {seen}", f"-I {again}")
    assert ask()


def test_what_a_hand_takes_away_kube_proxy_does_not_clean() -> None:
    c = cluster(2)
    first = c.connect("default/client", "svc:default/server", 9, "UDP", source_port=5555).answered_by
    c.node("worker-1").run("iptables -t nat -F KUBE-SERVICES")
    again = c.connect("default/client", "svc:default/server", 9, "UDP", source_port=5555)
    assert again.answered_by == first  # conntrack still knows the way


def entry(dst: str, dport: int, reply: str, proto: str = "UDP") -> Entry:
    return Entry(1, Tuple("10.0.0.9", 5555, dst, dport, proto), Tuple(reply, 53, "10.0.0.9", 5555, proto), confirmed=True)


def port(*endpoints: ProxyEndpoint, **more: Any) -> ServicePort:
    given: dict[str, Any] = {"protocol": "UDP", "port": 53, "cluster_ip": "172.30.1.1", "node_port": 3001} | more
    outer = {"external_ips": ("1.2.3.5",), "load_balancer_vips": ("1.2.3.4",)}
    return ServicePort("ns", "svc", "p", endpoints=tuple(endpoints), **{**outer, **given})


SERVES, GONE = ProxyEndpoint("10.180.0.3", 53), ProxyEndpoint("10.180.0.4", 53, ready=False, serving=False)


@pytest.mark.parametrize(
    ("ports", "flow", "stale"),
    [
        ((port(SERVES, GONE),), entry("172.30.1.1", 53, "10.180.0.4"), True),
        ((port(SERVES, GONE),), entry("1.2.3.4", 53, "10.180.0.4"), True),
        ((port(SERVES, GONE),), entry("1.2.3.5", 53, "10.180.0.4"), True),
        ((port(SERVES, GONE),), entry("192.168.1.1", 3001, "10.180.0.4"), True),  # any address with the node port
        ((port(SERVES, GONE),), entry("172.30.1.1", 53, "10.180.0.3"), False),
        ((port(SERVES, GONE),), entry("172.30.1.1", 54, "10.180.0.4"), False),  # another port of the same address
        ((port(SERVES, GONE),), entry("172.30.1.2", 53, "10.180.0.4"), False),  # nobody's address
        ((port(SERVES, GONE),), entry("172.30.1.1", 53, "10.180.0.4", "TCP"), False),
        ((port(SERVES, GONE, protocol="TCP"),), entry("172.30.1.1", 53, "10.180.0.4"), False),
        ((port(GONE),), entry("172.30.1.1", 53, "10.180.0.4"), False),  # no endpoint serves: nothing is cleaned
        ((port(SERVES, GONE),), entry("172.30.1.1", 53, "172.30.1.1"), True),  # a flow from before there was an endpoint
    ],
)
def test_which_entries_are_stale(ports: tuple[ServicePort, ...], flow: Entry, stale: bool) -> None:
    assert stale_entries(ports, [flow], "worker-1") == ([flow] if stale else [])


def test_of_an_endpoint_in_two_slices_each_node_cleans_by_what_it_sees() -> None:
    """endpointslicecache.go, addEndpoints: the first one counts, except on a node that a later one names as its own."""
    twice, other = (replace(SERVES, node="worker-1"), replace(SERVES, node="worker-2", serving=False)), ProxyEndpoint("10.180.0.5", 53)
    flow = entry("172.30.1.1", 53, "10.180.0.3")
    assert [stale_entries([port(*twice, other)], [flow], f"worker-{i}") for i in (1, 2, 3)] == [[], [flow], []]


@pytest.mark.parametrize(("protocol", "port"), [("TCP", 80), ("UDP", 9)])
def test_who_looks_at_the_frames_of_a_way_sees_the_whole_conversation(protocol: str, port: int) -> None:
    """What comes after the client's answer (the last ACK, the closing) is walked only then; they are the frames of `connect`."""
    c = cluster(2)
    c.set_pod("default/s0", ready=False)
    way, *others = c.outcomes("default/client", "svc:default/server", port=port, protocol=protocol)
    assert way.trace is not None and not others
    seen, drawn = way.trace.frames, c.connect("default/client", "svc:default/server", port=port, protocol=protocol).frames
    assert sorted((where, str(frame)) for _, where, frame in seen) == sorted((where, str(frame)) for _, where, frame in drawn)
    if protocol == "TCP":
        heard = [f.body for _, where, f in seen if where == "pod:default/s1/eth0"]
        assert [b.l4.flags for b in heard if isinstance(b, Packet) and isinstance(b.l4, Tcp)] == ["S", "SA", "A", "FA", "FA", "A"]


def test_a_masqueraded_flow_that_is_cleaned_comes_from_another_port() -> None:
    """kube-proxy cleans by the node port on every node: on the client's, too, where the entry only masquerades (seen: the next node
    takes it for a new flow). nf_nat_core.c draws the port of --random-fully for every new entry."""
    c = cluster(3, type="NodePort")
    port = next(p.node_port for p in c.get("svc", "default/server").spec.ports if p.protocol == "UDP")  # type: ignore[attr-defined]

    def seen() -> set[int]:
        c.connect("default/client", "node:worker-2", port, "UDP", source_port=5555)
        rows = c.node("worker-1").conntrack().to_dict("records")
        return {r["reply_dport"] for r in rows if r["dport"] == port}

    first = seen()
    assert first and seen() == first
    c.set_pod("default/s0", ready=False)
    assert not [r for r in c.node("worker-1").conntrack().to_dict("records") if r["dport"] == port]
    assert seen().isdisjoint(first)
