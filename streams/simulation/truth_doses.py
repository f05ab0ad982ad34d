"""What was truly wrong with a dose: its size for the true clearance, its fluid, its protection, its pace.

Conditions are those of alerts.md; an episode goes on while each next dose is wrong as well.
"""

from collections.abc import Callable, Iterator
from typing import Final

from streams.simulation.chance import total
from streams.simulation.clock import DAY, HOUR
from streams.simulation.courses import TrueCourse
from streams.simulation.diary import Diary, Given, Happened, Trace
from streams.simulation.people import Person
from streams.simulation.regimens import BANDS, INDUCTION, MAINTENANCE, PER_KG, Band, Dose, band_of, index_of

Wrong = tuple[str, str]
"""A severity, and why."""
Judge = Callable[[int], Wrong | None]
"""What is wrong with the dose of an index."""
_FLUIDS: Final = ("sodium chloride",)
_PREDOSE: Final = ("creatinine", "urine-protein", "anc")


def dose_truths(who: Person, diary: Diary, courses: list[TrueCourse], trace: Trace) -> Iterator[Happened]:
    """Everything that is judged at a dose."""
    for course in courses:
        for code, judge in _judges(who, diary, course, trace).items():
            yield from _runs(code, course, judge)


def _judges(who: Person, diary: Diary, course: TrueCourse, trace: Trace) -> dict[str, Judge]:
    """What each dose of a course is asked, by alert code."""
    drug, doses = course.drug, course.doses
    judges: dict[str, Judge] = {}
    if drug in BANDS and not who.dialysis and who.age >= 18:
        judges["dose-above-renal-band"] = lambda i: _above(who, course, i, trace)
        if course.treats:
            judges["dose-below-renal-band"] = lambda i: _below(who, course, i, trace)
    if drug in ("foscarnet", "cidofovir"):
        judges["hydration-missing"] = lambda i: _dry(diary, course, i)
    if drug == "foscarnet":
        judges["foscarnet-infusion-rate"] = lambda i: _fast(doses[i])
    elif drug == "cidofovir":
        judges["probenecid-missing"] = lambda i: _bare(diary, doses[i])
        judges["cidofovir-predose-labs-missing"] = lambda i: _blind(diary, doses[i])
        judges["cidofovir-dose"] = lambda i: _cidofovir_dose(course, i, trace)
    elif drug == "letermovir":
        judges["letermovir-ciclosporin-dose"] = lambda i: _letermovir(diary, course, i)
    elif drug == "maribavir":
        judges["maribavir-inducer-dose"] = lambda i: _induced(diary, doses[i])
    return judges


def _runs(code: str, course: TrueCourse, judge: Judge) -> Iterator[Happened]:
    """Episodes of doses that are wrong one after the other."""
    start, worst = None, ("", "")
    for i, dose in enumerate(course.doses):
        wrong = judge(i)
        if wrong is not None:
            if start is None:
                start, worst = dose.start, wrong
            elif wrong[0] == "critical" != worst[0]:
                worst = wrong
        elif start is not None:
            yield Happened(code, course.drug, start, dose.start, *worst)
            start = None
    if start is not None:
        yield Happened(code, course.drug, start, course.over, *worst)


# Renal bands ---------------------------------------------------------------------------------------------------------


def _columns(band: Band, dose: Given) -> tuple[Dose, ...]:
    return band.induction if dose.phase == INDUCTION else band.maintenance


def _amount(dose: Given) -> float:
    return dose.per_kg if dose.drug in PER_KG else dose.amount


def _total(course: TrueCourse, i: int, window: int) -> tuple[float, int]:
    """The doses of so many hours up to the i-th: their sum, and how many they are."""
    at = course.doses[i].start
    found = [_amount(dose) for dose in course.doses[: i + 1] if dose.start >= at - window * HOUR]
    return total(found), len(found)


def _above(who: Person, course: TrueCourse, i: int, trace: Trace) -> Wrong | None:
    """Prescribed at more than a tenth over the daily dose of the true clearance's band, or a dose given twice."""
    dose = course.doses[i]
    index = index_of(course.drug, trace.at(trace.clearance, dose.start), who.weight)
    if course.drug == "foscarnet" and index < 0.4:
        return None
    band = band_of(course.drug, index, slack=0.1)
    if band is None:
        return ("critical", f"tablets at a true clearance of {index:.1f} mL/min")
    columns = _columns(band, dose) if i else (*band.induction, *band.maintenance)
    allowed = max(one.amount / one.every for one in columns) * 24
    daily = _amount(dose) / dose.every * 24
    if daily > 1.1 * allowed:
        small = course.drug == "valganciclovir" and dose.amount <= 450 and dose.every >= 24
        severity = "critical" if daily >= 2 * allowed and i and not small else "warning"
        return severity, f"{daily:.0f} a day where {allowed:.0f} is right at a true clearance of {index:.2f}"
    if i and dose.start - course.doses[i - 1].start < dose.every * HOUR // 2:
        return "warning", "given twice"
    return None


