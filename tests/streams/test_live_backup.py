"""What goes into a backup, and what `forget` finds, where a former owner wrote a state late."""

import base64
import gzip
import json
import time

import pytest

from streams.live import backup, clients, forgetting
from streams.live.clients import partition_of, read
from streams.live.settings import load_settings
from streams.live.topics import STATE, TopicsError
from tests.streams.fake_log import FakeAdmin, FakeConsumer, Kept, epoch, opening

SETTINGS = load_settings(None, {}, partitions=2)
OWN = partition_of(b"p", 2)


def states(*told):
    """Records of the changelog on the partition of patient p: key, value, epoch (None: of an older version)."""
    return [
        Kept(STATE, OWN, offset, key, value, () if number is None else epoch(number))
        for offset, (key, value, number) in enumerate(told)
    ]


def saved(monkeypatch, path, records):
    """The states of a backup, by key."""
    monkeypatch.setattr(backup, "open_consumer", opening(FakeConsumer(records)))
    monkeypatch.setattr(backup, "open_admin", opening(FakeAdmin()))
    backup.backup(SETTINGS, path)
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line.startswith(b"[")]
    return {base64.b64decode(key): base64.b64decode(value) for topic, _, key, value in rows if topic == STATE}


def found(monkeypatch, records):
    """Whether `forget` finds a state of patient p."""
    monkeypatch.setattr(forgetting, "open_consumer", opening(FakeConsumer(records)))
    monkeypatch.setattr(forgetting, "retention", lambda settings: {})
    return forgetting.look(SETTINGS, "p").state


LATE = states((b"p", b"new", 2), (b"q", b"other", 2), (b"p", b"stale", 1))
FORGOTTEN = states((b"p", b"old", 1), (b"p", None, 2), (b"p", b"stale", 1))
LATE_DELETION = states((b"p", b"new", 2), (b"p", None, 1))
UPGRADED = states((b"p", b"old", None), (b"p", b"new", 1), (b"p", b"by the old version", None))


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        (LATE, {b"p": b"new", b"q": b"other"}),
        (FORGOTTEN, {}),
        (LATE_DELETION, {b"p": b"new"}),
        (UPGRADED, {b"p": b"by the old version"}),
    ],
)
def test_a_backup_holds_the_states_that_a_recovery_would_take(monkeypatch, tmp_path, records, kept):
    assert saved(monkeypatch, tmp_path / "backup.gz", records) == kept


@pytest.mark.parametrize(("records", "state"), [(LATE, True), (FORGOTTEN, False), (LATE_DELETION, True)])
def test_forget_finds_the_state_that_a_recovery_would_take(monkeypatch, records, state):
    assert found(monkeypatch, records) is state


def test_an_epoch_of_another_partition_says_nothing(monkeypatch, tmp_path):
    there = Kept(STATE, 1 - OWN, 0, b"r", b"there", epoch(9))
    kept = saved(monkeypatch, tmp_path / "backup.gz", [there, *states((b"p", b"here", 1))])
    assert kept == {b"r": b"there", b"p": b"here"}


class Vanishing:
    """Whether a broker answers that is gone after some polls; who goes on asking for long would do so for ever."""

    def __init__(self, polls):
        self.polls, self.asked = polls, 0

    def __call__(self):
        self.asked += 1
        assert self.asked < 500, "it would wait for ever"
        time.sleep(0.01)
        return self.asked <= self.polls


def log(count):
    return [Kept("alert-log", number % 2, number // 2, b"p", b"{}") for number in range(count)]


@pytest.mark.parametrize("polls", [0, 1])
def test_a_broker_that_vanishes_half_way_is_said_and_not_waited_for_without_end(polls):
    consumer = FakeConsumer(log(10), alive=Vanishing(polls))
    got = []
    with pytest.raises(TopicsError, match="topic alert-log: the broker has sent nothing for 0 s"):
        got.extend(read(consumer, "alert-log", patience=0.2))
    assert len(got) == 4 * polls


def test_a_broker_that_does_not_say_where_a_topic_begins_is_not_waited_for_either():
    consumer = FakeConsumer(log(10), alive=Vanishing(0))
    consumer.position = lambda tp, timeout_ms=None: None
    with pytest.raises(TopicsError, match="sent nothing"):
        list(read(consumer, "alert-log", patience=0.2))


def test_a_reader_that_takes_its_time_is_no_broker_that_is_gone():
    got = []
    for one in read(FakeConsumer(log(10)), "alert-log", patience=0.05):
        time.sleep(0.06)
        got.append(one)
    assert len(got) == 10


def test_of_a_backup_that_fails_no_file_is_left(monkeypatch, tmp_path):
    monkeypatch.setattr(backup, "read", lambda consumer, topic: clients.read(consumer, topic, patience=0.1))
    monkeypatch.setattr(backup, "open_admin", opening(FakeAdmin()))
    monkeypatch.setattr(backup, "open_consumer", opening(FakeConsumer(log(10), alive=Vanishing(1))))
    with pytest.raises(TopicsError):
        backup.backup(SETTINGS, tmp_path / "backup.gz")
    assert not (tmp_path / "backup.gz").exists()
