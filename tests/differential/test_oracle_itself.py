"""Small cases, computed by hand, that pin the slow evaluator; and the shared examples."""

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.differential import histories, oracle
from tests.differential.oracle import judge
from tests.differential.oracle.facts import instant, iso

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases"
EXAMPLES = SHARED / "examples.ndjson"
EXPECTED = SHARED / "expected.json"
ZERO = datetime(2026, 3, 1, 8, tzinfo=UTC)
MINUTE = 1 / 60
TICK = timedelta(microseconds=1)
WHO = {"birth_date": "1976-01-01", "sex": "male"}  # 50 years; 70 kg
FOSCARNET, GANCICLOVIR, CIDOFOVIR = 90 * 70, 5 * 70, 5 * 70


def when(hours):
    """Hours since the first dose as text; ("after", hours) is one microsecond later."""
    if isinstance(hours, tuple):
        return (ZERO + timedelta(hours=hours[1]) + TICK).isoformat().replace("+00:00", "Z")
    return (ZERO + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def after(hours):
    return ("after", hours)


def day(days):
    return days * 24


counter = iter(range(10**9))


def lab(analyte, hours, value=None, unit=None, **more):
    code = more.pop("code", None) or histories.CODES[analyte][0]
    event = {"type": "lab", "event_id": f"l{next(counter)}", "patient_id": "p", "code": code}
    event |= {"collected_at": when(hours), "recorded_at": when(more.pop("recorded", hours))}
    if value is not None:
        event |= {"value": value, "unit": unit or histories.UNIT[analyte]}
    return event | more


def load(hours, value=None, unit="[IU]/mL", code="72493-0", **more):
    return lab("cmv", hours, value, unit, code=code, **more)


def not_detected(hours, **more):
    return load(hours, result="not-detected", **more)


def dose(drug, hours, size, unit="mg", **more):
    event = {"type": "administration", "event_id": f"a{next(counter)}", "patient_id": "p", "drug": drug}
    event |= {"dose": size, "unit": unit, "started_at": when(hours), "recorded_at": when(more.pop("recorded", hours))}
    if "minutes" in more:
        event["ended_at"] = when(hours + more.pop("minutes") / 60)
    return event | more


def doses(drug, size, start, end, every, **more):
    """Give a drug from start to end, both included."""
    count = int((end - start) // every) + 1
    return [dose(drug, start + i * every, size, **more) for i in range(count)]


def patient(recorded=-1000, **facts):
    event = {"type": "patient", "event_id": f"p{next(counter)}", "patient_id": "p", "recorded_at": when(recorded)}
    return event | facts


def person(**facts):
    return [patient(**WHO, **facts), lab("weight", -24, 70)]


def flat(*parts):
    return [e for part in parts for e in (part if isinstance(part, list) else [part])]


def all_found(*parts, until=None):
    return judge(flat(*parts), when(until) if until is not None else None).get("p", [])


def found(code, *parts, until=None):
    """Return (onset, end, last severity) of every episode of a code."""
    return [(f.onset, f.end, f.severity) for f in all_found(*parts, until=until) if f.code == code]


def span(onset, end, severity):
    return (when(onset), when(end) if end is not None else None, severity)


# Facts -----------------------------------------------------------------------------------------------------------


def one_foscarnet_day():
    return flat(person(), lab("creatinine", -1, 1.0), doses("foscarnet", FOSCARNET, 0, 72, 12))


def test_newest_version_holds_and_the_clock_hides_later_ones():
    low = lab("potassium", 24, 2.9)
    fixed = {**low, "value": 4.0, "status": "corrected", "recorded_at": when(50)}
    assert found("hypokalemia", one_foscarnet_day(), low, fixed) == []
    assert found("hypokalemia", one_foscarnet_day(), fixed, low, low, until=49) == [span(24, None, "warning")]


def test_at_one_recording_corrected_beats_final_beats_preliminary():
    low = lab("potassium", 24, 2.9, status="preliminary")
    final = {**low, "value": 2.4, "status": "final"}
    assert found("hypokalemia", one_foscarnet_day(), final, low, until=30) == [span(24, None, "critical")]
    gone = {**low, "status": "entered-in-error"}
    assert found("hypokalemia", one_foscarnet_day(), final, gone, low) == []


def test_cancelled_and_not_done_count_for_nothing():
    assert found("hypokalemia", one_foscarnet_day(), lab("potassium", 24, 2.0, status="cancelled")) == []
    given = doses("foscarnet", FOSCARNET, 0, 72, 12, status="not-done")
    assert all_found(person(), given) == []


def test_results_of_one_time_are_averaged():
    twins = [lab("potassium", 24, 2.8), lab("potassium", 24, 3.2)]
    assert found("hypokalemia", one_foscarnet_day(), twins) == []
    twins = [lab("potassium", 24, 2.8), lab("potassium", 24, 3.1)]
    assert found("hypokalemia", one_foscarnet_day(), twins, until=30) == [span(24, None, "warning")]


def test_neutrophils_from_a_percentage_of_the_same_time():
    on = flat(person(), doses("valganciclovir", 900, 0, 240, 12))
    parts = [lab("wbc", 100, 2.0), lab("neutrophil-percent", 100, 40)]
    assert found("neutropenia", on, parts, until=200) == [span(100, None, "warning")]
    assert found("neutropenia", on, lab("wbc", 100, 2.0), lab("neutrophil-percent", 101, 40)) == []
    assert found("neutropenia", on, parts, lab("anc", 100, 1.2)) == []


def test_a_small_dose_without_a_route_is_local():
    assert found("aki", dose("foscarnet", 0, 2.4), lab("creatinine", 0, 1.0), lab("creatinine", 24, 3.0)) == []
    assert len(found("aki", dose("foscarnet", 0, 11), lab("creatinine", 0, 1.0), lab("creatinine", 24, 3.0))) == 1


# Courses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "onsets"), [(96, [24]), (96 + MINUTE, [24, 240 + MINUTE])])
def test_the_gap_that_ends_a_course_is_inclusive(gap, onsets):
    events = flat(doses("foscarnet", FOSCARNET, 0, 120, 24), dose("foscarnet", 120 + gap, FOSCARNET))
    starts = [f[0] for f in found("baseline-labs-missing", events, until=400)]
    assert starts == [when(h) for h in onsets]


@pytest.mark.parametrize(
    ("events", "due"),
    [
        (doses("valganciclovir", 900, 0, 480, 24), 15),  # prophylaxis
        (doses("valganciclovir", 900, 0, 480, 12), 8),  # the second dose comes soon: treatment from the first
        (doses("valganciclovir", 900, 0, 480, 18), 15),  # 18 h apart is far enough
        ([*doses("valganciclovir", 900, 0, 480, 24), load(-day(14), 200)], 8),
        ([*doses("valganciclovir", 900, 0, 480, 24), load(-day(14) - MINUTE, 200)], 15),
        (doses("valganciclovir", 901, 0, 480, 24), 8),
        (doses("valganciclovir", 900, 0, 480, 24, indication="maintenance"), 8),
        ([dose("valganciclovir", 0, 900), *doses("valganciclovir", 900, 24, 480, 24, indication="treatment")], 8),
    ],
)
def test_intent(events, due):
    assert found("overdue-renal", events, until=480)[0] == span(day(due), None, "warning")


def test_a_later_dose_soon_after_the_last_begins_a_course_of_treatment():
    events = doses("valganciclovir", 900, 0, 240, 24) + doses("valganciclovir", 900, 252, 600, 12)
    assert found("baseline-labs-missing", events, until=600) == [span(24, 252, "warning"), span(276, None, "warning")]
    assert found("overdue-renal", events, until=600) == [span(252 + day(8), None, "warning")]


def test_maintenance_lengthens_the_gap():
    events = flat(doses("foscarnet", FOSCARNET, 0, day(10), 24, indication="maintenance"), lab("creatinine", 0, 1.0))
    assert found("overdue-renal", events, until=day(10)) == []
    events = flat(doses("foscarnet", FOSCARNET, 0, day(10), 24), lab("creatinine", 0, 1.0))
    assert found("overdue-renal", events, until=day(10)) == [span(96, None, "critical")]


# Acute kidney injury ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "then", "unit", "raised"),
    [
        (1.1, 1.4, "mg/dL", True),
        (1.1, 1.39, "mg/dL", False),
        (97.2, 123.7, "umol/L", True),  # 26.5
        (97.2, 123.69, "umol/L", False),
    ],
)
def test_aki_by_a_rise_within_48_hours(before, then, unit, raised):
    events = [dose("foscarnet", 0, FOSCARNET), lab("creatinine", 10, before, unit), lab("creatinine", 58, then, unit)]
    assert bool(found("aki", events)) is raised
    events[-1] = lab("creatinine", 58 + MINUTE, then, unit)
    assert found("aki", events) == []


@pytest.mark.parametrize(
    ("value", "severity"), [(1.19, None), (1.2, "warning"), (1.59, "warning"), (1.6, "critical"), (2.4, "critical")]
)
def test_aki_stage_by_the_course_baseline(value, severity):
    past = [lab("creatinine", -day(d), v) for d, v in ((7, 0.8), (100, 0.7), (365, 0.9), (366, 9.0), (3, 0.1))]
    events = flat(past, doses("foscarnet", FOSCARNET, 0, day(10), 24), lab("creatinine", day(10), value))
    expected = [] if severity is None else [span(day(10), None, severity)]
    assert found("aki", events, until=day(11)) == expected


def test_aki_stays_at_stage_1_until_recovered():
    past = [lab("creatinine", -day(20), 1.0)]
    course = [lab("creatinine", h, v) for h, v in ((day(10), 2.0), (day(20), 1.3), (day(30), 1.29))]
    events = flat(past, doses("foscarnet", FOSCARNET, 0, day(31), 24), course)
    assert found("aki", events, until=day(29)) == [span(day(10), None, "warning")]
    assert found("aki", events) == [span(day(10), day(30), "warning")]
    assert [f.worst for f in all_found(events) if f.code == "aki"] == ["critical"]


def test_aki_ends_7_days_after_exposure_and_is_not_raised_behind_it():
    past = [lab("creatinine", -day(20), 1.0), lab("creatinine", 12, 2.0)]
    assert found("aki", dose("foscarnet", 0, 1000), past, until=day(40)) == [span(12, after(day(21)), "critical")]
    late = [lab("creatinine", -day(20), 1.0), lab("creatinine", day(14) + MINUTE, 2.0)]
    assert found("aki", dose("foscarnet", 0, 1000), late, until=day(40)) == []


def test_an_old_creatinine_is_no_injury_when_exposure_begins():
    past = [lab("creatinine", -day(20), 1.0), lab("creatinine", -1, 2.0)]
    assert found("aki", dose("foscarnet", 0, 1000), past, until=day(4)) == []


def test_a_drug_that_blocks_secretion():
    events = flat(doses("foscarnet", FOSCARNET, 0, day(10), 24), lab("creatinine", 0, 1.0), lab("creatinine", 48, 1.3))
    assert found("aki", events, dose("trimethoprim", 40, 160), until=60) == [span(48, None, "info")]
    longer = [dose("trimethoprim", 40, 160), dose("trimethoprim", 40 - day(30), 160)]
    assert found("aki", events, longer, until=60) == [span(48, None, "warning")]


def test_dialysis_results_change_nothing():
    events = [dose("foscarnet", 0, FOSCARNET), lab("creatinine", 10, 1.0), lab("creatinine", 34, 3.0)]
    assert found("aki", events, patient(5, dialysis=True)) == []
    assert found("aki", events, patient(5, dialysis=True), patient(20, dialysis=False)) == []  # nothing to compare with


def test_the_drug_given_last_and_an_inherited_baseline():
    first = flat(lab("creatinine", -24, 1.0), doses("foscarnet", FOSCARNET, 0, 72, 24))
    second = [lab("creatinine", 80, 1.3, "mg/dL"), dose("cidofovir", 72 + day(14), CIDOFOVIR)]
    rise = lab("creatinine", 72 + day(15), 1.5)
    injury = [f for f in all_found(first, second, rise) if f.code == "aki"]
    assert [(f.drug, f.onset, f.severity) for f in injury] == [("cidofovir", when(72 + day(15)), "warning")]
    assert found("cidofovir-stop", first, second, rise, until=day(20)) == [span(72 + day(15), None, "critical")]
    second[1] = dose("cidofovir", 72 + day(14) + MINUTE, CIDOFOVIR)
    assert found("cidofovir-stop", first, second, rise, until=day(20)) == []


# Cidofovir -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code"),
    [(1.09, None), (1.1, "reduce-dose"), (1.29, "reduce-dose"), (1.3, "stop")],
)
def test_cidofovir_reduce_and_stop(value, code):
    events = flat(lab("creatinine", -10, 0.8), dose("cidofovir", 0, CIDOFOVIR), lab("creatinine", day(10), value))
    for each in ("reduce-dose", "stop"):
        severity = "warning" if each == "reduce-dose" else "critical"
        expected = [span(day(10), after(day(21)), severity)] if each == code else []
        assert found("cidofovir-" + each, events, until=day(30)) == expected


