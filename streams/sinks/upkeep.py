"""What time and operators bring to the store: escalation, pruning, what waits, and what was put aside."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from monitor.times import MINUTE, NEVER, Time
from streams.sinks.escalation import Urgency, next_step
from streams.sinks.settings import Step
from streams.sinks.store import delete_patient, enqueue, follow, scrub, writing

PRUNED_AT_ONCE: Final = 1000


class Load(NamedTuple):
    """How much waits for one sink, since when the oldest of it, and how much it has refused."""

    pending: int
    oldest: Time | None
    refused: int


class Refused(NamedTuple):
    """A delivery that was put aside, with the status of the answer."""

    sink: str
    alert_id: str
    seq: int
    status: int


def escalate(db: sqlite3.Connection, chain: Sequence[Step], now: Time) -> Counter[str]:
    """Sends alerts on for which a step is due; returns how many to each sink.

    The sink gets the latest change of the alert and all that follow. One that knows the alert from before has them.
    """
    made: Counter[str] = Counter()
    with writing(db):
        for number in range(len(chain)):
            latest = now - round(chain[number].after_minutes * MINUTE)
            query = "SELECT alert_id, seq FROM alerts WHERE waits_since IS NOT NULL AND steps = ? AND waits_since <= ?"
            for alert_id, seq in db.execute(query, (number, latest)).fetchall():
                db.execute("UPDATE alerts SET steps = steps + 1 WHERE alert_id = ?", (alert_id,))
                follow(db, alert_id, chain[number].sink, escalated=True)
                made[chain[number].sink] += enqueue(db, chain[number].sink, alert_id, seq, now)
    return made


def next_escalation(db: sqlite3.Connection, chain: Sequence[Step]) -> Time:
    """When the next step of any alert is due; NEVER where none is."""
    query = "SELECT steps, MIN(waits_since) FROM alerts WHERE waits_since IS NOT NULL GROUP BY steps"
    return min((next_step(Urgency(since, steps), chain) for steps, since in db.execute(query)), default=NEVER)


def prune(db: sqlite3.Connection, before: Time) -> int:
    """Forgets alerts that were closed before a time and owe nothing; returns how many, at most PRUNED_AT_ONCE."""
    query = """
    SELECT alert_id FROM alerts WHERE state IN ('resolved', 'retracted') AND taken < ?1
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = alerts.alert_id) LIMIT ?2
    """
    with writing(db):
        gone = db.execute(query, (before, PRUNED_AT_ONCE)).fetchall()
        for table in ("changes", "follows", "alerts"):
            db.executemany(f"DELETE FROM {table} WHERE alert_id = ?", gone)  # noqa: S608 - names of our own
    db.execute("PRAGMA incremental_vacuum(1000)").fetchall()
    return len(gone)


def forget(db: sqlite3.Connection, patient_id: str) -> int:
    """Deletes all that the store holds of a patient, from the disk too; returns how many alerts that were.

    What still waited to be delivered of them is not delivered.
    """
    with writing(db):
        count = delete_patient(db, patient_id)
    scrub(db)
    return count


def loads(db: sqlite3.Connection, sinks: Collection[str]) -> dict[str, Load]:
    """What waits for each sink; beside those that are named, those for which something is left."""
    query = """
    SELECT sink, SUM(refused IS NULL), MIN(CASE WHEN refused IS NULL THEN taken END), SUM(refused IS NOT NULL)
    FROM deliveries GROUP BY sink
    """
    return dict.fromkeys(sinks, Load(0, None, 0)) | {sink: Load(*found) for sink, *found in db.execute(query)}


def open_count(db: sqlite3.Connection) -> int:
    """How many alerts are not closed."""
    query = "SELECT COUNT(*) FROM alerts WHERE state NOT IN ('resolved', 'retracted')"
    found: int = db.execute(query).fetchone()[0]
    return found


def refused(db: sqlite3.Connection) -> Iterator[Refused]:
    """What sinks refused, in the order it came."""
    query = "SELECT sink, alert_id, seq, refused FROM deliveries WHERE refused IS NOT NULL ORDER BY number"
    return (Refused(*row) for row in db.execute(query))


def retry_refused(db: sqlite3.Connection, stateful: Collection[str], now: Time) -> int:
    """Puts what was refused in line again; returns how many.

    A sink that keeps one thing an alert gets nothing that a later change has overtaken: that is forgotten.
    """
    with writing(db):
        for sink in stateful:
            db.execute(
                "DELETE FROM deliveries WHERE refused IS NOT NULL AND sink = ? AND EXISTS ("
                "SELECT 1 FROM alerts a WHERE a.alert_id = deliveries.alert_id AND a.seq > deliveries.seq)",
                (sink,),
            )
        query = "UPDATE deliveries SET refused = NULL, failures = 0, due = ? WHERE refused IS NOT NULL"
        return db.execute(query, (now,)).rowcount


def drop_sink(db: sqlite3.Connection, sink: str) -> int:
    """Forgets a sink that is no more, with all that waits for it; returns how many deliveries that were."""
    with writing(db):
        db.execute("DELETE FROM follows WHERE sink = ?", (sink,))
        db.execute("DELETE FROM sinks WHERE name = ?", (sink,))
        count = db.execute("DELETE FROM deliveries WHERE sink = ?", (sink,)).rowcount
        db.execute(
            "UPDATE changes SET body = NULL WHERE body IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = changes.alert_id AND d.seq = changes.seq)"
            " AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.alert_id = changes.alert_id AND a.seq = changes.seq"
            " AND a.state NOT IN ('resolved', 'retracted'))",
        )
    return count
