"""What a replay says, for a machine and for a reader."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import msgspec

from monitor.reconciliation import Change
from monitor.times import clock_text
from streams.replay import Unjudged

_BATCH: Final = 1000
_COLORS: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def write_ndjson(changes: Iterable[Change], out: IO[bytes]) -> None:
    """Every change as a line of NDJSON."""
    encode = msgspec.json.Encoder().encode
    lines: list[bytes] = []
    for change in changes:
        lines.append(encode(change.alert))
        if len(lines) >= _BATCH:
            out.write(b"\n".join(lines) + b"\n")
            lines.clear()
    if lines:
        out.write(b"\n".join(lines) + b"\n")
    out.flush()


def write_unjudged(unjudged: Iterable[Unjudged], path: Path) -> None:
    """What could not be judged, one line of NDJSON for each patient, code and reason."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as out:
        for one in unjudged:
            out.write(encode(one._asdict()) + b"\n")


def print_table(said: Iterable[Change]) -> None:
    """Every change as a row on the terminal, and how many alerts there were of each code."""
    # Rich takes 60 ms to import: only where somebody looks.
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from streams.console import Console  # noqa: PLC0415

    changes = list(said)
    console = Console()
    table = Table(title="Alert changes in the order they were said", title_justify="left")
    for heading in ("Said at", "Patient", "Change", "Severity", "Code", "What"):
        table.add_column(heading, no_wrap=heading in ("Said at", "Change", "Severity"))
    for change in changes:
        alert = change.alert
        table.add_row(
            clock_text(change.emitted),
            Text(alert.patient_id),
            alert.status,
            Text(alert.severity, style=_COLORS[alert.severity]),
            alert.code,
            Text(alert.title),
        )
    console.print(table)
    raised = Counter(change.code for change in changes if change.seq == 1)
    patients = len({change.patient_id for change in changes})
    codes = ", ".join(f"{code} {count}" for code, count in sorted(raised.items()))
    console.print(f"{sum(raised.values())} alerts of {patients} patients: {codes or 'none'}")
