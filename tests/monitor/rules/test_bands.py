"""The labels' tables: every row and both sides of each bound; what is above and below a band, and how much."""

import pytest

from monitor.dosing import band_at
from monitor.units import MILLION
from tests.monitor.case import MINUTE, US, D, H, alerts, dose, every, lab, patient, plan, said, severity

FIRST = 10 * D
MG_KG = "mg/kg"

# (lowest clearance, whether it belongs to the row, induction columns, maintenance columns); doses as (size, hours)
FOSCARNET = [
    (1.4, False, [(60, 8), (90, 12)], [(90, 24), (120, 24)]),
    (1.0, False, [(45, 8), (70, 12)], [(70, 24), (90, 24)]),
    (0.8, False, [(50, 12), (50, 12)], [(50, 24), (65, 24)]),
    (0.6, False, [(40, 12), (80, 24)], [(80, 48), (105, 48)]),
    (0.5, False, [(60, 24), (60, 24)], [(60, 48), (80, 48)]),
    (0.4, True, [(50, 24), (50, 24)], [(50, 48), (65, 48)]),
]
GANCICLOVIR = [
    (70, True, [(5, 12)], [(5, 24), (6, 24)]),  # 6 mg/kg on 5 days a week
    (50, True, [(2.5, 12)], [(2.5, 24)]),
    (25, True, [(2.5, 24)], [(1.25, 24)]),
    (10, True, [(1.25, 24)], [(0.625, 24)]),
    (0, True, [(1.25, 56)], [(0.625, 56)]),  # three times a week
]
VALGANCICLOVIR = [
    (60, True, [(900, 12)], [(900, 24)]),
    (40, True, [(450, 12)], [(450, 24)]),
    (25, True, [(450, 24)], [(450, 48)]),
    (10, True, [(450, 48)], [(450, 84)]),  # twice weekly
]
ROWS = [
    (drug, *row)
    for drug, rows in (("foscarnet", FOSCARNET), ("ganciclovir", GANCICLOVIR), ("valganciclovir", VALGANCICLOVIR))
    for row in rows
]
INFUSIONS = [row for row in ROWS if row[0] != "valganciclovir"]  # tablets have a tolerance of their own


def columns(drug, crcl):
    """The columns of the band at a clearance, in millionths, as doses and hours; None below the last."""
    known = plan()
    band = band_at(known.drugs[known.drug_index[drug]].course.renal, crcl)
    if band is None:
        return None
    hour = 3600 * MILLION
    return [
        sorted({(dose / MILLION, every / hour) for dose, every in phase})
        for phase in (band.induction, band.maintenance)
    ]


@pytest.mark.parametrize(("drug", "bound", "included", "induction", "maintenance"), ROWS)
def test_every_row_of_the_labels_tables(drug, bound, included, induction, maintenance):
    row = [sorted(set(induction)), sorted(set(maintenance))]
    at = round(bound * MILLION)
    if drug == "ganciclovir" and bound == 70:
        assert columns(drug, at)[0] == row[0]
        assert set(columns(drug, at)[1]) <= set(row[1])
    else:
        assert columns(drug, at + 1) == row
        assert (columns(drug, at) == row) == included
    assert at == 0 or columns(drug, at - 1) != row


def course(drug, sizes, gap, crcl, *, unit=MG_KG, label="treatment", more=()):
    """Doses by one interval at a clearance, of a patient of 68 years for whom 1/creatinine is mL/min/kg; 70 kg."""
    creatinine = 1 / crcl if drug == "foscarnet" else 70 / crcl
    who = [patient(birth_date="1957-06-01"), lab("weight", 70, 9 * D), lab("creatinine", round(creatinine, 5), 9 * D)]
    doses = [dose(drug, size, FIRST + i * gap, unit, indication=label) for i, size in enumerate(sizes)]
    return [*who, *doses, *more]


def above(*args, **other):
    return severity(course(*args, **other), "dose-above-renal-band")


