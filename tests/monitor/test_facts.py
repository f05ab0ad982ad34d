"""Versions, withdrawals, doubles and doses of one moment; what a change says of itself."""

import pytest

from monitor.events import Rejected
from monitor.identity import parts_of
from monitor.times import TimeError, age_span, parse_date, parse_duration, parse_time
from tests.monitor.case import MINUTE, US, ZERO, D, H, alerts, dose, lab, patient, run, said, severity

FIRST = 10 * D
FOSCARNET = [patient(), dose("foscarnet", 90, FIRST, "mg/kg")]


@pytest.mark.parametrize(
    ("comparator", "value", "expected"),
    [("<=", 2.99, "warning"), ("<=", 3.0, None), (">=", 2.0, None), (">=", 3.0, None)],
)
def test_a_bound_that_includes_its_number(comparator, value, expected):
    assert severity([*FOSCARNET, lab("potassium", value, FIRST + D, comparator=comparator)], "hypokalemia") == expected


@pytest.mark.parametrize(("comparator", "value", "ends"), [(">=", 3.0, True), (">", 2.9, False), ("<=", 5, False)])
def test_a_censored_value_ends_only_what_it_proves(comparator, value, ends):
    events = [
        *FOSCARNET,
        lab("potassium", 2.8, FIRST + D),
        lab("potassium", value, FIRST + 2 * D, comparator=comparator),
    ]
    assert (severity(events, "hypokalemia") is None) == ends


def test_of_censored_results_of_one_time_the_newest_recorded_holds():
    two = [lab("potassium", 3.0, FIRST + D, comparator="<"), lab("potassium", 4.0, FIRST + D, comparator=">")]
    for first, second, expected in ((0, 1, None), (1, 0, "warning")):
        pair = [{**two[first], "recorded_at": two[first]["collected_at"]}, {**two[second]}]
        pair[1]["recorded_at"] = "2026-01-12T01:00:00Z"
        assert severity([*FOSCARNET, *pair], "hypokalemia") == expected


def test_doses_of_one_start_are_one_dose():
    halves = [dose("cidofovir", 2.6, FIRST, "mg/kg") for _ in range(2)]
    assert severity([patient(), *halves], "cidofovir-dose") is None
    assert severity([patient(), *halves, dose("cidofovir", 1, FIRST, "mg/kg")], "cidofovir-dose") == "warning"


@pytest.mark.parametrize("status", ["entered-in-error", "not-done"])
def test_a_dose_taken_back_takes_its_alerts_with_it(status):
    wrong = dose("cidofovir", 9, FIRST, "mg/kg", event_id="A")
    back = {**wrong, "status": status, "recorded_at": "2026-01-11T05:00:00Z"}
    last = [one for one in alerts([patient(), wrong, back]) if one.code == "cidofovir-dose"][-1]
    assert last.status == "retracted"
    assert "not given or withdrawn" in (last.reason or "")


def test_a_dose_charted_as_not_done_and_then_as_given_counts():
    held = dose("cidofovir", 9, FIRST, "mg/kg", event_id="A", status="not-done")
    given = {**held, "status": "completed", "recorded_at": "2026-01-11T05:00:00Z"}
    assert severity([patient(), held], "cidofovir-dose") is None
    assert severity([patient(), held, given], "cidofovir-dose") == "critical"
    assert severity([patient(), given, held], "cidofovir-dose") == "critical"


def test_one_half_of_a_dose_withdrawn():
    halves = [dose("cidofovir", 4, FIRST, "mg/kg", event_id=name) for name in "AB"]
    back = {**halves[0], "status": "entered-in-error", "recorded_at": "2026-01-11T05:00:00Z"}
    assert severity([patient(), *halves], "cidofovir-dose") == "critical"
    assert severity([patient(), *halves, back], "cidofovir-dose") is None


def test_a_dose_of_nothing_is_no_dose():
    assert (
        severity([patient(), dose("cidofovir", 0, FIRST), dose("cidofovir", 5, FIRST + D, "mg/kg")], "cidofovir-dose")
        is None
    )


def test_an_unknown_unit_of_fluid_counts_for_none():
    # Given by weight, the fluid's volume is not known.
    weighed = dose("sodium chloride", 1000, FIRST - H, "mg")
    by_mouth = dose("sodium chloride", 1000, FIRST - H, "mL", route="oral")
    assert severity([*FOSCARNET, weighed, by_mouth], "hydration-missing", FIRST + 3 * H) == "warning"


def test_a_reason_names_four_facts_and_counts_the_others():
    early = [lab("creatinine", 1.0, 9 * D + i * H, recorded_at=13 * D) for i in range(6)]
    rise = lab("creatinine", 2.0, 11 * D)
    lowered = [{**one, "value": 1.9} for one in early]
    base = lab("creatinine", 1.0, 8 * D, event_id="B")
    back = {**base, "status": "entered-in-error", "recorded_at": early[0]["recorded_at"]}
    changes = [one for one in alerts([*FOSCARNET, base, rise, *lowered, back]) if one.code == "aki"]
    assert changes[-1].status == "retracted"
    assert "more" in (changes[-1].reason or "")


