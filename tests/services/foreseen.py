"""Whether what the lab foresees with a probability comes to pass that often: this is what notices a lab that allows too much.

Before the kernel answers, the lab says how likely an event is, from all that has been answered until then. A lab that has forgotten
something (whom a client met, say) gives the kernel's answer as one of several; once says nothing, but always the same one does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log1p, sqrt

#: how seldom probabilities that are right may be taken for wrong in one run
MISSED = 1e-6
#: by how much the odds of an event might be wrong: their natural logarithm
BETS = (-3.0, -1.0, 1.0, 3.0)


@dataclass
class Foreseen:
    """(probability, whether it came to pass) of every event, by its kind: each given what came before it."""

    kinds: Sequence[str]
    events: dict[str, list[tuple[float, bool]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, more: Mapping[str, list[tuple[float, bool]]]) -> None:
        for kind, events in more.items():
            self.events[kind] += events

    @property
    def evidence(self) -> float:
        """The evidence against these probabilities. If they are right it reaches 1 / MISSED in fewer than MISSED of all runs.

        It is what a bettor has made of 1 who put an equal share of it on every kind and bet, and let it ride: paid at the lab's own
        odds, nobody expects to win, however events depend on what came before (Ville's inequality). So no sum needs to look normal.
        """
        return sum(exp(_won(self.events[k], bet)) for k in self.kinds for bet in BETS) / len(self.kinds) / len(BETS)

    @property
    def believable(self) -> bool:
        return self.evidence < 1 / MISSED

    def __str__(self) -> str:
        return ", ".join(_count(kind, self.events[kind]) for kind in self.kinds) + f"; evidence against it {self.evidence:.2g}"


def _won(events: Sequence[tuple[float, bool]], bet: float) -> float:
    """The logarithm of what 1 has become that was put on odds which are e**bet times as high."""
    return sum(bet * came - log1p(p * (exp(bet) - 1)) for p, came in events)


def _count(kind: str, events: Sequence[tuple[float, bool]]) -> str:
    came, expected = sum(came for _, came in events), sum(p for p, _ in events)
    spread = sqrt(sum(p * (1 - p) for p, _ in events))
    z = f" (z {(came - expected) / spread:+.1f})" if spread > 1e-6 else ""
    return f"{kind} {came} times where {expected:.1f} were expected{z}"
