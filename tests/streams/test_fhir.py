"""FHIR documents: references, Patients, Bundles of every type, deletions, what is no FHIR, and real samples."""

import json
from collections import Counter
from typing import Any

import pytest

from monitor.events import AdministrationEvent, Gate, LabEvent, PatientEvent, Rejected
from streams.fhir import Found, Passed, Refused, read_resource
from tests.streams import fhir_samples
from tests.streams.fhir_documents import (
    CREATININE,
    ISSUED,
    LOINC,
    PLAN,
    SHARED,
    administration,
    bundle,
    component,
    event_of,
    events_of,
    observation,
    panel,
    passed,
    patient,
    quantity,
    read,
    reason,
)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/p1", "p1"),
        ("Patient/p1/_history/1", "p1"),
        ("https://ehr.example/fhir/Patient/p1", "p1"),
        ("https://ehr.example/fhir/Patient/p1/_history/1", "p1"),
        ("https://ehr.example/Patient/fhir/Patient/p1", "p1"),
        ("urn:uuid:bd6f9f37-7295-4cd6-b212-134afcef1253", "bd6f9f37-7295-4cd6-b212-134afcef1253"),
        ("urn:oid:1.2.3.4", "1.2.3.4"),
    ],
)
def test_whose_fact_it_is(reference: str, expected: str) -> None:
    assert event_of(observation(subject={"reference": reference})).patient_id == expected
    assert event_of(administration(subject={"reference": reference})).patient_id == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (None, "subject.reference: missing"),
        ({"display": "Donald Duck"}, "subject.reference: missing"),
        ({"identifier": {"system": "urn:mrn", "value": "1"}}, "subject.reference: missing"),
        ({"reference": ""}, "subject.reference: missing"),
        ({"reference": "Patient/"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "urn:uuid:"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "p1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "#p1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "Group/g1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "OtherPatient/p1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "Patient?identifier=urn:mrn|1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": "Patient/p1?x=1"}, "subject.reference: not to a Patient by its id"),
        ({"reference": 1}, "subject.reference: expected str, got int"),
    ],
)
def test_references_that_are_refused(subject: Any, expected: str) -> None:
    assert reason(observation(subject=subject)) == expected
    assert reason(administration(subject=subject)) == expected


def test_an_id_is_needed() -> None:
    for resource in (observation(id=None), administration(id=None), patient(id=None), patient(id="")):
        assert reason(resource) == "id: missing"
    assert reason(observation(id=7)) == "id: expected str, got int"


# Patient ---------------------------------------------------------------------------------------------------------


def test_a_patient() -> None:
    assert event_of(patient(meta={"lastUpdated": ISSUED})) == PatientEvent(
        "Patient/p1", "p1", ISSUED, birth_date="1976-03-01", sex="male"
    )
    assert event_of(patient()).recorded_at == "1900-01-01T00:00:00Z"


@pytest.mark.parametrize("gender", ["male", "female", "other", "unknown", None])
@pytest.mark.parametrize("birth_date", ["1976-03-01", "1976-03", "1976", None])
def test_what_a_patient_resource_says(gender: str | None, birth_date: str | None) -> None:
    event = event_of(patient(gender=gender, birthDate=birth_date, deceasedBoolean=True, name=[{"family": "Doe"}]))
    assert (event.sex, event.birth_date) == (gender, birth_date)
    assert event.transplant is None


def test_a_gender_that_is_none() -> None:
    assert reason(patient(gender="M")) == "gender: not one of its values"


# Bundles ---------------------------------------------------------------------------------------------------------

