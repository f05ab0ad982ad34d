"""How each rate of `rates.py` is read from one life: by measured results over the source's denominator."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from streams.simulation.clock import DAY, STEP
from streams.simulation.courses import Therapy, TrueCourse, courses_of, therapies_of
from streams.simulation.life import Life
from streams.simulation.people import HCT, HIV, SOT
from streams.simulation.regimens import GANCICLOVIRS, INDUCTION, PREEMPTIVE, clearance

_LOW_COPIES = 2.737
"""log10 of 600 copies/mL at 0.91 IU a copy."""
Results = list[tuple[int, float]]


def _courses(life: Life, drug: str, days: float = 3.0) -> Iterator[TrueCourse]:
    if life.who.dialysis:
        return
    for course in courses_of(life.diary, (drug,)):
        if course.last - course.first >= days * DAY:
            yield course


def _drawn(life: Life, analyte: str, start: int, end: int) -> Results:
    return [one for one in sorted(life.diary.draws.get(analyte, ())) if start <= one[0] <= end]


def _usual(life: Life, course: TrueCourse) -> float | None:
    """The last creatinine before a course."""
    before = _drawn(life, "creatinine", course.first - 8 * DAY, course.first)
    return before[-1][1] if before else None


def _kdigo_at(life: Life, course: TrueCourse, tail: int = 2) -> int | None:
    """When measured creatinine first meets a KDIGO criterion in a course."""
    results = _drawn(life, "creatinine", course.first - 7 * DAY, course.last + tail * DAY)
    usual = _usual(life, course)
    for i, (at, value) in enumerate(results):
        if at <= course.first:
            continue
        two_days = min([v for t, v in results[:i] if at - t <= 2 * DAY], default=99.0)
        week = min([v for t, v in results[:i] if at - t <= 7 * DAY], default=99.0)
        if value - two_days >= 0.3 or value >= 1.5 * week or (usual is not None and value >= 1.5 * usual):
            return at
    return None


def _any(life: Life, course: TrueCourse, analyte: str, holds: Callable[[float], bool], tail: int = 2) -> float:
    return float(any(holds(value) for _, value in _drawn(life, analyte, course.first, course.last + tail * DAY)))


# Foscarnet -----------------------------------------------------------------------------------------------------------


def injury_hct(life: Life) -> list[float]:
    """KDIGO injury in HCT."""
    if life.who.population != HCT:
        return []
    return [float(_kdigo_at(life, one) is not None) for one in _courses(life, "foscarnet")]


def _hiv(life: Life, *, hydrates: bool) -> list[TrueCourse]:
    if life.who.population != HIV or life.who.hydrates != hydrates:
        return []
    return list(_courses(life, "foscarnet"))


def rise_dry(life: Life) -> list[float]:
    """A rise by a quarter."""
    found = []
    for course in _hiv(life, hydrates=False):
        usual = _usual(life, course)
        if usual is not None:
            results = _drawn(life, "creatinine", course.first, course.last + 2 * DAY)
            found.append(float(max((value for _, value in results), default=0.0) >= 1.25 * usual))
    return found


def two_dry(life: Life) -> list[float]:
    """2.0 mg/dL without saline."""
    return [_any(life, one, "creatinine", lambda value: value >= 2.0) for one in _hiv(life, hydrates=False)]


def two_wet(life: Life) -> list[float]:
    """2.0 mg/dL with saline."""
    return [_any(life, one, "creatinine", lambda value: value >= 2.0) for one in _hiv(life, hydrates=True)]


def injury_week(life: Life) -> list[float]:
    """The day of the first injury of the first course, or minus the day until which there was none."""
    for course in _courses(life, "foscarnet", 1):
        at = _kdigo_at(life, course, 0)
        if at is not None:
            return [(at - course.first) / DAY]
        return [-(course.last - course.first) / DAY]
    return []


def mending(life: Life) -> list[float]:
    """Days from the last dose to a true creatinine below 1.25 x the usual."""
    trace, found = life.trace, []
    for course in _courses(life, "foscarnet"):
        usual = life.who.creatinine
        if trace.at(trace.creatinine, course.last) < 1.5 * usual:
            continue
        start = (course.last - trace.start) // STEP
        for step in range(start, len(trace.creatinine)):
            if trace.creatinine[step] < 1.25 * usual:
                found.append((trace.minute(step) - course.last) / DAY)
                break
    return found


def magnesium(life: Life) -> list[float]:
    """Below 1.2 mg/dL."""
    return [_any(life, one, "magnesium", lambda value: value < 1.2) for one in _courses(life, "foscarnet")]


def potassium(life: Life) -> list[float]:
    """Below 3.0 mmol/L."""
    return [_any(life, one, "potassium", lambda value: value < 3.0) for one in _courses(life, "foscarnet")]


def phosphate(life: Life) -> list[float]:
    """Below 2.0 mg/dL."""
    return [_any(life, one, "phosphate", lambda value: value < 2.0) for one in _courses(life, "foscarnet")]


def calcium(life: Life) -> list[float]:
    """Below 8.0 mg/dL, corrected."""
    missing = 0.8 * (4.0 - life.who.traits.albumin)
    return [_any(life, one, "calcium", lambda value: value + missing < 8.0) for one in _courses(life, "foscarnet")]


# Counts --------------------------------------------------------------------------------------------------------------


def _neutrophils(life: Life, drug: str, below: float, *, preemptive: bool) -> list[float]:
    if life.who.population != HCT:
        return []
    return [
        _any(life, one, "anc", lambda value: value < below, 7)
        for one in _courses(life, drug, 7)
        if (one.doses[0].intent == PREEMPTIVE or not preemptive) and one.treats
    ]


def foscarnet_neutrophils(life: Life) -> list[float]:
    """Below 0.5 on pre-emptive foscarnet."""
    return _neutrophils(life, "foscarnet", 0.5, preemptive=True)


def ganciclovir_neutrophils(life: Life) -> list[float]:
    """Below 0.5 on pre-emptive ganciclovir."""
    return _neutrophils(life, "ganciclovir", 0.5, preemptive=True)


def valganciclovir_neutrophils(life: Life) -> list[float]:
    """Below 1.0 on valganciclovir treatment."""
    return _neutrophils(life, "valganciclovir", 1.0, preemptive=False)


def _fallen(life: Life, analyte: str, limit: float) -> list[float]:
    found = []
    for course in _courses(life, "ganciclovir", 7):
        before = _drawn(life, analyte, course.first - 8 * DAY, course.first)
        if before and before[-1][1] >= limit:
            found.append(_any(life, course, analyte, lambda value: value < limit, 7))
    return found


def ganciclovir_platelets(life: Life) -> list[float]:
    """Below 50."""
    return _fallen(life, "platelets", 50)


def ganciclovir_hemoglobin(life: Life) -> list[float]:
    """Below 8.0 g/dL."""
    return _fallen(life, "hemoglobin", 8.0)


def _prophylaxis(life: Life) -> list[TrueCourse]:
    """Kidney recipients on prophylaxis who were followed for at least 150 d."""
    if life.who.organ != "kidney":
        return []
    found = [one for one in _courses(life, "valganciclovir", 14) if not one.treats]
    trace = life.trace
    return [one for one in found[:1] if trace.minute(len(trace.load)) - one.first >= 150 * DAY]


def prophylaxis_leukocytes(life: Life) -> list[float]:
    """Leukocytes below 3.5 in 6 months."""
    found = []
    for course in _prophylaxis(life):
        end = min(course.last + 7 * DAY, course.first + 180 * DAY)
        counts = dict(_drawn(life, "lymphocytes", course.first, end))
        low = [value + counts.get(at, 1.0) + 0.4 < 3.5 for at, value in _drawn(life, "anc", course.first, end)]
        found.append(float(any(low)))
    return found


def prophylaxis_neutrophils(life: Life) -> list[float]:
    """Neutrophils below 1.0 in 6 months."""
    found = []
    for course in _prophylaxis(life):
        end = min(course.last + 7 * DAY, course.first + 180 * DAY)
        found.append(float(any(value < 1.0 for _, value in _drawn(life, "anc", course.first, end))))
    return found


def prophylaxis_clearance(life: Life) -> list[float]:
    """mL/min on day 21."""
    trace = life.trace
    return [trace.at(trace.clearance, one.first + 21 * DAY) for one in _prophylaxis(life)]


# Cidofovir -----------------------------------------------------------------------------------------------------------


def _cidofovir(life: Life) -> list[TrueCourse]:
    return [one for one in _courses(life, "cidofovir", 0) if len(one.doses) >= 2]


def cidofovir_toxic(life: Life) -> list[float]:
    """Protein, creatinine or clearance by the label's criteria."""
    found, who = [], life.who
    for course in _cidofovir(life):
        usual = _usual(life, course) or who.creatinine

        def bad(value: float, usual: float = usual) -> bool:
            crcl = clearance(who.age, female=who.female, weight=who.weight, creatinine=value)
            return value >= usual + 0.4 or crcl <= 55

        hit = _any(life, course, "creatinine", bad, 14) or _any(life, course, "urine-protein", lambda v: v >= 100, 14)
        found.append(float(hit))
    return found


