"""Many patients in one place: the treated awake, the others asleep as bytes, and one heap of what is due when.

Asleep is who has no dose of a watched drug, no viral load, no transplant and no action: no rule speaks of them.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from monitor.advance import advance, next_due, receive
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.reconciliation import Change
from monitor.state import dump, load
from monitor.times import NEVER, Time
from monitor.types import Fact


def may_sleep(p: Patient) -> bool:
    """Whether nothing can become due for a patient before another fact comes."""
    return not p.folds and not p.acts and not p.inbox


class Population:
    """The patients that one process watches over, under one plan, with one clock."""

    def __init__(self, plan: Plan) -> None:
        """Starts without patients."""
        self.plan = plan
        self._awake: dict[str, Patient] = {}
        self._asleep: dict[str, bytes] = {}
        self._due: list[tuple[Time, str]] = []

    def __len__(self) -> int:
        return len(self._awake) + len(self._asleep)

    def patient(self, patient_id: str) -> Patient:
        """A patient, woken; new where nothing is known of one."""
        found = self._awake.get(patient_id)
        if found is None:
            asleep = self._asleep.pop(patient_id, None)
            found = Patient(self.plan, patient_id) if asleep is None else load(self.plan, patient_id, asleep).patient
            self._awake[patient_id] = found
        return found

    def take(self, patient_id: str, facts: Iterable[Fact], now: Time) -> list[Change]:
        """Takes in facts of one patient as of `now`, and returns what they change."""
        p = self.patient(patient_id)
        receive(p, facts)
        return self._run(p, now)

    def advance(self, to: Time) -> list[Change]:
        """Takes the clock of everyone who has something due to a time, and returns every change, in order."""
        out: list[Change] = []
        due = self._due
        while due and due[0][0] <= to:
            _, patient_id = heappop(due)
            p = self._awake.get(patient_id)
            # An entry of the heap may be outdated: what counts is when the patient is due now.
            if p is not None and next_due(p) <= to:
                out += self._run(p, to)
        out.sort()
        return out

    def _run(self, p: Patient, to: Time) -> list[Change]:
        changes = advance(p, to)
        if may_sleep(p):
            del self._awake[p.id]
            self._asleep[p.id] = dump(p)
            return changes
        following = next_due(p)
        if following != NEVER:
            heappush(self._due, (following, p.id))
        return changes
