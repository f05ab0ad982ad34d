"""Stringing what holds at each instant into episodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import tables as tb
from .courses import course
from .facts import Case, Dose

Key = tuple[str, str | None, str | None]  # code, drug, subject
KEEP = "keep"  # no judgment: what was, stays


@dataclass
class Episode:
    key: Key
    onset: int
    steps: list[str]
    end: int | None = None


def instants(case: Case, facts: Iterable[int], dues: Iterable[int]) -> list[int]:
    """Return every time of a fact, and of what only time brings those that the clock has reached."""
    return sorted({*facts, *(due for due in dues if due <= case.until)})


def string(times: list[int], judge: Callable[[int], dict[Key, str]]) -> list[Episode]:
    is_open: dict[Key, Episode] = {}
    found: list[Episode] = []
    for t in times:
        state = judge(t)
        for key in [k for k in is_open if k not in state]:
            is_open.pop(key).end = t
        for key, severity in state.items():
            if key not in is_open:
                is_open[key] = Episode(key, t, [])
                found.append(is_open[key])
            is_open[key].steps.append(severity)
    return found


def charted(case: Case, dose: Dose) -> bool:
    """Say whether what is asked of a dose can be judged: 2 h after it was recorded."""
    return dose.recorded + 2 * tb.HOUR <= case.until


def at_doses(
    case: Case, code: str, drug: str, doses: list[Dose], verdict: Callable[[Dose], str | None]
) -> list[Episode]:
    """Judge each dose; it stands until the next dose is judged or the course is over."""
    by_time = {d.at: d for d in doses}
    standing: dict[str, object] = {"severity": None, "first": None}
    gaps = {d.at + known.gap + tb.TICK for d in case.given(drug) if (known := course(case, drug, d.at))}

    def judge(t: int) -> dict[Key, str]:
        known = course(case, drug, t)
        if known is None or known.over(t) or known.first != standing["first"]:
            standing["severity"] = None
        if t in by_time:
            severity = verdict(by_time[t])
            if severity != KEEP:
                standing.update(severity=severity, first=known.first)
        return {(code, drug, None): standing["severity"]} if standing["severity"] else {}

    return string(instants(case, case.dose_times(drug), gaps), judge)
