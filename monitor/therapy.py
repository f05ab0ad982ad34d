"""Joined therapy: treatment courses of any antiviral that overlap or follow one another within 3 d are one.

Kept as one entry for each treatment dose, in order of time; asked for a moment, it tells what was known then.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from monitor.patient import Course, DoseState, Patient, TherapyState
from monitor.plan import INTENT_TREATMENT
from monitor.times import ALWAYS, DAY, Time


def therapy_at(p: Patient, t: Time) -> TherapyState | None:
    """The latest joined therapy at `t`, going on or ended; None before any treatment dose."""
    if p.therapy_from is not None:
        _extend(p)
    i = bisect_right(p.therapy_times, t) - 1
    if i >= 0 and p.therapies[i].days == 1 and _is_disowned(p, p.therapies[i], t):
        i -= 1
    return p.therapies[i] if i >= 0 else None


def therapy_going(p: Patient, t: Time) -> TherapyState | None:
    """The latest joined therapy that goes on at `t`; where none does, the latest that there was.

    A therapy of a drug with a long interval may outlast one that began after it.
    """
    latest = therapy_at(p, t)
    if latest is None or t <= _until(p, latest.courses, t):
        return latest
    i = bisect_right(p.therapy_times, t) - 1
    while i >= 0 and t - p.therapy_times[i] <= p.plan.longest_gap:
        courses = p.therapies[i].courses
        if not courses <= latest.courses and t <= _until(p, courses, t):
            return p.therapies[i]
        i -= 1
    return latest


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


def going_on_until(p: Patient, therapy: TherapyState, t: Time) -> Time:
    """Until when a joined therapy goes on, by its doses up to `t`: the end of the last of its courses."""
    return _until(p, (therapy_with(p, therapy.courses, t) or therapy).courses, t)


def went_on(p: Patient, therapy: TherapyState, since: Time, t: Time) -> bool:
    """Whether a joined therapy went on without a break from one moment to another, by its doses up to the later."""
    joined = therapy_with(p, therapy.courses, t) or therapy
    return joined.unbroken <= since and t <= _until(p, joined.courses, t)


def _until(p: Patient, courses: frozenset[Course], t: Time) -> Time:
    until = ALWAYS
    for drug, start in courses:
        given = p.given[drug]
        last = given.last(t)
        i = bisect_right(given.s, start, 0, last + 1, key=_start) - 1
        if i >= 0 and given.s[i].start == start:
            over = given.s[i].course_until
            # A dose of another intent begins a new course, and this one is over.
            until = max(until, over if i == last else min(given.t[i + 1] - 1, over))
    return until


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
        unbroken = before.unbroken if t - 1 <= _until(p, before.courses, t - 1) else t
        days = before.days + (period > before.period)
        return TherapyState(before.start, days, period, t, before.courses, unbroken)
    courses = frozenset((course,))
    joined: list[TherapyState] = []
    if before is not None:
        elder = next((one for one in reversed(p.therapies) if course in one.courses), None)
        if elder is not None:
            # The course had seemed over, and another therapy begun: all since then is one.
            joined = [one for one in p.therapies if one.last >= elder.start]
        elif course[1] - before.last <= p.plan.joined_within:
            joined = [before]
    courses = courses.union(*(one.courses for one in joined))
    start = min(first for _, first in courses)
    periods = {(time - start) // DAY for one in courses for time in _doses(p, one, t)}
    goes_on = bool(joined) and t - 1 <= _until(p, courses, t - 1)
    unbroken = min(one.unbroken for one in joined) if goes_on else t
    return TherapyState(start, len(periods), max(periods), t, courses, unbroken)


def _start(state: DoseState) -> Time:
    return state.start


def _doses(p: Patient, course: Course, t: Time) -> Iterator[Time]:
    drug, start = course
    given = p.given[drug]
    for i in range(bisect_left(given.t, start), bisect_right(given.t, t)):
        if given.s[i].start == start:
            yield given.t[i]
