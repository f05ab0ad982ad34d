"""Topics of one broker in memory, as kafka-python's clients show them to the commands that look at topics."""

from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import TopicPartition


class Kept(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Any, ...] = ()
    timestamp: int = 0


class FakeConsumer:
    """Gives the records of a topic a few at a time; `alive` says, before each poll, whether the broker answers."""

    def __init__(self, records, partitions=2, alive=lambda: True):
        self.records, self.partitions, self.alive = list(records), partitions, alive
        self.at = {}

    def topics(self):
        return {one.topic for one in self.records}

    def partitions_for_topic(self, topic):
        return set(range(self.partitions))

    def assign(self, tps):
        self.at = dict.fromkeys(tps, 0)

    def seek_to_beginning(self, *tps):
        pass

    def end_offsets(self, tps):
        return {tp: len(self._of(tp)) for tp in tps}

    def position(self, tp, timeout_ms=None):
        return self.at[tp]

    def poll(self, milliseconds):
        if not self.alive():
            return {}
        found = {tp: self._of(tp)[at : at + 2] for tp, at in self.at.items()}
        for tp, batch in found.items():
            self.at[tp] += len(batch)
        return {tp: batch for tp, batch in found.items() if batch}

    def _of(self, tp):
        return [one for one in self.records if TopicPartition(one.topic, one.partition) == tp]


class FakeAdmin:
    """Nothing was taken of any topic, and every topic has its name as its id."""

    def list_group_offsets(self, groups):
        return {group: {} for group in groups}

    def describe_topics(self, names):
        return [{"name": name, "topic_id": name} for name in names]


def opening(client):
    """What stands in for `open_consumer` or `open_admin`."""

    @contextmanager
    def opened(settings, **options):
        yield client

    return opened


def epoch(number):
    """The headers of a state that an owner of that epoch wrote."""
    return (("epoch", number.to_bytes(8, "big")),)
