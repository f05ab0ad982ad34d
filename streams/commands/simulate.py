"""`cmvigil simulate`: the log of a synthetic cohort, and what really happened to it."""

import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import IO, Final

from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.simulation import simulate, to_lines
from streams.simulation.clock import START

_YEARS: Final = (1950, 2089)
"""What leaves room for a long history and a long log among the years that an event may have (contract, section 1)."""


def run_simulate(
    *, patients: int, days: int, seed: int, fhir: bool, truth_path: Path | None, start: date | None = None
) -> int:
    """Writes the log on standard output, and the truth to a file."""
    first = start or START.date()
    if not _YEARS[0] <= first.year <= _YEARS[1]:
        return refuse(Unusable(f"--start: not within {_YEARS[0]} to {_YEARS[1]}"))
    try:
        with ExitStack() as files:
            truth = None if truth_path is None else files.enter_context(_open(truth_path))
            out = sys.stdout.buffer
            for line in to_lines(simulate(patients, days, seed), fhir=fhir, truth=truth, start=first):
                out.write(line)
            out.flush()
    except Unusable as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise Unusable(f"--truth: {error.strerror}") from None
