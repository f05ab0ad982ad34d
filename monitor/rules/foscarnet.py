"""Is foscarnet safe to go on with at this kidney, and was it infused at a safe rate?

Numbers: `rules.foscarnet-renal-stop`, `rules.foscarnet-infusion-rate`; US label.
"""

from fractions import Fraction
from functools import partial

import msgspec

from monitor.at_dose import going_on, last_dose
from monitor.dosing import doses_of, size_text
from monitor.knowledge import Dosage, DrugName, Number, RuleData
from monitor.patient import AtDose, Clearance, Patient
from monitor.plan import DIALYSIS, PERSON, Kind, Plan
from monitor.renal import clearance_text, course_clearance
from monitor.times import MINUTE, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Episode, Figure, Level, Rule, Verdict, Words
from monitor.units import MILLION, millionths, quotient_text

WARNING, CRITICAL = 1, 2


class RenalStopData(RuleData):
    """`rules.foscarnet-renal-stop`."""

    drug: DrugName
    clearance_below: Number


class RenalStop(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; the clearance in millionths of mL/min/kg."""

    code: str
    data: RenalStopData
    drug: int
    below: int


def build_renal_stop(code: str, data: RenalStopData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = RenalStop(code, data, plan.drug_index[data.drug], millionths(data.clearance_below.value))
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "critical"),
            judged=(doses, plan.creatinine),
            needs=((doses,),),
            judge=partial(judge_renal_stop, k),
            say=partial(say_renal_stop, k),
            references=data.references,
            quiet=(PERSON, DIALYSIS),
        )
    ]


def judge_renal_stop(k: RenalStop, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose and each creatinine while current; an unknown clearance changes nothing."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if unchanged[0] == GONE and t > at.state.current_until:
        return unchanged
    crcl = course_clearance(p, at.state, t, per_kg=True)
    if not isinstance(crcl, Clearance):
        if at.now:
            p.note(f"clearance: {crcl}", t)
        return unchanged
    if crcl.high < k.below:
        return 1, at.over
    if crcl.low < k.below:
        p.note("sex not known: the clearance lies on both sides of the limit", t)
        return unchanged
    return GONE, NEVER


def say_renal_stop(k: RenalStop, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The clearance and what it rests on."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    crcl = course_clearance(p, at.state, t, per_kg=True)
    assert isinstance(crcl, Clearance)
    limit = quotient_text(k.below, MILLION, 2)
    name = p.plan.drugs[k.drug].name.capitalize()
    detail = (
        f"Clearance {clearance_text(p, crcl, t)}; not recommended below {limit} mL/min/kg. Last dose"
        f" {clock_text(at.given.t[at.i])}: {size_text(p, at.given, at.i)}."
    )
    title = f"{name}: clearance {quotient_text(crcl.high, MILLION, 2)} mL/min/kg, below {limit}"
    value = Fraction(crcl.high, MILLION)
    figures = tuple(
        Figure("creatinine clearance", value, Fraction(k.below, MILLION), "mL/min/kg", meaning, "clearance_below")
        for meaning in ("stop below", "ends from")
    )
    return Words(title, detail, k.data.advice.get("critical", ""), (crcl.creatinine, at.dose), figures)


class RateData(RuleData):
    """`rules.foscarnet-infusion-rate`."""

    drug: DrugName
    above: Dosage
    critical_from: Dosage


class Rate(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; rates in millionths of mg/kg/min."""

    code: str
    data: RateData
    drug: int
    above: int
    critical_from: int


def build_rate(code: str, data: RateData, plan: Plan) -> list[Rule]:
    """One rule."""
    above, critical = (plan.dose_amount(one.value)[0] for one in (data.above, data.critical_from))
    k = Rate(code, data, plan.drug_index[data.drug], above, critical)
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "warning", "critical"),
            judged=(doses,),
            needs=((doses,),),
            judge=partial(judge_rate, k),
            say=partial(say_rate, k),
            references=data.references,
            quiet=(plan.weight,),
        )
    ]


def judge_rate(k: Rate, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each infusion whose start and end are charted."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if not at.now:
        return unchanged
    rate = _rate(p, at)
    if rate is None:
        if _length(p, at) > 0:
            p.note("no body weight, or a dose of unknown amount", t)
        return unchanged
    size, per = rate
    if size >= k.critical_from * per:
        return CRITICAL, at.over
    return (WARNING, at.over) if size > k.above * per else (GONE, NEVER)


def _length(p: Patient, at: AtDose) -> Time:
    return max(dose.end for dose in doses_of(p, at.given, at.i)) - at.given.t[at.i]


def _rate(p: Patient, at: AtDose) -> tuple[int, int] | None:
    """Millionths of mg/kg a minute, as numerator and denominator: fractions compare slowly. None without both times,
    for an injection, or without a body weight.
    """
    size, length = at.given.m[at.i], _length(p, at)
    if size is None or length <= 0 or at.dose.route not in (None, "iv"):
        return None
    return size.numerator * MINUTE, size.denominator * length


def say_rate(k: Rate, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The rate and what it is computed from."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    rate = _rate(p, at)
    assert rate is not None
    shown = f"{quotient_text(rate[0], rate[1] * MILLION, 2)} mg/kg/min"
    limits = [f"{quotient_text(one, MILLION, 1)} mg/kg/min" for one in (k.above, k.critical_from)]
    name = p.plan.drugs[k.drug].name.capitalize()
    detail = (
        f"Infusion of {clock_text(at.given.t[at.i])}: {size_text(p, at.given, at.i)} in"
        f" {duration_text(_length(p, at))}, {shown} (warning above {limits[0]}, critical from {limits[1]})."
    )
    advice = k.data.advice.get("critical" if level == CRITICAL else "warning", "")
    exact = Fraction(rate[0], rate[1] * MILLION)
    figures = (
        Figure("infusion rate", exact, Fraction(k.above, MILLION), "mg/kg/min", "warning above", "above"),
        Figure(
            "infusion rate", exact, Fraction(k.critical_from, MILLION), "mg/kg/min", "critical from", "critical_from"
        ),
    )
    return Words(f"{name} infused at {shown}", detail, advice, tuple(doses_of(p, at.given, at.i)), figures)


KINDS = {
    "foscarnet-renal-stop": Kind(RenalStopData, build_renal_stop),
    "foscarnet-infusion-rate": Kind(RateData, build_rate),
}
