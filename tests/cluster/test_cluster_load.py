"""Loading: every form of source, options, dumps, what is assumed, detected and ignored."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import kubenet_lab as kn
from kubenet_lab import KubenetError, LoadError, NotFound, NotModelled
from kubenet_lab.objects.dump import dump
from kubenet_lab.objects.examples import example_path
from tests.cluster.cluster_fixtures import SMALL, deployment, node, observed, pod, programmed, running, service

TEXT = yaml.safe_dump_all(SMALL, sort_keys=False)


def same(one: kn.Cluster, other: kn.Cluster) -> bool:
    return one.to_yaml() == other.to_yaml() and programmed(one) == programmed(other)


def test_every_form_of_source_gives_the_same_cluster(tmp_path: Path) -> None:
    for i, doc in enumerate(SMALL):
        (tmp_path / f"{i}.yaml").write_text(yaml.safe_dump(doc, sort_keys=False))
    (tmp_path / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": SMALL}))
    wanted = kn.load(SMALL)
    sources: list[Any] = [
        TEXT, TEXT.encode(), json.dumps({"apiVersion": "v1", "kind": "List", "items": SMALL}),
        {"apiVersion": "v1", "kind": "List", "items": SMALL},
        [TEXT], [str(tmp_path / f"{i}.yaml") for i in range(len(SMALL))], [tmp_path / f"{i}.yaml" for i in range(len(SMALL))],
        str(tmp_path / "*.yaml"), tmp_path / "all.json", str(tmp_path / "all.json"), (d for d in SMALL), [SMALL[:2], SMALL[2:]],
    ]  # fmt: skip
    for source in sources:
        assert same(kn.load(source), wanted), source
    (tmp_path / "all.json").unlink()
    assert same(kn.load(tmp_path), wanted)
    assert same(kn.load(str(tmp_path)), wanted)


def test_to_yaml_loads_again() -> None:
    cluster = kn.example("bookshop")
    again = kn.load(cluster.to_yaml(), policy="kube-router")
    assert again.to_yaml() == cluster.to_yaml()
    assert again.preview("shop/api", "db.data", 5432) and not again.preview("shop/web", "db.data", 5432)


def test_example_lists_and_loads() -> None:
    assert "bookshop" in kn.example()
    with pytest.raises(NotFound, match="bookshop"):
        kn.example("bookshp")


@pytest.mark.parametrize(
    "source, says",
    [("nowhere/*.yaml", "nowhere"), ("", "empty"), (5, "expected a path"), ({"a": 1}, "apiVersion"), ("kind: x", "apiVersion")],
)
def test_sources_that_hold_nothing(source: Any, says: str) -> None:
    with pytest.raises(LoadError, match=says):
        kn.load(source)


# ----------------------------------------------------------------------------------------------------------- options
@pytest.mark.parametrize(
    "options, says",
    [
        ({"node": 3}, "no option 'node'; nearest: nodes"),
        ({"nodes": 0}, "nodes: found 0"), ({"nodes": "3"}, "nodes: found '3'"), ({"nodes": True}, "nodes: found True"),
        ({"nodes": 251}, "1 to 250"),
        ({"cni": "flanel"}, "nearest: flannel"), ({"cni": 5}, "cni: found 5"), ({"proxy": "iptable"}, "kube-proxy mode"),
        ({"policy": "kube-ruter"}, "nearest: kube-router"), ({"policy": "spec"}, "spec is the API text, not a program"),
        ({"ip_families": ("IPv5",)}, "found 'IPv5'"), ({"ip_families": ()}, "ip_families"),
        ({"ip_families": ("IPv4", "IPv4")}, "each once"),
        ({"pod_cidr": "10.0.0.0/33"}, "10.0.0.0/33"), ({"pod_cidr": "10.96.0.0/16"}, "overlap"),
        ({"node_cidr": "10.244.3.0/24"}, "overlap"),
        ({"pod_cidr": "10.50.0.0/25"}, "too small"), ({"pod_cidr": "10.50.0.0/24"}, "too small for 2 nodes"),
        ({"node_cidr": "192.168.9.0/29"}, "too small"),
        ({"listening": {"a/b": ["http"]}}, "expected a port"), ({"listening": {"a/b": [0]}}, "expected a port"),
        ({"listening": {"a/b": "80"}}, "expected a list"),
        ({"listening": [80]}, "expected a dict"), ({"seed": "x"}, "seed: found 'x'"), ({"kubelet": {"dns": 1}}, "kubelet: found"),
        ({"kubelet": {"cluster_dns": ["nowhere"]}}, "cluster_dns: found 'nowhere'"), ({"underlay": {"mtu": 20}}, "Underlay mtu: found 20"),
        ({"underlay": {"delay": -1}}, "delay"), ({"underlay": 1450}, "underlay: found 1450"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(KubenetError) as error:
        kn.load(SMALL, **options)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"cni": "cilium"}, "pod network: cilium"), ({"proxy": "ipvs"}, "kube-proxy mode ipvs"),
        ({"dns": "kube-dns"}, "cluster DNS kube-dns"), ({"kubernetes": "1.20"}, "Kubernetes 1.20: the lab models 1.34"),
    ],
)  # fmt: skip
def test_what_is_asked_for_and_not_modelled(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotModelled) as error:
        kn.load(SMALL, **options)
    assert error.value.reason.startswith(reason)


def test_an_engine_that_is_not_modelled_is_named_and_not_walked_as_another() -> None:
    cluster = kn.load(SMALL, policy="calico")
    assert cluster.engine == "calico"
    with pytest.raises(NotModelled, match="policy engine calico"):
        cluster.connect("default/client", "svc:default/server")
    with pytest.raises(NotModelled, match="calico"):
        cluster.policy.allowed("default/client", "default/near", 8080)
    assert cluster.policy.allowed("default/client", "default/near", 8080, engine="spec").enforced_by == "calico"
    assert "calico" in str(cluster.summary())


def test_networks_and_nodes_as_asked() -> None:
    cluster = kn.load(SMALL, nodes=3, pod_cidr="172.16.0.0/14", service_cidr="10.9.0.0/16", node_cidr="10.1.2.0/24", underlay={"mtu": 9000})
    assert [n.name for n in cluster.nodes] == ["worker-1", "worker-2", "worker-3"]
    assert cluster.pod("default/client").ip == "172.16.0.2" and cluster.pod("default/far").ip.startswith("172.16.1.")
    assert cluster.get("svc", "default/kubernetes").spec.cluster_ip == "10.9.0.1"
    assert cluster.get("svc", "kube-system/kube-dns").spec.cluster_ip == "10.9.0.10"
    assert cluster.node("worker-1").links().set_index("ifname").mtu[["eth0", "flannel.1", "cni0"]].tolist() == [9000, 8950, 8950]
    assert cluster.connect("default/client", "svc:default/server")


def test_an_options_object_names_its_own_network() -> None:
    cluster = kn.load(SMALL, cni=kn.Flannel(network="10.42.0.0/16", vni=7, bridge="cbr7"))
    assert cluster.plan.pod_cidrs == ("10.42.0.0/16",)
    assert cluster.connect("default/client", "default/far", 8080)
    assert {"cbr7", "flannel.7"} <= set(cluster.node("worker-1").links().ifname)


def test_the_seed_decides_addresses_and_draws() -> None:
    def state(seed: int) -> tuple[str, list[str | None]]:
        c = kn.load(SMALL, seed=seed)
        return c.get("svc", "default/server").spec.cluster_ip, [
            c.connect("default/client", "svc:default/server").answered_by for _ in range(12)
        ]

    assert state(1) == state(1) != state(2)
    assert set(state(1)[1]) == {"default/near", "default/far"}


def test_listening_is_given_or_assumed() -> None:
    assumed = kn.load(SMALL)
    trace = assumed.connect("default/client", "default/near", 8080)
    assert any("default/near listens on 8080/TCP, because container c names it in ports" in a for a in trace.assumptions)
    given = kn.load(SMALL, listening={"default/near": [8080, "53/UDP"], "default/far": []})
    trace = given.connect("default/client", "default/near", 8080)
    assert trace and not any("listens" in a for a in trace.assumptions), "what is given is no assumption"
    assert given.connect("default/client", "default/near", 53, "UDP")
    assert given.connect("default/client", "default/near", 9000, "UDP").verdict == "refused"
    assert given.connect("default/client", "default/far", 8080).error == "ECONNREFUSED"
    assert {(o.verdict, str(o.probability)) for o in given.outcomes("default/client", "svc:default/server")} == {
        ("delivered", "1/2"),
        ("refused", "1/2"),
    }


def test_listening_by_probe_and_by_target_port() -> None:
    bare = pod("a/server", labels={"app": "server"})
    bare["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 7000}}
    cluster = kn.load([bare, service("a/server", {"app": "server"}, {"port": 80, "targetPort": 6000}), pod("a/client")])
    assert "readinessProbe" in " ".join(cluster.connect("a/client", "a/server", 7000).assumptions)
    assert "Service a/server sends its port 80 there" in " ".join(cluster.connect("a/client", "svc:a/server").assumptions)
    assert cluster.connect("a/client", "a/server", 8080).error == "ECONNREFUSED"


def test_listening_for_nobody_is_a_finding() -> None:
    cluster = kn.load(SMALL, listening={"default/nera": [80]})
    assert any("default/nera" in str(f) and "nearest: default/near" in str(f) for f in cluster.findings)


# ----------------------------------------------------------------------------------------------- dumps: what they show
def _items(text: str, *keep: str) -> list[dict[str, Any]]:
    return [i for i in yaml.safe_load(text)["items"] if not keep or i["kind"] in keep]


@pytest.fixture(scope="module")
def shop_dump() -> str:
    return dump(kn.example("bookshop").store)


def test_the_shipped_dump_is_the_manifests_own(shop_dump: str) -> None:
    assert (example_path("bookshop") / "dump.yaml").read_text("utf-8") == shop_dump, "run tools/dataset_dumps.py"


def test_the_bookshop_as_manifests_and_as_its_own_dump_is_the_same_cluster() -> None:
    one = kn.example("bookshop")
    other = kn.load(example_path("bookshop") / "dump.yaml")
    assert one.plan == type(one.plan)(**{**{f: getattr(other.plan, f) for f in other.plan.__slots__}, "assumptions": one.plan.assumptions})
    for kind in ("Pod", "Node", "Service", "EndpointSlice", "ReplicaSet", "Namespace", "NetworkPolicy", "Ingress"):
        mine, theirs = ({o.key: o for o in c.objects(kind)} for c in (one, other))
        assert mine.keys() == theirs.keys(), kind
    for p in one.objects("Pod"):
        q = other.get("pod", p.key)
        assert (p.ips, p.spec.node_name, p.ready, p.metadata.uid) == (q.ips, q.spec.node_name, q.ready, q.metadata.uid)
    for s in one.objects("Service"):
        assert s.spec == other.get("svc", s.key).spec
    for e in one.objects("EndpointSlice"):
        assert (e.endpoints, e.ports) == (other.get("endpointslice", e.key).endpoints, other.get("endpointslice", e.key).ports)
    assert programmed(one) == programmed(other)
    assert not one.diff(other).verdicts and not one.diff(other).entries
    assert other.findings == () and other.ignored == ()
    detected = {a.what: a.how for a in other.assumptions}
    assert detected["node network"] == detected["pod network"] == detected["Service network"] == "detected"
    assert not detected.keys() & {"nodes", "API server", "cluster DNS"}, "they are in the dump"


def test_a_dump_keeps_changing_like_the_original(shop_dump: str) -> None:
    one, other = kn.example("bookshop"), kn.load(shop_dump)
    for c in (one, other):
        c.scale("shop/api", 3).set_pod("shop/cart", ready=False).delete("pod", "data/db-0")
    assert [(p.key, p.ips) for p in one.objects("pod")] != []
    assert len([p for p in other.objects("pod") if p.name.startswith("api-")]) == 3
    assert other.preview("shop/web", "svc:shop/cart", 8080).error == one.preview("shop/web", "svc:shop/cart", 8080).error == "ECONNREFUSED"
    assert other.preview("shop/api", "db.data", 5432).answered_by == "data/db-0"


def test_pods_of_a_dump_without_nodes_show_their_nodes(shop_dump: str) -> None:
    cluster = kn.load(_items(shop_dump, "Pod", "Service", "EndpointSlice", "ConfigMap", "Namespace"))
    assert [n.name for n in cluster.nodes] == ["worker-1", "worker-2"]
    assert cluster.preview("shop/web", "svc:shop/cart", 8080).answered_by == cluster.pod("shop/cart").name
    assert {a.how for a in cluster.assumptions if a.what == "nodes"} == {"detected"}
    assert programmed(cluster)["worker-1"][:4] == programmed(kn.load(shop_dump))["worker-1"][:4]


def test_a_dump_of_pods_and_services_only_gets_slices(shop_dump: str) -> None:
    cluster = kn.load(_items(shop_dump, "Pod", "Service", "Node"))
    assert cluster.preview("shop/web", "svc:shop/cart", 8080)
    assert cluster.preview("shop/web", "kubernetes.default", 443).answered_by == "kube-apiserver"


def test_observed_slices_are_used_as_they_are_until_the_first_change() -> None:
    stale = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "server-abcde", "namespace": "default",
         "labels": {"kubernetes.io/service-name": "server", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        "endpoints": [{"addresses": ["10.244.0.2"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "echo", "port": 9000, "protocol": "UDP"}],
    }  # fmt: skip
    nodes = [observed(node("worker-1", "192.168.50.11", "10.244.0.0/24")), observed(node("worker-2", "192.168.50.12", "10.244.1.0/24"))]
    at = {"client": ("10.244.0.9", 1), "near": ("10.244.0.2", 1), "far": ("10.244.1.2", 2)}
    pods = [running(d, at[d["metadata"]["name"]][0], f"192.168.50.1{at[d['metadata']['name']][1]}") for d in SMALL[:3]]
    cluster = kn.load([*nodes, *pods, observed({**SMALL[3], "spec": {**SMALL[3]["spec"], "clusterIP": "10.96.0.77"}}), observed(stale)])
    assert [o.answered_by for o in cluster.outcomes("default/client", "svc:default/server")] == ["default/near"]
    assert [o.answered_by for o in cluster.copy().outcomes("default/client", "svc:default/server")] == ["default/near"], "a copy too"
    cluster.set_pod("default/client", ready=False)
    assert {o.answered_by for o in cluster.outcomes("default/client", "svc:default/server")} == {"default/near", "default/far"}


def test_new_pods_do_not_take_addresses_that_a_dump_shows() -> None:
    nodes = [observed(node("worker-1", "192.168.50.11", "10.244.0.0/24"))]
    cluster = kn.load([*nodes, pod("a/aaa"), running(pod("a/zzz", "worker-1"), "10.244.0.2", "192.168.50.11")])
    assert cluster.pod("a/zzz").ip == "10.244.0.2" and cluster.pod("a/aaa").ip != "10.244.0.2"
    assert cluster.findings == ()


def test_a_network_that_is_not_modelled_loads_and_is_never_walked_as_another(shop_dump: str) -> None:
    agent = deployment("kube-system/aws-node")
    agent["kind"] = "DaemonSet"
    del agent["spec"]["replicas"]
    cluster = kn.load([*_items(shop_dump), observed(agent)])
    assert cluster.pod_network == "aws-node"
    for question in (
        lambda: cluster.connect("shop/web", "svc:shop/cart", 8080), lambda: cluster.preview("shop/web", "svc:shop/cart", 8080),
        lambda: cluster.outcomes("shop/web", "svc:shop/cart", 8080), lambda: cluster.request("shop/web", "http://cart:8080"),
        lambda: cluster.resolve("shop/web", "cart"), lambda: cluster.ask("shop/web", "cart:8080"),
        lambda: cluster.open("shop/web", "svc:shop/cart", 8080),
        lambda: cluster.node("worker-1").run("ip route"), lambda: cluster.node("worker-1").iptables_written(),
        lambda: cluster.node("worker-1").routes(),
    ):  # fmt: skip
        with pytest.raises(NotModelled) as error:
            question()
        assert error.value.reason == "pod network: aws-node"
    assert "aws-node" in str(cluster.summary()) and any("DaemonSet kube-system/aws-node" in a.why for a in cluster.assumptions)
    assert cluster.dns.query("cart.shop.svc.cluster.local", "A").rcode == "NOERROR"
    assert cluster.ingress.route("http://shop.example/cart")
    assert not cluster.policy.allowed("shop/web", "data/db", 5432, engine="spec")
    assert cluster.topology().pods and repr(cluster) and cluster.diff(cluster.copy()).changes == ()
    assert cluster.apply(pod("shop/new")).pod("shop/new").ip, "addresses go on"


@pytest.mark.parametrize("mode, modelled", [("", True), ("iptables", True), ("ipvs", False), ("nftables", True)])
def test_kube_proxy_mode_is_read_from_its_config_map(mode: str, modelled: bool) -> None:
    config = (
        f"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: '{mode}'\n"
        f"{mode or 'iptables'}:\n  masqueradeAll: true\n"
    )
    cm = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": config},
    }
    cluster = kn.load([*SMALL, cm])
    assert any(a.what == "kube-proxy" and a.how == "detected" for a in cluster.assumptions)
    if modelled:
        assert cluster.proxy.masquerade_all
        seen = {o.source_seen for o in cluster.outcomes("default/client", "svc:default/server")}
        assert seen == {"10.244.0.1", "10.244.0.0"}, "masqueradeAll"
    else:
        with pytest.raises(NotModelled, match=f"kube-proxy mode {mode}"):
            cluster.connect("default/client", "svc:default/server")


def test_kube_router_for_policies_only_is_detected() -> None:
    agent = deployment("kube-system/kube-router")
    agent["kind"] = "DaemonSet"
    del agent["spec"]["replicas"]
    agent["spec"]["template"]["spec"]["containers"] = [
        {"name": "r", "image": "docker.io/cloudnativelabs/kube-router:v2.5.0",
         "args": ["--run-router=false", "--run-firewall=true", "--run-service-proxy=false"]}
    ]  # fmt: skip
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "default"},
        "spec": {"podSelector": {}},
    }
    cluster = kn.load([*SMALL, agent, deny])
    assert cluster.engine == "kube-router" and cluster.pod_network == "flannel vxlan"
    assert not cluster.connect("default/client", "default/far", 8080)


def test_dns_addons_that_are_not_modelled_say_so() -> None:
    cache = deployment("kube-system/node-local-dns")
    cache["kind"] = "DaemonSet"
    del cache["spec"]["replicas"]
    cluster = kn.load([*SMALL, cache])
    assert cluster.connect("default/client", "svc:default/server")
    with pytest.raises(NotModelled, match="NodeLocal DNSCache"):
        cluster.resolve("default/client", "server")


@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6",), ("IPv6", "IPv4")])
def test_families(families: tuple[str, ...]) -> None:
    cluster = kn.load(SMALL, ip_families=families)
    assert cluster.get("svc", "default/server").spec.ip_families == [families[0]]
    assert len(cluster.get("pod", "default/near").ips) == len(families)
    assert [":" in ip for ip in cluster.get("pod", "default/near").ips] == [f == "IPv6" for f in families]
    assert cluster.connect("default/client", "svc:default/server")
    kind = "AAAA" if families[0] == "IPv6" else "A"
    assert len(cluster.dns.query("server.default.svc.cluster.local", kind).answer) == 1
    assert cluster.summary() and cluster.topology() and cluster.findings == ()
    again = kn.load(cluster.to_yaml())
    assert again.plan.pod_cidrs == cluster.plan.pod_cidrs and again.findings == (), "and its own dump shows it"
    assert [p.ips for p in again.objects("pod")] == [p.ips for p in cluster.objects("pod")]  # type: ignore[attr-defined]
    assert again.connect("default/client", "svc:default/server") and again.connect("default/client", "default/far", 8080)


# ------------------------------------------------------------------------------------ what was settled, and is ignored
def test_what_is_assumed_is_listed() -> None:
    cluster = kn.load(SMALL)
    notes = {a.what: a for a in cluster.assumptions}
    assert notes["nodes"].value == "worker-1, worker-2" and notes["pod network plugin"].value == "flannel vxlan"
    assert {"node network", "pod network", "Service network", "API server", "cluster DNS", "kube-proxy"} <= notes.keys()
    assert all(a.how == "assumed" and a.why for a in cluster.assumptions), cluster.assumptions


def test_a_namespace_that_nobody_declares_is_made_and_said() -> None:
    cluster = kn.load([pod("lost/x")])
    assert any(a.what == "namespace" and a.value == "lost" for a in cluster.assumptions)
    assert cluster.get("ns", "lost")


def test_the_dns_address_yields_to_a_service_that_has_it() -> None:
    cluster = kn.load([*SMALL, service("default/tenth", {"app": "server"}, clusterIP="10.96.0.10")])
    assert cluster.get("svc", "kube-system/kube-dns").spec.cluster_ip == "10.96.0.11"
    assert cluster.resolve("default/client", "tenth").addresses == ("10.96.0.10",)


def test_unknown_kinds_are_kept_and_listed() -> None:
    tls = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "tls", "namespace": "a"},
        "spec": {"secretName": "x"},
    }
    cluster = kn.load([*SMALL, tls])
    assert cluster.ignored == (("Certificate.cert-manager.io", "a/tls"),)
    assert "1 Certificate.cert-manager.io" in str(cluster.summary()) and "secretName: x" in cluster.to_yaml()
    assert cluster.copy().ignored == cluster.ignored and cluster.delete("Certificate.cert-manager.io", "a/tls").ignored == ()


def test_what_a_real_cluster_accepted_is_a_finding_unless_strict() -> None:
    bad = observed(service("default/odd", {"app": "server"}, {"port": 70000}))
    cluster = kn.load([*SMALL, bad])
    assert any("spec.ports[0].port" in str(f) and "70000" in str(f) for f in cluster.findings)
    with pytest.raises(LoadError, match="must be between 1 and 65535, inclusive"):
        kn.load([*SMALL, bad], strict=True)
    with pytest.raises(LoadError, match="must be between 1 and 65535, inclusive"):
        kn.load([*SMALL, service("default/odd", {"app": "server"}, {"port": 70000})])


def test_impossible_ports_are_left_out_of_what_is_programmed() -> None:
    """One odd object must not take a node's rules down: the others work, and the finding says what was left out."""
    cluster = kn.load([*SMALL, observed(service("default/odd", {"app": "server"}, {"port": 70000}))])
    assert cluster.connect("default/client", "svc:default/server")
    assert any(f.object == "Service default/odd" and "left out" in f.message for f in cluster.findings)
    assert "default/odd" not in str(cluster.node("worker-1").iptables_save())


