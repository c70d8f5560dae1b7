"""A suite of PROOF.md says what its tests printed; one that is run again stands where a run of everything would have put it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PATHS = ("tests/a/test_a.py", "tests/b/test_b.py", "tests/c/test_c.py")


@pytest.fixture(scope="module")
def proof() -> Any:
    spec = importlib.util.spec_from_file_location("proof_tool", Path(__file__).resolve().parents[2] / "tools" / "proof.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("fails", [(), (0,), (1, 2)])
def test_as_if_it_had_run_with_the_others(proof: Any, which: int, silent: bool, fails: tuple[int, ...]) -> None:
    def suites(bad: tuple[int, ...], words: str) -> list[Any]:
        return [
            proof.Suite(path, 9, passed=3, failed=["test_x"] if i in bad else [], names=["test_planted_fault[it rains]"],
                        said=[] if silent else [f"{words} {i}"])
            for i, path in enumerate(PATHS)
        ]  # fmt: skip

    tables = [proof.Suite("tests/d/test_d.py", None, passed=5)]
    for mended in (True, False):
        now = tuple(i for i in fails if i != which) if mended else tuple(sorted({*fails, which}))
        old, new = suites(fails, "seen"), suites(now, "seen")
        found = proof.again(proof.text(old, tables, 1), new[which])
        lines = sorted(found.splitlines()), sorted(proof.text(new, tables, 1).splitlines())
        assert lines[0] == lines[1]
        assert mended is False or found == proof.text(new, tables, 1)


@pytest.mark.parametrize("which", range(3))
def test_a_new_suite_stands_where_it_belongs(proof: Any, which: int) -> None:
    every = [proof.Suite(path, 9, passed=3, said=[f"seen {i}"]) for i, path in enumerate(PATHS)]
    tables = [proof.Suite("tests/d/test_d.py", None, passed=5)]
    before = [s for i, s in enumerate(every) if i != which]
    assert proof.again(proof.text(before, tables, 1), every[which]) == proof.text(every, tables, 1)


def test_what_tests_print_is_kept_whole_and_nothing_of_pytest(proof: Any, tmp_path: Path) -> None:
    suite = tmp_path / "test_says.py"
    suite.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('kind', ['legacy', 'nft'])\n"
        "def test_a(kind):\n    print(kind, 'refused', 3)\n    assert kind == 'nft'\n"
        "def test_b():\n    pytest.skip('no tool')\n"
        "def test_c():\n    print('Four planted, ...')\n"
    )
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--seed')\n")
    found = proof.run(str(suite), None, 1)
    assert found.said == ["legacy refused 3", "nft refused 3", "Four planted, ..."]
    assert (found.failed, found.passed, found.skipped) == (["test_a[legacy]"], 2, 1)
