"""Which slices the EndpointSlice controller makes, changes, deletes and leaves alone.

Source: kubernetes/kubernetes 1.34, staging/src/k8s.io/endpointslice/reconciler_test.go (the test named in each row), utils_test.go
(TestSetEndpointSliceLabels), in our own form; the code itself where no test says it.
Every third pod is unready in upstream's tests; so it is here.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from typing import Any

import pytest

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.services import slices
from kubenet_lab.services.slice_reconciler import _closest_to_full
from tests.conformance.services.service_tables import view

Document = dict[str, Any]
MANAGED, SERVICE, HEADLESS = "endpointslice.kubernetes.io/managed-by", "kubernetes.io/service-name", "service.kubernetes.io/headless"
OURS = {MANAGED: "endpointslice-controller.k8s.io", SERVICE: "foo"}
HTTP = [{"name": "http", "port": 80, "protocol": "TCP"}]


def service(**spec: Any) -> Document:
    ports = [{"name": "http", "port": 80, "targetPort": 80}]
    base = {"clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"], "selector": {"foo": "bar"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "foo", "namespace": "test", "uid": "u"}, "spec": {**base, **spec}}


def node(name: str = "node-1", zone: str = "") -> Document:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    status = {"allocatable": {"cpu": "100m"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def pod(i: int, on: str = "node-1", ready: bool | None = None, **container: Any) -> Document:
    conditions = [{"type": "Ready", "status": str(i % 3 != 0 if ready is None else ready)}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod{i:03}", "namespace": "test", "labels": {"foo": "bar"}, "uid": f"u{i}"},
        "spec": {"nodeName": on, "containers": [{"name": "c", **container}]},
        "status": {"phase": "Running", "podIPs": [{"ip": f"10.244.{i // 250}.{i % 250 + 1}"}], "conditions": conditions},
    }


class Cluster:
    """One Service with its pods and slices; `sync` is one run of the controller, and says how many slices it made, changed and deleted."""

    def __init__(self, subject: Document, pods: list[Document], nodes: list[Document] | None = None, size: int = 100) -> None:
        self.service, self.pods, self.nodes, self.size = subject, pods, [node()] if nodes is None else nodes, size
        self.slices: dict[str, Document] = {}

    def has(self, name: str, members: list[Document], **more: Any) -> None:
        """A slice that is there already, with these pods in it."""
        made = Cluster(self.service, members, self.nodes, size=1000)
        made.sync()
        [found] = made.slices.values()
        found["metadata"]["name"] = name
        self.slices[name] = {**found, **more}

    def sync(self) -> tuple[int, int, int]:
        found = [self.service, *self.nodes, *self.pods, *self.slices.values()]
        keys = [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in found]
        snapshot = Snapshot([view(d) for d in found], documents=dict(zip(keys, found, strict=True)))
        before = copy.deepcopy(self.slices)
        changes = slices(snapshot, max_endpoints=self.size)
        assert self.slices == before, "the stored documents are read only"
        written = {d["metadata"]["name"]: copy.deepcopy(d) for d in changes.write}
        assert len(written) == len(changes.write)
        updated = len(written.keys() & self.slices.keys())
        self.slices |= written
        for key in changes.delete:
            del self.slices[key.removeprefix("test/")]
        return len(written) - updated, updated, len(changes.delete)

    @property
    def lengths(self) -> dict[str, int]:
        return {name: len(s["endpoints"]) for name, s in self.slices.items()}

    def members(self) -> Counter[str]:
        return Counter(e["targetRef"]["name"] for s in self.slices.values() for e in s["endpoints"])


def sizes(cluster: Cluster) -> list[int]:
    assert cluster.members() == Counter(p["metadata"]["name"] for p in cluster.pods), "each pod is in one slice, once"
    return sorted(cluster.lengths.values(), reverse=True)


def many(n: int, start: int = 0) -> list[Document]:
    return [pod(i) for i in range(start, start + n)]


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(100, [100, 100, 50]), (50, [50] * 5), (80, [80, 80, 80, 10]), (150, [150, 100]), (250, [250]), (500, [250])],
)
def test_new_slices_are_filled(size: int, lengths: list[int]) -> None:
    """TestReconcileManyPods, TestReconcileMaxEndpointsPerSlice."""
    cluster = Cluster(service(), many(250), size=size)
    assert cluster.sync() == (len(lengths), 0, 0) and sizes(cluster) == lengths
    assert cluster.sync() == (0, 0, 0)


@pytest.mark.parametrize(
    ("count", "stop", "before", "changes", "lengths", "after"),
    [
        # TestReconcileEndpointSlicesSomePreexisting: 127 are new: a new slice of 100, and 27 into the fuller one
        (250, 246, {"one": 62, "two": 61}, (1, 1, 0), [100, 89, 61], {"one": 89, "two": 61}),
        # ...WorseAllocation: the 52 left over would fit into two slices, not into one
        (300, 296, {"one": 74, "two": 74}, (2, 0, 0), [100, 74, 74, 52], {"one": 74, "two": 74}),
    ],
)
def test_what_is_left_over_goes_into_one_slice_that_has_room_or_into_a_new_one(count, stop, before, changes, lengths, after) -> None:
    pods = many(count)
    cluster = Cluster(service(), pods)
    cluster.has("one", pods[1:stop:4])
    cluster.has("two", pods[3:stop:4])
    assert cluster.lengths == before
    assert cluster.sync() == changes and sizes(cluster) == lengths
    assert {name: cluster.lengths[name] for name in after} == after


def test_a_new_port_changes_the_slices_that_there_are() -> None:
    """TestReconcileEndpointSlicesUpdating."""
    cluster = Cluster(service(), many(250))
    cluster.sync()
    names = set(cluster.slices)
    cluster.service = service(ports=[{"name": "http", "port": 80, "targetPort": 81}])
    assert cluster.sync() == (0, 3, 0) and sizes(cluster) == [100, 100, 50] and set(cluster.slices) == names
    assert {p["port"] for s in cluster.slices.values() for p in s["ports"]} == {81}


@pytest.mark.parametrize(
    ("labels", "changed"),
    [
        ({"foo": "bar"}, 3),  # TestReconcileEndpointSlicesServicesLabelsUpdating
        ({SERVICE: "bad", MANAGED: "actor", HEADLESS: "invalid"}, 0),  # TestReconcileEndpointSlicesServicesReservedLabels
    ],
)
def test_labels_of_the_service(labels: dict[str, str], changed: int) -> None:
    cluster = Cluster(service(), many(250))
    cluster.sync()
    cluster.service["metadata"]["labels"] = labels
    assert cluster.sync() == (0, changed, 0) and sizes(cluster) == [100, 100, 50]
    carried = {k: v for k, v in labels.items() if k == "foo"}
    assert all(s["metadata"]["labels"] == {**OURS, **carried} for s in cluster.slices.values())
    cluster.service["metadata"]["labels"] = {}
    assert cluster.sync() == (0, changed, 0)
    assert all(s["metadata"]["labels"] == OURS for s in cluster.slices.values())


@pytest.mark.parametrize(
    ("source", "headless", "labels", "carried", "written", "updated"),
    [
        ("Service without labels", False, {}, {}, {}, False),
        ("Headless service with labels", True, {"foo": "bar"}, {}, {"foo": "bar", HEADLESS: ""}, True),
        ("Headless service without labels", True, {}, {}, {HEADLESS: ""}, False),
        ("Non Headless service with Headless label", False, {HEADLESS: ""}, {}, {}, False),
        ("Headless Service change to ClusterIP Service with headless label", False, {HEADLESS: ""}, {HEADLESS: ""}, {}, False),
        ("Headless Service change to ClusterIP Service; slice with headless label", False, {}, {HEADLESS: ""}, {}, False),
        ("Headless service and endpoint slice with same labels", True, {"foo": "bar"}, {"foo": "bar"}, {"foo": "bar", HEADLESS: ""}, False),
        ("Service with labels; slice with reserved labels", False, {"foo": "bar"}, {}, {"foo": "bar"}, True),
        ("Slice with labels and service without labels", False, {}, {"foo": "bar"}, {}, True),
        ("Evil service trying to hijack slice labels only well-known slice labels", False,
         {SERVICE: "bad", MANAGED: "actor", HEADLESS: "invalid"}, {}, {}, False),
        ("Evil service trying to hijack slice labels with updates", False,
         {SERVICE: "bad", MANAGED: "actor", "foo": "bar"}, {}, {"foo": "bar"}, True),
    ],
)  # fmt: skip
def test_labels_of_a_slice(
    source: str, headless: bool, labels: dict[str, str], carried: dict[str, str], written: dict[str, str], updated: bool
) -> None:
    """TestSetEndpointSliceLabels: reserved labels are no reason to write a slice, and are put right when there is another."""
    cluster = Cluster(service(**{"clusterIP": "None"} if headless else {}), many(2))
    cluster.service["metadata"]["labels"] = labels
    cluster.has("foo-1", cluster.pods)
    cluster.slices["foo-1"]["metadata"]["labels"] = {**OURS, **carried}
    assert cluster.sync() == (0, int(updated), 0)
    assert cluster.slices["foo-1"]["metadata"]["labels"] == ({**OURS, **written} if updated else {**OURS, **carried})
    cluster.pods = many(1)
    assert cluster.sync() == (0, 1, 0) and cluster.slices["foo-1"]["metadata"]["labels"] == {**OURS, **written}


def test_thinly_filled_slices_stay_until_all_must_change() -> None:
    """TestReconcileEndpointSlicesRecycling: ten of 30; nothing to do, then a new port: three are changed, seven deleted."""
    pods = many(300)
    cluster = Cluster(service(), pods)
    for i in range(10):
        cluster.has(f"slice-{i}", pods[30 * i : 30 * i + 30])
    names = set(cluster.slices)
    assert cluster.sync() == (0, 0, 0)
    cluster.service = service(ports=[{"name": "http", "port": 80, "targetPort": 81}])
    assert cluster.sync() == (0, 3, 7) and sizes(cluster) == [100, 100, 100] and set(cluster.slices) < names


def test_what_changes_anyway_is_filled_first_the_fullest_of_them() -> None:
    """TestReconcileEndpointSlicesUpdatePacking."""
    first, second = [pod(i, ready=True) for i in range(80)], [pod(i, ready=True) for i in range(100, 120)]
    cluster = Cluster(service(), [*first, *second])
    cluster.has("a-small", second)
    cluster.has("b-large", first)
    cluster.pods = [pod(i, ready=i % 10 != 0) for i in [*range(80), *range(100, 120)]] + [pod(i, ready=True) for i in range(200, 215)]
    assert cluster.sync() == (0, 2, 0) and cluster.lengths == {"a-small": 20, "b-large": 95}


def test_a_slice_that_changes_goes_before_one_that_is_fuller() -> None:
    """reconcileByPortMapping, step 2 before step 3: one write, where filling the other would be two."""
    first, second = many(90), [pod(i, ready=True) for i in range(100, 120)]
    cluster = Cluster(service(), [*first, *second])
    cluster.has("full", first)
    cluster.has("small", second)
    cluster.pods = [*first, pod(100, ready=False), *second[1:], *many(5, 200)]
    assert cluster.sync() == (0, 1, 0) and cluster.lengths == {"full": 90, "small": 25}


def test_another_address_type_is_replaced_not_changed() -> None:
    """TestReconcileEndpointSlicesReplaceDeprecated: addressType cannot be changed."""
    cluster = Cluster(service(), [*many(80), *many(50, 100)])
    cluster.has("one", cluster.pods[:80], addressType="IP")
    cluster.has("two", cluster.pods[80:], addressType="IP")
    assert cluster.sync() == (2, 0, 2) and sizes(cluster) == [100, 30]
    assert {s["addressType"] for s in cluster.slices.values()} == {"IPv4"}


@pytest.mark.parametrize(("uid", "actions"), [("u", (0, 0, 0)), ("different", (1, 0, 1))])
def test_a_service_that_was_made_anew(uid: str, actions: tuple[int, int, int]) -> None:
    """TestReconcileEndpointSlicesRecreation: slices of another Service of that name give not even their names."""
    cluster = Cluster(service(), many(1))
    cluster.has("old", cluster.pods)
    cluster.slices["old"]["metadata"]["ownerReferences"][0]["uid"] = uid
    assert cluster.sync() == actions and sizes(cluster) == [1]


def test_named_ports() -> None:
    """TestReconcileEndpointSlicesNamedPorts: five numbers behind one name, five slices."""
    ports = [{"port": 80, "targetPort": "http", "protocol": "TCP"}]
    cluster = Cluster(service(ports=ports), [pod(i, ports=[{"name": "http", "containerPort": 8080 + i % 5}]) for i in range(300)])
    assert cluster.sync() == (5, 0, 0) and sizes(cluster) == [60] * 5
    assert sorted(p["port"] for s in cluster.slices.values() for p in s["ports"]) == [8080, 8081, 8082, 8083, 8084]
    # a pod whose port moves leaves one slice and goes to another
    cluster.pods[0] = pod(0, ports=[{"name": "http", "containerPort": 8081}])
    assert cluster.sync() == (0, 2, 0) and sizes(cluster) == [61, 60, 60, 60, 59]


@pytest.mark.parametrize(
    ("source", "existing", "actions"),
    [
        ("No existing placeholder", None, (1, 0, 0)),
        ("Existing placeholder that's the same", {}, (0, 0, 0)),
        ("Existing placeholder that's different", {"labels": {**OURS, "bar": "baz"}}, (0, 1, 0)),
        ("one that another Service of the name has left", {"ownerReferences": []}, (0, 0, 0)),
    ],
)
def test_placeholder(source: str, existing: Document | None, actions: tuple[int, int, int]) -> None:
    """TestReconcileEmpty, TestReconcile1EndpointSlice, TestPlaceHolderSliceCompare: of the metadata only labels are compared."""
    cluster = Cluster(service(), [])
    if existing is not None:
        cluster.has("foo-1", [])
        cluster.slices["foo-1"]["metadata"] |= existing
    assert cluster.sync() == actions
    [found] = cluster.slices.values()
    assert (found["ports"], found["endpoints"], found["metadata"]["labels"]) == ([], [], OURS)
    assert cluster.sync() == (0, 0, 0)


def test_down_to_nothing_and_up_again() -> None:
    """finalize: the last slice becomes the placeholder, and the placeholder a slice; the name stays."""
    cluster = Cluster(service(), many(3))
    cluster.sync()
    names = set(cluster.slices)
    for pods, ports in (([], []), (many(2), HTTP)):
        cluster.pods = pods
        assert cluster.sync() == (0, 1, 0) and set(cluster.slices) == names
        assert [s["ports"] for s in cluster.slices.values()] == [ports]


def test_up_and_down() -> None:
    """TestReconcileEndpointSlicesMetrics, and what follows: endpoints stay where they are, an empty slice goes."""
    cluster = Cluster(service(), many(250))
    cluster.sync()
    first, second, third = (
        n for n, _ in sorted(cluster.lengths.items(), key=lambda s: cluster.slices[s[0]]["endpoints"][0]["targetRef"]["name"])
    )
    inside = {n: [e["targetRef"]["name"] for e in s["endpoints"]] for n, s in cluster.slices.items()}
    cluster.pods = cluster.pods[50:]
    assert cluster.sync() == (0, 1, 0) and cluster.lengths == {first: 50, second: 100, third: 50}
    assert [e["targetRef"]["name"] for e in cluster.slices[first]["endpoints"]] == inside[first][50:]
    cluster.pods = cluster.pods[:150]
    assert cluster.sync() == (0, 0, 1) and cluster.lengths == {first: 50, second: 100}
    cluster.pods += many(50, 300)
    assert cluster.sync() == (0, 1, 0) and cluster.lengths == {first: 100, second: 100}
    cluster.pods += many(1, 400)
    assert cluster.sync() == (1, 0, 0) and sizes(cluster) == [100, 100, 1]


@pytest.mark.parametrize(
    ("changes", "actions"),
    [
        ({"status": {"podIPs": [{"ip": "10.244.9.9"}], "conditions": [{"type": "Ready", "status": "True"}]}}, (0, 1, 0)),  # another address
        (
            {"status": {"podIPs": [{"ip": "10.244.0.2"}], "conditions": [{"type": "Ready", "status": "False"}]}},
            (0, 1, 0),
        ),  # no longer ready
        ({"metadata": {"name": "pod001", "namespace": "test", "labels": {"foo": "bar", "v": "2"}, "uid": "u1"}}, (0, 0, 0)),
        ({"metadata": {"name": "pod001", "namespace": "test", "labels": {"foo": "bar"}, "uid": "another"}}, (0, 1, 0)),
        ({"metadata": {"name": "pod001", "namespace": "test", "labels": {"foo": "baz"}, "uid": "u1"}}, (0, 1, 0)),  # no longer selected
    ],
)
def test_a_pod_changes(changes: Document, actions: tuple[int, int, int]) -> None:
    """EndpointsEqualBeyondHash, hashEndpoint: which changes of a pod are changes of its endpoint."""
    cluster = Cluster(service(), many(3))
    cluster.sync()
    cluster.pods[1] = {**cluster.pods[1], **changes}
    assert cluster.sync() == actions
    assert cluster.sync() == (0, 0, 0)


def test_an_endpoint_that_two_slices_list_stays_in_the_first() -> None:
    """reconcileByPortMapping, step 1: once found, it need not be handled again."""
    pods = many(4)
    cluster = Cluster(service(), pods)
    cluster.has("a", pods[:3])
    cluster.has("b", pods[2:])
    assert cluster.sync() == (0, 1, 0) and cluster.lengths == {"a": 3, "b": 1}


def test_only_what_changes_is_written_anew() -> None:
    """reconcileByPortMapping copies the slice: what else it carries stays, but not an older change's time (addTriggerTimeAnnotation)."""
    cluster = Cluster(service(), many(2))
    cluster.has("mine", cluster.pods)
    notes = {"note": "x", "endpoints.kubernetes.io/last-change-trigger-time": "2025-01-01T00:00:00Z"}
    cluster.slices["mine"]["metadata"] |= {"annotations": notes, "uid": "kept"}
    cluster.pods = many(1)
    assert cluster.sync() == (0, 1, 0)
    assert cluster.slices["mine"]["metadata"]["annotations"] == {"note": "x"} and cluster.slices["mine"]["metadata"]["uid"] == "kept"


