"""What the monitor knows, as plain data for a reader: rules with their numbers, drugs, analytes, sources."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from monitor.knowledge import Table, numbers_in
from monitor.plan import Plan

SECTIONS: Final = {
    "Kidney": (
        "aki",
        "cidofovir-reduce-dose",
        "cidofovir-stop",
        "cidofovir-contraindicated",
        "cidofovir-predose-labs-missing",
        "cidofovir-dose",
        "foscarnet-renal-stop",
        "foscarnet-infusion-rate",
        "dose-above-renal-band",
        "dose-below-renal-band",
        "nephrotoxic-combination",
        "hydration-missing",
        "probenecid-missing",
    ),
    "Marrow": ("neutropenia", "thrombocytopenia", "anemia", "started-below-count-limits"),
    "Electrolytes on foscarnet": ("hypocalcemia", "hypomagnesemia", "hypokalemia", "hypophosphatemia"),
    "Monitoring": (
        "overdue-renal",
        "overdue-electrolytes",
        "overdue-blood-count",
        "overdue-viral-load",
        "baseline-labs-missing",
        "overdue-surveillance",
        "overdue-immunosuppressant-level",
    ),
    "Virus and duration of therapy": (
        "refractory-cmv",
        "probable-refractory-cmv",
        "slow-viral-response",
        "viral-rebound",
        "viral-clearance",
        "stop-criteria-met",
        "step-down-due",
        "preemptive-treatment-indicated",
        "relapse",
        "breakthrough-on-prophylaxis",
    ),
    "Combinations": (
        "letermovir-ciclosporin-dose",
        "maribavir-ganciclovir",
        "duplicate-ganciclovir",
        "maribavir-inducer-dose",
        "interaction",
    ),
    "Data": ("implausible-result", "suspect-sample"),
}
"""The codes in the order in which a pharmacist reads them."""

_RESPONSE: Final = ("viral.treatment_days", "viral.peak_from", "viral.peak_to")
_SHARED: Final = {
    "dose-above-renal-band": ("renal.near_band", "renal.dose_tolerance"),
    "dose-below-renal-band": ("renal.near_band",),
    "refractory-cmv": (*_RESPONSE, "viral.refractory_rise", "viral.after_therapy"),
    "probable-refractory-cmv": (*_RESPONSE, "viral.refractory_rise", "viral.after_therapy"),
    "slow-viral-response": (*_RESPONSE, "viral.slow_fall", "viral.high"),
    "viral-rebound": ("viral.treatment_days", "viral.rebound_rise", "viral.high"),
    "viral-clearance": (
        "viral.below_quantification_up_to",
        "viral.clear_apart",
        "viral.clear_series_within",
        "viral.quantifiable_before",
        "viral.after_therapy",
    ),
    "stop-criteria-met": ("viral.treatment_days",),
    "preemptive-treatment-indicated": ("viral.high", "viral.low"),
    "relapse": ("viral.high", "viral.after_therapy"),
    "breakthrough-on-prophylaxis": ("viral.high", "viral.low"),
}
"""Which of the numbers that rules share a rule has for thresholds."""
_BY_BAND: Final = ("dose-above-renal-band", "dose-below-renal-band")


class NumberView(msgspec.Struct):
    """One sourced number: its path below the rule or drug, its value as written, its source, and how sure that is."""

    path: str
    value: Any
    source: str
    tag: str
    note: str | None = None


class BandsView(msgspec.Struct):
    """A label's doses by clearance, from the best kidney down; `index`: the unit of the clearance."""

    drug: str
    index: str
    bands: list[dict[str, Any]]
    source: str
    tag: str


class RuleView(msgspec.Struct):
    """One code: what raises and ends it, for which drugs and subjects, how severe, and every number.

    `shared`: those of its thresholds that other rules have too. `tests`: the test files that name it, in a checkout.
    """

    code: str
    section: str
    title: str
    condition: str
    ends: str
    severities: list[str]
    drugs: list[str]
    sources: list[str]
    numbers: list[NumberView]
    shared: list[NumberView]
    bands: list[BandsView]
    advice: dict[str, str]
    tests: list[str] | msgspec.UnsetType = msgspec.UNSET


class DrugView(msgspec.Struct):
    """A drug under all its names; with a course it is watched. `bands`: the label's, from the best kidney down."""

    name: str
    names: list[str]
    rxnorm: list[str]
    watched: bool
    numbers: list[NumberView]
    bands: list[dict[str, Any]]
    bands_index: str | None = None
    bands_source: str | None = None
    bands_tag: str | None = None


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
        [_rule(plan, code, sources) for code in sorted(plan.rule_data, key=_place)],
        [_drug(plan, name, table["drugs"][name], sources) for name in plan.knowledge.drugs],
        [_analyte(key, table["analytes"][key], sources) for key in plan.knowledge.analytes],
        _shared(plan, sources),
    )


