"""apply, delete, scale, set_pod: everything or nothing, in the API server's words; and what the walk says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import kubenet_lab as kn
from kubenet_lab import KubenetError, LoadError, NotFound
from tests.cluster.cluster_fixtures import SMALL, deployment, everything, node, pod, service


@pytest.fixture
def small() -> kn.Cluster:
    return kn.load(SMALL)


@pytest.fixture
def apps() -> kn.Cluster:
    return kn.load([deployment("a/server", 3), service("a/server", {"app": "server"}), pod("a/client")])


def refused(cluster: kn.Cluster, change: Callable[[], object]) -> str:
    """The change fails, and leaves nothing behind."""
    cluster.connect("default/client", "svc:default/server")  # some dynamic state, and the network is built
    before, network = everything(cluster), cluster.network()
    with pytest.raises(KubenetError) as error:
        change()
    assert everything(cluster) == before
    assert cluster.network() is network, "it was not even programmed anew"
    assert cluster.connect("default/client", "svc:default/server", source_port=44444)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ everything or nothing
def test_a_failed_apply_changes_nothing(small: kn.Cluster) -> None:
    good, bad = pod("default/new"), service("default/bad", {"app": "server"}, {"port": 70000})
    said = refused(small, lambda: small.apply([good, bad]))
    assert "nothing was applied" in said and "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive" in said
    with pytest.raises(NotFound):
        small.get("pod", "default/new")


def test_a_failed_allocation_changes_nothing(small: kn.Cluster) -> None:
    """Found late, after pods had got addresses: those go back too."""
    taken = small.get("svc", "default/server").spec.cluster_ip
    said = refused(small, lambda: small.apply([pod("default/p1"), pod("default/p2"), service("default/twin", {"a": "b"}, clusterIP=taken)]))
    assert (
        f'default/twin: spec.clusterIPs: Invalid value: ["{taken}"]: failed to allocate IP {taken}: provided IP is already allocated'
        in said
    )
    small.apply(pod("default/p1", "worker-1"))
    fresh = kn.load([*SMALL]).apply(pod("default/p1", "worker-1"))
    assert small.pod("default/p1").ip == fresh.pod("default/p1").ip, "no address was used up"


def test_processes_do_not_see_what_was_not_applied(small: kn.Cluster) -> None:
    assert small.resolve("default/client", "twin").error == "EAI_NONAME"
    taken = small.get("svc", "default/server").spec.cluster_ip
    with pytest.raises(LoadError):
        small.apply(service("default/twin", {"a": "b"}, clusterIP=taken))
    assert small.resolve("default/client", "twin").error == "EAI_NONAME"


def test_a_failed_first_load_leaves_an_empty_cluster() -> None:
    with pytest.raises(LoadError):
        kn.load([*SMALL, service("default/bad", {"app": "server"}, {"port": 0})])


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda c: c.delete("svc", "default/nope"), "no Service 'default/nope'"),
        (lambda c: c.delete("gadget", "default/nope"), "gadget"),
        (lambda c: c.scale("default/client", 2), "no Deployment, StatefulSet or ReplicaSet 'default/client'"),
        (lambda c: c.scale("deploy/kube-system/coredns", -1), "must be greater than or equal to 0"),
        (lambda c: c.scale("kube-system/coredns", "2"), "replicas: found '2'"),
        (lambda c: c.scale("svc/default/server", 2), "Service"),
        (lambda c: c.set_pod("default/nope", ready=False), "no pod or workload 'default/nope'"),
        (lambda c: c.set_pod("node:worker-1", ready=False), "no pod 'node:worker-1'"),
        (lambda c: c.tick(-1), "tick: found -1"), (lambda c: c.tick(float("nan")), "tick"), (lambda c: c.tick("1"), "tick: found '1'"),
        (lambda c: c.copy(nodes=3), "hold the nodes already"), (lambda c: c.copy(speed=3), "no option 'speed'"),
        (lambda c: c.copy(service_cidr="10.244.0.0/16"), "overlap"),
    ],
)  # fmt: skip
def test_other_failures_change_nothing_either(small: kn.Cluster, change: Callable[[kn.Cluster], object], says: str) -> None:
    assert says in refused(small, lambda: change(small))


def test_all_problems_of_an_apply_come_together(small: kn.Cluster, tmp_path: Path) -> None:
    bad = [
        service("default/one", {"a": "b"}, {"port": 0}),
        service("default/two", {"a": "b"}, {"port": 80, "nodePort": 80}, type="NodePort"),
    ]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump_all(bad, sort_keys=False))
    with pytest.raises(LoadError) as error:
        small.apply(path)
    assert {(p.object, p.path) for p in error.value.problems} >= {("Service default/one", "spec.ports[0].port")}
    assert all(p.file == str(path) and p.document and p.line for p in error.value.problems), error.value


# ---------------------------------------------------------------------------------------- addresses in the server's words
CONFLICTS: list[tuple[dict[str, Any], str, str]] = [
    ({"clusterIP": "10.96.0.10"}, "spec.clusterIPs",
     'Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated'),
    ({"clusterIP": "10.96.0.1"}, "spec.clusterIPs",
     'Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated'),
    ({"clusterIP": "10.250.0.1"}, "spec.clusterIPs",
     'Invalid value: ["10.250.0.1"]: failed to allocate IP 10.250.0.1: '
     "the provided network does not match the current range"),
    ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}, "spec.ports[0].nodePort",
     "Invalid value: 30080: provided port is already allocated"),
    ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 90}]}, "spec.ports[0].nodePort",
     "Invalid value: 90: provided port is not in the valid range. The range of valid ports is 30000-32767"),
]  # fmt: skip


@pytest.mark.parametrize("spec, path, says", CONFLICTS)
def test_what_cannot_be_allocated_is_refused_with_its_place(spec: dict[str, Any], path: str, says: str, tmp_path: Path) -> None:
    taken = service("default/aaa", {"app": "server"}, {"port": 80, "nodePort": 30080}, type="NodePort")
    cluster = kn.load([*SMALL, taken])
    new = service("default/zzz", {"app": "server"})
    new["spec"].update(spec)
    file = tmp_path / "new.yaml"
    file.write_text("# a comment\n" + yaml.safe_dump_all([pod("default/other"), new], sort_keys=False))
    with pytest.raises(LoadError) as error:
        cluster.apply(file)
    (problem,) = error.value.problems
    assert (problem.object, problem.path, problem.message) == ("Service default/zzz", path, says)
    assert problem.file == str(file) and problem.document == 2
    line = file.read_text().splitlines()[problem.line - 1]  # type: ignore[operator]
    assert line.strip().startswith(("clusterIP", "- port", "nodePort", "spec")), line


def test_the_older_service_keeps_what_both_want() -> None:
    """The newcomer is refused, whatever their names sort like."""
    cluster = kn.load([*SMALL, service("default/zzz", {"app": "server"}, {"port": 80, "nodePort": 30080}, type="NodePort")])
    with pytest.raises(LoadError) as error:
        cluster.apply(service("default/aaa", {"app": "server"}, {"port": 80, "nodePort": 30080}, type="NodePort"))
    assert [p.object for p in error.value.problems] == ["Service default/aaa"]


def test_of_two_in_one_file_the_later_is_refused() -> None:
    both = [service(f"default/{n}", {"app": "server"}, clusterIP="10.96.5.5") for n in ("zzz", "aaa")]
    with pytest.raises(LoadError) as error:
        kn.load([*SMALL, *both])
    assert [p.object for p in error.value.problems] == ["Service default/aaa"]


def test_an_update_without_addresses_keeps_them() -> None:
    manifest = service("default/web", {"app": "server"}, {"name": "http", "port": 80, "targetPort": 8080}, type="NodePort")
    cluster = kn.load([*SMALL, manifest])
    before = cluster.get("svc", "default/web").spec
    manifest["spec"]["ports"].append({"name": "more", "port": 81, "targetPort": 8080})
    after = cluster.apply(manifest).get("svc", "default/web").spec
    assert (after.cluster_ip, after.cluster_ips, after.ports[0].node_port) == (
        before.cluster_ip,
        before.cluster_ips,
        before.ports[0].node_port,
    )
    assert after.ports[1].node_port not in (0, before.ports[0].node_port)
    assert cluster.connect("default/client", "node:worker-1", after.ports[1].node_port)


def test_applying_the_same_again_changes_nothing(small: kn.Cluster) -> None:
    before = small.to_yaml()
    assert small.apply(SMALL).to_yaml() == before


def test_clusterip_cannot_change(small: kn.Cluster) -> None:
    with pytest.raises(LoadError, match="may not change once set"):
        small.apply(service("default/server", {"app": "server"}, clusterIP="10.96.9.9"))


# ------------------------------------------------------------------------------------------ what the walk says afterwards
def test_a_service_without_ready_endpoints_refuses_at_once_and_says_why(apps: kn.Cluster) -> None:
    keys = [p.key for p in apps.objects("pod") if p.key.startswith("a/server-")]
    for n, key in enumerate(keys):
        left = {o.answered_by for o in apps.outcomes("a/client", "svc:a/server")}
        assert left == set(keys[n:]), "an unready pod leaves the endpoints"
        apps.set_pod(key, ready=False)
    trace = apps.connect("a/client", "svc:a/server")
    assert (trace.verdict, trace.error) == ("refused", "ECONNREFUSED") and trace.elapsed < 0.001
    assert [r.code for r in trace.reasons] == ["service.no_endpoints", *["service.endpoint_not_ready"] * 3, "filter.reject"]
    assert all(r.origin.startswith("Service a/server") for r in trace.reasons)
    assert all(any(key in str(r) for r in trace.reasons) for key in keys)
    assert apps.connect("a/client", keys[0], 8080), "the pod itself is there all the same"
    apps.set_pod(keys[0], ready=True)
    assert apps.connect("a/client", "svc:a/server").answered_by == keys[0]


def test_set_pod_of_a_workload_takes_the_next_one(apps: kn.Cluster) -> None:
    for ready, wanted in [*((False, n) for n in (2, 1, 0, 0)), *((True, n) for n in (1, 2, 3, 3))]:
        apps.set_pod("a/server", ready=ready)
        assert sum(p.ready for p in apps.objects("pod") if p.key.startswith("a/server-")) == wanted


def test_an_unready_pod_is_missing_from_headless_names() -> None:
    cluster = kn.load([deployment("a/db"), service("a/db", {"app": "db"}, clusterIP="None"), pod("a/client")])
    both = cluster.resolve("a/client", "db").addresses
    assert len(both) == 2
    first = next(p for p in cluster.objects("pod") if p.ips and p.ips[0] == both[0])
    cluster.set_pod(first.key, ready=False)
    assert cluster.resolve("a/client", "db").addresses == (both[1],)


def test_scale_up_and_down(apps: kn.Cluster) -> None:
    assert len(apps.scale("a/server", 5).outcomes("a/client", "svc:a/server")) == 5
    assert len(apps.scale("deploy/a/server", 1).outcomes("a/client", "svc:a/server")) == 1
    trace = apps.scale("a/server", 0).connect("a/client", "svc:a/server")
    assert trace.verdict == "refused" and any(r.code.startswith("service.") for r in trace.reasons)


def test_deleting_a_service_takes_its_rules_away(apps: kn.Cluster) -> None:
    ip = apps.get("svc", "a/server").spec.cluster_ip
    assert "KUBE-SVC" in apps.node("worker-1").iptables_save() and apps.connect("a/client", ip)
    apps.delete("svc", "a/server")
    assert not any("a/server" in line for line in str(apps.node("worker-1").iptables_save()).splitlines())
    assert apps.connect("a/client", ip).verdict == "timeout", "nobody rewrites the address any more"
    assert apps.resolve("a/client", "server").error == "EAI_NONAME"
    assert not [e for e in apps.objects("endpointslice") if e.service == "server"]


def test_deleting_a_pod_of_a_deployment_brings_another(apps: kn.Cluster) -> None:
    old = {p.key: p.ips[0] for p in apps.objects("pod") if p.key.startswith("a/server-")}
    gone = sorted(old)[0]
    apps.delete("pod", gone)
    new = {p.key: p.ips[0] for p in apps.objects("pod") if p.key.startswith("a/server-")}
    assert len(new) == 3 and gone not in new
    fresh = new.keys() - old.keys()
    assert len(fresh) == 1 and {o.answered_by for o in apps.outcomes("a/client", "svc:a/server")} == set(new)


def test_deleting_owners_and_namespaces_cascades(apps: kn.Cluster) -> None:
    apps.delete("deploy", "a/server")
    assert [p.key for p in apps.objects("pod") if p.namespace == "a"] == ["a/client"]
    apps.delete("ns", "a")
    assert not [o for kind in ("pod", "svc", "endpointslice", "rs") for o in apps.objects(kind) if o.namespace == "a"]


def test_addresses_come_back_and_the_next_one_is_used() -> None:
    """host-local goes on behind the last one it gave, and comes back to a free one when it is through."""
    cluster = kn.load([pod(f"a/p{i}", "worker-1") for i in range(3)])
    ips = [cluster.pod(f"a/p{i}").ip for i in range(3)]
    last = max(int(p.ips[0].rpartition(".")[2]) for p in cluster.objects("pod") if p.ips and p.spec.node_name == "worker-1")
    cluster.delete("pod", "a/p0").apply(pod("a/p3", "worker-1"))
    assert cluster.pod("a/p3").ip == f"10.244.0.{last + 1}" != ips[0]
    for i in range(4, 4 + 254 - last - 1):
        cluster.apply(pod(f"a/p{i}", "worker-1"))
    assert cluster.apply(pod("a/again", "worker-1")).pod("a/again").ip == ips[0], "round the corner the freed one is taken"
    full = cluster.apply(pod("a/late", "worker-1"))
    assert any(f.object == "Pod a/late" and "no IP addresses available in range set" in f.message for f in full.findings)
    cluster.delete("pod", "a/again")
    assert cluster.pod("a/late").ip == ips[0], "the kubelet tries again"


def test_a_pod_that_ended_gives_its_address_back(small: kn.Cluster) -> None:
    ip = small.pod("default/near").ip
    done = small.store.document("Pod", "default/near")
    done["status"]["phase"] = "Succeeded"
    small.apply(done)
    with pytest.raises(KubenetError, match="has ended"):
        small.connect("default/near", "svc:default/server")
    assert [o.answered_by for o in small.outcomes("default/client", "svc:default/server")] == ["default/far"]
    for i in range(260):
        small.apply(pod(f"default/x{i}", "worker-1"))
        if small.pod(f"default/x{i}").ip == ip:
            return
        small.delete("pod", f"default/x{i}")
    raise AssertionError("never given again")


def test_a_node_that_joins_gets_its_network(small: kn.Cluster) -> None:
    small.apply([node("edge", "192.168.50.40"), pod("default/out", "edge", {"app": "server"}, (("http", 8080, "TCP"),))])
    assert small.get("node", "edge").spec.pod_cidr == "10.244.2.0/24" and small.pod("default/out").ip == "10.244.2.2"
    assert small.connect("default/client", "default/out", 8080).answered_by == "default/out"
    assert "default/out" in {o.answered_by for o in small.outcomes("default/client", "svc:default/server")}


def test_a_node_that_leaves_takes_its_pods_along(apps: kn.Cluster) -> None:
    apps.delete("node", "worker-2")
    pods = [p for p in apps.objects("pod") if p.key.startswith("a/server-")]
    assert len(pods) == 3 and {p.spec.node_name for p in pods} == {"worker-1"}
    assert {o.verdict for o in apps.outcomes("a/client", "svc:a/server")} == {"delivered"}
    with pytest.raises(NotFound):
        apps.node("worker-2")


def test_the_kubernetes_service_cannot_be_lost(small: kn.Cluster) -> None:
    small.delete("svc", "default/kubernetes")
    assert small.get("svc", "default/kubernetes").spec.cluster_ip == "10.96.0.1"
    assert small.connect("default/client", "kubernetes.default", 443).answered_by == "kube-apiserver"


def test_coredns_reads_its_config_map_anew(small: kn.Cluster) -> None:
    assert small.resolve("default/client", "server").addresses
    text = ".:53 {\n    kubernetes cluster.local {\n        namespaces other\n    }\n    forward . /etc/resolv.conf\n}\n"
    small.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": text}}
    )
    assert small.dns.corefile == text
    assert small.resolve("default/client", "server").error == "EAI_NONAME"
    assert small.dns.query("server.default.svc.cluster.local").rcode == "NXDOMAIN"


def test_endpoints_outside_the_cluster() -> None:
    """A Service without a selector whose slice names a machine outside, as people point at a database they have."""
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
        "endpoints": [{"addresses": ["203.0.113.50"]}], "ports": [{"name": "", "port": 5432}],
    }  # fmt: skip
    cluster = kn.load([*SMALL, service("default/db", None, {"port": 5432}), slice_])
    trace = cluster.connect("default/client", "svc:default/db", 5432)
    assert trace.answered_by == "external:203.0.113.50" and trace.source_seen == "192.168.50.11"
    assert any("EndpointSlice default/db-1 names it" in a for a in trace.assumptions)


def test_a_machine_outside_serves_on_when_nobody_names_it_any_more() -> None:
    """kube-proxy cleans nothing of a Service that is gone: who keeps its port goes on, as a kernel showed (test_services_change_twins)."""
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "log-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "log"}},
        "endpoints": [{"addresses": ["203.0.113.50"]}], "ports": [{"name": "", "port": 514, "protocol": "UDP"}],
    }  # fmt: skip
    cluster = kn.load([*SMALL, service("default/log", None, {"port": 514, "protocol": "UDP"}), slice_])
    address = cluster.get("svc", "default/log").spec.cluster_ip  # type: ignore[attr-defined]

    def said(of: kn.Cluster, port: int) -> str | None:
        return of.connect("default/client", address, 514, "UDP", source_port=port).answered_by

    assert said(cluster, 5555) == "external:203.0.113.50"
    cluster.delete("svc", "default/log")
    cluster.delete("endpointslice", "default/log-1")
    assert said(cluster, 5555) == said(cluster.copy(), 5555) == "external:203.0.113.50"
    assert said(cluster, 5556) is None
