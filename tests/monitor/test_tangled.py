"""Several antivirals at once: which of their doses and courses a rule of the virus speaks of."""

from tests.monitor.case import US, ZERO, D, dose, every, lab, patient, severity

WHO = [patient(), lab("weight", 70, -D), lab("creatinine", 0.9, -D)]
CLEAR = "viral-clearance"
USUAL = {"ganciclovir": 350, "foscarnet": 6300, "maribavir": 400, "cidofovir": 350, "valganciclovir": 900}


def doses(drug, gap, start, end, label="treatment"):
    return [dose(drug, USUAL[drug], at, indication=label) for at in every(gap, start, end)]


def clear(*days):
    return [lab("cmv", "not-detected", day * D) for day in days]


# Clearance -----------------------------------------------------------------------------------------------------------


def test_clearance_ends_8_weeks_after_the_course_that_goes_on_where_a_label_parts_a_therapy():
    # One dose of cidofovir joins maribavir and foscarnet, until its second dose is called prophylaxis.
    joined = [*doses("maribavir", D, ZERO, 2 * D), dose("cidofovir", 350, 4 * D), *doses("foscarnet", D, 6 * D, 29 * D)]
    parted = dose("cidofovir", 350, 14 * D, indication="prophylaxis")
    events = [*WHO, lab("cmv", 5_000, ZERO), *joined, *clear(3, 10), parted]
    assert severity(events, CLEAR, (29 + 56) * D) == "info"
    assert severity(events, CLEAR, (29 + 56) * D + US) is None
