"""`Draft`: one feature of a random cluster while it is drawn, and the register of all of them.

A feature claims the things it changes, so that two of them never undo each other; those that take a link down come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .shape import Spec

SERVICE_IP, SERVICE_PORT, SERVICE_UDP, NODE_PORT_NUMBER = "10.96.0.50", 80, 53, 30080
STRANGE_MAC = "0e:00:00:00:00:99"


@dataclass
class Draft:
    """A feature being drawn: `lines` to run, `touch` the spaces it matters to, `claims` what it changes."""

    rng: Random
    spec: Spec
    lines: list[list[str]] = field(default_factory=list)
    touch: list[str] = field(default_factory=list)
    claims: set[str] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)  # MTUs worth probing around
    last: bool = False

    def run(self, space: str, line: str) -> None:
        self.lines.append([space, line])

    def claim(self, *what: str) -> None:
        self.claims.update(what)

    @property
    def node(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["nodes"])

    @property
    def pod(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["pods"])

    def two_nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        a, b = self.rng.sample(self.spec["nodes"], 2)
        self.touch += [a["name"], b["name"]]
        return a, b

    def third(self, *others: dict[str, Any]) -> dict[str, Any] | None:
        rest = [n for n in self.spec["nodes"] if n not in others]
        return self.rng.choice(rest) if rest else None

    def pods_of(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        return [p for p in self.spec["pods"] if p["node"] == node["name"]]


FEATURES: dict[str, Callable[[Draft], None]] = {}


def feature(name: str) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    def register(fn: Callable[[Draft], None]) -> Callable[[Draft], None]:
        FEATURES[name] = fn
        return fn

    return register
