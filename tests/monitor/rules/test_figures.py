"""The figures of the kidney's, the marrow's and the salts' alerts, each beside every threshold of its rule."""

from fractions import Fraction

import pytest

from monitor.margins import lab_figures
from tests.monitor.case import ZERO, D, H, dose, lab, patient, plan, run

FIRST = 10 * D
MG_KG = "mg/kg"
WHO = [patient(birth_date="1957-06-01"), lab("weight", 70, 9 * D)]  # of 68 years: 1/creatinine is mL/min/kg
COUNTS = [lab("creatinine", 1, 9 * D)]


def figures(events, code, until=None):
    """What the latest step of the latest alert of a code holds against what."""
    p = run(events, until)
    fold = next(one for one in p.folds.values() if one.rule.code == code and one.episodes)
    episode = fold.episodes[-1]
    at, level = episode.steps[-1]
    found = list(fold.rule.say(p, at, level, episode).figures)
    for figure in found:
        number = plan().table["rules"][code]
        for key in figure.number.split("."):
            number = number[key]
        assert number["source"]
        assert isinstance(figure.value, Fraction | int)
        assert isinstance(figure.limit, Fraction | int)
    return [
        (one.what, float(one.value), float(one.limit), one.unit, one.meaning, one.number.rpartition(".")[2])
        for one in found
    ]


def on(drug, *more, size=90, at=(FIRST,), unit=MG_KG, **other):
    return [*WHO, *(dose(drug, size, t, unit, **other) for t in at), *more]


CREATININE = "creatinine above the course's baseline"
BASELINE = "creatinine to the course's baseline"


def test_aki():
    results = [lab("creatinine", 1.0, 0 * D), lab("creatinine", 1.2, FIRST + D), lab("creatinine", 1.6, FIRST + 2 * D)]
    low = "creatinine to the lowest of 7 d"
    assert figures(on("foscarnet", *results), "aki") == [
        (BASELINE, 1.6, 1.5, "x", "stage 1 from", "ratios"),
        (BASELINE, 1.6, 2.0, "x", "stage 2 from", "ratios"),
        (BASELINE, 1.6, 3.0, "x", "stage 3 from", "ratios"),
        (BASELINE, 1.6, 1.5, "x", "ends below", "ratios"),
        (CREATININE, 0.6, 0.3, "mg/dL", "ends below", "rise"),
        ("creatinine above the lowest of 48 h", 0.4, 0.3, "mg/dL", "stage 1 from", "rise"),
        (low, float(Fraction(4, 3)), 1.5, "x", "stage 1 from", "ratios"),
        (low, float(Fraction(4, 3)), 2.0, "x", "stage 2 from", "ratios"),
        (low, float(Fraction(4, 3)), 3.0, "x", "stage 3 from", "ratios"),
        ("creatinine", 1.6, 4.0, "mg/dL", "stage 3 from", "stage_3_from"),
    ]


def test_aki_in_the_unit_of_the_result_and_without_a_baseline():
    late = [lab("creatinine", 100, FIRST + 9 * D, "umol/L"), lab("creatinine", 130, FIRST + 10 * D, "umol/L")]
    found = figures(on("foscarnet", *late, at=[FIRST + i * D for i in range(10)]), "aki")
    assert found[0] == ("creatinine above the lowest of 48 h", 30, 26.5, "µmol/L", "stage 1 from", "rise")
    assert found[-1] == ("creatinine", 130, 353.6, "µmol/L", "stage 3 from", "stage_3_from")


def test_aki_by_the_baseline_alone_has_no_low_of_the_last_days():
    results = [lab("creatinine", 1.0, ZERO), lab("creatinine", 1.6, FIRST + 8 * D)]
    found = figures(on("foscarnet", *results, at=[FIRST + i * D for i in range(8)]), "aki")
    assert {what for what, *_ in found} == {BASELINE, CREATININE, "creatinine"}


def test_cidofovir_after_a_rise():
    def given(value, *more):
        return on("cidofovir", lab("creatinine", 1.0, ZERO), lab("creatinine", value, FIRST + D), *more, size=5)

    assert figures(given(1.3), "cidofovir-reduce-dose") == [
        (CREATININE, 0.3, 0.3, "mg/dL", "reduce from", "rise"),
        (CREATININE, 0.3, 0.3, "mg/dL", "ends below", "rise"),
    ]
    assert figures(given(1.2, lab("dipstick", "4+", FIRST + 2 * D)), "cidofovir-stop") == [
        (CREATININE, 0.2, 0.5, "mg/dL", "stop from", "rise"),
        ("urine protein", 1000, 300, "mg/dL", "stop from", "protein_from"),
    ]


