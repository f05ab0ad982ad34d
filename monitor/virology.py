"""Reading CMV DNA: not detected < below quantification < a number, each series of one LOINC and unit for itself."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import log10

from monitor.patient import Patient, Reading
from monitor.therapy import going_on_until, therapies_at, therapy_going
from monitor.times import Time
from monitor.types import AT_LEAST, AT_MOST, DETECTED, EQUAL, LESS, MORE, NOT_DETECTED, Lab

CLEAR, NUMBER, BARE, PASSED = range(4)
"""How a load is read: not detected or below quantification; a number; a bare "detected"; censored beyond use."""


def is_quantifiable(load: Lab) -> bool:
    """A number, or one above the upper limit of quantification; not a bare `detected`, not below a limit."""
    return load.mark in (EQUAL, MORE, AT_LEAST)


def is_bound(load: Lab) -> bool:
    """Whether a load is known to lie above its number, `>x`: it reaches what x reaches, and is below nothing."""
    return load.mark in (MORE, AT_LEAST)


def quantifiable_between(p: Patient, start: Time, end: Time) -> bool:
    """Whether any quantifiable CMV DNA was collected between two times, both included."""
    series = p.series[p.plan.cmv]
    if series is None:
        return False
    return any(map(is_quantifiable, series.x[bisect_left(series.t, start) : bisect_right(series.t, end)]))


def state_of(p: Patient, load: Lab) -> int:
    """How a load is read. `<x` is below quantification if x is at most 500 in its linear unit."""
    if load.mark == NOT_DETECTED:
        return CLEAR
    if load.mark == DETECTED:
        return BARE
    if load.mark in (LESS, AT_MOST):
        return CLEAR if load.canon <= p.plan.viral.below_quantification[load.unit] else PASSED
    return NUMBER


def readings(p: Patient, t: Time) -> list[Reading]:
    """The loads collected at or before `t`, in order, those beyond use left out."""
    if p.readings is None:
        p.readings = _read(p)
    found = p.readings
    end = len(found)
    while end and found[end - 1].at > t:
        end -= 1
    return found[:end] if end < len(found) else found


def _read(p: Patient) -> list[Reading]:
    series = p.series[p.plan.cmv]
    labs = series.x if series is not None else []
    units: dict[str, list[int]] = {}
    for lab in labs:
        if lab.unit >= 0 and lab.unit not in units.setdefault(lab.loinc, []):
            units[lab.loinc].append(lab.unit)
    numbers = {(lab.loinc, lab.unit, lab.at) for lab in labs if lab.unit >= 0}
    found: list[Reading] = []
    latest: dict[tuple[str, int], Reading] = {}
    logs = p.plan.analytes[p.plan.cmv].logs
    for lab in labs:
        state = state_of(p, lab)
        if state == PASSED:
            continue
        therapy = therapy_going(p, lab.at)
        treated = therapy is not None and lab.at <= going_on_until(p, therapy, lab.at)
        # A result without a number has no unit: it belongs to every series of its LOINC.
        for unit in [lab.unit] if lab.unit >= 0 else units.get(lab.loinc) or [-1]:
            if unit != lab.unit and (lab.loinc, unit, lab.at) in numbers:
                # One of that unit and time is newer (monitor/facts.py).
                continue
            key = (lab.loinc, unit)
            one = Reading(lab, lab.at, state, key, unit in logs, therapy, treated, latest.get(key))
            latest[key] = one
            found.append(one)
    return found


def rises(value: int, base: int, halves: int, *, log: bool) -> int:
    """How a value stands to one that lies so many half decades above a base: -1 below, 0 at it, 1 above."""
    if log:
        a, b = 2 * (value - base), halves * 1_000_000
    else:
        a, b = value * value, base * base * 10**halves
    return (a > b) - (a < b)


def change_text(value: int, base: int, *, log: bool) -> str:
    """How far a load lies from a base: `0.52 log10 below`, `level with`."""
    change = (value - base) / 1_000_000 if log else log10(max(value, 1) / max(base, 1))
    if value == base:
        return "level with"
    return f"{abs(change):.2f} log10 {'above' if change > 0 else 'below'}"


def distance_text(load: Lab, base: Lab, *, log: bool) -> str:
    """How far a load lies from another, as a bound where either is `>x`: `at least 0.52 log10 below`."""
    if is_bound(load) and is_bound(base):
        return "at an unknown distance from"
    change = change_text(load.canon, base.canon, log=log)
    if not is_bound(load) and not is_bound(base):
        return change
    side = "above" if is_bound(load) else "below"
    if load.canon == base.canon:
        return f"{change} or {side}"
    return f"{'at least' if change.endswith(side) else 'at most'} {change}"


def halves_text(halves: int) -> str:
    """A number of half decades in log10."""
    return f"{halves // 2}.5" if halves % 2 else f"{halves // 2}"


def untreated_for(p: Patient, since: Time, until: Time, span: Time) -> bool:
    """Whether no treatment dose was given for longer than a span, somewhere between two times."""
    times = therapies_at(p, until).t
    i = bisect_right(times, since) - 1
    moments = [times[i] if i >= 0 else since, *times[i + 1 : bisect_right(times, until)], until]
    return any(after - before > span for before, after in pairwise(moments))


def in_series(found: list[Reading]) -> Iterator[list[Reading]]:
    """The readings of each series for itself."""
    by_key: dict[tuple[str, int], list[Reading]] = {}
    for one in found:
        by_key.setdefault(one.series, []).append(one)
    yield from by_key.values()


def treating_now(p: Patient, t: Time) -> bool:
    """Whether a treatment course is current."""
    for drug in p.given.keys() & p.plan.watched:
        state = p.state(drug, t)
        if state is not None and state.intent == 2 and t <= state.current_until:
            return True
    return False
