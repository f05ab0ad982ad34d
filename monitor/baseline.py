"""The baseline creatinine of a course: fixed by what came before its first dose, never a rolling value.

Source: KDIGO 2012 for a baseline from before the exposure; the windows are this project's (alerts.md, "Words").
"""

from bisect import bisect_left, bisect_right

from monitor.patient import Baseline, Patient
from monitor.times import Time
from monitor.types import EQUAL, Lab
from monitor.wording import amount_text


def course_baseline(p: Patient, drug: int, start: Time, t: Time) -> Baseline | None:
    """The baseline, at `t`, of the course of a drug that started at `start`; None where no result serves."""
    key = (drug, start)
    if key in p.baselines:
        found = p.baselines[key]
    else:
        # The oldest that has one hands it on.
        found = next(filter(None, (_chosen(p, first) for first in reversed(_chain(p, drug, start)))), None)
        p.baselines[key] = found
        p.baseline_until = max(p.baseline_until, start + p.plan.baseline.first_within)
    # The first result of the first 48 h is none before it is collected.
    return None if found is not None and found.labs[0].at > t else found


def _chain(p: Patient, drug: int, start: Time) -> list[Time]:
    """The first doses, latest first, of the courses, each soon after the one before, that share one baseline."""
    chain = [start]
    course = p.plan.drugs[drug].course
    inherits = course.inherits if course else None
    while inherits is not None:
        latest, which = p.last_dose(p.plan.inheriting, start - 1)
        if which < 0 or start - latest > inherits:
            break
        state = p.state(which, latest)
        assert state is not None
        start = state.start
        chain.append(start)
    return chain


def _chosen(p: Patient, start: Time) -> Baseline | None:
    series = p.series[p.plan.creatinine]
    if series is None:
        return None
    rule = p.plan.baseline
    grafted, kind = p.transplant(start)
    floor = grafted + rule.graft_settles if kind == "solid-organ" else None

    def between(low: Time, high: Time) -> list[Lab]:
        labs = series.x[bisect_left(series.t, low) : bisect_right(series.t, high)]
        return [
            lab
            for lab in labs
            if lab.mark == EQUAL and (floor is None or lab.at >= floor) and not (p.dialysis and p.on_dialysis(lab.at))
        ]

    before = between(start - rule.median_to, start - rule.median_from)
    if before:
        ordered = sorted(before, key=lambda lab: (lab.canon, lab.at))
        low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        middle = (low,) if low is high else (low, high)
        how = f"median of {len(before)} result{'s' * (len(before) > 1)} 7 to 365 d before the first dose"
        if len(before) > 1:
            # Results of an injury among them show: a baseline that they have raised hides the next.
            how += f", {amount_text(p, ordered[0])} to {amount_text(p, ordered[-1])}"
        return Baseline(low.canon + high.canon, high.unit, how, middle)
    recent = between(start - rule.median_from + 1, start)
    if recent:
        low = min(recent, key=lambda lab: (lab.canon, lab.at))
        return Baseline(2 * low.canon, low.unit, "lowest of the 7 d before the first dose", (low,))
    first = between(start + 1, start + rule.first_within)
    if first:
        return Baseline(2 * first[0].canon, first[0].unit, "first result of the course's first 48 h", (first[0],))
    return None
