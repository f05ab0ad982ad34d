"""Is the kidney being injured on a nephrotoxic antiviral?

KDIGO 2012 by creatinine, against the lowest of 48 h, the lowest of 7 d, and the course's own baseline (a rolling
minimum alone drifts up with a slow injury). Numbers: `rules.aki`.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import msgspec

from monitor.baseline import course_baseline
from monitor.exposure import Tails, drug_given_last, exposed_until, tails_of
from monitor.knowledge import Amount, DrugName, Ladder, Number, RuleData, Span, Tail
from monitor.margins import lab_figures
from monitor.patient import Baseline, Patient, Series
from monitor.plan import DIALYSIS, TRANSPLANT, Amounts, Kind, Plan
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import (
    AT_LEAST,
    AT_MOST,
    EQUAL,
    GONE,
    LESS,
    MORE,
    OVER,
    Dose,
    Episode,
    Figure,
    Lab,
    Level,
    Rule,
    Verdict,
    Words,
)
from monitor.units import MILLION, rounded_text
from monitor.wording import (
    amount_text,
    cutoff_text,
    dated,
    drugs_text,
    each_once,
    mimics_text,
    name_text,
    newly_given,
    unit_text,
)

MIMICKED, STAGE_1 = 1, 2
"""Levels: stage 1 that a drug mimics, then the KDIGO stages."""


class AkiData(RuleData):
    """`rules.aki`."""

    drugs: dict[DrugName, Tail]
    rise: Amount
    rise_window: Span
    ratio_window: Span
    ratios: Ladder
    stage_3_from: Amount
    after_exposure: Span
    mimics: tuple[DrugName, ...]
    mimic_first_within: Span
    mimic_not_within: Span
    nephrotoxins: tuple[DrugName, ...]
    nephrotoxins_within: Span
    interferes: tuple[DrugName, ...]
    interferes_within: Span
    dip: Number
    noise_from: Amount
    noise_below: Number


class Aki(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge: amounts by unit on creatinine's scale, ratios in thousandths."""

    data: AkiData
    creatinine: int
    tails: Tails
    drugs: tuple[int, ...]
    rise: Amounts
    rise_window: Time
    ratio_window: Time
    ratios: tuple[int, int, int]
    stage_3_from: Amounts
    after: Time
    mimics: tuple[int, ...]
    first_within: Time
    not_within: Time
    noise_from: Amounts


class Figures(NamedTuple):
    """What one creatinine amounts to. `by_ratio`: one of the ratios holds, not the absolute rise alone."""

    stage: int
    by_ratio: bool
    lowest_48h: Lab | None
    lowest_7d: Lab | None
    baseline: Baseline | None
    before: Lab | None


def build(code: str, data: AkiData, plan: Plan) -> list[Rule]:
    """The one rule for all nephrotoxic antivirals: an alert is for the drug given last at its onset."""
    creatinine = plan.analytes[plan.creatinine]
    first, second, third = (int(ratio * 1000) for ratio in data.ratios.rising)
    k = Aki(
        data,
        creatinine.index,
        tails_of(data.drugs, plan),
        tuple(plan.drug_index[name] for name in sorted(data.drugs)),
        creatinine.amounts(data.rise),
        data.rise_window.value,
        data.ratio_window.value,
        (first, second, third),
        creatinine.amounts(data.stage_3_from),
        data.after_exposure.value,
        tuple(plan.drug_index[name] for name in data.mimics),
        data.mimic_first_within.value,
        data.mimic_not_within.value,
        creatinine.amounts(data.noise_from),
    )
    doses = tuple(plan.doses(name) for name in data.drugs)
    return [
        Rule(
            code,
            None,
            None,
            ("", "info", "warning", "critical", "critical"),
            judged=(creatinine.index,),
            needs=(doses, (creatinine.index,)),
            judge=partial(judge, k),
            say=partial(say, k),
            references=data.references,
            quiet=(*doses, *(plan.doses(name) for name in data.mimics), TRANSPLANT, DIALYSIS),
            told=tuple(plan.doses(name) for name in (*data.nephrotoxins, *data.interferes)),
            named=lambda p, t: drug_given_last(p, k.tails, t),
        )
    ]


