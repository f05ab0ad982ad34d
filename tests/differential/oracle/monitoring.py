"""What falls due: tests on treatment, surveillance after a transplant, levels of immunosuppressants."""

from collections.abc import Callable
from dataclasses import dataclass

from . import tables as tb
from .courses import Course, Therapy, course, courses, edges, going, is_current, quantifiable, running, therapies
from .episodes import Episode, Key, instants, string
from .facts import Case

H, D = tb.HOUR, tb.DAY
TRANSPLANTED = ("hct-allogeneic", "hct-autologous", "solid-organ")


@dataclass(frozen=True)
class Schedule:
    """One overdue rule for one drug. Each test is a set of analytes of which any will do."""

    code: str
    drug: str
    tests: tuple[tuple[str, ...], ...]
    shortest: int
    gaps: tuple[int, ...]  # every gap that it knows
    asked: Callable[[Case, Course, int], bool]
    gap: Callable[[Case, Course, int], int]
    doubles: Callable[[Case, Course, int], bool]  # whether twice the gap is critical


def always(_case: Case, _c: Course, _t: int) -> bool:
    return True


def never(_case: Case, _c: Course, _t: int) -> bool:
    return False


def fixed(gap: int) -> Callable[[Case, Course, int], int]:
    return lambda _case, _c, _t: gap


def foscarnet_gap(_case: Case, c: Course, _t: int) -> int:
    return 14 * D if c.phase == "maintenance" else 96 * H


def in_induction(_case: Case, c: Course, _t: int) -> bool:
    return c.phase == "induction"


def valganciclovir_gap(_case: Case, c: Course, t: int) -> int:
    if c.intent == "treatment":
        return 8 * D
    return 15 * D if t - c.first <= 90 * D else 32 * D


def ganciclovir_counts_gap(case: Case, c: Course, t: int) -> int:
    if t - c.first > 14 * D:
        return 8 * D
    anc = case.latest("anc", c.first, c.first - 7 * D)
    return 30 * H if anc is not None and anc.below(anc.cut("1.0")) else 84 * H


def first_two_weeks(_case: Case, c: Course, t: int) -> bool:
    return t - c.first <= 14 * D


def viral_load_asked(case: Case, c: Course, t: int) -> bool:
    if c.intent == "prophylaxis":
        return c.drug == "letermovir"
    begun = [
        j.first for j in therapies(case, c.first) for one in j.courses if (one.drug, one.first) == (c.drug, c.first)
    ]
    return quantifiable(case, min(begun, default=c.first) - 30 * D, t)


RENAL = (("creatinine",),)
ELECTROLYTES = (("calcium", "calcium-ionized"), ("magnesium",), ("potassium",), ("phosphate",))
COUNTS = (("anc",), ("platelets",))
LOAD = (("cmv-dna",),)
PROPHYLAXIS = (8 * D, 15 * D, 32 * D)
SCHEDULES = (
    Schedule("overdue-renal", "foscarnet", RENAL, 96 * H, (96 * H, 14 * D), always, foscarnet_gap, in_induction),
    Schedule("overdue-renal", "ganciclovir", RENAL, 8 * D, (8 * D,), always, fixed(8 * D), never),
    Schedule("overdue-renal", "valganciclovir", RENAL, 8 * D, PROPHYLAXIS, always, valganciclovir_gap, never),
    Schedule("overdue-renal", "cidofovir", RENAL, 14 * D, (14 * D,), always, fixed(14 * D), never),
    Schedule(
        "overdue-electrolytes",
        "foscarnet",
        ELECTROLYTES,
        96 * H,
        (96 * H, 14 * D),
        always,
        foscarnet_gap,
        in_induction,
    ),
    Schedule(
        "overdue-blood-count",
        "ganciclovir",
        COUNTS,
        30 * H,
        (30 * H, 84 * H, 8 * D),
        always,
        ganciclovir_counts_gap,
        first_two_weeks,
    ),
    Schedule("overdue-blood-count", "valganciclovir", COUNTS, 8 * D, PROPHYLAXIS, always, valganciclovir_gap, never),
    Schedule("overdue-blood-count", "foscarnet", COUNTS, 14 * D, (14 * D,), always, fixed(14 * D), never),
    *(
        Schedule("overdue-viral-load", drug, LOAD, 8 * D, (8 * D,), viral_load_asked, fixed(8 * D), never)
        for drug in tb.ANTIVIRALS
    ),
)


