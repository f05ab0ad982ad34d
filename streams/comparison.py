"""What a change of rules would have done to a log: two runs over the same facts, alert by alert."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from monitor.times import DAY, Time
from streams.scoring import Interval, Told, byar

EXAMPLES: Final = 3
"""Patients named for each code."""


class Difference(msgspec.Struct):
    """What one code's alerts become under another knowledge, with a few patients to look at.

    Burdens are alerts per 100 patient-days. Retracted alerts are left out.
    """

    code: str
    before: int
    after: int
    gained: int
    lost: int
    earlier: int
    later: int
    severity_changed: int
    burden_before: Interval
    burden_after: Interval
    patients: list[str]


class WeekOfCode(msgspec.Struct):
    """One code's alerts of a week."""

    code: str
    before: int
    after: int


class Week(msgspec.Struct):
    """Alerts raised in one week of the log under either knowledge, retracted ones left out."""

    week: int
    before: int
    after: int
    codes: list[WeekOfCode]


def differences(before: Mapping[str, Told], after: Mapping[str, Told], patient_days: float) -> list[Difference]:
    """What changed, in order of code.

    An alert of one run is that of the other if its id is, or else if both are of one patient, code, drug and subject
    and were open at one time: a threshold that moved moves the onset, and with it the id.
    """
    old, new = _by_code(before), _by_code(after)
    return [_difference(code, old[code], new[code], patient_days) for code in sorted({*old, *new})]


def _difference(code: str, old: list[Told], new: list[Told], patient_days: float) -> Difference:
    pairs = _pairs(old, new)
    paired = {one.alert_id for pair in pairs for one in pair}
    gained = [one for one in new if one.alert_id not in paired]
    lost = [one for one in old if one.alert_id not in paired]
    severity = [new for old, new in pairs if old.worst != new.worst]
    earlier = [new for old, new in pairs if new.raised < old.raised]
    later = [new for old, new in pairs if new.raised > old.raised]
    changed = dict.fromkeys(one.patient_id for one in (*gained, *lost, *severity, *earlier, *later))
    return Difference(
        code,
        len(old),
        len(new),
        len(gained),
        len(lost),
        len(earlier),
        len(later),
        len(severity),
        byar(len(old), patient_days / 100),
        byar(len(new), patient_days / 100),
        list(changed)[:EXAMPLES],
    )


def weeks(before: Mapping[str, Told], after: Mapping[str, Told], start: Time) -> list[Week]:
    """How many alerts were raised in each week since a time, in order; weeks without any are left out."""
    counts: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for i, alerts in enumerate((before, after)):
        for one in _kept(alerts):
            counts[(one.raised - start) // (7 * DAY) + 1][one.code][i] += 1
    return [_week(number, counts[number]) for number in sorted(counts)]


def _week(number: int, counts: Mapping[str, list[int]]) -> Week:
    codes = [WeekOfCode(code, *counts[code]) for code in sorted(counts)]
    return Week(number, sum(one.before for one in codes), sum(one.after for one in codes), codes)


def _pairs(old: list[Told], new: list[Told]) -> list[tuple[Told, Told]]:
    """Alerts of either run that are one. Each is in one pair at most; of several the first to begin."""
    same = {one.alert_id: one for one in old}
    pairs = [(same[one.alert_id], one) for one in new if one.alert_id in same]
    paired = {one.alert_id for _, one in pairs}
    waiting: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for one in old:
        if one.alert_id not in paired:
            waiting[_about(one)].append(one)
    for one in new:
        if one.alert_id in paired:
            continue
        others = waiting[_about(one)]
        other = next((other for other in others if other.onset <= one.end and one.onset <= other.end), None)
        if other is not None:
            others.remove(other)
            pairs.append((other, one))
    return pairs


def _about(alert: Told) -> tuple[str, str]:
    """Whom and what an alert concerns: its patient, and its id without the hash, which the onset is part of."""
    return alert.patient_id, alert.alert_id.rpartition("/")[0]


def _by_code(alerts: Mapping[str, Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = defaultdict(list)
    for one in _kept(alerts):
        found[one.code].append(one)
    return found


def _kept(alerts: Mapping[str, Told]) -> Iterable[Told]:
    """All but the retracted, by onset."""
    kept = (one for one in alerts.values() if one.state != "retracted")
    return sorted(kept, key=lambda one: (one.onset, one.alert_id))
