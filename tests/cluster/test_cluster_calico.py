"""A cluster on Calico without overlay: addresses, routes, sources, policies that nobody enforces here, dumps, copies."""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab import KubenetError, NotModelled
from tests.cluster.cluster_fixtures import SMALL, deployment, everything, namespace, node, observed, pod, programmed, running, service

Doc = dict[str, Any]
CLIENT, NEAR, FAR = "10.244.226.64", "10.244.226.65", "10.244.133.192"
ONE, TWO = "192.168.50.11", "192.168.50.12"


@pytest.fixture
def small() -> kn.Cluster:
    return kn.load(SMALL, cni="calico")


def bird(cluster: kn.Cluster, name: str = "worker-1") -> list[str]:
    return [line.strip() for line in cluster.node(name).run("ip route").splitlines() if "proto bird" in line]


def ips(cluster: kn.Cluster) -> dict[str, tuple[str, ...]]:
    return {p.key: p.ips for p in cluster.objects("pod") if not p.spec.host_network}  # type: ignore[attr-defined]


def crd(kind: str, name: str, spec: Doc, group: str = "crd.projectcalico.org/v1") -> Doc:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "uid": f"{kind}-{name}"}, "spec": spec}


# ---------------------------------------------------------------------------------------------------------- programming
def test_each_node_takes_the_block_that_its_name_draws(small: kn.Cluster) -> None:
    assert [ips(small)[f"default/{n}"] for n in ("client", "near", "far")] == [(CLIENT,), (NEAR,), (FAR,)]
    assert bird(small) == ["10.244.133.192/26 via 192.168.50.12 dev eth0 proto bird", "blackhole 10.244.226.64/26 proto bird"]
    assert small.pod_network == "calico" and not small.findings
    kinds = {k.kind for k in small.network().namespaces["worker-1"].links.values()}
    assert kinds == {"loopback", "physical", "veth"}, "no bridge, no tunnel"


def test_every_hop_between_pods_is_routed_even_on_one_node(small: kn.Cluster) -> None:
    near = small.connect("default/client", "default/near", 8080)
    assert [h.code for h in near.hops] == ["socket.send", "route.forward", "socket.deliver"] and near.source_seen == CLIENT
    assert not small.connect("default/client", NEAR, 8080, ttl=1) and small.connect("default/client", NEAR, 8080, ttl=2)
    said = small.pod("default/client").run(f"traceroute -n {NEAR}")
    assert said.splitlines()[1].split()[1] == ONE, "the cali interface has no address: the node's answers"
    far = small.pod("default/client").run(f"traceroute -n {FAR}")
    assert [line.split()[1] for line in far.splitlines()[1:]] == [ONE, TWO, FAR]


def test_the_full_mtu_is_there(small: kn.Cluster) -> None:
    assert small.connect("default/client", FAR, protocol="ICMP", size=1472)
    assert small.connect("default/client", FAR, protocol="ICMP", size=1473).error == "EMSGSIZE"
    jumbo = kn.load(SMALL, cni="calico", underlay={"mtu": 9000})
    assert jumbo.pod("default/client").run("ip link show eth0").split("mtu ")[1].split()[0] == "9000"
    assert kn.load(SMALL, cni=kn.Calico(mtu=1400)).connect("default/client", FAR, protocol="ICMP", size=1400).error == "EMSGSIZE"


def test_sources_that_are_seen(small: kn.Cluster) -> None:
    """natOutgoing hides pods from everything that is in no pool, nodes too; nodes are seen by the address of eth0."""
    assert small.connect("node:worker-1", "default/near", 8080).source_seen == ONE
    assert small.connect("node:worker-1", "default/far", 8080).source_seen == ONE
    assert small.connect("default/client", "default/far", 8080).source_seen == CLIENT
    for outside, port in (("external:203.0.113.9", 443), ("node:worker-2", 10250), ("external:192.168.50.100", 80)):
        assert small.connect("default/client", outside, port).source_seen == ONE
    own = small.connect("default/client", "node:worker-1", 10250)
    assert own.source_seen == CLIENT, "nothing is sent on, so nothing is masqueraded"
    plain = kn.load(SMALL, cni=kn.Calico(nat_outgoing=False))
    assert plain.connect("default/client", "node:worker-2", 10250).source_seen == CLIENT
    assert plain.connect("default/client", "external:203.0.113.9", 443).verdict == "timeout", "the world has no way back to a pod"


