"""Rare but real: data that is missing, drugs without a table, versions that change what they are about."""

from decimal import Decimal

import pytest

from monitor.courses import INDUCTION
from monitor.knowledge import KnowledgeError, lay
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.rejudging import rejudge
from monitor.rules import KINDS
from monitor.state import dump, load
from monitor.types import Dose
from streams.knowledge_files import read_plan
from tests.monitor.case import (
    MINUTE,
    US,
    ZERO,
    D,
    H,
    action,
    alerts,
    clock,
    dose,
    every,
    lab,
    patient,
    plan,
    run,
    said,
    severity,
)


def foscarnet(days=10, **more):
    return [dose("foscarnet", 4200, at, **more) for at in every(12 * H, ZERO, days * D)]


def without(*path):
    """The default knowledge with one table taken away."""
    table = lay([("all.toml", read_plan([]).table)]).table
    below = table
    for key in path[:-1]:
        below = below[key]
    del below[path[-1]]
    return Plan(lay([("all.toml", table)]), KINDS)


def test_a_site_without_a_rule_and_what_it_had_said():
    events = [patient(), *foscarnet(2), lab("potassium", 2.8, D)]
    p = run(events)
    loaded = load(without("rules", "hypokalemia"), "p1", dump(p))
    changes = rejudge(loaded.patient, p.clock)
    (change,) = [one.alert for one in changes if one.code == "hypokalemia"]
    assert (change.status, change.reason) == ("resolved", "ruleset")
    assert not [one for one in rejudge(loaded.patient, p.clock) if one.code == "hypokalemia"]
    # Back under the old ruleset its sequence goes on.
    back = load(plan(), "p1", dump(loaded.patient)).patient
    (again,) = [one.alert for one in rejudge(back, p.clock) if one.code == "hypokalemia"]
    assert (again.status, again.seq) == ("reopened", 3)


