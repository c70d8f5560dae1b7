"""The scheduler's filters, as kube-scheduler's own tests have them, and the lab's even spread."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kubenet_lab.objects import Store, pending, running, schedule, with_ready
from kubenet_lab.objects.scheduling import node_selector_matches, tolerates, untolerated
from kubenet_lab.objects.views import Node, Pod, Taint, Toleration


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
    }


def pod(name: str, labels: dict[str, str] | None = None, ports: list[Any] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "ports": ports or []}
    meta = {"name": name, "namespace": "shop", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def placed(*objects: Any) -> dict[str, str]:
    store = Store()
    store.apply(list(objects))
    store.commit(schedule(store.snapshot()), by="scheduler")
    return {p.name: p.spec.node_name for p in store.snapshot().list(Pod)}


def why(*objects: Any) -> str:
    store = Store()
    store.apply(list(objects))
    (finding,) = schedule(store.snapshot()).findings
    return finding.message


TWO = [node("a"), node("b")]


@pytest.mark.parametrize(
    ("toleration", "taint", "expected"),
    [  # component-helpers / core/v1 toleration_test.go TestTolerationToleratesTaint
        ({"key": "foo", "operator": "Exists", "effect": "NoSchedule"}, {"key": "foo", "value": "bar", "effect": "NoSchedule"}, True),
        ({"key": "foo", "operator": "Exists"}, {"key": "foo", "value": "bar", "effect": "NoSchedule"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, {"key": "foo", "value": "bar", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, {"key": "foo", "value": "bar", "effect": "NoExecute"}, True),
        ({"key": "foo", "operator": "Exists", "effect": "NoSchedule"}, {"key": "foo", "value": "bar", "effect": "NoExecute"}, False),
        (
            {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"},
            {"key": "foo", "value": "bar", "effect": "NoSchedule"},
            True,
        ),
        ({"key": "foo", "value": "bar", "effect": "NoSchedule"}, {"key": "foo", "value": "bar", "effect": "NoSchedule"}, True),
        ({"key": "foo", "operator": "Equal", "value": "bar1"}, {"key": "foo", "value": "bar2", "effect": "NoSchedule"}, False),
        ({"key": "foo1", "operator": "Exists"}, {"key": "foo2", "effect": "NoSchedule"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], taint: dict[str, str], expected: bool) -> None:
    assert tolerates(msgspec.convert(toleration, type=Toleration), msgspec.convert(taint, type=Taint)) is expected


def test_prefer_no_schedule_keeps_nobody_away() -> None:
    assert untolerated([], [Taint(key="a", effect="PreferNoSchedule")]) is None
    assert untolerated([], [Taint(key="a", effect="NoExecute")]) == Taint(key="a", effect="NoExecute")


@pytest.mark.parametrize(
    ("terms", "expected"),
    [  # plugins/nodeaffinity/node_affinity_test.go TestNodeAffinity
        ([{"matchExpressions": [{"key": "foo", "operator": "In", "values": ["bar", "value2"]}]}], True),
        ([{"matchExpressions": [{"key": "kernel-version", "operator": "Gt", "values": ["0204"]}]}], True),
        ([{"matchExpressions": [{"key": "mem-type", "operator": "NotIn", "values": ["DDR", "DDR2"]}]}], True),
        ([{"matchExpressions": [{"key": "GPU", "operator": "Exists"}]}], False),
        ([{"matchExpressions": [{"key": "GPU", "operator": "DoesNotExist"}]}], True),
        ([{"matchExpressions": [{"key": "foo", "operator": "In", "values": ["value1"]}]}], False),
        ([], False),
        ([{}], False),
        ([{"matchExpressions": []}], False),
        ([{}, {"matchExpressions": [{"key": "foo", "operator": "Exists"}]}], True),
        ([{"matchExpressions": [{"key": "foo", "operator": "Exists"}, {"key": "foo", "operator": "In", "values": ["x"]}]}], False),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node1"]}]}], True),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node2"]}]}], False),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node1"]}],
           "matchExpressions": [{"key": "foo", "operator": "In", "values": ["x"]}]}], False),
    ],
)  # fmt: skip
def test_node_affinity(terms: list[Any], expected: bool) -> None:
    document = node("node1", {"foo": "bar", "kernel-version": "0206"})
    assert node_selector_matches({"nodeSelectorTerms": terms}, msgspec.convert(document, type=Node)) is expected


def test_spread_by_owner_then_by_count_then_by_name() -> None:
    assert placed(*TWO, pod("x"), pod("y"), pod("z")) == {"x": "a", "y": "b", "z": "a"}
    assert placed(*TWO, pod("seen", nodeName="a"), pod("x"), pod("y")) == {"seen": "a", "x": "b", "y": "a"}


def test_pods_of_one_owner_are_spread_before_nodes_are_filled_evenly() -> None:
    def owned(name: str, who: str, **spec: Any) -> dict[str, Any]:
        document = pod(name, **spec)
        document["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": who, "uid": who, "controller": True}
        ]
        return document

    busy = [pod(f"busy-{i}", nodeName="b") for i in range(5)]
    assert placed(*TWO, *busy, owned("w-1", "w"), owned("w-2", "w"))["w-2"] == "b"


def test_node_selector_and_affinity() -> None:
    ssd = node("b", {"disk": "ssd"})
    assert placed(node("a"), ssd, pod("x", nodeSelector={"disk": "ssd"}))["x"] == "b"
    wanted = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}}  # fmt: skip
    assert placed(node("a"), ssd, pod("x", affinity=wanted))["x"] == "b"
    assert why(node("a"), pod("x", nodeSelector={"disk": "ssd"})) == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    )


def test_taints_and_cordons() -> None:
    control = node("a", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
    assert placed(control, node("b"), pod("x"), pod("y")) == {"x": "b", "y": "b"}
    assert placed(control, pod("x", tolerations=[{"operator": "Exists"}])) == {"x": "a"}
    assert why(control, node("b", unschedulable=True), pod("x")) == (
        "0/2 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 1 node(s) were unschedulable."
    )


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [  # plugins/nodeports/node_ports_test.go TestNodePorts
        ([], [{"containerPort": 80, "hostPort": 8080}], True),
        ([{"containerPort": 80, "hostPort": 8080}], [{"containerPort": 80, "hostPort": 8080}], False),
        ([{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}], [{"containerPort": 80, "hostPort": 8080}], True),
        (
            [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}],
            [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.2"}],
            True,
        ),
        ([{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}], [{"containerPort": 80, "hostPort": 8080}], False),
        ([{"containerPort": 80}], [{"containerPort": 80}], True),
    ],
)
def test_host_ports(first: list[Any], second: list[Any], fits: bool) -> None:
    objects = [node("a"), pod("first", ports=first, nodeName="a"), pod("second", ports=second)]
    assert (placed(*objects)["second"] == "a") is fits
    if not fits:
        assert why(*objects) == "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."


def test_host_network_takes_the_ports_of_the_node() -> None:
    two = [pod(n, ports=[{"containerPort": 80}], hostNetwork=True) for n in ("x", "y")]
    assert placed(*TWO, *two) == {"x": "a", "y": "b"}
    assert placed(node("a"), *two) == {"x": "a", "y": ""}


def affinity(kind: str, labels: dict[str, str], key: str = "kubernetes.io/hostname", **more: Any) -> dict[str, Any]:
    return {
        kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": labels}, "topologyKey": key, **more}]}
    }


def test_pod_anti_affinity() -> None:
    apart = {"affinity": affinity("podAntiAffinity", {"app": "x"})}
    assert placed(*TWO, *[pod(n, {"app": "x"}, **apart) for n in ("p1", "p2", "p3")]) == {"p1": "a", "p2": "b", "p3": ""}
    wary = pod("old", {"app": "y"}, nodeName="a", affinity=affinity("podAntiAffinity", {"app": "x"}))
    assert placed(node("a"), wary, pod("new", {"app": "x"}))["new"] == "", "the rules of pods that run already hold too"


def test_pod_affinity() -> None:
    near = affinity("podAffinity", {"app": "x"})
    assert placed(*TWO, pod("old", {"app": "x"}, nodeName="b"), pod("new", affinity=near))["new"] == "b"
    assert placed(*TWO, pod("new", affinity=near))["new"] == "", "nobody to be near"
    assert placed(*TWO, pod("new", {"app": "x"}, affinity=near))["new"] == "a", "the first of a group starts it"
    elsewhere = affinity("podAffinity", {"app": "x"}, namespaces=["other"])
    assert placed(*TWO, pod("old", {"app": "x"}, nodeName="b"), pod("new", affinity=elsewhere))["new"] == ""


def test_topology_spread() -> None:
    rule = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}
    zones = [node("a", {"zone": "1"}), node("b", {"zone": "1"}), node("c", {"zone": "2"})]
    found = placed(*zones, *[pod(f"p{i}", {"app": "x"}, topologySpreadConstraints=[rule]) for i in range(4)])
    assert sorted(found.values()) == ["a", "b", "c", "c"]
    assert placed(node("a"), pod("p", {"app": "x"}, topologySpreadConstraints=[rule]))["p"] == ""


def test_a_pod_that_fits_nowhere_stays_pending() -> None:
    store = Store()
    store.apply([pod("x")])
    changes = schedule(store.snapshot())
    assert [(f.object, f.message) for f in changes.findings] == [("Pod shop/x", "no nodes available to schedule pods")]
    store.commit(changes, by="scheduler")
    assert store.document("pod", "shop/x")["status"] == {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes available to schedule pods"}
        ],
    }
    assert not store.commit(schedule(store.snapshot()), by="scheduler"), "nothing new the second time"
    store.apply(node("a"))
    store.commit(schedule(store.snapshot()), by="scheduler")
    assert store.document("pod", "shop/x")["status"]["conditions"] == [{"type": "PodScheduled", "status": "True"}]


def test_scheduling_gates() -> None:
    store = Store()
    store.apply([node("a"), pod("x", schedulingGates=[{"name": "wait"}])])
    store.commit(schedule(store.snapshot()), by="scheduler")
    assert store.document("pod", "shop/x")["status"]["conditions"][0]["reason"] == "SchedulingGated"


# --- statuses of pods --------------------------------------------------------------------------------------------
def test_running_and_ready() -> None:
    store = Store()
    store.apply([node("a"), pod("x", nodeName="a")])
    document = running(store.document("pod", "shop/x"), ["10.244.1.5", "fd00::5"], "192.168.50.11", at=61)
    store.write([document], by="kubelet")
    view = store.snapshot().get(Pod, "x", "shop")
    assert view is not None and view.ready and view.ips == ("10.244.1.5", "fd00::5") and view.status.host_ip == "192.168.50.11"
    status = document["status"]
    assert status["startTime"] == "2026-01-01T00:01:01Z" and status["qosClass"] == "BestEffort"
    assert [c["type"] for c in status["conditions"]] == [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    assert status["containerStatuses"][0]["ready"] is True
    assert running(document, ["10.244.1.5", "fd00::5"], "192.168.50.11", at=99) == document, "running twice is running once"
    sick = with_ready(document, False, at=120)
    assert not msgspec.convert(sick, type=Pod).ready and sick["status"]["containerStatuses"][0]["ready"] is False
    condition = next(c for c in sick["status"]["conditions"] if c["type"] == "Ready")
    assert condition["reason"] == "ContainersNotReady" and condition["lastTransitionTime"] == "2026-01-01T00:02:00Z"
    assert not msgspec.convert(running(sick, "10.244.1.5", "192.168.50.11"), type=Pod).ready, "an unready pod stays so"
    assert msgspec.convert(with_ready(sick, True), type=Pod).ready
    again = pending(document)
    assert "podIP" not in again["status"] and again["status"]["phase"] == "Pending"
    assert again["status"]["conditions"] == [c for c in status["conditions"] if c["type"] == "PodScheduled"]