@pytest.mark.parametrize(
    ("before", "then", "stops"), [("2+", "3+", True), ("3+", "4+", False), (None, "3+", True), ("1+", "2+", False)]
)
def test_cidofovir_and_new_proteinuria(before, then, stops):
    first = [lab("urine-protein", -10, result=before, code="20454-5")] if before else []
    events = flat(first, dose("cidofovir", 0, CIDOFOVIR), lab("urine-protein", 100, result=then, code="20454-5"))
    assert bool(found("cidofovir-stop", events)) is stops


@pytest.mark.parametrize(
    ("sizes", "apart", "severity"),
    [
        ((5.5,), 7, None),
        ((5.6,), 7, "warning"),
        ((7.5,), 7, "warning"),
        ((7.6,), 7, "critical"),
        ((5, 5), 6, None),
        ((5, 1.5), 5, None),
        ((5, 5), 5.99, "critical"),
        ((5, 5, 5), 11.99, "warning"),
        ((5, 5, 5), 12, None),
    ],
)
def test_cidofovir_dose(sizes, apart, severity):
    given = [dose("cidofovir", day(apart) * i, size, "mg/kg") for i, size in enumerate(sizes)]
    expected = [] if severity is None else [span(day(apart) * (len(sizes) - 1), None, severity)]
    assert found("cidofovir-dose", given) == expected


