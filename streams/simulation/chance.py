"""Chance that is the same on every machine and every Python.

Only `Random.random` is promised to keep its sequence between versions, and the C library's `exp` may differ in its last
digit between machines. So everything here is made of that one method and of plain arithmetic.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from math import ldexp
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

_LN2: Final = 0.6931471805599453
_ROOT3: Final = 1.7320508075688772
LN10: Final = 2.302585092994046


def exp(x: float) -> float:
    """Gives e to the power of x, to 12 digits, by a series in plain arithmetic."""
    whole = int(x / _LN2 + (0.5 if x >= 0 else -0.5))
    r = x - whole * _LN2
    total = 1.0
    for k in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1):
        total = 1.0 + total * r / k
    return ldexp(total, whole)


def total(values: Iterable[float]) -> float:
    """A sum, added up one by one: `sum` itself became more exact with Python 3.12."""
    found = 0.0
    for value in values:
        found += value
    return found


class Chance:
    """One patient's dice: drawn from (seed, index) alone, so a patient is the same however many there are."""

    __slots__ = ("share",)

    def __init__(self, seed: int, index: int) -> None:
        """Seeds the dice."""
        digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
        self.share: Callable[[], float] = Random(int.from_bytes(digest[:16], "big")).random  # noqa: S311 - no secret
        """The next number in [0, 1)."""

    def between(self, low: float, high: float) -> float:
        """A number in [low, high), all alike."""
        return low + (high - low) * self.share()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.share() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.share() < probability

    def normal(self) -> float:
        """Mean 0, standard deviation 1, within ±3.5: the sum of four even numbers."""
        share = self.share
        return (share() + share() + share() + share() - 2.0) * _ROOT3

    def around(self, mean: float, spread: float) -> float:
        """Near a mean, by its standard deviation."""
        return mean + spread * self.normal()

    def lognormal(self, median: float, spread: float) -> float:
        """A positive number by its median and the standard deviation of its natural logarithm."""
        return median * exp(spread * self.normal())

    def pick(self, options: Sequence[T]) -> T:
        """One of some, all alike."""
        return options[int(self.share() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of some, by their weights."""
        left = self.share() * total(weight for _, weight in options)
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]
