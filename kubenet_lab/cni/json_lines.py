"""Where in a JSON text each value stands: for messages that name a line."""

from __future__ import annotations

import bisect
import json
import re

__all__ = ["Path", "find_value", "line_of", "lines"]

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_ATOM = re.compile(r"[^,\]}\s]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def lines(text: str) -> dict[Path, int]:
    """The line (1-based) of every member's key and every element, by path: ("plugins", 0, "ipam"). The text must be valid JSON."""
    found: dict[Path, int] = {(): 1}
    starts = [m.end() for m in re.finditer("\n", text)]

    def line(at: int) -> int:
        return bisect.bisect_right(starts, at) + 1

    def past(pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(text, at)
        assert match is not None, "the text is no JSON"
        return match.end()

    def space(at: int) -> int:
        return past(_SPACE, at)

    def value(at: int, path: Path) -> int:
        """Past the value that begins at `at`."""
        at = space(at)
        found.setdefault(path, line(at))
        if text[at] not in "{[":
            return past(_STRING if text[at] == '"' else _ATOM, at)
        close, at, n = ("}" if text[at] == "{" else "]"), space(at + 1), 0
        while text[at] != close:
            step: str | int = n
            if close == "}":
                begin, at = at, past(_STRING, at)
                step = json.loads(text[begin:at])
                found[(*path, step)] = line(begin)
                at = space(at) + 1  # the colon
            at = space(value(at, (*path, step)))
            at, n = (space(at + 1) if text[at] == "," else at), n + 1
        return at + 1

    value(0, ())
    return found


def line_of(where: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it."""
    while path not in where:
        path = path[:-1]
    return where[path]


def find_value(document: object, text: str, path: Path = ()) -> Path | None:
    """The path of the first string in a document that `text` mentions as a word; None if there is none."""
    if isinstance(document, str):
        said = document and re.search(rf"(?<![\w.:/]){re.escape(document)}(?![\w:/]|\.\w)", text)
        return path if said else None
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, inner in items:
        if (found := find_value(inner, text, (*path, key))) is not None:
            return found
    return None
