"""What the commands do, apart from how their arguments are read."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from monitor.knowledge import KnowledgeError
from monitor.plan import Plan
from monitor.times import Time, TimeError, parse_time
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput, size_of
from streams.output import print_table, write_ndjson, write_unjudged
from streams.rejects import Rejects
from streams.replay import Log, Replayed, judge_log, no_collection, read_log

OK, FAILED, UNUSABLE = 0, 1, 2


class Unusable(Exception):
    """Arguments that cannot be used."""


def run_replay(
    logs: list[str],
    *,
    as_json: bool,
    until: str | None,
    rejects_path: Path | None,
    unjudged_path: Path | None,
    overlays: list[Path],
) -> int:
    """`cmvigil replay`."""
    try:
        plan = _plan(overlays)
        stop = _time(until)
        with _rejects(rejects_path) as rejects, no_collection():
            with _bar("reading", size_of(logs)) as progress:
                log = read_log(plan, logs, rejects, progress)
            with _bar("judging", sum(map(len, log.facts.values()))) as progress:
                replayed = judge_log(plan, log, log.last if stop is None else stop, progress)
            _write(replayed, as_json=as_json, unjudged_path=unjudged_path)
            _count(log, rejects, replayed, unjudged_path)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return _refuse(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _plan(overlays: list[Path]) -> Plan:
    return read_plan(overlays)


def _time(text: str | None) -> Time | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except TimeError as error:
        raise Unusable(f"--until: {error}") from None


def _rejects(path: Path | None) -> Rejects:
    try:
        return Rejects(path)
    except OSError as error:
        raise Unusable(f"--rejects: {error.strerror}") from None


def _write(replayed: Replayed, *, as_json: bool, unjudged_path: Path | None) -> None:
    if unjudged_path is not None:
        try:
            write_unjudged(replayed.unjudged, unjudged_path)
        except OSError as error:
            raise Unusable(f"--unjudged: {error.strerror}") from None
    if as_json or not sys.stdout.isatty():
        write_ndjson(replayed.changes, sys.stdout.buffer)
    else:
        print_table(replayed.changes, Console())


def _count(log: Log, rejects: Rejects, replayed: Replayed, unjudged_path: Path | None) -> None:
    """What a reader must know beside the alerts, on standard error."""
    told = [f"{log.events} events, {len(log.facts)} patients judged"]
    if log.unwatched:
        told.append(f"{log.unwatched} not watched by any rule")
    if rejects.count:
        told.append(f"{rejects.count} rejected" + ("" if rejects.kept else " (see --rejects)"))
    if replayed.unjudged:
        told.append(
            f"{len(replayed.unjudged)} not judged for want of data" + ("" if unjudged_path else " (see --unjudged)")
        )
    print(f"cmvigil: {'; '.join(told)}", file=sys.stderr)


def _refuse(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"cmvigil: {line}", file=sys.stderr)
    return UNUSABLE


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)


def run_rules(*, as_json: bool, check: Path | None, overlays: list[Path]) -> int:
    """`cmvigil rules`."""
    try:
        plan = _plan([*overlays, *([check] if check is not None else [])])
    except KnowledgeError as error:
        return _refuse(error)
    if check is not None:
        print(f"{check}: usable; ruleset {plan.ruleset}")
    return OK
