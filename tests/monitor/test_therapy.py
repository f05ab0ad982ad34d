"""Joined therapy and intent where labels come late, are given twice, or take back what seemed treatment."""

import pytest

from tests.monitor.case import MINUTE, US, ZERO, D, H, alerts, dose, every, lab, patient, said, severity

WHO = [patient(), lab("weight", 70, -D), lab("creatinine", 0.9, -D)]


def doses(drug, amount, gap, days, start=ZERO, **more):
    return [dose(drug, amount, at, **more) for at in every(gap, start, start + days * D)]


def load(value, at, **more):
    return lab("cmv", value, at, **more)


def taken_back(start, **more):
    """A dose of foscarnet that no label explains, and one a day later whose label makes the course prophylaxis."""
    later = doses("foscarnet", 6300, D, 20, start + 2 * D)
    return [
        dose("foscarnet", 6300, start),
        dose("foscarnet", 6300, start + D, indication="prophylaxis", **more),
        *later,
    ]


def treated(days=20):
    # Each dose suffices for a day: no day is under-dosed.
    creatinines = [lab("creatinine", 0.9, at) for at in every(5 * D, ZERO, days * D)]
    return [*WHO, *creatinines, *doses("ganciclovir", 350, 12 * H, days, indication="treatment"), load(10_000, ZERO)]


@pytest.mark.parametrize(("label", "expected"), [("prophylaxis", None), ("treatment", "critical")])
def test_a_course_that_a_label_makes_prophylaxis_does_not_carry_a_therapy_on(label, expected):
    events = [*treated(), dose("foscarnet", 6300, 22 * D)]
    events += doses("foscarnet", 6300, D, 8, 23 * D, indication=label)
    events.append(load(200_000, 28 * D))
    assert severity(events, "refractory-cmv") == expected


def test_a_slow_response_ends_with_the_therapy_that_another_course_seemed_to_carry_on():
    events = [*treated(), load(9_000, 20 * D + H), *taken_back(22 * D)]
    # The course of ganciclovir is over 4 d after its last dose.
    assert severity(events, "slow-viral-response", 24 * D) == "info"
    assert severity(events, "slow-viral-response", 24 * D + US) is None


def test_refractory_virus_is_given_up_8_weeks_after_the_last_dose_of_treatment():
    events = [*treated(), load(200_000, 20 * D + H), *taken_back(30 * D)]
    assert severity(events, "refractory-cmv", 76 * D) == "critical"
    assert severity(events, "refractory-cmv", 76 * D + US) is None


def test_doses_between_stay_in_the_therapy_that_they_belong_to():
    # Cidofovir seems to join ganciclovir, until its second dose is called prophylaxis.
    events = [
        *treated(30),
        dose("cidofovir", 350, 10 * D),
        dose("foscarnet", 6300, 12 * D),
        dose("foscarnet", 6300, 13 * D, indication="prophylaxis"),
        load(9_000, 16 * D),
        dose("cidofovir", 350, 17 * D, indication="prophylaxis"),
    ]
    assert severity(events, "slow-viral-response", 34 * D) == "info"
    assert severity(events, "slow-viral-response", 34 * D + US) is None


def test_clearance_outlasts_a_course_that_a_label_takes_back():
    events = [
        load(5_000, -D),
        dose("cidofovir", 350, ZERO),
        *(lab("cmv", "not-detected", day * D) for day in (3, 10)),
        dose("cidofovir", 350, 14 * D, indication="prophylaxis"),
    ]
    assert severity([*WHO, *events], "viral-clearance", 15 * D) == "info"


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_administrations_that_are_one_dose_the_newest_label_holds(turned):
    labels = ["treatment", "prophylaxis"] if turned else ["prophylaxis", "treatment"]
    first = [dose("valganciclovir", 450, ZERO, indication=label, recorded_at=i * H) for i, label in enumerate(labels)]
    plain = dose("valganciclovir", 0.5, ZERO, recorded_at=5 * H)
    rest = doses("valganciclovir", 900, D, 9, D)
    # Viral loads are asked for in treatment, not on prophylaxis with valganciclovir.
    expected = None if turned else "warning"
    assert severity([*WHO, load(5_000, -D), *first, plain, *rest], "overdue-viral-load", 9 * D) == expected


def test_administrations_without_any_label_leave_the_intent_to_the_doses():
    events = [*WHO, *(dose("valganciclovir", 450, at) for at in every(D, ZERO, 5 * D) for _ in range(2))]
    assert severity(events, "overdue-viral-load", 9 * D) is None


def test_a_first_dose_that_seemed_prophylaxis_counts_in_the_window_of_induction():
    # 450 mg twice a day where 900 mg twice a day are right; the second dose says that it is treatment.
    events = [*WHO, load(5_000, -20 * D), *doses("valganciclovir", 450, 12 * H, 3)]
    assert severity(events, "dose-below-renal-band", 3 * D - US) is None
    assert severity(events, "dose-below-renal-band", 3 * D) == "warning"


def test_two_drugs_given_at_once_need_the_days_of_the_one_that_needs_more():
    both = [
        one
        for at in every(D, ZERO, 25 * D)
        for one in (
            dose("maribavir", 400, at, indication="treatment"),
            dose("valganciclovir", 900, at, indication="treatment"),
        )
    ]
    clear = [lab("cmv", "not-detected", at) for at in every(7 * D, 3 * D, 24 * D)]
    events = [*WHO, load(5_000, -D), *both, *clear, lab("lymphocytes", 0.9, 14 * D)]
    # 21 treatment days, not maribavir's 14.
    assert severity(events, "stop-criteria-met", 20 * D - MINUTE) is None
    assert severity(events, "stop-criteria-met", 20 * D) == "info"


def test_another_transplant_does_not_make_up_for_a_surveillance_pcr_that_was_missed():
    fields = {"transplant": "hct-allogeneic", "donor_cmv": "positive", "recipient_cmv": "positive"}
    again = patient(31 * D, transplant_at="2026-02-01T00:00:00Z", **fields)
    events = [patient(transplant_at="2026-01-01T00:00:00Z", **fields), lab("cmv", "not-detected", 18 * D), again]
    assert said(alerts(events, 33 * D), "overdue-surveillance") == [("raised", "warning")]
    # A PCR ends it, and the next is due by the new transplant.
    events.append(lab("cmv", "not-detected", 34 * D))
    assert said(alerts(events, 45 * D - MINUTE), "overdue-surveillance") == [
        ("raised", "warning"),
        ("resolved", "warning"),
    ]
    assert severity(events, "overdue-surveillance", 45 * D) == "warning"


def test_of_two_loads_of_one_sample_the_newer_holds_in_its_unit():
    who = patient(-D, transplant="hct-allogeneic", transplant_at="2025-12-01T00:00:00Z")
    events = [who, load("not-detected", ZERO), load(5_000, ZERO, recorded_at=H)]
    assert severity(events, "preemptive-treatment-indicated") == "warning"
