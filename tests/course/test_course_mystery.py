"""Mysteries: each fault is visible, alone, unlike any other, and can be mended; the game counts, and tells nothing too early."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.course import CourseError
from kubenet_lab.course.case_file import Mystery, _word
from kubenet_lab.course.mysteries import FAULTS, bookshop, chosen
from kubenet_lab.course.mysteries.fault import Fault
from kubenet_lab.errors import CommandError, KubenetError, NotFound

CLIENTS = ("node:worker-1", "node:worker-2", "shop/api", "ops/jobs", "external:203.0.113.7")
TARGETS = (
    ("svc:shop/web", 80), ("svc:shop/api", 8080), ("svc:shop/cart", 8080), ("svc:data/cache", 6379), ("svc:data/db-read", 5432),
    ("shop/cart", 8080), ("data/cache", 6379), ("node:worker-1", 30080), ("node:worker-2", 30080),
)  # fmt: skip
DERIVED = ("EndpointSlice", "ReplicaSet", "Pod")


def battery(cluster: Any) -> dict[Any, Any]:
    """Who reaches what, with probabilities; names, and a large datagram."""
    found: dict[Any, Any] = {}
    for src, (dst, port) in itertools.product(CLIENTS, TARGETS):
        try:
            ways = cluster.outcomes(src, dst, port=port)
            found[src, dst] = tuple((o.probability, o.verdict, o.error) for o in ways)
        except KubenetError:
            found[src, dst] = "nobody"
    for src in ("shop/web", "ops/jobs"):
        lab = cluster.copy()
        found[src, "cart.shop"] = tuple(lab.resolve(src, "cart.shop").addresses)
        found[src, "large"] = lab.preview(src, "data/cache", protocol="ICMP", size=1400).verdict
    found["large across"] = cluster.preview("data/cache", "data/db", protocol="ICMP", size=1400).verdict
    return found


def declared(cluster: Any) -> dict[str, Any]:
    kinds = ("Service", "Deployment", "StatefulSet", "DaemonSet", "Pod", "Node", "NetworkPolicy", "ConfigMap", "Ingress")
    out = {}
    for kind in kinds:
        for o in cluster.objects(kind):
            document = cluster.store.document(kind, o.key)
            for noise in ("resourceVersion", "generation", "managedFields", "annotations"):
                document["metadata"].pop(noise, None)
            if kind != "Pod":
                document.pop("status", None)
            out[f"{kind} {o.key}"] = document
    return out


def programmed(cluster: Any) -> dict[str, str]:
    """What hand edits made different: place -> the commands."""
    return {e.namespace: e.command for e in cluster.edits}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.id)
def test_visible_and_mended(fault: Fault) -> None:
    """The symptom is one that the healthy bookshop lacks; the stated mending brings everything back."""
    healthy, shop = bookshop(fault, planted=False), bookshop(fault)
    assert fault.symptom.put(healthy), "the healthy bookshop answers"
    assert not fault.symptom.put(shop), "the faulty one does not"
    before = battery(healthy)
    assert battery(shop) != before, "it shows in what reaches what, too"
    for edit in fault.mend:
        edit.make(shop)
    assert fault.symptom.put(shop)
    assert battery(shop) == before


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.id)
def test_only_the_accused_is_different(fault: Fault) -> None:
    """Nothing else was declared otherwise, and nothing was edited by hand elsewhere."""
    healthy, shop = bookshop(fault, planted=False), bookshop(fault)
    one, two = declared(healthy), declared(shop)
    changed = {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}
    kind, key = fault.object.split()
    places = {place.removeprefix("pod:") for place in programmed(shop)}
    if places:
        assert not changed, "state was edited, and no object"
        assert all(p == key or p.startswith(f"{key}-") for p in places)
    elif kind == "Deployment":  # its pods come and go with it
        assert fault.object in changed and all(c == fault.object or c.startswith(f"Pod {key}-") for c in changed)
    else:
        assert changed and all(c == fault.object or c.startswith(f"{fault.object}-") for c in changed)


def test_no_two_faults_are_alike() -> None:
    """Neither what convicts them nor what they change is shared."""
    assert len({f.id for f in FAULTS}) == len(FAULTS)
    for a, b in itertools.combinations(FAULTS, 2):
        assert a.object != b.object or not {_word(x) for x in a.fields} & {_word(x) for x in b.fields}, (a.id, b.id)
        assert a.plant != b.plant and a.because != b.because
    for f in FAULTS:
        for said in (f.complaint,):
            assert f.object.split()[1] not in said and not any(w.lower() in said.lower().split() for w in f.fields), "no spoiler"


def test_the_same_seed_is_the_same_mystery() -> None:
    assert [chosen(n).id for n in range(40)] == [chosen(n).id for n in range(40)]
    assert {chosen(n).id for n in range(400)} == {f.id for f in FAULTS}, "every fault has a seed"
    assert repr(kn.mystery(seed=7)) == repr(kn.mystery(7)) and kn.mystery(3)._fault is chosen(3)
    for bad in ("7", True, 1.5):
        with pytest.raises(CourseError, match="expected a number"):
            kn.mystery(bad)  # type: ignore[arg-type]


def game(id: str) -> Mystery:
    return Mystery(7, next(f for f in FAULTS if f.id == id))


def test_a_game() -> None:
    m = game("missing-rule")
    assert not m.ask("node:worker-1", "svc:shop/cart") and m.ask("node:worker-2", "svc:shop/cart")
    assert "KUBE-SVC" in m.node("worker-2").run("iptables -t nat -S KUBE-SERVICES | grep shop/cart")
    m.node("worker-1").run("iptables -t nat -S KUBE-SERVICES | grep shop/cart")
    m.pod("shop/cart").run("ip route")
    assert m.get("svc", "shop/cart").spec.ports and m.objects("Node")
    assert m.probes == 7 and m.share().splitlines()[1] == "not solved yet: 7 probes · 7 points"
    wrong = m.accuse("Service shop/cart", "spec.selector")
    assert not wrong and "Service shop/cart is as it should be" in str(wrong)
    near = m.accuse("worker-1", "route")
    assert not near and "Node worker-1: yes, but not its route" in str(near)
    right = m.accuse("node/worker-1", "iptables")
    assert right and m.solved and "Solved with 7 probes and 2 wrong accusations" in str(right)
    m.ask("shop/web", "http://cart:8080")
    told = "kubenet-lab mystery 7\nsolved with 7 probes and 2 wrong accusations · 13 points\n? ? N N P O O ✗ ✗ ✓"
    assert m.share() == repr(m.share()) == told
    assert "solved" in repr(m) and "status" in m._repr_html_()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.id)
def test_every_accusation_convicts_and_share_is_silent(fault: Fault) -> None:
    m = Mystery(11, fault)
    assert not m.accuse("Service kube-system/kube-dns", fault.fields[0])
    for field in fault.fields:
        assert m.accuse(fault.object, field)
        told = m.share()
        assert len(told.splitlines()) == 3
        for word in (fault.id, *fault.object.split(), *fault.fields, fault.complaint):
            assert word not in told.split()


def test_a_pod_is_named_as_one_likes() -> None:
    pod = bookshop(chosen(0)).pod("data/cache").name
    for name in ("Pod data/cache", f"pod {pod}", f"po/{pod}", "pod:data/cache"):
        assert game("unready-pod").accuse(name, "ready"), name


def test_what_does_not_exist_costs_nothing() -> None:
    m = game("selector-typo")
    for who, what in (("Service shop/crat", "selector"), ("worker-9", "route"), ("shop/cart", "selector"), ("", "x"),
                      ("Node worker-1", " "), ("pod nobody/x", "y"), (7, "x")):  # fmt: skip
        with pytest.raises(CourseError):
            m.accuse(who, what)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        m.get("Service", "shop/none")
    with pytest.raises(NotFound):
        m.node("worker-9")
    with pytest.raises(CommandError):
        m.node("worker-1").run("nmap 10.0.0.1")
    assert m.probes == m.score == 0 and m.share().endswith("\n-")


def test_giving_up() -> None:
    m = game("no-route")
    m.ask("shop/web", "http://cart:8080")
    told = m.reveal()
    assert "Node worker-1, route" in str(told) and m.share().splitlines()[1] == "given up after 1 probe · 21 points"
    m.accuse("Node worker-1", "route")
    assert m.score == 21 and "given up" in m.share()


def test_mending_by_hand_is_seen() -> None:
    m = game("no-route")
    assert not m.connect("node:worker-1", "shop/cart", port=8080)
    m.node("worker-1").run("ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink")
    assert m.connect("node:worker-1", "shop/cart", port=8080)


def test_it_says_how_to_go_on_in_a_terminal_too() -> None:
    game = kn.mystery(seed=7)
    assert "\n" not in repr(game) and str(game).startswith(repr(game)) and "m.accuse(" in str(game)
    with pytest.raises(CourseError, match="in one text, such as 'Service shop/web'"):
        game.accuse("Service", "shop/cart")
    assert game.score == 0
