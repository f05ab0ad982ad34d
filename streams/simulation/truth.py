"""The truth about a patient: what was really the case, in the words of the monitor's alert codes.

It is told from the hidden body and from what was truly given and drawn, never from what was reported, and it shares no
code with the monitor. The conditions are those of alerts.md; the values are without noise, and known every 6 h.
"""

from streams.simulation.clock import DAY, iso
from streams.simulation.courses import courses_of
from streams.simulation.diary import Diary, Happened, Trace
from streams.simulation.people import Person
from streams.simulation.record import Event
from streams.simulation.truth_body import body_truths
from streams.simulation.truth_doses import dose_truths
from streams.simulation.truth_pairs import pair_truths
from streams.simulation.truth_tests import test_truths
from streams.simulation.truth_virus import virus_truths

_TAIL = 14 * DAY


def tell(who: Person, diary: Diary, trace: Trace, end: int) -> Event:
    """One patient's truth as an object of JSON. `end`: of the log, in minutes."""
    lived = end if diary.dies is None else min(end, diary.dies)
    courses = courses_of(diary)
    doses = list(dose_truths(who, diary, courses, trace))
    underdosed = [(one.start, one.end or end) for one in doses if one.code == "dose-below-renal-band"]
    happened = [
        *body_truths(who, courses, trace),
        *doses,
        *pair_truths(diary, courses),
        *test_truths(who, diary, courses, trace, lived),
        *virus_truths(who, courses, trace, underdosed),
    ]
    watched = [(course.first, course.last + _TAIL) for course in courses]
    happened += [one for one in diary.faults if any(start <= one.start <= stop for start, stop in watched)]
    truth: Event = {"patient_id": who.id, "population": who.population}
    truth["courses"] = [
        {
            "drug": course.drug,
            "intent": course.doses[0].intent,
            "from": iso(course.first),
            "to": iso(min(course.last, lived)),
            "doses": len(course.doses),
        }
        for course in courses
        if course.first < lived
    ]
    truth["died_at"] = None if diary.dies is None else iso(diary.dies)
    truth["happened"] = [_told(one, lived) for one in sorted(happened, key=_order) if one.start < lived]
    return truth


def _order(one: Happened) -> tuple[int, str, str]:
    return one.start, one.code, one.drug or ""


def _told(one: Happened, end: int) -> Event:
    over = None if one.end is None or one.end >= end else iso(one.end)
    return {
        "code": one.code,
        "drug": one.drug,
        "from": iso(one.start),
        "to": over,
        "severity": one.severity,
        "why": one.why,
    }
