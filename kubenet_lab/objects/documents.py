"""Sources to documents: paths, folders, globs, YAML and JSON text, dicts, lists of these, `kubectl get` dumps.

A document is a plain dict. Nothing of it is dropped except Secret values and the values of
environment variables, which never get further than here.
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import Problem, is_text
from .redact import drop_secrets
from .yamltext import MarkedError, Segment, construct, key_text, mark_of, segments

__all__ = ["Document", "Origin", "Source", "path_of", "read", "read_in_order"]

#: what `read` takes
Source = Any

#: how half of a UTF-16 pair may stand in a text
_HALVES = re.compile(r"\\(?:u|U0000)[dD][89a-fA-F]")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document came from. `document` and lines are 1-based; a dict has no text and so no lines."""

    file: str = ""
    document: int | None = None
    segment: Segment | None = None
    index: int = 0  # of the document within the segment
    prefix: tuple[str | int, ...] = ()  # ("items", 3) inside a List

    def line(self, path: str = "") -> int | None:
        """The line where the field at a YAML path like `spec.ports[0].port` stands, or its nearest parent."""
        if self.segment is None:
            return None
        found = mark_of(self.segment.text, (*self.prefix, *path_of(path)), self.index)
        return None if found is None else self.segment.first_line + found

    def problem(self, message: str, path: str = "", object: str = "") -> Problem:
        return Problem(message, path, object, self.file, self.document, self.line(path))


@dataclass(frozen=True, slots=True)
class Document:
    data: dict[str, Any]
    origin: Origin


@dataclass(slots=True)
class _Reading:
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: dict[str, None] = field(default_factory=dict)  # in the order of reading


def path_of(text: str) -> tuple[str | int, ...]:
    """The steps of a path in a message: `spec.ports[0].port`, `metadata.labels[a.b/c]`."""
    steps: list[str | int] = []
    name = ""
    i = 0
    while i < len(text):
        c = text[i]
        if c == "." or c == "[":
            if name:
                steps.append(name)
                name = ""
            if c == "[":
                end = text.find("]", i)
                inner = text[i + 1 : end] if end > 0 else text[i + 1 :]
                steps.append(int(inner) if inner.isdigit() else inner)
                i = end if end > 0 else len(text)
        else:
            name += c
        i += 1
    if name:
        steps.append(name)
    return tuple(steps)


def read(source: Source) -> tuple[list[Document], list[Problem]]:
    """The documents of a source in order (a folder's files sorted by path), Lists flattened, and what could not be read."""
    documents, problems, _ = read_in_order(source)
    return documents, problems


def read_in_order(source: Source) -> tuple[list[Document], list[Problem], list[str]]:
    """As `read`, with the files in the order in which they were read."""
    out = _Reading()
    _read(source, out, 0)
    return out.documents, out.problems, list(out.files)


def _read(source: Source, out: _Reading, depth: int) -> None:
    if depth > 20:
        out.problems.append(Problem("a source nested deeper than 20 lists"))
    elif isinstance(source, str):
        _read_str(source, out)
    elif isinstance(source, os.PathLike):
        _read_path(Path(source), out)
    elif isinstance(source, (bytes, bytearray)):
        try:
            _read_text(bytes(source).decode("utf-8-sig"), "", out)
        except UnicodeDecodeError:
            out.problems.append(Problem("these bytes are not UTF-8 text"))
    elif isinstance(source, Mapping):
        _read_dict(source, out)
    elif isinstance(source, Iterable):
        for one in source:
            _read(one, out, depth + 1)
    else:
        what = type(source).__name__
        out.problems.append(Problem(f"expected a path, a folder, a glob, YAML or JSON text, a dict or a list of these, found {what}"))


def _looks_like_text(source: str) -> bool:
    if "\n" in source or len(source) > 1000:  # no path is that long
        return True
    start = source.lstrip()
    return start[:1] in ("{", "[") or start.startswith(("- ", "---", "? ")) or ": " in source or start.rstrip().endswith(":")


def _read_str(source: str, out: _Reading) -> None:
    if not source.strip():
        out.problems.append(Problem("the source is empty"))
    elif _looks_like_text(source):
        _read_text(source, "", out)
    else:
        _read_path(Path(source).expanduser(), out)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read_path(path: Path, out: _Reading) -> None:
    if not _exists(path):
        out.files[str(path)] = None
    if _exists(path):
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
            if not files:
                out.problems.append(Problem("this folder holds no .yaml, .yml or .json file", file=str(path)))
            for one in files:
                _read_file(one, out)
        else:
            _read_file(path, out)
    elif any(c in str(path) for c in "*?["):
        try:
            found = sorted(p for p in glob.glob(str(path), recursive=True) if os.path.isfile(p))
        except (OSError, ValueError):
            found = []
        if not found:
            out.problems.append(Problem("no file matches this pattern", file=str(path)))
        for name in found:
            _read_file(Path(name), out)
    else:
        out.problems.append(Problem(_missing(path), file=str(path)))


def _missing(path: Path) -> str:
    """Where the path ends to exist, and what stands there that is spelled like it."""
    parent = path.parent
    try:
        if parent.is_dir():
            near = get_close_matches(path.name, [p.name for p in parent.iterdir()], n=3, cutoff=0.5)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            return f"no such file or folder{hint}"
        while not parent.exists() and parent != parent.parent:
            parent = parent.parent
    except (OSError, ValueError):
        return "no such file or folder"
    return f"no such file or folder; {parent}{os.sep} is as far as the path exists"


