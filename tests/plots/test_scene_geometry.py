"""Nothing overlaps, every text stays in its box, every packet finds its way, for clusters of any size."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenet_lab.cluster.topology import Topology, TopologyDevice, TopologyExternal, TopologyNode, TopologyPod, TopologySegment
from kubenet_lab.plots.metrics import shorten, text_width
from kubenet_lab.plots.route import focus_of, place, route
from kubenet_lab.plots.scene import scene
from kubenet_lab.plots.shapes import Scene

_spec = importlib.util.spec_from_file_location("plot_fixtures", Path(__file__).with_name("fixtures.py"))
fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixtures)

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.WMm", min_size=1, max_size=63)
SEGMENTS = st.text("abcdefghijklmnop-W", min_size=1, max_size=13)


@st.composite
def clusters(draw, most_pods=60):
    n = draw(st.integers(1, 9))
    v6 = draw(st.booleans())
    bridge, tunnels, nics = draw(st.booleans()), draw(st.integers(0, 2)), draw(st.integers(1, 2))
    nodes = []
    for i in range(n):
        devices = [TopologyDevice("cni0", "bridge", f"fd00:10:244:{i:x}::1" if v6 else f"10.244.{i}.1", 1450)] if bridge else []
        devices += [TopologyDevice(f"{draw(NAMES)}.{k}", "vxlan", f"10.244.{i}.0", 1450, "VNI 4096") for k in range(tunnels)]
        devices += [TopologyDevice(f"eth{k}", "physical", f"192.168.{100 + k}.{100 + i}", 1500) for k in range(nics)]
        nodes.append(TopologyNode(f"{i}{draw(NAMES)}", f"192.168.100.{100 + i}", f"10.244.{i}.0/24", tuple(devices), draw(st.booleans())))
    pods = []
    for i in range(draw(st.integers(0, most_pods))):
        node = nodes[draw(st.integers(0, n - 1))]
        space, name = draw(NAMES), draw(NAMES)
        address = f"fd00:10:244:{i:x}::{i:x}" if v6 else f"10.244.255.{i}"
        kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "Pod", ""]))
        pods.append(
            TopologyPod(f"{space}/{name}-{i}", address, node.name, space, name, kind, draw(st.booleans()), draw(st.integers(0, 5)) == 0)
        )
    services = tuple((f"{draw(NAMES)}/{draw(NAMES)}{i}", f"10.96.0.{i}") for i in range(draw(st.integers(0, 9))))
    externals = tuple(TopologyExternal(f"203.0.113.{i}") for i in range(draw(st.integers(0, 6))))
    if (count := draw(st.integers(1, 4))) == 1:
        return Topology(tuple(nodes), tuple(pods), externals, "192.168.100.0/24", 1500, "flannel vxlan", services)
    names = [f"{draw(SEGMENTS)}{k}" for k in range(count)]
    mtu = draw(st.sampled_from([1400, 9000]))
    segments = tuple(TopologySegment(name, f"192.168.{k}.0/24", mtu, f"192.168.{k}.1") for k, name in enumerate(names))
    rules = ("allow ingress tcp 10250 from 192.168.50.0/24", "deny ingress all")
    nodes = [
        replace(n, segment=draw(st.sampled_from(segments)).name, filter=rules[: draw(st.sampled_from([0, 0, 1, 2]))]) for n in nodes
    ]  # fmt: skip
    externals += tuple(TopologyExternal(f"192.168.{draw(st.integers(0, count - 1))}.{200 + i}") for i in range(draw(st.integers(0, 3))))
    at_router = rules[: draw(st.integers(0, 2))]
    wires = "192.168.0.0/24, 192.168.1.0/24"
    return Topology(tuple(nodes), tuple(pods), externals, wires, 1500, "flannel vxlan", services, "", "", segments, at_router)


def inside(inner, outer, slack=0.01):
    return inner[0] >= outer[0] - slack and inner[1] >= outer[1] - slack and inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack


def rect(box):
    return box.x, box.y, box.x + box.w, box.y + box.h


def check_geometry(s: Scene) -> None:
    boxes = {b.id: b for b in s.boxes}
    assert len(boxes) == len(s.boxes), "ids are unique"
    page = (0, 0, *s.size)
    for b in s.boxes:
        assert inside(rect(b), rect(boxes[b.inside]) if b.inside else page), f"{b.id} sticks out of {b.inside or 'the page'}"
    for a, b in combinations(s.boxes, 2):
        if a.inside == b.inside:
            apart = a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
            assert apart, f"{a.id} overlaps {b.id}"
    for t in s.labels:
        left, right = t.extent
        frame = rect(boxes[t.box]) if t.box else page
        assert inside((left, t.y - 0.75 * t.size, right, t.y + 0.22 * t.size), frame), f"{t.text!r} sticks out of {t.box}"
    for a, b in combinations(s.labels, 2):
        if a.box == b.box:
            (al, ar), (bl, br) = a.extent, b.extent
            assert ar <= bl or br <= al or a.y <= b.y - 0.75 * b.size or b.y <= a.y - 0.75 * a.size, f"{a.text!r} runs into {b.text!r}"
    for line in s.lines:
        for x, y in line.points:
            assert 0 <= x <= s.size[0] and 0 <= y <= s.size[1], line


@settings(max_examples=60, deadline=None)
@given(clusters(), st.sampled_from([None, 1, 2]), st.booleans(), st.sampled_from([2, 3, 4]))
def test_nothing_overlaps_and_every_text_fits(t, columns, services, pod_columns):
    focus = [f"pod:{p.key}" for p in t.pods[:2]]
    check_geometry(scene(t, focus, columns=columns, services=services, pod_columns=pod_columns))


@settings(max_examples=40, deadline=None)
@given(clusters())
def test_veth_lines_cross_no_box(t):
    s = scene(t)
    solid = [b for b in s.boxes if b.kind in ("pod", "group", "more")]
    for line in s.lines:
        if line.kind != "veth":
            continue
        for (ax, ay), (bx, by) in zip(line.points, line.points[1:], strict=False):
            for b in solid:
                crosses = max(ax, bx) > b.x and min(ax, bx) < b.x + b.w and max(ay, by) > b.y and min(ay, by) < b.y + b.h
                assert not crosses, f"{line.id} crosses {b.id}"


@settings(max_examples=30, deadline=None)
@given(clusters(most_pods=30), st.data())
def test_every_pair_of_pods_is_joined(t, data):
    drawn = scene(t)
    places = [b.id for b in drawn.boxes if b.kind in ("pod", "process", "group", "kernel", "tunnel", "nic", "external", "gateway")]
    from kubenet_lab.plots.route import _way

    a, b = data.draw(st.sampled_from(places)), data.draw(st.sampled_from(places))
    way = _way(drawn, a, b)
    assert a == b or len(way) > 1
    for p, q in pairwise(way):
        assert p[0] == q[0] or p[1] == q[1], "right angles only"


@pytest.mark.parametrize(("nodes", "pods"), [(2, 1), (2, 60), (3, 25), (4, 60), (5, 17), (6, 60), (7, 33), (8, 60)])
def test_regular_clusters(nodes, pods):
    t = fixtures.many(nodes, pods)
    s = scene(t)
    check_geometry(s)
    assert sum(b.kind == "pod" for b in s.boxes) == pods
    assert sum(b.kind == "node" for b in s.boxes) == nodes
    assert s.size[0] <= 1100


@pytest.mark.parametrize(("nodes", "pods"), [(2, 61), (8, 900), (1, 400), (100, 3000)])
def test_beyond_sixty_pods_workloads_are_counted_and_the_focus_stays(nodes, pods):
    t = fixtures.many(nodes, pods, workloads=9)
    chosen = t.pods[-1]
    s = scene(t, [f"pod:{chosen.key}"])
    check_geometry(s)
    box = s.box(f"pod:{chosen.key}")
    assert box is not None and box.marked
    assert (
        s.members[f"pod:{t.pods[0].key}"].startswith(("group:", "more:"))
        if t.pods[0].node in {b.name for b in s.boxes if b.kind == "node"}
        else True
    )
    if nodes == 2:
        shown = sum(int(lb.text.rpartition("×")[2]) for lb in s.labels if "×" in lb.text)
        assert shown == pods - 1
    if nodes > 8:
        assert sum(b.kind == "node" for b in s.boxes) == 8
        assert any("92 more nodes not drawn" in lb.text for lb in s.labels)


def test_long_names_end_in_an_ellipsis_and_are_whole_elsewhere():
    long = "a-very-long-workload-name-that-nobody-can-read"
    t = fixtures.bookshop()
    t = Topology(
        t.nodes,
        (TopologyPod(f"shop/{long}-x", "10.244.0.9", "worker-1", "shop", long, "Deployment"),),
        (),
        t.node_network,
        1500,
        "flannel vxlan",
    )
    s = scene(t)
    label = next(lb for lb in s.labels if lb.full == long)
    assert label.text.endswith("…") and long.startswith(label.text[:-1])
    assert s.box(f"pod:shop/{long}-x").name == f"shop/{long}-x"


def test_shorten_keeps_the_telling_end_of_an_address():
    assert shorten("fd00:10:244:1::5", 60, 10, mono=True, keep="end") == "…244:1::5"
    assert shorten("short", 100, 10) == "short"


@given(st.text(max_size=40), st.floats(1, 200), st.booleans(), st.booleans())
def test_shortened_text_fits(text, width, bold, mono):
    short = shorten(text, width, 10, bold=bold, mono=mono)
    assert text_width(short, 10, bold=bold, mono=mono) <= max(width, 10)


# -- the way of a trace


@pytest.mark.parametrize("service", [False, True])
@pytest.mark.parametrize("columns", [None, 1])
def test_the_way_runs_through_the_places_of_the_hops(service, columns):
    trace = fixtures.walk(service)
    s = scene(fixtures.bookshop(), focus_of(trace), columns=columns)
    steps = route(s, trace.hops)
    w1, w2 = "device:worker-1/", "device:worker-2/"
    nat = ["kernel:worker-1"] if service else []
    assert [x.place for x in steps] == [
        f"pod:{fixtures.WEB}",
        w1 + "cni0",
        *nat,
        "kernel:worker-1",
        w1 + "flannel.1",
        w1 + "eth0",
        w2 + "flannel.1",
        "kernel:worker-2",
        w2 + "cni0",
        f"pod:{fixtures.CART}",
    ]
    assert [x.wrapped for x in steps] == [False] * (4 + service) + [True, True] + [False] * 3
    for a, b in pairwise(steps):
        if b.points and a.points:
            (ax, ay), (bx, by) = a.points[-1], b.points[0]
            assert abs(ax - bx) + abs(ay - by) < 0.01 or a.place.startswith("device:"), "one step begins where the last one ended"
    assert all(0 <= v.at[0] <= s.size[0] and 0 <= v.at[1] <= s.size[1] for v in steps)


def test_the_reply_comes_home():
    trace = fixtures.walk(True)
    s = scene(fixtures.bookshop(), focus_of(trace))
    steps = route(s, trace.reply_hops)
    assert steps[0].place == f"pod:{fixtures.CART}" and steps[-1].place == f"pod:{fixtures.WEB}"
    assert all(x.direction == "reply" for x in steps)


def test_a_packet_that_dies_stops_there():
    trace = fixtures.walk(broken=True)
    steps = route(scene(fixtures.bookshop(), focus_of(trace)), trace.hops)
    assert steps[-1].failed and steps[-1].place == "device:worker-1/flannel.1"


def test_hops_in_places_that_are_not_drawn_do_no_harm():
    trace = fixtures.walk()
    lonely = scene(fixtures.bookshop(), nodes=["worker-1"])
    steps = route(lonely, trace.hops)
    assert [x.place for x in steps][-1] == "device:worker-1/eth0"
    assert place(lonely, trace.hops[-1]) is None


def test_pods_in_the_nodes_own_network_are_reached_through_it():
    s = scene(fixtures.bookshop())
    box = s.box("pod:kube-system/kube-proxy-1xyz")
    assert box.kind == "process" and box.inside == "kernel:worker-1"
