"""Response of the virus to therapy: clearance, refractory, slow, rebound; relapse, preemptive, breakthrough."""

from collections.abc import Iterable

from . import tables as tb
from .courses import Therapy, become, course, going, therapies, treatment_current
from .dosing import below
from .facts import Case, Load, at_least_log, more_than_log

D = tb.DAY
Series = tuple[str, str | None]
PREEMPTIVE_CODES = ("72493-0", "100675-8", "100676-6")


def greatest(loads: Iterable[Load]) -> Load | None:
    return max((x for x in loads if x.kind == "number"), key=lambda x: x.value, default=None)


def upto(case: Case, series: Series, t: int) -> list[Load]:
    """Return what is known of a series at t; a censored value that tells nothing is passed over."""
    return [x for x in case.series[series] if x.at <= t and x.kind != "pass"]


def last_treatment(case: Case, t: int) -> int | None:
    return max((j.last for j in therapies(case, t)), default=None)


def peak(case: Case, series: Series, joined: Therapy, t: int) -> Load | None:
    window = joined.first - 3 * D, joined.first + 7 * D
    return greatest(x for x in upto(case, series, t) if window[0] <= x.at <= window[1])


def underdosed_days(case: Case, joined: Therapy, t: int) -> set[int]:
    """Return the treatment days on which dose-below-renal-band was open at any moment up to t."""
    found = set()
    for day in joined.days():
        start = joined.first + day * D
        for e in below(case):
            if e.onset <= t and e.onset < start + D and (e.end is None or e.end > start):
                found.add(day)
    return found


