"""Foscarnet's kidney stop and its infusion rate."""

import pytest

from tests.monitor.case import MINUTE, US, D, H, alerts, dose, lab, patient, said, severity

FIRST = 10 * D


def stop(creatinine, at=FIRST, birth="1960-06-01", more=(), until=None, **who):
    """What stands of `foscarnet-renal-stop` after one dose and one creatinine."""
    events = [patient(birth_date=birth, **who), dose("foscarnet", 50, FIRST, "mg/kg"), *more]
    return severity([*events, lab("creatinine", creatinine, at)], "foscarnet-renal-stop", until)


@pytest.mark.parametrize(("creatinine", "expected"), [(2.6, None), (2.61, "critical"), (2.7, "critical")])
def test_stop_below_0_4(creatinine, expected):
    # 65 years: 75 / (72 x 2.604) is 0.4.
    assert stop(creatinine) == expected


def test_exactly_0_4_is_dosable():
    # 68 years: 72 / (72 x 2.5) is 0.4.
    assert stop(2.5, birth="1957-06-01") is None
    assert stop(2.51, birth="1957-06-01") == "critical"


def test_worked_check_needs_no_weight():
    assert stop(2.7) == "critical"
    assert stop(2.7, sex="female") == "critical"
    assert stop(2.3, sex="female") == "critical"
    assert stop(2.3) is None


@pytest.mark.parametrize("at", [FIRST - 7 * D, FIRST - H])
def test_a_creatinine_up_to_7_d_old(at):
    assert stop(3.0, at) == "critical"
    assert stop(3.0, FIRST - 7 * D - US) is None


def test_not_on_dialysis_not_under_18_not_without_a_verdict_by_both_factors():
    assert stop(3.0, more=[patient(9 * D, dialysis=True)]) is None
    assert stop(9.0, birth="2010-01-01") is None
    assert stop(3.0, sex="unknown") == "critical"
    assert stop(2.5, sex="unknown") is None
    assert stop(1.0, sex="other") is None


def test_ends_with_the_clearance_or_the_course():
    events = [
        patient(birth_date="1960-06-01"),
        dose("foscarnet", 50, FIRST, "mg/kg"),
        lab("creatinine", 3.0, FIRST + H),
    ]
    assert severity(events, "foscarnet-renal-stop", FIRST + 4 * D) == "critical"
    assert severity(events, "foscarnet-renal-stop", FIRST + 4 * D + US) is None
    better = lab("creatinine", 2.0, FIRST + D)
    assert said(alerts([*events, better]), "foscarnet-renal-stop") == [("raised", "critical"), ("resolved", "critical")]


def test_stop_goes_before_the_band():
    doses = [dose("foscarnet", 90, FIRST + i * 12 * H, "mg/kg") for i in range(4)]
    events = [patient(birth_date="1960-06-01"), *doses, lab("creatinine", 3.0, FIRST - H)]
    assert severity(events, "foscarnet-renal-stop") == "critical"
    assert severity(events, "dose-above-renal-band") is None


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (100, None),  # 1.1 mg/kg/min of 110 mg/kg
        (99, "warning"),
        (56, "warning"),
        (55, "critical"),
        (54, "critical"),
    ],
)
def test_infusion_rate(minutes, expected):
    infusion = dose("foscarnet", 110, FIRST, "mg/kg", ended_at=FIRST + minutes * MINUTE)
    infusion["recorded_at"] = infusion["ended_at"]
    assert severity([patient(), infusion], "foscarnet-infusion-rate") == expected


def test_infusion_rate_by_weight():
    infusion = dose("foscarnet", 7000, FIRST, ended_at=FIRST + H, recorded_at=FIRST + H)
    assert severity([patient(), lab("weight", 70, 9 * D), infusion], "foscarnet-infusion-rate") == "warning"
    assert severity([patient(), lab("weight", 110, 9 * D), infusion], "foscarnet-infusion-rate") is None
    assert severity([patient(), infusion], "foscarnet-infusion-rate") is None


def test_an_infusion_without_an_end_has_no_rate():
    assert severity([patient(), dose("foscarnet", 110, FIRST, "mg/kg")], "foscarnet-infusion-rate") is None


def test_the_next_right_infusion_ends_it():
    ends = [(FIRST, 30 * MINUTE), (FIRST + 12 * H, 2 * H)]
    doses = [dose("foscarnet", 90, at, "mg/kg", ended_at=at + long, recorded_at=at + long) for at, long in ends]
    assert said(alerts([patient(), *doses]), "foscarnet-infusion-rate") == [
        ("raised", "critical"),
        ("resolved", "critical"),
    ]