def test_charting_grace_before_a_dose_is_judged():
    asked = [lab("creatinine", -48, 0.8), lab("urine-protein", -1, 10)]
    given = dose("cidofovir", 0, CIDOFOVIR, recorded=1, route="iv")
    for code in ("cidofovir-predose-labs-missing", "hydration-missing", "probenecid-missing"):
        assert found(code, asked, given, until=3 - MINUTE) == []
        assert found(code, asked, given, until=3) == [span(0, None, "warning")]
    in_time = [
        lab("anc", 0, 3.0, recorded=20),
        dose("sodium chloride", -3, 1, "L", minutes=60, recorded=20),
        dose("probenecid", -4.5, 2, "g", recorded=20),
    ]
    assert all(f.drug != "cidofovir" for f in all_found(asked, given, in_time, until=20))


@pytest.mark.parametrize(("hours", "missing"), [(4.5, False), (1.5, False), (4.5 + MINUTE, True), (1.5 - MINUTE, True)])
def test_probenecid_window(hours, missing):
    events = [dose("probenecid", -hours, 2, "g"), dose("cidofovir", 0, CIDOFOVIR)]
    assert bool(found("probenecid-missing", events, until=5)) is missing


@pytest.mark.parametrize(("value", "protein", "hit"), [(1.5, 99, False), (1.51, 99, True), (1.0, 100, True)])
def test_cidofovir_contraindicated(value, protein, hit):
    events = [lab("creatinine", -1, value), lab("urine-protein", -1, protein), dose("cidofovir", 0, CIDOFOVIR)]
    assert bool(found("cidofovir-contraindicated", events)) is hit  # no weight, no birth date: no clearance


# Dose and renal function -----------------------------------------------------------------------------------------


def test_foscarnet_renal_stop():
    # (140 - 50) / (72 x 3.125) = 0.4
    given = doses("foscarnet", 3000, 0, 72, 24)
    assert found("foscarnet-renal-stop", person(), given, lab("creatinine", 24, 3.125)) == []
    assert found("foscarnet-renal-stop", person(), given, lab("creatinine", 24, 3.13), lab("creatinine", 60, 3.0)) == [
        span(24, 60, "critical")
    ]


