"""Events on the wire (contract, section 1), and the one gate at which an event becomes a fact or is rejected."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from monitor.plan import AnalyteInfo, DrugInfo, Plan
from monitor.times import ALWAYS, NEVER, Time, TimeError, duration_text, parse_date, parse_time
from monitor.types import (
    AT_LEAST,
    AT_MOST,
    CANCELLED,
    CORRECTED,
    DETECTED,
    EQUAL,
    FINAL,
    LESS,
    MAINTENANCE,
    MORE,
    NO_LABEL,
    NOT_DETECTED,
    PREEMPTIVE,
    PRELIMINARY,
    PROPHYLAXIS,
    TREATMENT,
    WITHDRAWN,
    Act,
    Dose,
    Fact,
    Lab,
    Person,
)
from monitor.units import MILLION

Id = Annotated[str, msgspec.Meta(min_length=1)]


class LabEvent(msgspec.Struct, tag="lab", tag_field="type", gc=False):
    """A laboratory result, body weight or height."""

    event_id: Id
    patient_id: Id
    recorded_at: str
    code: str | None = None
    collected_at: str | None = None
    value: float | None = None
    unit: str | None = None
    status: Literal["final", "preliminary", "corrected", "cancelled", "entered-in-error"] | None = None
    comparator: Literal["<", "<=", ">", ">="] | None = None
    result: str | None = None


class AdministrationEvent(msgspec.Struct, tag="administration", tag_field="type", gc=False):
    """A medication given, or charted as not given."""

    event_id: Id
    patient_id: Id
    recorded_at: str
    drug: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    dose: float | None = None
    unit: str | None = None
    route: str | None = None
    indication: Literal["treatment", "maintenance", "prophylaxis", "preemptive"] | None = None
    status: Literal["completed", "in-progress", "stopped", "not-done", "entered-in-error"] | None = None


class PatientEvent(msgspec.Struct, tag="patient", tag_field="type", gc=False):
    """What is known about a patient beside results and doses."""

    event_id: Id
    patient_id: Id
    recorded_at: str
    birth_date: str | None = None
    sex: Literal["female", "male", "other", "unknown"] | None = None
    donor_cmv: Literal["positive", "negative"] | None = None
    recipient_cmv: Literal["positive", "negative"] | None = None
    transplant: Literal["hct-allogeneic", "hct-autologous", "solid-organ", "none"] | None = None
    transplant_at: str | None = None
    dialysis: bool | None = None
    hiv: bool | None = None


class ActionEvent(msgspec.Struct, tag="action", tag_field="type", gc=False):
    """What a pharmacist did about an alert."""

    event_id: Id
    patient_id: Id
    recorded_at: str
    alert_id: Id
    action: Literal["acknowledge", "snooze", "override", "reopen"]
    by: Id
    reason: str | None = None
    until: str | None = None
    severity: Literal["info", "warning", "critical"] | None = None


Event = LabEvent | AdministrationEvent | PatientEvent | ActionEvent


class Rejected(ValueError):
    """An input that cannot be a fact. The reason names the field and the kind of value, never the value."""


_LAB_RANK: Final = {
    None: FINAL,
    "final": FINAL,
    "preliminary": PRELIMINARY,
    "corrected": CORRECTED,
    "cancelled": CANCELLED,
    "entered-in-error": WITHDRAWN,
}
_MARKS: Final = {None: EQUAL, "<": LESS, "<=": AT_MOST, ">": MORE, ">=": AT_LEAST}
_LABELS: Final = {
    None: NO_LABEL,
    "prophylaxis": PROPHYLAXIS,
    "treatment": TREATMENT,
    "preemptive": PREEMPTIVE,
    "maintenance": MAINTENANCE,
}
_GIVEN: Final = frozenset(("completed", "in-progress", "stopped"))
_TIMES_KEPT: Final = 100_000
_LARGEST: Final = 1e100
"""A number that arithmetic can bear: JSON allows 1e308, which millionths cannot hold."""


class Gate:
    """Turns events into facts under one plan of knowledge.

    It keeps nothing of an event but the times it has read, by their texts (`times`, which `trim` bounds), and what the
    latest doses amounted to, by drug, amount, unit and route.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._keep = plan.keep
        self._ahead = plan.ahead
        self.times: dict[str | None, Time] = {}
        self.lab = self._lab_reader()
        # One dose of a course is much like the next.
        self._charted = lru_cache(maxsize=4096)(self._read_charted)
        self._admit: dict[type, Callable[..., Fact | None]] = {
            LabEvent: self.lab,
            AdministrationEvent: self._administration,
            PatientEvent: self._patient,
            ActionEvent: self._action,
        }

    def admit(self, event: Event) -> Fact | None:
        """The fact that an event states, or None where no rule watches its code or drug.

        Raises Rejected, with the reason, for what the contract rejects.
        """
        return self._admit[type(event)](event)

    def admit_uncharted(self, event: AdministrationEvent) -> Dose | None:
        """The dose of a source that charts no amounts (MEDS): without one it counts as given.

        Raises Rejected as `admit` does.
        """
        return self._administration(event, uncharted=event.dose is None)

    def trim(self) -> None:
        """Forgets the times read so far if they have become many; to be called between blocks of events."""
        if len(self.times) > _TIMES_KEPT:
            self.times.clear()

    # Times -------------------------------------------------------------------------------------------------------

    def _time(self, text: str | None, field: str) -> Time:
        known = self.times.get(text)
        if known is not None:
            return known
        if text is None:
            raise Rejected(f"{field}: missing")
        try:
            at = parse_time(text)
        except TimeError as error:
            raise Rejected(f"{field}: {error}") from None
        self.times[text] = at
        return at

    def _clinical(self, text: str | None, field: str, recorded: Time) -> Time:
        at = self._time(text, field)
        lag = recorded - at
        if lag > self._keep:
            raise Rejected(f"too-late: recorded more than {duration_text(self._keep)} after {field}")
        if -lag > self._ahead:
            raise Rejected(f"{field}: more than {duration_text(self._ahead)} after recorded_at")
        return at

    # Facts -------------------------------------------------------------------------------------------------------

    def _lab_reader(self) -> Callable[[LabEvent], Lab | None]:
        """The reader of results, on the way of most events: its tables are at hand as local names."""
        times, analytes, keep, ahead = self.times, self._plan.analyte_of, self._keep, self._ahead

        def read(event: LabEvent) -> Lab | None:
            recorded = times.get(event.recorded_at)
            if recorded is None:
                recorded = self._time(event.recorded_at, "recorded_at")
            at = times.get(event.collected_at)
            status = event.status
            if at is None or not -ahead <= recorded - at <= keep:
                if status is None or _LAB_RANK[status] not in (CANCELLED, WITHDRAWN) or event.collected_at is not None:
                    at = self._clinical(event.collected_at, "collected_at", recorded)
                else:
                    at = ALWAYS
            analyte = analytes.get(event.code)
            rank = FINAL if status is None else _LAB_RANK[status]
            value = event.value
            if analyte is None or rank == CANCELLED or rank == WITHDRAWN:
                if status is None and value is not None and event.code is not None:
                    return None
                return self._without_result(event, recorded, at, rank, analyte)
            if value is None:
                return self._graded(event, recorded, at, rank, analyte)
            unit = analyte.units.get(event.unit)
            if unit is None:
                unit = self._unit(event.unit, analyte)
            if value < 0 and unit not in analyte.logs:
                raise Rejected("value: negative")
            if not -_LARGEST < value < _LARGEST:
                raise Rejected("value: number out of range")
            canon = round(value * MILLION) * analyte.scale[unit]
            mark = EQUAL if event.comparator is None else _MARKS[event.comparator]
            if canon == 0 and analyte.qualitative and mark == EQUAL and unit not in analyte.logs:
                mark = NOT_DETECTED
            low, high = analyte.plausible[unit]
            odd = not low <= canon <= high
            return Lab(event.event_id, recorded, at, analyte.index, event.code or "", canon, unit, mark, rank, odd)

        return read

    def _unit(self, text: str | None, analyte: AnalyteInfo) -> int:
        if text is None:
            raise Rejected("unit: missing")
        unit = analyte.spelled(text)
        if unit is None:
            raise Rejected(f"unit: not known for {analyte.name}")
        return unit

    def _graded(self, event: LabEvent, recorded: Time, at: Time, rank: int, analyte: AnalyteInfo) -> Lab:
        result, code = event.result, event.code or ""
        if result is None:
            raise Rejected("value: missing, and no result")
        if analyte.qualitative and result in ("detected", "not-detected"):
            mark = DETECTED if result == "detected" else NOT_DETECTED
            return Lab(event.event_id, recorded, at, analyte.index, code, 0, mark=mark, rank=rank, grade=result)
        grade = analyte.grades.get(result)
        if grade is None:
            raise Rejected(f"result: not one of {analyte.name}")
        value, unit = grade
        canon = value * analyte.scale[unit]
        return Lab(event.event_id, recorded, at, analyte.index, code, canon, unit, rank=rank, grade=result)

    def _without_result(
        self, event: LabEvent, recorded: Time, at: Time, rank: int, analyte: AnalyteInfo | None
    ) -> Lab | None:
        """A withdrawal needs no more than its identity; a correction may leave what is watched."""
        if rank < CORRECTED and rank != CANCELLED:
            if event.code is None:
                raise Rejected("code: missing")
            if event.value is None and event.result is None:
                raise Rejected("value: missing, and no result")
            return None
        index = -1 if analyte is None else analyte.index
        return Lab(event.event_id, recorded, at, index, event.code or "", 0, rank=rank)

    def _administration(self, event: AdministrationEvent, *, uncharted: bool = False) -> Dose | None:
        recorded = self._time(event.recorded_at, "recorded_at")
        status = event.status or "completed"
        withdrawn = status == "entered-in-error"
        if event.drug is None and not withdrawn:
            raise Rejected("drug: missing")
        if event.started_at is not None or not withdrawn:
            at = self._clinical(event.started_at, "started_at", recorded)
        else:
            at = ALWAYS
        end = at
        if event.ended_at is not None:
            end = self._time(event.ended_at, "ended_at")
            if end < at:
                raise Rejected("ended_at: before started_at")
        given = status in _GIVEN
        drug, value, unit, route, systemic = self._charted(
            event.drug, event.dose, event.unit, event.route, given and not uncharted
        )
        if drug is None:
            if event.drug is not None and not withdrawn:
                return None
            return Dose(
                event.event_id, recorded, at, end, -1, -1, None, None, False, NO_LABEL, status, WITHDRAWN, False
            )
        return Dose(
            event.event_id,
            recorded,
            at,
            end,
            drug.index,
            unit,
            value,
            route,
            systemic,
            _LABELS[event.indication],
            status,
            WITHDRAWN if withdrawn else FINAL,
            given and value != 0,
        )

    def _read_charted(
        self, name: str | None, dose: float | None, unit: str | None, route: str | None, is_needed: bool
    ) -> tuple[DrugInfo | None, int | None, int, str | None, bool]:
        """What an administration is one of: its drug if a rule watches it, value, unit, route and whether it is
        systemic. `is_needed`: it was given, and its source charts amounts.
        """
        plan = self._plan
        drug = plan.find_drug(name) if name is not None else None
        value, index = self._amount(dose, unit, is_needed, drug)
        if drug is None:
            return None, value, index, None, False
        known = plan.route_of(route)
        return drug, value, index, known, drug.is_systemic(known, value, index, name or "", plan)

    def _amount(
        self, dose: float | None, unit_text: str | None, is_needed: bool, drug: DrugInfo | None
    ) -> tuple[int | None, int]:
        if dose is None:
            if is_needed:
                raise Rejected("dose: missing")
            return None, -1
        if dose < 0:
            raise Rejected("dose: negative")
        if dose >= _LARGEST:
            raise Rejected("dose: number out of range")
        unit = -1
        if drug is not None:
            if unit_text is None:
                raise Rejected("unit: missing")
            unit = self._plan.dose_unit(unit_text, drug)
            if unit < 0:
                raise Rejected(f"unit: not known for {drug.name}")
        return round(dose * MILLION), unit

    def _patient(self, event: PatientEvent) -> Person:
        recorded = self._time(event.recorded_at, "recorded_at")
        birth = None
        if event.birth_date is not None:
            try:
                birth = parse_date(event.birth_date)
            except TimeError as error:
                raise Rejected(f"birth_date: {error}") from None
        transplant_at = None
        if event.transplant_at is not None:
            transplant_at = self._time(event.transplant_at, "transplant_at")
        return Person(
            event.event_id,
            recorded,
            birth,
            event.sex,
            event.donor_cmv,
            event.recipient_cmv,
            event.transplant,
            transplant_at,
            event.dialysis,
            event.hiv,
        )

    def _action(self, event: ActionEvent) -> Act:
        recorded = self._time(event.recorded_at, "recorded_at")
        until = NEVER if event.until is None else self._time(event.until, "until")
        return Act(
            event.event_id, recorded, event.alert_id, event.action, event.by, event.reason, until, event.severity
        )


# Decoding --------------------------------------------------------------------------------------------------------

decoder: Final = msgspec.json.Decoder(Event)
"""Decodes one event; its errors become reasons by `reason_of`."""


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8 throughout, as JSON must be: the decoder does not look into fields that it skips."""
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False


_PATH: Final = re.compile(r" - at `\$\.?(?:\[\.\.\.\]\.?)?([^`]*)`$")


def reason_of(error: msgspec.MsgspecError | UnicodeDecodeError | RecursionError) -> str:
    """Why bytes are no event, in the words of the contract: the field and the kind of value, never the value."""
    if isinstance(error, RecursionError):
        return "JSON nested too deep"
    if not isinstance(error, msgspec.ValidationError):
        return "not JSON"
    text = str(error)
    path = _PATH.search(text)
    field = path[1] if path and path[1] else "event"
    what = _PATH.sub("", text)
    missing = re.fullmatch(r"Object missing required field `([^`]*)`", what)
    if missing:
        return f"{missing[1]}: missing"
    if what.startswith("Invalid"):
        return f"{field}: not one of its values"
    return f"{field}: {what[0].lower()}{what[1:].replace('`', '')}"
