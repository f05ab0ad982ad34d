"""Figures beside their thresholds: exact, in the unit of the text, each threshold with its number in the knowledge."""

from fractions import Fraction

import pytest

from monitor.advance import advance, receive
from monitor.patient import Patient
from tests.differential.histories import THEMES, history
from tests.monitor.case import ZERO, D, H, dose, every, lab, patient, plan, run
from tests.monitor.histories import facts_of

CODES = (
    *("overdue-renal", "overdue-electrolytes", "overdue-blood-count", "overdue-viral-load", "baseline-labs-missing"),
    *("overdue-surveillance", "overdue-immunosuppressant-level", "refractory-cmv", "probable-refractory-cmv"),
    *("slow-viral-response", "viral-rebound", "viral-clearance", "stop-criteria-met", "step-down-due", "relapse"),
    *("preemptive-treatment-indicated", "breakthrough-on-prophylaxis", "letermovir-ciclosporin-dose"),
    *("maribavir-ganciclovir", "duplicate-ganciclovir", "maribavir-inducer-dose", "interaction"),
    *("nephrotoxic-combination", "implausible-result", "suspect-sample"),
)
WITHOUT = {"breakthrough-on-prophylaxis", "maribavir-ganciclovir", "duplicate-ganciclovir"}
"""Two quantifiable loads running on (val)ganciclovir have no number; three interleaved doses are not always there."""


def figures_of(p, code):
    """The figures of each episode of a code, as of its last step."""
    for fold in p.folds.values():
        if fold.rule.code == code:
            p.judging = fold
            for episode in fold.episodes:
                t, level = episode.steps[-1]
                yield list(fold.rule.say(p, t, level, episode).figures)


def shown(events, until, code):
    (found,) = figures_of(run(events, until), code)
    return [(one.what, one.value, one.limit, one.unit, one.meaning, one.number) for one in found]


def number_at(code, path):
    """The number of the knowledge at a path of the rule's table, or else of the whole."""
    for table in (plan().table["rules"][code], plan().table):
        found = table
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, dict) and "value" in found:
            return found
    return None


@pytest.mark.parametrize("theme", THEMES)
def test_every_figure_has_a_threshold_in_the_knowledge(theme):
    seen = set()
    for seed in range(3):
        facts = facts_of(history(seed, theme))
        p = Patient(plan(), "p1")
        receive(p, facts)
        advance(p, max(fact.recorded for fact in facts))
        for code in CODES:
            for figures in figures_of(p, code):
                seen.add(code)
                assert figures or code in WITHOUT, code
                for one in figures:
                    assert isinstance(one.value, Fraction | int)
                    assert isinstance(one.limit, Fraction | int)
                    assert one.what
                    assert one.meaning
                    assert one.unit
                    assert number_at(code, one.number), (code, one.number)
    assert seen


def test_an_overdue_test_beside_the_gap_twice_the_gap_and_what_ends_it():
    events = [
        patient(),
        lab("creatinine", 0.8, ZERO),
        *(dose("foscarnet", 4200, at) for at in every(12 * H, ZERO, 9 * D)),
    ]
    table = "drugs.foscarnet.induction.gap"
    assert shown(events, 8 * D, "overdue-renal") == [
        ("time since the last creatinine", 8, 4, "d", "overdue from", table),
        ("time since the last creatinine", 8, 8, "d", "critical from, twice the gap,", table),
        ("age of the last creatinine", 8, 4, "d", "ends below", table),
    ]


@pytest.mark.parametrize(
    ("anc", "gap", "number"), [(0.9, 30, "any.early.low_baseline_gap"), (4.0, Fraction(7, 2), "any.early.gap")]
)
def test_an_overdue_blood_count_shows_what_made_its_gap(anc, gap, number):
    labs = [lab("anc", anc, ZERO), lab("platelets", 200, ZERO)]
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 5 * D)]
    found = shown([patient(), *labs, *doses], 4 * D, "overdue-blood-count")
    table = "drugs.ganciclovir."
    at_start = f"{table}any.early.low_baseline_below"
    unit = "\N{MULTIPLICATION SIGN}10³/µL"
    what = "neutrophils at the course's start"
    assert (what, Fraction(str(anc)), 1, unit, "shorter gap below", at_start) in found
    limits = {(limit, path) for _, _, limit, _, meaning, path in found if meaning == "overdue from"}
    assert limits == {(gap, table + number)}


def test_after_the_first_weeks_the_gap_is_the_later_one():
    labs = [one for at in every(3 * D, ZERO, 12 * D) for one in (lab("anc", 4, at), lab("platelets", 200, at))]
    doses = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 22 * D)]
    found = shown(
        [patient(), *labs, lab("anc", 4, 13 * D), lab("platelets", 200, 13 * D), *doses], 22 * D, "overdue-blood-count"
    )
    assert {(limit, path) for _, _, limit, _, meaning, path in found if meaning == "overdue from"} == {
        (8, "drugs.ganciclovir.any.gap")
    }


