"""Does the dose fit the kidney? The doses of the last hours against the label's table at this clearance.

Numbers: the drugs' own tables, `rules.dose-above-renal-band` and `rules.dose-below-renal-band`.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import msgspec

from monitor.at_dose import going_on, last_dose
from monitor.courses import INDUCTION, MAINTAINING, NO_PHASE
from monitor.dosing import band_at, bands_near, number_text, size_text, sum_of_doses
from monitor.knowledge import DrugName, Number, RuleData, Sourced, Span
from monitor.patient import AtDose, Clearance, Patient, Size
from monitor.plan import DIALYSIS, INTENT_TREATMENT, PERSON, BandInfo, Kind, Plan, RenalInfo
from monitor.renal import clearance_text, course_clearance
from monitor.times import DAY, HOUR, NEVER, Time, clock_text, duration_text, parse_duration
from monitor.types import GONE, OVER, Dose, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.units import MILLION, decimal_text, parse_quantity, quotient_text, rounded_text
from monitor.virology import quantifiable_between

WARNING, CRITICAL = 1, 2


class Told(Sourced):
    """Advice with its source."""

    value: str


class AboveData(RuleData):
    """`rules.dose-above-renal-band`. `no_tablets`: what to give below the tablets' last band."""

    drugs: tuple[DrugName, ...]
    window: Span
    window_48h: Span
    window_longer: Span
    jitter: Span
    critical_times: Number
    spaced: Span
    no_tablets: Told


