"""The PacketTracer without a browser: states, words, data."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from kubenet_lab.widgets import PacketTracer
from kubenet_lab.widgets.assets import asset as _asset
from kubenet_lab.widgets.view import choices, header_stack, trace_view

_spec = importlib.util.spec_from_file_location("plot_fixtures", Path(__file__).parents[1] / "plots" / "fixtures.py")
fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixtures)


@pytest.fixture
def shop():
    return fixtures.FixtureCluster()


@pytest.fixture
def tracer(shop):
    return PacketTracer(shop)


def test_it_answers_at_once_and_says_so(tracer):
    assert repr(tracer) == "PacketTracer(shop/web -> svc:shop/cart:8080 TCP: delivered, hop 1 of 10)"
    assert tracer.trace.verdict == "delivered"
    assert tracer.view["ok"] is True
    assert tracer.view["head"] == f"to {fixtures.CART} on worker-2"


def test_one_change_is_one_question(shop, tracer):
    assert shop.asked == 1
    tracer.dst = fixtures.CART
    assert shop.asked == 2
    assert len(tracer.hops) == 9
    tracer.send()
    assert shop.asked == 3


def test_a_message_from_the_browser_asks_once(shop, tracer):
    tracer.set_state({"src": "shop/web", "dst": "svc:shop/api", "port": "80", "protocol": "UDP", "request": 1})
    assert shop.asked == 2
    assert tracer.port == 80
    assert tracer.view["question"] == "shop/web -> svc:shop/api:80 UDP"


def test_stepping_stays_within_the_hops(tracer):
    tracer.back()
    assert tracer.hop == 1
    for n in range(2, 11):
        tracer.step()
        assert tracer.hop == n
    tracer.step()
    assert tracer.hop == 10
    tracer.hop = 99
    assert tracer.hop == 10
    tracer.hop = -3
    assert tracer.hop == 1


def test_the_reply_is_walked_by_itself(tracer):
    tracer.hop = 7
    tracer.direction = "reply"
    assert tracer.hop == 1
    assert repr(tracer).endswith("hop 1 of 10 of the reply)")
    assert "of the way back" in tracer.text


def test_without_a_reply_the_direction_stays(shop):
    shop.broken = True
    tracer = PacketTracer(shop)
    tracer.direction = "reply"
    assert tracer.direction == "forward"
    tracer.hop = 5
    assert "✗ flannel.1 does not know where to send it" in tracer.text
    assert tracer.view["verdict"] == "timeout" and not tracer.view["ok"]
    assert tracer.view["hops"]["forward"][-1]["failed"]


def test_a_new_answer_starts_at_the_first_hop(shop, tracer):
    tracer.hop = 6
    shop.broken = True
    tracer.send()
    assert tracer.hop == 1
    assert len(tracer.hops) == 5


def test_a_bad_name_is_a_message(tracer):
    tracer.src = "shop/wbe"
    assert tracer.trace is None
    assert tracer.error == "no workload 'shop/wbe'; nearest: shop/web, shop/api"
    assert tracer.view["head"] == tracer.error and tracer.view["verdict"] == "no answer"
    assert tracer.view["hops"]["forward"] == [] and tracer.view["pictures"]["wide"]["places"]
    assert repr(tracer) == "PacketTracer(shop/wbe -> svc:shop/cart:8080 TCP: no answer)"
    assert "Traceback" not in tracer.text
    tracer.step()
    tracer.src = "shop/web"
    assert tracer.trace is not None


def test_the_text_twin_says_what_the_screen_says(tracer):
    tracer.hop = 5
    hop = tracer.view["hops"]["forward"][4]
    for part in (hop["title"], hop["sentence"], hop["entry"], hop["command"], tracer.view["tail"]):
        assert part in tracer.text
    assert "hop 5 of 10" in tracer.text


def test_the_mimebundle_still_shows_the_widget(tracer):
    data, _ = tracer._repr_mimebundle_()
    assert data["text/plain"] == repr(tracer)
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_view_is_plain_small_data(tracer):
    text = json.dumps(tracer.view)
    assert len(text) < 120_000
    assert json.loads(text) == tracer.view
    for picture in tracer.view["pictures"].values():
        for direction in ("forward", "reply"):
            steps = picture["steps"][direction]
            assert len(steps) == len(tracer.view["hops"][direction])
            assert all(s["place"] in picture["places"] for s in steps)


def test_widget_and_figure_draw_the_same_scene(tracer):
    from kubenet_lab.plots.paint import paint
    from kubenet_lab.plots.route import focus_of
    from kubenet_lab.plots.scene import scene

    trace = tracer.trace
    s = scene(fixtures.bookshop(), (*focus_of(trace), "service:shop/cart"), services=["shop/cart"], externals=False)
    picture = tracer.view["pictures"]["wide"]
    assert picture["size"] == list(s.size)
    assert len(picture["back"]) + len(picture["front"]) == sum(len(paint(b)) for b in s.boxes)
    assert [t[0] for t in picture["texts"]] == [t.text for t in s.labels]


def test_headers_new_changed_and_taken_off():
    hops = fixtures.walk(service=True).hops
    nat, encap, decap, end = (header_stack(hops[n]) for n in (2, 4, 6, 9))
    assert [f for f in nat["stack"][0]["fields"] if len(f) == 3] == [["dst", "10.244.1.7", "10.96.0.20"]]
    assert [c["mark"] for c in encap["stack"]] == ["new"] * 4 + [""] * 3
    assert (encap["total"], encap["new"]) == (124, 50)
    assert [c["depth"] for c in encap["stack"]] == [0] * 4 + [1] * 3
    assert [c["mark"] for c in decap["stack"]] == ["gone"] * 5 + [""] * 2
    assert (decap["total"], decap["gone"]) == (60, 64)
    assert end["total"] == 40
    died = header_stack(fixtures.walk(broken=True).hops[-1])
    assert died["note"] == "as it was when it ended" and died["total"] == 74


def test_choices_name_what_the_api_takes():
    found = choices(fixtures.bookshop(), {"svc:shop/cart": [(8080, "TCP")]})
    assert ["shop/web", "Deployment", []] in found["sources"]
    assert found["targets"].count(["svc:shop/cart", "Service", [[8080, "TCP"]]]) == 1
    assert not any(name.startswith("svc:") for name, _, _ in found["sources"])
    assert ["node:worker-1", "node", []] in found["targets"] and ["external:203.0.113.7", "outside", []] in found["sources"]
    assert [f"pod/{fixtures.WEB}", "pod", []] in found["sources"]
    names = [n for n, _, _ in found["sources"]]
    assert len(names) == len(set(names))
    assert names.index("shop/web") < names.index("kube-system/coredns"), "the application comes first"


def test_a_large_cluster_shows_the_nodes_on_the_way():
    big = fixtures.many(30, 900)
    trace = fixtures.walk()
    view = trace_view(big, trace)
    texts = [t[0] for t in view["pictures"]["wide"]["texts"]]
    assert "worker-1" in texts and "worker-2" in texts and "worker-3" not in texts
    assert any("28 more nodes not drawn" in t for t in texts)
    assert len(json.dumps(view)) < 120_000


def test_assets_are_small_and_self_contained():
    script, sheet = _asset("tracer.js"), _asset("tracer.css")
    assert len(script) + len(sheet) < 40_000
    for text in (script, sheet):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script), "text goes in as text only"
    assert "--kn-pod:" in PacketTracer._css and "/*LIGHT*/" not in PacketTracer._css


def test_every_control_has_a_name():
    script = _asset("tracer.js")
    assert script.count('h("input"') == 2 and script.count('h("label", { for:') == 3
    assert "data-lm-suppress-shortcuts" in script and "aria-live" in script
