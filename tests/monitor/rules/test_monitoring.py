"""Overdue tests, baseline tests, surveillance and levels: both sides of every gap, and what ends them."""

import pytest

from monitor.evaluation import evaluate
from monitor.times import parse_time
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

ELECTROLYTES = ("calcium", "magnesium", "potassium", "phosphate")
NORMAL = {
    "creatinine": 0.8,
    "calcium": 9.2,
    "magnesium": 2.0,
    "potassium": 4.2,
    "phosphate": 3.2,
    "anc": 4.0,
    "platelets": 200,
}


def results_at(at, *names):
    return [lab(name, NORMAL.get(name, 1.0), at) for name in names or NORMAL]


def course(drug, amount, gap, days, **more):
    return [patient(), *(dose(drug, amount, at, **more) for at in every(gap, ZERO, days * D))]


FOSCARNET = ("foscarnet", 4200, 12 * H)
MAINTENANCE = ("foscarnet", 4200, 24 * H)
GANCICLOVIR = ("ganciclovir", 350, 12 * H)
TREATMENT = ("valganciclovir", 900, 12 * H)
PROPHYLAXIS = ("valganciclovir", 900, 24 * H)

GAPS = [
    ("overdue-renal", FOSCARNET, "foscarnet", 96 * H, {}),
    ("overdue-renal", MAINTENANCE, "foscarnet", 14 * D, {"indication": "maintenance"}),
    ("overdue-renal", GANCICLOVIR, "ganciclovir", 8 * D, {"indication": "treatment"}),
    ("overdue-renal", TREATMENT, "valganciclovir", 8 * D, {"indication": "treatment"}),
    ("overdue-renal", PROPHYLAXIS, "valganciclovir", 15 * D, {"indication": "prophylaxis"}),
    ("overdue-electrolytes", FOSCARNET, "foscarnet", 96 * H, {}),
    ("overdue-electrolytes", MAINTENANCE, "foscarnet", 14 * D, {"indication": "maintenance"}),
    ("overdue-blood-count", GANCICLOVIR, "ganciclovir", 84 * H, {"indication": "treatment"}),
    ("overdue-blood-count", TREATMENT, "valganciclovir", 8 * D, {"indication": "treatment"}),
    ("overdue-blood-count", PROPHYLAXIS, "valganciclovir", 15 * D, {"indication": "prophylaxis"}),
    ("overdue-blood-count", MAINTENANCE, "foscarnet", 14 * D, {"indication": "maintenance"}),
]


@pytest.mark.parametrize(("code", "regimen", "drug", "gap", "more"), GAPS)
def test_due_at_the_gap_and_not_a_moment_before(code, regimen, drug, gap, more):
    drawn = 2 * H
    events = [*course(*regimen, 20, **more), *results_at(drawn)]
    assert severity(events, code, drawn + gap - US) is None
    assert severity(events, code, drawn + gap) == "warning"
    (first,) = [one for one in alerts(events, drawn + gap) if one.code == code]
    assert first.drug == drug
    assert first.emitted_at == first.onset_at


@pytest.mark.parametrize(("code", "regimen", "drug", "gap", "more"), GAPS)
def test_a_test_at_the_due_time_is_in_time_and_one_after_it_resolves(code, regimen, drug, gap, more):
    due = 2 * H + gap
    events = [*course(*regimen, 20, **more), *results_at(2 * H)]
    assert severity([*events, *results_at(due)], code, due + H) is None
    late = alerts([*events, *results_at(due + H)], due + 2 * H)
    assert said(late, code) == [("raised", "warning"), ("resolved", "warning")]


@pytest.mark.parametrize(("code", "regimen", "drug", "gap", "more"), GAPS)
def test_a_result_drawn_in_time_and_known_late_retracts_it(code, regimen, drug, gap, more):
    due = 2 * H + gap
    events = [*course(*regimen, 20, **more), *results_at(2 * H)]
    drawn = [{**one, "recorded_at": None} for one in results_at(due - H)]
    for one in drawn:
        one["recorded_at"] = lab("potassium", 4, due + 3 * H)["recorded_at"]
    assert said(alerts([*events, *drawn], due + 4 * H), code) == [("raised", "warning"), ("retracted", "warning")]


