"""The engine without a broker: whatever is lost with the process comes back, and nothing is said twice differently."""

import gzip
import json
import random
from collections import defaultdict
from pathlib import Path

import pytest

from monitor.state import StateError
from monitor.times import DAY, HOUR, SECOND, iso, parse_time
from streams.codes import NO_CODES
from streams.knowledge_files import read_plan
from streams.live.acks import Acks
from streams.live.engine import CLOCK, Engine
from streams.live.metrics import Meters
from streams.rejects import Rejects
from streams.replay import judge_log, read_log

PLAN = read_plan([])
SAMPLE = Path(__file__).parents[2] / "seeds" / "logs" / "sample.ndjson.gz"
TOPICS = {
    "lab": "lab-results",
    "administration": "medication-administrations",
    "patient": "patients",
    "action": "alert-actions",
}
INPUTS = tuple(TOPICS.values())


def log():
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
    return sorted(((json.loads(line), line) for line in lines), key=lambda one: one[0]["recorded_at"])


def replayed():
    found = read_log(PLAN, [str(SAMPLE)], Rejects(None))
    return {json_of(change.alert) for change in judge_log(PLAN, found, found.last).changes}


def json_of(alert):
    import msgspec

    return msgspec.json.encode(alert)


class World:
    """A table that lasts, and an engine that may be lost at any moment."""

    def __init__(self, mode="event", wall="2026-11-26T00:00:00Z"):
        self.states = {}
        self.durable = {}
        self.said = []
        self.mode = mode
        self.now = parse_time(wall)
        self.start()

    def start(self, behind=(), plan=PLAN):
        self.states = dict(self.durable)
        self.meters = Meters()
        self.engine = Engine(
            plan, NO_CODES, self.states, INPUTS, mode=self.mode, wall=lambda: self.now, meters=self.meters
        )
        self.engine.assign(0, list(self.states), behind)

    def take(self, event, line=None):
        line = json.dumps(event).encode() if line is None else line
        return self.engine.take(0, TOPICS[event["type"]], event["patient_id"].encode(), line)

    def mark(self, time):
        for topic in INPUTS:
            self.engine.take(0, topic, None, json.dumps({"type": "clock", "recorded_at": time}).encode())

    def flush(self, sent=1.0, chance=None):
        while self.engine.dirty:
            key = next(iter(self.engine.dirty))
            packed = self.engine.pack(key)
            self.durable[key] = packed.state
            for change in packed.sends:
                self.said.append(change)
                if chance is None or chance.random() < sent:
                    self.engine.sent(key, change)


FOSCARNET = {
    "type": "administration",
    "event_id": "A1",
    "patient_id": "p",
    "drug": "foscarnet",
    "dose": 6300,
    "unit": "mg",
    "route": "iv",
    "started_at": "2026-03-04T08:00:00Z",
    "ended_at": "2026-03-04T10:00:00Z",
    "recorded_at": "2026-03-04T10:02:00Z",
    "indication": "treatment",
}


LAB = {
    "type": "lab",
    "event_id": "L1",
    "patient_id": "p",
    "code": "2160-0",
    "value": 1.9,
    "unit": "mg/dL",
    "collected_at": "2026-03-04T06:00:00Z",
    "recorded_at": "2026-03-04T07:10:00Z",
}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_lost_at_any_moment_it_ends_up_saying_what_a_replay_says(seed):
    chance = random.Random(seed)
    world = World()
    events = log()
    taken = 0
    while taken < len(events):
        event, line = events[taken]
        world.take(event, line)
        taken += 1
        if chance.random() < 0.02:
            world.flush(0.5, chance)
            durable = taken
        if chance.random() < 0.01:
            world.mark(event["recorded_at"])
            # The marker may come before others of its own moment only where a producer breaks its word.
            world.flush(0.5, chance)
            durable = taken
        if chance.random() < 0.004:
            world.start()
            taken = max(0, locals().get("durable", 0) - chance.randrange(3))
    world.mark(events[-1][0]["recorded_at"])
    world.flush()
    world.start()
    world.engine.tick(0)
    world.flush()
    contents = defaultdict(set)
    for change in world.said:
        alert = json.loads(change)
        contents[alert["alert_id"], alert["seq"]].add(change)
    assert all(len(one) == 1 for one in contents.values())
    last = {}
    for change in sorted(replayed() | set(), key=lambda c: json.loads(c)["seq"]):
        last[json.loads(change)["alert_id"]] = json.loads(change)["state"], json.loads(change)["severity"]
    stands = {}
    for change in sorted(world.said, key=lambda c: json.loads(c)["seq"]):
        stands[json.loads(change)["alert_id"]] = json.loads(change)["state"], json.loads(change)["severity"]
    assert {key: one for key, one in stands.items() if key in last or one[0] != "retracted"} == last


