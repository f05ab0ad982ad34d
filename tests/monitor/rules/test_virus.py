"""Response of the virus and duration of therapy: both sides of every threshold, precedence, and what ends an alert."""

import re

import pytest

from tests.monitor.case import MINUTE, US, ZERO, D, H, alerts, dose, every, lab, patient, run, said, severity

REFRACTORY, PROBABLE, SLOW = "refractory-cmv", "probable-refractory-cmv", "slow-viral-response"
REBOUND, CLEAR, STOP, STEP = "viral-rebound", "viral-clearance", "stop-criteria-met", "step-down-due"
PREEMPTIVE, RELAPSE, BREAK = "preemptive-treatment-indicated", "relapse", "breakthrough-on-prophylaxis"


def treated(days=40, start=ZERO, drug="ganciclovir", amount=350, gap=12 * H):
    """A man of 70 kg with a normal clearance, on a full dose."""
    who = [patient(), lab("weight", 70, start - D), lab("creatinine", 0.9, start - D)]
    labs = [lab("creatinine", 0.9, at) for at in every(5 * D, start, start + days * D)]
    return [
        *who,
        *labs,
        *(dose(drug, amount, at, indication="treatment") for at in every(gap, start, start + days * D)),
    ]


def load(value, day, unit=None, **more):
    return lab("cmv", value, day * D, unit, **more)


def less(value, day):
    return load(value, day, comparator="<")


# Refractory, probable, slow ------------------------------------------------------------------------------------------

PEAK = [load(5000, 0), load(10000, 6)]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (100_001, REFRACTORY),
        (100_000, PROBABLE),
        (10_000, PROBABLE),
        (9_999, SLOW),
        (1_001, SLOW),
        (1_000, None),
        (999, None),
    ],
)
def test_what_a_load_after_two_weeks_says_against_the_peak_of_the_first(value, code):
    events = [*treated(), *PEAK, load(value, 15)]
    found = {one for one in (REFRACTORY, PROBABLE, SLOW) if severity(events, one, 15 * D + H)}
    assert found == ({code} if code else set())


@pytest.mark.parametrize(
    ("value", "code"), [(5.001, REFRACTORY), (5.0, PROBABLE), (4.0, PROBABLE), (3.99, SLOW), (3.0, None)]
)
def test_the_same_in_log10(value, code):
    unit = "{Log_IU}/mL"
    events = [*treated(), load(3.7, 0, unit), load(4.0, 6, unit), load(value, 15, unit)]
    found = {one for one in (REFRACTORY, PROBABLE, SLOW) if severity(events, one, 15 * D + H)}
    assert found == ({code} if code else set())


def more(value, day):
    return load(value, day, comparator=">")


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (100_001, REFRACTORY, "at most 1.00 log10 above"),
        (10_000, PROBABLE, "level with or below"),
        (9_999, SLOW, "at least 0.00 log10 below"),
        (1_001, SLOW, "at least 1.00 log10 below"),
        (1_000, None, None),
    ],
)
def test_a_peak_above_what_can_be_counted_counts_as_what_it_is_above(value, code, text):
    changes = alerts([*treated(), load(5000, 0), more(10_000, 6), load(value, 15)], 15 * D + H)
    found = [one for one in changes if one.code in (REFRACTORY, PROBABLE, SLOW)]
    assert [one.code for one in found] == ([code] if code else [])
    assert not code or f"{text} the peak of day -3 to 7, >10000 IU/mL" in found[0].detail


@pytest.mark.parametrize(("first", "code"), [(200_000, REFRACTORY), (20_000, PROBABLE), (5_000, SLOW)])
def test_a_load_of_more_than_x_is_no_fall(first, code):
    events = [*treated(), *PEAK, load(first, 15)]
    below = {REFRACTORY: 9_999, PROBABLE: 9_999, SLOW: 1_000}[code]
    assert severity([*events, more(below, 20)], code, 20 * D + H) is not None
    assert severity([*events, load(below, 20)], code, 20 * D + H) is None


@pytest.mark.parametrize(
    ("value", "code"), [(100_001, REFRACTORY), (100_000, PROBABLE), (10_000, PROBABLE), (9_999, SLOW), (1_000, None)]
)
def test_a_load_of_more_than_x_reaches_what_x_reaches(value, code):
    events = [*treated(), *PEAK, more(value, 15)]
    found = {one for one in (REFRACTORY, PROBABLE, SLOW) if severity(events, one, 15 * D + H)}
    assert found == ({code} if code else set())


