"""Were the baseline tests of a course drawn?

Judged 24 h after the first dose, over the days before it and those 24 h. Numbers: `rules.baseline-labs-missing`.
"""

from functools import partial

import msgspec

from monitor.knowledge import AnalyteName, DrugName, Entry, RuleData, Span
from monitor.margins import span_margin
from monitor.patient import Patient
from monitor.plan import Kind, Plan
from monitor.rules.overdue import first_dose, oldest
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Dose, Episode, Lab, Level, Rule, Verdict, Words


class Tests(Entry):
    """The tests that a drug needs, each any of some analytes."""

    tests: tuple[tuple[AnalyteName, ...], ...]


class BaselineLabsData(RuleData):
    """`rules.baseline-labs-missing`."""

    drugs: dict[DrugName, Tests]
    after: Span
    before: Span


class BaselineLabs(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge."""

    data: BaselineLabsData
    drug: int
    tests: tuple[tuple[int, ...], ...]
    after: Time
    before: Time


def build(code: str, data: BaselineLabsData, plan: Plan) -> list[Rule]:
    """A rule for each drug."""
    rules = []
    for name, needed in data.drugs.items():
        tests = tuple(tuple(plan.analyte_index[one] for one in group) for group in needed.tests)
        k = BaselineLabs(data, plan.drug_index[name], tests, data.after.value, data.before.value)
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning"),
                judged=(plan.courses(name),),
                needs=((plan.doses(name),),),
                judge=partial(judge, k),
                say=partial(say, k),
                references=data.references,
                lazy=tuple(one for group in tests for one in group),
                quiet=(plan.doses(name),),
            )
        )
    return rules


def judge(k: BaselineLabs, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the clock; ended when every test is collected, or with the course."""
    state = p.state(k.drug, t)
    if state is None or t > state.course_until:
        return OVER, NEVER
    due = state.start + k.after
    if t < due:
        return GONE, due
    if due > p.clock:
        # Known ahead of the clock: what only time brings waits for it.
        p.judging.waits[t] = due
        return GONE, state.course_until + 1
    return (1, state.course_until + 1) if _missing(k, p, state.start, t) else (GONE, NEVER)


def _missing(k: BaselineLabs, p: Patient, start: Time, t: Time) -> list[str]:
    missing = []
    for group in k.tests:
        latest = ALWAYS
        for analyte in group:
            series = p.series[analyte]
            i = series.last(t) if series is not None else -1
            if series is not None and i >= 0:
                latest = max(latest, series.t[i])
        if latest < start - k.before:
            missing.append(" or ".join(p.plan.analytes[analyte].name for analyte in group))
    return missing


def say(k: BaselineLabs, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which tests are missing, and for which course."""
    start = p.state_start(k.drug, t)
    missing = _missing(k, p, start, t)
    name = p.plan.drugs[k.drug].name.capitalize()
    detail = (
        f"{name} since {clock_text(start)}: not collected from {duration_text(k.before)} before the first dose to"
        f" {clock_text(t)}: {', '.join(missing)}."
    )
    facts: list[Dose | Lab] = [first_dose(p, k.drug, start)]
    figures = [span_margin("time since the first dose", t - start, k.after, "judged from", "after")]
    for group in k.tests:
        at, lab = oldest(p, (group,), t)
        if lab is not None:
            what = f"last {' or '.join(p.plan.analytes[one].name for one in group)} before the first dose"
            figures.append(span_margin(what, start - at, k.before, "counts up to", "before"))
            if start - at > k.before:
                facts.append(lab)
    advice = k.data.advice.get("warning", "")
    return Words(f"{name}: no baseline {', '.join(missing)}", detail, advice, tuple(facts), tuple(figures))


KINDS = {"baseline-labs-missing": Kind(BaselineLabsData, build)}
