"""Several antivirals at once: which of their doses and courses a rule of the virus speaks of."""

import pytest

from tests.monitor.case import US, ZERO, D, H, dose, every, lab, patient, severity

WHO = [patient(), lab("weight", 70, -D), lab("creatinine", 0.9, -D)]
STEP, REBOUND, CLEAR = "step-down-due", "viral-rebound", "viral-clearance"
USUAL = {"ganciclovir": 350, "foscarnet": 6300, "maribavir": 400, "cidofovir": 350, "valganciclovir": 900}


def doses(drug, gap, start, end, label="treatment"):
    return [dose(drug, USUAL[drug], at, indication=label) for at in every(gap, start, end)]


def clear(*days):
    return [lab("cmv", "not-detected", day * D) for day in days]


# Step-down -----------------------------------------------------------------------------------------------------------


def induction_with(*more, until=22):
    """Induction with ganciclovir since day 0, and a virus that is gone on day 20."""
    return [*WHO, lab("cmv", 5_000, ZERO), *doses("ganciclovir", 12 * H, ZERO, until * D), *clear(20), *more]


def test_a_dose_of_prophylaxis_is_none_of_the_therapy_that_may_step_down():
    foscarnet = doses("foscarnet", 12 * H, ZERO, 21 * D)
    prophylaxis = dose("ganciclovir", 350, 21 * D + H, indication="prophylaxis")
    events = induction_with(*foscarnet, prophylaxis, until=20)
    assert severity(events, STEP, 25 * D) == "info"
    # The therapy's last dose was one of foscarnet, whose course ends 4 d after it.
    assert severity(events, STEP, 25 * D + US) is None


def test_a_course_that_prophylaxis_of_its_drug_has_replaced_is_over():
    prophylaxis = dose("ganciclovir", 350, 22 * D + H, indication="prophylaxis")
    assert severity(induction_with(), STEP, 22 * D + H) == "info"
    assert severity(induction_with(prophylaxis), STEP, 22 * D + H) is None


@pytest.mark.parametrize(
    ("induced", "maintained"), [("ganciclovir", "valganciclovir"), ("valganciclovir", "ganciclovir")]
)
def test_of_two_doses_at_one_moment_one_of_maintenance_is_the_step_down(induced, maintained):
    def events(second, label):
        both = [one for drug in (induced, maintained) for one in doses(drug, D, ZERO, 21 * D)]
        last = [dose(induced, USUAL[induced], 22 * D, indication="treatment")]
        last.append(dose(second, USUAL[second], 22 * D, indication=label))
        return [*WHO, lab("cmv", 5_000, ZERO), *both, *clear(20), *last]

    assert severity(events(maintained, "treatment"), STEP, 22 * D) == "info"
    assert severity(events(maintained, "maintenance"), STEP, 22 * D) is None


def test_a_dose_that_makes_two_therapies_one_brings_the_days_of_both():
    # Ganciclovir pauses longer than its course and its therapy last; the cidofovir of before goes on after that.
    early = [*doses("ganciclovir", 12 * H, ZERO, 22 * D), dose("cidofovir", 350, 20 * D, indication="treatment")]
    late = doses("ganciclovir", 12 * H, 36 * D, 39 * D)
    joining = dose("cidofovir", 350, 38 * D + H, indication="treatment")
    events = [*WHO, lab("cmv", 5_000, ZERO), *early, *late, *clear(37)]
    assert severity(events, STEP, 39 * D) is None
    assert severity([*events, joining], STEP, 38 * D) is None
    assert severity([*events, joining], STEP, 38 * D + H) == "info"