def tested_at(case: Case, analytes: tuple[str, ...]) -> set[int]:
    key = "tests", analytes
    if key not in case.memo:
        loads = {x.at for x in case.loads} if "cmv-dna" in analytes else set()
        case.memo[key] = case.times(*analytes) | loads
    return case.memo[key]


def last_test(case: Case, analytes: tuple[str, ...], t: int) -> int | None:
    return max((at for at in tested_at(case, analytes) if at <= t), default=None)


def oldest_test(case: Case, tests: tuple[tuple[str, ...], ...], t: int) -> int | None:
    """Return when the longest neglected of several tests was last collected; None if one never was."""
    times = [last_test(case, analytes, t) for analytes in tests]
    return None if None in times else min(times)


def overdue(case: Case, s: Schedule) -> list[Episode]:
    state: dict[str, str | None] = {"severity": None}

    def judge(t: int) -> dict[Key, str]:
        if not is_current(case, s.drug, t):
            state["severity"] = None
            return {}
        c = course(case, s.drug, t)
        tested = oldest_test(case, s.tests, t)
        young = tested is not None and t - tested < s.shortest
        if young or not s.asked(case, c, t):
            state["severity"] = None
            return {}
        since = c.first if tested is None else max(c.first, tested)
        gap = s.gap(case, c, t)
        clock = min(t, case.until)  # a due time never fires before the clock has reached it
        if clock >= since + 2 * gap and s.doubles(case, c, t):
            state["severity"] = tb.CRITICAL
        elif clock >= since + gap:
            state["severity"] = state["severity"] or tb.WARNING
        return {(s.code, s.drug, None): state["severity"]} if state["severity"] else {}

    results = {at for analytes in s.tests for at in tested_at(case, analytes)}
    starts = {d.at for d in case.given(s.drug)}
    steps = [0, *s.gaps, *(2 * gap for gap in s.gaps)]
    dues = {base + step for base in results | starts for step in steps} | edges(case, s.drug)
    dues |= {at + days * D + tb.TICK for at in starts for days in (14, 90)}
    loads = tested_at(case, ("cmv-dna",)) if s.code == "overdue-viral-load" else set()
    return string(instants(case, results | starts | loads, dues), judge)


def after_therapy(case: Case) -> list[Episode]:
    """Judge overdue-viral-load in the 8 weeks after a joined therapy of a transplant patient."""
    state = {"open": False}

    def judge(t: int) -> dict[Key, str]:
        known = therapies(case, t)
        going_on = any(going(case, now) for now in (t, min(t, case.until)))
        ended = known[-1] if known and not going_on else None
        if ended is None or not asked(ended, t):
            state["open"] = False
            return {}
        tested = last_test(case, LOAD[0], t)
        if t - tested < 8 * D:
            state["open"] = False
        elif min(t, case.until) >= max(ended.first, tested) + 8 * D:
            state["open"] = True
        return {("overdue-viral-load", None, None): tb.INFO} if state["open"] else {}

    def asked(ended: Therapy, t: int) -> bool:
        transplanted = case.transplant(t)[0] in TRANSPLANTED
        return t <= ended.last + 56 * D and transplanted and quantifiable(case, ended.first - 30 * D, t)

    doses = case.dose_times(*tb.ANTIVIRALS)
    tests = tested_at(case, LOAD[0])
    dues = edges(case, *tb.ANTIVIRALS) | {at + 56 * D + tb.TICK for at in doses} | {at + 8 * D for at in tests | doses}
    return string(instants(case, doses | tests | transplant_times(case), dues), judge)