KINDS = ("document", "message", "transaction", "batch", "history", "searchset", "collection", "anything")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_of_every_type(kind: str) -> None:
    found = read(
        bundle(patient(), observation(), {"resourceType": "Condition", "id": "c"}, administration(), kind=kind)
    )
    assert [(type(one).__name__, one.entry) for one in found] == [
        ("Found", 0),
        ("Found", 1),
        ("Passed", 2),
        ("Found", 3),
    ]
    assert [one.event for one in found if isinstance(one, Found)] == [
        event_of(patient()), event_of(observation()), event_of(administration())
    ]  # fmt: skip
    assert [one.what for one in found if isinstance(one, Passed)] == ["Condition"]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [None],
        [{}],
        [{"response": {"status": "201 Created", "location": "Observation/L1"}}],
        [{"fullUrl": "urn:uuid:u1", "resource": None}],
        [{"request": {"method": "GET", "url": "Observation/L1"}}],
    ],
)
def test_entries_without_a_resource_are_skipped(entries: list[Any]) -> None:
    assert read({"resourceType": "Bundle", "type": "searchset", "entry": entries}) == [Passed(None, "Bundle")]
    assert [
        one.entry for one in read({"resourceType": "Bundle", "entry": [*entries, {"resource": observation()}]})
    ] == [len(entries)]


def test_a_bundle_without_entries() -> None:
    assert passed({"resourceType": "Bundle", "type": "searchset", "total": 0}) == "Bundle"
    assert passed({"resourceType": "Bundle", "entry": None}) == "Bundle"
    assert reason({"resourceType": "Bundle", "entry": {}}) == "entry: expected array, got object"


def test_a_bad_entry_takes_no_other_with_it() -> None:
    bad: list[Any] = [
        {"resource": observation(valueQuantity={"value": "1.9"})},
        {"resource": observation(effectiveDateTime="2026-03-04")},
        {"resource": {"id": "x"}},
        {"resource": "text"},
        {"resource": {"resourceType": "observation"}},
        {"fullUrl": 7, "resource": observation()},
        "text",
    ]
    whole = bundle()
    whole["entry"] = [*bad, {"resource": observation()}]
    found = read(whole)
    assert [(one.entry, one.reason) for one in found if isinstance(one, Refused)] == [
        (0, "valueQuantity.value: expected number, got str"),
        (1, "effectiveDateTime: no offset"),
        (2, "resourceType: missing"),
        (3, "resourceType: missing"),
        (4, "resourceType: not one of its values"),
        (5, "entry.fullUrl: expected str, got int"),
        (6, "entry: expected object, got str"),
    ]
    assert [one.entry for one in found if isinstance(one, Found)] == [7]
    data = [one.data for one in found if isinstance(one, Refused)]
    assert data == [json.dumps(one["resource"]).encode() for one in bad[:5]] + [
        json.dumps(one).encode() for one in bad[5:]
    ]


def test_an_entry_s_bytes_stay_as_they_stood() -> None:
    resource = b'{ "resourceType" : "Patient",\n  "gender": "M" , "id":"p1"}'
    (refused,) = read(b'{"resourceType":"Bundle","entry":[ {"resource": ' + resource + b" } ]}")
    assert refused == Refused(0, "gender: not one of its values", resource)


@pytest.mark.parametrize("reference", ["urn:uuid:u1", "Patient/p1", "https://ehr.example/fhir/Patient/p1"])
@pytest.mark.parametrize("first", [True, False])
def test_a_patient_of_the_same_bundle_is_one_patient(reference: str, first: bool) -> None:
    entries = [
        {"fullUrl": "urn:uuid:u1", "resource": patient()},
        {"resource": observation(subject={"reference": reference})},
        {"resource": administration(subject={"reference": reference})},
    ]
    assert {event.patient_id for event in events_of(bundle(*(entries if first else entries[::-1])))} == {"p1"}


def test_a_full_url_gives_an_id_to_what_has_none() -> None:
    found = events_of(
        bundle(
            {"fullUrl": "urn:uuid:u1", "resource": patient(id=None)},
            {"fullUrl": "urn:uuid:u2", "resource": observation(id=None, subject={"reference": "urn:uuid:u1"})},
            {"fullUrl": "https://ehr.example/MedicationAdministration/A9", "resource": administration(id=None)},
            kind="transaction",
        )
    )
    assert [(event.event_id, event.patient_id) for event in found] == [
        ("Patient/u1", "u1"),
        ("Observation/u2", "u1"),
        ("MedicationAdministration/A9", "p1"),
    ]
    (refused,) = read(bundle({"fullUrl": "https://ehr.example/Patient/p1", "resource": observation(id=None)}))
    assert isinstance(refused, Refused)
    assert refused.reason == "id: missing"


