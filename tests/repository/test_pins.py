"""The locks: what a learner gets is what was tested, within what pyproject.toml promises."""

from __future__ import annotations

import importlib.metadata
import tomllib
from functools import cache

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT

LEARNER, TESTS = ROOT / "binder" / "requirements.txt", ROOT / "tests" / "requirements.txt"


@cache
def pins(name: str) -> tuple[Requirement, ...]:
    path = LEARNER if name == "learner" else TESTS
    lines = (line.split(" #")[0].strip() for line in path.read_text("utf-8").splitlines())
    return tuple(Requirement(line) for line in lines if line and not line.startswith(("#", "-")))


def names(name: str) -> list[str]:
    return [canonicalize_name(pin.name) for pin in pins(name)]


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def test_tests_extend_the_learners_file() -> None:
    assert "-r ../binder/requirements.txt" in TESTS.read_text("utf-8").splitlines()


def test_every_pin_is_exact_and_stands_once() -> None:
    every = names("learner") + names("tests")
    assert len(every) > 100
    twice = sorted({name for name in every if every.count(name) > 1})
    assert not twice, f"pinned twice: {twice}"
    for pin in (*pins("learner"), *pins("tests")):
        (only,) = pin.specifier
        assert only.operator == "==" and "*" not in only.version and not pin.url and not pin.extras, str(pin)


def test_pins_satisfy_the_ranges_of_the_package() -> None:
    locked = {canonicalize_name(p.name): next(iter(p.specifier)).version for p in pins("learner")}
    ranges = [Requirement(text) for text in project()["dependencies"]]  # type: ignore[attr-defined]
    assert len(ranges) >= 10
    for wanted in ranges:
        assert wanted.specifier, f"{wanted} has no range"
        assert {"<", ">="} <= {s.operator for s in wanted.specifier}, f"{wanted} needs a floor and a ceiling"
        version = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{wanted}, locked: {version}"
    assert "nbval" in locked


def test_what_is_installed_is_what_is_pinned() -> None:
    """This very run used the locked versions."""
    wrong = {}
    for pin in (*pins("learner"), *pins("tests")):
        if pin.marker and not pin.marker.evaluate():
            continue
        installed = importlib.metadata.version(pin.name)
        if not pin.specifier.contains(installed, prereleases=True):
            wrong[pin.name] = installed
    assert not wrong


PLATFORMS = {
    "linux": {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    "mac": {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_lock_is_closed_on_every_platform(platform: str, python: str) -> None:
    """Whatever a pinned package needs on that platform is pinned too, in a version that it accepts."""
    environment = {**default_environment(), **PLATFORMS[platform], "extra": ""}
    environment |= {"python_version": python, "python_full_version": f"{python}.1"}
    here = {
        canonicalize_name(p.name): next(iter(p.specifier)).version
        for p in (*pins("learner"), *pins("tests"))
        if p.marker is None or p.marker.evaluate(environment)
    }
    learner = set(names("learner"))
    missing = []
    for name in here:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # another platform's package: its needs cannot be read here
        for text in needs:
            need = Requirement(text)
            if need.marker and not need.marker.evaluate(environment):
                continue
            target = canonicalize_name(need.name)
            if target not in here or not need.specifier.contains(here[target], prereleases=True):
                missing.append(f"{name} needs {text}, locked: {here.get(target)}")
            elif name in learner and target not in learner:
                missing.append(f"{name} is a learner's, and needs {target}, which is pinned only for tests")
    assert not missing, "\n".join(missing)


def test_python_versions_agree() -> None:
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(str(project()["requires-python"]))
    runtime = (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip()
    assert runtime.startswith("python-") and wanted.contains(f"{runtime.removeprefix('python-')}.0")
    declared = {c.rsplit(" ", 1)[1] for c in project()["classifiers"] if c.startswith("Programming Language :: Python :: 3.")}  # type: ignore[attr-defined]
    assert declared == {v for v in (f"3.{n}" for n in range(8, 20)) if wanted.contains(f"{v}.0")}
