"""Does the virus answer to treatment? Loads after two weeks against the peak of the first, each series for itself.

Numbers: `viral`, `rules.refractory-cmv`, `rules.probable-refractory-cmv`, `rules.slow-viral-response`; Chemaly 2019,
Ljungman 2024.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import NamedTuple

import msgspec

from monitor.at_dose import doses_named
from monitor.knowledge import RuleData, Severity
from monitor.margins import decades_margin, lab_margin, span_margin
from monitor.patient import Patient, Reading, TherapyState
from monitor.plan import Kind, Plan
from monitor.therapy import going_on_until, therapy_at, went_on
from monitor.times import DAY, NEVER, Time, clock_text
from monitor.types import GONE, YIELDED, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.virology import (
    CLEAR,
    NUMBER,
    distance_text,
    halves_text,
    is_bound,
    readings,
    rises,
    untreated_for,
)
from monitor.wording import amount_text, dated, days_text

REFRACTORY, PROBABLE, SLOW = "refractory-cmv", "probable-refractory-cmv", "slow-viral-response"
_ORDER = (SLOW, PROBABLE, REFRACTORY)
UNDERDOSED = "dose-below-renal-band"


class ResponseData(RuleData):
    """`rules.refractory-cmv`, `rules.probable-refractory-cmv`, `rules.slow-viral-response`; numbers in `viral`."""


class Response(msgspec.Struct, gc=False, frozen=True):
    """One of the three questions, ready to judge."""

    code: str
    data: ResponseData
    severity: Severity


class Answer(NamedTuple):
    """How the virus of one series stands: which of the three holds, by which load and peak, and whether too few days
    of right dosing are the reason that it is no worse.
    """

    code: str
    load: Reading
    peak: Lab
    therapy: TherapyState
    counted: int
    underdosed: bool


def build(code: str, data: ResponseData, plan: Plan) -> list[Rule]:
    """One rule for each code; they share one reading of the loads."""
    severity: Severity = "critical" if code == REFRACTORY else "warning" if code == PROBABLE else "info"
    k = Response(code, data, severity)
    watched = doses_named(plan, tuple(plan.drugs[drug].name for drug in sorted(plan.watched)))
    courses = tuple(plan.courses(plan.drugs[drug].name) for drug in sorted(plan.watched))
    return [
        Rule(
            code,
            None,
            None,
            ("", severity),
            judged=(plan.cmv,),
            needs=((plan.cmv,), watched),
            judge=partial(judge, k),
            say=partial(say, k),
            references=data.references,
            lazy=courses,
            quiet=watched,
            follows=(UNDERDOSED,),
            rank=3,
        )
    ]


def judge(k: Response, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at loads; refractory and probable outlive the therapy by 8 weeks, a slow response ends with it."""
    found = readings(p, t)
    therapy = therapy_at(p, t)
    if not found or therapy is None:
        return GONE, NEVER
    if k.code == REFRACTORY:
        _note_want_of_peak(p, found)
    most, over = _weightiest(p, found, therapy, t)
    own = _ORDER.index(k.code)
    if most < own:
        return GONE, NEVER
    return (YIELDED if most > own else 1), over


def _weightiest(p: Patient, found: list[Reading], therapy: TherapyState, t: Time) -> tuple[int, Time]:
    """The rank of the weightiest answer that stands at `t`, or -1, and when the first of those that stand is over."""
    key = f"weightiest/{t}"
    known = p.memo.get(key)
    if known is None:
        answers = [answer for answer in worst(p, found) if _stands(p, answer, t)]
        most = max((_ORDER.index(answer.code) for answer in answers), default=-1)
        known = p.memo[key] = most, min((_over(p, answer, therapy, t) for answer in answers), default=NEVER)
    return known  # type: ignore[return-value]


def _over(p: Patient, answer: Answer, therapy: TherapyState, t: Time) -> Time:
    """When an answer no longer stands, if no further dose is given."""
    if answer.code == SLOW:
        return going_on_until(p, answer.therapy, t) + 1
    return therapy.last + p.plan.viral.after_therapy + 1


