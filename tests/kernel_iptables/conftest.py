"""The real iptables and ipset, each session in a fresh network namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside the tests

# runs inside the namespace: a list of [argv, stdin] in, a list of [status, stdout, stderr] out
RUNNER = """
import json, subprocess, sys
out = []
for argv, stdin in json.load(sys.stdin):
    r = subprocess.run(argv, input=stdin, capture_output=True, text=True)
    out.append([r.returncode, r.stdout, r.stderr])
json.dump(out, sys.stdout)
"""
PROGRAMS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


class Session:
    """`run` takes (argv, stdin) pairs and runs them, one after the other, where nobody else is."""

    def __init__(self, home: Path, backend: str, enter: Sequence[str]):
        self.home, self.backend, self.enter = home, backend, enter

    def run(self, commands: Sequence[tuple[Sequence[str], str]]) -> list[Result]:
        todo = [([str(self.home / argv[0]) if argv[0] in PROGRAMS else argv[0], *argv[1:]], stdin) for argv, stdin in commands]
        env = {**os.environ, "LC_ALL": "C", "XTABLES_LOCKFILE": str(self.home / "lock")}
        done = subprocess.run(
            [*self.enter, sys.executable, "-I", "-c", RUNNER], input=json.dumps(todo), capture_output=True, text=True, env=env, check=True
        )
        return [Result(*r) for r in json.loads(done.stdout)]


def _missing(reason: str) -> None:
    if os.environ.get("KUBENET_REQUIRE") == "all":
        pytest.fail(f"KUBENET_REQUIRE=all, but {reason}")
    pytest.skip(reason)


def _enter() -> list[str] | None:
    for command in (["unshare", "-n"], ["unshare", "-Urn"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return None


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Session]:
    """`real("nft")`, `real("legacy")`: iptables of that kind, 1.8.9, under its plain names; `real("ipset")`: ipset 7.x."""
    made: dict[str, Session] = {}

    def get(tool: str) -> Session:
        if tool in made:
            return made[tool]
        enter = _enter()
        if enter is None:
            _missing("no network namespace can be made here (unshare -n)")
        home = tmp_path_factory.mktemp(tool)
        if tool == "ipset":
            if not shutil.which("ipset"):
                _missing("ipset is not installed")
            probe, wanted = ["ipset", "list"], ""
        else:
            binary = shutil.which(f"xtables-{tool}-multi", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
            if binary is None:
                _missing(f"xtables-{tool}-multi is not installed")
            assert binary is not None
            for program in PROGRAMS:
                (home / program).symlink_to(binary)
            probe, wanted = ["iptables", "-S"], "v1.8.9"
        assert enter is not None
        session = Session(home, tool, enter)
        version = session.run([(probe, ""), (["iptables", "-V"] if wanted else probe, "")])
        if version[0].status:
            _missing(f"{tool} does not work here: {version[0].err.strip()}")
        if wanted not in version[1].out:
            _missing(f"{version[1].out.strip()} is installed, 1.8.9 is modelled")
        made[tool] = session
        return session

    return get
