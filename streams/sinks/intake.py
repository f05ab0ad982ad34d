"""Reads `alert-log` into the store: a thread of its own, for Kafka's client and the disk wait.

All partitions are read, from where the store says; a store that is new reads from the beginning. Kafka is told an
offset only when the store holds what is before it, and only so that the lag can be seen from outside.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from streams.live.logs import logger
from streams.live.settings import kafka_options
from streams.sinks.settings import DeliverySettings
from streams.sinks.store import Record, Routes, Taken, begin, filled, positions, take, wall

POLL_MS: Final = 500
BATCH: Final = 500
COMMIT_SECONDS: Final = 5.0
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
        uncommitted: dict[Any, Any] = {}
        looked = committed = float("-inf")
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
                uncommitted |= {
                    tp: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for tp, batch in polled.items() if batch
                }
            self.lag = sum(max(0, end - consumer.position(tp)) for tp, end in ends.items())
            if filling and not self.lag:
                filled(db)
                filling = False
                self.on_taken(Taken(0, 0, 0, 0, 0))  # wakes who delivers
            if uncommitted and time.monotonic() - committed > COMMIT_SECONDS:
                _commit(consumer, uncommitted)
                uncommitted, committed = {}, time.monotonic()
        _commit(consumer, uncommitted)

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


def _commit(consumer: Any, offsets: dict[Any, Any]) -> None:
    try:
        if offsets:
            consumer.commit(offsets)
    except KafkaError as error:
        # The store's own positions are what counts.
        logger.warning("offsets cannot be committed", extra={"why": type(error).__name__})
