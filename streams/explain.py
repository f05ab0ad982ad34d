"""The whole case for one alert: its life, the facts it rests on, the figures and thresholds, what was known when."""

from typing import Any, Final, NamedTuple

import msgspec

from monitor.advance import advance, receive
from monitor.identity import alert_id, parts_of
from monitor.patient import Patient
from monitor.plan import AnalyteInfo, Plan
from monitor.times import ALWAYS, DAY, Time, iso, parse_time
from monitor.types import EQUAL, Alert, Dose, Episode, Fact, Fold, Lab, Person, Rule
from monitor.units import MILLION, decimal_text, rounded_text
from monitor.wording import amount_text, dose_text, name_text, unit_text
from streams.knowledge_view import NumberView, numbers

_BEFORE: Final = 14 * DAY
_AFTER: Final = 3 * DAY
_LIMITS: Final = ("below", "critical_below", "recovered_once", "high", "low", "stage_3_from")


class FactView(msgspec.Struct):
    """A fact of the alert's timeline. `late`: it became known only after the time asked for."""

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


class Margin(msgspec.Struct):
    """How far a figure lies from a threshold of its rule, in the unit of the result."""

    event_id: str
    figure: str
    threshold: str
    name: str
    difference: str
    source: str
    tag: str


class Case(msgspec.Struct):
    """All there is to say of one alert."""

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
    margins: list[Margin]
    numbers: list[NumberView]
    sources: list[str]
    facts: list[FactView]
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


def explain(plan: Plan, facts: dict[str, list[Fact]], wanted: str, until: Time, as_of: Time | None) -> Case:
    """The case for an alert of a log. Raises NoSuchAlert."""
    near: list[str] = []
    for patient_id, own in facts.items():
        run = _run(plan, patient_id, own, until)
        ids = [alert.alert_id for alert in run.said]
        if wanted in ids:
            then = None if as_of is None or as_of >= until else _run(plan, patient_id, own, as_of)
            return _case(plan, run, then, wanted, own, until if as_of is None else as_of)
        near += _near(wanted, ids)
    raise NoSuchAlert(sorted(set(near))[:5])


def _run(plan: Plan, patient_id: str, facts: list[Fact], until: Time) -> Run:
    p = Patient(plan, patient_id)
    receive(p, facts)
    return Run(p, [change.alert for change in sorted(advance(p, until))])


def _near(wanted: str, ids: list[str]) -> list[str]:
    parts = parts_of(wanted)
    return [one for one in ids if parts is None or ((found := parts_of(one)) is not None and found[0] == parts[0])]


def _case(plan: Plan, run: Run, then: Run | None, wanted: str, facts: list[Fact], as_of: Time) -> Case:
    life = [alert for alert in run.said if alert.alert_id == wanted]
    before = None if then is None else [alert for alert in then.said if alert.alert_id == wanted]
    last = life[-1]
    fold, episode = _of(run.patient, wanted)
    rule = fold.rule
    onset = episode.onset if episode is not None else _onset(life)
    end = episode.end if episode is not None else None
    basis = {one.event_id for alert in life for one in alert.evidence}
    shown = [fact for fact in facts if _concerns(run.patient, rule, fact, onset, end, basis)]
    own = numbers(plan.table["rules"][rule.code], {key: one.title for key, one in plan.knowledge.sources.items()})
    views = [_fact(run.patient, fact, as_of, basis) for fact in sorted(shown, key=_time)]
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
        _margins(run.patient, rule, basis, own),
        own,
        list(plan.sources_of(rule, last.drug)),
        views,
        sorted(reason for code, reason in run.patient.unjudged() if code == rule.code),
    )


def _of(p: Patient, wanted: str) -> tuple[Fold, Episode | None]:
    """The fold that said an alert, and its episode if it still holds."""
    for fold in p.folds.values():
        for drug, onset in fold.said:
            if alert_id(p.id, fold.rule, Episode(onset, drug, [])) == wanted:
                found = [one for one in fold.episodes if (one.drug, one.onset) == (drug, onset)]
                return fold, found[0] if found else None
    raise NoSuchAlert([])


def _onset(life: list[Alert]) -> Time:
    return parse_time(life[-1].onset_at)


def _concerns(p: Patient, rule: Rule, fact: Fact, onset: Time, end: Time | None, basis: set[str]) -> bool:
    if fact.event_id in basis:
        return True
    inputs = {*rule.judged, *rule.lazy, *rule.quiet, *rule.told}
    labs = len(p.plan.analytes)
    if isinstance(fact, Lab):
        concerned = fact.analyte in inputs
    elif isinstance(fact, Dose):
        concerned = fact.drug >= 0 and (labs + fact.drug in inputs or p.plan.course_input(fact.drug) in inputs)
    else:
        return False
    return concerned and onset - _BEFORE <= _time(fact) <= (onset if end is None else end) + _AFTER


def _time(fact: Fact) -> Time:
    return fact.at if isinstance(fact, Lab | Dose) and fact.at != ALWAYS else fact.recorded


def _fact(p: Patient, fact: Fact, as_of: Time, basis: set[str]) -> FactView:
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
        kind, what = "patient", "patient"
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
    )


def _margins(p: Patient, rule: Rule, basis: set[str], own: list[NumberView]) -> list[Margin]:
    """Every figure of the evidence against every limit of the rule that is in its analyte's units."""
    found = []
    data: Any = p.plan.rule_data[rule.code]
    for event_id in basis:
        lab = p.lab_facts.get(event_id)
        if lab is None or lab.analyte < 0 or lab.mark != EQUAL or lab.unit < 0 or lab.grade is not None:
            continue
        analyte = p.plan.analytes[lab.analyte]
        for name in _LIMITS:
            number = next((one for one in own if one.path.rpartition(".")[2] == name), None)
            amount = getattr(data, name, None)
            if number is None or amount is None or getattr(data, "analyte", analyte.key) != analyte.key:
                continue
            found.append(_margin(analyte, lab, name, amount, number, p))
    return sorted(found, key=lambda one: (one.event_id, one.name))


def _margin(analyte: AnalyteInfo, lab: Lab, name: str, amount: Any, number: NumberView, p: Patient) -> Margin:  # noqa: ANN401
    limit = analyte.amounts(amount)[lab.unit]
    scale = analyte.scale[lab.unit]
    unit = unit_text(analyte.unit_names[lab.unit])
    difference = rounded_text((lab.canon - limit) / scale / MILLION, 3)
    share = f" ({rounded_text((lab.canon - limit) * 100 / limit, 1)} %)" if limit else ""
    return Margin(
        lab.event_id,
        amount_text(p, lab),
        f"{decimal_text(limit // scale)} {unit}",
        name.replace("_", " "),
        f"{difference} {unit}{share}",
        number.source,
        number.tag,
    )
