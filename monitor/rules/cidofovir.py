"""Was this dose of cidofovir right: not contraindicated, the tests before it drawn, its size and interval kept?

Numbers: `rules.cidofovir-contraindicated`, `rules.cidofovir-predose-labs-missing`, `rules.cidofovir-dose`; US label.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import msgspec

from monitor.at_dose import going_on, last_dose, last_dose_text, waits_for_charting
from monitor.dosing import size_text
from monitor.knowledge import Amount, AnalyteName, Dosage, DrugName, Number, RuleData, Span
from monitor.margins import lab_figures
from monitor.patient import AtDose, Clearance, Patient
from monitor.plan import DIALYSIS, PERSON, Amounts, Kind, Plan
from monitor.renal import clearance, clearance_text
from monitor.rules.cidofovir_rise import PROTEIN, REDUCE
from monitor.times import DAY, HOUR, NEVER, Time, duration_text
from monitor.types import AT_LEAST, EQUAL, GONE, MORE, OVER, Dose, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.units import MILLION, millionths, rounded_text
from monitor.wording import aged, amount_text, cutoff_text, each_once

WARNING, CRITICAL = 1, 2


# Contraindicated ---------------------------------------------------------------------------------------------------


class ContraindicatedData(RuleData):
    """`rules.cidofovir-contraindicated`."""

    drug: DrugName
    creatinine_above: Amount
    clearance_up_to: Number
    protein_from: Amount


class Contraindicated(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; the clearance in millionths of mL/min."""

    code: str
    data: ContraindicatedData
    drug: int
    creatinine_above: Amounts
    clearance_up_to: int
    protein: int
    protein_from: Amounts


def build_contraindicated(code: str, data: ContraindicatedData, plan: Plan) -> list[Rule]:
    """One rule."""
    protein = plan.analytes[plan.analyte_index[PROTEIN]]
    k = Contraindicated(
        code,
        data,
        plan.drug_index[data.drug],
        plan.analytes[plan.creatinine].amounts(data.creatinine_above),
        millionths(data.clearance_up_to.value),
        protein.index,
        protein.amounts(data.protein_from),
    )
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "critical"),
            judged=(doses,),
            needs=((doses,),),
            judge=partial(judge_contraindicated, k),
            say=partial(say_contraindicated, k),
            references=data.references,
            quiet=(plan.creatinine, protein.index, plan.weight, PERSON, DIALYSIS),
        )
    ]


