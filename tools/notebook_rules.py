"""The rules that a notebook of the course keeps: a ceiling on load, and outputs that can be compared.

`problems(notebook, ...)` lists what is broken, in words, with the cell. tests/notebooks keeps the
course to it, and proves for every rule that it can fail.

A notebook carries its front matter in the metadata key `kubenet`:

    {"title": "Start here", "minutes": 30, "objectives": ["ask for ...", ...], "terms": ["VTEP", ...],
     "api": ["kn.example", "cluster.ask", ...], "widget": "PacketTracer"}

Cells carry tags: `answer:00.2` and `predict:00.a` hold `...` where the learner writes, `action` marks
any other cell in which the learner does something (a widget, an experiment), `refutes:ID` shows that a
misconception is wrong, `raises-exception` fails on purpose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

MINUTES, CODE_CELLS, TERMS, API, WORDS, BYTES, FIGURE_BYTES = 35, 25, 8, 4, 120, 500_000, 150_000
ACTION_EVERY = 3
FORBIDDEN_NAMES = {"Output", "interact", "interactive", "interactive_output"}
FORBIDDEN_IMPORTS = {"time", "random", "uuid", "datetime", "secrets"}
COURSE_VERBS = {"kn.check", "kn.hint", "kn.predict", "kn.progress", "kn.widgets"}
NOT_IN_COMMITTED = {"reveal", "learner"}
MAGICS = {"%%node", "%%pod"}
VOICE = {
    r"\bsimply\b": "“simply” tells the reader that it should be easy",
    r"\bobviously\b": "“obviously” tells the reader what to find obvious",
    r"!(?!=)": "an exclamation mark",
    r"\b(congratulations|well done|great job|awesome)\b": "praise",
}
UNSTABLE = {
    r"\b0x[0-9a-f]{6,}\b": "a memory address",
    r"(?<![\w.])/(home|root|work|tmp|Users|opt/wheels)/": "a path of one machine",
    r"\b[A-Z]:\\\\?Users": "a path of one machine",
}


@dataclass(frozen=True)
class Notebook:
    name: str
    data: dict[str, Any]
    size: int = 0
    folder: Path | None = None
    #: cells (by id) that may hide from comparison, with the reason
    allowed_to_hide: dict[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> list[dict[str, Any]]:
        return list(self.data["cells"])

    @property
    def code(self) -> list[tuple[int, dict[str, Any]]]:
        return [(i, c) for i, c in enumerate(self.cells) if c["cell_type"] == "code"]

    @property
    def prose(self) -> list[tuple[int, dict[str, Any]]]:
        return [(i, c) for i, c in enumerate(self.cells) if c["cell_type"] == "markdown"]

    @property
    def front(self) -> dict[str, Any]:
        found = self.data.get("metadata", {}).get("kubenet")
        return found if isinstance(found, dict) else {}

    @cached_property
    def headings(self) -> list[tuple[int, int, str]]:
        """(cell, level, text)."""
        out = []
        for i, cell in self.prose:
            for line in _outside_fences(source(cell)):
                if found := re.match(r"(#{1,6})\s+(.+?)\s*#*$", line):
                    out.append((i, len(found[1]), found[2]))
        return out


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def tagged(notebook: dict[str, Any], prefix: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """What follows the prefix ("answer:") -> (place, cell)."""
    return {
        tag.removeprefix(prefix): (i, cell)
        for i, cell in enumerate(notebook["cells"])
        for tag in tags(cell)
        if tag.startswith(prefix)
    }  # fmt: skip


def problems(
    nb: Notebook, *, exercises: Collection[str] = (), predictions: Collection[str] = (), known_api: Collection[str] = ()
) -> list[str]:
    """Every broken rule as one line. `known_api`: names that earlier notebooks introduced."""
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _front_matter(nb),
        lambda: _load(nb),
        lambda: _rhythm(nb),
        lambda: _headings(nb),
        lambda: _voice(nb),
        lambda: _links(nb),
        lambda: _code_rules(nb),
        lambda: _new_names(nb, known_api),
        lambda: _outputs(nb),
        lambda: _comparable(nb),
        lambda: _figures(nb),
        lambda: _questions(nb, exercises, predictions),
        lambda: _file(nb),
    )
    return [f"{nb.name}: {problem}" for check in checks for problem in check()]


def _front_matter(nb: Notebook) -> Iterator[str]:
    if not nb.front:
        yield "no front matter: metadata.kubenet is missing"
        return
    kinds: dict[str, type | tuple[type, ...]] = {
        "title": str, "minutes": int, "objectives": list, "terms": list, "api": list, "widget": (str, type(None)),
    }  # fmt: skip
    for name, kind in kinds.items():
        if name not in nb.front or not isinstance(nb.front[name], kind):
            yield f"front matter: {name} is missing or of the wrong type"
            return
    if nb.front["minutes"] > MINUTES:
        yield f"{nb.front['minutes']} minutes, at most {MINUTES}"
    if not 2 <= len(nb.front["objectives"]) <= 4:
        yield f"{len(nb.front['objectives'])} objectives, 2 to 4 are wanted"
    for objective in nb.front["objectives"]:
        if re.match(r"(understand|know|learn|be aware|appreciate)\b", objective, re.IGNORECASE):
            yield f"an objective that cannot be observed: {objective!r}"
    if len(nb.front["terms"]) > TERMS:
        yield f"{len(nb.front['terms'])} new terms, at most {TERMS}"
    if len(nb.front["api"]) > API:
        yield f"{len(nb.front['api'])} new API names, at most {API}"
    bold = {b.casefold() for _, cell in nb.prose for b in re.findall(r"\*\*(.+?)\*\*", source(cell))}
    for term in nb.front["terms"]:
        if term.casefold() not in bold:
            yield f"the term {term!r} is declared as new, and nowhere printed in bold where it is explained"


def _load(nb: Notebook) -> Iterator[str]:
    if len(nb.code) > CODE_CELLS:
        yield f"{len(nb.code)} code cells, at most {CODE_CELLS}"
    for i, cell in nb.prose:
        if (words := len(_words(source(cell)))) >= WORDS:
            yield f"cell {i}: {words} words of prose, fewer than {WORDS} are wanted"
    if nb.code:
        first, cell = nb.code[0]
        if first > 1 or not cell.get("outputs"):
            yield "the first result does not stand at the top: the first or second cell must be code that shows something"


def _rhythm(nb: Notebook) -> Iterator[str]:
    since = 0
    for i, cell in nb.code:
        since = 0 if is_action(cell) else since + 1
        if since >= ACTION_EVERY:
            yield f"cell {i}: {since} code cells without anything to do for the learner (tags answer:, predict:, action)"
            since = 0


def is_action(cell: dict[str, Any]) -> bool:
    return any(tag == "action" or tag.startswith(("answer:", "predict:")) for tag in tags(cell))


def _headings(nb: Notebook) -> Iterator[str]:
    tops = [text for _, level, text in nb.headings if level == 1]
    if len(tops) != 1 or nb.headings[0][1] != 1:
        yield f"one heading of level 1, at the top, is wanted; found {len(tops)}"
    level = 1
    for i, this, text in nb.headings:
        if this > level + 1:
            yield f"cell {i}: heading {text!r} jumps from level {level} to {this}"
        level = this
    texts = [text for _, _, text in nb.headings]
    for text in sorted({t for t in texts if texts.count(t) > 1}):
        yield f"two headings read {text!r}, so a link cannot tell them apart"
    if not any("on a real cluster" in source(cell).casefold() for _, cell in nb.prose):
        yield "no box “On a real cluster”"


def _voice(nb: Notebook) -> Iterator[str]:
    for i, cell in nb.prose:
        text = _without_code(source(cell))
        for pattern, what in VOICE.items():
            if re.search(pattern, re.sub(r"!\[", "[", text), re.IGNORECASE):
                yield f"cell {i}: {what}"


def _links(nb: Notebook) -> Iterator[str]:
    for i, cell in nb.prose:
        text = _without_code(source(cell))
        for alt in re.findall(r"!\[([^\]]*)\]\(", text):
            if len(alt.split()) < 3:
                yield f"cell {i}: a picture without a text that could stand for it"
        for label, target in re.findall(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)[^)]*\)", text):
            if label.strip().casefold() in ("here", "this", "link", "click here"):
                yield f"cell {i}: a link named {label!r} does not say where it goes"
            path = target.split("#")[0]
            if path and not re.match(r"[a-z]+:", path) and nb.folder is not None and not (nb.folder / path).exists():
                yield f"cell {i}: the link {target} goes nowhere"


def _code_rules(nb: Notebook) -> Iterator[str]:
    for i, cell in nb.code:
        text = source(cell)
        if text.rstrip().endswith(";"):
            yield f"cell {i}: ends in a semicolon"
        for line in text.splitlines():
            if len(line) > 100:
                yield f"cell {i}: a line of {len(line)} characters, at most 100"
        magic = next((line.split()[0] for line in text.splitlines() if line.lstrip().startswith(("%", "!"))), None)
        if magic is not None:
            if magic not in MAGICS:
                yield f"cell {i}: {magic} is not a magic of the lab"
            continue
        try:
            tree = ast.parse(text)
        except SyntaxError:
            if "raises-exception" not in tags(cell):
                yield f"cell {i}: not Python"
            continue
        for node in ast.walk(tree):
            names = {node.id} if isinstance(node, ast.Name) else {node.attr} if isinstance(node, ast.Attribute) else set()
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names}
                modules = names if isinstance(node, ast.Import) else {(node.module or "").split(".")[0]}
                for module in sorted(modules & FORBIDDEN_IMPORTS):
                    yield f"cell {i}: imports {module}; time and chance are the lab's"
            for name in sorted(names & FORBIDDEN_NAMES):
                yield f"cell {i}: {name} cannot be compared by nbval"
            if isinstance(node, ast.Attribute) and node.attr in NOT_IN_COMMITTED and getattr(node.value, "id", "") == "kn":
                yield f"cell {i}: kn.{node.attr} is for the learner to type"


def _new_names(nb: Notebook, known: Collection[str]) -> Iterator[str]:
    used: dict[str, int] = {}
    for i, cell in nb.code:
        try:
            tree = ast.parse(source(cell))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                base = node.value
                if isinstance(base, ast.Name) and base.id in ("kn", "cluster"):
                    used.setdefault(f"{base.id}.{node.attr}", i)
                if isinstance(base, ast.Attribute) and base.attr == "widgets":
                    used.setdefault(f"kn.widgets.{node.attr}", i)
    declared = set(nb.front.get("api", ()))
    for name, i in used.items():
        if name not in declared | set(known) | COURSE_VERBS:
            yield f"cell {i}: {name} is new here and not declared in the front matter's api"
    text = "\n".join(source(cell) for _, cell in nb.code)
    for name in sorted(declared):
        if name.split(".")[-1] not in text:
            yield f"front matter: api names {name}, which no cell uses"


def _outputs(nb: Notebook) -> Iterator[str]:
    counts = [cell.get("execution_count") for _, cell in nb.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}: run `make notebooks`"
    for i, cell in nb.code:
        outputs = cell.get("outputs", [])
        if not outputs:
            yield f"cell {i}: shows nothing, so nothing is compared; let it show what it did"
        for output in outputs:
            if output["output_type"] == "stream" and output["name"] == "stderr":
                yield f"cell {i}: writes to stderr"
            if output["output_type"] == "error" and "raises-exception" not in tags(cell):
                yield f"cell {i}: fails with {output['ename']}"
            for text in _texts(output):
                for pattern, what in UNSTABLE.items():
                    if re.search(pattern, text):
                        yield f"cell {i}: its output holds {what}"
    for i, cell in enumerate(nb.cells):
        for pattern, what in UNSTABLE.items():
            if re.search(pattern, source(cell)):
                yield f"cell {i}: holds {what}"


def _comparable(nb: Notebook) -> Iterator[str]:
    for i, cell in nb.code:
        marks = set(re.findall(r"#\s*(NBVAL_\w+)", source(cell))) | {t for t in tags(cell) if t.lower().startswith("nbval")}
        if marks and cell.get("id") not in nb.allowed_to_hide:
            yield f"cell {i}: {', '.join(sorted(marks))} hides it from comparison without a reason in the allow-list"


def _figures(nb: Notebook) -> Iterator[str]:
    for i, cell in nb.code:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            plain = "".join(data.get("text/plain", ""))
            for kind in ("image/png", "image/jpeg"):
                if kind in data:
                    yield f"cell {i}: a {kind} figure is never compared; figures are SVG"
            svgs = ["".join(data["image/svg+xml"])] if "image/svg+xml" in data else []
            svgs += re.findall(r"<svg\b.*?</svg>", "".join(data.get("text/html", "")), re.DOTALL)
            for svg in svgs:
                if not re.search(r"<title\b[^>]*>[^<]+</title>", svg) or not re.search(r"<desc\b[^>]*>[^<]+</desc>", svg):
                    yield f"cell {i}: a figure without <title> and <desc>"
                if len(svg.encode()) > FIGURE_BYTES:
                    yield f"cell {i}: a figure of {len(svg.encode())} bytes, at most {FIGURE_BYTES}"
                if len(plain.split()) < 5 or plain.startswith("<"):
                    yield f"cell {i}: a figure whose text/plain does not describe it"
            if re.search(r"<img\b(?![^>]*\balt=\S)", "".join(data.get("text/html", ""))):
                yield f"cell {i}: an <img> without alt"


def _questions(nb: Notebook, exercises: Collection[str], predictions: Collection[str]) -> Iterator[str]:
    number = nb.name.partition("_")[0] + "."
    for prefix, verb, known in (("answer:", "check", exercises), ("predict:", "predict", predictions)):
        asked = tagged(nb.data, prefix)
        for id, (i, cell) in asked.items():
            text = source(cell)
            if id not in known:
                yield f"cell {i}: tag {prefix}{id} names nothing that kubenet_lab/course/exercises defines"
            if not re.search(rf"(?:\bkn\.|(?<![\w.])){verb}\(\s*[\"']{re.escape(id)}[\"']", text):
                yield f"cell {i}: tagged {prefix}{id}, but does not call kn.{verb}({id!r}, ...)"
            if not _holds_ellipsis(text):
                yield f"cell {i}: an answer stands where the learner's place, `...`, should be"
        for i, cell in nb.code:
            for id in re.findall(rf"(?:\bkn\.|(?<![\w.])){verb}\(\s*[\"']([^\"']+)[\"']", source(cell)):
                if f"{prefix}{id}" not in tags(cell):
                    yield f"cell {i}: calls kn.{verb}({id!r}) without the tag {prefix}{id}"
        for id in known:
            if id.startswith(number) and id not in asked:
                yield f"{prefix}{id} is defined, and no cell of the notebook asks it"


def _file(nb: Notebook) -> Iterator[str]:
    if nb.size > BYTES:
        yield f"{nb.size} bytes, at most {BYTES}"
    if "widgets" in nb.data.get("metadata", {}):
        yield "carries widget state, which differs on every run"
    ids = [cell.get("id") for cell in nb.cells]
    if None in ids or len(set(ids)) != len(ids):
        yield "cells without an id, or two of one id"
    for i, cell in enumerate(nb.cells):
        if "execution" in cell.get("metadata", {}):
            yield f"cell {i}: carries the times of its run"


def _holds_ellipsis(text: str) -> bool:
    try:
        return any(isinstance(n, ast.Constant) and n.value is ... for n in ast.walk(ast.parse(text)))
    except SyntaxError:
        return False


def _texts(output: dict[str, Any]) -> Iterator[str]:
    if "text" in output:
        yield "".join(output["text"])
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield "".join(value)


def _outside_fences(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced:
            yield line


def _without_code(text: str) -> str:
    return re.sub(r"<!--.*?-->", "", re.sub(r"`[^`]*`", "", "\n".join(_outside_fences(text))), flags=re.DOTALL)


def _words(text: str) -> list[str]:
    text = re.sub(r"<!--.*?-->", "", "\n".join(_outside_fences(text)), flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"<[^>]+>", " ", text))
    return re.findall(r"[\w'’./:-]*\w[\w'’./:-]*", text)
