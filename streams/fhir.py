"""FHIR R4 JSON as events (contract, section 1): Observation, MedicationAdministration, Patient, alone or in a Bundle.

One document in, one finding out for each resource or more: an event for the gate of `monitor.events`, a refusal with
its reason and its bytes, or the name of what no rule watches. Whether an event is a fact (units, plausible times) is
the gate's to say. Observations are read in `fhir_labs` and `fhir_results`, MedicationAdministrations in `fhir_doses`,
what resources are made of in `fhir_types`.

Beyond the contract:
- A Bundle of any type is read alike, nested ones too; entries without a resource (outcomes, responses) are skipped.
  References are resolved within the outermost Bundle, in whatever order its entries stand.
- An entry with `request.method` DELETE withdraws the events of the versions in the same Bundle. Whose fact it was can
  be learned from them alone; without one it is refused.
- What is malformed is refused even where it might not be watched: a reader cannot tell.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from monitor.events import AdministrationEvent, Event, LabEvent, PatientEvent, is_utf8
from monitor.plan import Plan
from monitor.times import ALWAYS, parse_time
from streams.codes import NO_CODES, Codes
from streams.fhir_doses import Medication, MedicationAdministration, dose_events, dose_name
from streams.fhir_labs import Observation, lab_events, lab_name
from streams.fhir_types import (
    Fault,
    FhirError,
    Meta,
    Raw,
    Said,
    Scope,
    given,
    id_of,
    instant,
    reason_of_json,
    recorded_at,
    resource_named,
    within,
)


class Found(NamedTuple):
    """An event, the index in `Bundle.entry` (of the outermost Bundle) that it came from, and its resource's bytes."""

    event: Event
    entry: int | None
    data: bytes | Raw


class Refused(NamedTuple):
    """A resource, or a part of one, that cannot become an event; `data` are the resource's own bytes."""

    entry: int | None
    reason: str
    data: bytes


class Passed(NamedTuple):
    """What no rule watches, by its resource type or code."""

    entry: int | None
    what: str


Finding = Found | Refused | Passed


# Resources -------------------------------------------------------------------------------------------------------


class Patient(msgspec.Struct, tag="Patient", tag_field="resourceType", rename="camel", gc=False):
    """Who someone is."""

    id: str | None = None
    meta: Meta | None = None
    birth_date: str | None = None
    gender: str | None = None


class Request(msgspec.Struct, gc=False):
    """What a transaction asks for, or a history records."""

    method: str | None = None
    url: str | None = None


class Response(msgspec.Struct, rename="camel", gc=False):
    """When a history entry came to be."""

    last_modified: str | None = None


class Entry(msgspec.Struct, rename="camel", gc=False):
    """One entry of a Bundle."""

    full_url: str | None = None
    resource: Raw = Raw()
    request: Request | None = None
    response: Response | None = None


class Bundle(msgspec.Struct, tag="Bundle", tag_field="resourceType", gc=False):
    """Resources together, each left as bytes so that a bad one does not lose the others."""

    type: str | None = None
    entry: tuple[Raw, ...] | None = None


class _Other(msgspec.Struct, rename="camel", gc=False):
    """A resource of a type that is not read."""

    resource_type: str
    id: str | None = None


_Read = Observation | MedicationAdministration | Patient | Medication
_READ: Final = frozenset(("Observation", "MedicationAdministration", "Patient", "Medication", "Bundle"))
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_DEEPEST: Final = 8
"""Bundles within Bundles; each level is read once more."""

_Sex = Literal["female", "male", "other", "unknown"]
_SEXES: Final[dict[str | None, _Sex | None]] = {
    None: None,
    "female": "female",
    "male": "male",
    "other": "other",
    "unknown": "unknown",
}
_BEGINNING: Final = "1900-01-01T00:00:00Z"
"""Since when a Patient without `meta.lastUpdated` is known."""

_resource: Final = msgspec.json.Decoder(_Read | Bundle)
_other: Final = msgspec.json.Decoder(_Other)
_entry: Final = msgspec.json.Decoder(Entry)
_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Item(NamedTuple):
    """A resource that could be decoded. `deleted`: it is what the DELETE of its entry deletes."""

    entry: int | None
    full_url: str | None
    resource: _Read
    data: bytes | Raw
    deleted: bool = False