def test_cidofovir_at_a_dose():
    before = [lab("creatinine", 1.6, 9 * D), lab("protein", 30, 9 * D)]
    assert figures(on("cidofovir", *before, size=5), "cidofovir-contraindicated") == [
        ("creatinine", 1.6, 1.5, "mg/dL", "contraindicated above", "creatinine_above"),
        ("creatinine clearance", 43.75, 55, "mL/min", "contraindicated up to", "clearance_up_to"),
        ("urine protein", 30, 100, "mg/dL", "contraindicated from", "protein_from"),
    ]
    assert [one[0] for one in figures(on("cidofovir", before[0], size=5), "cidofovir-contraindicated")] == [
        "creatinine",
        "creatinine clearance",
    ]
    dipped = [*on("cidofovir", size=5)[2:], patient(), lab("dipstick", "3+", 9 * D)]
    found = figures(dipped, "cidofovir-contraindicated")
    assert found == [("urine protein", 300, 100, "mg/dL", "contraindicated from", "protein_from")]
    found = figures(on("cidofovir", *before[1:], size=5), "cidofovir-predose-labs-missing", FIRST + 3 * H)
    assert found == []
    old = [lab("creatinine", 1.0, 7 * D)]
    found = figures(on("cidofovir", *old, size=5), "cidofovir-predose-labs-missing", FIRST + 3 * H)
    assert found == [("age of creatinine at the dose", 72, 48, "h", "at most", "within")]


def test_cidofovir_dose_and_interval():
    days = (FIRST, FIRST + 7 * D, FIRST + 17 * D)
    rise = [lab("creatinine", 1.0, ZERO), lab("creatinine", 1.3, FIRST + 16 * D)]
    size = [
        ("dose", 5, 5.5, MG_KG, "warning above", "above"),
        ("dose", 5, 7.5, MG_KG, "critical above", "critical_above"),
    ]
    reduced = ("dose", 5, 3.3, MG_KG, "warning above, after a rise of creatinine", "reduced_above")
    since = "time since the dose before"
    times = [
        (since, 10, 6, "d", "critical below", "interval"),
        (since, 10, 12, "d", "warning below", "later_interval"),
    ]
    assert figures(on("cidofovir", size=5, at=days), "cidofovir-dose") == [*size, *times]
    assert figures(on("cidofovir", *rise, size=5, at=days), "cidofovir-dose") == [*size, reduced, *times]
    near = figures(on("cidofovir", size=5, at=(FIRST, FIRST + 3 * D)), "cidofovir-dose")
    assert near == [*size, (since, 3, 6, "d", "critical below", "interval")]
    large = figures(on("cidofovir", size=6), "cidofovir-dose")
    assert [one[1:3] for one in large] == [(6, 5.5), (6, 7.5)]


def test_foscarnet():
    stop = figures(on("foscarnet", lab("creatinine", 4, 9 * D)), "foscarnet-renal-stop")
    assert stop == [
        ("creatinine clearance", 0.25, 0.4, "mL/min/kg", "stop below", "clearance_below"),
        ("creatinine clearance", 0.25, 0.4, "mL/min/kg", "ends from", "clearance_below"),
    ]
    assert figures(on("foscarnet", ended_at=FIRST + H), "foscarnet-infusion-rate") == [
        ("infusion rate", 1.5, 1.1, "mg/kg/min", "warning above", "above"),
        ("infusion rate", 1.5, 2, "mg/kg/min", "critical from", "critical_from"),
    ]


@pytest.mark.parametrize(
    ("drug", "size", "crcl", "gap", "label", "expected"),
    [
        ("foscarnet", 120, 2.0, 12, "treatment", ("20 h", 240, (198, "above", "window"), (360, "window"))),
        ("foscarnet", 150, 0.7, 24, "maintenance", ("40 h", 300, (115.5, "above", "window_48h"), (210, "window_48h"))),
        ("ganciclovir", 1.25, 8, 48, "maintenance", ("69 h", 2.5, (1.375, "above", "window_longer"), (2.5, "window"))),
        (
            "valganciclovir",
            450,
            20.8,
            48,
            "maintenance",
            ("69 h", 900, (900, "from", "window_longer"), (900, "window")),
        ),
    ],
)
def test_dose_above(drug, size, crcl, gap, label, expected):
    window, total, (limit, meaning, number), (critical, _) = expected
    unit = "mg" if drug == "valganciclovir" else MG_KG
    creatinine = lab("creatinine", round(1 / crcl if drug == "foscarnet" else 70 / crcl, 5), 9 * D)
    doses = (FIRST, FIRST + gap * H)
    one, other = figures(
        on(drug, creatinine, size=size, at=doses, unit=unit, indication=label), "dose-above-renal-band"
    )
    span = {"20 h": "20 h", "40 h": "40 h", "69 h": "2 d 21 h"}[window]
    over = "a tablet over" if unit == "mg" else "10 % over"
    assert one == (f"doses of the last {span}", total, limit, unit, f"warning {meaning}, {over}", number)
    assert other == (one[0], total, critical, unit, "critical from, in several doses", "critical_times")


def test_no_tablets():
    low = lab("creatinine", 8.75, 9 * D)
    assert figures(on("valganciclovir", low, size=450, unit="mg"), "dose-above-renal-band") == [
        ("creatinine clearance", 8, 9, "mL/min", "no tablets up to", "no_tablets")
    ]


