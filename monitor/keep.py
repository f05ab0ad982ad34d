"""How far back a patient's history is kept, so that state stays bounded and every verdict stays what it was.

The kept history begins `keep` (400 d) before the clock, or earlier where a course of an antiviral, the time after it in
which rules still speak of it, or an alert reaches over that moment. Facts are kept for as long before it as rules look
back; what was said of before is frozen. A patient with nothing inside `keep` is reduced to what is timeless.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from monitor.identity import alert_id
from monitor.patient import Patient
from monitor.times import ALWAYS, DAY, NEVER, Time
from monitor.types import Dose, Episode, Fact, Lab, Person

_EVERY: Final = 30 * DAY
_AFTER_COURSE: Final = 90 * DAY
"""Longer than any rule speaks of a course that has ended (8 weeks after therapy), or passes its baseline on."""


def is_too_late(p: Patient, fact: Fact) -> bool:
    """Whether a fact tells of a time whose history is frozen."""
    return isinstance(fact, Lab | Dose) and ALWAYS < fact.at < p.kept_from


def prune(p: Patient) -> None:
    """Lets go of what no verdict can depend on any more. Called now and then; between calls nothing differs."""
    p.prune_at = p.clock + _EVERY
    horizon = p.clock - p.plan.keep
    oldest = _oldest(p)
    if oldest >= horizon:
        return
    since = _unspanned(p, horizon)
    idle = since == horizon and _newest(p) < horizon
    cut = horizon if idle else since - p.plan.baseline.median_to
    if since <= p.kept_from or oldest >= cut:
        return
    p.kept_from = since
    _forget_episodes(p, since)
    _forget_results(p, cut, idle=idle)
    _forget_doses(p, cut)
    _forget_people(p, cut)
    if p.packing is not None:
        p.packing.labs.clear()
        p.packing.doses.clear()
    p.baselines.clear()
    p.cleared = p.readings = None


def frozen(p: Patient, episode: Episode) -> bool:
    """Whether an episode was over before the kept history begins."""
    return episode.end is not None and episode.end < p.kept_from


def _oldest(p: Patient) -> Time:
    columns = [*p.series, *p.given.values(), *p.odd.values()]
    oldest = min((column.t[0] for column in columns if column is not None and column.t), default=NEVER)
    people = min((one.recorded for one in p.people.values()), default=NEVER) if len(p.people) > 1 else NEVER
    return min(oldest, people)


def _newest(p: Patient) -> Time:
    facts: list[Fact] = [*p.lab_facts.values(), *p.dose_facts.values()]
    return max((max(fact.recorded, fact.at) for fact in facts if isinstance(fact, Lab | Dose)), default=ALWAYS)


def _unspanned(p: Patient, horizon: Time) -> Time:
    """The latest moment up to the horizon that no course and no alert reaches over."""
    since = horizon
    for start, end in sorted(_spans(p), reverse=True):
        if start < since <= end:
            since = start
    return since


def _spans(p: Patient) -> Iterator[tuple[Time, Time]]:
    for drug in p.plan.watched:
        given = p.given.get(drug)
        if given is not None:
            ends = {state.start: state.course_until for state in given.s}
            yield from ((start, end + _AFTER_COURSE) for start, end in ends.items())
    for fold in p.folds.values():
        yield from ((one.onset, NEVER if one.end is None else one.end) for one in fold.episodes)


def _forget_episodes(p: Patient, since: Time) -> None:
    known: set[str] = set()
    for fold in p.folds.values():
        fold.episodes[:] = [one for one in fold.episodes if not frozen(p, one)]
        fold.changed = len(fold.episodes)
        fold.lost.clear()
        held = {(one.drug, one.onset) for one in fold.episodes}
        fold.said = {key: last for key, last in fold.said.items() if key in held or key[1] >= since}
        fold.notes = {reason: t for reason, t in fold.notes.items() if t >= since}
        known.update(alert_id(p.id, fold.rule, Episode(onset, drug, [])) for drug, onset in fold.said)
    p.sayings = [one for one in p.sayings if one.onset >= since]
    p.acts = {key: act for key, act in p.acts.items() if act.recorded >= since or act.alert_id in known}


def _forget_results(p: Patient, cut: Time, *, idle: bool) -> None:
    """Of what is older than the cut the last of each code and unit stays, unless the patient is idle.

    Rules ask for the latest result, and for two in a row, of whatever age.
    """
    last: set[str] = set()
    for column in (*p.series, *p.odd.values()):
        if column is not None:
            old = bisect_left(column.t, cut)
            kept = {} if idle else {(lab.loinc, lab.unit): i for i, lab in enumerate(column.x[:old])}
            last.update(column.x[i].event_id for i in kept.values())
            for i in reversed(range(old)):
                if i not in kept.values():
                    del column.t[i], column.v[i], column.x[i]
    p.lab_facts = {key: lab for key, lab in p.lab_facts.items() if key in last or _reaches(lab, cut)}
    p.lab_groups = {key: labs for key, labs in p.lab_groups.items() if key[1] >= cut}
    del p.suspects[: bisect_left(p.suspects, cut)]


def _forget_doses(p: Patient, cut: Time) -> None:
    p.dose_facts = {key: dose for key, dose in p.dose_facts.items() if _reaches(dose, cut)}
    p.at_dose.clear()
    for given in p.given.values():
        old = bisect_left(given.t, cut)
        del given.t[:old], given.x[:old], given.m[:old], given.s[:old]
    p.dose_groups = {key: doses for key, doses in p.dose_groups.items() if key[1] >= cut}
    p.not_given = {drug: [one for one in doses if one[0] >= cut] for drug, doses in p.not_given.items()}
    del p.therapies[: bisect_right(p.therapies, cut, key=lambda known: known.since) - 1]
    p.therapies[0].since = ALWAYS
    for known in p.therapies:
        old = bisect_left(known.t, cut)
        del known.t[:old], known.x[:old]
    del p.treated[: bisect_left(p.treated, cut)]


def _reaches(fact: Lab | Dose, cut: Time) -> bool:
    return (fact.recorded if fact.at == ALWAYS else fact.at) >= cut


def _forget_people(p: Patient, cut: Time) -> None:
    """What was stated before and has been stated anew since, still before the cut, is of no more use."""
    old = sorted((one for one in p.people.values() if one.recorded < cut), key=lambda one: (one.recorded, one.event_id))
    stated: set[str] = set()
    for one in reversed(old):
        fields = {name for name in Person.__struct_fields__[2:] if getattr(one, name) is not None}
        if fields <= stated:
            del p.people[one.event_id]
        stated |= fields
