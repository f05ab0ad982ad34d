"""`cmvigil rules`: what the monitor knows."""

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import msgspec

from monitor.knowledge import KnowledgeError
from monitor.plan import Plan
from streams.commands.common import OK, Unusable, reader_left, refuse
from streams.knowledge_files import read_plan
from streams.knowledge_view import BandsView, KnowledgeView, RuleView, band_text, changed, short_text, value_text, view
from streams.rules_page import page

_ROOT = Path(__file__).resolve().parents[2]


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
        tests = naming([rule.code for rule in known.rules], _ROOT)
        for rule in known.rules:
            rule.tests = tests.get(rule.code, msgspec.UNSET)
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(known), indent=2).decode() + "\n")
        elif as_page:
            sys.stdout.write(page(known))
        else:
            _print(known, whole=code is not None)
        sys.stdout.flush()
    except (KnowledgeError, Unusable) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def naming(codes: list[str], root: Path) -> dict[str, list[str]]:
    """The test files of a checkout that name each code; nothing where there is no checkout."""
    if not (root / "pyproject.toml").is_file():
        return {}
    found: dict[str, list[str]] = {code: [] for code in codes}
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text("utf-8")
        for code in codes:
            if f'"{code}"' in text:
                found[code].append(path.relative_to(root).as_posix())
    return found


def _check(before: Plan, after: Plan, path: Path) -> int:
    print(f"{path}: usable; ruleset {after.ruleset}")
    for key, old, new in changed(before.table, after.table):
        was = "new" if old is None else f"was {value_text(old)}"
        print(f"  {key}: {'taken away' if new is None else value_text(new)} ({was})")
    return OK


def _print(known: KnowledgeView, *, whole: bool) -> None:
    from streams.console import Console  # noqa: PLC0415 - only where somebody looks

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"ruleset {known.ruleset}")
    if whole:
        for rule in known.rules:
            _print_rule(console.print, rule)
        return
    console.print(f"{len(known.rules)} codes; `cmvigil rules CODE` shows one whole", markup=False)
    short = {title: name for name, title in known.sources.items()}
    for section, rules in groupby(known.rules, key=lambda rule: rule.section):
        console.print(_section(section, rules, short))
    bands = {one.drug: one for rule in known.rules for one in rule.bands}
    for one in bands.values():
        console.print(_bands(one))
    console.print("Sources. Tags: F confirmed in the source, K standard value, K? uncertain, D derived or chosen.")
    for title, name in short.items():
        console.print(f"  {name}: {title}", markup=False)


def _section(section: str, rules: Iterable[RuleView], short: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Rich's
    """The codes of a section. How many tests name each is known in a checkout alone."""
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rows = list(rules)
    tested = any(rule.tests is not msgspec.UNSET for rule in rows)
    table = Table(title=section, title_justify="left", show_lines=True)
    for heading in ("Code", "Raised when", "Numbers [tag]", "Sources", *(["Tests"] if tested else [])):
        table.add_column(escape(heading), no_wrap=heading == "Code")
    for rule in rows:
        own = [*rule.numbers, *rule.shared]
        lines = [short_text(one) for one in own] + [f"bands of {one.drug} [{one.tag}]" for one in rule.bands]
        names = dict.fromkeys(short[title] for title in (*rule.sources, *(one.source for one in own)))
        cells = [
            f"{rule.code}\n{', '.join(rule.severities)}",
            f"{rule.condition}.\nEnds: {rule.ends}.",
            "\n".join(lines),
            "\n".join(names),
        ]
        if rule.tests is not msgspec.UNSET:
            cells.append(f"{len(rule.tests)} {'file' if len(rule.tests) == 1 else 'files'}")
        table.add_row(*map(escape, cells))
    return table


def _bands(bands: BandsView):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Rich's
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=escape(f"{bands.drug}: {bands.source} [{bands.tag}]"), title_justify="left")
    for heading in (f"Clearance, {bands.index}", "Induction", "Maintenance or prophylaxis"):
        table.add_column(heading)
    for band in bands.bands:
        table.add_row(band_text(band), value_text(band["induction"]), value_text(band["maintenance"]))
    return table


def _print_rule(say, rule: RuleView) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a console's print
    from rich.table import Table  # noqa: PLC0415

    say(f"[bold]{rule.code}[/bold]: {rule.title} ({' or '.join(rule.severities)})")
    say(f"Raised: {rule.condition}.\nEnds: {rule.ends}.", markup=False)
    table = Table()
    for heading in ("Number", "Value", "Source", "Tag", "Note"):
        table.add_column(heading)
    for one in (*rule.numbers, *rule.shared):
        table.add_row(one.path, value_text(one.value), one.source, one.tag, one.note or "")
    say(table)
    for bands in rule.bands:
        say(_bands(bands))
    for severity, text in rule.advice.items():
        say(f"{severity}: {text}", markup=False)
    say("Sources:")
    for source in rule.sources:
        say(f"  {source}", markup=False)
    if rule.tests is not msgspec.UNSET:
        say(f"Tests: {', '.join(rule.tests) or 'none'}", markup=False)
