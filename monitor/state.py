"""A patient as bytes, and back: the facts, what was said, what waits to be judged and what waits to be sent.

Verdicts are not kept: they are a function of facts, knowledge and the clock, and are judged again on loading. Codes,
drugs and units stand by their names, so that state outlives a change of knowledge. The header is fixed and can be read
without the rest; a newer version is refused, untouched.
"""

import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from monitor.actions import standing
from monitor.advance import next_due
from monitor.evaluation import settle
from monitor.facts import apply, attach
from monitor.patient import Packing, Patient, Rows
from monitor.plan import Plan
from monitor.times import ALWAYS, NEVER, SECOND, Time
from monitor.types import DETECTED, FINAL, NOT_DETECTED, WITHDRAWN, Act, Dose, Lab, Person, Saying

VERSION: Final = 1
UPGRADES: Final[dict[int, Callable[[bytes], bytes]]] = {}
"""By version, how the body of such a state becomes one of the next version: a new version adds an entry. The header
stays as it is, for older programs to know what they cannot read."""

_HEADER: Final = struct.Struct(">BB8sqq")
_OUTBOX: Final = 1
_STATUSES: Final = ("completed", "in-progress", "stopped", "not-done", "entered-in-error")
_ARRAY: Final = struct.Struct(">BI")
_ARRAY_32: Final = 0xDD
_FRACTION: Final = 1 << 61
"""Marks a time that is no whole second."""
_SEALED: Final = 32
"""Facts in one block of bytes."""
F = TypeVar("F", Lab, Dose)
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


class StateError(ValueError):
    """Bytes that are no state this program can read: corrupt, or of a newer version."""


class Header(NamedTuple):
    """What can be known of a patient's state without reading it."""

    version: int
    ruleset: bytes
    clock: Time
    next_due: Time
    outbox: bool

    @property
    def older(self) -> bool:
        """Whether it is of an older version, and is to be written anew."""
        return self.version != VERSION


class Loaded(NamedTuple):
    """A patient as it was; whether it was judged under another ruleset and is to be judged once anew; and whether its
    bytes are of an older version and are to be written anew.
    """

    patient: Patient
    stale: bool
    older: bool


_Id = str | tuple[int, bytes]
"""A text; or a text by its number and a UUID that follows it."""


class _Lab(msgspec.Struct, array_like=True, gc=False):
    event_id: _Id
    recorded: int
    lag: int | None
    code: int
    unit: int
    value: int | str
    flags: int


class _Dose(msgspec.Struct, array_like=True, gc=False):
    event_id: _Id
    recorded: int
    lag: int | None
    lasted: int
    drug: int
    unit: int
    value: int | None
    route: int
    flags: int


class _Body(msgspec.Struct, array_like=True, gc=False):
    strings: list[str]
    kept_from: int
    people: list[Person]
    acts: list[Act]
    said: list[Saying]
    outbox: list[bytes]
    waiting: tuple[list[_Lab], list[_Dose], list[Person], list[Act]]
    labs: list[_Lab]
    doses: list[_Dose]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Body).decode


def ruleset_mark(plan: Plan) -> bytes:
    """The ruleset's hash as the header keeps it, 8 bytes."""
    return bytes.fromhex(plan.ruleset.rpartition(":")[2])


def peek(data: bytes) -> Header:
    """The header of a state. Raises StateError for what is none and for a newer version."""
    if len(data) < _HEADER.size:
        raise StateError("state: too short")
    version, flags, ruleset, clock, due = _HEADER.unpack_from(data)
    if version > VERSION or not all(one in UPGRADES for one in range(version, VERSION)):
        raise StateError(f"state: version {version}, this program reads version {VERSION}")
    return Header(version, ruleset, clock, due, bool(flags & _OUTBOX))


def dump(p: Patient) -> bytes:
    """A patient's state as bytes."""
    head = _HEADER.pack(VERSION, _OUTBOX if p.outbox else 0, ruleset_mark(p.plan), p.clock, next_due(p))
    packing = p.packing
    if packing is None:
        packing = p.packing = Packing()
    labs = _packed(p, p.lab_facts, packing.labs, packing.unread_labs, _lab_row)
    doses = _packed(p, p.dose_facts, packing.doses, packing.unread_doses, _dose_row)
    waiting = _waiting(p)
    people, acts = list(p.people.values()), list(p.acts.values())
    kept = (list(packing.strings), p.kept_from, people, acts, sayings_of(p), p.outbox, waiting)
    # An array of nine, its facts put in as they were packed.
    return b"".join((head, b"\x99", *map(_encode, kept), labs, doses))


