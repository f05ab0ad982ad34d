"""Observations: every status, panels, what modifies the meaning, and times."""

import json
from typing import Any

import pytest

from monitor.events import Gate, LabEvent
from streams.fhir import Found, Refused
from tests.streams.fhir_documents import (
    CREATININE,
    DRAWN,
    ISSUED,
    PLAN,
    administration,
    changed,
    coded,
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
    valued,
)


def test_an_observation_is_a_lab_event() -> None:
    assert event_of(observation()) == LabEvent(
        event_id="Observation/L1",
        patient_id="p1",
        recorded_at=ISSUED,
        code=CREATININE,
        collected_at=DRAWN,
        value=1.9,
        unit="mg/dL",
        status="final",
    )


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        ("registered", "cancelled"),
        ("preliminary", "preliminary"),
        ("final", "final"),
        ("amended", "corrected"),
        ("corrected", "corrected"),
        ("cancelled", "cancelled"),
        ("entered-in-error", "entered-in-error"),
        ("unknown", "cancelled"),
    ],
)
def test_status_of_an_observation(status: str, becomes: str) -> None:
    event = event_of(observation(status=status))
    assert event.status == becomes
    assert event.value == (None if becomes in ("cancelled", "entered-in-error") else 1.9)


def test_a_status_that_is_none() -> None:
    assert reason(observation(status=None)) == "status: missing"
    assert reason(observation(status="Final")) == "status: not one of its values"
    assert passed(observation("8302-2", status="Final")) == "8302-2"


@pytest.mark.parametrize("status", ["registered", "cancelled", "unknown", "entered-in-error"])
def test_what_has_no_result_needs_no_value_and_no_time(status: str) -> None:
    bare = observation(status=status, effectiveDateTime=None, valueQuantity=None)
    assert event_of(bare) == LabEvent("Observation/L1", "p1", ISSUED, CREATININE, status=event_of(bare).status)
    assert event_of(bare | {"effectiveDateTime": "2026-03-04"}).collected_at is None
    assert event_of(bare | {"effectiveDateTime": DRAWN}).collected_at == DRAWN
    assert reason(changed(bare, {"issued": None})) == "Observation.effective: missing"


def test_several_codings() -> None:
    local = {"system": "urn:oid:1.2.3.4", "code": "2823-3"}
    unsystematic = {"code": "2823-3"}
    unwatched, watched = coded("8302-2")["coding"], coded(CREATININE)["coding"]
    assert event_of(observation(code={"coding": [local, unsystematic, *unwatched, *watched]})).code == CREATININE
    for system in ("urn:oid:2.16.840.1.113883.6.1", "http://loinc.org/", "https://loinc.org"):
        assert event_of(observation(code=coded(CREATININE, system))).code == CREATININE
    assert passed(observation(code={"coding": [local]})) == "2823-3"
    assert passed(observation(code={"coding": [local, *unwatched]})) == "8302-2"
    assert passed(observation(code={"text": "Creatinine"})) == "Creatinine"
    assert reason(observation(code=None)) == "code: missing"


def test_what_is_not_watched_passes_whatever_else_it_lacks() -> None:
    assert passed({"resourceType": "Observation", "code": coded("8302-2")}) == "8302-2"


# Panels ----------------------------------------------------------------------------------------------------------


def test_components_count() -> None:
    found = events_of(
        panel(component(CREATININE), component("8480-6"), component("2823-3", valueQuantity=quantity(4, "mmol/L")))
    )
    assert [(e.event_id, e.code, e.value, e.unit) for e in found] == [
        ("Observation/L1#2160-0", CREATININE, 1.9, "mg/dL"),
        ("Observation/L1#2823-3", "2823-3", 4.0, "mmol/L"),
    ]
    assert {(e.patient_id, e.recorded_at, e.collected_at, e.status) for e in found} == {("p1", ISSUED, DRAWN, "final")}


def test_a_panel_with_a_result_of_its_own() -> None:
    found = events_of(
        panel(component("2823-3", valueQuantity=quantity(4, "mmol/L")), of=CREATININE, valueQuantity=quantity())
    )
    assert [e.event_id for e in found] == ["Observation/L1", "Observation/L1#2823-3"]


def test_two_components_of_one_code() -> None:
    found = events_of(panel(component(CREATININE), component(CREATININE), component(CREATININE)))
    assert [e.event_id for e in found] == [f"Observation/L1#2160-0{n}" for n in ("", "#2", "#3")]


def test_panels_that_are_not_watched() -> None:
    assert passed(panel(component("8480-6"), component("8462-4"), of="85354-9")) == "85354-9"
    assert passed(valued("58410-2", hasMember=[{"reference": "Observation/L2"}])) == "58410-2"
    assert passed(valued(CREATININE, hasMember=[{"reference": "Observation/L2"}])) == CREATININE
    assert passed(panel(component("8480-6"), of=CREATININE)) == CREATININE


def test_a_component_without_a_result() -> None:
    absent = component(CREATININE, valueQuantity=None, dataAbsentReason=coded("not-performed"))
    assert [e.status for e in events_of(panel(absent))] == ["cancelled"]


