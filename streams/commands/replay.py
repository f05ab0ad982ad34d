"""`cmvigil replay`: runs the monitor over logs."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.knowledge import KnowledgeError
from monitor.plan import Plan
from monitor.times import Time
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, keep_apart, open_rejects, progress_bar, reader_left, refuse, time_of
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput, size_of
from streams.output import print_table, write_ndjson, write_unjudged
from streams.rejects import Rejects
from streams.replay import Log, Replayed, judge_log, no_collection, read_log
from streams.spool import Spool


def run_replay(
    logs: list[str],
    *,
    as_json: bool,
    until: str | None,
    rejects_path: Path | None,
    unjudged_path: Path | None,
    overlays: list[Path],
    codes_path: Path | None = None,
    jobs: int = 1,
) -> int:
    """`cmvigil replay`."""
    try:
        plan = read_plan(overlays)
        stop = time_of(until, "--until")
        codes = read_codes(codes_path, plan)
        keep_apart(logs, rejects=rejects_path, unjudged=unjudged_path)
        with (
            open_rejects(rejects_path) as rejects,
            TemporaryDirectory(prefix="cmvigil-", ignore_cleanup_errors=True) as folder,
            no_collection(),
        ):
            with progress_bar("reading", size_of(logs)) as progress:
                log = read_log(plan, logs, rejects, progress, codes=codes, spool=Spool(Path(folder)))
            replayed = _judge(plan, log, log.last if stop is None else stop, Path(folder), jobs)
            _write(replayed, as_json=as_json, unjudged_path=unjudged_path)
            _count(log, rejects, replayed, unjudged_path)
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def _judge(plan: Plan, log: Log, until: Time, folder: Path, jobs: int) -> Replayed:
    if jobs == 1 and log.spool is None:
        with progress_bar("judging", sum(map(len, log.facts.values()))) as progress:
            return judge_log(plan, log, until, progress)
    # Processes take 30 ms to import: only for large logs.
    from streams.partitions import judge_parts  # noqa: PLC0415

    if jobs > 1:
        # No progress bar: its thread and a fork do not go together.
        return judge_parts(plan, log, until, folder, jobs)
    with progress_bar("judging", None) as progress:
        return judge_parts(plan, log, until, folder, progress=progress)


def _write(replayed: Replayed, *, as_json: bool, unjudged_path: Path | None) -> None:
    if unjudged_path is not None:
        try:
            write_unjudged(replayed.unjudged, unjudged_path)
        except OSError as error:
            raise Unusable(f"--unjudged: {error.strerror}") from None
    if as_json or not sys.stdout.isatty():
        write_ndjson(replayed.changes, sys.stdout.buffer)
    else:
        print_table(replayed.changes)


def _count(log: Log, rejects: Rejects, replayed: Replayed, unjudged_path: Path | None) -> None:
    """What a reader must know beside the alerts, on standard error."""
    told = [f"{log.events} events, {len(log.awake)} patients judged"]
    if log.unwatched:
        told.append(f"{log.unwatched} not watched by any rule")
    if rejects.count:
        told.append(f"{rejects.count} rejected" + ("" if rejects.kept else " (see --rejects)"))
    if replayed.unjudged:
        told.append(
            f"{len(replayed.unjudged)} not judged for want of data" + ("" if unjudged_path else " (see --unjudged)")
        )
    print(f"cmvigil: {'; '.join(told)}", file=sys.stderr)
