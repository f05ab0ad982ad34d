"""The canary's course: what is sent, what must come of it, and on which partition."""

from contextlib import nullcontext
from types import SimpleNamespace

import msgspec
import pytest
from kafka.partitioner import DefaultPartitioner

from monitor.advance import advance, receive
from monitor.events import Gate
from monitor.patient import Patient
from monitor.times import HOUR, parse_time
from streams.knowledge_files import read_plan
from streams.live import canary
from streams.live.canaries import PREFIX, is_canary
from streams.live.canary import LATER, CanaryError, CanaryMeters, canaries, course_of, fly, withdrawn
from streams.live.messages import Forget, asked_to_forget
from streams.live.settings import Settings
from streams.live.topics import BrokerError
from tests.streams.test_live_engine import World

PLAN = read_plan([])
NOW = parse_time("2026-03-04T12:00:00Z")


def test_whoever_has_the_prefix_is_a_canary_and_nobody_else():
    assert is_canary(PREFIX + "7")
    assert is_canary((PREFIX + "7").encode())
    for patient in ("p1", "cmvigil", f"x{PREFIX}1", PREFIX.upper() + "1", ""):
        assert not is_canary(patient)
        assert not is_canary(patient.encode())


@pytest.mark.parametrize("partitions", [1, 4, 8, 50])
def test_there_is_one_canary_for_each_partition_where_producers_put_it(partitions):
    names = canaries(partitions)
    every = list(range(partitions))
    cluster = SimpleNamespace(
        topics=lambda: {"t"}, partitions_for_topic=lambda _: set(every), available_partitions_for_topic=lambda _: every
    )
    found = [DefaultPartitioner().partition("t", None, name.encode(), None, None, cluster) for name in names]
    assert found == every
    assert all(map(is_canary, names))


def test_each_hour_has_alerts_of_its_own():
    first, second = course_of(PLAN, PREFIX, NOW), course_of(PLAN, PREFIX, NOW + HOUR)
    assert any(one.startswith("hypokalemia/foscarnet/") for one in first.at_once)
    assert [one.rpartition("/")[0] for one in first.timed] == ["hypomagnesemia/foscarnet/-"]
    assert not first.alerts & second.alerts


def test_a_withdrawn_course_leaves_no_alert_open():
    course = course_of(PLAN, PREFIX, NOW)
    gate = Gate(PLAN)
    p = Patient(PLAN, PREFIX)
    receive(p, map(gate.admit, course.events))
    said = advance(p, NOW)
    assert {one.alert.alert_id for one in said} == course.at_once
    said += advance(p, NOW + LATER)
    receive(p, map(gate.admit, withdrawn(course.events, NOW + LATER + 1)))
    said += advance(p, NOW + HOUR)
    assert {one.alert.alert_id: one.alert.state for one in said} == dict.fromkeys(course.alerts, "retracted")


def test_what_is_timed_comes_by_a_workers_timers_alone():
    world = World("wall", wall="2026-03-04T12:00:00Z")
    course = course_of(PLAN, PREFIX, NOW)
    for event in course.events:
        world.take(msgspec.json.decode(msgspec.json.encode(event)))
    world.flush()
    assert {msgspec.json.decode(one)["alert_id"] for one in world.said} == course.at_once
    world.now += LATER - 1
    world.engine.tick(0)
    world.flush()
    assert {msgspec.json.decode(one)["alert_id"] for one in world.said} == course.at_once
    world.now += 1
    world.engine.tick(0)
    world.flush()
    assert {msgspec.json.decode(one)["alert_id"] for one in world.said} == course.alerts


def test_under_knowledge_that_makes_it_raise_nothing_it_refuses_to_prove_anything():
    plan = read_plan([])
    plan.rules.clear()
    plan.needing.clear()
    with pytest.raises(CanaryError, match="raises nothing"):
        course_of(plan, PREFIX, NOW)


def test_a_broker_that_does_not_say_where_the_alerts_end_fails_the_round(monkeypatch):
    silent = SimpleNamespace(
        partitions_for_topic=lambda _: {0, 1},
        assign=lambda _: None,
        seek_to_end=lambda *_: None,
        position=lambda tp, timeout_ms: None if tp.partition else 7,
    )
    monkeypatch.setattr(canary, "open_consumer", lambda *_, **__: nullcontext(silent))
    monkeypatch.setattr(canary, "write", lambda *_: pytest.fail("nothing is sent that nobody would see"))
    with pytest.raises(BrokerError, match="where it ends"):
        fly(Settings(partitions=2), PLAN, CanaryMeters(2, 3600), 1)


def test_its_metrics_begin_with_every_partition_never_seen():
    page = CanaryMeters(2, 3600).page().decode()
    assert 'cmvigil_canary_last_success_timestamp_seconds{partition="1"} 0.0' in page
    assert "cmvigil_canary_interval_seconds 3600.0" in page
    assert PREFIX not in page


def test_what_asks_to_forget_is_read_as_that_and_nothing_else_is():
    asked = Forget("p", "2026-03-04T12:00:00Z")
    assert asked_to_forget(msgspec.json.encode(asked)) == asked
    for other in (b'{"type":"lab","patient_id":"forget"}', b'{"type":"forget"}', b"\xff", b'["forget"]'):
        assert asked_to_forget(other) is None
