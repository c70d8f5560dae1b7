"""What the parts make together: Services, names, outside, connections, conntrack. Each row is what a real cluster shows."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import pytest

import kubenet_lab as kn
from kubenet_lab import KubenetError
from kubenet_lab.trace import Outcome, Trace
from tests.cluster.cluster_fixtures import SMALL, deployment, dynamic, pod, service

OUTSIDE = "external:203.0.113.9"


@pytest.fixture
def small() -> kn.Cluster:
    return kn.load(SMALL)


def seen(outcomes: Iterable[Outcome]) -> dict[str | None, str | None]:
    return {o.answered_by: o.source_seen for o in outcomes}


def test_a_table_of_outcomes_has_the_columns_that_say_something(small: kn.Cluster) -> None:
    answered, refused = small.outcomes("default/client", "svc:default/server"), small.outcomes("default/client", "default/client", port=1)
    assert "source seen" in answered._repr_html_() and ">error<" not in answered._repr_html_()
    assert ">error<" in refused._repr_html_() and "source seen" not in refused._repr_html_()


# ----------------------------------------------------------------------------------------------------- sources of Services
def test_a_cluster_ip_keeps_the_clients_address(small: kn.Cluster) -> None:
    ip = small.pod("default/client").ip
    outcomes = small.outcomes("default/client", "svc:default/server")
    assert seen(outcomes) == {"default/near": ip, "default/far": ip}
    assert [o.probability for o in outcomes] == [Fraction(1, 2)] * 2 and sum(o.probability for o in outcomes) == 1


def test_a_node_port_is_masqueraded_as_the_interface_towards_the_endpoint(small: kn.Cluster) -> None:
    small.apply(service("default/public", {"app": "server"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort"))
    # node 1 is subnet 10.244.0.0/24: its cni0 has .1, its flannel.1 has .0
    assert seen(small.outcomes(OUTSIDE, "node:worker-1", 30080)) == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}
    assert seen(small.outcomes(OUTSIDE, "node:worker-2", 30080)) == {"default/near": "10.244.1.0", "default/far": "10.244.1.1"}
    assert seen(small.outcomes("default/client", "node:worker-1", 30080)) == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}


def test_external_traffic_policy_local_keeps_the_source_and_stays_on_the_node(small: kn.Cluster) -> None:
    small.apply(
        service(
            "default/public",
            {"app": "server"},
            {"port": 80, "targetPort": 8080, "nodePort": 30080},
            type="NodePort",
            externalTrafficPolicy="Local",
        )
    )
    assert seen(small.outcomes(OUTSIDE, "node:worker-1", 30080)) == {"default/near": "203.0.113.9"}
    assert seen(small.outcomes(OUTSIDE, "node:worker-2", 30080)) == {"default/far": "203.0.113.9"}
    small.set_pod("default/near", ready=False)
    trace = small.connect(OUTSIDE, "node:worker-1", 30080)
    assert (trace.verdict, trace.error) == ("timeout", "ETIMEDOUT"), "no endpoint here: dropped, so that a load balancer notices"
    assert [r.code for r in trace.reasons] == ["service.no_local_endpoints", "filter.drop"]
    assert "none on worker-1" in str(trace.reasons[0]) and all("default/public" in r.origin for r in trace.reasons)
    pods = small.outcomes("default/client", "node:worker-1", 30080)
    assert {o.answered_by for o in pods} == {"default/far"}, "pods of the cluster may still use every endpoint"


def test_internal_traffic_policy_local(small: kn.Cluster) -> None:
    small.apply(service("default/here", {"app": "server"}, internalTrafficPolicy="Local"))
    assert seen(small.outcomes("default/client", "svc:default/here")).keys() == {"default/near"}
    assert seen(small.outcomes("default/far", "svc:default/here")).keys() == {"default/far"}
    trace = small.set_pod("default/near", ready=False).connect("default/client", "svc:default/here")
    assert trace.verdict == "timeout" and [r.code for r in trace.reasons] == ["service.no_local_endpoints", "filter.drop"]


def test_a_node_asks_a_service(small: kn.Cluster) -> None:
    assert seen(small.outcomes("node:worker-1", "svc:default/server")) == {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}


def test_a_pod_that_asks_its_own_service_meets_itself(small: kn.Cluster) -> None:
    """Hairpin: the bridge sends the frame back out of the port it came in by, and the source is rewritten so that the answer comes back."""
    outcomes = small.outcomes("default/near", "svc:default/server")
    assert seen(outcomes) == {"default/near": "10.244.0.1", "default/far": small.pod("default/near").ip}
    assert all(outcomes)


def test_session_affinity_remembers_the_client_until_it_times_out(small: kn.Cluster) -> None:
    small.apply(
        service(
            "default/sticky", {"app": "server"}, sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 600}}
        )
    )
    first = small.connect("default/client", "svc:default/sticky").answered_by
    assert {small.connect("default/client", "svc:default/sticky").answered_by for _ in range(12)} == {first}
    assert [o.answered_by for o in small.outcomes("default/client", "svc:default/sticky")] == [first]
    small.tick(700)
    assert len(small.outcomes("default/client", "svc:default/sticky")) == 2
    small.connect("default/client", "svc:default/sticky")
    assert len(small.flush().outcomes("default/client", "svc:default/sticky")) == 2


def test_without_affinity_each_connection_draws_anew(small: kn.Cluster) -> None:
    assert {small.connect("default/client", "svc:default/server").answered_by for _ in range(16)} == {"default/near", "default/far"}


def test_ports_that_the_service_does_not_have(small: kn.Cluster) -> None:
    trace = small.connect("default/client", "svc:default/server", 81)
    assert trace.verdict == "timeout" and trace.reasons[0].code == "service.no_rule", "the address leads nowhere"
    assert small.connect("default/client", "svc:default/server", 80, "UDP").verdict == "timeout"
    assert small.connect("default/client", "default/near", 81).error == "ECONNREFUSED"


def test_protocols(small: kn.Cluster) -> None:
    assert small.connect("default/client", "svc:default/server", "echo", "UDP")
    assert small.connect("default/client", "default/far", protocol="icmp").answered_by == "default/far"
    assert small.connect("default/client", "default/far", 8080, "UDP").error == "ECONNREFUSED", "nothing listens: ICMP port unreachable"
    with pytest.raises(kn.NotModelled, match="SCTP"):
        small.connect("default/client", "default/far", 8080, "SCTP")
    for bad in ("quic", "", None, 6):
        with pytest.raises(KubenetError, match="expected TCP, UDP or ICMP"):
            small.connect("default/client", "default/far", 8080, bad)  # type: ignore[arg-type]


def test_sizes(small: kn.Cluster) -> None:
    assert small.connect("default/client", "default/far", 8080, size=50_000)
    small.flush()
    big = small.connect("default/client", "default/far", 9000, "UDP", size=1500)
    assert (big.verdict, big.error) == ("too-big", "EMSGSIZE"), "1450 bytes fit into a VXLAN packet"
    assert small.connect("default/client", "default/far", 9000, "UDP", size=1422)
    assert small.connect("default/client", "default/far", 9000, "UDP", size=1500, df=False), "fragments arrive"
    assert small.connect("default/client", "default/far", 9000, "UDP", size=0)
    for bad in (-1, 1.5, "9", True, 1 << 30):
        with pytest.raises(KubenetError, match="size"):
            small.connect("default/client", "default/far", 8080, size=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"source_port": 0}, "source_port"),
        ({"source_port": "x"}, "source_port"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
    ],
)
def test_other_numbers(small: kn.Cluster, options: dict[str, object], says: str) -> None:
    with pytest.raises(KubenetError, match=says):
        small.connect("default/client", "svc:default/server", 80, **options)  # type: ignore[arg-type]


def test_host_ports() -> None:
    front = pod("a/front", "worker-1", {"app": "front"}, (("http", 8080, "TCP"),))
    front["spec"]["containers"][0]["ports"][0]["hostPort"] = 8088
    cluster = kn.load([front, pod("a/client", "worker-2")])
    assert cluster.connect(OUTSIDE, "node:worker-1", 8088).answered_by == "a/front"
    assert cluster.connect("a/client", "node:worker-1", 8088).answered_by == "a/front"
    assert cluster.connect(OUTSIDE, "node:worker-2", 8088).error == "ECONNREFUSED"


# -------------------------------------------------------------------------------------------------------------- outside
def test_what_leaves_the_cluster_has_the_nodes_address(small: kn.Cluster) -> None:
    trace = small.connect("default/client", "external:203.0.113.9", 443)
    assert (trace.answered_by, trace.source_seen) == (OUTSIDE, "192.168.50.11")
    assert any("nothing is known about it" in a for a in trace.assumptions)
    assert small.connect("default/client", "external:203.0.113.9", 12345), "whatever port is asked for"
    assert small.connect("default/client", "external:203.0.113.9", 999, "UDP")


def test_a_machine_outside_answers_whether_it_asked_before_or_not(small: kn.Cluster) -> None:
    small.connect(OUTSIDE, "svc:default/server")
    assert small.connect("default/client", "203.0.113.9", 80).answered_by == OUTSIDE


def test_via_is_the_node_by_which_a_packet_enters(small: kn.Cluster) -> None:
    for n, source in (
        (1, {"default/near": "10.244.0.1", "default/far": "10.244.0.0"}),
        (2, {"default/near": "10.244.1.0", "default/far": "10.244.1.1"}),
    ):
        assert seen(small.outcomes(OUTSIDE, "svc:default/server", via=f"worker-{n}")) == source
        assert small.connect(OUTSIDE, "svc:default/server", via=f"node:worker-{n}")
    assert small.connect(OUTSIDE, "svc:default/server").verdict == "timeout"
    on_link = small.connect("external:192.168.50.200", "svc:default/server", via="worker-2")
    assert on_link and on_link.hops[0].host == "external:192.168.50.200"
    with pytest.raises(KubenetError, match="only a packet from outside"):
        small.connect("default/client", "svc:default/server", via="worker-1")
    with pytest.raises(KubenetError, match="no node 'worker-9'"):
        small.connect(OUTSIDE, "svc:default/server", via="worker-9")


def test_unused_addresses_of_the_clusters_networks_are_silent(small: kn.Cluster) -> None:
    assert small.connect("default/client", "10.244.0.200", 80).error == "EHOSTUNREACH", "nobody answers ARP on its own subnet"
    assert small.connect("default/client", "192.168.50.77", 80).error == "EHOSTUNREACH"
    assert small.connect("default/client", "10.99.99.99", 80).verdict == "timeout"


def test_the_api_server_is_a_machine_on_the_node_network(small: kn.Cluster) -> None:
    trace = small.connect("default/client", "kubernetes.default", 443)
    assert (trace.answered_by, trace.source_seen) == ("kube-apiserver", "192.168.50.11")
    assert small.connect("default/client", "192.168.50.10", 80).error == "ECONNREFUSED"


# ---------------------------------------------------------------------------------------------------------- dynamic state
def test_connect_leaves_its_marks_and_flush_takes_them_away(small: kn.Cluster) -> None:
    node = small.node("worker-1")
    assert node.conntrack().empty
    trace = small.connect("default/client", "svc:default/server", source_port=44000)
    (row,) = [r for r in node.conntrack().to_dict("records") if r["sport"] == 44000]
    assert (row["proto"], row["state"], row["src"], row["dst"], row["dport"]) == (
        "TCP", "TIME_WAIT", small.pod("default/client").ip, small.get("svc", "default/server").spec.cluster_ip, 80
    )  # fmt: skip
    assert row["reply_src"] == small.get("pod", str(trace.answered_by)).ips[0] and row["reply_sport"] == 8080
    assert not node.neighbors().empty and not node.fdb()[node.fdb().state == ""].empty
    clock = small.now
    assert small.flush().node("worker-1").conntrack().empty and small.now == clock
    assert node.fdb()[node.fdb().state == ""].empty


def test_time_passes_and_entries_age(small: kn.Cluster) -> None:
    small.connect("default/client", "svc:default/server", "echo", "UDP")
    assert len(small.node("worker-1").conntrack()) >= 1
    before = small.now
    assert small.tick(30).now == before + 30
    assert len(small.tick(200).node("worker-1").conntrack()) == 0, "120 s after a UDP stream nothing is left"


def test_udp_from_a_fixed_port_keeps_its_endpoint(small: kn.Cluster) -> None:
    """As long as conntrack remembers the pair, no rule of kube-proxy is asked again: what bites DNS clients and game servers."""
    ask = lambda: small.connect("default/client", "svc:default/server", "echo", "UDP", source_port=5555)  # noqa: E731
    first = ask().answered_by
    assert {ask().answered_by for _ in range(10)} == {first}
    assert len({small.connect("default/client", "svc:default/server", "echo", "UDP").answered_by for _ in range(16)}) == 2
    small.tick(600)
    assert len({(small.tick(600), ask().answered_by)[1] for _ in range(12)}) == 2


def test_an_open_connection_keeps_its_endpoint_when_the_service_changes(small: kn.Cluster) -> None:
    conn = small.open("default/client", "svc:default/server")
    endpoint = str(conn.answered_by)
    assert conn and conn.send(3000).answered_by == endpoint
    small.set_pod(endpoint, ready=False)
    assert [o.answered_by for o in small.outcomes("default/client", "svc:default/server")] != [endpoint]
    assert conn.send(100).answered_by == endpoint, "conntrack holds the flow"
    small.delete("svc", "default/server")
    assert conn.send(100).answered_by == endpoint
    small.delete("pod", endpoint)
    lost = conn.send(100)
    assert lost.verdict in ("stalled", "unreachable", "refused") and not lost
    conn.close()
    assert not conn
    with pytest.raises(KubenetError, match="not open"):
        conn.send()


def test_a_connection_that_did_not_open(small: kn.Cluster) -> None:
    conn = small.open("default/client", "default/near", 81)
    assert not conn and conn.verdict == "refused" and "refused" in repr(conn)
    with pytest.raises(KubenetError, match="not open"):
        conn.send(1)
    with pytest.raises(KubenetError, match="does not resolve: EAI_NONAME"):
        small.open("default/client", "nowhere")


def test_close_and_with(small: kn.Cluster) -> None:
    with small.open("default/client", "svc:default/server", source_port=40404) as conn:
        assert conn.open and "open" in repr(conn)
        with pytest.raises(KubenetError, match="source port 40404 is in use"):
            small.open("default/client", "svc:default/server", source_port=40404)
        for bad in (0, -1, "x"):
            with pytest.raises(KubenetError, match="size"):
                conn.send(bad)  # type: ignore[arg-type]
    assert not conn.open and "closed" in repr(conn)
    left = [c.state for k in small.state.keys() if k[0] == "tcp" for c in small.state.read(*k).values()]  # noqa: SIM118
    assert left == ["TIME_WAIT"] and conn.close() is None
    assert small.open("default/client", "svc:default/server", source_port=40404), "TIME_WAIT gives way to who is bound to the port"


def test_flush_forgets_open_connections(small: kn.Cluster) -> None:
    conn = small.open("default/client", "svc:default/server")
    small.flush()
    assert not conn
    with pytest.raises(KubenetError, match="not open"):
        conn.send()


def test_a_preview_of_an_open_connection_is_not_possible_but_a_copy_has_its_own(small: kn.Cluster) -> None:
    conn = small.open("default/client", "svc:default/server")
    twin = small.copy()
    assert dynamic(twin) == dynamic(small)
    conn.close()
    assert dynamic(twin) != dynamic(small)


# --------------------------------------------------------------------------------------------------------------- names
@pytest.fixture(scope="module")
def named() -> kn.Cluster:
    return kn.load([
        deployment("a/web", 2), service("a/web", {"app": "web"}), service("a/direct", {"app": "web"}, clusterIP="None"),
        pod("a/client"), pod("b/client"),
        service("a/alias", None, type="ExternalName", externalName="web.a.svc.cluster.local"),
        service("a/out", None, type="ExternalName", externalName="example.com"),
    ])  # fmt: skip


def test_resolve(named: kn.Cluster) -> None:
    ip = named.get("svc", "a/web").spec.cluster_ip
    short = named.resolve("a/client", "web")
    assert short.addresses == (ip,) and short.error is None and short.queries[0].name == "web.a.svc.cluster.local."
    assert named.resolve("b/client", "web").error == "EAI_NONAME"
    assert named.resolve("b/client", "web.a").addresses == (ip,)
    assert named.resolve("a/client", ip).addresses == (ip,) and not named.resolve("a/client", ip).queries, "an address needs no question"
    assert set(named.resolve("a/client", "direct").addresses) == {p.ips[0] for p in named.objects("pod") if p.name.startswith("web-")}
    assert named.resolve("a/client", "alias").addresses == (ip,)
    outside = named.resolve("a/client", "example.com")
    assert outside.addresses and len(outside.queries) == 8, "the search list first, A and AAAA each: ndots"
    assert len(named.resolve("a/client", "example.com.").queries) == 2
    assert named.resolve("a/client", "no-such.example.com").error == "EAI_NONAME"
    assert named.resolve("node:worker-1", "web.a.svc.cluster.local").error == "EAI_NONAME", "a node does not ask the cluster's DNS"
    assert named.resolve(OUTSIDE, "example.com").addresses == outside.addresses
    for bad in ("", None, 5):
        with pytest.raises(KubenetError, match="name"):
            named.resolve("a/client", bad)  # type: ignore[arg-type]


def test_connecting_by_name_has_two_stages(named: kn.Cluster) -> None:
    trace = named.connect("a/client", "web")
    assert [n for n, _ in trace.stages] == ["resolve", "connect"] and trace.hops == trace.stages[1][1].hops
    assert trace.elapsed >= trace.stages[0][1].elapsed + trace.stages[1][1].elapsed - 1e-9
    assert named.connect("a/client", "direct", 8080) and any(
        "2 addresses" in a for a in named.connect("a/client", "direct", 8080).assumptions
    )
    assert named.connect("a/client", "alias").answered_by and str(named.connect("a/client", "out", 80).answered_by).startswith("external:")


def test_a_name_that_does_not_resolve_shows_the_query(named: kn.Cluster) -> None:
    trace = named.connect("b/client", "web")
    assert (trace.verdict, trace.phase, trace.error) == ("unreachable", "resolve", "EAI_NONAME")
    assert trace.reasons[0].code == "cluster.unresolved" and "gives up on web with EAI_NONAME" in str(trace.explain())
    assert trace.hops, "the packets of the query that decided"


def test_without_dns_names_time_out() -> None:
    cluster = kn.load(SMALL, dns="none")
    assert not [s for s in cluster.objects("svc") if s.name == "kube-dns"]
    assert cluster.connect("default/client", "svc:default/server")
    assert cluster.resolve("default/client", "server").error in ("EAI_AGAIN", "EAI_NONAME")


def test_dns_that_is_down_says_so() -> None:
    cluster = kn.load(SMALL).scale("kube-system/coredns", 0)
    trace = cluster.connect("default/client", "server")
    assert (trace.verdict, trace.phase, trace.error) == ("unreachable", "resolve", "EAI_AGAIN")
    assert any(r.code == "filter.reject" for r in trace.reasons)


def test_kubelet_options() -> None:
    own = kn.load(SMALL, kubelet=kn.Kubelet(cluster_dns=["10.96.0.99"]))
    assert "nameserver 10.96.0.99" in own.pod("default/client").resolv_conf()
    assert own.resolve("default/client", "server").error == "EAI_AGAIN"
    text = kn.load(SMALL, kubelet={"cluster_dns": "10.96.0.10"}).pod("default/client").resolv_conf()
    assert text.splitlines()[:2] == ["search default.svc.cluster.local svc.cluster.local cluster.local", "nameserver 10.96.0.10"]
    elsewhere = kn.load(SMALL, kubelet={"resolv_conf": "nameserver 8.8.8.8\nsearch corp.example\n"})
    assert "corp.example" in elsewhere.pod("default/client").resolv_conf()
    assert elsewhere.resolve("default/client", "example.com.").addresses, "CoreDNS forwards to the node's resolver, which is there"
    trace = elsewhere.resolve("node:worker-1", "example.com")
    assert trace.queries[0].server == "8.8.8.8"


def test_another_domain() -> None:
    cluster = kn.load(SMALL, domain="prod.local")
    assert cluster.resolve("default/client", "server.default.svc.prod.local.").addresses
    assert cluster.resolve("default/client", "server").queries[0].name == "server.default.svc.prod.local."
    assert cluster.resolve("default/client", "server.default.svc.cluster.local.").error == "EAI_NONAME"


def test_coredns_options() -> None:
    zones = {"corp.example.": {"db": {"A": ["203.0.113.80"]}}}
    cluster = kn.load(SMALL, dns=kn.CoreDNS(replicas=1, upstream_zones=zones))
    assert len([p for p in cluster.objects("pod") if p.name.startswith("coredns")]) == 1
    assert cluster.connect("default/client", "db.corp.example", 5432).answered_by == "external:203.0.113.80"
    forwards = kn.load(SMALL, dns=kn.CoreDNS(corefile=".:53 {\n    forward . 9.9.9.9\n}\n"))
    assert forwards.resolve("default/client", "example.com").addresses
    assert forwards.resolve("default/client", "server").error == "EAI_NONAME"


# ------------------------------------------------------------------------------------------------------------- requests
def front() -> list[dict[str, object]]:
    def rule(path: str, name: str, port: int = 80) -> dict[str, object]:
        return {"path": path, "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": port}}}}

    controller = deployment("edge/ingress", 1)
    template = controller["spec"]["template"]
    template["metadata"]["labels"]["app.kubernetes.io/name"] = "ingress"
    template["spec"] |= {"hostNetwork": True, "nodeName": "worker-1"}
    template["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 80}, {"name": "https", "containerPort": 443}]
    rules = [rule("/ok", "web"), rule("/empty", "empty"), rule("/missing", "missing"), rule("/deaf", "deaf")]
    return [
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "lab"},
         "spec": {"controller": "kubenet-lab.dev/ingress"}},
        controller, deployment("a/web", 2), service("a/web", {"app": "web"}), service("a/empty", {"app": "nobody"}),
        service("a/deaf", {"app": "web"}, {"port": 80, "targetPort": 9999}),
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "a"},
         "spec": {"ingressClassName": "lab", "rules": [{"host": "shop.test", "http": {"paths": rules}}]}},
        pod("a/client", "worker-2"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def ingress() -> kn.Cluster:
    return kn.load(front(), listening={"a/web": [8080]})


@pytest.mark.parametrize(
    "path, status, stages",
    [
        ("/ok", 200, ["resolve", "connect", "policy", "route", "forward", "answer"]),
        ("/nowhere", 404, ["resolve", "connect", "policy", "route", "answer"]),
        ("/empty", 503, ["resolve", "connect", "policy", "route", "answer"]),
        ("/missing", 503, ["resolve", "connect", "policy", "route", "answer"]),
        ("/deaf", 502, ["resolve", "connect", "policy", "route", "forward", "answer"]),
    ],
)
def test_a_request_through_an_ingress(ingress: kn.Cluster, path: str, status: int, stages: list[str]) -> None:
    trace = ingress.copy().request(OUTSIDE, f"http://shop.test{path}")
    assert trace.answer.status == status and [n for n, _ in trace.stages] == stages
    assert trace and str(trace.answered_by).startswith("edge/ingress-"), "the client talked with the controller, and that worked"
    inner = dict(trace.stages).get("forward")
    if status == 200:
        assert str(inner.answered_by).startswith("a/web-") and inner.source_seen in ("10.244.0.1", "10.244.0.0")
        assert "x-forwarded-for: 203.0.113.9" in trace.answer.body.decode()
    elif inner is not None:
        assert inner.error == "ECONNREFUSED"
    assert str(status) in str(trace.explain()) and trace.to_dict()["stages"]


def test_an_endpoint_that_is_cut_off_is_a_gateway_timeout(ingress: kn.Cluster) -> None:
    cut = ingress.copy()
    for name in ("worker-1", "worker-2"):
        cut.node(name).run("ip link set flannel.1 down")
        cut.node(name).run("iptables -I OUTPUT -p tcp --dport 8080 -j DROP")
    trace = cut.request(OUTSIDE, "http://shop.test/ok")
    assert trace and trace.answer.status == 504 and dict(trace.stages)["forward"].verdict in ("timeout", "unreachable")


def test_a_request_inside_goes_straight_to_the_pod(ingress: kn.Cluster) -> None:
    trace = ingress.request("a/client", "http://web/hello", method="POST", headers={"X-A": "1"}, body_size=20_000)
    assert trace.answer.status == 200 and "method: POST" in trace.answer.body.decode()
    assert [n for n, _ in trace.stages] == ["resolve", "connect", "policy", "answer"]
    assert ingress.request("a/client", "http://nowhere/").error == "EAI_NONAME"
    down = ingress.copy().scale("a/web", 0).request("a/client", "http://web/")
    assert down.verdict == "refused" and down.answer is None and [n for n, _ in down.stages] == ["resolve", "connect"]


def test_a_client_tries_every_address_of_a_name() -> None:
    """As curl does: the second endpoint of a headless name is tried when the first refuses."""
    cluster = kn.load([deployment("a/db"), service("a/db", {"app": "db"}, clusterIP="None"), pod("a/client")])
    first, _ = cluster.resolve("a/client", "db").addresses
    owner = next(p for p in cluster.objects("pod") if p.ips == (first,) or list(p.ips) == [first])
    deaf = cluster.copy(listening={owner.key: []})
    trace = deaf.request("a/client", "http://db:8080/")
    assert [n for n, _ in trace.stages][:3] == ["resolve", "connect", "connect"]
    assert trace and trace.answer.status == 200 and trace.stages[1][1].error == "ECONNREFUSED"


def test_tls_to_a_pod_is_an_assumption(ingress: kn.Cluster) -> None:
    trace = ingress.request("a/client", "https://web:80/")
    assert any("speaks TLS" in a for a in trace.assumptions)


def test_another_ingress_controller_is_not_taken_for_ours() -> None:
    nginx = deployment("edge/nginx", 1, port=80)
    nginx["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.k8s.io/ingress-nginx/controller:v1.13.0"
    cluster = kn.load([nginx, service("edge/nginx", {"app": "nginx"}, {"port": 80}), pod("a/client")])
    assert cluster.connect("a/client", "svc:edge/nginx"), "it accepts connections"
    with pytest.raises(kn.NotModelled, match="ingress-nginx"):
        cluster.request("a/client", "http://nginx.edge/")


# ------------------------------------------------------------------------------------------------------------------ ask
@pytest.mark.parametrize(
    "target, kind, label",
    [
        ("http://cart:8080/x", Trace, "GET http://cart:8080/x"), ("cart:8080", Trace, "cart:8080 TCP"),
        ("cart:http", Trace, "cart:8080 TCP"),
        ("cart", "Resolution", "cart"), ("svc:shop/cart", Trace, "svc:shop/cart:8080 TCP"),
        ("svc:shop/cart:http", Trace, "svc:shop/cart:8080 TCP"),
        ("shop/cart:8080", Trace, ":8080 TCP"), ("node:worker-2:30080", Trace, "node:worker-2:30080 TCP"),
        ("node:worker-1", Trace, "node:worker-1:80 TCP"),
        ("10.244.0.2", Trace, "ICMP"), ("10.244.0.2:6379", Trace, ":6379 TCP"),
        ("external:203.0.113.9:443", Trace, "external:203.0.113.9:443 TCP"),
        ("kubernetes.default:443", Trace, "kubernetes.default:443 TCP"),
    ],
)  # fmt: skip
def test_ask_picks_the_question(target: str, kind: object, label: str) -> None:
    got = SHOP.ask("shop/web", target)
    assert type(got).__name__ == kind if isinstance(kind, str) else isinstance(got, kind)  # type: ignore[arg-type]
    assert label in repr(got)


SHOP = kn.example("bookshop")


def test_ask_takes_the_options_of_the_question() -> None:
    assert SHOP.ask("shop/web", "kube-dns.kube-system:53", protocol="UDP")
    assert SHOP.ask("shop/web", "cart", port=8080).question.endswith("cart:8080 TCP")
    assert SHOP.ask("shop/web", SHOP.get("svc", "shop/cart"), port="http")
    with pytest.raises(KubenetError, match=r"several ports: dns \(53/UDP\), dns-tcp"):
        SHOP.ask("shop/web", "svc:kube-system/kube-dns")
    for bad in ("", "  ", "ftp://x", "http://"):
        with pytest.raises(KubenetError):
            SHOP.ask("shop/web", bad)


def test_outcomes_show_themselves() -> None:
    found = SHOP.outcomes("shop/cart", "svc:shop/web", 80)
    assert len(found) == 2 and sum(o.probability for o in found) == 1
    assert found.to_frame().shape == (2, 5) and "1/2" in str(found) and "1/2" in found._repr_html_() and "\n" not in repr(found)
    assert all(o.trace is not None and o.trace.hops for o in found) and found.to_dict()["outcomes"][0]["probability"] == "1/2"
    (only,) = SHOP.outcomes("shop/web", "nowhere", 80)
    assert (only.probability, only.verdict, only.error) == (1, "unreachable", "EAI_NONAME")


def test_closing_is_a_trace(small: kn.Cluster) -> None:
    conn = small.open("default/client", "svc:default/server")
    assert conn.send(3000)
    done = conn.close()
    assert done and done.question.endswith(": close") and done.answered_by == conn.answered_by
    assert [h.code for h in (*done.hops, *done.reply_hops)].count("tcp.fin") == 2
    assert "closes its connection" in done.hops[0].title
    states = small.node("worker-1").conntrack()
    assert set(states[states.proto == "TCP"].state) == {"TIME_WAIT"}
    reset = small.open("default/client", "svc:default/server").close(reset=True)
    assert reset and "resets its connection" in reset.hops[0].title and not reset.reply_hops
    assert not small.open("default/client", "default/near", 81).close(), "what did not open does not close"


def test_what_a_client_leaves_happens_before_anybody_looks_or_changes_something(small: kn.Cluster) -> None:
    look = (
        lambda: small.node("worker-1").run("conntrack -L -p tcp"),
        lambda: "TIME_WAIT" * (set(small.node("worker-1").conntrack().query("proto == 'TCP'").state) == {"TIME_WAIT"}),
        lambda: small.pod("default/client").run("ss -tan").replace("TIME-WAIT", "TIME_WAIT"),
    )
    for seen in look:
        small.connect("default/client", "svc:default/server")
        assert "TIME_WAIT" in seen()
    small.connect("default/client", "svc:default/server")
    text = small.pod("default/client").run("tcpdump -ni eth0 tcp")
    assert [line.split("Flags [")[1].split("]")[0] for line in text.splitlines() if "Flags" in line] == ["S", "S.", ".", "F.", "F.", "."]
    small.connect("default/client", "svc:default/server")
    clock = small.copy().now
    assert small.now == clock
    small.connect("default/client", "svc:default/server")
    small.delete("svc", "default/server")
    assert "ESTABLISHED" not in small.node("worker-1").run("conntrack -L -p tcp"), "it closed on the network that it was opened on"
