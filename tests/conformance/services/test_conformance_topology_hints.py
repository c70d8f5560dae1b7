"""Hints that share a Service's endpoints between zones by their CPUs.

Source: kubernetes/kubernetes 1.34, staging/src/k8s.io/endpointslice/topologycache/topologycache_test.go (TestAddHints, TestSetNodes),
utils_test.go (Test_getGivingAndReceivingZones, Test_redistributeHints, Test_getHintsByZone), in our own form;
reconciler.go for what has precedence.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from kubenet_lab.objects.views import Node
from kubenet_lab.services import slices
from kubenet_lab.services.topology_hints import _kept, _Share, add_hints, cpu_ratios, cpus
from tests.conformance.services.service_tables import snapshot

THREE = {"a": 0.35, "b": 0.35, "c": 0.30}
TWO = {"a": 0.45, "b": 0.55}
#: name, CPU ratios, endpoints (zone, "-" before it: not ready), hints that they get (None: none at all)
HINTS: list[tuple[str, dict[str, float] | None, str, str | None]] = [
    ("empty", None, "", None),
    ("slice to create, no zone ratios", None, "a", None),
    ("slice to create with 2 endpoints, zone ratios require 3", {"a": 0.3, "b": 0.4, "c": 0.3}, "a b", None),
    ("slice to create with 2 endpoints, zone ratios only require 2", TWO, "a b", "a b"),
    ("slice to create with 2 ready, 1 unready, 1 unknown endpoints, zone ratios only require 2", TWO, "a b -b -b", "a b . ."),
    ("slices to create and update within 3 zone threshold", THREE, "a b c c a a a b c a", "b b c c a a a b c a"),
    ("an endpoint without a zone", TWO, "a b ?", None),
    ("a zone that no counted node is in keeps its own", TWO, "a b x x", "a b x x"),
    ("a minimum that cannot be met", {"a": 0.1, "b": 0.1, "c": 0.8}, "a b c", None),
    ("half an endpoint is given if a whole one is needed", {"a": 0.25, "b": 0.75}, "a a b b", "b a b b"),
    ("all in one zone", {"a": 0.5, "b": 0.5}, "a a a a", "b b a a"),
    ("uneven by less than one", {"a": 0.5, "b": 0.5}, "a a a a b b b", "a a a a b b b"),
    ("three for two zones: 2 is the least for each", {"a": 0.5, "b": 0.5}, "a a b", None),
]


@pytest.mark.parametrize(("name", "ratios", "zones", "hints"), HINTS, ids=[r[0] for r in HINTS])
def test_hints(name: str, ratios: dict[str, float] | None, zones: str, hints: str | None) -> None:
    endpoints: list[dict[str, Any]] = [
        {"conditions": {"ready": z[0] != "-"}} | ({"zone": z.lstrip("-")} if z != "?" else {}) for z in zones.split()
    ]
    assert add_hints(endpoints, ratios) == (hints is not None)
    found = [(e.get("hints") or {"forZones": [{"name": "."}]})["forZones"][0]["name"] for e in endpoints]
    assert " ".join(found) == (" ".join("." for _ in endpoints) if hints is None else hints)


#: name, most that each zone may have, hints given before, endpoints of the slice ("-": not ready, then the zones of its hints), result
KEPT: list[tuple[str, str, str, str, dict[str, int] | None]] = [
    ("empty", "", "", "", {}),
    ("single zone hint", "aaa", "a", "a", {"a": 1}),
    ("single zone hint with 1 unready endpoint and 1 unknown endpoint", "aaa", "a", "a -a -a", {"a": 1}),
    ("multiple zone hints", "aaabbbccc", "abc", "a b b", {"a": 1, "b": 2}),
    ("invalid by zones that no longer requires any allocations", "aaa", "abc", "x", None),
    ("invalid by endpoints with nil hints", "aaa", "", "?", None),
    ("invalid by endpoint with no hints", "aaa", "", ".", None),
    ("invalid by hints that would make minimum allocations impossible", "aa", "a", "a a", None),
    ("exactly as many as a zone may have", "aa", "", "a a", {"a": 2}),
    ("an endpoint with two zones counts in both", "aab", "", "ab a", {"a": 2, "b": 1}),
    ("a bad hint of an endpoint that is not ready", "aa", "", "a -x", {"a": 1}),
]


@pytest.mark.parametrize(("name", "most", "given", "endpoints", "result"), KEPT, ids=[r[0] for r in KEPT])
def test_hints_that_a_slice_may_keep(name: str, most: str, given: str, endpoints: str, result: dict[str, int] | None) -> None:
    def endpoint(text: str) -> dict[str, Any]:
        return {"conditions": {"ready": text[0] != "-"}} | ({"hints": {"forZones": named(text)}} if text != "?" else {})

    found = [endpoint(e) for e in endpoints.split()]
    assert _kept(found, Counter(given), {z: _Share(0, n, 0) for z, n in Counter(most).items()}) == result


def named(zones: str) -> list[dict[str, str]]:
    return [{"name": z} for z in zones if z not in "-."]


#: name, CPU ratios, changed endpoints ("zone"), unchanged slices ("zone>hint"), hints after it (of the changed ones, then of each slice)
KEEPING: list[tuple[str, dict[str, float], str, list[str], str, list[str]]] = [
    ("hints that were given before stay", {"a": 0.5, "b": 0.5}, "a b", ["a>b b>a"], "a b", ["b a"]),
    ("what is new makes up for them", {"a": 0.5, "b": 0.5}, "a a", ["a>a a>a"], "b b", ["a a"]),
    ("one that has too many is shared anew", {"a": 0.5, "b": 0.5}, "b", ["a>a a>a a>a"], "b", ["b a a"]),
    ("the first has its place, the second none", {"a": 0.5, "b": 0.5}, "", ["a>a a>a", "a>a a>a"], "", ["a a", "b b"]),
    ("new ratios within what a zone may have", {"a": 0.6, "b": 0.4}, "", ["a>a a>a b>b b>b"], "", ["a a b b"]),
    ("new ratios beyond it", {"a": 0.9, "b": 0.1}, "", ["a>a a>a b>b b>b b>b b>b b>b b>b b>b b>b"], "", ["a a a a a a a a a b"]),
    ("a zone that is gone", {"a": 0.5, "b": 0.5}, "", ["a>c b>b"], "", ["a b"]),
    ("too few for all zones: no hints, nor those of before", {"a": 0.3, "b": 0.4, "c": 0.3}, "a", ["b>b"], ".", ["."]),
    ("no hints where one of the new ones has no zone", {"a": 0.5, "b": 0.5}, "?", ["a>a b>b b>b"], ".", [". . ."]),
]


@pytest.mark.parametrize(("name", "ratios", "changed", "unchanged", "new", "old"), KEEPING, ids=[r[0] for r in KEEPING])
def test_unchanged_slices(name: str, ratios: dict[str, float], changed: str, unchanged: list[str], new: str, old: list[str]) -> None:
    def endpoint(text: str) -> dict[str, Any]:
        zone, _, hint = text.partition(">")
        zones = {} if zone == "?" else {"zone": zone}
        return {"conditions": {"ready": True}, **zones} | ({"hints": {"forZones": named(hint)}} if hint else {})

    parts = [[endpoint(e) for e in text.split()] for text in (changed, *unchanged)]
    add_hints(parts[0], ratios, parts[1:])
    assert [" ".join((e.get("hints") or {"forZones": [{"name": "."}]})["forZones"][0]["name"] for e in p) for p in parts] == [new, *old]


#: name, nodes (zone, CPU, ready, control plane), ratios
NODES: list[tuple[str, list[tuple[str, str, bool, bool]], dict[str, float] | None]] = [
    ("empty", [], None),
    ("single node", [("a", "1000m", True, False)], None),
    ("single zone", [("a", "1000m", True, False)] * 2, None),
    ("2 zones", [("a", "1000m", True, False), ("b", "1000m", True, False)], {"a": 0.5, "b": 0.5}),
    ("unready node in 1", [("a", "1000m", False, False), ("b", "1000m", True, False)], None),
    ("control plane node in 1", [("a", "1000m", True, False), ("b", "1000m", True, True)], None),
    ("unready node in 2", [("a", "1", True, False), ("b", "1", True, False), ("b", "1", False, False)], {"a": 0.5, "b": 0.5}),
    ("control plane node in 2", [("a", "1", True, False), ("b", "1", True, False), ("b", "1", True, True)], {"a": 0.5, "b": 0.5}),
    ("a node without CPUs", [("a", "1", True, False), ("b", "1", True, False), ("b", "0", True, False)], None),
    ("a node without a zone", [("a", "1", True, False), ("b", "1", True, False), ("", "1", True, False)], None),
    ("3 zones", [*[("a", "1000m", True, False)] * 3, ("a", "2000m", True, False), ("b", "3000m", True, False),
                 ("b", "1500m", True, False), ("c", "500m", True, False)], {"a": 0.5, "b": 0.45, "c": 0.05}),
]  # fmt: skip


def node(name: str, zone: str, cpu: str, ready: bool = True, plane: bool = False) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    labels |= {"node-role.kubernetes.io/control-plane": ""} if plane else {}
    status = {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


@pytest.mark.parametrize(("name", "nodes", "ratios"), NODES, ids=[r[0] for r in NODES])
def test_ratios(name: str, nodes: list[tuple[str, str, bool, bool]], ratios: dict[str, float] | None) -> None:
    assert cpu_ratios([msgspec.convert(node(f"n{i}", *n), Node) for i, n in enumerate(nodes)]) == ratios


def test_quantities() -> None:
    rows = {"1500m": Fraction(3, 2), "2": 2, 4: 4, ".5": Fraction(1, 2), "1e3m": 0, "2e3": 2000, "1Ki": 1024, "": 0, "x": 0, "٣": 0}
    assert {q: cpus(q) for q in rows} == rows


def cluster(annotations: dict[str, str], *nodes: dict[str, Any], **spec: Any) -> list[dict[str, Any]]:
    spec = {"clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}], **spec}
    metadata: dict[str, Any] = {"name": "web", "namespace": "shop", "annotations": annotations}
    found = [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, *nodes]
    for i in range(4):
        status = {"phase": "Running", "podIPs": [{"ip": f"10.244.1.{i + 2}"}], "conditions": [{"type": "Ready", "status": "True"}]}
        metadata = {"name": f"web-{i}", "namespace": "shop", "labels": {"app": "web"}}
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "one"}, "status": status})
    return found


MODE, OLD = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
SHARED, CLOSE = {"a": 2, "b": 2}, {"a": 4}


@pytest.mark.parametrize(("annotations", "distribution", "hints"), [
    ({}, "", {}), ({MODE: "Auto"}, "", SHARED), ({MODE: "auto"}, "", SHARED), ({MODE: "AUTO"}, "", {}), ({MODE: "Disabled"}, "", {}),
    ({OLD: "Auto"}, "", SHARED), ({OLD: "Disabled", MODE: "Auto"}, "", {}), ({OLD: "auto", MODE: "Disabled"}, "", SHARED),
    ({MODE: "Auto"}, "PreferClose", SHARED), ({MODE: "Disabled"}, "PreferClose", CLOSE), ({}, "PreferSameZone", CLOSE),
    ({}, "PreferFar", {}),
])  # fmt: skip
def test_the_annotation_has_precedence(annotations: dict[str, str], distribution: str, hints: dict[str, int]) -> None:
    spec = {"trafficDistribution": distribution} if distribution else {}
    documents = cluster(annotations, node("one", "a", "2"), node("two", "b", "2"), **spec)
    changes = slices(snapshot(documents))
    [found] = changes.write
    given = Counter(z["name"] for e in found["endpoints"] for z in e.get("hints", {}).get("forZones", ()))
    assert (given, changes.notes) == (hints, ())
    assert slices(snapshot([*documents, found])).write == ()


def test_unknown_cpus_are_said() -> None:
    def bare(name: str, zone: str) -> dict[str, Any]:
        return {**node(name, zone, "1"), "status": {}}

    changes = slices(snapshot(cluster({MODE: "Auto"}, bare("one", "a"), bare("two", "b"), trafficDistribution="PreferClose")))
    assert changes.notes == ("Service shop/web: its endpoints get no hints, for a node has no status.allocatable.cpu to share them by",)
    assert not any("hints" in e for e in changes.write[0]["endpoints"])
    assert slices(snapshot(cluster({MODE: "Auto"}, bare("one", "a"), bare("two", "a")))).notes == ()


def pods_of(documents: list[dict[str, Any]], nodes: str) -> list[dict[str, Any]]:
    """The documents with a pod on each of the nodes named, in place of the pods that they have."""
    pod = next(d for d in documents if d["kind"] == "Pod")
    found = [d for d in documents if d["kind"] != "Pod"]
    for i, name in enumerate(nodes.split()):
        status = {**pod["status"], "podIPs": [{"ip": f"10.244.1.{i + 2}"}]}
        found.append({**pod, "metadata": {**pod["metadata"], "name": f"web-{i}"}, "spec": {"nodeName": name}, "status": status})
    return found


def hints_of(documents: list[dict[str, Any]]) -> dict[str, str]:
    """The zone that each pod's endpoint is hinted to."""
    return {e["targetRef"]["name"]: e["hints"]["forZones"][0]["name"] for d in documents for e in d["endpoints"] if "hints" in e}


