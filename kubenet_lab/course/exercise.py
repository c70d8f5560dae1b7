"""`Exercise`: a question as data. Its answer is never stored: the lab computes it when it is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from .compare import Form

__all__ = ["Case", "Distractor", "Exercise", "Prediction", "Question", "Text", "pick"]

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One learner's instance of an exercise: a cluster of its own (None where it needs none), and what its texts and its truth speak of."""

    cluster: Any = None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


#: `str.format` text over a case's facts, or a function of the case where the words depend on the lab's answer
Text = str | Callable[[Case], str]


def fill(text: Text, case: Case) -> str:
    return text(case) if callable(text) else text.format_map(case.facts)


def pick(seed: int, what: str, choices: Sequence[T]) -> T:
    """One of `choices` for this learner.

    Seed 0, the course's own, always takes the first: let it be one that the lesson has not just answered.
    """
    if seed == 0:
        return choices[0]
    draw = hashlib.sha256(f"{seed}:{what}".encode()).digest()
    return choices[int.from_bytes(draw[:8], "big") % len(choices)]


@dataclass(frozen=True)
class Distractor:
    """A wrong answer that a known misconception gives. `value` computes it for a case, as `truth` computes the right one."""

    misconception: str  # an id of course/misconceptions.py
    value: Callable[[Case], Any]
    message: Text  # one or two sentences that meet this learner where they are


@dataclass(frozen=True)
class Question:
    """What exercises and predictions share.

    `id` is "NN.k": notebook and place ("00.2", a prediction "00.a"). `form` says how answers are read and compared (course/compare.py).
    `setup(seed)` makes the case; seed 0 is the course's own, any other is a learner's. `truth(case)` is computed at every check.
    """

    id: str
    title: str
    prompt: Text
    form: Form
    setup: Callable[[int], Case]
    truth: Callable[[Case], Any]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d[a-z]?\.[0-9a-z]+", self.id):
            raise ValueError(f"an exercise id is its notebook (02, 02b), a dot and its place, not {self.id!r}")

    def ask(self, case: Case) -> str:
        return fill(self.prompt, case)


@dataclass(frozen=True)
class Exercise(Question):
    """A question that `check` grades, with its known wrong answers, three hints, and the words that `reveal` shows."""

    because: Text  # why the right answer is right
    hints: tuple[Text, Text, Text]
    distractors: tuple[Distractor, ...] = ()


@dataclass(frozen=True)
class Prediction(Question):
    """A question to settle before the run that answers it. Never graded: `progress` sets what you said beside what the lab says."""
