"""What goes into a backup, and what `forget` finds, where a former owner wrote a state late."""

import base64
import gzip
import json

import pytest

from streams.live import backup, forgetting
from streams.live.clients import partition_of
from streams.live.settings import load_settings
from streams.live.topics import STATE
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
