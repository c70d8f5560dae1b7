"""The figures and the tracer on the real bookshop: what the model answers is what is drawn."""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from kubenet_lab import plots
from kubenet_lab.plots.path_figure import services_of
from kubenet_lab.plots.route import focus_of, route, walks
from kubenet_lab.plots.scene import scene
from kubenet_lab.plots.way import _runs
from kubenet_lab.widgets import PacketTracer

LIMIT = 150_000


@pytest.fixture
def shop():
    return kn.example("bookshop")


QUESTIONS = {
    "service": lambda c: c.connect("shop/web", "svc:shop/cart", port=8080),
    "pod": lambda c: c.connect("shop/web", "shop/api", port=8080),
    "closed port": lambda c: c.connect("shop/web", "shop/cart", port=9999),
    "node port": lambda c: c.connect("external:203.0.113.7", "node:worker-1", port=30080),
    "no such address": lambda c: c.connect("shop/web", "10.244.7.7", port=80),
    "url": lambda c: c.ask("shop/web", "http://cart:8080"),
    "ingress": lambda c: c.request("external:203.0.113.7", "http://shop.example/cart"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_hop_has_its_place_and_its_number(shop, name):
    trace = QUESTIONS[name](shop)
    t = shop.topology()
    s = scene(t, focus_of(trace), services=services_of(t, trace))
    for _, walk in walks(trace):
        for hops in (walk.hops, walk.reply_hops):
            steps = route(s, hops, walk.answered_by)
            assert all(step.place for step in steps), [h.namespace for h in hops]
    figure = plots.path(trace, reply=True)
    assert len(figure.svg.encode()) < LIMIT
    for _, walk in walks(trace):
        for hop in walk.hops:
            assert hop.title in figure.description
    assert ("✓" if trace else "✗") in figure.description.splitlines()[1]


def test_all_stages_of_a_request_are_told(shop):
    words = plots.path(QUESTIONS["ingress"](shop)).description
    for text in ("resolve: shop.example", "route: ✓ Ingress shop/bookshop", "answer: 200 OK", "connect:", "forward:"):
        assert text in words


def test_a_deleted_fdb_entry_shows_where_the_packet_dies(shop):
    tracer = PacketTracer(shop)
    wrap = next(h for h in tracer.trace.hops if h.added > 2)
    mac = wrap.after[4].get("dst")
    fdb = next(line for line in shop.node("worker-1").run("bridge fdb show dev flannel.1").splitlines() if mac in line)
    remote = fdb.split("dst ")[1].split()[0]
    shop.node("worker-1").run(f"bridge fdb del {mac} dev flannel.1 dst {remote}")
    tracer.send()
    assert tracer.view["ok"] is False
    last = tracer.view["hops"]["forward"][-1]
    assert last["failed"] and tracer.view["pictures"]["wide"]["steps"]["forward"][-1]["place"] == "device:worker-1/flannel.1"
    shop.node("worker-1").run(f"bridge fdb append {mac} dev flannel.1 dst {remote}")
    tracer.send()
    assert tracer.view["verdict"] == "delivered"


def test_the_tracer_changes_nothing_in_the_cluster(shop):
    before = len(shop.node("worker-1").conntrack())
    tracer = PacketTracer(shop)
    tracer.dst = "shop/api"
    tracer.send()
    assert len(shop.node("worker-1").conntrack()) == before
    assert tracer.trace.source_seen


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("src", "shop/wbe"),
        ("dst", "svc:shop/crat"),
        ("port", "no-such-port"),
        ("port", 70000),
        ("protocol", "XTP"),
        ("dst", ""),
    ],
)
def test_any_bad_question_is_answered_in_words(shop, field, value):
    tracer = PacketTracer(shop)
    setattr(tracer, field, value)
    assert tracer.trace is None and tracer.error and "Traceback" not in tracer.error
    assert tracer.view["head"] == tracer.error


def test_a_name_that_does_not_resolve_is_an_answer(shop):
    tracer = PacketTracer(shop, dst="<b>", port=80)
    assert tracer.trace is not None and tracer.view["verdict"] == "unreachable" and "EAI_NONAME" in tracer.view["head"]
    assert "<b>" not in plots.path(tracer.trace).svg


def test_choosing_a_service_brings_its_port(shop):
    targets = {name: ports for name, _, ports in PacketTracer(shop).choices["targets"]}
    assert targets["svc:shop/cart"] == [[8080, "TCP"]]
    assert [53, "UDP"] in targets["svc:kube-system/kube-dns"]


def test_badges_of_a_crowded_place_stay_apart():
    class Step:
        failed, layer = False, "node"

    def texts(*numbers):
        return [text for text, _ in _runs([(n, Step()) for n in numbers])]

    assert texts(4) == ["4"]
    assert texts(4, 5, 9) == ["4", "5", "9"]
    assert texts(4, 5, 6, 7) == ["4–7"]
    assert texts(2, 3, 8, 9) == ["2–3", "8–9"]
    assert texts(1, 3, 5, 7) == ["1…7"]
