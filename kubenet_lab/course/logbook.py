"""The logbook: what a learner has done, kept in memory, in a file beside the notebooks, and in one line that can be copied.

The line is for places that forget, such as Binder. It looks like `KL1-...`: version, four bytes of
checksum and zlib-packed JSON, in base64url. A line with one wrong letter is refused, not half read.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import tempfile
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import KubenetError

__all__ = ["FILE", "Attempt", "CourseError", "Log", "Store", "decode", "encode", "learner_seed", "store", "tidy_name"]

FILE = ".kubenet-progress.json"
VERSION = "KL1-"
_LIMIT = 1 << 18  # bytes of JSON that a line may unfold to
_TEXT = 200  # characters of a prediction that are kept


class CourseError(KubenetError):
    """A line, a name or an id that the course cannot use."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened with one exercise: answers given, hints seen, the answer shown, and whether it was solved."""

    right: bool = False
    tries: int = 0  # readable answers, up to and including the first right one
    hints: int = 0
    revealed: bool = False

    def merged(self, other: Attempt) -> Attempt:
        return Attempt(
            self.right or other.right, max(self.tries, other.tries), max(self.hints, other.hints), self.revealed or other.revealed
        )


@dataclass(frozen=True, slots=True)
class Log:
    """One learner's record."""

    learner: str = ""
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    predictions: Mapping[str, str] = field(default_factory=dict)

    def with_attempt(self, id: str, attempt: Attempt) -> Log:
        return replace(self, attempts=dict(sorted({**self.attempts, id: attempt}.items())))

    def with_prediction(self, id: str, said: str) -> Log:
        return replace(self, predictions=dict(sorted({**self.predictions, id: said[:_TEXT]}.items())))

    def merged(self, other: Log) -> Log:
        """Both records: nothing that was done is undone; a prediction of `other` replaces ours."""
        log = self
        for id, attempt in other.attempts.items():
            log = log.with_attempt(id, self.attempts.get(id, Attempt()).merged(attempt))
        for id, said in other.predictions.items():
            log = log.with_prediction(id, said)
        return log


def tidy_name(name: object) -> str:
    """A learner's name in the one form that seeds: " Ana" and "ana" are one person."""
    if name is None or name == "":
        return ""
    if not isinstance(name, str):
        raise CourseError(f'a learner\'s name is a text, such as kn.learner("ana"), not {name!r}')
    tidy = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    if not tidy:
        return ""
    if len(tidy) > 60 or not tidy.isprintable():
        raise CourseError("a learner's name is up to 60 printable characters")
    return tidy


def learner_seed(name: str) -> int:
    """The seed of a learner's exercises; 0, the course's own, for nobody."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") | 1 if name else 0


def _pack(log: Log) -> dict[str, Any]:
    return {
        "l": log.learner,
        "e": {id: [int(a.right), a.tries, a.hints, int(a.revealed)] for id, a in log.attempts.items()},
        "p": dict(log.predictions),
    }


def _unpack(data: Any) -> Log:
    attempts = {
        str(id): Attempt(bool(right), int(tries), int(hints), bool(revealed)) for id, (right, tries, hints, revealed) in data["e"].items()
    }
    predictions = {str(id): str(said)[:_TEXT] for id, said in data["p"].items()}
    return Log(tidy_name(data["l"]), dict(sorted(attempts.items())), dict(sorted(predictions.items())))


def encode(log: Log) -> str:
    """The line to copy."""
    packed = zlib.compress(json.dumps(_pack(log), separators=(",", ":"), sort_keys=True).encode(), 9)
    return VERSION + base64.urlsafe_b64encode(hashlib.sha256(packed).digest()[:4] + packed).decode().rstrip("=")


def decode(line: object) -> Log:
    """The record in a line. Raises CourseError, saying what is wrong with it."""
    advice = "Copy the whole line that kn.progress() printed, from KL1- to its end."
    if not isinstance(line, str):
        raise CourseError(f"a progress line is a text, not {type(line).__name__}. {advice}")
    text = "".join(line.split()).strip("'\"`")
    if not text.startswith("KL"):
        raise CourseError(f"this is not a progress line: it does not begin with {VERSION}. {advice}")
    if not text.startswith(VERSION):
        raise CourseError(f"this progress line begins with {text[:4]!r}; this release reads {VERSION}")
    body = text[len(VERSION) :]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CourseError(f"the progress line is damaged: it holds a letter that cannot be in it, or one is missing. {advice}") from None
    check, packed = raw[:4], raw[4:]
    # a trailing letter may differ in bits that base64 throws away: such a line is damaged too
    if hashlib.sha256(packed).digest()[:4] != check or base64.urlsafe_b64encode(raw).decode().rstrip("=") != body:
        raise CourseError(f"the progress line is damaged: its checksum does not fit, so a letter is wrong or missing. {advice}")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, _LIMIT)
        if not unpacker.eof:
            raise ValueError("too long")
        return _unpack(json.loads(data))
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError):
        raise CourseError("the progress line holds no record that this release can read") from None


class Store:
    """The records of all learners of one folder, and who is learning now.

    Every save reads the file again and merges, so two notebooks that are open side by side do not undo each other.
    Where the folder cannot be written (or KUBENET_PROGRESS=none), all is kept in memory, and `trouble` says so.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.trouble = ""
        self.logs: dict[str, Log] = {}
        self.learner = ""
        self._read(take_learner=True)

    @property
    def log(self) -> Log:
        return self.logs.get(self.learner, Log(self.learner))

    @property
    def seed(self) -> int:
        return learner_seed(self.learner)

    def change(self, log: Log) -> None:
        self.logs[log.learner] = log
        self.save()

    def switch(self, learner: str) -> None:
        self.learner = learner
        self.logs.setdefault(learner, Log(learner))
        self.save()

    def save(self) -> None:
        if self.path is None:
            return
        self._read()
        data = {
            "about": "Progress in the kubenet-lab course. Delete this file to begin again.",
            "learner": self.learner,
            "learners": {
                name: {"exercises": {id: asdict(a) for id, a in log.attempts.items()}, "predictions": dict(log.predictions)}
                for name, log in sorted(self.logs.items())
            },
        }
        try:
            _replace(self.path, json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
            self.trouble = ""
        except OSError:
            self.trouble = "This folder cannot be written, so your progress is kept only while the notebook runs. Copy the line above."

    def _read(self, take_learner: bool = False) -> None:
        if self.path is None:
            return
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            logs = {
                name: Log(
                    name,
                    {str(id): Attempt(**a) for id, a in sorted(entry["exercises"].items())},
                    {str(id): str(said) for id, said in sorted(entry["predictions"].items())},
                )
                for name, entry in data["learners"].items()
            }
            learner = tidy_name(data["learner"])
        except OSError:
            return
        except (ValueError, KeyError, TypeError, AttributeError, CourseError):
            # never lose what we cannot read: put it aside
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(self.path.name + ".unreadable"))
            return
        for name, log in logs.items():
            mine = self.logs.get(name)
            self.logs[name] = log.merged(mine) if mine else log
        if take_learner:
            self.learner = learner


def _replace(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


_store: tuple[str, Store] | None = None


def store() -> Store:
    """The store of this process: $KUBENET_PROGRESS (a path, or "none"), else a file in the working folder, which is the notebook's."""
    global _store
    where = os.environ.get("KUBENET_PROGRESS") or str(Path.cwd() / FILE)
    if _store is None or _store[0] != where:
        _store = where, Store(None if where == "none" else Path(where))
    return _store[1]
