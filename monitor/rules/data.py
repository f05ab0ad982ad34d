"""Is a result believable at all? What is not feeds no other rule (monitor/facts.py sees to that).

Numbers: the plausible ranges of the analytes, and `rules.suspect-sample`.
"""

from functools import partial

import msgspec

from monitor.knowledge import Amount, AnalyteName, RuleData
from monitor.margins import lab_margin
from monitor.patient import Patient
from monitor.plan import ODD, AnalyteInfo, Kind, Plan, SuspectInfo
from monitor.times import ALWAYS, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Episode, Level, Rule, Verdict, Words
from monitor.wording import amount_text, cutoff_text, dated


class ImplausibleData(RuleData):
    """`rules.implausible-result`."""


class SuspectData(RuleData):
    """`rules.suspect-sample`."""

    potassium: AnalyteName
    calcium: AnalyteName
    potassium_above: Amount
    calcium_below: Amount
    voids: tuple[AnalyteName, ...]

    def suspect_limits(self, plan: Plan) -> SuspectInfo:
        """The limits by unit, for the reading of samples."""
        potassium, calcium = (plan.analytes[plan.analyte_index[key]] for key in (self.potassium, self.calcium))
        return SuspectInfo(
            potassium.index,
            calcium.index,
            potassium.amounts(self.potassium_above),
            calcium.amounts(self.calcium_below),
            frozenset(plan.analyte_index[key] for key in self.voids),
        )


class Implausible(msgspec.Struct, gc=False, frozen=True):
    """One analyte, ready to judge."""

    data: ImplausibleData
    analyte: AnalyteInfo
    watched: tuple[int, ...]
    tail: Time


def watched_until(p: Patient, watched: tuple[int, ...], tail: Time, t: Time) -> Time:
    """Until when the doses up to `t` keep the patient on an antiviral, or at most so long after one."""
    until = ALWAYS
    for drug in watched:
        given = p.given.get(drug)
        i = given.last(t) if given is not None else -1
        if given is not None and i >= 0:
            until = max(until, given.t[i] + tail, given.s[i].current_until)
    return until


def build_implausible(code: str, data: ImplausibleData, plan: Plan) -> list[Rule]:
    """A rule for each analyte with a plausible range."""
    watched = tuple(sorted(plan.watched))
    doses = tuple(plan.doses(plan.drugs[drug].name) for drug in watched)
    rules = []
    for analyte in plan.analytes:
        if plan.knowledge.analytes[analyte.key].plausible is None:
            continue
        k = Implausible(data, analyte, watched, plan.watched_tail)
        rules.append(
            Rule(
                code,
                None,
                analyte.key,
                ("", "info"),
                judged=(plan.odd_input(analyte.index),),
                needs=((plan.odd_input(analyte.index),), doses),
                judge=partial(judge_implausible, k),
                say=partial(say_implausible, k),
                references=data.references,
                lazy=(analyte.index, ODD),
                quiet=doses,
                why={OVER: f"no watched antiviral for {duration_text(plan.watched_tail)}"},
            )
        )
    return rules