class Above(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge."""

    code: str
    data: AboveData
    drug: int
    renal: RenalInfo
    spoken: dict[Time, str]
    window: Time
    window_48h: Time
    window_longer: Time
    critical_times: int
    spaced: Time
    limits: dict[tuple[int, int], "Limit"]


EITHER = -1
"""Until a second dose shows the interval, a dose may be of either phase."""


class Limit(msgspec.Struct, gc=False, frozen=True):
    """What a band permits in a window, in millionths of mg or mg/kg.

    The window of an interval of more than 48 h ends before two doses nominally 72 h apart, each of them off by the
    jitter, could both lie in it: Monday and Thursday, or Friday and Monday.
    """

    amount: int
    window: Time
    dose: int
    every: Time


def build_above(code: str, data: AboveData, plan: Plan) -> list[Rule]:
    """A rule for each drug with a table."""
    rules = []
    for name in data.drugs:
        course = plan.drugs[plan.drug_index[name]].course
        if course is None or course.renal is None:
            continue
        k = Above(
            code,
            data,
            plan.drug_index[name],
            course.renal,
            _spoken(plan, name),
            data.window.value,
            data.window_48h.value,
            data.window_longer.value - 2 * data.jitter.value - 1,
            int(data.critical_times.value),
            data.spaced.value,
            {},
        )
        for band in course.renal.bands:
            induction = [_limit(k, dose, every) for dose, every in band.induction]
            maintenance = [_limit(k, dose, every) for dose, every in band.maintenance]
            for phase, columns in (
                (EITHER, induction + maintenance),
                (INDUCTION, induction),
                (MAINTAINING, maintenance),
                (NO_PHASE, maintenance),
            ):
                k.limits[band.bound, phase] = max(columns, key=lambda limit: limit.amount)
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning", "critical"),
                judged=(plan.doses(name), plan.creatinine),
                needs=((plan.doses(name),),),
                judge=partial(judge_above, k),
                say=partial(say_above, k),
                references=data.references,
                quiet=(plan.courses(name), plan.weight, PERSON, DIALYSIS),
            )
        )
    return rules


def _spoken(plan: Plan, name: str) -> dict[Time, str]:
    """How a label says intervals that are not so many hours: twice weekly."""
    renal = plan.knowledge.drugs[name].renal
    assert renal is not None
    return {parse_duration(every): words for every, words in renal.spoken.items()}


def _every_text(spoken: dict[Time, str], every: Time) -> str:
    return spoken.get(every) or f"every {every // HOUR} h"


def judge_above(k: Above, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose, and at each creatinine while current; what cannot be judged changes nothing."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    if not at.now and (t > at.state.current_until or not _creatinine_now(p, t)):
        return going_on(at, level)
    crcl = course_clearance(p, at.state, t, k.renal.per_kg)
    if not isinstance(crcl, Clearance):
        p.note(f"clearance: {crcl}", t)
        return going_on(at, level)
    found = _level_above(k, p, at, crcl.low)
    if found is None:
        p.note("no body weight, or a dose of unknown amount", t)
        return going_on(at, level)
    if crcl.low != crcl.high and found != _level_above(k, p, at, crcl.high):
        p.note("sex not known: the clearance lies in two bands", t)
        return going_on(at, level)
    return (found, at.over) if found > 0 else (GONE, NEVER)


def _creatinine_now(p: Patient, t: Time) -> bool:
    series = p.series[p.plan.creatinine]
    i = series.last(t) if series is not None else -1
    return series is not None and i >= 0 and series.t[i] == t


def _level_above(k: Above, p: Patient, at: AtDose, crcl: int) -> Level | None:
    """The level at one clearance; None where a dose of the window is of unknown size."""
    if k.renal.tablet is None and band_at(k.renal, crcl) is None:
        # An infusion below its last band has a rule of its own.
        return GONE
    bands = bands_near(k.renal, crcl, p.plan.renal.near_hundredths)
    if not bands:
        # Tablets are not for this kidney at all.
        return CRITICAL
    least = CRITICAL
    for band in bands:
        level = _level_in(k, p, at, band)
        if level is None or level == GONE:
            return level
        least = min(least, level)
    return least


def _level_in(k: Above, p: Patient, at: AtDose, band: BandInfo) -> Level | None:
    """The level by one band."""
    given, i = at.given, at.i
    limit = permitted(k, at, band)
    total = sum_of_doses(given, i, given.t[i] - limit.window - 1)
    if total is None:
        return None
    if k.renal.tablet is not None:
        if total < limit.amount + k.renal.tablet:
            return GONE
    elif total.numerator * 100 <= limit.amount * (100 + p.plan.renal.tolerance_hundredths) * total.denominator:
        return GONE
    if total.numerator < k.critical_times * limit.amount * total.denominator:
        return WARNING
    first = _first_in(at, limit)
    if first == i:
        return WARNING
    if k.renal.tablet is not None and _single_tablets(k, given.t[first : i + 1], given.m[first : i + 1]):
        return WARNING
    return CRITICAL


def _first_in(at: AtDose, limit: Limit) -> int:
    """The first dose of the window that ends with the last dose."""
    first = at.i
    while first > 0 and at.given.t[first - 1] >= at.given.t[at.i] - limit.window:
        first -= 1
    return first


def _single_tablets(k: Above, times: list[Time], sizes: list[Size | None]) -> bool:
    tablet = k.renal.tablet
    assert tablet is not None
    small = all(size is not None and size <= tablet for size in sizes)
    return small and all(b - a >= k.spaced for a, b in itertools.pairwise(times))


def permitted(k: Above, at: AtDose, band: BandInfo) -> Limit:
    """The most that a band permits: by the course's phase, or by either phase until a second dose."""
    return k.limits[band.bound, EITHER if at.state.count == 1 else at.state.phase]


def _limit(k: Above, dose: int, every: Time) -> Limit:
    window = k.window if every <= DAY else k.window_48h if every <= 2 * DAY else k.window_longer
    return Limit(dose * -(-window // every), window, dose, every)


def say_above(k: Above, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """What was given, what the band permits, and the clearance."""
    at = last_dose(p, k.drug, t)
    crcl = course_clearance(p, at.state, t, k.renal.per_kg) if at is not None else ""
    assert at is not None
    assert isinstance(crcl, Clearance)
    bands = bands_near(k.renal, crcl.high, p.plan.renal.near_hundredths)
    band = min(bands, key=lambda band: _level_in(k, p, at, band) or GONE, default=None)
    name = p.plan.drugs[k.drug].name.capitalize()
    given, i = at.given, at.i
    parts = [f"Dose of {clock_text(given.t[i])}: {size_text(p, given, i)}"]
    if band is None:
        title, advice = f"{name}: not recommended as tablets at this clearance", k.data.no_tablets.value
        figures = _no_tablets(k, p, crcl)
    else:
        limit = permitted(k, at, band)
        first = _first_in(at, limit)
        total = sum_of_doses(given, i, given.t[first] - 1) or 0
        unit = "mg/kg" if _per_kg(p, k.drug) else "mg"
        share = quotient_text(total.numerator * 100, total.denominator * limit.amount, 0)
        parts.append(
            f"{i - first + 1} dose{'s' * (i > first)} of the last {duration_text(limit.window + 1)}:"
            f" {number_text(total)} {unit}, {share} % of the {number_text(limit.amount)} {unit} that"
            f" {_permits(k, p, at, band, crcl, unit)}"
        )
        title = f"{name}: {share} % of the dose permitted at this clearance"
        advice = k.data.advice.get("critical" if level == CRITICAL else "warning", "")
        figures = _sums(k, p, limit, total, unit)
    parts.append(f"Clearance {clearance_text(p, crcl, t)}")
    return Words(title, ". ".join(parts) + ".", advice, (*_basis(crcl), at.dose), figures)


def _permits(k: Above, p: Patient, at: AtDose, band: BandInfo, crcl: Clearance, unit: str) -> str:
    """What permits so much: the label's band, or the next one up while the clearance is near its bound."""
    here = band_at(k.renal, crcl.high)
    regimen = _regimen(k, permitted(k, at, band), unit)
    if here is band:
        return f"the label permits ({regimen})"
    index = "mL/min/kg" if k.renal.per_kg else "mL/min"
    label = _regimen(k, permitted(k, at, here), unit) if here is not None else "no tablets"
    return (
        f"are allowed ({regimen}: the band from {decimal_text(band.bound)} {index}, for the clearance is less than"
        f" {p.plan.renal.near_hundredths} % below it; label at {quotient_text(crcl.high, MILLION, 2)}: {label})"
    )


def _regimen(k: Above, limit: Limit, unit: str) -> str:
    return f"{decimal_text(limit.dose)} {unit} {_every_text(k.spoken, limit.every)}"


def _sums(k: Above, p: Patient, limit: Limit, total: Size, unit: str) -> Iterator[Figure]:
    """The sum of the doses beside what is too much, and what is critical."""
    what = f"doses of the last {duration_text(limit.window + 1)}"
    given, allowed = Fraction(total) / MILLION, Fraction(limit.amount, MILLION)
    window = {k.window: "window", k.window_48h: "window_48h"}.get(limit.window, "window_longer")
    if k.renal.tablet is not None:
        least, meaning = allowed + Fraction(k.renal.tablet, MILLION), "warning from, a tablet over"
    else:
        over = p.plan.renal.tolerance_hundredths
        least, meaning = allowed * (100 + over) / 100, f"warning above, {over} % over"
    yield Figure(what, given, least, unit, meaning, window)
    critical = k.critical_times * allowed
    yield Figure(what, given, critical, unit, "critical from, in several doses", "critical_times")


def _no_tablets(k: Above, p: Patient, crcl: Clearance) -> Iterator[Figure]:
    least = Fraction(k.renal.bands[-1].bound * (100 - p.plan.renal.near_hundredths), 100 * MILLION)
    value = Fraction(crcl.high, MILLION)
    yield Figure("creatinine clearance", value, least, "mL/min", "no tablets up to", "no_tablets")


def _basis(crcl: Clearance) -> tuple[Lab, ...]:
    return (crcl.creatinine,) if crcl.weight is None else (crcl.creatinine, crcl.weight)


def _per_kg(p: Patient, drug: int) -> bool:
    course = p.plan.drugs[drug].course
    return course is not None and course.dosed_per_kg


# Too little --------------------------------------------------------------------------------------------------------


class PreemptiveShare(Sourced):
    """The pre-emptive regimen of a drug and the label's, whose quotient scales its induction columns."""

    drug: DrugName
    value: tuple[str, str]


class BelowData(RuleData):
    """`rules.dose-below-renal-band`."""

    drugs: tuple[DrugName, ...]
    window: Span
    window_maintenance: Span
    jitter: Span
    share: Number
    quantifiable_within: Span
    preemptive_share: PreemptiveShare


class Below(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge."""

    code: str
    data: BelowData
    drug: int
    renal: RenalInfo
    spoken: dict[Time, str]
    window: Time
    window_maintenance: Time
    share: Fraction
    quantifiable_within: Time
    induction_share: Fraction
    limits: dict[tuple[int, int], tuple[int, int, Time]]
    """By band and phase: the limit's numerator and denominator, and how far back doses count."""


def build_below(code: str, data: BelowData, plan: Plan) -> list[Rule]:
    """A rule for each drug with a table."""
    part, whole = (parse_quantity(text).value for text in data.preemptive_share.value)
    rules = []
    for name in data.drugs:
        course = plan.drugs[plan.drug_index[name]].course
        if course is None or course.renal is None:
            continue
        k = Below(
            code,
            data,
            plan.drug_index[name],
            course.renal,
            _spoken(plan, name),
            data.window.value,
            data.window_maintenance.value,
            Fraction(data.share.value),
            data.quantifiable_within.value,
            Fraction(part) / Fraction(whole) if name == data.preemptive_share.drug else Fraction(1),
            {},
        )
        for band in course.renal.bands:
            for phase in (INDUCTION, MAINTAINING):
                limit = (k.share * _least(k, band, phase)).as_integer_ratio()
                k.limits[band.bound, phase] = (*limit, _reach(k, band, phase))
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning"),
                judged=(plan.doses(name),),
                needs=((plan.doses(name),),),
                judge=partial(judge_below, k),
                say=partial(say_below, k),
                references=data.references,
                quiet=(plan.courses(name), plan.creatinine, plan.weight, PERSON, DIALYSIS, plan.cmv),
            )
        )
    return rules


def judge_below(k: Below, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose of a treatment course that is old enough; what cannot be judged changes nothing."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    if not at.now or at.state.intent != INTENT_TREATMENT:
        return going_on(at, level)
    window = _window(k, at.state.phase)
    # All doses of the window are to be of the course's present phase. A first dose that was read as prophylaxis before
    # the second said that the course is treatment is one of induction.
    if max(at.state.start, at.state.other_phase + 1) > t - window:
        return going_on(at, level)
    if not quantifiable_between(p, at.state.start - k.quantifiable_within, t):
        return going_on(at, level)
    crcl = course_clearance(p, at.state, t, k.renal.per_kg)
    if not isinstance(crcl, Clearance):
        p.note(f"clearance: {crcl}", t)
        return going_on(at, level)
    found = _is_too_little(k, p, at, crcl.low)
    other = _is_too_little(k, p, at, crcl.high) if crcl.low != crcl.high else found
    if found is None or other is None:
        p.note("no body weight, or a dose of unknown amount", t)
        return going_on(at, level)
    if found != other:
        p.note("sex not known: the clearance lies in two bands", t)
        return going_on(at, level)
    return (1, at.over) if found else (GONE, NEVER)


def _is_too_little(k: Below, p: Patient, at: AtDose, crcl: int) -> bool | None:
    """Whether the doses are too little at one clearance; None where one of them is of unknown size."""
    band, phase = _band_below(k, p, crcl), at.state.phase
    if band is None:
        return None if _given_in(at, _window(k, phase)) is None else False
    above, below, reach = k.limits[band.bound, phase]
    total = _given_in(at, reach)
    return None if total is None else total.numerator * below < above * total.denominator


def _given_in(at: AtDose, reach: Time) -> Size | None:
    """The doses so far back, all of the course's present phase."""
    begins = at.given.t[at.i] - reach
    return sum_of_doses(at.given, at.i, max(begins, at.state.start, at.state.other_phase + 1) - 1)


def _reach(k: Below, band: BandInfo, phase: int) -> Time:
    """How far back doses count. Where the label doses less often than every 48 h, two right doses nominally 72 h apart
    (Friday and Monday) both do in induction, however late the first was and early the second.
    """
    rare = phase == INDUCTION and min(every for _, every in band.induction) > 2 * DAY
    return _window(k, phase) + (2 * k.data.jitter.value if rare else 0)


def _window(k: Below, phase: int) -> Time:
    return k.window if phase == INDUCTION else k.window_maintenance


def _band_below(k: Below, p: Patient, crcl: int) -> BandInfo | None:
    """A clearance less than a tenth above a band's bound counts as the band below it."""
    near = 100 + p.plan.renal.near_hundredths
    for band in k.renal.bands:
        if crcl * 100 >= band.bound * near:
            return band
    return None


def _least(k: Below, band: BandInfo, phase: int) -> Fraction:
    """The least that the label asks for in the phase's window."""
    if phase == INDUCTION:
        return min(Fraction(dose * k.window, every) for dose, every in band.induction) * k.induction_share
    return min(Fraction(dose * k.window_maintenance, every) for dose, every in band.maintenance)


def _least_text(k: Below, band: BandInfo, phase: int, unit: str) -> str:
    """The column that asks for least: `450 mg every 12 h`; for foscarnet's induction the share of it that counts."""
    dose, every = min(
        band.induction if phase == INDUCTION else band.maintenance, key=lambda column: column[0] / column[1]
    )
    share = f"{k.induction_share} of " if phase == INDUCTION and k.induction_share != 1 else ""
    return f"{share}{decimal_text(dose)} {unit} {_every_text(k.spoken, every)}"


def say_below(k: Below, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """What was given, the least that the label asks for, and what was charted as not given."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    t = at.given.t[at.i]
    crcl = course_clearance(p, at.state, t, k.renal.per_kg)
    assert isinstance(crcl, Clearance)
    band = _band_below(k, p, crcl.high)
    assert band is not None
    least, reach = _least(k, band, at.state.phase), _reach(k, band, at.state.phase)
    total = Fraction(_given_in(at, reach) or 0)
    unit = "mg/kg" if _per_kg(p, k.drug) else "mg"
    share = rounded_text(total * 100 / least, 0)
    name = p.plan.drugs[k.drug].name.capitalize()
    missed = _not_done(p, k.drug, t - reach, t)
    here = band_at(k.renal, crcl.high)
    asked = f"that the label's least column asks for ({_least_text(k, band, at.state.phase, unit)}"
    if here is not None and here is not band:
        index = "mL/min/kg" if k.renal.per_kg else "mL/min"
        near = f"less than {p.plan.renal.near_hundredths} % above {decimal_text(here.bound)}"
        asked = (
            f"asked for ({_least_text(k, band, at.state.phase, unit)}: the band from {decimal_text(band.bound)}"
            f" {index}, for the clearance is {near}; label at {quotient_text(crcl.high, MILLION, 2)}:"
            f" {_least_text(k, here, at.state.phase, unit)}"
        )
    parts = [
        (
            f"Doses of the last {duration_text(reach)}: {number_text(total)} {unit}, {share} % of the"
            f" {rounded_text(least / MILLION, 2)} {unit} {asked}; threshold {rounded_text(k.share * 100, 0)} %)"
        ),
        f"Clearance {clearance_text(p, crcl, t)}",
    ]
    if missed:
        parts.append(f"Charted as not given: {', '.join(clock_text(dose.at) for dose in missed)}")
    title = f"{name}: {share} % of the least dose for this clearance"
    facts: tuple[Lab | Dose, ...] = (*_basis(crcl), at.dose, *missed)
    what = f"doses of the last {duration_text(reach)}, of the least asked for"
    figures = [
        Figure(what, total * 100 / least, k.share * 100, "%", meaning, "share")
        for meaning in ("warning below", "ends from")
    ]
    return Words(title, ". ".join(parts) + ".", k.data.advice.get("warning", ""), facts, tuple(figures))


def _not_done(p: Patient, drug: int, since: Time, until: Time) -> list[Dose]:
    return [p.dose_facts[event_id] for at, event_id in p.not_given.get(drug, ()) if since <= at <= until]


KINDS = {
    "dose-above-renal-band": Kind(AboveData, build_above),
    "dose-below-renal-band": Kind(BelowData, build_below),
}
