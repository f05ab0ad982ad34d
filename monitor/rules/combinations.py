"""Are two drugs given together that should not be: nephrotoxins with foscarnet or cidofovir, and interactions?

A combination begins with the dose that makes the drugs meet, and is over when one of them was not given for a while.
Numbers: `rules.nephrotoxic-combination`, `rules.interaction`.
"""

from functools import partial
from typing import Literal

import msgspec

from monitor.at_dose import doses_named
from monitor.knowledge import Amount, DrugName, Entry, Number, RuleData, Severity, Sourced, Span
from monitor.margins import lab_margin, span_margin
from monitor.patient import Patient
from monitor.plan import Amounts, Kind, Plan
from monitor.reading import is_below
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Dose, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.wording import dated, dose_text, name_text

SPEAKS, SPEAKS_LOUDER = 1, 2


class Meeting(msgspec.Struct, gc=False, frozen=True):
    """Drugs that meet: the antiviral first. `intravenous`: those of them that count only so. `table`: where the rule's
    table has the numbers.
    """

    drugs: tuple[int, ...]
    intravenous: frozenset[int]
    within: Time
    over_after: Time
    effect: str
    advice: str
    table: str = ""


def last_given(k: Meeting, p: Patient, drug: int, t: Time) -> Dose | None:
    """The last dose of a drug that counts, at or before `t`."""
    given = p.given.get(drug)
    i = given.last(t) if given is not None else -1
    while given is not None and i >= 0:
        if drug not in k.intravenous or given.x[i].route in (None, "iv"):
            return given.x[i]
        i -= 1
    return None