def test_a_service_on_its_way_out_gets_no_new_slices() -> None:
    """TestReconcilerFinalizeSvcDeletionTimestamp: changes and deletions go on, and so does a slice's new use."""
    cluster = Cluster(service(), many(150))
    cluster.has("old", cluster.pods[:100], ports=[{"name": "http", "port": 79, "protocol": "TCP"}])
    cluster.has("older", cluster.pods[100:], addressType="IPv6")
    cluster.service["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert cluster.sync() == (0, 1, 1) and cluster.lengths == {"old": 50}  # of two to make, the last takes the place of the old one
    assert cluster.sync() == (0, 0, 0)


@pytest.mark.parametrize(
    ("source", "publish", "nodes", "existing", "actions", "left"),
    [
        ("Create and publishNotReady false", False, ["node-0"], False, (1, 0, 0), 1),
        ("Create and publishNotReady true", True, ["node-0"], False, (1, 0, 0), 2),
        ("Update and publishNotReady false", False, ["node-0"], True, (0, 1, 0), 1),
        ("Update and publishNotReady true and all nodes missing", True, [], True, (0, 0, 0), 2),
        ("Update and publishNotReady true", True, ["node-0"], True, (0, 0, 0), 2),
        ("Update if publishNotReady false and no nodes are present", False, [], True, (0, 1, 0), 0),
    ],
)
def test_pods_whose_node_is_missing(
    source: str, publish: bool, nodes: list[str], existing: bool, actions: tuple[int, int, int], left: int
) -> None:
    """TestReconcilerPodMissingNode."""
    pods = [pod(i, f"node-{i}", ready=True) for i in range(2)]
    cluster = Cluster(service(publishNotReadyAddresses=publish), pods, [node("node-0"), node("node-1")])
    if existing:
        cluster.has("foo-1", pods)
    cluster.nodes = [node(n) for n in nodes]
    assert cluster.sync() == actions and sum(cluster.lengths.values()) == left and len(cluster.slices) == 1
    assert cluster.sync() == (0, 0, 0)


def test_publish_not_ready_addresses() -> None:
    """TestReconcile1EndpointSlicePublishNotReadyAddresses."""
    cluster = Cluster(service(publishNotReadyAddresses=True), many(50))
    assert cluster.sync() == (1, 0, 0) and sizes(cluster) == [50]
    assert all(e["conditions"]["ready"] for s in cluster.slices.values() for e in s["endpoints"])


ZONES = ("zone-a", "zone-b", "zone-c")
AB, AC, C = [7, 8, 16, 17, 18], [5, 6, 25, 26], [27, 28, 29]


@pytest.mark.parametrize(
    ("source", "mode", "existing", "hints", "crossing", "actions"),
    [
        ("enabling topologyCache, hintsAnnotation == auto", "auto", {"zone-c": C}, [1, 1, 1], 2, (0, 1, 0)),
        ("topology enabled, hintsAnnotation==auto, ratio beyond threshold", "auto", {"zone-a-c": AC}, None, 0, (0, 0, 0)),
        (
            "topology enabled, hintsAnnotation==Auto, more slices and endpoints",
            "Auto",
            {"zone-a-c": AC, "zone-a-b": AB},
            [3, 3, 3],
            1,
            (0, 2, 0),
        ),
        ("topology enabled, hintsAnnotation==disabled", "disabled", {"zone-a-c": AC, "zone-a-b": AB}, None, 0, (0, 0, 0)),
    ],
)
def test_topology(
    source: str, mode: str, existing: dict[str, list[int]], hints: list[int] | None, crossing: int, actions: tuple[int, int, int]
) -> None:
    """TestReconcileTopology: ten nodes a zone, a pod on each. (The row with the feature switched off has no counterpart in 1.34.)"""
    nodes = [node(f"node-{z}-{j}", z) for z in ZONES for j in range(10)]
    pods = [pod(i, n["metadata"]["name"], ready=True) for i, n in enumerate(nodes)]
    cluster = Cluster(service(), [pods[i] for members in existing.values() for i in members], nodes)
    for name, members in existing.items():
        cluster.has(name, [pods[i] for i in members])
    cluster.service["metadata"]["annotations"] = {"service.kubernetes.io/topology-aware-hints": mode}
    assert cluster.sync() == actions
    endpoints = [e for s in cluster.slices.values() for e in s["endpoints"]]
    if hints is None:
        assert not any("hints" in e for e in endpoints)
        return
    given = Counter(e["hints"]["forZones"][0]["name"] for e in endpoints)
    assert [given[z] for z in ZONES] == hints
    assert sum(e["hints"]["forZones"][0]["name"] != e["zone"] for e in endpoints) == crossing
    cluster.service["metadata"]["annotations"] = {}
    assert cluster.sync() == actions  # the hints go again (RemoveHintsFromSlices)
    assert not any("hints" in e for s in cluster.slices.values() for e in s["endpoints"])


@pytest.mark.parametrize(
    ("distribution", "mode", "hints", "crossing"),
    [
        ("PreferClose", "Disabled", [1, 3, 2], 0),
        ("PreferClose", "Auto", [2, 2, 2], 1),
        (None, "", None, 0),
        ("PreferSameZone", "Disabled", [1, 3, 2], 0),
        ("PreferSameNode", "", [1, 3, 2], 0),
        ("PreferFar", "", None, 0),
    ],
)
def test_traffic_distribution(distribution: str | None, mode: str, hints: list[int] | None, crossing: int) -> None:
    """TestReconcile_TrafficDistribution: one pod in zone-a, three in zone-b, two in zone-c."""
    nodes = [node(f"node-{i}", z) for i, z in enumerate(ZONES)]
    pods = [pod(i, f"node-{n}", ready=True) for i, n in enumerate((0, 1, 1, 1, 2, 2))]
    cluster = Cluster(service(**{"trafficDistribution": distribution} if distribution else {}), pods, nodes)
    cluster.service["metadata"]["annotations"] = {"service.kubernetes.io/topology-aware-hints": mode}
    assert cluster.sync() == (1, 0, 0)
    endpoints = [e for s in cluster.slices.values() for e in s["endpoints"]]
    given = Counter(z["name"] for e in endpoints for z in e.get("hints", {}).get("forZones", ()))
    assert [given[z] for z in ZONES] == (hints or [0, 0, 0])
    assert sum(e["hints"]["forZones"][0]["name"] != e["zone"] for e in endpoints if "hints" in e) == crossing
    assert all(("forNodes" in e.get("hints", {})) == (distribution == "PreferSameNode") for e in endpoints)
    assert cluster.sync() == (0, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "updated"),
    [(None, "PreferClose", 1), ("PreferClose", "PreferSameNode", 1), ("PreferSameNode", "PreferSameZone", 1),
     ("PreferClose", "PreferSameZone", 0), ("PreferSameZone", None, 1), ("PreferSameNode", "PreferFar", 1)],
)  # fmt: skip
def test_another_distribution_changes_hints_in_place(before: str | None, after: str | None, updated: int) -> None:
    """trafficdist_test.go, TestReconcileHints_*: a slice is changed only if a hint of a ready endpoint is wrong."""

    def with_distribution(value: str | None) -> Document:
        return service(**{"trafficDistribution": value} if value else {})

    cluster = Cluster(with_distribution(before), [pod(i, "one", ready=True) for i in range(3)], [node("one", "zone-a")])
    cluster.sync()
    cluster.service = with_distribution(after)
    assert cluster.sync() == (0, updated, 0)
    fresh = Cluster(with_distribution(after), cluster.pods, cluster.nodes)
    fresh.sync()
    assert [s["endpoints"] for s in cluster.slices.values()] == [s["endpoints"] for s in fresh.slices.values()]


