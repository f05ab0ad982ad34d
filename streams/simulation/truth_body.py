"""What truly happened in the body: kidney, marrow and electrolytes, while exposed to a drug that harms them."""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

from streams.simulation.clock import DAY, STEP
from streams.simulation.courses import Span, TrueCourse
from streams.simulation.diary import Happened, Trace
from streams.simulation.people import Person
from streams.simulation.regimens import GANCICLOVIRS, index_of

_PER_DAY: Final = DAY // STEP
_JOINED: Final = 8
"""Steps: a condition that is gone for less than 2 d has not ended."""


def body_truths(who: Person, courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    """Everything that the hidden body says of these courses."""
    if not who.dialysis:
        yield from _injuries(who, courses, trace)
    for course in courses:
        if course.drug == "foscarnet" and not who.dialysis and who.age >= 18:
            yield from _foscarnet_stops(who, course, trace)
        elif course.drug == "cidofovir":
            yield from _cidofovir(who, course, trace)
    yield from _counts(courses, trace)
    yield from _started_below(courses, trace)
    yield from _salts(courses, trace)


def _exposed(courses: list[TrueCourse], drugs: tuple[str, ...], tail: int) -> list[tuple[Span, str]]:
    """Spans of exposure, each with its drug."""
    return [((one.first, one.last + tail), one.drug) for one in courses if one.drug in drugs]


def _drug_at(exposed: list[tuple[Span, str]], at: int) -> str | None:
    """The drug that began last of those exposed to at a minute."""
    found = [(span[0], drug) for span, drug in exposed if span[0] <= at <= span[1]]
    return max(found)[1] if found else None


def _steps(trace: Trace, span: Span) -> range:
    """The steps that lie within a span."""
    first, stop = span
    low = max(0, -((trace.start - first) // STEP))
    return range(low, min(len(trace.creatinine) - 1, (stop - trace.start) // STEP) + 1)


def _episodes(trace: Trace, exposed: list[tuple[Span, str]], holds: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """Episodes as first and last step, joined over short breaks, within exposure."""
    start = last = None
    for step in sorted({step for span, _ in exposed for step in _steps(trace, span)}):
        if not holds(step):
            continue
        if start is not None and last is not None and step - last > _JOINED:
            yield start, last
            start = None
        start = step if start is None else start
        last = step
    if start is not None and last is not None:
        yield start, last


# Kidney --------------------------------------------------------------------------------------------------------------


def _injuries(who: Person, courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    """KDIGO by creatinine (facts.md, section 2.2) on foscarnet or cidofovir, to 14 d after the last dose."""
    exposed = _exposed(courses, ("foscarnet", "cidofovir"), 14 * DAY)
    values, usual = trace.creatinine, who.creatinine
    before = {step: trace.at(values, span[0]) for span, _ in exposed for step in _steps(trace, span)}
    start = last = None
    worst = 0
    for step in sorted(before):
        found = _stage(values, step, usual, before[step])
        if found and start is None:
            start, worst = step, found
        elif start is not None:
            worst = max(worst, found)
            if not found and values[step] < usual * 1.5 and values[step] < usual + 0.3:
                yield _injury(trace, exposed, start, step, worst)
                start = None
        last = step
    if start is not None and last is not None:
        yield _injury(trace, exposed, start, last + 1, worst)


def _stage(values: list[float], step: int, usual: float, before: float) -> int:
    """The KDIGO stage of a true creatinine, 0 for none; `before`: at the course's first dose."""
    now = values[step]
    two_days = min(values[max(0, step - 2 * _PER_DAY) : step + 1])
    week = min(values[max(0, step - 7 * _PER_DAY) : step + 1])
    ratio = max(now / week, now / usual if now > before else 0.0)
    if ratio < 1.5 and now - two_days < 0.3:
        return 0
    return 3 if ratio >= 3 or now >= 4 else 2 if ratio >= 2 else 1


def _injury(trace: Trace, exposed: list[tuple[Span, str]], start: int, end: int, worst: int) -> Happened:
    at = trace.minute(start)
    peak = max(trace.creatinine[start : end + 1])
    return Happened(
        "aki",
        _drug_at(exposed, at),
        at,
        trace.minute(end),
        "warning" if worst == 1 else "critical",
        f"true creatinine up to {peak:.2f} mg/dL, KDIGO stage {worst}",
    )


def _foscarnet_stops(who: Person, course: TrueCourse, trace: Trace) -> Iterator[Happened]:
    def below(step: int) -> bool:
        index = index_of("foscarnet", trace.clearance[step], who.weight)
        return index < 0.4 and course.is_current(trace.minute(step))

    for start, last in _episodes(trace, [((course.first, course.over), "foscarnet")], below):
        least = min(trace.clearance[start : last + 1]) / who.weight
        why = f"true clearance {least:.2f} mL/min/kg on foscarnet"
        yield Happened(
            "foscarnet-renal-stop", "foscarnet", trace.minute(start), trace.minute(last + 1), "critical", why
        )


def _cidofovir(who: Person, course: TrueCourse, trace: Trace) -> Iterator[Happened]:
    base = who.creatinine
    old_protein = trace.at(trace.protein, course.first)

    def stops(step: int) -> bool:
        return trace.creatinine[step] >= base + 0.5 or trace.protein[step] >= 300 > old_protein

    def reduces(step: int) -> bool:
        return 0.3 <= trace.creatinine[step] - base < 0.5

    stopped = course.over
    for start, _ in _episodes(trace, [((course.first, course.over), "cidofovir")], stops):
        stopped = trace.minute(start)
        creatinine, protein = trace.creatinine[start], trace.protein[start]
        why = f"true creatinine {creatinine:.2f} mg/dL, before {base:.2f}; protein {protein:.0f}"
        yield Happened("cidofovir-stop", "cidofovir", stopped, course.over, "critical", why)
        break
    for start, last in _episodes(trace, [((course.first, stopped), "cidofovir")], reduces):
        why = f"true creatinine {trace.creatinine[start]:.2f} mg/dL, before {base:.2f}"
        yield Happened(
            "cidofovir-reduce-dose", "cidofovir", trace.minute(start), trace.minute(last + 1), "warning", why
        )
    for dose, following in zip_longest(course.doses, course.doses[1:]):
        creatinine, protein = trace.at(trace.creatinine, dose.start), trace.at(trace.protein, dose.start)
        crcl = trace.at(trace.clearance, dose.start)
        if creatinine > 1.5 or protein >= 100 or (crcl <= 55 and not who.dialysis and who.age >= 18):
            end = following.start if following is not None else course.over
            why = f"given at true creatinine {creatinine:.2f}, clearance {crcl:.0f} mL/min, protein {protein:.0f} mg/dL"
            yield Happened("cidofovir-contraindicated", "cidofovir", dose.start, end, "critical", why)


# Counts --------------------------------------------------------------------------------------------------------------


class _Limit(NamedTuple):
    """A code, what it is held against, and the values below which it is a warning and critical."""

    code: str
    series: list[float]
    below: float
    critical: float
    unit: str


def _counts(courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    by_ganciclovir = _exposed(courses, GANCICLOVIRS, 7 * DAY)
    neutrophils = _Limit("neutropenia", trace.neutrophils, 1.0, 0.5, "10*3/uL")
    yield from _low(neutrophils, _exposed(courses, (*GANCICLOVIRS, "cidofovir"), 7 * DAY), trace)
    yield from _low(_Limit("thrombocytopenia", trace.platelets, 50.0, 25.0, "10*3/uL"), by_ganciclovir, trace)
    yield from _low(_Limit("anemia", trace.hemoglobin, 8.0, 0.0, "g/dL"), by_ganciclovir, trace)


def _low(limit: _Limit, exposed: list[tuple[Span, str]], trace: Trace) -> Iterator[Happened]:
    """Below a limit for a day and more."""
    code, series, below, critical, unit = limit
    for start, last in _episodes(trace, exposed, lambda step: series[step] < below):
        if last - start < _PER_DAY - 1:
            continue
        least = min(series[start : last + 1])
        at = trace.minute(start)
        severity = "critical" if least < critical else "warning"
        yield Happened(code, _drug_at(exposed, at), at, trace.minute(last + 1), severity, f"truly {least:.2f} {unit}")


def _started_below(courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    for course in courses:
        if course.drug not in GANCICLOVIRS:
            continue
        at = course.first
        neutrophils, platelets = trace.at(trace.neutrophils, at), trace.at(trace.platelets, at)
        hemoglobin = trace.at(trace.hemoglobin, at)
        if neutrophils < 0.5 or platelets < 25 or hemoglobin < 8.0:
            why = f"started at ANC {neutrophils:.2f}, platelets {platelets:.0f}, hemoglobin {hemoglobin:.1f}"
            yield Happened("started-below-count-limits", course.drug, at, course.over, "critical", why)


# Electrolytes --------------------------------------------------------------------------------------------------------


def _salts(courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    exposed = _exposed(courses, ("foscarnet",), 2 * DAY)
    for limit in (
        _Limit("hypocalcemia", trace.calcium, 8.0, 7.0, "mg/dL, corrected"),
        _Limit("hypomagnesemia", trace.magnesium, 1.2, 0.9, "mg/dL"),
        _Limit("hypokalemia", trace.potassium, 3.0, 2.5, "mmol/L"),
        _Limit("hypophosphatemia", trace.phosphate, 2.0, 1.0, "mg/dL"),
    ):
        yield from _low(limit, exposed, trace)
