"""The Caddyfile grammar that a Corefile is written in: tokens, server blocks, snippets, environment references.

Tokens are words; quotes group; `#` starts a comment; a line ends a directive unless a brace is open. `import` splices a
snippet or a file in. Source: coredns/caddy caddyfile/lexer.go, parse.go, dispenser.go; messages have its form
(`Corefile:3 - Error during parsing: Unknown directive 'x'`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ..errors import KubenetError, NotModelled

__all__ = ["Block", "CorefileError", "Dispenser", "Token", "parse_blocks", "tokenize"]

#: a snippet that imports itself in a circle is stopped here
MAX_EXPANSIONS = 10_000


class CorefileError(KubenetError):
    """A Corefile that CoreDNS would not start with; the message is the one it prints. `line` is 1-based, or None."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    line: int
    file: str


@dataclass(frozen=True, slots=True)
class Block:
    """A server block as written: its keys, and for each directive name its tokens in order (several lines run together)."""

    keys: tuple[str, ...]
    directives: Mapping[str, tuple[Token, ...]]
    line: int


def tokenize(text: str, file: str = "Corefile") -> list[Token]:
    """The words of a Caddyfile with the line each begins on."""
    tokens: list[Token] = []
    value: list[str] = []
    line = start = 1
    comment = quoted = escaped = False
    for ch in text.removeprefix("\ufeff"):
        if quoted:
            if not escaped:
                if ch == "\\":
                    escaped = True
                    continue
                if ch == '"':
                    quoted = False
                    tokens.append(Token("".join(value), start, file))
                    value = []
                    continue
            if ch == "\n":
                line += 1
            if escaped and ch != '"':  # only quotes can be escaped
                value.append("\\")
            value.append(ch)
            escaped = False
            continue
        if ch.isspace():
            if ch == "\r":
                continue
            if value:
                tokens.append(Token("".join(value), start, file))
                value = []
            if ch == "\n":
                line += 1
                comment = False
            continue
        if ch == "#":
            comment = True
        if comment:
            continue
        if not value:
            start = line
            if ch == '"':
                quoted = True
                continue
        value.append(ch)
    if value:
        tokens.append(Token("".join(value), start, file))
    return tokens


class Dispenser:
    """Hands out the tokens of one directive, with the sense for lines and blocks that setup code needs."""

    def __init__(self, tokens: Collection[Token], file: str = "Corefile"):
        self.tokens, self.file = list(tokens), file
        self.cursor, self.nesting = -1, 0

    # --- reading
    @property
    def value(self) -> str:
        return self.tokens[self.cursor].text if 0 <= self.cursor < len(self.tokens) else ""

    @property
    def line(self) -> int:
        return self.tokens[self.cursor].line if 0 <= self.cursor < len(self.tokens) else 0

    def next(self) -> bool:
        if self.cursor < len(self.tokens) - 1:
            self.cursor += 1
            return True
        return False

    def _same_line(self, at: int) -> bool:
        one, two = self.tokens[at], self.tokens[at + 1]
        return one.file == two.file and one.line + one.text.count("\n") == two.line

    def next_arg(self) -> bool:
        """Move to the next token if it stands on this line."""
        if self.cursor < 0:
            self.cursor += 1
            return True
        if self.cursor < len(self.tokens) - 1 and self._same_line(self.cursor):
            self.cursor += 1
            return True
        return False

    def next_line(self) -> bool:
        """Move to the next token if it stands on another line."""
        if self.cursor < 0:
            self.cursor += 1
            return True
        if self.cursor < len(self.tokens) - 1 and not self._same_line(self.cursor):
            self.cursor += 1
            return True
        return False

    def next_block(self) -> bool:
        """Enter the block that opens on this line, or move on in it; False at its end or where there is none."""
        if self.nesting > 0:
            if not self.next():
                return False
            if self.value == "}":
                self.nesting -= 1
                return False
            return True
        if not self.next_arg():
            return False
        if self.value != "{":
            self.cursor -= 1
            return False
        if not self.next() or self.value == "}":
            return False
        self.nesting += 1
        return True

    def remaining_args(self) -> list[str]:
        args = []
        while self.next_arg():
            if self.value == "{":
                self.cursor -= 1
                break
            args.append(self.value)
        return args

    def is_new_line(self) -> bool:
        if self.cursor < 1:
            return True
        if self.cursor > len(self.tokens) - 1:
            return False
        one, two = self.tokens[self.cursor - 1], self.tokens[self.cursor]
        return one.file != two.file or one.line + one.text.count("\n") < two.line

    # --- errors
    def _where(self) -> str:
        file = self.tokens[self.cursor].file if 0 <= self.cursor < len(self.tokens) else self.file
        return f"{file}:{self.line}"

    def error(self, message: str) -> CorefileError:
        return CorefileError(f"{self._where()} - Error during parsing: {message}", self.line or None)

    def argument_error(self) -> CorefileError:
        if self.value == "{":
            return self.error("Unexpected token '{', expecting argument")
        return self.error(f"Wrong argument count or unexpected line ending after '{self.value}'")

    def syntax_error(self, expected: str) -> CorefileError:
        return CorefileError(f"{self._where()} - Syntax error: Unexpected token '{self.value}', expecting '{expected}'", self.line or None)


