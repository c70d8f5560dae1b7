"""Binder, without a container engine: the Dockerfile is rendered, and its steps are followed in a clean environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT, files

BINDER = ROOT / "binder"
#: the names that repo2docker knows; anything else in the folder would be silently ignored
KNOWN = {"requirements.txt", "runtime.txt", "postBuild", "start", "apt.txt", "environment.yml", "Dockerfile", "labconfig"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as Binder clones it: tracked files only."""
    folder = tmp_path_factory.mktemp("binder") / "repo"
    for path in files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


@pytest.fixture(scope="module")
def dockerfile(copy: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)],
        capture_output=True, text=True, env={**os.environ, "DOCKER_HOST": "unix:///nonexistent"},
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-2000:]
    start = text.index("FROM ")
    return text[start:]


def test_every_file_of_binder_is_used(dockerfile: str) -> None:
    names = {path.name for path in BINDER.iterdir() if path.name != "__pycache__"}
    assert names <= KNOWN, f"repo2docker does not know {names - KNOWN}"
    assert {"requirements.txt", "runtime.txt", "postBuild"} <= names
    for name in names - {"runtime.txt"}:
        assert f"binder/{name}" in dockerfile, f"{name} does not appear in the Dockerfile"


def test_the_python_of_runtime_txt_is_the_one_that_is_built(dockerfile: str) -> None:
    version = (BINDER / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")
    assert re.search(rf"python={re.escape(version)}\b", dockerfile)


def test_an_unknown_python_is_refused(copy: Path, tmp_path: Path) -> None:
    """So that the test above can fail."""
    other = tmp_path / "repo"
    (other / "binder").mkdir(parents=True)
    (other / "binder" / "runtime.txt").write_text("python-3.99\n")
    (other / "binder" / "requirements.txt").write_text("msgspec\n")
    done = subprocess.run([sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(other)], capture_output=True, text=True)
    assert done.returncode != 0


def test_post_build_stops_at_the_first_error() -> None:
    path = BINDER / "postBuild"
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("#!") and "set -e" in lines
    assert path.stat().st_mode & stat.S_IXUSR, "not executable"
    assert any(line.startswith("pip install --no-deps") for line in lines), "requirements.txt alone says what is installed"
    start = BINDER / "start"
    assert not start.exists() or 'exec "$@"' in start.read_text("utf-8").splitlines()[-1]


@pytest.mark.slow_binder
def test_the_steps_in_a_clean_environment(copy: Path, tmp_path: Path) -> None:
    """A new virtual environment, requirements, postBuild; then the learner's copy of 00 runs from the first cell to the last."""
    home = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "KUBENET_PROGRESS")},
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    run("pip", "install", "--quiet", "-r", "binder/requirements.txt")
    said = run("./binder/postBuild")
    assert "course: wrote" in said
    run("pip", "check")
    (first,) = copy.glob("course/00_*.ipynb")
    assert "outputs" in first.read_text("utf-8")
    run("jupyter", "execute", "--inplace", str(first.relative_to(copy)))
    cells = [c for c in json.loads(first.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    assert all(c["outputs"] for c in cells), "every cell showed something"
    assert not (copy / "course" / ".kubenet-progress.json").exists(), "an unanswered notebook leaves no progress"