def read_resource(data: bytes, plan: Plan, codes: Codes = NO_CODES) -> Iterator[Finding]:
    """What one JSON document holds: a resource, or a Bundle of them. Never raises; always yields something."""
    try:
        resource = _decoded(data)
    except FhirError as error:
        yield Refused(None, str(error), data)
        return
    if isinstance(resource, Bundle):
        yield from _Reader(plan, codes).read(resource)
    elif isinstance(resource, _Other):
        yield Passed(None, resource.resource_type)
    else:
        yield from _findings(_Item(None, None, resource, data), Scope(codes), plan)


def _decoded(data: bytes | Raw) -> _Read | Bundle | _Other:
    try:
        found: _Read | Bundle = _resource.decode(data)
    except _ERRORS as error:
        if not str(error).endswith("`$.resourceType`"):
            reason = reason_of_json(error)
            raise FhirError("resourceType: missing" if reason.startswith("event: ") else reason) from None
    else:
        if not isinstance(found, Bundle) and not is_utf8(bytes(data)):
            raise FhirError("not JSON")
        return found
    try:
        other = _other.decode(data)
    except _ERRORS as error:
        raise FhirError(reason_of_json(error)) from None
    if other.resource_type in _READ or not _TYPE.fullmatch(other.resource_type):
        raise FhirError("resourceType: not one of its values")
    return other


def _findings(item: _Item, scope: Scope, plan: Plan) -> Iterator[Finding]:
    """What a single resource comes to."""
    entry, _, resource, data, _ = item
    try:
        said = _said(item, scope, plan)
    except FhirError as error:
        yield Refused(entry, str(error), bytes(data))
        return
    for one in said:
        yield Refused(entry, one.reason, bytes(data)) if isinstance(one, Fault) else Found(one, entry, data)
    if not said:
        yield Passed(entry, _name(resource))


def _said(item: _Item, scope: Scope, plan: Plan) -> Said:
    resource = item.resource
    own_id = id_of(type(resource).__name__, resource.id, item.full_url)
    if isinstance(resource, Observation):
        return lab_events(resource, own_id, scope, plan)
    if isinstance(resource, MedicationAdministration):
        return dose_events(resource, own_id, scope, plan)
    if isinstance(resource, Patient):
        return [_person(resource, own_id)]
    return []


def _name(resource: _Read) -> str:
    if isinstance(resource, Observation):
        return lab_name(resource)
    return dose_name(resource) if isinstance(resource, MedicationAdministration) else type(resource).__name__


def _person(p: Patient, own_id: str | None) -> PatientEvent:
    """What a Patient resource says. A partial birth date stays as it is."""
    if own_id is None:
        raise FhirError("id: missing")
    if p.gender not in _SEXES:
        raise FhirError("gender: not one of its values")
    recorded = recorded_at(None, p.meta, None) or _BEGINNING
    return PatientEvent(f"Patient/{own_id}", own_id, recorded, p.birth_date or None, _SEXES[p.gender])


# Bundles ---------------------------------------------------------------------------------------------------------


class _Deletion(NamedTuple):
    """An entry that deletes a resource. `after`: how many items stood before it; in a history they are newer."""

    entry: int
    url: str
    at: str | None
    data: Raw
    after: int


class _Version(NamedTuple):
    """An event, and the index of the item that it came from."""

    item: int
    event: Event