class _Parser(Dispenser):
    def __init__(self, text: str, file: str, directives: Collection[str] | None, env: Mapping[str, str], files: Mapping[str, str] | None):
        super().__init__(tokenize(text, file), file)
        self.known, self.env, self.files = directives, env, files
        self.snippets: dict[str, list[Token]] = {}
        self.expansions = 0
        self.at_end = False

    def blocks(self) -> list[Block]:
        out = []
        while self.next():
            if (block := self.one_block()) is not None and block.keys:
                out.append(block)
        return out

    def expand(self, text: str) -> str:
        """`{$NAME}` and `{%NAME%}` by the environment's value; a name that is not set is empty."""
        for start, end in (("{%", "%}"), ("{$", "}")):
            at = text.find(start)
            while at != -1:
                stop = text.find(end, at)
                if stop == -1 or stop <= at + len(start):
                    break
                ref = text[at : stop + len(end)]
                text = text.replace(ref, self.env.get(ref[len(start) : -len(end)], ""))
                at = text.find(start)
        return text

    def one_block(self) -> Block | None:
        line = self.line
        keys = self.addresses()
        if self.at_end:
            return Block(tuple(keys), {}, line)
        if len(keys) == 1 and keys[0].startswith("(") and keys[0].endswith(")"):
            self.snippet(keys[0][1:-1])
            return None
        return Block(tuple(keys), self.contents(), line)

    def addresses(self) -> list[str]:
        keys: list[str] = []
        another = False
        while True:
            text = self.expand(self.value)
            if text == "import" and self.is_new_line():
                self.do_import()
                self.next()
                continue
            if text == "{":
                if another:
                    raise self.error(f"Expected another address but had '{text}' - check for extra comma")
                return keys
            if text:
                another = text.endswith(",")
                keys.append(text.removesuffix(","))
            more = self.next()
            if another and not more:
                raise self.error("Unexpected EOF")
            if not more:
                self.at_end = True
                return keys
            if not another and self.is_new_line():
                return keys

    def snippet(self, name: str) -> None:
        if name in self.snippets:
            raise self.error(f"redeclaration of previously declared snippet {name}")
        if self.value != "{":
            raise self.syntax_error("{")
        depth, tokens = 1, []
        while self.next():
            if self.value == "}":
                depth -= 1
                if depth == 0:
                    break
            if self.value == "{":
                depth += 1
            tokens.append(self.tokens[self.cursor])
        if depth:
            raise self.syntax_error("}")
        for i, token in enumerate(tokens[:-1]):
            starts_line = i == 0 or tokens[i - 1].line != token.line
            if token.text == "import" and starts_line and self.expand(tokens[i + 1].text) == name:
                raise self.error(f"maximum snippet import depth ({MAX_EXPANSIONS}) exceeded")
        self.snippets[name] = tokens

    def contents(self) -> dict[str, tuple[Token, ...]]:
        braces = self.value == "{"
        if not braces:
            self.cursor -= 1  # a single block needs no braces
        found: dict[str, list[Token]] = {}
        while self.next():
            if self.value == "}":
                break
            if self.value == "import":
                self.do_import()
                continue
            self.directive(found)
        if braces and self.value != "}":
            raise self.syntax_error("}")
        return {name: tuple(tokens) for name, tokens in found.items()}

    def directive(self, found: dict[str, list[Token]]) -> None:
        name = self.expand(self.value)
        if self.known is not None and name not in self.known:
            raise self.error(f"Unknown directive '{name}'")
        tokens = found.setdefault(name, [])
        tokens.append(self.tokens[self.cursor])
        depth = 0
        while self.next():
            if self.value == "{":
                depth += 1
            elif self.is_new_line() and depth == 0:
                self.cursor -= 1
                break
            elif self.value == "}" and depth > 0:
                depth -= 1
            elif self.value == "}":
                raise self.error("Unexpected '}' because no matching opening brace")
            elif self.value == "import" and self.is_new_line():
                self.do_import()
                continue
            self.tokens[self.cursor] = replace(self.tokens[self.cursor], text=self.expand(self.value))
            tokens.append(self.tokens[self.cursor])
        if depth > 0:
            raise self.error("Unexpected EOF")

    def do_import(self) -> None:
        """Splice the named tokens in; the cursor then stands before the first of them."""
        if not self.next_arg():
            raise self.argument_error()
        name = self.expand(self.value)
        if not name:
            raise self.error("Import requires a non-empty filepath")
        if self.next_arg():
            raise self.error("Import takes only one argument (glob pattern or file)")
        self.expansions += 1
        if self.expansions > MAX_EXPANSIONS:
            raise self.error(f"maximum snippet import depth ({MAX_EXPANSIONS}) exceeded")
        if name in self.snippets:
            new = self.snippets[name]
        elif self.files is not None and name in self.files:
            new = tokenize(self.files[name], name)
        elif self.files is not None and not set(name) & set("*?[]"):
            raise self.error(f"File to import not found: {name}")
        else:
            raise NotModelled(f"a Corefile that imports the file {name!r}: only snippets and files that are given can be imported")
        self.tokens[self.cursor - 1 : self.cursor + 1] = new
        self.cursor -= 2


def parse_blocks(
    text: str,
    file: str = "Corefile",
    directives: Collection[str] | None = None,
    env: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> list[Block]:
    """The server blocks of a Corefile in order. `directives` are the known names (None: any); `files` can be imported.

    Raises CorefileError.
    """
    return _Parser(text, file, directives, env or {}, files).blocks()
