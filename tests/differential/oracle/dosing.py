"""Doses against the kidney: renal stop, renal bands, infusion rate, hydration."""

import itertools
from fractions import Fraction

from . import tables as tb
from .courses import Course, course, edges, is_current, quantifiable
from .episodes import KEEP, Episode, Key, at_doses, charted, instants, string
from .facts import Case, Dose
from .kidney import stop_for_clearance
from .renal import UNKNOWN, agreed, amount, band, clearances, oldest_creatinine, per_kg

INDUCTION, MAINTENANCE = 2, 3  # where a band keeps its columns


# Too much --------------------------------------------------------------------------------------------------------


def window_hours(interval: int) -> int:
    return 20 if interval < 48 else 40 if interval == 48 else RARE


RARE = 72 - 3  # two doses, each 90 min off, nominally 72 h apart: not both, even where they are that near


def permitted(c: Course, i: int) -> tuple[Fraction, int]:
    """Return what a band permits at most, and in how many hours."""
    drug_band = tb.BANDS[c.drug][i]
    columns = drug_band[INDUCTION] if c.phase == "induction" else drug_band[MAINTENANCE]
    if len(c.doses) == 1:
        columns = drug_band[INDUCTION] + drug_band[MAINTENANCE]
    sums = []
    for size, interval in columns:
        hours = window_hours(interval)
        times = -(-hours // interval)  # rounded up
        sums.append((Fraction(size) * times, -hours))
    most, hours = max(sums)
    return most, -hours


def above_band(case: Case, c: Course, clearance: Fraction) -> str | None:
    """Judge the doses up to the latest against the band of a clearance, or against the next band up near its bound."""
    bands = tb.BANDS[c.drug]
    i = band(c.drug, clearance)
    if i is None and c.drug == "foscarnet":
        return None  # left to foscarnet-renal-stop
    allowed_bands = [] if i is None else [i]
    up = len(bands) - 1 if i is None else i - 1
    if up >= 0 and clearance > Fraction("0.9") * bands[up][0]:
        allowed_bands.append(up)
    if not allowed_bands:
        return tb.CRITICAL  # valganciclovir tablets below the last band
    verdicts = [against(case, c, *permitted(c, j)) for j in allowed_bands]
    if UNKNOWN in verdicts:
        return UNKNOWN
    if None in verdicts:
        return None
    return min(verdicts, key=tb.RANK.get)


def against(case: Case, c: Course, allowed: Fraction, hours: int) -> str | None:
    oldest = c.last - hours * tb.HOUR + (tb.TICK if hours == RARE else 0)
    doses = [d for d in case.given(c.drug) if oldest <= d.at <= c.last]
    amounts = [amount(case, d) for d in doses]
    if None in amounts:
        return UNKNOWN
    given = sum(amounts)
    tablets = c.drug == "valganciclovir"
    if not (given - allowed >= tb.TABLET if tablets else given > allowed * Fraction("1.1")):
        return None
    apart = all(b.at - a.at >= 20 * tb.HOUR for a, b in itertools.pairwise(doses))
    daily_tablet = tablets and apart and max(amounts) <= tb.TABLET
    return tb.CRITICAL if given >= 2 * allowed and len(doses) > 1 and not daily_tablet else tb.WARNING


def too_much(case: Case, drug: str) -> list[Episode]:
    """Judge dose-above-renal-band and, over it, foscarnet-renal-stop."""
    state: dict[str, object] = {"first": None, "stop": False, "above": None}
    doses = case.dose_times(drug)

    def judge(t: int) -> dict[Key, str]:
        c = course(case, drug, t)
        if c is None or c.over(t):
            state.update(first=None, stop=False, above=None)
            return {}
        if c.first != state["first"]:
            state.update(first=c.first, stop=False, above=None)
        creatinine = case.at("creatinine", t) is not None
        if drug == "foscarnet" and (t in doses or creatinine):
            state["stop"] = stop_for_clearance(case, t, is_open=state["stop"])
        if t in doses or (creatinine and is_current(case, drug, t)):
            values = clearances(case, drug, t, oldest_creatinine(c.intent))
            verdict = agreed(values, lambda x: above_band(case, c, x))
            if verdict != UNKNOWN:
                state["above"] = verdict
        found = {}
        if state["stop"]:
            state["above"] = None
            found["foscarnet-renal-stop", drug, None] = tb.CRITICAL
        if state["above"]:
            found["dose-above-renal-band", drug, None] = state["above"]
        return found

    return string(instants(case, doses | case.times("creatinine"), edges(case, drug)), judge)


# Too little ------------------------------------------------------------------------------------------------------


def too_little(case: Case, drug: str) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        t = dose.at
        c = course(case, drug, t)
        days = 7 if c.phase == "maintenance" else 3
        window = [(d, p) for d, p in zip(c.doses, c.phases, strict=True) if d.at >= t - days * tb.DAY]
        if c.intent != "treatment":
            return None
        if t - c.first < days * tb.DAY or {p for _, p in window} != {c.phase}:
            return KEEP
        if not quantifiable(case, c.first - 30 * tb.DAY, t):
            return KEEP
        values = clearances(case, drug, t, 7 * tb.DAY)
        found = agreed(values, lambda x: below_band(case, c, x, days))
        return KEEP if found == UNKNOWN else found

    return at_doses(case, "dose-below-renal-band", drug, case.given(drug), verdict)


def below_band(case: Case, c: Course, clearance: Fraction, days: int) -> str | None:
    bands = tb.BANDS[c.drug]
    i = band(c.drug, clearance)
    if i is not None and clearance < Fraction("1.1") * bands[i][0]:
        i += 1
    asked = i is not None and i < len(bands)
    columns = bands[i][INDUCTION if c.phase == "induction" else MAINTENANCE] if asked else []
    hours = days * 24
    if c.phase == "induction" and any(interval > 48 for _, interval in columns):
        hours += 3  # a dose nominally 72 h before counts, each of the two up to 90 min off
    doses = [d for d, p in zip(c.doses, c.phases, strict=True) if p == c.phase and d.at >= c.last - hours * tb.HOUR]
    amounts = [amount(case, d) for d in doses]
    if None in amounts:
        return UNKNOWN
    if not asked:
        return None  # no dose is asked for
    least = min(Fraction(size) * days * 24 / interval for size, interval in columns)
    if c.drug == "foscarnet" and c.phase == "induction":
        least *= Fraction(2, 3)
    return tb.WARNING if sum(amounts) < Fraction("0.8") * least else None


def below(case: Case) -> list[Episode]:
    """Return the dose-below-renal-band episodes of all drugs: the virus rules need them too."""
    if "below" not in case.memo:
        case.memo["below"] = [e for drug in tb.BANDS for e in too_little(case, drug)]
    return case.memo["below"]


# At the infusion -------------------------------------------------------------------------------------------------


def infusion_rate(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        size = per_kg(case, dose)
        if size is None or dose.end is None or dose.end == dose.at:
            return KEEP
        rate = size * tb.MINUTE / (dose.end - dose.at)
        return tb.CRITICAL if rate >= 2 else tb.WARNING if rate > Fraction("1.1") else None

    return at_doses(case, "foscarnet-infusion-rate", "foscarnet", case.given("foscarnet"), verdict)


def volume(case: Case, drugs: tuple[str, ...], start: int, end: int) -> Fraction:
    """Return the milliliters that ran from start to end, by share of time."""
    total = Fraction(0)
    for fluid in case.fluids:
        if fluid.drug not in drugs:
            continue
        if fluid.end is None or fluid.end == fluid.at:
            total += fluid.ml if start <= fluid.at <= end else 0
        else:
            overlap = min(end, fluid.end) - max(start, fluid.at)
            total += fluid.ml * max(overlap, 0) / (fluid.end - fluid.at)
    return total


def foscarnet_hydration(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        size = per_kg(case, dose)
        is_first = course(case, "foscarnet", dose.at).first == dose.at
        end = dose.at if is_first or dose.end is None else dose.end
        needed = 750 if is_first or (size is not None and size > 60) else 500
        return tb.WARNING if volume(case, tb.FLUIDS, dose.at - 6 * tb.HOUR, end) < needed else None

    ready = [d for d in case.given("foscarnet", iv=True) if charted(case, d)]
    return at_doses(case, "hydration-missing", "foscarnet", ready, verdict)


def cidofovir_hydration(case: Case) -> list[Episode]:
    def verdict(dose: Dose) -> str | None:
        ran = volume(case, ("sodium chloride",), dose.at - 3 * tb.HOUR, dose.at)
        return tb.WARNING if ran < 1000 else None

    ready = [d for d in case.given("cidofovir", iv=True) if charted(case, d)]
    return at_doses(case, "hydration-missing", "cidofovir", ready, verdict)


def episodes(case: Case) -> list[Episode]:
    found = [e for drug in tb.BANDS for e in too_much(case, drug)]
    return [*found, *below(case), *infusion_rate(case), *foscarnet_hydration(case), *cidofovir_hydration(case)]