def test_a_full_url_of_what_is_not_a_patient() -> None:
    group = {"fullUrl": "urn:uuid:u1", "resource": {"resourceType": "Group", "id": "g1"}}
    found = read(bundle(group, observation(subject={"reference": "urn:uuid:u1"})))
    assert [one.reason for one in found if isinstance(one, Refused)] == [
        "subject.reference: not to a Patient by its id"
    ]


def test_bundles_within_bundles() -> None:
    inner = bundle({"fullUrl": "urn:uuid:u1", "resource": patient()}, observation(gender=1))
    dose = administration(subject={"reference": "urn:uuid:u1"})
    found = read(bundle({"resourceType": "Condition"}, inner, dose))
    assert [one.entry for one in found] == [0, 1, 1, 2]
    assert [one.event.patient_id for one in found if isinstance(one, Found)] == ["p1", "p1", "p1"]
    deep = bundle(patient())
    for _ in range(7):
        deep = bundle(deep)
    assert [one.entry for one in read(deep)] == [0]
    assert isinstance(read(deep)[0], Found)
    (refused,) = read(bundle(deep))
    assert isinstance(refused, Refused)
    assert refused.reason == "Bundle: nested too deep"


# Deletions -------------------------------------------------------------------------------------------------------


def deletion(url: str = "Observation/L1", at: str | None = "2026-03-05T08:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "request": {"method": "DELETE", "url": url},
        **({"response": {"status": "204", "lastModified": at}} if at else {}),
        **more,
    }


def version(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "PUT", "url": "Observation/L1"}}


def test_a_deletion_withdraws_the_versions_before_it() -> None:
    found = read(bundle(deletion(), version(observation()), kind="history"))
    assert [(one.event, one.entry) for one in found] == [
        (event_of(observation()), 1),
        (LabEvent("Observation/L1", "p1", "2026-03-05T08:00:00Z", CREATININE, status="entered-in-error"), 0),
    ]
    dose = deletion("MedicationAdministration/A1/_history/2", at=None)
    (_, withdrawn) = read(bundle(administration(), dose))
    assert (withdrawn.event, withdrawn.entry) == (
        AdministrationEvent("MedicationAdministration/A1", "p1", "2026-03-04T10:02:00Z", status="entered-in-error"),
        1,
    )


def test_a_deletion_is_never_older_than_what_it_deletes() -> None:
    found = events_of(
        bundle(deletion(at="2026-03-04T06:30:00Z"), observation(), observation(issued="2026-03-04T07:20:00Z"))
    )
    assert found[-1].recorded_at == "2026-03-04T07:20:00Z"


def test_a_deletion_of_a_panel() -> None:
    found = events_of(
        bundle(deletion(), panel(component(CREATININE), component("2823-3", valueQuantity=quantity(4, "mmol/L"))))
    )
    assert [event.event_id for event in found if event.status == "entered-in-error"] == [
        "Observation/L1#2160-0",
        "Observation/L1#2823-3",
    ]


def test_a_deletion_that_carries_what_it_deletes() -> None:
    (found,) = read(bundle(deletion(resource=observation())))
    assert isinstance(found, Found)
    assert (found.event.event_id, found.event.status) == ("Observation/L1", "entered-in-error")


def test_a_deletion_that_was_undone() -> None:
    found = read(bundle(version(observation()), deletion(), version(observation()), kind="history"))
    assert [type(one) for one in found] == [Found, Found, Passed]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (deletion("Observation/L2"), "request: no version here says whose it was"),
        (deletion("Patient/p1"), "request: a Patient cannot be withdrawn"),
        (deletion("Observation?identifier=1"), "request.url: names no resource"),
        (deletion(""), "request.url: names no resource"),
        (deletion(at="yesterday"), "response.lastModified: not an ISO 8601 time"),
    ],
)
def test_deletions_that_are_refused(entry: dict[str, Any], expected: str) -> None:
    found = read(bundle(observation(), entry))
    assert found[1:] == [Refused(1, expected, json.dumps(entry).encode())]


def test_deletions_of_what_is_not_watched() -> None:
    assert passed(bundle(deletion("Condition/c1"))) == "Condition"
    assert passed(bundle(deletion("https://ehr.example/Condition?identifier=1"))) == "Condition"
    found = read(bundle(observation("8302-2"), deletion()))
    assert found == [Passed(0, "8302-2"), Passed(1, "Observation")]


