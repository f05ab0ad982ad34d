"""Forgets a patient across topics and stores, and says truly what is left and until when.

What asks a worker to forget stands on every input topic, behind all that the patient has there: so each topic's own
message takes away what that topic brought, in whatever order they are read, and when all are read anew. A worker passes
it on in `alert-log`, behind all that was said of the patient, where `cmvigil deliver` deletes what it keeps; takes the
patient's alerts out of `alerts`; then deletes the state. FHIR resources that a deliverer has put into a topic are
deleted from here, once it has nothing more to put there. What Kafka cannot delete by key is counted.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from kafka import TopicPartition

from monitor.times import SECOND, iso
from streams.live.clients import Record, open_consumer, partition_of, patiently, read, write
from streams.live.messages import PATIENT_HEADER, DeadLetter, Forget
from streams.live.ownership import counting
from streams.live.settings import Settings
from streams.live.topics import INPUTS, STATE, open_admin, retention

AUDIT: Final = "audit-log"
_encode: Final = msgspec.json.Encoder().encode


class Left(msgspec.Struct):
    """Records of a patient that only retention takes away: how many, and not before when (None: never)."""

    topic: str
    records: int
    until: str | None


class Found(msgspec.Struct):
    """What the topics hold of a patient."""

    state: bool
    alerts: list[Record]
    """What deletes the patient's from the compacted topic."""
    left: list[Left]
    issues: dict[str, list[Record]]
    """The same of each topic of FHIR resources that is there."""


class Audit(msgspec.Struct, omit_defaults=True):
    """Who had a patient forgotten, when, and what came of it. `subject` is a keyed hash of the patient's id."""

    at: str
    what: str
    stage: str
    subject: str
    by: str
    reason: str | None = None
    state_deleted: bool | None = None
    alerts_deleted: int | None = None
    issues_deleted: dict[str, int] | None = None
    """FHIR resources, by topic."""
    deliverers: dict[str, str] | None = None
    """Of each group under which alerts are delivered: `done`, `waiting`, or `none` where nobody ever read."""
    left: list[Left] | None = None


class _Whose(msgspec.Struct):
    patient_id: str


_letter: Final = msgspec.json.Decoder(DeadLetter)
_whose: Final = msgspec.json.Decoder(_Whose)


def subject_of(patient_id: str, key: str) -> str:
    """A keyed hash: whoever has the key can tell whether a patient was forgotten, and nobody can tell who was."""
    return "hmac-sha256:" + hmac.new(key.encode(), patient_id.encode(), hashlib.sha256).hexdigest()


def look(settings: Settings, patient_id: str, fhir_topics: Sequence[str] = ()) -> Found:
    """Reads the topics for a patient: of those keyed by patient, the partition that is theirs. Raises TopicsError.

    Those of FHIR resources may be missing.
    """
    key = patient_id.encode()
    own = [partition_of(key, settings.partitions)]
    kept = retention(settings)
    with open_consumer(settings) as consumer:
        state = None
        for one in counting(read(consumer, settings.topic(STATE), own)):
            state = one.value if one.key == key else state
        alerts = _tombstones(read(consumer, settings.topic("alerts")), lambda one: _is_of(one.value, patient_id))
        there = consumer.topics() if fhir_topics else set()
        issues = {
            name: _tombstones(
                read(consumer, settings.topic(name)), lambda one: dict(one.headers).get(PATIENT_HEADER) == key
            )
            for name in fhir_topics
            if settings.topic(name) in there
        }
        mentions = _mention(patient_id)
        left = []
        for name in (*INPUTS, "alert-log", "dead-letters"):
            keyed = name != "dead-letters"
            times = [
                one.timestamp
                for one in read(consumer, settings.topic(name), own if keyed else None)
                if (one.key == key and not _asks(one.value) if keyed else mentions(one.value))
            ]
            if times:
                left.append(Left(name, len(times), _until(max(times), kept.get(name, -1))))
    return Found(state is not None, alerts, left, issues)


