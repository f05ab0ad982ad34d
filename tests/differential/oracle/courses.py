"""Courses, intent, phase, current, joined therapy: always as known at a time, from the doses up to it."""

import itertools
from dataclasses import dataclass, replace
from fractions import Fraction

from . import tables as tb
from .facts import Case, Dose
from .renal import agreed, amount, band, clearances

GAP = {"foscarnet": 4, "ganciclovir": 4, "valganciclovir": 5, "cidofovir": 21, "letermovir": 3, "maribavir": 3}
INTENT = {
    "treatment": "treatment",
    "preemptive": "treatment",
    "maintenance": "treatment",
    "prophylaxis": "prophylaxis",
}


@dataclass(frozen=True)
class Course:
    drug: str
    doses: tuple[Dose, ...]
    intent: str
    labeled: bool
    phases: tuple[str, ...]  # of each dose: induction, maintenance, prophylaxis
    replaced: bool = False  # another course of the drug has begun

    @property
    def first(self) -> int:
        return self.doses[0].at

    @property
    def last(self) -> int:
        return self.doses[-1].at

    @property
    def phase(self) -> str:
        return self.phases[-1]

    @property
    def gap(self) -> int:
        return GAP[self.drug] * tb.DAY

    def over(self, t: int) -> bool:
        return self.replaced or t > self.last + self.gap

    def current_until(self) -> int:
        """Return the last moment at which the drug is current if no more doses come."""
        if self.replaced:
            return self.last - tb.TICK
        if self.drug == "cidofovir":
            return self.last + 21 * tb.DAY
        spaced = self.drug in tb.GANCICLOVIRS and self.phase in ("maintenance", "prophylaxis")
        least = (84 if spaced else 36) * tb.HOUR
        return min(self.last + max(2 * self.usual_interval(), least), self.last + self.gap)

    def usual_interval(self) -> int:
        times = [d.at for d in self.doses]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        if len(gaps) < 2:
            return 14 * tb.DAY if self.drug == "cidofovir" else 24 * tb.HOUR
        gaps = sorted(gaps[-4:])
        middle = len(gaps) // 2
        return gaps[middle] if len(gaps) % 2 else Fraction(gaps[middle - 1] + gaps[middle]) / 2

    def current(self, t: int) -> bool:
        return t <= self.current_until()


def snapshots(case: Case, drug: str) -> list[tuple[Course, ...]]:
    """Return the courses of a drug as known after 0, 1, 2 ... doses."""
    key = "snapshots", drug
    if key not in case.memo:
        found: list[tuple[Course, ...]] = [()]
        for dose in case.given(drug):
            found.append(after(case, found[-1], dose))
        case.memo[key] = found
    return case.memo[key]


def courses(case: Case, drug: str, t: int) -> tuple[Course, ...]:
    return snapshots(case, drug)[case.count(drug, t)]


def course(case: Case, drug: str, t: int) -> Course | None:
    """Return the latest course of a drug, over or not."""
    known = courses(case, drug, t)
    return known[-1] if known else None


def running(case: Case, drug: str, t: int) -> Course | None:
    found = course(case, drug, t)
    return found if found and not found.over(t) else None


def is_current(case: Case, drug: str, t: int) -> bool:
    found = course(case, drug, t)
    return found is not None and found.current(t)


def after(case: Case, known: tuple[Course, ...], dose: Dose) -> tuple[Course, ...]:
    """Return the courses once one more dose is given."""
    label = INTENT.get(dose.label)
    last = known[-1] if known and not known[-1].over(dose.at) else None
    if last is None:
        fresh = build(case, dose.drug, (dose,), label or presumed(case, dose), label is not None)
        return (*known, fresh)
    single = len(last.doses) == 1 and not last.labeled
    if label and label != last.intent and not single:
        return (*known[:-1], replace(last, replaced=True), build(case, dose.drug, (dose,), label, True))
    if label:
        return (*known[:-1], build(case, dose.drug, (*last.doses, dose), label, True))
    inferred = dose.drug in tb.GANCICLOVIRS and last.intent == "prophylaxis" and not last.labeled
    if inferred and (dose.at - last.last < 18 * tb.HOUR or too_large(case, dose)):
        if single:
            return (*known[:-1], build(case, dose.drug, (*last.doses, dose), "treatment", False))
        fresh = build(case, dose.drug, (dose,), "treatment", False)
        return (*known[:-1], replace(last, replaced=True), fresh)
    return (*known[:-1], build(case, dose.drug, (*last.doses, dose), last.intent, last.labeled, last.phases))


def presumed(case: Case, dose: Dose) -> str:
    """Return the intent of a first dose without a label."""
    if dose.drug == "letermovir":
        return "prophylaxis"
    if dose.drug not in tb.GANCICLOVIRS or too_large(case, dose):
        return "treatment"
    return "treatment" if quantifiable(case, dose.at - 14 * tb.DAY, dose.at) else "prophylaxis"


