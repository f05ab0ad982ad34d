"""Must cidofovir be reduced or stopped, for creatinine above the course's baseline or a new protein in the urine?

Numbers: `rules.cidofovir-reduce-dose`, `rules.cidofovir-stop`; US label.
"""

from fractions import Fraction
from functools import partial

import msgspec

from monitor.at_dose import carried, last_dose, last_dose_text
from monitor.baseline import course_baseline
from monitor.knowledge import Amount, DrugName, RuleData, Span
from monitor.margins import lab_figures
from monitor.patient import AtDose, Baseline, Patient
from monitor.plan import DIALYSIS, TRANSPLANT, Amounts, Kind, Plan
from monitor.times import NEVER, Time, duration_text
from monitor.types import (
    AT_LEAST,
    EQUAL,
    GONE,
    MORE,
    OVER,
    YIELDED,
    Dose,
    Episode,
    Figure,
    Lab,
    Level,
    Rule,
    Verdict,
    Words,
)
from monitor.units import MILLION, rounded_text
from monitor.wording import (
    amount_text,
    cutoff_text,
    dated,
    drugs_text,
    each_once,
    mimics_text,
    newly_given,
    unit_text,
)

REDUCE, STOP = "cidofovir-reduce-dose", "cidofovir-stop"
PROTEIN = "urine-protein"


class RiseData(RuleData):
    """`rules.cidofovir-reduce-dose`."""

    drug: DrugName
    rise: Amount
    creatinine_age: Span
    nephrotoxins: tuple[DrugName, ...]
    nephrotoxins_within: Span
    mimics: tuple[DrugName, ...]
    mimic_first_within: Span
    mimic_not_within: Span


class StopData(RiseData):
    """`rules.cidofovir-stop`."""

    protein_from: Amount