def cidofovir_protein(life: Life) -> list[float]:
    """2+ and more."""
    return [_any(life, one, "urine-protein", lambda value: value >= 100, 14) for one in _cidofovir(life)]


def cidofovir_neutrophils(life: Life) -> list[float]:
    """At most 0.5."""
    return [_any(life, one, "anc", lambda value: value <= 0.5, 14) for one in _cidofovir(life)]


def cidofovir_reduced(life: Life) -> list[float]:
    """A dose of 3 mg/kg."""
    return [float(any(dose.per_kg < 4 for dose in one.doses)) for one in _cidofovir(life)]


# Virus ---------------------------------------------------------------------------------------------------------------


def doubling(life: Life) -> list[float]:
    """Days to double, untreated, from 1.5 to 3.5 log10 or what was seen of it."""
    if life.who.population != HCT or life.who.plan != "surveillance":
        return []
    trace = life.trace
    first = min((one.first for one in courses_of(life.diary)), default=trace.minute(len(trace.load)))
    steps = [i for i, load in enumerate(trace.load) if 1.5 <= load <= 3.5 and trace.minute(i) < first]
    if len(steps) < 8 or steps[-1] - steps[0] != len(steps) - 1:
        return []
    rise = trace.load[steps[-1]] - trace.load[steps[0]]
    return [0.301 * (len(steps) - 1) / 4 / rise] if rise > 0.3 else []


