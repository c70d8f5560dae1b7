"""`Weights`: of a choice, as its author meant them and as the kernel keeps them. `Lot`: coins thrown until one falls this way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property
from math import lcm

__all__ = ["Lot", "Weights", "kernel_share"]


class Weights(tuple[int, ...]):
    """Whole numbers in the author's proportion; `shares` are by the kernel's own, where it rounds (xt_statistic keeps 31 bits)."""

    shares: tuple[Fraction, ...]

    @classmethod
    def of(cls, meant: Sequence[int], stored: Sequence[int]) -> Weights:
        total = sum(stored)
        return cls.by(meant, [Fraction(n, total) for n in stored])

    @classmethod
    def by(cls, meant: Sequence[int], shares: Sequence[Fraction]) -> Weights:
        out = cls(meant)
        out.shares = tuple(shares)
        return out


class Lot:
    """Coins in a row, each (weights of this side and the other, chooser): the first that falls this way decides, or none does.

    Who draws throws them one by one. Who wants to know all the ways chooses once, with `weights`: of each coin, and of none.
    """

    def __init__(self, coins: Sequence[tuple[Weights, str]]):
        self.coins = tuple(coins)

    def thrown(self, choose: Callable[[Weights, str], int]) -> int:
        """How many fell the other way before."""
        return next((i for i, coin in enumerate(self.coins) if choose(*coin) == 0), len(self.coins))

    @cached_property
    def weights(self) -> Weights:
        meant = _firsts([Fraction(w[0], w[0] + w[1]) for w, _ in self.coins])
        whole = lcm(*(share.denominator for share in meant))
        return Weights.by([int(share * whole) for share in meant], _firsts([w.shares[0] for w, _ in self.coins]))


def _firsts(chances: Sequence[Fraction]) -> list[Fraction]:
    """The chance of each to be the first, and that there is none."""
    out, left = [], Fraction(1)
    for chance in chances:
        out.append(left * chance)
        left *= 1 - chance
    return [*out, left]


def kernel_share(made: Sequence[tuple[int, tuple[int, ...]]]) -> Fraction:
    """The probability of these choices (index, weights) by the kernel's own numbers."""
    share = Fraction(1)
    for pick, weights in made:
        share *= weights.shares[pick] if isinstance(weights, Weights) else Fraction(weights[pick], sum(weights))
    return share
