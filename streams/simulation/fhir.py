"""Events as FHIR R4 resources that read back as the same facts (contract, section 1).

A result is an Observation (`effectiveDateTime`, `issued`), a dose a MedicationAdministration (`meta.lastUpdated` says
when it was charted), birth date and sex a Patient. What a Patient cannot carry (transplant, serology, dialysis, HIV)
and actions stay native events: a log may mix both. An indication is written as `reasonCode`.
"""

from typing import Final

from streams.simulation.record import Event

_UCUM: Final = "http://unitsofmeasure.org"
_LOINC: Final = "http://loinc.org"
_SNOMED: Final = "http://snomed.info/sct"
_RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
_DETECTION: Final = {"detected": ("260373001", "Detected"), "not-detected": ("260415000", "Not detected")}
_ROUTES: Final = {
    "iv": ("47625008", "Intravenous route"),
    "oral": ("26643006", "Oral route"),
    "sc": ("34206005", "Subcutaneous route"),
}
RXNORM: Final = {
    "foscarnet": "33562",
    "ganciclovir": "4678",
    "valganciclovir": "275891",
    "cidofovir": "83171",
    "letermovir": "1988648",
    "probenecid": "8698",
    "sodium chloride": "9863",
    "ciclosporin": "3008",
    "cyclosporine": "3008",
    "tacrolimus": "42316",
    "mycophenolate": "68149",
    "trimethoprim": "10829",
    "filgrastim": "68442",
    "vancomycin": "11124",
    "amphotericin b": "236594",
    "ondansetron": "26225",
    "imipenem": "5690",
    "levofloxacin": "82122",
    "haloperidol": "5093",
    "ibuprofen": "5640",
    "simvastatin": "36567",
    "rifampin": "9384",
    "phenytoin": "8183",
    "dolutegravir": "1433868",
    "zidovudine": "11413",
    "tenofovir disoproxil": "300195",
    "potassium chloride": "8591",
    "magnesium sulfate": "6585",
    "calcium gluconate": "1908",
}
"""RxNorm ingredients (facts.md, section 1.1). Maribavir's is not known there: it goes by its name."""


def as_fhir(event: Event) -> Event:
    """The resource of an event, or the event itself where FHIR has none for it."""
    kind = event["type"]
    if kind == "lab":
        return _observation(event)
    if kind == "administration":
        return _administration(event)
    if kind == "patient" and ("birth_date" in event or "sex" in event) and not _CLINICAL & event.keys():
        return _patient(event)
    return event


_CLINICAL: Final = frozenset(("transplant", "transplant_at", "donor_cmv", "recipient_cmv", "hiv", "dialysis"))


def _observation(event: Event) -> Event:
    resource: Event = {
        "resourceType": "Observation",
        "id": event["event_id"],
        "status": event.get("status", "final"),
        "code": {"coding": [{"system": _LOINC, "code": event["code"]}]},
        "subject": {"reference": f"Patient/{event['patient_id']}"},
        "effectiveDateTime": event["collected_at"],
        "issued": event["recorded_at"],
    }
    if "value" in event:
        quantity = {"value": event["value"], "unit": event["unit"], "system": _UCUM, "code": event["unit"]}
        if "comparator" in event:
            quantity["comparator"] = event["comparator"]
        resource["valueQuantity"] = quantity
    elif "result" in event:
        word = str(event["result"])
        if word in _DETECTION:
            code, display = _DETECTION[word]
            coding = {"system": _SNOMED, "code": code, "display": display}
            resource["valueCodeableConcept"] = {"coding": [coding], "text": display}
        else:
            resource["valueString"] = word
    else:
        reason = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "error"}]}
        resource["dataAbsentReason"] = reason
    return resource


def _administration(event: Event) -> Event:
    drug = str(event["drug"])
    medication: Event = {"text": drug}
    if drug in RXNORM:
        medication["coding"] = [{"system": _RXNORM, "code": RXNORM[drug], "display": drug}]
    resource: Event = {
        "resourceType": "MedicationAdministration",
        "id": event["event_id"],
        "meta": {"lastUpdated": event["recorded_at"]},
        "status": event.get("status", "completed"),
        "medicationCodeableConcept": medication,
        "subject": {"reference": f"Patient/{event['patient_id']}"},
    }
    if "ended_at" in event:
        resource["effectivePeriod"] = {"start": event["started_at"], "end": event["ended_at"]}
    else:
        resource["effectiveDateTime"] = event["started_at"]
    if "indication" in event:
        resource["reasonCode"] = [{"text": event["indication"]}]
    code, display = _ROUTES[str(event["route"])]
    unit = event["unit"]
    resource["dosage"] = {
        "route": {"coding": [{"system": _SNOMED, "code": code, "display": display}], "text": event["route"]},
        "dose": {"value": event["dose"], "unit": unit, "system": _UCUM, "code": unit},
    }
    return resource


def _patient(event: Event) -> Event:
    resource: Event = {
        "resourceType": "Patient",
        "id": event["patient_id"],
        "meta": {"lastUpdated": event["recorded_at"]},
    }
    if "birth_date" in event:
        resource["birthDate"] = event["birth_date"]
    if "sex" in event:
        resource["gender"] = event["sex"]
    return resource
