"""Exact numbers: a value as reported is a whole number of millionths, and on its analyte's own scale a whole
number too, so that 1.4 - 1.1 is 0.3 and a comparison across units rounds nothing.
"""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Final, NamedTuple

MILLION: Final = 1_000_000
"""A reported value is kept in millionths of its unit."""


class Quantity(NamedTuple):
    """A number with its unit, as knowledge writes it: `0.3 mg/dL`."""

    value: Decimal
    unit: str


class UnitError(ValueError):
    """A quantity of knowledge in a unit that what it measures does not have."""

    def __init__(self, quantity: Quantity, what: str) -> None:
        super().__init__(f"not a unit of {what}")
        self.quantity = quantity


def parse_quantity(text: object) -> Quantity:
    """`0.3 mg/dL` as a quantity. Raises ValueError without a unit or a number of zero or more."""
    number, _, unit = text.partition(" ") if isinstance(text, str) else ("", "", "")
    try:
        value = Decimal(number)
    except ArithmeticError:
        raise ValueError("not a quantity such as '0.3 mg/dL'") from None
    if not unit or not value.is_finite() or value < 0:
        raise ValueError("not a quantity such as '0.3 mg/dL'")
    return Quantity(value, unit)


def millionths(value: float | Decimal) -> int:
    """A reported number in millionths; what lies beyond the sixth decimal place is rounded."""
    return round(value * MILLION)


def scale_of(factors: dict[str, Decimal]) -> dict[str, int]:
    """Whole multipliers in the proportions of the factors: what a millionth of each unit is on a common scale."""
    whole = [Fraction(factor) for factor in factors.values()]
    common = lcm(*(factor.denominator for factor in whole))
    return {unit: int(factor * common) for unit, factor in zip(factors, whole, strict=True)}


def decimal_text(value: int) -> str:
    """A number of millionths as it was reported, without trailing zeros: 1_500_000 is `1.5`."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(size, MILLION)
    return f"{sign}{whole}{_decimals(part)}" if part else f"{sign}{whole}"


@lru_cache(maxsize=4096)
def _decimals(part: int) -> str:
    """The decimal places of a number of millionths: results end in the same few."""
    return f".{part:06d}".rstrip("0")


def rounded_text(value: Fraction | float, digits: int) -> str:
    """A computed number for a reader, to so many decimal places, halves away from zero."""
    above, below = value.as_integer_ratio()
    return quotient_text(above, below, digits)


def quotient_text(above: int, below: int, digits: int) -> str:
    """The quotient of two whole numbers for a reader, to so many decimal places, halves away from zero."""
    size = (2 * abs(above) * 10**digits + below) // (2 * below)
    text = decimal_text(size * MILLION // 10**digits)
    return f"-{text}" if above < 0 and size else text
