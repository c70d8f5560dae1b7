"""What `nft` says of a text that it does not take: the complaint, its place, and the line with the words marked."""

from __future__ import annotations

from ...errors import CommandError

__all__ = ["MISSING", "NftError", "Trouble"]

MISSING = "No such file or directory"
EXISTS = "File exists"
BUSY = "Device or resource busy"


class Trouble(Exception):
    """A complaint about some words of the text; the reader of the text turns it into an `NftError`."""

    def __init__(self, reason: str, start: int = -1, end: int = -1):
        super().__init__(reason)
        self.reason, self.start, self.end = reason, start, end


class NftError(CommandError):
    """`line` is 1-based; the message is laid out as the tool prints it."""

    def __init__(self, reason: str, text: str, start: int, end: int, file: str = ""):
        self.reason, self.status = reason, 1
        start = max(0, min(start, len(text)))
        self.line = text.count("\n", 0, start) + 1
        head = text.rfind("\n", 0, start) + 1
        tail = text.find("\n", head)
        shown = text[head : tail if tail >= 0 else len(text)]
        column = start - head
        width = max(1, min(end, head + len(shown)) - start)
        mark = " " * column + "^" * width
        place = f"{file}:{self.line}:{column + 1}-{column + width}: " if file else ""
        super().__init__(f"{place}Error: {reason}\n{shown}\n{mark}")