def test_slices_that_do_not_change_keep_their_hints() -> None:
    base = cluster({MODE: "Auto"}, node("one", "a", "2"), node("two", "b", "2"))
    before = slices(snapshot(pods_of(base, "one one one one")), max_endpoints=2).write
    assert hints_of(list(before)) == {"web-0": "b", "web-1": "b", "web-2": "a", "web-3": "a"}
    # two more in zone b: shared from the start, nothing of zone a would go there but one
    now = pods_of(base, "one one one one two two")
    assert hints_of(list(slices(snapshot(now), max_endpoints=2).write)) == {
        "web-0": "b", "web-1": "a", "web-2": "a", "web-3": "a", "web-4": "b", "web-5": "b"
    }  # fmt: skip
    changes = slices(snapshot([*now, *before]), max_endpoints=2)
    assert hints_of(list(changes.write)) == {"web-4": "a", "web-5": "b"}
    assert slices(snapshot([*now, *before, *changes.write]), max_endpoints=2).write == ()


def test_new_cpus_that_the_hints_still_fit() -> None:
    base = pods_of(cluster({MODE: "Auto"}, node("one", "a", "2"), node("two", "b", "2")), "one one one two two two two two")
    [before] = slices(snapshot(base)).write
    first = hints_of([before])
    assert Counter(first.values()) == {"a": 4, "b": 4}
    for cpu, changed, given in (("2500m", False, {"a": 4, "b": 4}), ("6", True, {"a": 6, "b": 2}), ("0", True, {})):
        nodes = [node("one", "a", cpu), node("two", "b", "2")]
        changes = slices(snapshot([*nodes, *(d for d in base if d["kind"] != "Node"), before]))
        assert bool(changes.write) == changed, cpu
        assert Counter(hints_of(list(changes.write) or [before]).values()) == given, cpu


def test_hints_come_to_rest() -> None:
    """New CPUs under which one round leaves a zone below its least number, which the controller finds in its next round."""
    write: tuple[dict[str, Any], ...] = ()
    for cpus_of in ((2, 7, 8, 3), (4, 9, 4, 8)):
        nodes = [node(zone, zone, str(n)) for zone, n in zip("abcd", cpus_of, strict=True)]
        documents = pods_of(cluster({MODE: "Auto"}, *nodes), "b c b d b b c a a b")
        write = slices(snapshot([*documents, *write]), max_endpoints=5).write
        assert slices(snapshot([*documents, *write]), max_endpoints=5).write == ()
