"""Was CMV DNA not drawn in time after an allogeneic transplant without antivirals, and were immunosuppressant levels
not drawn after letermovir or maribavir came or went?

Numbers: `rules.overdue-surveillance`, `rules.overdue-immunosuppressant-level`.
"""

from bisect import bisect_left
from functools import partial

import msgspec

from monitor.actions import promises_text
from monitor.at_dose import doses_named
from monitor.knowledge import AnalyteName, DrugName, RuleData, Span
from monitor.margins import span_margin
from monitor.patient import Patient
from monitor.plan import PERSON, TRANSPLANT, Kind, Plan
from monitor.times import ALWAYS, DAY, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, WAITING, Dose, Episode, Figure, Level, Rule, Verdict, Words
from monitor.wording import dated, transplant_text


class SurveillanceData(RuleData):
    """`rules.overdue-surveillance`."""

    test: AnalyteName
    transplants: tuple[str, ...]
    from_day: Span
    to_day: Span
    gap: Span
    seen_within: Span


class Surveillance(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    code: str
    data: SurveillanceData
    test: int
    watched: tuple[int, ...]
    from_day: Time
    to_day: Time
    gap: Time
    seen_within: Time


def build_surveillance(code: str, data: SurveillanceData, plan: Plan) -> list[Rule]:
    """One rule."""
    watched = tuple(sorted(plan.watched))
    k = Surveillance(
        code,
        data,
        plan.analyte_index[data.test],
        watched,
        data.from_day.value,
        data.to_day.value,
        data.gap.value,
        data.seen_within.value,
    )
    doses = doses_named(plan, tuple(plan.drugs[drug].name for drug in watched))
    anything = (
        *(analyte.index for analyte in plan.analytes if analyte.index != k.test),
        *(plan.doses(drug.name) for drug in plan.drugs if not drug.course),
    )
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning"),
            judged=(k.test, TRANSPLANT, *(plan.courses(plan.drugs[drug].name) for drug in watched)),
            needs=((TRANSPLANT,), (k.test,)),
            judge=partial(judge_surveillance, k),
            say=partial(say_surveillance, k),
            references=data.references,
            lazy=anything,
            quiet=(PERSON, *doses),
            why={OVER: f"an antiviral course began, or {duration_text(k.to_day)} have passed since the transplant"},
        )
    ]


