"""Joined therapy: treatment courses of any antiviral that overlap or follow one another within 3 d are one.

Kept as one entry for each treatment dose, in order of time; asked for a moment, it tells what was known then.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from monitor.patient import Course, Patient, TherapyState
from monitor.plan import INTENT_TREATMENT
from monitor.times import DAY, Time


def therapy_at(p: Patient, t: Time) -> TherapyState | None:
    """The latest joined therapy at `t`, going on or ended; None before any treatment dose."""
    if p.therapy_from is not None:
        _extend(p)
    i = bisect_right(p.therapy_times, t) - 1
    if i >= 0 and p.therapies[i].days == 1 and _is_disowned(p, p.therapies[i], t):
        i -= 1
    return p.therapies[i] if i >= 0 else None


def _is_disowned(p: Patient, therapy: TherapyState, t: Time) -> bool:
    """Whether a later label said that what began without one is prophylaxis."""
    for drug, start in therapy.courses:
        given = p.given[drug]
        second = bisect_left(given.t, start) + 1
        if second >= len(given.t) or given.t[second] > t or given.s[second].start != start:
            return False
        if given.s[second].intent == INTENT_TREATMENT:
            return False
    return True


def therapy_with(p: Patient, courses: frozenset[Course], t: Time) -> TherapyState | None:
    """The latest state at `t` of the joined therapy that some courses belong to."""
    therapy_at(p, t)
    i = bisect_right(p.therapy_times, t) - 1
    while i >= 0 and not courses <= p.therapies[i].courses:
        i -= 1
    return p.therapies[i] if i >= 0 else None


def _extend(p: Patient) -> None:
    since = p.therapy_from
    assert since is not None
    p.therapy_from = None
    first = bisect_left(p.therapy_times, since)
    del p.therapy_times[first:], p.therapies[first:]
    coming = []
    for drug in p.plan.watched:
        given = p.given.get(drug)
        if given is not None:
            for i in range(bisect_left(given.t, since), len(given.t)):
                state = given.s[i]
                if state.intent == INTENT_TREATMENT:
                    coming.append((given.t[i], (drug, state.start)))
    for t, course in sorted(coming):
        p.therapies.append(_joined(p, t, course))
        p.therapy_times.append(t)


def _joined(p: Patient, t: Time, course: Course) -> TherapyState:
    """The joined therapy with one more dose, of a course that may be new to it."""
    before = p.therapies[-1] if p.therapies else None
    if before is not None and course in before.courses:
        period = (t - before.start) // DAY
        return TherapyState(before.start, before.days + (period > before.period), period, t, before.courses)
    courses = frozenset((course,))
    if before is not None:
        elder = next((one for one in reversed(p.therapies) if course in one.courses), None)
        if elder is not None:
            # The course had seemed over, and another therapy begun: all since then is one.
            courses = courses.union(*(one.courses for one in p.therapies if one.last >= elder.start))
        elif course[1] - before.last <= p.plan.joined_within:
            courses |= before.courses
    start = min(first for _, first in courses)
    periods = {(time - start) // DAY for one in courses for time in _doses(p, one, t)}
    return TherapyState(start, len(periods), max(periods), t, courses)


def _doses(p: Patient, course: Course, t: Time) -> Iterator[Time]:
    drug, start = course
    given = p.given[drug]
    for i in range(bisect_left(given.t, start), bisect_right(given.t, t)):
        if given.s[i].start == start:
            yield given.t[i]
