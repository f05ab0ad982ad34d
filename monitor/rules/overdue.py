"""Was a test that therapy asks for not drawn in time?

Due is the later of the course's first dose and the last valid result's collection, plus the gap in force. Raised by
the clock alone, while the drug is current. Of several tests the oldest decides. Missing data never switches this off.
Numbers: the rules' own tables.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial

import msgspec

from monitor.actions import promises_text
from monitor.courses import INDUCTION, MAINTAINING, NO_PHASE
from monitor.knowledge import Amount, AnalyteName, DrugName, Entry, RuleData, Span
from monitor.margins import lab_margin, span_margin
from monitor.patient import DoseState, Patient
from monitor.plan import INTENT_TREATMENT, PERSON, TRANSPLANT, Amounts, Kind, Plan
from monitor.reading import is_below
from monitor.renal import clearance
from monitor.therapy import therapy_at
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Dose, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.virology import quantifiable_between
from monitor.wording import dated, lab_text

WARNING, CRITICAL = 1, 2


class Early(Entry):
    """A gap of the first days of a course."""

    within: Span
    gap: Span
    low_baseline_gap: Span | None = None
    low_baseline_below: Amount | None = None
    twice_is_critical: bool = False


class Gap(Entry):
    """The longest time between two tests, and what holds early in a course."""

    gap: Span
    twice_is_critical: bool = False
    early: Early | None = None


class Gaps(Entry):
    """Gaps by phase, intent, or `any`; what is missing falls to the next."""

    induction: Gap | None = None
    maintenance: Gap | None = None
    treatment: Gap | None = None
    prophylaxis: Gap | None = None
    any: Gap | None = None


class OverdueData(RuleData):
    """A table of this shape, such as `rules.overdue-renal`."""

    tests: tuple[tuple[AnalyteName, ...], ...]
    drugs: dict[DrugName, Gaps]
    low_baseline_within: Span | None = None


class OverdueLoadData(OverdueData):
    """`rules.overdue-viral-load`."""

    quantifiable_within: Span
    after_therapy_for: Span
    after_therapy_gap: Span


Tests = tuple[tuple[int, ...], ...]
"""The tests that are all due, each any of some analytes."""


class Overdue(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge. `shortest`: no gap of the drug is shorter."""

    code: str
    data: OverdueData
    drug: int
    tests: Tests
    gaps: Gaps
    shortest: Time
    shortest_number: str
    low_baseline: tuple[int, Amounts, Time] | None
    quantifiable_within: Time | None


def build(code: str, data: OverdueData, plan: Plan) -> list[Rule]:
    """A rule for each drug; for viral loads also one for the weeks after therapy."""
    tests = tuple(tuple(plan.analyte_index[name] for name in group) for group in data.tests)
    labs = tuple(i for group in tests for i in group)
    needs_load = isinstance(data, OverdueLoadData)
    watched = tuple(plan.doses(plan.drugs[drug].name) for drug in sorted(plan.watched))
    rules = []
    for name, gaps in data.drugs.items():
        k = Overdue(
            code,
            data,
            plan.drug_index[name],
            tests,
            gaps,
            *_shortest(gaps),
            _low_baseline(data, gaps, plan),
            data.quantifiable_within.value if isinstance(data, OverdueLoadData) else None,
        )
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning", "critical"),
                judged=(plan.courses(name), *(labs if needs_load else ())),
                needs=((plan.doses(name),),),
                judge=partial(judge, k),
                say=partial(say, k),
                references=data.references,
                lazy=() if needs_load else labs,
                quiet=watched if needs_load else (plan.doses(name),),
                why={OVER: f"{name} is no longer current"},
            )
        )
    if isinstance(data, OverdueLoadData):
        rules.append(_after_therapy(code, data, plan, tests))
    return rules


def _shortest(gaps: Gaps) -> tuple[Time, str]:
    """The shortest of a drug's gaps, and its path in the drug's table."""
    return min((span.value, number) for number, span in _every(gaps))


def _every(gaps: Gaps) -> Iterator[tuple[str, Span]]:
    """Every gap of a drug, each with its path in the drug's table."""
    for name in type(gaps).model_fields:
        one: Gap | None = getattr(gaps, name)
        if one is not None:
            yield f"{name}.gap", one.gap
            if one.early is not None:
                yield f"{name}.early.gap", one.early.gap
                if one.early.low_baseline_gap is not None:
                    yield f"{name}.early.low_baseline_gap", one.early.low_baseline_gap


