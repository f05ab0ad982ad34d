"""`aki`: KDIGO's criteria on foscarnet and cidofovir, from the first dose to 14 d after the last."""

import pytest

from tests.monitor.case import US, ZERO, D, H, alerts, dose, lab, patient, said, severity

MG, SI = "mg/dL", "umol/L"
FIRST = 10 * D  # the first dose of every case


def aki(*results, doses=(FIRST,), drug="foscarnet", until=None, more=()):
    """What stands of `aki` after creatinines, each `(value, unit, at)`."""
    return severity(history(*results, doses=doses, drug=drug, more=more), "aki", until)


def history(*results, doses=(FIRST,), drug="foscarnet", more=()):
    labs = [lab("creatinine", value, at, unit) for value, unit, at in results]
    return [patient(), *labs, *(dose(drug, 350, at) for at in doses), *more]


@pytest.mark.parametrize(
    ("before", "after", "unit", "expected"),
    [
        (1.0, 1.29, MG, None),
        (1.0, 1.3, MG, "warning"),
        (1.4, 1.7, MG, "warning"),
        (2.0, 2.29, MG, None),
        (2.0, 2.3, MG, "warning"),
        (100, 126.4, SI, None),
        (100, 126.5, SI, "warning"),
        (200, 226.2, SI, None),  # NHS England's > 26 is not KDIGO's 26.5
    ],
)
def test_absolute_rise(before, after, unit, expected):
    assert aki((before, unit, 9 * D), (after, unit, 11 * D)) == expected


@pytest.mark.parametrize(("gap", "expected"), [(48 * H - US, "warning"), (48 * H, "warning"), (48 * H + US, None)])
def test_the_rise_looks_back_48_h_inclusive(gap, expected):
    assert aki((1.0, MG, 11 * D - gap), (1.3, MG, 11 * D)) == expected


@pytest.mark.parametrize(("gap", "expected"), [(7 * D - US, "warning"), (7 * D, "warning"), (7 * D + US, None)])
def test_the_ratio_looks_back_7_d_inclusive(gap, expected):
    # The drop from a high baseline: the ratio to it holds at no time.
    results = [(1.6, MG, ZERO), (1.6, MG, D), (0.8, MG, 20 * D - gap), (1.2, MG, 20 * D)]
    assert aki(*results, doses=[FIRST + i * D for i in range(10)]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.49, None), (1.5, "warning"), (1.99, "warning"), (2.0, "critical"), (2.99, "critical"), (3.0, "critical")],
)
def test_ratio_to_the_baseline_gives_the_stage(value, expected):
    doses = [FIRST, 12 * D, 15 * D]
    # 1.49 comes more than 7 d after the only result before.
    assert aki((1.0, MG, ZERO), (value, MG, 15 * D), doses=doses) == expected


@pytest.mark.parametrize(("value", "stage"), [(1.5, 1), (1.99, 1), (2.0, 2), (2.99, 2), (3.0, 3)])
def test_the_stage_is_said(value, stage):
    changes = [one for one in alerts(history((1.0, MG, 5 * D), (value, MG, 11 * D))) if one.code == "aki"]
    assert f"stage {stage}" in f"{changes[-1].title} {changes[-1].detail}".lower()


@pytest.mark.parametrize(
    ("before", "after", "unit", "expected"),
    [
        (3.7, 3.99, MG, None),
        (3.6, 3.99, MG, "warning"),
        (3.7, 4.0, MG, "critical"),
        (4.0, 4.2, MG, None),  # 4.0 without an acute change is no injury
        (320, 353.5, SI, "warning"),
        (320, 353.6, SI, "critical"),
    ],
)
def test_stage_3_from_4_once_a_criterion_holds(before, after, unit, expected):
    assert aki((before, unit, 10 * D), (after, unit, 11 * D)) == expected


def test_the_baseline_ratio_needs_a_value_above_the_last_before_the_first_dose():
    results = [(1.0, MG, ZERO), (1.0, MG, D), (1.6, MG, FIRST - H)]
    assert aki(*results, (1.6, MG, FIRST + 5 * D)) == aki(*results, (1.6, MG, FIRST + 8 * D)) is None
    assert aki(*results, (1.61, MG, FIRST + 8 * D)) == "warning"


@pytest.mark.parametrize(("after", "expected"), [(14 * D, "warning"), (14 * D + US, None)])
@pytest.mark.parametrize("drug", ["foscarnet", "cidofovir"])
def test_exposed_to_14_d_after_the_last_dose(drug, after, expected):
    assert aki((1.0, MG, ZERO), (1.8, MG, FIRST + after), drug=drug) == expected


