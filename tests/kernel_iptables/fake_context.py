"""A packet at a hook without a walk: what the rules see is what the test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubenet_lab.kernel.chance import Lot
from kubenet_lab.kernel.iptables import Rule
from kubenet_lab.kernel.packet import Packet

__all__ = ["Fake"]


@dataclass
class Fake:
    """`types`: what addrtype answers. `draws`: which index each choice gives; without it the first possible one."""

    packet: Packet
    indev: str = ""
    outdev: str = ""
    physin: str = ""
    physout: str = ""
    mark: int = 0
    connmark: int = 0
    ctstate: frozenset[str] = frozenset({"NEW"})
    ct_original: tuple[str, int, str, int, str] | None = None
    pkttype: str = "unicast"
    now: float = 0.0
    types: Mapping[str, str] = field(default_factory=dict)
    sets: Any = None
    draws: Callable[[Sequence[int], str], int] | None = None
    lists: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    hits: list[Rule] = field(default_factory=list)
    choices: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    plain: bool = False

    def notrack(self) -> None:
        self.ctstate, self.ct_original = frozenset({"UNTRACKED"}), None
        self.done.append("notrack")

    def set_mss(self, value: int | None) -> None:
        self.done.append(("mss", value))

    def addrtype(self, address: str, dev: str | None = None) -> str:
        return self.types.get(f"{address}%{dev}" if dev else address, self.types.get(address, "UNICAST") if not dev else "UNICAST")

    def choose(self, weights: Sequence[int], chooser: str) -> int:
        self.choices.append((tuple(weights), chooser))
        if self.draws is not None:
            return self.draws(weights, chooser)
        return next(i for i, w in enumerate(weights) if w)

    def first(self, lot: Lot) -> int:
        return lot.thrown(self.choose)

    def recent(self, name: str) -> MutableMapping[str, tuple[float, ...]]:
        return self.lists.setdefault(name, {})

    def ipset(self, name: str) -> Any:
        return self.sets.get(name) if self.sets is not None else None

    def hit(self, rule: Rule) -> None:
        self.hits.append(rule)
