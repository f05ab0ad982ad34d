"""The state of all patients as a file, and back: how far inputs were taken, every state, every alert and what was said.

How far inputs were taken is read first, the states after it: so a state of the file holds at least all that counts as
taken, and what it holds beyond that is absorbed when it comes again. Of the states those go in that a recovery would
take: a file has no epochs, by which what a former owner wrote late could be told later.
"""

import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from streams.live.clients import Record, open_consumer, patiently, read, write
from streams.live.ownership import counting
from streams.live.settings import Settings
from streams.live.topics import INPUTS, STATE, TopicsError, open_admin

FORMAT: Final = 1
COMPACTED: Final = (STATE, "alerts")
LOGS: Final = ("alert-log", "audit-log", "dead-letters")
_STOPPED: Final = frozenset(("Empty", "Dead"))


class BackupError(Exception):
    """A file that is no whole backup, or topics into which it cannot be restored."""


class _Head(msgspec.Struct):
    cmvigil_backup: int
    partitions: int
    taken: dict[str, list[int]]
    """By input topic and partition, up to where inputs were taken; -1: nothing was."""
    topic_ids: dict[str, str]


class _Row(msgspec.Struct, array_like=True):
    topic: str
    partition: int
    key: bytes | None
    value: bytes


class _End(msgspec.Struct):
    records: int


class Restored(NamedTuple):
    """What was written by topic, and which topics held something already and were left as they are."""

    written: dict[str, int]
    left: list[str]
    from_start: list[str]
    """Input topics that are not those of the backup: they are read from their start."""


_encode: Final = msgspec.json.Encoder().encode
_head: Final = msgspec.json.Decoder(_Head)
_row: Final = msgspec.json.Decoder(_Row)
_end: Final = msgspec.json.Decoder(_End)


def backup(settings: Settings, path: Path) -> dict[str, int]:
    """Writes a backup, which only its owner can read; returns how many records of each topic. Workers may run.

    Raises TopicsError where the broker fails, BackupError where the file is there or cannot be written. Of a backup
    that fails no file stays.
    """
    with open_admin(settings) as admin:
        taken = _taken(admin, settings)
        ids = _topic_ids(admin, settings)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"file: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as out:
            return _write(settings, _Head(FORMAT, settings.partitions, taken, ids), out)
    except BaseException:
        path.unlink()
        raise


def _write(settings: Settings, head: _Head, out: gzip.GzipFile) -> dict[str, int]:
    counts = dict.fromkeys((*COMPACTED, *LOGS), 0)
    with open_consumer(settings) as consumer:
        out.write(_encode(head) + b"\n")
        for name in counts:
            records = read(consumer, settings.topic(name))
            if name == STATE:
                records = counting(records)
            for row in _last(name, records) if name in COMPACTED else _all(name, records):
                out.write(_encode(row) + b"\n")
                counts[name] += 1
        out.write(_encode(_End(sum(counts.values()))) + b"\n")
    return counts


def _all(name: str, records: Iterable[Any]) -> Iterator[_Row]:
    return (_Row(name, one.partition, one.key, one.value) for one in records if one.value is not None)


def _last(name: str, records: Iterable[Any]) -> Iterator[_Row]:
    """Of each key the last record, where that is no deletion."""
    found: dict[bytes | None, _Row] = {}
    for one in records:
        if one.value is None:
            found.pop(one.key, None)
        else:
            found[one.key] = _Row(name, one.partition, one.key, one.value)
    return iter(found.values())


