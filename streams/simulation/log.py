"""One log of many lives: NDJSON in order of `recorded_at`, patient and event, in bounded memory.

Lives are simulated in order of their index. Beyond a fixed number of events a sorted run goes to a temporary file, and
the runs are merged at the end.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from heapq import merge
from tempfile import TemporaryFile
from typing import IO, Final

from streams.simulation.clock import START
from streams.simulation.fhir import as_fhir
from streams.simulation.life import Life
from streams.simulation.record import Event

_FIRST: Final = START.date()
_HELD: Final = 200_000
"""Events held in memory at most, about 80 MB."""
_DAY: Final = re.compile(rb"\d{4}-\d\d-\d\d(?=T)")
"""The day of an instant."""


def to_lines(
    lives: Iterable[Life], *, fhir: bool = False, truth: IO[bytes] | None = None, start: date = _FIRST
) -> Iterator[bytes]:
    """The log of some lives, line by line, each with its newline. What really happened goes to `truth`, in passing.

    `start`: the day on which the cohort's first day falls.
    """
    days = (start - _FIRST).days
    rows: list[bytes] = []
    with ExitStack() as files:
        runs: list[IO[bytes]] = []
        for life in lives:
            if truth is not None:
                truth.write(_moved(encoded(life.truth), days))
            for place, event in enumerate(life.events):
                shown = as_fhir(event) if fhir else event
                key = f"{event['recorded_at']} {event['patient_id']} {event['event_id']} {place:07d}\t"
                rows.append(_moved(key.encode() + encoded(shown), days))
            if len(rows) >= _HELD:
                runs.append(_spill(rows, files))
                rows = []
        rows.sort()
        for row in merge(*runs, rows) if runs else rows:
            yield row.split(b"\t", 1)[1]


def _moved(line: bytes, days: int) -> bytes:
    """The same with every instant some days later."""
    if not days:
        return line
    return _DAY.sub(lambda day: str(date.fromisoformat(day[0].decode()) + timedelta(days)).encode(), line)


def _spill(rows: list[bytes], files: ExitStack) -> IO[bytes]:
    rows.sort()
    run = files.enter_context(TemporaryFile())  # noqa: SIM115 - the stack closes it
    run.writelines(rows)
    run.seek(0)
    return run


def encoded(value: Event) -> bytes:
    """One object as a line of JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
