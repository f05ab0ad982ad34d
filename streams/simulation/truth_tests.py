"""Tests that were truly not drawn for longer than alerts.md allows, while the drug was being given.

What was drawn and reported late was drawn; what clotted was not.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

from streams.simulation.clock import DAY, HOUR
from streams.simulation.courses import TrueCourse, therapies_of
from streams.simulation.diary import Diary, Happened, Trace
from streams.simulation.people import HCT, HIV, Person
from streams.simulation.regimens import MAINTENANCE

_SALTS: Final = ("calcium", "magnesium", "potassium", "phosphate")
_COUNT: Final = ("anc", "platelets")
_BASELINE: Final = {
    "foscarnet": ("creatinine", *_SALTS),
    "ganciclovir": ("creatinine", *_COUNT),
    "valganciclovir": ("creatinine", *_COUNT),
    "cidofovir": ("creatinine",),
}
_SUPPRESSANTS: Final = ("tacrolimus", "ciclosporin")

Gap = Callable[[int], int]
"""The longest time between two draws at a minute."""


def test_truths(who: Person, diary: Diary, courses: list[TrueCourse], trace: Trace, end: int) -> Iterator[Happened]:
    """Every test that was missed."""
    for course in courses:
        yield from _renal(course, diary, end)
        yield from _counts(course, diary, trace, end)
        yield from _baseline(course, diary, end)
        if course.drug in ("letermovir", "maribavir"):
            yield from _levels(course, diary, end)
    yield from _loads(who, courses, diary, trace, end)
    if who.population == HCT and who.transplant_day is not None and "positive" in (who.donor, who.recipient):
        yield from _surveillance(who.transplant_day, courses, diary, end)


def _times(diary: Diary, analytes: tuple[str, ...]) -> list[int]:
    """When the last of the oldest of these was drawn: a set of tests is as old as its oldest."""
    if len(analytes) == 1:
        return sorted(at for at, _ in diary.draws.get(analytes[0], ()))
    every = [sorted(at for at, _ in diary.draws.get(one, ())) for one in analytes]
    if not all(every):
        return []
    moments = sorted({at for one in every for at in one})
    complete = []
    for moment in moments:
        places = [bisect_right(one, moment) for one in every]
        if all(places):
            complete.append(min(one[place - 1] for one, place in zip(every, places, strict=True)))
    return sorted(set(complete))


class _Schedule(NamedTuple):
    """How often a test is asked for: the gap in force at a minute, and every gap there is, the shortest first."""

    gap: Gap
    gaps: tuple[int, ...]
    twice_is_critical: bool = False


def _overdue(code: str, course: TrueCourse, drawn: list[int], schedule: _Schedule, end: int) -> Iterator[Happened]:
    """Spans from the moment a test falls due to its draw, or until the drug is no longer current."""
    gap, gaps, twice = schedule
    place = bisect_right(drawn, course.first)
    since = course.first
    if place and drawn[place - 1] > since:
        since = drawn[place - 1]
    for following in (*drawn[place:], None):
        until = following if following is not None else end
        due = next((since + one for one in gaps if gap(since + one) <= one), since + gaps[-1])
        for start, stop in _current_within(course, due, until):
            allowed = gap(start)
            late = (stop - since) >= 2 * allowed
            severity = "critical" if twice and late and allowed == gaps[0] else "warning"
            yield Happened(code, course.drug, start, stop, severity, f"not drawn for {(stop - since) / DAY:.1f} d")
            break
        if following is None:
            return
        since = following


def _current_within(course: TrueCourse, due: int, until: int) -> Iterator[tuple[int, int]]:
    """The spans of [due, until) in which the drug is current."""
    if due >= until:
        return
    start = due if course.is_current(due) else next((one.start for one in course.doses if one.start > due), None)
    if start is None or start >= until:
        return
    stop = start
    for dose in course.doses:
        if dose.start > until:
            break
        if dose.start <= stop or stop == start:
            stop = max(stop, course.lasts(dose))
    yield start, min(stop, until)


def _renal(course: TrueCourse, diary: Diary, end: int) -> Iterator[Happened]:
    drug = course.drug
    schedule = _renal_schedule(course)
    if schedule is None:
        return
    yield from _overdue("overdue-renal", course, _times(diary, ("creatinine",)), schedule, end)
    if drug == "foscarnet":
        yield from _overdue("overdue-electrolytes", course, _times(diary, _SALTS), schedule, end)


def _renal_schedule(course: TrueCourse) -> _Schedule | None:
    drug = course.drug
    if drug == "foscarnet":
        return _Schedule(_by_phase(course, 96 * HOUR, 14 * DAY), (96 * HOUR, 14 * DAY), twice_is_critical=True)
    if drug == "valganciclovir" and not course.treats:
        return _Schedule(_by_age(course, 15 * DAY, 32 * DAY), (15 * DAY, 32 * DAY))
    days = {"ganciclovir": 8, "valganciclovir": 8, "cidofovir": 14}.get(drug)
    return _always(days) if days else None


def _always(days: int) -> _Schedule:
    return _Schedule(lambda _: days * DAY, (days * DAY,))


def _by_phase(course: TrueCourse, induction: int, maintenance: int) -> Gap:
    def gap(at: int) -> int:
        dose = course.before(at)
        return maintenance if dose is not None and dose.phase == MAINTENANCE else induction

    return gap


def _by_age(course: TrueCourse, early: int, later: int, days: int = 90) -> Gap:
    return lambda at: early if at - course.first < days * DAY else later


def _counts(course: TrueCourse, diary: Diary, trace: Trace, end: int) -> Iterator[Happened]:
    drug = course.drug
    if drug == "ganciclovir":
        early = 30 * HOUR if trace.at(trace.neutrophils, course.first) < 1.0 else 84 * HOUR
        schedule = _Schedule(_by_age(course, early, 8 * DAY, 14), (early, 8 * DAY), twice_is_critical=True)
    elif drug == "valganciclovir" and not course.treats:
        schedule = _Schedule(_by_age(course, 15 * DAY, 32 * DAY), (15 * DAY, 32 * DAY))
    elif drug in ("valganciclovir", "foscarnet"):
        schedule = _always(8 if drug == "valganciclovir" else 14)
    else:
        return
    yield from _overdue("overdue-blood-count", course, _times(diary, _COUNT), schedule, end)


def _baseline(course: TrueCourse, diary: Diary, end: int) -> Iterator[Happened]:
    missing = []
    for analyte in _BASELINE.get(course.drug, ()):
        drawn = _times(diary, (analyte,))
        place = bisect_left(drawn, course.first - 7 * DAY)
        if place >= len(drawn) or drawn[place] > course.first + DAY:
            missing.append((drawn[place] if place < len(drawn) else end, analyte))
    if missing and course.first + DAY < end:
        stop = min(course.over, max(at for at, _ in missing))
        why = f"not drawn before or soon after the first dose: {', '.join(name for _, name in missing)}"
        yield Happened("baseline-labs-missing", course.drug, course.first + DAY, stop, "warning", why)


def _levels(course: TrueCourse, diary: Diary, end: int) -> Iterator[Happened]:
    turns = [course.first]
    if course.over < end:
        turns.append(course.last)
    for turn in turns:
        for drug in _SUPPRESSANTS:
            if not any(0 <= turn - one.start <= 3 * DAY for one in diary.doses.get(drug, ())):
                continue
            drawn = _times(diary, (f"{drug}-level",))
            place = bisect_right(drawn, turn)
            taken = drawn[place] if place < len(drawn) else end
            if taken > turn + 7 * DAY and turn + 7 * DAY < end:
                stop = min(taken, turn + 30 * DAY)
                why = f"no {drug} level within 7 d"
                yield Happened("overdue-immunosuppressant-level", course.drug, turn + 7 * DAY, stop, "warning", why)


# CMV DNA -------------------------------------------------------------------------------------------------------------


def _loads(who: Person, courses: list[TrueCourse], diary: Diary, trace: Trace, end: int) -> Iterator[Happened]:
    drawn = _times(diary, ("cmv-dna",))
    limit = 2.14 if who.habits.lloq == 137 else 1.6

    def in_blood(start: int, stop: int) -> bool:
        low = max(0, (start - trace.start) // 360)
        return any(load >= limit for load in trace.load[low : max(low + 1, (stop - trace.start) // 360 + 1)])

    for course in courses:
        if course.drug == "letermovir" or (course.treats and in_blood(course.first - 30 * DAY, course.first + 3 * DAY)):
            yield from _overdue("overdue-viral-load", course, drawn, _always(8), end)
    if who.population == HIV:
        return
    therapies = therapies_of(courses)
    for therapy, following in zip_longest(therapies, therapies[1:]):
        if not in_blood(therapy.first - 30 * DAY, therapy.last):
            continue
        stop = min(end, therapy.last + 56 * DAY, following.first if following is not None else end)
        place = bisect_right(drawn, therapy.last)
        since = max(therapy.last, drawn[place - 1] if place else 0)
        for taken in (*drawn[place:], stop):
            due = max(since + 8 * DAY, therapy.over)
            if due < min(taken, stop):
                why = f"not drawn for {(min(taken, stop) - since) / DAY:.1f} d after therapy"
                yield Happened("overdue-viral-load", None, due, min(taken, stop), "info", why)
            since = taken
            if taken >= stop:
                break


def _surveillance(transplant_day: int, courses: list[TrueCourse], diary: Diary, end: int) -> Iterator[Happened]:
    """Day 14 to 100, no course, no PCR for 10 d, with one on file."""
    transplant = (transplant_day * 24 + 9) * HOUR
    drawn = _times(diary, ("cmv-dna",))
    last_day = min(end, transplant + 100 * DAY)
    for taken, following in zip_longest(drawn, drawn[1:], fillvalue=last_day):
        start = max(taken + 10 * DAY, transplant + 14 * DAY)
        stop = min(following, last_day)
        for course in courses:
            if course.first <= start <= course.over:
                start = course.over
            elif start < course.first < stop:
                stop = course.first
        if start < stop:
            why = f"no CMV PCR for {(stop - taken) / DAY:.1f} d"
            yield Happened("overdue-surveillance", None, start, stop, "warning", why)
