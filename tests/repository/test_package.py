"""The wheel: what travels in it, and that it answers from there, away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from repository import ROOT, files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = folder.glob("*.whl")
    return found


def test_what_travels_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "kubenet_lab/py.typed" in names and "kubenet_lab/_lock.txt" in names
    for folder, inside in (("kubenet_lab", "kubenet_lab"), ("datasets", "kubenet_lab/_datasets"), ("notebooks", "kubenet_lab/_notebooks")):
        for path in files():
            if path.is_relative_to(ROOT / folder):
                assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in names
    assert not [n for n in names if n.startswith(("tests/", "tools/", "docs/")) or ".venv" in n or "__pycache__" in n]
    metadata = next(n for n in names if n.endswith("dist-info/METADATA"))
    page = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "Requires-Python: <3.15,>=3.11" in page and "Requires-Dist: msgspec" in page
    assert any(n.endswith("licenses/LICENSE") for n in names) and any(n.endswith("licenses/LICENSE-notebooks") for n in names)


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked somewhere else and put first on the path: the example, the notebooks and the lock are found there."""
    home = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(home)
    work = tmp_path / "work"
    work.mkdir()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import kubenet_lab as kn\n"
        "assert kn.__file__.startswith(sys.argv[1]), kn.__file__\n"
        "assert kn.example('bookshop').connect('shop/web', 'svc:shop/cart', port=8080)\n"
        "from kubenet_lab.course.workspace import start\n"
        "from kubenet_lab.course.doctor import _lock\n"
        "assert 'msgspec' in _lock()\n"
        "print(start('course'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(home)], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {p.name for p in (work / "course").glob("*.ipynb")} == {p.name for p in (ROOT / "notebooks").glob("*.ipynb")}
