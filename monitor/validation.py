"""Whether knowledge can be used: each fault with its file, key and reason."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from pydantic import ValidationError

from monitor.knowledge import (
    Knowledge,
    KnowledgeError,
    Layers,
    Path,
    Problem,
    RuleData,
    Table,
    exceeds,
    file_of,
    numbers_in,
)
from monitor.units import UnitError

T = TypeVar("T")

_STRONGER: Final = {("cidofovir-reduce-dose", "cidofovir-stop"): "rise"}
"""A number of two rules of which the second asks for more and replaces the first."""


def validated(layers: Layers, models: Mapping[str, type[RuleData]]) -> tuple[Knowledge, dict[str, RuleData]]:
    """Everything but the rules, and the numbers of every rule by its own model.

    Raises KnowledgeError with every fault there is.
    """
    table = layers.table
    raw_drugs: dict[str, Table] = table.get("drugs", {})
    spellings = {name: name for name in raw_drugs}
    for name, drug in raw_drugs.items():
        for other in drug.get("names", ()):
            spellings.setdefault(other, name)
    context = {
        "sources": table.get("sources", {}),
        "analytes": table.get("analytes", {}),
        "drugs": raw_drugs,
        "drug_names": spellings,
    }
    problems: list[Problem] = []

    def note(error: ValidationError, path: tuple[str, ...]) -> None:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            key = (*path, *(str(part) for part in fault["loc"] if part != "[key]"))
            reason = fault["msg"].removeprefix("Value error, ")
            problems.append(Problem(file_of(key, layers.origin), ".".join(key), reason))

    knowledge = None
    try:
        knowledge = Knowledge.model_validate(table, context=context)
    except ValidationError as error:
        note(error, ())
    data: dict[str, RuleData] = {}
    for code, numbers in table.get("rules", {}).items():
        if code not in models:
            problems.append(Problem(file_of(("rules", code), layers.origin), f"rules.{code}", "no such rule"))
            continue
        try:
            data[code] = models[code].model_validate(numbers, context=context)
        except ValidationError as error:
            note(error, ("rules", code))
    if knowledge is not None:
        problems += _clashes(knowledge, layers)
    problems += _across(data, models, layers)
    if problems or knowledge is None:
        raise KnowledgeError(problems)
    return knowledge, data


def _across(data: dict[str, RuleData], models: Mapping[str, type[RuleData]], layers: Layers) -> Iterable[Problem]:
    """What no single rule shows: a lesser rule that asks for more than the one that replaces it, a rule of no name."""
    for (low, high), name in _STRONGER.items():
        one, other = (getattr(data.get(code), name, None) for code in (low, high))
        if one is not None and other is not None and exceeds(one, other):
            for code, text in ((low, f"lies above that of {high}"), (high, f"lies below that of {low}")):
                path = ("rules", code, name)
                yield Problem(file_of(path, layers.origin), ".".join(path), text)
    for code, rule in data.items():
        for other in rule.monitored_by:
            if other not in models:
                path = ("rules", code, "monitored_by")
                yield Problem(file_of(path, layers.origin), ".".join(path), "no such rule")


def placed(build: Callable[[], T], path: Path, layers: Layers) -> T:
    """What is built from the table at a path.

    Raises KnowledgeError for a quantity in a unit that does not belong there, with its key.
    """
    try:
        return build()
    except UnitError as error:
        table = layers.table
        for key in path:
            table = table[key]
        text = f"{error.quantity.value} {error.quantity.unit}"
        found = next((place for place, number in numbers_in(table, path) if text in str(number["value"])), path)
        raise KnowledgeError([Problem(file_of(found, layers.origin), ".".join(found), str(error))]) from None


def _clashes(knowledge: Knowledge, layers: Layers) -> Iterable[Problem]:
    """What no single table shows: two drugs of one name, two analytes of one code, a spelling of no unit."""

    def problem(path: Path, reason: str) -> Problem:
        return Problem(file_of(path, layers.origin), ".".join(path), reason)

    owner: dict[str, str] = {}
    for name, drug in knowledge.drugs.items():
        for text in (name, *drug.names, *drug.rxnorm):
            if owner.setdefault(text, name) != name:
                yield problem(("drugs", name), f"'{text}' means {owner[text]} too")
                yield problem(("drugs", owner[text]), f"'{text}' means {name} too")
    owner.clear()
    for key, analyte in knowledge.analytes.items():
        for code in analyte.loinc:
            if owner.setdefault(code, key) != key:
                yield problem(("analytes", key, "loinc", code), f"already means {owner[code]}")
        named: list[tuple[Path, str]] = [(("spellings", text), unit) for text, unit in analyte.spellings.items()]
        named += [(("grades", grade), quantity.unit) for grade, quantity in analyte.grades.items()]
        if analyte.plausible is not None:
            named += [(("plausible",), quantity.unit) for quantity in analyte.plausible.value]
        for place, unit in named:
            if unit not in analyte.units:
                yield problem(("analytes", key, *place), "not one of the analyte's units")