def judge(k: Meeting, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the dose that makes the drugs meet; over when one of them has not been given for a while."""
    earliest, newest = _met(k, p, t)
    if level > 0:
        over = earliest + k.over_after + 1
        return (level, over) if t < over else (OVER, NEVER)
    if earliest == ALWAYS or newest != t or t - earliest > k.within:
        return GONE, NEVER
    return SPEAKS, earliest + k.over_after + 1


def _met(k: Meeting, p: Patient, t: Time) -> tuple[Time, Time]:
    """Of the drugs' last doses the earliest and the latest; ALWAYS if one was never given."""
    times = []
    for drug in k.drugs:
        dose = last_given(k, p, drug, t)
        if dose is None:
            return ALWAYS, ALWAYS
        times.append(dose.at)
    return min(times), max(times)


def say(k: Meeting, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which drugs, when each was given last, and why that matters."""
    doses = [dose for drug in k.drugs if (dose := last_given(k, p, drug, t)) is not None]
    names = [name_text(p.plan.drugs[drug].name) for drug in k.drugs]
    given = "; ".join(f"{dose_text(p, dose)} on {clock_text(dose.at)}" for dose in doses)
    title = f"{names[0].capitalize()} with {' and '.join(names[1:])}: {k.effect}"
    detail = f"{given}. Both within {duration_text(k.within)}: {k.effect}."
    return Words(title, detail, k.advice, tuple(doses), _figures(k, p, t, doses))


def _figures(k: Meeting, p: Patient, t: Time, doses: list[Dose]) -> tuple[Figure, ...]:
    """How far apart the drugs were given, and how long ago each was."""
    first, last = min(dose.at for dose in doses), max(dose.at for dose in doses)
    over = f"{k.table}over_after" if k.over_after != k.within else f"{k.table}within"
    return (
        span_margin("time between the doses", last - first, k.within, "together up to", f"{k.table}within"),
        *(
            span_margin(
                f"time since the last {p.plan.drugs[dose.drug].name}", t - dose.at, k.over_after, "ends after", over
            )
            for dose in doses
        ),
    )


def _rule(code: str, plan: Plan, k: Meeting, severity: str, references: tuple[str, ...]) -> Rule:
    inputs = tuple(plan.doses(plan.drugs[drug].name) for drug in k.drugs)
    return Rule(
        code,
        plan.drugs[k.drugs[0]].name,
        plan.drugs[k.drugs[1]].name,
        ("", severity),
        judged=inputs,
        needs=tuple((one,) for one in inputs),
        judge=partial(judge, k),
        say=partial(say, k),
        references=references,
        why={OVER: _apart_text(k)},
    )


def _apart_text(k: Meeting) -> str:
    return f"one of the drugs was not given for {duration_text(k.over_after)}"


# Nephrotoxic combinations ------------------------------------------------------------------------------------------


class NephrotoxicDrug(Entry):
    """What an antiviral should not be given with."""

    with_: tuple[DrugName, ...]
    intravenous: tuple[DrugName, ...] = ()
    within: Span
    over_after: Span | None = None
    severity: Severity

    model_config = {"alias_generator": lambda name: name.rstrip("_"), "extra": "forbid", "frozen": True}


class NephrotoxicData(RuleData):
    """`rules.nephrotoxic-combination`."""

    drugs: dict[DrugName, NephrotoxicDrug]


def build_nephrotoxic(code: str, data: NephrotoxicData, plan: Plan) -> list[Rule]:
    """A rule for each pair."""
    rules = []
    for name, pairs in data.drugs.items():
        for other in pairs.with_:
            k = Meeting(
                (plan.drug_index[name], plan.drug_index[other]),
                frozenset(plan.drug_index[one] for one in pairs.intravenous),
                pairs.within.value,
                (pairs.over_after or pairs.within).value,
                "both injure the kidney",
                data.advice.get(pairs.severity, ""),
                f"drugs.{name}.",
            )
            rules.append(_rule(code, plan, k, pairs.severity, data.references))
    return rules


# Interactions ------------------------------------------------------------------------------------------------------


class Pair(Entry):
    """Antivirals and what they should not be given with, perhaps only beside a third drug."""

    drugs: tuple[DrugName, ...]
    with_: tuple[DrugName, ...]
    and_: DrugName | None = None
    intravenous: tuple[DrugName, ...] = ()
    severity: Severity
    effect: str
    advice: str
    source: str
    tag: Literal["F", "K", "K?", "D"]

    model_config = {"alias_generator": lambda name: name.rstrip("_"), "extra": "forbid", "frozen": True}


class QtData(Sourced):
    """Foscarnet beside drugs that prolong the QT interval."""

    drug: DrugName
    with_: tuple[DrugName, ...]
    labs_within: Span
    potassium_below: Amount
    magnesium_below: Amount
    several_from: Number
    effect: str
    advice: dict[Severity, str]

    model_config = {"alias_generator": lambda name: name.rstrip("_"), "extra": "forbid", "frozen": True}


class InteractionData(RuleData):
    """`rules.interaction`."""

    within: Span
    over_after: Span
    pairs: tuple[Pair, ...]
    qt: QtData


class Qt(msgspec.Struct, gc=False, frozen=True):
    """One QT-prolonging drug beside foscarnet, ready to judge; `others`: all of them."""

    meeting: Meeting
    others: tuple[int, ...]
    several: int
    labs: tuple[tuple[int, Amounts], ...]
    labs_within: Time
    advice: dict[Severity, str]


def build_interaction(code: str, data: InteractionData, plan: Plan) -> list[Rule]:
    """A rule for each pair of drugs."""
    rules = []
    for pair in data.pairs:
        for name in pair.drugs:
            for other in pair.with_:
                drugs = (name, other) if pair.and_ is None else (name, other, pair.and_)
                k = Meeting(
                    tuple(plan.drug_index[one] for one in drugs),
                    frozenset(plan.drug_index[one] for one in pair.intravenous),
                    data.within.value,
                    data.over_after.value,
                    pair.effect,
                    pair.advice,
                )
                rules.append(_rule(code, plan, k, pair.severity, (pair.source,)))
    return rules + [_build_qt(code, data, plan, other) for other in data.qt.with_]


def _build_qt(code: str, data: InteractionData, plan: Plan, other: str) -> Rule:
    qt = data.qt
    potassium, magnesium = (plan.analytes[plan.analyte_index[key]] for key in ("potassium", "magnesium"))
    meeting = Meeting(
        (plan.drug_index[qt.drug], plan.drug_index[other]),
        frozenset(),
        data.within.value,
        data.over_after.value,
        qt.effect,
        "",
    )
    k = Qt(
        meeting,
        tuple(plan.drug_index[one] for one in qt.with_),
        int(qt.several_from.value),
        (
            (potassium.index, potassium.amounts(qt.potassium_below)),
            (magnesium.index, magnesium.amounts(qt.magnesium_below)),
        ),
        qt.labs_within.value,
        {**qt.advice},
    )
    return Rule(
        code,
        qt.drug,
        other,
        ("", "info", "warning"),
        judged=(plan.doses(qt.drug), plan.doses(other)),
        needs=((plan.doses(qt.drug),), (plan.doses(other),)),
        judge=partial(judge_qt, k),
        say=partial(say_qt, k),
        references=(qt.source,),
        lazy=(*doses_named(plan, tuple(one for one in qt.with_ if one != other)), potassium.index, magnesium.index),
        why={OVER: _apart_text(meeting)},
    )


def judge_qt(k: Qt, p: Patient, t: Time, level: Level) -> Verdict:
    """As any meeting; louder with a second such drug, or with low potassium or magnesium."""
    met, due = judge(k.meeting, p, t, level)
    if met <= 0:
        return met, due
    until = [lab.at + k.labs_within for lab in _low_labs(k, p, t)]
    others = sorted((over for _, over in _others(k, p, t)), reverse=True)
    # With its own drug so many are together.
    if len(others) >= k.several - 1:
        until.append(others[k.several - 2])
    if not until:
        return SPEAKS, due
    return SPEAKS_LOUDER, min(due, max(until) + 1)


def _low_labs(k: Qt, p: Patient, t: Time) -> list[Lab]:
    found = []
    for analyte, below in k.labs:
        series = p.series[analyte]
        i = series.last(t) if series is not None else -1
        if series is not None and i >= 0 and t - series.t[i] <= k.labs_within and is_below(series.x[i], below):
            found.append(series.x[i])
    return found


def _others(k: Qt, p: Patient, t: Time) -> list[tuple[Dose, Time]]:
    """The other such drugs in a meeting of their own at `t`: the last dose, and when that meeting is over."""
    found = []
    antiviral, own = k.meeting.drugs
    for drug in k.others:
        dose = last_given(k.meeting, p, drug, t) if drug != own else None
        if dose is not None:
            over = _together_until(k.meeting, p, (antiviral, drug), t)
            if over is not None:
                found.append((dose, over))
    return found


def _together_until(k: Meeting, p: Patient, drugs: tuple[int, int], t: Time) -> Time | None:
    """Until when two drugs that have met stand together, by the doses up to `t`; None if they do not."""
    at, over = t, None
    while True:
        lasts = [given.t[i] for drug in drugs if (given := p.given.get(drug)) and (i := given.last(at)) >= 0]
        if len(lasts) < len(drugs) or t > min(lasts) + k.over_after:
            return None
        earliest, newest = min(lasts), max(lasts)
        over = earliest + k.over_after if over is None else over
        if newest - earliest <= k.within:
            return over
        t, at = newest, newest - 1


def say_qt(k: Qt, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The drugs, and what makes it worse."""
    words = say(k.meeting, p, t, level, episode)
    labs = _low_labs(k, p, t)
    worse = [dated(p, lab) for lab in labs]
    worse += [f"also {dose_text(p, dose)} on {clock_text(dose.at)}" for dose, _ in _others(k, p, t)]
    detail = words.detail + (f" Worse by: {'; '.join(worse)}." if worse and level == SPEAKS_LOUDER else "")
    advice = k.advice.get("warning" if level == SPEAKS_LOUDER else "info", "")
    figures = list(words.figures)
    for (analyte, below), number in zip(k.labs, ("qt.potassium_below", "qt.magnesium_below"), strict=True):
        series = p.series[analyte]
        i = series.last(t) if series is not None else -1
        if series is not None and i >= 0 and t - series.t[i] <= k.labs_within:
            figures += lab_margin(p, series.x[i], below, "worse below", number)
    together = 1 + len(_others(k, p, t))
    figures.append(Figure("QT-prolonging drugs", together, k.several, "drugs", "worse from", "qt.several_from"))
    return Words(words.title, detail, advice, (*words.facts, *labs), tuple(figures))


KINDS = {
    "nephrotoxic-combination": Kind(NephrotoxicData, build_nephrotoxic),
    "interaction": Kind(InteractionData, build_interaction),
}