def test_not_before_the_first_dose_and_not_on_ganciclovir():
    assert aki((1.0, MG, 8 * D), (1.8, MG, FIRST - US)) is None
    assert aki((1.0, MG, 8 * D), (1.8, MG, FIRST + US)) == "warning"
    assert aki((1.0, MG, 8 * D), (1.8, MG, FIRST + H), drug="ganciclovir") is None


@pytest.mark.parametrize(
    ("value", "ends"),
    [
        (1.29, True),
        (1.3, False),  # 0.3 above the baseline still
        (1.35, False),
    ],
)
def test_ends_when_near_the_baseline_again(value, ends):
    results = [(1.0, MG, ZERO), (2.0, MG, 11 * D), (value, MG, 19 * D)]
    assert (aki(*results) is None) == ends


def test_the_severity_follows_the_latest_stage_and_stays_one_until_the_end():
    results = [(1.0, MG, ZERO), (2.0, MG, 11 * D), (1.6, MG, 15 * D), (1.35, MG, 20 * D), (1.2, MG, 23 * D)]
    changes = alerts(history(*results))
    assert said(changes, "aki") == [
        ("raised", "critical"),
        ("updated", "warning"),
        ("resolved", "warning"),
    ]
    assert len({one.alert_id for one in changes if one.code == "aki"}) == 1


@pytest.mark.parametrize(("after", "open_"), [(ZERO, True), (US, False)])
def test_ends_7_d_after_the_exposure(after, open_):
    results = [(1.0, MG, ZERO), (2.0, MG, 11 * D)]
    assert (aki(*results, until=FIRST + 21 * D + after) is not None) == open_


def test_a_new_result_of_the_same_stage_says_nothing():
    results = [(1.0, MG, ZERO), (1.6, MG, 11 * D), (1.7, MG, 11 * D + 6 * H), (1.65, MG, 12 * D)]
    assert said(alerts(history(*results)), "aki") == [("raised", "warning")]


# Baseline ---------------------------------------------------------------------------------------------------------


def baseline(*results, until=FIRST + 9 * D, drug="foscarnet", more=()):
    """The sentence of an alert by a creatinine of 9.0 that names the baseline."""
    events = [*history(*results, drug=drug, more=more), lab("creatinine", 9.0, until)]
    return next(one.detail for one in alerts(events) if one.code == "aki")


@pytest.mark.parametrize(
    ("results", "value"),
    [
        ([(1.0, ZERO), (2.0, D), (1.2, 2 * D)], "1.2 mg/dL"),  # the median
        ([(1.0, ZERO), (2.0, D)], "1.5 mg/dL"),  # of an even count the mean of the middle two
        ([(1.0, FIRST - 7 * D), (0.5, FIRST - 6 * D)], "1 mg/dL"),  # exactly 7 d belongs to the median
        ([(1.0, FIRST - 7 * D + US), (0.5, FIRST - 6 * D)], "0.5 mg/dL"),  # else the lowest within 7 d
        ([(1.0, FIRST - 365 * D), (0.5, FIRST - D)], "1 mg/dL"),
        ([(1.0, FIRST - 365 * D - US), (0.5, FIRST - D)], "0.5 mg/dL"),
        ([(1.1, FIRST + 48 * H), (0.9, FIRST + 49 * H)], "1.1 mg/dL"),  # else the first of 48 h
    ],
)
def test_baseline_lab_(results, value):
    detail = baseline(*((number, MG, at) for number, at in results))
    assert f"baseline {value}" in detail


def test_without_a_baseline_two_criteria_judge():
    first = (1.0, MG, FIRST + 48 * H + US)
    assert aki(first, (1.3, MG, FIRST + 72 * H)) == "warning"
    assert aki(first, (1.29, MG, FIRST + 72 * H)) is None


@pytest.mark.parametrize(("at", "value"), [(7 * D - US, "1.2 mg/dL"), (7 * D, "0.6 mg/dL")])
def test_the_first_week_of_an_organ_transplant_gives_no_baseline(at, value):
    transplant = patient(transplant="solid-organ", transplant_at="2026-01-01T00:00:00Z")
    results = [(0.6, MG, at), (1.2, MG, 8 * D)]
    assert f"baseline {value}" in baseline(*results, more=[transplant])
    assert "baseline 0.6 mg/dL" in baseline(*results)


