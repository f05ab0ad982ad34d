"""How often each alert is to be expected: its rate in a site's own history, for Prometheus to hold the present against.

The rate is for 100 watched patient-days. A watched patient-day is a day (UTC) on which something was recorded of a
patient for whom at least one rule was in force: what workers count as `cmvigil_patient_days_total`.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from monitor.advance import advance, receive
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.times import ALWAYS, DAY, Time
from monitor.types import Fact
from streams.live.canaries import is_canary
from streams.replay import Log
from streams.scoring import Interval, byar


class Expected(msgspec.Struct):
    """How often one code was raised, and how often that is for 100 watched patient-days, with its 95 % interval."""

    code: str
    raised: int
    per_100_patient_days: Interval


class Expectation(msgspec.Struct):
    """What is to be expected of every code that the ruleset may raise."""

    ruleset: str
    patients: int
    patient_days: int
    codes: list[Expected]


def expectation(plan: Plan, log: Log) -> Expectation:
    """Judges a log, and counts. Canaries are left out, as everywhere."""
    days = patients = 0
    raised = Counter({rule.code: 0 for rule in plan.rules})
    for patient_id, facts in log.facts.items():
        if is_canary(patient_id):
            continue
        p = Patient(plan, patient_id)
        receive(p, facts)
        watched = 0
        for until in [*_ends_of_days(facts, log.last), log.last]:
            raised.update(change.code for change in advance(p, until) if change.alert.status == "raised")
            watched += bool(p.folds)
        # The last step is the clock's alone, and no day of its own.
        watched -= bool(p.folds)
        days += watched
        patients += watched > 0
    codes = [Expected(code, count, byar(count, days / 100)) for code, count in sorted(raised.items())]
    return Expectation(plan.ruleset, patients, days, codes)


def _ends_of_days(facts: Iterable[Fact], last: Time) -> list[Time]:
    """The last moment of each day on which something was recorded."""
    days = sorted({fact.recorded // DAY for fact in facts if fact.recorded > ALWAYS})
    return [min((day + 1) * DAY - 1, last) for day in days]


def as_rules(found: Expectation, job: str) -> str:
    """Prometheus recording rules that say what is expected, for the job that scrapes the workers."""
    lines = [
        "# Written by `cmvigil expect`: what this site's history lets expect, for the rule CmvigilRulesSilent.",
        f"# {found.patients} patients, {found.patient_days} watched patient-days, ruleset {found.ruleset}.",
        "groups:",
        "  - name: cmvigil-expected",
        "    interval: 1m",
        "    rules:",
    ]
    for one in found.codes:
        rate = one.per_100_patient_days
        for name, value in (("", rate.value), (":low", rate.low), (":high", rate.high)):
            lines += [
                f"      - record: cmvigil:expected_raised_per_100_patient_days{name}",
                f"        expr: vector({value:g})",
                f'        labels: {{job: "{job}", code: "{one.code}", ruleset: "{found.ruleset}"}}',
            ]
    return "\n".join(lines) + "\n"
