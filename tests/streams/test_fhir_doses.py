"""MedicationAdministrations: every status, shape of medication, amount, route, indication and time."""

from typing import Any

import pytest

from monitor.events import AdministrationEvent
from streams.fhir import Found, Passed
from tests.streams.fhir_documents import (
    DRAWN,
    RXNORM,
    SNOMED,
    UCUM,
    administration,
    bundle,
    changed,
    coded,
    event_of,
    medication,
    passed,
    quantity,
    read,
    reason,
)


def test_an_administration_is_a_dose() -> None:
    assert event_of(administration()) == AdministrationEvent(
        event_id="MedicationAdministration/A1",
        patient_id="p1",
        recorded_at="2026-03-04T10:02:00Z",
        drug="33562",
        started_at="2026-03-04T08:00:00Z",
        ended_at="2026-03-04T10:00:00Z",
        dose=6300,
        unit="mg",
        route="iv",
        status="completed",
    )


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        ("in-progress", "in-progress"),
        ("completed", "completed"),
        ("stopped", "stopped"),
        ("not-done", "not-done"),
        ("on-hold", "not-done"),
        ("unknown", "not-done"),
        ("entered-in-error", "entered-in-error"),
    ],
)
def test_status_of_an_administration(status: str, becomes: str) -> None:
    event = event_of(administration(status=status))
    given_at_all = becomes in ("in-progress", "completed", "stopped")
    assert (event.status, event.dose) == (becomes, 6300 if given_at_all else None)
    if not given_at_all:
        assert event_of(administration(status=status, dosage=None)).status == becomes
        assert event_of(administration(status=status, dosage={"dose": quantity(1, "furlong")})).dose is None


def test_an_administration_of_no_status() -> None:
    assert reason(administration(status=None)) == "status: missing"
    assert reason(administration(status="done")) == "status: not one of its values"


def test_a_withdrawal_needs_no_more_than_its_identity() -> None:
    bare = administration(status="entered-in-error", medicationCodeableConcept=None, effectivePeriod=None, dosage=None)
    assert event_of(bare) == AdministrationEvent(
        "MedicationAdministration/A1", "p1", "2026-03-04T10:02:00Z", status="entered-in-error"
    )
    assert reason(changed(bare, {"meta": None})) == "MedicationAdministration.effective: missing"
    assert reason(changed(bare, {"subject": None})) == "subject.reference: missing"
    other = event_of(administration(status="entered-in-error", medicationCodeableConcept=coded("161", RXNORM)))
    assert (other.drug, other.status) == (None, "entered-in-error")


# Which drug ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("concept", "drug"),
    [
        (coded("33562", RXNORM), "33562"),
        (coded("1734377", RXNORM), "1734377"),
        (coded("33562", "urn:oid:2.16.840.1.113883.6.88"), "33562"),
        (coded("33562", f"{RXNORM}/"), "33562"),
        (coded("X", "urn:local", display="Foscarnet"), "Foscarnet"),
        ({"text": "foscarnet sodium"}, "foscarnet sodium"),
        ({"coding": [{"system": RXNORM, "code": "161"}, {"system": RXNORM, "code": "33562"}]}, "33562"),
        ({"coding": [{"system": "http://www.whocc.no/atc", "code": "J05AD01", "display": "foscarnet"}]}, "foscarnet"),
        # The product that is local goes before its ingredient.
        ({"coding": [{"system": RXNORM, "code": "4678"}, {"system": RXNORM, "code": "388052"}]}, "388052"),
    ],
)
def test_any_coding_that_is_known(concept: dict[str, Any], drug: str) -> None:
    dose = {"dose": quantity(6300, "mg")}
    assert event_of(administration(medicationCodeableConcept=concept, dosage=dose)).drug == drug
    contained = [{"resourceType": "Provenance", "id": "m1"}, medication(code=concept), {"resourceType": 7}, 7]
    by_reference = administration(
        medicationCodeableConcept=None, contained=contained, medicationReference={"reference": "#m1"}, dosage=dose
    )
    assert event_of(by_reference).drug == drug


