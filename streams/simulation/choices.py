"""When a ward starts, stops, steps down or changes an antiviral: by the calendar, or by the viral load.

Sources: facts.md sections 1.2 (regimens), 6.2 to 6.4 (refractory, triggers, stop criteria) and alerts.md. Wards act a
day or more after a result, some late, a few not at all.
"""

from typing import TYPE_CHECKING, Final

from streams.simulation.clock import DAY, HOUR
from streams.simulation.people import HCT, HIV, SOT
from streams.simulation.prescribing import begin, dose_for
from streams.simulation.regimens import (
    GANCICLOVIRS,
    INDUCTION,
    MAINTENANCE,
    PREEMPTIVE,
    PROPHYLAXIS,
    TREATMENT,
)

if TYPE_CHECKING:
    from streams.simulation.care import Care, Course

_TRIGGER: Final = 3.0
_LOW_TRIGGER: Final = 2.176
"""log10 of 1000 and 150 IU/mL."""


def decide(care: "Care", now: int, *, gave_up: bool) -> None:
    """The round's decisions about antivirals; `gave_up`: cidofovir was just stopped for toxicity."""
    _change_immunosuppressant(care, now)
    _prophylaxis(care, now)
    course = care.treating
    if gave_up and care.who.population == HIV:
        _begin_first(care, "valganciclovir", TREATMENT, now)
    elif course is None:
        _start(care, now)
    elif course.order.drug == "cidofovir":
        pass
    elif course.held_at is not None and now - course.held_at >= 3 * DAY:
        _replace(care, course, now)
    elif care.who.population == HIV:
        _retinitis(care, course, now)
    elif care.who.plan == "herpes":
        if now - course.started > 17 * DAY:
            care.stop(course.order.drug, now)
    else:
        _by_load(care, course, now)


# Prophylaxis ---------------------------------------------------------------------------------------------------------


def _prophylaxis(care: "Care", now: int) -> None:
    who, day = care.who, now // DAY
    if who.plan not in ("letermovir", "prophylaxis") or who.transplant_day is None:
        return
    drug = "letermovir" if who.plan == "letermovir" else "valganciclovir"
    since = day - who.transplant_day
    course = care.courses.get(drug)
    last = 100 if who.population == HCT or who.recipient == "positive" else 195
    if course is None:
        wanted = care.treating is None and drug not in care.used and day - who.enters <= 12
        if wanted and since >= 1 and care.chance.happens(0.4):
            begin(care, drug, PROPHYLAXIS, now)
    elif course.order.intent == PROPHYLAXIS and since > last and care.chance.happens(0.3):
        care.stop(drug, now)


def _change_immunosuppressant(care: "Care", now: int) -> None:
    """Ciclosporin to tacrolimus or back: letermovir's dose should follow at its next dose."""
    if not care.who.immunosuppressant or not care.chance.happens(0.0007):
        return
    care.comedication.change_immunosuppressant(now)
    course = care.courses.get("letermovir")
    if course is not None and care.chance.happens(care.who.team.reviews):
        dose = dose_for(care, "letermovir", "", now)
        assert dose is not None
        course.order.amount = dose.amount
        course.due = max(course.due, now + 14 * HOUR)


# Starting ------------------------------------------------------------------------------------------------------------


def _start(care: "Care", now: int) -> None:
    who, chance = care.who, care.chance
    fresh = not care.used - {"letermovir"}
    if who.plan in ("retinitis", "adenovirus", "herpes"):
        if fresh and now // DAY - who.enters <= 14 and chance.happens(0.45):
            _begin_first(care, who.first_line, TREATMENT, now)
        return
    if not _triggered(care, now) or not chance.happens(0.12 + 0.6 * who.team.reviews):
        return
    for drug in ("letermovir", "valganciclovir"):
        if drug in care.courses:
            care.stop(drug, now)
    drug = who.first_line
    neutrophils = care.laboratory.latest("anc", now)
    if drug in GANCICLOVIRS and neutrophils is not None and neutrophils[1] < 0.6 and chance.happens(0.85):
        drug = "foscarnet"
    _begin_first(care, drug, PREEMPTIVE if chance.happens(0.7) else TREATMENT, now)


def _begin_first(care: "Care", drug: str, intent: str, now: int) -> None:
    """The drug of choice, or the next one that the label allows at this clearance."""
    for option in (drug, "ganciclovir", "maribavir"):
        if begin(care, option, intent, now):
            return


def _triggered(care: "Care", now: int) -> bool:
    loads = care.laboratory.known("cmv-dna", now)[-2:]
    if not loads or now - loads[-1][0] > 14 * DAY:
        return False
    last = loads[-1][1]
    if last >= _TRIGGER:
        return True
    who = care.who
    if who.population == SOT:
        return last > 0 and who.donor == "positive" and who.recipient == "negative"
    return len(loads) == 2 and last >= _LOW_TRIGGER and loads[0][1] >= _LOW_TRIGGER


# During therapy ------------------------------------------------------------------------------------------------------