@pytest.mark.parametrize(("drug", "bound", "included", "induction", "maintenance"), ROWS)
def test_the_label_dose_of_every_row_is_in_band(drug, bound, included, induction, maintenance):
    crcl = _within(bound)
    unit = "mg" if drug == "valganciclovir" else MG_KG
    for label, phase in (("treatment", induction), ("maintenance", maintenance)):
        for size, hours in phase:
            assert above(drug, [size] * 6, hours * H, crcl, unit=unit, label=label) is None


@pytest.mark.parametrize(("drug", "bound", "included", "induction", "maintenance"), INFUSIONS)
@pytest.mark.parametrize(("share", "expected"), [(1.09, False), (1.11, True)])
def test_more_than_a_tenth_above_the_highest_column(drug, bound, included, induction, maintenance, share, expected):
    # The greatest in the window of 20 h, 40 h or 72 h.
    size, hours = max(induction, key=lambda one: one[0] * -(-_window(one[1]) // one[1]))
    assert (above(drug, [size * share] * 6, hours * H, _within(bound)) is not None) == expected
    size, hours = max(maintenance, key=lambda one: one[0] * -(-_window(one[1]) // one[1]))
    assert (above(drug, [size * share] * 6, hours * H, _within(bound), label="maintenance") is not None) == expected


def _within(bound):
    """A clearance of a row: not so near the next bound up that the next row would hold."""
    return bound * 1.05 if bound else 5


def _window(hours):
    return 20 if hours <= 24 else 40 if hours <= 48 else 72


@pytest.mark.parametrize(
    ("crcl", "expected"),
    [
        (1.3, None),  # less than a tenth below 1.4: the next band up
        (1.27, None),
        (1.25, "warning"),
    ],
)
def test_near_a_bound_the_next_band_up_holds(crcl, expected):
    assert above("foscarnet", [90] * 4, 12 * H, crcl) == expected


@pytest.mark.parametrize(("size", "expected"), [(99, None), (99.1, "warning"), (179.9, "warning"), (180, "critical")])
def test_severity_by_the_sum(size, expected):
    # 90 mg/kg every 12 h: two in 20 h.
    assert above("foscarnet", [size] * 4, 12 * H, 2.0) == expected


@pytest.mark.parametrize(("last", "expected"), [(8600, "critical"), (8599.9, "warning")])
def test_twice_the_sum_exactly_where_no_weight_divides_the_doses(last, expected):
    # Each dose is 118.57... mg/kg of 70 kg or so; three are 360 mg/kg, twice what the label permits.
    assert above("foscarnet", [8300, 8300, last], 10 * H, 2.0, unit="mg") == expected


def test_one_dose_too_large_alone_is_a_warning():
    assert above("foscarnet", [400], 12 * H, 2.0) == "warning"


def test_until_a_second_dose_the_larger_of_both_phases_holds():
    assert above("foscarnet", [120], 24 * H, 2.0) is None
    assert above("ganciclovir", [6], 24 * H, 90) is None
    # Of one dose the window permits two of 90.
    assert above("foscarnet", [198], 24 * H, 2.0) is None
    assert above("foscarnet", [198.1], 24 * H, 2.0) == "warning"


def test_below_the_last_band_of_tablets_the_other_ways_are_named():
    def advice(crcl):
        said = alerts(course("valganciclovir", [450] * 4, 12 * H, crcl, unit="mg"))
        return next(one.recommendation for one in said if one.code == "dose-above-renal-band")

    assert "ganciclovir intravenously" in advice(8)
    assert "intravenously" not in advice(28)


@pytest.mark.parametrize(("gap", "expected"), [(20 * H, "warning"), (20 * H + US, None)])
def test_the_sum_looks_back_20_h(gap, expected):
    assert above("ganciclovir", [5.0] * 2, gap, 90, label="maintenance") == ("warning" if expected else None)


@pytest.mark.parametrize(("per_kg", "expected"), [(6.6, None), (6.61, "warning")])
def test_ganciclovir_maintenance_up_to_6_and_a_tenth(per_kg, expected):
    assert above("ganciclovir", [per_kg] * 3, D, 90, label="maintenance") == expected


@pytest.mark.parametrize(
    ("sizes", "gap", "crcl", "label", "expected"),
    [
        ([900] * 4, 12, 67, "treatment", None),
        ([900] * 4, 12, 53, "treatment", "critical"),
        ([900] * 4, 24, 44, "prophylaxis", "warning"),
        ([450] * 4, 24, 28, "prophylaxis", "warning"),  # every 24 h where every 48 h is right: never above a warning
        ([450] * 4, 24, 11, "treatment", "warning"),
        ([450] * 4, 12, 44, "treatment", None),
        ([450] * 4, 12, 28, "treatment", "critical"),
        ([450] * 2, 84, 9, "prophylaxis", "critical"),
        ([900, 450, 900], 12, 67, "treatment", None),
    ],
)
def test_valganciclovir_tablets(sizes, gap, crcl, label, expected):
    assert above("valganciclovir", sizes, gap * H, crcl, unit="mg", label=label) == expected


def test_a_tablet_over_is_too_much():
    assert above("valganciclovir", [449 + 900], D, 45, unit="mg", label="prophylaxis") is None
    assert above("valganciclovir", [450 + 900] * 2, D, 45, unit="mg", label="prophylaxis") is not None


def test_not_on_dialysis():
    events = course("ganciclovir", [9] * 4, 12 * H, 8, more=[patient(8 * D, dialysis=True)])
    assert severity(events, "dose-above-renal-band") is None


def test_a_new_creatinine_is_judged_while_current():
    right = course("foscarnet", [90] * 4, 12 * H, 2.0)
    last = FIRST + 36 * H
    assert severity([*right, lab("creatinine", 1.2, last + 36 * H)], "dose-above-renal-band") == "warning"
    assert severity([*right, lab("creatinine", 1.2, last + 36 * H + US)], "dose-above-renal-band") is None


def test_a_later_dose_in_band_ends_it_and_the_alert_shows_its_grounds():
    doses = [*[150] * 3, *[90] * 3]
    changes = alerts(course("foscarnet", doses, 12 * H, 2.0))
    assert said(changes, "dose-above-renal-band")[-1][0] == "resolved"
    raised = next(one for one in changes if one.code == "dose-above-renal-band")
    assert (raised.drug, raised.subject) == ("foscarnet", None)
    assert any("creatinine" in one.text for one in raised.evidence)
    assert any(one.startswith("Foscarnet") for one in raised.references)


@pytest.mark.parametrize(("age", "expected"), [(7 * D, "warning"), (7 * D + US, None)])
def test_the_creatinine_is_at_most_7_d_old(age, expected):
    who = [patient(birth_date="1957-06-01"), lab("weight", 70, FIRST - H), lab("creatinine", 1.0, FIRST - age)]
    assert severity([*who, dose("foscarnet", 200, FIRST, MG_KG)], "dose-above-renal-band") == expected


@pytest.mark.parametrize(("age", "expected"), [(35 * D, "warning"), (35 * D + US, None)])
def test_in_prophylaxis_at_most_35_d(age, expected):
    start = 50 * D
    who = [patient(birth_date="1957-06-01"), lab("weight", 70, start - H), lab("creatinine", 2.0, start - age)]
    given = dose("valganciclovir", 1800, start, indication="prophylaxis")
    assert severity([*who, given], "dose-above-renal-band") == expected


@pytest.mark.parametrize(("age", "expected"), [(90 * D, "warning"), (90 * D + US, None)])
def test_a_weight_up_to_90_d_old(age, expected):
    start = 100 * D
    who = [patient(birth_date="1957-06-01"), lab("weight", 70, start - age), lab("creatinine", 3.0, start - H)]
    assert severity([*who, dose("ganciclovir", 20, start, MG_KG)], "dose-above-renal-band") == expected


# Cockcroft-Gault --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("birth", "sex", "creatinine", "unit", "figure", "right", "wrong"),
    [
        ("1975-07-01", "male", 1.0, "mg/dL", "1.25", 70, 100),
        ("1995-07-01", "female", 0.7, "mg/dL", "1.86", 90, 100),
        ("1955-07-01", "female", 1.2, "mg/dL", "0.69", 40, 70),
        ("1975-07-01", "male", 88.42, "umol/L", "1.25", 70, 100),
    ],
)
def test_worked_clearances(birth, sex, creatinine, unit, figure, right, wrong):
    def events(size):
        who = [patient(birth_date=birth, sex=sex), lab("creatinine", creatinine, 9 * D, unit)]
        return [
            *who,
            *(dose("foscarnet", size, t, MG_KG, indication="treatment") for t in every(12 * H, FIRST, 12 * D)),
        ]

    assert severity(events(right), "dose-above-renal-band") is None
    raised = [one for one in alerts(events(wrong)) if one.code == "dose-above-renal-band"]
    assert figure in raised[0].detail


def test_a_birthday_changes_the_clearance():
    # 80 / 90 of 0.45 is 0.4: at 60 years 0.4000, at 61 below.
    who = [
        patient(birth_date="1965-01-12"),
        lab("creatinine", 2.7777, 9 * D),
        dose("foscarnet", 50, 11 * D - US, MG_KG),
    ]
    assert severity(who, "foscarnet-renal-stop") is None
    assert severity([*who, dose("foscarnet", 50, 11 * D, MG_KG)], "foscarnet-renal-stop") == "critical"


# Too little -------------------------------------------------------------------------------------------------------

LOAD = lab("cmv", 5000, 9 * D)


def below(*args, load=LOAD, more=(), **other):
    return severity(course(*args, more=[*([load] if load else []), *more], **other), "dose-below-renal-band")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (5.0, None),
        (4.0, None),  # 7 doses in 72 h, both ends included: 28 mg/kg of 30, and 80 % are 24
        (3.43, None),
        (3.42, "warning"),
    ],
)
def test_less_than_80_percent(size, expected):
    assert below("ganciclovir", [size] * 7, 12 * H, 90) == expected


def test_only_from_72_h_on():
    assert below("ganciclovir", [1.0] * 6, 12 * H, 90) is None
    assert below("ganciclovir", [1.0] * 7, 12 * H, 90) == "warning"


@pytest.mark.parametrize(("at", "expected"), [(FIRST - 30 * D, "warning"), (FIRST - 30 * D - US, None)])
def test_needs_a_quantifiable_load_from_30_d_before(at, expected):
    assert below("ganciclovir", [1.0] * 7, 12 * H, 90, load=lab("cmv", 5000, at)) == expected


def test_not_without_a_load_and_not_in_prophylaxis():
    assert below("ganciclovir", [1.0] * 7, 12 * H, 90, load=None) is None
    assert below("ganciclovir", [1.0] * 7, 12 * H, 90, label="prophylaxis") is None
    assert below("ganciclovir", [1.0] * 7, 12 * H, 90, load=lab("cmv", "detected", 9 * D)) is None


@pytest.mark.parametrize(("size", "expected"), [(41.2, None), (41.1, "warning")])
def test_foscarnet_induction_is_held_to_120_a_day(size, expected):
    # 80 % of 360 mg/kg in 72 h, seven doses.
    assert below("foscarnet", [size] * 7, 12 * H, 2.0) == expected


@pytest.mark.parametrize(
    ("drug", "size", "gap", "crcl", "label", "column"),
    [
        ("ganciclovir", 1.0, 12 * H, 90, "treatment", "5 mg/kg every 12 h"),
        ("foscarnet", 20, 12 * H, 2.0, "treatment", "2/3 of 60 mg/kg every 8 h"),
        ("foscarnet", 20, 24 * H, 0.75, "maintenance", "80 mg/kg every 48 h"),
    ],
)
def test_the_column_that_asks_for_least_is_named(drug, size, gap, crcl, label, column):
    events = course(drug, [size] * 12, gap, crcl, label=label, more=[LOAD, lab("creatinine", 1 / crcl, 15 * D)])
    (change,) = [one for one in alerts(events) if one.code == "dose-below-renal-band"]
    assert f"that the label's least column asks for ({column}; threshold 80 %)" in change.detail


@pytest.mark.parametrize(("size", "expected"), [(2880, None), (2879.9, "warning")])
def test_80_percent_exactly_where_no_weight_divides_the_doses(size, expected):
    # 2880 mg are 41.142857... mg/kg of 70 kg; seven of them are 288 mg/kg, 80 % of 360.
    assert below("foscarnet", [size] * 7, 12 * H, 2.0, unit="mg") == expected


@pytest.mark.parametrize(("crcl", "expected"), [(76.9, None), (77.1, "warning")])
def test_less_than_a_tenth_above_a_bound_the_lower_band_holds(crcl, expected):
    assert below("ganciclovir", [2.5] * 7, 12 * H, crcl) == expected


@pytest.mark.parametrize(("size", "expected"), [(3.5, None), (3.49, "warning")])
def test_maintenance_looks_back_7_d(size, expected):
    # Eight doses in 7 d, both ends included: 28 mg/kg are 80 % of 35.
    newer = [lab("creatinine", 0.78, FIRST + 3 * D)]
    assert below("ganciclovir", [size] * 8, D, 90, label="maintenance", more=newer) == expected
    assert below("ganciclovir", [0.5] * 7, D, 90, label="maintenance", more=newer) is None


def test_doses_not_given_are_named_and_a_right_dose_ends_it():
    missed = [dose("ganciclovir", 5, FIRST + i * 12 * H, MG_KG, status="not-done") for i in (1, 2, 3)]
    base = course("ganciclovir", [5], 12 * H, 90, more=[LOAD, *missed])
    late = [dose("ganciclovir", 5, FIRST + i * 12 * H, MG_KG, indication="treatment") for i in range(4, 14)]
    changes = [one for one in alerts([*base, *late]) if one.code == "dose-below-renal-band"]
    assert [one.status for one in changes] == ["raised", "resolved"]
    assert "not given" in changes[0].detail
    assert {one["event_id"] for one in missed} & {one.event_id for one in changes[0].evidence}


@pytest.mark.parametrize(("age", "stale"), [(7 * D, False), (7 * D + US, True)])
def test_a_weight_older_than_7_d_is_said_to_be(age, stale):
    who = [patient(), lab("weight", 70, FIRST - age), lab("creatinine", 2.0, 9 * D)]
    tablets = dose("valganciclovir", 1800, FIRST, indication="treatment")
    (change,) = [one for one in alerts([*who, tablets]) if one.code == "dose-above-renal-band"]
    assert ("body weight 70 kg (7 d old), older than advised" in change.detail) == stale


# Twice and three times a week -------------------------------------------------------------------------------------

RARE = {"valganciclovir": (450, "mg", 20.8), "ganciclovir": (0.625, MG_KG, 8)}


def at_times(drug, *days, size=None, label="maintenance", load=None):
    """What stands of both rules after doses on such days."""
    usual, unit, crcl = RARE[drug]
    doses = [dose(drug, size or usual, FIRST + at, unit, indication=label) for at in days]
    events = [*course(drug, [], D, crcl), *doses, *([load] if load else [])]
    return {one.code for one in alerts(events) if one.code.startswith("dose-")}


@pytest.mark.parametrize(
    ("apart", "expected"), [(72 * H, set()), (69 * H, set()), (69 * H - US, {"dose-above-renal-band"})]
)
@pytest.mark.parametrize("label", ["maintenance", "prophylaxis"])
def test_twice_weekly_leaves_three_days_less_90_min_for_each_dose(apart, label, expected):
    assert at_times("valganciclovir", 0 * D, apart, label=label) == expected


LATE, EARLY = 90 * MINUTE, -90 * MINUTE


@pytest.mark.parametrize("jitter", [(LATE, EARLY), (EARLY, LATE)])
@pytest.mark.parametrize("label", ["treatment", "maintenance", "prophylaxis"])
def test_mondays_wednesdays_and_fridays_are_three_times_a_week(jitter, label):
    load = lab("cmv", 5000, 9 * D) if label == "treatment" else None
    days = [7 * week + day for week in range(3) for day in (0, 2, 4)]
    times = [day * D + jitter[i % 2] for i, day in enumerate(days)]
    more = [lab("creatinine", 8.75, FIRST + week * 7 * D) for week in range(3)]
    doses = [dose("ganciclovir", 1.25 if load else 0.625, FIRST + at, MG_KG, indication=label) for at in times]
    events = [*course("ganciclovir", [], D, 8), *doses, *more, *([load] if load else [])]
    assert {one.code for one in alerts(events) if one.code.startswith("dose-")} == set()


@pytest.mark.parametrize(("apart", "expected"), [(75 * H, set()), (75 * H + US, {"dose-below-renal-band"})])
def test_induction_three_times_a_week_asks_for_a_dose_three_days_and_90_min_each_before(apart, expected):
    load = lab("cmv", 5000, 9 * D)
    found = at_times("ganciclovir", 0 * D, apart, size=1.25, label="treatment", load=load)
    assert found == expected


@pytest.mark.parametrize(("second", "expected"), [(0.6, set()), (0.5, {"dose-below-renal-band"})])
def test_the_longer_look_back_leaves_doses_of_the_other_phase_out(second, expected):
    # Of 1.25 mg/kg three times a week 80 % in 72 h are 1.286 mg/kg.
    load = lab("cmv", 5000, 9 * D)
    sizes = [(1.25, 0 * H, "maintenance"), (second, H, "treatment"), (0.7, 74 * H, "treatment")]
    doses = [dose("ganciclovir", size, FIRST + at, MG_KG, indication=label) for size, at, label in sizes]
    events = [*course("ganciclovir", [], D, 8), *doses, load]
    assert {one.code for one in alerts(events) if one.code == "dose-below-renal-band"} == expected


def test_an_interval_is_said_as_the_label_says_it():
    def detail(drug, *days, **other):
        usual, unit, crcl = RARE[drug]
        doses = [dose(drug, other.get("size", usual), FIRST + at, unit, indication="maintenance") for at in days]
        said = alerts([*course(drug, [], D, crcl), *doses])
        return [one.detail for one in said if one.code == "dose-above-renal-band"][-1]

    assert "the label permits (450 mg twice weekly)" in detail("valganciclovir", 0 * D, D)
    words = "the label permits (0.625 mg/kg three times a week after hemodialysis)"
    assert words in detail("ganciclovir", 0 * D, D, 2 * D)


# Words near a bound -----------------------------------------------------------------------------------------------


def texts(events, code):
    return [one.detail for one in alerts(events) if one.code == code][-1]


def test_near_a_bound_what_is_allowed_is_not_said_to_be_the_labels():
    events = course("valganciclovir", [900] * 3, 8 * H, 55, unit="mg")
    detail = texts(events, "dose-above-renal-band")
    assert (
        "150 % of the 1800 mg that are allowed (900 mg every 12 h: the band from 60 mL/min, for the clearance is less"
        " than 10 % below it; label at 55: 450 mg every 12 h)"
    ) in detail
    assert "label permits" not in detail
    far = texts(course("valganciclovir", [900] * 3, 8 * H, 50, unit="mg"), "dose-above-renal-band")
    assert "200 % of the 900 mg that the label permits (450 mg every 12 h)" in far
    none = texts(course("valganciclovir", [900] * 2, D, 9.5, unit="mg"), "dose-above-renal-band")
    assert "the band from 10 mL/min" in none
    assert "label at 9.5: no tablets)" in none
    per_kg = texts(course("foscarnet", [150] * 3, 12 * H, 1.3), "dose-above-renal-band")
    assert "the band from 1.4 mL/min/kg" in per_kg


def test_near_a_bound_the_least_asked_for_is_not_said_to_be_the_labels():
    detail = texts(course("ganciclovir", [1.0] * 7, 12 * H, 75, more=[LOAD]), "dose-below-renal-band")
    assert (
        "asked for (2.5 mg/kg every 12 h: the band from 50 mL/min, for the clearance is less than 10 % above 70; label"
        " at 75: 5 mg/kg every 12 h; threshold 80 %)"
    ) in detail
    per_kg = texts(course("foscarnet", [20] * 7, 12 * H, 1.5, more=[LOAD]), "dose-below-renal-band")
    assert "the band from 1 mL/min/kg" in per_kg


def test_no_least_is_asked_for_where_the_band_below_has_none():
    # Less than a tenth above 10 mL/min the band below 10 would hold, which has no tablets.
    assert below("valganciclovir", [450] * 3, 84 * H, 10.9, unit="mg") is None
    assert below("valganciclovir", [450] * 3, 84 * H, 11.1, unit="mg") == "warning"
