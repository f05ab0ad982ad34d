"""The whole case for one alert: its life, the facts it rests on, the figures and thresholds, what was known when."""

from contextlib import suppress
from fractions import Fraction
from itertools import compress
from typing import Final, NamedTuple

import msgspec

from monitor.actions import SEVERITY_RANK
from monitor.advance import advance, receive
from monitor.identity import alert_id, parts_of
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.times import ALWAYS, DAY, NEVER, Time, iso, parse_time
from monitor.types import Alert, Dose, Episode, Fact, Figure, Fold, Lab, Level, Person, Rule
from monitor.units import MILLION, rounded_text
from monitor.wording import amount_text, dose_text, name_text, transplant_text
from streams.knowledge_view import NumberView, found_at, numbers_for, thresholds

BEFORE: Final = 14 * DAY
AFTER: Final = 3 * DAY
"""How far around an alert its facts are shown; of one that is open all that came after its onset."""


class FactView(msgspec.Struct):
    """A fact of the alert's timeline. `late`: it became known only after the time asked for.

    `basis`: the verdict rests on it. `opens`: with it the course began.
    """

    event_id: str
    kind: str
    what: str
    text: str
    at: str
    recorded_at: str
    status: str
    late: bool
    basis: bool
    value: float | None = None
    unit: str | None = None
    opens: bool = False


class Margin(msgspec.Struct):
    """How far a figure lies from one threshold of its rule, in one unit; `number` is the threshold's path."""

    figure: str
    value: str
    unit: str
    meaning: str
    threshold: str
    difference: str
    percent: str | None
    number: str
    source: str
    tag: str


class Moment(msgspec.Struct):
    """The figures at one moment of the alert, by what was known at `known_at`.

    `what`: "raised", "worst", "last" (the step that its last words are of), "ended", "retracted" (before it was).
    """

    what: str
    at: str
    known_at: str
    severity: str
    margins: list[Margin]


class Case(msgspec.Struct):
    """All there is to say of one alert.

    `moments_then`: the figures as known at `as_of`, where that was asked for. `patient`: what was said of the person.
    `earlier` and `later`: how many facts of the same kinds lie outside the time that `facts` covers.
    """

    alert_id: str
    code: str
    patient_id: str
    drug: str | None
    onset_at: str
    end_at: str | None
    as_of: str
    now: Alert | None
    life: list[Alert]
    then: Alert | None
    moments: list[Moment]
    moments_then: list[Moment]
    numbers: list[NumberView]
    sources: list[str]
    patient: list[FactView]
    facts: list[FactView]
    earlier: int
    later: int
    unjudged: list[str]


class NoSuchAlert(LookupError):
    """No alert of that id was ever said; `near` are ids that it may have been meant for."""

    def __init__(self, near: list[str]) -> None:
        super().__init__("no such alert")
        self.near = near


class Run(NamedTuple):
    """A patient judged up to a time, and all that was said."""

    patient: Patient
    said: list[Alert]


def explain(
    plan: Plan, facts: dict[str, list[Fact]], wanted: str, until: Time, as_of: Time | None, *, whole: bool = False
) -> Case:
    """The case for an alert of a log; with `whole` the facts of all times. Raises NoSuchAlert."""
    near: list[str] = []
    for patient_id, own in facts.items():
        run = _run(plan, patient_id, own, until)
        ids = [alert.alert_id for alert in run.said]
        if wanted in ids:
            then = None if as_of is None or as_of >= until else _run(plan, patient_id, own, as_of)
            return _case(run, then, wanted, own, until if as_of is None else as_of, whole=whole)
        near += _near(wanted, ids)
    raise NoSuchAlert(sorted(set(near))[:5])


def _run(plan: Plan, patient_id: str, facts: list[Fact], until: Time) -> Run:
    p = Patient(plan, patient_id)
    receive(p, facts)
    return Run(p, [change.alert for change in sorted(advance(p, until))])


def _near(wanted: str, ids: list[str]) -> list[str]:
    parts = parts_of(wanted)
    return [one for one in ids if parts is None or ((found := parts_of(one)) is not None and found[0] == parts[0])]


