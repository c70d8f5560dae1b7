"""What the tests of the repository share: which files are ours, and what each module imports."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kubenet_lab"
_NOT_OURS = {".git", ".venv", "venv", "build", "dist", "course", "__pycache__", ".ipynb_checkpoints", ".hypothesis", "node_modules"}


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would add; without git, all but what tools leave behind."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        )
        names = [name for name in done.stdout.decode().split("\0") if name]
        found = [ROOT / name for name in names]
    except (OSError, subprocess.CalledProcessError):
        found = [
            path for path in ROOT.rglob("*")
            if not any(part in _NOT_OURS or part.endswith((".egg-info", "_cache")) for part in path.relative_to(ROOT).parts)
        ]  # fmt: skip
    return tuple(sorted(path for path in found if path.is_file()))


def modules() -> list[Path]:
    return [path for path in files() if path.suffix == ".py" and path.is_relative_to(PACKAGE)]


def dotted(path: Path) -> str:
    """kubenet_lab/kernel/walk.py -> "kernel.walk"; a package is its own name; the root is ""."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Import:
    module: str  # who imports, as `dotted`
    target: str  # "kubenet_lab.kernel.walk", "socket"
    line: int
    lazy: bool  # inside a function
    typing: bool  # under `if TYPE_CHECKING:`


def imports(path: Path) -> Iterator[Import]:
    """Every import of a module, relative ones resolved. `from .. import kernel` names the room; `from ..trace import Trace` names trace."""
    here = dotted(path)
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]

    def walk(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inner_lazy = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from walk(ast.Module([statement], []), lazy, True)
                for statement in child.orelse:
                    yield from walk(ast.Module([statement], []), lazy, typing)
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(here, alias.name, child.lineno, lazy, typing)
            elif isinstance(child, ast.ImportFrom):
                for target in _targets(child, package):
                    yield Import(here, target, child.lineno, lazy, typing)
            else:
                yield from walk(child, inner_lazy, typing)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False, False)


def _targets(node: ast.ImportFrom, package: str) -> list[str]:
    if node.level == 0:
        return [f"{node.module}"] if node.module != "kubenet_lab" else [_below("", alias.name) for alias in node.names]
    parts = package.split(".") if package else []
    base = parts[: len(parts) - (node.level - 1)]
    if node.module:
        return [".".join(["kubenet_lab", *base, node.module])]
    return [_below(".".join(base), alias.name) for alias in node.names]


def _below(base: str, name: str) -> str:
    """`from . import name`: a module of that name, else something that the package itself defines."""
    folder = PACKAGE.joinpath(*base.split(".")) if base else PACKAGE
    inner = f"{base}.{name}" if base else name
    exists = (folder / f"{name}.py").exists() or (folder / name).is_dir()
    return f"kubenet_lab.{inner}" if exists else f"kubenet_lab.{base}".rstrip(".")
