"""What is still to be delivered, and which alerts are open: one SQLite file, durable at each commit.

A change is in it before Kafka is told that it was read; a delivery leaves it when the sink has taken it. Each function
is one transaction. Two threads write, each through a connection of its own.
"""

import fcntl
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from monitor.times import Time, parse_time
from monitor.types import Alert
from streams.live.canaries import is_canary
from streams.live.messages import asked_to_forget
from streams.sinks.changes import ACTIONS, SEVERITY_RANK, UnreadableChange, read_change
from streams.sinks.detected_issue import Action
from streams.sinks.escalation import Urgency, urgency
from streams.sinks.settings import STATEFUL, DeliverySettings, waiting_sinks

VERSION: Final = 1
LONGEST_FORGET: Final = 4096
"""Bytes of a message that a patient is forgotten, at most."""
ACTIONS_KEPT: Final = 50
"""Of an alert that is acted on without end the latest actions are told."""
_BUSY_SECONDS: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sinks (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE positions (
    topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE alerts (
    alert_id TEXT PRIMARY KEY, patient_id TEXT NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL,
    severity TEXT NOT NULL, first_emitted_at TEXT NOT NULL, severities TEXT NOT NULL, actions BLOB NOT NULL,
    waits_since INTEGER, steps INTEGER NOT NULL, taken INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX alerts_of_patient ON alerts (patient_id);
CREATE INDEX alerts_waiting ON alerts (steps, waits_since) WHERE waits_since IS NOT NULL;
CREATE INDEX alerts_closed ON alerts (taken) WHERE state IN ('resolved', 'retracted');
CREATE TABLE changes (alert_id TEXT, seq INTEGER, body BLOB, PRIMARY KEY (alert_id, seq)) WITHOUT ROWID;
CREATE TABLE follows (
    alert_id TEXT, sink TEXT, escalated INTEGER NOT NULL, PRIMARY KEY (alert_id, sink)
) WITHOUT ROWID;
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, alert_id TEXT NOT NULL, seq INTEGER NOT NULL,
    taken INTEGER NOT NULL, due INTEGER NOT NULL, failures INTEGER NOT NULL, refused INTEGER,
    UNIQUE (alert_id, sink, seq)
);
CREATE INDEX deliveries_waiting ON deliveries (sink, number) WHERE refused IS NULL;
CREATE TABLE unreadable (
    topic TEXT, partition INTEGER, "offset" INTEGER, why TEXT NOT NULL, value BLOB,
    PRIMARY KEY (topic, partition, "offset")
) WITHOUT ROWID;
"""


class StoreError(Exception):
    """The store cannot be used. Says why, and nothing of what it holds."""


class Record(NamedTuple):
    """What was read of Kafka."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


class Routes(NamedTuple):
    """Which sink is told of what: those told at once with the severity they begin at, and those told by escalation."""

    direct: Mapping[str, int]
    waiting: frozenset[str]
    stateful: frozenset[str]
    escalate: frozenset[str]


class Taken(NamedTuple):
    """What became of some records."""

    changes: int
    repeated: int
    unreadable: int
    canary: int
    forgotten: int
    """Messages that a patient is forgotten."""


class Delivery(NamedTuple):
    """One change on its way to one sink, with what it does not say of its alert itself."""

    number: int
    alert_id: str
    seq: int
    body: bytes
    failures: int
    escalated: bool
    severities: tuple[str, ...]
    first_emitted_at: str
    actions: tuple[Action, ...]


class Done(NamedTuple):
    """How one delivery went: taken by the sink, refused with a status, or to be tried again at `due`."""

    delivery: Delivery
    refused: int | None = None
    due: Time | None = None


def wall() -> Time:
    """The time of day."""
    return time.time_ns() // 1000


def routes_of(settings: DeliverySettings) -> Routes:
    """The routes that the settings give."""
    waiting = waiting_sinks(settings)
    return Routes(
        {one.name: SEVERITY_RANK[one.least_severity] for one in settings.sinks if one.name not in waiting},
        waiting,
        frozenset(one.name for one in settings.sinks if one.kind in STATEFUL),
        frozenset(settings.escalate_severities),
    )


# Opening ---------------------------------------------------------------------------------------------------------


def lock_store(path: Path) -> IO[bytes]:
    """Keeps a second deliverer away from a store while the file returned is open. Raises StoreError."""
    try:
        lock = path.with_name(path.name + ".lock").open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError("store: another deliverer uses it") from None
    except OSError as error:
        raise StoreError(f"store: {error.strerror}") from None
    return lock


def open_store(path: Path) -> sqlite3.Connection:
    """A connection to the store, which is made where it is missing, for its owner alone.

    Raises StoreError where it cannot be opened, is none of ours, or is of a newer version (untouched then).
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"store: {getattr(error, 'strerror', None) or type(error).__name__}") from None
    try:
        _prepare(db)
    except (sqlite3.Error, StoreError) as error:
        db.close()
        raise error if isinstance(error, StoreError) else StoreError(f"store: {type(error).__name__}") from None
    return db


def _prepare(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StoreError(f"store: of version {found}, newer than {VERSION}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    if not found:
        _make(db)


def _make(db: sqlite3.Connection) -> None:
    with writing(db):
        if db.execute("PRAGMA user_version").fetchone()[0]:
            return  # another connection made it meanwhile
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute("INSERT INTO meta VALUES ('key', ?)", (secrets.token_bytes(32),))
        db.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it is durable at the end, or none of it happened."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # Where SQLite has rolled back by itself (a full disk), there is nothing more to roll back.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def fingerprint_key(db: sqlite3.Connection) -> bytes:
    """The key of the fingerprints, made at random with the store."""
    key = db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0]
    assert isinstance(key, bytes)
    return key


# Taking ----------------------------------------------------------------------------------------------------------


def positions(db: sqlite3.Connection, topic: str) -> dict[int, int]:
    """The offset to read next, by partition, of those that were ever read."""
    return dict(db.execute("SELECT partition, next FROM positions WHERE topic = ?", (topic,)))


def take(db: sqlite3.Connection, records: Iterable[Record], routes: Routes, now: Time) -> Taken:
    """Takes what was read: each change once, to every sink that it concerns, with the positions after it.

    A message that a patient is forgotten deletes what stood before it.
    """
    outcomes = [0] * len(Taken._fields)
    with writing(db):
        for record in records:
            outcomes[_take_one(db, record, routes, now)] += 1
            db.execute(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
                (record.topic, record.partition, record.offset + 1),
            )
    taken = Taken(*outcomes)
    if taken.forgotten:
        scrub(db)
    return taken


def _take_one(db: sqlite3.Connection, record: Record, routes: Routes, now: Time) -> int:
    body = record.value or b""
    if b'"forget"' in body and len(body) < LONGEST_FORGET and (asked := asked_to_forget(body)) is not None:
        delete_patient(db, asked.patient_id)
        return 4
    try:
        change = read_change(body)
    except UnreadableChange as why:
        place = (record.topic, record.partition, record.offset)
        db.execute("INSERT OR IGNORE INTO unreadable VALUES (?, ?, ?, ?, ?)", (*place, str(why), record.value))
        return 2
    if is_canary(change.patient_id):
        return 3
    key = (change.alert_id, change.seq)
    if not db.execute("INSERT OR IGNORE INTO changes VALUES (?, ?, ?)", (*key, body)).rowcount:
        return 1
    overtaken = _note_alert(db, change, routes, now)
    followed = {sink for (sink,) in db.execute("SELECT sink FROM follows WHERE alert_id = ?", key[:1])}
    for sink, least in routes.direct.items():
        if sink not in followed and SEVERITY_RANK[change.severity] >= least:
            follow(db, change.alert_id, sink, escalated=False)
            followed.add(sink)
    for sink in sorted(followed & (routes.direct.keys() | routes.waiting)):
        if not (overtaken and sink in routes.stateful):
            enqueue(db, sink, *key, now)
    _lighten(db, change.alert_id)
    return 0


def delete_patient(db: sqlite3.Connection, patient_id: str) -> int:
    """Deletes, within a transaction, all that is held of a patient, undelivered or not; returns how many alerts."""
    found = db.execute("SELECT alert_id FROM alerts WHERE patient_id = ?", (patient_id,)).fetchall()
    for table in ("deliveries", "changes", "follows", "alerts"):
        db.executemany(f"DELETE FROM {table} WHERE alert_id = ?", found)  # noqa: S608 - names of our own
    # What could not be read may be of the patient too: it is if it holds the id, and not as a part of another.
    words = {patient_id.encode(), msgspec.json.encode(patient_id)[1:-1]}
    mentions = re.compile(rb"(?<![\w.-])(?:%s)(?![\w.-])" % b"|".join(map(re.escape, words)))
    kept = db.execute('SELECT topic, partition, "offset", value FROM unreadable WHERE value IS NOT NULL').fetchall()
    gone = [tuple(place) for *place, value in kept if mentions.search(value)]
    db.executemany('DELETE FROM unreadable WHERE topic = ? AND partition = ? AND "offset" = ?', gone)
    return len(found)


def scrub(db: sqlite3.Connection) -> None:
    """Takes what was deleted off the disk too. While another reads, the log keeps old bytes until it is next reset."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def begin(db: sqlite3.Connection, topic: str) -> bool:
    """Says whether a store is being filled for the first time: until `filled` nothing is delivered from it.

    Further on in the topic it may stand that a patient is forgotten, or what was done about an alert.
    """
    with writing(db):
        if not positions(db, topic):
            db.execute("INSERT OR IGNORE INTO meta VALUES ('filling', x'')")
        return db.execute("SELECT 1 FROM meta WHERE name = 'filling'").fetchone() is not None


def filled(db: sqlite3.Connection) -> None:
    """Says that all that there is has been read once: deliveries may begin."""
    with writing(db):
        db.execute("DELETE FROM meta WHERE name = 'filling'")


def _note_alert(db: sqlite3.Connection, change: Alert, routes: Routes, now: Time) -> bool:
    """Notes where an alert stands after a change. True if a later change was taken before, which then still holds."""
    query = "SELECT seq, first_emitted_at, severities, actions, waits_since, steps FROM alerts WHERE alert_id = ?"
    found = db.execute(query, (change.alert_id,)).fetchone()
    last, first, severities, packed, since, steps = found or (0, change.emitted_at, "", b"[]", None, 0)
    actions = msgspec.json.decode(packed, type=list[Action])
    if change.status in ACTIONS:
        actions.append(Action(change.seq, change.status, change.emitted_at, change.reason))
        actions.sort(key=lambda one: one.seq)
    known = sorted({*severities.split(), change.severity}, key=SEVERITY_RANK.__getitem__)
    if change.seq < last:
        first = min(first, change.emitted_at, key=parse_time)
    told = (first, " ".join(known), msgspec.json.encode(actions[-ACTIONS_KEPT:]))
    if change.seq < last:
        query = "UPDATE alerts SET first_emitted_at = ?, severities = ?, actions = ? WHERE alert_id = ?"
        db.execute(query, (*told, change.alert_id))
        return True
    waits = urgency(None if since is None else Urgency(since, steps), change, routes.escalate, now)
    stands = (change.alert_id, change.patient_id, change.seq, change.state, change.severity)
    waited = (waits.since, waits.steps) if waits else (None, 0)
    db.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*stands, *told, *waited, now))
    return False


