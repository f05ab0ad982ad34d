"""FHIR R4 Observations as results, single ones and panels. What their values say is in `fhir_results`."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from monitor.events import LabEvent
from monitor.plan import AnalyteInfo, Plan
from streams.codes import LabCode
from streams.fhir_results import ABSENT, Measured, Result, result_of
from streams.fhir_types import (
    LOINC,
    Concept,
    Fault,
    FhirError,
    Meta,
    Period,
    Raw,
    Reference,
    Said,
    Scope,
    When,
    any_code,
    decode,
    decode_parts,
    first_code,
    given,
    moment,
    patient_of,
    recorded_at,
)


class Observation(Measured, tag="Observation", tag_field="resourceType", rename="camel", gc=False):
    """A measurement, or a panel of them."""

    id: str | None = None
    meta: Meta | None = None
    status: str | None = None
    subject: Reference | None = None
    focus: Raw = Raw()
    effective_date_time: str | None = None
    effective_instant: str | None = None
    effective_period: Period | None = None
    effective_timing: Raw = Raw()
    issued: str | None = None
    has_member: Raw = Raw()
    component: Raw = Raw()


class Timing(msgspec.Struct, gc=False):
    """Several moments; only a Timing of a single one says when something was."""

    event: tuple[str, ...] | None = None


_Status = Literal["final", "preliminary", "corrected", "cancelled", "entered-in-error"]
_STATUS: Final[dict[str | None, _Status]] = {
    "final": "final",
    "preliminary": "preliminary",
    "amended": "corrected",
    "corrected": "corrected",
    "cancelled": "cancelled",
    "registered": "cancelled",
    "unknown": "cancelled",
    "entered-in-error": "entered-in-error",
}
_REPLACING: Final = frozenset(("amended", "corrected", "cancelled", "entered-in-error"))
"""Versions that may take the place of a watched one though they are not watched themselves."""

_part: Final = msgspec.json.Decoder(Measured)
_timing: Final = msgspec.json.Decoder(Timing)
_references: Final = msgspec.json.Decoder(tuple[Reference, ...])


class _Watched(NamedTuple):
    """A LOINC code that a rule watches, and the site's word on it where it stood for a local code."""

    code: str
    analyte: AnalyteInfo
    local: LabCode | None


class _Part(NamedTuple):
    """A component whose code is watched."""

    path: str
    part: Measured
    own: _Watched


class _Header(NamedTuple):
    """What all results of one Observation share."""

    event_id: str
    patient: str
    recorded: str
    collected: str | None
    status: _Status


def lab_events(o: Observation, own_id: str | None, scope: Scope, plan: Plan) -> Said:
    """The results of an Observation: its own, and one for each component with a watched code.

    A group (`hasMember`, or components alone) has no result of its own; its members come as Observations. Of an
    Observation that is not watched only what may replace a watched version says something.
    """
    own = _watched(o.code, plan, scope)
    if own is None and o.status not in _REPLACING:
        if o.code is None:
            raise FhirError("code: missing")
        if not o.component:
            return []
    faults: Said = []
    parts = list(_parts(o, plan, scope, faults))
    if own is None and not parts and (faults or o.status not in _REPLACING):
        return faults
    try:
        header = _header(o, own_id, scope)
    except FhirError:
        if own is None and not parts and o.code is not None:
            return []
        raise
    said = faults
    if own is not None or not parts:
        said += _own_result(o, own, header)
    return said + _part_results(parts, header)


def lab_name(o: Observation) -> str:
    """What an Observation that is not watched is counted as: its LOINC code, or else its own."""
    return first_code(o.code, LOINC) or any_code(o.code) or "Observation"


def _watched(concept: Concept | None, plan: Plan, scope: Scope) -> _Watched | None:
    """The first LOINC coding that a rule watches; without one the first local coding that the site maps to one."""
    codings = (concept.coding or ()) if concept is not None else ()
    for coding in codings:
        if coding.system in LOINC:
            analyte = plan.analyte_of.get(coding.code)
            if analyte is not None:
                return _Watched(coding.code or "", analyte, None)
    for coding in codings if scope.codes.labs else ():
        local = scope.codes.labs.get(coding.code or "")
        if local is not None and coding.system not in LOINC:
            return _Watched(local.loinc, plan.analyte_of[local.loinc], local)
    return None