def days_by(joined: Therapy, at: int) -> int:
    """Return how many treatment days there had been by a time."""
    return len({(dose - joined.first) // D for dose, _, _ in joined.doses() if dose <= at})


class Clearance:
    """viral-clearance, and when it was reached."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.therapy: Therapy | None = None  # that it was reached in, as it stood then, while open
        self.reached: list[int] = []  # when

    def judge(self, t: int, now: dict[Series, Load]) -> None:
        case = self.case
        if self.therapy is not None:
            therapy = become(case, t, self.therapy) or self.therapy
            if any(x.kind in ("number", "detected") for x in now.values()) or t > therapy.last + 56 * D:
                self.therapy = None
        joined = going(case, t)
        if joined is None or not treatment_current(case, t) or not self.all_clear(t):
            return
        for series, load in now.items():
            if self.therapy is None and load.kind == "clear" and self.run_is_long(series, joined, t):
                self.reached.append(t)
                self.therapy = joined

    def all_clear(self, t: int) -> bool:
        for series in self.case.series:
            known = upto(self.case, series, t)
            if known and known[-1].at >= t - 14 * D and known[-1].kind != "clear":
                return False
        return True

    def run_is_long(self, series: Series, joined: Therapy, t: int) -> bool:
        known = upto(self.case, series, t)
        run = []
        while known and known[-1].kind == "clear":
            run.append(known.pop())
        before = any(x.kind == "number" and x.at >= joined.first - 14 * D for x in known)
        return before and t - run[-1].at >= 6 * D

    def onset_in(self, joined: Therapy) -> int | None:
        """Return the first moment since a therapy began at which clearance was reached."""
        return min((at for at in self.reached if at >= joined.first), default=None)


class Response:
    """refractory-cmv, probable-refractory-cmv, slow-viral-response, viral-rebound: what each series says."""

    def __init__(self, case: Case, clearance: Clearance) -> None:
        self.case = case
        self.clearance = clearance
        self.refractory: dict[Series, Load] = {}  # with the peak
        self.probable: dict[Series, Load] = {}
        self.slow: dict[Series, tuple[Therapy, Load]] = {}  # with the therapy as it stood then, and the peak
        self.rebound: dict[Series, Therapy] = {}

    def judge(self, t: int, now: dict[Series, Load]) -> None:
        case = self.case
        last = last_treatment(case, t)
        if last is not None and t > last + 56 * D:
            self.refractory.clear()
            self.probable.clear()
        begun = [(self.slow, series, once) for series, (once, _) in self.slow.items()]
        begun += [(self.rebound, series, once) for series, once in self.rebound.items()]
        for kept, series, once in begun:
            therapy = become(case, t, once)
            if therapy is None or not therapy.goes_on(t):
                del kept[series]
        joined = going(case, t)
        for series, load in now.items():
            self.settle(series, load)
            if joined is not None and load.kind == "number":
                self.judge_load(series, load, joined, t)
        if self.refractory:
            self.probable.clear()
        if self.refractory or self.probable:
            self.slow.clear()
            self.rebound.clear()

    def settle(self, series: Series, load: Load) -> None:
        """End what a load ends."""
        clear = load.kind == "clear"
        plain = load.kind == "number" and not load.above  # `>x` is below nothing
        for kept in (self.refractory, self.probable):
            if series in kept and (clear or (plain and load.value < kept[series].value)):
                del kept[series]
        if series in self.slow and plain and at_least_log(self.slow[series][1], load, 2):
            del self.slow[series]
        if clear:
            self.slow.pop(series, None)
            self.rebound.pop(series, None)

    def judge_load(self, series: Series, load: Load, joined: Therapy, t: int) -> None:
        if self.has_rebounded(series, load, joined, t):
            self.rebound[series] = joined
        top = peak(self.case, series, joined, t)
        days = joined.days()
        if top is None or len(days) < 14:
            return
        enough = len(days - underdosed_days(self.case, joined, t)) >= 14
        risen = more_than_log(load, top)
        if at_least_log(top, load, 2):  # fallen by 1 log10 or more
            if not load.above:
                self.slow.pop(series, None)
        elif risen and enough:
            self.refractory[series] = top
        elif risen or (load.value >= top.value and enough):
            self.probable[series] = top
        elif load.iu_at_least(1000):
            self.slow[series] = joined, top

    def has_rebounded(self, series: Series, load: Load, joined: Therapy, t: int) -> bool:
        known = upto(self.case, series, t)
        before = known[-2] if len(known) > 1 and known[-2].kind == "number" else None
        cleared = self.clearance.onset_in(joined)
        if cleared is not None and (load.iu_at_least(1000) or (before is not None and before.at > cleared)):
            return True
        if before is None or before.at < joined.first or days_by(joined, before.at) <= 14:
            return False
        numbers = [x for x in known if x.kind == "number" and joined.first <= x.at <= before.at and not x.above]
        nadir = min(numbers, key=lambda x: x.value, default=None)
        return nadir is not None and at_least_log(before, nadir, 1) and at_least_log(load, nadir, 1)


class OffTherapy:
    """preemptive-treatment-indicated, relapse, breakthrough-on-prophylaxis: by series, with their onset."""

    def __init__(self, case: Case, clearance: Clearance) -> None:
        self.case = case
        self.clearance = clearance
        self.preemptive: dict[Series, int] = {}
        self.relapse: dict[Series, int] = {}
        self.breakthrough: dict[Series, int] = {}

    def judge(self, t: int, now: dict[Series, Load]) -> None:
        case = self.case
        treated = last_treatment(case, t)
        for kept in (self.preemptive, self.relapse, self.breakthrough):
            for series, onset in list(kept.items()):
                begun = treated is not None and treated > onset
                if begun or (series in now and now[series].kind == "clear"):
                    del kept[series]
        numbers = [x.at for x in case.loads if x.kind == "number" and x.at <= t]
        if numbers and t > numbers[-1] + 14 * D:
            self.preemptive.clear()
        for series, load in now.items():
            if load.kind == "number" and not treatment_current(case, t):
                self.judge_load(series, load, treated, t)
        if self.relapse:
            self.preemptive.clear()

    def judge_load(self, series: Series, load: Load, treated: int | None, t: int) -> None:
        known = upto(self.case, series, t)
        before = known[-2] if len(known) > 1 and known[-2].kind == "number" else None
        if (treated is None or t > treated) and self.wants_treatment(load, before, t):
            self.preemptive.setdefault(series, t)
        if self.has_relapsed(load, before, t):
            self.relapse.setdefault(series, t)
        if self.broke_through(load, before, t):
            self.breakthrough.setdefault(series, t)

    def wants_treatment(self, load: Load, before: Load | None, t: int) -> bool:
        if load.code not in PREEMPTIVE_CODES or load.unit not in (tb.IU, tb.LOG_IU):
            return False
        kind, _ = self.case.transplant(t)
        if kind == "hct-allogeneic":
            twice = before is not None and before.iu_at_least(150) and t - before.at <= 28 * D
            return load.iu_at_least(1000) or (twice and load.iu_at_least(150))
        mismatch = self.case.donor == "positive" and self.case.recipient == "negative"
        return kind == "solid-organ" and (load.iu_at_least(1000) or mismatch)

    def has_relapsed(self, load: Load, before: Load | None, t: int) -> bool:
        known = therapies(self.case, t)
        if not known or not known[-1].last < t <= known[-1].last + 56 * D:
            return False
        return self.clearance.onset_in(known[-1]) is not None and (load.iu_at_least(1000) or before is not None)

    def broke_through(self, load: Load, before: Load | None, t: int) -> bool:
        case = self.case
        on = [d for d in tb.ANTIVIRALS if (c := course(case, d, t)) and c.intent == "prophylaxis" and c.current(t)]
        if "letermovir" in on:
            rising = before is not None and before.iu_at_least(150) and load.value > before.value
            if load.iu_at_least(1000) or (rising and load.iu_at_least(150)):
                return True
        return any(d in tb.GANCICLOVIRS for d in on) and before is not None
