"""`cmvigil simulate`: the log of a synthetic cohort, and what really happened to it."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.simulation import simulate, to_lines


def run_simulate(*, patients: int, days: int, seed: int, fhir: bool, truth_path: Path | None) -> int:
    """Writes the log on standard output, and the truth to a file."""
    try:
        with ExitStack() as files:
            truth = None if truth_path is None else files.enter_context(_open(truth_path))
            out = sys.stdout.buffer
            for line in to_lines(simulate(patients, days, seed), fhir=fhir, truth=truth):
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
