"""An alert as a FHIR R4 DetectedIssue: one resource for its whole life, each change a version of it.

| alert | status | why |
| --- | --- | --- |
| open | `registered` | it exists, and nobody has acted on it |
| acknowledged, snoozed, overridden | `preliminary` | acted on, and the condition lasts |
| resolved | `final` | the condition ended |
| retracted | `entered-in-error` | it never held so |
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from monitor.types import Alert, Evidence
from streams.sinks.changes import stable_id
from streams.sinks.settings import FhirSink, FhirTopicSink

Resource = dict[str, object]


class IssueStatus(StrEnum):
    """The codes of ObservationStatus that are used."""

    REGISTERED = "registered"
    PRELIMINARY = "preliminary"
    FINAL = "final"
    ENTERED_IN_ERROR = "entered-in-error"


class IssueSeverity(StrEnum):
    """DetectedIssueSeverity."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


class System(StrEnum):
    """What codes and identifiers of cmvigil's own are named by."""

    ALERT_ID = "urn:x-cmvigil:alert-id"
    ALERT_CODE = "urn:x-cmvigil:alert-code"
    ACTION = "urn:x-cmvigil:action"
    EVENT_ID = "urn:x-cmvigil:event-id"
    PATIENT_ID = "urn:x-cmvigil:patient-id"
    SEQ = "urn:x-cmvigil:seq"
    STATE = "urn:x-cmvigil:state"
    SUPERSEDES = "urn:x-cmvigil:supersedes"


STATUS_OF: Final = {
    "open": IssueStatus.REGISTERED,
    "acknowledged": IssueStatus.PRELIMINARY,
    "snoozed": IssueStatus.PRELIMINARY,
    "overridden": IssueStatus.PRELIMINARY,
    "resolved": IssueStatus.FINAL,
    "retracted": IssueStatus.ENTERED_IN_ERROR,
}
SEVERITY_OF: Final = {"critical": IssueSeverity.HIGH, "warning": IssueSeverity.MODERATE, "info": IssueSeverity.LOW}


class Action(msgspec.Struct, array_like=True, frozen=True):
    """What a pharmacist did about an alert, as the change of that `seq` said it."""

    seq: int
    what: str
    at: str
    reason: str | None


class Story(NamedTuple):
    """What one change does not say of its alert: when it was first said, and what was done up to it."""

    first_emitted_at: str
    actions: tuple[Action, ...] = ()


Target = FhirSink | FhirTopicSink
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_FHIR_FACT: Final = re.compile(
    r"((Observation|MedicationAdministration|Patient)/[A-Za-z0-9\-.]{1,64})(?:#.*)?", re.DOTALL
)
_ODD_SPACE: Final = re.compile(r"[^\S \r\n\t]")


def detected_issue(change: Alert, story: Story, target: Target) -> Resource:
    """The resource as it stands after a change; its `id` is the alert's for good."""
    extensions: list[Resource] = [
        {"url": System.SEQ, "valuePositiveInt": min(change.seq, 2**31 - 1)},
        {"url": System.STATE, "valueCode": change.state},
    ]
    if change.supersedes:
        replaced = {"system": System.ALERT_ID, "value": _name(change.supersedes)}
        extensions.append({"url": System.SUPERSEDES, "valueIdentifier": replaced})
    resource: Resource = {
        "resourceType": "DetectedIssue",
        "id": stable_id(change.alert_id),
        "extension": extensions,
        "identifier": [{"system": System.ALERT_ID, "value": _name(change.alert_id)}],
        "status": STATUS_OF[change.state],
        "code": {"coding": [{"system": System.ALERT_CODE, "code": change.code}], "text": _text(change.title)},
        "severity": SEVERITY_OF[change.severity],
        "patient": patient_reference(change.patient_id, target),
        "identifiedDateTime": story.first_emitted_at,
        "author": {"type": "Device", "display": _text(f"cmvigil {change.ruleset}")},
        "detail": _text("\n".join(_sentences(change))),
    }
    if change.drug:
        resource["implicated"] = [{"type": "Medication", "display": _text(change.drug)}]
    if change.evidence:
        resource["evidence"] = [{"detail": [_fact(one, target)]} for one in change.evidence]
    if story.actions:
        resource["mitigation"] = [_mitigation(action) for action in story.actions]
    return resource


def patient_reference(patient_id: str, target: Target) -> Resource:
    """How a patient is named: by identifier where a system is set or the id is none of FHIR's, else literally."""
    if target.patient_system is None and _ID.fullmatch(patient_id):
        return {"reference": f"Patient/{patient_id}"}
    identifier = {"system": target.patient_system or System.PATIENT_ID, "value": _name(patient_id)}
    return {"type": "Patient", "identifier": identifier}


def _sentences(change: Alert) -> list[str]:
    said = [change.title, change.detail, change.recommendation]
    if change.reason:
        said.append(f"{change.status}: {change.reason}")
    if change.references:
        said.append("Sources: " + "; ".join(change.references))
    return [one for one in said if one.strip()] or [change.code]


def _fact(fact: Evidence, target: Target) -> Resource:
    display = _text(f"{fact.text} ({fact.at})" if fact.text else fact.at)
    named = _FHIR_FACT.fullmatch(fact.event_id)
    if named is None:
        return {"identifier": {"system": System.EVENT_ID, "value": _name(fact.event_id)}, "display": display}
    if target.references == "literal":
        return {"reference": named[1], "display": display}
    identifier = {"system": System.EVENT_ID, "value": _name(fact.event_id)}
    return {"type": named[2], "identifier": identifier, "display": display}


def _mitigation(action: Action) -> Resource:
    words = f"{action.what} {action.reason}" if action.reason else action.what
    return {
        "action": {"coding": [{"system": System.ACTION, "code": action.what}], "text": _text(words)},
        "date": action.at,
    }


def _text(text: str) -> str:
    """A text as FHIR's strings allow it: no white space but space, tab and line ends."""
    return _ODD_SPACE.sub(" ", text)


def _name(identifier: str) -> str:
    """An identifier as FHIR's strings allow it; two that differ stay different to a reader."""
    return _ODD_SPACE.sub(lambda found: f"\\u{ord(found[0]):04x}", identifier)
