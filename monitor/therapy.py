"""Joined therapy: treatment courses of any antiviral that overlap or follow one another within 3 d are one.

Kept as one entry for each treatment dose, in order of time; asked for a moment, it tells what was known then. Where a
later label says that what seemed treatment is prophylaxis, the entries are written anew from that moment on.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from monitor.patient import Course, DoseState, Patient, Therapies, TherapyState
from monitor.plan import INTENT_TREATMENT
from monitor.times import ALWAYS, DAY, NEVER, Time


def therapies_at(p: Patient, t: Time) -> Therapies:
    """The treatment doses, each with its joined therapy, as they are read at `t`."""
    if p.therapy_from is not None:
        _extend(p)
    latest = p.therapies[-1]
    return latest if latest.since <= t else p.therapies[bisect_right(p.therapies, t, key=_since) - 1]


def treatment_times(p: Patient) -> list[Time]:
    """The times of all doses that were read as treatment when they were given, whatever a later label says."""
    therapies_at(p, p.clock)
    return p.treated


def therapy_at(p: Patient, t: Time) -> TherapyState | None:
    """The latest joined therapy at `t`, going on or ended; None before any treatment dose."""
    known = therapies_at(p, t)
    i = bisect_right(known.t, t) - 1
    return known.x[i] if i >= 0 else None


def therapy_going(p: Patient, t: Time) -> TherapyState | None:
    """The latest joined therapy that goes on at `t`; where none does, the latest that there was.

    A therapy of a drug with a long interval may outlast one that began after it.
    """
    latest = therapy_at(p, t)
    if latest is None or t <= _until(p, latest.courses, t):
        return latest
    known = therapies_at(p, t)
    i = bisect_right(known.t, t) - 1
    while i >= 0 and t - known.t[i] <= p.plan.longest_gap:
        courses = known.x[i].courses
        if not courses <= latest.courses and t <= _until(p, courses, t):
            return known.x[i]
        i -= 1
    return latest


def therapy_with(p: Patient, courses: frozenset[Course], t: Time) -> TherapyState | None:
    """The latest state at `t` of the joined therapy that some courses belong to, those left out that turned out to be
    prophylaxis. Where only such a one had joined the others, the latest of the therapies that they are then.
    """
    known = therapies_at(p, t)
    i = bisect_right(known.t, t) - 1
    courses = frozenset(course for course in courses if _is_treatment(p, course, t))
    while i >= 0 and courses.isdisjoint(known.x[i].courses):
        i -= 1
    return known.x[i] if i >= 0 else None


def going_on_until(p: Patient, therapy: TherapyState, t: Time) -> Time:
    """Until when a joined therapy goes on, by its doses up to `t`: the end of the last of its courses."""
    return _until(p, (therapy_with(p, therapy.courses, t) or therapy).courses, t)


def went_on(p: Patient, therapy: TherapyState, since: Time, t: Time) -> bool:
    """Whether a joined therapy went on without a break from one moment to another, by its doses up to the later."""
    joined = therapy_with(p, therapy.courses, t) or therapy
    return joined.unbroken <= since and t <= _until(p, joined.courses, t)


def last_of_course(p: Patient, course: Course, t: Time) -> tuple[Time, Time, int]:
    """When a course of a therapy had its last dose at `t`, until when it goes on by it, and the dose's phase."""
    given = p.given[course[0]]
    i = _last_of(p, course, t)
    return given.t[i], _until(p, frozenset((course,)), t), given.s[i].phase


