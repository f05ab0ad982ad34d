"""Age, weight, dose per weight, clearance, renal bands."""

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

from . import tables as tb
from .facts import EPOCH, Case, Dose

UNKNOWN = "unknown"  # a verdict that cannot be had for want of data


def age(case: Case, t: int) -> int | None:
    """Return completed years on the (UTC) day."""
    if case.birth is None:
        return None
    day = (EPOCH + timedelta(microseconds=t)).date()
    return day.year - case.birth.year - ((day.month, day.day) < (case.birth.month, case.birth.day))


def weight(case: Case, t: int) -> Fraction | None:
    """Return the latest weight of the last 90 d, in kg."""
    found = case.latest("weight", t, t - 90 * tb.DAY, plain=True)
    return found.scale if found else None


def per_kg(case: Case, dose: Dose) -> Fraction | None:
    if not dose.known:
        return None
    if not dose.mg:
        return dose.mg_per_kg
    kg = weight(case, dose.at)
    return dose.mg_per_kg + dose.mg / kg if kg else None


def in_mg(case: Case, dose: Dose) -> Fraction | None:
    if not dose.known:
        return None
    if not dose.mg_per_kg:
        return dose.mg
    kg = weight(case, dose.at)
    return dose.mg + dose.mg_per_kg * kg if kg else None


def amount(case: Case, dose: Dose) -> Fraction | None:
    """Return the dose in the unit of its drug's renal bands."""
    return in_mg(case, dose) if dose.drug == "valganciclovir" else per_kg(case, dose)


def clearances(case: Case, drug: str, t: int, oldest: int) -> list[Fraction]:
    """Return the clearance for each sex that the patient may have; none where it is not to be had."""
    years = age(case, t)
    creatinine = case.latest("creatinine", t, t - oldest, plain=True)
    if years is None or years < 18 or creatinine is None or case.on_dialysis(t):
        return []
    male = Fraction(140 - years) / (72 * creatinine.scale / Fraction("88.42"))
    if drug != "foscarnet":
        kg = weight(case, t)
        if kg is None:
            return []
        male *= kg
    return {"male": [male], "female": [male * Fraction("0.85")]}.get(case.sex, [male, male * Fraction("0.85")])


def agreed(values: list[Fraction], verdict: Callable[[Fraction], Any]) -> Any:
    """Return the verdict on which every possible clearance agrees."""
    verdicts = {verdict(value) for value in values}
    return verdicts.pop() if len(verdicts) == 1 else UNKNOWN


def band(drug: str, clearance: Fraction) -> int | None:
    """Return which band, from the top, a clearance falls into."""
    for i, (bound, included, _, _) in enumerate(tb.BANDS[drug]):
        if clearance > bound or (included and clearance == bound):
            return i
    return None


def oldest_creatinine(intent: str) -> int:
    return 35 * tb.DAY if intent == "prophylaxis" else 7 * tb.DAY