def test_a_bad_component_takes_no_other_with_it() -> None:
    bad = [
        component("2823-3", valueQuantity={"value": "4"}),
        component("2823-3", valueQuantity=quantity(comparator="=")),
        {"code": coded("2823-3")},
        "text",
        component("2823-3", modifierExtension=[{"url": "urn:x"}]),
    ]
    whole = panel(*bad, component(CREATININE))
    found = read(whole)
    assert [one.event.event_id for one in found if isinstance(one, Found)] == ["Observation/L1#2160-0"]
    assert sorted(one.reason for one in found if isinstance(one, Refused)) == [
        "component[0].valueQuantity.value: expected number, got str",
        "component[1].valueQuantity.comparator: not one of its values",
        "component[2].value: missing",
        "component[3]: expected object, got str",
        "component[4].modifierExtension: not understood",
    ]
    assert {one.data for one in found if isinstance(one, Refused)} == {json.dumps(whole).encode()}


def test_components_that_are_no_array() -> None:
    assert reason(panel() | {"component": {"code": coded(CREATININE)}}) == "component: expected array, got object"


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_a_panel_withdrawn_withdraws_its_components(status: str) -> None:
    found = events_of(panel(component(CREATININE), component("2823-3", valueQuantity=None), status=status))
    assert [(e.event_id, e.status, e.value) for e in found] == [
        ("Observation/L1#2160-0", status, None),
        ("Observation/L1#2823-3", status, None),
    ]


@pytest.mark.parametrize("status", ["amended", "corrected", "cancelled", "entered-in-error"])
def test_a_version_that_is_no_longer_watched_replaces_one_that_was(status: str) -> None:
    event = event_of(observation("8302-2", status=status))
    assert (event.event_id, event.code, event.value) == ("Observation/L1", "8302-2", None)
    assert event.status == {"amended": "corrected"}.get(status, status)
    assert event_of(observation(code=None, status=status)).code is None
    # Where it cannot replace anything it is not missed.
    assert passed(observation("8302-2", status=status, subject=None)) == "8302-2"
    assert reason(observation(code=None, status=status, subject=None)) == "subject.reference: missing"


@pytest.mark.parametrize("status", ["registered", "unknown", "final", "preliminary"])
def test_a_first_version_that_is_not_watched_passes(status: str) -> None:
    assert passed(observation("8302-2", status=status)) == "8302-2"


# What modifies the meaning ---------------------------------------------------------------------------------------


def test_results_that_are_not_the_subject_s_own() -> None:
    assert reason(observation(focus=[{"reference": "Patient/donor"}])) == "focus: not the subject"
    assert reason(observation(focus=[{"display": "fetus"}])) == "focus: not the subject"
    assert event_of(observation(focus=[{"reference": "Patient/p1"}])).patient_id == "p1"
    assert event_of(observation(focus=[{"reference": "Patient/donor"}], status="entered-in-error")).value is None


def test_extensions_are_ignored_and_modifier_extensions_are_not() -> None:
    extension = [{"url": "http://vendor.example/flag", "valueString": "x"}]
    assert event_of(observation(extension=extension, _status={"extension": extension}, vendorKey=1)).value == 1.9
    assert event_of(administration(extension=extension, vendorKey={"a": [1]})).dose == 6300
    assert reason(observation(modifierExtension=extension)) == "modifierExtension: not understood"
    assert reason(panel(component(CREATININE), modifierExtension=extension)) == "modifierExtension: not understood"
    assert reason(administration(modifierExtension=extension)) == "modifierExtension: not understood"
    assert event_of(observation(modifierExtension=[])).value == 1.9


# Times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-04T06:00:00Z",
        "2026-03-04T06:00:00+00:00",
        "2026-03-04T20:00:00+14:00",
        "2026-03-03T18:00:00-12:00",
        "2026-03-04T11:45:00+05:45",
        "2026-03-04T06:00:00.000Z",
        "2026-03-04T06:00:00.0000000Z",
    ],
)
def test_instants_with_any_offset(text: str) -> None:
    (found,) = read(observation(effectiveDateTime=text))
    assert isinstance(found, Found)
    fact = Gate(PLAN).admit(found.event)
    expected = Gate(PLAN).admit(event_of(observation()))
    assert fact == expected


