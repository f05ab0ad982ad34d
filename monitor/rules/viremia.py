"""Does the virus come: without treatment, after it, through prophylaxis, or again on therapy?

Each reads its series load by load: what is raised stays until treatment begins or the series is clear. Numbers:
`viral`, `rules.preemptive-treatment-indicated`, `rules.relapse`, `rules.breakthrough-on-prophylaxis`,
`rules.viral-rebound`.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec

from monitor.at_dose import doses_named
from monitor.knowledge import DrugName, RuleData, Span
from monitor.margins import decades_margin, lab_margin, span_margin
from monitor.patient import Patient, Reading
from monitor.plan import INTENT_PROPHYLAXIS, PERSON, TRANSPLANT, Kind, Plan
from monitor.rules.clearance import CLEARANCE
from monitor.rules.response import PROBABLE, REFRACTORY
from monitor.therapy import days_by, going_on_until, treatment_times, went_on
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, YIELDED, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.virology import CLEAR, NUMBER, in_series, is_bound, readings, rises, treating_now
from monitor.wording import amount_text, cutoff_text, dated, days_text, transplant_text

RELAPSE = "relapse"


class Hit(NamedTuple):
    """A load that a rule speaks of, the one before it where two are needed, and why."""

    load: Reading
    before: Reading | None
    why: str


Raises = Callable[[Patient, Reading], Hit | None]


class Renewal(NamedTuple):
    """The quantifiable loads, of whatever series, that keep an alert alive, how far apart they may lie, and the
    clock.
    """

    heard: list[Reading]
    within: Time
    now: Time


def standing(p: Patient, found: list[Reading], raises: Raises, renewal: Renewal | None = None) -> Hit | None:
    """What stands after some loads, of whichever series: raised by a load, ended by a treatment dose, a clear load of
    its series, or (where alerts need renewal) by too long a time without a quantifiable load.
    """
    latest: Hit | None = None
    for series in in_series(found):
        held: Hit | None = None
        for one in series:
            if one.state == CLEAR:
                held = None
            if held is not None and _treated_between(p, held.load.at, one.at):
                held = None
            if held is not None and renewal is not None and _silent(renewal, held.load.at, one.at):
                held = None
            if one.state == NUMBER:
                hit = raises(p, one)
                if hit is not None or held is not None:
                    held = hit or held
        if held is None or (renewal is not None and _silent(renewal, held.load.at, renewal.heard[-1].at)):
            continue
        if latest is None or held.load.at > latest.load.at:
            latest = held
    return latest


def _treated_between(p: Patient, since: Time, until: Time) -> bool:
    times = treatment_times(p)
    return bisect_right(times, until) > bisect_right(times, since)


def _silent(renewal: Renewal, since: Time, until: Time) -> bool:
    within = renewal.within
    times = [one.at for one in renewal.heard if since <= one.at <= until]
    # A load that runs ahead of the clock is there before the time without one has ended anything.
    ended = any(b - a > within and a + within < renewal.now for a, b in itertools.pairwise(times))
    return ended or until - times[-1] > within


def _inputs(plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    drugs = tuple(plan.drugs[drug].name for drug in sorted(plan.watched))
    return doses_named(plan, drugs), tuple(plan.courses(drug) for drug in drugs)


def _say(p: Patient, title: str, hit: Hit, more: str, advice: str, figures: Iterable[Figure]) -> Words:
    parts = [f"{dated(p, hit.load.lab)}: {hit.why}"]
    facts = [hit.load.lab]
    if hit.before is not None:
        parts.append(f"Before it {dated(p, hit.before.lab)}")
        facts.append(hit.before.lab)
    parts.append(more)
    detail = ". ".join(parts) + "."
    return Words(f"{title}: {amount_text(p, hit.load.lab)}", detail, advice, tuple(facts), figures)


def _high(p: Patient, hit: Hit) -> tuple[Figure, ...]:
    return lab_margin(p, hit.load.lab, p.plan.viral.high, "raised once from", "viral.high")


def _low(p: Patient, hit: Hit) -> Iterator[Figure]:
    """The load and the one before it beside what two in succession reach."""
    low = p.plan.viral.low
    yield from lab_margin(p, hit.load.lab, low, "raised twice from", "viral.low")
    before = hit.load.before
    if before is not None and before.state == NUMBER:
        yield from lab_margin(p, before.lab, low, "raised twice from", "viral.low", "CMV DNA before it")


def _at_least(p: Patient, lab: Lab, cutoffs: tuple[int, ...]) -> str:
    return f"at or above {cutoff_text(p.plan.analytes[p.plan.cmv], cutoffs, lab)}"


# Pre-emptive treatment ---------------------------------------------------------------------------------------------


class PreemptiveData(RuleData):
    """`rules.preemptive-treatment-indicated`; thresholds in `viral`."""

    loinc: tuple[str, ...]
    consecutive_within: Span
    load_age: Span


class Preemptive(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge."""

    data: PreemptiveData
    loinc: frozenset[str]
    consecutive_within: Time
    load_age: Time


