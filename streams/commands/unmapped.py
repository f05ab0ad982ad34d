"""`cmvigil unmapped`: codes and units that no rule knows."""

import sys
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import OK, reader_left, refuse
from streams.knowledge_files import read_plan
from streams.logs import UnusableInput
from streams.unmapped import Counts, count_unmapped


def run_unmapped(logs: list[str], *, as_json: bool, codes_path: Path | None, overlays: list[Path]) -> int:
    """`cmvigil unmapped`."""
    try:
        plan = read_plan(overlays)
        counts = count_unmapped(plan, logs, read_codes(codes_path, plan))
        if as_json:
            _write_ndjson(counts)
        else:
            _print_table(counts)
        sys.stdout.flush()
    except (UnusableInput, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def _ordered(counts: Counts) -> Counts:
    return Counts(dict(sorted(counts.items(), key=lambda one: (-one[1], one[0].kind, one[0].code, one[0].unit or ""))))


def _write_ndjson(counts: Counts) -> None:
    for one, count in _ordered(counts).items():
        line = {"kind": one.kind, "code": one.code, "unit": one.unit, "watched": one.known, "count": count}
        print(msgspec.json.encode(line).decode())


def _print_table(counts: Counts) -> None:
    # Rich takes 60 ms to import: only where somebody looks.
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from streams.console import Console  # noqa: PLC0415

    table = Table(title="What no rule knows", title_justify="left")
    for heading in ("Count", "Kind", "Code", "Unit", "What is not known"):
        table.add_column(heading, justify="right" if heading == "Count" else "left")
    for one, count in _ordered(counts).items():
        what = "unit" if one.known else "code"
        table.add_row(str(count), one.kind, Text(one.code), Text("" if one.unit is None else one.unit), what)
    Console().print(table)