def test_results_on_dialysis_give_no_baseline():
    on, off = patient(ZERO, dialysis=True), patient(2 * D, dialysis=False)
    results = [(4.0, MG, D), (1.2, MG, 5 * D)]
    assert "baseline 1.2 mg/dL" in baseline(*results, more=[on, off])
    assert "baseline 4 mg/dL" in baseline(*results)


@pytest.mark.parametrize(("gap", "value"), [(14 * D, "1 mg/dL"), (14 * D + US, "1.2 mg/dL")])
def test_a_course_soon_after_another_inherits_its_baseline(gap, value):
    start = FIRST + gap
    results = [(1.0, MG, ZERO), (1.2, MG, FIRST + 5 * D), (1.2, MG, FIRST + 6 * D)]
    events = [*history(*results), dose("cidofovir", 350, start), lab("creatinine", 9.0, start + D)]
    (change,) = [one for one in alerts(events) if one.code == "aki"]
    assert f"baseline {value}" in change.detail


def test_a_chain_of_courses_takes_the_oldest_baseline_that_one_of_them_has():
    # The first has no result before it or in its first 48 h; the second has one, and hands it on to the third.
    first, second, third = ZERO, 12 * D, 24 * D
    events = [
        patient(),
        *(dose("foscarnet", 4200, at) for at in (first, second, third)),
        lab("creatinine", 1.0, 10 * D),
        lab("creatinine", 2.0, 14 * D),
        lab("creatinine", 9.0, 25 * D),
    ]
    changes = [one for one in alerts(events) if one.code == "aki"]
    assert "baseline 1 mg/dL" in changes[-1].detail


# Which results count ----------------------------------------------------------------------------------------------


def test_censored_creatinines():
    above = lab("creatinine", 1.5, 11 * D, comparator=">")
    below = lab("creatinine", 9.0, 11 * D, comparator="<")
    assert aki((1.0, MG, 9 * D), more=[above]) == "warning"
    assert aki((1.0, MG, 9 * D), more=[below]) is None
    # `<x` ends an alert if x does; `>x` never does.
    assert aki((1.0, MG, 0 * D), (1.6, MG, 11 * D), more=[lab("creatinine", 1.2, 20 * D, comparator="<")]) is None
    assert aki((1.0, MG, 0 * D), (1.6, MG, 11 * D), more=[lab("creatinine", 1.0, 20 * D, comparator=">")]) == "warning"


def test_nothing_on_dialysis():
    dialysis = patient(FIRST, dialysis=True)
    assert aki((1.0, MG, 9 * D), (5.0, MG, 11 * D), more=[dialysis]) is None


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_what_is_no_result_counts_for_nothing(status):
    assert aki((1.0, MG, 9 * D), more=[lab("creatinine", 2.0, 11 * D, status=status)]) is None


def test_a_preliminary_result_counts_until_replaced_and_the_alert_says_so():
    early = lab("creatinine", 2.0, 11 * D, status="preliminary", event_id="L")
    final = lab("creatinine", 1.1, 11 * D, status="final", event_id="L", recorded_at=11 * D + H)
    before = history((1.0, MG, 9 * D))
    changes = alerts([*before, early, final])
    assert said(changes, "aki") == [("raised", "critical"), ("retracted", "critical")]
    assert "preliminary" in next(one.detail for one in changes if one.code == "aki")


def test_a_correction_retracts_and_says_why():
    wrong = lab("creatinine", 2.0, 11 * D, event_id="L")
    right = lab("creatinine", 1.0, 11 * D, event_id="L", status="corrected", recorded_at=12 * D)
    last = [one for one in alerts([*history((1.0, MG, 9 * D)), wrong, right]) if one.code == "aki"][-1]
    assert last.status == "retracted"
    assert "corrected from 2 mg/dL" in (last.reason or "")


def test_results_of_one_time_are_averaged():
    pair = [lab("creatinine", value, 11 * D) for value in (1.2, 1.38)]
    assert aki((1.0, MG, 9 * D), more=pair) is None
    pair = [lab("creatinine", value, 11 * D) for value in (1.2, 1.4)]
    assert aki((1.0, MG, 9 * D), more=pair) == "warning"


# Mimics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drug", ["trimethoprim", "cimetidine", "cobicistat", "dolutegravir"])
def test_a_new_drug_that_mimics_the_rise_makes_it_info(drug):
    mimic = dose(drug, 100, FIRST, route="oral")
    events = history((1.0, MG, 10 * D), (1.3, MG, 11 * D), more=[mimic])
    change = next(one for one in alerts(events) if one.code == "aki")
    assert change.severity == "info"
    assert drug in f"{change.title} {change.detail}"


