"""Courses: runs of doses of one antiviral, judged dose by dose from what is known up to each (alerts.md, "Words").

`state_of` is a pure fold: from the state with the dose before to the state with this one. A change between
prophylaxis and treatment begins a new course; without a label, intent is read from the doses and stays fixed once two
doses have shown the interval.
"""

from bisect import bisect_left

from monitor.dosing import dose_size, doses_of, fits_maintenance
from monitor.patient import DoseState, Given, Patient
from monitor.plan import INTENT_PROPHYLAXIS, INTENT_TREATMENT, CourseInfo, DrugInfo
from monitor.times import ALWAYS, DAY, Time
from monitor.types import MAINTENANCE, NO_LABEL, PROPHYLAXIS
from monitor.virology import quantifiable_between

INDUCTION, MAINTAINING, NO_PHASE = range(3)
"""Phases of treatment; prophylaxis has none."""


def restate(p: Patient, drug: int, since: Time) -> Time | None:
    """Judges a drug's courses anew from a time on. Returns from when on its regimen differs, None if it does not."""
    given = p.given[drug]
    p.at_dose.pop(drug, None)
    info = p.plan.drugs[drug]
    p.therapy_from = since if p.therapy_from is None else min(since, p.therapy_from)
    first = bisect_left(given.t, since)
    states, count = given.s, len(given.t)
    old = states[first:]
    if old:
        del states[first:], given.m[first:]
    assert info.course is not None
    per_kg = info.course.dosed_per_kg
    for i in range(first, count):
        given.m.append(dose_size(p, given, i, per_kg))
        states.append(state_of(p, info, given, i))
    if old or first + 1 != count:
        return None if old == states[first:] else since
    after = states[first]
    if first == 0:
        return since
    before = states[first - 1]
    goes_on = (
        before.start == after.start
        and before.intent == after.intent
        and before.phase == after.phase
        and before.current_until >= given.t[first]
        and before.current_until <= after.current_until
    )
    return None if goes_on else given.t[first]


def state_of(p: Patient, drug: DrugInfo, given: Given, i: int) -> DoseState:
    """Where the course stands with dose `i`, whose predecessors are judged."""
    course = drug.course
    assert course is not None
    t = given.t[i]
    label = _label(p, given, i)
    before = given.s[i - 1] if i else None
    intent = _intent(p, course, given, i, label, before)
    if before is None or t - given.t[i - 1] > course.gap or _splits(before, intent):
        before = None
        start = t
        count, days, period = 1, 1, 0
        induction_days, stated = 0, False
    else:
        start = before.start
        count = before.count + 1
        period = (t - start) // DAY
        days = before.days + 1 if period > before.period else before.days
        induction_days, stated = before.induction_days, before.stated
    stated = stated or label != NO_LABEL
    phase, reads_renal = NO_PHASE, False
    if intent == INTENT_TREATMENT:
        if label == MAINTENANCE or (label == NO_LABEL and before is not None and _labelled_maintenance(before)):
            phase = MAINTAINING
        elif course.renal is not None and induction_days >= p.plan.renal.induction_days:
            reads_renal = True
            phase = MAINTAINING if fits_maintenance(p, course.renal, given, i, start) else INDUCTION
        else:
            phase = INDUCTION
        if before is not None and before.phase == NO_PHASE:
            # What began as prophylaxis and was treatment after all.
            induction_days = 1
        if phase == INDUCTION and not (before is not None and _is_induction_day(given, i - 1, start, period)):
            induction_days += 1
    other_phase = ALWAYS
    if before is not None:
        same = (before.phase == MAINTAINING) == (phase == MAINTAINING)
        other_phase = before.other_phase if same else given.t[i - 1]
    interval = _interval(given, i, count, course.usual)
    if course.current_for is not None:
        current = course.current_for
    else:
        current = max(2 * interval, course.current if phase == INDUCTION else course.current_spaced)
    return DoseState(
        start,
        count,
        days,
        period,
        intent,
        stated,
        phase,
        interval,
        t + min(current, course.gap),
        t + course.gap,
        induction_days,
        reads_renal,
        other_phase,
    )


def _label(p: Patient, given: Given, i: int) -> int:
    """What a dose is charted for: of several administrations that are one dose, the newest that says it."""
    label = given.x[i].label
    if label != NO_LABEL or not p.dose_groups:
        return label
    return next((part.label for part in reversed(doses_of(p, given, i)) if part.label != NO_LABEL), NO_LABEL)


def _is_induction_day(given: Given, i: int, start: Time, period: int) -> bool:
    """Whether a treatment day had an induction dose up to dose `i`."""
    while i >= 0 and given.s[i].start == start and given.s[i].period == period:
        if given.s[i].phase != MAINTAINING:
            return True
        i -= 1
    return False


def _labelled_maintenance(before: DoseState) -> bool:
    return before.phase == MAINTAINING and not before.reads_renal


def _splits(before: DoseState, intent: int) -> bool:
    """A change of intent begins a new course, unless a single dose without a label is all there was."""
    return intent != before.intent and (before.stated or before.count > 1)


def _intent(p: Patient, course: CourseInfo, given: Given, i: int, label: int, before: DoseState | None) -> int:
    if label != NO_LABEL:
        return INTENT_PROPHYLAXIS if label == PROPHYLAXIS else INTENT_TREATMENT
    t = given.t[i]
    goes_on = before is not None and t - given.t[i - 1] <= course.gap
    if goes_on and before is not None and (before.stated or before.intent == INTENT_TREATMENT):
        return before.intent
    if course.apart is None or course.up_to is None:
        return course.intent
    if goes_on and t - given.t[i - 1] < course.apart:
        return INTENT_TREATMENT
    size = given.m[i]
    if size is not None and size > course.up_to:
        return INTENT_TREATMENT
    if not goes_on and quantifiable_between(p, t - course.clear, t):
        return INTENT_TREATMENT
    return INTENT_PROPHYLAXIS


def _interval(given: Given, i: int, count: int, usual: Time) -> Time:
    """The usual interval: the median of the course's last four gaps; with fewer than two, the drug's own."""
    if count < 3:
        return usual
    t = given.t
    if count == 3:
        return (t[i] - t[i - 2]) // 2
    if count == 4:
        a, b, c = t[i] - t[i - 1], t[i - 1] - t[i - 2], t[i - 2] - t[i - 3]
        return max(min(a, b), min(max(a, b), c))
    a, b, c, d, e = t[i - 4 : i + 1]
    _, low, high, _ = sorted((b - a, c - b, d - c, e - d))
    return (low + high) // 2
