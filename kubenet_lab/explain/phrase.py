"""`Phrase`: the words for one code. One catalogue per chapter collects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..trace import Evidence

__all__ = ["Phrase", "documented", "measured", "upstream"]

Words = str | Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Templates over a hop's or reason's parameters: `str.format` text, or a function where words depend on values."""

    title: Words
    sentence: Words
    command: Words = ""
    evidence: Evidence | None = None


def measured(source: str) -> Evidence:
    return Evidence("measured", source)


def upstream(source: str) -> Evidence:
    return Evidence("upstream", source)


def documented(source: str) -> Evidence:
    return Evidence("documented", source)