# What is not FHIR ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"resourceType":"Patient"}}', "not JSON"),
        (b'{"resourceType":"Pati\xff"}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"null", "resourceType: missing"),
        (b"7", "resourceType: missing"),
        (b"[]", "resourceType: missing"),
        (b'[{"resourceType":"Patient","id":"p1"}]', "resourceType: missing"),
        (b"{}", "resourceType: missing"),
        (b'{"type":"lab","event_id":"L1"}', "resourceType: missing"),
        (b'{"resourceType":""}', "resourceType: not one of its values"),
        (b'{"resourceType":"patient"}', "resourceType: not one of its values"),
        (b'{"resourceType":"Jane Doe"}', "resourceType: not one of its values"),
        (b'{"resourceType":"Condition","resourceType":"Patient","id":"p1"}', "resourceType: not one of its values"),
        (b'{"resourceType":7}', "resourceType: expected str, got int"),
        (b'{"resourceType":null}', "resourceType: expected str, got null"),
        (b'{"resourceType":"Patient","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON nested too deep"),
        (b'{"resourceType":"Condition","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON nested too deep"),
    ],
)
def test_documents_that_are_refused(document: bytes, expected: str) -> None:
    assert reason(document) == expected


@pytest.mark.parametrize("kind", ["Condition", "Medication", "DiagnosticReport", "OperationOutcome", "VendorThing"])
def test_other_resources_pass(kind: str) -> None:
    assert passed({"resourceType": kind, "id": "x"}) == kind
    assert passed({"id": "x", "resourceType": kind}) == kind


def test_nulls_count_as_absent() -> None:
    """Not FHIR, but what careless writers of it write."""
    assert (
        event_of(observation() | {"valueString": None, "component": None, "meta": None, "effectivePeriod": None}).value
        == 1.9
    )
    bare = observation(code={"coding": [{"system": LOINC, "code": CREATININE, "display": None}], "text": None})
    assert event_of(bare).code == CREATININE


# Samples ---------------------------------------------------------------------------------------------------------


def tally(documents: list[bytes]) -> dict[str, dict[str, int]]:
    """What documents hold: events by code, drug or type; refusals by reason, the gate's too; the rest by name."""
    gate = Gate(PLAN)
    counts: dict[str, Counter[str]] = {"found": Counter(), "refused": Counter(), "passed": Counter()}
    for document in documents:
        for one in read_resource(document, PLAN):
            if isinstance(one, Passed):
                counts["passed"][one.what] += 1
            elif isinstance(one, Refused):
                counts["refused"][one.reason] += 1
            else:
                event = one.event
                try:
                    gate.admit(event)
                except Rejected as error:
                    counts["refused"][str(error)] += 1
                    continue
                name = getattr(event, "code", None) or getattr(event, "drug", None) or "Patient"
                counts["found"][name] += 1
    return {kind: dict(counter) for kind, counter in counts.items()}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="needs the real samples in ../shared, which are not in this repository")
@pytest.mark.parametrize("name", sorted(fhir_samples.EXPECTED))
def test_samples(name: str) -> None:
    path, _, split = name.partition(" ")
    data = (SHARED / path).read_bytes()
    documents = {
        "": lambda: [data],
        # An array of resources is no FHIR document; its members are.
        "[]": lambda: [json.dumps(one).encode() for one in json.loads(data)],
        "lines": lambda: [line for line in data.splitlines() if b'"resourceType"' in line],
    }[split]()
    assert tally(documents) == fhir_samples.EXPECTED[name]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="needs the real samples in ../shared, which are not in this repository")
def test_every_sample_is_listed() -> None:
    """All JSON of the sample folders that hold FHIR, so that a new file is not overlooked."""
    folders = ("fhir-r4-examples", "synthea-r4", "hl7v2-google-hdh")
    there = {str(one.relative_to(SHARED)) for folder in folders for one in (SHARED / "data" / folder).glob("*.json")}
    there = {name for name in there if not name.endswith(".input.json")}
    assert there <= {name.partition(" ")[0] for name in fhir_samples.EXPECTED}
