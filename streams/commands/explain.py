"""`cmvigil explain`: the whole case for one alert, drawn in the terminal."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.knowledge import KnowledgeError
from monitor.times import duration_text
from streams.codes import read_codes
from streams.commands.common import OK, Unusable, reader_left, refuse, time_of
from streams.explain import AFTER, BEFORE, Case, FactView, Moment, NoSuchAlert, explain
from streams.knowledge_files import read_plan
from streams.knowledge_view import value_text
from streams.logs import UnusableInput
from streams.rejects import Rejects
from streams.replay import read_log

_WIDTH: Final = 40
_MOST: Final = 60
"""Rows of the timeline; of more, the course's first dose, the evidence and the nearest to the onset are shown."""


def run_explain(
    logs: list[str],
    *,
    alert: str,
    as_of: str | None,
    as_json: bool,
    whole: bool = False,
    codes_path: Path | None,
    overlays: list[Path],
) -> int:
    """`cmvigil explain`."""
    try:
        plan = read_plan(overlays)
        then = time_of(as_of, "--as-of")
        log = read_log(plan, logs, Rejects(None), codes=read_codes(codes_path, plan))
        try:
            case = explain(plan, log.facts, alert, log.last, then, whole=whole)
        except NoSuchAlert as error:
            near = "".join(f"\n  {one}" for one in error.near)
            raise Unusable(f"--alert: no such alert in these logs{'; perhaps' if near else ''}{near}") from None
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(case), indent=2).decode() + "\n")
        else:
            sys.stdout.write("\n".join(lines_of(case, asked=then is not None, whole=whole)) + "\n")
        sys.stdout.flush()
    except (UnusableInput, Unusable, KnowledgeError) as error:
        return refuse(error)
    except BrokenPipeError:
        reader_left()
    return OK


def lines_of(case: Case, *, asked: bool, whole: bool = False) -> Iterator[str]:
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
    if case.moments or case.moments_then:
        yield ""
        yield "FIGURES AND THRESHOLDS"
        yield from _figures([*case.moments_then, *case.moments], asked=asked)
    if case.patient:
        yield ""
        yield "PATIENT"
        for fact in case.patient:
            mark = ("*" if fact.basis else " ") + ("+" if fact.late else " ")
            yield f"  {mark}known {fact.recorded_at}  {fact.text}"
    yield ""
    yield "TIMELINE  (* the verdict rests on it; + known only after the time asked for)"
    yield from _timeline(case, whole=whole)
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


def _figures(moments: list[Moment], *, asked: bool) -> Iterator[str]:
    """Each figure with one threshold, and below it how far it lay from it at each moment."""
    rows: dict[str, list[str]] = {}
    for moment in moments:
        known = f", known {moment.known_at}" if asked else ""
        for one in moment.margins:
            head = f"{one.figure}: {one.meaning} {one.threshold} {one.unit}".rstrip()
            source = f"  [{one.tag}] {one.source}" if one.tag else ""
            share = f" ({one.percent} %)" if one.percent is not None and one.unit != "%" else ""
            difference = f"{one.difference} {one.unit}".rstrip() + share
            value = f"{one.value} {one.unit}".rstrip()
            rows.setdefault(head + source, []).append(f"{value:<18} {difference:<28} {moment.what} {moment.at}{known}")
    for head, lines in rows.items():
        yield f"  {head}"
        yield from (f"      {line}" for line in lines)


def _timeline(case: Case, *, whole: bool) -> Iterator[str]:
    shown = {id(fact) for fact in (case.facts if whole else _chosen(case))}
    scales = _scales(fact for fact in case.facts if id(fact) in shown)
    shown_onset = False
    if case.earlier:
        yield _outside(case.earlier, f"{duration_text(BEFORE)} before the onset")
    left_out = 0
    for fact in case.facts:
        if id(fact) not in shown:
            left_out += 1
            continue
        if left_out:
            yield _left_out(left_out)
            left_out = 0
        if not shown_onset and fact.at >= case.onset_at:
            shown_onset = True
            yield _onset(case)
        mark = ("*" if fact.basis else " ") + ("+" if fact.late else " ")
        known = "" if fact.recorded_at == fact.at else f"  known {fact.recorded_at}"
        odd = "" if fact.status in ("final", "completed", "") else f" [{fact.status}]"
        text = fact.text if fact.kind == "administration" else f"{fact.what} {fact.text}"
        first = "  (first dose of the course)" if fact.opens else ""
        yield f"  {mark}{fact.at:<20} {_bar(fact, scales)} {text}{odd}{first}{known}"
    if left_out:
        yield _left_out(left_out)
    if not shown_onset:
        yield _onset(case)
    if case.later:
        yield _outside(case.later, f"{duration_text(AFTER)} after the end")


def _onset(case: Case) -> str:
    return f"    {case.onset_at:<20} {'-' * 8} onset {'-' * 40}"


def _outside(rows: int, where: str) -> str:
    return f"    ... {rows} of more than {where} not shown (--all shows all)"


def _left_out(rows: int) -> str:
    return f"    ... {rows} left out here (--all shows all)"


def _chosen(case: Case) -> list[FactView]:
    if len(case.facts) <= _MOST:
        return case.facts
    kept = [fact for fact in case.facts if fact.basis or fact.opens]
    others = [fact for fact in case.facts if not (fact.basis or fact.opens)]
    middle = sum(fact.at < case.onset_at for fact in others)
    room = max(_MOST - len(kept), 10)
    start = max(0, min(middle - room * 2 // 3, len(others) - room))
    return [*kept, *others[start : start + room]]


def _scales(facts: Iterable[FactView]) -> dict[tuple[str, str | None], tuple[float, float]]:
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