class _Reader:
    """Reads one outermost Bundle: first gathers all that references may lead to, then reads each resource."""

    def __init__(self, plan: Plan, codes: Codes) -> None:
        """Starts with nothing gathered."""
        self._plan = plan
        self._scope = Scope(codes)
        self._items: list[_Item | Finding] = []
        self._deletions: list[_Deletion] = []

    def read(self, bundle: Bundle) -> Iterator[Finding]:
        """What all entries come to; a Bundle of nothing is itself passed."""
        self._gather(bundle, None, 1)
        if not self._items and not self._deletions:
            yield Passed(None, "Bundle")
        versions: dict[str, list[_Version]] = {}
        for index, item in enumerate(self._items):
            if not isinstance(item, _Item):
                yield item
                continue
            known = versions.setdefault(_key(item), []) if self._deletions else []
            for finding in _findings(item, self._scope, self._plan):
                if isinstance(finding, Found):
                    known.append(_Version(index, finding.event))
                if not item.deleted:
                    yield finding
        for deletion in self._deletions:
            yield from _withdrawn(deletion, versions)

    def _gather(self, bundle: Bundle, outermost: int | None, depth: int) -> None:
        for index, data in enumerate(bundle.entry or ()):
            number = index if outermost is None else outermost
            if not given(data):
                continue
            try:
                entry = _entry.decode(data)
            except _ERRORS as error:
                self._items.append(Refused(number, within("entry", reason_of_json(error)), bytes(data)))
                continue
            deleted = entry.request is not None and entry.request.method == "DELETE"
            if entry.request is not None and deleted:
                url = entry.request.url or entry.full_url or ""
                at = entry.response.last_modified if entry.response is not None else None
                after = len(self._items) if bundle.type == "history" else 0
                self._deletions.append(_Deletion(number, url, at, data, after))
            if given(entry.resource):
                self._take(entry, number, depth, deleted=deleted)

    def _take(self, entry: Entry, number: int, depth: int, *, deleted: bool) -> None:
        data = entry.resource
        try:
            resource = _decoded(data)
            if isinstance(resource, Bundle) and depth == _DEEPEST:
                raise FhirError("Bundle: nested too deep")  # noqa: TRY301 - refused like any other resource
        except FhirError as error:
            self._items.append(Refused(number, str(error), bytes(data)))
            return
        if isinstance(resource, Bundle):
            self._gather(resource, number, depth + 1)
            return
        kind = resource.resource_type if isinstance(resource, _Other) else type(resource).__name__
        own_id = id_of(kind, resource.id, entry.full_url)
        self._scope.add(kind, own_id, entry.full_url)
        if isinstance(resource, _Other):
            self._items.append(Passed(number, kind))
            return
        if isinstance(resource, Medication):
            self._scope.hold(kind, own_id, entry.full_url, resource)
        self._items.append(_Item(number, entry.full_url, resource, data, deleted))


def _key(item: _Item) -> str:
    kind = type(item.resource).__name__
    return f"{kind}/{id_of(kind, item.resource.id, item.full_url)}"


def _withdrawn(deletion: _Deletion, versions: dict[str, list[_Version]]) -> Iterator[Finding]:
    """What a DELETE comes to: each event of the versions here, withdrawn."""
    named = resource_named(deletion.url)
    kind = named[0] if named is not None else deletion.url.partition("?")[0].rpartition("/")[2]
    if kind.isalpha() and kind not in ("Observation", "MedicationAdministration", "Patient"):
        yield Passed(deletion.entry, kind)
        return
    try:
        withdrawals = _withdrawals(deletion, named, versions)
    except FhirError as error:
        yield Refused(deletion.entry, str(error), bytes(deletion.data))
        return
    for event in withdrawals:
        yield Found(event, deletion.entry, deletion.data)
    if not withdrawals:
        yield Passed(deletion.entry, kind)


def _withdrawals(
    deletion: _Deletion, named: tuple[str, str] | None, versions: dict[str, list[_Version]]
) -> list[Event]:
    """None for what was never watched, and where a newer version brought the resource back.

    Withdrawn when the deletion was recorded, and at the earliest with the newest version, which it is to outlast.
    """
    if named is None:
        raise FhirError("request.url: names no resource")
    if named[0] == "Patient":
        raise FhirError("request: a Patient cannot be withdrawn")
    known = versions.get("/".join(named))
    if known is None:
        raise FhirError("request: no version here says whose it was")
    at = instant(deletion.at, "response.lastModified") if deletion.at else ALWAYS
    if not known or any(version.item < deletion.after for version in known):
        return []
    newest = max((version.event.recorded_at for version in known), key=parse_time)
    recorded = deletion.at if deletion.at and at >= parse_time(newest) else newest
    gone: list[Event] = []
    for event in {(e.patient_id, e.event_id): e for _, e in known}.values():
        if isinstance(event, LabEvent):
            gone.append(LabEvent(event.event_id, event.patient_id, recorded, event.code, status="entered-in-error"))
        else:
            gone.append(AdministrationEvent(event.event_id, event.patient_id, recorded, status="entered-in-error"))
    return gone
