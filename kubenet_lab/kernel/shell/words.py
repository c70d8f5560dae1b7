"""Command lines word by word, as iproute2 reads them: any beginning of a word will do, the first that fits wins.

Source: iproute2 6.1 lib/utils.c (matches, incomplete_command, invarg, duparg2, get_prefix, get_addr); the texts are measured.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NoReturn

from ..address import family as family_of
from .terminal import ToolError

__all__ = ["Words", "address", "begins", "find", "integer", "invalid", "mac_address", "prefix_text"]


def begins(word: str, full: str) -> bool:
    """iproute2's `matches`: is this word the beginning of that one?"""
    return bool(word) and full.startswith(word)


def find(word: str, choices: Sequence[str]) -> str | None:
    """The first of the choices that begins so."""
    return next((c for c in choices if begins(word, c)), None)


class Words:
    """The words of a command line that are still to be read."""

    def __init__(self, words: Sequence[str]):
        self._words = list(words)
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    @property
    def rest(self) -> list[str]:
        return self._words[self._at :]

    def peek(self) -> str:
        return self._words[self._at] if self else ""

    def take(self) -> str:
        """The next word. Raises ToolError as `NEXT_ARG` does when there is none."""
        if not self:
            raise ToolError('Command line is not complete. Try option "help"', 255)
        self._at += 1
        return self._words[self._at - 1]

    def command(self, choices: Sequence[str], default: str, tool: str) -> str:
        """The subcommand, `default` if there is none; unknown ones fail as `Command "x" is unknown`."""
        if not self:
            return default
        word = self.take()
        found = find(word, choices)
        if found is None:
            raise ToolError(f'Command "{word}" is unknown, try "{tool} help".', 255)
        return found


def invalid(value: str, message: str) -> NoReturn:
    raise ToolError(f'Error: argument "{value}" is wrong: {message}', 255)


def garbage(key: str, value: str) -> NoReturn:
    raise ToolError(f'Error: either "{key}" is duplicate, or "{value}" is a garbage.', 255)


def integer(text: str, message: str) -> int:
    try:
        value = int(text, 0) if not (text.startswith("0") and text.isdigit()) else int(text, 8)
    except ValueError:
        invalid(text, message)
    if not 0 <= value <= 0xFFFFFFFF:
        invalid(text, message)
    return value


def address(text: str, fam: int = 0) -> str:
    """A canonical IP address. `fam` 0 takes both families."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or fam not in (0, found.version):
        kind = {0: "any valid", 4: "inet", 6: "inet6"}[fam]
        raise ToolError(f'Error: {kind} address is expected rather than "{text}".', 1)
    return str(found)


def prefix_text(text: str, fam: int = 0) -> str:
    """`text` as CIDR: a bare address is a whole one; `default` and `any` are everything of `fam` (4 if 0)."""
    kind = {0: "any valid", 4: "inet", 6: "inet6"}[fam]
    if text in ("default", "any", "all"):
        return "::/0" if fam == 6 else "0.0.0.0/0"
    head, slash, tail = text.partition("/")
    head = _padded(head)
    try:
        ip = ipaddress.ip_address(head)
        length = int(tail) if slash else 32 if ip.version == 4 else 128
        if slash and not tail.isdigit():
            length = ipaddress.ip_network(f"0.0.0.0/{tail}").prefixlen
        ok = length <= ip.max_prefixlen and fam in (0, ip.version)
    except ValueError:
        ok = False
    if not ok:
        raise ToolError(f'Error: {kind} prefix is expected rather than "{text}".', 1)
    return f"{ip}/{length}"


def _padded(text: str) -> str:
    """iproute2 takes "10.1" as 10.1.0.0."""
    parts = text.split(".")
    if ":" in text or len(parts) >= 4 or not all(p.isdigit() for p in parts):
        return text
    return ".".join(parts + ["0"] * (4 - len(parts)))


def mac_address(text: str) -> str | None:
    """Canonical MAC address, None if it is none."""
    parts = text.lower().split(":")
    if len(parts) != 6 or not all(1 <= len(p) <= 2 and set(p) <= set("0123456789abcdef") for p in parts):
        return None
    return ":".join(p.zfill(2) for p in parts)


def family_word(word: str) -> int | None:
    return {"inet": 4, "inet6": 6}.get(word)


def same_family(text: str, fam: int) -> bool:
    return fam == 0 or family_of(text) == fam