@pytest.mark.parametrize(
    ("creatinine", "mg_per_kg", "every", "severity"),
    [
        (0.8, 90, 12, None),  # 1.5625 mL/min/kg
        (1.0, 70, 12, None),  # 1.25
        (1.0, 77, 12, None),  # 140 x 1.1
        (1.0, 78, 12, "warning"),
        (1.0, 140, 12, "critical"),
        (0.95, 90, 12, None),  # 1.3158: less than 10 % below 1.4, the next band up
        (1.0, 90, 12, "warning"),
    ],
)
def test_foscarnet_above_its_band(creatinine, mg_per_kg, every, severity):
    given = doses("foscarnet", mg_per_kg * 70, 0, 48, every, indication="treatment")
    verdict = found("dose-above-renal-band", person(), lab("creatinine", -1, creatinine), given, until=48)
    assert [v[2] for v in verdict] == ([severity] if severity else [])


def test_one_dose_alone_is_at_most_a_warning_and_may_be_either_phase():
    # 87.5 mL/min: 5 mg/kg q12h twice in 20 h
    assert found("dose-above-renal-band", person(), lab("creatinine", -1, 1.0), dose("ganciclovir", 0, 11 * 70)) == []
    events = flat(person(), lab("creatinine", -1, 1.0), dose("ganciclovir", 0, 21 * 70))
    assert found("dose-above-renal-band", events, until=1) == [span(0, None, "warning")]


@pytest.mark.parametrize(
    ("creatinine", "size", "every", "severity"),
    [
        (2.0, 900, 24, "warning"),  # 43.75: 450 q24h in prophylaxis; one dose in 20 h
        (3.0, 450, 24, "warning"),  # 29.2: 450 q48h; twice in 40 h, never above warning
        (3.0, 900, 24, "critical"),
        (9.5, 450, 48, "warning"),  # 9.2: near the bound, the next band up: 450 in 72 h, one tablet over
        (12.0, 450, 96, "critical"),  # 7.3: no tablets
    ],
)
def test_valganciclovir_above_its_band(creatinine, size, every, severity):
    given = doses("valganciclovir", size, 0, 96, every, indication="prophylaxis")
    verdict = found("dose-above-renal-band", person(), lab("creatinine", -1, creatinine), given, until=96)
    assert [v[2] for v in verdict] == ([severity] if severity else [])


@pytest.mark.parametrize(("mg_per_kg", "low"), [(3.4, True), (3.5, False)])
def test_below_the_band(mg_per_kg, low):
    # 7 doses in [0, 72 h]; asked: 10 mg/kg/d x 3 x 0.8 = 24 mg/kg
    given = doses("ganciclovir", mg_per_kg * 70, 0, 72, 12, indication="treatment")
    events = flat(person(), load(-10, 2000), lab("creatinine", -1, 1.0), given)
    expected = [span(72, None, "warning")] if low else []
    assert found("dose-below-renal-band", events, until=72) == expected
    assert found("dose-below-renal-band", events[:2] + events[3:], until=72) == []


@pytest.mark.parametrize(
    ("minutes", "severity"), [(90, None), (82, None), (81, "warning"), (46, "warning"), (45, "critical")]
)
def test_infusion_rate(minutes, severity):
    verdict = found("foscarnet-infusion-rate", person(), dose("foscarnet", 0, FOSCARNET, minutes=minutes))
    assert [v[2] for v in verdict] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("start", "minutes", "volume", "missing"),
    [(-2, 60, 750, False), (-2, 60, 749, True), (-7, 120, 1500, False), (-7, 120, 1499, True), (-1, 120, 1499, True)],
)
def test_hydration_before_the_first_dose(start, minutes, volume, missing):
    fluid = dose("saline", start, volume, "mL", minutes=minutes)
    verdict = found("hydration-missing", person(), fluid, dose("foscarnet", 0, 4200, minutes=60), until=10)
    assert bool(verdict) is missing


def test_hydration_of_a_later_dose_runs_to_its_end():
    first = [dose("saline", -1, 1, "L"), dose("foscarnet", 0, 4200, minutes=60)]
    later = [dose("d5w", 12, 500, "mL", minutes=60), dose("foscarnet", 12, 4200, minutes=60)]
    assert found("hydration-missing", person(), first, later, until=20) == []
    later[1] = dose("foscarnet", 12, 4270, minutes=60)  # 61 mg/kg
    assert found("hydration-missing", person(), first, later, until=20) == [span(12, None, "warning")]


# Marrow and electrolytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("counts", "end"), [((1.4, 1.0), 130), ((1.5,), 120), ((1.4, 0.9, 1.4), None)])
def test_neutropenia_ends(counts, end):
    given = doses("valganciclovir", 900, 0, 240, 12)
    labs = [lab("anc", 110, 0.4)] + [lab("anc", 120 + 10 * i, value) for i, value in enumerate(counts)]
    verdict = found("neutropenia", given, labs, until=200)
    assert verdict == [span(110, end, "critical" if end == 120 else "warning")]


def test_counts_are_raised_while_exposed_only():
    given = dose("valganciclovir", 0, 900)
    assert found("anemia", given, lab("hemoglobin", -1, 7.0), lab("hemoglobin", day(7) + MINUTE, 7.0)) == []
    raised = found("anemia", given, lab("hemoglobin", day(7), 79, "g/L"), until=day(9))
    assert raised == [span(day(7), after(day(7)), "warning")]


