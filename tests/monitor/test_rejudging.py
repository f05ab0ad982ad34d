"""A change of knowledge: judged once anew, what no longer holds is resolved for that reason, the past is not retold."""

from monitor.advance import advance, receive
from monitor.patient import Patient
from monitor.rejudging import rejudge
from monitor.state import dump, load
from monitor.times import parse_time
from streams.knowledge_files import read_plan
from tests.monitor.histories import facts_of, plan

NOON = parse_time("2026-03-05T12:00:00Z")


def potassium(event_id, value, day):
    return {
        "type": "lab",
        "event_id": event_id,
        "patient_id": "p1",
        "code": "2823-3",
        "value": value,
        "unit": "mmol/L",
        "collected_at": f"2026-03-{day:02d}T10:00:00Z",
        "recorded_at": f"2026-03-{day:02d}T11:00:00Z",
    }


def dose(event_id, day):
    at = f"2026-03-{day:02d}T08:00:00Z"
    return {
        "type": "administration",
        "event_id": event_id,
        "patient_id": "p1",
        "drug": "foscarnet",
        "dose": 6000,
        "unit": "mg",
        "route": "iv",
        "started_at": at,
        "recorded_at": at,
    }


def site(tmp_path, text):
    path = tmp_path / "site.toml"
    path.write_text(text)
    return read_plan([path])


def limit(value, critical="2.5 mmol/L"):
    return f"""
[rules.hypokalemia]
below = {{ value = ["{value}"], source = "cmvigil", tag = "D" }}
critical_below = {{ value = ["{critical}"], source = "cmvigil", tag = "D" }}
"""


def state(events):
    p = Patient(plan(), "p1")
    receive(p, facts_of(events))
    changes = advance(p, NOON)
    return dump(p), [one.alert for one in changes if one.code == "hypokalemia"]


def of_potassium(changes):
    return [one.alert for one in changes if one.code == "hypokalemia"]


def test_what_no_longer_holds_is_resolved_with_reason_ruleset(tmp_path):
    data, said = state([dose("A1", 4), dose("A2", 5), potassium("L1", 2.9, 5)])
    assert [(one.status, one.seq) for one in said] == [("raised", 1)]
    loaded = load(site(tmp_path, limit("2.8 mmol/L")), "p1", data)
    assert loaded.stale
    (alert,) = of_potassium(rejudge(loaded.patient, NOON))
    assert (alert.alert_id, alert.seq) == (said[0].alert_id, 2)
    assert (alert.status, alert.state, alert.reason) == ("resolved", "resolved", "ruleset")
    assert alert.ruleset == loaded.patient.plan.ruleset
    # Once, and no retraction later.
    assert of_potassium(rejudge(loaded.patient, NOON)) == []
    receive(loaded.patient, facts_of([potassium("L2", 4.0, 5)]))
    assert of_potassium(advance(loaded.patient, NOON)) == []


def test_what_holds_again_under_the_old_ruleset_goes_on_in_seq(tmp_path):
    data, said = state([dose("A1", 4), dose("A2", 5), potassium("L1", 2.9, 5)])
    other = load(site(tmp_path, limit("2.8 mmol/L")), "p1", data).patient
    rejudge(other, NOON)
    back = load(plan(), "p1", dump(other))
    assert back.stale
    (alert,) = of_potassium(rejudge(back.patient, NOON))
    assert (alert.alert_id, alert.seq, alert.status) == (said[0].alert_id, 3, "reopened")


def test_the_past_is_not_told_again(tmp_path):
    data, said = state([dose("A1", 4), potassium("L1", 3.1, 4), dose("A2", 5), potassium("L2", 3.6, 5)])
    assert said == []
    p = load(site(tmp_path, limit("3.3 mmol/L")), "p1", data).patient
    assert of_potassium(rejudge(p, NOON)) == []
    # But what begins now is said.
    receive(p, facts_of([potassium("L3", 3.2, 5) | {"collected_at": "2026-03-05T11:30:00Z"}]))
    assert [one.status for one in of_potassium(advance(p, NOON))] == ["raised"]


def test_another_severity_is_an_update(tmp_path):
    data, said = state([dose("A1", 4), dose("A2", 5), potassium("L1", 2.9, 5)])
    p = load(site(tmp_path, limit("3.0 mmol/L", critical="2.95 mmol/L")), "p1", data).patient
    (alert,) = of_potassium(rejudge(p, NOON))
    assert (alert.alert_id, alert.seq, alert.status, alert.severity) == (said[0].alert_id, 2, "updated", "critical")


def test_a_code_that_is_lost_keeps_its_facts_for_a_ruleset_that_knows_it(tmp_path):
    wider = site(tmp_path, '[analytes.potassium.loinc]\n"75940-7" = "Potassium, a site\'s own"\n')
    p = Patient(wider, "p1")
    receive(p, facts_of([dose("A1", 5), potassium("L1", 2.9, 5) | {"code": "75940-7"}], wider))
    advance(p, NOON)
    lame = load(plan(), "p1", dump(p)).patient
    assert "L1" not in lame.lab_facts
    assert "L1" in load(wider, "p1", dump(lame)).patient.lab_facts
