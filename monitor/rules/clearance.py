"""Has the virus cleared, and may therapy stop or step down?

Numbers: `viral`, `rules.viral-clearance`, `rules.stop-criteria-met`, `rules.step-down-due`; Kotton 2018 and 2025.
"""

from bisect import bisect_left, bisect_right
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import msgspec

from monitor.at_dose import doses_named
from monitor.courses import INDUCTION, MAINTAINING
from monitor.knowledge import Amount, DrugName, Number, RuleData, Span
from monitor.margins import lab_margin, span_margin
from monitor.patient import Patient, Reading, TherapyState
from monitor.plan import HIV, Amounts, Kind, Plan
from monitor.reading import is_below
from monitor.therapy import going_on_until, last_of_course, therapy_at, therapy_going, therapy_with
from monitor.times import ALWAYS, DAY, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, PAUSED, WAITING, YIELDED, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.virology import (
    BARE,
    CLEAR,
    NUMBER,
    quantifiable_between,
    readings,
    treating_now,
)
from monitor.wording import amount_text, cutoff_text, dated, days_text

CLEARANCE, STOP = "viral-clearance", "stop-criteria-met"


class ClearanceData(RuleData):
    """`rules.viral-clearance`; numbers in `viral`."""


class Clearance(msgspec.Struct, gc=False, frozen=True):
    """The question, ready to judge."""

    data: ClearanceData
    lymphocytes: int
    cd4: int


class Cleared(NamedTuple):
    """The two clear results at least 6 d apart that showed it first."""

    first: Lab
    second: Lab
    therapy: TherapyState