def test_without_any_test_the_first_dose_counts():
    events = course(*FOSCARNET, 8)
    assert severity(events, "overdue-renal", 96 * H - US) is None
    assert severity(events, "overdue-renal", 96 * H) == "warning"


@pytest.mark.parametrize(
    ("code", "regimen", "gap"),
    [
        ("overdue-renal", FOSCARNET, 96 * H),
        ("overdue-electrolytes", FOSCARNET, 96 * H),
        ("overdue-blood-count", GANCICLOVIR, 84 * H),
    ],
)
def test_critical_at_twice_the_gap_in_induction(code, regimen, gap):
    events = course(*regimen, 16, indication="treatment")
    assert severity(events, code, 2 * gap - US) == "warning"
    assert severity(events, code, 2 * gap) == "critical"


def test_never_critical_in_maintenance_or_on_tablets():
    assert severity(course(*MAINTENANCE, 40, indication="maintenance"), "overdue-renal", 40 * D) == "warning"
    assert severity(course(*TREATMENT, 40, indication="treatment"), "overdue-blood-count", 40 * D) == "warning"


STEPPED_DOWN = [
    patient(),
    *(lab("creatinine", 0.8, at * D) for at in (0, 7, 14)),
    *(dose("foscarnet", 90, at, "mg/kg") for at in every(12 * H, ZERO, 14 * D)),
]


@pytest.mark.parametrize(("early", "expected"), [(90 * MINUTE, None), (90 * MINUTE + US, "warning")])
def test_a_step_down_bears_doses_up_to_90_min_off(early, expected):
    times = (15 * D, 16 * D + 90 * MINUTE, 17 * D, 18 * D - early)
    events = [*STEPPED_DOWN, *(dose("foscarnet", 120, at, "mg/kg") for at in times)]
    assert severity(events, "overdue-renal", 18 * D) == expected


@pytest.mark.parametrize(("size", "expected"), [(132, None), (132.01, "warning")])
def test_a_step_down_bears_a_tenth_above_the_largest_maintenance_column(size, expected):
    later = [dose("foscarnet", size, at, "mg/kg") for at in every(D, 15 * D, 18 * D)]
    assert severity([*STEPPED_DOWN, *later], "overdue-renal", 18 * D) == expected


@pytest.mark.parametrize(("size", "gap", "expected"), [(120, D, None), (60, 12 * H, "warning")])
def test_a_day_s_maintenance_in_two_doses_is_still_induction(size, gap, expected):
    later = [dose("foscarnet", size, at, "mg/kg") for at in every(gap, 15 * D, 18 * D)]
    assert severity([*STEPPED_DOWN, *later], "overdue-renal", 18 * D) == expected


def test_where_the_phase_is_not_known_an_overdue_test_says_so():
    once_daily = [dose("foscarnet", 120, at, "mg/kg") for at in every(D, 15 * D, 22 * D)]
    change = [one for one in alerts([*STEPPED_DOWN, *once_daily], 22 * D) if one.code == "overdue-renal"][-1]
    assert (
        "Foscarnet induction (or maintenance, not known at the last dose: no recent creatinine), cou" in change.detail
    )
    twice_daily = [dose("foscarnet", 90, at, "mg/kg") for at in every(12 * H, 14 * D + 12 * H, 18 * D)]
    change = [one for one in alerts([*STEPPED_DOWN, *twice_daily], 18 * D) if one.code == "overdue-renal"][-1]
    assert "Foscarnet induction, course since" in change.detail


@pytest.mark.parametrize(("anc", "gap"), [(0.99, 30 * H), (1.0, 84 * H)])
def test_low_baseline_neutrophils_shorten_the_gap_on_ganciclovir(anc, gap):
    events = [
        *course(*GANCICLOVIR, 10, indication="treatment"),
        lab("anc", anc, ZERO),
        lab("platelets", 200, ZERO),
    ]
    assert severity(events, "overdue-blood-count", gap - US) is None
    assert severity(events, "overdue-blood-count", gap) == "warning"
    (change,) = [one for one in alerts(events, gap) if one.code == "overdue-blood-count"]
    assert ("as the course began with neutrophils" in change.detail) == (anc < 1)