def judge_contraindicated(k: Contraindicated, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose anew."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    if not at.now:
        return going_on(at, level)
    reasons, unknown = _reasons(k, p, t)
    if reasons:
        return 1, at.over
    if unknown:
        p.note(unknown, t)
    return GONE, NEVER


def _reasons(k: Contraindicated, p: Patient, t: Time) -> tuple[list[tuple[str, Lab]], str]:
    """What speaks against the dose, each with its result; and what could not be known."""
    found: list[tuple[str, Lab]] = []
    creatinine = _latest(p, p.plan.creatinine, t)
    if creatinine is not None and _exceeds(creatinine, k.creatinine_above):
        analyte = p.plan.analytes[p.plan.creatinine]
        found.append(
            (f"{aged(p, creatinine, t)}, limit {cutoff_text(analyte, k.creatinine_above, creatinine)}", creatinine)
        )
    crcl = clearance(p, t, per_kg=False, creatinine_age=p.plan.renal.creatinine_age)
    unknown = ""
    if isinstance(crcl, Clearance):
        if crcl.high <= k.clearance_up_to:
            limit = rounded_text(k.clearance_up_to / MILLION, 1)
            found.append((f"clearance {clearance_text(p, crcl, t)}, limit {limit} mL/min", crcl.creatinine))
        elif crcl.low <= k.clearance_up_to:
            unknown = "sex not known: the clearance lies on both sides of the limit"
    elif crcl != "on dialysis":
        unknown = f"clearance: {crcl}"
    protein = _latest(p, k.protein, t)
    if protein is not None and protein.canon >= k.protein_from[protein.unit]:
        limit = cutoff_text(p.plan.analytes[k.protein], k.protein_from, protein)
        found.append((f"{aged(p, protein, t)}, limit {limit}", protein))
    return found, unknown


def _exceeds(lab: Lab, limits: Amounts) -> bool:
    """Whether a result lies above a limit: `>x` does where x is the limit itself."""
    limit = limits[lab.unit]
    return lab.canon > limit or (lab.mark == MORE and lab.canon == limit)


def _latest(p: Patient, analyte: int, t: Time) -> Lab | None:
    """The latest result, of whatever age, if it can reach a limit."""
    series = p.series[analyte]
    i = series.last(t) if series is not None else -1
    if series is None or i < 0 or series.x[i].mark not in (EQUAL, MORE, AT_LEAST):
        return None
    return series.x[i]


def say_contraindicated(k: Contraindicated, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Every reason, with its limit."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    reasons, unknown = _reasons(k, p, at.given.t[at.i])
    parts = [text[0].upper() + text[1:] for text, _ in reasons]
    if unknown:
        parts.append(f"Not judged: {unknown}")
    parts.append(last_dose_text(p, at))
    name = p.plan.drugs[k.drug].name.capitalize()
    facts: tuple[Lab | Dose, ...] = (*each_once(lab for _, lab in reasons), at.dose)
    advice, figures = k.data.advice.get("critical", ""), _limits(k, p, at.given.t[at.i])
    return Words(f"{name} given although contraindicated", ". ".join(parts) + ".", advice, facts, figures)


def _limits(k: Contraindicated, p: Patient, t: Time) -> Iterator[Figure]:
    """What was known at the dose, beside each limit."""
    creatinine, protein = _latest(p, p.plan.creatinine, t), _latest(p, k.protein, t)
    if creatinine is not None:
        yield from lab_figures(p, creatinine, ("contraindicated above", k.creatinine_above, "creatinine_above"))
    crcl = clearance(p, t, per_kg=False, creatinine_age=p.plan.renal.creatinine_age)
    if isinstance(crcl, Clearance):
        limit = Fraction(k.clearance_up_to, MILLION)
        value = Fraction(crcl.high, MILLION)
        yield Figure("creatinine clearance", value, limit, "mL/min", "contraindicated up to", "clearance_up_to")
    if protein is not None:
        yield from lab_figures(p, protein, ("contraindicated from", k.protein_from, "protein_from"))


# Tests before a dose -----------------------------------------------------------------------------------------------


class PredoseData(RuleData):
    """`rules.cidofovir-predose-labs-missing`."""

    drug: DrugName
    within: Span
    tests: tuple[tuple[AnalyteName, ...], ...]


class Predose(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    data: PredoseData
    drug: int
    within: Time
    tests: tuple[tuple[int, ...], ...]


def build_predose(code: str, data: PredoseData, plan: Plan) -> list[Rule]:
    """One rule."""
    tests = tuple(tuple(plan.analyte_index[one] for one in group) for group in data.tests)
    k = Predose(data, plan.drug_index[data.drug], data.within.value, tests)
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "warning"),
            judged=(doses,),
            needs=((doses,),),
            judge=partial(judge_predose, k),
            say=partial(say_predose, k),
            references=data.references,
            quiet=tuple(one for group in tests for one in group),
        )
    ]