def test_a_second_pool_is_not_outside() -> None:
    cluster = kn.load(SMALL, cni=kn.Calico(["10.244.0.0/16", {"cidr": "203.0.113.0/24", "name": "z", "disabled": True}]))
    assert cluster.connect("default/client", "external:203.0.113.9", 443).source_seen != ONE, "a disabled pool exempts its addresses"


def test_services_see_what_they_see_on_a_real_routed_network() -> None:
    """NodePort with policy Cluster: the node's address in both cases; a pod that meets itself sees the node."""
    docs = [*SMALL[:3], service("server", {"app": "server"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort"),
            service("me", {"app": "client"}, {"port": 80, "targetPort": 8080})]  # fmt: skip
    cluster = kn.load(docs, cni="calico", listening={"default/client": [8080]})
    seen = {o.trace.answered_by: o.trace.source_seen for o in cluster.outcomes("external:192.168.50.100", "node:worker-1", 30080)}
    assert seen == {"default/near": ONE, "default/far": ONE}
    assert cluster.connect("default/client", "svc:default/me", 80).source_seen == ONE


def test_an_absent_address_in_a_block_is_swallowed_with_words(small: kn.Cluster) -> None:
    trace = small.connect("default/client", "10.244.226.99", 80)
    assert trace.verdict == "timeout" and trace.hops[-1].code == "route.blackhole"
    assert "BIRD keeps such a route for each block" in trace.explain() and "10.244.226.64/26" in trace.explain()
    assert small.connect("node:worker-1", "10.244.226.99", 80).error == "EINVAL"


def test_proxy_arp_needs_a_route_and_says_so(small: kn.Cluster) -> None:
    node_ = small.node("worker-1")
    assert any(d.code == "neigh.proxied" for h in small.connect("default/client", NEAR, 8080).hops for d in h.details)
    small.flush()
    node_.run("ip route del default")
    trace = small.connect("default/client", NEAR, 8080)
    assert trace.error == "EHOSTUNREACH"
    assert "has no route to 169.254.1.1: a proxy answers only for what it could forward" in trace.explain()
    node_.run("ip route add default via 192.168.50.1")
    assert small.flush().connect("default/client", NEAR, 8080)


def test_masquerading_says_why(small: kn.Cluster) -> None:
    said = small.connect("default/client", "external:203.0.113.9", 443).explain()
    assert "belongs to an IP pool with natOutgoing, and 203.0.113.9 to no pool" in said and "DaemonSet kube-system/calico-node" in said


def test_host_ports(small: kn.Cluster) -> None:
    doc = pod("front", "worker-1", ports=(("http", 8080, "TCP"),))
    doc["spec"]["containers"][0]["ports"][0]["hostPort"] = 8081
    small.apply(doc)
    assert small.connect("external:192.168.50.100", "node:worker-1", 8081).answered_by == "default/front"
    rules = small.node("worker-1").iptables_save()
    assert rules.index("-A POSTROUTING -m comment --comment \"cali:O3lYWMrLQYEMJtB5\"") < rules.index("-j CNI-HOSTPORT-MASQ")


def test_dual_stack() -> None:
    cluster = kn.load(SMALL, cni="calico", ip_families=("IPv4", "IPv6"))
    far = cluster.pod("default/far").object.ips
    assert [":" in ip for ip in far] == [False, True]
    for ip in far:
        assert cluster.connect("default/client", ip, 8080).answered_by == "default/far"
    assert cluster.connect("default/client", far[1], 8080).source_seen == cluster.pod("default/client").object.ips[1]
    six = kn.load(SMALL, cni="calico", ip_families=("IPv6",))
    assert ":" in six.pod("default/far").ip and six.connect("default/client", "default/far", 8080)
    first6 = kn.load(SMALL, cni="calico", ip_families=("IPv6", "IPv4"))
    assert [":" in ip for ip in first6.pod("default/far").object.ips] == [True, False], "the primary family first, whatever IPAM gave first"


# ------------------------------------------------------------------------------------------------------------ addresses
def test_a_pod_that_comes_again_gets_another_address(small: kn.Cluster) -> None:
    assert small.delete("pod", "default/near").apply(SMALL[1]) and ips(small)["default/near"] == ("10.244.226.67",)
    assert small.connect("default/client", "default/near", 8080)


def test_blocks_fill_and_a_second_one_is_claimed() -> None:
    cluster = kn.load([deployment("web", 9)], nodes=1, cni=kn.Calico([{"cidr": "10.244.0.0/24", "block_size": 29}]))
    assert len([b for b in bird(cluster) if b.startswith("blackhole")]) == 2
    assert len({ip for (ip, *_) in ips(cluster).values()}) == len(ips(cluster)) == 11


def test_a_borrowed_address_is_a_route_of_its_own() -> None:
    options = kn.Calico([{"cidr": "10.244.0.0/28", "block_size": 29}])
    docs = [pod(f"a{i}", "worker-1") for i in range(4)] + [pod(f"b{i}", "worker-2", ports=(("h", 8080, "TCP"),)) for i in range(10)]
    cluster = kn.load(docs, cni=options, dns="none", pod_cidr="10.244.0.0/16")
    blocks = {n: next(r.split()[1] for r in bird(cluster, n) if r.startswith("blackhole")) for n in ("worker-1", "worker-2")}
    borrowed = [r for r in bird(cluster) if "/" not in r.split()[0] and r.startswith("10.")]
    assert len(borrowed) == 2 and all(r.endswith(f"via {TWO} dev eth0 proto bird") for r in borrowed)
    guest = next(k for k, v in ips(cluster).items() if v[0] == borrowed[0].split()[0])
    assert guest.startswith("default/b") and blocks["worker-1"] != blocks["worker-2"]
    assert cluster.connect("default/a0", guest, 8080).answered_by == guest, "the longer prefix wins over the blackhole of the block"
    assert cluster.connect(f"default/{'b0' if guest != 'default/b0' else 'b1'}", guest, 8080)
    strict = kn.load(docs, cni=kn.Calico(options.ip_pools, strict_affinity=True), dns="none", pod_cidr="10.244.0.0/16")
    assert [f.object for f in strict.findings if "strict affinity" in str(f)] == ["Pod default/b8", "Pod default/b9"]


def test_a_released_block_can_be_taken_after_a_minute() -> None:
    options = kn.Calico([{"cidr": "10.244.0.0/29", "block_size": 29}], strict_affinity=True)
    cluster = kn.load([pod("a", "worker-1"), pod("b", "worker-2")], cni=options, dns="none", pod_cidr="10.244.0.0/16")
    assert not ips(cluster)["default/b"]
    cluster.delete("pod", "default/a")
    assert not ips(cluster)["default/b"]
    cluster.tick(61).apply(pod("c", "worker-2"))
    assert ips(cluster)["default/b"] == ("10.244.0.0",) and ips(cluster)["default/c"] == ("10.244.0.1",)


def test_annotations_of_pods() -> None:
    pools = kn.Calico([{"cidr": "10.244.0.0/17", "name": "a"}, {"cidr": "10.244.128.0/17", "name": "b"}])
    one, two, three = pod("one", "worker-1"), pod("two", "worker-1"), pod("three", "worker-1")
    one["metadata"]["annotations"] = {"cni.projectcalico.org/ipv4pools": '["b"]'}
    two["metadata"]["annotations"] = {"cni.projectcalico.org/ipAddrs": '["10.244.7.7"]'}
    three["metadata"]["annotations"] = {"cni.projectcalico.org/ipAddrs": "10.244.7.8"}
    cluster = kn.load([one, two, three], cni=pools, pod_cidr="10.244.0.0/16")
    assert ips(cluster)["default/one"][0].startswith("10.244.") and int(ips(cluster)["default/one"][0].split(".")[2]) >= 128
    assert ips(cluster)["default/two"] == ("10.244.7.7",) and not ips(cluster)["default/three"]
    assert any("expected a JSON list of strings" in str(f) for f in cluster.findings)


# -------------------------------------------------------------------------------------------------------------- wires
def test_across_segments_the_router_must_know_the_pods() -> None:
    """BIRD resolves the other node through the default route; the router in between has no BGP session and no route."""
    cluster = kn.load(SMALL, cni="calico", underlay={"segments": {"a": {"nodes": ["worker-1"]}, "b": {"nodes": ["worker-2"]}}})
    router = cluster.plan.segments[0].gateway(4)
    assert bird(cluster)[0] == f"10.244.133.192/26 via {router} dev eth0 proto bird"
    trace = cluster.connect("default/client", "default/far", 8080)
    assert trace.verdict == "timeout" and trace.hops[-1].host not in ("worker-1", "worker-2")
    assert cluster.connect("default/client", "default/near", 8080)


# ------------------------------------------------------------------------------------------------------------ policies
DENY: Doc = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "default"},
    "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]},
}  # fmt: skip