def test_started_below_stands_for_the_single_cytopenias_for_48_hours():
    events = flat(lab("anc", -day(7), 0.49), doses("ganciclovir", GANCICLOVIR, 0, 240, 12), lab("anc", 24, 0.4))
    assert found("started-below-count-limits", events, until=100) == [span(0, None, "critical")]
    assert found("neutropenia", events, until=48) == []
    assert found("neutropenia", events, until=49) == [span(after(48), None, "critical")]
    above = found("neutropenia", events, lab("anc", 30, 0.8), until=40)
    assert above == [span(30, None, "warning")]


@pytest.mark.parametrize(
    ("total", "unit", "severity"),
    [
        (8.0, "mg/dL", None),
        (7.9, "mg/dL", "warning"),
        (6.9, "mg/dL", "critical"),
        (2.0, "mmol/L", None),
        (1.99, "mmol/L", "warning"),
        (1.74, "mmol/L", "critical"),
    ],
)
def test_total_calcium(total, unit, severity):
    verdict = found("hypocalcemia", dose("foscarnet", 0, FOSCARNET), lab("calcium", 24, total, unit), until=25)
    assert [v[2] for v in verdict] == ([severity] if severity else [])


def test_albumin_and_ionized_calcium():
    on = dose("foscarnet", 0, FOSCARNET)
    low = lab("calcium", 24, 7.2)
    assert found("hypocalcemia", on, low, lab("albumin", -24, 3.0)) == []  # 7.2 + 0.8
    assert len(found("hypocalcemia", on, low, lab("albumin", -24 - MINUTE, 3.0))) == 1
    assert found("hypocalcemia", on, low, lab("calcium-ionized", 22, 1.0)) == []
    assert len(found("hypocalcemia", on, low, lab("calcium-ionized", 22 - MINUTE, 1.0))) == 1


# Monitoring ------------------------------------------------------------------------------------------------------


def test_overdue_falls_due_and_a_test_at_that_moment_is_in_time():
    given = doses("foscarnet", FOSCARNET, 0, day(8), 12)
    events = flat(given, lab("creatinine", 10, 1.0))
    assert found("overdue-renal", events, until=106 - MINUTE) == []
    assert found("overdue-renal", events, until=106) == [span(106, None, "warning")]
    assert found("overdue-renal", events, lab("creatinine", 106, 1.0), until=150) == []
    assert found("overdue-renal", events, lab("creatinine", 107, 1.0), until=150) == [span(106, 107, "warning")]
    late = lab("creatinine", 105, 1.0, recorded=150)
    assert found("overdue-renal", events, late, until=150) == []


def test_overdue_ends_when_the_drug_is_no_longer_current():
    given = doses("ganciclovir", GANCICLOVIR, 0, day(8), 12)
    assert found("overdue-renal", given, until=day(20)) == [span(day(8), after(day(8) + 36), "warning")]


def test_overdue_counts_on_ganciclovir():
    given = doses("ganciclovir", GANCICLOVIR, 0, day(20), 12)
    assert found("overdue-blood-count", given, until=day(7) - 1) == [span(84, None, "warning")]
    assert found("overdue-blood-count", given, until=day(20)) == [span(84, None, "critical")]
    low = [lab("anc", -1, 0.9), lab("platelets", -1, 100)]
    assert found("overdue-blood-count", given, low, until=31) == [span(30, None, "warning")]
    both = [lab("anc", day(11), 3.0), lab("platelets", day(11), 100)]  # 84 h on is day 14.5: 8 d count
    assert found("overdue-blood-count", given, both, until=day(18))[1:] == []


def test_overdue_electrolytes_by_the_oldest():
    given = doses("foscarnet", FOSCARNET, 0, day(10), 12)
    four = [lab(a, 50, v) for a, v in (("calcium-ionized", 1.2), ("magnesium", 2.0), ("phosphate", 3.0))]
    events = flat(given, four, lab("potassium", 20, 4.0))
    assert found("overdue-electrolytes", events, until=130) == [span(116, None, "warning")]
    assert found("overdue-electrolytes", events, lab("potassium", 120, 4.0), until=130) == [span(116, 120, "warning")]


def test_viral_load_is_asked_for_in_treatment_of_cmv_and_afterwards():
    given = doses("ganciclovir", GANCICLOVIR, 0, day(14), 12)
    assert found("overdue-viral-load", given, until=day(14)) == []
    events = flat(given, load(-24, 5000))
    assert found("overdue-viral-load", events, until=day(9)) == [span(day(8), None, "warning")]
    graft = patient(transplant="solid-organ", transplant_at=when(-day(30)))
    afterwards = [f for f in all_found(events, load(day(14), 600), graft, until=day(80)) if f.drug is None]
    afterwards = [(f.onset, f.end, f.severity) for f in afterwards if f.code == "overdue-viral-load"]
    assert afterwards == [span(day(22), after(day(70)), "info")]


def test_surveillance():
    graft = patient(transplant="hct-allogeneic", transplant_at=when(0), recipient_cmv="positive")
    events = flat(graft, not_detected(day(2)), lab("potassium", day(6), 4.0))
    assert found("overdue-surveillance", events, until=day(13)) == []
    assert found("overdue-surveillance", events, until=day(14)) == [span(day(14), None, "warning")]
    assert found("overdue-surveillance", events, until=day(120)) == [span(day(14), after(day(100)), "warning")]
    assert found("overdue-surveillance", events, not_detected(day(15)), until=day(20)) == [
        span(day(14), day(15), "warning")
    ]


def test_levels_of_immunosuppressants():
    events = flat(dose("tacrolimus", -72, 5), doses("letermovir", 480, 0, day(20), 24))
    code = "overdue-immunosuppressant-level"
    assert found(code, events, until=day(7)) == [span(day(7), None, "warning")]
    assert found(code, events, lab("tacrolimus", day(9), 8), until=day(20)) == [span(day(7), day(9), "warning")]
    assert found(code, events, lab("tacrolimus", 0, 8), until=day(8)) == [span(day(7), None, "warning")]
    assert found(code, dose("tacrolimus", -72 - MINUTE, 5), events[1:], until=day(8)) == []
    assert found(code, events, until=day(60)) == [span(day(7), after(day(30)), "warning")]


