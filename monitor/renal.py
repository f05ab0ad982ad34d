"""Creatinine clearance by Cockcroft-Gault, in the form that each drug's label uses.

Foscarnet's label uses mL/min/kg, in which body weight cancels; the others use mL/min with body weight as it is. Never
an eGFR in mL/min/1.73 m2. Sources: Cockcroft and Gault 1976; the labels' dosing sections.
"""

from monitor.patient import Clearance, DoseState, Patient, Series
from monitor.plan import INTENT_TREATMENT
from monitor.times import Time, clock_text
from monitor.types import EQUAL, Lab
from monitor.units import MILLION, quotient_text
from monitor.wording import aged, amount_text


def weight_at(p: Patient, t: Time) -> Lab | None:
    """The latest body weight at `t`, at most 90 d old (7 d is fresh; an older one is used with its age said)."""
    series = p.series[p.plan.weight]
    return _recent(series, t, p.plan.renal.weight_age_at_most)


def _recent(series: Series | None, t: Time, age: Time) -> Lab | None:
    """The latest plain number at most so old."""
    if series is None:
        return None
    i = series.last(t)
    while i >= 0 and t - series.t[i] <= age:
        if series.x[i].mark == EQUAL:
            return series.x[i]
        i -= 1
    return None


def clearance(p: Patient, t: Time, per_kg: bool, creatinine_age: Time) -> Clearance | str:
    """The creatinine clearance at `t`, or why it cannot be known.

    The creatinine may be `creatinine_age` old, in microseconds. Under 18 years and on dialysis it is not evaluated.
    """
    asked = (t, per_kg, creatinine_age)
    if p.cleared is not None and p.cleared[0] == asked:
        # Several rules ask at the same dose.
        return p.cleared[1]
    found = _clearance(p, t, per_kg, creatinine_age)
    p.cleared = asked, found
    return found


def _clearance(p: Patient, t: Time, per_kg: bool, creatinine_age: Time) -> Clearance | str:
    constants = p.plan.renal
    age = p.age_at(t)
    if age is None:
        return "no birth date"
    if age < constants.adult_from:
        return f"under {constants.adult_from} years"
    if p.on_dialysis(t):
        return "on dialysis"
    creatinine = _recent(p.series[p.plan.creatinine], t, creatinine_age)
    if creatinine is None or creatinine.canon <= 0:
        return "no recent creatinine"
    weight = None
    if not per_kg:
        weight = weight_at(p, t)
        if weight is None:
            return "no body weight within 90 d"
    known = p.clearances.get(per_kg)
    if (
        known is not None
        and known.creatinine is creatinine
        and known.weight is weight
        and known.age == age
        and known.sex == p.sex
    ):
        return known
    found = p.clearances[per_kg] = _cockcroft_gault(p, age, creatinine, weight)
    return found


def course_clearance(p: Patient, state: DoseState, t: Time, per_kg: bool) -> Clearance | str:
    """The clearance that doses of a course are judged by: in prophylaxis the creatinine may be older."""
    constants = p.plan.renal
    treated = state.intent == INTENT_TREATMENT
    return clearance(p, t, per_kg, constants.creatinine_age if treated else constants.creatinine_age_prophylaxis)


def _cockcroft_gault(p: Patient, age: int, creatinine: Lab, weight: Lab | None) -> Clearance:
    constants = p.plan.renal
    # Both numerator and denominator are whole numbers; millionths of the clearance are their quotient, rounded down.
    size = (constants.age_term - age) * p.plan.mg_per_dl * MILLION * MILLION
    below = constants.divisor * creatinine.canon
    if weight is not None:
        size *= weight.canon
        below *= MILLION * p.plan.kilogram
    high = size // below
    low = size * constants.female_hundredths // (100 * below)
    if p.sex == "male":
        low = high
    elif p.sex == "female":
        high = low
    return Clearance(low, high, creatinine, weight, age, p.sex)


def stale_text(p: Patient, weight: Lab, t: Time) -> str:
    """That a body weight is older at `t` than advised, else nothing."""
    return ", older than advised" if t - weight.at > p.plan.renal.weight_age else ""


def clearance_text(p: Patient, crcl: Clearance, t: Time) -> str:
    """A clearance for a reader, with what it rests on, how old that is, and the creatinine before it: is it steady?"""
    low, high = quotient_text(crcl.low, MILLION, 2), quotient_text(crcl.high, MILLION, 2)
    unit = "mL/min" if crcl.weight is not None else "mL/min/kg"
    size = f"{low} {unit}" if low == high else f"{low} to {high} {unit} (sex not known)"
    latest = crcl.creatinine
    before = _recent(p.series[p.plan.creatinine], latest.at - 1, p.plan.renal.creatinine_age)
    trend = f", before it {amount_text(p, before)} on {clock_text(before.at)}" if before is not None else ""
    basis = [aged(p, latest, t) + trend]
    if crcl.weight is not None:
        basis.append(aged(p, crcl.weight, t) + stale_text(p, crcl.weight, t))
    return f"{size} by Cockcroft-Gault from {', '.join(basis)}, age {p.age_at(t)}"