def test_a_load_beside_the_peak_is_a_factor_or_a_difference_of_logarithms():
    treated = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 20 * D)]
    linear = shown(
        [patient(), *treated, lab("cmv", 10_000, ZERO), lab("cmv", 5_000, 15 * D)], 15 * D, "slow-viral-response"
    )
    assert linear[0][:4] == ("CMV DNA over the peak", Fraction(1, 2), 10, "x")
    assert linear[2][:5] == ("the peak over CMV DNA", 2, 10, "x", "a right response from")
    assert linear[3][:4] == ("CMV DNA", 5000, 1000, "IU/mL")
    logs = [lab("cmv", value, at, "{Log_IU}/mL") for value, at in ((4.0, ZERO), (3.7, 15 * D))]
    found = shown([patient(), *treated, *logs], 15 * D, "slow-viral-response")
    assert found[0][:4] == ("CMV DNA over the peak", Fraction(-3, 10), 1, "log10")
    assert found[2][:4] == ("the peak over CMV DNA", Fraction(3, 10), 1, "log10")


def test_a_rebound_beside_the_root_of_ten():
    treated = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 30 * D)]
    loads = [lab("cmv", value, day * D) for value, day in ((9000, 1), (1000, 10), (3163, 20), (4000, 25))]
    found = {one[0]: one for one in shown([patient(), *treated, *loads], 25 * D, "viral-rebound")}
    assert found["CMV DNA over the nadir"][1:4] == (4, Fraction(3162277660168, 10**12), "x")
    assert found["CMV DNA before it over the nadir"][1] == Fraction("3.163")
    assert found["treatment days by the CMV DNA before it"][1:3] == (21, 14)


def test_copies_meet_no_threshold_in_international_units():
    treated = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 30 * D)]
    unit = "{copies}/mL"
    loads = [lab("cmv", value, day * D, unit) for value, day in ((9000, 1), (1000, 10), (4000, 20), (4000, 25))]
    found = shown([patient(), *treated, *loads], 25 * D, "viral-rebound")
    assert {one[0] for one in found} == {
        *("treatment days by the CMV DNA", "CMV DNA over the nadir"),
        *("treatment days by the CMV DNA before it", "CMV DNA before it over the nadir"),
    }


def test_a_dose_of_letermovir_beside_both_limits():
    events = [patient(), dose("ciclosporin", 100, ZERO), dose("letermovir", 480, D)]
    found = shown(events, D, "letermovir-ciclosporin-dose")
    assert [one[1:4] for one in found] == [(480, 480, "mg"), (480, 240, "mg"), (1, 3, "d")]


def test_potassium_magnesium_and_the_number_of_drugs_that_prolong_the_qt_interval():
    events = [patient(), dose("foscarnet", 6000, ZERO), dose("ondansetron", 8, H), lab("potassium", 3.6, ZERO)]
    found = shown(events, H, "interaction")
    assert found[0][1:4] == (1, 24, "h")
    assert found[-2][1:] == (Fraction(18, 5), Fraction(7, 2), "mmol/L", "worse below", "qt.potassium_below")
    assert found[-1][1:4] == (1, 2, "drugs")


def test_a_rebound_after_clearance_may_have_no_nadir():
    treated = [dose("ganciclovir", 350, at, indication="treatment") for at in every(12 * H, ZERO, 30 * D)]
    clear = [lab("cmv", 137, day * D, comparator="<") for day in (5, 11)]
    found = shown(
        [patient(), *treated, lab("cmv", 9000, -D), *clear, lab("cmv", 2000, 13 * D)], 14 * D, "viral-rebound"
    )
    assert [one[:3] for one in found] == [("CMV DNA", 2000, 1000), ("treatment days by the CMV DNA", 14, 14)]
    other = [lab("cmv", 2000, 13 * D, code="100675-8")]
    found = shown([patient(), *treated, lab("cmv", 9000, -D), *clear, *other], 14 * D, "viral-rebound")
    assert [one[0] for one in found] == ["CMV DNA", "treatment days by the CMV DNA"]


def test_a_level_beside_when_it_was_due_and_when_it_is_given_up():
    events = [patient(), dose("tacrolimus", 2, ZERO), dose("letermovir", 480, D), dose("tacrolimus", 2, 2 * D)]
    found = shown(events, 9 * D, "overdue-immunosuppressant-level")
    assert [one[1:] for one in found] == [
        (7, 7, "d", "overdue from", "gap"),
        (7, 30, "d", "given up after", "given_up_after"),
        (1, 3, "d", "counts up to", "given_within"),
    ]
