"""Fine points of several rules that only a mutant of the code had shown to be untested (docs/deep.md)."""

import pytest

from tests.monitor.case import US, ZERO, D, H, alerts, dose, every, lab, patient, run, severity

FIRST = 10 * D
WHO = [patient(), lab("weight", 70, ZERO)]


def treated(days, **more):
    labs = [lab("creatinine", 0.9, at) for at in every(5 * D, ZERO, days * D)]
    doses = [dose("ganciclovir", 350, at, indication="treatment", **more) for at in every(12 * H, ZERO, days * D)]
    return [*WHO, *labs, *doses]


def load(value, day, **more):
    return lab("cmv", value, day * D, **more)


# 140 - 50 years, 70 kg: 87.5 mL/min at 1.0 mg/dL.
@pytest.mark.parametrize(("gap", "expected"), [(40 * H, "warning"), (40 * H + US, None)])
def test_of_a_row_for_every_48_h_two_doses_within_40_h_are_too_many(gap, expected):
    labs = [lab("creatinine", 6.25, at) for at in (9 * D, 12 * D)]
    doses = [dose("valganciclovir", 450, FIRST + at, indication="treatment") for at in (ZERO, gap)]
    assert severity([*WHO, *labs, *doses], "dose-above-renal-band") == expected


@pytest.mark.parametrize(("per_kg", "expected"), [(900 / 70, "critical"), (450 / 70, None)])
def test_a_dose_by_weight_of_a_drug_dosed_by_mass_is_that_mass(per_kg, expected):
    doses = [dose("valganciclovir", per_kg, at, "mg/kg", indication="treatment") for at in every(12 * H, FIRST, 12 * D)]
    events = [*WHO, lab("creatinine", 2.0, 9 * D), *doses]
    assert severity(events, "dose-above-renal-band") == expected


def test_an_injury_that_a_drug_mimics_stays_until_the_baseline_is_near():
    mimic = dose("trimethoprim", 160, FIRST, route="oral")
    results = [lab("creatinine", value, at) for value, at in ((1.0, ZERO), (1.0, 10 * D), (1.3, 11 * D))]
    events = [patient(), *results, dose("foscarnet", 350, FIRST), mimic]
    assert severity(events, "aki") == "info"
    # No stage any more: 0.05 above the lowest of 48 h, and 1.35 times the baseline.
    assert severity([*events, lab("creatinine", 1.35, 14 * D)], "aki") == "info"
    assert severity([*events, lab("creatinine", 1.25, 14 * D)], "aki") is None


def test_a_creatinine_known_late_makes_a_reduction_due_at_a_dose_already_given():
    events = [*WHO, lab("creatinine", 1.0, ZERO), *(dose("cidofovir", 350, at) for at in (FIRST, FIRST + 7 * D))]
    late = lab("creatinine", 1.3, FIRST + 6 * D, recorded_at=FIRST + 7 * D + 2 * H)
    assert severity(events, "cidofovir-dose") is None
    assert severity([*events, late], "cidofovir-dose") == "warning"


def test_a_clearance_that_cannot_be_known_is_said_of_cidofovir():
    p = run([patient(), lab("creatinine", 1.0, 9 * D), dose("cidofovir", 5, FIRST, "mg/kg")])
    assert ("cidofovir-contraindicated", "clearance: no body weight within 90 d") in p.unjudged()


@pytest.mark.parametrize(("last", "noted"), [(load(500, 20), True), (load(35, 20, comparator="<"), False)])
def test_the_want_of_a_peak_is_said_of_a_number_alone(last, noted):
    p = run([*treated(25), last])
    assert any("no load of the series from day -3 to 7" in reason for _, reason in p.unjudged()) == noted


def test_the_want_of_a_peak_is_said_on_therapy_alone():
    p = run([*treated(25), load(500, 60)])
    assert not any("no load of the series from day -3 to 7" in reason for _, reason in p.unjudged())


def test_a_rebound_after_clearance_shows_both_loads():
    clear = [load(90_000, 0), load(35, 16, comparator="<"), load(35, 23, comparator="<")]
    changes = alerts([*treated(40), *clear, load(60, 30), load(70, 33)], 34 * D)
    (raised,) = [one for one in changes if one.code == "viral-rebound"]
    assert {one.text.split()[2] for one in raised.evidence} >= {"60", "70"}


def test_before_the_first_dose_a_creatinine_that_is_no_number_is_passed_over():
    base = [lab("creatinine", 1.0, ZERO), lab("creatinine", 1.6, 7 * D), lab("creatinine", 5, 9 * D, comparator="<")]
    doses = [dose("foscarnet", 350, FIRST + i * D) for i in range(9)]
    later = [lab("creatinine", 1.2, FIRST + 12 * H), lab("creatinine", 1.55, FIRST + 8 * D)]
    # 1.55 times the baseline, but no more than the last number before the first dose.
    assert severity([patient(), *base, *doses, *later], "aki") is None
    without = [one for one in base if one.get("value") != 1.6]
    assert severity([patient(), *without, *doses, *later], "aki") == "warning"


def test_doses_known_late_make_the_step_down_due_at_a_load_already_read():
    on_time = [
        *WHO,
        *(lab("creatinine", 0.9, at) for at in every(5 * D, ZERO, 25 * D)),
        *(dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, 8 * D, 23 * D)),
        load(5000, 1),
        load(35, 20, comparator="<"),
        load(35, 22, comparator="<"),
    ]
    late = [
        dose("ganciclovir", 350, at, indication="treatment", recorded_at=23 * D) for at in every(12 * H, ZERO, 8 * D)
    ]
    assert severity(on_time, "step-down-due", 23 * D) is None
    assert severity([*on_time, *late], "step-down-due", 23 * D) == "info"