def follow(db: sqlite3.Connection, alert_id: str, sink: str, *, escalated: bool) -> None:
    """Notes, within a transaction, that a sink is told of an alert to its end."""
    db.execute("INSERT OR IGNORE INTO follows VALUES (?, ?, ?)", (alert_id, sink, escalated))


def enqueue(db: sqlite3.Connection, sink: str, alert_id: str, seq: int, now: Time) -> bool:
    """Puts a change in line for a sink, within a transaction. False if it was there."""
    query = "INSERT OR IGNORE INTO deliveries (sink, alert_id, seq, taken, due, failures) VALUES (?, ?, ?, ?, ?, 0)"
    return bool(db.execute(query, (sink, alert_id, seq, now, now)).rowcount)


def _lighten(db: sqlite3.Connection, alert_id: str) -> None:
    """Forgets the bytes of an alert's changes that nothing needs any more; their ids stay, to know a repeat by."""
    db.execute(
        "UPDATE changes SET body = NULL WHERE alert_id = ?1 AND body IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = ?1 AND d.seq = changes.seq)"
        " AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.alert_id = ?1 AND a.seq = changes.seq"
        " AND a.state NOT IN ('resolved', 'retracted'))",
        (alert_id,),
    )


def welcome(db: sqlite3.Connection, routes: Routes, now: Time) -> int:
    """Tells sinks that are new of the alerts that are not closed; returns how many deliveries that makes."""
    made = 0
    with writing(db):
        known = {name for (name,) in db.execute("SELECT name FROM sinks")}
        for sink in sorted((routes.direct.keys() | routes.waiting) - known):
            db.execute("INSERT INTO sinks VALUES (?)", (sink,))
            if sink in routes.waiting:
                continue
            least = routes.direct[sink]
            query = "SELECT alert_id, seq, severity FROM alerts WHERE state NOT IN ('resolved', 'retracted')"
            for alert_id, seq, severity in db.execute(query).fetchall():
                if SEVERITY_RANK[severity] >= least:
                    follow(db, alert_id, sink, escalated=False)
                    made += enqueue(db, sink, alert_id, seq, now)
    return made