def test_after_14_days_of_ganciclovir_counts_every_8_days():
    events = [*course(*GANCICLOVIR, 30, indication="treatment")]
    for day in range(0, 15, 3):
        events += results_at(day * D, "anc", "platelets")
    assert severity(events, "overdue-blood-count", 20 * D - US) is None
    assert severity(events, "overdue-blood-count", 20 * D) == "warning"


def test_prophylaxis_after_90_days_every_32_days():
    events = course(*PROPHYLAXIS, 140, indication="prophylaxis")
    for day in range(0, 91, 10):
        events += results_at(day * D, "creatinine")
    assert severity(events, "overdue-renal", 122 * D - US) is None
    assert severity(events, "overdue-renal", 122 * D) == "warning"


def test_the_oldest_of_the_electrolytes_decides():
    events = [*course(*FOSCARNET, 10), *results_at(ZERO), *results_at(3 * D, "calcium", "magnesium", "potassium")]
    assert severity(events, "overdue-electrolytes", 96 * H) == "warning"
    events += [lab("ionized", 1.2, 3 * D), *results_at(3 * D, "phosphate")]
    assert severity(events, "overdue-electrolytes", 96 * H) is None


def test_a_cancelled_or_implausible_result_is_no_monitoring():
    cancelled = {**lab("creatinine", 0.8, 3 * D), "status": "cancelled"}
    odd = lab("creatinine", 26, 3 * D)
    for one in (cancelled, odd):
        assert severity([*course(*FOSCARNET, 8), one], "overdue-renal", 96 * H) == "warning"


def test_it_ends_when_the_drug_is_no_longer_current():
    events = [patient(), *(dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, 4 * D))]
    last = 4 * D
    assert severity(events, "overdue-renal", last + 36 * H) == "warning"
    assert severity(events, "overdue-renal", last + 36 * H + US) is None


# Baseline tests ------------------------------------------------------------------------------------------------------

BASELINE = [
    ("foscarnet", 4200, ("creatinine", *ELECTROLYTES)),
    ("ganciclovir", 350, ("creatinine", "anc", "platelets")),
    ("valganciclovir", 900, ("creatinine", "anc", "platelets")),
    ("cidofovir", 350, ("creatinine",)),
]


@pytest.mark.parametrize(("drug", "amount", "names"), BASELINE)
def test_baseline_labs_by_24_hours(drug, amount, names):
    code = "baseline-labs-missing"
    events = [patient(), *(dose(drug, amount, at) for at in every(12 * H, ZERO, 3 * D))]
    assert severity(events, code, 24 * H - US) is None
    assert severity(events, code, 24 * H) == "warning"
    for at in (-7 * D, -H, 24 * H):
        assert severity([*events, *results_at(at, *names)], code, 30 * H) is None
    assert severity([*events, *results_at(-7 * D - US, *names)], code, 30 * H) == "warning"
    for missing in names:
        others = [name for name in names if name != missing] or ["weight"]
        assert severity([*events, *results_at(-H, *others)], code, 30 * H) == "warning"
    drawn = [*events, *results_at(30 * H, *names)]
    assert said(alerts(drawn, 31 * H), code) == [("raised", "warning"), ("resolved", "warning")]


# Viral load ----------------------------------------------------------------------------------------------------------


def test_viral_load_in_treatment_of_cmv_only():
    events = [*course(*TREATMENT, 20, indication="treatment")]
    assert severity(events, "overdue-viral-load", 20 * D) is None
    with_virus = [*events, lab("cmv", 5000, -D)]
    assert severity(with_virus, "overdue-viral-load", 8 * D - US) is None
    assert severity(with_virus, "overdue-viral-load", 8 * D) == "warning"
    assert severity([*events, lab("cmv", 5000, -30 * D)], "overdue-viral-load", 8 * D) == "warning"
    assert severity([*events, lab("cmv", 5000, -30 * D - US)], "overdue-viral-load", 8 * D) is None
    again = [*with_virus, lab("cmv", "not-detected", 7 * D)]
    assert severity(again, "overdue-viral-load", 15 * D - US) is None
    assert severity(again, "overdue-viral-load", 15 * D) == "warning"


