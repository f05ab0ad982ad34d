"""True courses: runs of doses of one antiviral for one intent, as alerts.md defines them, from what was truly given."""

from collections.abc import Iterable
from dataclasses import dataclass

from streams.simulation.clock import DAY, HOUR
from streams.simulation.diary import Diary, Given
from streams.simulation.regimens import ANTIVIRALS, COURSE_GAP, GANCICLOVIRS, MAINTENANCE, PROPHYLAXIS

Span = tuple[int, int]
"""From a minute to another."""


@dataclass(frozen=True, slots=True)
class TrueCourse:
    """One course; `treats`: treatment, pre-emptive or maintenance, not prophylaxis."""

    drug: str
    treats: bool
    doses: tuple[Given, ...]

    @property
    def first(self) -> int:
        """The start of its first dose."""
        return self.doses[0].start

    @property
    def last(self) -> int:
        """The start of its last dose."""
        return self.doses[-1].start

    @property
    def over(self) -> int:
        """When it is known to have ended."""
        return self.last + COURSE_GAP[self.drug] * DAY

    def before(self, at: int) -> Given | None:
        """The last dose up to a minute."""
        found = None
        for dose in self.doses:
            if dose.start > at:
                break
            found = dose
        return found

    def lasts(self, dose: Given) -> int:
        """Until when a dose keeps the drug current."""
        if self.drug == "cidofovir":
            return dose.start + 21 * DAY
        spaced = self.drug in GANCICLOVIRS and (not self.treats or dose.phase == MAINTENANCE)
        return dose.start + max(2 * dose.every, 84 if spaced else 36) * HOUR

    def is_current(self, at: int) -> bool:
        """Whether the drug is current at a minute."""
        dose = self.before(at)
        return dose is not None and at <= self.lasts(dose)


def courses_of(diary: Diary, drugs: Iterable[str] = ANTIVIRALS) -> list[TrueCourse]:
    """Every true course, in order of its first dose."""
    found: list[TrueCourse] = []
    for drug in drugs:
        run: list[Given] = []
        for dose in sorted(diary.doses.get(drug, ())):
            if run and (
                dose.start - run[-1].start > COURSE_GAP[drug] * DAY
                or (dose.intent == PROPHYLAXIS) != (run[-1].intent == PROPHYLAXIS)
            ):
                found.append(_course(drug, run))
                run = []
            run.append(dose)
        if run:
            found.append(_course(drug, run))
    return sorted(found, key=lambda one: (one.first, one.drug))


def _course(drug: str, doses: list[Given]) -> TrueCourse:
    return TrueCourse(drug, doses[0].intent != PROPHYLAXIS, tuple(doses))


@dataclass(frozen=True, slots=True)
class Therapy:
    """Treatment courses that follow each other within 3 d."""

    courses: tuple[TrueCourse, ...]

    @property
    def first(self) -> int:
        """Its first dose."""
        return self.courses[0].first

    @property
    def last(self) -> int:
        """Its last dose."""
        return max(course.last for course in self.courses)

    @property
    def over(self) -> int:
        """When every course of it has ended."""
        return max(course.over for course in self.courses)

    def is_current(self, at: int) -> bool:
        """Whether any of its drugs is current."""
        return any(course.is_current(at) for course in self.courses)

    def days(self, at: int) -> int:
        """Treatment days up to a minute: distinct 24 h with a dose."""
        return len({(d.start - self.first) // DAY for course in self.courses for d in course.doses if d.start <= at})


def therapies_of(courses: list[TrueCourse]) -> list[Therapy]:
    """Joined therapies, in order."""
    found: list[list[TrueCourse]] = []
    for course in courses:
        if not course.treats:
            continue
        if found and course.first - max(one.last for one in found[-1]) <= 3 * DAY:
            found[-1].append(course)
        else:
            found.append([course])
    return [Therapy(tuple(one)) for one in found]