def test_by_the_events_clock_nothing_is_said_before_its_marker_and_then_all():
    world = World()
    for event, line in log():
        world.take(event, line)
    world.flush()
    assert world.said == []
    world.mark(log()[-1][0]["recorded_at"])
    world.flush()
    assert set(world.said) == replayed()
    assert len(world.said) == len(replayed())


def test_a_clock_that_waits_for_one_topic_stands_still_through_a_restart():
    world = World()
    for event, line in log():
        world.take(event, line)
    last = json.dumps({"type": "clock", "recorded_at": log()[-1][0]["recorded_at"]}).encode()
    for topic in INPUTS[:3]:
        world.engine.take(0, topic, None, last)
    world.flush()
    assert world.said == []
    world.start()
    world.engine.take(0, INPUTS[3], None, last)
    world.flush()
    assert set(world.said) == replayed()


def test_a_marker_of_the_past_and_one_on_the_wall_clock_change_nothing():
    world = World()
    world.mark("2026-03-05T00:00:00Z")
    world.flush()
    before = world.engine.clock(0)
    world.mark("2026-03-04T00:00:00Z")
    assert world.engine.clock(0) == before
    live = World("wall")
    live.mark("2026-03-05T00:00:00Z")
    assert live.engine.clock(0) == live.now
    assert not live.engine.dirty


def test_by_the_wall_what_only_time_brings_comes_at_a_tick_at_its_own_moment():
    world = World("wall", "2026-03-04T10:02:00Z")
    world.take(FOSCARNET)
    world.flush()
    due = parse_time("2026-03-05T08:00:00Z")
    world.now = due - SECOND
    world.engine.tick(0)
    world.flush()
    assert not any(json.loads(one)["code"] == "baseline-labs-missing" for one in world.said)
    world.now = due + HOUR
    world.engine.tick(0)
    world.flush()
    (one,) = [json.loads(one) for one in world.said if json.loads(one)["code"] == "baseline-labs-missing"]
    assert one["emitted_at"] == "2026-03-05T08:00:00Z"


def test_after_downtime_nothing_is_overdue_until_the_backlog_is_read():
    world = World("wall", "2026-03-04T10:02:00Z")
    world.take(FOSCARNET)
    world.flush()
    world.now = parse_time("2026-03-09T08:00:00Z")
    world.start(behind=["lab-results"])
    world.engine.tick(0)
    lab = {
        "type": "lab",
        "event_id": "L1",
        "patient_id": "p",
        "code": "2160-0",
        "value": 0.9,
        "unit": "mg/dL",
        "collected_at": "2026-03-05T06:00:00Z",
        "recorded_at": "2026-03-05T07:00:00Z",
    }
    world.take(lab)
    world.engine.caught_up(0, "lab-results")
    world.engine.tick(0)
    world.flush()
    (one,) = [json.loads(one) for one in world.said if json.loads(one)["code"] == "baseline-labs-missing"][:1]
    assert "creatinine" not in one["title"].lower()


def test_a_recording_a_day_ahead_of_the_wall_is_taken_and_a_second_more_is_refused():
    world = World("wall", "2026-03-03T10:02:00Z")
    assert world.take(FOSCARNET).refused == []
    world.now -= SECOND
    (one,) = world.take(FOSCARNET | {"event_id": "A2"}).refused
    assert one.reason == "recorded_at: more than 24 h ahead of the clock"


def test_a_closed_alert_leaves_the_topic_after_30_days_through_a_restart():
    world = World("wall", "2026-03-09T08:00:00Z")
    world.take(FOSCARNET)
    world.flush()
    world.now = parse_time("2026-05-01T00:00:00Z")
    world.engine.tick(0)
    world.flush()
    closed = [json.loads(one) for one in world.said if json.loads(one)["state"] == "resolved"]
    assert closed
    world.start()
    first = min(parse_time(one["emitted_at"]) for one in closed)
    world.now = max(first + 30 * DAY, world.now)
    gone = world.engine.tick(0) + world.engine.tick(0)
    world.now = parse_time("2026-08-01T00:00:00Z")
    gone += world.engine.tick(0)
    assert {one.alert_id for one in gone} == {one["alert_id"] for one in closed}
    for one in gone:
        world.engine.let_go(one)
    world.flush()
    world.start()
    world.engine.tick(0)
    assert world.engine.tick(0) == []


