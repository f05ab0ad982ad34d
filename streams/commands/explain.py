"""`cmvigil explain`: the whole case for one alert, drawn in the terminal."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.knowledge import KnowledgeError
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, reader_left, refuse, time_of
from streams.explain import Case, FactView, NoSuchAlert, explain
from streams.knowledge_files import read_plan
from streams.knowledge_view import value_text
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import read_log

_WIDTH: Final = 40
_MOST: Final = 60
"""Rows of the timeline; of more, those of the evidence and the nearest to the onset are shown."""


def run_explain(
    logs: list[str],
    *,
    alert: str,
    as_of: str | None,
    as_json: bool,
    codes_path: Path | None,
    overlays: list[Path],
) -> int:
    """`cmvigil explain`."""
    try:
        plan = read_plan(overlays)
        then = time_of(as_of, "--as-of")
        log = read_log(plan, logs, Rejects(None), codes=read_codes(codes_path, plan))
        try:
            case = explain(plan, log.facts, alert, log.last, then)
        except NoSuchAlert as error:
            near = "".join(f"\n  {one}" for one in error.near)
            raise Unusable(f"--alert: no such alert in these logs{'; perhaps' if near else ''}{near}") from None
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(case), indent=2).decode() + "\n")
        else:
            sys.stdout.write("\n".join(lines_of(case, asked=then is not None)) + "\n")
        sys.stdout.flush()
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def lines_of(case: Case, *, asked: bool) -> Iterator[str]:
    """The case as text."""
    now = case.now
    assert now is not None
    yield f"{now.title}"
    yield f"{case.alert_id}  patient {case.patient_id}  {now.severity}, {now.state}"
    yield f"from {case.onset_at}" + (f" to {case.end_at}" if case.end_at else "")
    yield ""
    yield now.detail
    if asked:
        yield ""
        yield f"AS KNOWN AT {case.as_of}"
        yield (
            f"  {case.then.state}, {case.then.severity}: {case.then.title}"
            if case.then
            else "  nothing was said of it yet"
        )
        if case.then:
            yield f"  {case.then.detail}"
    yield ""
    yield "WHAT WAS SAID"
    for alert in case.life:
        reason = f"  ({alert.reason})" if alert.reason else ""
        yield f"  {alert.emitted_at}  {alert.seq}  {alert.status:<12} {alert.severity:<8} {alert.title}{reason}"
    if case.margins:
        yield ""
        yield "FIGURE AND THRESHOLD"
        for margin in case.margins:
            yield (
                f"  {margin.figure:<16} {margin.name} {margin.threshold}: {margin.difference}"
                f"  [{margin.tag}] {margin.source}"
            )
    yield ""
    yield "TIMELINE  (* the verdict rests on it; + known only after the time asked for)"
    yield from _timeline(case)
    yield ""
    yield "NUMBERS OF THE RULE"
    for number in case.numbers:
        note = f"; {number.note}" if number.note else ""
        yield f"  {number.path}: {value_text(number.value)}  [{number.tag}] {number.source}{note}"
    yield ""
    yield "SOURCES"
    yield from (f"  {source}" for source in case.sources)
    if case.unjudged:
        yield ""
        yield "NOT JUDGED FOR WANT OF DATA"
        yield from (f"  {reason}" for reason in case.unjudged)
    if now.recommendation or case.life[0].recommendation:
        yield ""
        yield "OPTIONS"
        yield f"  {now.recommendation or case.life[0].recommendation}"


def _timeline(case: Case) -> Iterator[str]:
    facts = _chosen(case)
    scales = _scales(facts)
    shown_onset = False
    for fact in facts:
        if not shown_onset and fact.at >= case.onset_at:
            shown_onset = True
            yield f"    {case.onset_at:<20} {'-' * 8} onset {'-' * 40}"
        mark = ("*" if fact.basis else " ") + ("+" if fact.late else " ")
        known = "" if fact.recorded_at == fact.at else f"  known {fact.recorded_at}"
        odd = "" if fact.status in ("final", "completed", "") else f" [{fact.status}]"
        text = fact.text if fact.kind == "administration" else f"{fact.what} {fact.text}"
        yield f"  {mark}{fact.at:<20} {_bar(fact, scales)} {text}{odd}{known}"


def _chosen(case: Case) -> list[FactView]:
    if len(case.facts) <= _MOST:
        return case.facts
    basis = [fact for fact in case.facts if fact.basis]
    others = [fact for fact in case.facts if not fact.basis]
    middle = sum(fact.at < case.onset_at for fact in others)
    room = max(_MOST - len(basis), 10)
    start = max(0, min(middle - room * 2 // 3, len(others) - room))
    return sorted([*basis, *others[start : start + room]], key=lambda fact: fact.at)


def _scales(facts: list[FactView]) -> dict[tuple[str, str | None], tuple[float, float]]:
    """Least and greatest value of each analyte and unit."""
    found: dict[tuple[str, str | None], tuple[float, float]] = {}
    for fact in facts:
        if fact.value is not None:
            low, high = found.get((fact.what, fact.unit), (fact.value, fact.value))
            found[fact.what, fact.unit] = min(low, fact.value), max(high, fact.value)
    return found


def _bar(fact: FactView, scales: dict[tuple[str, str | None], tuple[float, float]]) -> str:
    """A result as a point between the least and the greatest of its kind; a dose as a tick."""
    if fact.kind == "administration":
        return "|".ljust(_WIDTH)
    if fact.value is None:
        return " " * _WIDTH
    low, high = scales[fact.what, fact.unit]
    place = 0 if high == low else round((fact.value - low) / (high - low) * (_WIDTH - 1))
    return ("." * place + "o").ljust(_WIDTH)
