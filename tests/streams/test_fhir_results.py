"""Values of Observations: numbers and qualitative results in every shape."""

from typing import Any

import pytest

from monitor.events import Gate, Rejected
from streams.fhir import Found
from tests.streams.fhir_documents import (
    CMV,
    CREATININE,
    DRAWN,
    FLAGS,
    LOINC,
    PLAN,
    PROTEIN,
    SNOMED,
    UCUM,
    WEIGHT,
    coded,
    event_of,
    observation,
    quantity,
    read,
    reason,
    valued,
)


def concept(*codings: tuple[str, str], text: str | None = None, display: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"coding": [{"system": system, "code": code} for system, code in codings]}
    if display is not None:
        made["coding"].append({"system": "urn:oid:1.2.3.4", "code": "X", "display": display})
    return made | ({"text": text} if text is not None else {})


NUMBERS = [
    (CREATININE, {"valueQuantity": quantity()}, (1.9, "mg/dL", None)),
    (CREATININE, {"valueQuantity": quantity(0)}, (0.0, "mg/dL", None)),
    (CMV, {"valueQuantity": quantity(137, "[IU]/mL", comparator="<")}, (137.0, "[IU]/mL", "<")),
    (CMV, {"valueQuantity": quantity(137, "[IU]/mL", comparator="<=")}, (137.0, "[IU]/mL", "<=")),
    (CMV, {"valueQuantity": quantity(1e7, "[IU]/mL", comparator=">")}, (1e7, "[IU]/mL", ">")),
    (CMV, {"valueQuantity": quantity(1e7, "[IU]/mL", comparator=">=")}, (1e7, "[IU]/mL", ">=")),
    # The code, if it is UCUM's and known; else the words; else a code of whatever system.
    (
        WEIGHT,
        {"valueQuantity": {"value": 185, "unit": "lbs", "system": UCUM, "code": "[lb_av]"}},
        (185.0, "[lb_av]", None),
    ),
    (WEIGHT, {"valueQuantity": {"value": 70, "unit": "kg", "system": UCUM, "code": "KiloGr"}}, (70.0, "kg", None)),
    (WEIGHT, {"valueQuantity": {"value": 70, "unit": "kg"}}, (70.0, "kg", None)),
    (WEIGHT, {"valueQuantity": {"value": 70, "unit": "lbs", "system": "urn:local", "code": "kg"}}, (70.0, "lbs", None)),
    (WEIGHT, {"valueQuantity": {"value": 70, "unit": "Kilo", "code": "kg"}}, (70.0, "kg", None)),
    (CREATININE, {"valueQuantity": {"value": 88, "unit": "µmol/l"}}, (88.0, "µmol/l", None)),
    (CREATININE, {"valueString": "1.9 mg/dL"}, (1.9, "mg/dl", None)),
    (CMV, {"valueString": "<137 IU/mL"}, (137.0, "iu/ml", "<")),
    (CMV, {"valueString": " < 137  IU/mL. "}, (137.0, "iu/ml", "<")),
    (CMV, {"valueString": "≥ 1e7 [IU]/mL"}, (1e7, "[iu]/ml", ">=")),
    (CMV, {"valueString": "> 10000000 IU/mL"}, (1e7, "iu/ml", ">")),
    (CMV, {"valueString": "CMV DNA: 4500 IU/mL (3.65 log10 IU/mL)"}, (4500.0, "iu/ml", None)),
    (CMV, {"valueString": "Detected, <137 IU/mL"}, (137.0, "iu/ml", "<")),
    (CMV, {"valueString": "<137 IU/mL (detected)"}, (137.0, "iu/ml", "<")),
    (CMV, {"valueCodeableConcept": {"text": "<34.5 IU/mL"}}, (34.5, "iu/ml", "<")),
    (PROTEIN, {"valueString": "100 mg/dL"}, (100.0, "mg/dl", None)),
    ("751-8", {"valueString": "5.2 10*3/uL"}, (5.2, "10*3/ul", None)),
]