def days_by(p: Patient, therapy: TherapyState, t: Time) -> int:
    """How many treatment days a joined therapy, as it stands, had had at an earlier moment."""
    return len({(at - therapy.start) // DAY for course in therapy.courses for at in _doses(p, course, t)})


def _until(p: Patient, courses: frozenset[Course], t: Time) -> Time:
    until = ALWAYS
    for course in courses:
        given = p.given[course[0]]
        i = _last_of(p, course, t)
        if i >= 0 and given.s[i].intent == INTENT_TREATMENT:
            over = given.s[i].course_until
            # A dose of another intent begins a new course, and this one is over.
            is_last = i + 1 == len(given.t) or given.t[i + 1] > t
            until = max(until, over if is_last else min(given.t[i + 1] - 1, over))
    return until


def _last_of(p: Patient, course: Course, t: Time) -> int:
    """The index of a course's last dose at `t` among the doses of its drug, or -1."""
    drug, start = course
    given = p.given[drug]
    i = given.last(t)
    if i >= 0 and given.s[i].start != start:
        i = bisect_right(given.s, start, 0, i, key=_start) - 1
    return i if i >= 0 and given.s[i].start == start else -1


def _is_treatment(p: Patient, course: Course, t: Time) -> bool:
    """Whether a course is read as treatment at `t`: the label of a second dose may say that it is prophylaxis."""
    i = _last_of(p, course, t)
    return i >= 0 and p.given[course[0]].s[i].intent == INTENT_TREATMENT


def _extend(p: Patient) -> None:
    since = p.therapy_from
    assert since is not None
    p.therapy_from = None
    del p.therapies[max(1, bisect_left(p.therapies, since, key=_since)) :]
    known = p.therapies[-1]
    first = bisect_left(known.t, since)
    del known.t[first:], known.x[first:]
    del p.treated[bisect_left(p.treated, since) :]
    for t, is_treatment, course in _doses_from(p, since, NEVER):
        if not is_treatment:
            known = _without(p, known, course, t)
            p.therapies.append(known)
            continue
        then = known if known.since < t else p.therapies[bisect_left(p.therapies, t, key=_since) - 1]
        _add(p, known, then, t, course)
        p.treated.append(t)


def _doses_from(p: Patient, since: Time, until: Time) -> list[tuple[Time, bool, Course]]:
    """In order of time: the treatment doses and, with False, the doses that say that a course was none."""
    coming = []
    for drug, given in p.given.items():
        if drug in p.plan.watched:
            for i in range(bisect_left(given.t, since), bisect_left(given.t, until)):
                state = given.s[i]
                if state.intent == INTENT_TREATMENT:
                    coming.append((given.t[i], True, (drug, state.start)))
                elif i and given.s[i - 1].start == state.start and given.s[i - 1].intent == INTENT_TREATMENT:
                    coming.append((given.t[i], False, (drug, state.start)))
    return sorted(coming)


def _without(p: Patient, known: Therapies, course: Course, t: Time) -> Therapies:
    """The entries as they are read from `t` on, where one course turns out to be prophylaxis."""
    first = bisect_left(known.t, course[1])
    anew = Therapies(t, known.t[:first], known.x[:first])
    for at, is_treatment, other in _doses_from(p, course[1], t):
        if is_treatment and _is_treatment(p, other, t):
            _add(p, anew, known, at, other)
    return anew


def _add(p: Patient, known: Therapies, then: Therapies, t: Time, course: Course) -> None:
    known.x.append(_joined(p, known, then, t, course))
    known.t.append(t)


def _joined(p: Patient, known: Therapies, then: Therapies, t: Time, course: Course) -> TherapyState:
    """The joined therapy with one more dose, of a course that may be new to it. `then`: as those before were read."""
    before = known.x[-1] if known.x else None
    if before is not None and course in before.courses:
        period = (t - before.start) // DAY
        # As read until now, the dose goes on with its course, and so with the therapy.
        unbroken = before.unbroken if then is known else _unbroken(p, then, before.courses, course, t)
        days = before.days + (period > before.period)
        return TherapyState(before.start, days, period, t, before.courses, unbroken)
    elder = next((one for one in reversed(known.x) if course in one.courses), None)
    # A course that goes on after it had seemed over makes one of all therapies since the one that it belonged to. One
    # that a later label says was treatment may have begun before the last of them did.
    since = elder.start if elder is not None else course[1] - p.plan.joined_within
    joined = known.x[bisect_left(known.t, since) :]
    others: frozenset[Course] = frozenset().union(*(one.courses for one in joined))
    courses = others | {course}
    start = min(first for _, first in courses)
    periods = {(time - start) // DAY for one in courses for time in _doses(p, one, t)}
    return TherapyState(start, len(periods), max(periods), t, courses, _unbroken(p, then, others, course, t))


def _unbroken(p: Patient, then: Therapies, courses: frozenset[Course], course: Course, t: Time) -> Time:
    """Since when one of some therapies that have become one has gone on, as that was known before `t`; `t` if none did.

    A course that a label at `t` takes back had carried a therapy on until then.
    """
    since, left, i = t, courses, bisect_right(then.t, t)
    while left and i:
        i -= 1
        one = then.x[i]
        if one.last == t and course in one.courses:
            return one.unbroken
        if not left.isdisjoint(one.courses):
            left -= one.courses
            if t - 1 <= _until(p, one.courses, t - 1):
                since = min(since, one.unbroken)
    return since


def _start(state: DoseState) -> Time:
    return state.start


def _since(known: Therapies) -> Time:
    return known.since


def _doses(p: Patient, course: Course, t: Time) -> Iterator[Time]:
    drug, start = course
    given = p.given[drug]
    for i in range(bisect_left(given.t, start), bisect_right(given.t, t)):
        if given.s[i].start == start:
            yield given.t[i]
