"""FHIR documents for tests, built from defaults, and what reading one gives."""

import json
import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from monitor.events import Gate
from monitor.knowledge import lay
from monitor.plan import Plan
from streams.fhir import Found, Passed, Refused, read_resource

SHARED = Path(__file__).parents[3] / "shared"
"""Real samples, beside the repository and not in it."""

LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
FLAGS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

CREATININE, CMV, PROTEIN, WEIGHT = "2160-0", "72493-0", "20454-5", "29463-7"
DRAWN, ISSUED = "2026-03-04T06:00:00Z", "2026-03-04T07:10:00Z"


def watching_everything() -> Plan:
    """A plan without rules under which every analyte and drug is watched, so that no rule to come changes a test."""
    folder = files("seeds") / "knowledge"
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(".toml"))
    tables = [tomllib.loads((folder / name).read_text("utf-8"), parse_float=Decimal) for name in names]
    plan = Plan(lay([(name, table | {"rules": {}}) for name, table in zip(names, tables, strict=True)]), {})
    plan.analyte_of = {code: a for a in plan.analytes for code in plan.knowledge.analytes[a.key].loinc}
    plan.drug_of = {name: plan.drugs[plan.drug_index[drug]] for name, drug in plan._names.items()}
    return plan


PLAN = watching_everything()


def coded(code: str, system: str = LOINC, **more: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, **more}]}


def quantity(value: float = 1.9, unit: str = "mg/dL", **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **more}


def changed(made: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Elements replaced; None takes one away."""
    return {name: value for name, value in (made | changes).items() if value is not None}


def observation(loinc: str = CREATININE, /, **changes: Any) -> dict[str, Any]:
    made = {
        "resourceType": "Observation",
        "id": "L1",
        "status": "final",
        "code": coded(loinc),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": DRAWN,
        "issued": ISSUED,
        "valueQuantity": quantity(),
    }
    return changed(made, changes)


def valued(loinc: str, /, **value: Any) -> dict[str, Any]:
    return observation(loinc, **({"valueQuantity": None} | value))


def administration(**changes: Any) -> dict[str, Any]:
    made = {
        "resourceType": "MedicationAdministration",
        "id": "A1",
        "status": "completed",
        "meta": {"lastUpdated": "2026-03-04T10:02:00Z"},
        "medicationCodeableConcept": coded("33562", RXNORM),
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2026-03-04T08:00:00Z", "end": "2026-03-04T10:00:00Z"},
        "dosage": {"dose": quantity(6300, "mg"), "route": coded("47625008", SNOMED)},
    }
    return changed(made, changes)


def component(loinc: str, /, **value: Any) -> dict[str, Any]:
    return {"code": coded(loinc), **({"valueQuantity": quantity()} | value)}


def panel(*components: Any, of: str = "24323-8", **changes: Any) -> dict[str, Any]:
    return valued(of, component=list(components), **changes)


def medication(**changes: Any) -> dict[str, Any]:
    return changed({"resourceType": "Medication", "id": "m1", "code": coded("33562", RXNORM)}, changes)


def patient(**changes: Any) -> dict[str, Any]:
    return changed({"resourceType": "Patient", "id": "p1", "birthDate": "1976-03-01", "gender": "male"}, changes)


def bundle(*entries: dict[str, Any], kind: str = "collection") -> dict[str, Any]:
    """Resources are made entries; entries stay as they are."""
    made = [{"resource": one} if "resourceType" in one else one for one in entries]
    return {"resourceType": "Bundle", "type": kind, "entry": made}


def read(document: Any) -> list[Found | Refused | Passed]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(read_resource(data, PLAN))


def event_of(document: Any) -> Any:
    """The one event of a document, which the gate lets pass."""
    (found,) = read(document)
    assert isinstance(found, Found), found
    Gate(PLAN).admit(found.event)
    return found.event


def reason(document: Any) -> str:
    (refused,) = read(document)
    assert isinstance(refused, Refused), refused
    assert refused.data == (document if isinstance(document, bytes) else json.dumps(document).encode())
    return refused.reason


def passed(document: Any) -> str:
    (found,) = read(document)
    assert isinstance(found, Passed), found
    return found.what


def events_of(document: Any) -> list[Any]:
    found = read(document)
    assert all(isinstance(one, Found) for one in found), found
    return [one.event for one in found if isinstance(one, Found)]
