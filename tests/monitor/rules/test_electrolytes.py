"""Calcium, magnesium, potassium, phosphate on foscarnet."""

import pytest

from tests.monitor.case import US, D, H, alerts, dose, lab, patient, said, severity

FIRST = 10 * D
AT = FIRST + D
CODE = {"magnesium": "hypomagnesemia", "potassium": "hypokalemia", "phosphate": "hypophosphatemia"}
MMOL, MG = "mmol/L", "mg/dL"


def treated(*labs, drug="foscarnet"):
    return [patient(), dose(drug, 90, FIRST, "mg/kg"), *labs]


def calcium(*labs):
    return severity(treated(*labs), "hypocalcemia")


@pytest.mark.parametrize(
    ("what", "value", "unit", "expected"),
    [
        ("magnesium", 1.2, MG, None),
        ("magnesium", 1.19, MG, "warning"),
        ("magnesium", 0.9, MG, "warning"),
        ("magnesium", 0.89, MG, "critical"),
        ("magnesium", 0.50, MMOL, None),
        ("magnesium", 0.499, MMOL, "warning"),
        ("magnesium", 0.40, MMOL, "warning"),
        ("magnesium", 0.399, MMOL, "critical"),
        ("potassium", 3.0, MMOL, None),
        ("potassium", 2.99, MMOL, "warning"),
        ("potassium", 2.5, MMOL, "warning"),
        ("potassium", 2.49, MMOL, "critical"),
        ("potassium", 2.49, "meq/L", "critical"),
        ("phosphate", 2.0, MG, None),
        ("phosphate", 1.99, MG, "warning"),
        ("phosphate", 1.0, MG, "warning"),
        ("phosphate", 0.99, MG, "critical"),
        ("phosphate", 0.65, MMOL, None),
        ("phosphate", 0.649, MMOL, "warning"),
        ("phosphate", 0.32, MMOL, "warning"),
        ("phosphate", 0.319, MMOL, "critical"),
    ],
)
def test_limits(what, value, unit, expected):
    assert severity(treated(lab(what, value, AT, unit)), CODE[what]) == expected


@pytest.mark.parametrize(
    ("what", "value", "unit", "expected"),
    [
        ("ionized", 1.0, MMOL, None),
        ("ionized", 0.99, MMOL, "warning"),
        ("ionized", 0.9, MMOL, "warning"),
        ("ionized", 0.89, MMOL, "critical"),
        ("calcium", 8.0, MG, None),
        ("calcium", 7.99, MG, "warning"),
        ("calcium", 7.0, MG, "warning"),
        ("calcium", 6.99, MG, "critical"),
        ("calcium", 2.0, MMOL, None),
        ("calcium", 1.99, MMOL, "warning"),
        ("calcium", 1.75, MMOL, "warning"),
        ("calcium", 1.74, MMOL, "critical"),
    ],
)
def test_calcium_limits(what, value, unit, expected):
    assert calcium(lab(what, value, AT, unit)) == expected


@pytest.mark.parametrize("what", ["magnesium", "potassium", "phosphate", "ionized"])
@pytest.mark.parametrize(("after", "exposed"), [(2 * D, True), (2 * D + US, False)])
def test_exposed_to_2_d_after_the_last_dose(what, after, exposed):
    value = {"magnesium": 0.5, "potassium": 2, "phosphate": 0.5, "ionized": 0.8}[what]
    code = CODE.get(what, "hypocalcemia")
    assert (severity(treated(lab(what, value, FIRST + after)), code) is not None) == exposed
    assert severity(treated(lab(what, value, FIRST - US)), code) is None
    assert severity(treated(lab(what, value, AT), drug="ganciclovir"), code) is None


