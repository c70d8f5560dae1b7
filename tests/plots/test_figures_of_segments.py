"""Several segments in a picture: each its own wire, the router between them, packet filters where they stand."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings

import kubenet_lab as kn
from kubenet_lab.plots.route import focus_of, route
from kubenet_lab.plots.scene import scene
from kubenet_lab.plots.shapes import Scene
from kubenet_lab.plots.topology_figure import describe
from tests.plots.test_scene_geometry import clusters

RACKS = {"rack-a": {"nodes": ["worker-1"]}, "rack-b": {"nodes": ["worker-2"], "mtu": 1400}}


@pytest.fixture(scope="module")
def racks() -> kn.Cluster:
    return kn.example("bookshop", underlay=kn.Underlay(segments=RACKS))


def places(cluster: kn.Cluster, trace: kn.Trace, **options: Any) -> list[str]:
    s = scene(cluster.topology(), focus_of(trace), **options)
    return [step.place for step in route(s, trace.hops, trace.answered_by)]


@pytest.mark.parametrize("columns", [None, 1])
def test_the_way_between_segments_goes_over_the_router(racks: kn.Cluster, columns: int | None) -> None:
    trace = racks.connect("shop/web", "shop/cart", port=8080)
    seen = places(racks, trace, columns=columns)
    assert seen.count("gateway") == 2 and "device:worker-2/flannel.1" in seen
    s = scene(racks.topology(), focus_of(trace), columns=columns)
    way = [p for step in route(s, trace.hops, trace.answered_by) for p in step.points]
    gate = s.box("gateway")
    assert gate is not None and any(gate.x <= x <= gate.x + gate.w and y >= gate.y for x, y in way)


def test_a_filter_stands_between_the_nic_and_the_wire() -> None:
    cluster = kn.example("bookshop", underlay=kn.Underlay(segments=RACKS, filters={"worker-2": "deny udp 8472"}))
    trace = cluster.connect("shop/web", "shop/cart", port=8080)
    assert places(cluster, trace)[-1] == "filter:worker-2"
    s = scene(cluster.topology())
    box, nic, node = s.box("filter:worker-2"), s.box("device:worker-2/eth0"), s.box("node:worker-2")
    assert box is not None and nic is not None and node is not None and box.y > node.y + node.h
    wire = next(line for line in s.lines if line.id == "wire:rack-b:0")
    assert box.y + box.h < wire.points[0][1]
    one = kn.example("bookshop", underlay={"filters": {"worker-2": ["deny udp 8472", "deny tcp 22"]}})
    texts = {t.text for t in scene(one.topology()).labels}
    assert "deny udp 8472 (+1)" in texts


def test_words_say_the_same(racks: kn.Cluster) -> None:
    cluster = racks.copy()
    cluster.underlay.filter("router", "deny icmp frag-needed").underlay.filter("worker-1", "deny tcp 22")
    words = describe(cluster.topology())
    assert "on 2 segments with a router between; pod network: flannel vxlan." in words
    assert "Segment rack-b: 192.168.51.0/24, MTU 1400, the router is 192.168.51.1." in words
    assert "worker-2: 192.168.51.12 on rack-b" in words
    assert "The router's filter: deny icmp frag-needed." in words and "security group: deny tcp 22" in words
    assert "segment" not in describe(kn.example("bookshop").topology())
    texts = [t.text for t in scene(cluster.topology()).labels]
    assert "rack-a · 192.168.50.0/24 · MTU 1500" in texts and "deny icmp frag-needed" in texts


def test_machines_on_a_segment_hang_on_its_wire(racks: kn.Cluster) -> None:
    cluster = racks.copy()
    trace = cluster.connect("external:192.168.51.77", "node:worker-2", 10250)
    assert "gateway" not in places(cluster, trace)
    s = scene(cluster.topology(), focus_of(trace))
    steps = route(s, trace.hops, trace.answered_by)
    gate = s.box("gateway")
    assert gate is not None
    for step in steps:
        assert not any(gate.x < x < gate.x + gate.w and gate.y < y < gate.y + gate.h for x, y in step.points)


def nets(s: Scene) -> list[tuple[str, tuple[tuple[float, float], tuple[float, float]]]]:
    """(segment, straight line) of every wire and of what leads to it."""
    out = []
    for line in s.lines:
        name = ""
        if line.id.startswith("wire:") and line.id != "wire:outside":
            name = line.id.split(":")[1]
        elif line.id.startswith("uplink:tap:gateway/"):
            name = line.id.partition("/")[2]
        if name:
            out += [(name, (a, b)) for a, b in pairwise(line.points)]
    return out


def crosses(a: Any, b: Any) -> bool:
    """Do two straight lines at right angles share a point?"""
    (ax, ay), (az, aw) = a
    (bx, by), (bz, bw) = b
    return (
        max(min(ax, az), min(bx, bz)) <= min(max(ax, az), max(bx, bz))
        and max(min(ay, aw), min(by, bw)) <= min(max(ay, aw), max(by, bw))
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(clusters(most_pods=12))
def test_wires_of_different_segments_never_meet(t: Any) -> None:
    for columns in (None, 1, 4) if t.segments else ():
        for (one, a), (other, b) in combinations(nets(scene(t, columns=columns)), 2):
            assert one == other or not crosses(a, b), f"{one} {a} meets {other} {b}"


@pytest.mark.parametrize("columns", [None, 1, 2, 6])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_wires_of_regular_racks_never_meet(count: int, columns: int | None) -> None:
    """A node or two on each of many segments, side by side and stacked."""
    nothing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    for nodes in (count, 2 * count):
        cluster = kn.load(nothing, nodes=nodes, dns="none", underlay=kn.Underlay(segments=count))
        for (one, a), (other, b) in combinations(nets(scene(cluster.topology(), columns=columns)), 2):
            assert one == other or not crosses(a, b), f"{one} {a} meets {other} {b}"
