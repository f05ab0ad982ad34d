"""Cidofovir's own calendar: labs the day before each dose, then the dose, a smaller one, a week's wait, or the end.

Source: facts.md, section 1.3. Weekly twice, then every two weeks; 5 to 3 mg/kg at a rise of 0.3 mg/dL; stopped at 0.5
or at 3+ protein. Wards overlook a little of it.
"""

from typing import TYPE_CHECKING, Final

from streams.simulation.clock import DAY, HOUR
from streams.simulation.people import HIV
from streams.simulation.regimens import MAINTENANCE

if TYPE_CHECKING:
    from streams.simulation.care import Care, Course

_PREDOSE: Final = ("creatinine", "potassium", "anc", "lymphocytes", "platelets", "hemoglobin", "urine-protein")


def heed(care: "Care", now: int) -> bool:
    """The round's look at a course of cidofovir. True if it has just been given up for toxicity."""
    course = care.courses.get("cidofovir")
    if course is None:
        return False
    until = course.due - now
    if DAY <= until < 2 * DAY:
        _predose_labs(care, now)
    elif until < DAY and course.doses:
        return _judge(care, course, now)
    return False


def _predose_labs(care: "Care", now: int) -> None:
    team, chance = care.who.team, care.chance
    if chance.happens(0.02 + 12 * team.forgets_test):
        return
    tests = _PREDOSE if not chance.happens(0.02) else _PREDOSE[:-1]
    if care.laboratory.draw(now + chance.whole(10, 200), tests):
        care.last_drawn["chemistry"] = care.last_drawn["count"] = now // DAY


def _judge(care: "Care", course: "Course", now: int) -> bool:
    """On the day of a dose: give, reduce, wait or stop."""
    seen = care.chance.happens(0.55 + 0.42 * care.who.team.reviews)
    creatinine, protein = (care.laboratory.latest(one, now) for one in ("creatinine", "urine-protein"))
    before = care.before_cidofovir or (creatinine[1] if creatinine else care.usual_creatinine)
    rise = creatinine[1] - before if creatinine is not None else 0.0
    strip = protein[1] if protein is not None else 0.0
    neutrophils = care.laboratory.latest("anc", now)
    if seen and (rise >= 0.5 or strip >= 300):
        care.stop("cidofovir", now)
        return True
    crcl = care.index("cidofovir", now)
    unfit = strip >= 100 or (creatinine is not None and creatinine[1] > 1.5) or (crcl is not None and crcl <= 55)
    if seen and (unfit or (neutrophils is not None and neutrophils[1] < 0.5)):
        course.due += 7 * DAY
        return False
    if seen:
        course.order.amount = 3.0 if rise >= 0.3 else 5.0
    course.order.every = 336
    if course.doses >= 2:
        course.order.phase = MAINTENANCE
    last = 12 if care.who.population == HIV else 5
    if course.doses >= last:
        care.stop("cidofovir", now)
    return False


def first_dose(care: "Care", now: int) -> None:
    """Notes the creatinine before the first dose: the label's baseline, which stays fixed."""
    latest = care.laboratory.latest("creatinine", now + 3 * HOUR)
    care.before_cidofovir = latest[1] if latest is not None else None
