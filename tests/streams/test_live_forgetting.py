"""Forgetting a patient live: the alerts leave the compacted topic, then the state goes, and nothing brings it back."""

import json

from streams.live.canaries import PREFIX
from tests.streams.test_live_engine import FOSCARNET, INPUTS, World

POTASSIUM = {
    "type": "lab",
    "event_id": "K1",
    "patient_id": "p",
    "code": "2823-3",
    "value": 2.1,
    "unit": "mmol/L",
    "collected_at": "2026-03-04T11:00:00Z",
    "recorded_at": "2026-03-04T12:00:00Z",
}
ASKED = "2026-03-05T00:00:00Z"


def ask(world, at=ASKED, patient="p", key=b"p", topic="patients"):
    value = json.dumps({"type": "forget", "patient_id": patient, "recorded_at": at}).encode()
    return world.engine.take(0, topic, key, value)


def ill(**more):
    world = World("wall", wall="2026-03-04T13:00:00Z", **more)
    world.take(FOSCARNET)
    world.take(POTASSIUM)
    world.flush()
    return world


def said(world):
    return [json.loads(change) for change in world.said]


def metric(world, name, **labels):
    found = [s for m in world.meters.registry.collect() for s in m.samples if s.name == name]
    return sum(s.value for s in found if labels.items() <= s.labels.items())


def flush(world):
    """As the driver does: a state that is gone is deleted."""
    while world.engine.dirty:
        key = next(iter(world.engine.dirty))
        packed = world.engine.pack(key)
        if packed.state is None:
            world.durable.pop(key, None)
        else:
            world.durable[key] = packed.state
        for change in packed.sends:
            world.said.append(change)
            world.engine.sent(key, change)


def test_a_patient_is_forgotten_with_every_alert_that_was_said():
    world = ill()
    assert b"p" in world.durable
    step = ask(world)
    assert step.keys == [b"p"]
    assert set(step.buried) == {one["alert_id"] for one in said(world)}
    world.engine.erased(0, b"p")
    flush(world)
    assert world.durable == {}
    assert metric(world, "cmvigil_open_alerts") == 0
    assert metric(world, "cmvigil_forgotten_patients_total") == 1
    assert len(world.engine) == 0


def test_alert_log_is_told_once_something_is_forgotten_and_where_nothing_is_known():
    world = ill()
    told = ask(world).told
    assert json.loads(told) == {"type": "forget", "patient_id": "p", "recorded_at": ASKED}
    world.engine.erased(0, b"p")
    flush(world)
    # Another topic's message finds nothing: whoever keeps changes may still have some.
    assert ask(world, topic="lab-results").told == told
    # Who comes again later has a new life, which a message of the old one must not end.
    world.now += 2 * 24 * 3600 * 10**6
    world.take(FOSCARNET | {"event_id": "A2", "recorded_at": "2026-03-06T10:02:00Z"})
    assert ask(world, topic="alert-actions").told is None


def test_of_a_canary_alert_log_is_not_told():
    world = World("wall", wall="2026-03-04T13:00:00Z")
    name = PREFIX + "0"
    world.take(FOSCARNET | {"patient_id": name})
    for _ in range(2):
        step = ask(world, patient=name, key=name.encode())
        assert step.told is None


def test_the_state_is_not_deleted_before_the_alerts_have_left():
    world = ill()
    ask(world)
    assert world.engine.dirty == {}
    # The process is lost here: what is durable still knows the alerts, and the message comes again.
    world.start()
    assert set(ask(world).buried) == {one["alert_id"] for one in said(world)}


def test_time_brings_nothing_of_a_forgotten_patient_back():
    world = ill()
    ask(world)
    world.engine.erased(0, b"p")
    flush(world)
    before = len(world.said)
    world.now += 40 * 24 * 3600 * 10**6
    assert world.engine.tick(0) == []
    flush(world)
    assert world.durable == {}
    assert len(world.said) == before


def test_asked_again_in_the_other_topics_there_is_nothing_more_to_do():
    world = ill()
    ask(world)
    world.engine.erased(0, b"p")
    flush(world)
    for topic in INPUTS:
        step = ask(world, topic=topic)
        assert (step.keys, step.refused, step.buried) == ([], [], None)
    assert metric(world, "cmvigil_forgotten_patients_total") == 1


