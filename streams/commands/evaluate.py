"""`cmvigil evaluate`: alerts held against what really happened."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from monitor.times import DAY, HOUR, Time
from streams.commands.common import OK, Unusable, refuse
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import Log, judge_log, read_log
from streams.scoring import Interval, Score, Truth, scores, told


def run_evaluate(*, logs: list[str], truth: Path, slack_hours: float, as_json: bool, overlays: list[Path]) -> int:
    """Replays the logs and scores every code."""
    try:
        plan = read_plan(overlays)
        log = read_log(plan, logs, Rejects(None))
        truths = list(_truths(truth))
        alerts = list(told(judge_log(plan, log, log.last).changes).values())
        days = patient_days(log)
        found = scores(alerts, truths, days, round(slack_hours * HOUR))
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    if as_json:
        report = {"ruleset": plan.ruleset, "patient_days": round(days, 1), "slack_h": slack_hours, "codes": found}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        _print(found, days)
    return OK


def patient_days(log: Log) -> float:
    """The days at risk: from each judged patient's first recording to the last, a day at least."""
    spans: list[Time] = []
    for facts in log.facts.values():
        times = [fact.recorded for fact in facts]
        spans.append(max(max(times) - min(times), DAY))
    return sum(spans) / DAY


def _truths(path: Path) -> Iterator[Truth]:
    try:
        lines = path.read_bytes().splitlines()
        yield from (msgspec.json.decode(line, type=Truth) for line in lines if line.strip())
    except OSError as error:
        raise Unusable(f"--truth: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise Unusable("--truth: not what `cmvigil simulate --truth` writes") from None


def _print(found: list[Score], days: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=f"{days:,.0f} patient-days; 95 % intervals; lead: hours from the true onset to the alert")
    for heading in ("Code", "Happened", "Found", "Alerts", "Retracted", "Right", "Lead h", "Per 100 patient-days"):
        table.add_column(heading, justify="left" if heading == "Code" else "right")
    for one in found:
        table.add_row(
            one.code,
            str(one.happened),
            _share(one.sensitivity),
            str(one.alerts),
            str(one.retracted),
            _share(one.predictive_value),
            "-" if one.lead_h is None else f"{one.lead_h[1]:g} ({one.lead_h[0]:g} to {one.lead_h[2]:g})",
            _rate(one.per_100_patient_days),
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _share(one: Interval) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "-"
    return f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})"


def _rate(one: Interval) -> str:
    return "-" if one.value is None else f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
