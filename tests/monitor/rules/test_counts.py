"""Neutropenia, thrombocytopenia, anemia, and a course started below the label's limits."""

import pytest

from tests.monitor.case import US, D, H, alerts, dose, lab, patient, said, severity, standing

FIRST = 10 * D
GANCICLOVIR, VALGANCICLOVIR = "ganciclovir", "valganciclovir"
CODES = {"anc": "neutropenia", "platelets": "thrombocytopenia", "hemoglobin": "anemia"}


def treated(*labs, drug=GANCICLOVIR, doses=(FIRST,)):
    return [patient(), *(dose(drug, 350, at) for at in doses), *labs]


@pytest.mark.parametrize(
    ("what", "value", "unit", "expected"),
    [
        ("anc", 1.0, None, None),
        ("anc", 0.99, None, "warning"),
        ("anc", 0.5, None, "warning"),
        ("anc", 0.49, None, "critical"),
        ("anc", 1000, "/uL", None),
        ("anc", 999, "/uL", "warning"),
        ("anc", 499, "/uL", "critical"),
        ("anc", 0.999, "10*9/L", "warning"),
        ("platelets", 50, None, None),
        ("platelets", 49.9, None, "warning"),
        ("platelets", 25, None, "warning"),
        ("platelets", 24.9, None, "critical"),
        ("platelets", 24900, "/uL", "critical"),
        ("hemoglobin", 8.0, None, None),
        ("hemoglobin", 7.9, None, "warning"),
        ("hemoglobin", 2.1, None, "warning"),
        ("hemoglobin", 80, "g/L", None),
        ("hemoglobin", 79.9, "g/L", "warning"),
    ],
)
@pytest.mark.parametrize("drug", [GANCICLOVIR, VALGANCICLOVIR])
def test_limits(drug, what, value, unit, expected):
    assert severity(treated(lab(what, value, FIRST + D, unit), drug=drug), CODES[what]) == expected


@pytest.mark.parametrize(
    ("what", "results", "ended"),
    [
        ("anc", [1.49], False),
        ("anc", [1.5], True),
        ("anc", [1.0], False),
        ("anc", [1.0, 1.0], True),
        ("anc", [1.0, 0.99, 1.0], False),
        ("platelets", [74], False),
        ("platelets", [75], True),
        ("platelets", [50], False),
        ("platelets", [50, 50], True),
        ("hemoglobin", [8.9], False),
        ("hemoglobin", [9.0], True),
        ("hemoglobin", [8.0], False),
        ("hemoglobin", [8.0, 8.0], True),
    ],
)
def test_recovery(what, results, ended):
    low = {"anc": 0.4, "platelets": 20, "hemoglobin": 7}[what]
    labs = [lab(what, value, FIRST + (i + 1) * D) for i, value in enumerate([low, *results])]
    assert (severity(treated(*labs), CODES[what]) is None) == ended


def test_between_limit_and_recovery_it_is_a_warning():
    assert severity(treated(lab("anc", 0.4, FIRST + D), lab("anc", 1.2, FIRST + 2 * D)), "neutropenia") == "warning"


@pytest.mark.parametrize(("what", "value"), [("anc", 0.4), ("platelets", 20), ("hemoglobin", 7)])
@pytest.mark.parametrize(("after", "exposed"), [(7 * D, True), (7 * D + US, False)])
def test_exposed_to_7_d_after_the_last_dose(what, value, after, exposed):
    events = treated(lab(what, value, FIRST + after))
    assert (severity(events, CODES[what]) is not None) == exposed


def test_ends_with_the_exposure():
    events = treated(lab("anc", 0.4, FIRST + D))
    assert severity(events, "neutropenia", FIRST + 7 * D) == "critical"
    assert severity(events, "neutropenia", FIRST + 7 * D + US) is None


@pytest.mark.parametrize(
    ("drug", "expected"),
    [
        ("cidofovir", {"neutropenia"}),
        ("foscarnet", set()),
        (GANCICLOVIR, {"neutropenia", "thrombocytopenia", "anemia"}),
    ],
)
def test_by_drug(drug, expected):
    low = [lab("anc", 0.4, FIRST + D), lab("platelets", 20, FIRST + D), lab("hemoglobin", 7, FIRST + D)]
    assert set(standing(alerts(treated(*low, drug=drug)))) & set(CODES.values()) == expected


