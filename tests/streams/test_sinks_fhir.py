"""DetectedIssue resources, checked by fhir.resources and by HL7's own JSON schema of R4."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from fhir.resources.R4B.detectedissue import DetectedIssue
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.types import Evidence
from streams.sinks.detected_issue import Action, Story, detected_issue
from streams.sinks.settings import FhirTopicSink
from tests.streams.sink_changes import change

SCHEMA = json.loads((Path(__file__).parent / "fhir-r4.schema.json").read_text())
VALIDATOR = jsonschema_rs.Draft6Validator(SCHEMA | {"$ref": "#/definitions/DetectedIssue"})
OBSERVATION_STATUS = [
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
]
"""The value set of R4, which neither the schema nor fhir.resources holds `status` to."""
STATES = ("open", "acknowledged", "snoozed", "overridden", "resolved", "retracted")
PLAIN = FhirTopicSink(kind="fhir-topic", name="t")
LITERAL = FhirTopicSink(kind="fhir-topic", name="t", references="literal")
STORY = Story("2026-01-27T05:56:00Z")


def checked(alert, story=STORY, target=PLAIN):
    resource = json.loads(json.dumps(detected_issue(alert, story, target)))
    assert resource["resourceType"] == "DetectedIssue"
    VALIDATOR.validate(resource)
    assert resource["status"] in OBSERVATION_STATUS
    assert json.loads(DetectedIssue.model_validate(resource).model_dump_json())["id"] == resource["id"]
    return resource


def test_the_schema_refuses_what_is_wrong():
    """Else the tests below would say nothing."""
    good = checked(change())
    for wrong in ({"status": ""}, {"severity": "critical"}, {"identifiedDateTime": "yesterday"}, {"titel": "x"}):
        assert not VALIDATOR.is_valid(good | wrong), wrong


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("open", "registered"),
        ("acknowledged", "preliminary"),
        ("snoozed", "preliminary"),
        ("overridden", "preliminary"),
        ("resolved", "final"),
        ("retracted", "entered-in-error"),
    ],
)
def test_where_an_alert_stands_is_its_status(state, status):
    assert checked(change(2, state if state != "open" else "updated", state))["status"] == status


@pytest.mark.parametrize(("severity", "grade"), [("critical", "high"), ("warning", "moderate"), ("info", "low")])
def test_severities_are_those_of_fhir(severity, grade):
    assert checked(change(severity=severity))["severity"] == grade


def test_all_changes_of_an_alert_are_versions_of_one_resource():
    first, second = checked(change()), checked(change(2, "resolved", "resolved"))
    assert first["id"] == second["id"] != checked(change(alert_id="other"))["id"]
    assert [one["extension"][0]["valuePositiveInt"] for one in (first, second)] == [1, 2]


def test_it_says_whom_what_when_and_on_what_it_rests():
    found = checked(change())
    assert found["patient"] == {"reference": "Patient/mrn-0042"}
    assert found["code"]["coding"][0]["code"] == "aki"
    assert found["identifiedDateTime"] == "2026-01-27T05:56:00Z"
    assert found["implicated"][0]["display"] == "foscarnet"
    assert "Stop foscarnet." in found["detail"]
    assert "KDIGO 2012" in found["detail"]
    facts = [one["detail"][0] for one in found["evidence"]]
    assert [one["identifier"]["value"] for one in facts] == [
        "L1",
        "Observation/o1#2160-0",
        "MedicationAdministration/m1",
    ]
    literal = [one["detail"][0].get("reference") for one in checked(change(), target=LITERAL)["evidence"]]
    assert literal == [None, "Observation/o1", "MedicationAdministration/m1"]


def test_a_patient_is_named_by_identifier_where_that_is_set_or_the_id_is_none_of_fhir():
    mapped = FhirTopicSink(kind="fhir-topic", name="t", patient_system="urn:oid:1.2.3")
    assert checked(change(), target=mapped)["patient"]["identifier"] == {"system": "urn:oid:1.2.3", "value": "mrn-0042"}
    assert "reference" not in checked(change(patient_id="ward 3/bed 4"))["patient"]


def test_what_pharmacists_did_is_its_mitigation():
    done = (
        Action(2, "acknowledged", "2026-01-27T06:00:00Z", "by rx1: seen"),
        Action(3, "overridden", "2026-01-27T07:00:00Z", None),
    )
    found = checked(change(3, "overridden", "overridden"), Story("2026-01-27T05:56:00Z", done))["mitigation"]
    assert [(one["action"]["text"], one["date"]) for one in found] == [
        ("acknowledged by rx1: seen", "2026-01-27T06:00:00Z"),
        ("overridden", "2026-01-27T07:00:00Z"),
    ]


def test_a_replacement_names_what_it_replaces_and_a_retraction_why():
    assert checked(change(supersedes="aki/x/-/1"))["extension"][2]["valueIdentifier"]["value"] == "aki/x/-/1"
    assert (
        "retracted: result withdrawn"
        in checked(change(2, "retracted", "retracted", reason="result withdrawn"))["detail"]
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FILLED = TEXT.filter(str.strip)
FACTS = st.builds(
    Evidence,
    st.one_of(FILLED, st.sampled_from(("Observation/a", "Patient/b#c"))),
    st.just("2026-01-27T05:13:00Z"),
    TEXT,
)


@settings(deadline=None)
@given(
    st.sampled_from(STATES),
    st.builds(
        dict,
        title=FILLED,
        detail=TEXT,
        recommendation=TEXT,
        reason=TEXT,
        patient_id=FILLED,
        evidence=st.lists(FACTS, max_size=3),
    ),
    st.sampled_from((PLAIN, LITERAL)),
)
def test_whatever_the_texts_hold_the_resource_is_valid(state, texts, target):
    checked(change(1, "raised", state, **texts), target=target)
