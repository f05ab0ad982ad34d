"""What a dose amounts to, and what a label's dosing table permits at a clearance."""

from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache

from monitor.patient import Given, Patient, Size
from monitor.plan import BandInfo, RenalInfo
from monitor.renal import clearance, stale_text, weight_at
from monitor.times import Time
from monitor.types import Dose
from monitor.units import MILLION, decimal_text, quotient_text
from monitor.wording import age_text, amount_text


def doses_of(p: Patient, given: Given, i: int) -> list[Dose]:
    """The administrations that together are dose `i` of a drug: all with that start."""
    dose = given.x[i]
    return p.dose_groups.get((dose.drug, dose.at)) or [dose]


def dose_size(p: Patient, given: Given, i: int, per_kg: bool) -> Size | None:
    """A dose in millionths of mg, or of mg/kg; None where the amount, or a body weight that it needs, is unknown."""
    dose = given.x[i]
    if dose.drug >= 0 and (dose.drug, dose.at) not in p.dose_groups:
        return _size(p, dose, per_kg)
    total: Size = 0
    for part in doses_of(p, given, i):
        size = _size(p, part, per_kg)
        if size is None:
            return None
        total += size
    return total


def _size(p: Patient, dose: Dose, per_kg: bool) -> Size | None:
    if dose.value is None:
        return None
    _, kind, factor = p.plan.dose_units[dose.unit]
    amount, parts = dose.value * factor, MILLION
    if kind != ("per_kg" if per_kg else "mass"):
        weight = weight_at(p, dose.at) if kind in ("mass", "per_kg") else None
        if weight is None:
            return None
        kilogram = MILLION * p.plan.kilogram
        amount, parts = (
            (amount * kilogram, parts * weight.canon) if per_kg else (amount * weight.canon, parts * kilogram)
        )
    return _quotient(amount, parts)


@lru_cache(maxsize=4096)
def _quotient(above: int, below: int) -> Size:
    """One dose is much like the next, and dividing exactly is slow."""
    whole, rest = divmod(above, below)
    return Fraction(above, below) if rest else whole


def number_text(size: Size) -> str:
    """A size in mg or mg/kg for a reader, without its unit."""
    return quotient_text(size.numerator, size.denominator * MILLION, 2)


def size_text(p: Patient, given: Given, i: int, *, weighed: bool = True) -> str:
    """A dose as charted, and as its label doses it where that is another: `350 mg (5 mg/kg by 70 kg, 2 d old)`."""
    parts = " + ".join(
        f"{decimal_text(dose.value)} {p.plan.dose_units[dose.unit][0]}" if dose.value is not None else "unknown amount"
        for dose in doses_of(p, given, i)
    )
    course = p.plan.drugs[given.x[i].drug].course
    size = given.m[i]
    if course is None or not course.dosed_per_kg or size is None:
        return parts
    per_kg = f"{number_text(size)} mg/kg"
    if parts == per_kg:
        return parts
    at = given.t[i]
    weight = weight_at(p, at)
    if not weighed or weight is None:
        return f"{parts} ({per_kg})"
    return f"{parts} ({per_kg} by {amount_text(p, weight)}, {age_text(weight, at)}{stale_text(p, weight, at)})"


def sum_of_doses(given: Given, i: int, start: Time) -> Size | None:
    """The sum of the doses after `start` up to and including dose `i`; None if any of them is unknown."""
    sizes = given.m[bisect_right(given.t, start, 0, i) : i + 1]
    last = sizes[-1]
    if last is not None and sizes.count(last) == len(sizes):
        # Most doses of a window are one and the same.
        total, parts = last.numerator * len(sizes), last.denominator
    else:
        total, parts = 0, 1
        for size in sizes:
            if size is None:
                return None
            if size.denominator == parts:
                total += size.numerator
            else:
                total, parts = total * size.denominator + size.numerator * parts, parts * size.denominator
    return total if parts == 1 else _quotient(total, parts)


@lru_cache(maxsize=4096)
def band_at(renal: RenalInfo, crcl: int) -> BandInfo | None:
    """The band of a clearance, in millionths of the table's index; None below the last."""
    for band in renal.bands:
        if crcl > band.bound or (band.included and crcl == band.bound):
            return band
    return None


@lru_cache(maxsize=4096)
def bands_near(renal: RenalInfo, crcl: int, near_hundredths: int) -> tuple[BandInfo, ...]:
    """The band of a clearance, and the band above it where the clearance is less than that share below its bound.

    A clearance near a bound flaps, and what either band permits is no fault. One clearance judges many doses.
    """
    found: tuple[BandInfo, ...] = ()
    for band in renal.bands:
        if crcl > band.bound or (band.included and crcl == band.bound):
            return (*found, band)
        if crcl * 100 > band.bound * (100 - near_hundredths):
            found = (band,)
    return found


def fits_maintenance(p: Patient, renal: RenalInfo, given: Given, i: int, course_start: Time) -> bool:
    """Whether the course's doses of the last 48 h are no more, nor more often, than its maintenance column permits.

    False where that cannot be known: an unknown phase counts as induction, which has the shorter gaps.
    """
    constants = p.plan.renal
    t = given.t[i]
    crcl = clearance(p, t, renal.per_kg, constants.creatinine_age)
    start = max(t - constants.window, course_start - 1)
    total = sum_of_doses(given, i, start)
    if isinstance(crcl, str) or total is None:
        return False
    count = i + 1 - bisect_right(given.t, start, 0, i + 1)
    return _within(p, renal, crcl.low, total, count) and (
        crcl.low == crcl.high or _within(p, renal, crcl.high, total, count)
    )


def _within(p: Patient, renal: RenalInfo, crcl: int, total: Size, count: int) -> bool:
    constants = p.plan.renal
    band = band_at(renal, crcl)
    if band is None or count > band.often:
        return False
    allowed = band.allowed
    if renal.tablet is not None:
        return total < allowed + renal.tablet
    return total.numerator * 100 <= allowed * (100 + constants.tolerance_hundredths) * total.denominator
