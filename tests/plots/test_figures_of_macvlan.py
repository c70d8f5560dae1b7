"""Pods without a cable: macvlan children stand on their node's interface, and no line of theirs touches the node's kernel."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab.cluster.topology import Topology
from kubenet_lab.plots.route import focus_of, route
from kubenet_lab.plots.scene import scene
from kubenet_lab.plots.shapes import Box, Point, Scene
from kubenet_lab.plots.topology_figure import describe
from tests.plots.test_scene_geometry import check_geometry, clusters


@pytest.fixture(scope="module")
def shop() -> kn.Cluster:
    return kn.example("bookshop", cni="macvlan")


def cuts(points: tuple[Point, ...], box: Box) -> bool:
    """Whether a polyline runs through the inside of a box."""
    return any(
        max(ax, bx) > box.x and min(ax, bx) < box.x + box.w and max(ay, by) > box.y and min(ay, by) < box.y + box.h
        for (ax, ay), (bx, by) in pairwise(points)
    )


def bars(s: Scene) -> list[Box]:
    return [b for b in s.boxes if b.kind in ("kernel", "bridge", "process", "tunnel")]


@pytest.mark.parametrize("columns", [None, 1])
@pytest.mark.parametrize("target", ["data/db", "shop/api"])
def test_the_way_goes_by_the_parent_and_past_the_kernel(shop: kn.Cluster, columns: int | None, target: str) -> None:
    """To another node and, for the second target, perhaps to a sibling: never over routes and rules."""
    trace = shop.connect("shop/web", target, port=5432 if target == "data/db" else 8080)
    assert trace.verdict == "delivered"
    s = scene(shop.topology(), focus_of(trace), columns=columns)
    for hops in (trace.hops, trace.reply_hops):
        steps = route(s, hops, trace.answered_by)
        assert any(step.place.endswith("/eth0") for step in steps)
        assert len([p for step in steps for p in step.points]) > 3
        assert not [b.id for step in steps for b in bars(s) if cuts(step.points, b)]


def test_from_child_to_child_the_packet_turns_above_the_nic(shop: kn.Cluster) -> None:
    trace = shop.connect("shop/web", "shop/api", port=8080)
    near = next(p for p in shop.topology().pods if p.workload == "api" and p.node == trace.hops[0].host)
    trace = shop.connect("shop/web", near.key, port=8080)
    s = scene(shop.topology(), focus_of(trace))
    step = next(step for step, hop in zip(route(s, trace.hops), trace.hops, strict=True) if hop.code == "macvlan.switch")
    nic = s.box(step.place)
    assert nic is not None and nic.kind == "nic" and step.at[1] < nic.y


def test_no_veth_and_no_pod_cidr_is_drawn_and_the_words_say_whose_child(shop: kn.Cluster) -> None:
    t = shop.topology()
    s = scene(t)
    assert {line.kind for line in s.lines} == {"child", "stem", "uplink", "wire"}
    assert not [text for text in s.labels if text.text.startswith("10.244.")]
    assert "macvlan children of eth0: past the node's routes and rules" in {text.full for text in s.labels}
    assert "  pods, each with a macvlan of eth0: data/cache" in describe(t)
    assert {p.parent for p in kn.example("bookshop").topology().pods} == {""}


def some_children(t: Topology, which: list[bool], parent: str) -> Topology:
    return replace(t, pods=tuple(replace(p, parent=parent if w else "") for p, w in zip(t.pods, which, strict=True)))


@settings(max_examples=40, deadline=None)
@given(clusters(), st.data(), st.sampled_from([None, 1, 2]), st.sampled_from([2, 3, 4]), st.sampled_from([60, 5]))
def test_any_mixture_of_children_and_veths_is_drawn_without_a_clash(
    t: Topology, data: Any, columns: int | None, pod_columns: int, most: int
) -> None:
    which = data.draw(st.lists(st.booleans(), min_size=len(t.pods), max_size=len(t.pods)))
    t = some_children(t, which, data.draw(st.sampled_from(["eth0", "eth1", "vlan7"])))
    t = replace(t, pods=tuple(replace(p, second="fd00:10:244:1::27" if w else "") for p, w in zip(t.pods, which, strict=True)))
    s = scene(t, columns=columns, pod_columns=pod_columns, most=most)
    check_geometry(s)
    solid = [b for b in s.boxes if b.kind in ("pod", "group", "more", "kernel", "bridge", "tunnel", "process")]
    for line in s.lines:
        if line.kind == "child":
            assert not [b.id for b in solid if cuts(line.points, b)], line.id


def test_both_addresses_of_a_dual_stack_pod_are_drawn() -> None:
    cluster = kn.example("bookshop", ip_families=("IPv4", "IPv6"))
    s = scene(cluster.topology())
    check_geometry(s)
    pod = next(p for p in cluster.topology().pods if not p.host_network)
    assert pod.second.startswith("fd00:") and {pod.address, pod.second} <= {text.full for text in s.labels if text.box == f"pod:{pod.key}"}
    assert f"{pod.key} {pod.address} {pod.second}" in describe(cluster.topology())


@pytest.mark.parametrize(
    ("options", "place", "words"),
    [
        ({"cni": "macvlan"}, "node network 192.168.50.0/24: 12 of", "192.168.50.128 data/cache"),
        ({"cni": "calico", "policy": "none"}, "pod network 10.244.0.0/16: 10 of", "data/db-0"),
        ({"underlay": {"segments": {"a": {"nodes": ["worker-1"]}, "b": {"nodes": ["worker-2"]}}}}, "segment b 192.168.", "worker-2 eth0"),
        ({"ip_families": ("IPv4", "IPv6")}, "pods of worker-1 10.244.0.0/24: 7 of", "10.244.0.0 flannel.1"),
    ],
)
def test_the_address_plan_puts_each_address_into_the_range_that_it_is_of(options: dict[str, Any], place: str, words: str) -> None:
    figure = kn.plots.addresses(kn.example("bookshop", **options))
    line = next(line for line in figure.description.splitlines() if line.startswith(place))
    assert words in line and len(figure.svg) < 150_000
    if options.get("cni") in ("macvlan", "calico"):
        assert "10.244.0.0/24" not in figure.description, "no pod has an address of a node's pod CIDR"


def test_growth_says_that_macvlan_pods_meet_no_rule_of_their_node(shop: kn.Cluster) -> None:
    with pytest.raises(kn.KubenetError, match="meet no rule of worker-"):
        kn.plots.growth(shop)
