"""Words of an nft text, with their places."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import Trouble

__all__ = ["Token", "Words"]

_SIX = r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
_TOKEN = re.compile(
    r"(?P<blank>(?:[ \t\r]|\\\n|#[^\n]*)+)"
    r'|(?P<string>"[^"\n]*")'
    rf"|(?P<six>{_SIX}(?:/\d+|-{_SIX})?)"
    r"|(?P<word>[A-Za-z0-9_.*/\\-]+)"
    r"|(?P<op>==|!=|<=|>=|<<|>>|\|\||&&|[{}();,:=<>!&|^@+\[\]$\n])"
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # "string", "word", "op", "end"
    text: str
    start: int
    end: int


class Words:
    """The text as words, read from left to right. Newlines and semicolons both end a statement."""

    __slots__ = ("at", "text", "tokens")

    def __init__(self, text: str):
        self.text, self.at = text, 0
        found: list[Token] = []
        position, end = 0, len(text)
        match = _TOKEN.match
        while position < end:
            m = match(text, position)
            if m is None:
                raise Trouble("syntax error, unexpected junk", position, position + 1)
            kind = m.lastgroup
            if kind != "blank":
                found.append(Token("word" if kind == "six" else str(kind), m[0], position, m.end()))
            position = m.end()
        found.append(Token("end", "", end, end))
        self.tokens = found

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, n: int = 1) -> Token:
        return self.tokens[min(self.at + n, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def accept(self, *texts: str) -> str:
        """Take the next word if it is one of these; "" if not."""
        token = self.tokens[self.at]
        if token.text in texts and token.kind in ("word", "op"):
            self.at += 1
            return token.text
        return ""

    def expect(self, *texts: str) -> Token:
        token = self.next
        if token.text not in texts or token.kind == "string":
            raise self.trouble(texts[0])
        return self.take()

    def name(self) -> Token:
        """A name: a word, or a text in quotes."""
        token = self.next
        if token.kind not in ("word", "string"):
            raise self.trouble("string")
        return self.take()

    def string(self) -> str:
        """A comment: in quotes, or one word."""
        return self.name().text.strip('"')

    @property
    def statement_ends(self) -> bool:
        return self.next.kind == "end" or (self.next.kind == "op" and self.next.text in ("\n", ";", "}"))

    def newlines(self) -> None:
        while self.accept("\n", ";"):
            pass

    def blank(self) -> None:
        while self.accept("\n"):
            pass

    def trouble(self, expecting: str = "") -> Trouble:
        token = self.next
        found = {"end": "end of file", "string": "quoted string"}.get(token.kind, "newline" if token.text == "\n" else token.text)
        tail = f", expecting {expecting}" if expecting else ""
        return Trouble(f"syntax error, unexpected {found}{tail}", token.start, token.end)
