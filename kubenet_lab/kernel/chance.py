"""`Weights`: of a choice, as its author meant them and as the kernel keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["Weights", "kernel_share"]


class Weights(tuple[int, ...]):
    """Whole numbers in the author's proportion; `stored` are the kernel's own, where it rounds (xt_statistic keeps 31 bits)."""

    stored: tuple[int, ...]

    @classmethod
    def of(cls, meant: Sequence[int], stored: Sequence[int]) -> Weights:
        out = cls(meant)
        out.stored = tuple(stored)
        return out


def kernel_share(made: Sequence[tuple[int, tuple[int, ...]]]) -> Fraction:
    """The probability of these choices (index, weights) by the kernel's own numbers."""
    share = Fraction(1)
    for pick, weights in made:
        numbers = weights.stored if isinstance(weights, Weights) else weights
        share *= Fraction(numbers[pick], sum(numbers))
    return share