def judge_surveillance(k: Surveillance, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the clock between day 14 and 100; ended by a PCR, a course or day 100."""
    serology = p.donor, p.recipient
    if p.transplant(t)[1] not in k.data.transplants or serology == ("negative", "negative"):
        return OVER, NEVER
    verdict, due = _judge(k, p, t, level)
    if verdict > 0 and "positive" not in serology:
        p.note("CMV serology of donor or recipient unknown", t)
        return OVER, due
    return verdict, due


def _judge(k: Surveillance, p: Patient, t: Time, level: Level) -> Verdict:
    """The verdict where donor or recipient is positive."""
    transplanted = p.transplant(t)[0]
    if transplanted == ALWAYS:
        p.note("no date of the transplant", t)
        return OVER, NEVER
    course_until = _course_until(k, p, t)
    if t <= course_until:
        return OVER, course_until + 1
    over = transplanted + k.to_day + 1
    series = p.series[k.test]
    i = series.last(t) if series is not None else -1
    if t >= over or series is None or i < 0:
        return OVER, NEVER
    if level > 0 and series.t[i] < t:
        # Another transplant does not make up for the test that was missed.
        return level, over
    due = max(series.t[i] + k.gap, transplanted + k.from_day, course_until + 1)
    if t < due:
        return GONE, min(due, over)
    if due > p.clock:
        # Known ahead of the clock: what only time brings waits for it.
        p.judging.waits[t] = due
        return GONE, over
    # Somebody of whom nothing is heard is not there to be drawn: wait for any sign.
    return (1, over) if t - p.last_seen(t) <= k.seen_within else (WAITING, over)


def _course_until(k: Surveillance, p: Patient, t: Time) -> Time:
    """When the last of the courses so far is over."""
    states = (p.state(drug, t) for drug in k.watched if drug in p.given)
    return max((state.course_until for state in states if state is not None), default=ALWAYS)


def say_surveillance(k: Surveillance, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The day after transplant and the last PCR."""
    transplanted, kind = p.transplant(t)
    series = p.series[k.test]
    assert series is not None
    lab = series.x[series.last(t)]
    day = (t - transplanted) // DAY
    due = max(lab.at + k.gap, transplanted + k.from_day, _course_until(k, p, t) + 1)
    parts = [
        (
            f"Day {day} after {transplant_text(kind)}, donor {p.donor or 'unknown'},"
            f" recipient {p.recipient or 'unknown'}, no antiviral course"
        ),
        f"{dated(p, lab)}, {duration_text(t - lab.at)} ago; at most {duration_text(k.gap)} between tests",
        f"Due since {clock_text(due)}",
    ]
    promises = promises_text(p, k.code, lab.at)
    if promises:
        parts.append(promises)
    figures = (
        span_margin("time since the last CMV DNA", t - lab.at, k.gap, "overdue from", "gap"),
        span_margin("time since the transplant", t - transplanted, k.from_day, "asked for from", "from_day"),
        span_margin("time since the transplant", t - transplanted, k.to_day, "ends after", "to_day"),
        span_margin(
            "time since the last sign of the patient", t - p.last_seen(t), k.seen_within, "up to", "seen_within"
        ),
    )
    advice = k.data.advice.get("warning", "")
    return Words(f"CMV surveillance overdue on day {day}", ". ".join(parts) + ".", advice, (lab,), figures)


# Levels ------------------------------------------------------------------------------------------------------------


class LevelsData(RuleData):
    """`rules.overdue-immunosuppressant-level`."""

    drugs: tuple[DrugName, ...]
    given_within: Span
    gap: Span
    given_up_after: Span
    levels: dict[DrugName, AnalyteName]


class Levels(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one antiviral, ready to judge."""

    code: str
    data: LevelsData
    drug: int
    given_within: Time
    gap: Time
    given_up_after: Time
    levels: tuple[tuple[int, int], ...]


def build_levels(code: str, data: LevelsData, plan: Plan) -> list[Rule]:
    """A rule for each antiviral."""
    levels = tuple((plan.drug_index[drug], plan.analyte_index[level]) for drug, level in data.levels.items())
    others = doses_named(plan, tuple(data.levels))
    rules = []
    for name in data.drugs:
        k = Levels(
            code,
            data,
            plan.drug_index[name],
            data.given_within.value,
            data.gap.value,
            data.given_up_after.value,
            levels,
        )
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning"),
                judged=(plan.courses(name),),
                needs=((plan.doses(name),), others),
                judge=partial(judge_levels, k),
                say=partial(say_levels, k),
                references=data.references,
                lazy=tuple(level for _, level in levels),
                quiet=(plan.doses(name), *others),
                why={OVER: f"given up: no level was collected for {duration_text(data.given_up_after.value)}"},
            )
        )
    return rules


def judge_levels(k: Levels, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by the clock 7 d after a start or a stop; ended by the levels."""
    found = []
    following = NEVER
    for since, _ in events(k, p, t):
        due, given_up = since + k.gap, since + k.given_up_after + 1
        if t < due:
            following = min(following, due)
        elif due > p.clock:
            # Known ahead of the clock: what only time brings waits for it.
            p.judging.waits[t] = min(due, p.judging.waits.get(t, NEVER))
        elif _missing(k, p, since, t):
            found.append(given_up)
    state = p.state(k.drug, t)
    if state is not None and t <= state.course_until:
        following = min(following, state.course_until + 1)
    if found:
        return 1, min(following, max(found))
    return (OVER if level > 0 and _given_up(k, p, t) else GONE), following


def _given_up(k: Levels, p: Patient, t: Time) -> bool:
    """Whether time alone has ended it: a level that was missing just before is missing still."""
    return any(t - 1 >= since + k.gap and _missing(k, p, since, t) for since, _ in events(k, p, t - 1))


def events(k: Levels, p: Patient, t: Time) -> list[tuple[Time, bool]]:
    """The starts and (True) the stops of the antiviral's courses that are not too long ago, latest first."""
    given = p.given.get(k.drug)
    i = given.last(t) if given is not None else -1
    found: list[tuple[Time, bool]] = []
    while given is not None and i >= 0 and t - given.t[i] <= k.given_up_after:
        state = given.s[i]
        if t > state.course_until:
            found.append((given.t[i], True))
        if t - state.start <= k.given_up_after:
            found.append((state.start, False))
        i = bisect_left(given.t, state.start) - 1
    return found


def _missing(k: Levels, p: Patient, since: Time, t: Time) -> list[int]:
    """The immunosuppressants given before the start or stop without a level collected after it."""
    missing = []
    for drug, analyte in k.levels:
        given = p.given.get(drug)
        i = given.last(since) if given is not None else -1
        if given is None or i < 0 or since - given.t[i] > k.given_within:
            continue
        series = p.series[analyte]
        j = series.last(t) if series is not None else -1
        if series is None or j < 0 or series.t[j] <= since:
            missing.append(drug)
    return missing


def say_levels(k: Levels, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """Which level, and after what."""
    since, stopped, missing = next(
        (since, stopped, missing)
        for since, stopped in events(k, p, t)
        if t >= since + k.gap and (missing := _missing(k, p, since, t))
    )
    names = ", ".join(p.plan.drugs[drug].name for drug in missing)
    name = p.plan.drugs[k.drug].name
    what = "stopped" if stopped else "started"
    parts = [
        (
            f"{name.capitalize()} {what} on {clock_text(since)} with {names} given in the"
            f" {duration_text(k.given_within)} before; no level collected since (due within {duration_text(k.gap)})"
        ),
        f"Due since {clock_text(since + k.gap)}",
    ]
    promises = promises_text(p, k.code, since)
    if promises:
        parts.append(promises)
    facts: list[Dose] = [p.given[k.drug].x[p.given[k.drug].last(since)]]
    then = f"time since {name} was {what}"
    figures: list[Figure] = [
        span_margin(then, t - since, k.gap, "overdue from", "gap"),
        span_margin(then, t - since, k.given_up_after, "given up after", "given_up_after"),
    ]
    for drug in missing:
        given = p.given[drug]
        dose = given.x[given.last(since)]
        facts.append(dose)
        before = f"{p.plan.drugs[drug].name} before {name} was {what}"
        figures.append(span_margin(before, since - dose.at, k.given_within, "counts up to", "given_within"))
    title = f"{names.capitalize()} level overdue since {name} was {what}"
    advice = k.data.advice.get("warning", "")
    return Words(title, ". ".join(parts) + ".", advice, tuple(facts), tuple(figures))


KINDS = {
    "overdue-surveillance": Kind(SurveillanceData, build_surveillance),
    "overdue-immunosuppressant-level": Kind(LevelsData, build_levels),
}
