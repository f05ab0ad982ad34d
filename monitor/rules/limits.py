"""Has a result fallen below a limit while the patient is exposed to a drug that lowers it?

One shape for neutrophils, platelets and hemoglobin on myelosuppressive antivirals and for magnesium, potassium and
phosphate on foscarnet. Where a table gives `recovered_once` and `recovered_twice`, an alert ends only by them; else by
any result back above. Numbers: the rules' own tables; CTCAE grades 3 and 4.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from monitor.exposure import Tails, drug_given_last, exposed_until, tails_of
from monitor.knowledge import Amount, AnalyteName, DrugName, Number, RuleData, Severity, Span, Tail
from monitor.margins import lab_figures
from monitor.patient import Patient, Series
from monitor.plan import TRANSPLANT, Amounts, Kind, Plan
from monitor.reading import is_below
from monitor.times import DAY, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, YIELDED, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.wording import amount_text, causes_text, cutoff_text, dated, drugs_text, transplant_text

WARNING, CRITICAL = 1, 2
HCT = ("hct-allogeneic", "hct-autologous")
STARTED_BELOW = "started-below-count-limits"


class LimitData(RuleData):
    """A table of this shape, such as `rules.neutropenia`."""

    analyte: AnalyteName
    drugs: dict[DrugName, Tail]
    below: Amount
    critical_below: Amount | None = None
    recovered_once: Amount | None = None
    recovered_twice: Amount | None = None
    named: dict[str, tuple[DrugName, ...]] = {}
    named_within: Span
    causes: tuple[DrugName, ...] = ()
    causes_within: Span | None = None
    advice_by_drug: dict[DrugName, dict[Severity, str]] = {}
    engrafted_from: Amount | None = None
    engrafted_counts: Number | None = None
    engrafted_by: Span | None = None


class Limit(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge. `stands`: for how long `started-below-count-limits` speaks for this."""

    data: LimitData
    analyte: int
    tails: Tails
    below: Amounts
    critical_below: Amounts | None
    recovered_once: Amounts | None
    recovered_twice: Amounts | None
    stands: Time
    engrafted_from: Amounts | None


def build(code: str, data: LimitData, plan: Plan) -> list[Rule]:
    """One rule for all the drugs that lower an analyte: an alert is for the drug given last at its onset."""
    analyte = plan.analytes[plan.analyte_index[data.analyte]]

    def amounts(amount: Amount | None) -> Amounts | None:
        return analyte.amounts(amount) if amount is not None else None

    started = plan.rule_data.get(STARTED_BELOW)
    covered = started is not None and data.analyte in getattr(started, "limits", {})
    k = Limit(
        data,
        analyte.index,
        tails_of(data.drugs, plan),
        analyte.amounts(data.below),
        amounts(data.critical_below),
        amounts(data.recovered_once),
        amounts(data.recovered_twice),
        started.stands_for.value if covered else 0,  # type: ignore[union-attr]
        amounts(data.engrafted_from),
    )
    doses = tuple(plan.doses(name) for name in data.drugs)
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning", "critical"),
            judged=(analyte.index,),
            needs=(doses, (analyte.index,)),
            judge=partial(judge, k),
            say=partial(say, k),
            references=data.references,
            quiet=doses,
            told=(TRANSPLANT, *(plan.doses(name) for names in (*data.named.values(), data.causes) for name in names)),
            follows=(STARTED_BELOW,) if k.stands else (),
            rank=1 if k.stands else 0,
            named=lambda p, t: drug_given_last(p, k.tails, t),
        )
    ]