def restore(settings: Settings, path: Path) -> Restored:
    """Writes a backup into the topics, and sets from where workers read on. No worker may run.

    A topic that holds anything is left as it is; that of the states must be empty. Raises BackupError for a file that
    is no whole backup (nothing is written then) and for topics that do not fit, TopicsError where the broker fails.
    """
    head = _checked(path)
    if head.partitions != settings.partitions:
        raise BackupError(f"file: of {head.partitions} partitions, {settings.partitions} are set")
    group = settings.topic("cmvigil")
    with open_admin(settings) as admin:
        state = patiently(lambda: admin.describe_groups([group]))[group]
        if (state.get("group_state") or state.get("state")) not in _STOPPED:
            raise BackupError("workers: stop them all first")
        ids = _topic_ids(admin, settings)
    with open_consumer(settings) as consumer:
        left = [name for name in (*COMPACTED, *LOGS) if _holds(consumer, settings.topic(name))]
        if STATE in left:
            raise BackupError(f"topic {STATE}: holds states; delete it, and make it anew with `cmvigil topics`")
        starts = _starts(consumer, settings, head, ids)
    written = dict.fromkeys((name for name in (*COMPACTED, *LOGS) if name not in left), 0)

    def records() -> Iterator[Record]:
        for row in _rows(path):
            if row.topic in written:
                written[row.topic] += 1
                yield Record(settings.topic(row.topic), row.key, row.value, row.partition)

    write(settings, records())
    with open_admin(settings) as admin:
        answer = patiently(lambda: admin.alter_group_offsets(group, starts))
    if any(getattr(error, "errno", 0) for error in answer.values()):
        raise TopicsError("broker: did not take from where workers are to read on; restore anew")
    return Restored(written, left, [name for name in INPUTS if ids.get(name) != head.topic_ids.get(name)])


def _starts(consumer: Any, settings: Settings, head: _Head, ids: dict[str, str]) -> dict[Any, Any]:
    """From where to read on: where the backup was, in the topics that it was of; in others from their start."""
    tps = {
        name: [TopicPartition(settings.topic(name), number) for number in range(settings.partitions)] for name in INPUTS
    }
    every = [tp for some in tps.values() for tp in some]
    first, ends = consumer.beginning_offsets(every), consumer.end_offsets(every)
    found = {}
    for name, some in tps.items():
        same = ids.get(name) == head.topic_ids.get(name)
        for tp in some:
            wanted = head.taken[name][tp.partition] if same else 0
            found[tp] = OffsetAndMetadata(min(max(wanted, first[tp]), ends[tp]), "", -1)
    return found


def _holds(consumer: Any, topic: str) -> bool:
    tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not tps:
        raise TopicsError(f"topic {topic}: missing; run `cmvigil topics`")
    first, ends = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
    return any(first[tp] < ends[tp] for tp in tps)


def _taken(admin: Any, settings: Settings) -> dict[str, list[int]]:
    group = settings.topic("cmvigil")
    found = patiently(lambda: admin.list_group_offsets({group: None}))[group]
    offsets = {(tp.topic, tp.partition): one.offset for tp, one in found.items()}
    return {
        name: [offsets.get((settings.topic(name), number), -1) for number in range(settings.partitions)]
        for name in INPUTS
    }


def _topic_ids(admin: Any, settings: Settings) -> dict[str, str]:
    """What tells a topic from one that was made anew under its name."""
    names = {settings.topic(name): name for name in INPUTS}
    return {names[one["name"]]: str(one["topic_id"]) for one in admin.describe_topics(list(names))}


def _checked(path: Path) -> _Head:
    """The head of a backup that is there to its end. Raises BackupError for any other file."""
    try:
        with gzip.open(path, "rb") as lines:
            head = _head.decode(next(lines, b""))
            last, count = b"", -1
            for line in lines:
                last, count = line, count + 1
        end = _end.decode(last)
    except (OSError, EOFError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else "is no whole backup"
        raise BackupError(f"file: {said}") from None
    if head.cmvigil_backup != FORMAT:
        raise BackupError(f"file: format {head.cmvigil_backup}, this program reads format {FORMAT}")
    if end.records != count or any(len(head.taken.get(name, ())) != head.partitions for name in INPUTS):
        raise BackupError("file: is no whole backup")
    return head


def _rows(path: Path) -> Iterator[_Row]:
    with gzip.open(path, "rb") as lines:
        next(lines)
        for line in lines:
            if line.startswith(b"["):
                yield _row.decode(line)