@pytest.mark.parametrize(("code", "value", "expected"), NUMBERS)
def test_numbers(code: str, value: dict[str, Any], expected: tuple[Any, ...]) -> None:
    event = event_of(valued(code, **value))
    assert (event.value, event.unit, event.comparator) == expected
    assert (event.status, event.result) == ("final", None)


QUALITATIVE = [
    *((CMV, {"valueCodeableConcept": concept((SNOMED, code))}, result) for code, result in (
        ("260373001", "detected"),
        ("10828004", "detected"),
        ("52101004", "detected"),
        ("260415000", "not-detected"),
        ("260385009", "not-detected"),
        ("2667000", "not-detected"),
    )),
    *((CMV, {"valueCodeableConcept": concept((LOINC, code))}, result) for code, result in (
        ("LA11882-0", "detected"),
        ("LA6576-8", "detected"),
        ("LA9633-4", "detected"),
        ("LA11883-8", "not-detected"),
        ("LA6577-6", "not-detected"),
        ("LA9634-2", "not-detected"),
    )),
    *((PROTEIN, {"valueCodeableConcept": concept((SNOMED, code))}, result) for code, result in (
        ("260385009", "negative"),
        ("260415000", "negative"),
        ("260405006", "trace"),
        ("260347006", "1+"),
        ("260348001", "2+"),
        ("260349009", "3+"),
        ("260350009", "4+"),
        ("167273002", "negative"),
        ("167274008", "trace"),
        ("167275009", "1+"),
        ("167276005", "2+"),
        ("167277001", "3+"),
        ("167278006", "4+"),
    )),
    *((PROTEIN, {"valueString": text}, result) for text, result in (
        ("negative", "negative"),
        ("NEG", "negative"),
        ("Nil", "negative"),
        ("Trace", "trace"),
        ("trace (15 mg/dL)", "trace"),
        ("1+", "1+"),
        ("1+ (30 mg/dL)", "1+"),
        ("2 +", "2+"),
        ("+3", "3+"),
        ("++", "2+"),
        ("++++", "4+"),
        ("Urine protein test = ++ (finding)", "2+"),
        ("Protein: 3+", "3+"),
    )),
    *((CMV, {"valueString": text}, result) for text, result in (
        ("Detected", "detected"),
        ("POSITIVE.", "detected"),
        ("Not detected", "not-detected"),
        ("Target not detected", "not-detected"),
        ("CMV DNA not detected", "not-detected"),
        ("Not Detected (<137 IU/mL)", "not-detected"),
        ("<137 IU/mL, not detected", "not-detected"),
        ("undetectable", "not-detected"),
        ("negative", "not-detected"),
    )),
    (CMV, {"valueCodeableConcept": concept(("urn:oid:1.2.3.4", "X"), text="Not detected")}, "not-detected"),
    (CMV, {"valueCodeableConcept": concept(display="Detected")}, "detected"),
    (PROTEIN, {"valueCodeableConcept": {"text": "++"}}, "2+"),
    # The interpretation speaks where no value does, or none that is understood.
    *((CMV, {"interpretation": [coded(flag, FLAGS)]}, result) for flag, result in (
        ("POS", "detected"),
        ("DET", "detected"),
        ("NEG", "not-detected"),
        ("ND", "not-detected"),
    )),
    (CMV, {"interpretation": [{"text": "Not detected"}]}, "not-detected"),
    (CMV, {"interpretation": [coded("H", FLAGS), coded("POS", FLAGS)]}, "detected"),
    (CMV, {"valueString": "see comment", "interpretation": [coded("NEG", FLAGS)]}, "not-detected"),
    (PROTEIN, {"interpretation": [coded("NEG", FLAGS)]}, "negative"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "value", "expected"), QUALITATIVE)
