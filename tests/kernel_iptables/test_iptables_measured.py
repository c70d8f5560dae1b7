"""Everything the lab's iptables and ipset print, against what iptables 1.8.9 (both kinds) and ipset 7.17 printed.

The tables of tests/conformance/kernel_iptables were written by iptables_record.py. `explained` marks a difference that is
known, with its reason ("follows": a look at the same rule).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from iptables_mirror import Mirror, Seen, tidy

TABLES = Path(__file__).parents[1] / "conformance" / "kernel_iptables"


def _cases() -> list[Any]:
    found = []
    for path in sorted(TABLES.glob("*.json")):
        for session in json.loads(path.read_text())["sessions"]:
            for backend in session["backends"]:
                found.append(pytest.param(session, backend, id=f"{path.stem}: {session['name']} ({backend})"))
    return found


def _wanted(command: dict[str, Any], backend: str) -> Seen:
    seen = command.get("both") or command.get(backend) or {}
    return Seen(seen.get("status", 0), seen.get("out", ""), seen.get("err", ""))


def _same(command: dict[str, Any], a: Seen, b: Seen) -> tuple[Any, Any]:
    """Both answers in a form that can be compared."""
    if command["run"][0] != "ipset":
        # what is said aside, while the command succeeds, is not kept
        return tuple((s.status, tidy(s.out), tidy(s.err) if s.status else "") for s in (a, b))  # type: ignore[return-value]

    def plain(s: Seen) -> tuple[int, list[str]]:
        # members come in the order of the kernel's hash, whose key is drawn; the clock runs
        text = re.sub(r"initval 0x\w+", "initval ~", re.sub(r"^Size in memory.*\n", "", s.out + s.err, flags=re.M))
        return s.status, sorted(line for line in re.sub(r"timeout [1-9]\d*", "timeout ~", text).split("\n") if line)

    return plain(a), plain(b)


@pytest.mark.parametrize(("session", "backend"), _cases())
def test_the_lab_says_what_the_tool_said(session: dict[str, Any], backend: str) -> None:
    mirror = Mirror(backend)
    different = []
    for command in session["commands"]:
        seen = mirror.one(command["run"], command.get("stdin", ""))
        if command.get("explained"):
            continue
        ours, theirs = _same(command, seen, _wanted(command, backend))
        if ours != theirs:
            different.append(f"{' '.join(command['run'])}\n  tool: {theirs}\n  lab:  {ours}")
    assert not different, "\n".join(different)


@pytest.mark.real
@pytest.mark.parametrize(("session", "backend"), _cases())
def test_the_tool_still_says_it(session: dict[str, Any], backend: str, real: Callable[[str], Any]) -> None:
    tool = real(backend)
    if any(c["run"][0] == "ipset" for c in session["commands"]):
        real("ipset")
    results = tool.run([(c["run"], c.get("stdin", "")) for c in session["commands"]])
    for command, r in zip(session["commands"], results, strict=True):
        if "getaddrinfo" in command.get("explained", ""):
            continue
        now, then = _same(command, Seen(r.status, r.out, r.err), _wanted(command, backend))
        assert now == then, " ".join(command["run"])


def test_explained_differences_are_few() -> None:
    reasons = {
        c["explained"]
        for path in TABLES.glob("*.json")
        for s in json.loads(path.read_text())["sessions"]
        for c in s["commands"]
        if c.get("explained", "follows") != "follows"
    }
    assert len(reasons) <= 12