@pytest.mark.parametrize(
    ("concept", "counted_as"),
    [
        (coded("161", RXNORM, display="acetaminophen"), "161"),
        # Numbers are RxNorm's only where the system says so; they are counted for the site to map.
        (coded("33562", "http://hl7.org/fhir/sid/ndc"), "33562"),
        ({"coding": [{"code": "33562"}]}, "33562"),
        ({"text": "33562"}, "33562"),
        ({"coding": []}, "MedicationAdministration"),
    ],
)
def test_drugs_that_are_not_watched(concept: dict[str, Any], counted_as: str) -> None:
    assert passed(administration(medicationCodeableConcept=concept)) == counted_as


SALINE, FOSCARNET, LACTOSE = ({"itemCodeableConcept": coded(code, RXNORM)} for code in ("9863", "33562", "6211"))


@pytest.mark.parametrize(
    ("code", "ingredients", "drug"),
    [
        (None, [LACTOSE, SALINE], "9863"),
        # Foscarnet in saline is foscarnet, whatever stands first.
        (None, [SALINE, FOSCARNET], "33562"),
        (None, [FOSCARNET, SALINE], "33562"),
        (coded("9863", RXNORM), [FOSCARNET], "33562"),
        (coded("9863", RXNORM), [LACTOSE], "9863"),
        ({"text": "Foscavir"}, [SALINE], "Foscavir"),
        (None, [{"itemReference": {"reference": "#x"}}, FOSCARNET], "33562"),
    ],
)
def test_ingredients(code: Any, ingredients: list[Any], drug: str) -> None:
    made = medication(code=code, ingredient=ingredients)
    (found,) = read(
        administration(medicationCodeableConcept=None, contained=[made], medicationReference={"reference": "#m1"})
    )
    assert isinstance(found, Found)
    assert found.event.drug == drug


def test_ingredients_that_are_not_watched_or_not_read() -> None:
    made = medication(code={"text": "Bag"}, ingredient=[LACTOSE])
    told = administration(medicationCodeableConcept=None, contained=[made], medicationReference={"reference": "#m1"})
    assert passed(told) == "MedicationAdministration"
    made["ingredient"] = "none"
    assert reason(told) == "Medication.ingredient: expected array, got str"


def test_a_medication_that_is_not_contained() -> None:
    other = [medication(id="m2"), {"resourceType": "Provenance", "id": "m1"}]
    told = administration(medicationCodeableConcept=None, contained=other, medicationReference={"reference": "#m1"})
    assert reason(told) == "medicationReference: not contained"


HOME = "https://ehr.example/Medication/m1"