@pytest.mark.parametrize(
    ("at", "words"),
    [(FIRST + H, "during the foscarnet infusion"), (FIRST + 3 * H, "after the end of the foscarnet infusion")],
)
def test_calcium_says_when_it_was_drawn(at, words):
    infusion = dose("foscarnet", 90, FIRST, "mg/kg", ended_at=FIRST + 2 * H, recorded_at=FIRST + 2 * H)
    (change,) = [one for one in alerts([patient(), infusion, lab("ionized", 0.8, at)]) if one.code == "hypocalcemia"]
    assert words in change.detail


def test_repletion_of_calcium_is_named():
    given = dose("calcium gluconate", 1, FIRST + H, "g")
    events = [*FOSCARNET, given, lab("ionized", 0.8, FIRST + 2 * H)]
    (change,) = [one for one in alerts(events) if one.code == "hypocalcemia"]
    assert "calcium gluconate" in change.detail


def test_a_censored_calcium_leaves_an_alert_as_it_is():
    events = [*FOSCARNET, lab("ionized", 0.95, FIRST + D), lab("ionized", 0.8, FIRST + D + H, comparator=">")]
    assert said(alerts(events), "hypocalcemia") == [("raised", "warning")]


def test_a_contraindication_that_hangs_on_the_sex_is_listed():
    events = [patient(sex="unknown"), lab("weight", 48, 9 * D), lab("creatinine", 1.0, 9 * D)]
    p = run([*events, dose("cidofovir", 5, FIRST, "mg/kg")])
    assert any(code == "cidofovir-contraindicated" and "sex" in reason for code, reason in p.unjudged())


@pytest.mark.parametrize("code", ["dose-above-renal-band", "dose-below-renal-band"])
def test_a_band_that_hangs_on_the_sex_is_listed(code):
    size = {"dose-above-renal-band": 5.0, "dose-below-renal-band": 2.5}[code]
    # 87.5 by creatinine, for a woman 0.85 of it: 67 and 57 mL/min; 87.5 and 74.
    value = {"dose-above-renal-band": 1.3, "dose-below-renal-band": 1.0}[code]
    who = [patient(sex="unknown"), lab("weight", 70, 9 * D), lab("creatinine", value, 9 * D), lab("cmv", 5000, 9 * D)]
    doses = [dose("ganciclovir", size, FIRST + i * 12 * H, "mg/kg", indication="treatment") for i in range(7)]
    p = run([*who, *doses])
    assert any(one == code and "sex" in reason for one, reason in p.unjudged())


def test_what_has_no_weight_is_listed():
    doses = [dose("foscarnet", 6000, FIRST + i * 8 * H, indication="treatment") for i in range(10)]
    events = [patient(), lab("creatinine", 0.8, 9 * D), lab("cmv", 5000, 9 * D), *doses]
    listed = {code for code, reason in run(events).unjudged() if "weight" in reason}
    assert {"dose-above-renal-band", "dose-below-renal-band"} <= listed


# Times ------------------------------------------------------------------------------------------------------------


def test_a_leap_day_has_its_birthday_on_the_first_of_march():
    born = parse_date("2008-02-29")
    assert age_span(born, parse_time("2026-02-28T23:59:59Z"))[0] == 17
    assert age_span(born, parse_time("2026-03-01T00:00:00Z"))[0] == 18
    assert age_span(born, parse_time("2028-02-29T00:00:00Z"))[0] == 20


@pytest.mark.parametrize("text", ["1899-12-31", "2101-01-01", "2026-02-30", "soon"])
def test_what_is_no_date(text):
    with pytest.raises(TimeError):
        parse_date(text)


@pytest.mark.parametrize("text", ["48", "h", "", "0 h", "-1 d", "x h", "nan h"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_duration(text)


def test_durations():
    assert parse_duration("90 min") == parse_duration("1.5 h") == 90 * MINUTE // US


def test_what_is_no_alert_id():
    assert parts_of("aki") is None
    assert parts_of("aki/foscarnet/-/0") == ("aki", "foscarnet", None)


def test_a_known_antiviral_is_not_given_by_volume():
    with pytest.raises(Rejected, match="unit: not known for foscarnet"):
        alerts([dose("foscarnet", 100, ZERO, "mL")])


def test_a_result_that_was_cancelled_and_comes_after_all_counts():
    low = lab("potassium", 2.8, FIRST + D)
    cancelled = {**low, "status": "cancelled"}
    final = {**low, "status": "final", "recorded_at": "2026-01-12T01:00:00Z"}
    assert severity([*FOSCARNET, cancelled], "hypokalemia") is None
    assert severity([*FOSCARNET, cancelled, final], "hypokalemia") == "warning"
