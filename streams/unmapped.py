"""Codes and units of a log that no rule knows, with counts: what a site's map of codes is written from."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from monitor.events import AdministrationEvent, Event, Gate, LabEvent, Rejected
from monitor.plan import Plan
from streams.codes import NO_CODES, Codes
from streams.documents import split_documents
from streams.logs import Block, Document, LongLine, read_pieces
from streams.meds import is_meds, read_meds_codes
from streams.replay import located


class Unmapped(NamedTuple):
    """A code that no rule watches, or a unit that is not known for a watched code."""

    kind: str
    code: str
    unit: str | None
    known: bool


Counts = Counter[Unmapped]


def count_unmapped(plan: Plan, sources: Iterable[str], codes: Codes = NO_CODES) -> Counts:
    """What the logs' events name that no rule knows. Raises UnusableInput where one cannot be read whole.

    `known`: the code is watched, and only its unit is not. Inputs that are no events are passed over.
    """
    counts: Counts = Counter()
    gate = Gate(plan)

    def passed(what: str) -> None:
        counts[Unmapped("fhir", what, None, known=False)] += 1

    for source in sources:
        if is_meds(source):
            for code, count in read_meds_codes(source, codes):
                counts[Unmapped("meds", code, None, known=False)] += count
            continue
        for piece in _parts(source):
            gate.trim()
            for one in located(piece, plan, codes, _ignore, passed):
                unknown = _unknown(codes.translate(one.event), gate)
                if unknown is not None:
                    counts[unknown] += 1
    return counts


def _parts(source: str) -> Iterator[Block | Document]:
    pieces = read_pieces(source)
    for piece in pieces:
        for part in split_documents(piece, pieces) if isinstance(piece, Block) else ():
            if not isinstance(part, LongLine):
                yield part


def _ignore(line: int | None, entry: int | None, reason: str, data: bytes) -> None:
    """An input that is no event has no code to be mapped; `cmvigil replay --rejects` lists it."""


def _unknown(event: Event, gate: Gate) -> Unmapped | None:
    """What no rule knows in an event: its code, or the unit of a code that is watched."""
    if isinstance(event, LabEvent):
        kind, code = "lab", event.code
    elif isinstance(event, AdministrationEvent):
        kind, code = "administration", event.drug
    else:
        return None
    try:
        fact = gate.admit(event)
    except Rejected as error:
        if str(error).startswith("unit: "):
            return Unmapped(kind, code or "", event.unit, known=True)
        return None
    return Unmapped(kind, code, event.unit, known=False) if fact is None and code is not None else None
