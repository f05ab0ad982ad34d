"""Kafka's clients for commands that look at topics or write a few records: opened, used, closed, errors named."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)
from kafka.partitioner import murmur2

from streams.live.settings import Settings, SettingsError, kafka_options
from streams.live.topics import LARGEST_REQUEST, BrokerError, TopicsError

T = TypeVar("T")
PROGRESS_SECONDS: Final = 60.0
"""How long a reader waits for one more record of what the topic held when it began: twice a request's own timeout."""
POSITION_MS: Final = 5000
"""How long it may take to say where a partition begins or ends."""


class Record(NamedTuple):
    """What is to be written; without a partition the key decides it, as for all producers."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's own partitioner, which every producer must use, puts a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@contextmanager
def open_consumer(settings: Settings, **options: Any) -> Iterator[Any]:
    """A consumer that is in no group. Raises TopicsError where the broker cannot be reached or fails."""
    with _named():
        consumer = KafkaConsumer(
            **kafka_options(settings), client_id="cmvigil-look", enable_auto_commit=False, **options
        )
    try:
        with _named(opening=False):
            yield consumer
    finally:
        consumer.close()


def write(settings: Settings, records: Iterable[Record]) -> int:
    """Writes records and waits until the broker has them all; returns how many. Raises TopicsError where it has not."""
    with _named():
        producer: Any = KafkaProducer(
            **kafka_options(settings),
            client_id="cmvigil-write",
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            max_request_size=LARGEST_REQUEST,
            delivery_timeout_ms=120_000,
        )
    failed: list[str] = []
    count = 0
    try:
        with _named(opening=False):
            for one in records:
                sent = producer.send(one.topic, key=one.key, value=one.value, partition=one.partition)
                sent.add_errback(lambda error: failed.append(type(error).__name__))
                count += 1
            producer.flush()
    finally:
        producer.close()
    if failed:
        raise BrokerError(f"broker: {len(failed)} records were not taken ({failed[0]})")
    return count


def read(
    consumer: Any, topic: str, partitions: Iterable[int] | None = None, patience: float = PROGRESS_SECONDS
) -> Iterator[Any]:
    """Every record of a topic, or of some of its partitions, from its start to where it ends now.

    Raises TopicsError where there is no such topic, and where for `patience` seconds nothing more of it comes: the
    client itself would look for a lost broker for ever.
    """
    there = consumer.partitions_for_topic(topic)
    if not there:
        raise TopicsError(f"topic {topic}: missing; run `cmvigil topics`")
    tps = [TopicPartition(topic, number) for number in sorted(there if partitions is None else partitions)]
    consumer.assign(tps)
    consumer.seek_to_beginning(*tps)
    ends = consumer.end_offsets(tps)
    reached: list[int | None] = []
    moved = time.monotonic()
    while True:
        # None: the broker has not said in time where a partition begins.
        before, reached = reached, [consumer.position(tp, timeout_ms=POSITION_MS) for tp in tps]
        if all(at is not None and at >= ends[tp] for at, tp in zip(reached, tps, strict=True)):
            return
        if reached != before:
            moved = time.monotonic()
        elif time.monotonic() - moved > patience:
            raise BrokerError(f"topic {topic}: the broker has sent nothing for {patience:.0f} s; it is not read whole")
        for batch in consumer.poll(300).values():
            yield from batch


@contextmanager
def _named(*, opening: bool = True) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise TopicsError(str(error)) from None
    except KafkaError as error:
        raise BrokerError(f"broker: {type(error).__name__}") from None
    except (OSError, ValueError) as error:
        if not opening:
            raise
        kind = BrokerError if isinstance(error, OSError) else TopicsError
        raise kind(f"broker: {type(error).__name__}") from None


def patiently(call: Callable[[], T], seconds: float = 30.0) -> T:
    """What a call gives, tried anew while a broker that has just started has no coordinator for groups yet."""
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
