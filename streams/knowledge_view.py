"""What the monitor knows, as plain data for a reader: rules with their numbers, drugs, analytes, sources."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from monitor.knowledge import Table, numbers_in
from monitor.plan import Plan


class NumberView(msgspec.Struct):
    """One sourced number: its path below the rule or drug, its value as written, its source, and how sure that is."""

    path: str
    value: Any
    source: str
    tag: str
    note: str | None = None


class RuleView(msgspec.Struct):
    """One code: what raises and ends it, for which drugs and subjects, how severe, and every number."""

    code: str
    title: str
    condition: str
    ends: str
    severities: list[str]
    drugs: list[str]
    sources: list[str]
    numbers: list[NumberView]
    advice: dict[str, str]


class DrugView(msgspec.Struct):
    """A drug under all its names; with a course it is watched. `bands` are the label's, from the best kidney down."""

    name: str
    names: list[str]
    rxnorm: list[str]
    watched: bool
    numbers: list[NumberView]
    bands: list[dict[str, Any]]


class AnalyteView(msgspec.Struct):
    """A laboratory analyte: its codes, and every unit with its factor to the first."""

    key: str
    name: str
    loinc: dict[str, str]
    units: dict[str, str]
    plausible: NumberView | None = None


class KnowledgeView(msgspec.Struct):
    """Everything."""

    ruleset: str
    sources: dict[str, str]
    rules: list[RuleView]
    drugs: list[DrugView]
    analytes: list[AnalyteView]
    shared: list[NumberView]


def view(plan: Plan) -> KnowledgeView:
    """All that a plan knows."""
    table = plan.table
    sources = source_titles(plan)
    return KnowledgeView(
        plan.ruleset,
        sources,
        [_rule(plan, code, sources) for code in plan.rule_data],
        [_drug(plan, name, table["drugs"][name], sources) for name in plan.knowledge.drugs],
        [_analyte(key, table["analytes"][key], sources) for key in plan.knowledge.analytes],
        _shared(plan, sources),
    )


def _shared(plan: Plan, sources: dict[str, str]) -> list[NumberView]:
    parts = ("behavior", "renal", "baseline", "viral")
    return [number for part in parts for number in numbers(plan.table.get(part, {}), sources, part)]


def numbers(table: Table, sources: dict[str, str], below: str = "") -> list[NumberView]:
    """Every sourced number of a table."""
    prefix = f"{below}." if below else ""
    return [
        NumberView(prefix + ".".join(path), _plain(one["value"]), sources[one["source"]], one["tag"], one.get("note"))
        for path, one in numbers_in(table)
    ]


def source_titles(plan: Plan) -> dict[str, str]:
    """The title of every source."""
    return {name: source.title for name, source in plan.knowledge.sources.items()}


def numbers_for(plan: Plan, code: str) -> list[NumberView]:
    """Every number that a rule's thresholds may be: its own, those that rules share, and the drugs'."""
    sources = source_titles(plan)
    found = numbers(plan.table["rules"][code], sources) + _shared(plan, sources)
    for name, drug in plan.table["drugs"].items():
        found += numbers(drug, sources, f"drugs.{name}")
        if "renal" in drug:
            renal = drug["renal"]
            found.append(NumberView(f"drugs.{name}.renal", "bands", sources[renal["source"]], renal["tag"]))
    return found


def found_at(path: str, among: list[NumberView]) -> NumberView | None:
    """The number that a path means: that with the longest part of it, else the first below it, or that ends in it."""
    above = [one for one in among if f"{path}.".startswith(f"{one.path}.")]
    if above:
        return max(above, key=lambda one: len(one.path))
    return next(
        (one for one in among if one.path.startswith(f"{path}.") or one.path.endswith(f".{path}")),
        None,
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, Decimal):
        return float(value) if value % 1 else int(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _rule(plan: Plan, code: str, sources: dict[str, str]) -> RuleView:
    data, rules = plan.rule_data[code], [plan.rules[slot] for slot in plan.slots.get(code, ())]
    severities = {severity for rule in rules for severity in rule.severities if severity}
    return RuleView(
        code,
        data.title,
        data.condition,
        data.ends,
        [severity for severity in ("info", "warning", "critical") if severity in severities],
        sorted({rule.drug for rule in rules if rule.drug}),
        [sources[name] for name in data.references],
        numbers(plan.table["rules"][code], sources),
        {str(severity): text for severity, text in data.advice.items()},
    )


def _drug(plan: Plan, name: str, table: Table, sources: dict[str, str]) -> DrugView:
    drug = plan.knowledge.drugs[name]
    bands = [{key: _plain(value) for key, value in band.items()} for band in table.get("renal", {}).get("bands", ())]
    return DrugView(name, list(drug.names), list(drug.rxnorm), drug.course is not None, numbers(table, sources), bands)


def _analyte(key: str, table: Table, sources: dict[str, str]) -> AnalyteView:
    plausible = next(iter(numbers({"plausible": table["plausible"]}, sources)), None) if "plausible" in table else None
    units = {unit: str(factor) for unit, factor in table["units"].items()}
    return AnalyteView(key, table["name"], dict(table["loinc"]), units, plausible)


def changed(before: Table, after: Table) -> Iterator[tuple[str, Any, Any]]:
    """Everything that a site's own knowledge adds, changes or takes away: path, old value, new value."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for path in dict.fromkeys((*old, *new)):
        if old.get(path) != new.get(path):
            yield path, old.get(path), new.get(path)


def _leaves(table: Table, below: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a table by its path; of a sourced number the number, of several tables each by its bound."""
    for key, value in table.items():
        path = f"{below}{key}"
        if isinstance(value, dict) and "value" not in value:
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for one in value:
                yield f"{path} {one.get('over', one.get('from'))}", {name: _plain(part) for name, part in one.items()}
        else:
            yield path, _plain(value["value"] if isinstance(value, dict) else value)


def value_text(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
    """A value as a reader expects it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
