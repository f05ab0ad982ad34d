"""Cidofovir: reduce, stop, contraindicated, tests before the dose, dose and interval."""

import pytest

from tests.monitor.case import US, ZERO, D, H, alerts, dose, lab, patient, said, severity

MG, SI = "mg/dL", "umol/L"
FIRST = 10 * D
WEIGHT = lab("weight", 70, 9 * D)
FULL, REDUCED = 350, 210  # 5 and 3 mg/kg at 70 kg


def given(*at, amount=FULL, more=()):
    return [patient(), WEIGHT, *(dose("cidofovir", amount, t) for t in at), *more]


def creatinines(*results):
    return [lab("creatinine", value, at, unit) for value, unit, at in results]


@pytest.mark.parametrize(
    ("value", "unit", "base", "reduce", "stop"),
    [
        (1.29, MG, 1.0, None, None),
        (1.3, MG, 1.0, "warning", None),
        (1.49, MG, 1.0, "warning", None),
        (1.5, MG, 1.0, None, "critical"),
        (1.4, MG, 1.1, "warning", None),
        (1.6, MG, 1.1, None, "critical"),
        (106.4, SI, 80, None, None),
        (106.5, SI, 80, "warning", None),
        (124.1, SI, 80, "warning", None),
        (124.2, SI, 80, None, "critical"),
    ],
)
def test_rise_above_the_baseline(value, unit, base, reduce, stop):
    events = given(FIRST, more=creatinines((base, unit, ZERO), (value, unit, 12 * D)))
    assert severity(events, "cidofovir-reduce-dose") == reduce
    assert severity(events, "cidofovir-stop") == stop


@pytest.mark.parametrize(("after", "expected"), [(21 * D, "warning"), (21 * D + US, None)])
def test_on_cidofovir_to_21_d_after_the_last_dose(after, expected):
    events = given(FIRST, more=creatinines((1.0, MG, ZERO), (1.3, MG, FIRST + after)))
    assert severity(events, "cidofovir-reduce-dose") == expected


@pytest.mark.parametrize(("value", "severity_"), [(1.2, None), (1.4, "warning"), (1.5, None)])
def test_reduce_ends_when_the_rise_is_gone_or_stop_replaces_it(value, severity_):
    events = given(FIRST, more=creatinines((1.0, MG, ZERO), (1.3, MG, 12 * D), (value, MG, 14 * D)))
    assert severity(events, "cidofovir-reduce-dose") == severity_


@pytest.mark.parametrize(
    ("limit", "comparator", "expected"), [(1.3, "<", None), (1.31, "<", "warning"), (1.2, ">", "warning")]
)
def test_reduce_and_a_censored_creatinine(limit, comparator, expected):
    censored = lab("creatinine", limit, 14 * D, comparator=comparator)
    events = given(FIRST, more=[*creatinines((1.0, MG, ZERO), (1.3, MG, 12 * D)), censored])
    assert severity(events, "cidofovir-reduce-dose") == expected


def test_below_a_high_limit_is_no_rise():
    above = given(FIRST, more=[*creatinines((1.0, MG, ZERO)), lab("creatinine", 2.0, 14 * D, comparator="<")])
    assert severity(above, "cidofovir-stop") is None
    protein = [*above, lab("protein", 300, 15 * D)]
    (stop,) = [one for one in alerts(protein) if one.code == "cidofovir-stop"]
    assert "urine protein 300" in stop.title


def test_a_rise_on_dialysis_counts():
    events = given(FIRST, more=[patient(11 * D, dialysis=True), *creatinines((1.0, MG, ZERO), (1.5, MG, 12 * D))])
    assert severity(events, "cidofovir-stop") == "critical"


def test_stop_stays_to_the_end_of_the_course():
    events = given(FIRST, more=creatinines((1.0, MG, ZERO), (1.6, MG, 12 * D), (1.0, MG, 14 * D)))
    assert severity(events, "cidofovir-stop") == "critical"
    assert severity(events, "cidofovir-stop", FIRST + 21 * D) == "critical"
    assert severity(events, "cidofovir-stop", FIRST + 21 * D + US) is None


@pytest.mark.parametrize(("value", "expected"), [(299, None), (300, "critical"), ("2+", None), ("3+", "critical")])
def test_new_protein_stops(value, expected):
    what = "dipstick" if isinstance(value, str) else "protein"
    events = given(FIRST, more=[lab(what, value, 12 * D)])
    assert severity(events, "cidofovir-stop") == expected


@pytest.mark.parametrize(("before", "expected"), [(299, "critical"), (300, None)])
def test_protein_that_was_there_before_does_not_stop(before, expected):
    events = given(FIRST, more=[lab("protein", before, FIRST - H), lab("protein", 500, 12 * D)])
    assert severity(events, "cidofovir-stop") == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(1.5, MG, None), (1.51, MG, "critical"), (132.6, SI, None), (132.7, SI, "critical")],
)
def test_contraindicated_by_creatinine(value, unit, expected):
    # A heavy young man, so that the clearance stays above 55.
    who = [patient(birth_date="2000-01-01"), lab("weight", 90, 9 * D)]
    events = [*who, dose("cidofovir", 300, FIRST), *creatinines((value, unit, FIRST - H))]
    assert severity(events, "cidofovir-contraindicated") == expected


