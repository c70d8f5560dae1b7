"""Load-balancer providers: who gets which address, which node answers for it, what a balancer's machine and kube-proxy's health server do.

Sources: metallb internal/allocator/allocator_test.go, speaker/layer2_controller_test.go; KEP-1959 (loadBalancerClass), KEP-1860 (ipMode),
KEP-1864 (allocateLoadBalancerNodePorts), KEP-1143 (excluded nodes); Kubernetes 1.34 pkg/proxy/healthcheck.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, Doc, node, pod, service

LAN, WORLD = "external:192.168.50.200", "external:203.0.113.7"


def lb(name: str, *ports: Doc, notes: dict[str, str] | None = None, app: str = "server", **spec: Any) -> Doc:
    document = service(name, {"app": app}, *ports, type="LoadBalancer", **spec)
    if notes:
        document["metadata"]["annotations"] = notes
    return document


def ips(cluster: kn.Cluster, name: str) -> list[str]:
    found: Any = cluster.get("svc", f"default/{name}")
    return [i.ip for i in found.status.load_balancer.ingress]


def load(*services: Doc, **options: Any) -> kn.Cluster:
    return kn.load([*SMALL[:3], *services], **options)


def test_without_a_provider_it_is_pending_and_its_node_port_works() -> None:
    cluster = load(lb("a"))
    assert ips(cluster, "a") == []
    port = cluster.get("svc", "default/a").spec.ports[0].node_port  # type: ignore[attr-defined]
    assert cluster.connect(LAN, "node:worker-1", port)


def test_metallb_gives_the_first_free_address_by_name_and_keeps_what_was_given() -> None:
    cluster = load(lb("b"), lb("a"), load_balancer=kn.MetalLB(["192.168.50.240-192.168.50.242"]))
    assert (ips(cluster, "a"), ips(cluster, "b")) == (["192.168.50.240"], ["192.168.50.241"])
    cluster.delete("svc", "default/a").apply([lb("c"), lb("d"), lb("e")])
    assert [ips(cluster, n) for n in "bcde"] == [["192.168.50.241"], ["192.168.50.240"], ["192.168.50.242"], []]
    assert any("no available IPs" in str(f) for f in cluster.findings)
    cluster.delete("svc", "default/c")
    assert ips(cluster, "e") == ["192.168.50.240"]


@pytest.mark.parametrize(
    ("given", "want", "said"),
    [
        ({"loadBalancerIP": "192.168.50.245"}, ["192.168.50.245"], ""),
        ({"notes": {"metallb.io/loadBalancerIPs": "192.168.50.246"}}, ["192.168.50.246"], ""),
        ({"notes": {"metallb.universe.tf/loadBalancerIPs": "192.168.50.247"}}, ["192.168.50.247"], ""),
        ({"loadBalancerIP": "10.9.9.9"}, [], "is not allowed in config"),
        ({"loadBalancerIP": "192.168.50.240"}, [], "also in use by default/a"),
        ({"notes": {"metallb.io/loadBalancerIPs": "nonsense"}}, [], 'invalid metallb.io/loadBalancerIPs: "nonsense"'),
        ({"loadBalancerIP": "192.168.50.246", "notes": {"metallb.io/loadBalancerIPs": "192.168.50.246"}}, [], "can not have both"),
        ({"loadBalancerIP": "fd00::9"}, [], 'requested loadBalancer IP(s) ["fd00::9"] does not match the ipFamily of the service'),
        ({"notes": {"metallb.io/address-pool": "silver"}}, [], 'Failed to allocate IP for "default/z": unknown pool "silver"'),
    ],
)
def test_requested_addresses(given: dict[str, Any], want: list[str], said: str) -> None:
    cluster = load(lb("a"), load_balancer="metallb")
    cluster.apply(lb("z", **given))
    assert ips(cluster, "z") == want
    assert said in " ".join(map(str, cluster.findings))


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({"key": "k", "port": 80}, {"key": "k", "port": 81}, True),
        ({"key": "k", "port": 80}, {"key": "k", "port": 80}, False),
        ({"key": "k", "port": 80}, {"key": "other", "port": 81}, False),
        ({"key": "", "port": 80}, {"key": "", "port": 81}, False),
        ({"key": "k", "port": 80, "local": True}, {"key": "k", "port": 81}, False),
        ({"key": "k", "port": 80, "local": True}, {"key": "k", "port": 81, "local": True}, True),
        ({"key": "k", "port": 80, "local": True}, {"key": "k", "port": 81, "local": True, "app": "client"}, False),
    ],
)
def test_shared_addresses(first: Doc, second: Doc, shared: bool) -> None:
    def made(name: str, want: Doc) -> Doc:
        notes = {"metallb.io/loadBalancerIPs": "192.168.50.240"} | ({"metallb.io/allow-shared-ip": want["key"]} if want["key"] else {})
        policy = {"externalTrafficPolicy": "Local"} if want.get("local") else {}
        return lb(name, {"port": want["port"], "targetPort": 8080}, notes=notes, app=want.get("app", "server"), **policy)

    cluster = load(made("a", first), made("b", second), load_balancer="metallb")
    assert ips(cluster, "a") == ["192.168.50.240"]
    assert ips(cluster, "b") == (["192.168.50.240"] if shared else [])


def test_one_node_answers_and_policy_local_chooses_among_nodes_with_endpoints() -> None:
    docs = [node(f"worker-{i}", f"192.168.50.{10 + i}", f"10.244.{i}.0/24") for i in (1, 2, 3)]
    docs += [
        pod("default/one", "worker-2", {"app": "server"}, (("http", 8080, "TCP"),)),
        lb("any"),
        lb("near", externalTrafficPolicy="Local"),
    ]
    cluster = kn.load(docs, load_balancer="metallb")
    names = {n: cluster.network().namespaces[n].announced for n in ("worker-1", "worker-2", "worker-3")}
    (any_ip,), (near_ip,) = ips(cluster, "any"), ips(cluster, "near")
    winner = min(names, key=lambda n: sha256(f"{n}#{any_ip}".encode()).digest())
    assert [n for n, found in names.items() if ("eth0", any_ip) in found] == [winner]
    assert [n for n, found in names.items() if ("eth0", near_ip) in found] == ["worker-2"]
    assert cluster.connect(LAN, near_ip).source_seen == "192.168.50.200"
    assert cluster.connect(WORLD, near_ip).source_seen == "203.0.113.7"
    cluster.set_pod("default/one", terminating=True)  # it still serves
    assert cluster.connect(LAN, near_ip)
    cluster.set_pod("default/one", serving=False)
    assert not any(cluster.network().namespaces[n].announced for n in names)
    assert cluster.flush().connect(LAN, near_ip).error == "EHOSTUNREACH"


def test_an_excluded_node_neither_answers_nor_is_a_backend() -> None:
    label = {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}
    docs = [
        node("worker-1", "192.168.50.11", "10.244.1.0/24"),
        node("worker-2", "192.168.50.12", "10.244.2.0/24", **label),
        *SMALL[:3],
        lb("a"),
    ]
    assert not kn.load(docs, load_balancer="metallb").network().namespaces["worker-2"].announced
    cloud = kn.load(docs, load_balancer="cloud")
    assert "192.168.50.12:" not in cloud.network().namespaces["balancer"].ruleset(4).save()


def test_load_balancer_class() -> None:
    docs = lb("mine", loadBalancerClass="example.com/lab"), lb("plain")
    for option, want in (
        (kn.MetalLB(load_balancer_class="example.com/lab"), (1, 0)), (kn.MetalLB(), (0, 1)),
        (kn.CloudLoadBalancer(load_balancer_class="example.com/lab"), (1, 0)), (kn.CloudLoadBalancer(), (0, 1)),
    ):  # fmt: skip
        cluster = load(*docs, load_balancer=option)
        assert (len(ips(cluster, "mine")), len(ips(cluster, "plain"))) == want


def test_a_cloud_balancer_sends_only_to_healthy_nodes_and_its_source_is_its_own() -> None:
    cluster = load(lb("any"), lb("near", externalTrafficPolicy="Local"), load_balancer="cloud")
    cluster.set_pod("default/near", ready=False)
    (near_ip,) = ips(cluster, "near")
    found = cluster.outcomes(WORLD, near_ip)
    assert [(o.answered_by, o.source_seen) for o in found] == [("default/far", "192.168.50.254")]
    number = cluster.get("svc", "default/near").spec.health_check_node_port  # type: ignore[attr-defined]
    assert [cluster.request(LAN, f"http://192.168.50.{h}:{number}/").answer.status for h in (11, 12)] == [503, 200]
    assert len(cluster.outcomes(WORLD, ips(cluster, "any")[0])) == 2  # by either node, to the endpoint that is left
    cluster.set_pod("default/far", ready=False)
    assert cluster.connect(WORLD, near_ip).verdict == "timeout"


def test_ip_mode_proxy_sends_clients_inside_by_the_balancer() -> None:
    cluster = load(lb("a", externalTrafficPolicy="Local"), load_balancer=kn.CloudLoadBalancer(ip_mode="Proxy"))
    (ip,) = ips(cluster, "a")
    assert {o.source_seen for o in cluster.outcomes("default/client", ip)} == {"192.168.50.254"}
    vip = cluster.copy(load_balancer="cloud")
    assert ips(vip, "a") == [ip]
    assert {o.source_seen for o in vip.outcomes("default/client", ip)} == {vip.get("pod", "default/client").status.pod_ip}


def test_a_cloud_balancer_needs_node_ports_and_metallb_does_not() -> None:
    bare = lb("a", allocateLoadBalancerNodePorts=False)
    for option, verdict in (("cloud", "timeout"), ("metallb", "delivered")):
        cluster = load(bare, load_balancer=option)
        assert cluster.get("svc", "default/a").spec.ports[0].node_port == 0  # type: ignore[attr-defined]
        assert cluster.connect(WORLD, ips(cluster, "a")[0]).verdict == verdict


def test_source_ranges_bind_the_balancers_address_and_not_the_node_port() -> None:
    cluster = load(lb("a", loadBalancerSourceRanges=["203.0.113.0/24"]), load_balancer="metallb")
    (ip,) = ips(cluster, "a")
    port = cluster.get("svc", "default/a").spec.ports[0].node_port  # type: ignore[attr-defined]
    assert cluster.connect(WORLD, ip)
    assert cluster.connect(LAN, ip).verdict == "timeout"
    assert cluster.connect("default/client", ip).verdict == "timeout"
    assert cluster.connect(LAN, "node:worker-1", port)


def test_dual_stack() -> None:
    cluster = load(lb("a", ipFamilyPolicy="RequireDualStack"), load_balancer="metallb", ip_families=("IPv4", "IPv6"))
    four, six = ips(cluster, "a")
    assert four == "192.168.50.240"
    assert cluster.connect(LAN, four)
    assert cluster.connect("external:2001:db8::7", six)


def test_the_health_server_speaks_as_kube_proxys() -> None:
    cluster = load(lb("a", externalTrafficPolicy="Local"))
    number = cluster.get("svc", "default/a").spec.health_check_node_port  # type: ignore[attr-defined]
    answer = cluster.request(LAN, f"http://192.168.50.11:{number}/healthz").answer
    want = '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "a"\n\t},\n\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}'
    assert (answer.status, answer.body.decode()) == (200, want)
    assert answer.header("X-Load-Balancing-Endpoint-Weight") == "1"
    for mode, status in (("iptables", 200), ("nftables", None)):  # by default nftables mode serves on the node IP alone
        other = cluster.copy(proxy=mode)
        asked = other.request("default/client", f"http://10.244.0.1:{number}/")
        assert (asked.answer.status if asked.answer else None) == status
        assert other.request(LAN, f"http://192.168.50.11:{number}/").answer.status == 200
    cluster.set_pod("default/near", terminating=True)  # traffic may still go to it, but it does not count
    answer = cluster.request(LAN, f"http://192.168.50.11:{number}/").answer
    assert (answer.status, b'"localEndpoints": 0' in answer.body) == (503, True)


@pytest.mark.parametrize(("addresses", "answers"), [((), True), (("192.168.50.0/24",), True), (("10.9.0.0/16",), False)])
def test_the_health_server_listens_where_node_ports_are_served(addresses: tuple[str, ...], answers: bool) -> None:
    """service_health.go, newServiceHealthServer: on the addresses of nodePortAddresses, which may be none."""
    cluster = load(lb("a", externalTrafficPolicy="Local"), proxy=kn.KubeProxy(node_port_addresses=addresses))
    number = cluster.get("svc", "default/a").spec.health_check_node_port  # type: ignore[attr-defined]
    assert cluster.connect(LAN, "node:worker-1", number).verdict == ("delivered" if answers else "refused")


@pytest.mark.parametrize("value", [3, "elb", kn.KubeProxy()])
def test_what_is_no_provider(value: Any) -> None:
    with pytest.raises(kn.KubenetError, match="load_balancer: found"):
        load(load_balancer=value)


@pytest.mark.parametrize(
    "make", [lambda: kn.MetalLB("10.0.0.9-10.0.0.1"), lambda: kn.MetalLB(["x"]), lambda: kn.CloudLoadBalancer("10.0.0.1/8")]
)
def test_what_is_no_pool(make: Any) -> None:
    with pytest.raises(kn.KubenetError, match="pool: found"):
        make()


def test_bad_ip_mode() -> None:
    with pytest.raises(kn.KubenetError, match="ip_mode"):
        kn.CloudLoadBalancer(ip_mode="proxy")


def test_kube_proxys_own_health() -> None:
    """pkg/proxy/healthcheck/healthcheck_test.go, TestHealthzServer and TestLivezServer."""
    docs = [
        node("worker-1", "192.168.50.11", "10.244.1.0/24"),
        node("worker-2", "192.168.50.12", "10.244.2.0/24"),
        node("worker-3", "192.168.50.13", "10.244.3.0/24"),
    ]
    docs[1]["spec"]["taints"] = [{"key": "other", "effect": "NoSchedule"}]
    docs[2]["spec"]["taints"] = [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]
    cluster = kn.load([*docs, *SMALL[:3]])
    cluster.tick(90)
    for host, path, status, told in (
        (11, "/healthz", 200, "true"), (12, "/healthz", 200, "true"), (13, "/healthz", 503, "false"), (13, "/livez", 200, None),
    ):  # fmt: skip
        answer = cluster.request(LAN, f"http://192.168.50.{host}:10256{path}").answer
        now = "2026-01-01T00:01:30Z"
        node_says = f'"nodeEligible":{told},' if told else ""
        one = f'{{"lastUpdated":"{now}","healthy":true}}'
        rules_say = f'"healthy":true,"status":{{"IPv4":{one},"IPv6":{one}}}'
        body = f'{{"lastUpdated":"{now}","currentTime":"{now}",{node_says}{rules_say}}}'
        assert (answer.status, answer.body.decode()) == (status, body)
        assert answer.header("Content-Type") == "application/json"
    assert cluster.request(LAN, "http://192.168.50.11:10256/metrics").answer.status == 404


def test_each_family_has_a_health_server_of_its_own() -> None:
    """pkg/proxy/iptables/proxier.go: one a family; with node ports on the node IPs each has its own address."""
    nodes = [node("worker-1", "192.168.50.11", "10.244.1.0/24")]
    nodes[0]["status"]["addresses"].append({"type": "InternalIP", "address": "fd50::11"})
    nodes[0]["spec"]["podCIDRs"] = ["10.244.1.0/24", "fd44:1::/64"]
    for mode, families, heard in (
        ("iptables", ["IPv4"], [1, 1]), ("iptables", ["IPv6"], [1, 1]), ("iptables", ["IPv4", "IPv6"], [1, 1]),
        ("nftables", ["IPv4"], [1, None]), ("nftables", ["IPv6"], [None, 1]), ("nftables", ["IPv4", "IPv6"], [1, 1]),
    ):  # fmt: skip
        policy = "RequireDualStack" if len(families) == 2 else "SingleStack"
        doc = lb("a", app="one", externalTrafficPolicy="Local", healthCheckNodePort=32100, ipFamilies=families, ipFamilyPolicy=policy)
        cluster = kn.load(
            [*nodes, pod("one", "worker-1", {"app": "one"}), doc], ip_families=("IPv4", "IPv6"), proxy=mode, dns="none"
        )
        answers = [cluster.request(f"external:{src}", f"http://{dst}:32100/").answer for src, dst in
                   (("203.0.113.7", "192.168.50.11"), ("2001:db8::7", "[fd50::11]"))]  # fmt: skip
        assert [a and int(a.header("X-Load-Balancing-Endpoint-Weight")) for a in answers] == heard, (mode, families)


def test_which_mode_a_node_says_it_runs() -> None:
    """cmd/kube-proxy/app/server.go, serveMetrics: on the loopback address only."""
    for mode in ("iptables", "nftables"):
        worker = load(proxy=mode).node("worker-1")
        assert worker.run("curl -s http://localhost:10249/proxyMode") == mode
        assert worker.run("curl -s http://127.0.0.1:10249/healthz") == "ok"
        assert "Failed to connect" in worker.run("curl -sS http://192.168.50.11:10249/proxyMode")


@pytest.mark.parametrize(
    ("spec", "notes", "let_in"),
    [
        ({}, {}, {"203.0.113.7", "198.18.0.9", "203.0.113.130"}), ({"loadBalancerSourceRanges": ["203.0.113.0/25"]}, {}, {"203.0.113.7"}),
        ({"loadBalancerSourceRanges": ["203.0.113.0/25", " 198.18.0.0/15 "]}, {}, {"203.0.113.7", "198.18.0.9"}),
        ({"loadBalancerSourceRanges": ["203.0.113.0/25", "0.0.0.0/0"]}, {}, {"203.0.113.7", "198.18.0.9", "203.0.113.130"}),
        ({}, {"service.beta.kubernetes.io/load-balancer-source-ranges": "198.18.0.0/15"}, {"198.18.0.9"}),
        ({"loadBalancerSourceRanges": ["203.0.113.0/25"]},
         {"service.beta.kubernetes.io/load-balancer-source-ranges": "198.18.0.0/15"}, {"203.0.113.7"}),
    ],
)  # fmt: skip
def test_a_cloud_balancer_lets_the_source_ranges_in(spec: Doc, notes: dict[str, str], let_in: set[str]) -> None:
    """cloud-provider/service/helpers/helper_test.go (TestGetLoadBalancerSourceRanges); e2e loadbalancer.go. Node ports stay open."""
    cluster = load(lb("a", notes=notes, **spec), load_balancer="cloud")
    (address,) = ips(cluster, "a")
    clients = ("203.0.113.7", "198.18.0.9", "203.0.113.130")
    assert {c for c in clients if cluster.outcomes(f"external:{c}", address)[0].verdict == "delivered"} == let_in
    port = cluster.get("svc", "default/a").spec.ports[0].node_port  # type: ignore[attr-defined]
    assert all(cluster.connect(f"external:{c}", "192.168.50.11", port) for c in clients)
    refused = next((c for c in clients if c not in let_in), None)
    assert refused is None or cluster.connect(f"external:{refused}", address).verdict == "timeout"


def test_a_cloud_balancer_finds_out_by_asking() -> None:
    """What stands between the balancer and a health check decides too: a rule on the node, a packet filter of the wire, a tainted node."""
    cluster = load(lb("any"), lb("near", externalTrafficPolicy="Local"), load_balancer="cloud")
    (any_ip,), (near_ip,) = ips(cluster, "any"), ips(cluster, "near")
    check = cluster.get("svc", "default/near").spec.health_check_node_port  # type: ignore[attr-defined]

    def by(address: str) -> set[str]:
        """The nodes to which the balancer sends."""
        text = cluster.network().namespaces["balancer"].ruleset(4).save()
        return {word.partition(":")[0] for line in text.splitlines() if f"-d {address}/32" in line for word in line.split()[-1:]} - {"DROP"}

    both = {"192.168.50.11", "192.168.50.12"}
    assert (by(any_ip), by(near_ip)) == (both, both)
    cluster.node("worker-1").run(f"iptables -I INPUT -p tcp --dport {check} -j DROP")
    assert (by(any_ip), by(near_ip)) == (both, {"192.168.50.12"})
    assert {o.answered_by for o in cluster.outcomes(WORLD, near_ip)} == {"default/far"}
    cluster.underlay.filter("worker-2", "deny tcp 10256")
    assert (by(any_ip), by(near_ip)) == ({"192.168.50.11"}, {"192.168.50.12"})
    cluster.resync()
    assert (by(any_ip), by(near_ip)) == (both, both)
    leaving = node("worker-2", "192.168.50.12", "10.244.1.0/24")
    leaving["spec"]["taints"] = [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]
    cluster.apply(leaving)
    assert (by(any_ip), by(near_ip)) == ({"192.168.50.11"}, both)


def test_what_an_update_makes_useless_is_dropped() -> None:
    """Kubernetes 1.34, pkg/registry/core/service/strategy.go, dropTypeDependentFields: if the update does not set it itself."""
    lab = kn.example("bookshop", load_balancer="metallb")
    selector, ports = {"app.kubernetes.io/name": "web"}, [{"port": 80}]
    seen = []
    for spec in (
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"},
        {"type": "ClusterIP", "externalIPs": ["198.51.100.9"]}, {"type": "ClusterIP"},
    ):  # fmt: skip
        meta = {"name": "x", "namespace": "shop"}
        lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector, "ports": ports, **spec}})
        now: Any = lab.get("Service", "shop/x")
        seen.append((bool(now.spec.health_check_node_port), now.spec.external_traffic_policy, bool(now.status.load_balancer.ingress)))
    assert seen == [(True, "Local", True), (False, "Cluster", True), (False, "Cluster", False), (False, "", False)]
