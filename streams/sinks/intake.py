"""Reads `alert-log` into the store: a thread of its own, for Kafka's client and the disk wait.

All partitions are read, from where the store says; a store that is new reads from the beginning. Kafka is told an
offset only when the store holds what is before it, and only so that the lag can be seen from outside: by operators, and
by `cmvigil forget`, which waits until a patient's forgetting was read.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from streams.live.logs import logger
from streams.live.settings import kafka_options
from streams.sinks.settings import DeliverySettings
from streams.sinks.store import Record, Routes, Taken, begin, filled, positions, take, wall

POLL_MS: Final = 500
BATCH: Final = 500
COMMIT_SECONDS: Final = 5.0
COMMIT_AGAIN_SECONDS: Final = 30.0
"""After a commit that failed: a try may block for COMMIT_SECONDS, in which nothing is read."""
LOOK_SECONDS: Final = 10.0
"""How often it is looked how much there is, and whether there are more partitions."""
QUIET_SECONDS: Final = 60.0
"""A backlog of which nothing has come for so long holds escalation up no more."""


class Intake:
    """What the thread has come to, for the others to see."""

    def __init__(self, settings: DeliverySettings, routes: Routes, on_taken: Callable[[Taken], None]) -> None:
        """`on_taken` is called in the thread, after each transaction."""
        self.settings, self.routes, self.on_taken = settings, routes, on_taken
        self.topic = settings.topic("alert-log")
        self.stopping = threading.Event()
        self.reading = False
        self.lag: int | None = None
        """Messages that are not taken; None while that is not known."""
        self.moved = time.monotonic()
        self.commits_fail = False
        """Whether Kafka does not take how far was read: a right that is missing, or a coordinator that is away."""

    def behind(self) -> bool:
        """Whether a backlog is being read, in which what was done about an alert may stand further on."""
        return self.lag != 0 and time.monotonic() - self.moved < QUIET_SECONDS

    def run(self, db: sqlite3.Connection) -> None:
        """Reads until it is told to stop; a broker that cannot be reached is tried again. Raises sqlite3.Error."""
        wait = 1.0
        while not self.stopping.is_set():
            try:
                self._read(db)
            except (KafkaError, OSError, ValueError) as error:
                if self.reading or wait == 1.0:
                    logger.warning("alert-log cannot be read", extra={"why": type(error).__name__})
                wait = 1.0 if self.reading else min(2 * wait, 30.0)
                self.reading, self.lag = False, None
                self.stopping.wait(wait)

    def _read(self, db: sqlite3.Connection) -> None:
        consumer = KafkaConsumer(
            **kafka_options(self.settings),
            group_id=self.settings.group,
            client_id="cmvigil-deliver",
            bootstrap_timeout_ms=5000,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=BATCH,
        )
        try:
            self._follow(consumer, db)
        finally:
            with suppress(KafkaError):
                consumer.close()

    def _follow(self, consumer: Any, db: sqlite3.Connection) -> None:
        ends: dict[Any, int] = {}
        stands: dict[Any, int] = {}
        committed: dict[Any, int] = {}
        looked = commit_at = float("-inf")
        filling = begin(db, self.topic)
        while not self.stopping.is_set():
            if time.monotonic() - looked > LOOK_SECONDS:
                self._assign(consumer, db)
                ends = consumer.end_offsets(consumer.assignment())
                looked = time.monotonic()
                self.reading = True
            polled = consumer.poll(POLL_MS)
            records = [
                Record(one.topic, one.partition, one.offset, one.value) for batch in polled.values() for one in batch
            ]
            if records:
                self.on_taken(take(db, records, self.routes, wall()))
                self.moved = time.monotonic()
            # All that was polled is in the store. What a run before this one did not commit is committed too.
            stands = {tp: _position(consumer, tp) for tp in ends}
            self.lag = sum(max(0, end - stands[tp]) for tp, end in ends.items())
            if filling and not self.lag:
                filled(db)
                filling = False
                self.on_taken(Taken(0, 0, 0, 0, 0))  # wakes who delivers
            if stands != committed and time.monotonic() >= commit_at:
                committed = stands if self._commit(consumer, stands) else committed
                commit_at = time.monotonic() + (COMMIT_AGAIN_SECONDS if self.commits_fail else COMMIT_SECONDS)
        if stands != committed:
            self._commit(consumer, stands)

    def _commit(self, consumer: Any, stands: dict[Any, int]) -> bool:
        """Tells Kafka how far the store is, and says once where it does not take that: the store is what counts."""
        offsets = {tp: OffsetAndMetadata(position, "", -1) for tp, position in stands.items()}
        try:
            consumer.commit(offsets, timeout_ms=int(COMMIT_SECONDS * 1000))
        except KafkaError as error:
            if not self.commits_fail:
                logger.error(
                    "offsets cannot be committed; alerts are delivered, but `cmvigil forget` cannot see what was read",
                    extra={"why": type(error).__name__},
                )
            self.commits_fail = True
            return False
        if self.commits_fail:
            logger.info("offsets are committed again")
        self.commits_fail = False
        return True

    def _assign(self, consumer: Any, db: sqlite3.Connection) -> None:
        consumer.topics()  # asks the broker anew
        there = consumer.partitions_for_topic(self.topic)
        if not there:
            raise ValueError("no such topic")
        wanted = {TopicPartition(self.topic, number) for number in there}
        new = wanted - consumer.assignment()
        if not new:
            return
        consumer.assign(sorted(wanted))
        known = positions(db, self.topic)
        for tp in wanted:
            if tp.partition in known:
                consumer.seek(tp, known[tp.partition])
            else:
                consumer.seek_to_beginning(tp)


def _position(consumer: Any, tp: Any) -> int:
    position: int | None = consumer.position(tp)
    if position is None:  # the broker has not said in time where the partition begins
        raise KafkaTimeoutError
    return position