def test_a_snooze_is_kept_through_a_change_of_ruleset(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('[rules.anemia]\nbelow = { value = ["7.9 g/dL"], source = "cmvigil", tag = "D" }\n')
    events = [patient(), *foscarnet(2), lab("potassium", 2.8, D)]
    (first,) = [one for one in alerts(events) if one.code == "hypokalemia"]
    p = run([*events, action(first.alert_id, "snooze", D + H, until="2026-01-09T00:00:00Z")])
    q = load(plan(site), "p1", dump(p)).patient
    rejudge(q, q.clock)
    assert list(q.alarms.values()) == [clock(8 * D)]


def test_knowledge_without_any_file_says_so():
    with pytest.raises(KnowledgeError) as error:
        Plan(lay([]), KINDS)
    assert {problem.file for problem in error.value.problems} == {"knowledge"}


def test_a_grade_in_no_unit_of_the_analyte_is_refused(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('[analytes.urine-protein.grades]\n"5+" = "5000 furlong"\n')
    with pytest.raises(KnowledgeError, match="not one of the analyte's units"):
        read_plan([site])


def test_a_drug_without_a_dosing_table_has_no_band(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        '[rules.dose-above-renal-band]\ndrugs = ["foscarnet", "cidofovir"]\n'
        '[rules.dose-below-renal-band]\ndrugs = ["foscarnet", "cidofovir"]\n'
    )
    drugs = {rule.drug for rule in plan(site).rules if rule.code == "dose-above-renal-band"}
    assert drugs == {"foscarnet"}


def test_an_ophthalmic_product_without_a_route_is_local():
    gel = [dose("388052", 1, at, route=None) for at in every(12 * H, ZERO, 3 * D)]
    assert alerts([patient(), *gel, lab("anc", 0.4, 2 * D)], 4 * D) == []


def test_a_correction_may_change_what_was_measured():
    wrong = lab("potassium", 2.4, D)
    right = {**lab("magnesium", 0.8, D, recorded_at=D + H), "event_id": wrong["event_id"], "status": "corrected"}
    changes = alerts([patient(), *foscarnet(2), wrong, right])
    assert said(changes, "hypokalemia") == [("raised", "critical"), ("retracted", "critical")]
    assert said(changes, "hypomagnesemia") == [("raised", "critical")]


def test_an_older_version_of_an_action_changes_nothing():
    events = [patient(), *foscarnet(2), lab("potassium", 2.8, D)]
    (first,) = [one for one in alerts(events) if one.code == "hypokalemia"]
    newer = action(first.alert_id, "acknowledge", D + 2 * H)
    older = {**newer, "action": "override", "recorded_at": "2026-01-02T01:00:00Z"}
    p = run([*events, newer])
    import json

    from monitor.advance import advance, receive
    from monitor.events import Gate, decoder

    receive(p, [Gate(plan()).admit(decoder.decode(json.dumps(older)))])
    advance(p, p.clock)
    assert [act.action for act in p.acts.values()] == ["acknowledge"]


def unsized(drug, at, **more):
    """A dose of a source that charts no amounts (MEDS)."""
    given = plan().find_drug(drug)
    return Dose(f"U{at}", clock(at), clock(at), clock(at), given.index, -1, None, "oral", True, 0, "completed", 1, True)


def judged(facts, events):
    import json

    from monitor.advance import advance, receive
    from monitor.events import Gate, decoder

    gate = Gate(plan())
    p = Patient(plan(), "p1")
    receive(p, [*facts, *(gate.admit(decoder.decode(json.dumps(event))) for event in events)])
    return p, [change.alert for change in advance(p, clock(20 * D))]


@pytest.mark.parametrize(
    ("drug", "code", "other"),
    [
        ("letermovir", "letermovir-ciclosporin-dose", dose("ciclosporin", 100, ZERO, route="oral")),
        ("maribavir", "maribavir-inducer-dose", dose("phenytoin", 100, ZERO, route="oral")),
    ],
)
def test_a_dose_of_unknown_amount_is_listed_where_its_amount_matters(drug, code, other):
    p, changes = judged([unsized(drug, H)], [patient(), other])
    assert not [one for one in changes if one.code == code]
    assert (code, "a dose of unknown amount") in p.unjudged()


def test_a_dose_of_unknown_amount_counts_as_given():
    _, changes = judged([unsized("valganciclovir", at) for at in every(12 * H, ZERO, 10 * D)], [patient()])
    (missing,) = [one for one in changes if one.code == "baseline-labs-missing" and one.status == "raised"]
    assert missing.drug == "valganciclovir"
    _, changes = judged(
        [unsized("ganciclovir", ZERO), unsized("valganciclovir", H), unsized("ganciclovir", 25 * H)], [patient()]
    )
    (twice,) = [one for one in changes if one.code == "duplicate-ganciclovir" and one.status == "raised"]
    assert "of unknown amount" in twice.detail


def test_letermovir_of_unknown_age_is_listed():
    events = [dose("letermovir", 480, H), dose("ciclosporin", 100, ZERO, route="oral")]
    assert ("letermovir-ciclosporin-dose", "no birth date") in run(events).unjudged()


def test_what_falls_due_ahead_of_the_clock_waits_for_it():
    # The last dose is recorded before it is given: at its own time the test is overdue, the clock is not there yet.
    doses = foscarnet(3)
    ahead = dose("foscarnet", 4200, 96 * H + 30 * MINUTE, recorded_at=96 * H - 20 * MINUTE)
    events = [patient(), *doses, dose("foscarnet", 4200, 84 * H), ahead]
    assert severity(events, "overdue-renal", 96 * H - US) is None
    assert severity(events, "overdue-renal", 96 * H) == "warning"
    twice = [*events, *(dose("foscarnet", 4200, at) for at in every(12 * H, 108 * H, 180 * H))]
    late = dose("foscarnet", 4200, 192 * H + 30 * MINUTE, recorded_at=192 * H - 20 * MINUTE)
    assert severity([*twice, late], "overdue-renal", 192 * H - US) == "warning"
    assert severity([*twice, late], "overdue-renal", 192 * H) == "critical"


@pytest.mark.parametrize(("due", "level", "before"), [(96 * H, "warning", None), (192 * H, "critical", "warning")])
def test_what_falls_due_ahead_of_the_clock_waits_for_it_after_a_pause_too(due, level, before):
    doses = [dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, due - 60 * H)]
    ahead = dose("foscarnet", 4200, due + 30 * MINUTE, recorded_at=due - 20 * MINUTE)
    assert severity([patient(), *doses, ahead], "overdue-renal", due - US) == before
    assert severity([patient(), *doses, ahead], "overdue-renal", due) == level


def test_one_dose_that_a_later_label_calls_prophylaxis_is_no_therapy():
    first = dose("maribavir", 400, ZERO)
    rest = [dose("maribavir", 400, at, indication="prophylaxis") for at in every(12 * H, 12 * H, 3 * D)]
    who = patient(transplant="solid-organ", transplant_at="2025-12-01T00:00:00Z")
    events = [who, first, *rest, lab("cmv", 5000, -D)]
    assert severity(events, "overdue-viral-load", 20 * D) is None
    treated = [{**one, "indication": "treatment"} for one in rest]
    assert severity([who, first, *treated, lab("cmv", 5000, -D)], "overdue-viral-load", 20 * D) == "info"


def test_a_prophylaxis_dose_ends_the_treatment_and_what_rests_on_it():
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 16 * D)]
    who = [patient(), lab("weight", 70, -D), lab("creatinine", 0.9, -D)]
    events = [*who, *doses, lab("cmv", 9000, D), lab("cmv", 5000, 15 * D)]
    assert severity(events, "slow-viral-response", 17 * D) == "info"
    switched = [*events, dose("ganciclovir", 350, 16 * D + H, indication="prophylaxis")]
    assert severity(switched, "slow-viral-response", 17 * D) is None


