"""The solutions runner: fills the answers into the learner's copy, runs every notebook, and finds all checks passed."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from notebook_rules import source, tagged
from run_notebooks import normalised, run, text

from kubenet_lab.course.exercises import questions
from kubenet_lab.course.solutions import solutions
from kubenet_lab.course.workspace import cleared

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def filled(notebook: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """Each `...` of a tagged cell replaced by the answer's expression."""
    notebook = copy.deepcopy(notebook)
    for prefix in ("answer:", "predict:"):
        for id, (place, cell) in tagged(notebook, prefix).items():
            notebook["cells"][place]["source"] = _put(source(cell), answers[id])
    return notebook


def _put(code: str, answer: str) -> str:
    (hole,) = (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant) and n.value is ...)
    lines = code.splitlines(keepends=True)
    assert hole.lineno == hole.end_lineno
    line = lines[hole.lineno - 1].encode()
    lines[hole.lineno - 1] = (line[: hole.col_offset] + f"({answer})".encode() + line[hole.end_col_offset :]).decode()
    return "".join(lines)


def plain(cell: dict[str, Any]) -> str:
    return "".join("".join(o.get("data", {}).get("text/plain", o.get("text", ""))) for o in cell["outputs"])


def test_every_question_has_a_solution() -> None:
    assert solutions().keys() == {q.id for q in questions()}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
def test_all_checks_pass_with_the_solutions(path: Path) -> None:
    done = run(filled(cleared(json.loads(path.read_text("utf-8"))), solutions()), path.parent)
    answers = tagged(done, "answer:")
    assert answers
    for id, (_, cell) in answers.items():
        assert f"✓ {id} right" in plain(cell), f"{id}: {plain(cell)}"
    for id, (_, cell) in tagged(done, "predict:").items():
        assert "Noted" in plain(cell), id


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
def test_answers_change_no_other_output(path: Path) -> None:
    """Solved or not, every cell that asks nothing shows what is stored."""
    stored = json.loads(path.read_text("utf-8"))
    solved = normalised(run(filled(cleared(stored), solutions()), path.parent))
    asking = {place for prefix in ("answer:", "predict:") for place, _ in tagged(stored, prefix).values()}
    for place, (old, new) in enumerate(zip(stored["cells"], solved["cells"], strict=True)):
        shows_progress = "kn.progress(" in source(old)
        if old["cell_type"] == "code" and place not in asking and not shows_progress:
            assert new["outputs"] == old["outputs"], f"cell {place}"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
def test_making_the_notebooks_again_changes_nothing(path: Path) -> None:
    stored = path.read_text("utf-8")
    assert text(normalised(run(json.loads(stored), path.parent))) == stored


def test_answers_are_put_in_place() -> None:
    assert _put("x = 1\nkn.check('00.1', ...)", "40 + 2") == "x = 1\nkn.check('00.1', (40 + 2))"
    assert _put("answer = ...  # é", "7") == "answer = (7)  # é"
    with pytest.raises(ValueError):
        _put("kn.check('00.1', 3)", "7")


TINY = {
    "cells": [
        {
            "cell_type": "code", "id": "a", "metadata": {"execution": {"x": 1}}, "execution_count": None, "outputs": [],
            "source": ["import sys\n", "for i in range(3):\n", "    print(i); sys.stdout.flush()\n", "hash('x') == hash('x')"],
        },
        {
            "cell_type": "code", "id": "b", "metadata": {"tags": ["raises-exception"]}, "execution_count": None, "outputs": [],
            "source": ["1/0"],
        },
        {
            "cell_type": "code", "id": "c", "metadata": {}, "execution_count": None, "outputs": [],
            "source": ["import ipywidgets\n", "ipywidgets.HTML('x')"],
        },
    ],
    "metadata": {"kubenet": {"title": "tiny"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip


def test_what_is_stored_holds_nothing_of_the_run(tmp_path: Path) -> None:
    one = normalised(run(TINY, tmp_path))
    assert text(one) == text(normalised(run(one, tmp_path)))
    first, second, third = one["cells"]
    assert "".join(first["outputs"][0]["text"]) == "0\n1\n2\n" and len(first["outputs"]) == 2
    assert first["metadata"] == {} and "widgets" not in one["metadata"] and one["metadata"]["kubenet"] == {"title": "tiny"}
    assert second["outputs"][0]["traceback"] == ["ZeroDivisionError: division by zero"]
    assert list(third["outputs"][0]["data"]) == ["text/plain"], "a widget view has a random id"
    assert [c["execution_count"] for c in one["cells"]] == [1, 2, 3]
    assert not list(tmp_path.iterdir())
