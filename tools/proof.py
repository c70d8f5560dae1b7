"""The long comparisons with the real systems (`make proof`): every random suite at full size, every conformance table; writes PROOF.md.

A random suite is a test module under tests/ that takes --cases and --seed and prints what it drew and found. PROOF.md
holds what the run showed and nothing that changes from run to run: the seed, the counts, the versions.

    python tools/proof.py [--cases N] [--seed N] [--jobs N] [--again] [suite ...]
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: cases of a suite whose cases are whole networks of namespaces, or single connections; the others get EACH
FULL = {
    "tests/cluster/test_cluster_random_twins.py": 60,
    "tests/kernel_lab/test_kernel_lab_random.py": 500,
    "tests/kernel_lab/test_kernel_lab_macvlan.py": 60,
    "tests/cni/test_cni_macvlan_real.py": 100,
    "tests/cni/test_cni_chains_real.py": 100,
    "tests/policy/test_policy_real_kernel.py": 20,
    "tests/services/test_services_random_twins.py": 500,
    "tests/services/test_services_change_twins.py": 110,
    "tests/services/test_services_chi_square.py": 10_000,
    "tests/policy/test_policy_on_the_machine.py": 200,
}
EACH = 200
TAKES = re.compile(r"^def test_\w+\([^)]*\bcases\b", re.M)
PLANTS = re.compile(r"^def test_a_planted_fault", re.M)
TOOLS = {
    "iproute2": ["ip", "-V"], "iptables": ["iptables", "--version"], "nftables": ["nft", "--version"], "ipset": ["ipset", "--version"],
    "tshark": ["tshark", "--version"],
}  # fmt: skip


@dataclass
class Suite:
    path: str
    cases: int | None
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        return (
            f"**{len(self.failed)} failed**"
            if self.failed
            else f"{self.passed} passed" + (f", {self.skipped} skipped" if self.skipped else "")
        )


def suites() -> list[str]:
    """The test modules whose tests take the size of a random suite, or plant faults for one."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [p.relative_to(ROOT).as_posix() for p in found if TAKES.search(text := p.read_text("utf-8")) or PLANTS.search(text)]


def full(path: str) -> int | None:
    """How many cases the whole number is; None where the cases are what they are."""
    return FULL.get(path, EACH) if TAKES.search((ROOT / path).read_text("utf-8")) else None


