"""`nephrotoxic-combination`: another nephrotoxin within 7 d of a course of cidofovir, or 24 h of foscarnet."""

import pytest

from tests.monitor.case import US, D, H, alerts, dose, patient, severity

FIRST = 10 * D
CODE = "nephrotoxic-combination"
BOTH = (
    *("gentamicin", "tobramycin", "amikacin", "amphotericin b", "ibuprofen", "ketorolac", "naproxen", "diclofenac"),
    *("tenofovir disoproxil", "polymyxin b", "colistin", "neomycin", "plazomicin", "meloxicam", "celecoxib"),
)


def met(drug, other, apart, route="iv", until=None):
    events = [patient(), dose(drug, 5, FIRST, "mg/kg"), dose(other, 300, FIRST + apart, route=route)]
    return severity(events, CODE, until)


@pytest.mark.parametrize("other", [*BOTH, "foscarnet", "pentamidine", "vancomycin"])
@pytest.mark.parametrize(
    ("apart", "expected"),
    [(7 * D, "critical"), (7 * D + US, None), (-7 * D, "critical"), (-7 * D - US, None), (0 * D, "critical")],
)
def test_cidofovir_within_7_d(other, apart, expected):
    assert met("cidofovir", other, apart) == expected


@pytest.mark.parametrize("other", [*BOTH, "pentamidine", "vancomycin", "cisplatin", "methotrexate"])
@pytest.mark.parametrize(
    ("apart", "expected"), [(24 * H, "warning"), (24 * H + US, None), (-24 * H, "warning"), (-24 * H - US, None)]
)
def test_foscarnet_within_24_h(other, apart, expected):
    assert met("foscarnet", other, apart) == expected


@pytest.mark.parametrize("other", ["ciclosporin", "tacrolimus", "aciclovir"])
def test_named_in_aki_but_no_combination(other):
    assert met("foscarnet", other, H) is None


@pytest.mark.parametrize("other", ["cisplatin", "methotrexate"])
def test_not_of_cidofovirs_list(other):
    assert met("cidofovir", other, H) is None


@pytest.mark.parametrize(
    ("other", "route"),
    [("vancomycin", "oral"), ("gentamicin", "inhaled"), ("tobramycin", "ophthalmic"), ("pentamidine", "inhaled")],
)
@pytest.mark.parametrize("drug", ["cidofovir", "foscarnet"])
def test_local_routes_are_no_combination(drug, other, route):
    assert met(drug, other, H, route) is None
    assert met(drug, other, H) is not None


def test_oral_aminoglycosides_are_local():
    assert met("cidofovir", "amikacin", H, "oral") is None


def test_foscarnet_with_cidofovir_is_cidofovirs():
    events = [patient(), dose("cidofovir", 5, FIRST, "mg/kg"), dose("foscarnet", 90, FIRST + H, "mg/kg")]
    (change,) = [one for one in alerts(events) if one.code == CODE]
    assert (change.drug, change.subject, change.severity) == ("cidofovir", "foscarnet", "critical")
    assert {one.event_id for one in change.evidence} >= {events[1]["event_id"], events[2]["event_id"]}


def test_two_others_are_two_alerts():
    others = [dose(other, 300, FIRST + H) for other in ("gentamicin", "amphotericin b")]
    changes = alerts([patient(), dose("foscarnet", 90, FIRST, "mg/kg"), *others])
    assert {one.subject for one in changes if one.code == CODE} == {"gentamicin", "amphotericin b"}


@pytest.mark.parametrize(("drug", "over"), [("foscarnet", 48 * H), ("cidofovir", 7 * D)])
def test_over_when_either_is_older_than_the_window(drug, over):
    assert met(drug, "gentamicin", 0 * H, until=FIRST + over) is not None
    assert met(drug, "gentamicin", 0 * H, until=FIRST + over + US) is None


def around(*others, doses=(0, 15)):
    return [patient(), *(dose("cidofovir", 5, FIRST + day * D, "mg/kg") for day in doses), *others]


def test_the_window_of_cidofovir_spans_its_course():
    between = around(dose("vancomycin", 1000, FIRST + 7.5 * D))
    second = FIRST + 15 * D
    assert severity(between, CODE, second - US) is None
    assert severity(between, CODE, second) == "critical"
    assert severity(between, CODE, second + 7 * D) == "critical"
    assert severity(between, CODE, second + 7 * D + US) is None
    changes = [one for one in alerts(between, second + 8 * D) if one.code == CODE]
    assert "Within 7 d of the course of cidofovir" in changes[0].detail
    assert changes[-1].reason == "one of the drugs was not given for 7 d"


@pytest.mark.parametrize(("before", "expected"), [(7 * D, "critical"), (7 * D + US, None)])
def test_a_nephrotoxin_before_the_course_counts_from_its_first_dose(before, expected):
    assert severity(around(dose("gentamicin", 300, FIRST - before)), CODE, FIRST) == expected
    # The second dose is not the one that meets it.
    assert severity(around(dose("gentamicin", 300, FIRST - before)), CODE, FIRST + 15 * D) is None


def test_between_two_courses_of_cidofovir_the_second_has_its_own_window():
    events = around(dose("gentamicin", 300, FIRST + 14 * D), doses=(0, 22))
    assert severity(events, CODE, FIRST + 22 * D) is None
    near = around(dose("gentamicin", 300, FIRST + 15 * D), doses=(0, 22))
    assert severity(near, CODE, FIRST + 22 * D) == "critical"


def test_cidofovir_goes_on_beside_a_nephrotoxin_that_has_stopped():
    events = around(dose("gentamicin", 300, FIRST + D), doses=(0, 7))
    assert severity(events, CODE, FIRST + 7 * D) == "critical"
    assert severity(events, CODE, FIRST + 14 * D) == "critical"
    assert severity(events, CODE, FIRST + 14 * D + US) is None