@pytest.mark.parametrize(
    "change, path",
    [
        (lambda d: d["status"]["podIPs"].append({"ip": "10.244.0.300"}), "status.podIPs[1].ip"),
        (lambda d: d["status"].update(hostIP="worker-1"), "status.hostIP"),
    ],
)
def test_an_address_that_is_none_is_refused_even_from_a_dump(change: Any, path: str) -> None:
    document = running(pod("a/x", "worker-1"), "10.244.0.5", "192.168.50.11")
    change(document)
    with pytest.raises(LoadError, match="must be a valid IP address") as error:
        kn.load([observed(node("worker-1", "192.168.50.11", "10.244.0.0/24")), document])
    assert [p.path for p in error.value.problems if "valid IP" in p.message][-1].endswith(path.rpartition(".")[2])


def test_nodes_of_a_dump_are_used_as_they_are() -> None:
    """Names, addresses, podCIDRs in any order, and the MAC address that flannel noted on its node."""
    data = {
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"0a:1b:2c:3d:4e:5f"}',
        "flannel.alpha.coreos.com/backend-type": "vxlan",
    }
    nodes = [
        observed(node("zeta", "172.31.4.10", "10.42.7.0/24", annotations=data)),
        observed(node("alpha", "172.31.5.20", "10.42.3.0/24")),
    ]
    pods = [
        running(pod("a/x", "alpha", ports=(("p", 80, "TCP"),)), "10.42.3.9", "172.31.5.20"),
        running(pod("a/y", "zeta"), "10.42.7.77", "172.31.4.10"),
    ]
    cluster = kn.load([*nodes, *pods], dns="none")
    assert [n.name for n in cluster.nodes] == ["alpha", "zeta"] and cluster.plan.node_cidr == "172.31.4.0/23"
    assert cluster.plan.pod_cidrs == ("10.42.0.0/16",) and cluster.pod_network == "flannel vxlan"
    fdb = cluster.node("alpha").fdb()
    assert "0a:1b:2c:3d:4e:5f" in set(fdb[fdb.dst == "172.31.4.10"].mac)
    trace = cluster.connect("a/y", "a/x")
    assert (trace.answered_by, trace.source_seen) == ("a/x", "10.42.7.77")
    assert cluster.apply(pod("a/new", "zeta")).pod("a/new").ip.startswith("10.42.7.")


