"""`Shell`: command lines on one namespace. Pipes, `&&`, `||`, `;` and lines work as in a POSIX shell; variables, loops and files do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import CommandError, KubenetError, NotModelled
from ..background import catch_up
from ..network import Network
from ..state import State
from . import bridge, conntrack, filters, ip, nc, ping, ss, sysctl, tcpdump, traceroute
from .rules import IPTABLES, run_ipset, run_iptables
from .terminal import Capture, Terminal, ToolError, captured

__all__ = ["TOOLS", "Shell"]

Tool = Callable[[Terminal, list[str]], str]

TOOLS: dict[str, Tool] = {
    "ip": ip.run, "bridge": bridge.run, "sysctl": sysctl.run, "ping": ping.run, "traceroute": traceroute.run, "nc": nc.run, "ss": ss.run,
    "conntrack": conntrack.run, "tcpdump": tcpdump.run, "ipset": run_ipset, **dict.fromkeys(IPTABLES, run_iptables),
}  # fmt: skip
_SMALL: dict[str, Tool] = {
    "grep": filters.grep, "egrep": lambda t, argv: filters.grep(t, ["grep", "-E", *argv[1:]]), "head": filters.head, "tail": filters.tail,
    "wc": filters.wc, "sort": filters.sort, "uniq": filters.uniq, "cat": filters.cat, "echo": filters.echo, "sleep": filters.sleep,
    "true": filters.true, "false": filters.false, "ping6": lambda t, argv: ping.run(t, ["ping", "-6", *argv[1:]]),
}  # fmt: skip

_ELSEWHERE = {
    "curl": "cluster.request(src, url)", "wget": "cluster.request(src, url)", "dig": "cluster.resolve(src, name), cluster.dns.query(name, type)",
    "nslookup": "cluster.resolve(src, name)", "host": "cluster.resolve(src, name)", "getent": "cluster.resolve(src, name)",
    "kubectl": "cluster.get(kind, name)",
}  # fmt: skip
_WORDS = ("if", "for", "while", "until", "case", "function", "do", "done", "then", "fi", "export", "cd", "set", "alias", "source", "eval", "exec", "{", "}")


@dataclass(slots=True)
class _Simple:
    """One command with its redirections."""

    argv: list[str]
    quiet: bool = False  # > /dev/null
    deaf: bool = False  # 2> /dev/null
    joined: bool = False  # 2>&1
    into: str = ""  # > /proc/sys/...


@dataclass(slots=True)
class _Pipeline:
    before: str  # "", ";", "&&" or "||"
    commands: list[_Simple] = field(default_factory=list)


class Shell:
    """A shell on a namespace. `changed` tells whether a command changed what is programmed (dynamic state does not count).

    `frames` are those of the last traffic, for tcpdump; a command that sends packets replaces them. `status` is the last exit status.
    `resolve` gives the addresses of a name, in the order in which a client here would try them; without it only addresses are known.
    """

    def __init__(
        self,
        network: Network,
        state: State,
        namespace_id: str,
        *,
        frames: Sequence[tuple[Any, ...]] = (),
        resolve: Callable[[str], Sequence[str]] | None = None,
    ):
        self.network, self.state, self.namespace_id = network, state, namespace_id
        self.frames: Capture = captured(frames)
        self.resolve = resolve
        self.changed = False
        self.status = 0

    def run(self, command: str, stdin: str = "") -> str:
        """What the command line prints, errors of its parts included.

        Raises CommandError (with `status`) if the last command refuses and nothing was changed: with what the real tool prints, or for
        something the lab does not know. What a tool finds out about the network (no answer, connection refused) is no error.
        """
        pipelines = list(_parse(command))
        self.changed = False
        out, trouble = "", None
        for p in pipelines:
            if (p.before == "&&" and self.status != 0) or (p.before == "||" and self.status == 0):
                continue
            text, trouble = self._pipeline(p, stdin)
            if trouble is not None and (isinstance(trouble, NotModelled) or len(pipelines) == 1) and not self.changed:
                raise trouble
            out += text
        if trouble is not None and not self.changed:
            raise ToolError(out.rstrip("\n"), self.status)
        return out

    def _pipeline(self, p: _Pipeline, stdin: str) -> tuple[str, KubenetError | None]:
        """(what reaches the screen, the complaint of the last command)"""
        screen, after, trouble = "", "", None
        for i, c in enumerate(p.commands):
            trouble = None
            try:
                text, message = self._simple(c, stdin)
            except (CommandError, NotModelled) as e:
                text, message, trouble = "", f"{e}\n", e
            if not c.deaf:
                if c.joined:
                    text += message
                elif trouble is not None or i + 1 < len(p.commands) or c.into or c.quiet:
                    screen += message
                else:
                    after = message  # as on a terminal: what it found first, then what it says about it
            if c.into and trouble is None:
                self._write(c.into, text)
                text = ""
            stdin = "" if c.quiet else text
        return screen + stdin + after, trouble

    def _simple(self, c: _Simple, stdin: str) -> tuple[str, str]:
        """(what it prints, what it says beside that)"""
        argv = c.argv
        while argv[0] in ("sudo", "command", "nsenter") and len(argv) > 1 and not argv[1].startswith("-"):
            argv = argv[1:]
        name = argv[0].rpartition("/")[2]
        tool = TOOLS.get(name) or _SMALL.get(name)
        if tool is None:
            self.status = 127
            raise _unknown(name)
        t = Terminal(self.network, self.state, self.network.namespaces[self.namespace_id], stdin, self.frames, resolve=self.resolve)
        try:
            text = tool(t, [name, *argv[1:]])
            return text, t.stderr
        except (CommandError, NotModelled) as e:
            t.status = getattr(e, "status", 1)
            raise
        finally:
            self.changed = self.changed or t.changed
            self.status, self.frames = t.status, [*t.frames, *captured(catch_up(self.network, self.state))]

    def _write(self, path: str, text: str) -> None:
        t = Terminal(self.network, self.state, self.network.namespaces[self.namespace_id])
        try:
            sysctl.write(t, path, text)
        finally:
            self.changed = self.changed or t.changed


def _unknown(name: str) -> KubenetError:
    if name in _ELSEWHERE:
        return ToolError(f"{name} is not a tool of the kernel's; in the lab: {_ELSEWHERE[name]}", 127)
    if name == "nft":
        return NotModelled("nft: this node's rules are iptables'; see iptables-save")
    if name in _WORDS:
        return ToolError(f"sh: kubenet-lab's shell knows commands, pipes, && || and ;, not `{name}`", 2)
    known = [n for n in TOOLS if "-legacy" not in n and "-nft" not in n]
    return ToolError(f"{name}: command not found; kubenet-lab knows {', '.join(sorted(known))}", 127)


# ------------------------------------------------------------------------------------------------------------ parsing
_OPERATORS = ("&&", "||", ">>", ">&", "&>", "<<", "|", "&", ";", "<", ">", "\n")


def _tokens(line: str) -> list[tuple[str, bool]]:
    """(word, is it an operator?) Quotes and backslashes as in a POSIX shell: what is quoted is never an operator."""
    out: list[tuple[str, bool]] = []
    word: str | None = None
    i = 0
    while i < len(line):
        c = line[i]
        operator = next((m for m in _OPERATORS if line.startswith(m, i)), "")
        if c == "\\":
            if line[i + 1 : i + 2] != "\n":
                word = (word or "") + line[i + 1 : i + 2]
            i += 2
        elif c in "'\"":
            end = i + 1
            word = word or ""
            while end < len(line) and line[end] != c:
                if c == '"' and line[end] == "\\" and line[end + 1 : end + 2] in ('"', "\\", "$", "`"):
                    end += 1
                word += line[end]
                end += 1
            if end >= len(line):
                raise ToolError(f"sh: unexpected EOF while looking for matching `{c}'", 2)
            i = end + 1
        elif c == "#" and word is None:
            end = line.find("\n", i)
            i = end if end >= 0 else len(line)
        elif operator or c.isspace():
            if word is not None:
                out.append((word, False))
                word = None
            if operator:
                out.append((";" if operator == "\n" else operator, True))
            i += len(operator) or 1
        else:
            word = (word or "") + c
            i += 1
    if word is not None:
        out.append((word, False))
    return out


def _parse(line: str) -> Iterator[_Pipeline]:
    tokens = _tokens(line)
    current = _Pipeline("")
    simple = _Simple([])
    i = 0

    def close() -> None:
        nonlocal simple
        if simple.argv:
            current.commands.append(simple)
        simple = _Simple([])

    while i < len(tokens):
        word, operator = tokens[i]
        i += 1
        if not operator:
            simple.argv.append(word)
            continue
        if word == "|":
            if not simple.argv:
                raise ToolError("sh: syntax error near unexpected token `|'", 2)
            close()
            continue
        if word in (">", ">>", ">&", "<", "<<", "&>"):
            i = _redirect(simple, word, tokens, i)
            continue
        if word not in (";", "&&", "||"):
            raise ToolError(f"sh: syntax error near unexpected token `{word}'", 2)
        if not simple.argv and word != ";":
            raise ToolError(f"sh: syntax error near unexpected token `{word}'", 2)
        close()
        if current.commands:
            yield current
            current = _Pipeline(word)
        elif word != ";":
            current = _Pipeline(word)
    close()
    if current.commands:
        yield current


def _redirect(simple: _Simple, mark: str, tokens: list[tuple[str, bool]], i: int) -> int:
    """`> /dev/null`, `2> /dev/null`, `2>&1`, and writing to /proc/sys."""
    if i >= len(tokens) or tokens[i][1]:
        raise ToolError(f"sh: syntax error near unexpected token `{mark}'", 2)
    target = tokens[i][0]
    errors = bool(simple.argv) and simple.argv[-1] == "2"
    if errors:
        simple.argv.pop()
    if mark == ">&" and errors and target == "1":
        simple.joined = True
    elif mark in (">", ">>", "&>") and target == "/dev/null":
        simple.deaf = simple.deaf or errors or mark == "&>"
        simple.quiet = simple.quiet or not errors
    elif mark == ">" and target.startswith("/proc/sys/") and not errors:
        simple.into = target
    elif mark == "<" and target == "/dev/null":
        pass
    else:
        raise NotModelled(f"files: {mark} {target}")
    return i + 1
