"""The core runs in the browser, on Windows and on a Mac: no threads, sockets, processes or POSIX-only calls to ask a question.

And it is deterministic: no wall clock, no unseeded chance.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from repository import PACKAGE, dotted, imports, modules

NOT_EVERYWHERE = {
    "fcntl", "termios", "pwd", "grp", "resource", "pty", "tty", "syslog", "posix", "readline", "curses", "msvcrt", "winreg", "ctypes",
    "socket", "socketserver", "select", "selectors", "ssl", "subprocess", "threading", "multiprocessing", "concurrent", "signal",
    "asyncio", "http", "urllib.request",
}  # fmt: skip
CHANCE_AND_CLOCK = {"random", "secrets", "time"}
#: module -> what it may import, and why
ALLOWED = {
    "api": {"socket", "asyncio", "threading", "http", "ssl"},  # serves real clients on loopback; never needed to ask a question
    "dns.serve": {"socket", "asyncio", "threading"},  # the same for DNS clients
}
CALLS = {
    "os": {
        "fork", "forkpty", "kill", "killpg", "getuid", "geteuid", "getgid", "setuid", "mkfifo", "mknod", "nice", "wait", "waitpid",
        "system", "popen", "spawnv", "execv", "execvp", "getpgid", "setsid", "uname", "getloadavg", "chown", "urandom", "getpid",
        "sched_getaffinity",
    },
    "uuid": {"uuid1", "uuid4"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}  # fmt: skip
BUILTINS_THAT_VARY = {"hash": "differs from run to run for text", "input": "waits for a person"}


def allowed(module: str) -> set[str]:
    return next((names for prefix, names in ALLOWED.items() if module == prefix or module.startswith(prefix + ".")), set())


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_exist_everywhere(path: Path) -> None:
    for found in imports(path):
        if found.typing:
            continue
        names = {found.target, found.target.split(".")[0]}
        bad = (names & (NOT_EVERYWHERE | CHANCE_AND_CLOCK)) - allowed(found.module)
        assert not bad, f"line {found.line}: {found.module} imports {found.target}"


def varying_calls(text: str) -> list[str]:
    """`os.fork()`, `hash(x)`, outside `__hash__`."""
    found = []
    tree = ast.parse(text)
    in_hash = {
        inner for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__hash__" for inner in ast.walk(node)
    }
    shadowed = {arg.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for arg in (*node.args, *node.kwonlyargs)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node in in_hash:
            continue
        call = node.func
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.attr in CALLS.get(call.value.id, ()):
            found.append(f"line {node.lineno}: {call.value.id}.{call.attr} is not everywhere")
        if isinstance(call, ast.Name) and call.id in BUILTINS_THAT_VARY and call.id not in shadowed:
            found.append(f"line {node.lineno}: {call.id}() {BUILTINS_THAT_VARY[call.id]}")
    return found


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_no_call_that_is_missing_or_varies(path: Path) -> None:
    assert varying_calls(path.read_text(encoding="utf-8")) == []


def test_planted_calls_are_found() -> None:
    assert varying_calls("import os\nos.fork()")
    assert varying_calls("seed = hash('x')")
    assert varying_calls("from datetime import datetime\nstamp = datetime.now()")
    assert not varying_calls("class A:\n    def __hash__(self):\n        return hash(self.x)")
    assert not varying_calls("def f(hash):\n    return hash(3)")


def test_files_are_read_as_utf8() -> None:
    """Without an encoding, text files read differently on Windows."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            words = {k.arg for k in node.keywords}
            if name in ("read_text", "write_text") and "encoding" not in words:
                wrong.append(f"{dotted(path)}:{node.lineno}")
            if name == "open" and isinstance(node.func, ast.Name):
                binary = any(isinstance(a, ast.Constant) and isinstance(a.value, str) and "b" in a.value for a in node.args[1:])
                if "encoding" not in words and not binary:
                    wrong.append(f"{dotted(path)}:{node.lineno}")
    assert not wrong
