"""The exercises themselves: every distractor can be told from the truth, every text can be filled, every solution is right."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.course.asking import _grade
from kubenet_lab.course.compare import read
from kubenet_lab.course.exercise import Case, Exercise, Question, fill
from kubenet_lab.course.exercises import questions
from kubenet_lab.course.logbook import learner_seed
from kubenet_lab.course.misconceptions import MISCONCEPTIONS
from kubenet_lab.course.solutions import solutions

#: the course's own, and enough learners to meet every variant
SEEDS = (0, *(learner_seed(f"learner {n}") for n in range(12)))
QUESTIONS = questions()
EXERCISES = [q for q in QUESTIONS if isinstance(q, Exercise)]


@cache
def case(id: str, seed: int) -> Case:
    return next(q for q in QUESTIONS if q.id == id).setup(seed)


def by_id(question: Question) -> str:
    return question.id


def test_ids_are_unique_and_in_order() -> None:
    ids = [q.id for q in QUESTIONS]
    assert len(set(ids)) == len(ids)
    graded = [q.id for q in EXERCISES]
    assert graded == sorted(graded)


@pytest.mark.parametrize("question", QUESTIONS, ids=by_id)
def test_the_truth_can_be_read_and_is_the_same_twice(question: Question) -> None:
    for seed in SEEDS:
        truth = read(question.truth(case(question.id, seed)), question.form)
        assert truth == read(question.truth(question.setup(seed)), question.form)


@pytest.mark.parametrize("question", QUESTIONS, ids=by_id)
def test_every_text_is_filled(question: Question) -> None:
    for seed in SEEDS:
        mine = case(question.id, seed)
        texts = [question.ask(mine)]
        if isinstance(question, Exercise):
            texts += [fill(t, mine) for t in (*question.hints, question.because, *(d.message for d in question.distractors))]
        for text in texts:
            assert len(text) > 20 and "{" not in text and "None" not in text and "0x" not in text and "!" not in text, text
        assert str(question.ask(mine)) == question.ask(question.setup(seed))


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_id)
def test_each_distractor_is_a_wrong_answer_somewhere(exercise: Exercise) -> None:
    """A misconception that gives the right answer on every cluster would teach nothing."""
    assert len(exercise.distractors) >= 2
    for distractor in exercise.distractors:
        assert distractor.misconception in MISCONCEPTIONS
        diagnosed = []
        for seed in SEEDS:
            mine = case(exercise.id, seed)
            value = distractor.value(mine)
            if value is not None:
                verdict = _grade(exercise, mine, read(value, exercise.form))
                if not verdict and verdict.misconception is not None and verdict.misconception.id == distractor.misconception:
                    diagnosed.append(seed)
        assert diagnosed, f"{exercise.id}: nobody can ever be told of {distractor.misconception}"


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_id)
def test_hints_do_not_give_the_answer_away(exercise: Exercise) -> None:
    truth = str(read(exercise.truth(case(exercise.id, 0)), exercise.form))
    if len(truth) > 1:
        assert not any(truth in fill(hint, case(exercise.id, 0)).split() for hint in exercise.hints)


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_id)
def test_learners_differ(exercise: Exercise) -> None:
    assert len({exercise.ask(case(exercise.id, seed)) for seed in SEEDS}) > 1


def test_every_misconception_is_met_by_an_exercise() -> None:
    used = {d.misconception for e in EXERCISES for d in e.distractors}
    assert used == MISCONCEPTIONS.keys()
    for m in MISCONCEPTIONS.values():
        assert m.statement.endswith(".") and m.refutation.endswith(".") and m.statement != m.refutation
        assert m.link.startswith(m.notebook + "#") and " " not in m.link


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_id)
def test_the_solution_is_right(exercise: Exercise) -> None:
    answer: Any = eval(solutions()[exercise.id], {"kn": kn})
    verdict = kn.check(exercise.id, answer)
    assert verdict, str(verdict)


def test_asking_changes_nothing() -> None:
    """A check works on a cluster of its own."""
    cluster = kn.example("bookshop")
    before = cluster.connect("shop/web", "svc:shop/cart", port=8080).to_dict()
    for exercise in EXERCISES:
        kn.check(exercise.id, 1)
        kn.reveal(exercise.id)
    assert kn.example("bookshop").connect("shop/web", "svc:shop/cart", port=8080).to_dict() == before
