"""Forgetting a patient: what is left when all that was recorded up to a moment is to be gone."""

from monitor.advance import receive
from monitor.identity import alert_id, alert_id_of
from monitor.patient import Patient
from monitor.times import NEVER, Time
from monitor.types import Act, Dose, Episode, Fact, Lab, Person, Said, Saying


def forget(p: Patient, until: Time) -> Patient | None:
    """A patient of whom nothing is known that was recorded up to `until`; the same one if there is nothing such.

    None where nothing is left. What was recorded later waits to be judged anew; of what was said only as much is kept
    as lets an alert that is said again go on with its `seq`.
    """
    waiting = [one for one in p.inbox if isinstance(one, Lab | Dose | Person | Act)]
    known: list[Fact] = [*p.lab_facts.values(), *p.dose_facts.values(), *p.people.values(), *p.acts.values(), *waiting]
    left = [one for one in known if one.recorded > until]
    if left and len(left) == len(known):
        return p
    if not left:
        return None
    fresh = Patient(p.plan, p.id)
    since = min((one.at for one in left if isinstance(one, Lab | Dose)), default=NEVER)
    # Nothing that is left can bring an alert whose onset is before it.
    fresh.sayings = [_taken_back(one) for one in _said(p) if one.onset >= since]
    receive(fresh, left)
    return fresh


def alerts_of(p: Patient) -> list[str]:
    """The id of every alert that was said of a patient and is still known."""
    found = [alert_id(p.id, fold.rule, Episode(key[1], key[0], [])) for fold in p.folds.values() for key in fold.said]
    return [*found, *(alert_id_of(p.id, one.code, one.named, one.subject, one.onset) for one in p.sayings)]


def _said(p: Patient) -> list[Saying]:
    rules = [(fold.rule, fold.said) for fold in p.folds.values()]
    return [
        *p.sayings,
        *(Saying(rule.code, rule.drug, rule.subject, *key, said) for rule, told in rules for key, said in told.items()),
    ]


def _taken_back(one: Saying) -> Saying:
    said = one.said
    return Saying(
        one.code,
        one.drug,
        one.subject,
        one.named,
        one.onset,
        Said(said.seq, "retracted", said.level, said.severity, ""),
    )