def conformance() -> list[str]:
    """The modules that run the tables of tests/conformance, wherever they stand."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [
        p.relative_to(ROOT).as_posix()
        for p in found
        if "conformance" in p.relative_to(ROOT).as_posix() or "conformance" in p.read_text("utf-8")
    ]


def run(path: str, cases: int | None, seed: int) -> Suite:
    suite = Suite(path, cases)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "proof", path, f"--seed={seed}"]
        command += ["-o", "console_output_style=classic", f"--junitxml={report}"]
        if cases is not None:
            command.append(f"--cases={cases}")
        paths = os.pathsep.join(filter(None, [str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]))
        env = {**os.environ, "KUBENET_REQUIRE": "all", "CI": "true", "PYTHONHASHSEED": "0", "PYTHONPATH": paths}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
        if not report.exists():
            suite.failed.append(f"it did not run: {done.stdout[-500:]}{done.stderr[-500:]}")
            return suite
        for case in ET.parse(report).iter("testcase"):
            suite.names.append(case.get("name", ""))
            if case.find("failure") is not None or case.find("error") is not None:
                suite.failed.append(case.get("name", ""))
            elif case.find("skipped") is not None:
                suite.skipped += 1
            else:
                suite.passed += 1
    if suite.failed:
        print(done.stdout[-8000:])
    printed = done.stdout.split("\n=====", 1)[0].splitlines()  # what comes after are pytest's own words about failures
    suite.said = [line for line in map(_plain, printed) if line]
    return suite


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(report: Any) -> Generator[None, tuple[str, str, Any], tuple[str, str, Any]]:
    """No dot and no F: `run` loads this module into pytest as a plugin, and a letter would stand before what the next test prints."""
    category, _, word = yield
    return category, "", word


def _plain(line: str) -> str:
    """A line that a test printed; nothing for what pytest itself says and for seconds."""
    line = line.strip()
    if not line or (" in " in line and re.search(r"\d+ (passed|failed)", line)) or line.startswith(("=", "-", "!", "generated xml")):
        return ""
    return line


@functools.cache
def versions() -> tuple[str, ...]:
    from kubenet_lab.versions import MODELLED

    found = {"kernel": platform.release(), "python": platform.python_version()}
    for name, command in TOOLS.items():
        if shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            version = re.search(r"\d+(\.\d+)+", said)
            found[name] = version[0] if version else "?"
    return (
        "Compared on: " + ", ".join(f"{k} {v}" for k, v in found.items()) + ".",
        "",
        "Modelled: " + ", ".join(f"{k} {v}" for k, v in MODELLED.items()) + ".",
    )


def row(s: Suite) -> str:
    return f"| [{s.path}]({s.path}) | {s.cases or ''} | {s.result} |"


def section(s: Suite) -> list[str]:
    """What a random suite said, and the faults that it caught."""
    planted = [re.sub(r"^.*\[(.*)\]$", r"\1", n) for n in s.names if "planted" in n and "[" in n and n not in s.failed]
    lines = ["", f"### {s.path}", ""] if s.said or planted else []
    lines += [line if line.startswith("-") else f"- {line}" for line in s.said]
    return lines + (["", "Faults planted in the model, each caught:", "", *(f"- {belief}" for belief in planted)] if planted else [])


def again(proof: str, s: Suite) -> str:
    """The text of PROOF.md with a random suite's part made anew, or put where it belongs."""
    lines = [line for line in proof.splitlines() if not line.startswith((f"- {s.path}: ", f"| [{s.path}]("))]
    first = lines.index("|---|---:|---|") + 1
    lines.insert(next(i for i in range(first, len(lines)) if not "| [" < lines[i] < f"| [{s.path}]("), row(s))
    head, parts = f"### {s.path}", range(first, lines.index("## Tables from upstream sources") + 1)
    start = next(i for i in parts if lines[i].startswith("## ") or (lines[i].startswith("### ") and lines[i] >= head)) - 1
    end = next(i for i in range(start + 2, len(lines)) if lines[i].startswith(("## ", "### "))) - 1 if head in lines else start
    lines[start:end] = section(s)
    if s.failed:
        lines += [*([] if "## Failed" in lines else ["", "## Failed", ""]), *(f"- {s.path}: {name}" for name in s.failed)]
    elif lines[-2:] == ["## Failed", ""] or lines[-1:] == ["## Failed"]:
        lines = lines[: lines.index("## Failed") - 1]
    return "\n".join(lines) + "\n"


def text(random: list[Suite], tables: list[Suite], seed: int) -> str:
    lines = [
        "# Proof",
        "",
        "Written by `make proof`: the comparisons with the real systems at full size.",
        "",
        f"Seed {seed}.",
        *versions(),
    ]
    lines += ["", "## Random suites", "", "| suite | cases | tests |", "|---|---:|---|"]
    lines += [row(s) for s in random]
    for s in random:
        lines += section(s)
    lines += ["", "## Tables from upstream sources", "", "| suite | rows and tests |", "|---|---|"]
    lines += [f"| [{s.path}]({s.path}) | {s.result} |" for s in tables]
    failed = [f"{s.path}: {name}" for s in [*random, *tables] for name in s.failed]
    if failed:
        lines += ["", "## Failed", "", *(f"- {f}" for f in failed)]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=None, help="cases of every random suite, instead of its full number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="suites at the same time; most of the time they wait for a kernel")
    parser.add_argument("--again", action="store_true", help="put what the named suites show in place of what PROOF.md has of them")
    parser.add_argument("suites", nargs="*", help="only these modules; PROOF.md is then printed, not written")
    args = parser.parse_args()

    def one(path: str, cases: int | None) -> Suite:
        done = run(path, cases, args.seed)
        print(f"{path}{f', {cases} cases' if cases else ''}: {done.result}", flush=True)
        return done

    with ThreadPoolExecutor(args.jobs) as pool:
        begun = [pool.submit(one, path, args.cases or full(path)) for path in args.suites or suites()]
        told = [pool.submit(one, path, None) for path in conformance() if path not in suites()] if not args.suites else []
        random, tables = [f.result() for f in begun], [f.result() for f in told]
    found = text(random, tables, args.seed)
    if args.again:
        kept = (ROOT / "PROOF.md").read_text(encoding="utf-8")
        for s in random:
            kept = again(kept, s)
        (ROOT / "PROOF.md").write_text(kept, encoding="utf-8")
    elif args.suites:
        print(found)
    else:
        (ROOT / "PROOF.md").write_text(found, encoding="utf-8")
    return int(any(s.failed for s in [*random, *tables]))


if __name__ == "__main__":
    sys.exit(main())