def test_dose_below():
    more = [lab("creatinine", 0.5, 9 * D), lab("cmv", 5000, 9 * D)]
    doses = [FIRST + i * 12 * H for i in range(7)]
    what = "doses of the last 3 d, of the least asked for"
    share = float(Fraction(7000, 180) * Fraction(20, 20))
    found = figures(on("foscarnet", *more, size=20, at=doses), "dose-below-renal-band")
    assert found == [
        (what, share, 80, "%", "warning below", "share"),
        (what, share, 80, "%", "ends from", "share"),
    ]


def test_protection():
    fluid = dose("sodium chloride", 300, FIRST - 2 * H, "mL")
    later = FIRST + 3 * H
    (found,) = figures(on("foscarnet", fluid), "hydration-missing", later)
    assert found[1:] == (300, 750, "mL", "at least", "needed_above")
    (found,) = figures(on("cidofovir", fluid, size=1), "hydration-missing", later)
    assert found == ("fluid from 2026-01-10 21:00 UTC to 2026-01-11 00:00 UTC", 300, 1000, "mL", "at least", "needed")
    taken = dose("probenecid", 1.5, FIRST - 3 * H, "g")
    assert figures(on("cidofovir", taken, size=1), "probenecid-missing", later) == [
        ("probenecid before the dose", 1.5, 2, "g", "at least", "needed"),
        ("dose", 1, 1.5, MG_KG, "info only up to", "small_up_to"),
    ]


COUNT = "×10³/µL"


def test_counts():
    name = "neutrophils"
    low = [lab("anc", 2.0, 9 * D), lab("anc", 0.8, FIRST + D)]
    assert figures(on("ganciclovir", *low, size=5), "neutropenia") == [
        (name, 0.8, 1.0, COUNT, "warning below", "below"),
        (name, 0.8, 0.5, COUNT, "critical below", "critical_below"),
        (name, 0.8, 1.5, COUNT, "ends from, once", "recovered_once"),
        (name, 0.8, 1.0, COUNT, "ends from, twice running", "recovered_twice"),
    ]
    found = figures(on("ganciclovir", lab("hemoglobin", 75, FIRST + D, "g/L"), size=5), "anemia")
    assert [one[1:] for one in found] == [
        (75, 80, "g/L", "warning below", "below"),
        (75, 90, "g/L", "ends from, once", "recovered_once"),
        (75, 80, "g/L", "ends from, twice running", "recovered_twice"),
    ]
    before = [lab("anc", 0.4, 9 * D), lab("platelets", 100, 9 * D)]
    assert figures(on("ganciclovir", *before, size=5), "started-below-count-limits") == [
        (name, 0.4, 0.5, COUNT, "critical below", "anc"),
        (name, 0.4, 0.5, COUNT, "ends from", "anc"),
        ("platelets", 100, 25, COUNT, "critical below", "platelets"),
        ("platelets", 100, 25, COUNT, "ends from", "platelets"),
    ]


def test_salts():
    found = figures(on("foscarnet", lab("potassium", 2.8, FIRST + D)), "hypokalemia")
    assert found == [
        ("potassium", 2.8, 3.0, "mmol/L", "warning below", "below"),
        ("potassium", 2.8, 2.5, "mmol/L", "critical below", "critical_below"),
        ("potassium", 2.8, 3.0, "mmol/L", "ends from", "below"),
    ]
    ionized = lab("ionized", 0.95, FIRST + D)
    alone = [
        ("ionized calcium", 0.95, 1.0, "mmol/L", "warning below", "ionized_below"),
        ("ionized calcium", 0.95, 0.9, "mmol/L", "critical below", "ionized_critical_below"),
        ("ionized calcium", 0.95, 1.0, "mmol/L", "ends from", "ionized_below"),
    ]
    assert figures(on("foscarnet", ionized), "hypocalcemia") == alone
    total = lab("calcium", 7.4, FIRST + D + H)
    # Ionized calcium decides alone where it is as fresh.
    assert figures(on("foscarnet", ionized, total), "hypocalcemia") == alone
    both = figures(on("foscarnet", ionized, lab("calcium", 6.9, FIRST + D + 3 * H)), "hypocalcemia")
    assert both[:3] == alone
    assert both[3:] == [
        ("total calcium", 6.9, 8.0, "mg/dL", "warning below", "total_below"),
        ("total calcium", 6.9, 7.0, "mg/dL", "critical below", "total_critical_below"),
        ("total calcium", 6.9, 8.0, "mg/dL", "ends from", "total_below"),
    ]
    found = figures(on("foscarnet", lab("albumin", 3.5, FIRST + D), total), "hypocalcemia")
    assert found[0][:2] == ("total calcium, corrected for albumin", 7.8)


@pytest.mark.parametrize(
    ("comparator", "what"), [("<", "neutrophils, at most"), (">", "neutrophils, at least"), (None, "neutrophils")]
)
def test_a_censored_result_is_said_to_be_one(comparator, what):
    more = {} if comparator is None else {"comparator": comparator}
    p = run(on("ganciclovir", lab("anc", 0.4, FIRST + D, **more), size=5))
    (result,) = p.series[p.plan.analyte_index["anc"]].x
    (found,) = lab_figures(p, result, ("critical below", (500_000,) * 9, "critical_below"))
    assert found.what == what
