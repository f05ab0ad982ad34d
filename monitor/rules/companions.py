"""Does the dose fit the drug beside it: letermovir beside ciclosporin, maribavir beside an enzyme inducer?

Judged at each dose of the antiviral. Numbers: `rules.letermovir-ciclosporin-dose`, `rules.maribavir-inducer-dose`.
"""

from fractions import Fraction
from functools import partial
from typing import NamedTuple

import msgspec

from monitor.at_dose import carried, doses_named, going_on, last_dose
from monitor.dosing import number_text, sum_of_doses
from monitor.knowledge import Dosage, DrugName, RuleData, Span
from monitor.margins import span_margin
from monitor.patient import AtDose, Patient, Size
from monitor.plan import PERSON, Kind, Plan
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Dose, Episode, Figure, Level, Rule, Verdict, Words
from monitor.units import MILLION, decimal_text
from monitor.wording import dose_text


class LetermovirData(RuleData):
    """`rules.letermovir-ciclosporin-dose`."""

    drug: DrugName
    with_drug: DrugName
    instead: tuple[DrugName, ...]
    within: Span
    total_of: Span
    too_much_from: Dosage
    too_little_up_to: Dosage


class Letermovir(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; amounts in millionths of mg."""

    code: str
    data: LetermovirData
    drug: int
    with_drug: int
    instead: tuple[int, ...]
    within: Time
    total_of: Time
    too_much: int
    too_little: int


class Fault(NamedTuple):
    """What is wrong with a dose, and the dose of the other drug that shows it."""

    text: str
    beside: Dose


def build_letermovir(code: str, data: LetermovirData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Letermovir(
        code,
        data,
        plan.drug_index[data.drug],
        plan.drug_index[data.with_drug],
        tuple(plan.drug_index[name] for name in data.instead),
        data.within.value,
        data.total_of.value,
        plan.dose_amount(data.too_much_from.value)[0],
        plan.dose_amount(data.too_little_up_to.value)[0],
    )
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "warning"),
            judged=(doses,),
            needs=((doses,), doses_named(plan, (data.with_drug, *data.instead))),
            judge=partial(judge_letermovir, k),
            say=partial(say_letermovir, k),
            references=data.references,
            quiet=(*doses_named(plan, (data.with_drug, *data.instead)), plan.courses(data.drug), PERSON),
        )
    ]


def judge_letermovir(k: Letermovir, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose of an adult anew."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if not at.now:
        return unchanged
    age = p.age_at(t)
    total = sum_of_doses(at.given, at.i, t - k.total_of - 1)
    if age is None or total is None:
        p.note("no birth date" if age is None else "a dose of unknown amount", t)
        return unchanged
    if age < p.plan.renal.adult_from:
        return unchanged
    return (1, at.over) if _fault(k, p, at, total) else (GONE, NEVER)


def _fault(k: Letermovir, p: Patient, at: AtDose, total: Size) -> Fault | None:
    t = at.given.t[at.i]
    companion, name = _given(p, k.with_drug, t), p.plan.drugs[k.with_drug].name
    if companion is not None and t - companion.at <= k.within:
        too_much = total >= k.too_much
        return Fault(f"{number_text(total)} mg beside {name}: too much", companion) if too_much else None
    if total > k.too_little:
        return None
    if companion is not None and companion.at >= at.state.start - k.within:
        span = duration_text(k.within)
        return Fault(f"{number_text(total)} mg with no {name} for {span}: too little", companion)
    for drug in k.instead:
        other = _given(p, drug, t)
        if other is not None and t - other.at <= k.within:
            return Fault(f"{number_text(total)} mg beside {p.plan.drugs[drug].name}, not {name}: too little", other)
    return None


def _given(p: Patient, drug: int, t: Time) -> Dose | None:
    given = p.given.get(drug)
    i = given.last(t) if given is not None else -1
    return given.x[i] if given is not None and i >= 0 else None


def say_letermovir(k: Letermovir, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The total, the companion, and when it was given."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    t = at.given.t[at.i]
    total = sum_of_doses(at.given, at.i, t - k.total_of - 1) or 0
    fault = _fault(k, p, at, total)
    assert fault is not None
    name = p.plan.drugs[k.drug].name.capitalize()
    beside = f"Last {dose_text(p, fault.beside)} on {clock_text(fault.beside.at)}"
    detail = f"{name} in the {duration_text(k.total_of)} up to {clock_text(t)}: {fault.text}. {beside}."
    facts = at.dose, fault.beside
    what, own = f"{name} of {duration_text(k.total_of)}", p.plan.drugs[k.with_drug].name
    before = f"{p.plan.drugs[fault.beside.drug].name} before the dose"
    figures = (
        _mg(what, total, k.too_much, f"too much beside {own} from", "too_much_from"),
        _mg(what, total, k.too_little, f"too little without {own} up to", "too_little_up_to"),
        span_margin(before, t - fault.beside.at, k.within, "beside it up to", "within"),
    )
    return Words(f"{name} {fault.text}", detail, k.data.advice.get("warning", ""), facts, figures)


def _mg(what: str, size: Size, limit: int, meaning: str, number: str) -> Figure:
    return Figure(what, Fraction(size) / MILLION, Fraction(limit, MILLION), "mg", meaning, number)


# Inducers ----------------------------------------------------------------------------------------------------------


class InducerData(RuleData):
    """`rules.maribavir-inducer-dose`."""

    drug: DrugName
    on_within: Span
    least: dict[DrugName, Dosage]


class Inducer(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; amounts in millionths of mg."""

    code: str
    data: InducerData
    drug: int
    on_within: Time
    least: tuple[tuple[int, int], ...]


def build_inducer(code: str, data: InducerData, plan: Plan) -> list[Rule]:
    """One rule for all inducers."""
    least = tuple((plan.drug_index[name], plan.dose_amount(one.value)[0]) for name, one in data.least.items())
    k = Inducer(code, data, plan.drug_index[data.drug], data.on_within.value, least)
    doses, inducers = plan.doses(data.drug), doses_named(plan, tuple(data.least))
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "warning"),
            judged=(doses,),
            needs=((doses,), inducers),
            judge=partial(judge_inducer, k),
            say=partial(say_inducer, k),
            references=data.references,
            quiet=inducers,
            why={OVER: f"the course ended, or no such inducer was given for {duration_text(k.on_within)}"},
        )
    ]