def test_viral_load_on_letermovir_needs_no_virus():
    events = course("letermovir", 480, 24 * H, 12)
    assert severity(events, "overdue-viral-load", 8 * D - US) is None
    assert severity(events, "overdue-viral-load", 8 * D) == "warning"


def test_viral_load_for_8_weeks_after_therapy_of_a_transplant_patient():
    treated = [dose("valganciclovir", 900, at, indication="treatment") for at in every(12 * H, ZERO, 20 * D)]
    who = {"transplant": "solid-organ", "transplant_at": "2025-12-01T00:00:00Z"}
    loads = [lab("cmv", 5000, -D), lab("cmv", 2000, 7 * D), lab("cmv", 500, 14 * D), lab("cmv", "not-detected", 20 * D)]
    events = [patient(**who), *treated, *loads]
    due = 28 * D
    assert severity(events, "overdue-viral-load", due - US) is None
    assert severity(events, "overdue-viral-load", due) == "info"
    assert severity(events, "overdue-viral-load", 76 * D) == "info"
    assert severity(events, "overdue-viral-load", 76 * D + US) is None
    assert severity([patient(), *treated, *loads], "overdue-viral-load", due) is None


def test_after_therapy_waits_for_the_clock_where_a_dose_of_prophylaxis_runs_ahead_of_it():
    treated = course("ganciclovir", 350, 24 * H, 20, indication="treatment")
    ahead = dose("ganciclovir", 350, 20 * D + H, indication="prophylaxis", recorded_at=20 * D + H / 2)
    who = patient(transplant="solid-organ", transplant_at="2025-12-01T00:00:00Z")
    events = [who, *treated, lab("cmv", 5000, -D), lab("cmv", 2000, 7 * D), ahead]
    assert ("info", None) not in [(one.severity, one.drug) for one in overdue_loads(events, 20 * D + H - US)]
    assert ("info", None) in [(one.severity, one.drug) for one in overdue_loads(events, 20 * D + H)]


def overdue_loads(events, until):
    return [one for one in alerts(events, until) if one.code == "overdue-viral-load" and one.status == "raised"]


# Surveillance --------------------------------------------------------------------------------------------------------


def grafted(kind="hct-allogeneic", **more):
    return patient(transplant=kind, transplant_at="2026-01-01T00:00:00Z", recipient_cmv="positive", **more)


def surveilled(*more, days=120, last=12 * D):
    seen = [lab("potassium", 4.0, at) for at in every(5 * D, ZERO, days * D)]
    return [grafted(), lab("cmv", "not-detected", last), *seen, *more]


def test_surveillance_after_10_days_from_day_14_to_100():
    code = "overdue-surveillance"
    assert severity(surveilled(), code, 22 * D - US) is None
    assert severity(surveilled(), code, 22 * D) == "warning"
    early = surveilled(last=ZERO)
    assert severity(early, code, 14 * D - US) is None
    assert severity(early, code, 14 * D) == "warning"
    assert severity(surveilled(), code, 100 * D) == "warning"
    assert severity(surveilled(), code, 100 * D + US) is None


def test_surveillance_ends_with_a_test_or_a_course_and_needs_a_seropositive_pair():
    code = "overdue-surveillance"
    assert severity(surveilled(lab("cmv", "not-detected", 25 * D)), code, 26 * D) is None
    assert severity(surveilled(dose("letermovir", 480, 25 * D)), code, 26 * D) is None
    negative = [{**surveilled()[0], "recipient_cmv": "negative", "donor_cmv": "negative"}, *surveilled()[1:]]
    assert severity(negative, code, 26 * D) is None
    donor = [{**surveilled()[0], "recipient_cmv": "negative", "donor_cmv": "positive"}, *surveilled()[1:]]
    assert severity(donor, code, 26 * D) == "warning"
    other = [grafted("hct-autologous"), *surveilled()[1:]]
    assert severity(other, code, 26 * D) is None
    assert severity([one for one in surveilled() if one.get("code") != "72493-0"], code, 26 * D) is None


