"""Calcium, magnesium, potassium and phosphate on foscarnet."""

from fractions import Fraction

from . import tables as tb
from .episodes import Episode, Key, instants, string
from .facts import Case, Result

TAIL = 2 * tb.DAY
OTHERS = (
    ("hypomagnesemia", "magnesium", "1.2", "0.9"),
    ("hypokalemia", "potassium", "3.0", "2.5"),
    ("hypophosphatemia", "phosphate", "2.0", "1.0"),
)
FINE = "fine"


def level(r: Result, warning: str, critical: str, added: Fraction = Fraction(0)) -> str | None:
    """Return the severity, `fine`, or None where a censored value does not tell."""
    shifted = Result(r.analyte, r.at, r.scale + added, r.sign, r.unit)
    if shifted.below(r.cut(critical)):
        return tb.CRITICAL
    below = shifted.below(r.cut(warning))
    return None if below is None else tb.WARNING if below else FINE


def exposure_began(case: Case, t: int) -> int:
    """Return the first dose of the unbroken exposure in which t lies."""
    times = [d.at for d in case.given("foscarnet") if d.at <= t]
    start = times[-1]
    for at in reversed(times):
        if start - at > TAIL:
            break
        start = at
    return start


def correction(case: Case, total: Result) -> Fraction:
    """Return what albumin adds to a total calcium, on its scale (mmol/L)."""
    albumin = case.latest("albumin", total.at, total.at - 48 * tb.HOUR, plain=True)
    if albumin is None:
        return Fraction(0)
    if total.unit == "mmol/L":
        return Fraction("0.02") * (40 - albumin.scale)
    return Fraction("0.8") * (4 - albumin.scale / 10) * Fraction("0.2495")


def calcium(case: Case, t: int) -> str | None:
    began = exposure_began(case, t)
    totals = [
        (r, s)
        for r in case.of("calcium", began, t)
        if exposed(case, r.at) and (s := level(r, "8.0", "7.0", correction(case, r)))
    ]
    ionized = [
        (r, s) for r in case.of("calcium-ionized", began, t) if exposed(case, r.at) and (s := level(r, "1.0", "0.9"))
    ]
    if not totals or not ionized:
        both = totals[-1:] + ionized[-1:]
        return both[0][1] if both else None
    (total, by_total), (free, by_free) = totals[-1], ionized[-1]
    if free.at >= total.at - 2 * tb.HOUR:
        return by_free
    return max(by_free, by_total, key=lambda s: tb.RANK.get(s, -1))


def exposed(case: Case, t: int) -> bool:
    return case.exposed(["foscarnet"], t, TAIL)


def fold(case: Case, code: str, analytes: tuple[str, ...]) -> list[Episode]:
    state: dict[str, str | None] = {"severity": None}
    limits = {a: (w, c) for _, a, w, c in OTHERS}

    def judge(t: int) -> dict[Key, str]:
        if not exposed(case, t):
            state["severity"] = None
            return {}
        results = [r for r in (case.at(a, t) for a in analytes) if r]
        if results:
            verdict = calcium(case, t) if code == "hypocalcemia" else level(results[0], *limits[analytes[0]])
            if verdict is not None:
                state["severity"] = None if verdict == FINE else verdict
        return {(code, "foscarnet", None): state["severity"]} if state["severity"] else {}

    times = case.dose_times("foscarnet")
    return string(instants(case, times | case.times(*analytes), {at + TAIL + tb.TICK for at in times}), judge)


def episodes(case: Case) -> list[Episode]:
    found = fold(case, "hypocalcemia", ("calcium", "calcium-ionized"))
    for code, analyte, _, _ in OTHERS:
        found += fold(case, code, (analyte,))
    return found