def judge_inducer(k: Inducer, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each dose anew; over with either drug."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    level = carried(at, level)
    ends = min(at.over, _inducers_end(k, p, at, t))
    unchanged = (level, ends) if level > 0 and t < ends else (OVER, NEVER)
    if not at.now:
        return unchanged
    size = at.given.m[at.i]
    if size is None:
        p.note("a dose of unknown amount", t)
        return unchanged
    return (1, ends) if _too_small(k, p, t, size) else (GONE, NEVER)


def _inducers_end(k: Inducer, p: Patient, at: AtDose, t: Time) -> Time:
    """One microsecond past the time for which an inducer counts that the last dose is too small beside."""
    size, given = at.given.m[at.i], at.given.t[at.i]
    found = ALWAYS
    for drug, least in k.least:
        then = _given(p, drug, given)
        if size is not None and size < least and then is not None and given - then.at <= k.on_within:
            last = _given(p, drug, t)
            assert last is not None
            found = max(found, last.at)
    return found + k.on_within + 1


def _too_small(k: Inducer, p: Patient, t: Time, size: Size) -> tuple[Dose, int] | None:
    for drug, least in k.least:
        dose = _given(p, drug, t)
        if dose is not None and t - dose.at <= k.on_within and size < least:
            return dose, least
    return None


def say_inducer(k: Inducer, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The dose, the inducer, and the least beside it."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    t = at.given.t[at.i]
    found = _too_small(k, p, t, at.given.m[at.i] or 0)
    assert found is not None
    inducer, least = found
    name, other = p.plan.drugs[k.drug].name.capitalize(), p.plan.drugs[inducer.drug].name
    detail = (
        f"{dose_text(p, at.dose).capitalize()} on {clock_text(t)}; last {dose_text(p, inducer)} on"
        f" {clock_text(inducer.at)}. At least {decimal_text(least)} mg a dose beside {other}."
    )
    title = f"{name} {number_text(at.given.m[at.i] or 0)} mg beside {other}: at least {decimal_text(least)} mg"
    figures = []
    for drug, most in k.least:
        dose, beside = _given(p, drug, t), p.plan.drugs[drug].name
        if dose is not None and t - dose.at <= k.on_within:
            size = at.given.m[at.i] or 0
            figures.append(_mg(f"{name} dose", size, most, f"beside {beside} at least", f"least.{beside}"))
            figures.append(span_margin(f"{beside} before the dose", t - dose.at, k.on_within, "up to", "on_within"))
    return Words(title, detail, k.data.advice.get("warning", ""), (at.dose, inducer), tuple(figures))


KINDS = {
    "letermovir-ciclosporin-dose": Kind(LetermovirData, build_letermovir),
    "maribavir-inducer-dose": Kind(InducerData, build_inducer),
}