def test_surveillance_waits_for_a_sign_of_the_patient_of_the_last_14_days():
    code = "overdue-surveillance"
    # The course of cidofovir is over 21 d after its dose; what was cancelled or not given since is no sign.
    none = [lab("potassium", 4.0, 20 * D, status="cancelled"), dose("foscarnet", 6300, 20 * D, status="not-done")]
    events = [grafted(), lab("cmv", "not-detected", ZERO), dose("cidofovir", 350, D), *none]
    assert severity(events, code, 23 * D) is None
    assert severity([*events, lab("potassium", 4.0, 8 * D)], code, 22 * D + US) is None
    assert severity([*events, lab("potassium", 4.0, 8 * D + US)], code, 22 * D + US) == "warning"
    assert severity([*events, lab("potassium", 4.0, 23 * D)], code, 23 * D) == "warning"


# Levels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drug", ["letermovir", "maribavir"])
@pytest.mark.parametrize("partner", ["tacrolimus", "ciclosporin", "sirolimus", "everolimus"])
def test_a_level_within_7_days_of_starting(drug, partner):
    code = "overdue-immunosuppressant-level"
    events = [
        patient(),
        *(dose(drug, 400, at) for at in every(12 * H, ZERO, 10 * D)),
        *(dose(partner, 2, at, route="oral") for at in every(12 * H, -3 * D, 10 * D)),
    ]
    assert severity(events, code, 7 * D - US) is None
    assert severity(events, code, 7 * D) == "warning"
    codes = {"tacrolimus": "11253-2", "ciclosporin": "3520-4", "sirolimus": "29247-4", "everolimus": "50544-6"}
    level = {**lab("creatinine", 8, 3 * D), "code": codes[partner], "unit": "ng/mL"}
    assert severity([*events, level], code, 8 * D) is None
    late = {**lab("creatinine", 8, 8 * D), "code": codes[partner], "unit": "ng/mL"}
    assert said(alerts([*events, late], 9 * D), code) == [("raised", "warning"), ("resolved", "warning")]


def test_a_level_after_stopping_and_none_where_the_partner_was_given_long_before():
    code = "overdue-immunosuppressant-level"
    started = [dose("letermovir", 480, at) for at in every(24 * H, ZERO, 20 * D)]
    level = {**lab("creatinine", 8, 3 * D), "code": "11253-2", "unit": "ng/mL"}
    partner = [dose("tacrolimus", 2, at, route="oral") for at in every(12 * H, -D, 40 * D)]
    events = [patient(), *started, level, *partner]
    assert severity(events, code, 27 * D - US) is None
    assert severity(events, code, 27 * D) == "warning"
    long_before = [patient(), *started, dose("tacrolimus", 2, -72 * H - MINUTE, route="oral")]
    assert severity(long_before, code, 10 * D) is None
    just = [patient(), *started, dose("tacrolimus", 2, -72 * H, route="oral")]
    assert severity(just, code, 10 * D) == "warning"


def test_missing_data_never_switches_an_overdue_rule_off():
    events = [dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, 20 * D)]
    assert severity(events, "overdue-renal", 96 * H) == "warning"
    assert severity(events, "overdue-renal", 8 * D) == "critical"


# What is said -------------------------------------------------------------------------------------------------------


def last_of(events, until, code, drug=None):
    return [one for one in alerts(events, until) if one.code == code and drug in (None, one.drug)][-1]


def test_an_overdue_test_says_since_when_and_from_when_on_it_is_critical():
    events = [*course(*FOSCARNET, 20), lab("creatinine", 0.8, ZERO)]
    assert "at most 4 d between tests, critical from 8 d. Due since 2026-01-05 00:00 UTC; no" in (
        last_of(events, 4 * D, "overdue-renal").detail
    )
    assert "Due since 2026-01-05 00:00 UTC, 4 d overdue; no" in last_of(events, 8 * D, "overdue-renal").detail
    tablets = [*course(*TREATMENT, 20, indication="treatment"), lab("creatinine", 0.8, ZERO)]
    assert "at most 8 d between tests. Due" in last_of(tablets, 8 * D, "overdue-renal").detail