def _stands(p: Patient, answer: Answer, t: Time) -> bool:
    """Whether time has not ended what the last load said."""
    if answer.code == SLOW:
        return went_on(p, answer.therapy, answer.load.at, t)
    return not untreated_for(p, answer.load.at, t, p.plan.viral.after_therapy)


def _note_want_of_peak(p: Patient, found: list[Reading]) -> None:
    one = found[-1]
    therapy = one.therapy
    if one.state != NUMBER or not one.treated or therapy is None or therapy.days < p.plan.viral.treatment_days:
        return
    if _peak(p, therapy, [other for other in found if other.series == one.series]) is None:
        p.note("no load of the series from day -3 to 7 of the therapy", one.at)


def worst(p: Patient, found: list[Reading]) -> list[Answer]:
    """What holds after the last of some loads, for each series that has something to say."""
    key = f"response/{len(found)}"
    known = p.memo.get(key)
    if known is None:
        known = p.memo[key] = _answers(p, found)
    return known  # type: ignore[return-value]


def _answers(p: Patient, found: list[Reading]) -> list[Answer]:
    """Reads the loads from the start: what is raised stays until a load below its own peak, or a fall.

    What a weightier answer of any series replaces is gone for good.
    """
    held: dict[tuple[str, int], Answer] = {}
    series: dict[tuple[str, int], list[Reading]] = {}
    for _, loads in groupby(found, key=lambda one: one.at):
        for one in loads:
            series.setdefault(one.series, []).append(one)
            answer = _answer(p, one, series[one.series], held.pop(one.series, None))
            if answer is not None:
                held[one.series] = answer
        most = max((_ORDER.index(answer.code) for answer in held.values()), default=-1)
        held = {key: answer for key, answer in held.items() if _ORDER.index(answer.code) == most}
    return list(held.values())


def _answer(p: Patient, one: Reading, series: list[Reading], held: Answer | None) -> Answer | None:
    """What stands in a series after one more load."""
    viral = p.plan.viral
    if one.state == CLEAR:
        return None
    if one.state != NUMBER:
        return held
    if held is not None and _ended(p, held, one):
        held = None
    therapy = one.therapy
    if therapy is None or not one.treated or therapy.days < viral.treatment_days:
        return held
    peak = _peak(p, therapy, series)
    return held if peak is None else _held(p, one, therapy, peak, held)


def _ended(p: Patient, held: Answer, one: Reading) -> bool:
    """Whether a load, or the time before it, ends what stood."""
    if held.code != SLOW:
        below = one.lab.canon < held.peak.canon and not is_bound(one.lab)
        return below or untreated_for(p, held.load.at, one.at, p.plan.viral.after_therapy)
    fallen = rises(held.peak.canon, one.lab.canon, p.plan.viral.slow_fall, log=one.log) >= 0
    return (fallen and not is_bound(one.lab)) or not went_on(p, held.therapy, held.load.at, one.at)


def _held(p: Patient, one: Reading, therapy: TherapyState, peak: Lab, held: Answer | None) -> Answer | None:
    """What one load after two weeks of treatment says, or leaves standing."""
    viral = p.plan.viral
    value = one.lab.canon
    counted = counted_days(p, therapy, one.at)
    enough = counted >= viral.treatment_days
    far_above = rises(value, peak.canon, viral.refractory_rise, log=one.log) > 0
    if far_above and enough:
        return Answer(REFRACTORY, one, peak, therapy, counted, underdosed=False)
    if held is not None and held.code == REFRACTORY:
        return held
    if (far_above and not enough) or (value >= peak.canon and enough):
        return Answer(PROBABLE, one, peak, therapy, counted, underdosed=not enough)
    if held is not None and held.code == PROBABLE:
        return held
    fallen = rises(peak.canon, value, viral.slow_fall, log=one.log) >= 0
    if fallen:
        return held if is_bound(one.lab) else None
    if value >= viral.high[one.lab.unit]:
        return Answer(SLOW, one, peak, therapy, counted, underdosed=False)
    return held


def _peak(p: Patient, therapy: TherapyState, series: list[Reading]) -> Lab | None:
    """The greatest number of the series from day -3 to 7."""
    start, end = therapy.start - p.plan.viral.peak_from, therapy.start + p.plan.viral.peak_to
    labs = [one.lab for one in series if one.state == NUMBER and start <= one.at <= end]
    return max(labs, key=lambda lab: lab.canon) if labs else None


