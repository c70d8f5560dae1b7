"""`Real`: the tests' end of the driver. Starts it in namespaces of its own, as root or without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "ip", "bridge", "iptables-legacy-restore")


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _wrap(root: bool) -> list[str]:
    # without root a user namespace gives the rights; it must not be left with a host's network in it
    return ["unshare", "-n"] if root else ["unshare", "-Urn"]


def why_not() -> str:
    """Why the real side cannot run here, or "" if it can."""
    for tool in TOOLS:
        if shutil.which(tool, path=_path()) is None:
            return f"the program {tool}"
    try:
        with Real() as real:
            real.ask("sleep", seconds=0)
            real.ask(
                "build",
                id="try",
                spec={
                    "underlay": [{"mac": "02:00:00:00:00:01", "mtu": 1500, "gateway": "192.0.2.1/24", "ends": []}],
                    "spaces": ["a"],
                    "lines": [],
                    "listen": [],
                },
            )
            real.ask(
                "run",
                id="try",
                lines=[
                    ["a", "ip link add v0 type vxlan id 1 dstport 8472 nolearning dev lo"],
                    ["a", "iptables -t nat -A OUTPUT -m mark --mark 1 -j ACCEPT"],
                ],
            )
    except (OSError, RuntimeError) as e:
        return f"network namespaces ({str(e).strip()[:300]})"
    return ""


class Real:
    """A running driver. `ask(op, ...)` is one request; it raises RuntimeError with what the driver said."""

    def __init__(self, root: bool | None = None):
        root = os.geteuid() == 0 if root is None else root
        env = {**os.environ, "PATH": _path(), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*_wrap(root), sys.executable, "-m", "tests.kernel_lab.driver"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **request: Any) -> Any:
        assert self.process.stdin and self.process.stdout and self.process.stderr
        try:
            self.process.stdin.write(json.dumps({"op": op, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the driver ended: {self.process.stderr.read()[-1500:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]

    def __enter__(self) -> Real:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
