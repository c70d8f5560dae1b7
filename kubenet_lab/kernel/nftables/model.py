"""An nftables ruleset as values: tables, chains, rules, sets and maps. Changed only through `NftRuleset`.

Sources: Linux net/netfilter/nf_tables_api.c (objects, handles); nft(8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .datatypes import DataType

if TYPE_CHECKING:
    from .statements import Statement

__all__ = ["NAMES", "Base", "Chain", "Element", "NftRule", "NftSet", "Outcome", "Table"]


_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
_ONLY = {"dstnat": "prerouting", "srcnat": "postrouting", "out": "output"}
#: of priorities, wherever they may stand
NAMES = frozenset((*_PRIORITIES, *_BRIDGE_PRIORITIES))


class Outcome(NamedTuple):
    """A verdict: "accept", "drop", "return", "continue", "jump" or "goto", the last two with a chain."""

    kind: str
    chain: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.chain}" if self.chain else self.kind


@dataclass(frozen=True, slots=True, eq=False)
class NftRule:
    """One rule in its place. `uid` is unique in the namespace, `handle` in the table, as the kernel numbers them."""

    statements: tuple[Statement, ...]
    family: str
    table: str
    chain: str
    uid: int
    handle: int
    comment: str = ""
    origin: str = ""
    policy: str = ""  # set on the pseudo rule that stands for a base chain's policy

    @property
    def command(self) -> str:
        """The real command that prints it."""
        return f"nft list chain {self.family} {self.table} {self.chain}"

    @property
    def text(self) -> str:
        words = [str(s) for s in self.statements]
        if self.comment:
            words.append(f'comment "{self.comment}"')
        return " ".join(words)

    def __str__(self) -> str:
        return f"policy {self.policy}" if self.policy else self.text

    def __repr__(self) -> str:
        return f"NftRule({self.family} {self.table} {self.chain}: {self})"


@dataclass(frozen=True, slots=True)
class Base:
    """What ties a chain to a hook.

    `late`: it came after the iptables tables of the namespace, and is met before them where priorities tie.
    """

    type: str  # "filter", "nat", "route"
    hook: str
    priority: int
    policy: str = "accept"
    late: bool = False
    device: str = ""
    family: str = ""

    @property
    def names(self) -> Mapping[str, int]:
        """The priorities that have names at this hook (nf_ip_hook_priorities, nf_br_hook_priorities)."""
        named = _BRIDGE_PRIORITIES if self.family == "bridge" else _PRIORITIES
        return {name: number for name, number in named.items() if _ONLY.get(name, self.hook) == self.hook}


@dataclass(slots=True, eq=False)
class Chain:
    name: str
    uid: int
    handle: int
    base: Base | None = None
    comment: str = ""
    rules: list[NftRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a set or map. A component of `key` is a value, or a (low, high) pair in sets with intervals.

    `data`: what a map gives for it; `timeout` in seconds, 0 for none of its own.
    """

    key: tuple[Any, ...]
    data: Any = None
    comment: str = ""
    timeout: float = 0.0
    origin: str = ""


@dataclass(slots=True, eq=False)
class NftSet:
    """A set, or a map if `data` is given. `elements` are the programmed ones, by key; those with a time to live are dynamic state."""

    name: str
    types: tuple[DataType, ...]
    handle: int = 0
    data: tuple[DataType, ...] = ()
    flags: frozenset[str] = frozenset()
    timeout: float = 0.0  # seconds
    size: int = 0
    comment: str = ""
    counter: bool = False
    auto_merge: bool = False
    elements: dict[tuple[Any, ...], Element] = field(default_factory=dict)

    @property
    def is_map(self) -> bool:
        return bool(self.data)

    @property
    def kind(self) -> str:
        return "map" if self.data else "set"

    @property
    def verdicts(self) -> bool:
        return bool(self.data) and self.data[0].name == "verdict"

    @property
    def interval(self) -> bool:
        return "interval" in self.flags

    @property
    def dynamic(self) -> bool:
        return "dynamic" in self.flags or "timeout" in self.flags or bool(self.timeout)


@dataclass(slots=True, eq=False)
class Table:
    family: str  # "ip", "ip6", "inet", "bridge"
    name: str
    comment: str = ""
    handle: int = 0
    flags: frozenset[str] = frozenset()
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)
    last: int = 0  # the handle given last

    @property
    def versions(self) -> tuple[int, ...]:
        return {"ip": (4,), "ip6": (6,), "inet": (4, 6)}.get(self.family, ())

    def number(self) -> int:
        self.last += 1
        return self.last
