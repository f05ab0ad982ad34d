"""Short cases for the monitor: native events as dicts, through the gate, and what the monitor then says.

Times are spans from the start of 2026. An event is recorded when it happens, unless the case says otherwise.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from monitor.advance import advance, receive
from monitor.events import Gate, decoder
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.times import Time, parse_time
from monitor.types import Alert
from streams.knowledge_files import read_plan

Event = dict[str, Any]

ZERO = timedelta(0)
US = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
H = timedelta(hours=1)
D = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)

LOINC = {
    "creatinine": ("2160-0", "mg/dL"),
    "anc": ("751-8", "10*3/uL"),
    "platelets": ("777-3", "10*3/uL"),
    "hemoglobin": ("718-7", "g/dL"),
    "calcium": ("17861-6", "mg/dL"),
    "ionized": ("1994-3", "mmol/L"),
    "albumin": ("1751-7", "g/dL"),
    "magnesium": ("19123-9", "mg/dL"),
    "potassium": ("2823-3", "mmol/L"),
    "phosphate": ("2777-1", "mg/dL"),
    "protein": ("2888-6", "mg/dL"),
    "dipstick": ("20454-5", "mg/dL"),
    "lymphocytes": ("731-0", "10*3/uL"),
    "cd4": ("24467-3", "/uL"),
    "cmv": ("72493-0", "[IU]/mL"),
    "weight": ("29463-7", "kg"),
    "height": ("8302-2", "cm"),
    "wbc": ("6690-2", "10*3/uL"),
    "neutrophil-percent": ("770-8", "%"),
}
ORAL = frozenset(("valganciclovir", "letermovir", "maribavir", "probenecid"))
_numbers = count(1)


def when(at: timedelta) -> str:
    """A time as the contract writes it, to the microsecond."""
    return (START + at).isoformat()


def clock(at: timedelta) -> Time:
    """A time as the monitor counts it."""
    return parse_time(when(at))


def lab(what: str, value: float | str, at: timedelta, unit: str | None = None, **other: Any) -> Event:
    """A result, by the analyte's short name: a number with its usual unit or another, or a result in a word.

    `other`: further fields; `recorded_at` may be a span too.
    """
    code, usual = LOINC[what]
    event = _event("lab", at, other) | {"code": code, "collected_at": when(at)}
    event |= {"result": value} if isinstance(value, str) else {"value": value, "unit": unit or usual}
    return event | other


def dose(drug: str, amount: float, at: timedelta, unit: str = "mg", **other: Any) -> Event:
    """A dose given, by its usual route. `other`: further fields; `ended_at` and `recorded_at` may be spans too."""
    if isinstance(other.get("ended_at"), timedelta):
        other["ended_at"] = when(other["ended_at"])
    route = "oral" if drug in ORAL else "iv"
    event = _event("administration", at, other)
    return event | {"drug": drug, "dose": amount, "unit": unit, "route": route, "started_at": when(at)} | other


def patient(at: timedelta = ZERO, **fields: Any) -> Event:
    """Patient data; a man of 50 years unless said otherwise."""
    event = _event("patient", at, fields)
    return event | {"sex": "male", "birth_date": "1975-07-01"} | fields


def action(alert_id: str, what: str, at: timedelta, **other: Any) -> Event:
    """What a pharmacist did about an alert."""
    return _event("action", at, other) | {"alert_id": alert_id, "action": what, "by": "pharmacist"} | other


def _event(kind: str, at: timedelta, other: Event) -> Event:
    recorded = other.pop("recorded_at", at)
    text = when(recorded) if isinstance(recorded, timedelta) else recorded
    return {"type": kind, "event_id": f"e{next(_numbers)}", "patient_id": "p1", "recorded_at": text}


def every(gap: timedelta, start: timedelta, end: timedelta) -> list[timedelta]:
    """Times from `start` on, one each `gap`, up to and with `end`."""
    return [start + i * gap for i in range(int((end - start) / gap) + 1)]


@cache
def plan(*overlays: Path) -> Plan:
    """The plan of the default knowledge, with a site's files over it."""
    return read_plan(list(overlays))


def run(events: Iterable[Event], until: timedelta | None = None, knowledge: Plan | None = None) -> Patient:
    """The patient after all events that the gate admits, at the last recording or at `until`; see `alerts`."""
    return _run(events, until, knowledge)[0]


def alerts(events: Iterable[Event], until: timedelta | None = None, knowledge: Plan | None = None) -> list[Alert]:
    """Every change that the monitor says of one patient's events, in its order.

    The clock stands at the last recording at the end, or at `until`. An event that the gate rejects fails the case.
    """
    return _run(events, until, knowledge)[1]


def _run(events: Iterable[Event], until: timedelta | None, knowledge: Plan | None) -> tuple[Patient, list[Alert]]:
    known = knowledge or plan()
    gate = Gate(known)
    admitted = [gate.admit(decoder.decode(json.dumps(event))) for event in events]
    facts = [fact for fact in admitted if fact is not None]
    p = Patient(known, "p1")
    receive(p, facts)
    end = clock(until) if until is not None else max(fact.recorded for fact in facts)
    return p, [change.alert for change in advance(p, end)]


def said(changes: Iterable[Alert], code: str, drug: str | None = None) -> list[tuple[str, str]]:
    """What was said under one code (of one drug), each as its status and severity."""
    return [(one.status, one.severity) for one in changes if one.code == code and drug in (None, one.drug)]


def standing(changes: Iterable[Alert]) -> dict[str, str]:
    """The codes that are open at the end, each with its severity."""
    latest = {one.alert_id: one for one in changes}
    return {one.code: one.severity for one in latest.values() if one.state not in ("resolved", "retracted")}


def severity(
    events: Iterable[Event], code: str, until: timedelta | None = None, knowledge: Plan | None = None
) -> str | None:
    """The severity at which a code is open at the end, or None."""
    return standing(alerts(events, until, knowledge)).get(code)