def test_two_services_of_a_dump_with_one_address_are_a_finding() -> None:
    one, two = (observed(service(f"default/{n}", {"app": "server"}, clusterIP="10.96.3.3")) for n in ("one", "two"))
    cluster = kn.load([*SMALL, one, two])
    assert any(f.object == "Service default/two" and "provided IP is already allocated" in f.message for f in cluster.findings)
    with pytest.raises(LoadError, match="Service default/two: .*already allocated"):
        kn.load([*SMALL, one, two], strict=True)


def test_two_pods_with_one_address_are_a_finding() -> None:
    nodes = [observed(node("worker-1", "192.168.50.11", "10.244.0.0/24"))]
    pods = [running(pod(f"a/{n}", "worker-1"), "10.244.0.5", "192.168.50.11") for n in ("x", "y")]
    cluster = kn.load([*nodes, *pods])
    assert any(f.object == "Pod a/y" and "10.244.0.5" in f.message for f in cluster.findings)
    with pytest.raises(KubenetError, match="a/y cannot send: failed to set up the sandbox"):
        cluster.connect("a/y", "a/x", 80)


def test_nodes_off_the_network_are_a_finding() -> None:
    cluster = kn.load([node("n1", "192.168.50.11"), *SMALL[:1]], node_cidr="10.8.0.0/24")
    assert any(f.object == "Node n1" and "outside of the node network 10.8.0.0/24" in f.message for f in cluster.findings)


def test_the_summary_counts(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = kn.load(SMALL)
    summary = cluster.summary()
    counts = dict(summary.counts)
    assert counts["Pod"] == 5 and counts["Service"] == 3 and counts["Node"] == 2
    for shown in (str(summary), summary._repr_html_(), cluster._repr_html_()):
        assert "flannel vxlan" in shown and "Findings" in shown
    assert summary.to_dict()["counts"]["Pod"] == 5 and len(summary.to_frame()) == len(counts)
    assert "\n" not in repr(summary) and "\n" not in repr(cluster)
    assert summary == cluster.copy().summary()


def test_a_stream_of_bytes_is_no_source() -> None:
    with pytest.raises(KubenetError):
        kn.load(io.BytesIO(b"\xff\xfe"))
