"""kill -9, at named instants and at random ones: afterwards the topics hold what a replay says, and no more."""

import os
import random
import time

import pytest

from monitor.times import iso
from tests.live.driver import (
    SAMPLE,
    Worker,
    assert_equal,
    outcome,
    parts,
    records,
    replayed,
    send,
    settings_for,
    simulated,
    taken,
    until,
    watched,
    workers,
)

pytestmark = pytest.mark.live

INSTANTS = (
    "before-changelog:1",
    "before-changelog:10",
    "changelog-acknowledged:1",
    "changelog-acknowledged:10",
    "before-alert:1",
    "before-alert:3",
    "alert-acknowledged:1",
    "alert-acknowledged:3",
    "recovering:1",
    "recovering:3",
    "assigned:1",
    "tick:1",
    "tick:12",
    "before-commit:1",
    "committed:1",
    "revoked:1",
)
"""Where a worker kills itself, and at the how manieth time that it comes there. Each has new events to work on."""
RANDOM = int(os.environ.get("CMVIGIL_KILLS", "12"))


def test_killed_at_named_and_random_instants(broker, prefix, tmp_path, capsys):
    settings = settings_for(broker, prefix)
    log = simulated(tmp_path / "cohort.ndjson", 60, 45)
    wanted = replayed(log)
    unsent = list(parts(tmp_path, len(INSTANTS) + 6, log))
    unsent.reverse()
    sent = []

    def send_next():
        sent.append(unsent.pop())
        return send(settings, sent[-1], folder=tmp_path).events

    events = kills = 0
    for instant in INSTANTS:
        events += send_next()
        one = Worker(settings, tmp_path, kill=instant)
        # Who joins later makes the first give its partitions away.
        other = Worker(settings, tmp_path) if instant.startswith("revoked") else None
        assert one.process.wait(60) == -9, instant
        kills += 1
        if other is not None:
            other.kill()
            kills += 1
    chance = random.Random(1)
    for _ in range(RANDOM):
        if unsent and chance.random() < 0.5:
            events += send_next()
        elif chance.random() < 0.5:
            events += send(settings, chance.choice(sent), folder=tmp_path).events
        one = Worker(settings, tmp_path)
        time.sleep(2.2 + 4 * chance.random())
        one.kill()
        kills += 1
    while unsent:
        events += send_next()
    with workers(settings, tmp_path) as running:
        found = assert_equal(settings, wanted, running=running)
    assert kills >= 20
    assert records(settings, "dead-letters") == []
    assert taken(settings) == watched(settings, log)
    with capsys.disabled():
        print(
            f"\nkills {kills}, events {events}, repeats absorbed {found.records - found.changes},"
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


def test_killed_by_the_walls_clock(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, clock="wall")
    wanted = replayed(SAMPLE, until=iso(time.time_ns() // 1000))
    send(settings, SAMPLE, folder=tmp_path)
    for instant in ("changelog-acknowledged:20", "tick:9", "before-alert:5", "recovering:2", "assigned:1", "tick:30"):
        assert Worker(settings, tmp_path, kill=instant).process.wait(60) == -9, instant
    chance = random.Random(3)
    with workers(settings, tmp_path, 2) as running:
        for _ in range(2):
            time.sleep(2 + 4 * chance.random())
            running.pop(0).kill()
            running.append(Worker(settings, tmp_path))
        until(lambda: outcome(settings, wanted).states_differ == [], 120)
        found = outcome(settings, wanted)
    assert found.two_contents == 0
    assert records(settings, "dead-letters") == []
