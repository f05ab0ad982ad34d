"""Implausible results and contaminated samples: said, and kept from every other rule."""

import pytest

from tests.monitor.case import US, D, H, alerts, dose, lab, patient, said, severity

FIRST = 10 * D
AT = FIRST + D


def treated(*labs, drug="foscarnet"):
    return [patient(), dose(drug, 90, FIRST, "mg/kg"), *labs]


@pytest.mark.parametrize(
    ("what", "low", "high"),
    [
        ("creatinine", 0.1, 25),
        ("anc", None, 100),
        ("lymphocytes", None, 500),
        ("cd4", None, 5000),
        ("platelets", None, 3000),
        ("hemoglobin", 2, 22),
        ("calcium", 3, 18),
        ("ionized", 0.4, 2.2),
        ("albumin", 0.5, 7),
        ("magnesium", 0.3, 10),
        ("potassium", 1.5, 10),
        ("phosphate", 0.3, 20),
        ("cmv", None, 1e10),
        ("weight", 2, 350),
    ],
)
def test_plausible_ranges_include_their_bounds(what, low, high):
    inside = [high] + ([low] if low else [0])
    outside = [high * 1.001] + ([low * 0.999] if low else [])
    for value in inside:
        assert severity(treated(lab(what, value, AT)), "implausible-result") is None
    for value in outside:
        assert severity(treated(lab(what, value, AT)), "implausible-result") == "info"


@pytest.mark.parametrize(("after", "expected"), [(14 * D, "info"), (14 * D + US, None), (-US, None)])
def test_from_the_first_dose_to_14_d_after_the_last(after, expected):
    assert severity(treated(lab("potassium", 99, FIRST + after)), "implausible-result") == expected


def test_two_analytes_are_two_alerts_and_each_ends_by_itself():
    odd = [lab("potassium", 99, AT), lab("magnesium", 99, AT)]
    changes = alerts(treated(*odd, lab("potassium", 4.0, AT + H)))
    raised = {one.subject for one in changes if one.code == "implausible-result" and one.status == "raised"}
    ended = {one.subject for one in changes if one.code == "implausible-result" and one.status == "resolved"}
    assert raised == {"potassium", "magnesium"}
    assert ended == {"potassium"}


def test_an_implausible_result_feeds_no_other_rule():
    assert severity(treated(lab("potassium", 1.0, AT)), "hypokalemia") is None
    creatinines = [lab("creatinine", 1.0, FIRST), lab("creatinine", 88, AT)]
    assert severity(treated(*creatinines), "aki") is None


# EDTA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("potassium", "calcium", "expected"),
    [(6.5, 5.9, None), (6.51, 5.99, "info"), (6.51, 6.0, None), (11, 2, "info")],
)
def test_suspect_sample(potassium, calcium, expected):
    labs = [lab("potassium", potassium, AT), lab("calcium", calcium, AT)]
    assert severity(treated(*labs), "suspect-sample") == expected
    assert (severity(treated(*labs), "hypocalcemia") is None) == (expected == "info")


def test_only_from_one_collection_time():
    assert severity(treated(lab("potassium", 8, AT), lab("calcium", 5, AT + US)), "suspect-sample") is None


def test_a_suspect_samples_cations_feed_no_other_rule():
    labs = [lab("potassium", 8, AT), lab("calcium", 5, AT), lab("magnesium", 0.8, AT), lab("ionized", 0.7, AT)]
    events = treated(*labs, lab("phosphate", 0.9, AT))
    assert severity(events, "hypocalcemia") is None
    assert severity(events, "hypomagnesemia") is None
    assert severity(events, "hypophosphatemia") == "critical"


def test_a_later_clean_sample_ends_it():
    labs = [lab("potassium", 8, AT), lab("calcium", 5, AT), lab("potassium", 4, AT + H), lab("calcium", 9, AT + H)]
    assert said(alerts(treated(*labs)), "suspect-sample") == [("raised", "info"), ("resolved", "info")]