def test_step_down_counts_the_days_of_drugs_that_have_an_induction():
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 21 * D)]
    others = [dose("cidofovir", 350, at) for at in (D, 8 * D)]
    who = [patient(), lab("weight", 70, -D), lab("creatinine", 0.9, -D), lab("cmv", 9000, D)]
    events = [*who, *doses, *others, lab("cmv", 137, 19 * D, comparator="<")]
    assert severity(events, "step-down-due", 21 * D) == "info"


def test_a_protein_that_rises_beside_creatinine_is_named_too():
    events = [
        patient(),
        lab("creatinine", 0.9, -8 * D),
        dose("cidofovir", 350, ZERO),
        lab("creatinine", 1.5, 6 * D),
        lab("protein", 400, 6 * D),
    ]
    (change,) = [one for one in alerts(events) if one.code == "cidofovir-stop"]
    assert "creatinine" in change.title
    assert "Urine protein 400 mg/dL" in change.detail


def test_above_some_value_that_is_no_rise_changes_nothing():
    events = [
        patient(),
        lab("creatinine", 0.9, -8 * D),
        dose("cidofovir", 350, ZERO),
        lab("creatinine", 1.25, 6 * D),
        lab("creatinine", 0.8, 7 * D, comparator=">"),
    ]
    assert severity(events, "cidofovir-reduce-dose") == "warning"
    assert severity([*events, lab("creatinine", 0.8, 8 * D)], "cidofovir-reduce-dose") is None


def test_a_rebound_that_was_replaced_does_not_come_back_by_itself():
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 60 * D)]
    labs = [lab("creatinine", 0.9, at) for at in every(5 * D, -D, 60 * D)]
    loads = [(9000, 1), (200, 15), (1000, 18), (1000, 25), (200_000, 30), (300, 35)]
    events = [patient(), lab("weight", 70, -D), *doses, *labs, *(lab("cmv", value, day * D) for value, day in loads)]
    assert said(alerts(events, 36 * D), "viral-rebound")[:2] == [("raised", "warning"), ("resolved", "warning")]
    assert severity(events, "viral-rebound", 36 * D) is None


def test_times_that_were_read_are_forgotten_when_they_are_many():
    from monitor import events as module
    from monitor.events import Gate

    gate = Gate(plan())
    gate.times.update({str(i): i for i in range(module._TIMES_KEPT + 1)})
    gate.trim()
    assert not gate.times


def test_state_of_every_kind_of_fact_and_of_an_unknown_drug(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        '[drugs.foscarnet]\nnames = ["foscarnet sodium", "foscavir"]\n'
        '[analytes.urine-protein.grades]\n"5+" = "5000 mg/dL"\n'
    )
    wider = plan(site)
    events = [
        patient(),
        *foscarnet(2),
        lab("dipstick", "5+", D),
        lab("cmv", "not-detected", D),
        {**lab("potassium", 4, D), "status": "cancelled"},
        {
            "type": "lab",
            "event_id": "gone",
            "patient_id": "p1",
            "status": "entered-in-error",
            "recorded_at": "2026-01-02T00:00:00Z",
        },
        {
            "type": "administration",
            "event_id": "gone",
            "patient_id": "p1",
            "status": "entered-in-error",
            "recorded_at": "2026-01-02T00:00:00Z",
        },
    ]
    later = [
        patient(5 * D),
        action("aki/foscarnet/-/0", "acknowledge", 5 * D),
        dose("foscarnet", 1, 5 * D),
        lab("cd4", 9, 5 * D),
    ]
    p = run([*events, *later], 3 * D, wider)
    q = load(wider, "p1", dump(p)).patient
    assert dump(q)[26:] == dump(p)[26:]
    assert len(q.inbox) == 4
    # Knowledge that lacks the grade keeps the row for one that has it.
    narrow = load(plan(), "p1", dump(p)).patient
    assert len(narrow.lab_facts) == len(p.lab_facts) - 1
    assert len(load(wider, "p1", dump(narrow)).patient.lab_facts) == len(p.lab_facts)


