"""Combinations: interactions, doses beside other drugs, drugs given in alternation."""

import pytest

from tests.monitor.case import US, ZERO, D, H, alerts, dose, every, lab, patient, said, severity


def ors(drug, at=ZERO, amount=100, **more):
    return dose(drug, amount, at, route="oral", **more)


# Letermovir and ciclosporin ------------------------------------------------------------------------------------------

LETERMOVIR = "letermovir-ciclosporin-dose"


def letermovir(amount, *others, age="1975-07-01", at=3 * D, split=False):
    doses = [dose("letermovir", amount / 2, at - 12 * H), dose("letermovir", amount / 2, at)] if split else []
    return [patient(birth_date=age), *(doses or [dose("letermovir", amount, at)]), *others]


@pytest.mark.parametrize(
    ("amount", "others", "expected"),
    [
        (480, [ors("ciclosporin", 3 * D - 72 * H)], "warning"),
        (480, [ors("ciclosporin", 3 * D - 72 * H - US)], None),
        (240, [ors("ciclosporin", 3 * D - 72 * H)], None),
        (240, [ors("tacrolimus", 2 * D, 2)], "warning"),
        (240, [ors("sirolimus", 2 * D, 2)], "warning"),
        (240, [ors("everolimus", 2 * D, 1)], "warning"),
        (480, [ors("tacrolimus", 2 * D, 2)], None),
        (240, [], None),
        (480, [], None),
        (480, [dose("ciclosporin", 100, 2 * D, route="ophthalmic")], None),
    ],
)
def test_letermovir_by_ciclosporin(amount, others, expected):
    assert severity(letermovir(amount, *others), LETERMOVIR, 3 * D + H) == expected


def test_letermovir_after_ciclosporin_was_stopped_in_the_course():
    doses = [dose("letermovir", 240, at) for at in every(24 * H, ZERO, 6 * D)]
    events = [patient(), ors("ciclosporin", H), *doses]
    assert severity(events, LETERMOVIR, 3 * D + H) is None
    assert severity(events, LETERMOVIR, 4 * D + H) == "warning"
    right = [*events, dose("letermovir", 480, 7 * D)]
    assert severity(right, LETERMOVIR, 7 * D + H) is None


def test_letermovir_counts_the_doses_of_12_hours_and_adults_alone():
    partner = ors("ciclosporin", 2 * D)
    assert severity(letermovir(480, partner, split=True), LETERMOVIR, 3 * D + H) == "warning"
    assert severity(letermovir(480, partner, age="2008-02-01"), LETERMOVIR, 3 * D + H) is None
    assert severity(letermovir(480, partner, age="2008-01-02"), LETERMOVIR, 3 * D + H) == "warning"


# Maribavir and inducers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inducer", "least"), [("carbamazepine", 800), ("phenytoin", 1200), ("phenobarbital", 1200)])
def test_maribavir_with_an_inducer(inducer, least):
    code = "maribavir-inducer-dose"
    for amount, expected in ((least, None), (least - 200, "warning")):
        events = [patient(), ors(inducer, D), dose("maribavir", amount, 2 * D)]
        assert severity(events, code, 2 * D + H) == expected
    for at, expected in ((2 * D - 48 * H, "warning"), (2 * D - 48 * H - US, None)):
        assert severity([patient(), ors(inducer, at), dose("maribavir", 400, 2 * D)], code, 2 * D) == expected
    over = [patient(), ors(inducer, D), dose("maribavir", 400, 2 * D)]
    assert severity(over, code, 3 * D) == "warning"
    assert severity(over, code, 3 * D + US) is None


# Turn by turn --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "one", "other"),
    [
        ("maribavir-ganciclovir", "maribavir", "ganciclovir"),
        ("maribavir-ganciclovir", "maribavir", "valganciclovir"),
        ("duplicate-ganciclovir", "ganciclovir", "valganciclovir"),
    ],
)
def test_turn_by_turn_with_outer_doses_more_than_24_hours_apart(code, one, other):
    first, second = dose(one, 400, ZERO, indication="treatment"), dose(other, 400, 12 * H, indication="treatment")
    for a, b in ((one, other), (other, one)):
        start, middle = dose(a, 400, ZERO, indication="treatment"), dose(b, 400, 12 * H, indication="treatment")
        for gap, expected in ((24 * H, None), (24 * H + US, "critical")):
            last = dose(a, 400, gap, indication="treatment")
            assert severity([patient(), start, middle, last], code, 26 * H) == expected
    hand_over = [patient(), first, *(dose(other, 400, 12 * H * i, indication="treatment") for i in range(1, 6)), second]
    assert severity(hand_over, code, 3 * D) is None
    both = [patient(), first, second, dose(one, 400, 25 * H, indication="treatment")]
    gap = 12 * H + (5 if other == "valganciclovir" else 4) * D
    end = min(gap, 25 * H + (3 if one == "maribavir" else 4) * D)
    assert severity(both, code, end) == "critical"
    assert severity(both, code, end + US) is None


