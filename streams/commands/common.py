"""What commands share: exit statuses, refusals, the plan, times, the progress bar."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.times import Time, TimeError, parse_time
from streams.rejects import Rejects

OK, FAILED, UNUSABLE = 0, 1, 2


class Unusable(Exception):
    """Arguments that cannot be used."""


def time_of(text: str | None, option: str) -> Time | None:
    """The time that an option names; None where it is not given. Raises Unusable for what is no time."""
    if text is None:
        return None
    try:
        return parse_time(text)
    except TimeError as error:
        raise Unusable(f"{option}: {error}") from None


def keep_apart(logs: list[str], **written: Path | None) -> None:
    """Raises Unusable where a file that is to be written is one of the logs, or another that is written."""
    taken = [Path(log) for log in logs if log != "-"]
    for option, path in written.items():
        if path is None:
            continue
        # Not a device: nothing is lost where everything goes nowhere.
        if any(one.resolve() == path.resolve() for one in taken) and (path.is_file() or not path.exists()):
            raise Unusable(f"--{option}: is read or written already")
        taken.append(path)


def open_rejects(path: Path | None) -> Rejects:
    """The writer of rejected inputs. Raises Unusable where the file cannot be written."""
    try:
        return Rejects(path)
    except OSError as error:
        raise Unusable(f"--rejects: {error.strerror}") from None


def refuse(error: Exception) -> int:
    """Says on standard error why a command cannot run, and gives its exit status: the error's own, else 2."""
    for line in str(error).splitlines():
        print(f"cmvigil: {line}", file=sys.stderr)
    return int(getattr(error, "status", UNUSABLE))


def reader_left() -> None:
    """Whoever read our standard output has seen enough: what is still to be written goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    # Rich takes 60 ms to import: only where somebody looks.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)