def test_what_was_not_acknowledged_is_sent_again_after_a_restart_and_what_was_is_not():
    world = World()
    for event, line in log():
        world.take(event, line)
    world.mark(log()[-1][0]["recorded_at"])
    chance = random.Random(3)
    world.flush(0.5, chance)
    first = list(world.said)
    world.start()
    world.engine.tick(0)
    world.flush()
    again = world.said[len(first) :]
    assert 0 < len(again) < len(first)
    assert set(again) <= set(first)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"other", json.dumps(FOSCARNET).encode(), "key: is not the patient_id"),
        (None, json.dumps(FOSCARNET).encode(), "key: is not the patient_id"),
        (b"p", None, "value: missing"),
        (b"\x00p", json.dumps(FOSCARNET | {"patient_id": "\x00p"}).encode(), "patient_id: begins with"),
        (b"p", b"{", "JSON"),
        (b"p", json.dumps(FOSCARNET | {"note": "?"}).encode().replace(b"?", b"\xfc"), "JSON"),
    ],
)
def test_what_is_no_fact_is_refused_with_its_bytes(key, value, reason):
    (one,) = World().engine.take(0, "lab-results", key, value).refused
    assert reason.lower() in one.reason.lower()
    assert one.data == (value or b"")


def test_a_state_of_a_newer_version_is_refused_untouched():
    world = World()
    world.durable[b"p"] = b"\xff" * 60
    with pytest.raises(StateError, match="version"):
        world.start()
    assert world.states[b"p"] == b"\xff" * 60


def test_states_of_an_older_version_are_written_anew_without_any_event(monkeypatch):
    from monitor import state

    world = World()
    for event, line in log():
        world.take(event, line)
    world.mark(event["recorded_at"])
    world.flush()
    said = len(world.said)
    monkeypatch.setattr(state, "VERSION", 2)
    monkeypatch.setitem(state.UPGRADES, 1, lambda body: body)
    world.start()
    for _ in range(5):
        world.engine.tick(0)
        world.flush()
    assert {data[0] for key, data in world.durable.items() if not key.startswith(CLOCK)} == {2}
    assert len(world.said) == said


def test_patients_asleep_are_woken_with_all_that_was_known():
    world = World()
    world.engine._cached = 1
    for event, line in log():
        world.take(event, line)
        if len(world.engine._lives) > 5:
            world.flush()
            world.engine.trim()
    world.mark(log()[-1][0]["recorded_at"])
    world.flush()
    assert set(world.said) == replayed()


def test_the_record_of_the_clock_is_no_patient():
    world = World()
    world.mark("2026-03-05T00:00:00Z")
    world.flush()
    assert [key for key in world.durable if key.startswith(CLOCK)] == list(world.durable)
    world.start()
    assert iso(world.engine.clock(0)) == "2026-03-05T00:00:00Z"


def test_acknowledgments_come_in_order_of_offsets_whatever_becomes_durable_first():
    done = []
    acks = Acks(done.append)
    acks.taken(("t", 0), 1, [b"a"])
    acks.taken(("t", 0), 2, [b"b"])
    acks.taken(("t", 0), 3, [])
    letter = acks.taken(("t", 0), 4, [], letters=1)
    acks.taken(("t", 1), 5, [b"b"])
    acks.writing(b"b")()
    assert done == [5]
    letter()
    assert len(acks) == 4
    acks.writing(b"a")()
    assert done == [5, 1, 2, 3, 4]
    assert acks.oldest() == 0.0


