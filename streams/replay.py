"""Replaying logs: the same core as live, with no broker. Facts are gathered by patient, each patient's clock runs
through them, and all changes come out in the order of the moments at which they are said.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple

from monitor.actions import unapplied
from monitor.advance import advance, receive
from monitor.events import Event, Gate, Rejected
from monitor.identity import parts_of
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.reconciliation import Change
from monitor.times import ALWAYS, Time
from monitor.types import Dose, Fact, Lab, Person
from streams.decoding import decode_block, decode_lines
from streams.logs import Block, LongLine, read_blocks
from streams.rejects import Rejects


class Unjudged(NamedTuple):
    """What could not be judged for want of data."""

    patient_id: str
    code: str
    reason: str


class Log(NamedTuple):
    """The facts of one or more logs, by patient, and what was counted on the way."""

    facts: dict[str, list[Fact]]
    awake: set[str]
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
    admit, recorded = gate.admit, gate.recorded
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    awake: set[str] = set()
    watched, cmv = plan.watched, plan.cmv
    last = ALWAYS
    count = unwatched = 0

    def keep(patient_id: str, fact: Fact) -> None:
        facts[patient_id].append(fact)
        kind = type(fact)
        if kind is Lab:
            if fact.analyte == cmv:  # type: ignore[union-attr]
                awake.add(patient_id)
        elif kind is Dose:
            if fact.drug in watched:  # type: ignore[union-attr]
                awake.add(patient_id)
        elif kind is not Person or fact.transplant is not None:  # type: ignore[union-attr]
            awake.add(patient_id)

    for source in sources:
        for block in read_blocks(source, progress):
            if isinstance(block, LongLine):
                rejects.add_long(source, block.line, block.start, block.size, block.sha256)
                continue
            lines: list[bytes] = []
            for number, event in _numbered(block, source, rejects):
                try:
                    fact = admit(event)
                except Rejected as error:
                    lines = lines or block.data.split(b"\n")
                    data = lines[number - block.first_line].removesuffix(b"\r")
                    rejects.add(source, number, None, str(error), data)
                    continue
                count += 1
                if fact is None:
                    unwatched += 1
                    last = max(last, recorded(event))
                else:
                    keep(event.patient_id, fact)
    for known in facts.values():
        last = max(last, max(known, key=attrgetter("recorded")).recorded)
    return Log(dict(facts), awake, last, count, unwatched)


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
    for patient_id in log.awake:
        p = Patient(plan, patient_id)
        facts = log.facts[patient_id]
        if progress is not None:
            progress(len(facts))
        receive(p, facts)
        changes += advance(p, until)
        unjudged += _unjudged(p)
    changes.sort()
    unjudged.sort()
    return Replayed(changes, unjudged)


def _unjudged(p: Patient) -> list[Unjudged]:
    found = [Unjudged(p.id, code, reason) for code, reason in p.unjudged]
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