def transplant_times(case: Case) -> set[int]:
    return {since for since, _, _ in case.transplants if since is not None}


# Baseline --------------------------------------------------------------------------------------------------------

ASKED_AT_START = {
    "foscarnet": (*RENAL, *ELECTROLYTES),
    "cidofovir": RENAL,
    "ganciclovir": (*RENAL, *COUNTS),
    "valganciclovir": (*RENAL, *COUNTS),
}


def baseline_labs(case: Case, drug: str) -> list[Episode]:
    tests = ASKED_AT_START[drug]

    def judge(t: int) -> dict[Key, str]:
        c = running(case, drug, t)
        if c is None or min(t, case.until) < c.first + 24 * H:
            return {}
        times = [last_test(case, analytes, t) for analytes in tests]
        complete = all(at is not None and at >= c.first - 7 * D for at in times)
        return {} if complete else {("baseline-labs-missing", drug, None): tb.WARNING}

    doses = case.dose_times(drug)
    facts = doses | {at for analytes in tests for at in tested_at(case, analytes)}
    return string(instants(case, facts, {at + 24 * H for at in doses} | edges(case, drug)), judge)


# Surveillance ----------------------------------------------------------------------------------------------------


def surveillance(case: Case) -> list[Episode]:
    state = {"open": False}
    tests = tested_at(case, LOAD[0])

    def judge(t: int) -> dict[Key, str]:
        kind, at = case.transplant(t)
        positive = "positive" in (case.donor, case.recipient)
        watched = kind == "hct-allogeneic" and at is not None and positive and t <= at + 100 * D
        tested = last_test(case, LOAD[0], t)
        # That a course is over comes with time alone: a fact ahead of the clock does not tell it.
        treated = any(running(case, drug, now) for drug in tb.ANTIVIRALS for now in (t, min(t, case.until)))
        if not watched or tested is None or treated:
            state["open"] = False
        elif state["open"]:
            state["open"] = t not in tests
        else:
            seen = any(t - 14 * D <= x <= t for x in case.events)
            state["open"] = seen and min(t, case.until) >= max(tested + 10 * D, at + 14 * D)
        return {("overdue-surveillance", None, None): tb.WARNING} if state["open"] else {}

    transplants = transplant_times(case)
    dues = {at + 10 * D for at in tests} | edges(case, *tb.ANTIVIRALS)
    dues |= {at + 14 * D for at in transplants} | {at + 100 * D + tb.TICK for at in transplants}
    return string(instants(case, {*case.events, *transplants, *tests}, dues), judge)


# Levels ----------------------------------------------------------------------------------------------------------


def levels(case: Case, drug: str) -> list[Episode]:
    def judge(t: int) -> dict[Key, str]:
        clock = min(t, case.until)
        starts = [c.first for c in courses(case, drug, t)] + [c.last for c in courses(case, drug, t) if c.over(t)]
        in_time = [at for at in starts if at + 7 * D <= clock and t <= at + 30 * D]
        missing = any(lacking(at, t) for at in in_time)
        return {("overdue-immunosuppressant-level", drug, None): tb.WARNING} if missing else {}

    def lacking(at: int, t: int) -> bool:
        used = [name for name in tb.WITH_LEVELS if case.dose_in(name, at - 72 * H, at)]
        return any(not any(at < x <= t for x in case.times(name + "-level")) for name in used)

    doses = case.dose_times(drug)
    facts = doses | case.times(*(name + "-level" for name in tb.WITH_LEVELS))
    dues = edges(case, drug) | {at + 7 * D for at in doses} | {at + 30 * D + tb.TICK for at in doses}
    return string(instants(case, facts, dues), judge)


def episodes(case: Case) -> list[Episode]:
    found = [e for s in SCHEDULES for e in overdue(case, s)]
    found += [e for drug in ASKED_AT_START for e in baseline_labs(case, drug)]
    found += [e for drug in ("letermovir", "maribavir") for e in levels(case, drug)]
    return [*found, *after_therapy(case), *surveillance(case)]
