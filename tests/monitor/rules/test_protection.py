"""Hydration and probenecid: judged 2 h after a dose's charting."""

from pathlib import Path

import pytest

from tests.monitor.case import MINUTE, US, D, H, alerts, dose, patient, plan, said, severity

FIRST = 10 * D
BEFORE, LATER = FIRST - 2 * H, FIRST + 3 * H
SALINE, GLUCOSE, RINGER = "sodium chloride", "glucose", "ringer's lactate"


def foscarnet(*fluids, size=90, at=FIRST, until=None, **other):
    """What stands of `hydration-missing` 3 h after a foscarnet dose, in mg/kg."""
    given = dose("foscarnet", size, at, "mg/kg", **other)
    return severity([patient(), given, *fluids], "hydration-missing", until or at + 3 * H)


def fluid(volume, at, end=None, what=SALINE, unit="mL"):
    more = {} if end is None else {"ended_at": end, "recorded_at": end}
    return dose(what, volume, at, unit, **more)


@pytest.mark.parametrize(("size", "volume"), [(60, 750), (90, 750)])
def test_before_the_first_dose_750_ml(size, volume):
    assert foscarnet(fluid(volume, BEFORE), size=size) is None
    assert foscarnet(fluid(volume - 1, BEFORE), size=size) == "warning"


@pytest.mark.parametrize(("size", "needed"), [(60, 500), (60.1, 750)])
def test_with_later_doses_by_size(size, needed):
    second = FIRST + 12 * H
    first = dose("foscarnet", 60, FIRST, "mg/kg")
    for volume, expected in ((needed, None), (needed - 1, "warning")):
        fluids = [fluid(1000, BEFORE), fluid(volume, second - H)]
        assert foscarnet(first, *fluids, size=size, at=second) == expected


@pytest.mark.parametrize("what", [SALINE, GLUCOSE, RINGER])
def test_saline_dextrose_and_ringers_count_together(what):
    assert foscarnet(fluid(750, BEFORE, what=what)) is None
    assert foscarnet(fluid(375, BEFORE, what=what), fluid(0.375, BEFORE + H, unit="L")) is None


@pytest.mark.parametrize(
    ("at", "expected"),
    [(FIRST - 6 * H, None), (FIRST - 6 * H - US, "warning"), (FIRST - US, None), (FIRST + H, "warning")],
)
def test_from_6_h_before_the_first_dose_to_its_start(at, expected):
    assert foscarnet(fluid(750, at), until=FIRST + 4 * H, ended_at=FIRST + 2 * H) == expected


def test_a_later_dose_counts_fluid_to_its_end():
    second = FIRST + 12 * H
    first = [dose("foscarnet", 90, FIRST, "mg/kg"), fluid(1000, BEFORE)]
    during = fluid(750, second, second + 2 * H)
    end = second + 2 * H
    assert foscarnet(*first, during, at=second, until=second + 5 * H, ended_at=end, recorded_at=end) is None


def test_by_share_of_time():
    # Half of 1500 mL lies in the 6 h before.
    assert foscarnet(fluid(1500, FIRST - 12 * H, FIRST)) is None
    assert foscarnet(fluid(1498, FIRST - 12 * H, FIRST)) == "warning"


def test_not_before_2_h_after_the_charting():
    charted = FIRST + H
    events = [patient(), dose("foscarnet", 90, FIRST, "mg/kg", recorded_at=charted)]
    assert severity(events, "hydration-missing", charted + 2 * H - US) is None
    assert severity(events, "hydration-missing", charted + 2 * H) == "warning"


def test_fluid_charted_late_retracts_and_the_next_dose_with_it_resolves():
    late = dose(SALINE, 1000, BEFORE, "mL", recorded_at=FIRST + 5 * H)
    events = [patient(), dose("foscarnet", 90, FIRST, "mg/kg")]
    assert said(alerts([*events, late]), "hydration-missing") == [("raised", "warning"), ("retracted", "warning")]
    second = [fluid(1000, FIRST + 10 * H), dose("foscarnet", 90, FIRST + 12 * H, "mg/kg")]
    assert said(alerts([*events, *second], FIRST + 14 * H), "hydration-missing") == [
        ("raised", "warning"),
        ("resolved", "warning"),
    ]


