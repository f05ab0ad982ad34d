"""`cmvigil compare`: what a change of rules would have done to a log."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.knowledge import KnowledgeError
from monitor.times import Time
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.commands.evaluate import count_rejects, patient_days, print_json
from streams.comparison import Difference, Week, differences, weeks
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import judge_log, read_log
from streams.scoring import Interval, Told, told

_WAYS = 2


def run_compare(*, logs: list[str], knowledge: list[Path], as_json: bool, codes_path: Path | None = None) -> int:
    """Replays the logs under both and tells the difference. One knowledge is held against the default."""
    try:
        if not 1 <= len(knowledge) <= _WAYS:
            raise Unusable("--knowledge: give it once (against the default) or twice")  # noqa: TRY301
        plans = [read_plan(overlays) for overlays in [[], *([one] for one in knowledge)][-_WAYS:]]
        runs: list[dict[str, Told]] = []
        days = 0.0
        starts: list[Time] = []
        with _lasting(logs) as sources:
            for plan in plans:
                rejects = Rejects(None)
                log = read_log(plan, sources, rejects, codes=read_codes(codes_path, plan))
                runs.append(told(judge_log(plan, log, log.last).changes))
                # One denominator for both: the more of the patients are watched, the more days are at risk.
                days = max(days, patient_days(log))
                starts += [fact.recorded for facts in log.facts.values() for fact in facts]
        before, after = runs
        found = differences(before, after, days)
        by_week = weeks(before, after, min(starts, default=0))
        names = [plan.ruleset for plan in plans]
        if as_json:
            print_json(
                {
                    "before": names[0],
                    "after": names[1],
                    "patient_days": round(days, 1),
                    "codes": found,
                    "weeks": by_week,
                }
            )
        else:
            _print(names, found, by_week)
        count_rejects(rejects)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


@contextmanager
def _lasting(logs: list[str]) -> Iterator[list[str]]:
    """The logs, in a form that can be read twice: what is no file, such as standard input, is copied to one."""
    with TemporaryDirectory(prefix="cmvigil-", ignore_cleanup_errors=True) as folder:
        sources = []
        for i, source in enumerate(logs):
            if source != "-" and (Path(source).is_file() or not Path(source).exists()):
                sources.append(source)
                continue
            copy = Path(folder) / f"input-{i}"
            try:
                with (
                    copy.open("wb") as kept,
                    open(0 if source == "-" else source, "rb", closefd=source != "-") as given,
                ):
                    shutil.copyfileobj(given, kept)
            except OSError as error:
                raise UnusableInput(f"{source}: {error.strerror or 'cannot be read'}") from None
            sources.append(str(copy))
        yield sources


def _print(rulesets: list[str], found: list[Difference], by_week: list[Week]) -> None:
    from rich.table import Table  # noqa: PLC0415

    from streams.console import Console  # noqa: PLC0415 - only where somebody looks

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
    for heading in ("Week", "Before", "After", "Codes that differ"):
        table.add_column(heading, justify="left" if heading.startswith("Codes") else "right")
    for week in by_week:
        differ = [f"{one.code} {one.before} > {one.after}" for one in week.codes if one.before != one.after]
        table.add_row(str(week.week), str(week.before), str(week.after), ", ".join(differ))
    console.print(table)


def _rate(one: Interval) -> str:
    return "-" if one.value is None else f"{one.value:.2f}"