@pytest.mark.parametrize(("weight", "expected"), [(44, "critical"), (44.01, None), (43, "critical")])
def test_contraindicated_by_a_clearance_up_to_55(weight, expected):
    # 50 years, 1.0 mg/dL: 90 x kg / 72 is 55 at 44 kg.
    events = [patient(), lab("weight", weight, 9 * D), dose("cidofovir", 150, FIRST), lab("creatinine", 1.0, 9 * D)]
    assert severity(events, "cidofovir-contraindicated") == expected


@pytest.mark.parametrize(
    ("what", "value", "expected"),
    [
        ("protein", 99, None),
        ("protein", 100, "critical"),
        ("dipstick", "1+", None),
        ("dipstick", "2+", "critical"),
        ("dipstick", "trace", None),
        ("dipstick", "negative", None),
    ],
)
def test_contraindicated_by_protein(what, value, expected):
    assert severity(given(FIRST, more=[lab(what, value, 9 * D)]), "cidofovir-contraindicated") == expected


@pytest.mark.parametrize(("comparator", "expected"), [(">", "critical"), (">=", None), ("<", None)])
def test_contraindicated_above_the_limit_of_creatinine(comparator, expected):
    creatinine = lab("creatinine", 1.5, 9 * D, comparator=comparator)
    assert severity(given(FIRST, more=[creatinine]), "cidofovir-contraindicated") == expected


def test_on_dialysis_creatinine_and_protein_still_count():
    dialysis = patient(8 * D, dialysis=True)
    small = [lab("weight", 40, 9 * D + H)]
    assert (
        severity(given(FIRST, more=[dialysis, *small, lab("creatinine", 1.4, 9 * D)]), "cidofovir-contraindicated")
        is None
    )
    assert (
        severity(given(FIRST, more=[dialysis, lab("creatinine", 1.6, 9 * D)]), "cidofovir-contraindicated")
        == "critical"
    )
    assert (
        severity(given(FIRST, more=[dialysis, lab("protein", 100, 9 * D)]), "cidofovir-contraindicated") == "critical"
    )


def test_each_dose_is_judged_anew():
    events = given(FIRST, FIRST + 7 * D, more=[lab("protein", 100, 9 * D), lab("protein", 30, FIRST + 6 * D)])
    assert said(alerts(events), "cidofovir-contraindicated") == [("raised", "critical"), ("resolved", "critical")]


# Tests before the dose --------------------------------------------------------------------------------------------


def before(at, *names):
    values = {"creatinine": 1.0, "protein": 0, "anc": 3.0}
    return [lab(name, values[name], at) for name in names]


ALL = ("creatinine", "protein", "anc")


@pytest.mark.parametrize("absent", ALL)
def test_each_missing_test_is_said_2_h_after_the_charting(absent):
    names = [name for name in ALL if name != absent]
    events = given(FIRST, more=before(9 * D, *names))
    assert severity(events, "cidofovir-predose-labs-missing", FIRST + 2 * H - US) is None
    assert severity(events, "cidofovir-predose-labs-missing", FIRST + 2 * H) == "warning"


@pytest.mark.parametrize(
    ("at", "expected"),
    [(FIRST - 48 * H, None), (FIRST - 48 * H - US, "warning"), (FIRST, None), (FIRST + US, "warning")],
)
def test_collected_in_the_48_h_before(at, expected):
    events = given(FIRST, more=[*before(9 * D, "creatinine", "protein"), *before(at, "anc")])
    assert severity(events, "cidofovir-predose-labs-missing", FIRST + 2 * H) == expected


def test_a_missing_test_is_said_with_its_latest_result():
    events = given(FIRST, more=[lab("creatinine", 1.1, FIRST - 3 * D), *before(9 * D, "anc")])
    (change,) = [one for one in alerts(events, FIRST + 2 * H) if one.code == "cidofovir-predose-labs-missing"]
    assert change.title == "Cidofovir given without creatinine, urine protein of the 2 d before"
    assert "the 2 d before: creatinine (last 1.1 mg/dL, 3 d old), urine protein (none on file)." in change.detail


@pytest.mark.parametrize(("age", "stale"), [(7 * D, ""), (7 * D + US, ", older than advised")])
def test_a_dose_in_mg_is_said_with_the_weight_that_it_is_judged_by(age, stale):
    events = [patient(), lab("weight", 70, FIRST - age), dose("cidofovir", 560, FIRST)]
    (change,) = [one for one in alerts(events) if one.code == "cidofovir-dose"]
    assert change.title == "Cidofovir 560 mg (8 mg/kg): above 7.5 mg/kg"
    assert f"560 mg (8 mg/kg by 70 kg, 7 d old{stale}): above 7.5 mg/kg" in change.detail
    in_mg_per_kg = [patient(), lab("weight", 70, FIRST - age), dose("cidofovir", 8, FIRST, "mg/kg")]
    (change,) = [one for one in alerts(in_mg_per_kg) if one.code == "cidofovir-dose"]
    assert "8 mg/kg: above 7.5 mg/kg" in change.detail