def _parts(o: Observation, plan: Plan, scope: Scope, faults: Said) -> Iterator[_Part]:
    """The components with a watched code. A component that cannot be read is a fault, and takes no other with it."""
    for index, raw in enumerate(decode_parts(o.component, "component")):
        path = f"component[{index}]"
        try:
            part = decode(raw, _part, path)
        except FhirError as error:
            faults.append(Fault(str(error)))
            continue
        known = _watched(part.code, plan, scope)
        if known is None:
            continue
        if given(part.modifier_extension):
            faults.append(Fault(f"{path}.modifierExtension: not understood"))
            continue
        yield _Part(path, part, known)


def _header(o: Observation, own_id: str | None, scope: Scope) -> _Header:
    if own_id is None:
        raise FhirError("id: missing")
    status = _STATUS.get(o.status)
    if status is None:
        raise FhirError("status: missing" if o.status is None else "status: not one of its values")
    void = status in ("cancelled", "entered-in-error")
    patient = patient_of(o.subject, scope)
    if not void:
        _check_meaning(o, patient, scope)
    try:
        when = _collected(o)
    except FhirError:
        if not void:
            raise
        # What has no result needs no time: its identity is enough.
        when = None
    recorded = recorded_at(o.issued, o.meta, when)
    if recorded is None or (when is None and not void):
        raise FhirError("Observation.effective: missing")
    return _Header(f"Observation/{own_id}", patient, recorded, when.start_text if when is not None else None, status)


def _check_meaning(o: Observation, patient: str, scope: Scope) -> None:
    """Refuses what may not be the subject's own result.

    That is one with `focus` on another (a donor, a fetus), or with a modifier extension: it may turn the meaning
    round, and FHIR forbids to ignore it.
    """
    if given(o.modifier_extension):
        raise FhirError("modifierExtension: not understood")
    if given(o.focus):
        for reference in decode(o.focus, _references, "focus"):
            try:
                same = patient_of(reference, scope) == patient
            except FhirError:
                same = False
            if not same:
                raise FhirError("focus: not the subject")


def _collected(o: Observation) -> When | None:
    """When the specimen was taken.

    A collection over a period counts from its start (a period with only an end, at that). Of a Timing only a single
    moment will do: with several, no one can say which the value is of.
    """
    if o.effective_date_time:
        return moment(o.effective_date_time, "effectiveDateTime")
    if o.effective_instant:
        return moment(o.effective_instant, "effectiveInstant")
    if o.effective_period is not None:
        start, end = o.effective_period.start, o.effective_period.end
        first = moment(start, "effectivePeriod.start") if start else None
        last = moment(end, "effectivePeriod.end") if end else None
        if first is not None and last is not None:
            return When(first.start_text, first.start, last.end_text, last.end)
        return first or last
    if given(o.effective_timing):
        events = decode(o.effective_timing, _timing, "effectiveTiming").event or ()
        if len(events) != 1:
            raise FhirError("effectiveTiming: not a single time")
        return moment(events[0], "effectiveTiming.event")
    return None


def _own_result(o: Observation, own: _Watched | None, header: _Header) -> Said:
    if own is None:
        # Not watched, but it may replace what was.
        return [_event(header, header.event_id, first_code(o.code, LOINC), Result())]
    try:
        found = _result(o, own, header)
    except FhirError as error:
        return [Fault(str(error))]
    if found is not None:
        return [_event(header, header.event_id, own.code, found)]
    group = given(o.component) or given(o.has_member)
    return [] if group else [Fault("Observation.value: missing")]


def _part_results(parts: list[_Part], header: _Header) -> Said:
    """The components' results, each with its code in its identity; of two with one code the second also a number."""
    said: Said = []
    seen: dict[str, int] = {}
    for path, part, own in parts:
        code = own.code
        count = seen[code] = seen.get(code, 0) + 1
        try:
            found = _result(part, own, header)
        except FhirError as error:
            said.append(Fault(f"{path}.{error}"))
            continue
        if found is None:
            said.append(Fault(f"{path}.value: missing"))
        else:
            event_id = f"{header.event_id}#{code}" + (f"#{count}" if count > 1 else "")
            said.append(_event(header, event_id, code, found))
    return said


def _result(part: Measured, own: _Watched, header: _Header) -> Result | None:
    """What a part says; nothing is asked of a part of what was withdrawn or never came."""
    if header.status in ("cancelled", "entered-in-error"):
        return Result()
    found = result_of(part, own.analyte)
    if own.local is not None and found is not None and found.value is not None:
        return found._replace(unit=own.local.unit_of(found.unit))
    return found


def _event(header: _Header, event_id: str, code: str | None, found: Result) -> LabEvent:
    _, patient, recorded, collected, status = header
    value, unit, comparator, result = found
    if found is ABSENT:
        status = "cancelled"
    return LabEvent(event_id, patient, recorded, code, collected, value, unit, status, comparator, result)
