"""Are two antivirals given in alternation that should follow one another: maribavir with (val)ganciclovir, ganciclovir
with valganciclovir?

A hand-over on one day is none: the outer two of three interleaved doses lie more than 24 h apart. Numbers:
`rules.maribavir-ganciclovir`, `rules.duplicate-ganciclovir`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import partial

import msgspec

from monitor.at_dose import doses_named
from monitor.knowledge import DrugName, RuleData, Span
from monitor.margins import span_margin
from monitor.patient import DoseState, Patient
from monitor.plan import Kind, Plan
from monitor.times import ALWAYS, NEVER, Time, clock_text
from monitor.types import GONE, OVER, Dose, Episode, Level, Rule, Verdict, Words
from monitor.wording import dose_text


class InterleavedData(RuleData):
    """A table of this shape."""

    drug: DrugName
    with_: tuple[DrugName, ...]
    outer: Span

    model_config = {"alias_generator": lambda name: name.rstrip("_"), "extra": "forbid", "frozen": True}


class Interleaved(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    data: InterleavedData
    drug: int
    others: tuple[int, ...]
    outer: Time


def build(code: str, data: InterleavedData, plan: Plan) -> list[Rule]:
    """One rule for a drug and all that it must not interleave with."""
    k = Interleaved(
        data, plan.drug_index[data.drug], tuple(plan.drug_index[name] for name in data.with_), data.outer.value
    )
    own, others = plan.doses(data.drug), doses_named(plan, data.with_)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "critical"),
            judged=(own, *others),
            needs=((own,), others),
            judge=partial(judge, k),
            say=partial(say, k),
            references=data.references,
            quiet=(plan.courses(data.drug), *(plan.courses(name) for name in data.with_)),
        )
    ]


def judge(k: Interleaved, p: Patient, t: Time, level: Level) -> Verdict:
    """Holds while two courses go on of which one has a dose between two of the other's, more than a day apart."""
    own = p.state(k.drug, t)
    if own is None or t > own.course_until:
        return OVER, NEVER
    until = ALWAYS
    for drug in k.others:
        other = p.state(drug, t)
        if other is not None and t <= other.course_until:
            one, two = _span(p, k.drug, own, t), _span(p, drug, other, t)
            if _crosses(k, one, two) or _crosses(k, two, one):
                until = max(until, other.course_until)
    return (1, min(own.course_until, until) + 1) if until != ALWAYS else (GONE, NEVER)


def _span(p: Patient, drug: int, state: DoseState, t: Time) -> list[Time]:
    """The times of a course's doses up to `t`."""
    times = p.given[drug].t
    return times[bisect_left(times, state.start) : bisect_right(times, t)]


def _crosses(k: Interleaved, outer: list[Time], inner: list[Time]) -> bool:
    """Whether a dose lies between the first and the last of the other course's."""
    if outer[-1] - outer[0] <= k.outer:
        return False
    return bisect_right(inner, outer[0]) < bisect_left(inner, outer[-1])


def _threes(k: Interleaved, p: Patient, t: Time) -> Iterator[tuple[Dose, Dose, Dose]]:
    """For each pair of drugs the last dose, at `t`, an earlier one of its course, and one of the other between them."""
    for outer in (k.drug, *k.others):
        given = p.given.get(outer)
        i = given.last(t) if given is not None else -1
        if given is None or i < 0 or given.t[i] != t:
            continue
        inner = k.others if outer == k.drug else (k.drug,)
        first = bisect_left(given.t, given.s[i].start)
        for drug in inner:
            between = p.given.get(drug)
            j = bisect_left(between.t, t) - 1 if between is not None else -1
            if between is None or j < 0:
                continue
            before = bisect_left(given.t, min(between.t[j], t - k.outer)) - 1
            if before >= first:
                middle = bisect_right(between.t, given.t[before])
                yield given.x[before], between.x[middle], given.x[i]


def say(k: Interleaved, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The three doses."""
    three = next(iter(list(_threes(k, p, episode.onset))), ())
    names = [p.plan.drugs[drug].name for drug in dict.fromkeys(dose.drug for dose in three)]
    detail = "; ".join(f"{dose_text(p, dose)} on {clock_text(dose.at)}" for dose in three)
    figures = (
        [span_margin("time between the outer two doses", three[-1].at - three[0].at, k.outer, "more than", "outer")]
        if three
        else []
    )
    return Words(
        f"{' and '.join(names).capitalize()} given in alternation",
        f"{detail}.",
        k.data.advice.get("critical", ""),
        tuple(three),
        tuple(figures),
    )


KINDS = {
    "maribavir-ganciclovir": Kind(InterleavedData, build),
    "duplicate-ganciclovir": Kind(InterleavedData, build),
}