# Interactions --------------------------------------------------------------------------------------------------------

PAIRS = [
    ("letermovir", "pimozide", "critical"),
    ("letermovir", "ergotamine", "critical"),
    ("letermovir", "dihydroergotamine", "critical"),
    ("foscarnet", "pentamidine", "critical"),
    ("ganciclovir", "imipenem", "warning"),
    ("valganciclovir", "imipenem", "warning"),
    ("ganciclovir", "zidovudine", "warning"),
    ("valganciclovir", "didanosine", "warning"),
    ("letermovir", "rifampin", "warning"),
    ("maribavir", "rifabutin", "warning"),
]


@pytest.mark.parametrize(("drug", "other", "expected"), PAIRS)
def test_both_within_24_hours(drug, other, expected):
    for gap, found in ((24 * H, expected), (24 * H + US, None)):
        for first, second in ((drug, other), (other, drug)):
            events = [patient(), dose(first, 300, ZERO), dose(second, 300, gap)]
            assert severity(events, "interaction", gap) == found
    events = [patient(), dose(drug, 300, ZERO), dose(other, 300, H)]
    (change,) = [one for one in alerts(events) if one.code == "interaction"]
    assert (change.drug, change.subject) == (drug, other)
    assert severity(events, "interaction", 48 * H) == expected
    assert severity(events, "interaction", 48 * H + US) is None


@pytest.mark.parametrize("statin", ["simvastatin", "pitavastatin"])
def test_letermovir_with_ciclosporin_and_a_statin(statin):
    two = [patient(), dose("letermovir", 240, ZERO), ors(statin, H, 20)]
    assert severity(two, "interaction", D) is None
    assert severity([*two, ors("ciclosporin", 2 * H)], "interaction", D) == "critical"


def test_local_doses_do_not_interact():
    inhaled = [patient(), dose("foscarnet", 6000, ZERO), dose("pentamidine", 300, H, route="inhaled")]
    assert severity(inhaled, "interaction", 2 * H) is None
    muscle = [patient(), dose("foscarnet", 6000, ZERO), dose("pentamidine", 300, H, route="im")]
    assert severity(muscle, "interaction", 2 * H) is None


def qt(*others):
    return [patient(), dose("foscarnet", 6000, ZERO), ors("ondansetron", H, 8), *others]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], "info"),
        ([ors("haloperidol", 2 * H, 2)], "warning"),
        ([lab("potassium", 3.4, H)], "warning"),
        ([lab("potassium", 3.5, H)], "info"),
        ([lab("magnesium", 1.6, H)], "warning"),
        ([lab("magnesium", 1.7, H)], "info"),
        ([lab("potassium", 3.4, H - 48 * H)], "warning"),
        ([lab("potassium", 3.4, H - 48 * H - US)], "info"),
    ],
)
def test_foscarnet_with_a_drug_that_prolongs_qt(others, expected):
    found = [one for one in alerts(qt(*others), 2 * H) if one.subject == "ondansetron"]
    # The first word of the moment at which all is known; a low result may grow too old an instant later.
    assert expected in {one.severity for one in found}
    assert (expected == "warning") == any(one.severity == "warning" for one in found)


def test_two_qt_drugs_say_so_of_each_other():
    changes = [one for one in alerts(qt(ors("haloperidol", 2 * H, 2)), 3 * H) if one.subject == "haloperidol"]
    assert [one.severity for one in changes] == ["warning"]
    assert "also ondansetron" in changes[0].detail


def test_a_combination_that_is_over_is_resolved():
    events = [patient(), dose("ganciclovir", 350, ZERO), dose("imipenem", 500, H)]
    assert said(alerts(events, 3 * D), "interaction") == [("raised", "warning"), ("resolved", "warning")]