def test_policies_that_felix_would_enforce_are_never_passed_over_in_silence(small: kn.Cluster) -> None:
    assert small.engine == "calico" and small.connect("default/client", "default/near", 8080)
    nobody = {**DENY, "spec": {**DENY["spec"], "podSelector": {"matchLabels": {"app": "nobody"}}}}
    assert small.apply(nobody).connect("default/client", "default/near", 8080), "it selects no pod"
    small.apply(DENY)
    with pytest.raises(NotModelled, match="calico, which judges the ingress of Pod default/near .policy default/deny.*policy=None"):
        small.connect("default/client", "default/near", 8080)
    assert small.delete("networkpolicy", "default/deny").connect("default/client", "default/near", 8080)
    off = kn.load([*SMALL, DENY], cni="calico", policy=None)
    trace = off.connect("default/client", "default/near", 8080)
    assert trace and "calico without its policy engine (the option policy=None) enforces no policy" in trace.explain()
    on = kn.load([*SMALL, DENY], cni="calico", policy="kube-router")
    assert on.connect("default/client", "default/near", 8080).verdict == "refused" or not on.connect("default/client", "default/near", 8080)


def test_who_no_policy_isolates_is_walked(small: kn.Cluster) -> None:
    """Felix judges at a pod's cali interface, in the direction that a policy isolates; what a node itself sends is not judged."""
    small.apply(DENY)
    begins = small.connect("default/near", "default/client", 8080)
    assert begins.verdict == "refused", "isolated for ingress only: it may begin, and the client's reset comes back"
    assert small.connect("node:worker-1", "default/near", 8080), "its own node"
    for src, dst in (("node:worker-2", "default/near"), ("default/client", "default/far"), ("default/near", "default/far")):
        with pytest.raises(NotModelled, match="judges the ingress of Pod default/(near|far)"):
            small.connect(src, dst, 8080)
    away = {**DENY, "metadata": {"name": "away", "namespace": "default"}}
    away["spec"] = {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"]}
    small.delete("networkpolicy", "default/deny").apply(away)
    assert small.connect("default/near", "default/client", 8080).verdict == "refused" and small.connect("default/near", "default/far", 8080)
    for dst in ("default/far", "external:203.0.113.9", "node:worker-1", "svc:default/server"):
        with pytest.raises(NotModelled, match=r"judges the egress of Pod default/client \(policy default/away\)"):
            small.connect("default/client", dst, 80)
    rules = small.node("worker-1").run("iptables-save")
    assert "cali-fw" not in rules and small.delete("networkpolicy", "default/away").connect("default/client", "default/far", 8080)


def test_services_are_judged_where_no_policy_stands(small: kn.Cluster) -> None:
    """By ClusterIP, name and node port, with every end: a policy for other pods changes nothing of it."""
    other = {**DENY, "spec": {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Ingress"]}}
    port = {"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}
    with_port = service("server", {"app": "server"}, port, type="NodePort")
    cluster = kn.load([*SMALL[:3], with_port, other], cni="calico")
    vip = next(s.spec.cluster_ip for s in cluster.objects("service") if s.name == "server")  # type: ignore[attr-defined]
    for dst, number in (("svc:default/server", 80), (vip, 80), ("server", 80), ("node:worker-2", 30080)):
        assert cluster.connect("default/client", dst, number).answered_by in ("default/near", "default/far")
        assert sorted(o.answered_by for o in cluster.outcomes("default/client", dst, number)) == ["default/far", "default/near"]
    assert cluster.connect("external:203.0.113.9", "node:worker-1", 30080)
    with pytest.raises(NotModelled, match="ingress of Pod default/client"):
        cluster.connect("default/far", "default/client", 8080)


def test_what_stands_in_the_way_is_told_at_once(small: kn.Cluster) -> None:
    note = next(a for a in small.assumptions if a.what == "policy engine")
    assert (note.value, note.how) == ("calico, which is not modelled", "detected") and "policy=None" in note.why
    assert str(note) in str(small.summary()) and "NetworkPolicy enforced by: calico" in str(small.summary())
    for policy in (None, "kube-router"):
        assert not [a for a in kn.load(SMALL, cni="calico", policy=policy).assumptions if "not modelled" in a.value]


def test_the_api_text_is_asked_where_the_engine_has_no_model(small: kn.Cluster) -> None:
    small.apply(DENY)
    decision = small.policy.allowed("default/client", "default/near", 8080, engine="spec")
    assert not decision and decision.engine == "spec" and decision.enforced_by == "calico"
    assert small.policy.allowed("default/near", "default/client", 8080, engine="spec")
    with pytest.raises(NotModelled, match='policy engine calico; engine="spec" asks the API text'):
        small.policy.allowed("default/client", "default/near", 8080)
    with pytest.raises(NotModelled, match="policy engine calico"):
        small.policy.allowed("default/client", "default/near", 8080, engine="calico")


def test_policies_of_calicos_own_kinds_count_too(small: kn.Cluster) -> None:
    for kind, group in (("GlobalNetworkPolicy", "crd.projectcalico.org/v1"), ("NetworkPolicy", "projectcalico.org/v3")):
        document = crd(kind, "own", {"selector": "all()"}, group)
        if kind == "NetworkPolicy":
            document["metadata"]["namespace"] = "default"
        with pytest.raises(NotModelled, match="policy engine calico"):
            kn.load([*SMALL, document], cni="calico").connect("default/client", "default/near", 8080)


# --------------------------------------------------------------------------------------------------------------- dumps
AGENT = observed({
    "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
    "spec": {"selector": {"matchLabels": {"k8s-app": "calico-node"}}, "template": {
        "metadata": {"labels": {"k8s-app": "calico-node"}},
        "spec": {"hostNetwork": True, "containers": [{"name": "calico-node", "image": "docker.io/calico/node:v3.30.0"}]}}},
})  # fmt: skip
POOL: Doc = {
    "cidr": "10.244.0.0/16", "blockSize": 26, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": True, "nodeSelector": "all()",
}  # fmt: skip
PLACED = {
    "a": ("worker-1", "10.244.50.1"), "b": ("worker-1", "10.244.50.2"), "c": ("worker-2", "10.244.50.3"), "d": ("worker-2", "10.244.60.1"),
}  # fmt: skip


def dump(*more: Doc, pool: Doc | None = None) -> list[Doc]:
    """Two nodes; two pods of one block on worker-1, a third of it on worker-2, one more in a block of its own."""
    nodes = [observed(node(f"worker-{i}", f"192.168.50.{10 + i}", f"10.244.{i}.0/24")) for i in (1, 2)]
    pods = [running(pod(k, n, ports=(("h", 8080, "TCP"),)), ip, f"192.168.50.1{n[-1]}") for k, (n, ip) in PLACED.items()]
    pools = [] if pool == {} else [crd("IPPool", "default-ipv4-ippool", {**POOL, **(pool or {})})]
    return [AGENT, *nodes, *pods, *pools, *more]


def test_a_dump_keeps_its_addresses_and_its_blocks_are_read_off_them() -> None:
    cluster = kn.load(dump(), dns="none")
    assert cluster.pod_network == "calico" and any(a.what == "pod network plugin" and a.how == "detected" for a in cluster.assumptions)
    assert ips(cluster)["default/c"] == ("10.244.50.3",)
    assert bird(cluster) == [
        "blackhole 10.244.50.0/26 proto bird", f"10.244.50.3 via {TWO} dev eth0 proto bird",
        f"10.244.60.0/26 via {TWO} dev eth0 proto bird",
    ]  # fmt: skip
    for src in "abcd":
        for dst in "abcd":
            assert cluster.connect(f"default/{src}", f"default/{dst}", 8080).answered_by == f"default/{dst}"
    cluster.apply(pod("e", "worker-1"))
    assert ips(cluster)["default/e"] == ("10.244.50.0",), "the next address of the node's own block"


def test_blocks_and_affinities_of_a_dump_count_more_than_what_addresses_suggest() -> None:
    block = {
        "cidr": "10.244.50.0/26", "affinity": "host:worker-2", "allocations": [None, 0, 1, 2, *[None] * 60],
        "attributes": [{"handle_id": f"k8s-pod-network.{i}", "secondary": {}} for i in range(3)],
        "unallocated": [9, 8, *range(10, 64), *range(4, 8), 0],
        "strictAffinity": False, "deleted": False,
    }  # fmt: skip
    affinity = {"cidr": "10.244.50.0/26", "node": "worker-2", "state": "confirmed", "deleted": "false"}
    more = (crd("IPAMBlock", "10-244-50-0-26", block), crd("BlockAffinity", "worker-2-10-244-50-0-26", affinity))
    cluster = kn.load(dump(*more), dns="none")
    assert f"10.244.50.0/26 via {TWO} dev eth0 proto bird" in bird(cluster)
    assert [r for r in bird(cluster, "worker-2") if ONE in r] == [f"10.244.50.{i} via {ONE} dev eth0 proto bird" for i in (1, 2)]
    cluster.apply([pod("e", "worker-2"), pod("f", "worker-2")])
    assert [ips(cluster)[f"default/{k}"] for k in "ef"] == [("10.244.50.9",), ("10.244.50.8",)], "in the order of the block's own queue"
    cluster.delete("pod", "default/a").apply(pod("g", "worker-2"))
    assert cluster.connect("default/g", "default/b", 8080)


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ({"ipipMode": "Always"}, "IPIP Always"), ({"vxlanMode": "CrossSubnet"}, "VXLAN CrossSubnet"), ({}, "no IPPool among the objects"),
        ({"nodeSelector": "zone == 'a'"}, "nodeSelector zone == 'a'"), ({"blockSize": 7}, "block_size: found 7"),
    ],
)  # fmt: skip
def test_a_dump_whose_pods_are_not_routed_without_overlay_loads_and_is_not_walked(pool: Doc, why: str) -> None:
    cluster = kn.load(dump(pool=pool or {}))
    assert ips(cluster)["default/a"] == ("10.244.50.1",)
    with pytest.raises(NotModelled, match="pod network: calico") as error:
        cluster.connect("default/a", "default/b", 8080)
    assert why in error.value.reason
    assert kn.load(dump(pool=pool or {}), cni="calico").connect("default/a", "default/d", 8080), "said by an option, it is what is walked"


def test_configuration_of_a_dump() -> None:
    config = crd("IPAMConfig", "default", {"strictAffinity": True, "maxBlocksPerHost": 1, "autoAllocateBlocks": True})
    reserved = crd("IPReservation", "low", {"reservedCIDRs": ["10.244.60.0/29"]}, "projectcalico.org/v3")
    cluster = kn.load(dump(config, reserved), dns="none").apply(pod("e", "worker-2"))
    assert ips(cluster)["default/e"] == ("10.244.60.8",)


def test_an_address_of_no_pool_is_known_to_its_own_node_only() -> None:
    stray = running(pod("s", "worker-1", ports=(("h", 8080, "TCP"),)), "172.30.0.9", ONE)
    cluster = kn.load(dump(stray))
    assert any("172.30.0.9 is in no IP pool" in str(f) for f in cluster.findings)
    assert cluster.connect("default/a", "172.30.0.9", 8080) and not cluster.connect("default/d", "172.30.0.9", 8080)


def test_a_broken_block_of_a_dump_is_an_error_that_names_it() -> None:
    with pytest.raises(KubenetError, match="IPAMBlock 10.244.50.0/26"):
        kn.load(dump(crd("IPAMBlock", "x", {"cidr": "10.244.50.0/26", "allocations": [5], "attributes": []})))


# -------------------------------------------------------------------------------------------------------------- copies
def test_a_copy_from_flannel_keeps_names_and_addresses_and_back_again() -> None:
    flannel = kn.load(SMALL)
    calico = flannel.copy(cni="calico")
    assert ips(calico) == ips(flannel) and bird(calico)[0] == "blackhole 10.244.0.0/26 proto bird"
    assert calico.connect("default/client", "default/far", 8080).source_seen == ips(flannel)["default/client"][0]
    back = calico.copy(cni="flannel")
    assert ips(back) == ips(flannel) and back.connect("default/client", "default/far", 8080)
    fresh = kn.load(SMALL, cni="calico").copy(cni="flannel")
    assert fresh.connect("default/client", "default/far", 8080), "addresses that flannel could not give are given anew"
    assert all(ip.startswith("10.244.") and int(ip.split(".")[2]) < 2 for (ip,) in ips(fresh).values())


def test_a_copy_has_its_own_datastore(small: kn.Cluster) -> None:
    twin = small.copy()
    assert everything(twin) == everything(small)
    before = everything(small)
    twin.apply([pod("x", "worker-1"), pod("y", "worker-2")]).delete("pod", "default/near")
    assert everything(small) == before
    assert ips(small.apply(pod("x", "worker-1")))["default/x"] == ips(twin)["default/x"]


def test_looking_and_the_order_of_applying_change_nothing() -> None:
    one = kn.load(SMALL, cni="calico")
    two = kn.load(SMALL, cni="calico")
    one.node("worker-2").iptables_save()
    one.topology()
    assert programmed(one.apply(namespace("n"))) == programmed(two.apply(namespace("n")))


def test_a_pool_elsewhere_moves_the_plan() -> None:
    cluster = kn.load(SMALL, cni=kn.Calico(["172.20.0.0/16"]))
    assert cluster.plan.pod_cidrs == ("172.20.0.0/16",) and ips(cluster)["default/client"][0].startswith("172.20.")
    with pytest.raises(NotModelled, match="IPIP Always"):
        kn.load(SMALL, cni=kn.Calico(ipip_mode="Always"))
    with pytest.raises(NotModelled, match="VXLAN CrossSubnet"):
        kn.load(SMALL, cni=kn.Calico(["172.20.0.0/16"], vxlan_mode="CrossSubnet"))