@pytest.mark.slow
def test_fhir_resources_say_live_what_a_replay_says_of_them(tmp_path):
    import subprocess
    import sys

    command = [str(Path(sys.executable).parent / "cmvigil"), "simulate", "--patients", "12", "--days", "40", "--fhir"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    path = tmp_path / "fhir.ndjson"
    path.write_bytes(b"\n".join(lines))
    found = read_log(PLAN, [str(path)], Rejects(None))
    wanted = {json_of(change.alert) for change in judge_log(PLAN, found, found.last).changes}
    assert wanted
    world = World()
    for line in lines:
        resource = json.loads(line)
        subject = resource.get("patient_id")  # a donor's serology has no place in FHIR, and stays native
        if subject is None:
            subject = resource.get("subject", {}).get("reference", "/" + resource.get("id", "")).partition("/")[2]
        assert world.engine.take(0, "lab-results", subject.encode(), line).refused == []
    world.mark(iso(found.last))
    world.flush()
    assert set(world.said) == wanted


def test_events_are_counted_by_type_and_outcome_and_unknown_codes_and_units_by_name():
    world = World()
    world.take(FOSCARNET)
    world.take(LAB)
    world.take(LAB | {"event_id": "L2", "unit": "furlong"})
    world.take(LAB | {"event_id": "L3", "code": "1-8"})
    world.take(LAB | {"event_id": "L4", "value": -1})
    world.take(FOSCARNET | {"event_id": "A2", "unit": "stone"})
    world.engine.take(0, INPUTS[0], b"p", b"not JSON")
    counted = world.meters.registry.get_sample_value
    events = "cmvigil_events_total"
    assert counted(events, {"type": "lab", "outcome": "taken"}) == 1
    assert counted(events, {"type": "lab", "outcome": "rejected"}) == 2
    assert counted(events, {"type": "lab", "outcome": "unwatched"}) == 1
    assert counted(events, {"type": "administration", "outcome": "taken"}) == 1
    assert counted(events, {"type": "administration", "outcome": "rejected"}) == 1
    assert counted(events, {"type": "none", "outcome": "rejected"}) == 1
    assert counted("cmvigil_unmapped_codes_total", {"kind": "lab", "code": "1-8"}) == 1
    assert counted("cmvigil_unmapped_units_total", {"kind": "lab", "code": "2160-0", "unit": "furlong"}) == 1
    assert (
        counted("cmvigil_unmapped_units_total", {"kind": "administration", "code": "foscarnet", "unit": "stone"}) == 1
    )
    # What is taken is judged; the rest is only decoded.
    assert counted("cmvigil_decoding_seconds_count") == 7
    assert counted("cmvigil_judging_seconds_count") == 2


def test_names_from_outside_are_counted_apart_only_while_there_are_few(monkeypatch):
    monkeypatch.setattr("streams.live.metrics.UNMAPPED", 3)
    world = World()
    for number in range(9):
        world.take(FOSCARNET | {"event_id": f"A{number}", "unit": f"unit{number % 5}"})
    page = world.meters.page().decode()
    assert page.count("\ncmvigil_unmapped_units_total{") == 5
    other = {"kind": "administration", "code": "other", "unit": "other"}
    assert world.meters.registry.get_sample_value("cmvigil_unmapped_units_total", other) == 3


def test_what_comes_before_the_kept_history_is_counted_as_rejected():
    world = World()
    world.take(FOSCARNET)
    later = {"started_at": "2028-03-04T08:00:00Z", "ended_at": None, "recorded_at": "2028-03-04T08:00:00Z"}
    world.take(FOSCARNET | {"event_id": "A2"} | later)
    world.mark("2028-03-05T08:00:00Z")
    late = FOSCARNET | {"event_id": "A0", "recorded_at": "2026-03-04T10:03:00Z"}
    assert [one.reason for one in world.take(late).refused] == ["too-late: before the history that is kept"]
    rejected = {"type": "administration", "outcome": "rejected"}
    assert world.meters.registry.get_sample_value("cmvigil_events_total", rejected) == 1


def test_what_is_no_event_is_counted_as_rejected_too():
    world = World()
    world.engine.take(0, "patients", b"p", None)
    world.engine.take(0, "patients", b"q", b'{"type":"forget","patient_id":"p","recorded_at":"2026-03-04T08:00:00Z"}')
    rejected = {"type": "none", "outcome": "rejected"}
    assert world.meters.registry.get_sample_value("cmvigil_events_total", rejected) == 2


@pytest.mark.parametrize(
    ("code", "unit", "named"),
    [
        ("2160-0", "furlong", ("2160-0", "furlong")),
        ("2160-0", "10*9/L", ("2160-0", "10*9/L")),
        ("2160-0", "mg/dL John Doe 1950-01-01", ("2160-0", "other")),
        ("2160-0", "19500101", ("2160-0", "other")),
    ],
)
def test_only_what_looks_like_a_unit_is_named(code, unit, named):
    world = World()
    world.take(LAB | {"code": code, "unit": unit})
    labels = {"kind": "lab", "code": named[0], "unit": named[1]}
    assert world.meters.registry.get_sample_value("cmvigil_unmapped_units_total", labels) == 1


@pytest.mark.parametrize(
    ("event", "kind", "code"),
    [
        ({"code": "1-8"}, "lab", "1-8"),
        ({"code": "MRN 12345"}, "lab", "other"),
        ({"code": "12345678"}, "lab", "other"),
        ({"code": "x" * 41}, "lab", "other"),
        ({"drug": "paracetamol"}, "administration", "paracetamol"),
        ({"drug": "Doe, John"}, "administration", "other"),
    ],
)
def test_only_what_looks_like_a_code_is_named(event, kind, code):
    world = World()
    world.take((LAB if kind == "lab" else FOSCARNET) | event)
    assert world.meters.registry.get_sample_value("cmvigil_unmapped_codes_total", {"kind": kind, "code": code}) == 1


def test_fhir_resources_that_no_rule_watches_are_counted_by_their_code():
    world = World()
    glucose = {
        "resourceType": "Observation",
        "id": "1",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]},
        "effectiveDateTime": "2026-03-04T08:00:00Z",
        "valueQuantity": {"value": 90, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
    }
    for resource in (glucose, {"resourceType": "Encounter", "id": "2"}):
        world.engine.take(0, "lab-results", b"p", json.dumps(resource).encode())
    counted = world.meters.registry.get_sample_value
    for code in ("2339-0", "Encounter"):
        assert counted("cmvigil_unmapped_codes_total", {"kind": "fhir", "code": code}) == 1
    assert counted("cmvigil_events_total", {"type": "none", "outcome": "unwatched"}) == 2


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("Will monitor potassium daily", "will monitor"), ("as discussed", "other"), (None, "none"), (" ", "none")],
)
def test_time_to_act_begins_when_an_alert_was_raised_and_overrides_are_told_apart(reason, counted):
    world = World("wall", "2026-03-04T12:00:00Z")
    world.meters = Meters(["will monitor"])
    world.engine = Engine(PLAN, NO_CODES, {}, INPUTS, mode="wall", wall=lambda: world.now, meters=world.meters)
    world.engine.assign(0, [], ())
    world.take(FOSCARNET)
    # Collected at 9:00, known from 12:00 on.
    late = {"code": "2823-3", "value": 2.7, "unit": "mmol/L", "collected_at": "2026-03-04T09:00:00Z"}
    world.take(LAB | late | {"recorded_at": "2026-03-04T12:00:00Z"})
    world.flush()
    alert = json.loads(next(one for one in world.said if b"hypokalemia" in one))
    act = {"type": "action", "event_id": "X1", "patient_id": "p", "recorded_at": "2026-03-04T12:10:00Z"}
    world.now = parse_time("2026-03-04T12:10:00Z")
    world.take(act | {"alert_id": alert["alert_id"], "action": "override", "by": "pharmacist: J.", "reason": reason})
    sample = world.meters.registry.get_sample_value
    labels = {"severity": "warning", "action": "overridden"}
    assert sample("cmvigil_raised_to_action_seconds_count", labels) == 1
    assert sample("cmvigil_raised_to_action_seconds_sum", labels) == 600
    assert sample("cmvigil_overrides_total", {"code": "hypokalemia", "reason": counted}) == 1


def test_what_cannot_be_judged_is_counted_once_however_often_its_patient_sleeps():
    world = World()
    world.engine = Engine(
        PLAN, NO_CODES, world.states, INPUTS, mode="event", wall=lambda: 0, meters=world.meters, cached=1
    )
    world.engine.assign(0, [], ())
    for number in range(3):
        # Without a weight and a birth date the dose cannot be judged.
        world.take(FOSCARNET | {"event_id": f"A{number}"})
        world.mark(f"2026-03-0{5 + number}T00:00:00Z")
        world.flush()
        world.engine.trim()
        other = FOSCARNET | {"patient_id": "q", "event_id": f"B{number}"}
        world.engine.take(0, INPUTS[1], b"q", json.dumps(other).encode())
        world.flush()
        world.engine.trim()
    counted = [one for one in world.meters.unjudged.collect()[0].samples if one.name.endswith("_total")]
    assert counted
    assert {one.value for one in counted} == {2}