def judge_predose(k: Predose, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose anew, once its charting has had time."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if not at.now:
        return unchanged
    if waits_for_charting(p, at):
        return unchanged
    return (1, at.over) if _missing(k, p, t) else (GONE, NEVER)


def _missing(k: Predose, p: Patient, t: Time) -> list[tuple[str, Lab | None]]:
    """Each test that is missing, with its latest result."""
    missing = []
    for group in k.tests:
        latest: Lab | None = None
        for analyte in group:
            series = p.series[analyte]
            i = series.last(t) if series is not None else -1
            if series is not None and i >= 0 and (latest is None or series.t[i] > latest.at):
                latest = series.x[i]
        if latest is None or t - latest.at > k.within:
            missing.append((" or ".join(p.plan.analytes[analyte].name for analyte in group), latest))
    return missing


def _hours(span: Time) -> Fraction:
    return Fraction(span, HOUR)


def say_predose(k: Predose, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which tests were not collected before which dose."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    t = at.given.t[at.i]
    missing = _missing(k, p, t)
    names = ", ".join(name for name, _ in missing)
    lasts = ", ".join(
        f"{name} ({f'last {amount_text(p, lab)}, {duration_text(t - lab.at)} old' if lab else 'none on file'})"
        for name, lab in missing
    )
    within = duration_text(k.within)
    detail = f"{last_dose_text(p, at)}. Not collected in the {within} before: {lasts}."
    title = f"{p.plan.drugs[k.drug].name.capitalize()} given without {names} of the {within} before"
    figures = tuple(
        Figure(f"age of {name} at the dose", _hours(t - lab.at), _hours(k.within), "h", "at most", "within")
        for name, lab in missing
        if lab is not None
    )
    return Words(title, detail, k.data.advice.get("warning", ""), (at.dose,), figures)


# Dose and interval -------------------------------------------------------------------------------------------------


class DoseData(RuleData):
    """`rules.cidofovir-dose`."""

    drug: DrugName
    above: Dosage
    critical_above: Dosage
    small_up_to: Dosage
    interval: Span
    later_interval: Span
    reduced_above: Dosage


class DoseNumbers(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; amounts in millionths of mg/kg."""

    code: str
    data: DoseData
    drug: int
    above: int
    critical_above: int
    small: int
    interval: Time
    later_interval: Time
    reduced_above: int


def build_dose(code: str, data: DoseData, plan: Plan) -> list[Rule]:
    """One rule."""

    def amount(dosage: Dosage) -> int:
        return plan.dose_amount(dosage.value)[0]

    k = DoseNumbers(
        code,
        data,
        plan.drug_index[data.drug],
        amount(data.above),
        amount(data.critical_above),
        amount(data.small_up_to),
        data.interval.value,
        data.later_interval.value,
        amount(data.reduced_above),
    )
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "warning", "critical"),
            judged=(doses,),
            needs=((doses,),),
            judge=partial(judge_dose, k),
            say=partial(say_dose, k),
            references=data.references,
            quiet=(plan.weight,),
            follows=(REDUCE,),
            rank=2,
        )
    ]


def judge_dose(k: DoseNumbers, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose anew."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    if not at.now:
        return going_on(at, level)
    if at.given.m[at.i] is None:
        p.note("no body weight, or a dose of unknown amount", t)
        return going_on(at, level)
    faults = _faults(k, p, at)
    if not faults:
        return GONE, NEVER
    return max(severity for severity, _ in faults), at.over


def _faults(k: DoseNumbers, p: Patient, at: AtDose) -> list[tuple[Level, str]]:
    size, t = at.given.m[at.i], at.given.t[at.i]
    assert size is not None
    found: list[tuple[Level, str]] = []
    if size > k.critical_above:
        found.append((CRITICAL, f"above {_per_kg(k.critical_above)}"))
    elif size > k.above:
        found.append((WARNING, f"above {_per_kg(k.above)}"))
    since = t - at.given.t[at.i - 1] if at.i else NEVER
    if size > k.small and since < k.interval:
        found.append((CRITICAL, f"{duration_text(since)} after the last dose, at least {duration_text(k.interval)}"))
    elif size > k.small and at.state.count >= 3 and since < k.later_interval:
        found.append(
            (
                WARNING,
                (
                    f"{duration_text(since)} after the last dose,"
                    f" at least {duration_text(k.later_interval)} from the third on"
                ),
            )
        )
    if size > k.reduced_above:
        reduce = p.latest_episode(REDUCE, t)
        if reduce is not None and (reduce.end is None or reduce.end > t):
            found.append((WARNING, f"above {_per_kg(k.reduced_above)} after a rise of creatinine"))
    return found


def _per_kg(size: int) -> str:
    return f"{rounded_text(size / MILLION, 2)} mg/kg"


def say_dose(k: DoseNumbers, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """What is wrong with the dose or its interval."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    faults = _faults(k, p, at)
    name = p.plan.drugs[k.drug].name.capitalize()
    wrong = "; ".join(text for _, text in faults)
    title = f"{name} {size_text(p, at.given, at.i, weighed=False)}: {wrong}"
    detail = f"{last_dose_text(p, at)}: {wrong}."
    advice = k.data.advice.get("critical" if level == CRITICAL else "warning", "")
    before = (at.given.x[at.i - 1],) if at.i else ()
    return Words(title, detail, advice, (at.dose, *before), tuple(_compared(k, p, at)))


def _compared(k: DoseNumbers, p: Patient, at: AtDose) -> Iterator[Figure]:
    """The dose beside its limits, and its distance from the dose before it."""
    size, t = Fraction(at.given.m[at.i] or 0) / MILLION, at.given.t[at.i]
    limits = [("warning above", k.above, "above"), ("critical above", k.critical_above, "critical_above")]
    reduce = p.latest_episode(REDUCE, t)
    if reduce is not None and (reduce.end is None or reduce.end > t):
        limits.append(("warning above, after a rise of creatinine", k.reduced_above, "reduced_above"))
    for meaning, limit, number in limits:
        yield Figure("dose", size, Fraction(limit, MILLION), "mg/kg", meaning, number)
    if at.i and size * MILLION > k.small:
        what, since = "time since the dose before", Fraction(t - at.given.t[at.i - 1], DAY)
        yield Figure(what, since, Fraction(k.interval, DAY), "d", "critical below", "interval")
        if at.state.count >= 3:
            yield Figure(what, since, Fraction(k.later_interval, DAY), "d", "warning below", "later_interval")


KINDS = {
    "cidofovir-contraindicated": Kind(ContraindicatedData, build_contraindicated),
    "cidofovir-predose-labs-missing": Kind(PredoseData, build_predose),
    "cidofovir-dose": Kind(DoseData, build_dose),
}
