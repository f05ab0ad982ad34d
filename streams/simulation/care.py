"""A ward that looks after one patient: each day it draws, reads what has come, decides, and gives.

It knows only what the laboratory has reported so far. How promptly it acts is the team's habit.
"""

from dataclasses import dataclass
from typing import Final

from streams.simulation import choices, cidofovir, orders, toxicity
from streams.simulation.body import Body
from streams.simulation.chance import Chance
from streams.simulation.clock import DAY, HOUR
from streams.simulation.comedication import Comedication
from streams.simulation.diary import Diary
from streams.simulation.laboratory import Laboratory
from streams.simulation.nursing import Nursing, Order
from streams.simulation.people import Person
from streams.simulation.record import Record
from streams.simulation.regimens import PROPHYLAXIS, clearance, index_of

ROUND: Final = 10 * HOUR
"""The hour of the daily round, and of the first dose of a day."""
LONG_AGO: Final = -9999


@dataclass(slots=True)
class Course:
    """An antiviral being given. `started`: its first dose; `read`: when the creatinine behind its dose was drawn."""

    order: Order
    due: int
    started: int
    therapy_began: int
    doses: int = 0
    read: int = -1
    held_at: int | None = None
    """Since when its doses are held."""
    ends: int | None = None


class Care:
    """The ward's view of one patient, and its hands."""

    def __init__(self, who: Person, chance: Chance, body: Body, diary: Diary, record: Record) -> None:
        """Takes a patient in."""
        self.who, self.chance, self.body, self.diary, self.record = who, chance, body, diary, record
        self.laboratory = Laboratory(who, chance, body, diary, record)
        self.nursing = Nursing(who, chance, body, diary, record)
        self.comedication = Comedication(who, chance, self.nursing)
        self.courses: dict[str, Course] = {}
        self.last_drawn: dict[str, int] = {}
        self.put_off: dict[str, int] = {}
        self.stopped_on = LONG_AGO
        self.therapy_began = -1
        self.before_cidofovir: float | None = None
        """The creatinine before cidofovir's first dose, mg/dL."""
        self.used: set[str] = set()
        self.neutrophils_low = False
        self.kidney_falling = False
        self.cleared_once = False
        self.usual_creatinine = who.creatinine
        """What the ward holds to be usual."""

    @property
    def treating(self) -> Course | None:
        """The course of treatment that is being given or held, the newest first."""
        found = [one for one in self.courses.values() if one.order.intent != PROPHYLAXIS and one.ends is None]
        return max(found, key=lambda one: one.started) if found else None

    @property
    def inpatient(self) -> bool:
        """In a bed: on an intravenous drug, or soon after an allogeneic transplant."""
        intravenous = any(drug in ("foscarnet", "ganciclovir", "cidofovir") for drug in self.courses)
        return intravenous and (self.treating is None or self.treating.order.phase == "induction")

    def weigh(self, at: int) -> None:
        """Body weight, where the hospital writes it down."""
        if "weight" not in self.who.unknown:
            self.laboratory.draw(at, ("weight",), elsewhere=True)

    def index(self, drug: str, now: int) -> float | None:
        """The clearance that a drug's table is read by, from the latest creatinine that has come."""
        latest = self.laboratory.latest("creatinine", now)
        if latest is None:
            return None
        who = self.who
        crcl = clearance(who.age, female=who.female, weight=who.weight, creatinine=latest[1])
        return index_of(drug, crcl, who.weight)

    def day(self, day: int) -> None:
        """One day from its morning draw on."""
        orders.morning(self, day)
        now = day * DAY + ROUND
        toxicity.heed(self, now)
        gave_up = cidofovir.heed(self, now)
        choices.decide(self, now, gave_up=gave_up)
        on = frozenset(self.courses)
        self.comedication.day(now, on, inpatient=self.inpatient)
        for drug in tuple(self.courses):
            self._give(self.courses[drug], now + DAY)
            ends = self.courses[drug].ends
            if ends is not None and now + DAY >= ends:
                del self.courses[drug]

    def add(self, drug: str, order: Order, started: int, therapy_began: int) -> None:
        """Begins a course with its first dose at a minute."""
        self.courses[drug] = Course(order, started, started, therapy_began)
        self.used.add(drug)
        if order.intent != PROPHYLAXIS:
            self.therapy_began = therapy_began

    def stop(self, drug: str, now: int) -> None:
        """Ends a course; surveillance goes on from here."""
        course = self.courses.pop(drug, None)
        if course is not None and course.order.intent != PROPHYLAXIS:
            self.stopped_on = now // DAY
        elif drug == "letermovir":
            self.stopped_on = max(self.stopped_on, now // DAY - 50)

    def _give(self, course: Course, until: int) -> None:
        """Every dose that falls due before the next round."""
        every = course.order.every * HOUR
        while course.due < until and (course.ends is None or course.due < course.ends):
            if course.held_at is not None:
                self.nursing.hold(course.order, course.due)
            else:
                self.nursing.give(course.order, course.due, first=course.doses == 0)
                course.doses += 1
            course.due += every