def _low_baseline(data: OverdueData, gaps: Gaps, plan: Plan) -> tuple[int, Amounts, Time] | None:
    early = gaps.any.early if gaps.any is not None else None
    if early is None or early.low_baseline_below is None or data.low_baseline_within is None:
        return None
    anc = plan.analytes[plan.analyte_index["anc"]]
    return anc.index, anc.amounts(early.low_baseline_below), data.low_baseline_within.value


def gap_in_force(k: Overdue, p: Patient, state: DoseState, t: Time) -> tuple[Time, bool, Time] | None:
    """The gap at `t`, whether twice of it is critical, and until when it holds; None where nothing is asked for.

    Missing data makes no gap longer: an unknown phase counts as induction.
    """
    gap = _gap(k.gaps, state)
    if gap is None:
        return None
    early = gap.early
    if early is None or t > state.start + early.within.value:
        return gap.gap.value, gap.twice_is_critical, NEVER
    span = early.gap.value
    if (
        early.low_baseline_gap is not None
        and k.low_baseline is not None
        and _low_start(k.low_baseline, p, state.start) is not None
    ):
        span = early.low_baseline_gap.value
    return span, early.twice_is_critical, state.start + early.within.value


def _gap(gaps: Gaps, state: DoseState) -> Gap | None:
    if state.intent != INTENT_TREATMENT:
        return gaps.prophylaxis or gaps.any
    by_phase = gaps.maintenance if state.phase == MAINTAINING else gaps.induction
    return by_phase or gaps.treatment or gaps.any


def _low_start(low: tuple[int, Amounts, Time], p: Patient, start: Time) -> Lab | None:
    """The neutrophil count that a course began with, if it was low."""
    lab = _count_at_start(low, p, start)
    return lab if lab is not None and is_below(lab, low[1]) is True else None


def _count_at_start(low: tuple[int, Amounts, Time], p: Patient, start: Time) -> Lab | None:
    analyte, _, within = low
    series = p.series[analyte]
    i = series.last(start) if series is not None else -1
    return None if series is None or i < 0 or start - series.t[i] > within else series.x[i]


def oldest(p: Patient, tests: Tests, t: Time) -> tuple[Time, Lab | None]:
    """Of the latest results of each test at `t` the oldest; ALWAYS where a test has none."""
    found, which = NEVER, None
    for group in tests:
        latest, lab = ALWAYS, None
        for analyte in group:
            series = p.series[analyte]
            i = series.last(t) if series is not None else -1
            if series is not None and i >= 0 and series.t[i] > latest:
                latest, lab = series.t[i], series.x[i]
        if latest < found:
            found, which = latest, lab
    return found, which