def build_preemptive(code: str, data: PreemptiveData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Preemptive(data, frozenset(data.loinc), data.consecutive_within.value, data.load_age.value)
    watched, courses = _inputs(plan)
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning"),
            judged=(plan.cmv, *courses),
            needs=((plan.cmv,), (TRANSPLANT,)),
            judge=partial(judge_preemptive, k),
            say=partial(say_preemptive, k),
            references=data.references,
            lazy=watched,
            quiet=(TRANSPLANT, PERSON),
            follows=(RELAPSE,),
            rank=6,
            why={OVER: f"no new load for {duration_text(k.load_age)}"},
        )
    ]


def judge_preemptive(k: Preemptive, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a load; ended by treatment, a clear load, or 14 d without one."""
    verdict, due = _judge_preemptive(k, p, t, partial(_indicated, k))
    if verdict <= 0 and _may_mismatch(p, t):
        mismatched, _ = _judge_preemptive(k, p, t, partial(_indicated, k, mismatch=True))
        if mismatched > 0:
            p.note("CMV serology of donor or recipient unknown", t)
    return verdict, due


def _may_mismatch(p: Patient, t: Time) -> bool:
    """Whether a negative recipient may have an organ of a positive donor, for all that is known."""
    donor, recipient = p.donor, p.recipient
    unknown = None in (donor, recipient) and donor != "negative" and recipient != "positive"
    return unknown and p.transplant(t)[1] == "solid-organ"


def _judge_preemptive(k: Preemptive, p: Patient, t: Time, raises: Raises) -> Verdict:
    heard = _heard(p, t)
    hit = standing(p, _of_blood(k, p, t), raises, Renewal(heard, k.load_age, p.clock))
    if hit is None or _treated_between(p, hit.load.at, t):
        return GONE, NEVER
    until = heard[-1].at + k.load_age
    if t > until:
        return OVER, NEVER
    relapse = p.latest_episode(RELAPSE, t)
    if relapse is not None and (relapse.end is None or relapse.end > t):
        return YIELDED, NEVER
    if relapse is not None and relapse.end is not None and relapse.end > hit.load.at:
        # Replaced for good: only a load after that raises it anew.
        return GONE, NEVER
    return 1, until + 1


def _of_blood(k: Preemptive, p: Patient, t: Time) -> list[Reading]:
    return [one for one in readings(p, t) if one.lab.loinc in k.loinc]


def _heard(p: Patient, t: Time) -> list[Reading]:
    return [one for one in readings(p, t) if one.state == NUMBER]


def _indicated(k: Preemptive, p: Patient, one: Reading, *, mismatch: bool = False) -> Hit | None:
    _, kind = p.transplant(one.at)
    if kind not in ("hct-allogeneic", "solid-organ") or treating_now(p, one.at):
        return None
    viral, lab, before = p.plan.viral, one.lab, one.before
    if lab.unit in p.plan.analytes[p.plan.cmv].apart:
        return None
    if lab.canon >= viral.high[lab.unit]:
        return Hit(one, None, _at_least(p, lab, viral.high))
    if kind == "hct-allogeneic":
        if (
            before is not None
            and before.state == NUMBER
            and one.at - before.at <= k.consecutive_within
            and min(lab.canon, before.lab.canon) >= viral.low[lab.unit]
        ):
            return Hit(one, before, f"the second in succession {_at_least(p, lab, viral.low)}")
    elif mismatch or (p.donor == "positive" and p.recipient == "negative"):
        return Hit(one, None, "quantifiable, donor positive and recipient negative")
    return None


def say_preemptive(k: Preemptive, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The loads and the transplant."""
    heard = _heard(p, t)
    hit = standing(p, _of_blood(k, p, t), partial(_indicated, k), Renewal(heard, k.load_age, p.clock))
    assert hit is not None
    at, kind = p.transplant(t)
    when = f"of {clock_text(at)}" if at != ALWAYS else "of unknown date"
    more = f"{transplant_text(kind)} {when}, donor {p.donor or 'unknown'}, recipient {p.recipient or 'unknown'}"
    advice, figures = k.data.advice.get("warning", ""), _figures(k, p, hit, kind, t - heard[-1].at)
    return _say(p, k.data.title, hit, f"{more}. No treatment course is current", advice, figures)


def _figures(k: Preemptive, p: Patient, hit: Hit, kind: str, age: Time) -> Iterator[Figure]:
    """The load beside the limits of the transplant's kind, and the age of the last load."""
    yield from _high(p, hit)
    before = hit.load.before
    if kind == "hct-allogeneic":
        yield from _low(p, hit)
    if kind == "hct-allogeneic" and before is not None:
        apart = hit.load.at - before.at
        yield span_margin("time between the two loads", apart, k.consecutive_within, "up to", "consecutive_within")
    yield span_margin("age of the last load", age, k.load_age, "ends after", "load_age")


# Relapse -----------------------------------------------------------------------------------------------------------


class RelapseData(RuleData):
    """`rules.relapse`; numbers in `viral`."""


class Relapse(msgspec.Struct, gc=False, frozen=True):
    """The question, ready to judge."""

    data: RelapseData


def build_relapse(code: str, data: RelapseData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Relapse(data)
    watched, courses = _inputs(plan)
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning"),
            judged=(plan.cmv, *courses),
            needs=((plan.cmv,), watched),
            judge=partial(judge_relapse, k),
            say=partial(say_relapse, k),
            references=data.references,
            lazy=watched,
            follows=(CLEARANCE,),
            rank=5,
        )
    ]


