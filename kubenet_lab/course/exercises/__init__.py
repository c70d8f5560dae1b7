"""The exercises and predictions of the course, one module per notebook, found by id: "00.2" stands in nb00.py."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ...errors import NotFound
from ..exercise import Exercise, Prediction, Question

__all__ = ["exercise", "prediction", "questions"]

#: the notebooks that have exercises, in the order of the course
NOTEBOOKS = ("00", "01", "02", "02b", "03", "05", "06", "07", "08", "09")


@cache
def _of(notebook: str) -> tuple[Question, ...]:
    found: tuple[Question, ...] = import_module(f"{__name__}.nb{notebook}").QUESTIONS
    return found


def questions() -> tuple[Question, ...]:
    """All of them, in the order of the course."""
    return tuple(question for notebook in NOTEBOOKS for question in _of(notebook))


def exercise(id: str) -> Exercise:
    """The exercise of that id. Raises NotFound with the nearest ids."""
    for question in questions():
        if question.id == id and isinstance(question, Exercise):
            return question
    raise NotFound("exercise", str(id), [q.id for q in questions() if isinstance(q, Exercise)])


def prediction(id: str) -> Prediction:
    """The prediction of that id. Raises NotFound with the nearest ids."""
    for question in questions():
        if question.id == id and isinstance(question, Prediction):
            return question
    raise NotFound("prediction", str(id), [q.id for q in questions() if isinstance(q, Prediction)])
