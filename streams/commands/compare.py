"""`cmvigil compare`: what a change of rules would have done to a log."""

import sys
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from streams.commands.common import OK, Unusable, refuse
from streams.commands.evaluate import patient_days
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import judge_log, read_log
from streams.scoring import Difference, Interval, Told, Week, differences, told, weeks

_WAYS = 2


def run_compare(*, logs: list[str], knowledge: list[Path], as_json: bool) -> int:
    """Replays the logs under both and tells the difference. One knowledge is held against the default."""
    try:
        if not 1 <= len(knowledge) <= _WAYS:
            raise Unusable("--knowledge: give it once (against the default) or twice")  # noqa: TRY301
        pair = [[], *([one] for one in knowledge)][-_WAYS:]
        runs: list[dict[str, Told]] = []
        rulesets: list[str] = []
        for overlays in pair:
            plan = read_plan(overlays)
            log = read_log(plan, logs, Rejects(None))
            runs.append(told(judge_log(plan, log, log.last).changes))
            rulesets.append(plan.ruleset)
        days = patient_days(log)
        start = min((fact.recorded for facts in log.facts.values() for fact in facts), default=0)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    before, after = runs
    found = differences(before, after, days)
    by_week = weeks(before.values(), after.values(), start)
    if as_json:
        report = {"before": rulesets[0], "after": rulesets[1], "patient_days": days, "codes": found, "weeks": by_week}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        _print(rulesets, found, by_week)
    return OK


def _print(rulesets: list[str], found: list[Difference], by_week: list[Week]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks
    from rich.table import Table  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"before: {rulesets[0]}\nafter:  {rulesets[1]}", highlight=False)
    table = Table(title="Alerts by code (retracted ones left out); burden per 100 patient-days")
    headings = ("Code", "Before", "After", "Gained", "Lost", "Earlier", "Later", "Severity", "Burden", "Patients")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("Code", "Patients") else "right")
    for one in found:
        counts = (one.before, one.after, one.gained, one.lost, one.earlier, one.later, one.severity_changed)
        burden = f"{_rate(one.burden_before)} > {_rate(one.burden_after)}"
        table.add_row(one.code, *map(str, counts), burden, ", ".join(one.patients))
    console.print(table)
    table = Table(title="Alerts raised by week of the log")
    for heading in ("Week", "Before", "After"):
        table.add_column(heading, justify="right")
    for week in by_week:
        table.add_row(str(week.week), str(week.before), str(week.after))
    console.print(table)


def _rate(one: Interval) -> str:
    return "-" if one.value is None else f"{one.value:.2f}"
