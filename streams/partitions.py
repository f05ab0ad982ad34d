"""Judging a log in parts: by partitions on disk, and by several processes. The same bytes come out as in memory."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from monitor.plan import Plan
from monitor.times import Time
from streams.replay import Log, Replayed, Unjudged, judge_log
from streams.spool import PARTITIONS, Facts, merged, write_run

Progress = Callable[[int], None] | None


class _Work(NamedTuple):
    """What every process is to know; forked processes find it in memory."""

    plan: Plan
    log: Log
    until: Time
    folder: Path
    patients: tuple[str, ...]


_work: list[_Work] = []
_ONE: Final = 1


def judge_parts(
    plan: Plan, log: Log, until: Time, folder: Path, jobs: int = _ONE, progress: Progress = None
) -> Replayed:
    """Runs every patient's clock to a time, part by part, with up to `jobs` parts at once.

    The changes are read from runs in `folder` as they are asked for. Where a system cannot fork, one process does it
    all.
    """
    _work.append(_Work(plan, log, until, folder, tuple(log.facts)))
    try:
        if jobs > _ONE and "fork" in multiprocessing.get_all_start_methods():
            with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
                unjudged = list(pool.map(_judge, range(PARTITIONS)))
        else:
            unjudged = [_judge(number, progress) for number in range(PARTITIONS)]
    finally:
        _work.pop()
    return Replayed(
        merged([_run(folder, number) for number in range(PARTITIONS)]), sorted(one for part in unjudged for one in part)
    )


def _judge(number: int, progress: Progress = None) -> list[Unjudged]:
    work = _work[-1]
    part = work.log._replace(facts=_part(work, number))
    replayed = judge_log(work.plan, part, work.until, progress)
    write_run(_run(work.folder, number), list(replayed.changes))
    return replayed.unjudged


def _part(work: _Work, number: int) -> Facts:
    if work.log.spool is not None:
        return work.log.spool.partition(number, work.log.awake)
    return {patient_id: work.log.facts[patient_id] for patient_id in work.patients[number::PARTITIONS]}


def _run(folder: Path, number: int) -> Path:
    return folder / f"changes-{number}"
