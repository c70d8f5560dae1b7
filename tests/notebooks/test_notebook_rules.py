"""The course's notebooks keep the rules of tools/notebook_rules.py, and every rule can fail."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from notebook_rules import Notebook, problems, source, tagged, tags

from kubenet_lab.course.exercise import Exercise
from kubenet_lab.course.exercises import questions
from kubenet_lab.course.misconceptions import MISCONCEPTIONS

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: cells (by id) that may hide from comparison, each with its reason; at most five in the whole course
ALLOWED_TO_HIDE: dict[str, str] = {}


def load(path: Path) -> Notebook:
    return Notebook(path.name, json.loads(path.read_text("utf-8")), path.stat().st_size, path.parent, ALLOWED_TO_HIDE)


def test_the_allow_list_is_short() -> None:
    assert len(ALLOWED_TO_HIDE) <= 5 and all(len(reason) > 20 for reason in ALLOWED_TO_HIDE.values())


def test_there_is_a_first_notebook() -> None:
    assert PATHS and PATHS[0].name.startswith("00_")


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
def test_a_notebook_keeps_the_rules(path: Path) -> None:
    earlier = [name for other in PATHS if other.name < path.name for name in load(other).front.get("api", [])]
    exercises = [q.id for q in questions() if isinstance(q, Exercise)]
    predictions = [q.id for q in questions() if not isinstance(q, Exercise)]
    assert problems(load(path), exercises=exercises, predictions=predictions, known_api=earlier) == []


@pytest.mark.parametrize("m", MISCONCEPTIONS.values(), ids=lambda m: m.id)
def test_a_misconception_is_refuted_where_it_says(m: Any) -> None:
    """The heading exists, and under it stands a code cell tagged `refutes:ID` that shows something."""
    nb = load(ROOT / "notebooks" / m.notebook)
    places = [i for i, _, text in nb.headings if text == m.heading]
    assert len(places) == 1, f"no heading {m.heading!r} in {m.notebook}"
    found = tagged(nb.data, "refutes:")
    assert m.id in found, f"no cell tagged refutes:{m.id}"
    place, cell = found[m.id]
    following = [i for i, level, _ in nb.headings if i > places[0] and level <= 2]
    assert places[0] < place < min(following, default=10_000), f"the cell does not stand under {m.heading!r}"
    assert cell["cell_type"] == "code" and cell["outputs"]


# every rule can fail: a notebook that keeps all of them, and one fault at a time

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>The path</title><desc>From web to cart</desc></svg>'


def code(id: str, text: str, count: int, *tag: str, output: dict[str, Any] | None = None) -> dict[str, Any]:
    shown = output or {"output_type": "stream", "name": "stdout", "text": ["ok\n"]}
    return {
        "cell_type": "code",
        "id": id,
        "metadata": {"tags": list(tag)},
        "execution_count": count,
        "source": text.splitlines(True),
        "outputs": [shown],
    }


def prose(id: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": text.splitlines(True)}


def good() -> Notebook:
    figure = {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": [SVG], "text/plain": ["The path from web to cart"]}}
    cells = [
        prose("a", "# Start here\nA **VTEP** is the end of a tunnel, and `x!` is code."),
        code("b", "import kubenet_lab as kn\ncluster = kn.example('bookshop')\ncluster.ask('shop/web', 'http://cart:8080')", 1),
        prose("c", "## Look\n![the path of a packet](x.svg) and [the design](https://example.org)."),
        code("d", "cluster.plot()", 2, output=figure),
        code("e", "kn.check('00.1', ...)", 3, "answer:00.1"),
        code("f", "kn.predict('00.a', ...)", 4, "predict:00.a"),
        prose("g", "### On a real cluster\nRun `ip route`."),
        code("h", "cluster.summary()", 5),
    ]
    front = {
        "title": "Start", "minutes": 30, "objectives": ["ask for a path", "break one entry"], "terms": ["VTEP"],
        "api": ["kn.example", "cluster.ask", "cluster.plot", "cluster.summary"], "widget": None,
    }  # fmt: skip
    return Notebook("00_x.ipynb", {"cells": cells, "metadata": {"kubenet": front}, "nbformat": 4, "nbformat_minor": 5}, 1000)


def found(nb: Notebook) -> list[str]:
    return problems(nb, exercises=["00.1"], predictions=["00.a"])


def test_the_good_one_has_no_problem() -> None:
    assert found(good()) == []


def output(cell: int, value: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["cells"][cell].update(outputs=[value])


def text(cell: int, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["cells"][cell].update(source=value.splitlines(True))


def front(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["metadata"]["kubenet"].update(values)


def meta(cell: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["cells"][cell]["metadata"].update(values)


def html(value: str) -> dict[str, Any]:
    return {
        "output_type": "execute_result",
        "metadata": {},
        "data": {"text/html": [value], "text/plain": ["a b c d e f"]},
        "execution_count": 5,
    }


def display(kind: str, value: str, plain: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {kind: value, "text/plain": [plain]}}


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no front matter": (lambda d: d["metadata"].pop("kubenet"), "no front matter"),
    "front matter of a wrong type": (front(minutes="thirty"), "wrong type"),
    "too long": (front(minutes=36), "36 minutes"),
    "one objective": (front(objectives=["ask"]), "objectives"),
    "an objective nobody can see": (front(objectives=["understand VXLAN", "ask"]), "cannot be observed"),
    "nine terms": (front(terms=["VTEP"] * 9), "9 new terms"),
    "a term that is not explained": (front(terms=["conntrack"]), "nowhere printed in bold"),
    "five names": (front(api=["kn.a", "kn.b", "kn.c", "kn.d", "kn.e"]), "5 new API names"),
    "a name nobody declared": (text(7, "cluster.diff(cluster)"), "cluster.diff is new"),
    "a widget nobody declared": (text(7, "kn.widgets.PacketTracer(cluster)"), "kn.widgets.PacketTracer is new"),
    "a declared name nobody uses": (front(api=["kn.example", "cluster.ask", "cluster.plot", "cluster.tick"]), "which no cell uses"),
    "26 code cells": (lambda d: d["cells"].extend(code(f"z{i}", "kn.progress()", 6 + i, "action") for i in range(21)), "26 code cells"),
    "a long cell": (text(2, "## Look\n" + "word " * 120), "words of prose"),
    "theory first": (lambda d: d["cells"].insert(1, prose("t", "Theory.")), "first result"),
    "three cells to watch": (lambda d: [c["metadata"].update(tags=[]) for c in d["cells"]], "without anything to do"),
    "two titles": (text(2, "# Look"), "heading of level 1"),
    "a heading too deep": (text(2, "### Look"), "jumps from level 1 to 3"),
    "two headings alike": (text(6, "## Look\nOn a real cluster"), "two headings"),
    "no real cluster": (text(6, "### Later"), "On a real cluster"),
    "simply": (text(2, "## Look\nSimply run it."), "simply"),
    "an exclamation mark": (text(2, "## Look\nIt works!"), "exclamation"),
    "praise": (text(2, "## Look\nWell done."), "praise"),
    "a picture without words": (text(2, "## Look\n![](x.svg)"), "a picture without a text"),
    "a link named here": (text(2, "## Look\n[here](https://example.org)"), "does not say where"),
    "a semicolon": (text(7, "cluster.summary();"), "semicolon"),
    "a long line": (text(7, "cluster.summary()  # " + "x" * 100), "characters, at most 100"),
    "a foreign magic": (text(7, "%%time\ncluster.summary()"), "%%time"),
    "a shell line": (text(7, "!ls\ncluster.summary()"), "!ls"),
    "not Python": (text(7, "cluster.summary("), "not Python"),
    "an Output widget": (text(7, "cluster.summary(ipywidgets.Output())"), "Output cannot be compared"),
    "interact": (text(7, "from ipywidgets import interact\ncluster.summary()"), "interact cannot be compared"),
    "a clock": (text(7, "import time\ncluster.summary()"), "imports time"),
    "chance": (text(7, "from random import choice\ncluster.summary()"), "imports random"),
    "an answer shown": (text(7, "kn.reveal('00.1')\ncluster.summary()"), "for the learner to type"),
    "a learner's name": (text(7, "kn.learner('ana')\ncluster.summary()"), "for the learner to type"),
    "counts with a gap": (lambda d: d["cells"][7].update(execution_count=9), "execution counts"),
    "a cell that never ran": (lambda d: d["cells"][7].update(execution_count=None), "execution counts"),
    "a silent cell": (lambda d: d["cells"][7].update(outputs=[]), "shows nothing"),
    "stderr": (output(7, {"output_type": "stream", "name": "stderr", "text": ["warning"]}), "stderr"),
    "an error": (output(7, {"output_type": "error", "ename": "KeyError", "evalue": "x", "traceback": []}), "fails with KeyError"),
    "a memory address": (output(7, {"output_type": "stream", "name": "stdout", "text": ["<A at 0x7f3a2b1c>"]}), "memory address"),
    "a path of this machine": (output(7, {"output_type": "stream", "name": "stdout", "text": ["/ho" + "me/ana/x"]}), "path of one machine"),
    "a path in a source": (text(7, "cluster.summary('/ro' 'ot')\n# /ro" + "ot/x"), "path of one machine"),
    "NBVAL_IGNORE_OUTPUT": (text(7, "# NBVAL_IGNORE_OUTPUT\ncluster.summary()"), "hides it from comparison"),
    "an nbval tag": (meta(7, tags=["nbval-skip"]), "hides it from comparison"),
    "a PNG": (output(7, display("image/png", "AA", "x")), "never compared"),
    "a figure without a title": (output(7, html("<svg><desc>d</desc></svg>")), "without <title>"),
    "a heavy figure": (output(7, html(SVG.replace("</desc>", "</desc>" + "x" * 160_000))), "bytes, at most"),
    "a figure without words": (output(7, display("image/svg+xml", SVG, "<Figure>")), "does not describe it"),
    "an image without alt": (output(7, html("<img src='x'>")), "without alt"),
    "an unknown exercise": (meta(4, tags=["answer:00.9"]), "names nothing"),
    "a check without a tag": (meta(4, tags=["action"]), "without the tag"),
    "an answer given": (text(4, "kn.check('00.1', 42)"), "an answer stands"),
    "a prediction given": (text(5, "kn.predict('00.a', 'timeout')"), "an answer stands"),
    "a tag on another cell": (text(4, "kn.check('00.2', ...)"), "does not call kn.check"),
    "an exercise nobody asks": (lambda d: d["cells"].pop(4), "no cell of the notebook asks it"),
    "widget state": (lambda d: d["metadata"].update(widgets={}), "widget state"),
    "times of a run": (meta(7, execution={"iopub.status.busy": "2026"}), "times of its run"),
    "two cells of one id": (lambda d: d["cells"][7].update(id="a"), "two of one id"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_rule_can_fail(name: str) -> None:
    plant, expected = FAULTS[name]
    nb = good()
    data = copy.deepcopy(nb.data)
    plant(data)
    assert any(expected in line for line in found(Notebook(nb.name, data, nb.size))), found(Notebook(nb.name, data, nb.size))


def test_size_and_allow_list() -> None:
    nb = good()
    assert any("bytes" in p for p in found(Notebook(nb.name, nb.data, 600_000)))
    data = copy.deepcopy(nb.data)
    data["cells"][7]["metadata"]["tags"] = ["nbval-ignore-output"]
    assert found(Notebook(nb.name, data, 1000)) and not found(Notebook(nb.name, data, 1000, None, {"h": "a reason"}))


def test_helpers() -> None:
    cell = good().cells[4]
    assert source(cell) == "kn.check('00.1', ...)" and tags(cell) == ["answer:00.1"]
    assert tagged(good().data, "answer:")["00.1"][0] == 4