def test_a_fall_ends_a_slow_response_where_a_load_of_more_than_x_had_not():
    events = [*treated(), *PEAK, load(5_000, 15), more(900, 20)]
    assert severity(events, SLOW, 21 * D) == "info"
    assert severity([*events, load(1_000, 22)], SLOW, 22 * D + H) is None


def test_a_load_of_more_than_x_is_no_nadir():
    pair = [load(4000, 20), load(4000, 25)]
    assert severity([*treated(), load(9000, 1), load(1000, 10), *pair], REBOUND, 25 * D + H) == "warning"
    assert severity([*treated(), load(9000, 1), more(1000, 10), *pair], REBOUND, 25 * D + H) is None


def test_severities():
    assert severity([*treated(), *PEAK, load(200_000, 15)], REFRACTORY, 16 * D) == "critical"
    assert severity([*treated(), *PEAK, load(20_000, 15)], PROBABLE, 16 * D) == "warning"
    assert severity([*treated(), *PEAK, load(5_000, 15)], SLOW, 16 * D) == "info"


def test_a_refractory_virus_on_full_doses_asks_for_no_correction_of_them():
    (change,) = [one for one in alerts([*treated(), *PEAK, load(200_000, 15)], 16 * D) if one.code == REFRACTORY]
    assert "Correct the dose first" not in change.recommendation
    assert "too few days" not in change.detail


def test_14_treatment_days_are_needed():
    # 13 whole days have passed at day 13 - 1 h: 13 treatment days.
    early = [*treated(), *PEAK, lab("cmv", 200_000, 13 * D - H)]
    assert severity(early, REFRACTORY, 14 * D) is None
    due = [*treated(), *PEAK, lab("cmv", 200_000, 13 * D)]
    assert severity(due, REFRACTORY, 14 * D) == "critical"


def test_the_peak_is_of_day_minus_3_to_7():
    for day, code in ((-3, PROBABLE), (7, PROBABLE)):
        assert severity([*treated(), load(50_000, day), load(60_000, 15)], code, 16 * D) == "warning"
    for at in (-3 * D - US, 7 * D + US):
        events = [*treated(), lab("cmv", 50_000, at), load(60_000, 15)]
        assert severity(events, PROBABLE, 16 * D) is None


def test_loads_are_compared_within_one_code_and_unit():
    blood = load(900_000, 15, code="100675-8")
    assert severity([*treated(), *PEAK, blood], REFRACTORY, 16 * D) is None
    copies = load(900_000, 15, "{copies}/mL")
    assert severity([*treated(), *PEAK, copies], REFRACTORY, 16 * D) is None


def test_refractory_stands_until_below_the_peak_or_8_weeks_without_treatment():
    events = [*treated(20), *PEAK, load(200_000, 15)]
    assert severity([*events, load(10_000, 18)], REFRACTORY, 19 * D) == "critical"
    assert severity([*events, load(9_999, 18)], REFRACTORY, 19 * D) is None
    assert severity(events, REFRACTORY, 76 * D) == "critical"
    assert severity(events, REFRACTORY, 76 * D + US) is None


def test_a_slow_response_ends_with_a_fall_or_with_the_therapy():
    events = [*treated(20), *PEAK, load(5_000, 15)]
    assert severity([*events, load(1_001, 18)], SLOW, 19 * D) == "info"
    assert severity([*events, load(1_000, 18)], SLOW, 19 * D) is None
    assert severity(events, SLOW, 24 * D) == "info"
    assert severity(events, SLOW, 24 * D + US) is None


def test_the_worse_replaces_the_lesser_for_good():
    events = [*treated(), *PEAK, load(20_000, 14), load(200_000, 16)]
    assert said(alerts(events, 17 * D), PROBABLE) == [("raised", "warning"), ("resolved", "warning")]
    assert severity(events, REFRACTORY, 17 * D) == "critical"


def test_underdosed_days_do_not_count_and_are_corrected_first():
    # A quarter of the dose from the first day on.
    events = [*treated(amount=90), load(9_000, -1), *PEAK, load(200_000, 15)]
    assert severity(events, "dose-below-renal-band", 10 * D) == "warning"
    assert severity(events, REFRACTORY, 16 * D) is None
    (change,) = [one for one in alerts(events, 16 * D) if one.code == PROBABLE]
    assert "dose" in f"{change.title} {change.detail} {change.recommendation}".lower()


