"""Who counts as exposed to a drug: from the first dose to the last, and a tail after it."""

from monitor.knowledge import Tail
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.times import ALWAYS, Time

Tails = tuple[tuple[int, Time], ...]
"""Drugs, each with how long after its last dose a patient still counts as exposed."""


def tails_of(drugs: dict[str, Tail], plan: Plan) -> Tails:
    """The tails of a rule's drugs, by drug index, in order of their names: of two given at once the first counts."""
    return tuple((plan.drug_index[name], drugs[name].tail.value) for name in sorted(drugs))


def exposed_until(p: Patient, tails: Tails, t: Time) -> Time:
    """Until when the doses up to `t` keep the patient exposed (that moment included); ALWAYS without any."""
    until = ALWAYS
    for drug, tail in tails:
        given = p.given.get(drug)
        if given is not None:
            i = given.last(t)
            if i >= 0 and given.t[i] + tail > until:
                until = given.t[i] + tail
    return until


def drug_given_last(p: Patient, tails: Tails, t: Time) -> str | None:
    """The drug that an exposure alert with its onset at `t` is for: of several, the one given last."""
    _, drug = p.last_dose(tuple(drug for drug, _ in tails), t)
    return p.plan.drugs[drug].name if drug >= 0 else None