def _case(run: Run, then: Run | None, wanted: str, facts: list[Fact], as_of: Time, *, whole: bool) -> Case:
    p, plan = run.patient, run.patient.plan
    life = [alert for alert in run.said if alert.alert_id == wanted]
    before = [] if then is None else [alert for alert in then.said if alert.alert_id == wanted]
    last = life[-1]
    fold, episode = _of(p, wanted)
    rule = fold.rule
    onset = episode.onset if episode is not None else parse_time(last.onset_at)
    end = episode.end if episode is not None else None
    basis = {one.event_id for alert in life for one in alert.evidence}
    opens = _course_start(p, last.drug, onset)
    concerned = sorted((fact for fact in facts if _concerns(p, rule, fact, basis)), key=_time)
    earliest, latest = onset - BEFORE, NEVER if episode is not None and end is None else (end or onset) + AFTER
    kept = basis | opens
    inside = [whole or one.event_id in kept or earliest <= _time(one) <= latest for one in concerned]
    shown = list(compress(concerned, inside))
    outside = [_time(fact) for fact, here in zip(concerned, inside, strict=True) if not here]
    said = [fact for fact in facts if isinstance(fact, Person)]
    return Case(
        wanted,
        rule.code,
        last.patient_id,
        last.drug,
        iso(onset),
        None if end is None else iso(end),
        iso(as_of),
        last,
        life,
        before[-1] if before else None,
        _moments(run, wanted, facts),
        _moments(then, wanted, facts) if then is not None and before else [],
        thresholds(plan, rule.code, last.drug),
        list(plan.sources_of(rule, last.drug)),
        [_fact(p, fact, as_of, basis, opens) for fact in sorted(said, key=_time)],
        [_fact(p, fact, as_of, basis, opens) for fact in shown],
        sum(at < onset for at in outside),
        sum(at >= onset for at in outside),
        sorted(reason for code, reason in p.unjudged() if code == rule.code),
    )


def _of(p: Patient, wanted: str) -> tuple[Fold, Episode | None]:
    """The fold that said an alert, and its episode if it still holds."""
    for fold in p.folds.values():
        for drug, onset in fold.said:
            if alert_id(p.id, fold.rule, Episode(onset, drug, [])) == wanted:
                found = [one for one in fold.episodes if (one.drug, one.onset) == (drug, onset)]
                return fold, found[0] if found else None
    raise NoSuchAlert([])


def _course_start(p: Patient, name: str | None, onset: Time) -> set[str]:
    """The doses that the course began with; of an alert without a drug, the course of the dose before it."""
    watched = tuple(sorted(p.plan.watched))
    drug = p.plan.drug_index[name] if name is not None else p.last_dose(watched, onset)[1]
    state = p.state(drug, onset) if drug in p.plan.watched else None
    if state is None:
        return set()
    return {
        dose.event_id for dose in p.dose_facts.values() if (dose.drug, dose.at) == (drug, state.start) and dose.given
    }


def _concerns(p: Patient, rule: Rule, fact: Fact, basis: set[str]) -> bool:
    inputs = {*rule.judged, *rule.lazy, *rule.quiet, *rule.told}
    labs = len(p.plan.analytes)
    if isinstance(fact, Lab):
        concerned = fact.analyte in inputs
    elif isinstance(fact, Dose):
        concerned = fact.drug >= 0 and (labs + fact.drug in inputs or p.plan.course_input(fact.drug) in inputs)
    else:
        return False
    return concerned or fact.event_id in basis


def _time(fact: Fact) -> Time:
    return fact.at if isinstance(fact, Lab | Dose) and fact.at != ALWAYS else fact.recorded


