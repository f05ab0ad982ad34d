"""`cmvigil rules`: what the monitor knows."""

import sys
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from monitor.plan import Plan
from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.knowledge_files import read_plan
from streams.knowledge_view import KnowledgeView, RuleView, changed, value_text, view
from streams.rules_page import page

_TESTS = Path(__file__).resolve().parents[2] / "tests"


def run_rules(
    *, code: str | None = None, as_json: bool, as_page: bool = False, check: Path | None, overlays: list[Path]
) -> int:
    """`cmvigil rules`."""
    try:
        plan = read_plan(overlays)
        if check is not None:
            return _check(plan, read_plan([*overlays, check]), check)
        known = view(plan)
        if code is not None:
            known.rules = [rule for rule in known.rules if rule.code == code]
            if not known.rules:
                raise Unusable(f"{code}: no such code; `cmvigil rules` lists them")  # noqa: TRY301
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(known), indent=2).decode() + "\n")
        elif as_page:
            sys.stdout.write(page(known, tests_of([rule.code for rule in known.rules])))
        else:
            _print(known, whole=code is not None)
        sys.stdout.flush()
    except (KnowledgeError, Unusable) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def tests_of(codes: list[str]) -> dict[str, list[str]]:
    """The test files of a checkout that name each code; nothing where there is no checkout."""
    found: dict[str, list[str]] = {code: [] for code in codes}
    for path in sorted(_TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        for code in codes:
            if f'"{code}"' in text:
                found[code].append(path.relative_to(_TESTS.parent).as_posix())
    return found


def _check(before: Plan, after: Plan, path: Path) -> int:
    print(f"{path}: usable; ruleset {after.ruleset}")
    for key, old, new in changed(before.table, after.table):
        was = "new" if old is None else f"was {value_text(old)}"
        print(f"  {key}: {'taken away' if new is None else value_text(new)} ({was})")
    return OK


def _print(known: KnowledgeView, *, whole: bool) -> None:
    from rich.table import Table  # noqa: PLC0415

    from streams.console import Console  # noqa: PLC0415 - only where somebody looks

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"ruleset {known.ruleset}", highlight=False)
    if not whole:
        table = Table(title=f"{len(known.rules)} codes; `cmvigil rules CODE` shows one whole")
        for heading in ("Code", "Severity", "Raised when", "Ends"):
            table.add_column(heading, no_wrap=heading == "Code")
        for rule in known.rules:
            table.add_row(rule.code, ", ".join(rule.severities), rule.condition, rule.ends)
        console.print(table)
        return
    for rule in known.rules:
        _print_rule(console.print, rule)


def _print_rule(say, rule: RuleView) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a console's print
    from rich.table import Table  # noqa: PLC0415

    say(f"[bold]{rule.code}[/bold]: {rule.title} ({' or '.join(rule.severities)})", highlight=False)
    say(f"Raised: {rule.condition}.\nEnds: {rule.ends}.", highlight=False)
    table = Table()
    for heading in ("Number", "Value", "Source", "Tag", "Note"):
        table.add_column(heading)
    for one in rule.numbers:
        table.add_row(one.path, value_text(one.value), one.source, one.tag, one.note or "")
    say(table)
    for severity, text in rule.advice.items():
        say(f"{severity}: {text}", highlight=False)
