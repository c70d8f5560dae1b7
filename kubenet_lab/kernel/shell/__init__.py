"""A shell on a namespace (being written)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import NotModelled
from ..namespace import Namespace

__all__ = ["Shell", "commands_for"]


class Shell:
    def __init__(self, network: Any, state: Any, namespace: str, *, frames: Sequence[Any] = ()):
        self.changed = False

    def run(self, command: str, stdin: str = "") -> str:
        raise NotModelled(f"the command {command.split()[0]}")


def commands_for(ns: Namespace) -> list[str]:
    return []
