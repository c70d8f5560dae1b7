"""`Weights`: of a choice, as its author meant them and as the kernel keeps them. `Lot`: coins thrown until one falls this way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property
from math import lcm

__all__ = ["Lot", "Weights", "kernel_share", "meant_share"]


class Weights(tuple[int, ...]):
    """Whole numbers in the author's proportion; `shares` are by the kernel's own, where it rounds (xt_statistic keeps 31 bits)."""

    shares: tuple[Fraction, ...]

    @cached_property
    def meant(self) -> tuple[Fraction, ...]:
        whole = sum(self)
        return tuple(Fraction(n, whole) for n in self)

    @classmethod
    def even(cls, count: int) -> Weights:
        return cls.by((1,) * count, (Fraction(1, count),) * count)

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


def meant_share(made: Sequence[tuple[int, tuple[int, ...]]]) -> Fraction:
    """The probability of these choices (index, weights) as their authors meant it."""
    return _product([_share(pick, weights.meant if isinstance(weights, Weights) else None, weights) for pick, weights in made])


def kernel_share(made: Sequence[tuple[int, tuple[int, ...]]]) -> Fraction:
    """The probability of these choices (index, weights) by the kernel's own numbers."""
    return _product([_share(pick, weights.shares if isinstance(weights, Weights) else None, weights) for pick, weights in made])


def _share(pick: int, shares: Sequence[Fraction] | None, weights: Sequence[int]) -> Fraction:
    return Fraction(weights[pick], sum(weights)) if shares is None else shares[pick]


def _product(shares: Sequence[Fraction]) -> Fraction:
    out = shares[0] if shares else Fraction(1)
    for share in shares[1:]:
        out *= share
    return out
