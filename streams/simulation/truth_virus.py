"""What the virus truly did: the hidden load against the conditions of alerts.md, sampled every 6 h, without noise.

`Quantifiable` is a true load at or above the laboratory's limit. A condition that the monitor asks of two samples must
hold here for a week.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

from streams.simulation.clock import DAY, STEP
from streams.simulation.courses import Span, Therapy, TrueCourse, therapies_of
from streams.simulation.diary import Happened, Trace
from streams.simulation.people import HCT, HIV, SOT, Person
from streams.simulation.regimens import GANCICLOVIRS, INDUCTION

_PER_DAY: Final = DAY // STEP
_WEEK: Final = 7 * _PER_DAY
_THOUSAND: Final = 3.0
_LOW: Final = 2.176
_WATCHED_AFTER: Final = 56 * DAY
_SEVERITY: Final = {
    "refractory-cmv": "critical",
    "slow-viral-response": "info",
    "viral-clearance": "info",
    "stop-criteria-met": "info",
    "step-down-due": "info",
}
"""What is not a warning."""


def virus_truths(who: Person, courses: list[TrueCourse], trace: Trace, underdosed: list[Span]) -> Iterator[Happened]:
    """Everything that the hidden load says; `underdosed`: spans of too small doses."""
    view = _View(who, trace)
    therapies = therapies_of(courses)
    for therapy in therapies:
        if view.quantifiable(therapy.first - 30 * DAY, therapy.last):
            yield from _failing(view, therapy, underdosed)
            yield from _clearing(view, therapy)
            yield from _rebounding(view, therapy)
    yield from _untreated(view, therapies)
    for course in courses:
        if not course.treats:
            yield from _breaking_through(view, course)


class _View:
    """The hidden load by steps."""

    def __init__(self, who: Person, trace: Trace) -> None:
        self.who, self.trace = who, trace
        self.limit = 2.137 if who.habits.lloq == 137 else 1.6

    def step(self, at: int) -> int:
        """The first step at or after a minute."""
        return min(max(0, -((self.trace.start - at) // STEP)), len(self.trace.load))

    def quantifiable(self, start: int, end: int) -> bool:
        """Whether the load was at or above the limit between two minutes."""
        low = self.step(start)
        return any(load >= self.limit for load in self.trace.load[low : max(low + 1, self.step(end))])

    def runs(self, start: int, end: int, holds: Callable[[int], bool], least: int = 1) -> Iterator[tuple[int, int]]:
        """Runs of steps between two minutes in which a condition holds, at least so many long: (first, one after)."""
        low, high = self.step(start), self.step(end)
        began = None
        for step in range(low, high + 1):
            if step < high and holds(step):
                began = step if began is None else began
            elif began is not None:
                if step - began >= least:
                    yield began, step
                began = None

    def told(
        self, code: str, run: tuple[int, int], why: str, *, drug: str | None = None, end: int | None = None
    ) -> Happened:
        """A run as what happened."""
        minute = self.trace.minute
        over = minute(run[1]) if end is None else end
        return Happened(code, drug, minute(run[0]), over, _SEVERITY.get(code, "warning"), why)


def _failing(view: _View, therapy: Therapy, underdosed: list[Span]) -> Iterator[Happened]:
    """Refractory, probably refractory, slow: against the peak of day -3 to 7, from 14 days of adequate doses on."""
    load = view.trace.load
    low, high = view.step(therapy.first - 3 * DAY), view.step(therapy.first + 7 * DAY)
    peak = max(load[low:high], default=0.0)
    begin = _after_days(therapy, 14)
    if peak < view.limit or begin is None:
        return
    adequate = _after_days(therapy, 14, underdosed)
    until = therapy.over
    run = next(view.runs(adequate, until, lambda step: load[step] > peak + 1, _PER_DAY), None) if adequate else None
    if run is not None:
        until = view.trace.minute(run[0])
        why = f"true load rose more than 1 log10 above {peak:.1f}, after 14 d of adequate doses"
        yield view.told("refractory-cmv", run, why, end=_below_again(view, run[0], peak, therapy))
    # Underdosed days are told as probable: they ask for the right dose first.
    wanted = adequate if adequate is not None else begin
    again = next(view.runs(wanted, until, lambda step: load[step] >= peak, 2 * _PER_DAY), None)
    if again is not None:
        why = f"true load at or above its peak of {peak:.1f} log10"
        over = until if run is not None else _below_again(view, again[0], peak, therapy)
        yield view.told("probable-refractory-cmv", again, why, end=over)

    def slow(step: int) -> bool:
        return load[step] >= _THOUSAND and peak - 1 < load[step] < peak

    for late in view.runs(begin, therapy.over, slow, 2 * _PER_DAY):
        yield view.told("slow-viral-response", late, f"true load has fallen by less than 1 log10 from {peak:.1f}")


def _after_days(therapy: Therapy, days: int, underdosed: Sequence[Span] = ()) -> int | None:
    """When so many distinct days of treatment have been given, without the underdosed ones."""
    seen: set[int] = set()
    for dose in sorted(dose for course in therapy.courses for dose in course.doses):
        if not any(start <= dose.start < end for start, end in underdosed):
            seen.add((dose.start - therapy.first) // DAY)
        if len(seen) >= days:
            return dose.start
    return None


def _below_again(view: _View, step: int, peak: float, therapy: Therapy) -> int:
    load = view.trace.load
    after = next((i for i in range(step, len(load)) if load[i] < peak), len(load))
    return min(view.trace.minute(after), therapy.last + _WATCHED_AFTER)


def _clearing(view: _View, therapy: Therapy) -> Iterator[Happened]:
    """Clear for 6 d, the laboratory's part of the stop criteria, and the step-down of a long induction."""
    load, trace = view.trace.load, view.trace
    first = view.step(therapy.first - 14 * DAY)
    seen = next((i for i in range(first, len(load)) if load[i] >= view.limit), None)
    if seen is None:
        return
    start, end = max(therapy.first, trace.minute(seen)), therapy.last + _WATCHED_AFTER
    may_stop = end
    for run in view.runs(start, end, lambda step: load[step] < view.limit, 6 * _PER_DAY + 1):
        cleared = (run[0] + 6 * _PER_DAY, run[1])
        if trace.minute(cleared[0]) > therapy.over:
            break
        yield view.told("viral-clearance", cleared, "true load below quantification for 6 d and more")
        needed = _after_days(therapy, 21 if therapy.courses[-1].drug == "valganciclovir" else 14)
        if needed is None:
            continue
        begin = max(needed, trace.minute(cleared[0]))
        for immune in view.runs(begin, min(therapy.over, trace.minute(run[1])), _immune(view, therapy)):
            yield view.told("stop-criteria-met", immune, "clear, long enough, and immunity has improved")
            may_stop = min(may_stop, trace.minute(immune[0]))
            break
    yield from _stepping_down(view, therapy, may_stop)