def _shared(plan: Plan, sources: dict[str, str]) -> list[NumberView]:
    parts = ("behavior", "renal", "baseline", "viral")
    return [number for part in parts for number in numbers(plan.table.get(part, {}), sources, part)]


def _shared_by(plan: Plan, code: str, sources: dict[str, str]) -> list[NumberView]:
    shared = {one.path: one for one in _shared(plan, sources)}
    return [shared[path] for path in _SHARED.get(code, ())]


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


def thresholds(plan: Plan, code: str, drug: str | None) -> list[NumberView]:
    """The numbers of a rule, those that it shares, and the bands of a drug where they are what it judges by."""
    sources = source_titles(plan)
    found = numbers(plan.table["rules"][code], sources) + _shared_by(plan, code, sources)
    bands = bands_of(plan, drug) if drug is not None and code in _BY_BAND else None
    return found if bands is None else found + _as_numbers(bands)


def _as_numbers(bands: BandsView) -> list[NumberView]:
    return [
        NumberView(
            f"drugs.{bands.drug}.renal {band_text(band)} {bands.index}",
            f"induction {value_text(band['induction'])}; maintenance {value_text(band['maintenance'])}",
            bands.source,
            bands.tag,
        )
        for band in bands.bands
    ]


def numbers_for(plan: Plan, code: str) -> list[NumberView]:
    """Every number that a rule's thresholds may be: its own, those that rules share, the analytes' and the drugs'."""
    sources = source_titles(plan)
    found = numbers(plan.table["rules"][code], sources) + _shared(plan, sources)
    found += numbers(plan.table["analytes"], sources, "analytes")
    for name, drug in plan.table["drugs"].items():
        found += numbers(drug, sources, f"drugs.{name}")
        bands = bands_of(plan, name)
        if bands is not None:
            found.append(NumberView(f"drugs.{name}.renal", "bands", bands.source, bands.tag))
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


def _place(code: str) -> int:
    order = [one for codes in SECTIONS.values() for one in codes]
    return order.index(code) if code in order else len(order)


def bands_of(plan: Plan, name: str) -> BandsView | None:
    """A drug's doses by clearance, where its label has them."""
    renal = plan.table["drugs"][name].get("renal")
    if renal is None:
        return None
    bands = [{key: _plain(value) for key, value in band.items()} for band in renal["bands"]]
    return BandsView(name, renal["index"], bands, source_titles(plan)[renal["source"]], renal["tag"])


def _rule(plan: Plan, code: str, sources: dict[str, str]) -> RuleView:
    data, rules = plan.rule_data[code], [plan.rules[slot] for slot in plan.slots.get(code, ())]
    severities = {severity for rule in rules for severity in rule.severities if severity}
    drugs = sorted({rule.drug for rule in rules if rule.drug})
    bands = [bands_of(plan, drug) for drug in drugs] if code in _BY_BAND else []
    return RuleView(
        code,
        next((section for section, codes in SECTIONS.items() if code in codes), "Other"),
        data.title,
        data.condition,
        data.ends,
        [severity for severity in ("info", "warning", "critical") if severity in severities],
        drugs,
        [sources[name] for name in data.references],
        numbers(plan.table["rules"][code], sources),
        _shared_by(plan, code, sources),
        [one for one in bands if one is not None],
        {str(severity): text for severity, text in data.advice.items()},
    )


def _drug(plan: Plan, name: str, table: Table, sources: dict[str, str]) -> DrugView:
    drug, bands = plan.knowledge.drugs[name], bands_of(plan, name)
    seen = DrugView(name, list(drug.names), list(drug.rxnorm), drug.course is not None, numbers(table, sources), [])
    if bands is not None:
        seen.bands, seen.bands_index, seen.bands_source, seen.bands_tag = (
            bands.bands,
            bands.index,
            bands.source,
            bands.tag,
        )
    return seen


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


def band_text(band: dict[str, Any]) -> str:
    """The clearance that a band is for: `over 1.4`, `from 0.4`."""
    return f"over {band['over']}" if "over" in band else f"from {band['from']}"


def short_text(number: NumberView) -> str:
    """A number in one line: `below 3.0 mmol/L [F]`."""
    return f"{number.path} {value_text(number.value)} [{number.tag}]"
