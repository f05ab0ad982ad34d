"""A slow and obvious evaluator, written from the documents alone; it shares no code with the monitor."""

from collections import defaultdict
from typing import NamedTuple

from . import combinations, data, dosing, electrolytes, kidney, marrow, monitoring, therapy
from . import tables as tb
from .episodes import Episode
from .facts import Case, instant, iso
from .reading import understand

RULES = (kidney, dosing, marrow, electrolytes, monitoring, therapy, combinations, data)


class Found(NamedTuple):
    """One episode. `severity` is that of its last step, `worst` the highest of any."""

    code: str
    drug: str | None
    subject: str | None
    onset: str
    end: str | None
    severity: str
    worst: str


def judge(events: list[dict], until: str | None = None) -> dict[str, list[Found]]:
    """Return for each patient every episode that is known when the clock stands at `until`."""
    clock = instant(until) if until else max((instant(e["recorded_at"]) for e in events), default=0)
    patients: dict[str, list[dict]] = defaultdict(list)
    for event in events:
        if event["type"] in ("lab", "administration", "patient"):
            patients[event["patient_id"]].append(event)
    return {patient: evaluate(understand(mine, clock)) for patient, mine in sorted(patients.items())}


def evaluate(case: Case) -> list[Found]:
    found = [as_found(e) for rule in RULES for e in rule.episodes(case)]
    return sorted(found, key=lambda f: (f.code, f.drug or "", f.subject or "", f.onset))


def as_found(e: Episode) -> Found:
    worst = max(e.steps, key=tb.RANK.get)
    return Found(*e.key, iso(e.onset), iso(e.end) if e.end is not None else None, e.steps[-1], worst)
