"""kill -9, at named instants and at random ones: afterwards the topics hold what a replay says, and no more."""

import os
import random
import time

import pytest

from tests.live.driver import SAMPLE, Worker, assert_equal, outcome, records, replayed, send, settings_for, workers

pytestmark = pytest.mark.live

INSTANTS = (
    "before-changelog:1",
    "before-changelog:150",
    "changelog-acknowledged:1",
    "changelog-acknowledged:90",
    "before-alert:1",
    "before-alert:7",
    "alert-acknowledged:1",
    "alert-acknowledged:9",
    "assigned:1",
    "tick:1",
    "tick:12",
    "tick:25",
    "revoked:1",
)
RANDOM = int(os.environ.get("CMVIGIL_KILLS", "12"))


def test_killed_at_named_and_random_instants(broker, prefix, tmp_path, capsys):
    settings = settings_for(broker, prefix)
    sent = send(settings, SAMPLE, folder=tmp_path)
    wanted = replayed(SAMPLE)
    kills = 0
    for instant in INSTANTS:
        one = Worker(settings, tmp_path, kill=instant)
        other = Worker(settings, tmp_path) if instant.startswith("revoked") else None
        end = time.monotonic() + 15
        while one.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        kills += one.process.poll() == -9
        for running in (one, other):
            if running is not None and running.process.poll() is None:
                running.kill()
                kills += 1
    chance = random.Random(1)
    for _ in range(RANDOM):
        one = Worker(settings, tmp_path)
        time.sleep(2.2 + 4 * chance.random())
        if chance.random() < 0.3:
            send(settings, SAMPLE, folder=tmp_path)
        one.kill()
        kills += 1
    with workers(settings, tmp_path) as running:
        found = assert_equal(settings, wanted, running=running)
    assert kills >= 20
    assert records(settings, "dead-letters") == []
    with capsys.disabled():
        print(
            f"\nkills {kills}, events {sent.events}, repeats absorbed {found.records - found.changes},"
            f" changes compared {len(wanted)}, lost {len(found.missing)}, wrong {len(found.extra)}"
        )


def test_killed_while_others_take_over(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    chance = random.Random(2)
    with workers(settings, tmp_path, 2) as running:
        for _ in range(4):
            time.sleep(2 + 4 * chance.random())
            running.pop(0).kill()
            running.append(Worker(settings, tmp_path))
        found = assert_equal(settings, replayed(SAMPLE), 300)
        assert outcome(settings, replayed(SAMPLE)).two_contents == found.two_contents == 0
        for one in running:
            one.kill()
