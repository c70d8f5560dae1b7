"""`make` explains itself, and its tasks do what they say (looked at, not run)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from repository import ROOT

TASKS = ("lab", "test", "notebooks", "bench", "proof", "gallery", "lint", "clean")


def make(*words: str) -> str:
    return subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_alone_lists_the_tasks(require_tool: Callable[[str], str]) -> None:
    require_tool("make")
    assert make() == make("help")
    listed = dict(re.findall(r"^  make (\w+)\s+(\S.*)$", make(), re.MULTILINE))
    assert set(TASKS) <= listed.keys()


def test_make_test_is_strict(require_tool: Callable[[str], str]) -> None:
    require_tool("make")
    plan = make("-n", "test")
    assert re.search(r"pytest .*tests\b", plan)
    strict = next(line for line in plan.splitlines() if "--nbval" in line)
    assert "--nbval-lax" not in strict and "--dist loadscope" in strict and "notebooks" in strict and "sanitize" not in strict


def test_make_lab_needs_only_what_a_learner_needs(require_tool: Callable[[str], str]) -> None:
    require_tool("make")
    plan = make("-n", "VENV=build/none", "lab")
    assert "-m venv build/none" in plan and "-r binder/requirements.txt" in plan and "tests/requirements.txt" not in plan
    assert plan.rstrip().endswith("kubenet-lab lab")
    assert make("-n", "VENV=build/none", "LAB_ARGS=--no-browser", "lab").rstrip().endswith("kubenet-lab lab -- --no-browser")


def test_ci_requires_the_real_tools() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for part in ("set -euo pipefail", "KUBENET_REQUIRE=all", "make lint", "make test", "--cov-fail-under"):
        assert part in script, part
    last = script.strip().splitlines()[-1]
    assert last.startswith("make test"), "the last thing that CI prints is pytest's own summary"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