@pytest.mark.parametrize(
    ("full_url", "reference"),
    [
        ("urn:uuid:u9", "urn:uuid:u9"),
        *((full_url, reference) for full_url in ("urn:uuid:u9", HOME, None) for reference in (
            "Medication/m1",
            "Medication/m1/_history/2",
            HOME,
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_a_medication_of_the_same_bundle(full_url: str | None, reference: str, first: bool) -> None:
    dose = administration(medicationCodeableConcept=None, medicationReference={"reference": reference})
    entries = [{"fullUrl": full_url, "resource": medication()}, {"resource": dose}]
    found = read(bundle(*(entries if first else entries[::-1])))
    assert [one.event.drug for one in found if isinstance(one, Found)] == ["33562"]
    assert [one.what for one in found if isinstance(one, Passed)] == ["Medication"]


def test_a_medication_that_is_not_here() -> None:
    def told(**reference: str) -> dict[str, Any]:
        return administration(medicationCodeableConcept=None, medicationReference=reference)

    assert event_of(told(reference="Medication/m1", display="Foscarnet")).drug == "Foscarnet"
    assert reason(told(reference="Medication/m1", display="Drip")) == "medicationReference: not in the same Bundle"
    assert reason(told(reference="Medication/m1")) == "medicationReference: not in the same Bundle"
    assert reason(told(display="Drip")) == "medicationReference: not in the same Bundle"
    assert reason(told(reference="#m1")) == "medicationReference: not contained"
    assert reason(administration(medicationCodeableConcept=None)) == "MedicationAdministration.medication: missing"


# How much, by what way, what for, when ---------------------------------------------------------------------------


def rate(value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {"rateQuantity": quantity(value, unit, **more)}


def ratio(over: tuple[float, str], under: tuple[float | None, str]) -> dict[str, Any]:
    below = {"unit": under[1]} if under[0] is None else quantity(under[0], under[1])
    return {"rateRatio": {"numerator": quantity(*over), "denominator": below}}


@pytest.mark.parametrize(
    ("drug", "dosage", "expected"),
    [
        ("foscarnet", {"dose": quantity(6300, "mg")}, (6300, "mg")),
        ("foscarnet", {"dose": {"value": 6.3, "unit": "g"}}, (6.3, "g")),
        ("foscarnet", {"dose": {"value": 6.3, "unit": "gram", "system": UCUM, "code": "[unknown]"}}, (6.3, "gram")),
        ("foscarnet", {"dose": quantity(90, "mg/kg")}, (90, "mg/kg")),
        ("foscarnet", {"dose": quantity(0, "mg")}, (0, "mg")),
        ("sodium chloride", {"dose": quantity(1000, "mL")}, (1000, "mL")),
        # A dose says more than a rate beside it.
        ("foscarnet", {"dose": quantity(6300, "mg"), **rate(1, "mg/h")}, (6300, "mg")),
        # Two hours.
        ("foscarnet", rate(3150, "mg/h"), (6300, "mg")),
        ("foscarnet", rate(52.5, "mg/min"), (6300, "mg")),
        ("foscarnet", rate(0.75, "mg/kg/min"), (90, "mg/kg")),
        ("foscarnet", rate(45, "mg/(kg.h)"), (90, "mg/kg")),
        ("foscarnet", {"rateQuantity": {"value": 3.15, "unit": "g/hr"}}, (6.3, "g")),
        ("sodium chloride", rate(500, "mL/h"), (1000, "mL")),
        ("foscarnet", ratio((6300, "mg"), (2, "h")), (6300, "mg")),
        ("foscarnet", ratio((1575, "mg"), (30, "min")), (6300, "mg")),
        ("sodium chloride", ratio((500, "mL"), (1, "h")), (1000, "mL")),
    ],
)
def test_amounts(drug: str, dosage: dict[str, Any], expected: tuple[float, str]) -> None:
    event = event_of(administration(medicationCodeableConcept={"text": drug}, dosage=dosage))
    assert (event.dose, event.unit) == (pytest.approx(expected[0], abs=1e-6), expected[1])


@pytest.mark.parametrize(
    ("dosage", "expected"),
    [
        (None, "dosage.dose: missing"),
        ({"text": "500 mg IV"}, "dosage.dose: missing"),
        ({"dose": {"unit": "mg"}}, "dosage.dose: missing"),
        ({"dose": quantity(1e200, "mg")}, "dosage.dose.value: number out of range"),
        ({"dose": {"value": "6300"}}, "dosage.dose.value: expected number, got str"),
        ([{"dose": quantity(6300, "mg")}], "dosage: expected object, got array"),
        (rate(125, "mL/h"), "dosage.rateQuantity: no known unit over a time"),
        (rate(125, "mg"), "dosage.rateQuantity: no known unit over a time"),
        (rate(125, "x" * 5000 + "/h"), "dosage.rateQuantity: no known unit over a time"),
        ({"rateQuantity": {"unit": "mg/h"}}, "dosage.rateQuantity.value: missing"),
        ({"rateRatio": {}}, "dosage.rateRatio.numerator.value: missing"),
        ({"rateRatio": {"numerator": quantity(1, "mg")}}, "dosage.rateRatio.denominator: not a time"),
        (ratio((1, "mg"), (1, "mL")), "dosage.rateRatio.denominator: not a time"),
        (ratio((1, "mg"), (0, "h")), "dosage.rateRatio.denominator: not a time"),
        (ratio((1, "mg"), (None, "h")), "dosage.rateRatio.denominator: not a time"),
        (ratio((1, "mL"), (1, "h")), "dosage.rateRatio.numerator: unit not known"),
        (rate(1e99, "mg/min"), "dosage.rate: number out of range"),
    ],
)
def test_amounts_that_are_refused(dosage: Any, expected: str) -> None:
    assert reason(administration(dosage=dosage)) == expected


@pytest.mark.parametrize("period", [{"start": DRAWN}, {"start": DRAWN, "end": DRAWN}])
def test_a_rate_needs_a_period_to_fill(period: dict[str, str]) -> None:
    running = administration(status="in-progress", effectivePeriod=period, dosage=rate(3150, "mg/h"))
    assert reason(running) == "dosage.dose: missing, and no period that a rate filled"


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (coded("47625008", SNOMED), "iv"),
        (coded("26643006", SNOMED, display="?"), "oral"),
        (coded("255560000", SNOMED, display="Intravenous"), "iv"),
        (coded("X", "urn:local", display="Intravitreal route (qualifier value)"), "intravitreal"),
        (coded("PO", "http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration"), "oral"),
        ({"text": "Oral"}, "oral"),
        ({"text": "by telepathy"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_routes(route: Any, expected: str | None) -> None:
    assert event_of(administration(dosage=changed({"dose": quantity(6300, "mg")}, {"route": route}))).route == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["CMV prophylaxis"], "prophylaxis"),
        (["prophylactic"], "prophylaxis"),
        (["Pre-emptive treatment"], "preemptive"),
        (["preemptive"], "preemptive"),
        (["maintenance treatment"], "maintenance"),
        (["Treatment of CMV colitis"], "treatment"),
        (["treatment", "CMV prophylaxis"], "prophylaxis"),
        (["prophylaxis", "maintenance"], None),
        (["secondary prophylaxis"], None),
        (["CMV disease"], None),
        ([], None),
    ],
)
def test_indications(texts: list[str], expected: str | None) -> None:
    assert event_of(administration(reasonCode=[{"text": text} for text in texts])).indication == expected
    as_codes = [coded(text.replace(" ", "-"), "urn:local") for text in texts]
    assert event_of(administration(reasonCode=as_codes)).indication == expected
    if len(texts) == 1:
        assert event_of(administration(category={"coding": [{"display": texts[0]}]})).indication == expected


def test_an_indication_that_cannot_be_read_takes_no_dose_with_it() -> None:
    assert event_of(administration(reasonCode="prophylaxis", category=[7])).indication is None


@pytest.mark.parametrize(
    ("elements", "started", "ended"),
    [
        ({}, "2026-03-04T08:00:00Z", "2026-03-04T10:00:00Z"),
        ({"effectivePeriod": {"start": DRAWN}}, DRAWN, None),
        ({"effectivePeriod": None, "effectiveDateTime": DRAWN}, DRAWN, None),
        ({"effectiveDateTime": DRAWN}, DRAWN, None),
    ],
)
def test_when_a_dose_was_given(elements: dict[str, Any], started: str, ended: str | None) -> None:
    event = event_of(administration(**elements))
    assert (event.started_at, event.ended_at) == (started, ended)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"effectivePeriod": None}, "MedicationAdministration.effective: missing"),
        ({"effectivePeriod": {"end": DRAWN}}, "effectivePeriod.start: missing"),
        ({"effectivePeriod": {"start": "2026-03-04"}}, "effectivePeriod.start: no offset"),
        ({"effectivePeriod": {"start": DRAWN, "end": "2026-03-04T10:00"}}, "effectivePeriod.end: no offset"),
        ({"effectivePeriod": None, "effectiveDateTime": "2026-03"}, "effectiveDateTime: no offset"),
    ],
)
def test_times_of_doses_that_are_refused(elements: dict[str, Any], expected: str) -> None:
    assert reason(administration(**elements)) == expected
