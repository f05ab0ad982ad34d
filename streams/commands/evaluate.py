"""`cmvigil evaluate`: alerts held against what really happened."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from monitor.times import DAY, HOUR, Time, TimeError, parse_time
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import Log, judge_log, read_log
from streams.scoring import Interval, Score, Truth, scores, told


def run_evaluate(
    *,
    logs: list[str],
    truth: Path,
    slack_hours: float,
    as_json: bool,
    overlays: list[Path],
    codes_path: Path | None = None,
) -> int:
    """Replays the logs and scores every code."""
    try:
        if not math.isfinite(slack_hours):
            raise Unusable("--slack: not a number of hours")  # noqa: TRY301 - refused like the other arguments
        plan = read_plan(overlays)
        truths = list(_truths(truth))
        rejects = Rejects(None)
        log = read_log(plan, logs, rejects, codes=read_codes(codes_path, plan))
        alerts = list(told(judge_log(plan, log, log.last).changes).values())
        days = patient_days(log)
        found = scores(alerts, truths, days, round(slack_hours * HOUR))
        if as_json:
            report = {"ruleset": plan.ruleset, "patient_days": round(days, 1), "slack_h": slack_hours, "codes": found}
            print_json(report)
        else:
            _print(found, days)
        count_rejects(rejects)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def print_json(report: object) -> None:
    """A report on standard output, to be read by programs and people."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    sys.stdout.flush()


def count_rejects(rejects: Rejects) -> None:
    """Says on standard error how much of the input was left out."""
    if rejects.count:
        print(f"cmvigil: {rejects.count} rejected (see `cmvigil replay --rejects`)", file=sys.stderr)


def patient_days(log: Log) -> float:
    """The days at risk: from each judged patient's first recording to the last, a day at least."""
    spans: list[Time] = []
    for facts in log.facts.values():
        times = [fact.recorded for fact in facts]
        spans.append(max(max(times) - min(times), DAY))
    return sum(spans) / DAY


def _truths(path: Path) -> Iterator[Truth]:
    try:
        for line in path.read_bytes().splitlines():
            if line.strip():
                truth = msgspec.json.decode(line, type=Truth)
                for one in truth.happened:
                    for time in (one.from_, one.to):
                        parse_time(time or one.from_)
                yield truth
    except OSError as error:
        raise Unusable(f"--truth: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, TimeError):
        raise Unusable("--truth: not what `cmvigil simulate --truth` writes") from None


def _print(found: list[Score], days: float) -> None:
    from rich.table import Table  # noqa: PLC0415

    from streams.console import Console  # noqa: PLC0415 - only where somebody looks

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
