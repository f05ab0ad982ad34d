"""A patient forgotten: nothing recorded up to the moment is left, in no part of the state; what came later stands."""

from monitor.advance import advance, receive
from monitor.forgetting import alerts_of, forget
from monitor.patient import Patient
from monitor.state import dump
from monitor.times import parse_time
from tests.monitor.histories import facts_of, plan
from tests.monitor.test_rejudging import dose, potassium

EVENING = parse_time("2026-03-04T20:00:00Z")


def person(day):
    return {
        "type": "patient",
        "event_id": f"P{day}",
        "patient_id": "p1",
        "sex": "female",
        "transplant": "hct-allogeneic",
        "transplant_at": "2026-03-20T00:00:00Z",
        "recorded_at": f"2026-03-{day:02d}T07:00:00Z",
    }


def action(alert_id, day):
    return {
        "type": "action",
        "event_id": f"X{day}",
        "patient_id": "p1",
        "alert_id": alert_id,
        "action": "acknowledge",
        "by": "Lee",
        "reason": "seen by Lee",
        "recorded_at": f"2026-03-{day:02d}T12:00:00Z",
    }


def patient(*events, to="2026-03-04T18:00:00Z"):
    p = Patient(plan(), "p1")
    receive(p, facts_of(events))
    return p, advance(p, parse_time(to))


def test_of_a_patient_with_nothing_later_nothing_is_left():
    p, changes = patient(person(3), dose("A-secret", 4), potassium("L-secret", 2.2, 4))
    assert changes
    assert forget(p, EVENING) is None


def test_where_nothing_was_recorded_so_early_the_patient_stays_as_it_is():
    p, _ = patient(dose("A1", 4), potassium("L1", 2.2, 4))
    assert forget(p, parse_time("2026-03-04T07:59:59Z")) is p


def test_a_fact_recorded_at_the_very_moment_goes_and_one_a_microsecond_later_stays():
    p, _ = patient(dose("A1", 4))
    assert forget(p, parse_time("2026-03-04T08:00:00Z")) is None
    assert forget(p, parse_time("2026-03-04T07:59:59.999999Z")) is p


def test_a_patient_never_heard_of_is_nobody():
    assert forget(Patient(plan(), "p1"), EVENING) is None


def test_what_waits_for_its_time_goes_too():
    p, _ = patient(dose("A1", 4), potassium("L1", 2.2, 4), to="2026-03-04T08:30:00Z")
    assert p.inbox
    assert forget(p, EVENING) is None


def test_what_was_recorded_later_is_judged_anew_and_no_word_of_the_rest_is_in_its_state():
    early = [person(3), dose("A-early", 4), potassium("L-early", 2.2, 4)]
    late = [dose("A-late", 5), potassium("L-late", 2.1, 5)]
    p, said = patient(*early, *late, to="2026-03-05T18:00:00Z")
    left = forget(p, EVENING)
    again = advance(left, parse_time("2026-03-05T18:00:00Z"))
    alone, expected = patient(*late, to="2026-03-05T18:00:00Z")
    assert {one.alert.alert_id for one in again} == {one.alert.alert_id for one in expected}
    assert b"early" in dump(p)
    assert b"early" not in dump(left)
    assert b"late" in dump(left)
    assert left.sex is None


def test_an_alert_said_again_goes_on_with_its_seq():
    early = [dose("A1", 3)]
    late = [dose("A2", 5), potassium("L2", 2.1, 5)]
    p, said = patient(*early, *late, to="2026-03-05T18:00:00Z")
    left = forget(p, EVENING)
    again = advance(left, parse_time("2026-03-05T18:00:00Z"))
    numbers = [(one.alert.alert_id, one.seq) for one in (*said, *again)]
    assert {one.code for one in said} & {one.code for one in again} >= {"hypokalemia"}
    assert len(numbers) == len(set(numbers))


def test_the_alerts_of_a_patient_are_all_that_was_said_of_them():
    p, changes = patient(person(3), dose("A1", 4), potassium("L1", 2.2, 4))
    assert set(alerts_of(p)) == {one.alert.alert_id for one in changes}


def test_alerts_of_rules_that_are_in_force_no_more_are_among_them():
    p, changes = patient(dose("A1", 4), potassium("L1", 2.2, 4))
    left = forget(p, parse_time("2026-03-04T08:00:00Z"))
    # Without the dose no rule of foscarnet is in force; what it said is still known by its name.
    assert {one.code for one in left.sayings} == {"hypokalemia"}
    kept = alerts_of(left)
    assert kept == [one.alert.alert_id for one in changes if one.code == "hypokalemia"]


def test_actions_go_with_their_patient():
    p, changes = patient(dose("A1", 4), potassium("L1", 2.2, 4))
    found = next(one.alert.alert_id for one in changes if one.code == "hypokalemia")
    receive(p, facts_of([action(found, 4), dose("A2", 5)]))
    advance(p, parse_time("2026-03-05T09:00:00Z"))
    assert b"Lee" in dump(p)
    assert b"Lee" not in dump(forget(p, EVENING))
