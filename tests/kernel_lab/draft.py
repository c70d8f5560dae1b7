"""`Draft`: one feature of a random cluster while it is drawn, and the register of all of them.

A feature claims the things it changes, so that two of them never undo each other; those that take a link down come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from . import modes
from .modes import MODES
from .shape import Spec, node_of, segment_of

SERVICE_IP, SERVICE_PORT, SERVICE_UDP, NODE_PORT_NUMBER = "10.96.0.50", 80, 53, 30080
STRANGE_MAC = "0e:00:00:00:00:99"


class Nothing(Exception):
    """There is nothing in this cluster that the feature could change."""


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
    def mode(self) -> str:
        return str(self.spec["mode"])

    @property
    def node(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["nodes"])

    @property
    def pod(self) -> dict[str, Any]:
        return self.rng.choice(self.spec["pods"])

    def two_nodes(self, tunnelled: bool = False, routed: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        """Two of the nodes; such that the first tunnels to the second, or has a route to its pods. Raises Nothing if there are none."""
        pairs = [(a, b) for a in self.spec["nodes"] for b in self.spec["nodes"] if a is not b]
        if tunnelled:
            pairs = [(a, b) for a, b in pairs if modes.tunnelled(self.spec, a, b)]
        if routed:
            pairs = [(a, b) for a, b in pairs if modes.way_to(self.spec, a, b)]
        if not pairs:
            raise Nothing
        a, b = self.rng.choice(pairs)
        self.touch += [a["name"], b["name"]]
        return a, b

    def node_of(self, pod: dict[str, Any]) -> dict[str, Any]:
        return node_of(self.spec, pod["node"])

    def gateway(self, node: dict[str, Any]) -> str:
        """The router's address on a node's segment."""
        return str(segment_of(self.spec, node)["gateway"])

    def third(self, *others: dict[str, Any]) -> dict[str, Any] | None:
        rest = [n for n in self.spec["nodes"] if n not in others]
        return self.rng.choice(rest) if rest else None

    def pods_of(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        return [p for p in self.spec["pods"] if p["node"] == node["name"]]


FEATURES: dict[str, Callable[[Draft], None]] = {}
#: feature -> the modes in which there is something for it to change
FITS: dict[str, tuple[str, ...]] = {}


def feature(name: str, *modes: str) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    """Register a feature. `modes`: only there, by default in all."""

    def register(fn: Callable[[Draft], None]) -> Callable[[Draft], None]:
        FEATURES[name] = fn
        FITS[name] = modes or MODES
        return fn

    return register
