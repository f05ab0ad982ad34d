"""Baseline creatinine, acute kidney injury, and the rules of cidofovir that rest on the creatinine."""

from fractions import Fraction

from . import tables as tb
from .courses import Course, course, courses, edges, is_current
from .episodes import KEEP, Episode, Key, at_doses, charted, instants, string
from .facts import Case, Dose, Result
from .renal import UNKNOWN, agreed, clearances, per_kg

TOXIC = ("cidofovir", "foscarnet")


# Baseline --------------------------------------------------------------------------------------------------------


def baseline(case: Case, c: Course, t: int) -> Fraction | None:
    """Return the baseline creatinine of a course as known at t, on the analyte's scale."""
    older = predecessor(case, c)
    if older is not None:
        inherited = baseline(case, older, t)
        if inherited is not None:
            return inherited
    usable = [r for r in case.of("creatinine", end=t) if counts_for_baseline(case, c, r)]
    far = [r.scale for r in usable if c.first - 365 * tb.DAY <= r.at <= c.first - 7 * tb.DAY]
    if far:
        return median(far)
    near = [r.scale for r in usable if c.first - 7 * tb.DAY < r.at <= c.first]
    if near:
        return min(near)
    start = [r.scale for r in usable if c.first < r.at <= c.first + 48 * tb.HOUR]
    return start[0] if start else None


def predecessor(case: Case, c: Course) -> Course | None:
    """Return the foscarnet or cidofovir course whose last dose lies at most 14 d before the first of this."""
    known = [other for drug in TOXIC for other in courses(case, drug, c.first)]
    near = [o for o in known if o.first < c.first and c.first - o.last <= 14 * tb.DAY]
    return max(near, key=lambda o: (o.last, -o.first), default=None)


def counts_for_baseline(case: Case, c: Course, r: Result) -> bool:
    if r.sign or case.on_dialysis(r.at):
        return False
    kind, at = case.transplant(c.first)
    return not (kind == "solid-organ" and at is not None and r.at < at + 7 * tb.DAY)


def median(values: list[Fraction]) -> Fraction:
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


# Acute kidney injury ---------------------------------------------------------------------------------------------


def criteria(case: Case, c: Course, r: Result, t: int) -> tuple[int, bool]:
    """Return the stage that a creatinine gives (0: no criterion) and whether only the absolute rise holds."""
    before = [p for p in case.of("creatinine", end=t) if p.at < t and not p.sign and not case.on_dialysis(p.at)]
    two_days = [p.scale for p in before if p.at >= t - 48 * tb.HOUR]
    seven_days = [p.scale for p in before if p.at >= t - 7 * tb.DAY]
    ratios = []
    if seven_days:
        ratios.append(r.scale / min(seven_days))
    base = baseline(case, c, t)
    if base is not None and above_last_before(case, c, r):
        ratios.append(r.scale / base)
    risen = bool(two_days) and r.scale - min(two_days) >= r.cut("0.3")
    by_ratio = [q for q in ratios if q >= Fraction("1.5")]
    if not risen and not by_ratio:
        return 0, False
    highest = max(by_ratio, default=Fraction(1))
    stage = 3 if highest >= 3 or r.scale >= r.cut("4.0") else 2 if highest >= 2 else 1
    return stage, not by_ratio


def above_last_before(case: Case, c: Course, r: Result) -> bool:
    before = [p for p in case.of("creatinine", end=c.first) if not p.sign and not case.on_dialysis(p.at)]
    return not before or r.scale > before[-1].scale


def recovered(case: Case, c: Course, r: Result, t: int) -> bool:
    base = baseline(case, c, t)
    return base is None or (r.scale < Fraction("1.5") * base and r.scale - base < r.cut("0.3"))


def mimicked(case: Case, t: int) -> bool:
    """Say whether a drug that blocks secretion was begun in the 14 d before."""
    for drug in tb.MIMICS:
        times = [d.at for d in case.given(drug)]
        recent = [at for at in times if t - 14 * tb.DAY <= at <= t]
        if recent and not any(recent[0] - 30 * tb.DAY <= at < recent[0] for at in times):
            return True
    return False


def aki(case: Case) -> list[Episode]:
    state: dict[str, str | None] = {"drug": None, "severity": None}

    def judge(t: int) -> dict[Key, str]:
        last = case.last_of(TOXIC, t)
        if last is None:
            return {}
        if t > last.at + 21 * tb.DAY:  # 14 d of exposure and 7 d
            state.update(drug=None, severity=None)
        r = case.at("creatinine", t)
        if r is not None and not case.on_dialysis(t):
            judge_creatinine(r, t, last)
        return {("aki", state["drug"], None): state["severity"]} if state["severity"] else {}

    def judge_creatinine(r: Result, t: int, last: Dose) -> None:
        c = course(case, last.drug, t)
        stage, only_absolute = criteria(case, c, r, t)
        if r.sign == "<":
            if stage == 0 and recovered(case, c, r, t):
                state.update(drug=None, severity=None)
            return
        if stage:
            if state["severity"] is None:
                if not case.exposed(TOXIC, t, 14 * tb.DAY):
                    return
                state["drug"] = last.drug
            mild = stage == 1 and only_absolute and mimicked(case, t)
            state["severity"] = tb.INFO if mild else tb.WARNING if stage == 1 else tb.CRITICAL
        elif state["severity"] and not r.sign:
            if recovered(case, c, r, t):
                state.update(drug=None, severity=None)
            elif state["severity"] == tb.CRITICAL:
                state["severity"] = tb.WARNING  # at least stage 1; a mimicked rise stays info

    ends = {at + 21 * tb.DAY + tb.TICK for at in case.dose_times(*TOXIC)}
    return string(instants(case, case.times("creatinine") | case.dose_times(*TOXIC), ends), judge)


