"""Command lines as a POSIX shell reads them: words with quotes and patterns, pipes, `&&`, `||`, `;`, redirections. Nothing else.

Source: POSIX.1-2017, Shell Command Language, 2.2 (quoting), 2.7 (redirection), 2.13 (patterns).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...errors import NotModelled
from .terminal import ToolError

__all__ = ["Pipeline", "Simple", "parse"]

_OPERATORS = ("&&", "||", ">>", ">&", "&>", "<<", "|", "&", ";", "<", ">", "\n")
_REDIRECT = (">", ">>", ">&", "<", "<<", "&>")


@dataclass(frozen=True, slots=True)
class Word:
    """A word. `pattern`: the same with quoted specials escaped, if it holds an unquoted `*`, `?` or `[`; else ""."""

    text: str
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class _Operator:
    text: str
    fd: str = ""  # the digit that stands right before a redirection


@dataclass(slots=True)
class Simple:
    """One command with its redirections."""

    words: list[Word] = field(default_factory=list)
    quiet: bool = False  # > /dev/null
    deaf: bool = False  # 2> /dev/null
    joined: bool = False  # 2>&1
    into: str = ""  # > file
    append: bool = False  # >> file
    source: str = ""  # < file


@dataclass(slots=True)
class Pipeline:
    before: str  # "", ";", "&&" or "||"
    commands: list[Simple] = field(default_factory=list)


def _tokens(line: str) -> Iterator[Word | _Operator]:
    """Quotes and backslashes as in a POSIX shell: what is quoted is never an operator nor special."""
    text, pattern, open_, quoted, special = "", "", False, False, False
    i = 0

    def word() -> Word:
        nonlocal text, pattern, open_, quoted, special
        made = Word(text, pattern if special else "")
        text, pattern, open_, quoted, special = "", "", False, False, False
        return made

    def literal(c: str) -> None:
        nonlocal text, pattern, open_, quoted
        text += c
        pattern += f"\\{c}" if c in "*?[]\\" else c
        open_ = quoted = True

    while i < len(line):
        c = line[i]
        operator = next((m for m in _OPERATORS if line.startswith(m, i)), "")
        if c == "\\":
            if line[i + 1 : i + 2] != "\n":
                open_ = True
                if i + 1 < len(line):
                    literal(line[i + 1])
            i += 2
        elif c in "'\"":
            end = i + 1
            open_ = quoted = True
            while end < len(line) and line[end] != c:
                if c == '"' and line[end] == "\\" and line[end + 1 : end + 2] in ('"', "\\", "$", "`"):
                    end += 1
                literal(line[end])
                end += 1
            if end >= len(line):
                raise ToolError(f"sh: unexpected EOF while looking for matching `{c}'", 2)
            i = end + 1
        elif c == "#" and not open_:
            end = line.find("\n", i)
            i = end if end >= 0 else len(line)
        elif operator or c.isspace():
            fd = ""
            if operator in (">", ">>", ">&", "<") and open_ and not quoted and text in ("0", "1", "2"):
                fd = word().text
            elif open_:
                yield word()
            if operator:
                yield _Operator(";" if operator == "\n" else operator, fd)
            i += len(operator) or 1
        else:
            text += c
            pattern += c
            open_, special = True, special or c in "*?["
            i += 1
    if open_:
        yield word()


def parse(line: str) -> Iterator[Pipeline]:
    """The pipelines of a line. Raises ToolError for bad syntax, NotModelled for redirections that the lab does not have."""
    tokens = list(_tokens(line))
    current, simple = Pipeline(""), Simple()
    i = 0

    def close() -> None:
        nonlocal simple
        if simple.words:
            current.commands.append(simple)
        simple = Simple()

    while i < len(tokens):
        token = tokens[i]
        i += 1
        if isinstance(token, Word):
            simple.words.append(token)
            continue
        mark = token.text
        if mark == "|":
            if not simple.words:
                raise ToolError("sh: syntax error near unexpected token `|'", 2)
            close()
            continue
        if mark in _REDIRECT:
            target = tokens[i] if i < len(tokens) else None
            if not isinstance(target, Word):
                raise ToolError(f"sh: syntax error near unexpected token `{mark}'", 2)
            _redirect(simple, mark, token.fd, target.text)
            i += 1
            continue
        if mark not in (";", "&&", "||") or (not simple.words and mark != ";"):
            raise ToolError(f"sh: syntax error near unexpected token `{mark}'", 2)
        close()
        if current.commands:
            yield current
            current = Pipeline(mark)
        elif mark != ";":
            current = Pipeline(mark)
    close()
    if current.commands:
        yield current


def _redirect(simple: Simple, mark: str, fd: str, target: str) -> None:
    """`> file`, `>> file`, `< file`, `2> /dev/null`, `2>&1`."""
    if mark == ">&" and fd == "2" and target == "1":
        simple.joined = True
    elif mark == ">&" and fd in ("", "1") and target == "2":
        pass  # both are one screen here
    elif mark in (">", ">>") and fd == "2" and target == "/dev/null":
        simple.deaf = True
    elif mark in (">", ">>") and fd in ("", "1"):
        simple.quiet, simple.into, simple.append = target == "/dev/null", target if target != "/dev/null" else "", mark == ">>"
    elif mark == "&>" and target == "/dev/null":
        simple.deaf = simple.quiet = True
    elif mark == "<" and fd in ("", "0"):
        simple.source = target
    else:
        raise NotModelled(f"the redirection {fd}{mark} {target}")