def test_qualitative_results(code: str, value: dict[str, Any], expected: str) -> None:
    event = event_of(valued(code, **value))
    assert (event.value, event.unit, event.result, event.status) == (None, None, expected, "final")


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        (CREATININE, {}, "Observation.value: missing"),
        (CREATININE, {"interpretation": [coded("H", FLAGS)]}, "Observation.value: missing"),
        (CREATININE, {"valueQuantity": {"unit": "mg/dL"}}, "valueQuantity.value: missing"),
        (CREATININE, {"valueQuantity": quantity("1.9")}, "valueQuantity.value: expected number, got str"),  # type: ignore[arg-type]
        (CREATININE, {"valueQuantity": quantity(1e200)}, "valueQuantity.value: number out of range"),
        (CREATININE, {"valueQuantity": quantity(comparator="~")}, "valueQuantity.comparator: not one of its values"),
        (CREATININE, {"valueQuantity": [quantity()]}, "valueQuantity: expected object, got array"),
        (CREATININE, {"valueInteger": 2}, "valueInteger: no unit"),
        (CREATININE, {"valueString": "1.9"}, "valueString: no result of creatinine, and no number with its unit"),
        (CREATININE, {"valueString": "negative"}, "valueString: no result of creatinine, and no number with its unit"),
        (CMV, {"valueString": "<137"}, "valueString: no result of CMV DNA, and no number with its unit"),
        (CMV, {"valueString": "1,200 IU/mL"}, "valueString: no result of CMV DNA, and no number with its unit"),
        (CMV, {"valueString": "100 - 200 IU/mL"}, "valueString: no result of CMV DNA, and no number with its unit"),
        (
            CMV,
            {"valueString": "not detected >500 IU/mL"},
            "valueString: no result of CMV DNA, and no number with its unit",
        ),
        (CMV, {"valueString": "x" * 10_000}, "valueString: no result of CMV DNA, and no number with its unit"),
        (CMV, {"valueCodeableConcept": coded("419984006", SNOMED)}, "valueCodeableConcept: no result of CMV DNA"),
        (
            PROTEIN,
            {"valueCodeableConcept": coded("10828004", SNOMED)},
            "valueCodeableConcept: no result of urine protein",
        ),
        (CMV, {"valueBoolean": True}, "valueBoolean: not a kind of result"),
        (CMV, {"valueRange": {"low": quantity()}}, "valueRange: not a kind of result"),
        (CMV, {"valueRatio": {"numerator": quantity()}}, "valueRatio: not a kind of result"),
        (CMV, {"valueSampledData": {"data": "E"}}, "valueSampledData: not a kind of result"),
        (CMV, {"valueTime": "08:00:00"}, "valueTime: not a kind of result"),
        (CMV, {"valueDateTime": DRAWN}, "valueDateTime: not a kind of result"),
        (CMV, {"valuePeriod": {"start": DRAWN}}, "valuePeriod: not a kind of result"),
        (CMV, {"interpretation": {"text": "POS"}}, "interpretation: expected array, got object"),
        (CMV, {"interpretation": [{"text": "POS"}, 7]}, "interpretation[1]: expected object, got int"),
        (CMV, {"interpretation": [{"coding": {}}]}, "interpretation[0].coding: expected array, got object"),
    ],
)
def test_values_that_are_refused(code: str, value: dict[str, Any], expected: str) -> None:
    assert reason(valued(code, **value)) == expected


@pytest.mark.parametrize("unit", [{"value": 1.9}, quantity(1.9, "furlong")])
def test_units_are_the_gate_s_to_judge(unit: dict[str, Any]) -> None:
    (found,) = read(observation(valueQuantity=unit))
    assert isinstance(found, Found)
    with pytest.raises(Rejected, match=r"unit: (missing|not known for creatinine)"):
        Gate(PLAN).admit(found.event)


def test_a_result_that_never_came() -> None:
    event = event_of(valued(CREATININE, dataAbsentReason=coded("specimen-rejected")))
    assert (event.status, event.value, event.result) == ("cancelled", None, None)
    assert event_of(observation(dataAbsentReason=coded("unknown"))).value == 1.9
    empty = valued(CREATININE, valueQuantity={"unit": "mg/dL"}, dataAbsentReason=coded("error"))
    assert event_of(empty).status == "cancelled"
