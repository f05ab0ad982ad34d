"""Neutropenia, thrombocytopenia, anemia, and a course that was started below the limits."""

from dataclasses import dataclass

from . import tables as tb
from .courses import course, edges
from .episodes import Episode, Key, instants, string
from .facts import Case, Result


@dataclass(frozen=True)
class Count:
    code: str
    analyte: str
    drugs: tuple[str, ...]
    warning: str
    critical: str | None
    once: str  # recovered when at or above this once,
    start: str  # a course is not to be started below this


COUNTS = (
    Count("neutropenia", "anc", ("cidofovir", *tb.GANCICLOVIRS), "1.0", "0.5", "1.5", "0.5"),
    Count("thrombocytopenia", "platelets", tb.GANCICLOVIRS, "50", "25", "75", "25"),
    Count("anemia", "hemoglobin", tb.GANCICLOVIRS, "8.0", None, "9", "8.0"),
)
TAIL = 7 * tb.DAY
STANDS = 48 * tb.HOUR


def low(r: Result, limit: str) -> bool | None:
    return r.below(r.cut(limit))


def level(count: Count, r: Result) -> str | None:
    """Return the severity of a result, None if it is not below the limit or does not tell."""
    if count.critical and low(r, count.critical):
        return tb.CRITICAL
    return tb.WARNING if low(r, count.warning) else None


@dataclass
class Single:
    """The state of one cytopenia."""

    drug: str | None = None
    severity: str | None = None
    recovering: bool = False  # the last result was at or above the limit

    def close(self) -> None:
        self.drug = self.severity = None
        self.recovering = False


def counts(case: Case) -> list[Episode]:
    singles = {count.code: Single() for count in COUNTS}
    started: dict[str, int] = {}  # drug: first dose of the course that was started below the limits
    stood: dict[str, int | None] = {"since": None}  # since when a started-below has stood for the singles

    def judge(t: int) -> dict[Key, str]:
        judge_starts(t)
        standing = [first for first in started.values() if t <= first + STANDS]
        for count in COUNTS:
            judge_single(count, singles[count.code], t, stands=bool(standing))
        stood["since"] = min(standing, default=None)
        found: dict[Key, str] = {("started-below-count-limits", drug, None): tb.CRITICAL for drug in started}
        for code, single in singles.items():
            if single.severity:
                found[code, single.drug, None] = single.severity
        return found

    def judge_starts(t: int) -> None:
        for drug in tb.GANCICLOVIRS:
            c = course(case, drug, t)
            if drug in started and (c.over(t) or c.first != started[drug]):
                del started[drug]
            if c is None or c.over(t):
                continue
            new_count = any(case.at(count.analyte, t) for count in COUNTS)
            if c.first == t or (drug in started and new_count):
                if start_is_low(t, c.first):
                    started[drug] = c.first
                else:
                    started.pop(drug, None)

    def start_is_low(t: int, first: int) -> bool:
        latest = [(count, case.latest(count.analyte, t, first - 7 * tb.DAY)) for count in COUNTS]
        return any(r is not None and low(r, count.start) for count, r in latest)

    def judge_single(count: Count, single: Single, t: int, *, stands: bool) -> None:
        if single.severity and not case.exposed(count.drugs, t, TAIL):
            single.close()
        r = case.at(count.analyte, t)
        if r is not None and single.severity:
            follow(count, single, r)
        elif r is not None and not stands and case.exposed(count.drugs, t, TAIL):
            begin(count, single, r, t)
        elif not single.severity and stood["since"] is not None and not stands:
            latest = case.latest(count.analyte, t, stood["since"])
            if latest is not None and case.exposed(count.drugs, latest.at, TAIL):
                begin(count, single, latest, t)

    def begin(count: Count, single: Single, r: Result, t: int) -> None:
        severity = level(count, r)
        if severity:
            single.drug, single.severity = case.last_of(count.drugs, t).drug, severity

    def follow(count: Count, single: Single, r: Result) -> None:
        severity = level(count, r)
        if severity:
            single.severity, single.recovering = severity, False
        elif low(r, count.warning) is False:
            if low(r, count.once) is False or single.recovering:
                single.close()
            else:
                single.severity, single.recovering = tb.WARNING, True

    drugs = ("cidofovir", *tb.GANCICLOVIRS)
    times = case.dose_times(*drugs)
    dues = {at + TAIL + tb.TICK for at in times} | {at + STANDS + tb.TICK for at in times} | edges(case, *drugs)
    return string(instants(case, times | case.times("anc", "platelets", "hemoglobin"), dues), judge)


def episodes(case: Case) -> list[Episode]:
    return counts(case)
