"""check, predict, hint, reveal, progress and learner, on a small notebook of their own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.course import CourseError, asking, check, hint, learner, predict, progress, reveal
from kubenet_lab.course import exercises as registry
from kubenet_lab.course.compare import Form
from kubenet_lab.course.exercise import Case, Distractor, Exercise, Prediction, pick
from kubenet_lab.errors import NotFound

calls: list[int] = []


def setup(seed: int) -> Case:
    calls.append(seed)
    return Case(None, {"n": pick(seed, "n", (10, 20, 30, 40, 50, 60, 70)), "who": "<b>web</b>"})  # type: ignore[arg-type]


QUESTIONS = (
    Prediction("00.a", "A guess", "What will {who} see?", Form("word", choices=("timeout", "refused")), setup, lambda case: "timeout"),
    Exercise(
        "00.1", "Bytes", "{who} sends {n} bytes. How many arrive?", Form("number", unit="bytes"), setup, lambda case: case["n"] + 50,
        because=lambda case: f"{case['n']} and 50 more.",
        hints=("first", "second, {n}", "third"),
        distractors=(
            Distractor("overlay-is-free", lambda case: case["n"], "Nothing added for {who}?"),
            Distractor("vxlan-is-eight-bytes", lambda case: None, "never"),
        ),
    ),
    Exercise("00.2", "Set", "Which?", Form("word", "set"), setup, lambda case: {"a", "b"}, "these", ("1", "2", "3")),
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "questions", lambda: QUESTIONS)
    monkeypatch.setattr(asking, "questions", lambda: QUESTIONS)
    monkeypatch.setattr(asking, "_hints", {})
    monkeypatch.setenv("KUBENET_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.chdir(tmp_path)
    calls.clear()


def shown(value: Any) -> tuple[str, str, str]:
    return repr(value), str(value), value._repr_html_()


def test_an_answer_that_is_still_open(tmp_path: Path) -> None:
    verdict = check("00.1", ...)
    assert verdict.state == "empty" and not verdict
    assert repr(verdict).startswith("○ 00.1 waits for your answer: ") and "\n" not in repr(verdict)
    assert "10 bytes. How many arrive?" in str(verdict) and "a number of bytes" in str(verdict)
    assert shown(check("00.1")) == shown(verdict)
    assert not list(tmp_path.iterdir()), "an empty answer leaves nothing"


def test_right() -> None:
    verdict = check("00.1", "60 bytes")
    assert verdict and verdict.state == "right" and "10 and 50 more." in str(verdict)
    assert repr(verdict) == "✓ 00.1 right: 10 and 50 more."


def test_a_known_wrong_answer_names_its_misconception() -> None:
    verdict = check("00.1", 10)
    assert not verdict and verdict.state == "wrong" and verdict.misconception is not None
    assert verdict.misconception.id == "overlay-is-free"
    assert verdict.misconception.statement in str(verdict) and verdict.misconception.link in verdict._repr_html_()


def test_another_wrong_answer() -> None:
    verdict = check("00.1", 11)
    assert verdict.state == "wrong" and verdict.misconception is None and 'kn.hint("00.1")' in verdict.message
    assert not check("00.2", ["a"]) and check("00.2", "b, a")


def test_what_cannot_be_read_is_no_try() -> None:
    verdict = check("00.1", "many")
    assert verdict.state == "unclear" and "a number of bytes" in verdict.message
    assert progress().rows[0].state == "open"


def test_html_is_inert_and_says_the_verdict_in_words() -> None:
    for verdict, word in (
        (check("00.1"), "waits"),
        (check("00.1", 60), "right"),
        (check("00.1", 10), "not yet"),
        (check("00.1", "<i>"), "cannot"),
    ):
        page = verdict._repr_html_()
        assert "<b>" not in page and "<i>" not in page and word in page and "role='status'" in page
        assert verdict.symbol in page
    assert "<b>" not in hint("00.1", 2)._repr_html_() and "<b>" not in predict("00.a")._repr_html_()
    learner("<b>x</b>")
    assert "<b>" not in progress()._repr_html_() and "<b>" not in learner()._repr_html_()


def test_hints_go_on_and_end() -> None:
    assert [hint("00.1").text.split(" This")[0] for _ in range(4)] == ["first", "second, 10", "third", "third"]
    assert '`kn.reveal("00.1")`' in hint("00.1").text and "<code>kn.reveal" in hint("00.1")._repr_html_()
    assert hint("00.1", 1).text == "first"
    for bad in (0, 4, "1", True):
        with pytest.raises(CourseError, match="3 hints"):
            hint("00.1", bad)  # type: ignore[arg-type]


def test_reveal_says_the_labs_answer() -> None:
    assert "60 bytes" in reveal("00.1").text and "10 and 50 more." in reveal("00.1").text
    assert "a, b" in reveal("00.2").text


def test_predictions_are_kept_and_grade_nothing() -> None:
    assert "in place of `...`" in predict("00.a").text
    before = shown(check("00.1"))
    note = predict("00.a", "Refused")
    assert "Noted: refused" in note.text
    assert "cannot" not in note.text and "is not one of" in predict("00.a", "blue").text
    assert shown(check("00.1")) == before
    row = next(r for r in progress().rows if r.id == "00.a")
    assert row.state == "you said refused, the lab says timeout"
    assert progress().exercises == 2, "a prediction is no exercise"


def test_nothing_stored_changes_what_is_printed() -> None:
    fresh = [shown(check("00.1", a)) for a in (..., 60, 10, 11, "x")] + [shown(predict("00.a", a)) for a in (..., "timeout")]
    check("00.1", 60), reveal("00.1"), hint("00.1"), predict("00.a", "refused")
    again = [shown(check("00.1", a)) for a in (..., 60, 10, 11, "x")] + [shown(predict("00.a", a)) for a in (..., "timeout")]
    assert again == fresh


def test_progress_and_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check("00.1", 1), hint("00.1"), check("00.1", 60), check("00.1", 60), predict("00.a", "refused"), check("00.2", "c"), reveal("00.2")
    done = progress()
    assert (done.done, done.exercises) == (1, 2) and repr(done) == "Progress(1 of 2 exercises right)"
    states = {row.id: row.state for row in done.rows}
    assert states["00.1"] == "right, 2 tries, 1 hint" and states["00.2"] == "not yet, 1 try, answer shown"
    monkeypatch.setenv("KUBENET_PROGRESS", str(tmp_path / "elsewhere.json"))
    assert progress().done == 0
    back = progress(done.line)
    assert back.rows == done.rows and "Brought back" in back.note
    assert progress().line == done.line
    assert list(done.to_frame().columns) == ["id", "title", "state"] and done.to_dict()["line"] == done.line
    with pytest.raises(CourseError, match="damaged"):
        progress(done.line[:-3])


def test_progress_of_a_beginner_leaves_no_file(tmp_path: Path) -> None:
    assert progress().done == 0 and not list(tmp_path.iterdir())


def test_a_learner_has_exercises_of_her_own() -> None:
    course = check("00.1").question
    questions = set()
    for name in ("ana", "ben", "cem", "dora", "eli", "fay"):
        assert name in learner(name).text
        questions.add(check("00.1").question)
        assert check("00.1").question == check("00.1").question
    assert len(questions) > 2, "names make a difference"
    learner("Ana ")
    mine = check("00.1").question
    learner("ana")
    assert check("00.1").question == mine and calls[-1] != 0
    check("00.1", 1)
    learner(None)
    assert check("00.1").question == course and calls[-1] == 0
    assert progress().rows[1 - 1].state != "not yet, 1 try", "records of two learners are two"
    assert "Nobody" in learner().text


def test_the_learner_is_remembered(tmp_path: Path) -> None:
    from kubenet_lab.course.logbook import Store

    learner("ana")
    assert Store(tmp_path / "progress.json").learner == "ana"


def test_truth_is_computed_when_asked_and_not_stored(tmp_path: Path) -> None:
    check("00.1", 60)
    assert calls == [0]
    check("00.1", 60)
    assert calls == [0, 0]
    assert "60" not in (tmp_path / "progress.json").read_text()


def test_unknown_ids_name_the_nearest() -> None:
    with pytest.raises(NotFound, match="00.1"):
        check("00.11", 3)
    for verb in (check, hint, reveal, predict):
        with pytest.raises(NotFound):
            verb("99.z")
    with pytest.raises(NotFound):
        check("00.a", 1)


def test_the_verbs_explain_themselves() -> None:
    for verb in (check, hint, reveal, predict, progress, learner):
        assert len(inspect.getdoc(verb) or "") > 40