# Delivering ------------------------------------------------------------------------------------------------------

_DUE: Final = """
SELECT d.number, d.alert_id, d.seq, c.body, d.failures, f.escalated, a.severities, a.first_emitted_at, a.actions
FROM deliveries d
JOIN changes c ON c.alert_id = d.alert_id AND c.seq = d.seq
JOIN alerts a ON a.alert_id = d.alert_id
LEFT JOIN follows f ON f.alert_id = d.alert_id AND f.sink = d.sink
WHERE d.sink = ?1 AND d.refused IS NULL AND d.due <= ?2
AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'filling')
AND NOT EXISTS (
    SELECT 1 FROM deliveries e
    WHERE e.sink = ?1 AND e.alert_id = d.alert_id AND e.refused IS NULL AND e.seq < d.seq
)
ORDER BY d.number LIMIT ?3
"""


def due(db: sqlite3.Connection, sink: str, now: Time, limit: int) -> list[Delivery]:
    """What may be delivered now, the longest waiting first: of each alert its earliest change alone."""
    return [
        Delivery(
            number,
            alert_id,
            seq,
            body,
            failures,
            bool(escalated),
            tuple(severities.split()),
            first,
            tuple(one for one in msgspec.json.decode(actions, type=list[Action]) if one.seq <= seq),
        )
        for number, alert_id, seq, body, failures, escalated, severities, first, actions in db.execute(
            _DUE, (sink, now, limit)
        )
    ]