def test_an_overdue_test_is_due_since_its_gap_not_since_the_dose_after_a_pause():
    doses = [dose("foscarnet", 4200, at) for at in (*every(12 * H, ZERO, 2 * D), 5 * D)]
    found = last_of([patient(), *doses, lab("creatinine", 0.8, ZERO)], 5 * D, "overdue-renal")
    assert found.onset_at == "2026-01-06T00:00:00Z"
    assert "Due since 2026-01-05 00:00 UTC, 24 h overdue" in found.detail


def test_surveillance_levels_and_loads_after_therapy_say_since_when_they_are_due():
    assert last_of(surveilled(), 22 * D, "overdue-surveillance").detail.endswith("Due since 2026-01-23 00:00 UTC.")
    letermovir = [dose("letermovir", 480, ZERO), dose("tacrolimus", 2, -H, route="oral")]
    level = last_of([patient(), *letermovir], 7 * D, "overdue-immunosuppressant-level")
    assert level.detail.endswith("Due since 2026-01-08 00:00 UTC.")
    assert {one.event_id for one in level.evidence} == {one["event_id"] for one in letermovir}
    treated = course("foscarnet", 4200, 12 * H, 2)
    after = last_of([grafted("solid-organ"), lab("cmv", 5000, ZERO), *treated], 9 * D, "overdue-viral-load")
    assert after.detail.endswith("Due since 2026-01-09 00:00 UTC.")


def test_where_no_result_is_on_file_the_first_dose_is_the_evidence():
    events = course(*FOSCARNET, 5)
    for code, until in (("overdue-renal", 4 * D), ("overdue-electrolytes", 4 * D), ("baseline-labs-missing", D)):
        assert [one.event_id for one in last_of(events, until, code).evidence] == [events[1]["event_id"]]
    some = [*events, old := lab("potassium", 4.0, -8 * D)]
    for code, until in (("overdue-electrolytes", 4 * D), ("baseline-labs-missing", D)):
        found = {one.event_id for one in last_of(some, until, code).evidence}
        assert found == {events[1]["event_id"], old["event_id"]}


def test_what_ended_it_is_said_in_its_own_words():
    assert last_of(course(*FOSCARNET, 4), 8 * D, "overdue-renal").reason == "foscarnet is no longer current"
    assert last_of(surveilled(), 101 * D, "overdue-surveillance").reason == (
        "an antiviral course began, or 100 d have passed since the transplant"
    )


def test_a_level_that_never_came_is_given_up_and_one_that_came_is_not():
    code = "overdue-immunosuppressant-level"
    letermovir = [dose("letermovir", 480, at) for at in every(24 * H, ZERO, 40 * D)]
    events = [patient(), *letermovir, dose("tacrolimus", 2, -H, route="oral")]
    assert severity(events, code, 30 * D) == "warning"
    assert last_of(events, 30 * D + US, code).reason == "given up: no level was collected for 30 d"
    level = {**lab("creatinine", 8, 20 * D), "code": "11253-2", "unit": "ng/mL"}
    assert last_of([*events, level], 21 * D, code).reason.startswith("the condition no longer holds")


# Promises -----------------------------------------------------------------------------------------------------------

REASON = "Will monitor it weekly"
QUOTED = f'was overridden by pharmacist on 2026-01-02 01:00 UTC: "{REASON}"'
LOADS = [grafted("solid-organ"), lab("cmv", 5000, ZERO), *course("foscarnet", 4200, 12 * H, 2)[1:]]
PROMISED = [
    (
        "letermovir-ciclosporin-dose",
        "overdue-immunosuppressant-level",
        9 * D,
        None,
        [patient(), *(dose("letermovir", 480, at) for at in every(24 * H, D, 9 * D)), dose("ciclosporin", 100, ZERO)],
    ),
    ("interaction", "overdue-electrolytes", 5 * D, "foscarnet", [*course(*FOSCARNET, 6), dose("ondansetron", 8, D)]),
    ("preemptive-treatment-indicated", "overdue-surveillance", 22 * D, None, [*surveilled(), lab("cmv", 2000, D)]),
    (
        "preemptive-treatment-indicated",
        "overdue-viral-load",
        9 * D,
        None,
        [grafted("solid-organ"), lab("cmv", 2000, ZERO), *course("foscarnet", 4200, 12 * H, 2)[3:]],
    ),
    (
        "maribavir-inducer-dose",
        "overdue-viral-load",
        9 * D,
        "maribavir",
        [
            patient(),
            lab("cmv", 2000, D),
            dose("phenytoin", 300, ZERO),
            *(dose("maribavir", 400, at) for at in every(12 * H, D, 10 * D)),
        ],
    ),
]