def judge_implausible(k: Implausible, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a result outside the range; ended by a plausible one, or when no antiviral is watched any more."""
    odd, series = p.odd.get(k.analyte.index), p.series[k.analyte.index]
    i = odd.last(t) if odd is not None else -1
    if odd is None or i < 0:
        return GONE, NEVER
    j = series.last(t) if series is not None else -1
    if series is not None and j >= 0 and series.t[j] >= odd.t[i]:
        return GONE, NEVER
    if any(odd.t[i] <= at <= t and _plausible_at(p, k.analyte.index, at) for at in p.suspects):
        return GONE, NEVER
    until = watched_until(p, k.watched, k.tail, t)
    if t > until:
        return OVER, NEVER
    return (1, until + 1) if level > 0 or odd.t[i] == t else (GONE, NEVER)


def _plausible_at(p: Patient, analyte: int, at: Time) -> bool:
    """Whether a suspect sample, which feeds no other rule, holds a plausible result of an analyte."""
    return any(not lab.odd for lab in p.lab_groups.get((analyte, at), ()))


def say_implausible(k: Implausible, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The value and the range."""
    lab = p.odd[k.analyte.index].x[p.odd[k.analyte.index].last(t)]
    low, high = k.analyte.plausible[lab.unit]
    limits = [
        cutoff_text(k.analyte, tuple([bound] * len(k.analyte.scale)), lab) if abs(bound) < 10**39 else "none"
        for bound in (low, high)
    ]
    detail = f"{dated(p, lab)}; plausible from {limits[0]} to {limits[1]}. No other rule uses it."
    number = f"analytes.{k.analyte.key}.plausible"
    figures = [
        figure
        for bound, meaning in ((low, "plausible from"), (high, "plausible up to"))
        if abs(bound) < 10**39
        for figure in lab_margin(p, lab, (bound,) * len(k.analyte.scale), meaning, number)
    ]
    title = f"Implausible {k.analyte.name}: {amount_text(p, lab)}"
    return Words(title, detail, k.data.advice.get("info", ""), (lab,), tuple(figures))


class Suspect(msgspec.Struct, gc=False, frozen=True):
    """The suspect sample, ready to judge."""

    data: SuspectData
    info: SuspectInfo
    watched: tuple[int, ...]
    tail: Time


def build_suspect(code: str, data: SuspectData, plan: Plan) -> list[Rule]:
    """One rule for all samples."""
    watched = tuple(sorted(plan.watched))
    doses = tuple(plan.doses(plan.drugs[drug].name) for drug in watched)
    k = Suspect(data, data.suspect_limits(plan), watched, plan.watched_tail)
    return [
        Rule(
            code,
            None,
            None,
            ("", "info"),
            judged=(ODD,),
            needs=((ODD,), doses),
            judge=partial(judge_suspect, k),
            say=partial(say_suspect, k),
            references=data.references,
            lazy=tuple(one for i in (k.info.potassium, k.info.calcium) for one in (i, plan.odd_input(i))),
            quiet=doses,
            why={OVER: f"no watched antiviral for {duration_text(plan.watched_tail)}"},
        )
    ]


def judge_suspect(k: Suspect, p: Patient, t: Time, level: Level) -> Verdict:
    """Raised by a suspect sample; ended by a later one that is not, or when no antiviral is watched any more."""
    latest = max((at for at in p.suspects if at <= t), default=ALWAYS)
    if latest == ALWAYS:
        return GONE, NEVER
    for analyte in (k.info.potassium, k.info.calcium):
        for column in (p.series[analyte], p.odd.get(analyte)):
            i = column.last(t) if column is not None else -1
            if column is not None and i >= 0 and column.t[i] > latest:
                return GONE, NEVER
    until = watched_until(p, k.watched, k.tail, t)
    if t > until:
        return OVER, NEVER
    return (1, until + 1) if level > 0 or latest == t else (GONE, NEVER)


def say_suspect(k: Suspect, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The two values that do not go together."""
    at = max(time for time in p.suspects if time <= t)
    labs = [lab for analyte in (k.info.potassium, k.info.calcium) for lab in p.lab_groups.get((analyte, at), ())]
    found = " with ".join(f"{p.plan.analytes[lab.analyte].name} {amount_text(p, lab)}" for lab in labs)
    detail = (
        f"Sample of {clock_text(at)}: {found}."
        " Potassium EDTA in the tube raises potassium and binds calcium. No other rule uses the sample's cations."
    )
    limits = {
        k.info.potassium: (k.info.potassium_above, "suspect above", "potassium_above"),
        k.info.calcium: (k.info.calcium_below, "with it below", "calcium_below"),
    }
    figures = [figure for lab in labs for figure in lab_margin(p, lab, *limits[lab.analyte])]
    title = "Suspect sample: high potassium with very low calcium"
    return Words(title, detail, k.data.advice.get("info", ""), tuple(labs), tuple(figures))


KINDS = {
    "implausible-result": Kind(ImplausibleData, build_implausible),
    "suspect-sample": Kind(SuspectData, build_suspect),
}