def judge(k: Overdue, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised when due, by the clock; ended by the tests, or when the drug is no longer current."""
    state = p.state(k.drug, t)
    if state is None or t > state.current_until:
        return OVER, NEVER
    if k.quantifiable_within is not None and not _asks_for_load(k.quantifiable_within, p, k.drug, state, t):
        return GONE, NEVER
    force = gap_in_force(k, p, state, t)
    if force is None:
        return GONE, NEVER
    gap, twice, holds_until = force
    last = oldest(p, k.tests, t)[0]
    base = max(state.start, last)
    due = base + gap
    if level > 0 and last + k.shortest <= t < due:
        # Neither a gap that has grown since nor a new course makes up for the test that was missed.
        return level, min(state.current_until + 1, due)
    if t < due:
        return GONE, min(due, holds_until + 1)
    if due > p.clock:
        # Known ahead of the clock: what only time brings waits for it.
        p.judging.waits[t] = due
        return GONE, state.current_until + 1
    if twice and t >= base + 2 * gap:
        if base + 2 * gap <= p.clock:
            level = CRITICAL
        else:
            p.judging.waits[t] = base + 2 * gap
    following = base + 2 * gap if twice and level < CRITICAL and t < base + 2 * gap else NEVER
    return max(level, WARNING), min(state.current_until + 1, following)


def _asks_for_load(within: Time, p: Patient, drug: int, state: DoseState, t: Time) -> bool:
    """Whether a quantifiable load makes this a therapy for CMV; prophylaxis is watched without one."""
    if state.intent != INTENT_TREATMENT:
        return True
    therapy = therapy_at(p, state.start)
    joins = therapy is not None and (drug, state.start) in therapy.courses
    start = therapy.start if therapy is not None and joins else state.start
    return quantifiable_between(p, start - within, t)


def say(k: Overdue, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which tests, how old the last ones are, the gap and how long it has been passed."""
    state = p.state(k.drug, t)
    assert state is not None
    before = p.state(k.drug, episode.onset) or state
    gap, twice, _ = gap_in_force(k, p, before, episode.onset) or (k.shortest, False, NEVER)
    due = max(before.start, oldest(p, k.tests, episode.onset)[0]) + gap
    name = p.plan.drugs[k.drug].name
    phase = "prophylaxis" if state.intent != INTENT_TREATMENT else "maintenance" if state.phase == MAINTAINING else ""
    if not phase:
        phase = "treatment" if k.gaps.induction is None or state.phase == NO_PHASE else "induction"
        phase += _unknown_text(k, p, state, t)
    lines = []
    facts: list[Lab | Dose] = []
    for group in k.tests:
        at, lab = oldest(p, (group,), t)
        if lab is None:
            lines.append(f"{_names(p, group)}: no result on file")
        else:
            facts.append(lab)
            lines.append(f"{dated(p, lab)}, {duration_text(t - at)} ago")
    if len(facts) < len(k.tests):
        facts.append(first_dose(p, k.drug, state.start))
    gap_text = f"at most {duration_text(gap)} between tests"
    if twice:
        gap_text += f", critical from {duration_text(2 * gap)}"
    # No gap is shorter than the one that a low count brings, where a drug has one.
    low = _low_start(k.low_baseline, p, state.start) if k.low_baseline and gap == k.shortest else None
    if low is not None:
        gap_text += f", as the course began with {lab_text(p, low)}"
    late = f", {duration_text(t - due)} overdue" if t > due else ""
    parts = [
        "; ".join(lines),
        f"{name.capitalize()} {phase}, course since {clock_text(state.start)}: {gap_text}",
        f"Due since {clock_text(due)}{late}; no result is known that was collected since",
    ]
    promises = promises_text(p, k.code, state.start, _drawn(k, p, state, episode.onset, t))
    if promises:
        parts.append(promises)
    advice = k.data.advice.get("critical" if level == CRITICAL else "warning", "")
    title = f"{name.capitalize()}: {_in_sentence(k.data.title)}"
    return Words(title, ". ".join(parts) + ".", advice, tuple(facts), _figures(k, p, state, t))


def first_dose(p: Patient, drug: int, start: Time) -> Dose:
    """The dose that a course of a drug began with."""
    given = p.given[drug]
    return given.x[bisect_left(given.t, start)]


def _names(p: Patient, group: tuple[int, ...]) -> str:
    return " or ".join(p.plan.analytes[analyte].name for analyte in group)


def _figures(k: Overdue, p: Patient, state: DoseState, t: Time) -> Iterator[Figure]:
    """The time since each test, or the first dose, beside the gap and twice the gap; and what makes the gap."""
    force, gap = gap_in_force(k, p, state, t), _gap(k.gaps, state)
    assert force is not None
    assert gap is not None
    span, twice, _ = force
    table = f"drugs.{p.plan.drugs[k.drug].name}."
    part = next(name for name in type(k.gaps).model_fields if getattr(k.gaps, name) is gap)
    number = f"{table}{part}.gap"
    early = gap.early
    if early is not None:
        if t <= state.start + early.within.value:
            low = k.low_baseline is not None and _low_start(k.low_baseline, p, state.start) is not None
            number = f"{table}{part}.early.{'low_baseline_gap' if low else 'gap'}"
        lasts = t - state.start
        yield span_margin(
            "time since the first dose", lasts, early.within.value, "early up to", f"{table}{part}.early.within"
        )
    for group in k.tests:
        at, lab = oldest(p, (group,), t)
        since = t - max(state.start, at)
        what = f"time since the last {_names(p, group)}" if at >= state.start else "time since the first dose"
        yield span_margin(what, since, span, "overdue from", number)
        if twice:
            yield span_margin(what, since, 2 * span, "critical from, twice the gap,", number)
        if lab is not None:
            what = f"age of the last {_names(p, group)}"
            yield span_margin(what, t - at, k.shortest, "ends below", table + k.shortest_number)
    if k.low_baseline is not None:
        lab = _count_at_start(k.low_baseline, p, state.start)
        if lab is not None:
            path = f"{table}{part}.early.low_baseline_below"
            what = "neutrophils at the course's start"
            yield from lab_margin(p, lab, k.low_baseline[1], "shorter gap below", path, what)


def _unknown_text(k: Overdue, p: Patient, state: DoseState, t: Time) -> str:
    """Why a course counts as induction that may have been stepped down: its phase cannot be known."""
    renal = p.plan.drugs[k.drug].course.renal  # type: ignore[union-attr]
    if renal is None or not state.reads_renal or state.phase != INDUCTION or k.gaps.induction is None:
        return ""
    given = p.given[k.drug]
    known = clearance(p, given.t[given.last(t)], renal.per_kg, p.plan.renal.creatinine_age)
    return f" (or maintenance, not known at the last dose: {known})" if isinstance(known, str) else ""


def _drawn(k: Overdue, p: Patient, state: DoseState, onset: Time, t: Time) -> dict[int, Time]:
    """When each analyte was last collected; ALWAYS where it is overdue by the gap that the alert began with."""
    gap = (gap_in_force(k, p, state, onset) or (k.shortest,))[0]
    drawn: dict[int, Time] = {}
    for group in k.tests:
        at = oldest(p, (group,), t)[0]
        drawn |= dict.fromkeys(group, at if t < max(state.start, at) + gap else ALWAYS)
    return drawn


def _in_sentence(title: str) -> str:
    """A title after a colon: `Creatinine overdue` in lower case, `CMV DNA overdue` as it is."""
    return title if title[1].isupper() else title[0].lower() + title[1:]


# After therapy ---------------------------------------------------------------------------------------------------


class AfterTherapy(msgspec.Struct, gc=False, frozen=True):
    """Viral loads in the weeks after a joined therapy of a transplant patient."""

    code: str
    data: OverdueLoadData
    tests: Tests
    lasts: Time
    gap: Time
    quantifiable_within: Time


def _after_therapy(code: str, data: OverdueLoadData, plan: Plan, tests: Tests) -> Rule:
    k = AfterTherapy(
        code,
        data,
        tests,
        data.after_therapy_for.value,
        data.after_therapy_gap.value,
        data.quantifiable_within.value,
    )
    watched = [plan.drugs[drug].name for drug in sorted(plan.watched)]
    doses = tuple(plan.doses(name) for name in watched)
    return Rule(
        code,
        None,
        None,
        ("", "info"),
        judged=(*(plan.courses(name) for name in watched), TRANSPLANT, *tests[0]),
        needs=(doses, (TRANSPLANT,)),
        judge=partial(judge_after, k),
        say=partial(say_after, k),
        references=data.references,
        quiet=(*doses, PERSON),
        why={OVER: f"{duration_text(k.lasts)} have passed since the therapy, or treatment goes on"},
    )


def judge_after(k: AfterTherapy, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the clock for 8 weeks after the last dose, once the treatment courses have ended."""
    therapy = therapy_at(p, t)
    if therapy is None or t > therapy.last + k.lasts or p.transplant(t)[1] == "none":
        return OVER, NEVER
    ends = max((state.course_until for state in _treatments(p, t)), default=ALWAYS)
    if t <= ends:
        return OVER, ends + 1
    if not quantifiable_between(p, therapy.start - k.quantifiable_within, t):
        return GONE, NEVER
    due = max(max(therapy.start, oldest(p, k.tests, t)[0]) + k.gap, ends + 1)
    over = therapy.last + k.lasts + 1
    # A dose of prophylaxis ends the treatment course that it replaces.
    since = due if level > 0 else max(due, t)
    if t >= due and since > p.clock:
        # Known ahead of the clock: what only time brings waits for it.
        p.judging.waits[t] = since
        return GONE, over
    return (1, over) if t >= due else (GONE, min(due, over))


def _treatments(p: Patient, t: Time) -> list[DoseState]:
    states = [p.state(drug, t) for drug in p.given if drug in p.plan.watched]
    return [state for state in states if state is not None and state.intent == INTENT_TREATMENT]


def say_after(k: AfterTherapy, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """When therapy ended and when the last load was drawn."""
    therapy = therapy_at(p, t)
    at, lab = oldest(p, k.tests, t)
    assert therapy is not None
    since = max(therapy.start, at)
    parts = [
        f"{dated(p, lab)}, {duration_text(t - at)} ago" if lab is not None else "no result on file",
        (
            f"Joined therapy from {clock_text(therapy.start)} to {clock_text(therapy.last)}: at most"
            f" {duration_text(k.gap)} between loads for {duration_text(k.lasts)} after it"
        ),
        f"Due since {clock_text(since + k.gap)}",
    ]
    promises = promises_text(p, k.code, therapy.start)
    if promises:
        parts.append(promises)
    figures = (
        span_margin("time since the last CMV DNA", t - since, k.gap, "overdue from", "after_therapy_gap"),
        span_margin("time since the therapy", t - therapy.last, k.lasts, "ends after", "after_therapy_for"),
    )
    advice = k.data.advice.get("info", "")
    return Words("CMV DNA overdue after therapy", ". ".join(parts) + ".", advice, (lab,) if lab else (), figures)


KINDS = {
    "overdue-renal": Kind(OverdueData, build),
    "overdue-electrolytes": Kind(OverdueData, build),
    "overdue-blood-count": Kind(OverdueData, build),
    "overdue-viral-load": Kind(OverdueLoadData, build),
}