def test_therapy_for_another_virus_gets_none_of_them():
    events = [*treated(drug="foscarnet", amount=6300), load("not-detected", 2), load("not-detected", 9)]
    codes = {one.code for one in alerts(events, 30 * D)}
    assert not codes & {REFRACTORY, PROBABLE, SLOW, REBOUND, CLEAR, STOP, STEP, "overdue-viral-load"}


# Rebound -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pair", "expected"), [((633, 633), "warning"), ((632, 700), None), ((700, 632), None)])
def test_two_in_a_row_half_a_log_above_the_nadir(pair, expected):
    # 0.5 log10 above 200 is 632.5.
    events = [*treated(), load(90_000, 0), load(200, 14), load(pair[0], 18), load(pair[1], 25)]
    assert severity(events, REBOUND, 26 * D) == expected


def test_after_clearance_two_quantifiable_or_one_of_1000():
    clear = [*treated(60), load(90_000, 0), less(35, 16), less(35, 23)]
    assert severity([*clear, load(1_000, 30)], REBOUND, 31 * D) == "warning"
    assert severity([*clear, load(999, 30)], REBOUND, 31 * D) is None
    assert severity([*clear, load(50, 30), load(50, 37)], REBOUND, 38 * D) == "warning"
    assert severity([*clear, load(1_000, 30), less(35, 37)], REBOUND, 38 * D) is None


# Clearance, stop, step down ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("apart", "expected"), [(6 * D, "info"), (6 * D - US, None)])
@pytest.mark.parametrize("first", ["not-detected", "<"])
def test_clearance_needs_two_clear_results_6_days_apart(apart, expected, first):
    one = less(137, 10) if first == "<" else load("not-detected", 10)
    events = [*treated(), load(5000, 1), one, lab("cmv", "not-detected", 10 * D + apart)]
    assert severity(events, CLEAR, 20 * D) == expected


def test_a_limit_of_quantification_above_500_is_not_clear():
    for limit, expected in ((500, "info"), (501, None)):
        assert severity([*treated(), load(5000, 1), less(limit, 10), less(limit, 17)], CLEAR, 18 * D) == expected


def test_a_number_or_a_bare_detected_between_or_after_breaks_it():
    clear = [*treated(), load(5000, 1), less(35, 10), less(35, 17)]
    assert severity(clear, CLEAR, 18 * D) == "info"
    for value in (40, "detected"):
        assert severity([*clear, load(value, 13)], CLEAR, 18 * D) is None
        assert severity([*clear, load(value, 19)], CLEAR, 20 * D) is None


def test_clearance_needs_a_quantifiable_load_no_earlier_than_14_days_before():
    for at, expected in ((-14 * D, "info"), (-14 * D - US, None)):
        events = [*treated(), lab("cmv", 5000, at), less(35, 10), less(35, 17)]
        assert severity(events, CLEAR, 18 * D) == expected


def test_clearance_needs_every_series_of_the_last_14_days():
    clear = [*treated(), load(5000, 1), less(35, 10), less(35, 17)]
    assert severity([*clear, load(800, 16, code="100675-8")], CLEAR, 18 * D) is None
    assert severity([*clear, load(800, 2, code="100675-8")], CLEAR, 18 * D) == "info"


def test_clearance_ends_8_weeks_after_the_therapy_and_names_the_immune_status():
    events = [*treated(20), load(5000, 1), less(35, 10), less(35, 17)]
    assert severity(events, CLEAR, 76 * D) == "info"
    assert severity(events, CLEAR, 76 * D + US) is None
    (change,) = [one for one in alerts(events, 18 * D) if one.code == CLEAR]
    assert "no lymphocytes and no CD4 count on file" in change.detail


def cleared(days=40, drug="ganciclovir", amount=350):
    return [
        *treated(days, drug=drug, amount=amount),
        load(5000, 1),
        less(35, 8),
        less(35, 15),
        less(35, 22),
        less(35, 29),
    ]


@pytest.mark.parametrize(
    ("immune", "expected"),
    [
        (("lymphocytes", 0.5), "info"),
        (("lymphocytes", 0.49), None),
        (("cd4", 100), "info"),
        (("cd4", 99), None),
    ],
)
def test_stop_criteria_need_an_improved_immune_status(immune, expected):
    assert severity([*cleared(), lab(*immune, 14 * D)], STOP, 16 * D) == expected