@pytest.mark.parametrize(
    ("source", "lengths", "more", "size", "found"),
    [
        ("slice fits perfectly", [39, 40, 41], 60, 100, 1),
        ("slice can fit more", [26, 27, 28], 72, 100, 2),
        ("nothing fits", [41, 42], 60, 100, None),
        ("slice is full", [100, 0], 1, 100, 1),
        ("of equal ones any", [5, 5], 5, 100, 0),
        ("none", [], 5, 100, None),
    ],
)
def test_slice_to_fill(source: str, lengths: list[int], more: int, size: int, found: int | None) -> None:
    """utils.go, getSliceToFill: the one that is closest to full with the new ones in it."""
    kind: Document = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x", "namespace": "test"}}
    given = [view({**kind, "endpoints": [{"addresses": ["10.0.0.1"]}] * n}) for n in lengths]
    assert _closest_to_full(given, more, size) is (given[found] if found is not None else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("families", [["IPv4", "IPv6"], ["IPv6", "IPv4"]])
def test_families_go_each_their_own_way(families: list[str]) -> None:
    """Reconcile: by address type; a family that a Service loses takes its slices along."""
    spec = {"ipFamilies": families, "clusterIPs": ["10.96.0.20", "fd00:96::20"]}
    pods = many(3)
    for i, p in enumerate(pods):
        p["status"]["podIPs"].append({"ip": f"fd00:244::{i + 1}"})
    cluster = Cluster(service(**spec), pods)
    assert cluster.sync() == (2, 0, 0)
    assert sorted(s["addressType"] for s in cluster.slices.values()) == ["IPv4", "IPv6"]
    del pods[0]["status"]["podIPs"][1]
    assert cluster.sync() == (0, 1, 0)
    assert {s["addressType"]: len(s["endpoints"]) for s in cluster.slices.values()} == {"IPv4": 3, "IPv6": 2}
    cluster.service = service(ipFamilies=["IPv4"])
    assert cluster.sync() == (0, 0, 1)


@pytest.mark.parametrize(
    ("source", "ports", "listed"),
    [
        ("kube-dns of kubeadm, 1.25 to 1.34", ["dns/UDP/53", "dns-tcp/TCP/53", "metrics/TCP/9153"], "9153,53,53"),
        ("router-internal-default of OpenShift", ["http/TCP/80", "https/TCP/443", "metrics/TCP/1936"], "80,1936,443"),
        ("router-default of OpenShift", ["http/TCP/80", "https/TCP/443"], "80,443"),
        ("a Service of `oc new-app`, 4.18", ["8080-tcp/TCP/8080", "8443-tcp/TCP/8443"], "8443,8080"),
    ],
)
def test_ports_stand_in_the_order_of_a_hash(source: str, ports: list[str], listed: str) -> None:
    """portsInOrder. Source: what `kubectl get endpointslices` prints in real clusters; from 1.35 on kube-dns has 53,53,9153."""
    entries = [dict(zip(("name", "protocol", "port"), (*p.split("/")[:2], int(p.split("/")[2])), strict=True)) for p in ports]
    for order in (entries, entries[::-1]):
        cluster = Cluster(service(ports=order), many(1))
        cluster.sync()
        [found] = cluster.slices.values()
        assert ",".join(str(p["port"]) for p in found["ports"]) == listed
        cluster.service = service(ports=order[::-1])  # the same ports
        assert cluster.sync() == (0, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_changes_at_random(seed: int) -> None:
    """Whatever happens: each pod once, no slice too large, nobody moved, at rest after one run."""
    draw = random.Random(seed)
    size = draw.choice((1, 2, 3, 10))
    cluster, born = Cluster(service(), [], size=size), 0
    cluster.sync()
    for _ in range(15):
        where = {e["targetRef"]["name"]: n for n, s in cluster.slices.items() for e in s["endpoints"]}
        before = cluster.lengths
        cluster.pods = [p for p in cluster.pods if draw.random() < 0.8]
        for i, p in enumerate(cluster.pods):
            if draw.random() < 0.2:
                cluster.pods[i] = pod(int(p["metadata"]["name"][3:]), ready=draw.random() < 0.5)
        came = draw.randrange(8)
        cluster.pods += many(came, born)
        born += came
        created, updated, _ = cluster.sync()
        assert all(n <= size for n in cluster.lengths.values())
        assert cluster.members() == Counter(p["metadata"]["name"] for p in cluster.pods)
        if cluster.pods and where:
            now = {e["targetRef"]["name"]: n for n, s in cluster.slices.items() for e in s["endpoints"]}
            assert all(now[name] == slice_ for name, slice_ in where.items() if name in now)
        assert cluster.sync() == (0, 0, 0)
        if came == 0:
            assert created == 0 and updated <= len(before)
