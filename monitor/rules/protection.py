"""Was the kidney protected at the dose: fluid with foscarnet and cidofovir, probenecid before cidofovir?

Judged 2 h after the dose's charting; what was charted in time and known later retracts. Numbers:
`rules.hydration-missing`, `rules.probenecid-missing`; US labels.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import partial

import msgspec

from monitor.at_dose import doses_named, going_on, last_dose, waits_for_charting
from monitor.dosing import doses_of, size_text
from monitor.knowledge import Dosage, DrugName, Entry, RuleData, Span
from monitor.patient import AtDose, Given, Patient
from monitor.plan import Kind, Plan
from monitor.times import DAY, NEVER, Time, clock_text, duration_text
from monitor.types import GONE, OVER, Dose, Episode, Figure, Level, Rule, Verdict, Words
from monitor.units import MILLION, decimal_text, rounded_text
from monitor.wording import name_text

INFO, WARNING = 1, 2
GRAM = 1000 * MILLION
LONGEST_FLUID = 2 * DAY
"""A fluid charted over longer than this before the window is not looked for."""


class DrugFluids(Entry):
    """The fluid that a drug needs."""

    fluids: tuple[DrugName, ...]
    before: Span
    needed: Dosage
    small_up_to: Dosage | None = None
    needed_above: Dosage | None = None
    to_its_end: bool


class HydrationData(RuleData):
    """`rules.hydration-missing`."""

    charts_fluids: bool
    infusion_up_to: Span
    drugs: dict[DrugName, DrugFluids]


class Hydration(msgspec.Struct, gc=False, frozen=True):
    """The numbers of one drug, ready to judge; volumes in millionths of mL, sizes in millionths of mg/kg."""

    code: str
    data: HydrationData
    drug: int
    fluids: tuple[int, ...]
    before: Time
    needed: int
    small_up_to: int | None
    needed_above: int
    to_its_end: bool
    infusion_up_to: Time


def build_hydration(code: str, data: HydrationData, plan: Plan) -> list[Rule]:
    """A rule for each drug, at sites that chart fluids."""
    if not data.charts_fluids:
        return []
    rules = []
    for name, fluids in data.drugs.items():
        needed = plan.dose_amount(fluids.needed.value)[0]
        k = Hydration(
            code,
            data,
            plan.drug_index[name],
            tuple(plan.drug_index[fluid] for fluid in fluids.fluids),
            fluids.before.value,
            needed,
            plan.dose_amount(fluids.small_up_to.value)[0] if fluids.small_up_to else None,
            plan.dose_amount(fluids.needed_above.value)[0] if fluids.needed_above else needed,
            fluids.to_its_end,
            data.infusion_up_to.value,
        )
        rules.append(
            Rule(
                code,
                name,
                None,
                ("", "info", "warning"),
                judged=(plan.doses(name),),
                needs=((plan.doses(name),),),
                judge=partial(judge_hydration, k),
                say=partial(say_hydration, k),
                references=data.references,
                quiet=(*doses_named(plan, fluids.fluids), plan.weight),
                reach=k.infusion_up_to if k.to_its_end else 0,
            )
        )
    return rules


def judge_hydration(k: Hydration, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each intravenous dose anew, once its charting has had time."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if not at.now or at.dose.route not in (None, "iv"):
        return unchanged
    if waits_for_charting(p, at):
        return unchanged
    if at.given.m[at.i] is None and k.small_up_to is not None:
        p.note("no body weight, or a dose of unknown amount: the smaller volume is asked for", t)
    return (WARNING, at.over) if volume(k, p, at) < needed(k, at) else (GONE, NEVER)


def needed(k: Hydration, at: AtDose) -> int:
    """The volume that the dose asks for, in millionths of mL."""
    if k.small_up_to is None:
        return k.needed
    size = at.given.m[at.i]
    large = size is not None and size.numerator > k.small_up_to * size.denominator
    return k.needed_above if large or at.state.count == 1 else k.needed


def volume(k: Hydration, p: Patient, at: AtDose) -> Fraction | int:
    """The fluid given in the window, by its share of time, in millionths of mL."""
    start, end = _window(k, p, at)
    total: Fraction | int = 0
    for fluid in k.fluids:
        given = p.given.get(fluid)
        if given is not None:
            for dose in _fluids(p, given, start, end):
                total += _share(p, dose, start, end)
    return total


def _window(k: Hydration, p: Patient, at: AtDose) -> tuple[Time, Time]:
    t = at.given.t[at.i]
    end = t
    if k.to_its_end and at.state.count > 1:
        end = min(max(dose.end for dose in doses_of(p, at.given, at.i)), t + k.infusion_up_to)
    return t - k.before, end


def _fluids(p: Patient, given: Given, start: Time, end: Time) -> list[Dose]:
    found: list[Dose] = []
    j = bisect_right(given.t, end) - 1
    earliest = start - LONGEST_FLUID
    while j >= 0 and given.t[j] >= earliest:
        # What ended before the window is of no use, unless another administration shares its start.
        if p.dose_groups or given.x[j].end >= start:
            found += doses_of(p, given, j)
        j -= 1
    return found


def _share(p: Patient, dose: Dose, start: Time, end: Time) -> Fraction | int:
    if dose.value is None or dose.route not in (None, "iv"):
        return 0
    _, kind, factor = p.plan.dose_units[dose.unit]
    if kind != "volume":
        return 0
    size = dose.value * factor // MILLION
    if start <= dose.at and dose.end <= end:
        return size
    overlap = min(dose.end, end) - max(dose.at, start)
    return Fraction(size * overlap, dose.end - dose.at) if overlap > 0 else 0


def say_hydration(k: Hydration, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """The volume found and the volume needed."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    start, end = _window(k, p, at)
    found, least = rounded_text(Fraction(volume(k, p, at), MILLION), 0), decimal_text(needed(k, at))
    name = p.plan.drugs[k.drug].name.capitalize()
    fluids = ", ".join(name_text(p.plan.drugs[fluid].name) for fluid in k.fluids)
    first = ", before the first dose" if at.state.count == 1 and k.small_up_to is not None else ""
    if not first and k.small_up_to is not None and at.given.m[at.i] is None:
        first = ", the smaller volume, for the dose's mg/kg is not known"
    detail = (
        f"Dose {at.state.count} of {clock_text(at.given.t[at.i])}: {size_text(p, at.given, at.i)}. Charted from"
        f" {clock_text(start)} to {clock_text(end)}: {found} mL of {fluids}; at least {least} mL{first}."
    )
    doses = [
        dose
        for fluid in k.fluids
        if fluid in p.given
        for dose in _fluids(p, p.given[fluid], start, end)
        if _share(p, dose, start, end)
    ]
    title = f"{name}: {found} mL of fluid charted, {least} mL needed"
    number = f"drugs.{p.plan.drugs[k.drug].name}.{'needed_above' if needed(k, at) != k.needed else 'needed'}"
    figure = Figure(
        f"fluid from {clock_text(start)} to {clock_text(end)}",
        Fraction(volume(k, p, at), MILLION),
        Fraction(needed(k, at), MILLION),
        "mL",
        "at least",
        number,
    )
    return Words(title, detail, k.data.advice.get("warning", ""), (at.dose, *doses), (figure,))


