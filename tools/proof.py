"""The long comparisons with the real systems (`make proof`): every random suite at full size; writes PROOF.md.

A suite is a test module under tests/ that takes --cases and --seed and prints what it drew and found.

    python tools/proof.py [--cases N] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def suites() -> list[Path]:
    """The test modules whose tests take the size of a random suite."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [path for path in found if "cases(" in path.read_text("utf-8") and path.parent.name != "repository"]


def main() -> int:
    from kubenet_lab.versions import MODELLED

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lines = [
        "# Proof", "", "Written by `make proof`: the random comparisons with the real systems, at full size.", "",
        f"Seed {args.seed}, up to {args.cases} cases per suite. Modelled: " + ", ".join(f"{k} {v}" for k, v in MODELLED.items()) + ".",
    ]  # fmt: skip
    status = 0
    for path in suites():
        name = path.relative_to(ROOT).as_posix()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:randomly", name, f"--cases={args.cases}", f"--seed={args.seed}"],
            cwd=ROOT, capture_output=True, text=True, env={**os.environ, "KUBENET_REQUIRE": "all"},
        )  # fmt: skip
        status = status or done.returncode
        print(done.stdout)
        lines += ["", f"## {name}", "", "```text", done.stdout.strip()[-4000:], "```"]
    (ROOT / "PROOF.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
