"""What is right to give: dose tables, clearance and intervals, copied from the labels (facts.md, sections 1.2 and 1.3).

Kept apart from the monitor's own tables on purpose: the truth of a cohort must not rest on what it is to test.
"""

from typing import Final, NamedTuple

INDUCTION: Final = "induction"
MAINTENANCE: Final = "maintenance"
TREATMENT: Final = "treatment"
PREEMPTIVE: Final = "preemptive"
PROPHYLAXIS: Final = "prophylaxis"

ANTIVIRALS: Final = ("foscarnet", "cidofovir", "ganciclovir", "valganciclovir", "letermovir", "maribavir")
GANCICLOVIRS: Final = ("ganciclovir", "valganciclovir")


class Dose(NamedTuple):
    """An amount (mg/kg for foscarnet, ganciclovir and cidofovir, else mg) every so many hours."""

    amount: float
    every: int


class Band(NamedTuple):
    """A renal band: its lower bound, and the columns of the label's table."""

    bound: float
    induction: tuple[Dose, ...]
    maintenance: tuple[Dose, ...]


def _band(bound: float, induction: str, maintenance: str) -> Band:
    return Band(bound, _column(induction), _column(maintenance))


def _column(text: str) -> tuple[Dose, ...]:
    pairs = (one.split("/") for one in text.split())
    return tuple(Dose(float(amount), int(every)) for amount, every in pairs)


BANDS: Final = {
    # mL/min/kg; the bounds are exclusive but for the last.
    "foscarnet": (
        _band(1.4, "60/8 90/12", "90/24 120/24"),
        _band(1.0, "45/8 70/12", "70/24 90/24"),
        _band(0.8, "50/12 50/12", "50/24 65/24"),
        _band(0.6, "40/12 80/24", "80/48 105/48"),
        _band(0.5, "60/24 60/24", "60/48 80/48"),
        _band(0.4, "50/24 50/24", "50/48 65/48"),
    ),
    # mL/min; the bounds are inclusive. On hemodialysis, and below 10: three times a week.
    "ganciclovir": (
        _band(70, "5/12", "5/24 6/24"),
        _band(50, "2.5/12", "2.5/24"),
        _band(25, "2.5/24", "1.25/24"),
        _band(10, "1.25/24", "0.625/24"),
        _band(0, "1.25/56", "0.625/56"),
    ),
    "valganciclovir": (
        _band(60, "900/12", "900/24"),
        _band(40, "450/12", "450/24"),
        _band(25, "450/24", "450/48"),
        _band(10, "450/48", "450/84"),
    ),
}
PER_KG: Final = ("foscarnet", "ganciclovir", "cidofovir")
COURSE_GAP: Final = {
    "foscarnet": 4,
    "ganciclovir": 4,
    "valganciclovir": 5,
    "cidofovir": 21,
    "letermovir": 3,
    "maribavir": 3,
}
"""Days without a dose after which a course is over (alerts.md)."""


def clearance(age: int, *, female: bool, weight: float, creatinine: float) -> float:
    """Creatinine clearance in mL/min by Cockcroft and Gault, of years, kg and mg/dL."""
    return (140 - age) * weight / (72 * creatinine) * (0.85 if female else 1.0)


def band_of(drug: str, index: float, slack: float = 0.0) -> Band | None:
    """The band of a clearance (foscarnet: mL/min/kg), or None below the table. `slack`: bounds lowered by a share."""
    for band in BANDS[drug]:
        bound = band.bound * (1 - slack)
        if index > bound or (index == bound and (drug != "foscarnet" or band.bound == 0.4)):
            return band
    return None


def index_of(drug: str, crcl: float, weight: float) -> float:
    """What a drug's table is read by."""
    return crcl / weight if drug == "foscarnet" else crcl


def right_dose(drug: str, phase: str, index: float, column: int = 0) -> Dose | None:
    """The label's dose, or None where it advises none.

    `column`: foscarnet's induction by 60 mg/kg every 8 h (0), by 90 every 12 h (1), or by 60 every 12 h (2), as in the
    pre-emptive trial in HCT (Reusser 2002).
    """
    band = band_of(drug, index)
    if band is None:
        return None
    if phase != INDUCTION or drug != "foscarnet":
        return (band.induction if phase == INDUCTION else band.maintenance)[0]
    dose = band.induction[column % 2]
    return Dose(dose.amount, 12) if column == 2 and dose.every == 8 else dose


def infusion_minutes(drug: str, per_kg: float) -> int:
    """How long an infusion takes at the label's pace; 0 for what is swallowed."""
    if drug == "foscarnet":
        return 120 if per_kg > 65 else 80
    return 60 if drug in ("ganciclovir", "cidofovir") else 0