@pytest.mark.parametrize("what", ["magnesium", "potassium", "phosphate"])
def test_ends_back_above_or_with_the_exposure(what):
    low, back = {"magnesium": (1.0, 1.2), "potassium": (2.8, 3.0), "phosphate": (1.5, 2.0)}[what]
    events = treated(lab(what, low, AT))
    assert severity(events, CODE[what], FIRST + 2 * D) == "warning"
    assert severity(events, CODE[what], FIRST + 2 * D + US) is None
    changes = alerts([*events, lab(what, back, AT + H)])
    assert said(changes, CODE[what]) == [("raised", "warning"), ("resolved", "warning")]


# Albumin ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "albumin", "expected"),
    [
        (7.2, 3.0, None),  # 7.2 + 0.8 x 1.0 is 8.0
        (7.19, 3.0, "warning"),
        (6.2, 3.0, "warning"),
        (6.19, 3.0, "critical"),
        (8.3, 4.5, "warning"),  # 8.3 - 0.4
    ],
)
def test_total_is_corrected_for_albumin(total, albumin, expected):
    assert calcium(lab("calcium", total, AT), lab("albumin", albumin, AT - H)) == expected


@pytest.mark.parametrize(("total", "expected"), [(1.8, None), (1.79, "warning")])
def test_total_is_corrected_in_si_units(total, expected):
    # 0.02 mmol/L for each g/L below 40.
    assert calcium(lab("calcium", total, AT, MMOL), lab("albumin", 30, AT, "g/L")) == expected


@pytest.mark.parametrize(("age", "expected"), [(48 * H, None), (48 * H + US, "warning")])
def test_albumin_up_to_48_h_old(age, expected):
    assert calcium(lab("albumin", 2.0, AT - age), lab("calcium", 7.0, AT)) == expected


@pytest.mark.parametrize(("before", "expected"), [(2 * H, None), (2 * H + US, "warning")])
def test_ionized_decides_if_collected_up_to_2_h_before_the_total(before, expected):
    assert calcium(lab("ionized", 1.2, AT - before), lab("calcium", 7.5, AT)) == expected


def test_ionized_decides_after_the_total_and_else_the_worse():
    assert calcium(lab("calcium", 7.5, AT), lab("ionized", 1.2, AT + 10 * H)) is None
    assert calcium(lab("ionized", 0.85, AT - 3 * H), lab("calcium", 9.0, AT)) == "critical"
    assert calcium(lab("ionized", 0.85, AT), lab("calcium", 9.0, AT)) == "critical"


def test_the_alert_shows_its_grounds():
    low = lab("ionized", 0.85, AT)
    (change,) = [one for one in alerts(treated(low)) if one.code == "hypocalcemia"]
    assert (change.drug, change.subject, change.onset_at) == ("foscarnet", None, "2026-01-12T00:00:00Z")
    assert change.evidence[0].event_id == low["event_id"]
    assert any(one.startswith("Foscarnet") for one in change.references)


@pytest.mark.parametrize(("comparator", "value", "expected"), [("<", 3.0, "warning"), ("<", 3.1, None), (">", 2, None)])
def test_censored_potassium(comparator, value, expected):
    assert severity(treated(lab("potassium", value, AT, comparator=comparator)), "hypokalemia") == expected


@pytest.mark.parametrize(
    ("what", "value", "other", "printed"),
    [
        ("magnesium", 1.0, "amphotericin b", "amphotericin B"),
        ("magnesium", 1.0, "tacrolimus", "tacrolimus"),
        ("magnesium", 1.0, "ciclosporin", "ciclosporin"),
        ("potassium", 2.8, "amphotericin b", "amphotericin B"),
        ("phosphate", 1.5, "amphotericin b", "amphotericin B"),
        ("ionized", 0.95, "pentamidine", "pentamidine"),
    ],
)
@pytest.mark.parametrize(("before", "named"), [(7 * D, True), (7 * D + US, False)])
def test_other_drugs_that_lower_it_are_named_for_7_d(what, value, other, printed, before, named):
    code = CODE.get(what, "hypocalcemia")
    events = treated(lab(what, value, AT), dose(other, 100, AT - before))
    (change,) = [one for one in alerts(events) if one.code == code]
    assert (f"Also lowered by drugs of the last 7 d: {printed} (7 d before)" in change.detail) == named