def test_a_unit_or_drug_that_is_lost_keeps_its_facts(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        '[analytes.potassium.units]\n"furlong" = 2\n[doses.mass]\n"stone" = 6350293\n'
        '[drugs.placebo]\nnames = []\n[rules.nephrotoxic-combination.drugs.foscarnet]\nwith = ["placebo"]\n'
    )
    wider = plan(site)
    events = [
        patient(),
        *foscarnet(2),
        lab("potassium", 1, D, "furlong"),
        dose("foscarnet", 1, D + H, "stone"),
        dose("placebo", 1, D, route="iv"),
    ]
    p = run(events, None, wider)
    narrow = load(plan(), "p1", dump(p)).patient
    assert len(narrow.lab_facts) == len(p.lab_facts) - 1
    assert len(narrow.dose_facts) == len(p.dose_facts) - 2
    back = load(wider, "p1", dump(narrow)).patient
    assert (len(back.lab_facts), len(back.dose_facts)) == (len(p.lab_facts), len(p.dose_facts))


def test_decimals_of_knowledge_are_exact():
    assert plan().knowledge.renal.female_factor.value == Decimal("0.85")


@pytest.mark.parametrize("days", [3, 60])
def test_an_inducer_alert_ends_with_either_drug(days):
    events = [
        patient(),
        dose("maribavir", 400, ZERO),
        *(dose("phenytoin", 100, at, route="oral") for at in every(D, -D, days * D)),
    ]
    assert said(alerts(events, 70 * D), "maribavir-inducer-dose") == [("raised", "warning"), ("resolved", "warning")]


def test_an_acknowledged_dose_alert_stays_so_when_an_older_dose_arrives_late():
    events = [
        patient(),
        dose("letermovir", 480, H),
        dose("ciclosporin", 100, ZERO, route="oral"),
    ]
    (first,) = [one for one in alerts(events) if one.code == "letermovir-ciclosporin-dose"]
    acknowledged = action(first.alert_id, "acknowledge", 2 * H)
    late = dose("letermovir", 480, H + MINUTE, recorded_at=3 * H)
    changes = [one for one in alerts([*events, acknowledged, late]) if one.code == first.code]
    assert changes[-1].state == "acknowledged"


@pytest.mark.parametrize("drug", ["foscarnet", "valganciclovir"])
def test_a_dose_whose_size_cannot_be_told_is_in_no_band(drug):
    events = [
        patient(birth_date="1970-01-01", sex="female"),
        lab("creatinine", 1.0, -H),
        *(dose(drug, 1, at, "mg" if drug == "foscarnet" else "mg/kg") for at in every(12 * H, ZERO, 3 * D)),
    ]
    codes = {one.code for one in alerts(events)}
    assert "dose-above-renal-band" not in codes
    assert "dose-below-renal-band" not in codes


@pytest.mark.parametrize("status", ["final", "corrected"])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"code": None}, "code: missing"),
        ({"value": None}, "value: missing, and no result"),
        ({}, None),
    ],
)
def test_what_a_result_that_is_not_watched_needs(status, fields, reason):
    import json

    from monitor.events import Gate, Rejected, decoder

    event = {**lab("potassium", 4.0, D), "code": "8302-2", "status": status, **fields}
    event = {key: value for key, value in event.items() if value is not None}
    gate = Gate(plan())
    if status == "final" and reason is not None:
        with pytest.raises(Rejected, match=reason):
            gate.admit(decoder.decode(json.dumps(event)))
    else:
        gate.admit(decoder.decode(json.dumps(event)))


def test_an_acknowledged_neutropenia_that_falls_no_further_stays_acknowledged():
    events = [patient(), *(dose("ganciclovir", 350, at) for at in every(12 * H, ZERO, 6 * D)), lab("anc", 0.7, 3 * D)]
    (first,) = [one for one in alerts(events) if one.code == "neutropenia"]
    acknowledged = action(first.alert_id, "acknowledge", 3 * D + H)
    for value, state in ((0.6, "acknowledged"), (0.4, "open")):
        changes = alerts([*events, acknowledged, lab("anc", value, 4 * D)])
        assert [one.state for one in changes if one.code == "neutropenia"][-1] == state


def test_turn_by_turn_is_told_by_the_pair_that_is_so():
    both = [dose("ganciclovir", 350, at, indication="treatment") for at in (ZERO, 12 * H, 48 * H)]
    oral = [dose("valganciclovir", 900, at, indication="treatment") for at in (-30 * D, 12 * H, 48 * H)]
    other = [dose("maribavir", 400, at, indication="treatment") for at in (30 * H, 48 * H)]
    changes = [one for one in alerts([patient(), *both, *oral, *other]) if one.code == "maribavir-ganciclovir"]
    assert changes[0].title == "Ganciclovir and maribavir given in alternation"


def test_a_drug_without_a_dosing_table_is_taken_for_induction():
    bare = without("drugs", "ganciclovir", "renal")
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(D, ZERO, 40 * D)]
    p = run([patient(), lab("creatinine", 0.9, ZERO), *doses], knowledge=bare)
    (given,) = p.given.values()
    assert {state.phase for state in given.s} == {INDUCTION}
