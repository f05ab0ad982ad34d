"""The page docs/rules.md: every code as a pharmacist reads it, made from the knowledge itself."""

from collections.abc import Iterator
from itertools import groupby

from streams.knowledge_view import DrugView, KnowledgeView, NumberView, RuleView, band_text, value_text

_HEAD = """# What the monitor says

Made by `cmvigil rules --page` from the knowledge; do not edit. How each rule is read where its words leave a question
open: [readings.md](readings.md). Tags: F confirmed in the source, K standard value, K? uncertain, D derived or this
project's choice.
"""


def page(knowledge: KnowledgeView) -> str:
    """The page as Markdown."""
    parts = [_HEAD.rstrip()]
    for section, rules in groupby(knowledge.rules, key=lambda rule: rule.section):
        parts += [f"## {section}", *("\n".join(_rule(rule)) for rule in rules)]
    parts.append("\n".join(_dosing(knowledge)))
    parts.append("## Shared numbers\n\n" + "\n".join(_numbers(knowledge.shared)))
    return "\n\n".join(parts) + "\n"


def _rule(rule: RuleView) -> Iterator[str]:
    yield f"### {rule.code}\n"
    yield (
        f"**{rule.title}.** {' or '.join(rule.severities)}" + (f"; {', '.join(rule.drugs)}" if rule.drugs else "") + "."
    )
    yield ""
    yield f"Raised: {rule.condition}."
    yield ""
    yield f"Ends: {rule.ends}."
    yield ""
    yield from _numbers([*rule.numbers, *rule.shared])
    if rule.bands:
        yield "\nWhat the labels permit: [Dosing by clearance](#dosing-by-clearance)."
    yield ""
    yield from (f"- {severity}: {text}" for severity, text in rule.advice.items())
    yield ""
    yield f"Sources: {'; '.join(rule.sources)}."
    if rule.tests:
        yield ""
        yield f"Tests: {', '.join(f'`{name}`' for name in rule.tests)}."


def _numbers(numbers: list[NumberView]) -> Iterator[str]:
    yield "| number | value | source | tag | note |"
    yield "| --- | --- | --- | --- | --- |"
    for one in numbers:
        yield f"| {one.path} | {value_text(one.value)} | {one.source} | {one.tag} | {one.note or ''} |"


def _dosing(knowledge: KnowledgeView) -> Iterator[str]:
    yield "## Dosing by clearance"
    for drug in knowledge.drugs:
        if drug.bands:
            yield from _bands(drug)


def _bands(drug: DrugView) -> Iterator[str]:
    yield f"\n### {drug.name}\n"
    yield f"{drug.bands_source} [{drug.bands_tag}]\n"
    yield f"| clearance, {drug.bands_index} | induction | maintenance or prophylaxis |"
    yield "| --- | --- | --- |"
    for band in drug.bands:
        yield f"| {band_text(band)} | {value_text(band['induction'])} | {value_text(band['maintenance'])} |"
