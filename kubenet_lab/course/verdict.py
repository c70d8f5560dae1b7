"""What the learner sees: each value is one line as text and a small, labelled box in a notebook.

A verdict carries a word and a symbol, never colour alone, and reads the same on every run.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from textwrap import indent
from typing import Literal

from .misconception import Misconception

__all__ = ["Card", "Note", "Verdict"]

State = Literal["right", "wrong", "empty", "unclear"]

_LOOK: dict[str, tuple[str, str, str]] = {  # symbol, word, colour of the rule at the left (also fine on dark ground, and in grey)
    "right": ("✓", "right", "#0a7f5a"),
    "wrong": ("✗", "not yet", "#c1440e"),
    "empty": ("○", "waits for your answer", "#7a7a7a"),
    "unclear": ("?", "cannot be read", "#9a6b00"),
    "note": ("•", "", "#3566a8"),
}


def rich(text: str) -> str:
    """Escaped text, with `code` set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def box(state: str, head: str, paragraphs: tuple[str, ...]) -> str:
    """HTML of already escaped parts. `role=status` lets a screen reader say it when it appears."""
    symbol, word, colour = _LOOK[state]
    lead = f"{symbol} {head}{' ' + word if word else ''}".strip()
    body = "".join(f"<div style='margin-top:.3em;white-space:pre-line'>{p}</div>" for p in paragraphs if p)
    return (
        f"<div role='status' style='border-left:4px solid {colour};padding:.3em .8em;max-width:46em;line-height:1.45'>"
        f"<strong>{lead}</strong>{body}</div>"
    )


@dataclass(frozen=True, slots=True)
class Card:
    """Text with a head. The base of all that the course machinery hands back."""

    id: str
    title: str
    text: str

    def __repr__(self) -> str:
        return " ".join(f"{_LOOK['note'][0]} {self.id} {self.text}".split())

    def __str__(self) -> str:
        return f"{_LOOK['note'][0]} {self.id} {self.title}\n{indent(self.text, '  ')}"

    def _repr_html_(self) -> str:
        return box("note", html.escape(f"{self.id} {self.title}"), (rich(self.text),))


class Note(Card):
    """A hint, a noted prediction, a revealed answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `check` says. `bool(verdict)` is True for a right answer.

    `state` is "right", "wrong", "empty" (the answer is still `...`) or "unclear" (not the kind of thing that was asked for).
    """

    id: str
    title: str
    state: State
    message: str
    question: str = ""
    misconception: Misconception | None = None

    def __bool__(self) -> bool:
        return self.state == "right"

    @property
    def symbol(self) -> str:
        return _LOOK[self.state][0]

    @property
    def word(self) -> str:
        return _LOOK[self.state][1]

    def __repr__(self) -> str:
        return " ".join(f"{self.symbol} {self.id} {self.word}: {self.message}".split())

    def __str__(self) -> str:
        lines = [f"{self.symbol} {self.id} {self.title}: {self.word}"]
        if self.question:
            lines.append(indent(self.question, "  "))
        lines.append(indent(self.message, "  "))
        if m := self.misconception:
            lines += [f"  The idea behind it: “{m.statement}”", f"  See {m.where}. {m.refutation}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [rich(self.question), rich(self.message)]
        if m := self.misconception:
            parts.append(f"The idea behind it: <em>“{html.escape(m.statement)}”</em>")
            parts.append(f"See <a href='{html.escape(m.link, quote=True)}'>{html.escape(m.where)}</a>. {html.escape(m.refutation)}")
        return box(self.state, html.escape(f"{self.id} {self.title}:"), tuple(parts))
