"""CniLab without a browser: operations, errors at their lines, the modes, words."""

from __future__ import annotations

import json

import pytest

import kubenet_lab as kn
from kubenet_lab.widgets import CniLab
from kubenet_lab.widgets.assets import script
from kubenet_lab.widgets.cni_modes import MODES, mode_view, modes
from kubenet_lab.widgets.cni_view import problems_of


@pytest.fixture(scope="module")
def bookshop():
    return kn.example("bookshop")


@pytest.fixture
def lab():
    return CniLab()


def test_it_starts_with_a_list_that_can_be_read(lab):
    assert lab.view["problems"] == [] and lab.operation is None and repr(lab) == "CniLab(nothing done yet, 0 attached)"
    for name in lab.examples:
        lab.example = name
        assert lab.conflist == lab.examples[name] and lab.view["problems"] == [], name


def test_every_example_runs(lab):
    for name in lab.examples:
        lab.example = name
        done = lab.add()
        assert done, f"{name}: {done and done.error}"
        assert lab.delete(lab.view["attached"][-1])
    assert lab.view["attached"] == []


def test_add_shows_the_calls_and_what_is_there(lab):
    lab.command = {"verb": "ADD", "pod": "", "n": 1}
    assert [c["plugin"] for c in lab.view["operation"]["calls"]] == ["bridge", "host-local"]
    assert lab.view["attached"] == ["demo-1"] and lab.step == 1 and lab.call == 1
    assert any("10.1.0.2/24" in row for row in lab.view["tables"][0]["rows"]) and lab.view["tables"][-1]["rows"][0].startswith(
        "10.1.0.2: demo-1"
    )
    lab.add()
    assert lab.view["attached"] == ["demo-1", "demo-2"] and "10.1.0.3/24" in lab.text
    lab.command = {"verb": "DEL", "pod": "demo-1", "n": 2}
    assert lab.view["attached"] == ["demo-2"] and [op.command for op in lab.operations] == ["ADD", "ADD", "DEL"]
    lab.step = 1
    assert lab.view["operation"]["title"].startswith("ADD demo-1") and lab.operation is lab.operations[0]
    lab.step = 99
    assert lab.step == 3
    for verb in ("CHECK", "GC", "STATUS"):
        lab.command = {"verb": verb, "pod": "demo-2", "n": verb}
        assert lab.view["operation"]["title"].startswith(verb)
    assert "ping" in lab.run("demo-2", "ping -c 1 10.1.0.1")


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ('{\n  "cniVersion": "1.0.0",\n  "name" "x"\n}', 3, 6),
        ('{"cniVersion": "1.0.0",\n "name": 7,\n "plugins": []}', 2, 7),
        ("[1, 2]", 1, 7),
        ("", 1, 6),
    ],
)
def test_an_error_stands_at_its_line(lab, text, line, code):
    lab.conflist = text
    (problem,) = problems_of(text)
    assert (problem["line"], problem["code"]) == (line, code) and lab.view["problems"] == [problem]
    assert lab.add() is None and lab.view["said"] and lab.view["attached"] == []
    assert "Traceback" not in lab.text


def test_a_version_that_no_plugin_speaks(lab):
    lab.conflist = '{\n"cniVersion": "9.0.0",\n "name": "x",\n "plugins": [{"type": "bridge"}]}'
    (problem,) = problems_of(lab.conflist)
    assert (problem["line"], problem["code"]) == (2, 1) and not lab.add() and lab.operation.error.code == 1


def test_a_version_that_no_plugin_speaks_is_marked_before_it_is_run(lab):
    """The list itself can be read, so ADD asks the plugin, which refuses."""
    lab.conflist = '{"name": "x",\n "cniVersion": "9.0.0",\n "plugins": [{"type": "bridge"}]}'
    (problem,) = lab.view["problems"]
    assert (problem["line"], problem["code"]) == (2, 1)
    done = lab.add()
    assert done.error.code == 1 and lab.view["attached"] == []


def test_a_plugins_error_stands_at_its_plugin(lab):
    conf = json.loads(lab.conflist)
    conf["plugins"][0]["ipam"]["subnet"] = "10.1.0.0/31"
    lab.conflist = json.dumps(conf, indent=2)
    assert not lab.add()
    (problem,) = lab.view["problems"]
    assert '"host-local"' in lab.conflist.splitlines()[problem["line"] - 1] and "too small" in problem["message"]
    lab.conflist = lab.conflist.replace('"bridge"', '"brigde"')
    assert not lab.add() and "brigde" in lab.view["problems"][0]["message"]


def test_what_is_not_there_is_said(lab):
    assert lab.delete("nobody") is None or lab.operation is not None
    lab.command = {"verb": "DANCE", "pod": "", "n": 3}
    lab.command = {"verb": "CHECK", "pod": "nobody", "n": 4}
    assert "Traceback" not in lab.text


def test_modes_are_walks(bookshop):
    sizes = {}
    for mode, _ in modes():
        for apart in (False, True):
            view = mode_view(bookshop, mode, apart)
            assert not view["error"], view["error"]
            sizes[mode, apart] = view["headers"]["total"]
            assert view["ok"] == (not apart or mode in ("vxlan", "direct")), (mode, apart)
            assert view["mtu"] == (1450 if mode in ("vxlan", "direct") else 1500)
    assert sizes["vxlan", False] - sizes["host-gw", False] == 50 == sizes["direct", True] - sizes["direct", False]
    assert {m for m, _ in MODES} >= {m for m, _ in modes()}


def test_the_mode_switch(lab):
    first = lab.modeview
    lab.mode = "host-gw"
    assert lab.modeview["label"] == "host-gw" and lab.modeview["mtu"] == 1500
    lab.apart = True
    assert not lab.modeview["ok"] and "timeout" in lab.modeview["said"]
    lab.mode, lab.apart = "vxlan", False
    assert lab.modeview == first and "on the wire: Ethernet 14, IPv4 20, UDP 8, VXLAN 8" in lab.text


def test_the_given_cluster_does_not_change(bookshop):
    before = bookshop.node("worker-1").links().to_string(), bookshop.node("worker-1").conntrack().to_string()
    lab = CniLab(bookshop)
    lab.add()
    lab.mode, lab.apart = "host-gw", True
    assert (bookshop.node("worker-1").links().to_string(), bookshop.node("worker-1").conntrack().to_string()) == before


def test_names_with_markup_are_text(lab):
    lab.conflist = lab.conflist.replace("mynet", "<b>x</b>")
    lab.add()
    assert "innerHTML" not in script("cni_lab.js") and json.dumps(lab.view)
    assert len(script("cni_lab.js").encode()) < 30_000
