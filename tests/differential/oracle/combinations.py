"""Drugs that should not meet, or only in another dose."""

from collections.abc import Callable
from fractions import Fraction

from . import tables as tb
from .courses import Course, course, edges, running
from .episodes import KEEP, Episode, Key, at_doses, instants, string
from .facts import Case, Dose
from .renal import age, in_mg

H, D = tb.HOUR, tb.DAY


# Two drugs that meet ---------------------------------------------------------------------------------------------


def meeting(
    case: Case,
    key: Key,
    drugs: tuple[str, ...],
    window: int,
    tail: int,
    severity: Callable[[int], str],
    facts: set[int] = frozenset(),
) -> list[Episode]:
    """Raise at the dose by which all drugs have one in the window; end when the last of one is older than the tail."""
    given = [case.given(drug, iv=drug in tb.IV_ONLY) for drug in drugs]
    times = {d.at for doses in given for d in doses}
    state = {"open": False}

    def judge(t: int) -> dict[Key, str]:
        last = [max((d.at for d in doses if d.at <= t), default=None) for doses in given]
        if None in last:
            return {}
        if state["open"]:
            state["open"] = all(t - at <= tail for at in last)
        if t in times and all(t - at <= window for at in last):
            state["open"] = True
        return {key: severity(t)} if state["open"] else {}

    dues = {at + tail + tb.TICK for at in times} | {at + 48 * H + tb.TICK for at in facts}
    return string(instants(case, times | set(facts), dues), judge)


def always(severity: str) -> Callable[[int], str]:
    return lambda _t: severity


def nephrotoxic(case: Case) -> list[Episode]:
    code, found = "nephrotoxic-combination", []
    for other in (*tb.NEPHROTOXINS, "foscarnet"):
        key = code, "cidofovir", other
        found += meeting(case, key, ("cidofovir", other), 7 * D, 7 * D, always(tb.CRITICAL))
    for other in (*tb.NEPHROTOXINS, "cisplatin", "methotrexate"):
        key = code, "foscarnet", other
        found += meeting(case, key, ("foscarnet", other), 24 * H, 48 * H, always(tb.WARNING))
    return found


PAIRS = (
    *(("letermovir", other, tb.CRITICAL) for other in ("pimozide", "ergotamine", "dihydroergotamine")),
    ("foscarnet", "pentamidine", tb.CRITICAL),
    *((d, other, tb.WARNING) for d in tb.GANCICLOVIRS for other in ("imipenem", "zidovudine", "didanosine")),
    *((d, other, tb.WARNING) for d in ("letermovir", "maribavir") for other in ("rifampin", "rifabutin")),
)


def interactions(case: Case) -> list[Episode]:
    found = []
    for drug, other, severity in PAIRS:
        found += meeting(case, ("interaction", drug, other), (drug, other), 24 * H, 48 * H, always(severity))
    for statin in ("simvastatin", "pitavastatin"):
        drugs = ("letermovir", "ciclosporin", statin)
        key = "interaction", "letermovir", statin
        found += meeting(case, key, drugs, 24 * H, 48 * H, always(tb.CRITICAL))
    return found + long_qt(case)


def long_qt(case: Case) -> list[Episode]:
    plain = {
        other: meeting(case, ("interaction", "foscarnet", other), ("foscarnet", other), 24 * H, 48 * H, always(tb.INFO))
        for other in tb.QT_DRUGS
    }
    together = [e for found in plain.values() for e in found]

    def severity(t: int) -> str:
        two = sum(e.onset <= t and (e.end is None or t < e.end) for e in together) >= 2
        return tb.WARNING if two or low(t, "potassium", "3.5") or low(t, "magnesium", "1.7") else tb.INFO

    def low(t: int, analyte: str, limit: str) -> bool:
        r = case.latest(analyte, t, t - 48 * H)
        return r is not None and bool(r.below(r.cut(limit)))

    labs = case.times("potassium", "magnesium")
    changes = {at for e in together for at in (e.onset, e.end) if at is not None}
    found = []
    for other, alone in plain.items():
        if alone:
            key = "interaction", "foscarnet", other
            found += meeting(case, key, ("foscarnet", other), 24 * H, 48 * H, severity, labs | changes)
    return found


# Interleaved -----------------------------------------------------------------------------------------------------


def interleaved(outer: Course, inner: Course) -> bool:
    """Say whether a dose of one course lies between two doses, more than 24 h apart, of the other."""
    times = [d.at for d in outer.doses]
    return any(
        a < d.at < b and b - a > 24 * H for d in inner.doses for i, a in enumerate(times) for b in times[i + 1 :]
    )


def together(case: Case, code: str, drug: str, others: tuple[str, ...]) -> list[Episode]:
    def judge(t: int) -> dict[Key, str]:
        one = running(case, drug, t)
        rest = [c for c in (running(case, other, t) for other in others) if c]
        met = one is not None and any(interleaved(one, c) or interleaved(c, one) for c in rest)
        return {(code, drug, None): tb.CRITICAL} if met else {}

    return string(instants(case, case.dose_times(drug, *others), edges(case, drug, *others)), judge)


# Doses beside another drug ---------------------------------------------------------------------------------------


def letermovir_dose(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        t = dose.at
        years = age(case, t)
        sizes = [in_mg(case, d) for d in case.given("letermovir") if t - 12 * H <= d.at <= t]
        if years is None or years < 18 or None in sizes:
            return KEEP
        total = sum(sizes)
        if case.dose_in("ciclosporin", t - 72 * H, t):
            return tb.WARNING if total >= 480 else None
        first = course(case, "letermovir", t).first
        stopped = case.dose_in("ciclosporin", first - 72 * H, t)
        instead = any(case.dose_in(d, t - 72 * H, t) for d in ("tacrolimus", "sirolimus", "everolimus"))
        return tb.WARNING if total <= 240 and (stopped or instead) else None

    return at_doses(case, "letermovir-ciclosporin-dose", "letermovir", case.given("letermovir"), verdict)


NEEDED = {"carbamazepine": Fraction(800), "phenytoin": Fraction(1200), "phenobarbital": Fraction(1200)}


def inducer_dose(case: Case) -> list[Episode]:
    state: dict[str, list[str]] = {"beside": []}  # the inducers that the latest judged dose is too small beside
    doses = {d.at: d for d in case.given("maribavir")}

    def judge(t: int) -> dict[Key, str]:
        on = [d for d in NEEDED if case.dose_in(d, t - 48 * H, t)]
        if running(case, "maribavir", t) is None or not any(d in on for d in state["beside"]):
            state["beside"] = []
        if t in doses:
            size = in_mg(case, doses[t])
            if size is not None:
                state["beside"] = [d for d in on if size < NEEDED[d]]
        return {("maribavir-inducer-dose", "maribavir", None): tb.WARNING} if state["beside"] else {}

    inducers = case.dose_times(*NEEDED)
    dues = edges(case, "maribavir") | {at + 48 * H + tb.TICK for at in inducers}
    return string(instants(case, set(doses) | inducers, dues), judge)


def episodes(case: Case) -> list[Episode]:
    found = nephrotoxic(case) + interactions(case) + letermovir_dose(case) + inducer_dose(case)
    found += together(case, "maribavir-ganciclovir", "maribavir", tb.GANCICLOVIRS)
    return found + together(case, "duplicate-ganciclovir", "ganciclovir", ("valganciclovir",))
