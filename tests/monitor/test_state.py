"""State bytes: a patient dumped and loaded again at any moment goes on as if nothing had happened."""

import random

import pytest

from monitor import state
from monitor.advance import advance, next_due, receive
from monitor.patient import Patient
from monitor.state import VERSION, StateError, dump, load, peek
from monitor.times import parse_time
from tests.monitor.histories import DAY, episodes, facts_of, plan, random_facts, said


def treated(seed=0, days=30):
    facts = random_facts(seed)
    p = Patient(plan(), "p1")
    receive(p, facts)
    advance(p, facts[-1].recorded + days * DAY)
    return p


@pytest.mark.parametrize("seed", range(36))
def test_restarts_at_any_moment_change_nothing(seed):
    facts = random_facts(seed)
    end = facts[-1].recorded + 30 * DAY
    whole = Patient(plan(), "p1")
    receive(whole, facts)
    expected = said(advance(whole, end))

    rng = random.Random(seed)
    stops = sorted(rng.choice(facts).recorded + rng.randrange(DAY) for _ in range(4))
    p = Patient(plan(), "p1")
    changes = []
    before = 0
    for stop in (*stops, end):
        receive(p, [fact for fact in facts if before < fact.recorded <= stop])
        changes += advance(p, stop)
        before = stop
        loaded = load(plan(), "p1", dump(p))
        assert not loaded.stale
        assert episodes(loaded.patient) == episodes(p)
        p = loaded.patient
    assert said(changes) == expected


@pytest.mark.parametrize("seed", range(12))
def test_same_state_same_bytes(seed):
    data = dump(treated(seed))
    again = dump(load(plan(), "p1", data).patient)
    # The due time may be later when judged from the start; all else is the same.
    assert again[26:] == data[26:]
    assert dump(load(plan(), "p1", again).patient) == again


def test_the_header_tells_what_is_due_without_reading_the_rest():
    p = treated()
    header = peek(dump(p))
    assert (header.version, header.clock, header.next_due, header.outbox) == (VERSION, p.clock, next_due(p), False)
    p.outbox.append(b"{}")
    assert peek(dump(p)).outbox
    assert load(plan(), "p1", dump(p)).patient.outbox == [b"{}"]


