"""`kubenet-lab doctor`: is everything here that the course needs?"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TOOLS", "Finding", "examine"]

#: programs of the real system. The course never needs them: the comparisons of the tests do, and so do you, on a real cluster.
TOOLS = {
    "tshark": "reads the captures that to_pcap writes",
    "dig": "asks a DNS server",
    "iptables": "loads and prints the rules of kube-proxy",
    "nft": "loads and prints nftables rulesets",
    "ip": "links, addresses and routes",
    "bridge": "bridge ports and FDB entries",
    "chromium": "opens the notebooks in the browser tests",
}
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    detail: str = ""
    essential: bool = True

    @property
    def symbol(self) -> str:
        return "✓ ok     " if self.ok else "✗ missing" if self.essential else "— absent "

    def __str__(self) -> str:
        return f"{self.symbol}  {self.what:<28}{self.detail}".rstrip()


def examine() -> list[Finding]:
    """Look at everything; one finding per line of the report, essentials first."""
    return [*_python(), *_packages(), *_front_end(), *_lab(), *_tools()]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", (3, 11) <= sys.version_info[:2] < (3, 15), f"{version} (3.11 to 3.14 will do)")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(text) for text in importlib.metadata.requires("kubenet-lab") or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("kubenet-lab", False, "runs from a folder, not installed: pip install --no-deps -e .", essential=False)
        declared = []
    tested = _lock()
    for requirement in declared:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, False, f"not installed; pip install '{requirement}'")
            continue
        fits = requirement.specifier.contains(installed, prereleases=True)
        pin = tested.get(_canonical(name))
        note = "" if pin is None or pin == installed else f" (tested with {pin})"
        yield Finding(name, fits, f"{installed}{note}" if fits else f"{installed}, but kubenet-lab asks for {requirement.specifier}")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lock() -> dict[str, str]:
    """The versions that were tested together, where they can be found."""
    for path in (_PACKAGE / "_lock.txt", _PACKAGE.parent / "binder" / "requirements.txt"):
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8").splitlines()
            pins = (line.split(";")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))
            return {_canonical(name.strip()): version.strip() for name, version in pins}
    return {}


def _front_end() -> Iterator[Finding]:
    """The JavaScript half of the widgets: it must be where JupyterLab looks, not only importable."""
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        yield Finding("JupyterLab's widgets", False, "jupyter_core is not installed")
        return
    for name, folder in (("ipywidgets in JupyterLab", "@jupyter-widgets/jupyterlab-manager"), ("anywidget in JupyterLab", "anywidget")):
        found = any((Path(base) / folder / "package.json").exists() for base in jupyter_path("labextensions"))
        yield Finding(name, found, "front end found" if found else "no front end; reinstall the package beside JupyterLab")


def _lab() -> Iterator[Finding]:
    def ask() -> str:
        import kubenet_lab as kn

        trace = kn.example("bookshop").connect("shop/web", "svc:shop/cart", port=8080)
        if not trace:
            raise RuntimeError(trace.summary)
        return f"a request crossed the bookshop in {len(trace.hops)} hops"

    def copy() -> str:
        from .workspace import notebooks_folder

        return f"{len(list(notebooks_folder().glob('*.ipynb')))} found"

    def write() -> str:
        handle, name = tempfile.mkstemp(dir=".", prefix=".kubenet-")
        os.close(handle)
        Path(name).unlink()
        return "your copy and your progress can be saved here"

    yield _try("the lab answers", ask)
    yield _try("notebooks", copy)
    yield _try("this folder", write, "cannot be written; go to a folder of your own")


def _try(what: str, action: Callable[[], str], otherwise: str = "") -> Finding:
    try:
        return Finding(what, True, action())
    except Exception as problem:  # whatever is wrong, the report goes on
        return Finding(what, False, otherwise or f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}")


def _tools() -> Iterator[Finding]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for name, use in TOOLS.items():
        yield Finding(f"{name} (optional)", shutil.which(name, path=path) is not None, use, essential=False)