def build_clearance(code: str, data: ClearanceData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Clearance(data, plan.analyte_index["lymphocytes"], plan.analyte_index["cd4"])
    drugs = tuple(plan.drugs[drug].name for drug in sorted(plan.watched))
    watched = doses_named(plan, drugs)
    return [
        Rule(
            code,
            None,
            None,
            ("", "info"),
            judged=(plan.cmv,),
            needs=((plan.cmv,), watched),
            judge=partial(judge_clearance, k),
            say=partial(say_clearance, k),
            references=data.references,
            quiet=(*watched, *(plan.courses(drug) for drug in drugs)),
            rank=4,
            why={OVER: f"{duration_text(plan.viral.after_therapy)} have passed since the therapy"},
        )
    ]


def judge_clearance(k: Clearance, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a clear load on treatment; ended by the virus, or 8 weeks after the therapy."""
    cleared = cleared_by(p, readings(p, t))
    if cleared is None:
        return GONE, NEVER
    over = _over(p, cleared, t)
    return (1, over + 1) if t <= over else (OVER, NEVER)


def _over(p: Patient, cleared: Cleared, t: Time) -> Time:
    """8 weeks after the last dose of the therapy that reached it."""
    therapy = therapy_with(p, cleared.therapy.courses, t) or cleared.therapy
    return therapy.last + p.plan.viral.after_therapy


def cleared_by(p: Patient, found: list[Reading]) -> Cleared | None:
    """Whether the loads so far show clearance, and by which two results."""
    key = f"clearance/{len(found)}"
    if key not in p.memo:
        p.memo[key] = _cleared(p, found)
    return p.memo[key]  # type: ignore[return-value]


def _cleared(p: Patient, found: list[Reading]) -> Cleared | None:
    viral = p.plan.viral
    held: Cleared | None = None
    numbers: dict[tuple[str, int], Time] = {}
    runs: dict[tuple[str, int], Reading] = {}
    latest: dict[tuple[str, int], Reading] = {}
    for i, one in enumerate(found):
        if not i or found[i - 1].at < one.at:
            # All results of one moment are in place before it is judged.
            latest |= {other.series: other for other in found[i:] if other.at == one.at}
        if held is not None and one.at > _over(p, held, one.at):
            held = None
        if one.state in (NUMBER, BARE):
            held = None
            runs.pop(one.series, None)
            if one.state == NUMBER:
                numbers[one.series] = one.at
            continue
        first = runs.setdefault(one.series, one)
        therapy = one.therapy
        if held is not None or therapy is None or not one.treated or one.at - first.at < viral.clear_apart:
            continue
        if not treating_now(p, one.at):
            continue
        if numbers.get(one.series, ALWAYS) < therapy.start - viral.quantifiable_before:
            continue
        since = one.at - viral.clear_series_within
        if all(other.state == CLEAR for other in latest.values() if other.at >= since):
            held = Cleared(_earlier(found, one, viral.clear_apart), one.lab, therapy)
    return held


def _earlier(found: list[Reading], one: Reading, apart: Time) -> Lab:
    """The latest result of the series that lies far enough before."""
    before = [other.lab for other in found if other.series == one.series and one.at - other.at >= apart]
    return before[-1]


def say_clearance(k: Clearance, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The two results, and whether the immune status is documented."""
    cleared = cleared_by(p, readings(p, t))
    therapy = therapy_at(p, t)
    assert cleared is not None
    assert therapy is not None
    immune = [lab for analyte in (k.lymphocytes, k.cd4) if (lab := _latest(p, analyte, t)) is not None]
    status = "; ".join(dated(p, lab) for lab in immune) if immune else "no lymphocytes and no CD4 count on file"
    detail = (
        f"{dated(p, cleared.first)} and {dated(p, cleared.second)}, and all between, are not detected or below"
        f" quantification. Joined therapy since {clock_text(therapy.start)}, {days_text(therapy.days)}."
        f" Immune status: {status}."
    )
    viral, apart = p.plan.viral, cleared.second.at - cleared.first.at
    since = t - (_over(p, cleared, t) - viral.after_therapy)
    figures = (
        span_margin("time between the two results", apart, viral.clear_apart, "at least", "viral.clear_apart"),
        span_margin("time since the therapy", since, viral.after_therapy, "ends after", "viral.after_therapy"),
    )
    facts = (cleared.second, cleared.first, *immune)
    return Words("Viral clearance", detail, k.data.advice.get("info", ""), facts, figures)


def _latest(p: Patient, analyte: int, t: Time) -> Lab | None:
    series = p.series[analyte]
    i = series.last(t) if series is not None else -1
    return series.x[i] if series is not None and i >= 0 else None


# Stop criteria -----------------------------------------------------------------------------------------------------


class StopData(RuleData):
    """`rules.stop-criteria-met`."""

    days_of: dict[DrugName, Number]
    load_age: Span
    immune_age: Span
    lymphocytes_from: Amount
    cd4_from: Amount
    hiv_therapy: Span
    hiv_cd4_for: Span
    hiv_cd4_age: Span


class Stop(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    data: StopData
    days_of: dict[int, int]
    load_age: Time
    immune_age: Time
    lymphocytes: int
    lymphocytes_from: Amounts
    cd4: int
    cd4_from: Amounts
    hiv_therapy: Time
    hiv_cd4_for: Time
    hiv_cd4_age: Time


def build_stop(code: str, data: StopData, plan: Plan) -> list[Rule]:
    """One rule, asked only while clearance holds."""
    lymphocytes, cd4 = (plan.analytes[plan.analyte_index[key]] for key in ("lymphocytes", "cd4"))
    k = Stop(
        data,
        {plan.drug_index[name]: int(days.value) for name, days in data.days_of.items()},
        data.load_age.value,
        data.immune_age.value,
        lymphocytes.index,
        lymphocytes.amounts(data.lymphocytes_from),
        cd4.index,
        cd4.amounts(data.cd4_from),
        data.hiv_therapy.value,
        data.hiv_cd4_for.value,
        data.hiv_cd4_age.value,
    )
    drugs = tuple(plan.drugs[drug].name for drug in sorted(plan.watched))
    watched = doses_named(plan, drugs)
    return [
        Rule(
            code,
            None,
            None,
            ("", "info"),
            judged=(plan.cmv,),
            needs=((plan.cmv,), watched),
            judge=partial(judge_stop, k),
            say=partial(say_stop, k),
            references=data.references,
            lazy=(*watched, lymphocytes.index, cd4.index, HIV),
            quiet=tuple(plan.courses(drug) for drug in drugs),
            follows=(CLEARANCE,),
            rank=5,
        )
    ]


def judge_stop(k: Stop, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised when every criterion holds; ended when one fails or the course ends."""
    clearance = p.latest_episode(CLEARANCE, t)
    if clearance is None or (clearance.end is not None and clearance.end <= t):
        return GONE, NEVER
    therapy = therapy_going(p, t)
    until = going_on_until(p, therapy, t) if therapy is not None else ALWAYS
    if therapy is None or t > until:
        return PAUSED, NEVER
    found = readings(p, t)
    fresh_until = found[-1].at + k.load_age
    immune_until = _immune_until(k, p, therapy, t)
    needed, _ = needed_days(k, p, therapy)
    paused = level <= 0 and not treating_now(p, t)
    if paused or therapy.days < needed or t > fresh_until or immune_until is None or t > immune_until:
        later = therapy.start + k.hiv_therapy
        return WAITING, min(until + 1, later if t < later else NEVER)
    return 1, min(until, fresh_until, immune_until) + 1


def needed_days(k: Stop, p: Patient, therapy: TherapyState) -> tuple[int, int]:
    """How many treatment days a therapy needs, and for which drug: of those given last, the one that asks for most."""
    at = therapy.last
    given_last = (drug for drug, start in therapy.courses if _is_dose(p, drug, start, at))
    return max((k.days_of.get(drug, p.plan.viral.treatment_days), drug) for drug in given_last)


def _is_dose(p: Patient, drug: int, start: Time, at: Time) -> bool:
    """Whether a course has a dose at a moment."""
    given = p.given[drug]
    i = given.last(at)
    return i >= 0 and given.t[i] == at and given.s[i].start == start


def _immune_until(k: Stop, p: Patient, therapy: TherapyState, t: Time) -> Time | None:
    """Until when the latest counts show an improved immune status; None if they do not."""
    if p.has_hiv(t):
        if t < therapy.start + k.hiv_therapy:
            return None
        run = cd4_run(k, p, t)
        if run is None or run[1].at - run[0].at < k.hiv_cd4_for:
            return None
        return run[1].at + k.hiv_cd4_age
    found = []
    for analyte, least in ((k.lymphocytes, k.lymphocytes_from), (k.cd4, k.cd4_from)):
        lab = _latest(p, analyte, t)
        if lab is not None and is_below(lab, least) is False:
            found.append(lab.at + k.immune_age)
    return max(found) if found else None


def cd4_run(k: Stop, p: Patient, t: Time) -> tuple[Lab, Lab] | None:
    """The first and last of the latest unbroken run of CD4 counts at or above the limit."""
    series = p.series[k.cd4]
    i = series.last(t) if series is not None else -1
    if series is None or i < 0 or is_below(series.x[i], k.cd4_from) is not False:
        return None
    first = i
    while first > 0 and is_below(series.x[first - 1], k.cd4_from) is False:
        first -= 1
    return series.x[first], series.x[i]


def say_stop(k: Stop, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Each criterion with its figures, and what is not visible here."""
    therapy = therapy_going(p, t)
    assert therapy is not None
    found = readings(p, t)
    needed, drug = needed_days(k, p, therapy)
    facts = [found[-1].lab]
    own = f" with {p.plan.drugs[drug].name}" if drug in k.days_of else ""
    number = f"days_of.{p.plan.drugs[drug].name}" if drug in k.days_of else "viral.treatment_days"
    figures = [
        Figure("treatment days", therapy.days, needed, "d", "at least", number),
        span_margin("age of the last CMV DNA", t - found[-1].at, k.load_age, "ends after", "load_age"),
    ]
    parts = [
        f"{days_text(therapy.days)} of joined therapy since {clock_text(therapy.start)} (at least {needed}{own})",
        f"Viral clearance, last {dated(p, found[-1].lab)} (at most {duration_text(k.load_age)} old)",
    ]
    run = cd4_run(k, p, t) if p.has_hiv(t) else None
    if run is not None:
        parts.append(
            f"HIV: CD4 count unbroken from {amount_text(p, run[0])} on {clock_text(run[0].at)} to"
            f" {amount_text(p, run[1])} on {clock_text(run[1].at)} (at least {duration_text(k.hiv_cd4_for)})"
        )
        facts += run
        last = lab_margin(p, run[1], k.cd4_from, "at least", "cd4_from")
        figures += (
            *last,
            span_margin("time since therapy began", t - therapy.start, k.hiv_therapy, "at least", "hiv_therapy"),
            span_margin("length of the CD4 run", run[1].at - run[0].at, k.hiv_cd4_for, "at least", "hiv_cd4_for"),
            span_margin("age of the last CD4 count", t - run[1].at, k.hiv_cd4_age, "ends after", "hiv_cd4_age"),
        )
    else:
        both = (k.lymphocytes, k.lymphocytes_from, "lymphocytes_from"), (k.cd4, k.cd4_from, "cd4_from")
        for analyte, least, number in both:
            lab = _latest(p, analyte, t)
            if lab is not None and t - lab.at <= k.immune_age:
                figures += lab_margin(p, lab, least, "at least", number)
                what = f"age of {p.plan.analytes[analyte].name}"
                figures.append(span_margin(what, t - lab.at, k.immune_age, "ends after", "immune_age"))
                limit = cutoff_text(p.plan.analytes[analyte], least, lab)
                parts.append(f"{dated(p, lab)} (at least {limit}, one of the two)")
                facts.append(lab)
    parts.append("Clinical resolution and organ disease are not visible here")
    detail, advice = ". ".join(parts) + ".", k.data.advice.get("info", "")
    return Words("Laboratory stop criteria met", detail, advice, tuple(facts), tuple(figures))


# Step-down ---------------------------------------------------------------------------------------------------------


class StepDownData(RuleData):
    """`rules.step-down-due`."""

    days: Number
    load_age: Span
    drugs: tuple[DrugName, ...]


class StepDown(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    data: StepDownData
    days: int
    load_age: Time
    drugs: frozenset[int]


def build_step_down(code: str, data: StepDownData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = StepDown(
        data, int(data.days.value), data.load_age.value, frozenset(plan.drug_index[name] for name in data.drugs)
    )
    drugs = tuple(plan.drugs[drug].name for drug in sorted(plan.watched))
    watched = doses_named(plan, drugs)
    return [
        Rule(
            code,
            None,
            None,
            ("", "info"),
            judged=(plan.cmv,),
            needs=((plan.cmv,), watched),
            judge=partial(judge_step_down, k),
            say=partial(say_step_down, k),
            references=data.references,
            lazy=watched,
            quiet=tuple(plan.courses(drug) for drug in drugs),
            follows=(STOP,),
            rank=6,
        )
    ]


def judge_step_down(k: StepDown, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the 21st day or a clear load; ended by maintenance, the virus, or the course's end."""
    found = readings(p, t)
    therapy = therapy_going(p, t)
    until = going_on_until(p, therapy, t) if therapy is not None else ALWAYS
    if therapy is None or not found:
        return OVER, NEVER
    if t > until:
        return PAUSED, NEVER
    latest = {one.state for one in takewhile(lambda one: one.at == found[-1].at, reversed(found))}
    if NUMBER in latest:
        return GONE, NEVER
    intense_until = _intense_until(k, p, therapy, t)
    if t > intense_until:
        return WAITING, until + 1
    stop = p.latest_episode(STOP, t)
    if stop is not None and (stop.end is None or stop.end > t):
        return YIELDED, NEVER
    if level > 0:
        return level, intense_until + 1
    if latest != {CLEAR} or t - found[-1].at > k.load_age:
        return GONE, NEVER
    # A dose may yet make the therapy one with an earlier, which had the virus, or the days.
    treats_virus = quantifiable_between(p, therapy.start - p.plan.viral.quantifiable_within, t)
    return (1 if treats_virus and induction_days(k, p, therapy, t) >= k.days else WAITING), intense_until + 1


def _intense_until(k: StepDown, p: Patient, therapy: TherapyState, t: Time) -> Time:
    """Until when the course goes on that the therapy's last dose of the drugs belongs to; ALWAYS if that dose was
    maintenance, or one given with it was.
    """
    found = [last_of_course(p, course, t) for course in therapy.courses if course[0] in k.drugs]
    last = max((at for at, _, _ in found), default=ALWAYS)
    latest = [(over, phase) for at, over, phase in found if at == last]
    if any(phase != INDUCTION for _, phase in latest):
        return ALWAYS
    return max((over for over, _ in latest), default=ALWAYS)


def induction_days(k: StepDown, p: Patient, therapy: TherapyState, t: Time) -> int:
    """Treatment days of the joined therapy with a dose at induction intensity."""
    periods = set()
    for drug, start in therapy.courses:
        if drug not in k.drugs:
            continue
        given = p.given[drug]
        for i in range(bisect_left(given.t, start), bisect_right(given.t, t)):
            if given.s[i].start == start and given.s[i].phase != MAINTAINING:
                periods.add((given.t[i] - therapy.start) // DAY)
    return len(periods)


def say_step_down(k: StepDown, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The days and the load."""
    therapy = therapy_going(p, t)
    assert therapy is not None
    lab = readings(p, t)[-1].lab
    days = induction_days(k, p, therapy, t)
    detail = (
        f"{days_text(days)} at induction intensity since {clock_text(therapy.start)} (threshold {k.days})."
        f" {dated(p, lab)}: not quantifiable."
    )
    figures = (
        Figure("treatment days at induction intensity", days, k.days, "d", "due from", "days"),
        span_margin("age of the last CMV DNA", t - lab.at, k.load_age, "raised up to", "load_age"),
    )
    title = f"Step-down due after {days} days of induction"
    return Words(title, detail, k.data.advice.get("info", ""), (lab,), figures)


KINDS = {
    "viral-clearance": Kind(ClearanceData, build_clearance),
    "stop-criteria-met": Kind(StopData, build_stop),
    "step-down-due": Kind(StepDownData, build_step_down),
}