def test_what_waits_in_the_inbox_is_kept():
    facts = random_facts(3)
    p = Patient(plan(), "p1")
    receive(p, facts)
    middle = facts[len(facts) // 2].recorded
    advance(p, middle)
    assert p.inbox
    q = load(plan(), "p1", dump(p)).patient
    end = facts[-1].recorded
    assert said(advance(q, end)) == said(advance(p, end))


def test_a_newer_version_is_refused_untouched():
    data = bytes((VERSION + 1,)) + dump(treated())[1:]
    with pytest.raises(StateError, match=f"version {VERSION + 1}"):
        load(plan(), "p1", data)


def test_an_older_version_is_read_through_every_version_between(monkeypatch):
    p = treated()
    data = dump(p)
    monkeypatch.setattr(state, "VERSION", VERSION + 2)
    with pytest.raises(StateError, match=f"version {VERSION}, this program reads version {VERSION + 2}"):
        peek(data)
    # Each version puts a letter before the body; the newest body is read without them.
    monkeypatch.setitem(state.UPGRADES, VERSION, lambda body: b"a" + body)
    monkeypatch.setitem(state.UPGRADES, VERSION + 1, lambda body: b"b" + body)
    decode = state._decode
    seen = []

    def newest(body):
        seen.append(bytes(body[:2]))
        return decode(body[2:])

    monkeypatch.setattr(state, "_decode", newest)
    loaded = load(plan(), "p1", data)
    assert seen == [b"ba"]
    assert loaded.older
    assert peek(data).older
    assert loaded.patient.lab_facts.keys() == p.lab_facts.keys()
    with pytest.raises(StateError, match=f"version {VERSION + 3}"):
        peek(bytes((VERSION + 3,)) + data[1:])
    with pytest.raises(StateError, match="version 0"):
        peek(b"\x00" + data[1:])


def test_a_state_of_this_version_is_not_older():
    data = dump(treated())
    assert not peek(data).older
    assert not load(plan(), "p1", data).older


@pytest.mark.parametrize("data", [b"", b"\x01", dump(Patient(plan(), "p1"))[:-3], dump(Patient(plan(), "p1")) + b"x"])
def test_corrupt_bytes_are_refused(data):
    with pytest.raises(StateError):
        load(plan(), "p1", data)


def test_a_snooze_that_ends_by_itself_is_not_forgotten():
    at = "2026-03-04T08:00:00Z"
    common = {"patient_id": "p1"}
    facts = facts_of(
        [
            {
                "type": "administration",
                "event_id": "A1",
                "drug": "foscarnet",
                "dose": 6000,
                "unit": "mg",
                "route": "iv",
                "started_at": at,
                "recorded_at": at,
                **common,
            },
            {
                "type": "lab",
                "event_id": "L1",
                "code": "2823-3",
                "value": 2.4,
                "unit": "mmol/L",
                "collected_at": "2026-03-04T10:00:00Z",
                "recorded_at": "2026-03-04T11:00:00Z",
                **common,
            },
        ]
    )
    p = Patient(plan(), "p1")
    receive(p, facts)
    changes = advance(p, parse_time("2026-03-04T12:00:00Z"))
    (alert,) = [change.alert for change in changes if change.code == "hypokalemia"]
    receive(
        p,
        facts_of(
            [
                {
                    "type": "action",
                    "event_id": "X1",
                    "alert_id": alert.alert_id,
                    "action": "snooze",
                    "by": "pharmacist-7",
                    "until": "2026-03-04T20:00:00Z",
                    "recorded_at": "2026-03-04T13:00:00Z",
                    **common,
                }
            ]
        ),
    )
    advance(p, parse_time("2026-03-04T14:00:00Z"))
    q = load(plan(), "p1", dump(p)).patient
    changes = [one for one in advance(q, parse_time("2026-03-04T21:00:00Z")) if one.code == "hypokalemia"]
    assert [(one.alert.status, one.alert.emitted_at) for one in changes] == [("reopened", "2026-03-04T20:00:00Z")]


def test_a_kept_fact_takes_at_most_56_bytes():
    events = [
        {
            "type": "lab",
            "event_id": f"p000001-L{i}",
            "patient_id": "p1",
            "code": ("2160-0", "2823-3", "777-3")[i % 3],
            "value": 1 + i % 7 / 10,
            "unit": ("mg/dL", "mmol/L", "10*3/uL")[i % 3],
            "collected_at": f"2026-03-{1 + i // 24 % 28:02d}T{i % 24:02d}:17:00Z",
            "recorded_at": f"2026-03-{1 + i // 24 % 28:02d}T{i % 24:02d}:58:23Z",
        }
        for i in range(600)
    ]
    p = Patient(plan(), "p1")
    receive(p, facts_of(events))
    advance(p, parse_time("2026-04-01T00:00:00Z"))
    assert len(dump(p)) / 600 <= 56


def test_ids_that_end_in_a_uuid_are_short_and_come_back():
    event_id = "Observation/3f1c0d1e-9a4b-4c55-8e8a-0123456789ab"
    event = {
        "type": "lab",
        "event_id": event_id,
        "patient_id": "p1",
        "code": "2160-0",
        "value": 1.4,
        "unit": "mg/dL",
        "collected_at": "2026-03-01T06:00:00Z",
        "recorded_at": "2026-03-01T07:00:00Z",
    }
    p = Patient(plan(), "p1")
    receive(p, facts_of([event]))
    advance(p, parse_time("2026-03-02T00:00:00Z"))
    data = dump(p)
    assert b"0123456789ab" not in data
    assert list(load(plan(), "p1", data).patient.lab_facts) == [event_id]


def test_a_sealed_row_that_is_corrected_is_packed_anew():
    facts = [fact for fact in random_facts(0) if hasattr(fact, "canon")]
    p = Patient(plan(), "p1")
    receive(p, facts)
    advance(p, facts[-1].recorded)
    dump(p)
    first = next(iter(p.lab_facts.values()))
    corrected = type(first)(
        first.event_id, p.clock, first.at, first.analyte, first.loinc, first.canon * 2, first.unit, rank=3
    )
    receive(p, [corrected])
    advance(p, p.clock)
    assert load(plan(), "p1", dump(p)).patient.lab_facts[first.event_id].canon == first.canon * 2