# Cidofovir -------------------------------------------------------------------------------------------------------


def cidofovir_creatinine(case: Case) -> list[Episode]:
    """Judge reduce, stop and the size and spacing of doses, which depend on one another."""
    drug = "cidofovir"
    state: dict[str, object] = {"first": None, "reduce": False, "stop": False, "dose": None}
    doses = {d.at: d for d in case.given(drug)}

    def judge(t: int) -> dict[Key, str]:
        c = course(case, drug, t)
        if c is None or c.over(t) or c.first != state["first"]:
            state.update(first=c.first if c else None, reduce=False, stop=False, dose=None)
        if c is None or c.over(t):
            return {}
        if t in doses or case.at("creatinine", t) or case.at("urine-protein", t):
            change = rise(case, c, t)
            state["stop"] = state["stop"] or change == "stop" or new_proteinuria(case, c, t)
            if change is not UNKNOWN:
                state["reduce"] = change == "reduce"
            state["reduce"] = state["reduce"] and not state["stop"]
        if t in doses:
            severity = size_and_spacing(case, c, doses[t], reduced=state["reduce"])
            state["dose"] = state["dose"] if severity == KEEP else severity
        found = {}
        if state["stop"]:
            found["cidofovir-stop", drug, None] = tb.CRITICAL
        if state["reduce"]:
            found["cidofovir-reduce-dose", drug, None] = tb.WARNING
        if state["dose"]:
            found["cidofovir-dose", drug, None] = state["dose"]
        return found

    facts = case.dose_times(drug) | case.times("creatinine", "urine-protein")
    return string(instants(case, facts, edges(case, drug)), judge)


def rise(case: Case, c: Course, t: int) -> str | None:
    """Say which limit above the baseline the latest creatinine of the last 7 d has reached."""
    r, base = case.latest("creatinine", t, t - 7 * tb.DAY), baseline(case, c, t)
    if r is None or base is None:
        return UNKNOWN
    less_than_stop, less_than_reduce = r.below(base + r.cut("0.5")), r.below(base + r.cut("0.3"))
    if less_than_stop is False:
        return "stop"
    if less_than_reduce is False:
        return "reduce"
    return None if less_than_reduce else UNKNOWN


def new_proteinuria(case: Case, c: Course, t: int) -> bool:
    latest, before = case.latest("urine-protein", t), case.latest("urine-protein", c.first)
    if latest is None or latest.at <= c.first or latest.below(Fraction(300)) is not False:
        return False
    return before is None or before.below(Fraction(300)) is not False


def size_and_spacing(case: Case, c: Course, dose: Dose, *, reduced: bool) -> str | None:
    size = per_kg(case, dose)
    if size is None:
        return KEEP
    earlier = [d for d in case.given("cidofovir") if d.at < dose.at]
    since = dose.at - earlier[-1].at if earlier else None
    if size > Fraction("7.5") or (size > Fraction("1.5") and since is not None and since < 6 * tb.DAY):
        return tb.CRITICAL
    late = len([d for d in c.doses if d.at <= dose.at]) >= 3
    too_soon = late and size > Fraction("1.5") and since < 12 * tb.DAY
    return tb.WARNING if size > Fraction("5.5") or too_soon or (reduced and size > Fraction("3.3")) else None


def contraindicated(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        creatinine = case.latest("creatinine", dose.at)
        if creatinine and creatinine.sign != "<":
            limit = creatinine.cut("1.5")
            if creatinine.scale > limit or (creatinine.sign == ">" and creatinine.scale == limit):
                return tb.CRITICAL
        protein = case.latest("urine-protein", dose.at)
        if protein and protein.below(Fraction(100)) is False:
            return tb.CRITICAL
        values = clearances(case, "cidofovir", dose.at, 7 * tb.DAY)
        return tb.CRITICAL if agreed(values, lambda x: x <= 55) is True else None

    return at_doses(case, "cidofovir-contraindicated", "cidofovir", case.given("cidofovir"), verdict)


def predose_labs(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        asked = ("creatinine", "urine-protein", "anc")
        missing = [a for a in asked if not case.of(a, dose.at - 48 * tb.HOUR, dose.at)]
        return tb.WARNING if missing else None

    ready = [d for d in case.given("cidofovir") if charted(case, d)]
    return at_doses(case, "cidofovir-predose-labs-missing", "cidofovir", ready, verdict)


def probenecid(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        window = dose.at - 270 * tb.MINUTE, dose.at - 90 * tb.MINUTE
        taken = sum(d.mg for d in case.given("probenecid") if window[0] <= d.at <= window[1])
        if taken >= 2000:
            return None
        size = per_kg(case, dose)
        return tb.INFO if size is not None and size <= Fraction("1.5") else tb.WARNING

    ready = [d for d in case.given("cidofovir", iv=True) if charted(case, d)]
    return at_doses(case, "probenecid-missing", "cidofovir", ready, verdict)


def stop_for_clearance(case: Case, t: int, *, is_open: bool) -> bool:
    """Say whether foscarnet-renal-stop holds after a judgment at a dose or a creatinine."""
    c = course(case, "foscarnet", t)
    if not is_open and not is_current(case, "foscarnet", t):
        return False
    oldest = (35 if c.intent == "prophylaxis" else 7) * tb.DAY
    verdict = agreed(clearances(case, "foscarnet", t, oldest), lambda x: x < Fraction("0.4"))
    return is_open if verdict is UNKNOWN else verdict


def episodes(case: Case) -> list[Episode]:
    rules = (aki, cidofovir_creatinine, contraindicated, predose_labs, probenecid)
    return [e for rule in rules for e in rule(case)]
