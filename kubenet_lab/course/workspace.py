"""The learner's copy: `start` writes notebooks without outputs into a folder of the learner's own.

What the learner changed is never written over. "Changed" means the cells: that a notebook was run, or
that JupyterLab stored other metadata, is no change. When a notebook that the learner changed has a new
version, that comes beside it as NAME.new.ipynb.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import KubenetError, NotFound
from .logbook import _replace

__all__ = ["MANIFEST", "Workspace", "notebooks_folder", "start"]

MANIFEST = ".kubenet-notebooks.json"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Workspace:
    """What `start` did. Names are relative to `directory`."""

    directory: Path
    written: tuple[str, ...] = ()  # new copies
    updated: tuple[str, ...] = ()  # you had not changed them, and a new version came
    kept: tuple[str, ...] = ()  # as they were
    beside: tuple[str, ...] = ()  # new versions of notebooks that you changed

    @property
    def first(self) -> Path:
        """The notebook to open."""
        names = sorted((*self.written, *self.updated, *self.kept))
        return self.directory / names[0]

    def __str__(self) -> str:
        folder = self.directory.as_posix()
        lines = []
        if self.written:
            lines.append(f"{folder}: wrote {_count(self.written)}, without outputs: {', '.join(self.written)}")
        if self.updated:
            lines.append(f"{folder}: updated {_count(self.updated)} that you had not changed: {', '.join(self.updated)}")
        if self.kept:
            lines.append(f"{folder}: kept {_count(self.kept)} as they are")
        for name in self.beside:
            lines.append(f"{folder}: you changed the older version, so the new one stands beside it: {name}")
        return "\n".join(lines)


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} notebook{'s' * (len(names) != 1)}"


def notebooks_folder() -> Path:
    """Where the course's notebooks are: in the installed package, or beside it in a checkout. Raises NotFound."""
    for folder in (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks"):
        if folder.is_dir():
            return folder
    raise NotFound("folder", "notebooks", hint="this installation came without the course's notebooks")


def start(directory: str | Path = "course", *, source: str | Path | None = None, echo: Callable[[str], None] | None = None) -> Workspace:
    """Write the learner's copy of the course into `directory` and say what was done. Copies notebooks, nothing else.

    `source` is the folder of the notebooks (default: the course's). Raises KubenetError when the folder cannot be written.
    """
    folder = Path(directory)
    origin = Path(source) if source is not None else notebooks_folder()
    originals = sorted(path for path in origin.glob("*.ipynb") if not path.name.startswith("."))
    if not originals:
        raise NotFound("notebook", "*.ipynb", hint=f"nothing to copy in the folder {origin.name}")
    if folder.exists() and folder.resolve() == origin.resolve():
        raise KubenetError(f"{folder} holds the course's own notebooks; choose another folder for your copy")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            _replace(ignore, "# your own copy of the course: git leaves it alone\n*\n")
        result = _copy(folder, originals)
    except OSError as problem:
        raise KubenetError(f"{folder} cannot be written: {problem.strerror or problem}") from problem
    if echo:
        echo(str(result))
    return result


def _copy(folder: Path, originals: Iterable[Path]) -> Workspace:
    manifest = _read_manifest(folder / MANIFEST)
    written, updated, kept, beside = [], [], [], []
    for original in originals:
        fresh = cleared(json.loads(original.read_text(encoding="utf-8")))
        text, new = _text(fresh), fingerprint(fresh)
        name = original.name
        target = folder / name
        given, mine = manifest.get(name), _fingerprint_of(target)  # what we wrote last; what is there now
        if mine is None:
            _replace(target, text)
            written.append(name)
        elif mine == new:
            kept.append(name)  # also when the learner came to the same cells by hand
        elif mine == given:
            _replace(target, text)
            updated.append(name)
        else:
            kept.append(name)
            if new != given and (placed := _place_beside(folder, name, text, new, manifest)):
                beside.append(placed)
        manifest[name] = new
    _replace(folder / MANIFEST, json.dumps(dict(sorted(manifest.items())), indent=1) + "\n")
    return Workspace(folder, tuple(written), tuple(updated), tuple(kept), tuple(beside))


def _place_beside(folder: Path, name: str, text: str, new: str, manifest: dict[str, str]) -> str | None:
    """Write the new version as NAME.new.ipynb, or under the next free name where that one is the learner's by now."""
    stem = name.removesuffix(".ipynb")
    for number in range(1, 100):
        other = f"{stem}.new{'' if number == 1 else number}.ipynb"
        there = _fingerprint_of(folder / other)
        if there == new:
            return None
        if there is None or there == manifest.get(other):
            _replace(folder / other, text)
            manifest[other] = new
            return other
    return None


def cleared(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as the learner gets it: no outputs, no counts, no traces of a run."""
    cells = []
    for cell in notebook["cells"]:
        metadata = {k: v for k, v in cell.get("metadata", {}).items() if k not in ("execution", "collapsed", "scrolled")}
        fresh = {**cell, "metadata": metadata}
        if cell["cell_type"] == "code":
            fresh |= {"execution_count": None, "outputs": []}
        cells.append(fresh)
    metadata = {k: v for k, v in notebook.get("metadata", {}).items() if k != "widgets"}
    return {**notebook, "cells": cells, "metadata": metadata}


def fingerprint(notebook: dict[str, Any]) -> str:
    """A hash of what an author or a learner writes: the cells' kinds and sources, not outputs, counts or metadata."""
    cells = [[cell["cell_type"], "".join(cell["source"]), cell.get("attachments", {})] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def _fingerprint_of(path: Path) -> str | None:
    """None: no such file. A file that is no notebook has a fingerprint of its own, so that it counts as changed."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return fingerprint(json.loads(raw))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "not a notebook: " + hashlib.sha256(raw).hexdigest()


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in data.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _text(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