def _on_ganciclovir(life: Life, least: float) -> Iterator[tuple[Therapy, Results]]:
    """Therapies begun with (val)ganciclovir, with their loads; -3 to 4 d of the first dose decide the first load."""
    for therapy in therapies_of(courses_of(life.diary)):
        if therapy.courses[0].drug not in GANCICLOVIRS:
            continue
        loads = _drawn(life, "cmv-dna", therapy.first - 4 * DAY, therapy.first + 70 * DAY)
        if loads and loads[0][0] <= therapy.first + 4 * DAY and loads[0][1] >= least:
            yield therapy, loads


def half_life(life: Life) -> list[float]:
    """From the first load to the last quantifiable one of the first 21 d, where it fell."""
    found = []
    for therapy, loads in _on_ganciclovir(life, 3.0):
        seen = [one for one in loads if one[0] <= therapy.first + 22 * DAY and one[1] > 0]
        if len(seen) < 2 or seen[-1][0] - seen[0][0] < 6 * DAY:
            continue
        fall = seen[0][1] - seen[-1][1]
        if fall > 0.1:
            found.append(0.301 * (seen[-1][0] - seen[0][0]) / DAY / fall)
    return found


def _clear_at(life: Life, day: int) -> list[float]:
    if life.who.population != SOT:
        return []
    found = []
    for therapy, loads in _on_ganciclovir(life, 3.0):
        near = [one for one in loads if abs(one[0] - therapy.first - day * DAY) <= 5 * DAY]
        if near:
            best = min(near, key=lambda one: abs(one[0] - therapy.first - day * DAY))
            found.append(float(best[1] < _LOW_COPIES))
    return found


def clear_21(life: Life) -> list[float]:
    """On day 21."""
    return _clear_at(life, 21)


def clear_49(life: Life) -> list[float]:
    """On day 49."""
    return _clear_at(life, 49)


def refractory(life: Life) -> list[float]:
    """At or above the first week's peak after 14 d and more."""
    if life.who.population == HIV:
        return []
    found = []
    for therapy in therapies_of(courses_of(life.diary)):
        loads = _drawn(life, "cmv-dna", therapy.first - 3 * DAY, therapy.over)
        peak = max((value for at, value in loads if at <= therapy.first + 7 * DAY), default=0.0)
        later = [value for at, value in loads if at > therapy.first + 14 * DAY]
        if peak >= 2.18 and later:
            found.append(float(max(later) >= peak))
    return found


def relapse(life: Life) -> list[float]:
    """Two quantifiable loads, or one of 1000 IU/mL, within 8 weeks after a therapy that cleared the blood."""
    if life.who.population == HIV:
        return []
    trace, found = life.trace, []
    for therapy in therapies_of(courses_of(life.diary)):
        loads = _drawn(life, "cmv-dna", therapy.first - 14 * DAY, therapy.over)
        clear = [value <= 0 for _, value in loads[-2:]]
        if len(clear) < 2 or not all(clear) or max(value for _, value in loads) <= 0:
            continue
        after = _drawn(life, "cmv-dna", therapy.last + 1, therapy.last + 56 * DAY)
        if trace.minute(len(trace.load)) < therapy.last + 56 * DAY:
            continue
        twice = any(one[1] > 0 and two[1] > 0 for one, two in pairwise(after))
        found.append(float(twice or any(value >= 3 for _, value in after)))
    return found


def resistance(life: Life) -> list[float]:
    """A resistant strain in those treated with (val)ganciclovir."""
    if life.who.population != SOT:
        return []
    treated = any(dose.phase == INDUCTION for drug in GANCICLOVIRS for dose in life.diary.doses.get(drug, ()))
    return [float(life.diary.resistant)] if treated else []


def reactivation(life: Life) -> list[float]:
    """Any quantifiable load up to day 100 after an allogeneic transplant."""
    who, trace = life.who, life.trace
    if who.population != HCT or who.plan != "surveillance" or who.transplant_day is None:
        return []
    day_100 = (who.transplant_day + 100) * DAY
    if trace.minute(len(trace.load)) < day_100:
        return []
    return [float(any(value > 0 for _, value in _drawn(life, "cmv-dna", 0, day_100)))]
