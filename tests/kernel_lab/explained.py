"""Differences that are understood and stay: what each looks like, both answers, and the line of the kernel that decides. At most ten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]


@dataclass(frozen=True)
class Explained:
    name: str
    manifest: str  # the smallest set of command lines that shows it
    model: str
    real: str
    source: str  # the kernel's file and function
    when: Callable[[dict[str, Any], dict[str, Any], Answer, Answer], bool]  # (spec, probe, model, real)


EXPLAINED: tuple[Explained, ...] = ()