def test_results_before_the_first_dose_raise_no_cytopenia():
    assert severity(treated(lab("anc", 0.7, FIRST - US)), "neutropenia") is None


@pytest.mark.parametrize(
    ("comparator", "value", "expected"),
    [("<", 0.5, "critical"), ("<", 1.0, "warning"), ("<", 1.01, None), (">", 0.4, None)],
)
def test_censored_counts(comparator, value, expected):
    assert severity(treated(lab("anc", value, FIRST + D, comparator=comparator)), "neutropenia") == expected


def test_the_drug_given_last_bears_the_alert():
    events = [*treated(lab("anc", 0.4, FIRST + 2 * D)), dose(VALGANCICLOVIR, 900, FIRST + D)]
    (change,) = [one for one in alerts(events) if one.code == "neutropenia"]
    assert (change.drug, change.subject) == (VALGANCICLOVIR, None)
    assert change.references
    assert change.evidence


# Started below the limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "value", "expected"),
    [
        ("anc", 0.5, None),
        ("anc", 0.49, "critical"),
        ("platelets", 25, None),
        ("platelets", 24.9, "critical"),
        ("hemoglobin", 8.0, None),
        ("hemoglobin", 7.9, "critical"),
    ],
)
def test_started_below(what, value, expected):
    assert severity(treated(lab(what, value, FIRST - D)), "started-below-count-limits") == expected


@pytest.mark.parametrize(("age", "expected"), [(7 * D, "critical"), (7 * D + US, None)])
def test_started_below_by_a_count_up_to_7_d_old(age, expected):
    assert severity(treated(lab("anc", 0.3, FIRST - age)), "started-below-count-limits") == expected


@pytest.mark.parametrize("drug", ["cidofovir", "foscarnet"])
def test_started_below_concerns_ganciclovir_alone(drug):
    assert severity(treated(lab("anc", 0.3, FIRST - D), drug=drug), "started-below-count-limits") is None


def test_started_below_is_asked_of_the_first_dose_alone_and_of_the_latest_count():
    better = [lab("anc", 0.3, FIRST - 2 * D), lab("anc", 0.6, FIRST - D)]
    assert severity(treated(*better), "started-below-count-limits") is None
    later = lab("anc", 0.3, FIRST + H)
    assert severity(treated(later, doses=(FIRST, FIRST + D)), "started-below-count-limits") is None


def test_started_below_stands_for_the_single_cytopenia_for_48_h():
    doses = [FIRST + i * 12 * H for i in range(8)]
    events = treated(lab("anc", 0.3, FIRST - D), lab("anc", 0.3, FIRST + D), doses=doses)
    assert severity(events, "neutropenia", FIRST + 48 * H) is None
    assert severity(events, "started-below-count-limits", FIRST + 48 * H) == "critical"
    assert severity(events, "neutropenia", FIRST + 49 * H) == "critical"


def test_started_below_ends_with_counts_above_or_the_course():
    low = lab("anc", 0.3, FIRST - D)
    assert said(alerts(treated(low, lab("anc", 0.5, FIRST + D))), "started-below-count-limits")[-1][0] == "resolved"
    assert severity(treated(low), "started-below-count-limits", FIRST + 4 * D) == "critical"
    assert severity(treated(low), "started-below-count-limits", FIRST + 4 * D + US) is None


# A percentage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("apart", "expected"), [(0 * H, "warning"), (US, None)])
def test_a_percentage_counts_with_the_leukocytes_of_its_sample(apart, expected):
    pair = [lab("neutrophil-percent", 45, FIRST + D), lab("wbc", 2.0, FIRST + D + apart)]
    assert severity(treated(*pair), "neutropenia") == expected


def test_a_count_of_the_sample_goes_before_the_percentage():
    at = FIRST + D
    labs = [lab("neutrophil-percent", 20, at), lab("wbc", 2.0, at), lab("anc", 1.8, at)]
    assert severity(treated(*labs), "neutropenia") is None