def _read_file(path: Path, out: _Reading) -> None:
    name = path.as_posix()
    out.files[name] = None
    try:
        raw = path.read_bytes()
    except OSError as error:
        out.problems.append(Problem(f"cannot be read: {error.strerror or error}", file=name))
        return
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        out.problems.append(Problem("not UTF-8 text", file=name, line=line))
        return
    before = len(out.documents) + len(out.problems)
    _read_text(text, name, out)
    if len(out.documents) + len(out.problems) == before and not text.strip():
        out.problems.append(Problem("the file is empty", file=name))


def _read_text(text: str, file: str, out: _Reading) -> None:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not is_text(text):
        out.problems.append(Problem("half of a UTF-16 pair is no character", file=file))
        return
    if text.lstrip()[:1] == "{" and _read_json(text, file, out):
        return
    number = 0
    for segment in segments(text):
        try:
            values = construct(segment.text)
        except MarkedError as error:
            number += 1
            line = None if error.line is None else segment.first_line + error.line
            message = error.message
            if "{{" in segment.text:
                message += "; this looks like a Helm template: render it first with `helm template`"
            out.problems.append(Problem(message, file=file, document=number, line=line))
            continue
        for index, value in enumerate(values):
            if value is None:
                continue  # only comments between two markers
            number += 1
            _take(value, Origin(file, number, segment, index), out)


class _Duplicate(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Duplicate(key)
            seen.add(key)
    return out


def _read_json(text: str, file: str, out: _Reading) -> bool:
    """Read a JSON text, or one object after another. False if it is not JSON: then it may be YAML's flow style."""
    decoder = json.JSONDecoder(object_pairs_hook=_pairs)
    values: list[tuple[Any, int, int]] = []
    at, end = 0, len(text)
    try:
        while True:
            while at < end and text[at] in " \t\n":
                at += 1
            if at >= end:
                break
            value, stop = decoder.raw_decode(text, at)
            values.append((value, at, stop))
            at = stop
    except _Duplicate:
        return False  # the YAML reader says it with the line
    except (ValueError, RecursionError):
        return False
    for number, (value, begin, stop) in enumerate(values, 1):
        # tabs outside strings are space to JSON and an error to YAML; inside strings JSON has none
        segment = Segment(text[begin:stop].replace("\t", " "), text.count("\n", 0, begin))
        _take(value, Origin(file, number, segment), out)
    return True


def _read_dict(source: Mapping[Any, Any], out: _Reading) -> None:
    try:
        data = _plain(source, "", 0)
    except MarkedError as error:
        out.problems.append(Problem(error.message))
        return
    _take(data, Origin(), out)


def _plain(value: Any, path: str, depth: int) -> Any:
    """A copy of a Python value that holds only what JSON has."""
    if depth > 200:
        raise MarkedError("nested deeper than 200 levels", None)
    if isinstance(value, str) and not is_text(value):
        raise MarkedError(f"{path.lstrip('.') or 'the source'}: half of a UTF-16 pair is no character", None)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        return {key_text(k, None): _plain(v, f"{path}.{k}", depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise MarkedError(f"{path.lstrip('.') or 'the source'}: expected what JSON has, found {type(value).__name__}", None)


def _take(value: Any, origin: Origin, out: _Reading) -> None:
    """One decoded document: flatten Lists, check that it is an object at all, drop secret values."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and "kind" in v for v in value):
        for i, item in enumerate(value):
            _take(item, Origin(origin.file, origin.document, origin.segment, origin.index, (*origin.prefix, i)), out)
        return
    if not isinstance(value, dict):
        found = "a list" if isinstance(value, list) else f"{value!r:.40}"
        out.problems.append(origin.problem(f"expected a mapping with apiVersion and kind, found {found}"))
        return
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        of_kind, version = kind.removesuffix("List"), value.get("apiVersion")
        for i, item in enumerate(value["items"]):
            if isinstance(item, dict) and of_kind and "kind" not in item:
                item = {"apiVersion": version, "kind": of_kind, **item}  # a typed list from the API leaves them out
            _take(item, Origin(origin.file, origin.document, origin.segment, origin.index, (*origin.prefix, "items", i)), out)
        return
    if kind == "List" and value.get("items") is None:
        return
    name = value["metadata"].get("name") if isinstance(value.get("metadata"), dict) else None
    label = f"{kind} {name}" if isinstance(kind, str) and isinstance(name, str) else ""
    bad = False
    if origin.segment is not None and _HALVES.search(origin.segment.text):
        try:
            _plain(value, "", 0)
        except MarkedError as error:
            out.problems.append(origin.problem(error.message))
            return
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            said = f"{key} not set" if value.get(key) in (None, "") else f"expected text, found {value[key]!r:.40}"
            out.problems.append(origin.problem(said, key, label))
            bad = True
    for path in _unnumbers(value, "", 0):
        out.problems.append(origin.problem("json: unsupported value: not a finite number", path, label))
        bad = True
    if bad:
        return
    out.problems.extend(origin.problem(message, path, label) for path, message in drop_secrets(value))
    out.documents.append(Document(value, origin))


def _unnumbers(value: Any, path: str, depth: int) -> list[str]:
    found: list[str] = []
    stack: list[tuple[Any, str]] = [(value, path)]
    while stack:
        one, where = stack.pop()
        if type(one) is float:
            if not math.isfinite(one):
                found.append(where)
        elif type(one) is dict:
            stack.extend((v, f"{where}.{k}" if where else k) for k, v in one.items() if type(v) not in (str, int, bool))
        elif type(one) is list:
            stack.extend((v, f"{where}[{i}]") for i, v in enumerate(one) if type(v) not in (str, int, bool))
    return sorted(found)
