"""Replaying logs: the same core as live, with no broker. Facts are gathered by patient, each patient's clock runs
through them, and all changes come out in the order of the moments at which they are said.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple

from monitor.actions import unapplied
from monitor.advance import advance, receive
from monitor.events import Event, Gate, LabEvent, Rejected
from monitor.identity import parts_of
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.reconciliation import Change
from monitor.times import ALWAYS, Time
from monitor.types import Act, Dose, Fact, Person
from streams.decoding import decode_block, decode_lines
from streams.logs import Block, LongLine, read_blocks
from streams.rejects import Rejects


class Unjudged(NamedTuple):
    """What could not be judged for want of data."""

    patient_id: str
    code: str
    reason: str


class Log(NamedTuple):
    """The facts of those patients of some logs who are to be judged, and what was counted on the way.

    To be judged is who has a dose of a watched drug, a viral load, a transplant or an action; no rule speaks of others.
    """

    facts: dict[str, list[Fact]]
    last: Time
    events: int
    unwatched: int


class Replayed(NamedTuple):
    """What a replay says, in order, and what it could not judge."""

    changes: list[Change]
    unjudged: list[Unjudged]


def read_log(
    plan: Plan, sources: Iterable[str], rejects: Rejects, progress: Callable[[int], None] | None = None
) -> Log:
    """Reads logs to their end. Raises UnusableInput where one cannot be read whole."""
    gate = Gate(plan)
    admit, read_lab, times = gate.admit, gate.lab, gate.times
    kept: list[Fact] = []
    patients: list[str] = []
    awake: set[str] = set()
    watched, cmv = plan.watched, plan.cmv
    last = ALWAYS
    count = unwatched = 0
    fact: Fact | None
    for source in sources:
        for block in read_blocks(source, progress):
            gate.trim()
            if isinstance(block, LongLine):
                rejects.add_long(source, block.line, block.start, block.size, block.sha256)
                continue
            lines: list[bytes] = []
            for number, event in _numbered(block, source, rejects):
                try:
                    if type(event) is LabEvent:
                        fact = read_lab(event)
                        wakes = fact is not None and fact.analyte == cmv
                    else:
                        fact = admit(event)
                        wakes = _wakes(fact, watched)
                except Rejected as error:
                    lines = lines or block.data.split(b"\n")
                    data = lines[number - block.first_line].removesuffix(b"\r")
                    rejects.add(source, number, None, str(error), data)
                    continue
                count += 1
                if fact is None:
                    unwatched += 1
                    recorded = times[event.recorded_at]
                    last = max(last, recorded)
                    continue
                kept.append(fact)
                patients.append(event.patient_id)
                if wakes:
                    awake.add(event.patient_id)
    last = max(last, max(map(attrgetter("recorded"), kept), default=ALWAYS))
    facts: dict[str, list[Fact]] = {patient_id: [] for patient_id in awake}
    for patient_id, one in zip(patients, kept, strict=True):
        if patient_id in awake:
            facts[patient_id].append(one)
    return Log(facts, last, count, unwatched)


def _wakes(fact: Fact | None, watched: frozenset[int]) -> bool:
    """Whether a fact other than a result makes its patient one to be judged."""
    if isinstance(fact, Dose):
        return fact.drug in watched
    return isinstance(fact, Act) or (isinstance(fact, Person) and fact.transplant is not None)


def _numbered(block: Block, source: str, rejects: Rejects) -> Iterable[tuple[int, Event]]:
    events = decode_block(block.data)
    if events is not None:
        return enumerate(events, block.first_line)

    def reject(line: int | None, entry: int | None, reason: str, data: bytes) -> None:
        rejects.add(source, line, entry, reason, data)

    return ((one.line, one.event) for one in decode_lines(block.data, block.first_line, reject))


def judge_log(plan: Plan, log: Log, until: Time, progress: Callable[[int], None] | None = None) -> Replayed:
    """Runs every patient's clock to a time. The order of lines makes no difference."""
    changes: list[Change] = []
    unjudged: list[Unjudged] = []
    for patient_id, facts in log.facts.items():
        p = Patient(plan, patient_id)
        if progress is not None:
            progress(len(facts))
        receive(p, facts)
        changes += advance(p, until)
        unjudged += _unjudged(p)
    changes.sort()
    unjudged.sort()
    return Replayed(changes, unjudged)


def _unjudged(p: Patient) -> list[Unjudged]:
    found = [Unjudged(p.id, code, reason) for code, reason in p.unjudged()]
    for act in unapplied(p) if p.acts else ():
        parts = parts_of(act.alert_id)
        found.append(Unjudged(p.id, parts[0] if parts else "action", "an action on an alert that is not known"))
    return found


@contextmanager
def no_collection() -> Iterator[None]:
    """Spares the cyclic garbage collector's passes over a log held in memory: facts form no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