@pytest.mark.parametrize(
    ("at", "volume", "expected"),
    [
        (FIRST - 3 * H, 1000, None),
        (FIRST - 3 * H - US, 1000, "warning"),
        (FIRST - H, 999, "warning"),
        (FIRST + MINUTE, 1000, "warning"),
    ],
)
def test_cidofovir_needs_a_liter_of_saline_in_the_3_h_before(at, volume, expected):
    given = dose("cidofovir", 5, FIRST, "mg/kg")
    assert severity([patient(), given, fluid(volume, at)], "hydration-missing", LATER) == expected
    assert severity([patient(), given, fluid(volume, at, what=GLUCOSE)], "hydration-missing", LATER) == "warning"


def test_intravenous_alone():
    assert foscarnet(size=90, route="intravitreal") is None
    assert (
        severity([patient(), dose("cidofovir", 5, FIRST, "mg/kg", route="topical")], "hydration-missing", LATER) is None
    )


def test_a_site_that_charts_no_fluids_hears_nothing(tmp_path: Path):
    overlay = tmp_path / "site.toml"
    overlay.write_text("[rules.hydration-missing]\ncharts_fluids = false\n")
    events = [patient(), dose("foscarnet", 90, FIRST, "mg/kg")]
    assert severity(events, "hydration-missing", LATER, plan(overlay)) is None


# Probenecid -------------------------------------------------------------------------------------------------------


def probenecid(grams, before, size=5.0):
    given = dose("cidofovir", size, FIRST, "mg/kg")
    return severity([patient(), given, dose("probenecid", grams, FIRST - before, "g")], "probenecid-missing", LATER)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (1.5 * H, None),
        (1.5 * H - US, "warning"),
        (4.5 * H, None),
        (4.5 * H + US, "warning"),
        (3 * H, None),
    ],
)
def test_probenecid_1_5_to_4_5_h_before(before, expected):
    assert probenecid(2, before) == expected


@pytest.mark.parametrize(("grams", "expected"), [(2, None), (1.99, "warning")])
def test_probenecid_2_g(grams, expected):
    assert probenecid(grams, 3 * H) == expected


@pytest.mark.parametrize(("size", "expected"), [(1.5, "info"), (1.51, "warning")])
def test_small_doses_without_probenecid_are_info(size, expected):
    assert probenecid(1, 3 * H, size) == expected


def test_probenecid_tablets_add_up_and_local_cidofovir_needs_none():
    tablets = [dose("probenecid", 500, FIRST - 3 * H + i * MINUTE) for i in range(4)]
    given = dose("cidofovir", 5, FIRST, "mg/kg")
    assert severity([patient(), given, *tablets], "probenecid-missing", LATER) is None
    assert severity([patient(), given, *tablets[1:]], "probenecid-missing", LATER) == "warning"
    local = dose("cidofovir", 5, FIRST, "mg/kg", route="intravitreal")
    assert severity([patient(), local], "probenecid-missing", LATER) is None


@pytest.mark.parametrize(("unit", "said_"), [("mg", True), ("mg/kg", False)])
def test_without_a_weight_the_alert_says_what_could_not_be_judged(unit, said_):
    amount = 5 if unit == "mg/kg" else 350
    detail = _detail("probenecid-missing", patient(), dose("cidofovir", amount, FIRST, unit))
    assert ("Whether the dose is a small one could not be judged: its mg/kg is not known." in detail) == said_
    second = FIRST + 12 * H
    doses = [dose("foscarnet", amount, at, unit) for at in (FIRST, second)]
    fluids = [fluid(1000, BEFORE), fluid(400, second - H)]
    detail = _detail("hydration-missing", patient(), *doses, *fluids, until=second + 3 * H)
    assert ("at least 500 mL, the smaller volume, for the dose's mg/kg is not known." in detail) == said_
    # Before the first dose there is one volume alone, and cidofovir has no other.
    assert "smaller" not in _detail("hydration-missing", patient(), doses[0])
    assert "smaller" not in _detail("hydration-missing", patient(), dose("cidofovir", amount, FIRST, unit))


def _detail(code, *events, until=LATER):
    return [one.detail for one in alerts(events, until) if one.code == code][-1]