@pytest.mark.parametrize(("code", "test", "until", "drug", "events"), PROMISED)
def test_an_override_that_promised_to_monitor_is_quoted_where_the_test_is_overdue(code, test, until, drug, events):
    (first, *_) = [one for one in alerts(events, D) if one.code == code]
    promised = [*events, action(first.alert_id, "override", D + H, reason=REASON)]
    assert f"{plan().rule_data[code].title} {QUOTED}" in last_of(promised, until, test, drug).detail
    assert REASON not in last_of(events, until, test, drug).detail


# Serology that is not known ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serology", "listed"),
    [
        ({}, True),
        ({"recipient_cmv": "negative"}, True),
        ({"donor_cmv": "negative"}, True),
        ({"donor_cmv": "negative", "recipient_cmv": "negative"}, False),
        ({"donor_cmv": "positive"}, False),
        ({"recipient_cmv": "positive"}, False),
    ],
)
def test_surveillance_that_unknown_serology_leaves_open_is_listed(serology, listed):
    code = "overdue-surveillance"
    who = patient(transplant="hct-allogeneic", transplant_at="2026-01-01T00:00:00Z", **serology)
    events = [who, *surveilled()[1:]]
    reason = (code, "CMV serology of donor or recipient unknown")
    assert reason not in run(events, 22 * D - US).unjudged()
    assert (reason in run(events, 22 * D).unjudged()) == listed
    assert (severity(events, code, 22 * D) == "warning") == ("positive" in serology.values())
    assert reason not in run([*events, lab("cmv", "not-detected", 21 * D)], 22 * D).unjudged()


# Ahead of the clock --------------------------------------------------------------------------------------------------

SOON = 30 * MINUTE
AHEAD = [
    (
        "baseline-labs-missing",
        24 * H,
        [dose("ganciclovir", 350, ZERO), dose("ganciclovir", 350, D, recorded_at=D - SOON)],
    ),
    ("overdue-surveillance", 22 * D, [*surveilled(), lab("potassium", 4.0, 22 * D, recorded_at=22 * D - SOON)]),
    (
        "overdue-immunosuppressant-level",
        7 * D,
        [
            *(dose("letermovir", 480, at) for at in every(D, ZERO, 6 * D)),
            dose("letermovir", 480, 7 * D, recorded_at=7 * D - SOON),
            dose("tacrolimus", 2, ZERO),
        ],
    ),
    (
        "overdue-viral-load",
        8 * D,
        [
            grafted("solid-organ"),
            lab("cmv", 5000, ZERO),
            *(dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, 2 * D)),
            dose("letermovir", 480, 8 * D, recorded_at=8 * D - SOON),
        ],
    ),
    (
        "overdue-surveillance",
        23 * D + US,
        [
            *surveilled(days=19),
            dose("letermovir", 480, 20 * D),
            lab("potassium", 4.0, 23 * D + SOON, recorded_at=23 * D),
        ],
    ),
    (
        "overdue-viral-load",
        12 * D + US,
        [
            grafted("solid-organ"),
            lab("cmv", 5000, ZERO),
            *(dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, 8 * D)),
            dose("letermovir", 480, 12 * D + SOON, recorded_at=12 * D),
        ],
    ),
]


@pytest.mark.parametrize(("code", "due", "events"), AHEAD)
def test_what_only_time_brings_waits_for_the_clock_even_judged_from_the_start(code, due, events):
    p = run(events, due - US)
    evaluate(p, p.clock)
    rules = [
        fold
        for fold in p.folds.values()
        if fold.rule.code == code and fold.rule.drug in (None, "ganciclovir", "letermovir")
    ]
    assert rules
    assert not any(fold.episodes for fold in rules)
    raised = [one for one in alerts(events, due) if one.code == code and one.drug == rules[0].rule.drug]
    assert [clock(due)] == [parse_time(one.emitted_at) for one in raised]
