"""Go's math/rand, as far as Calico draws with it: which block of a pool a host claims first is the same here as there.

A seed fills 607 registers of an additive lagged Fibonacci generator; each register is also XORed with one of 607 constants.
The constants are the registers themselves after 7.8e12 steps from seed 1 (Go src/math/rand/gen_cooked.go). They are not
stored here but computed: n steps of a linear generator are the power x**n modulo its characteristic polynomial.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

__all__ = ["GoRandom", "fnv1"]

LENGTH, TAP = 607, 273
STEPS = 7_800_000_000_000
WORD = (1 << 64) - 1
PRIME = (1 << 31) - 1  # of the Lehmer generator that spreads the seed
LEHMER = 48271


def fnv1(text: str) -> int:
    """FNV-1, 32 bits (hash/fnv New32): multiply first, then XOR."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = value * 0x01000193 & 0xFFFFFFFF ^ byte
    return value


def _spread(seed: int, shift: int) -> Iterator[int]:
    """The 607 numbers that a seed gives: three draws each, `shift` bits apart, after 20 that are thrown away."""
    x = seed % PRIME or 89482311
    for _ in range(20):
        x = x * LEHMER % PRIME
    for _ in range(LENGTH):
        value = 0
        for place in (2 * shift, shift, 0):
            x = x * LEHMER % PRIME
            value ^= x << place
        yield value


@lru_cache(maxsize=1)
def _constants() -> tuple[int, ...]:
    """The registers after STEPS steps: the sequence is y(n) = y(n-607) + y(n-273), so x**607 = x**334 + 1; modulo 2**64."""
    import numpy as np

    def times(a: Any, b: Any) -> Any:
        product = np.convolve(a, b)
        end = len(product)
        while end > LENGTH:  # from the top, in pieces that do not reach into themselves
            start = max(LENGTH, end - TAP)
            product[start - TAP : end - TAP] += product[start:end]
            product[start - LENGTH : end - LENGTH] += product[start:end]
            end = start
        return product[:LENGTH]

    power, square = np.zeros(LENGTH, dtype=np.uint64), np.zeros(LENGTH, dtype=np.uint64)
    power[0] = square[1] = 1
    n = STEPS
    while n:
        if n & 1:
            power = times(power, square)
        square = times(square, square)
        n >>= 1
    first = list(_spread(1, 10))
    # in the order of the sequence: the step n rewrites register 334-n
    values = [first[(LENGTH - TAP - n) % LENGTH] for n in range(1, LENGTH + 1)]
    for _ in range(LENGTH - 1):
        values.append((values[-LENGTH] + values[-TAP]) & WORD)
    after = np.convolve(np.array(values, dtype=np.uint64), power[::-1], mode="valid")
    out = [0] * LENGTH
    for i, value in enumerate(after):
        out[(LENGTH - TAP - (STEPS - LENGTH + 1 + i)) % LENGTH] = int(value)
    return tuple(out)


class GoRandom:
    """rand.New(rand.NewSource(seed))."""

    def __init__(self, seed: int):
        self._registers = [a ^ b for a, b in zip(_spread(seed, 20), _constants(), strict=True)]
        self._tap, self._feed = 0, LENGTH - TAP

    def uint64(self) -> int:
        self._tap, self._feed = (self._tap - 1) % LENGTH, (self._feed - 1) % LENGTH
        value = (self._registers[self._feed] + self._registers[self._tap]) & WORD
        self._registers[self._feed] = value
        return value

    def uint32(self) -> int:
        """The upper half of the lower 63 bits."""
        return (self.uint64() & WORD >> 1) >> 31

    def below(self, limit: int) -> int:
        """big.Int.Rand on a 64-bit machine: words of as many bits as `limit` has, until one is below it."""
        bits = limit.bit_length()
        words = (bits + 63) // 64
        while True:
            value = 0
            for i in range(words):
                low = self.uint32()
                value |= (low | self.uint32() << 32) << 64 * i
            value &= (1 << bits) - 1
            if value < limit:
                return value