# Virus -----------------------------------------------------------------------------------------------------------


def on_ganciclovir(days=20, drug="ganciclovir", size=GANCICLOVIR, **more):
    return doses(drug, size, 0, day(days), 24, indication="treatment", **more)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (10001, "refractory-cmv"),
        (10000, "probable-refractory-cmv"),
        (1000, "probable-refractory-cmv"),
        (999, None),
    ],
)
def test_refractory(value, code):
    events = flat(on_ganciclovir(), load(-72, 900), load(day(7), 1000), load(day(13), value))
    codes = {f.code for f in all_found(events, until=day(13)) if "refractory" in f.code or "slow" in f.code}
    assert codes == ({code} if code else set())


def test_refractory_stays_until_below_the_peak_and_needs_14_days():
    events = flat(on_ganciclovir(), load(0, 1000), load(day(13) - 1, 50_000))
    assert found("refractory-cmv", events, until=day(13)) == []
    events = flat(events, load(day(14), 50_000), load(day(16), 1000), load(day(18), 999))
    assert found("refractory-cmv", events) == [span(day(14), day(18), "critical")]


def test_underdosed_days_do_not_count():
    renal = flat(person(), [lab("creatinine", day(d), 1.0) for d in (0, 6, 12)])
    events = flat(renal, on_ganciclovir(size=2 * 70), load(0, 1000), load(day(15), 50_000))
    assert found("dose-below-renal-band", events, until=day(16)) == [span(day(3), None, "warning")]
    assert found("refractory-cmv", events, until=day(16)) == []
    assert found("probable-refractory-cmv", events, until=day(16)) == [span(day(15), None, "warning")]


@pytest.mark.parametrize(
    ("value", "unit", "slow"), [(5000, "[IU]/mL", 1), (1000, "[IU]/mL", 0), (3.1, "{Log_IU}/mL", 1)]
)
def test_slow_response(value, unit, slow):
    start = 4 if "Log" in unit else 10_000
    events = flat(on_ganciclovir(), load(0, start, unit), load(day(14), value, unit))
    assert len(found("slow-viral-response", events, until=day(15))) == slow


def test_clearance_and_stop_criteria():
    events = flat(on_ganciclovir(), load(-day(14), 900), not_detected(day(8)), load(day(14), 137, comparator="<"))
    assert found("viral-clearance", events, until=day(15)) == [span(day(14), None, "info")]
    early = flat(on_ganciclovir(), load(-day(14), 900), not_detected(day(8)), not_detected(day(14) - MINUTE))
    assert found("viral-clearance", early, until=day(15)) == []
    assert found("stop-criteria-met", events, lab("cd4", day(1), 100), until=day(14)) == [span(day(14), None, "info")]
    aged = found("stop-criteria-met", events, lab("cd4", day(1), 100), until=day(20))
    assert aged == [span(day(14), after(day(15)), "info")]
    assert found("stop-criteria-met", events, lab("cd4", day(1), 99), until=day(14)) == []


def test_a_bare_detected_breaks_clearance():
    events = flat(on_ganciclovir(), load(0, 900), not_detected(day(6)), not_detected(day(12)))
    broken = load(day(13), result="detected")
    assert found("viral-clearance", events, broken) == [span(day(12), day(13), "info")]
    assert found("viral-clearance", events, load(day(13), 1000, comparator="<"), until=day(14)) == [
        span(day(12), None, "info")
    ]


def test_clearance_holds_8_weeks_after_therapy():
    events = flat(on_ganciclovir(), load(0, 900), not_detected(day(12)), not_detected(day(19)))
    assert found("viral-clearance", events, until=day(90)) == [span(day(19), after(day(76)), "info")]


def test_rebound_by_two_samples_above_the_nadir():
    events = flat(on_ganciclovir(30), load(0, 20_000), load(day(7), 100))
    two = [load(day(15), 317), load(day(18), 320)]  # 10^0.5 is 3.162
    assert found("viral-rebound", events, two, until=day(20)) == [span(day(18), None, "warning")]
    two[0] = load(day(15), 316)
    assert found("viral-rebound", events, two, until=day(20)) == []
    assert found("viral-rebound", events, load(day(14) - 1, 400), load(day(18), 400), until=day(20)) == []


def test_step_down():
    given = doses("ganciclovir", GANCICLOVIR, 0, day(22), 12, indication="treatment")
    events = flat(person(), given, load(0, 900), not_detected(day(19)))
    assert found("step-down-due", events, until=day(21)) == [span(day(20), None, "info")]


@pytest.mark.parametrize(
    ("facts", "loads", "raised"),
    [
        ({"transplant": "hct-allogeneic"}, [1000], True),
        ({"transplant": "hct-allogeneic"}, [999], False),
        ({"transplant": "hct-allogeneic"}, [150, 150], True),
        ({"transplant": "hct-allogeneic"}, [149, 150], False),
        ({"transplant": "solid-organ"}, [500, 500], False),
        ({"transplant": "solid-organ", "donor_cmv": "positive", "recipient_cmv": "negative"}, [35], True),
        ({"transplant": "hct-autologous"}, [5000], False),
    ],
)
def test_preemptive(facts, loads, raised):
    events = flat(patient(**facts), [load(day(7 * i), value) for i, value in enumerate(loads)])
    assert bool(found("preemptive-treatment-indicated", events)) is raised


