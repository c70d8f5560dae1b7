"""The shipped datasets: found beside a source checkout and inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound

__all__ = ["example_path", "examples"]


def _root() -> Path:
    """`_datasets` in the installed package, `datasets` beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_datasets"
    return installed if installed.is_dir() else package.parent / "datasets"


def examples() -> tuple[str, ...]:
    """The names of the datasets, sorted: each is a folder with `manifests/`."""
    root = _root()
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if (p / "manifests").is_dir()))


def example_path(name: str) -> Path:
    """The folder of a dataset; its manifests are in `manifests/`, its dump, if it has one, is `dump.yaml`. Raises NotFound."""
    if name not in examples():
        raise NotFound("example", name, examples())
    return _root() / name