def counted_days(p: Patient, therapy: TherapyState, t: Time) -> int:
    """Treatment days of a therapy up to `t` on which no dose alert said that too little was given."""
    spans = [
        (episode.onset, NEVER if episode.end is None else episode.end)
        for slot in p.plan.slots.get(UNDERDOSED, ())
        if slot in p.folds
        for episode in p.folds[slot].episodes
        if episode.onset <= t
    ]
    if not spans:
        return therapy.days
    periods = set()
    for drug, start in therapy.courses:
        given = p.given[drug]
        for i in range(bisect_left(given.t, start), bisect_right(given.t, t)):
            if given.s[i].start == start:
                periods.add((given.t[i] - therapy.start) // DAY)
    return sum(1 for period in periods if not _touched(therapy.start + period * DAY, spans))


def _touched(day: Time, spans: list[tuple[Time, Time]]) -> bool:
    return any(start < day + DAY and end > day for start, end in spans)


def _threshold_text(p: Patient, code: str) -> str:
    """From where on a load is what the code says."""
    viral = p.plan.viral
    rise, fall = halves_text(viral.refractory_rise), halves_text(viral.slow_fall)
    if code == REFRACTORY:
        return f"threshold: more than {rise} log10 above it"
    if code == PROBABLE:
        return f"threshold: at or above it; refractory: more than {rise} log10 above it"
    return f"expected by day {viral.treatment_days}: at least {fall} log10 below it"


def say(k: Response, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The load, the peak, the days that count."""
    answer = next(answer for answer in worst(p, readings(p, t)) if answer.code == k.code)
    lab, peak = answer.load.lab, answer.peak
    parts = [
        (
            f"{dated(p, lab)}: {distance_text(lab, peak, log=answer.load.log)} the peak of day -3 to 7,"
            f" {amount_text(p, peak)} on {clock_text(peak.at)} ({_threshold_text(p, k.code)})"
        ),
        (
            f"Joined therapy since {clock_text(answer.therapy.start)}: {days_text(answer.therapy.days)} by"
            f" then, {answer.counted} of them without an alert of too low a dose"
        ),
    ]
    title = f"{k.data.title}: {amount_text(p, lab)}, peak of the first week {amount_text(p, peak)}"
    advice = k.data.advice.get(k.severity, "")
    if answer.underdosed:
        parts.append("More than 1 log10 above the peak, but too few days of right dosing")
        advice = f"Correct the dose first. {advice}"
    return Words(title, ". ".join(parts) + ".", advice, (lab, peak), _figures(p, answer, t))


def _figures(p: Patient, answer: Answer, t: Time) -> Iterator[Figure]:
    """The load over the peak beside each of the three thresholds, the days that count, and what ends it."""
    viral, one, peak = p.plan.viral, answer.load, answer.peak.canon
    value, above, below = one.lab.canon, "CMV DNA over the peak", "the peak over CMV DNA"
    rise, fall = viral.refractory_rise, viral.slow_fall
    yield decades_margin(above, value, peak, rise, "refractory above", "viral.refractory_rise", log=one.log)
    yield decades_margin(above, value, peak, 0, "probably refractory from", "viral.peak_to", log=one.log)
    yield decades_margin(below, peak, value, fall, "a right response from", "viral.slow_fall", log=one.log)
    yield from lab_margin(p, one.lab, viral.high, "a slow response from", "viral.high")
    number = "viral.treatment_days"
    yield Figure("treatment days", answer.therapy.days, viral.treatment_days, "d", "judged from", number)
    yield Figure("treatment days that count", answer.counted, viral.treatment_days, "d", "refractory from", number)
    if answer.code != SLOW:
        therapy = therapy_at(p, t) or answer.therapy
        what, number = "time since the last treatment dose", "viral.after_therapy"
        yield span_margin(what, t - therapy.last, viral.after_therapy, "ends after", number)


KINDS = {
    REFRACTORY: Kind(ResponseData, build),
    PROBABLE: Kind(ResponseData, build),
    SLOW: Kind(ResponseData, build),
}