def test_a_fact_of_another_topic_that_is_read_late_goes_with_that_topics_own_message():
    world = ill()
    ask(world, topic="lab-results")
    world.take(FOSCARNET)
    assert ask(world, topic="medication-administrations").keys == [b"p"]
    world.engine.erased(0, b"p")
    flush(world)
    assert world.durable == {}


def test_who_comes_again_later_is_watched_anew_and_a_repeated_message_takes_nothing_of_it():
    world = ill()
    ask(world)
    world.engine.erased(0, b"p")
    flush(world)
    world.now += 2 * 24 * 3600 * 10**6
    later = {"started_at": "2026-03-06T08:00:00Z", "ended_at": "2026-03-06T10:00:00Z"}
    world.take(FOSCARNET | later | {"event_id": "A2", "recorded_at": "2026-03-06T10:02:00Z"})
    lab = {"event_id": "K2", "collected_at": "2026-03-06T11:00:00Z", "recorded_at": "2026-03-06T12:00:00Z"}
    world.take(POTASSIUM | lab)
    flush(world)
    state = world.durable[b"p"]
    assert ask(world).keys == []
    flush(world)
    assert world.durable[b"p"] == state
    assert "2026-03-06T11:00:00Z" in {one["onset_at"] for one in said(world)}


def test_what_came_later_than_was_asked_stays_and_is_said_again_under_new_numbers():
    world = ill()
    ask(world, at="2026-03-04T11:30:00Z")
    world.engine.erased(0, b"p")
    flush(world)
    assert b"K1" in world.durable[b"p"]
    assert b"A1" not in world.durable[b"p"]
    numbers = [(one["alert_id"], one["seq"]) for one in said(world)]
    assert len(numbers) == len(set(numbers))


def test_old_facts_that_are_sent_again_begin_a_new_life_numbered_from_one():
    world = ill()
    before = {(one["alert_id"], one["seq"]) for one in said(world)}
    ask(world)
    world.engine.erased(0, b"p")
    flush(world)
    world.said.clear()
    world.take(FOSCARNET)
    world.take(POTASSIUM)
    flush(world)
    assert {(one["alert_id"], one["seq"]) for one in said(world)} == before


def test_who_asks_for_another_key_or_at_no_time_is_refused_and_nothing_is_forgotten():
    world = ill()
    reasons = [
        ask(world, key=b"q").refused[0].reason,
        ask(world, key=None).refused[0].reason,
        ask(world, at="yesterday").refused[0].reason.partition(":")[0],
        ask(world, at="2026-03-06T00:00:00Z").refused[0].reason,
    ]
    assert reasons == [
        "key: is not the patient_id",
        "key: is not the patient_id",
        "recorded_at",
        "recorded_at: more than 24 h ahead of the clock",
    ]
    assert b"p" in world.engine._states


def test_a_canary_is_judged_and_said_as_anyone_and_counted_nowhere():
    world = World("wall", wall="2026-03-04T13:00:00Z")
    name = {"patient_id": PREFIX + "0"}
    world.take(FOSCARNET | name)
    world.take(POTASSIUM | name)
    world.flush()
    assert {"hypokalemia"} <= {one["code"] for one in said(world)}
    for counted in (
        "cmvigil_alert_changes_total",
        "cmvigil_open_alerts",
        "cmvigil_events_total",
        "cmvigil_unjudged_total",
        "cmvigil_laboratory_lag_seconds_count",
    ):
        assert metric(world, counted) == 0, counted
    assert len(world.engine) == 0
    assert len(world.durable) == 1
    world.start()
    assert len(world.engine) == 0
    for _ in range(3):
        world.engine.tick(0)
    assert metric(world, "cmvigil_open_alerts") == 0
    ask(world, patient=name["patient_id"], key=name["patient_id"].encode())
    assert metric(world, "cmvigil_forgotten_patients_total") == 0


def test_what_may_be_raised_is_counted_from_zero():
    world = World("wall", wall="2026-03-04T13:00:00Z")
    samples = [s for m in world.meters.registry.collect() for s in m.samples if s.name == "cmvigil_alert_changes_total"]
    assert ("hypokalemia", "critical") in {(s.labels["code"], s.labels["severity"]) for s in samples}
    assert {s.labels["status"] for s in samples} == {"raised"}
    assert sum(s.value for s in samples) == 0