def test_preemptive_ends():
    events = flat(patient(transplant="hct-allogeneic"), load(0, 1000), load(day(10), 50))
    code = "preemptive-treatment-indicated"
    assert found(code, events, until=day(40)) == [span(0, after(day(24)), "warning")]
    assert found(code, events, dose("valganciclovir", day(11), 900)) == [span(0, day(11), "warning")]
    assert found(code, events, not_detected(day(12))) == [span(0, day(12), "warning")]


def test_relapse_after_a_therapy_that_cleared():
    events = flat(on_ganciclovir(), load(0, 900), not_detected(day(12)), not_detected(day(19)))
    assert found("relapse", events, load(day(40), 1000)) == [span(day(40), None, "warning")]
    assert found("relapse", events, load(day(40), 900)) == []
    assert found("relapse", events, load(day(40), 900), load(day(47), 200)) == [span(day(47), None, "warning")]
    assert found("relapse", events, load(day(76) + MINUTE, 1000)) == []
    assert found("relapse", on_ganciclovir(), load(0, 900), not_detected(day(19)), load(day(40), 1000)) == []


@pytest.mark.parametrize(
    ("drug", "loads", "raised"),
    [
        ("letermovir", [1000], True),
        ("letermovir", [150, 151], True),
        ("letermovir", [151, 151], False),
        ("valganciclovir", [35, 35], True),
        ("valganciclovir", [900], False),
    ],
)
def test_breakthrough(drug, loads, raised):
    given = doses(drug, 480, 0, day(20), 24, indication="prophylaxis")
    events = flat(given, [load(day(3 + 7 * i), value) for i, value in enumerate(loads)])
    assert bool(found("breakthrough-on-prophylaxis", events)) is raised


# Combinations and data -------------------------------------------------------------------------------------------


def test_nephrotoxic_combination():
    code, given = "nephrotoxic-combination", doses("foscarnet", FOSCARNET, 0, 48, 24)
    assert found(code, given, dose("gentamicin", 60, 300, route="iv"), until=99) == [span(60, after(96), "warning")]
    assert found(code, given, dose("gentamicin", 72 + MINUTE, 300, route="iv")) == []
    assert found(code, given, dose("gentamicin", 60, 300, route="oral")) == []
    both = all_found(given, dose("cidofovir", 48 + day(7), CIDOFOVIR), until=48 + day(7))
    assert [(f.drug, f.subject, f.severity) for f in both if f.code == code] == [("cidofovir", "foscarnet", "critical")]
    course = [dose("cidofovir", at, CIDOFOVIR) for at in (0, day(15))]
    between = dose("gentamicin", day(7.5), 300, route="iv")
    assert found(code, *course, between, until=day(23)) == []


def test_long_qt():
    given, other = doses("foscarnet", FOSCARNET, 0, 48, 24), dose("ondansetron", 24, 8)
    assert found("interaction", given, other, until=50) == [span(24, None, "info")]
    assert found("interaction", given, other, lab("potassium", 12, 3.4), until=50) == [span(24, None, "warning")]
    assert found("interaction", given, other, lab("potassium", 12, 3.4), until=61) == [span(24, None, "info")]
    two = found("interaction", given, other, dose("haloperidol", 30, 5), until=50)
    assert two == [span(30, None, "warning"), span(24, None, "warning")]


@pytest.mark.parametrize(
    ("size", "partner", "hours", "wrong"),
    [
        (480, "ciclosporin", -72, True),
        (480, "ciclosporin", -72 - MINUTE, False),
        (240, "ciclosporin", -24, False),
        (240, "tacrolimus", -24, True),
        (240, "aciclovir", -24, False),
    ],
)
def test_letermovir_with_ciclosporin(size, partner, hours, wrong):
    events = flat(person(), dose(partner, hours, 100), dose("letermovir", 0, size))
    assert bool(found("letermovir-ciclosporin-dose", events, until=1)) is wrong


def test_interleaved():
    handed = doses("ganciclovir", GANCICLOVIR, 0, 48, 12) + doses("maribavir", 400, 48, 120, 12)
    assert found("maribavir-ganciclovir", handed) == []
    again = [*handed, dose("ganciclovir", 72, GANCICLOVIR)]
    assert found("maribavir-ganciclovir", again, until=100) == [span(72, None, "critical")]
    oral = [*doses("ganciclovir", GANCICLOVIR, 0, 24, 12), dose("valganciclovir", 12, 900)]
    assert found("duplicate-ganciclovir", oral) == []
    assert found("duplicate-ganciclovir", oral, dose("ganciclovir", 36, GANCICLOVIR), until=40) == [
        span(36, None, "critical")
    ]


def test_maribavir_with_an_inducer():
    events = flat(dose("phenytoin", 0, 100), doses("maribavir", 800, 12, 36, 12))
    assert found("maribavir-inducer-dose", events, until=60) == [span(12, after(48), "warning")]
    assert found("maribavir-inducer-dose", dose("carbamazepine", 0, 200), events[1:], until=60) == []


def test_implausible_and_suspect():
    on = dose("valganciclovir", 0, 900)
    wrong, right = lab("potassium", day(14), 0.9), lab("potassium", day(14) + 1, 4.0)
    assert [f.subject for f in all_found(on, wrong, until=day(14)) if f.code == "implausible-result"] == ["potassium"]
    assert found("implausible-result", on, wrong, right) == [span(day(14), after(day(14)), "info")]
    assert found("implausible-result", on, lab("potassium", day(14) + MINUTE, 0.9)) == []
    edta = [lab("potassium", 24, 6.6), lab("calcium", 24, 5.9)]
    assert found("suspect-sample", on, edta, lab("potassium", 48, 4.0)) == [span(24, 48, "info")]
    assert found("suspect-sample", on, lab("potassium", 24, 6.5), edta[1]) == []