def _by_load(care: "Care", course: "Course", now: int) -> None:
    chance, order = care.chance, course.order
    days = (now - course.therapy_began) / DAY
    loads = [one for one in care.laboratory.known("cmv-dna", now) if one[0] >= course.therapy_began - 3 * DAY]
    if not loads:
        return
    clear = [at for at, value in loads if value <= 0]
    run = _clear_run(loads)
    if order.phase == MAINTENANCE:
        if loads[-1][1] >= _TRIGGER and chance.happens(0.5):
            _set_phase(care, course, INDUCTION, now)
        elif now - course.started > 14 * DAY and days > 35 and run >= 6 and chance.happens(0.25):
            _finish(care, course, now)
        return
    enough = 21 if order.drug == "valganciclovir" else 14
    if days >= enough and run >= 6 and chance.happens(0.35):
        _finish(care, course, now)
    elif days >= enough and clear and loads[-1][1] <= 0 and chance.happens(0.06):
        _set_phase(care, course, MAINTENANCE, now)
    elif order.drug == "ganciclovir" and 7 <= days <= 40 and loads[-1][1] < 3.6 and chance.happens(0.04):
        _to_tablets(care, course, now)
    elif _fails(loads, course, now) and chance.happens(0.16 * care.who.team.reviews):
        _replace(care, course, now)


def _clear_run(loads: list[tuple[int, float]]) -> float:
    """Days spanned by the results without a quantifiable load at the end."""
    first = loads[-1][0]
    for at, value in reversed(loads):
        if value > 0:
            break
        first = at
    return (loads[-1][0] - first) / DAY


def _fails(loads: list[tuple[int, float]], course: "Course", now: int) -> bool:
    """After two weeks no lower than in the first week, or after three with a fall of less than 1 log10."""
    began = course.therapy_began
    peak = max((value for at, value in loads if at <= began + 7 * DAY), default=0.0)
    days, last = (now - began) / DAY, loads[-1]
    if peak <= 0 or last[0] < course.started + 12 * DAY or last[0] < began + 14 * DAY:
        return False
    return last[1] >= peak or (days > 21 and last[1] >= _TRIGGER and last[1] > peak - 1)


def _finish(care: "Care", course: "Course", now: int) -> None:
    care.cleared_once = True
    care.stop(course.order.drug, now)


def _set_phase(care: "Care", course: "Course", phase: str, now: int) -> None:
    dose = dose_for(care, course.order.drug, phase, now)
    if dose is None or course.order.drug == "maribavir":
        return
    grown = dose.every - course.order.every
    course.order.phase, course.order.amount, course.order.every = phase, dose.amount, dose.every
    if grown > 0:
        course.due += grown * HOUR


def _to_tablets(care: "Care", course: "Course", now: int) -> None:
    """From intravenous ganciclovir to valganciclovir; now and then both go on for some days."""
    if dose_for(care, "valganciclovir", INDUCTION, now) is None or care.who.dialysis:
        return
    began = course.therapy_began
    if begin(care, "valganciclovir", course.order.intent, now):
        care.courses["valganciclovir"].therapy_began = began
        if care.chance.happens(0.03):
            course.ends = now + care.chance.whole(2, 4) * DAY
        else:
            care.courses.pop("ganciclovir")


def _replace(care: "Care", course: "Course", now: int) -> None:
    """Another drug, for toxicity or for want of effect."""
    chance, who, old = care.chance, care.who, course.order.drug
    began, intent = course.therapy_began, course.order.intent
    options = [
        ("foscarnet", 0.5),
        ("maribavir", 0.42 if who.population != HIV else 0.0),
        ("cidofovir", 0.05),
        ("ganciclovir", 0.1 if old in ("foscarnet", "maribavir") else 0.0),
        ("valganciclovir", 0.08 if old in ("foscarnet", "maribavir") else 0.0),
    ]
    left = [(drug, weight) for drug, weight in options if drug != old and weight > 0]
    for _ in range(4):
        drug = chance.weighted(left)
        if begin(care, drug, intent, now):
            care.courses[drug].therapy_began = began
            if drug == "maribavir" and old in GANCICLOVIRS and chance.happens(0.03):
                course.ends = now + chance.whole(2, 5) * DAY
            else:
                care.courses.pop(old, None)
            return


# Retinitis -----------------------------------------------------------------------------------------------------------


def _retinitis(care: "Care", course: "Course", now: int) -> None:
    """Induction of two to three weeks, then maintenance until CD4 has been above 100/µL for three months."""
    chance, order = care.chance, course.order
    days = (now - course.therapy_began) / DAY
    if order.phase == INDUCTION and days >= 14 and chance.happens(0.25):
        if order.drug != "valganciclovir" and chance.happens(0.35) and begin(care, "valganciclovir", TREATMENT, now):
            new = care.courses["valganciclovir"]
            new.therapy_began = course.therapy_began
            care.courses.pop(order.drug)
            _set_phase(care, new, MAINTENANCE, now)
            return
        _set_phase(care, course, MAINTENANCE, now)
    elif order.phase == MAINTENANCE and days > 100:
        cd4 = care.laboratory.known("cd4", now)
        high = [at for at, value in cd4 if value >= 100]
        if cd4 and cd4[-1][1] >= 100 and high[0] < now - 92 * DAY and chance.happens(0.1):
            care.stop(order.drug, now)