# Rebound -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "expected"), [(13, None), (14, "warning")])
def test_treatment_days_before_the_first_of_two_loads_are_those_of_the_therapy_that_it_came_to_be_in(days, expected):
    # The first of the two loads is of the first day of a new therapy, which cidofovir then joins to the one before.
    before = doses("maribavir", 12 * H, ZERO, days * D - H)
    after = doses("maribavir", 12 * H, (days + 3) * D, 26 * D)
    cidofovir = [dose("cidofovir", 350, at, indication="treatment") for at in (ZERO, 20 * D)]
    loads = [lab("cmv", 10_000, ZERO), lab("cmv", 1_000, 10 * D)]
    loads += [lab("cmv", 4_000, (days + 3) * D + H), lab("cmv", 4_000, 23 * D)]
    assert severity([*WHO, *before, *after, *cidofovir, *loads], REBOUND, 24 * D) == expected


# Clearance -----------------------------------------------------------------------------------------------------------


def test_clearance_ends_8_weeks_after_the_course_that_goes_on_where_a_label_parts_a_therapy():
    # One dose of cidofovir joins maribavir and foscarnet, until its second dose is called prophylaxis.
    joined = [*doses("maribavir", D, ZERO, 2 * D), dose("cidofovir", 350, 4 * D), *doses("foscarnet", D, 6 * D, 29 * D)]
    parted = dose("cidofovir", 350, 14 * D, indication="prophylaxis")
    events = [*WHO, lab("cmv", 5_000, ZERO), *joined, *clear(3, 10), parted]
    assert severity(events, CLEAR, (29 + 56) * D) == "info"
    assert severity(events, CLEAR, (29 + 56) * D + US) is None


# One therapy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "expected"), [(15 * D, "info"), (15 * D + US, None)])
def test_a_course_that_a_label_makes_treatment_joins_the_therapies_before_and_after_its_first_dose(first, expected):
    # Letermovir without a label is prophylaxis, until its second dose says that the course is treatment.
    before = doses("maribavir", D, ZERO, 12 * D)
    after = doses("foscarnet", D, 16 * D, 20 * D)
    letermovir = [dose("letermovir", 480, first), dose("letermovir", 480, 17 * D, indication="treatment")]
    loads = [lab("cmv", 10_000, ZERO), lab("cmv", 9_000, 18 * D)]
    events = [*WHO, *before, *after, *letermovir, *loads]
    assert severity(events, "slow-viral-response", 18 * D) == expected


def test_what_ended_with_a_therapy_stays_ended_where_a_label_joins_it_to_the_next():
    before = doses("maribavir", D, ZERO, 14 * D)
    after = doses("foscarnet", D, 18 * D, 20 * D)
    letermovir = [dose("letermovir", 480, 16 * D), dose("letermovir", 480, 18 * D + H, indication="treatment")]
    events = [*WHO, *before, *after, *letermovir, lab("cmv", 10_000, ZERO), lab("cmv", 9_000, 14 * D)]
    assert severity(events, "slow-viral-response", 17 * D) == "info"
    assert severity(events, "slow-viral-response", 17 * D + US) is None
    assert severity(events, "slow-viral-response", 19 * D) is None
    assert severity([*events, lab("cmv", 9_000, 19 * D)], "slow-viral-response", 19 * D) == "info"


def test_a_course_that_a_label_takes_back_has_carried_the_therapy_on_until_then():
    # Between two courses of maribavir only cidofovir goes on, which its second dose calls prophylaxis.
    before = [*doses("maribavir", D, ZERO, 18 * D), dose("maribavir", 400, 19 * D, indication="prophylaxis")]
    cidofovir = [dose("cidofovir", 350, ZERO), dose("cidofovir", 350, 21 * D, indication="prophylaxis")]
    events = [*WHO, *before, *cidofovir, lab("cmv", 10_000, ZERO), lab("cmv", 9_000, 18 * D)]
    assert severity(events, "slow-viral-response", 21 * D - US) == "info"
    assert severity(events, "slow-viral-response", 21 * D) is None
    again = dose("maribavir", 400, 21 * D, indication="treatment")
    assert severity([*events, again], "slow-viral-response", 21 * D) == "info"
    # The next dose of the same therapy does not undo that.
    assert severity([*events, again, *doses("maribavir", D, 22 * D, 23 * D)], "slow-viral-response", 23 * D) == "info"