# The whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", [*histories.THEMES, "mixed"])
def test_order_and_repetition_change_nothing(theme):
    for seed in range(3):
        events = histories.history(seed, theme)
        assert len(events) >= histories.LEAST
        shuffled = random.Random(seed).sample(events, len(events)) + events[:5]
        assert judge(events) == judge(shuffled)


@pytest.mark.parametrize("theme", [*histories.THEMES, "mixed"])
def test_no_critical_instant_is_left_out(theme, monkeypatch):
    """Judging at other instants too changes nothing: what can change, changes at an instant that was looked at."""
    episodes = sys.modules["tests.differential.oracle.episodes"]
    plain = episodes.instants

    def dense(case, facts, dues):
        times = plain(case, facts, dues)
        if not times:
            return times
        low, high = times[0], max(times[0] + 1, min(times[-1] + 70 * 86400 * 10**6, case.until))
        luck = random.Random(len(times))
        more = {luck.randrange(low, high) for _ in range(60)} | {t + d for t in times for d in (-1, 1)}
        return sorted({*times, *(t for t in more if t <= case.until)})

    for seed in range(4):
        events = histories.history(seed, theme)
        expected = judge(events)
        with monkeypatch.context() as patch:
            for module in (episodes, *oracle.RULES):
                if hasattr(module, "instants"):
                    patch.setattr(module, "instants", dense)
            assert judge(events) == expected


@pytest.mark.parametrize("theme", [*histories.THEMES, "mixed"])
def test_the_verdict_rests_on_the_past(theme):
    """Where everything is recorded at its own time, an earlier clock sees the same episodes, cut off."""
    waits = {"hydration-missing", "probenecid-missing", "cidofovir-predose-labs-missing"}
    for seed in range(3):
        events = at_once(histories.history(seed, theme))
        whole = next(iter(judge(events, iso(max(instant(e["recorded_at"]) for e in events) + 10**13)).values()))
        for event in random.Random(seed).sample(events, 4):
            clock = event["recorded_at"]
            part = judge(events, clock).get(event["patient_id"], [])
            known = [f for f in whole if instant(f.onset) <= instant(clock)]
            cut = [(*f[:4], f.end if f.end and instant(f.end) <= instant(clock) else None) for f in known]
            assert [f for f in cut if f[0] not in waits] == [tuple(f[:5]) for f in part if f.code not in waits]


def at_once(events):
    """Drop the versions, and record each fact at its clinical time."""
    kept = {}
    for event in events:
        at = event.get("collected_at", event.get("started_at"))
        timeless = "dialysis" not in event and "hiv" not in event
        recorded = at or ("2025-01-01T00:00:00Z" if timeless else event["recorded_at"])
        status = {"status": "final"} if event.get("status") == "entered-in-error" else {}
        kept.setdefault((event["type"], event["event_id"]), {**event, **status, "recorded_at": recorded})
    return list(kept.values())


# The shared examples ---------------------------------------------------------------------------------------------


def native(resource):
    """Turn the few FHIR resources of the examples into native events."""
    kind = resource.get("resourceType")
    if kind is None:
        return resource
    updated = resource.get("meta", {}).get("lastUpdated")
    if kind == "Patient":
        event = {"type": "patient", "event_id": resource["id"], "patient_id": resource["id"], "recorded_at": updated}
        return event | {"birth_date": resource["birthDate"], "sex": resource["gender"]}
    event = {"event_id": resource["id"], "patient_id": resource["subject"]["reference"].split("/")[1]}
    event["status"] = resource["status"]
    if kind == "Observation":
        quantity = resource["valueQuantity"]
        code = next(c["code"] for c in resource["code"]["coding"] if c["system"] == "http://loinc.org")
        event |= {"type": "lab", "code": code, "value": quantity["value"], "unit": quantity["code"]}
        return event | {"collected_at": resource["effectiveDateTime"], "recorded_at": resource["issued"]}
    period, dosage = resource["effectivePeriod"], resource["dosage"]
    event |= {"type": "administration", "started_at": period["start"], "ended_at": period["end"]}
    event |= {"drug": resource["contained"][0]["code"]["coding"][0]["code"], "recorded_at": updated}
    event |= {"dose": dosage["dose"]["value"], "unit": dosage["dose"]["code"]}
    return event | {"route": dosage["route"]["coding"][0]["code"]}


@pytest.mark.shared
@pytest.mark.skipif(not EXAMPLES.exists(), reason="the shared examples are not here")
def test_the_shared_examples():
    events = [native(json.loads(line)) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    verdicts = judge(events)
    rank = {"info": 0, "warning": 1, "critical": 2}
    for name, want in json.loads(EXPECTED.read_text(encoding="utf-8")).items():
        episodes = verdicts.get(name, [])
        for code, what in want["must"].items():
            mine = [f for f in episodes if f.code == code]
            if what in rank:
                assert max((f.worst for f in mine), key=rank.get, default=None) == what, (name, code)
            elif what == "resolved":
                assert mine, (name, code)
                assert all(f.end for f in mine), (name, code)
            else:
                assert not mine, (name, code)
                clocks = {e["recorded_at"] for e in events if e["patient_id"] == name}
                earlier = [judge(events, clock).get(name, []) for clock in sorted(clocks)]
                assert any(f.code == code for found_then in earlier for f in found_then), (name, code)
        for code in want["mustnot"]:
            assert not [f for f in episodes if code in (f.code, "*")], (name, code)