def test_stop_criteria_need_14_treatment_days_and_21_on_tablets():
    immune = lab("lymphocytes", 0.8, 12 * D)
    early = [*treated(), load(5000, 0), less(35, 5), less(35, 12), immune]
    assert severity(early, STOP, 13 * D - US) is None
    assert severity(early, STOP, 13 * D) == "info"
    tablets = [*cleared(drug="valganciclovir", amount=900), lab("lymphocytes", 0.8, 14 * D)]
    assert severity(tablets, STOP, 20 * D - US) is None
    assert severity(tablets, STOP, 20 * D) == "info"


def test_stop_criteria_fail_when_a_result_has_grown_too_old():
    load_old = [*treated(), load(5000, 1), less(35, 8), less(35, 15), lab("lymphocytes", 0.8, 15 * D)]
    assert severity(load_old, STOP, 23 * D) == "info"
    assert severity(load_old, STOP, 23 * D + US) is None
    count_old = [*cleared(), lab("lymphocytes", 0.8, 10 * D)]
    assert severity(count_old, STOP, 24 * D) == "info"
    assert severity(count_old, STOP, 24 * D + US) is None


def test_stop_criteria_say_what_is_not_visible():
    (change,) = [one for one in alerts([*cleared(), lab("lymphocytes", 0.8, 14 * D)], 16 * D) if one.code == STOP]
    assert change.title == "Laboratory stop criteria met"
    assert "Clinical resolution and organ disease are not visible here" in change.detail


def hiv(counts, days=120):
    events = [{**event, "hiv": True} if event["type"] == "patient" else event for event in treated(days)]
    loads = [load(5000, 1), *(less(35, day) for day in range(8, days + 1, 7))]
    return [*events, *loads, *(lab("cd4", value, day * D) for day, value in counts)]


def test_stop_criteria_in_hiv_need_90_days_of_cd4():
    good = [(0, 120), (45, 150), (90, 130)]
    assert severity(hiv(good), STOP, 92 * D) == "info"
    assert severity(hiv([(1, 120), (45, 150), (90, 130)]), STOP, 92 * D) is None
    assert severity(hiv([(0, 120), (45, 99), (90, 130)]), STOP, 92 * D) is None
    assert severity(hiv([(-20, 120), (30, 150), (75, 130)]), STOP, 89 * D) is None
    assert severity(hiv([(-20, 120), (30, 150), (75, 130)]), STOP, 92 * D) == "info"
    assert severity(hiv([(0, 120), (45, 150), (91, 50)]), STOP, 92 * D) is None
    assert severity(hiv([]), STOP, 92 * D) is None
    (change,) = [one for one in alerts(hiv(good), 92 * D) if one.code == STOP and one.status == "raised"]
    assert "HIV: CD4 count unbroken" in change.detail
    assert [one.text for one in change.evidence] == ["CMV DNA <35 IU/mL", "CD4 count 120 /µL", "CD4 count 130 /µL"]


def test_step_down_after_21_days_of_induction_with_a_load_not_quantifiable():
    events = [*treated(), load(5000, 1), load(300, 15), less(35, 19)]
    assert severity(events, STEP, 20 * D - US) is None
    assert severity(events, STEP, 20 * D) == "info"
    assert severity([*treated(), load(5000, 1), load(300, 15), load(40, 19)], STEP, 21 * D) is None
    old = [*treated(), load(5000, 1), lab("cmv", 35, 12 * D - US, comparator="<")]
    assert severity(old, STEP, 21 * D) is None
    maintenance = dose("ganciclovir", 350, 22 * D, indication="maintenance")
    assert severity([*events, maintenance], STEP, 22 * D) is None


def test_step_down_yields_to_the_stop_criteria():
    events = [*cleared(), lab("lymphocytes", 0.8, 20 * D)]
    assert severity(events, STOP, 21 * D) == "info"
    assert severity(events, STEP, 21 * D) is None
    assert severity(cleared(), STEP, 21 * D) == "info"


# Off therapy ---------------------------------------------------------------------------------------------------------


def grafted(kind, **more):
    return patient(transplant=kind, transplant_at="2026-01-01T00:00:00Z", **more)


