"""Forgetting a patient: what is left when all that was recorded up to a moment is to be gone."""

from monitor.advance import receive
from monitor.identity import alert_id_of
from monitor.patient import Patient
from monitor.state import sayings_of
from monitor.times import NEVER, Time
from monitor.types import Act, Dose, Fact, Lab, Person, Said, Saying


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
    fresh.sayings = [_taken_back(one) for one in sayings_of(p) if one.onset >= since]
    receive(fresh, left)
    return fresh


def alerts_of(p: Patient) -> list[str]:
    """The id of every alert that was said of a patient and is still known."""
    return [alert_id_of(p.id, one.code, one.named, one.subject, one.onset) for one in sayings_of(p)]


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