@pytest.mark.parametrize(
    ("element", "collected"),
    [
        ({"effectiveDateTime": DRAWN}, DRAWN),
        ({"effectiveInstant": DRAWN}, DRAWN),
        ({"effectivePeriod": {"start": DRAWN}}, DRAWN),
        ({"effectivePeriod": {"end": DRAWN}}, DRAWN),
        ({"effectivePeriod": {"start": DRAWN, "end": "2026-03-04T07:00:00Z"}}, DRAWN),
        ({"effectiveTiming": {"event": [DRAWN]}}, DRAWN),
    ],
)
def test_effective(element: dict[str, Any], collected: str) -> None:
    assert event_of(observation(**({"effectiveDateTime": None} | element))).collected_at == collected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({}, "Observation.effective: missing"),
        ({"effectiveDateTime": ""}, "Observation.effective: missing"),
        ({"effectivePeriod": {}}, "Observation.effective: missing"),
        ({"effectiveDateTime": "2026"}, "effectiveDateTime: no offset"),
        ({"effectiveDateTime": "2026-03"}, "effectiveDateTime: no offset"),
        ({"effectiveDateTime": "2026-03-04"}, "effectiveDateTime: no offset"),
        ({"effectiveDateTime": "2026-03-04T06:00:00"}, "effectiveDateTime: no offset"),
        ({"effectiveDateTime": "04.03.2026 06:00"}, "effectiveDateTime: not an ISO 8601 time"),
        ({"effectiveDateTime": "1899-12-31T06:00:00Z"}, "effectiveDateTime: outside 1900-2100"),
        ({"effectiveDateTime": 1772604000}, "effectiveDateTime: expected str, got int"),
        ({"effectiveInstant": "2026-03-04"}, "effectiveInstant: no offset"),
        ({"effectivePeriod": {"start": "2026-03"}}, "effectivePeriod.start: no offset"),
        ({"effectivePeriod": {"start": DRAWN, "end": "2026-03-04"}}, "effectivePeriod.end: no offset"),
        ({"effectiveTiming": {"event": [DRAWN, ISSUED]}}, "effectiveTiming: not a single time"),
        ({"effectiveTiming": {"repeat": {"frequency": 1}}}, "effectiveTiming: not a single time"),
        ({"effectiveTiming": {"event": ["2026-03-04"]}}, "effectiveTiming.event: no offset"),
        ({"effectiveTiming": DRAWN}, "effectiveTiming: expected object, got str"),
    ],
)
def test_times_that_are_refused(element: dict[str, Any], expected: str) -> None:
    assert reason(observation(**({"effectiveDateTime": None} | element))) == expected


@pytest.mark.parametrize(
    ("elements", "recorded"),
    [
        ({"issued": ISSUED, "meta": {"lastUpdated": "2026-03-04T08:00:00Z"}}, ISSUED),
        ({"issued": "2026-05-04T08:00:00Z"}, "2026-05-04T08:00:00Z"),
        ({"meta": {"lastUpdated": "2026-03-04T08:00:00Z"}}, "2026-03-04T08:00:00Z"),
        ({"meta": {"lastUpdated": "2026-04-04T06:00:00Z"}}, "2026-04-04T06:00:00Z"),
        ({"meta": {"lastUpdated": "2026-04-04T06:00:00.000001Z"}}, DRAWN),
        ({"meta": {"lastUpdated": "2026-02-01T06:00:00Z"}}, "2026-02-01T06:00:00Z"),
        ({"meta": {"lastUpdated": "2026-02-01T05:59:59Z"}}, DRAWN),
        ({"meta": {}}, DRAWN),
        ({}, DRAWN),
        (
            {"effectiveDateTime": None, "effectivePeriod": {"start": DRAWN, "end": "2026-03-05T06:00:00Z"}},
            "2026-03-05T06:00:00Z",
        ),
    ],
)
def test_recorded_at_of_an_observation(elements: dict[str, Any], recorded: str) -> None:
    (found,) = read(observation(**({"issued": None} | elements)))
    assert isinstance(found, Found)
    assert found.event.recorded_at == recorded


@pytest.mark.parametrize(
    ("elements", "recorded"),
    [
        ({"meta": {"lastUpdated": "2026-03-04T10:02:00Z"}}, "2026-03-04T10:02:00Z"),
        ({"meta": {"lastUpdated": "2026-03-04T09:00:00Z"}}, "2026-03-04T09:00:00Z"),
        # 31 d after its end, and before its start.
        ({"meta": {"lastUpdated": "2026-04-04T10:00:00Z"}}, "2026-04-04T10:00:00Z"),
        ({"meta": {"lastUpdated": "2026-04-04T10:00:01Z"}}, "2026-03-04T10:00:00Z"),
        ({"meta": {"lastUpdated": "2026-02-01T08:00:00Z"}}, "2026-02-01T08:00:00Z"),
        ({"meta": {"lastUpdated": "2026-02-01T07:59:59Z"}}, "2026-03-04T10:00:00Z"),
        ({"meta": None}, "2026-03-04T10:00:00Z"),
        ({"meta": None, "effectivePeriod": {"start": "2026-03-04T08:00:00Z"}}, "2026-03-04T08:00:00Z"),
        ({"meta": None, "effectivePeriod": None, "effectiveDateTime": DRAWN}, DRAWN),
    ],
)
def test_recorded_at_of_an_administration(elements: dict[str, Any], recorded: str) -> None:
    (found,) = read(administration(**elements))
    assert isinstance(found, Found)
    assert found.event.recorded_at == recorded


def test_recorded_at_that_is_no_instant() -> None:
    assert reason(observation(issued="2026-03-04")) == "issued: no offset"
    assert (
        reason(observation(issued=None, meta={"lastUpdated": "yesterday"})) == "meta.lastUpdated: not an ISO 8601 time"
    )
    assert reason(patient(meta={"lastUpdated": "2026-03-04"})) == "meta.lastUpdated: no offset"