@pytest.mark.parametrize(
    ("earliest", "earlier", "expected"),
    [
        (14 * D, None, "info"),
        (14 * D + US, None, "warning"),
        (10 * D, 30 * D, "warning"),
        (10 * D, 30 * D + US, "info"),
    ],
)
def test_a_mimic_is_first_given_within_14_d_and_not_in_the_30_d_before(earliest, earlier, expected):
    rise = 60 * D
    taken = [rise - earliest] + ([rise - earliest - earlier] if earlier else [])
    mimics = [dose("trimethoprim", 160, at, route="oral") for at in taken]
    results = [(1.0, MG, rise - D), (1.3, MG, rise)]
    assert aki(*results, doses=[rise - H], more=mimics) == expected


@pytest.mark.parametrize(("value", "expected"), [(1.49, "info"), (1.5, "warning"), (2.0, "critical")])
def test_a_mimic_explains_the_absolute_rise_alone(value, expected):
    mimic = dose("trimethoprim", 160, FIRST, route="oral")
    assert aki((1.0, MG, 10 * D), (value, MG, 11 * D), more=[mimic]) == expected


@pytest.mark.parametrize(
    ("value", "severity_"), [(1.3, "info"), (1.6, "warning"), (2.1, "critical"), (3.1, "critical")]
)
def test_drugs_that_mimic_a_rise_are_named_at_every_stage(value, severity_):
    mimics = [dose("trimethoprim", 160, FIRST, route="oral"), dose("cobicistat", 150, FIRST + H, route="oral")]
    events = history((1.0, MG, 10 * D), (value, MG, 11 * D), more=mimics)
    (change,) = [one for one in alerts(events) if one.code == "aki"]
    assert change.severity == severity_
    assert (
        "Trimethoprim (first given 2026-01-11 00:00 UTC), cobicistat (first given 2026-01-11 01:00 UTC) raise"
        " creatinine without a change of filtration"
    ) in change.detail
    assert {one["event_id"] for one in mimics} <= {one.event_id for one in change.evidence}
    assert ("perhaps by trimethoprim, cobicistat" in change.title) == (severity_ == "info")
    alone = history((1.0, MG, 10 * D), (value, MG, 11 * D))
    assert not any("without a change" in one.detail for one in alerts(alone))


@pytest.mark.parametrize(("drug", "other"), [("foscarnet", "cidofovir"), ("cidofovir", "foscarnet")])
def test_the_other_nephrotoxic_antiviral_is_named(drug, other):
    before = dose(other, 5, FIRST - D, "mg/kg")
    events = history((1.0, MG, 10 * D), (1.6, MG, 11 * D), drug=drug, more=[before])
    (change,) = [one for one in alerts(events) if one.code == "aki"]
    assert change.drug == drug
    assert f"Other nephrotoxic drugs within 7 d: {other} (2 d before)" in change.detail


@pytest.mark.parametrize(
    ("unit", "before", "after", "rise", "highest"),
    [(MG, 1.0, 3.1, "0.3 mg/dL", "4 mg/dL"), ("umol/L", 90, 280, "26.5 µmol/L", "353.6 µmol/L")],
)
def test_the_thresholds_of_every_stage_are_said(unit, before, after, rise, highest):
    events = history((before, unit, 10 * D), (after, unit, 11 * D))
    detail = next(one.detail for one in alerts(events) if one.code == "aki")
    assert detail.count("stages from 1.5, 2, 3 x") == 2
    assert f"(stage 1 from {rise})" in detail
    assert f"stage 3 from {highest} once one of these holds" in detail


def test_the_alert_is_for_the_drug_given_last_and_names_its_evidence():
    events = [*history((1.0, MG, 9 * D)), dose("cidofovir", 350, 10 * D + H), lab("creatinine", 2.0, 11 * D)]
    (change,) = [one for one in alerts(events) if one.code == "aki"]
    assert change.drug == "cidofovir"
    assert change.subject is None
    assert events[-1]["event_id"] in {one.event_id for one in change.evidence}
    (reference,) = change.references
    assert reference.startswith("KDIGO Clinical Practice Guideline for Acute Kidney Injury")
    assert "2012" in reference


def test_a_creatinine_below_the_lowest_of_48_h_is_said_to_be_below():
    events = history((1.0, MG, 9 * D), (2.0, MG, 11 * D + H), (1.9, MG, 12 * D))
    text = [one for one in alerts(events) if one.code == "aki"][-1].detail
    assert "0.1 mg/dL below the lowest of 48 h, 2 mg/dL" in text