def judge_relapse(k: Relapse, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a load after therapy; ended by treatment or a clear load."""
    hit = standing(p, readings(p, t), _relapsed)
    return (1, NEVER) if hit is not None and not _treated_between(p, hit.load.at, t) else (GONE, NEVER)


def _relapsed(p: Patient, one: Reading) -> Hit | None:
    therapy = one.therapy
    if therapy is None or not therapy.last < one.at <= therapy.last + p.plan.viral.after_therapy:
        return None
    clearance = p.latest_episode(CLEARANCE, one.at)
    if clearance is None or clearance.onset < therapy.start or clearance.onset == one.at or treating_now(p, one.at):
        return None
    return _again(p, one, clearance.onset)


def _again(p: Patient, one: Reading, since: Time) -> Hit | None:
    """A load that is high, or the second quantifiable one in succession after a time."""
    lab, before, high = one.lab, one.before, p.plan.viral.high
    if lab.canon >= high[lab.unit]:
        return Hit(one, None, _at_least(p, lab, high))
    if before is not None and before.state == NUMBER and before.at > since:
        return Hit(one, before, "the second quantifiable load in succession")
    return None


def say_relapse(k: Relapse, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The loads and the therapy before them."""
    hit = standing(p, readings(p, t), _relapsed)
    assert hit is not None
    therapy = hit.load.therapy
    assert therapy is not None
    more = (
        f"Joined therapy from {clock_text(therapy.start)} to {clock_text(therapy.last)} had reached clearance;"
        f" {duration_text(hit.load.at - therapy.last)} after it"
    )
    after = hit.load.at - therapy.last
    within = span_margin("time since the therapy", after, p.plan.viral.after_therapy, "up to", "viral.after_therapy")
    return _say(p, k.data.title, hit, more, k.data.advice.get("warning", ""), (*_high(p, hit), within))


# Breakthrough ------------------------------------------------------------------------------------------------------


class BreakthroughData(RuleData):
    """`rules.breakthrough-on-prophylaxis`; thresholds in `viral`."""

    rising: tuple[DrugName, ...]
    twice: tuple[DrugName, ...]


class Breakthrough(msgspec.Struct, gc=False, frozen=True):
    """The drugs, ready to judge."""

    data: BreakthroughData
    rising: tuple[int, ...]
    twice: tuple[int, ...]


def build_breakthrough(code: str, data: BreakthroughData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Breakthrough(
        data,
        tuple(plan.drug_index[name] for name in data.rising),
        tuple(plan.drug_index[name] for name in data.twice),
    )
    watched, courses = _inputs(plan)
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning"),
            judged=(plan.cmv, *courses),
            needs=((plan.cmv,), doses_named(plan, (*data.rising, *data.twice))),
            judge=partial(judge_breakthrough, k),
            say=partial(say_breakthrough, k),
            references=data.references,
            lazy=watched,
        )
    ]


