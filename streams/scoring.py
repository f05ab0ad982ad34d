"""How well alerts match what really happened: counted, with intervals.

An alert is *right* if something of its code (and drug, where both name one) truly held for its patient at some moment
between its onset and its end, give or take the slack. What truly happened is *found* if such an alert was raised.
Retracted alerts are not right or wrong, but count in the burden: somebody read them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import median
from typing import Final, NamedTuple

import msgspec

from monitor.reconciliation import Change
from monitor.times import HOUR, NEVER, Time, parse_time

Z: Final = 1.959964
"""95 % intervals."""


class Interval(NamedTuple):
    """A share or a rate with its 95 % interval; None where there is nothing to count."""

    value: float | None
    low: float | None
    high: float | None


def wilson(hits: int, total: int) -> Interval:
    """A proportion, with Wilson's score interval."""
    if not total:
        return Interval(None, None, None)
    share = hits / total
    middle = (share + Z * Z / (2 * total)) / (1 + Z * Z / total)
    half = Z / (1 + Z * Z / total) * sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    return Interval(round(share, 4), round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4))


def byar(count: int, units: float) -> Interval:
    """Events per unit of time at risk, with Byar's approximation of the exact Poisson interval."""
    if units <= 0:
        return Interval(None, None, None)
    low = count * (1 - 1 / (9 * count) - Z / (3 * sqrt(count))) ** 3 if count else 0.0
    above = count + 1
    high = above * (1 - 1 / (9 * above) + Z / (3 * sqrt(above))) ** 3
    return Interval(round(count / units, 4), round(low / units, 4), round(high / units, 4))


class Told(msgspec.Struct):
    """One alert, from the first change of it to the last."""

    alert_id: str
    patient_id: str
    code: str
    drug: str | None
    onset: Time
    raised: Time
    worst: str
    state: str = "open"
    end: Time = NEVER


class Happened(msgspec.Struct, rename={"from_": "from"}):
    """Something that really happened to a patient (contract, section 3: `--truth`)."""

    code: str
    from_: str
    drug: str | None = None
    to: str | None = None


class Truth(msgspec.Struct):
    """A line of a truth file."""

    patient_id: str
    happened: list[Happened]


class Score(msgspec.Struct):
    """How one code did. `lead_h`: hours from the true onset to the alert, least, median and greatest."""

    code: str
    happened: int
    found: int
    sensitivity: Interval
    alerts: int
    retracted: int
    right: int
    predictive_value: Interval
    lead_h: tuple[float, float, float] | None
    per_100_patient_days: Interval


_RANK: Final = {"info": 0, "warning": 1, "critical": 2}


def told(changes: Iterable[Change]) -> dict[str, Told]:
    """Every alert of a run, by id."""
    found: dict[str, Told] = {}
    for change in changes:
        alert = change.alert
        one = found.get(alert.alert_id)
        if one is None:
            one = found[alert.alert_id] = Told(
                alert.alert_id, alert.patient_id, alert.code, alert.drug, change.onset, change.emitted, alert.severity
            )
        one.state = alert.state
        if _RANK[alert.severity] > _RANK[one.worst] and alert.state != "retracted":
            one.worst = alert.severity
        one.end = change.emitted if alert.state in ("resolved", "retracted") else NEVER
    return found


def scores(alerts: Sequence[Told], truths: Iterable[Truth], patient_days: float, slack: Time) -> list[Score]:
    """Every code's score, in order of code, and the sum of all as the code `*`."""
    by_patient: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for alert in alerts:
        by_patient[alert.patient_id, alert.code].append(alert)
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    right: set[str] = set()
    for truth in truths:
        for one in truth.happened:
            tally = tallies[one.code]
            tally.happened += 1
            matching = [alert for alert in by_patient[truth.patient_id, one.code] if _matches(alert, one, slack)]
            if matching:
                tally.found += 1
                tally.leads.append((min(alert.raised for alert in matching) - parse_time(one.from_)) / HOUR)
                right.update(alert.alert_id for alert in matching)
    for alert in alerts:
        tally = tallies[alert.code]
        tally.alerts += 1
        tally.retracted += alert.state == "retracted"
        tally.right += alert.alert_id in right
    total = _Tally()
    for tally in tallies.values():
        total.add(tally)
    return [tallies[code].score(code, patient_days) for code in sorted(tallies)] + [total.score("*", patient_days)]


class _Tally:
    def __init__(self) -> None:
        self.happened = self.found = self.alerts = self.retracted = self.right = 0
        self.leads: list[float] = []

    def add(self, other: "_Tally") -> None:
        self.happened += other.happened
        self.found += other.found
        self.alerts += other.alerts
        self.retracted += other.retracted
        self.right += other.right
        self.leads += other.leads

    def score(self, code: str, patient_days: float) -> Score:
        leads = sorted(self.leads)
        spread = (round(leads[0], 1), round(median(leads), 1), round(leads[-1], 1)) if leads else None
        return Score(
            code,
            self.happened,
            self.found,
            wilson(self.found, self.happened),
            self.alerts,
            self.retracted,
            self.right,
            wilson(self.right, self.alerts - self.retracted),
            spread,
            byar(self.alerts, patient_days / 100),
        )


def _matches(alert: Told, one: Happened, slack: Time) -> bool:
    if alert.state == "retracted" or (alert.drug and one.drug and alert.drug != one.drug):
        return False
    end = NEVER if one.to is None else parse_time(one.to)
    return alert.onset - slack <= end and parse_time(one.from_) - slack <= alert.end