@pytest.mark.parametrize(
    ("kind", "loads", "expected"),
    [
        ("hct-allogeneic", [(1000, 20)], "warning"),
        ("hct-allogeneic", [(999, 20)], None),
        ("hct-allogeneic", [(150, 20), (150, 48)], "warning"),
        ("hct-allogeneic", [(149, 20), (150, 27)], None),
        ("hct-allogeneic", [(150, 20), (149, 27)], None),
        ("hct-allogeneic", [(150, 20), (150, 49)], None),
        ("solid-organ", [(1000, 20)], "warning"),
        ("solid-organ", [(999, 20)], None),
        ("hct-autologous", [(9000, 20)], None),
    ],
)
def test_preemptive_treatment_by_transplant(kind, loads, expected):
    events = [grafted(kind), *(load(value, day) for value, day in loads)]
    assert severity(events, PREEMPTIVE, loads[-1][1] * D + H) == expected


def test_preemptive_at_any_load_where_a_seronegative_patient_has_a_seropositive_organ():
    pair = {"donor_cmv": "positive", "recipient_cmv": "negative"}
    assert severity([grafted("solid-organ", **pair), load(40, 20)], PREEMPTIVE, 21 * D) == "warning"
    assert severity([grafted("solid-organ", **pair), less(40, 20)], PREEMPTIVE, 21 * D) is None
    positive = {"donor_cmv": "positive", "recipient_cmv": "positive"}
    assert severity([grafted("solid-organ", **positive), load(40, 20)], PREEMPTIVE, 21 * D) is None


def test_preemptive_in_copies_or_urine_is_no_threshold():
    events = [grafted("hct-allogeneic"), load(90_000, 20, "{copies}/mL")]
    assert severity(events, PREEMPTIVE, 21 * D) is None


def test_preemptive_ends_with_treatment_a_clear_load_or_14_days():
    events = [grafted("hct-allogeneic"), load(2000, 20)]
    assert severity(events, PREEMPTIVE, 34 * D) == "warning"
    assert severity(events, PREEMPTIVE, 34 * D + US) is None
    assert severity([*events, load(100, 30)], PREEMPTIVE, 40 * D) == "warning"
    assert severity([*events, less(35, 22)], PREEMPTIVE, 23 * D) is None
    begun = dose("valganciclovir", 900, 22 * D, indication="preemptive")
    assert severity([*events, begun], PREEMPTIVE, 22 * D) is None


def test_preemptive_is_not_ended_before_its_time_by_a_load_that_runs_ahead_of_the_clock():
    # Collected 2 minutes past the 14 d, by a clock that runs ahead, and known half an hour before.
    ahead = lab("cmv", 100, 34 * D + 2 * MINUTE, recorded_at=34 * D - 30 * MINUTE)
    events = [grafted("hct-allogeneic"), load(2000, 20), ahead]
    assert severity(events, PREEMPTIVE, 34 * D) == "warning"
    assert severity(events, PREEMPTIVE, 34 * D + US) is None


def after(loads):
    events = [*treated(20), load(5000, 1), less(35, 10), less(35, 17), *loads]
    return [{**event, "transplant": "hct-allogeneic"} if event["type"] == "patient" else event for event in events]


def test_relapse_within_8_weeks_after_a_therapy_that_cleared():
    assert severity(after([load(1000, 40)]), RELAPSE, 41 * D) == "warning"
    assert severity(after([load(999, 40)]), RELAPSE, 41 * D) is None
    assert severity(after([load(40, 40), load(40, 47)]), RELAPSE, 48 * D) == "warning"
    assert severity(after([load(1000, 76)]), RELAPSE, 77 * D) == "warning"
    assert severity(after([lab("cmv", 1000, 76 * D + US)]), RELAPSE, 77 * D) is None
    never = [*treated(20), load(5000, 1), load(500, 17), load(5000, 40)]
    assert severity(never, RELAPSE, 41 * D) is None


def test_preemptive_yields_to_relapse():
    events = after([load(2000, 40)])
    assert severity(events, RELAPSE, 41 * D) == "warning"
    assert severity(events, PREEMPTIVE, 41 * D) is None


def test_relapse_ends_with_treatment_or_a_clear_load():
    assert severity(after([load(1000, 40), less(35, 45)]), RELAPSE, 46 * D) is None
    begun = dose("ganciclovir", 350, 42 * D, indication="treatment")
    assert severity([*after([load(1000, 40)]), begun], RELAPSE, 43 * D) is None


def prophylaxis(drug, amount, *loads):
    return [
        patient(),
        *(dose(drug, amount, at, indication="prophylaxis") for at in every(24 * H, ZERO, 40 * D)),
        *loads,
    ]


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([(1000, 20)], "warning"),
        ([(999, 20)], None),
        ([(150, 20), (151, 27)], "warning"),
        ([(150, 20), (150, 27)], None),
        ([(149, 20), (151, 27)], None),
    ],
)
def test_breakthrough_on_letermovir(loads, expected):
    events = prophylaxis("letermovir", 480, *(load(value, day) for value, day in loads))
    assert severity(events, BREAK, loads[-1][1] * D + H) == expected


