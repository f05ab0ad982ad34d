"""Is calcium low on foscarnet, ionized or corrected for albumin?

Foscarnet binds calcium: ionized calcium falls with every infusion while the total stays normal, so ionized calcium
decides where it is as fresh as the total. Numbers: `rules.hypocalcemia`; CTCAE v5; Payne 1973.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial

import msgspec

from monitor.exposure import Tails, exposed_until, tails_of
from monitor.knowledge import Amount, DrugName, RuleData, Span, Tail
from monitor.margins import lab_figures
from monitor.patient import Patient, Series
from monitor.plan import Amounts, AnalyteInfo, Kind, Plan
from monitor.reading import is_below
from monitor.times import NEVER, Time, clock_text, duration_text
from monitor.types import EQUAL, GONE, OVER, Episode, Figure, Lab, Level, Rule, Verdict, Words
from monitor.units import millionths, rounded_text
from monitor.wording import amount_text, causes_text, cutoff_text, dated, drugs_text, unit_text

WARNING, CRITICAL = 1, 2


class CalciumData(RuleData):
    """`rules.hypocalcemia`."""

    drugs: dict[DrugName, Tail]
    ionized_below: Amount
    ionized_critical_below: Amount
    total_below: Amount
    total_critical_below: Amount
    albumin_age: Span
    albumin_normal: Amount
    albumin_slope: Amount
    ionized_decides: Span
    named: dict[str, tuple[DrugName, ...]] = {}
    named_within: Span
    causes: tuple[DrugName, ...] = ()
    causes_within: Span


class Calcium(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge.

    `slopes`: for each unit of total calcium, what one unit of albumin below normal adds, as calcium's scale for
    albumin's (a numerator and a denominator), and the normal albumin it is measured from.
    """

    data: CalciumData
    drug: str
    tails: Tails
    total: int
    ionized: int
    albumin: int
    ionized_limits: tuple[Amounts, Amounts]
    total_limits: tuple[Amounts, Amounts]
    albumin_age: Time
    slopes: tuple[tuple[int, int, int], ...]
    decides: Time


def build(code: str, data: CalciumData, plan: Plan) -> list[Rule]:
    """One rule for foscarnet, and one for each drug that a site adds."""
    total, ionized, albumin = (
        plan.analytes[plan.analyte_index[key]] for key in ("calcium", "calcium-ionized", "albumin")
    )
    rules = []
    for name, tail in data.drugs.items():
        k = Calcium(
            data,
            name,
            tails_of({name: tail}, plan),
            total.index,
            ionized.index,
            albumin.index,
            (ionized.amounts(data.ionized_below), ionized.amounts(data.ionized_critical_below)),
            (total.amounts(data.total_below), total.amounts(data.total_critical_below)),
            data.albumin_age.value,
            _slopes(data, total, albumin),
            data.ionized_decides.value,
        )
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "warning", "critical"),
                judged=(total.index, ionized.index),
                needs=((plan.doses(name),), (total.index, ionized.index)),
                judge=partial(judge, k),
                say=partial(say, k),
                references=data.references,
                quiet=(plan.doses(name), albumin.index),
                told=tuple(plan.doses(other) for names in (*data.named.values(), data.causes) for other in names),
            )
        )
    return rules


def _slopes(data: CalciumData, total: AnalyteInfo, albumin: AnalyteInfo) -> tuple[tuple[int, int, int], ...]:
    """Each pair of slope and normal albumin by the unit of calcium; other units use the first."""
    pairs = list(zip(data.albumin_slope.value, data.albumin_normal.value, strict=True))
    by_unit = {total.unit_of(slope): (slope, normal) for slope, normal in pairs}
    found = []
    for unit in range(len(total.scale)):
        slope, normal = by_unit.get(unit, pairs[0])
        per = millionths(slope.value) * total.scale[total.unit_of(slope)]
        below = millionths(1) * albumin.scale[albumin.unit_of(normal)]
        found.append((per, below, millionths(normal.value) * albumin.scale[albumin.unit_of(normal)]))
    return tuple(found)


