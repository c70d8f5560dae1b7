"""`kubenet-lab start`: the learner's copy, and what it never does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.course.workspace import MANIFEST, start
from kubenet_lab.errors import KubenetError, NotFound


def notebook(*sources: str) -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["# A title"]},
            *(
                {
                    "cell_type": "code", "id": f"c{i}", "execution_count": i + 1, "source": [text],
                    "metadata": {"tags": [f"answer:00.{i}"], "execution": {"iopub.status.busy": "2026-01-01T00:00:00Z"}},
                    "outputs": [{"output_type": "stream", "name": "stdout", "text": ["42"]}],
                }
                for i, text in enumerate(sources)
            ),
        ],
        "metadata": {"kubenet": {"title": "t"}, "widgets": {"state": {}}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def put(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def get(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    put(folder / "00_start.ipynb", notebook("1 + 1", "answer = ..."))
    put(folder / "01_next.ipynb", notebook("2 + 2"))
    (folder / "notes.txt").write_text("not for learners")
    return folder


@pytest.fixture
def course(tmp_path: Path, source: Path) -> Path:
    start(tmp_path / "course", source=source)
    return tmp_path / "course"


def test_the_first_time(tmp_path: Path, source: Path) -> None:
    said: list[str] = []
    done = start(tmp_path / "course", source=source, echo=said.append)
    names = sorted(p.name for p in (tmp_path / "course").iterdir())
    assert names == [".gitignore", MANIFEST, "00_start.ipynb", "01_next.ipynb"], "notebooks, and nothing else"
    assert (tmp_path / "course" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert done.written == ("00_start.ipynb", "01_next.ipynb") and done.first.name == "00_start.ipynb"
    assert "wrote 2 notebooks" in said[0]


def test_the_copy_shows_no_run(course: Path, source: Path) -> None:
    mine, theirs = get(course / "00_start.ipynb"), get(source / "00_start.ipynb")
    for cell in mine["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None and "execution" not in cell["metadata"]
    assert "widgets" not in mine["metadata"] and mine["metadata"]["kubenet"] == {"title": "t"}
    assert [c["source"] for c in mine["cells"]] == [c["source"] for c in theirs["cells"]]
    assert mine["cells"][1]["metadata"]["tags"] == ["answer:00.0"]
    assert theirs["cells"][1]["outputs"], "the original is left as it is"


def test_a_second_time_changes_nothing(course: Path, source: Path) -> None:
    before = {p.name: p.read_bytes() for p in course.iterdir()}
    done = start(course, source=source)
    assert done.kept == ("00_start.ipynb", "01_next.ipynb") and not done.written and not done.updated
    assert {p.name: p.read_bytes() for p in course.iterdir()} == before


def test_what_the_learner_wrote_is_kept(course: Path, source: Path) -> None:
    mine = get(course / "00_start.ipynb")
    mine["cells"][2]["source"] = ["answer = 42"]
    put(course / "00_start.ipynb", mine)
    before = (course / "00_start.ipynb").read_bytes()
    assert start(course, source=source).kept == ("00_start.ipynb", "01_next.ipynb")
    put(source / "00_start.ipynb", notebook("1 + 1", "answer = ...", "3 + 3"))
    put(source / "01_next.ipynb", notebook("2 + 2 + 2"))
    done = start(course, source=source)
    assert (course / "00_start.ipynb").read_bytes() == before
    assert done.beside == ("00_start.new.ipynb",) and done.updated == ("01_next.ipynb",)
    assert len(get(course / "00_start.new.ipynb")["cells"]) == 4
    assert "00_start.new.ipynb" in str(done) and done.first.name == "00_start.ipynb"
    assert not start(course, source=source).beside, "said once"


def test_a_new_version_that_the_learner_changed_too(course: Path, source: Path) -> None:
    def write(path: Path, text: str) -> None:
        mine = get(path)
        mine["cells"][1]["source"] = [text]
        put(path, mine)

    write(course / "00_start.ipynb", "mine")
    put(source / "00_start.ipynb", notebook("second"))
    start(course, source=source)
    write(course / "00_start.new.ipynb", "mine again")
    put(source / "00_start.ipynb", notebook("third"))
    assert start(course, source=source).beside == ("00_start.new2.ipynb",)
    assert "mine again" in (course / "00_start.new.ipynb").read_text()
    put(source / "00_start.ipynb", notebook("fourth"))
    assert start(course, source=source).beside == ("00_start.new2.ipynb",), "that one was not touched"
    assert "fourth" in (course / "00_start.new2.ipynb").read_text()


def test_running_a_notebook_is_no_change(course: Path, source: Path) -> None:
    mine = get(course / "00_start.ipynb")
    for number, cell in enumerate(mine["cells"]):
        if cell["cell_type"] == "code":
            cell |= {"execution_count": number + 7, "outputs": [{"output_type": "stream", "name": "stdout", "text": ["hi"]}]}
            cell["source"] = cell["source"][0]  # JupyterLab may store one text
    mine["metadata"]["kernelspec"] = {"name": "python3"}
    put(course / "00_start.ipynb", mine)
    before = (course / "00_start.ipynb").read_bytes()
    assert "00_start.ipynb" in start(course, source=source).kept
    assert (course / "00_start.ipynb").read_bytes() == before, "nor are the outputs taken away"
    put(source / "00_start.ipynb", notebook("new"))
    assert start(course, source=source).updated == ("00_start.ipynb",)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"cells": 3}', "\x00"])
def test_whatever_stands_there_is_not_written_over(course: Path, source: Path, text: str) -> None:
    (course / "00_start.ipynb").write_text(text)
    put(source / "00_start.ipynb", notebook("new"))
    done = start(course, source=source)
    assert (course / "00_start.ipynb").read_text() == text and done.beside == ("00_start.new.ipynb",)


def test_a_folder_that_existed_before(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "mine"
    put(folder / "00_start.ipynb", notebook("something of my own"))
    (folder / ".gitignore").write_text("mine\n")
    done = start(folder, source=source)
    assert "something of my own" in (folder / "00_start.ipynb").read_text()
    assert done.beside == ("00_start.new.ipynb",) and done.written == ("01_next.ipynb",)
    assert (folder / ".gitignore").read_text() == "mine\n"


def test_a_lost_manifest_loses_no_work(course: Path, source: Path) -> None:
    for text in (None, "{", "[1]"):
        (course / MANIFEST).unlink(missing_ok=True)
        if text is not None:
            (course / MANIFEST).write_text(text)
        before = (course / "00_start.ipynb").read_bytes()
        assert start(course, source=source).kept == ("00_start.ipynb", "01_next.ipynb")
        assert (course / "00_start.ipynb").read_bytes() == before


def test_a_deleted_notebook_comes_back_fresh(course: Path, source: Path) -> None:
    (course / "00_start.ipynb").unlink()
    assert start(course, source=source).written == ("00_start.ipynb",)


def test_errors_say_what_is_wrong(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KubenetError, match="cannot be written"):
        start(tmp_path / "file", source=source)
    with pytest.raises(KubenetError, match="own notebooks"):
        start(source, source=source)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="notebook"):
        start(tmp_path / "course", source=tmp_path / "empty")


def test_the_original_is_not_changed(course: Path, source: Path) -> None:
    before = copy.deepcopy(get(source / "00_start.ipynb"))
    start(course, source=source)
    assert get(source / "00_start.ipynb") == before


def test_the_courses_own_notebooks(tmp_path: Path, root: Path) -> None:
    """From this checkout: every notebook, and only those."""
    done = start(tmp_path / "course")
    assert set(done.written) == {p.name for p in (root / "notebooks").glob("*.ipynb")}
    assert done.first.name.startswith("00_")