def judge_breakthrough(k: Breakthrough, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a load on prophylaxis; ended by treatment or a clear load."""
    hit = standing(p, readings(p, t), partial(_breaks_through, k))
    return (1, NEVER) if hit is not None and not _treated_between(p, hit.load.at, t) else (GONE, NEVER)


def _breaks_through(k: Breakthrough, p: Patient, one: Reading) -> Hit | None:
    lab, before, viral = one.lab, one.before, p.plan.viral
    if treating_now(p, one.at):
        return None
    second = before if before is not None and before.state == NUMBER else None
    if _on_prophylaxis(p, k.rising, one.at) is not None:
        if lab.canon >= viral.high[lab.unit]:
            return Hit(one, None, _at_least(p, lab, viral.high))
        if second is not None and second.lab.canon >= viral.low[lab.unit] and lab.canon > second.lab.canon:
            return Hit(one, second, f"the second in succession {_at_least(p, lab, viral.low)}, and rising")
    if _on_prophylaxis(p, k.twice, one.at) is not None and second is not None:
        return Hit(one, second, "the second quantifiable load in succession")
    return None


def _on_prophylaxis(p: Patient, drugs: tuple[int, ...], t: Time) -> int | None:
    for drug in drugs:
        state = p.state(drug, t)
        if state is not None and state.intent == INTENT_PROPHYLAXIS and t <= state.current_until:
            return drug
    return None


def say_breakthrough(k: Breakthrough, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The loads and the prophylaxis."""
    hit = standing(p, readings(p, t), partial(_breaks_through, k))
    assert hit is not None
    at = hit.load.at
    names = [
        f"{p.plan.drugs[drug].name} since {clock_text(p.state_start(drug, at))}"
        for drug in (*k.rising, *k.twice)
        if _on_prophylaxis(p, (drug,), at) is not None
    ]
    rising = _on_prophylaxis(p, k.rising, at) is not None
    figures = (*_high(p, hit), *_low(p, hit)) if rising else ()
    return _say(p, k.data.title, hit, f"Prophylaxis: {', '.join(names)}", k.data.advice.get("warning", ""), figures)


# Rebound -----------------------------------------------------------------------------------------------------------


class ReboundData(RuleData):
    """`rules.viral-rebound`; numbers in `viral`."""


class Rebound(msgspec.Struct, gc=False, frozen=True):
    """The question, ready to judge."""

    data: ReboundData


def build_rebound(code: str, data: ReboundData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Rebound(data)
    watched, courses = _inputs(plan)
    return [
        Rule(
            code,
            None,
            None,
            ("", "warning"),
            judged=(plan.cmv,),
            needs=((plan.cmv,), watched),
            judge=partial(judge_rebound, k),
            say=partial(say_rebound, k),
            references=data.references,
            lazy=courses,
            quiet=watched,
            follows=(REFRACTORY, PROBABLE, CLEARANCE),
            rank=5,
            why={OVER: "the therapy ended"},
        )
    ]


def judge_rebound(k: Rebound, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a load on therapy; ended by a clear load or with the therapy; yields to refractory virus."""
    hit = _rebounding(p, readings(p, t))
    if hit is None or hit.load.therapy is None:
        return GONE, NEVER
    if not went_on(p, hit.load.therapy, hit.load.at, t):
        return OVER, NEVER
    until = going_on_until(p, hit.load.therapy, t)
    for code in (REFRACTORY, PROBABLE):
        worse = p.latest_episode(code, t)
        if worse is not None and (worse.end is None or worse.end > t):
            return YIELDED, until + 1
        if worse is not None and worse.end is not None and worse.end > hit.load.at:
            # Replaced for good: only a load after that raises it anew.
            return GONE, NEVER
    return 1, until + 1


def _rebounding(p: Patient, found: list[Reading]) -> Hit | None:
    latest: Hit | None = None
    for series in in_series(found):
        held: Hit | None = None
        for i, one in enumerate(series):
            therapy = one.therapy
            if one.state == CLEAR or (held is not None and _therapy_over(p, held, one)):
                held = None
            if one.state == NUMBER and therapy is not None and one.treated:
                held = _rebound(p, series, i) or held
        if held is not None and (latest is None or held.load.at > latest.load.at):
            latest = held
    return latest


def _therapy_over(p: Patient, held: Hit, one: Reading) -> bool:
    therapy = held.load.therapy
    return therapy is None or not went_on(p, therapy, held.load.at, one.at)


def _rebound(p: Patient, series: list[Reading], i: int) -> Hit | None:
    one, viral = series[i], p.plan.viral
    therapy, before = one.therapy, one.before
    assert therapy is not None
    twice = therapy.days > viral.treatment_days and before is not None and before.state == NUMBER
    if twice and before is not None and days_by(p, therapy, before.at) > viral.treatment_days:
        nadir = _nadir(series, i, therapy.start)
        if nadir is not None and all(
            rises(two.lab.canon, nadir, viral.rebound_rise, log=one.log) >= 0 for two in (before, one)
        ):
            return Hit(one, before, "the second in succession 0.5 log10 or more above the nadir")
    clearance = p.latest_episode(CLEARANCE, one.at)
    if clearance is None or clearance.onset < therapy.start or clearance.onset == one.at:
        return None
    hit = _again(p, one, clearance.onset)
    limit = f"the limit of {viral.treatment_days} treatment days does not apply"
    more = f"after clearance on {clock_text(clearance.onset)}, where {limit}"
    return hit and Hit(hit.load, hit.before, f"{hit.why}, {more}")


def _nadir(series: list[Reading], i: int, start: Time) -> int | None:
    """The least number of a series from a time to the load before the last but one, bounds left out."""
    since = [other.lab for other in series[: max(0, i - 1)] if other.state == NUMBER and other.at >= start]
    return min((lab.canon for lab in since if not is_bound(lab)), default=None)


def say_rebound(k: Rebound, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The loads and the therapy."""
    found = readings(p, t)
    hit = _rebounding(p, found)
    assert hit is not None
    one, therapy = hit.load, hit.load.therapy
    assert therapy is not None
    more = f"Joined therapy since {clock_text(therapy.start)}, {days_text(therapy.days)} by then"
    series = [other for other in found if other.series == one.series]
    high = lab_margin(p, one.lab, p.plan.viral.high, "raised once after clearance from", "viral.high")
    figures = (*high, *_rise(p, series, next(i for i, other in enumerate(series) if other is one)))
    return _say(p, k.data.title, hit, more, k.data.advice.get("warning", ""), figures)


def _rise(p: Patient, series: list[Reading], i: int) -> Iterator[Figure]:
    """The treatment days by both loads, and how far both lie above the nadir."""
    viral, one, before = p.plan.viral, series[i], series[i].before
    therapy = one.therapy
    assert therapy is not None
    nadir = _nadir(series, i, therapy.start)
    for two, what in ((one, "CMV DNA"), (before, "CMV DNA before it")):
        if two is None or two.state != NUMBER:
            continue
        days, number = days_by(p, therapy, two.at), "viral.treatment_days"
        yield Figure(f"treatment days by the {what}", days, viral.treatment_days, "d", "more than", number)
        if nadir is not None:
            rise, number = viral.rebound_rise, "viral.rebound_rise"
            over = f"{what} over the nadir"
            yield decades_margin(over, two.lab.canon, nadir, rise, "raised twice from", number, log=one.log)


KINDS = {
    "viral-rebound": Kind(ReboundData, build_rebound),
    "preemptive-treatment-indicated": Kind(PreemptiveData, build_preemptive),
    "relapse": Kind(RelapseData, build_relapse),
    "breakthrough-on-prophylaxis": Kind(BreakthroughData, build_breakthrough),
}