def load(plan: Plan, patient_id: str, data: bytes) -> Loaded:
    """The patient that a state was dumped from, judged as of its clock.

    Raises StateError for bytes that are no state, and for a newer version.
    """
    head = peek(data)
    packed: bytes | memoryview = memoryview(data)[_HEADER.size :]
    try:
        for version in range(head.version, VERSION):
            packed = UPGRADES[version](bytes(packed))
        body = _decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StateError("state: corrupt") from None
    p = Patient(plan, patient_id)
    p.clock = head.clock
    p.kept_from = body.kept_from
    p.outbox = body.outbox
    p.sayings = body.said
    labs, doses, people, acts = body.waiting
    packing = p.packing = Packing({text: i for i, text in enumerate(body.strings)})
    for fact in (*_facts(plan, body.strings, body.labs, body.doses, packing), *body.people, *body.acts):
        apply(p, fact)
    p.inbox += [*_facts(plan, body.strings, labs, doses, packing), *people, *acts]
    p.inbox.sort(key=lambda fact: -fact.recorded)
    settle(p, p.clock)
    p.news.clear()
    p.acted = False
    packing.labs.clear()
    packing.doses.clear()
    attach(p)
    _set_alarms(p)
    return Loaded(p, head.ruleset != ruleset_mark(plan), head.older)


def _set_alarms(p: Patient) -> None:
    """When snoozes end by themselves."""
    if not p.acts:
        return
    for fold in p.folds.values():
        until = min((standing(p, fold, one, p.clock).until for one in fold.episodes if one.end is None), default=NEVER)
        if until != NEVER:
            p.alarms[fold] = until


# Facts -----------------------------------------------------------------------------------------------------------


def sayings_of(p: Patient) -> list[Saying]:
    """What was said of a patient, by the rules that are in force and by those that are not."""
    found = list(p.sayings)
    for fold in p.folds.values():
        rule = fold.rule
        found += [Saying(rule.code, rule.drug, rule.subject, *key, said) for key, said in fold.said.items()]
    # The same state is the same bytes, in whatever order its rules came into force.
    return sorted(found, key=lambda one: (one.code, one.drug or "", one.subject or "", one.onset, one.named or ""))


def _waiting(p: Patient) -> tuple[list[_Lab], list[_Dose], list[Person], list[Act]]:
    """What waits in the inbox. The days of planned transplants come back with the person."""
    rows: tuple[list[_Lab], list[_Dose], list[Person], list[Act]] = ([], [], [], [])
    for fact in p.inbox:
        if isinstance(fact, Lab):
            rows[0].append(_lab_row(p, fact))
        elif isinstance(fact, Dose):
            rows[1].append(_dose_row(p, fact))
        elif isinstance(fact, Person):
            rows[2].append(fact)
        elif isinstance(fact, Act):
            rows[3].append(fact)
    return rows


def _packed(
    p: Patient, facts: dict[str, F], packed: Rows, unread: list[bytes], row: Callable[[Patient, F], object]
) -> bytes:
    """The facts as an array of rows. What was packed before is taken as it is: facts are only added, or replaced, and
    after a replacement nothing counts as packed (monitor/facts.py).
    """
    blocks: list[bytes] = packed.blocks
    rows: list[bytes] = packed.rows
    added = len(facts) - len(blocks) * _SEALED - len(rows)
    new = list(islice(reversed(facts.values()), added))
    for fact in reversed(new):
        rows.append(_encode(row(p, fact)))
        if len(rows) == _SEALED:
            blocks.append(b"".join(rows))
            rows.clear()
    return b"".join((_ARRAY.pack(_ARRAY_32, len(facts) + len(unread)), *unread, *blocks, *rows))


def _lab_row(p: Patient, lab: Lab) -> _Lab:
    value: int | str = 0
    unit = -1
    if lab.grade is not None:
        value = lab.grade
    elif lab.unit >= 0:
        analyte = p.plan.analytes[lab.analyte]
        value = lab.canon // analyte.scale[lab.unit]
        unit = _string(p, analyte.unit_names[lab.unit])
    code = _string(p, lab.loinc) if lab.loinc or lab.analyte >= 0 else -1
    flags = lab.mark << 3 | lab.rank
    return _Lab(_id_row(p, lab.event_id), _time_row(lab.recorded), _lag_row(lab), code, unit, value, flags)


def _dose_row(p: Patient, dose: Dose) -> _Dose:
    flags = dose.systemic | dose.given << 1 | dose.label << 2 | _STATUSES.index(dose.status) << 5
    return _Dose(
        _id_row(p, dose.event_id),
        _time_row(dose.recorded),
        _lag_row(dose),
        _time_row(dose.end - dose.at),
        -1 if dose.drug < 0 else _string(p, p.plan.drugs[dose.drug].name),
        -1 if dose.unit < 0 else _string(p, p.plan.dose_units[dose.unit][0]),
        dose.value,
        -1 if dose.route is None else _string(p, dose.route),
        flags,
    )


