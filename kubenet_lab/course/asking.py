"""The verbs of the course: `check`, `predict`, `hint`, `reveal`, `progress`, `learner`.

An answer that is still `...` changes nothing and gets the question again. Nothing that is stored
(scores, predictions, hints) ever changes what any other cell prints.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

from .compare import Unreadable, read, show
from .exercise import Case, Exercise, Prediction, Question, fill
from .exercises import exercise, prediction, questions
from .logbook import Attempt, CourseError, decode, encode, store, tidy_name
from .misconceptions import misconception
from .progress import Progress, Row
from .verdict import Note, Verdict

__all__ = ["check", "hint", "learner", "predict", "progress", "reveal"]

#: hints given in this session, by (learner, exercise): `hint` goes on where it was, and begins anew in a new session
_hints: dict[tuple[str, str], int] = {}


def check(id: str, answer: Any = ...) -> Verdict:
    """Compare an answer with what the lab computes. The truth is never stored: it is asked of the model now.

    Values are compared by meaning (compare.py). A wrong answer that a known misconception gives names it,
    and the cell that refutes it. Raises NotFound for an unknown id.
    """
    ex = exercise(id)
    case = _case(ex)
    if isinstance(answer, EllipsisType):
        return Verdict(
            id, ex.title, "empty",
            f'Put your answer ({ex.form.describe()}) in place of `...` and run the cell again. `kn.hint("{id}")` gives a hint.',
            question=ex.ask(case),
        )  # fmt: skip
    try:
        said = read(answer, ex.form)
    except Unreadable as problem:
        return Verdict(id, ex.title, "unclear", f"{problem}.", question=ex.ask(case))
    verdict = _grade(ex, case, said)
    _record(id, right=bool(verdict), tried=True)
    return verdict


def _grade(ex: Exercise, case: Case, said: Any) -> Verdict:
    truth = ex.truth(case)
    if said == read(truth, ex.form):
        return Verdict(ex.id, ex.title, "right", fill(ex.because, case))
    for distractor in ex.distractors:
        value = distractor.value(case)
        if value is not None and said == read(value, ex.form):
            return Verdict(ex.id, ex.title, "wrong", fill(distractor.message, case), misconception=misconception(distractor.misconception))
    return Verdict(
        ex.id, ex.title, "wrong",
        f'{show(said, ex.form)} is not what the lab says. Look again, or ask `kn.hint("{ex.id}")`.', question=ex.ask(case),
    )  # fmt: skip


def predict(id: str, answer: Any = ...) -> Note:
    """Write down what you expect before you run the cell that shows it. It is kept, never graded, and changes nothing else."""
    question = prediction(id)
    if isinstance(answer, EllipsisType):
        return Note(id, question.title, f"{question.ask(_case(question))} Write {question.form.describe()} in place of `...`, then run on.")
    try:
        said = show(read(answer, question.form), question.form)
    except Unreadable as problem:
        return Note(id, question.title, f"{problem}.")
    book = store()
    book.change(book.log.with_prediction(id, said))
    return Note(id, question.title, f"Noted: {said}. Now run on and compare.")


def hint(id: str, level: int | None = None) -> Note:
    """The next hint (there are three), or hint `level`, 1 to 3."""
    ex = exercise(id)
    book = store()
    key = book.learner, id
    if level is None:
        level = min(_hints.get(key, 0) + 1, len(ex.hints))
    if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= len(ex.hints):
        raise CourseError(f"there are {len(ex.hints)} hints for {id}: kn.hint({id!r}, 1) to kn.hint({id!r}, {len(ex.hints)})")
    _hints[key] = max(level, _hints.get(key, 0))
    _record(id, hints=level)
    more = "" if level < len(ex.hints) else f' This was the last hint; `kn.reveal("{id}")` shows the answer.'
    return Note(id, f"hint {level} of {len(ex.hints)}", fill(ex.hints[level - 1], _case(ex)) + more)


def reveal(id: str) -> Note:
    """The answer and why it is so. `progress` will say that you looked."""
    ex = exercise(id)
    case = _case(ex)
    _record(id, revealed=True)
    return Note(id, ex.title, f"The lab says: {show(ex.truth(case), ex.form)}. {fill(ex.because, case)}")


def learner(name: str | None = ...) -> Note:  # type: ignore[assignment]
    """Exercises of your own: `kn.learner("ana")` seeds every exercise with a name. Text and figures stay as they are.

    `kn.learner(None)` goes back to the exercises of the text; `kn.learner()` says who is learning.
    """
    book = store()
    if not isinstance(name, EllipsisType):
        book.switch(tidy_name(name))
    if not book.learner:
        return Note("learner", "", "Nobody in particular: the exercises are those of the text.")
    return Note("learner", book.learner, f"The exercises are now those of {book.learner!r}. Text and figures stay as they are.")


def progress(line: str | None = None) -> Progress:
    """How far you are. With a line that an earlier `progress()` printed: bring that progress back, beside what is here."""
    book = store()
    note = ""
    if line is not None:
        log = decode(line)
        book.learner = log.learner
        book.change(book.log.merged(log))
        note = f"Brought back: {len(log.attempts)} exercises, {len(log.predictions)} predictions."
    elif book.path is not None and not book.logs:
        pass  # nothing done yet: leave no file
    rows = []
    for question in questions():
        if isinstance(question, Exercise):
            rows.append(_row(question, book.log.attempts.get(question.id, Attempt())))
        elif isinstance(question, Prediction) and (said := book.log.predictions.get(question.id)) is not None:
            truth = show(question.truth(_case(question)), question.form)
            rows.append(Row(question.id, question.title, "•", f"you said {said}, the lab says {truth}"))
    return Progress(book.learner, tuple(rows), encode(book.log), " ".join(filter(None, (note, book.trouble))))


def _row(ex: Exercise, a: Attempt) -> Row:
    aid = [f"{a.hints} hint{'s' * (a.hints != 1)}"] * bool(a.hints) + ["answer shown"] * a.revealed
    if a.right:
        state = f"right, {'first try' if a.tries == 1 else f'{a.tries} tries'}"
    elif a.tries:
        state = f"not yet, {a.tries} {'try' if a.tries == 1 else 'tries'}"
    else:
        state = "open"
    return Row(ex.id, ex.title, "✓" if a.right else "○", ", ".join([state, *aid]))


def _record(id: str, *, right: bool = False, tried: bool = False, hints: int = 0, revealed: bool = False) -> None:
    book = store()
    old = book.log.attempts.get(id, Attempt())
    new = Attempt(
        old.right or right,
        old.tries + (tried and not old.right),
        max(old.hints, hints),
        # an answer that is shown after it was found is no help
        old.revealed or (revealed and not old.right),
    )
    if new != old:
        book.change(book.log.with_attempt(id, new))


def _case(question: Question) -> Case:
    return question.setup(store().seed)