def judge(k: Limit, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a result collected while exposed; ended by recovery or with the exposure."""
    series = p.series[k.analyte]
    i = series.last(t) if series is not None else -1
    until = exposed_until(p, k.tails, t)
    if t > until:
        return OVER, NEVER
    may_speak = series is not None and i >= 0 and series.t[i] == t
    if k.stands:
        started = p.latest_episode(STARTED_BELOW, t)
        if started is not None:
            # A new course that begins below the limits while the alert stands has 48 h of its own.
            stood = t if started.end is None else min(t, started.end - 1)
            course = p.state(p.plan.drug_index[started.drug or ""], stood)
            first = started.onset if course is None else max(started.onset, course.start)
            yields_until = min(first + k.stands + 1, NEVER if started.end is None else started.end)
            if t < yields_until and level <= 0:
                return YIELDED, yields_until
            since = series is not None and i >= 0 and series.t[i] >= first
            may_speak = may_speak or (t == yields_until and since)
    if level <= 0 and not may_speak:
        return GONE, NEVER
    assert series is not None
    found = _level(k, series, i)
    if level <= 0:
        if not found or exposed_until(p, k.tails, series.t[i]) < series.t[i]:
            return GONE, NEVER
        return found, until + 1
    if found is None or (found == GONE and not _recovered(k, series, i)):
        found = level if found is None else WARNING
    return (found, until + 1) if found else (GONE, NEVER)


def _level(k: Limit, series: Series, i: int) -> Level | None:
    """What the latest result alone says; None where it is censored and leaves it open."""
    lab = series.x[i]
    if k.critical_below is not None and is_below(lab, k.critical_below):
        return CRITICAL
    below = is_below(lab, k.below)
    return None if below is None else WARNING if below else GONE


def _recovered(k: Limit, series: Series, i: int) -> bool:
    """Back above, once far enough or twice running."""
    if k.recovered_once is None or k.recovered_twice is None:
        return True
    if is_below(series.x[i], k.recovered_once) is False:
        return True
    return i > 0 and all(is_below(series.x[j], k.recovered_twice) is False for j in (i, i - 1))


def say(k: Limit, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The result, its limits, and what else lowers it or is being done about it."""
    series = p.series[k.analyte]
    assert series is not None
    i = series.last(t)
    lab = series.x[i]
    analyte = p.plan.analytes[k.analyte]
    limits = [f"warning below {cutoff_text(analyte, k.below, lab)}"]
    if k.critical_below is not None:
        limits.append(f"critical below {cutoff_text(analyte, k.critical_below, lab)}")
    parts = [f"{dated(p, lab)} ({', '.join(limits)})"]
    if k.recovered_once is not None and k.recovered_twice is not None:
        parts.append(
            f"It ends at {cutoff_text(analyte, k.recovered_once, lab)} or more once, or at"
            f" {cutoff_text(analyte, k.recovered_twice, lab)} or more twice running"
        )
    if i > 0:
        parts.append(f"Before: {_earlier(p, series, i)}")
    last, which = p.last_dose(tuple(drug for drug, _ in k.tails), t)
    start = p.state_start(which, t)
    parts.append(f"Course of {p.plan.drugs[which].name} since {clock_text(start)}, last dose {clock_text(last)}")
    parts += _engraftment(k, p, series, i)
    within = k.data.named_within.value
    for what, names in k.data.named.items():
        text = drugs_text(p, names, t, within)
        if text:
            parts.append(f"{what.capitalize() if what.islower() else what} within {duration_text(within)}: {text}")
    if k.data.causes_within is not None:
        causes = causes_text(p, k.data.causes, t, k.data.causes_within.value)
        if causes:
            parts.append(causes)
    title = f"{(episode.drug or '').capitalize()}: {analyte.name} {amount_text(p, lab)}"
    advices = k.data.advice_by_drug.get(episode.drug or "", k.data.advice)
    advice = advices.get("critical" if level == CRITICAL else "warning", "")
    facts = tuple(series.x[max(0, i - 1) : i + 1][::-1])
    return Words(title, ". ".join(parts) + ".", advice, facts, _figures(k, p, lab))


def _figures(k: Limit, p: Patient, lab: Lab) -> Iterator[Figure]:
    """The result beside each limit of the alert, and beside what ends it."""
    limits = [("warning below", k.below, "below"), ("critical below", k.critical_below, "critical_below")]
    if k.recovered_once is None:
        limits.append(("ends from", k.below, "below"))
    limits.append(("ends from, once", k.recovered_once, "recovered_once"))
    limits.append(("ends from, twice running", k.recovered_twice, "recovered_twice"))
    for what, cutoffs, number in limits:
        if cutoffs is not None:
            yield from lab_figures(p, lab, (what, cutoffs, number))


def _engraftment(k: Limit, p: Patient, series: Series, i: int) -> list[str]:
    """That a stem cell graft is not seen to have taken, where that may be why a count is low."""
    at = series.t[i]
    grafted, kind = p.transplant(at)
    if k.engrafted_from is None or k.data.engrafted_counts is None or k.data.engrafted_by is None:
        return []
    if kind not in HCT or at - grafted > k.data.engrafted_by.value:
        return []
    needed = int(k.data.engrafted_counts.value)
    running = most = 0
    fallen = False
    for lab in series.x[series.last(grafted) + 1 : i + 1]:
        below = is_below(lab, k.engrafted_from) is not False
        running = 0 if below else running + 1
        most = max(most, running) if fallen or not below else 0
        fallen = fallen or below
    if most >= needed:
        return []
    limit = cutoff_text(p.plan.analytes[k.analyte], k.engrafted_from, series.x[i])
    day = f"Day {(at - grafted) // DAY} after {transplant_text(kind)}"
    return [f"{day}: engraftment is not documented ({needed} counts running at {limit} or more, once they had fallen)"]


def _earlier(p: Patient, series: Series, i: int) -> str:
    labs: list[Lab] = series.x[max(0, i - 3) : i]
    return ", ".join(f"{amount_text(p, lab)} on {clock_text(lab.at)}" for lab in reversed(labs))


KINDS = {
    code: Kind(LimitData, build)
    for code in (
        "neutropenia",
        "thrombocytopenia",
        "anemia",
        "hypomagnesemia",
        "hypokalemia",
        "hypophosphatemia",
    )
}