def test_breakthrough_on_valganciclovir_needs_two_in_a_row():
    assert severity(prophylaxis("valganciclovir", 900, load(9000, 20)), BREAK, 21 * D) is None
    twice = prophylaxis("valganciclovir", 900, load(40, 20), load(40, 27))
    assert severity(twice, BREAK, 28 * D) == "warning"
    assert severity([*twice, less(35, 30)], BREAK, 31 * D) is None
    (change,) = [one for one in alerts(twice, 28 * D) if one.code == BREAK]
    assert "valganciclovir since" in change.detail


# What is not known, and what is said --------------------------------------------------------------------------------

UNKNOWN = (PREEMPTIVE, "CMV serology of donor or recipient unknown")


def organ(*loads, **serology):
    return [patient(transplant="solid-organ", transplant_at="2025-12-01T00:00:00Z", **serology), *loads]


@pytest.mark.parametrize(
    ("serology", "listed"),
    [
        ({}, True),
        ({"donor_cmv": "positive"}, True),
        ({"recipient_cmv": "negative"}, True),
        ({"donor_cmv": "negative"}, False),
        ({"recipient_cmv": "positive"}, False),
        ({"donor_cmv": "positive", "recipient_cmv": "negative"}, False),
        ({"donor_cmv": "positive", "recipient_cmv": "positive"}, False),
    ],
)
def test_a_load_that_unknown_serology_leaves_open_is_listed(serology, listed):
    assert (UNKNOWN in run(organ(load(999, 1), **serology)).unjudged()) == listed


def test_unknown_serology_is_listed_only_where_it_decides():
    assert UNKNOWN not in run(organ(load(1000, 1))).unjudged()
    assert UNKNOWN not in run(organ(less(137, 1))).unjudged()
    after_hct = patient(transplant="hct-allogeneic", transplant_at="2025-12-01T00:00:00Z")
    assert UNKNOWN not in run([after_hct, load(100, 1)]).unjudged()
    assert UNKNOWN not in run([*organ(load(999, 3)), *treated(5)[1:]]).unjudged()


def test_what_ended_a_preemptive_alert_is_said():
    last = [one for one in alerts(organ(load(2000, 1)), 16 * D) if one.code == PREEMPTIVE][-1]
    assert (last.status, last.reason) == ("resolved", "no new load for 14 d")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2025-12-01T00:00:00Z", "Solid-organ transplant of 2025-12-01 00:00 UTC,"),
        (None, "Solid-organ transplant of unknown date,"),
    ],
)
def test_the_transplant_is_named_once(at, text):
    who = patient(transplant="solid-organ", **({"transplant_at": at} if at else {}))
    (raised,) = [one for one in alerts([who, load(2000, 1)]) if one.code == PREEMPTIVE]
    assert text in raised.detail
    assert "Transplant:" not in raised.detail


def test_a_rebound_after_clearance_says_that_the_days_do_not_matter():
    events = [*treated(40), load(9000, 0), less(137, 5), less(137, 11), load(2000, 13)]
    (raised,) = [one for one in alerts(events, 13 * D + H) if one.code == REBOUND]
    assert "where the limit of 14 treatment days does not apply" in raised.detail


def test_the_stop_criteria_name_a_drug_only_where_its_days_are_its_own():
    clear = [load(9000, 0), less(137, 15), less(137, 22), lab("lymphocytes", 0.9, 22 * D)]
    (raised,) = [one for one in alerts([*treated(30), *clear], 22 * D + H) if one.code == STOP]
    assert "(at least 14)" in raised.detail
    tablets = treated(30, drug="valganciclovir", amount=900)
    (raised,) = [one for one in alerts([*tablets, *clear], 22 * D + H) if one.code == STOP]
    assert "(at least 21 with valganciclovir)" in raised.detail


def test_what_an_ended_alert_had_said_has_capital_letters():
    low = [lab("calcium", 6.5, H), lab("ionized", 0.8, 2 * H)]
    ended = alerts([patient(), dose("foscarnet", 6000, ZERO), *low], 9 * D)
    details = [one.detail for one in ended if one.status == "resolved"]
    assert details
    assert not any(re.search(r"\. [a-z]", detail) for detail in details)