def _tombstones(records: Iterable[Any], theirs: Callable[[Any], bool]) -> list[Record]:
    """What deletes from a compacted topic the last values by key that are a patient's."""
    found: dict[bytes, Record] = {}
    for one in records:
        if one.value is not None and theirs(one):
            found[one.key] = Record(one.topic, one.key, None, one.partition)
        else:
            found.pop(one.key, None)
    return list(found.values())


def _is_of(value: bytes, patient_id: str) -> bool:
    try:
        return _whose.decode(value).patient_id == patient_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _asks(value: bytes | None) -> bool:
    return value is not None and value.startswith(b'{"type":"forget"')


def _mention(patient_id: str) -> Callable[[bytes | None], bool]:
    """Of a patient is a dead letter that holds the id as a text or at the end of a reference, or bytes that hold it."""
    whole = re.compile(b'["/:]' + re.escape(_encode(patient_id)[1:]))
    plain = patient_id.encode()

    def mentions(value: bytes | None) -> bool:
        try:
            letter = _letter.decode(value or b"")
        except msgspec.MsgspecError:
            return False
        if letter.input is not None:
            return whole.search(letter.input.encode()) is not None
        return plain in (letter.input_base64 or b"")

    return mentions


def _until(newest_ms: int, retention_ms: int) -> str | None:
    return None if retention_ms < 0 else iso((newest_ms + retention_ms) * 1000)


def ask(settings: Settings, patient_id: str) -> dict[Any, int]:
    """Sends what asks to forget to every input topic; returns how far each is to be read. Raises TopicsError."""
    key = patient_id.encode()
    own = partition_of(key, settings.partitions)
    value = _encode(Forget(patient_id, iso(time.time_ns() // 1000)))
    write(settings, [Record(settings.topic(name), key, value, own) for name in INPUTS])
    with open_consumer(settings) as consumer:
        ends: dict[Any, int] = consumer.end_offsets([TopicPartition(settings.topic(name), own) for name in INPUTS])
        return ends


def taken(settings: Settings, ends: dict[Any, int], wait: float, group: str | None = None) -> bool:
    """Whether within so many seconds a group, else the workers, has all up to some offsets. Raises TopicsError."""
    group = group or settings.topic("cmvigil")
    until = time.monotonic() + wait
    with open_admin(settings) as admin:
        while True:
            found = patiently(lambda: admin.list_group_offsets({group: list(ends)}))[group]
            committed = {tp: one.offset for tp, one in found.items()}
            if all(committed.get(tp, -1) >= end for tp, end in ends.items()):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.5)


def delivered(settings: Settings, patient_id: str, group: str, wait: float) -> str:
    """Whether within so many seconds a deliverer has read in `alert-log` that a patient is forgotten.

    `done`, `waiting`, or `none` where nobody reads under that name. Raises TopicsError.
    """
    with open_consumer(settings) as consumer:
        tps = [TopicPartition(settings.topic("alert-log"), number) for number in range(settings.partitions)]
        own = tps[partition_of(patient_id.encode(), settings.partitions)]
        ends = consumer.end_offsets([own])
    with open_admin(settings) as admin:
        found = patiently(lambda: admin.list_group_offsets({group: tps}))[group]
    if not any(one.offset >= 0 for one in found.values()):
        return "none"
    return "done" if taken(settings, ends, wait, group) else "waiting"


def bury(settings: Settings, found: Found) -> bool:
    """Deletes FHIR resources, and alerts of which no worker knew any more; whether there were any.

    Raises TopicsError.
    """
    records = [*found.alerts, *chain.from_iterable(found.issues.values())]
    if records:
        write(settings, records)
    return bool(records)


def note(settings: Settings, audit: Audit) -> None:
    """Writes an audit record. Raises TopicsError."""
    write(settings, [Record(settings.topic(AUDIT), audit.subject.encode(), _encode(audit))])


def now() -> str:
    """The time of day, to the second."""
    return iso(int(time.time()) * SECOND)
