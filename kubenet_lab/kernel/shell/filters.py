"""The small tools that stand behind a pipe or read a file: grep, head, tail, wc, sort, uniq; and echo, sleep, true and false."""

from __future__ import annotations

import re

from ...errors import NotModelled
from .files import input_of
from .terminal import Terminal, ToolError
from .traffic import options

__all__ = ["echo", "false", "grep", "head", "sleep", "sort", "tail", "true", "uniq", "wc"]


def _lines(text: str) -> list[str]:
    """Lines end with a newline and nothing else; what the last one lacks is no line of its own."""
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def _cut(text: str) -> list[str]:
    """The lines with their ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def grep(t: Terminal, argv: list[str]) -> str:
    found, rest = options("grep", argv[1:], "vicnowqEFe:A:B:C:", [], "Usage: grep [OPTION]... PATTERNS", 2)
    flags = {n for n, _ in found}
    patterns = [v for n, v in found if n == "-e"] or rest[:1]
    names = rest if any(n == "-e" for n, _ in found) else rest[1:]
    if not patterns:
        raise ToolError("Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.", 2)
    parts = [re.escape(p) if "-F" in flags else p if "-E" in flags else _basic(p) for p in patterns]
    if "-w" in flags:
        parts = [rf"(?<!\w)(?:{p})(?!\w)" for p in parts]
    try:
        wanted = re.compile("|".join(f"(?:{p})" for p in parts), re.IGNORECASE if "-i" in flags else 0)
    except re.error as e:
        raise ToolError(f"grep: {e}", 2) from None
    if len(names) > 1:
        raise NotModelled("grep over several files; one at a time, or cat them into a pipe")
    lines = _lines(input_of(t, "grep", names))
    hits = [i for i, line in enumerate(lines) if (wanted.search(line) is None) == ("-v" in flags)]
    t.status = 0 if hits else 1
    around = {n: int(v) for n, v in found if n in ("-A", "-B", "-C") and v.isdigit()}
    if around:
        before, after = max(around.get("-B", 0), around.get("-C", 0)), max(around.get("-A", 0), around.get("-C", 0))
        near = sorted({k for i in hits for k in range(i - before, i + after + 1) if 0 <= k < len(lines)})
        out: list[str] = []
        for at, k in enumerate(near):
            if at and k != near[at - 1] + 1:
                out.append("--")
            out.append(lines[k])
        return _text(out)
    if "-q" in flags:
        return ""
    if "-c" in flags:
        return f"{len(hits)}\n"
    if "-o" in flags:
        return _text([m.group() for i in hits for m in wanted.finditer(lines[i]) if m.group()])
    return _text([f"{i + 1}:{lines[i]}" if "-n" in flags else lines[i] for i in hits])


def _basic(pattern: str) -> str:
    r"""A basic regular expression as an extended one: `\|`, `\(`, `\+` are the special ones."""
    out, i = "", 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\" and i + 1 < len(pattern):
            i += 1
            out += pattern[i] if pattern[i] in "|(){}+?" else "\\" + pattern[i]
        else:
            out += "\\" + c if c in "|(){}+?" else c
        i += 1
    return out


def _count(tool: str, argv: list[str]) -> tuple[int, list[str]]:
    words = [f"-n{w[1:]}" if re.fullmatch(r"-\d+", w) else w for w in argv[1:]]
    found, rest = options(tool, words, "n:", [], f"Try '{tool} --help' for more information.", 1)
    if len(rest) > 1:
        raise NotModelled(f"{tool} of several files")
    text = found[-1][1] if found else "10"
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ToolError(f"{tool}: invalid number of lines: '{text}'", 1)
    if tool == "tail" and text.startswith("+"):
        return -int(text[1:]), rest
    return int(text), rest


def head(t: Terminal, argv: list[str]) -> str:
    count, names = _count("head", argv)
    return "".join(_cut(input_of(t, "head", names))[:count])


def tail(t: Terminal, argv: list[str]) -> str:
    count, names = _count("tail", argv)
    lines = _cut(input_of(t, "tail", names))
    if count < 0:
        return "".join(lines[-count - 1 :])
    return "".join(lines[len(lines) - min(count, len(lines)) :])


def wc(t: Terminal, argv: list[str]) -> str:
    found, rest = options("wc", argv[1:], "lwc", [], "Try 'wc --help' for more information.", 1)
    if len(rest) > 1:
        raise NotModelled("wc of several files")
    text = input_of(t, "wc", rest)
    counts = {"-l": text.count("\n"), "-w": len(text.split()), "-c": len(text.encode())}
    asked = [n for n in ("-l", "-w", "-c") if any(n == f for f, _ in found)] or ["-l", "-w", "-c"]
    named = f" {rest[0]}" if rest else ""
    if len(asked) == 1:
        return f"{counts[asked[0]]}{named}\n"
    width = max(len(str(n)) for n in counts.values()) if rest else 7
    return " ".join(f"{counts[n]:>{width}}" for n in asked) + f"{named}\n"


def sort(t: Terminal, argv: list[str]) -> str:
    found, rest = options("sort", argv[1:], "urnk:t:", [], "Try 'sort --help' for more information.", 2)
    flags = {n for n, _ in found}
    if flags & {"-k", "-t"}:
        raise NotModelled("sort by a field")

    def number(line: str) -> float:
        m = re.match(r"\s*(-?\d+(?:\.\d+)?)", line)
        return float(m.group(1)) if m else 0.0

    lines = sorted(_lines(input_of(t, "sort", rest)), key=(lambda line: (number(line), line)) if "-n" in flags else None, reverse="-r" in flags)
    return _text(list(dict.fromkeys(lines)) if "-u" in flags else lines)


def uniq(t: Terminal, argv: list[str]) -> str:
    found, rest = options("uniq", argv[1:], "c", [], "Try 'uniq --help' for more information.", 1)
    if len(rest) > 1:
        raise NotModelled("uniq into a file")
    out: list[tuple[int, str]] = []
    for line in _lines(input_of(t, "uniq", rest)):
        if out and out[-1][1] == line:
            out[-1] = (out[-1][0] + 1, line)
        else:
            out.append((1, line))
    return _text([f"{n:>7} {line}" if found else line for n, line in out])


def echo(t: Terminal, argv: list[str]) -> str:
    words = argv[1:]
    end = "\n"
    if words[:1] == ["-n"]:
        words, end = words[1:], ""
    return " ".join(words) + end


def sleep(t: Terminal, argv: list[str]) -> str:
    """Lab time passes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", argv[1]) if len(argv) == 2 else None
    if match is None:
        raise ToolError("sleep: missing operand" if len(argv) < 2 else f"sleep: invalid time interval '{argv[1]}'", 1)
    t.state.clock += float(match.group(1)) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match.group(2)]
    return ""


def true(t: Terminal, argv: list[str]) -> str:
    return ""


def false(t: Terminal, argv: list[str]) -> str:
    t.status = 1
    return ""