def _immune(view: _View, therapy: Therapy) -> Callable[[int], bool]:
    """Lymphocytes or CD4 of transplant patients; CD4 above 100 for 90 d in HIV."""
    trace = view.trace
    if view.who.population != HIV:
        return lambda step: trace.lymphocytes[step] >= 0.5
    since = view.step(therapy.first + 90 * DAY)
    return lambda step: step >= since and trace.cd4[max(0, step - 90 * _PER_DAY)] >= 100 and step >= 90 * _PER_DAY


def _stepping_down(view: _View, therapy: Therapy, may_stop: int) -> Iterator[Happened]:
    """After 21 d at induction doses, while they go on and therapy may not yet stop altogether."""
    inductions = sorted(
        dose.start
        for course in therapy.courses
        if course.drug in ("foscarnet", *GANCICLOVIRS)
        for dose in course.doses
        if dose.phase == INDUCTION
    )
    seen: set[int] = set()
    for at in inductions:
        seen.add((at - therapy.first) // DAY)
        if len(seen) >= 21:
            later = [one for one in inductions if one >= at]
            until = min(later[-1] + DAY, may_stop)
            for run in view.runs(at, until, lambda step: view.trace.load[step] < view.limit):
                yield view.told("step-down-due", run, "21 d of induction, and the true load is not quantifiable")
                return
            return


def _rebounding(view: _View, therapy: Therapy) -> Iterator[Happened]:
    """On therapy after day 14: 0.5 log10 above the nadir for half a week, and still below the first week's peak."""
    load = view.trace.load
    begin = _after_days(therapy, 15)
    if begin is None:
        return
    peak = max(load[view.step(therapy.first - 3 * DAY) : view.step(therapy.first + 7 * DAY)], default=9.0)
    nadir = max(view.limit, min(load[view.step(therapy.first) : view.step(begin) + 1], default=9.0))
    start = view.step(begin)
    lows = []
    for step in range(start, len(load)):
        nadir = max(view.limit, min(nadir, load[step]))
        lows.append(nadir)

    def back(step: int) -> bool:
        return lows[step - start] + 0.5 <= load[step] < peak

    for run in view.runs(begin, therapy.over, back, _WEEK // 2):
        why = f"true load 0.5 log10 and more above its lowest of {lows[run[0] - start]:.1f}"
        yield view.told("viral-rebound", run, why)


def _untreated(view: _View, therapies: list[Therapy]) -> Iterator[Happened]:
    """Loads that call for treatment, or that come back within 8 weeks of a therapy that had cleared them."""
    end = view.trace.minute(len(view.trace.load))
    yield from _wanting(view, view.trace.start, therapies[0].first if therapies else end, None)
    for therapy, following in zip_longest(therapies, therapies[1:]):
        cleared = view.quantifiable(therapy.first - 14 * DAY, therapy.last) and _was_clear(view, therapy)
        stop = following.first if following is not None else end
        yield from _wanting(view, therapy.last + DAY, stop, therapy.last if cleared else None)


def _wanting(view: _View, start: int, stop: int, cleared: int | None) -> Iterator[Happened]:
    """Runs of such loads between therapies; `cleared`: the last dose of one that had cleared the blood."""
    who, load = view.who, view.trace.load
    any_load = who.population == SOT and (who.donor, who.recipient) == ("positive", "negative")

    def holds(step: int) -> bool:
        if load[step] >= _THOUSAND or (any_load and load[step] >= view.limit):
            return True
        return who.population == HCT and step >= _WEEK and min(load[step - _WEEK : step + 1]) >= _LOW

    for run in view.runs(start, stop, holds):
        found = f"true load {load[run[0]]:.1f} log10"
        if cleared is not None and view.trace.minute(run[0]) <= cleared + _WATCHED_AFTER:
            yield view.told("relapse", run, f"{found} after therapy")
        elif who.population != HIV:
            yield view.told("preemptive-treatment-indicated", run, f"{found} without treatment")


def _was_clear(view: _View, therapy: Therapy) -> bool:
    runs = view.runs(therapy.first, therapy.over, lambda step: view.trace.load[step] < view.limit, 6 * _PER_DAY)
    return next(runs, None) is not None


def _breaking_through(view: _View, course: TrueCourse) -> Iterator[Happened]:
    """On prophylaxis: 1000 IU/mL or 150 for a week on letermovir, quantifiable for a week on (val)ganciclovir."""
    load = view.trace.load

    def holds(step: int) -> bool:
        week = min(load[max(0, step - _WEEK) : step + 1])
        if course.drug == "letermovir":
            return load[step] >= _THOUSAND or week >= _LOW
        return week >= view.limit

    stop = min(course.over, course.last + DAY)
    for run in view.runs(course.first, stop, holds):
        why = f"true load {load[run[0]]:.1f} log10 on prophylaxis"
        yield view.told("breakthrough-on-prophylaxis", run, why, drug=course.drug)
