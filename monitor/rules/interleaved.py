"""Are two antivirals given turn by turn that should follow one another: maribavir with (val)ganciclovir, ganciclovir
with valganciclovir?

A hand-over on one day is none: the outer two of three interleaved doses lie more than 24 h apart. Numbers:
`rules.maribavir-ganciclovir`, `rules.duplicate-ganciclovir`.
"""

from bisect import bisect_left, bisect_right
from functools import partial

import msgspec

from monitor.at_dose import doses_named
from monitor.knowledge import DrugName, RuleData, Span
from monitor.patient import Patient
from monitor.plan import Kind, Plan
from monitor.times import NEVER, Time, clock_text
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
    """Raised by the third of three interleaved doses; ended with either drug's course."""
    ends = _ends(k, p, t)
    if t > ends:
        return OVER, NEVER
    if level > 0 and not _begins(k, p, t):
        return level, ends + 1
    return (1, ends + 1) if _three(k, p, t) else (GONE, NEVER)


def _begins(k: Interleaved, p: Patient, t: Time) -> bool:
    """Whether a course of either drug begins at `t`: another one has ended."""
    states = (p.state(drug, t) for drug in (k.drug, *k.others))
    return any(state is not None and state.start == t for state in states)


def _ends(k: Interleaved, p: Patient, t: Time) -> Time:
    """When the first of the two courses is over; of several others the longest counts."""
    own = p.state(k.drug, t)
    others = [state.course_until for drug in k.others if (state := p.state(drug, t)) is not None]
    return min(own.course_until, max(others)) if own is not None and others else t - 1


def _three(k: Interleaved, p: Patient, t: Time) -> tuple[Dose, Dose, Dose] | None:
    """The last dose, at `t`, an earlier one of its course, and one of the other drug between them."""
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
                return given.x[before], between.x[middle], given.x[i]
    return None


def say(k: Interleaved, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The three doses."""
    three = _three(k, p, episode.onset) or ()
    names = [p.plan.drugs[drug].name for drug in dict.fromkeys(dose.drug for dose in three)]
    detail = "; ".join(f"{dose_text(p, dose)} on {clock_text(dose.at)}" for dose in three)
    return Words(
        f"{' and '.join(names).capitalize()} given turn by turn",
        f"{detail}.",
        k.data.advice.get("critical", ""),
        tuple(three),
    )


KINDS = {
    "maribavir-ganciclovir": Kind(InterleavedData, build),
    "duplicate-ganciclovir": Kind(InterleavedData, build),
}
