"""Replaying logs: the same core as live, with no broker. Facts are gathered by patient, each patient's clock runs
through them, and all changes come out in the order of the moments at which they are said.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

from monitor.actions import unapplied
from monitor.advance import advance, receive
from monitor.events import AdministrationEvent, Event, Gate, LabEvent, Rejected
from monitor.identity import parts_of
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.reconciliation import Change
from monitor.times import ALWAYS, Time
from monitor.types import Act, Dose, Fact, Person
from streams.codes import NO_CODES, Codes
from streams.decoding import Located, Pass, Reject, decode_block, decode_document, decode_lines
from streams.documents import split_documents
from streams.logs import Block, Document, LongLine, Piece, read_pieces
from streams.meds import is_meds, read_meds
from streams.rejects import Rejects
from streams.spool import Facts, Spool

IN_MEMORY: Final = 2_000_000
"""Facts held in memory; more go to disk, where there is a spool."""


class Unjudged(NamedTuple):
    """What could not be judged for want of data."""

    patient_id: str
    code: str
    reason: str


class Log(NamedTuple):
    """The facts of those patients of some logs who are to be judged, and what was counted on the way.

    To be judged is who has a dose of a watched drug, a viral load, a transplant or an action; no rule speaks of others.
    """

    facts: Facts
    last: Time
    events: int
    unwatched: int
    awake: frozenset[str]
    spool: Spool | None = None
    """Where the facts are, if they were too many for memory; `facts` is then empty."""


class Replayed(NamedTuple):
    """What a replay says, in order, and what it could not judge."""

    changes: Iterable[Change]
    unjudged: list[Unjudged]


def read_log(
    plan: Plan,
    sources: Iterable[str],
    rejects: Rejects,
    progress: Callable[[int], None] | None = None,
    *,
    codes: Codes = NO_CODES,
    spool: Spool | None = None,
    limit: int = IN_MEMORY,
) -> Log:
    """Reads logs to their end. Raises UnusableInput where one cannot be read whole.

    With a spool, facts beyond the limit go there.
    """
    reader = _Reader(plan, rejects, codes, spool, limit)
    for source in sources:
        if is_meds(source):
            reader.take_meds(source)
            continue
        pieces = read_pieces(source, progress)
        for piece in pieces:
            reader.take(source, piece, pieces)
    return reader.log()


def located(piece: Block | Document, plan: Plan, codes: Codes, reject: Reject, passed: Pass) -> Iterator[Located]:
    """The events of a piece one by one, wherever they came from."""
    if isinstance(piece, Block):
        return decode_lines(piece.data, piece.first_line, plan, reject, passed, codes)
    return decode_document(piece.data, piece.first_line, plan, reject, passed, codes)


class _Reader:
    """Gathers the facts of logs, piece by piece."""

    def __init__(self, plan: Plan, rejects: Rejects, codes: Codes, spool: Spool | None, limit: int) -> None:
        self._plan = plan
        self._rejects = rejects
        self._codes = codes
        self._spool = spool
        self._limit = limit
        self._spooled = False
        self._gate = Gate(plan)
        self._facts: Facts = defaultdict(list)
        self._held = 0
        self._awake: set[str] = set()
        self._last = ALWAYS
        self._count = 0
        self._unwatched = 0

    def take(self, source: str, piece: Piece, more: Iterator[Piece]) -> None:
        """Takes the events of a piece of a log, or rejects them aloud. A document may draw on what follows."""
        self._gate.trim()
        if self._spool is not None and self._held > self._limit:
            self._spill(self._spool)
        if isinstance(piece, Block):
            events = decode_block(piece.data)
            if events is not None:
                self._take_native(source, piece, events)
                return
            for part in split_documents(piece, more):
                self._take_slowly(source, part)
        else:
            self._take_slowly(source, piece)

    def _take_slowly(self, source: str, piece: Piece) -> None:
        if isinstance(piece, LongLine):
            self._rejects.add_long(source, piece.line, piece.start, piece.size, piece.sha256)
            return

        def reject(line: int | None, entry: int | None, reason: str, data: bytes) -> None:
            self._rejects.add(source, line, entry, reason, data)

        for one in located(piece, self._plan, self._codes, reject, self._pass):
            try:
                self._take(self._codes.translate(one.event))
            except Rejected as error:
                reject(one.line, one.entry, str(error), bytes(one.data))

    def log(self) -> Log:
        """All that was taken, by patient."""
        awake = frozenset(self._awake)
        if self._spool is not None and (self._spooled or self._held > self._limit):
            self._spill(self._spool)
            return Log({}, self._last, self._count, self._unwatched, awake, self._spool)
        facts = {patient_id: self._facts[patient_id] for patient_id in sorted(self._awake)}
        return Log(facts, self._latest(), self._count, self._unwatched, awake)

    def take_meds(self, source: str) -> None:
        """Takes the rows of a MEDS file that the site's map names."""

        def passed(code: str, count: int) -> None:
            self._count += count
            self._unwatched += count

        for row in read_meds(source, self._codes, passed):
            if self._spool is not None and self._held > self._limit:
                self._spill(self._spool)
            try:
                if row.event is None:
                    raise Rejected(row.fault)  # noqa: TRY301 - rejected like any other row
                self._take(row.event, uncharted=True)
            except Rejected as error:
                self._rejects.add(source, row.number, None, str(error), row.data)

    def _latest(self) -> Time:
        facts = chain.from_iterable(self._facts.values())
        return max(self._last, max(map(attrgetter("recorded"), facts), default=ALWAYS))

    def _spill(self, spool: Spool) -> None:
        self._last = self._latest()
        spool.add(self._facts)
        self._facts.clear()
        self._held = 0
        self._spooled = True

    def _pass(self, what: str) -> None:
        self._count += 1
        self._unwatched += 1

    def _take_native(self, source: str, block: Block, events: list[Event]) -> None:
        lines: list[bytes] = []
        is_plain = self._codes is NO_CODES
        for number, event in enumerate(events):
            try:
                self._take(event if is_plain else self._codes.translate(event))
            except Rejected as error:
                lines = lines or block.data.split(b"\n")
                self._rejects.add(
                    source, block.first_line + number, None, str(error), lines[number].removesuffix(b"\r")
                )

    def _take(self, event: Event, *, uncharted: bool = False) -> None:
        fact: Fact | None
        if type(event) is LabEvent:
            fact = self._gate.lab(event)
            wakes = fact is not None and fact.analyte == self._plan.cmv
        else:
            if uncharted and isinstance(event, AdministrationEvent):
                fact = self._gate.admit_uncharted(event)
            else:
                fact = self._gate.admit(event)
            wakes = _wakes(fact, self._plan.watched)
        self._count += 1
        if fact is None:
            self._unwatched += 1
            self._last = max(self._last, self._gate.times[event.recorded_at])
            return
        self._facts[event.patient_id].append(fact)
        self._held += 1
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
