"""Was a (val)ganciclovir course started below the label's count limits?

For its first 48 h it stands for the single cytopenias. Numbers: `rules.started-below-count-limits`.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from monitor.knowledge import Amount, AnalyteName, DrugName, RuleData, Span
from monitor.margins import lab_figures
from monitor.patient import Patient
from monitor.plan import Amounts, Kind, Plan
from monitor.reading import is_below
from monitor.times import NEVER, Time, clock_text
from monitor.types import GONE, OVER, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.wording import aged, cutoff_text


class StartedBelowData(RuleData):
    """`rules.started-below-count-limits`."""

    drugs: tuple[DrugName, ...]
    within: Span
    stands_for: Span
    limits: dict[AnalyteName, Amount]


class StartedBelow(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge."""

    data: StartedBelowData
    drug: int
    within: Time
    limits: tuple[tuple[int, Amounts], ...]


def build(code: str, data: StartedBelowData, plan: Plan) -> list[Rule]:
    """A rule for each drug."""
    limits = tuple(
        (plan.analyte_index[name], plan.analytes[plan.analyte_index[name]].amounts(amount))
        for name, amount in data.limits.items()
    )
    rules = []
    for name in data.drugs:
        k = StartedBelow(data, plan.drug_index[name], data.within.value, limits)
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "critical"),
                judged=(plan.courses(name),),
                needs=((plan.doses(name),),),
                judge=partial(judge, k),
                say=partial(say, k),
                references=data.references,
                lazy=tuple(analyte for analyte, _ in limits),
                quiet=(plan.doses(name),),
            )
        )
    return rules


def judge(k: StartedBelow, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised at a first dose; ended by counts above, or with the course."""
    state = p.state(k.drug, t)
    if state is None or t > state.course_until:
        return OVER, NEVER
    if level <= 0 and state.start != t:
        return GONE, NEVER
    return (1, state.course_until + 1) if _below(k, p, t, state.start) else (GONE, NEVER)


def _below(k: StartedBelow, p: Patient, t: Time, start: Time) -> list[Lab]:
    """The latest results at `t`, of the days before the first dose or since, that lie below their limits."""
    found = ((_latest(k, p, analyte, t, start), limit) for analyte, limit in k.limits)
    return [lab for lab, limit in found if lab is not None and is_below(lab, limit)]


def _latest(k: StartedBelow, p: Patient, analyte: int, t: Time, start: Time) -> Lab | None:
    series = p.series[analyte]
    i = series.last(t) if series is not None else -1
    return series.x[i] if series is not None and i >= 0 and start - series.t[i] <= k.within else None


def say(k: StartedBelow, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which counts, and the label's limits."""
    limits = dict(k.limits)
    labs = _below(k, p, t, episode.onset)
    shown = [
        f"{aged(p, lab, t)}, limit {cutoff_text(p.plan.analytes[lab.analyte], limits[lab.analyte], lab)}"
        for lab in labs
    ]
    drug = p.plan.drugs[k.drug].name
    return Words(
        f"{drug.capitalize()} started below the label's count limits",
        f"First dose {clock_text(episode.onset)}: {'; '.join(shown)}.",
        k.data.advice.get("critical", ""),
        tuple(labs),
        _figures(k, p, t, episode.onset),
    )


def _figures(k: StartedBelow, p: Patient, t: Time, start: Time) -> Iterator[Figure]:
    """Each count beside its limit, those above it too."""
    for analyte, limit in k.limits:
        lab = _latest(k, p, analyte, t, start)
        if lab is not None:
            number = f"limits.{p.plan.analytes[analyte].key}"
            yield from lab_figures(p, lab, ("critical below", limit, number), ("ends from", limit, number))


KINDS = {"started-below-count-limits": Kind(StartedBelowData, build)}
