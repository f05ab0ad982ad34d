"""A site's map of its own codes (`--codes MAP.toml`): to LOINC and units, to drugs, and to what is known of patients.

The format is described in docs/codes.md. A code that the map does not name is taken as it stands.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from monitor.events import AdministrationEvent, Event, LabEvent
from monitor.knowledge import KnowledgeError, Problem
from monitor.plan import Plan
from streams.knowledge_files import read_toml


class LabCode(msgspec.Struct, forbid_unknown_fields=True):
    """What a local code of a test means. `unit` is that of values that come without one."""

    loinc: str
    unit: str | None = None
    units: dict[str, str] = {}
    results: dict[str, str] = {}

    def unit_of(self, unit: str | None) -> str | None:
        """The contract's unit for one that an event states, or for none."""
        return self.unit if unit is None else self.units.get(unit, unit)


class DrugCode(msgspec.Struct, forbid_unknown_fields=True):
    """What a local code of a medication means: a name or an RxNorm code, and what else the code tells."""

    drug: str
    unit: str | None = None
    route: str | None = None
    status: Literal["completed", "in-progress", "stopped", "not-done"] | None = None
    indication: Literal["treatment", "maintenance", "prophylaxis", "preemptive"] | None = None


class PatientCode(msgspec.Struct, forbid_unknown_fields=True):
    """What a MEDS code tells of a patient."""

    birth: bool = False
    sex: Literal["female", "male", "other", "unknown"] | None = None
    donor_cmv: Literal["positive", "negative"] | None = None
    recipient_cmv: Literal["positive", "negative"] | None = None
    transplant: Literal["hct-allogeneic", "hct-autologous", "solid-organ", "none"] | None = None
    dialysis: bool | None = None
    hiv: bool | None = None


class Meds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the times of MEDS rows are read: the offset of those that have none, and days added to all."""

    offset: str = "+00:00"
    shift_days: int = 0


class Codes(msgspec.Struct):
    """A whole map."""

    labs: dict[str, LabCode] = {}
    drugs: dict[str, DrugCode] = {}
    patients: dict[str, PatientCode] = {}
    meds: Meds = Meds()

    def translate(self, event: Event) -> Event:
        """The event in the contract's codes. What an event says itself goes before what the map says."""
        if isinstance(event, LabEvent):
            lab = self.labs.get(event.code or "")
            if lab is not None:
                event.code = lab.loinc
                event.unit = lab.unit_of(event.unit) if event.value is not None else event.unit
                event.result = lab.results.get(event.result or "", event.result)
        elif isinstance(event, AdministrationEvent):
            drug = self.drugs.get(event.drug or "")
            if drug is not None:
                event.drug = drug.drug
                event.unit = event.unit or drug.unit
                event.route = event.route or drug.route
                event.status = event.status or drug.status
                event.indication = event.indication or drug.indication
        return event


NO_CODES: Final = Codes()
_KINDS: Final[dict[str, type[msgspec.Struct]]] = {"labs": LabCode, "drugs": DrugCode, "patients": PatientCode}
_OFFSET: Final = re.compile(r"[+-]\d{2}:\d{2}")


def read_codes(path: Path | None, plan: Plan) -> Codes:
    """A site's map; without a file, one of nothing. Raises KnowledgeError, naming every fault."""
    if path is None:
        return NO_CODES
    table = read_toml(path)
    problems: list[Problem] = []

    def fault(key: str, reason: str) -> None:
        problems.append(Problem(str(path), key, reason))

    found: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
    for kind, entries in table.items():
        if kind == "meds":
            continue
        if kind not in _KINDS or not isinstance(entries, dict):
            fault(kind, "not one of meds, labs, drugs, patients")
            continue
        for code, entry in entries.items():
            try:
                found[kind][code] = msgspec.convert(entry, _KINDS[kind])
            except msgspec.ValidationError as error:
                fault(f"{kind}.{code}", str(error).replace("`", ""))
    meds = _meds(table.get("meds", {}), fault)
    codes = Codes(found["labs"], found["drugs"], found["patients"], meds)
    _check(codes, plan, fault)
    if problems:
        raise KnowledgeError(problems)
    return codes


def _meds(table: object, fault: Callable[[str, str], None]) -> Meds:
    try:
        meds = msgspec.convert(table, Meds)
    except msgspec.ValidationError as error:
        fault("meds", str(error).replace("`", ""))
        return Meds()
    if not _OFFSET.fullmatch(meds.offset):
        fault("meds.offset", "not like +01:00")
    return meds


def _check(codes: Codes, plan: Plan, fault: Callable[[str, str], None]) -> None:
    """A map to what no rule knows would be silent for ever: it is a fault."""
    for code, lab in codes.labs.items():
        analyte = plan.analyte_of.get(lab.loinc)
        if analyte is None:
            fault(f"labs.{code}.loinc", "not watched by any rule")
            continue
        for unit in (lab.unit, *lab.units.values()):
            if unit is not None and unit not in analyte.units and analyte.spelled(unit) is None:
                fault(f"labs.{code}.unit", f"not known for {analyte.name}")
        for result in lab.results.values():
            if result not in analyte.grades and not (analyte.qualitative and result in ("detected", "not-detected")):
                fault(f"labs.{code}.results", f"not one of {analyte.name}")
    for code, one in codes.drugs.items():
        drug = plan.find_drug(one.drug)
        if drug is None:
            fault(f"drugs.{code}.drug", "not watched by any rule")
        elif one.unit is not None and plan.dose_unit(one.unit, drug) < 0:
            fault(f"drugs.{code}.unit", f"not known for {drug.name}")
        if one.route is not None and plan.route_of(one.route) is None:
            fault(f"drugs.{code}.route", "not known")