def test_a_test_that_arrives_late_retracts():
    late = lab("anc", 3.0, 9 * D, recorded_at=FIRST + 5 * H)
    events = given(FIRST, more=[*before(9 * D, "creatinine", "protein"), late])
    assert said(alerts(events), "cidofovir-predose-labs-missing") == [("raised", "warning"), ("retracted", "warning")]


def test_one_episode_while_each_next_dose_fails_too():
    events = given(FIRST, FIRST + 7 * D)
    changes = alerts(events, FIRST + 8 * D)
    assert [one for one, _ in said(changes, "cidofovir-predose-labs-missing")].count("raised") == 1
    whole = given(FIRST, FIRST + 7 * D, more=before(FIRST + 6 * D, *ALL))
    assert said(alerts(whole, FIRST + 8 * D), "cidofovir-predose-labs-missing")[-1] == ("resolved", "warning")


# Dose and interval ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per_kg", "expected"), [(5.5, None), (5.51, "warning"), (7.5, "warning"), (7.51, "critical"), (5, None)]
)
def test_dose(per_kg, expected):
    events = [patient(), WEIGHT, dose("cidofovir", per_kg, FIRST, "mg/kg")]
    assert severity(events, "cidofovir-dose") == expected


@pytest.mark.parametrize(("gap", "expected"), [(6 * D - US, "critical"), (6 * D, None)])
def test_interval_of_the_first_two(gap, expected):
    assert severity(given(FIRST, FIRST + gap), "cidofovir-dose") == expected


@pytest.mark.parametrize(
    ("gap", "expected"), [(6 * D - US, "critical"), (6 * D, "warning"), (12 * D - US, "warning"), (12 * D, None)]
)
def test_interval_from_the_third_dose(gap, expected):
    assert severity(given(FIRST, FIRST + 7 * D, FIRST + 7 * D + gap), "cidofovir-dose") == expected


@pytest.mark.parametrize(("per_kg", "expected"), [(1.5, None), (1.51, "critical")])
def test_small_doses_have_their_own_intervals(per_kg, expected):
    doses = [dose("cidofovir", per_kg, FIRST + i * 2 * D, "mg/kg") for i in range(4)]
    assert severity([patient(), WEIGHT, *doses], "cidofovir-dose") == expected


@pytest.mark.parametrize(("per_kg", "expected"), [(3.3, None), (3.31, "warning")])
def test_dose_while_reduction_is_due(per_kg, expected):
    second = dose("cidofovir", per_kg, FIRST + 7 * D, "mg/kg")
    events = given(FIRST, more=[*creatinines((1.0, MG, ZERO), (1.3, MG, FIRST + 6 * D)), second])
    assert severity(events, "cidofovir-dose") == expected


def test_the_next_right_dose_ends_it():
    changes = alerts(given(FIRST, FIRST + 5 * D, FIRST + 20 * D))
    assert said(changes, "cidofovir-dose") == [("raised", "critical"), ("resolved", "critical")]
    (raised,) = [one for one in changes if one.code == "cidofovir-dose" and one.status == "raised"]
    assert (raised.drug, raised.subject) == ("cidofovir", None)
    assert raised.evidence
    assert raised.references


# Co-causes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "code"), [(1.3, "cidofovir-reduce-dose"), (1.5, "cidofovir-stop")])
def test_other_reasons_for_the_rise_are_named(value, code):
    def change(*more):
        events = given(FIRST, more=[*creatinines((1.0, MG, ZERO), (value, MG, 12 * D)), *more])
        return next(one for one in alerts(events) if one.code == code)

    others = [dose("tacrolimus", 3, 11 * D, route="oral"), dose("foscarnet", 90, FIRST - D, "mg/kg")]
    mimic = dose("trimethoprim", 160, 11 * D, route="oral")
    found = change(*others, mimic)
    assert "Other nephrotoxic drugs within 7 d: foscarnet (3 d before), tacrolimus (24 h before)" in found.detail
    assert "Trimethoprim (first given 2026-01-12 00:00 UTC) raises creatinine without a change" in found.detail
    assert mimic["event_id"] in {one.event_id for one in found.evidence}
    alone = change()
    assert "nephrotoxic" not in alone.detail
    assert "filtration" not in alone.detail


@pytest.mark.parametrize(("before", "named"), [(7 * D, True), (7 * D + US, False)])
def test_other_nephrotoxic_drugs_are_named_for_7_d(before, named):
    events = given(FIRST, more=[*creatinines((1.0, MG, ZERO), (1.5, MG, 16 * D))])
    events.append(dose("gentamicin", 300, 16 * D - before))
    (change,) = [one for one in alerts(events) if one.code == "cidofovir-stop"]
    assert ("gentamicin" in change.detail) == named