def _below(who: Person, course: TrueCourse, i: int, trace: Trace) -> Wrong | None:
    """Less than 80 % of the smallest column over 72 h (7 d in maintenance), with the virus in the blood."""
    dose = course.doses[i]
    window = 168 if dose.phase == MAINTENANCE else 72
    since = dose.start - window * HOUR
    if course.first > since or any(one.phase != dose.phase for one in course.doses if since <= one.start <= dose.start):
        return None
    if not _quantifiable(who, trace, course.first - 30 * DAY, dose.start):
        return None
    index = index_of(course.drug, trace.at(trace.clearance, dose.start), who.weight)
    band = band_of(course.drug, index / 1.1)
    if band is None:
        return None
    wanted = min(one.amount * window / one.every for one in _columns(band, dose))
    if course.drug == "foscarnet" and dose.phase == INDUCTION:
        wanted *= 2 / 3
    total, _ = _total(course, i, window)
    if total >= 0.8 * wanted:
        return None
    return "warning", f"{total:g} in {window} h where {wanted:g} is needed at a true clearance of {index:.2f}"


def _quantifiable(who: Person, trace: Trace, start: int, end: int) -> bool:
    limit = 2.14 if who.habits.lloq == 137 else 1.6
    low = max(0, (start - trace.start) // 360)
    return any(load >= limit for load in trace.load[low : max(low + 1, (end - trace.start) // 360 + 1)])


# Fluid, protection, pace ---------------------------------------------------------------------------------------------


def _fluid(diary: Diary, start: int, end: int) -> float:
    """Gives the mL given between two minutes, by share of time."""
    total = 0.0
    for drug in _FLUIDS:
        for one in diary.doses.get(drug, ()):
            overlap = min(one.end, end) - max(one.start, start)
            if overlap > 0:
                total += one.amount * overlap / (one.end - one.start)
    return total


def _dry(diary: Diary, course: TrueCourse, i: int) -> Wrong | None:
    dose = course.doses[i]
    if course.drug == "cidofovir":
        needed, had = 1000.0, _fluid(diary, dose.start - 3 * HOUR, dose.start)
    else:
        needed = 500.0 if i and dose.per_kg <= 60.5 else 750.0
        had = _fluid(diary, dose.start - 6 * HOUR, dose.end if i else dose.start)
    if had >= needed - 1:
        return None
    return "warning", f"{had:.0f} mL of fluid truly given where {needed:.0f} mL belong to the dose"


def _fast(dose: Given) -> Wrong | None:
    minutes = dose.end - dose.start
    pace = dose.per_kg / minutes if minutes else 0.0
    if pace <= 1.1:
        return None
    return "critical" if pace >= 2 else "warning", f"infused at {pace:.1f} mg/kg/min"


def _bare(diary: Diary, dose: Given) -> Wrong | None:
    had = sum(one.amount for one in diary.doses.get("probenecid", ()) if 90 <= dose.start - one.start <= 270)
    if had >= 2000:
        return None
    return "info" if dose.per_kg <= 1.5 else "warning", f"{had:.0f} mg of probenecid truly given before the dose"


def _blind(diary: Diary, dose: Given) -> Wrong | None:
    missing = [
        analyte
        for analyte in _PREDOSE
        if not any(dose.start - 2 * DAY <= at <= dose.start for at, _ in diary.draws.get(analyte, ()))
    ]
    return ("warning", f"not drawn in the 48 h before: {', '.join(missing)}") if missing else None


def _cidofovir_dose(course: TrueCourse, i: int, trace: Trace) -> Wrong | None:
    dose = course.doses[i]
    since = (dose.start - course.doses[i - 1].start) / DAY if i else 99.0
    if dose.per_kg > 7.5 or (since < 6 and dose.per_kg > 1.5):
        return "critical", f"{dose.per_kg:.1f} mg/kg, {since:.0f} d after the last"
    if dose.per_kg > 5.5 or (i >= 2 and since < 12 and dose.per_kg > 1.5):
        return "warning", f"{dose.per_kg:.1f} mg/kg, {since:.0f} d after the last"
    rise = trace.at(trace.creatinine, dose.start) - trace.at(trace.creatinine, course.first)
    if dose.per_kg > 3.3 and 0.3 <= rise < 0.5:
        return "warning", f"{dose.per_kg:.1f} mg/kg at a true rise of {rise:.2f} mg/dL"
    return None


def _given_within(diary: Diary, drug: str, at: int, hours: int) -> bool:
    return any(0 <= at - one.start <= hours * HOUR for one in diary.doses.get(drug, ()))


def _letermovir(diary: Diary, course: TrueCourse, i: int) -> Wrong | None:
    at = course.doses[i].start
    total, _ = _total(course, i, 12)
    if _given_within(diary, "ciclosporin", at, 72):
        return ("warning", f"{total:g} mg with ciclosporin") if total >= 480 else None
    if total > 240:
        return None
    before = any(course.first - 3 * DAY <= one.start <= at for one in diary.doses.get("ciclosporin", ()))
    if before or _given_within(diary, "tacrolimus", at, 72):
        return "warning", f"{total:g} mg without ciclosporin"
    return None


def _induced(diary: Diary, dose: Given) -> Wrong | None:
    if dose.amount < 1200 and _given_within(diary, "phenytoin", dose.start, 48):
        return "warning", f"{dose.amount:g} mg of maribavir on phenytoin"
    return None