def test_of_doses_turn_by_turn_none_is_named_that_came_later():
    # The last of the three is charted after a dose of a third drug.
    late = dose("maribavir", 400, 24 * H + US, recorded_at=3 * D)
    doses = [dose("maribavir", 400, ZERO), dose("valganciclovir", 900, 12 * H), dose("ganciclovir", 350, 2 * D), late]
    changes = alerts([*WHO, *doses])
    first = next(one for one in changes if one.code == "maribavir-ganciclovir")
    assert first.title == "Maribavir and valganciclovir given in alternation"
    assert len(first.evidence) == 3


def test_stop_criteria_once_met_stand_until_the_course_ends_whatever_comes_between_its_doses():
    clear = [load(5000, 1), load(35, 8, comparator="<"), load(35, 15, comparator="<")]
    counts = [lab("lymphocytes", value, day * D) for value, day in ((0.8, 14), (0.9, 22))]
    # The last dose was 2 d ago: the drug is not current any more, but its course has not ended.
    assert severity([*treated(20), *clear, *counts], "stop-criteria-met", 22 * D) == "info"
    # Nor are they met anew in that time.
    unmet = [lab("lymphocytes", 0.4, 14 * D), counts[1]]
    assert severity([*treated(20), *clear, *unmet], "stop-criteria-met", 22 * D) is None


def test_a_load_before_the_first_course_of_a_joined_therapy_asks_for_loads_in_its_second():
    second = [dose("foscarnet", 6300, at, indication="treatment") for at in every(12 * H, 41 * D, 60 * D)]
    joined = [*treated(40), load(5000, 0), *(load(35, day, comparator="<") for day in range(7, 43, 7)), *second]
    # The last of the loads is of day 42.
    (raised,) = [one for one in alerts(joined, 51 * D) if one.code == "overdue-viral-load" and one.drug == "foscarnet"]
    assert raised.status == "raised"
    # 30 d before foscarnet alone there was none.
    apart = [one for one in joined if one.get("drug") != "ganciclovir"]
    assert severity(apart, "overdue-viral-load", 51 * D) is None


@pytest.mark.parametrize(
    ("who", "loads", "why"),
    [
        ({"transplant": "hct-allogeneic"}, [load(150, 20), load(160, 27)], "the second in succession at or above 150"),
        (
            {"transplant": "solid-organ", "donor_cmv": "positive", "recipient_cmv": "negative"},
            [load(40, 20)],
            "quantifiable, donor positive and recipient negative",
        ),
    ],
)
def test_why_a_load_below_1000_asks_for_preemptive_treatment_is_said(who, loads, why):
    events = [patient(transplant_at="2026-01-01T00:00:00Z", **who), *loads]
    (raised,) = [one for one in alerts(events) if one.code == "preemptive-treatment-indicated"]
    assert f"{loads[-1]['value']} IU/mL collected" in raised.detail
    assert f"UTC: {why}" in raised.detail


def test_a_baseline_between_two_results_is_said_with_two_decimals():
    base = [lab("creatinine", 0.7, ZERO), lab("creatinine", 0.753, D)]
    events = [*WHO, *base, dose("cidofovir", 350, FIRST), lab("creatinine", 1.1, FIRST + D)]
    (raised,) = [one for one in alerts(events) if one.code == "cidofovir-reduce-dose"]
    assert "0.37 mg/dL above the baseline 0.73 mg/dL" in raised.detail


def test_a_baseline_of_the_first_days_of_treatment_says_so():
    later = [lab("creatinine", value, FIRST + at) for value, at in ((1.0, 12 * H), (1.6, 5 * D))]
    doses = [dose("foscarnet", 350, FIRST + i * D) for i in range(6)]
    (raised,) = [one for one in alerts([*WHO, *later, *doses], FIRST + 5 * D + H) if one.code == "aki"]
    assert "1.6 x baseline 1 mg/dL (first result of the course's first 48 h; stages from" in raised.detail


def test_a_suspect_sample_ends_two_weeks_after_the_last_antiviral_and_says_so():
    labs = [lab("potassium", 8, FIRST + D), lab("calcium", 5, FIRST + D)]
    changes = alerts([patient(), dose("foscarnet", 90, FIRST, "mg/kg"), *labs], FIRST + 15 * D)
    (ended,) = [one for one in changes if one.code == "suspect-sample" and one.status == "resolved"]
    assert ended.reason == "no watched antiviral for 14 d"


def test_a_weight_known_late_judges_the_dose_that_is_there_already():
    who = [patient(), lab("creatinine", 4.0, 9 * D)]
    events = [
        *who,
        dose("valganciclovir", 900, FIRST, indication="treatment"),
        dose("valganciclovir", 900, FIRST + 12 * H),
    ]
    assert severity(events, "dose-above-renal-band", FIRST + D) is None
    late = lab("weight", 70, 9 * D, recorded_at=FIRST + 14 * H)
    changes = alerts([*events, late], FIRST + D)
    (raised,) = [one for one in changes if one.code == "dose-above-renal-band"]
    assert raised.emitted_at == "2026-01-11T14:00:00Z"
