"""Which tests a ward orders, and when: by drug, phase and habit (facts.md, section 5).

Careful wards order so that a well-run course is never overdue. Draws are missed on some days, and now and then a test
is forgotten for a week or two.
"""

from typing import TYPE_CHECKING, Final

from streams.simulation.assays import CHEMISTRY, COUNT, SALTS
from streams.simulation.clock import DAY, HOUR
from streams.simulation.people import HCT, HIV
from streams.simulation.regimens import MAINTENANCE, PROPHYLAXIS

if TYPE_CHECKING:
    from streams.simulation.care import Care

GROUPS: Final = ("chemistry", "count", "load", "level", "cd4", "weight")
_AFTER_THERAPY: Final = 56


def morning(care: "Care", day: int) -> None:
    """Draws what is due this morning."""
    chance, who = care.chance, care.who
    due = [group for group in GROUPS if _is_due(care, group, day)]
    if not due:
        return
    hour = 5.4 if care.inpatient else 9.3
    at = day * DAY + int(hour * HOUR) + chance.whole(-30, 35)
    if chance.happens(who.team.misses_draw * (1.5 if (day % 7) >= 5 else 0.8)):
        for group in due:
            care.put_off[group] = day + chance.whole(1, 2)
        return
    tests: list[str] = []
    for group in due:
        if group != "weight" and chance.happens(who.team.forgets_test):
            care.put_off[group] = day + chance.whole(4, 12)
            continue
        tests += tests_of(care, group)
    if not tests:
        return
    if "weight" in tests:
        tests.remove("weight")
        care.weigh(at)
        care.last_drawn["weight"] = day
    if tests and care.laboratory.draw(at, tuple(tests)):
        for group in due:
            if group not in care.put_off or care.put_off[group] <= day:
                care.last_drawn[group] = day


def tests_of(care: "Care", group: str) -> tuple[str, ...]:
    """The analytes of a group for this patient now."""
    if group == "chemistry":
        if "foscarnet" in care.courses:
            return (*SALTS, "calcium-ionized") if care.who.team.labs_every < 2 else SALTS
        return CHEMISTRY
    if group == "count":
        return COUNT
    if group == "load":
        return ("cmv-dna",)
    if group == "level":
        name = "ciclosporin" if care.comedication.is_on("ciclosporin") else "tacrolimus"
        return (f"{name}-level",)
    return ("cd4",) if group == "cd4" else ("weight",)


def _is_due(care: "Care", group: str, day: int) -> bool:
    put_off = care.put_off.get(group)
    if put_off is not None:
        if day < put_off:
            return False
        del care.put_off[group]
    every = _interval(care, group, day)
    return every is not None and day - care.last_drawn.get(group, -999) >= every


def _interval(care: "Care", group: str, day: int) -> float | None:
    """Days between two draws of a group, or None where it is not ordered."""
    who = care.who
    if group == "weight":
        return 3 if care.inpatient else 21
    if group == "cd4":
        return 28 if who.population == HIV else None
    if group == "level":
        if not who.immunosuppressant:
            return None
        return {1.0: 3, 2.0: 4, 3.0: 9}[who.team.labs_every]
    if group == "load":
        return _load_interval(care, day)
    return _blood_interval(care, group, day)


def _load_interval(care: "Care", day: int) -> float | None:
    who = care.who
    if who.population == HCT and who.transplant_day is not None and day - who.transplant_day <= 103:
        return 7
    if who.plan in ("adenovirus", "herpes"):
        return 14
    if care.treating is not None or "letermovir" in care.courses or day - care.stopped_on <= _AFTER_THERAPY:
        return 7
    if who.population == HIV:
        return 14
    if "valganciclovir" in care.courses:
        return 28
    return 14 if who.population == HCT else 7


def _blood_interval(care: "Care", group: str, day: int) -> float:
    who, every = care.who, care.who.team.labs_every
    usual = 7.0 if who.population == HCT or care.inpatient else 14.0
    wanted = [28.0 if who.population == HIV else usual]
    for drug, course in care.courses.items():
        age = day - course.started // DAY
        if drug == "foscarnet":
            if course.order.phase == MAINTENANCE:
                wanted.append(3 if every < 2 else 7)
            else:
                wanted.append(every if group == "chemistry" else min(7.0, 3 * every))
        elif drug == "ganciclovir":
            wanted.append(max(2.0, every) if age < 14 else 3 + every)
        elif drug == "valganciclovir":
            if course.order.intent == PROPHYLAXIS:
                wanted.append((7 if every < 2 else 14) if age < 90 else 28)
            else:
                wanted.append(3.5 if every < 2 and who.population == HCT else 7)
        else:
            wanted.append(7)
    if group == "count" and care.neutrophils_low:
        wanted.append(1 if every < 2 else 2)
    if group == "chemistry" and care.kidney_falling:
        wanted.append(1 if every < 2 else 2)
    return min(wanted)