def too_large(case: Case, dose: Dose) -> bool:
    given = amount(case, dose)
    return given is not None and given > {"ganciclovir": Fraction("6.6"), "valganciclovir": Fraction(900)}[dose.drug]


def quantifiable(case: Case, start: int, end: int) -> bool:
    return any(x.kind == "number" and start <= x.at <= end for x in case.loads)


# Phase -----------------------------------------------------------------------------------------------------------


def build(
    case: Case, drug: str, doses: tuple[Dose, ...], intent: str, labeled: bool, phases: tuple[str, ...] = ()
) -> Course:
    """Make a course, with the phase of each dose; phases that are known already do not change."""
    if intent == "prophylaxis":
        return Course(drug, doses, intent, labeled, ("prophylaxis",) * len(doses))
    kept = list(phases)
    for i in range(len(kept), len(doses)):
        kept.append(phase_of(case, drug, doses[: i + 1], kept))
    return Course(drug, doses, intent, labeled, tuple(kept))


def phase_of(case: Case, drug: str, doses: tuple[Dose, ...], before: list[str]) -> str:
    labels = [d.label for d in doses if d.label]
    if labels and labels[-1] == "maintenance":
        return "maintenance"
    first, dose = doses[0].at, doses[-1]
    days = {(d.at - first) // tb.DAY for d, phase in zip(doses, before, strict=False) if phase == "induction"}
    if len(days) >= 14 and drug in tb.BANDS and fits_maintenance(case, drug, doses, dose.at):
        return "maintenance"
    return "induction"


def fits_maintenance(case: Case, drug: str, doses: tuple[Dose, ...], t: int) -> bool:
    amounts = [amount(case, d) for d in doses if t - 45 * tb.HOUR < d.at <= t]  # 48 h, a dose up to 90 min off
    if None in amounts:
        return False
    given = sum(amounts)

    def fits(clearance: Fraction) -> bool:
        i = band(drug, clearance)
        if i is None:
            return False
        columns = tb.BANDS[drug][i][3]
        if len(amounts) > max(48 // hours if hours < 48 else 1 for _, hours in columns):
            return False
        allowed = max(Fraction(mg) * (Fraction(48, hours) if hours < 48 else 1) for mg, hours in columns)
        return given - allowed < tb.TABLET if drug == "valganciclovir" else given <= allowed * Fraction("1.1")

    return agreed(clearances(case, drug, t, 7 * tb.DAY), fits) is True


# Joined therapy --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Therapy:
    courses: tuple[Course, ...]

    @property
    def first(self) -> int:
        return min(c.first for c in self.courses)

    @property
    def last(self) -> int:
        return max(c.last for c in self.courses)

    def goes_on(self, t: int) -> bool:
        return any(not c.over(t) for c in self.courses)

    def doses(self) -> list[tuple[int, str, str]]:
        """Return time, drug and phase of every dose."""
        return sorted((d.at, c.drug, p) for c in self.courses for d, p in zip(c.doses, c.phases, strict=True))

    def days(self) -> set[int]:
        """Return the treatment days, as numbers counted from the first dose."""
        return {(at - self.first) // tb.DAY for at, _, _ in self.doses()}


def therapies(case: Case, t: int) -> list[Therapy]:
    key = "therapies", *(case.count(drug, t) for drug in tb.ANTIVIRALS)
    if key not in case.memo:
        case.memo[key] = join([c for drug in tb.ANTIVIRALS for c in courses(case, drug, t) if c.intent == "treatment"])
    return case.memo[key]


def join(found: list[Course]) -> list[Therapy]:
    groups: list[list[Course]] = []
    for c in sorted(found, key=lambda c: (c.first, c.drug)):
        if groups and c.first <= max(other.last for other in groups[-1]) + 3 * tb.DAY:
            groups[-1].append(c)
        else:
            groups.append([c])
    return [Therapy(tuple(group)) for group in groups]


def going(case: Case, t: int) -> Therapy | None:
    """Return the latest joined therapy that goes on."""
    return next((j for j in reversed(therapies(case, t)) if j.goes_on(t)), None)


def become(case: Case, t: int, once: Therapy) -> Therapy | None:
    """Return what a therapy as it once stood has become; None where labels have since made all of it prophylaxis."""
    courses = {(c.drug, c.first) for c in once.courses}
    return next((j for j in reversed(therapies(case, t)) if courses & {(c.drug, c.first) for c in j.courses}), None)


def treatment_current(case: Case, t: int) -> bool:
    return any(c and c.intent == "treatment" and c.current(t) for c in (course(case, d, t) for d in tb.ANTIVIRALS))


def edges(case: Case, *drugs: str) -> set[int]:
    """Return the moments after which a drug is no longer current, or its course over, if no more doses come."""
    found: set[int] = set()
    for drug in drugs:
        for known in snapshots(case, drug)[1:]:
            found |= {known[-1].last + known[-1].gap + tb.TICK, after_current(known[-1])}
    return found


def after_current(c: Course) -> int:
    """Return the first microsecond that lies behind `current_until`, which may be a fraction of one."""
    return int(c.current_until() // 1) + tb.TICK