def next_due(db: sqlite3.Connection, sink: str) -> Time | None:
    """When the next delivery to a sink may be made; None where none waits."""
    query = """
    SELECT MIN(d.due) FROM deliveries d WHERE d.sink = ?1 AND d.refused IS NULL
    AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'filling') AND NOT EXISTS (
        SELECT 1 FROM deliveries e
        WHERE e.sink = ?1 AND e.alert_id = d.alert_id AND e.refused IS NULL AND e.seq < d.seq
    )
    """
    found: Time | None = db.execute(query, (sink,)).fetchone()[0]
    return found


def finish(db: sqlite3.Connection, results: Iterable[Done]) -> None:
    """Notes how deliveries went."""
    with writing(db):
        for delivery, refused, again in results:
            if refused is not None:
                db.execute("UPDATE deliveries SET refused = ? WHERE number = ?", (refused, delivery.number))
            elif again is not None:
                query = "UPDATE deliveries SET failures = failures + 1, due = ? WHERE number = ?"
                db.execute(query, (again, delivery.number))
            else:
                db.execute("DELETE FROM deliveries WHERE number = ?", (delivery.number,))
                _lighten(db, delivery.alert_id)


def firing(db: sqlite3.Connection, sink: str, after: str, limit: int) -> list[tuple[str, bytes, tuple[str, ...]]]:
    """Alerts that stand open and were told to a sink, in order of their ids: id, latest change, severities.

    Those of which something still waits for the sink are left out: it will say where they stand.
    """
    query = """
    SELECT a.alert_id, c.body, a.severities FROM follows f
    JOIN alerts a ON a.alert_id = f.alert_id
    JOIN changes c ON c.alert_id = a.alert_id AND c.seq = a.seq
    WHERE f.sink = ?1 AND f.alert_id > ?2 AND a.state = 'open'
    AND NOT EXISTS (
        SELECT 1 FROM deliveries d WHERE d.sink = ?1 AND d.alert_id = f.alert_id AND d.refused IS NULL
    )
    ORDER BY f.alert_id LIMIT ?3
    """
    return [(one, body, tuple(severities.split())) for one, body, severities in db.execute(query, (sink, after, limit))]