class Rise(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one of the two, ready to judge. `protein_from` belongs to the stop alone."""

    code: str
    data: RiseData
    drug: int
    creatinine: int
    protein: int
    rise: Amounts
    age: Time
    protein_from: Amounts | None


def build_rise(code: str, data: RiseData, plan: Plan) -> list[Rule]:
    """Reduce follows stop and yields to it."""
    protein = plan.analytes[plan.analyte_index[PROTEIN]]
    is_stop = isinstance(data, StopData)
    k = Rise(
        code,
        data,
        plan.drug_index[data.drug],
        plan.creatinine,
        protein.index,
        plan.analytes[plan.creatinine].amounts(data.rise),
        data.creatinine_age.value,
        protein.amounts(data.protein_from) if isinstance(data, StopData) else None,
    )
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "critical") if is_stop else ("", "warning"),
            judged=(doses, plan.creatinine, *((protein.index,) if is_stop else ())),
            needs=((doses,),),
            judge=partial(judge_stop if is_stop else judge_reduce, k),
            say=partial(say_rise, k),
            references=data.references,
            quiet=(TRANSPLANT, DIALYSIS, *(plan.doses(plan.drugs[drug].name) for drug in plan.inheriting)),
            told=tuple(plan.doses(name) for name in (*data.nephrotoxins, *data.mimics)),
            follows=() if is_stop else (STOP,),
            rank=0 if is_stop else 1,
        )
    ]


def latest_creatinine(p: Patient, t: Time, age: Time) -> Lab | None:
    """The latest creatinine of at most that age."""
    series = p.series[p.plan.creatinine]
    i = series.last(t) if series is not None else -1
    return series.x[i] if series is not None and i >= 0 and t - series.t[i] <= age else None


def _risen(k: Rise, p: Patient, at: AtDose, t: Time) -> tuple[int | None, Lab | None, Baseline | None]:
    """Twice the rise above the baseline on creatinine's scale, at least so for `>x`, at most for `<x`; None where it
    cannot be known.
    """
    lab = latest_creatinine(p, t, k.age)
    baseline = course_baseline(p, k.drug, at.state.start, t)
    if baseline is None:
        p.note("no baseline creatinine", t)
        return None, lab, None
    return (2 * lab.canon - baseline.twice if lab is not None else None), lab, baseline


def judge_reduce(k: Rise, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised and ended by the latest creatinine; yields to the stop."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    level = carried(at, level)
    stop = p.latest_episode(STOP, t)
    if stop is not None and (stop.end is None or stop.end > t):
        return YIELDED, NEVER
    risen, lab, _ = _risen(k, p, at, t)
    if risen is None or lab is None:
        return (level, at.over) if level > 0 else (GONE, NEVER)
    limit = 2 * k.rise[lab.unit]
    if _is_number(lab) and risen >= limit:
        return 1, at.over
    # A creatinine above some value that is no rise tells nothing, and one below a value that is more than one.
    ended = lab.mark == EQUAL or (not _is_number(lab) and risen <= limit)
    return (GONE, NEVER) if ended or level <= 0 else (level, at.over)


def judge_stop(k: Rise, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by creatinine or protein; ended with the course alone."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    level = carried(at, level)
    if level > 0:
        return level, at.over
    risen, lab, _ = _risen(k, p, at, t)
    if risen is not None and lab is not None and _is_number(lab) and risen >= 2 * k.rise[lab.unit]:
        return 1, at.over
    return (1, at.over) if _new_protein(k, p, at, t) else (GONE, NEVER)


def _new_protein(k: Rise, p: Patient, at: AtDose, t: Time) -> Lab | None:
    """A urine protein of 3+ or more where the latest before the first dose was not or is absent."""
    series = p.series[k.protein]
    i = series.last(t) if series is not None else -1
    if series is None or i < 0 or k.protein_from is None or not _reaches(series.x[i], k.protein_from):
        return None
    before = series.last(at.state.start)
    if i == before or (before >= 0 and _reaches(series.x[before], k.protein_from)):
        return None
    return series.x[i]


def _is_number(lab: Lab) -> bool:
    """Whether a result is at least its value: `>x` counts as x."""
    return lab.mark in (EQUAL, MORE, AT_LEAST)


def _reaches(lab: Lab, cutoffs: Amounts) -> bool:
    return _is_number(lab) and lab.canon >= cutoffs[lab.unit]


def say_rise(k: Rise, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The rise and its thresholds, or the protein."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    risen, lab, baseline = _risen(k, p, at, t)
    analyte = p.plan.analytes[k.creatinine]
    parts: list[str] = []
    facts: list[Lab] = []
    figures: list[Figure] = []
    title = ""
    if risen is not None and lab is not None and baseline is not None and _is_number(lab):
        unit = unit_text(analyte.unit_names[lab.unit])
        up = rounded_text(risen / 2 / analyte.scale[lab.unit] / MILLION, 2)
        base = rounded_text(baseline.twice / 2 / analyte.scale[baseline.unit] / MILLION, 2)
        parts.append(
            f"{dated(p, lab)}: {up} {unit} above the baseline {base} {unit_text(analyte.unit_names[baseline.unit])}"
            f" ({baseline.how}); threshold {cutoff_text(analyte, k.rise, lab)}"
        )
        title = f"creatinine {up} {unit} above baseline"
        facts += [lab, *baseline.labs]
        below = analyte.scale[lab.unit] * MILLION
        figures += _compared(k, p, Fraction(risen, 2 * below), lab)
    protein = _new_protein(k, p, at, t)
    if protein is not None and k.protein_from is not None:
        limit = cutoff_text(p.plan.analytes[k.protein], k.protein_from, protein)
        parts.append(f"{dated(p, protein)}; threshold {limit}, and not so before the first dose")
        if not title or risen is None or lab is None or risen < 2 * k.rise[lab.unit]:
            title = f"urine protein {amount_text(p, protein)}"
        facts.append(protein)
        figures += lab_figures(p, protein, ("stop from", k.protein_from, "protein_from"))
    parts.append(last_dose_text(p, at))
    others = drugs_text(p, k.data.nephrotoxins, t, k.data.nephrotoxins_within.value)
    if others:
        parts.append(f"Other nephrotoxic drugs within {duration_text(k.data.nephrotoxins_within.value)}: {others}")
    mimics = _mimics(k, p, t)
    if mimics:
        parts.append(mimics_text(p, mimics))
    what = "stop" if k.protein_from is not None else "reduce the dose"
    advice = k.data.advice.get("critical" if k.protein_from is not None else "warning", "")
    name = p.plan.drugs[k.drug].name.capitalize()
    basis: tuple[Lab | Dose, ...] = (*each_once(facts), *mimics)
    return Words(f"{name}: {what}, {title}", ". ".join(parts) + ".", advice, basis, tuple(figures))


def _compared(k: Rise, p: Patient, risen: Fraction, lab: Lab) -> list[Figure]:
    """The rise beside its threshold; the stop ends with the course alone."""
    analyte = p.plan.analytes[k.creatinine]
    limit = Fraction(k.rise[lab.unit], analyte.scale[lab.unit] * MILLION)
    meanings = ("reduce from", "ends below") if k.protein_from is None else ("stop from",)
    what, unit = "creatinine above the course's baseline", unit_text(analyte.unit_names[lab.unit])
    return [Figure(what, risen, limit, unit, meaning, "rise") for meaning in meanings]


def _mimics(k: Rise, p: Patient, t: Time) -> list[Dose]:
    """The first dose of each drug, newly given, that raises creatinine without a change of filtration."""
    within, not_within = k.data.mimic_first_within.value, k.data.mimic_not_within.value
    return newly_given(p, (p.plan.drug_index[name] for name in k.data.mimics), t, within, not_within)


KINDS = {STOP: Kind(StopData, build_rise), REDUCE: Kind(RiseData, build_rise)}