def _facts(
    plan: Plan, strings: list[str], labs: list[_Lab], doses: list[_Dose], packing: Packing
) -> Iterator[Lab | Dose]:
    """The facts of some rows. Rows of which this plan knows no analyte, drug or unit stay as they are."""
    for lab in labs:
        result = _lab_of(plan, strings, lab)
        if result is None:
            packing.unread_labs.append(_encode(lab))
        else:
            yield result
    for dose in doses:
        given = _dose_of(plan, strings, dose)
        if given is None:
            packing.unread_doses.append(_encode(dose))
        else:
            yield given


def _lab_of(plan: Plan, strings: list[str], row: _Lab) -> Lab | None:
    recorded = _time_of(row.recorded)
    at = ALWAYS if row.lag is None else recorded - _time_of(row.lag)
    event_id = _id_of(strings, row.event_id)
    mark, rank = row.flags >> 3, row.flags & 7
    loinc = strings[row.code] if row.code >= 0 else ""
    analyte = plan.analyte_of.get(loinc)
    if analyte is None:
        # A withdrawal stands without its analyte; a result does not.
        return Lab(event_id, recorded, at, -1, loinc, 0, rank=rank) if _is_void(row) else None
    if isinstance(row.value, str):
        if mark in (DETECTED, NOT_DETECTED):
            return Lab(event_id, recorded, at, analyte.index, loinc, 0, mark=mark, rank=rank, grade=row.value)
        grade = analyte.grades.get(row.value)
        if grade is None:
            return None
        canon, unit = grade[0] * analyte.scale[grade[1]], grade[1]
        return Lab(event_id, recorded, at, analyte.index, loinc, canon, unit, rank=rank, grade=row.value)
    if row.unit < 0:
        return Lab(event_id, recorded, at, analyte.index, loinc, 0, mark=mark, rank=rank)
    known = analyte.units.get(strings[row.unit])
    if known is None:
        return None
    canon = row.value * analyte.scale[known]
    low, high = analyte.plausible[known]
    return Lab(event_id, recorded, at, analyte.index, loinc, canon, known, mark, rank, not low <= canon <= high)


def _is_void(row: _Lab) -> bool:
    return Lab("", 0, 0, -1, "", 0, rank=row.flags & 7).void


def _dose_of(plan: Plan, strings: list[str], row: _Dose) -> Dose | None:
    drug = plan.find_drug(strings[row.drug]) if row.drug >= 0 else None
    if row.drug >= 0 and drug is None:
        return None
    recorded = _time_of(row.recorded)
    at = ALWAYS if row.lag is None else recorded - _time_of(row.lag)
    unit = -1
    if row.unit >= 0 and drug is not None:
        unit = plan.dose_unit(strings[row.unit], drug)
        if unit < 0:
            return None
    flags = row.flags
    status = _STATUSES[flags >> 5]
    return Dose(
        _id_of(strings, row.event_id),
        recorded,
        at,
        at + _time_of(row.lasted),
        -1 if drug is None else drug.index,
        unit,
        row.value,
        None if row.route < 0 else strings[row.route],
        bool(flags & 1),
        flags >> 2 & 7,
        status,
        WITHDRAWN if status == "entered-in-error" else FINAL,
        bool(flags & 2),
    )


def _string(p: Patient, text: str) -> int:
    packing = p.packing
    assert packing is not None
    return packing.strings.setdefault(text, len(packing.strings))


def _id_row(p: Patient, event_id: str) -> _Id:
    """An id; one that ends in a UUID, as FHIR's often do, in 20 bytes."""
    found = _ID.search(event_id) if len(event_id) >= 36 else None
    return event_id if found is None else (_string(p, event_id[: found.start()]), UUID(found[0]).bytes)


def _id_of(strings: list[str], row: _Id) -> str:
    return row if isinstance(row, str) else strings[row[0]] + str(UUID(bytes=row[1]))


def _time_row(t: Time) -> int:
    """A time or span: whole seconds, as most are, are shorter."""
    return t + _FRACTION if t % SECOND else t // SECOND


def _time_of(row: int) -> Time:
    return row - _FRACTION if row > _FRACTION >> 1 else row * SECOND


def _lag_row(fact: Lab | Dose) -> int | None:
    return None if fact.at == ALWAYS else _time_row(fact.recorded - fact.at)
