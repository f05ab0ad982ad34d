"""What a pharmacist reads: units as a laboratory prints them, sentences that begin as sentences do."""

import pytest

from monitor.types import Lab
from monitor.wording import age_text, days_text, name_text, sentences, transplant_text, unit_text
from tests.monitor.case import D, H, alerts, clock, dose, every, lab, patient, when


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("creatinine 2 mg/dL. trimethoprim was given", "Creatinine 2 mg/dL. Trimethoprim was given"),
        (
            'hypokalemia was overridden: "will monitor. as ever". due',
            'Hypokalemia was overridden: "will monitor. as ever". Due',
        ),
        ("0.3 mg/dL above", "0.3 mg/dL above"),
        ("", ""),
    ],
)
def test_sentences_begin_with_a_capital_and_quotes_stay_as_they_are(text, printed):
    assert sentences(text) == printed


@pytest.mark.parametrize(
    ("unit", "printed"),
    [("[IU]/mL", "IU/mL"), ("{Log_IU}/mL", "log10 IU/mL"), ("umol/L", "µmol/L"), ("mg/dL", "mg/dL")],
)
def test_units_are_printed_as_laboratories_do(unit, printed):
    assert unit_text(unit) == printed


def test_names_of_drugs_as_they_are_printed():
    assert [name_text(name) for name in ("amphotericin b", "polymyxin b", "ringer's lactate", "colistin")] == [
        "amphotericin B",
        "polymyxin B",
        "Ringer's lactate",
        "colistin",
    ]
    both = [patient(), dose("foscarnet", 90, D, "mg/kg"), dose("amphotericin b", 250, D)]
    (change,) = [one for one in alerts(both) if one.code == "nephrotoxic-combination"]
    assert "amphotericin B" in change.title
    assert "amphotericin B" in change.detail
    assert "amphotericin B 250 mg iv" in [fact.text for fact in change.evidence]
    assert change.subject == "amphotericin b"


def test_what_is_collected_now_is_said_with_its_time():
    one = Lab("e", 0, clock(D), 0, "2160-0", 1)
    assert age_text(one, clock(D)) == "collected 2026-01-02 00:00 UTC"
    assert age_text(one, clock(D) + 60_000_000) == "1 min old"


def test_one_of_something_is_no_plural():
    assert [days_text(number) for number in (0, 1, 2)] == [
        "0 treatment days",
        "1 treatment day",
        "2 treatment days",
    ]


def test_kinds_of_transplant_in_words():
    assert transplant_text("hct-allogeneic") == "allogeneic HCT"
    assert transplant_text("none") == "none"


def test_no_code_of_a_unit_reaches_a_reader():
    valganciclovir = [dose("valganciclovir", 900, at, indication="treatment") for at in every(D, D, 9 * D)]
    loads = [lab("cmv", 5_000, D), lab("cmv", 4.0, 2 * D, "{Log_IU}/mL")]
    labs = [lab("anc", 0.4, 5 * D), lab("platelets", 20, 5 * D, "10*9/L"), lab("creatinine", 90, D, "umol/L")]
    events = [patient(), lab("weight", 154, D, "[lb_av]"), *valganciclovir, *loads, *labs]
    said = alerts(events, 20 * D)
    assert {"neutropenia", "thrombocytopenia", "overdue-viral-load"} <= {one.code for one in said}
    for one in said:
        text = f"{one.title} {one.detail} {' '.join(fact.text for fact in one.evidence)}"
        assert not set("[]{}*") & set(text)


def test_a_result_corrected_to_what_no_rule_watches_is_called_so():
    doses = [dose("foscarnet", 6300, t, indication="treatment") for t in every(12 * H, 1 * D, 4 * D)]
    first, high = lab("creatinine", 0.9, 1 * D), lab("creatinine", 2.1, 3 * D)
    gone = high | {"status": "corrected", "code": "1234-5", "recorded_at": when(3 * D + 2 * H)}
    changes = alerts([patient(), *doses, first, high, gone])
    (reason,) = {one.reason for one in changes if one.code == "aki" and one.status == "retracted"}
    assert "corrected to what no rule watches (creatinine 2.1 mg/dL" in reason


@pytest.mark.parametrize(
    ("percent", "leukocytes", "unit", "printed"),
    [
        (17.98, 3.2, "10*3/uL", "0.575 ×10³/µL"),  # 0.57536
        (12.497, 4, "10*3/uL", "0.499 ×10³/µL"),  # 0.49988: cut off, for below 0.5 it is
        (10, 6.2, "10*3/uL", "0.62 ×10³/µL"),
        (17.98, 3201, "/uL", "575 /µL"),
        (1, 0.3, "10*3/uL", "0.003 ×10³/µL"),
    ],
)
def test_a_computed_count_is_printed_to_three_digits(percent, leukocytes, unit, printed):
    at = 11 * D
    both = [lab("neutrophil-percent", percent, at), lab("wbc", leukocytes, at, unit)]
    (change,) = [
        one for one in alerts([patient(), dose("ganciclovir", 350, 10 * D), *both]) if one.code == "neutropenia"
    ]
    assert f"neutrophils {printed}" in change.title
    assert printed in change.evidence[0].text


def test_the_advice_of_cidofovir_does_not_speak_of_ganciclovir():
    def advice(drug, value):
        events = [patient(), dose(drug, 350, 10 * D), lab("anc", value, 11 * D)]
        return next(one.recommendation for one in alerts(events) if one.code == "neutropenia")

    for value in (0.8, 0.4):
        assert "ganciclovir" not in advice("cidofovir", value)
        assert "cidofovir" in advice("cidofovir", value)
        assert "do not reduce (val)ganciclovir" in advice("ganciclovir", value)
