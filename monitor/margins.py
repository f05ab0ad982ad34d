"""Figures beside their thresholds, for `explain`: exact, in one unit, and in the unit that the alert's text uses."""

from collections.abc import Iterator
from fractions import Fraction
from math import isqrt

from monitor.patient import Patient
from monitor.times import DAY, HOUR, Time
from monitor.types import AT_MOST, EQUAL, Figure, Lab
from monitor.units import MILLION
from monitor.wording import unit_text

_DIGITS = 10**12


def span_margin(what: str, value: Time, limit: Time, meaning: str, number: str) -> Figure:
    """A span beside its limit: in days where the limit is one of two days or more, else in hours."""
    unit, name = (DAY, "d") if limit >= 2 * DAY else (HOUR, "h")
    return Figure(what, Fraction(value, unit), Fraction(limit, unit), name, meaning, number)


def lab_margin(
    p: Patient, lab: Lab, cutoffs: tuple[int, ...], meaning: str, number: str, what: str = ""
) -> tuple[Figure, ...]:
    """A result beside the cut-off of its unit; nothing where the cut-off is not defined in that unit."""
    analyte = p.plan.analytes[lab.analyte]
    if lab.unit in analyte.apart:
        return ()
    one = analyte.scale[lab.unit] * MILLION
    unit = unit_text(analyte.unit_names[lab.unit])
    value, limit = Fraction(lab.canon, one), Fraction(cutoffs[lab.unit], one)
    return (Figure(what or analyte.name, value, limit, unit, meaning, number),)


def lab_figures(p: Patient, lab: Lab, *limits: tuple[str, tuple[int, ...], str]) -> Iterator[Figure]:
    """A result beside each of some limits, given as meaning, cut-offs by unit, and the number's path."""
    bound = "" if lab.mark == EQUAL else ", at most" if lab.mark <= AT_MOST else ", at least"
    what = p.plan.analytes[lab.analyte].name + bound
    for meaning, cutoffs, number in limits:
        yield from lab_margin(p, lab, cutoffs, meaning, number, what)


def decades_margin(what: str, value: int, base: int, halves: int, meaning: str, number: str, *, log: bool) -> Figure:
    """How far a load lies above a base, beside so many half decades: the factor, or the difference of logarithms.

    The root of ten that half a decade is has no end; no factor of two loads equals it.
    """
    if log:
        return Figure(what, Fraction(value - base, MILLION), Fraction(halves, 2), "log10", meaning, number)
    limit = Fraction(isqrt(10**halves * _DIGITS * _DIGITS), _DIGITS)
    return Figure(what, Fraction(value, max(base, 1)), limit, "x", meaning, number)