# Probenecid --------------------------------------------------------------------------------------------------------


class ProbenecidData(RuleData):
    """`rules.probenecid-missing`."""

    drug: DrugName
    with_drug: DrugName
    needed: Dosage
    from_before: Span
    to_before: Span
    small_up_to: Dosage


class Probenecid(msgspec.Struct, gc=False, frozen=True):
    """The numbers, ready to judge; amounts in millionths of mg and mg/kg."""

    data: ProbenecidData
    drug: int
    with_drug: int
    needed: int
    from_before: Time
    to_before: Time
    small_up_to: int


def build_probenecid(code: str, data: ProbenecidData, plan: Plan) -> list[Rule]:
    """One rule."""
    k = Probenecid(
        data,
        plan.drug_index[data.drug],
        plan.drug_index[data.with_drug],
        plan.dose_amount(data.needed.value)[0],
        data.from_before.value,
        data.to_before.value,
        plan.dose_amount(data.small_up_to.value)[0],
    )
    doses = plan.doses(data.drug)
    return [
        Rule(
            code,
            data.drug,
            None,
            ("", "info", "warning"),
            judged=(doses,),
            needs=((doses,),),
            judge=partial(judge_probenecid, k),
            say=partial(say_probenecid, k),
            references=data.references,
            quiet=(plan.doses(data.with_drug), plan.weight),
        )
    ]


def judge_probenecid(k: Probenecid, p: Patient, t: Time, level: Level) -> Verdict:
    """Judged at each intravenous dose anew, once its charting has had time."""
    at = last_dose(p, k.drug, t)
    if at is None:
        return OVER, NEVER
    unchanged = going_on(at, level)
    if not at.now or at.dose.route not in (None, "iv"):
        return unchanged
    if waits_for_charting(p, at):
        return unchanged
    if _probenecid(k, p, t) >= k.needed:
        return GONE, NEVER
    size = at.given.m[at.i]
    return (INFO if size is not None and size <= k.small_up_to else WARNING), at.over


def _probenecid(k: Probenecid, p: Patient, t: Time) -> int:
    """What was given in time, in millionths of mg."""
    given = p.given.get(k.with_drug)
    if given is None:
        return 0
    total = 0
    j = bisect_right(given.t, t - k.to_before) - 1
    while j >= 0 and given.t[j] >= t - k.from_before:
        for dose in doses_of(p, given, j):
            mass = p.plan.mass_of(dose.value, dose.unit) if dose.value is not None else None
            total += mass or 0
        j -= 1
    return total


def say_probenecid(k: Probenecid, p: Patient, t: Time, level: Level, episode: Episode) -> Words:
    """What was charted and what the label asks for."""
    at = last_dose(p, k.drug, t)
    assert at is not None
    t = at.given.t[at.i]
    given = _probenecid(k, p, t)
    found, least = decimal_text(given // 1000), decimal_text(k.needed // 1000)
    name = p.plan.drugs[k.drug].name.capitalize()
    other = p.plan.drugs[k.with_drug].name
    detail = (
        f"Dose {at.state.count} of {clock_text(t)}: {size_text(p, at.given, at.i)}. {other.capitalize()} charted"
        f" {duration_text(k.from_before)} to {duration_text(k.to_before)} before: {found} g; at least {least} g."
    )
    size = at.given.m[at.i]
    taken = f"{other} before the dose"
    figures = [Figure(taken, Fraction(given, GRAM), Fraction(k.needed, GRAM), "g", "at least", "needed")]
    if size is None:
        detail += " Whether the dose is a small one could not be judged: its mg/kg is not known."
    else:
        small = Fraction(k.small_up_to, MILLION)
        figures.append(Figure("dose", Fraction(size) / MILLION, small, "mg/kg", "info only up to", "small_up_to"))
    advice = k.data.advice.get("info" if level == INFO else "warning", "")
    title = f"{name}: {other} {found} g charted before it, {least} g needed"
    return Words(title, detail, advice, (at.dose,), tuple(figures))


KINDS = {
    "hydration-missing": Kind(HydrationData, build_hydration),
    "probenecid-missing": Kind(ProbenecidData, build_probenecid),
}