def judge(k: Calcium, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a result collected while exposed; ended when the deciding value is back above, or with the exposure."""
    until = exposed_until(p, k.tails, t)
    if t > until:
        return OVER, NEVER
    total, ionized = _latest(k, p, k.total, t), _latest(k, p, k.ionized, t)
    if level <= 0 and not any(lab is not None and lab.at == t for lab in (total, ionized)):
        return GONE, NEVER
    found = _judged(k, p, total, ionized)
    if found is None:
        found = max(level, GONE)
    return (found, until + 1) if found > 0 else (GONE, NEVER)


def _latest(k: Calcium, p: Patient, analyte: int, t: Time) -> Lab | None:
    """The latest result, if it was collected in the exposure that goes on at `t`."""
    series = p.series[analyte]
    i = series.last(t) if series is not None else -1
    if series is None or i < 0:
        return None
    until = exposed_until(p, k.tails, series.t[i])
    for drug, tail in k.tails:
        given = p.given.get(drug)
        j = bisect_right(given.t, series.t[i]) if given is not None else 0
        while given is not None and j < len(given.t) and given.t[j] <= min(until, t):
            until = given.t[j] + tail
            j += 1
    return series.x[i] if until >= t else None


def _judged(k: Calcium, p: Patient, total: Lab | None, ionized: Lab | None) -> Level | None:
    by_ionized = _level(ionized, ionized, k.ionized_limits) if ionized is not None else None
    by_total = _level(total, corrected(k, p, total), k.total_limits) if total is not None else None
    if _ionized_decides(k, total, ionized):
        return by_ionized
    found = [one for one in (by_ionized, by_total) if one is not None]
    return max(found) if found else None


def _ionized_decides(k: Calcium, total: Lab | None, ionized: Lab | None) -> bool:
    return ionized is not None and (total is None or ionized.at >= total.at - k.decides)


def _level(lab: Lab | None, value: Lab | None, limits: tuple[Amounts, Amounts]) -> Level | None:
    assert value is not None
    if is_below(value, limits[1]):
        return CRITICAL
    below = is_below(value, limits[0])
    return None if below is None else WARNING if below else GONE


def albumin_with(k: Calcium, p: Patient, total: Lab) -> Lab | None:
    """The albumin that corrects a total calcium: the latest of the 48 h up to it."""
    series: Series | None = p.series[k.albumin]
    i = series.last(total.at) if series is not None else -1
    if series is None or i < 0 or total.at - series.t[i] > k.albumin_age or series.x[i].mark != EQUAL:
        return None
    return series.x[i]


def corrected(k: Calcium, p: Patient, total: Lab) -> Lab:
    """Total calcium corrected for albumin: mg/dL: Ca + 0.8 (4.0 - albumin g/dL); mmol/L: Ca + 0.02 (40 - albumin g/L).

    Without an albumin the total as it is.
    """
    albumin = albumin_with(k, p, total)
    if albumin is None or total.mark != EQUAL:
        return total
    per, below, normal = k.slopes[total.unit]
    canon = total.canon + per * (normal - albumin.canon) // below
    return Lab(total.event_id, total.recorded, total.at, total.analyte, total.loinc, canon, total.unit, rank=total.rank)


def say(k: Calcium, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The values, the correction, and when they were drawn beside the infusion."""
    total, ionized = _latest(k, p, k.total, t), _latest(k, p, k.ionized, t)
    parts, facts = [], []
    title = ""
    if total is not None:
        analyte = p.plan.analytes[k.total]
        albumin = albumin_with(k, p, total)
        value = corrected(k, p, total)
        shown = amount_text(p, total)
        if albumin is not None:
            unit = unit_text(analyte.unit_names[total.unit])
            shown = f"{rounded_text(value.canon / analyte.scale[total.unit] / 1e6, 2)} {unit}"
            parts.append(
                f"{dated(p, total)}, corrected for albumin {amount_text(p, albumin)}: {shown}"
                f" (warning below {cutoff_text(analyte, k.total_limits[0], total)},"
                f" critical below {cutoff_text(analyte, k.total_limits[1], total)})"
            )
            facts.append(albumin)
        else:
            parts.append(
                f"{dated(p, total)}, uncorrected for want of an albumin of the last {duration_text(k.albumin_age)}"
                f" (warning below {cutoff_text(analyte, k.total_limits[0], total)},"
                f" critical below {cutoff_text(analyte, k.total_limits[1], total)})"
            )
        facts.insert(0, total)
        title = f"total calcium {shown}" + (" corrected" if albumin is not None else "")
    if ionized is not None:
        analyte = p.plan.analytes[k.ionized]
        parts.insert(
            0,
            f"{dated(p, ionized)} (warning below {cutoff_text(analyte, k.ionized_limits[0], ionized)},"
            f" critical below {cutoff_text(analyte, k.ionized_limits[1], ionized)})",
        )
        facts.insert(0, ionized)
        if total is None or ionized.at >= total.at - k.decides or is_below(ionized, k.ionized_limits[0]):
            title = f"ionized calcium {amount_text(p, ionized)}"
    last, which = p.last_dose(tuple(drug for drug, _ in k.tails), t)
    dose = p.given[which].x[p.given[which].last(t)]
    newest = max(facts, key=lambda lab: lab.at)
    parts.append(_beside_infusion(k, newest, dose.at, dose.end))
    within = k.data.named_within.value
    for what, names in k.data.named.items():
        text = drugs_text(p, names, t, within)
        if text:
            parts.append(f"{what.capitalize()} within {duration_text(within)}: {text}")
    causes = causes_text(p, k.data.causes, t, k.data.causes_within.value)
    if causes:
        parts.append(causes)
    advice = k.data.advice.get("critical" if level == CRITICAL else "warning", "")
    figures = _figures(k, p, total, ionized)
    return Words(f"{k.drug.capitalize()}: {title}", ". ".join(parts) + ".", advice, tuple(facts), figures)


def _figures(k: Calcium, p: Patient, total: Lab | None, ionized: Lab | None) -> Iterator[Figure]:
    """What decides beside its limits: ionized calcium alone, or both."""
    deciding = [("ionized", ionized, k.ionized_limits)]
    if total is not None and not _ionized_decides(k, total, ionized):
        deciding.append(("total", corrected(k, p, total), k.total_limits))
    for which, lab, (below, critical) in deciding:
        if lab is not None:
            limits = ("warning below", below, f"{which}_below"), ("critical below", critical, f"{which}_critical_below")
            found = lab_figures(p, lab, *limits, ("ends from", below, f"{which}_below"))
            fixed = ", corrected for albumin" if lab is not total and lab is not ionized else ""
            yield from (figure._replace(what=figure.what + fixed) for figure in found)


def _beside_infusion(k: Calcium, lab: Lab, start: Time, end: Time) -> str:
    if end > start and lab.at < end:
        after = duration_text(lab.at - start)
        return f"Drawn during the {k.drug} infusion of {clock_text(start)}, {after} after its start"
    if end > start:
        return f"Drawn {duration_text(lab.at - end)} after the end of the {k.drug} infusion of {clock_text(start)}"
    after = duration_text(lab.at - start)
    return f"Drawn {after} after the {k.drug} dose of {clock_text(start)}, whose end is not charted"


KINDS = {"hypocalcemia": Kind(CalciumData, build)}
