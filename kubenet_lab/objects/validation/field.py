"""`Violation` and `Errors`: what is wrong with a field, in the API server's words.

Source: apimachinery pkg/util/validation/field/errors.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Document", "Errors", "Violation", "child", "items", "mapping", "text"]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that the API server refuses: `str()` is its message, `path` as it writes it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Errors:
    """Collects violations in the order in which the API server finds them."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, path: str, message: str) -> None:
        self.found.append(Violation(path, message))

    def required(self, path: str, detail: str = "") -> None:
        self.add(path, f"Required value: {detail}" if detail else "Required value")

    def invalid(self, path: str, value: Any, detail: str) -> None:
        self.add(path, f"Invalid value: {_shown(value)}: {detail}")

    def each(self, path: str, value: Any, messages: Iterable[str]) -> None:
        for message in messages:
            self.invalid(path, value, message)

    def unsupported(self, path: str, value: Any, supported: Iterable[str]) -> None:
        names = ", ".join(f'"{s}"' for s in supported)
        self.add(path, f"Unsupported value: {_shown(value)}: supported values: {names}")

    def forbidden(self, path: str, detail: str) -> None:
        self.add(path, f"Forbidden: {detail}")

    def duplicate(self, path: str, value: Any, detail: str = "") -> None:
        self.add(path, f"Duplicate value: {_shown(value)}{f': {detail}' if detail else ''}")

    def not_found(self, path: str, value: Any) -> None:
        self.add(path, f"Not found: {_shown(value)}")

    def too_long(self, path: str, limit: int) -> None:
        self.add(path, f"Too long: may not be more than {limit} bytes")

    def too_many(self, path: str, count: int, limit: int) -> None:
        self.add(path, f"Too many: {count}: must have at most {limit} items")

    def nonnegative(self, path: str, value: Any) -> None:
        if isinstance(value, int) and value < 0:
            self.invalid(path, value, "must be greater than or equal to 0")


def child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def mapping(parent: Document, name: str) -> Document:
    """A struct field, {} where it is absent (Go's zero value)."""
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def items(parent: Document, name: str) -> list[Any]:
    """A list field, [] where it is absent."""
    value = parent.get(name)
    return value if isinstance(value, list) else []


def text(parent: Document, name: str) -> str:
    """A string field, "" where it is absent."""
    value = parent.get(name)
    return value if isinstance(value, str) else ""
