"""What a ward prescribes: the label's dose for the clearance it has on paper, at times the wrong one."""

from typing import TYPE_CHECKING

from streams.simulation.cidofovir import first_dose
from streams.simulation.clock import DAY, HOUR
from streams.simulation.nursing import Order
from streams.simulation.regimens import (
    BANDS,
    GANCICLOVIRS,
    INDUCTION,
    PROPHYLAXIS,
    Dose,
    right_dose,
)

if TYPE_CHECKING:
    from streams.simulation.care import Care


def dose_for(care: "Care", drug: str, phase: str, now: int, nearly: float = 1.0) -> Dose | None:
    """The dose by the latest creatinine known, its clearance times `nearly`; None where the label advises none."""
    who = care.who
    if drug == "letermovir":
        return Dose(240.0 if care.comedication.is_on("ciclosporin") else 480.0, 24)
    if drug == "maribavir":
        return Dose(400.0, 12)
    if drug == "cidofovir":
        return Dose(5.0, 168)
    if who.dialysis:
        return {"ganciclovir": Dose(1.25, 56), "valganciclovir": Dose(450.0, 56), "foscarnet": Dose(50.0, 56)}[drug]
    index = care.index(drug, now)
    if index is None:
        return None
    dose = right_dose(drug, phase, index * nearly, who.foscarnet_column)
    if dose is not None and who.plan == "herpes":
        return Dose(round(dose.amount * 2 / 3), dose.every)
    return dose


def begin(care: "Care", drug: str, intent: str, now: int) -> bool:
    """Starts a course if the label allows it. A switch keeps the therapy's own beginning."""
    chance = care.chance
    phase = "" if intent == PROPHYLAXIS else INDUCTION
    if care.laboratory.latest("creatinine", now) is None:
        care.laboratory.draw(now - 40, ("creatinine", "potassium"), elsewhere=True)
    dose = dose_for(care, drug, phase, now + 2 * HOUR)
    if dose is None or (drug == "cidofovir" and not _may_start_cidofovir(care, now)):
        return False
    if drug in BANDS and not care.who.dialysis and chance.happens(0.03 if care.who.team.reviews > 0.5 else 0.09):
        dose = _mistaken(drug, phase, dose)
    elif drug == "letermovir" and chance.happens(0.05):
        dose = Dose(720.0 - dose.amount, 24)
    started = now + chance.whole(3, 7) * HOUR
    old = care.treating
    began = started
    if intent != PROPHYLAXIS and old is not None:
        began = old.therapy_began
    elif intent != PROPHYLAXIS and now // DAY - care.stopped_on <= 3 and care.therapy_began >= 0:
        began = care.therapy_began
    if not chance.happens(0.01 + 60 * care.who.team.forgets_test):
        _baseline(care, drug, now)
    if drug == "cidofovir":
        first_dose(care, now)
    care.add(drug, Order(drug, dose.amount, dose.every, intent, phase), started, began)
    return True


def _mistaken(drug: str, phase: str, dose: Dose) -> Dose:
    """The full dose in spite of the clearance, or half of it: tablets once a day, an infusion left out."""
    full = BANDS[drug][0]
    whole = (full.induction if phase == INDUCTION else full.maintenance)[0]
    if whole.amount / whole.every > 1.2 * dose.amount / dose.every:
        return whole
    if drug in GANCICLOVIRS and phase == INDUCTION:
        return Dose(dose.amount, dose.every * 2)
    return dose


def _baseline(care: "Care", drug: str, now: int) -> None:
    """Tests just before the first dose, unless today's are at hand."""
    latest = care.laboratory.latest("anc", now)
    if latest is not None and now - latest[0] < DAY // 2 and drug not in ("foscarnet", "cidofovir"):
        return
    tests: tuple[str, ...] = ("creatinine", "potassium", "anc", "lymphocytes", "platelets", "hemoglobin")
    if drug == "foscarnet":
        tests += ("magnesium", "phosphate", "calcium", "albumin")
    if drug == "cidofovir":
        tests += ("urine-protein",)
    if care.laboratory.draw(now + 20, tests):
        care.last_drawn["chemistry"] = care.last_drawn["count"] = now // DAY


def _may_start_cidofovir(care: "Care", now: int) -> bool:
    """Creatinine at most 1.5 mg/dL and clearance above 55 mL/min, or a ward that does not look."""
    latest, crcl = care.laboratory.latest("creatinine", now), care.index("cidofovir", now)
    fit = latest is not None and latest[1] <= 1.5 and crcl is not None and crcl > 55 and not care.who.dialysis
    return fit or care.chance.happens(0.04)