def _fact(p: Patient, fact: Fact, as_of: Time, basis: set[str], opens: set[str]) -> FactView:
    kind, what, text, status, value, unit = "action", "action", "", "", None, None
    if isinstance(fact, Lab):
        kind, what = "lab", "result"
        status = ("preliminary", "final", "cancelled", "corrected", "withdrawn")[fact.rank]
        if fact.analyte >= 0:
            analyte = p.plan.analytes[fact.analyte]
            what, text = analyte.name, amount_text(p, fact)
            if fact.unit >= 0 and not fact.void:
                value, unit = p.plan.value_of(fact) / MILLION, analyte.unit_names[fact.unit]
    elif isinstance(fact, Dose):
        kind, text, status = "administration", "administration", fact.status
        if fact.drug >= 0:
            what, text = name_text(p.plan.drugs[fact.drug].name), dose_text(p, fact)
    elif isinstance(fact, Person):
        kind, what, text = "patient", "patient", _person_text(fact)
    late = fact.recorded > as_of
    return FactView(
        fact.event_id,
        kind,
        what,
        text,
        iso(_time(fact)),
        iso(fact.recorded),
        status,
        late,
        fact.event_id in basis,
        value,
        unit,
        fact.event_id in opens,
    )


def _person_text(person: Person) -> str:
    """What a patient event says: `male, born 1975-07-01, allogeneic HCT 2026-01-02, donor positive, dialysis: no`."""
    parts = [person.sex, None if person.birth is None else f"born {iso(person.birth)[:10]}"]
    if person.transplant is not None:
        at = f" {iso(person.transplant_at)[:10]}" if person.transplant_at is not None else ""
        parts.append(f"{transplant_text(person.transplant)}{at}" if person.transplant != "none" else "no transplant")
    for name, serology in (("donor", person.donor), ("recipient", person.recipient)):
        parts.append(None if serology is None else f"CMV serology of the {name}: {serology}")
    for name, holds in (("dialysis", person.dialysis), ("HIV", person.hiv)):
        parts.append(None if holds is None else f"{name}: {'yes' if holds else 'no'}")
    return ", ".join(part for part in parts if part) or "nothing that is read"


# Figures beside thresholds ---------------------------------------------------------------------------------------


def _moments(run: Run, wanted: str, facts: list[Fact]) -> list[Moment]:
    """Where an open alert stands; of one that is over, its worst and its end; of one taken back, what it had been."""
    p = run.patient
    fold, episode = _of(p, wanted)
    if episode is None:
        stood = [alert for alert in run.said if alert.alert_id == wanted and alert.status != "retracted"]
        earlier = _run(p.plan, p.id, facts, parse_time(stood[-1].emitted_at))
        found = _moments(earlier, wanted, facts)
        return [msgspec.structs.replace(one, what="retracted") for one in found[-1:]]
    if episode.end is None:
        t, level = episode.steps[-1]
        found = [_moment(p, fold, episode, "raised" if t == episode.onset else "last", t, level)]
    else:
        ranks = [SEVERITY_RANK[fold.rule.severities[level]] for _, level in episode.steps]
        t, level = episode.steps[ranks.index(max(ranks))]
        found = [_moment(p, fold, episode, "raised" if t == episode.onset else "worst", t, level)]
        # Words are written for where an alert stands: at its end what they speak of may be gone, whatever fails then.
        with suppress(Exception):
            found.append(_moment(p, fold, episode, "ended", episode.end, episode.steps[-1][1]))
    return [one for one in found if one.margins]


def _moment(p: Patient, fold: Fold, episode: Episode, what: str, t: Time, level: Level) -> Moment:
    p.judging = fold
    rule = fold.rule
    known = numbers_for(p.plan, rule.code)
    margins = [_margin(figure, known) for figure in rule.say(p, t, level, episode).figures]
    return Moment(what, iso(t), iso(p.clock), rule.severities[level], margins)


def _margin(figure: Figure, known: list[NumberView]) -> Margin:
    difference = Fraction(figure.value) - figure.limit
    number = found_at(figure.number, known)
    return Margin(
        figure.what,
        _text(figure.value),
        figure.unit,
        figure.meaning,
        _text(figure.limit),
        _signed(difference),
        _signed(difference * 100 / figure.limit, 1) if figure.limit else None,
        figure.number,
        number.source if number is not None else "",
        number.tag if number is not None else "",
    )


def _text(value: Fraction | int, digits: int = 3) -> str:
    """A figure for a reader; what is too small to be seen in so many places has more."""
    text = rounded_text(value, digits)
    return rounded_text(value, 6) if value and text in ("0", "-0") else text


def _signed(value: Fraction, digits: int = 3) -> str:
    return f"+{_text(value, digits)}" if value > 0 else _text(value, digits)
