"""`nephrotoxic-combination`: cidofovir within 7 d of another nephrotoxin, foscarnet within 24 h."""

import pytest

from tests.monitor.case import US, D, H, alerts, dose, patient, said, severity

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


def test_a_nephrotoxin_that_was_washed_out_before_the_next_cidofovir_is_none():
    doses = [dose("cidofovir", 5, FIRST + day * D, "mg/kg") for day in (0, 15)]
    between = [patient(), *doses, dose("vancomycin", 1000, FIRST + 7.5 * D)]
    assert [one for one in alerts(between, FIRST + 22 * D) if one.code == CODE] == []
    stopped = [patient(), *doses, dose("vancomycin", 1000, FIRST + 3 * D)]
    # Said once, and not again 12 d after the vancomycin.
    assert said(alerts(stopped, FIRST + 22 * D), CODE) == [("raised", "critical"), ("resolved", "critical")]
