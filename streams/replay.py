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
from streams.decoding import decode_block, decode_document, decode_lines
from streams.logs import Block, LongLine, Piece, read_pieces
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
    reader = _Reader(plan, rejects)
    for source in sources:
        for piece in read_pieces(source, progress):
            reader.take(source, piece)
    return reader.log()


class _Reader:
    """Gathers the facts of logs, piece by piece."""

    def __init__(self, plan: Plan, rejects: Rejects) -> None:
        self._plan = plan
        self._rejects = rejects
        self._gate = Gate(plan)
        self._kept: list[Fact] = []
        self._patients: list[str] = []
        self._awake: set[str] = set()
        self._last = ALWAYS
        self._count = 0
        self._unwatched = 0

    def take(self, source: str, piece: Piece) -> None:
        """Takes the events of a piece of a log, or rejects them aloud."""
        self._gate.trim()
        if isinstance(piece, LongLine):
            self._rejects.add_long(source, piece.line, piece.start, piece.size, piece.sha256)
            return
        events = decode_block(piece.data) if isinstance(piece, Block) else None
        if events is not None:
            assert isinstance(piece, Block)
            self._take_native(source, piece, events)
            return

        def reject(line: int | None, entry: int | None, reason: str, data: bytes) -> None:
            self._rejects.add(source, line, entry, reason, data)

        if isinstance(piece, Block):
            located = decode_lines(piece.data, piece.first_line, self._plan, reject, self._pass)
        else:
            located = decode_document(piece.data, piece.first_line, self._plan, reject, self._pass)
        for one in located:
            try:
                self._take(one.event)
            except Rejected as error:
                reject(one.line, one.entry, str(error), bytes(one.data))

    def log(self) -> Log:
        """All that was taken, by patient."""
        last = max(self._last, max(map(attrgetter("recorded"), self._kept), default=ALWAYS))
        facts: dict[str, list[Fact]] = {patient_id: [] for patient_id in sorted(self._awake)}
        for patient_id, one in zip(self._patients, self._kept, strict=True):
            if patient_id in self._awake:
                facts[patient_id].append(one)
        return Log(facts, last, self._count, self._unwatched)

    def _pass(self, what: str) -> None:
        self._count += 1
        self._unwatched += 1

    def _take_native(self, source: str, block: Block, events: list[Event]) -> None:
        lines: list[bytes] = []
        for number, event in enumerate(events):
            try:
                self._take(event)
            except Rejected as error:
                lines = lines or block.data.split(b"\n")
                self._rejects.add(
                    source, block.first_line + number, None, str(error), lines[number].removesuffix(b"\r")
                )

    def _take(self, event: Event) -> None:
        fact: Fact | None
        if type(event) is LabEvent:
            fact = self._gate.lab(event)
            wakes = fact is not None and fact.analyte == self._plan.cmv
        else:
            fact = self._gate.admit(event)
            wakes = _wakes(fact, self._plan.watched)
        self._count += 1
        if fact is None:
            self._unwatched += 1
            self._last = max(self._last, self._gate.times[event.recorded_at])
            return
        self._kept.append(fact)
        self._patients.append(event.patient_id)
        if wakes:
            self._awake.add(event.patient_id)


def _wakes(fact: Fact | None, watched: frozenset[int]) -> bool:
    """Whether a fact other than a result makes its patient one to be judged."""
    if isinstance(fact, Dose):
        return fact.drug in watched
    return isinstance(fact, Act) or (isinstance(fact, Person) and fact.transplant is not None)


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
