"""Errors: one root, and messages that say what was found, what was expected and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["CommandError", "KubenetError", "LoadError", "NotFound", "NotModelled", "Problem", "is_text"]


def is_text(text: str) -> bool:
    """Whether it can be written down: half of a UTF-16 pair, which a Python string may hold, has no bytes in UTF-8."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


class KubenetError(Exception):
    """The root of every error that kubenet-lab raises on purpose."""


class NotModelled(KubenetError):
    """The real system has an answer, the lab does not model it. `reason` says what is missing."""

    def __init__(self, reason: str):
        super().__init__(f"not modelled: {reason}")
        self.reason = reason


class NotFound(KubenetError):
    """A name that means nothing here, or more than one thing; lists the choices."""

    def __init__(self, what: str, name: str, choices: Iterable[str] = (), hint: str = ""):
        self.what, self.name, self.choices = what, name, tuple(choices)
        elsewhere = [c for c in self.choices if "/" in c and c.rpartition("/")[2] == name.rpartition("/")[2]]  # of another namespace
        near = list(dict.fromkeys([*elsewhere, *get_close_matches(name, self.choices, n=3, cutoff=0.5)]))[:3] or sorted(self.choices)[:8]
        tail = f"; nearest: {', '.join(near)}" if near else ""
        super().__init__(f"no {what} {name!r}{tail}{'; ' + hint if hint else ''}")


class CommandError(KubenetError):
    """A command line that the lab's shell does not take; the message is what the real tool would print where it has one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one object. `path` is the YAML's, e.g. `spec.ports[0].port`."""

    message: str
    path: str = ""
    object: str = ""  # "Service shop/web"
    file: str = ""
    document: int | None = None  # 1-based
    line: int | None = None  # 1-based

    def __str__(self) -> str:
        where = self.file
        if self.document is not None or self.line is not None or not self.object:
            where = where or "<input>"  # an object without a place was made by the lab, or came as a dict: its name says enough
        if self.document is not None:
            where += f", document {self.document}"
        if self.line is not None:
            where += f", line {self.line}"
        return ": ".join(part for part in (where, self.object, self.path, self.message) if part)


class LoadError(KubenetError):
    """Everything that is wrong with one load or apply; nothing of it was applied."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        n = len(self.problems)
        head = "1 problem, nothing was applied" if n == 1 else f"{n} problems, nothing was applied"
        super().__init__("\n".join([head, *(f"  {p}" for p in self.problems)]))
