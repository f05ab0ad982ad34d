"""How a ward answers what therapy does to the marrow, the kidney and the electrolytes.

Sources: facts.md sections 1.3 (dose tables), 2.1 and 3 (hold, stop, G-CSF). A dose follows a changed clearance only
when someone looks again; that lag, and now and then an oversight, is what makes doses lie outside their band.
"""

from typing import TYPE_CHECKING, Final

from streams.simulation.clock import DAY, HOUR
from streams.simulation.prescribing import dose_for
from streams.simulation.regimens import BANDS, GANCICLOVIRS, PROPHYLAXIS, Dose

if TYPE_CHECKING:
    from streams.simulation.care import Care, Course

_LIMITS: Final = (("potassium", 3.3), ("magnesium", 1.5), ("phosphate", 2.3), ("calcium", 8.2))
_REPLETION: Final = (
    ("potassium chloride", 3000.0),
    ("magnesium sulfate", 4000.0),
    ("sodium phosphate", 1000.0),
    ("calcium gluconate", 2000.0),
)


def heed(care: "Care", now: int) -> None:
    """Reads what has come since yesterday, and acts."""
    _counts(care, now)
    _kidney(care, now)
    if "foscarnet" in care.courses:
        _salts(care, now)
    for drug, course in tuple(care.courses.items()):
        if drug in BANDS:
            _review_dose(care, drug, course, now)


def _recent(care: "Care", analyte: str, now: int, days: float = 3.0) -> float | None:
    latest = care.laboratory.latest(analyte, now)
    return latest[1] if latest is not None and now - latest[0] <= days * DAY else None


# Marrow --------------------------------------------------------------------------------------------------------------


def _counts(care: "Care", now: int) -> None:
    chance, prompt = care.chance, care.who.team.reviews
    platelets = _recent(care, "platelets", now)
    if platelets is not None and platelets < 15:
        care.body.marrow.transfuse_platelets()
    hemoglobin = _recent(care, "hemoglobin", now)
    if hemoglobin is not None and hemoglobin < 7.5:
        care.body.marrow.transfuse_red()
    neutrophils = _recent(care, "anc", now)
    if neutrophils is None:
        return
    care.neutrophils_low = neutrophils < 1.0
    courses = [care.courses[drug] for drug in GANCICLOVIRS if drug in care.courses]
    if neutrophils < 0.5:
        if chance.happens(0.5 * prompt):
            care.comedication.start("filgrastim", 0.3, 24, "sc", begin=now + 2 * HOUR, days=4)
        for course in courses:
            if course.held_at is None and chance.happens(0.25 * prompt):
                course.held_at = now
    elif neutrophils < 1.0:
        if chance.happens(0.12 * prompt):
            care.comedication.start("filgrastim", 0.3, 24, "sc", begin=now + 2 * HOUR, days=3)
        if chance.happens(0.05 * prompt):
            care.comedication.stop("mycophenolate")
    else:
        for course in courses:
            if course.held_at is not None and dose_for(care, course.order.drug, course.order.phase, now) is not None:
                _resume(course, now)


def _resume(course: "Course", now: int) -> None:
    course.held_at = None
    course.due = max(course.due, now + 2 * HOUR)


# Kidney --------------------------------------------------------------------------------------------------------------


def _kidney(care: "Care", now: int) -> None:
    chance, prompt = care.chance, care.who.team.reviews
    creatinine = _recent(care, "creatinine", now)
    if creatinine is None:
        return
    rise = creatinine / care.usual_creatinine
    care.kidney_falling = rise >= 1.35 and not care.who.dialysis
    course = care.courses.get("foscarnet")
    if course is None:
        return
    index = care.index("foscarnet", now)
    if index is not None and index < 0.4:
        if course.held_at is None and chance.happens(0.8 * prompt):
            course.held_at = now
    elif course.held_at is not None:
        if index is not None and index >= 0.5 and rise < 1.8 and chance.happens(0.5):
            _resume(course, now)
    elif rise >= 2.0 and chance.happens(0.3 * prompt):
        course.held_at = now


def _review_dose(care: "Care", drug: str, course: "Course", now: int) -> None:
    """Follows a new creatinine, if someone looks: down at once, up only when it is clear."""
    latest = care.laboratory.latest("creatinine", now)
    if latest is None or latest[0] <= course.read or care.who.dialysis:
        return
    prompt = care.who.team.reviews
    if not care.chance.happens(prompt if course.order.intent != PROPHYLAXIS else 0.6 * prompt):
        return
    course.read = latest[0]
    order = course.order
    lower = dose_for(care, drug, order.phase, now, nearly=1.02)
    higher = dose_for(care, drug, order.phase, now, nearly=0.92)
    given = order.amount / order.every
    if lower is not None and lower.amount / lower.every < given * 0.97:
        _change(course, lower, now)
    elif higher is not None and higher.amount / higher.every > given * 1.03:
        _change(course, higher, now)


def _change(course: "Course", dose: Dose, now: int) -> None:
    grown = dose.every - course.order.every
    course.order.amount, course.order.every = dose.amount, dose.every
    if grown > 0:
        # The next dose is put off by what the interval has grown.
        course.due = max(course.due, now) + grown * HOUR


# Electrolytes --------------------------------------------------------------------------------------------------------


def _salts(care: "Care", now: int) -> None:
    for i, (analyte, limit) in enumerate(_LIMITS):
        value = _recent(care, analyte, now, 1.5)
        if value is None:
            continue
        if analyte == "calcium":
            value += 0.8 * (4.0 - care.who.traits.albumin)
        if value < limit and care.chance.happens(0.3 + 0.5 * care.who.team.reviews):
            care.body.salts.replete(i)
            drug, milligrams = _REPLETION[i]
            if i != 2:
                care.nursing.give_plain(drug, milligrams, now + care.chance.whole(20, 120), "iv")
