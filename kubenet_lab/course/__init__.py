"""The course: exercises that the lab itself grades, predictions, hints, progress, and the learner's copy of the notebooks."""

from __future__ import annotations

from .asking import check, hint, learner, predict, progress, reveal
from .case_file import Mystery, mystery
from .logbook import CourseError

__all__ = ["CourseError", "Mystery", "check", "hint", "learner", "mystery", "predict", "progress", "reveal"]