def judge(k: Aki, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a creatinine collected while exposed; ended by recovery, or 7 d after the exposure."""
    series = p.series[k.creatinine]
    i = series.last(t) if series is not None else -1
    until = exposed_until(p, k.tails, t)
    if level <= 0 and (series is None or i < 0 or series.t[i] != t or until < t):
        return GONE, NEVER
    end = until + k.after + 1
    if t >= end:
        return OVER, NEVER
    assert series is not None
    lab = series.x[i]
    if p.dialysis and p.on_dialysis(lab.at):
        p.note("on dialysis: creatinine is not judged", t)
        return level, end
    figures = figures_of(k, p, series, i)
    stage = figures.stage
    if lab.mark in (LESS, AT_MOST) and (level <= 0 or stage):
        # What lies below a value that would raise the alert tells nothing.
        return (level, end) if level > 0 else (GONE, NEVER)
    if figures.baseline is None:
        p.note("no baseline creatinine: judged by the rises of 48 h and 7 d alone", t)
    if stage == 0:
        if level <= 0 or (lab.mark not in (MORE, AT_LEAST) and _near_baseline(k, lab, figures.baseline)):
            return GONE, NEVER
        return min(level, STAGE_1) if lab.mark == EQUAL else level, end
    if stage == 1 and not figures.by_ratio and _mimics(k, p, lab.at):
        return MIMICKED, end
    return stage + 1, end


def figures_of(k: Aki, p: Patient, series: Series, i: int) -> Figures:
    """The KDIGO stage of creatinine `i` and what it rests on; results on dialysis count nowhere."""
    lab, value, t = series.x[i], series.v[i], series.t[i]
    lowest_48h = lowest_7d = None
    low_48h = low_7d = NEVER
    rise_from, ratio_from = t - k.rise_window, t - k.ratio_window
    j = i - 1
    while j >= 0 and series.t[j] >= ratio_from:
        other = series.x[j]
        if other.mark == EQUAL and not (p.dialysis and p.on_dialysis(other.at)):
            canon = other.canon
            if canon < low_7d:
                low_7d, lowest_7d = canon, other
            if canon < low_48h and other.at >= rise_from:
                low_48h, lowest_48h = canon, other
        j -= 1
    drug = p.last_dose(k.drugs, t)[1]
    start = p.state_start(drug, t)
    baseline = course_baseline(p, drug, start, t)
    before = _last_before(p, series, start)
    stage = ratio_stage = 0
    first, second, third = k.ratios
    size = value * 1000
    if lowest_7d is not None and size >= first * low_7d:
        ratio_stage = 3 if size >= third * low_7d else 2 if size >= second * low_7d else 1
    if baseline is not None and (before is None or value > before.canon):
        base = baseline.twice
        if 2 * size >= first * base:
            by_base = 3 if 2 * size >= third * base else 2 if 2 * size >= second * base else 1
            ratio_stage = max(ratio_stage, by_base)
    stage = ratio_stage
    if lowest_48h is not None and value - low_48h >= k.rise[lab.unit]:
        stage = max(stage, 1)
    if stage and value >= k.stage_3_from[lab.unit]:
        stage = 3
    return Figures(stage, ratio_stage > 0, lowest_48h, lowest_7d, baseline, before)


def _last_before(p: Patient, series: Series, start: Time) -> Lab | None:
    """The last creatinine collected by the first dose."""
    i = series.last(start)
    while i >= 0:
        lab = series.x[i]
        if lab.mark == EQUAL and not (p.dialysis and p.on_dialysis(lab.at)):
            return lab
        i -= 1
    return None


def _near_baseline(k: Aki, lab: Lab, baseline: Baseline | None) -> bool:
    """Recovered: less than 1.5 times and less than 0.3 mg/dL above the baseline. Without one, no criterion suffices."""
    if baseline is None:
        return True
    twice = 2 * lab.canon
    return twice * 1000 < k.ratios[0] * baseline.twice and twice - baseline.twice < 2 * k.rise[lab.unit]


def _mimics(k: Aki, p: Patient, t: Time) -> list[Dose]:
    """The first dose of each drug, newly given, that raises creatinine without a change of filtration."""
    return newly_given(p, k.mimics, t, k.first_within, k.not_within)


# Words -----------------------------------------------------------------------------------------------------------


def say(k: Aki, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The rise, what it is measured against, and what else may stand behind it."""
    series = p.series[k.creatinine]
    assert series is not None
    i = series.last(t)
    lab = series.x[i]
    figures = figures_of(k, p, series, i)
    stage = max(figures.stage, 1)
    drug = (episode.drug or "").capitalize()
    parts = [f"{dated(p, lab)}: {_against(k, p, lab, figures)}", *_doubts(k, p, series, i, figures)]
    mimics = _mimics(k, p, lab.at)
    title = f"{drug}: creatinine {amount_text(p, lab)}, KDIGO stage {stage}"
    if figures.stage == 0:
        title = f"{drug}: creatinine {amount_text(p, lab)}, acute kidney injury not yet recovered"
    if level == MIMICKED and mimics:
        title = f"{title}, perhaps by {', '.join(name_text(p.plan.drugs[dose.drug].name) for dose in mimics)}"
    if mimics:
        parts.append(mimics_text(p, mimics))
    last, which = p.last_dose(k.drugs, t)
    start = p.state_start(which, t)
    parts.append(f"Course of {p.plan.drugs[which].name} since {clock_text(start)}, last dose {clock_text(last)}")
    own = p.plan.drugs[which].name
    others = drugs_text(p, (name for name in k.data.nephrotoxins if name != own), t, k.data.nephrotoxins_within.value)
    if others:
        parts.append(f"Other nephrotoxic drugs within {duration_text(k.data.nephrotoxins_within.value)}: {others}")
    interferes = drugs_text(p, k.data.interferes, t, k.data.interferes_within.value)
    if interferes:
        parts.append(f"{interferes} may read as creatinine in an enzymatic assay: ask for the method")
    grafted, kind = p.transplant(lab.at)
    if kind == "solid-organ":
        since = f" on {clock_text(grafted)}" if grafted != ALWAYS else ""
        parts.append(
            f"Solid-organ transplant{since}: in a kidney graft consider rejection, calcineurin inhibitor levels and BK"
            " virus too"
        )
    basis = (lab, figures.lowest_48h, figures.lowest_7d, *(figures.baseline.labs if figures.baseline else ()))
    facts: tuple[Lab | Dose, ...] = (*each_once(one for one in basis if one is not None), *mimics)
    severity = ("", "info", "warning", "critical", "critical")[level]
    advice = k.data.advice.get(severity, "")  # type: ignore[call-overload]
    return Words(title, ". ".join(parts) + ".", advice, facts, _compared(k, p, lab, figures))


def _doubts(k: Aki, p: Patient, series: Series, i: int, figures: Figures) -> Iterator[str]:
    """What speaks against the figures: a low that stands alone, or a rise within what creatinine varies by."""
    lab, dip, noise = series.x[i], Fraction(k.data.dip.value), Fraction(k.data.noise_below.value)
    low_48h = figures.lowest_48h
    for low in each_once(one for one in (low_48h, figures.lowest_7d) if one is not None):
        at = series.last(low.at)
        before = _first_plain(p, series, range(at - 1, -1, -1)) or low
        after = _first_plain(p, series, range(at + 1, i + 1)) or lab
        if low.canon < (1 - dip) * min(before.canon, after.canon):
            beside = f"{amount_text(p, before)} on {clock_text(before.at)}, {amount_text(p, after)} on"
            yield (
                f"The low of {amount_text(p, low)} lies more than {rounded_text(dip * 100, 0)} % below the results"
                f" before and after it ({beside} {clock_text(after.at)}): perhaps a diluted sample"
            )
    if figures.stage and not figures.by_ratio and low_48h is not None and low_48h.canon >= k.noise_from[low_48h.unit]:
        share = Fraction(lab.canon - low_48h.canon, low_48h.canon)
        if share < noise:
            yield (
                f"A rise of {rounded_text(share * 100, 1)} %: less than {rounded_text(noise * 100, 0)} % may be the"
                " usual variation of creatinine"
            )


def _first_plain(p: Patient, series: Series, places: Iterable[int]) -> Lab | None:
    """The first of some results that is a plain number, not taken on dialysis."""
    found = (series.x[place] for place in places)
    return next((one for one in found if one.mark == EQUAL and not (p.dialysis and p.on_dialysis(one.at))), None)


def _against(k: Aki, p: Patient, lab: Lab, figures: Figures) -> str:
    """The comparisons, each with its thresholds."""
    parts = []
    stages = f"stages from {', '.join(rounded_text(Fraction(ratio, 1000), 1) for ratio in k.ratios)} x"
    unit = p.plan.analytes[k.creatinine]
    scale = unit.scale[lab.unit]
    if figures.baseline is not None:
        base = figures.baseline
        ratio = rounded_text(Fraction(2 * lab.canon, base.twice), 2) if base.twice else "?"
        size = rounded_text(Fraction(base.twice, 2 * unit.scale[base.unit] * MILLION), 2)
        parts.append(f"{ratio} x baseline {size} {unit_text(unit.unit_names[base.unit])} ({base.how}; {stages})")
        if figures.before is not None and lab.canon <= figures.before.canon:
            parts.append(f"not above the last value before the first dose ({amount_text(p, figures.before)})")
    else:
        parts.append("no baseline is known")
    if figures.lowest_48h is not None:
        low = figures.lowest_48h
        change = rounded_text(Fraction(abs(lab.canon - low.canon), scale * MILLION), 2)
        side = "below" if lab.canon < low.canon else "above"
        parts.append(
            f"{change} {unit_text(unit.unit_names[lab.unit])} {side} the lowest of 48 h, {amount_text(p, low)}"
            f" (stage 1 from {cutoff_text(unit, k.rise, lab)})"
        )
    if figures.lowest_7d is not None:
        low = figures.lowest_7d
        ratio = rounded_text(Fraction(lab.canon, low.canon), 2) if low.canon else "?"
        parts.append(f"{ratio} x the lowest of 7 d, {amount_text(p, low)} ({stages})")
    parts.append(f"stage 3 from {cutoff_text(unit, k.stage_3_from, lab)} once one of these holds")
    return "; ".join(parts)


def _compared(k: Aki, p: Patient, lab: Lab, figures: Figures) -> Iterator[Figure]:
    """Each figure beside the thresholds of the stages and, above the baseline, of the end."""
    base, low_48h, low_7d = figures.baseline, figures.lowest_48h, figures.lowest_7d
    analyte = p.plan.analytes[k.creatinine]
    parts, unit = analyte.scale[lab.unit] * MILLION, unit_text(analyte.unit_names[lab.unit])
    rise = Fraction(k.rise[lab.unit], parts)
    ratios = [Fraction(ratio, 1000) for ratio in k.ratios]
    if base is not None and base.twice:
        what, ratio = "creatinine to the course's baseline", Fraction(2 * lab.canon, base.twice)
        for stage, limit in enumerate(ratios, 1):
            yield Figure(what, ratio, limit, "x", f"stage {stage} from", "ratios")
        yield Figure(what, ratio, ratios[0], "x", "ends below", "ratios")
        above = Fraction(2 * lab.canon - base.twice, 2 * parts)
        yield Figure("creatinine above the course's baseline", above, rise, unit, "ends below", "rise")
    if low_48h is not None:
        above = Fraction(lab.canon - low_48h.canon, parts)
        yield Figure("creatinine above the lowest of 48 h", above, rise, unit, "stage 1 from", "rise")
    if low_7d is not None and low_7d.canon:
        for stage, limit in enumerate(ratios, 1):
            what, ratio = "creatinine to the lowest of 7 d", Fraction(lab.canon, low_7d.canon)
            yield Figure(what, ratio, limit, "x", f"stage {stage} from", "ratios")
    yield from lab_figures(p, lab, ("stage 3 from", k.stage_3_from, "stage_3_from"))


KINDS = {"aki": Kind(AkiData, build)}
