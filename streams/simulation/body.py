"""The hidden body of one patient, stepped every 6 h through the doses that were truly given."""

from collections import defaultdict
from typing import Final

from streams.simulation.chance import Chance
from streams.simulation.clock import DAY, STEP
from streams.simulation.diary import Given, Trace
from streams.simulation.kidney import Kidney
from streams.simulation.marrow import Marrow
from streams.simulation.people import Person
from streams.simulation.salts import Salts
from streams.simulation.virus import Virus

DT: Final = 0.25
NEPHROTOXINS: Final = (
    "vancomycin",
    "amphotericin b",
    "gentamicin",
    "ibuprofen",
    "tenofovir disoproxil",
)
_ON_MARROW: Final = ("mycophenolate", "trimethoprim", "zidovudine")
_BLOCKERS: Final = ("trimethoprim", "dolutegravir")
_LASTS: Final = 40 * 60
"""Minutes for which a co-medication acts after a dose."""


class Body:
    """Everything about a patient that no one sees but the laboratory, and that only now and then."""

    def __init__(self, who: Person, chance: Chance) -> None:
        """Starts on the day of admission."""
        self._who = who
        self.kidney = Kidney(who, chance)
        self.marrow = Marrow(who, chance)
        self.salts = Salts(who, chance)
        self.virus = Virus(who, chance)
        self.trace = Trace(who.enters * DAY)
        self._now = who.enters * DAY
        self._doses: dict[int, list[Given]] = defaultdict(list)
        self._dry: dict[int, bool] = {}
        self._last: dict[str, int] = {}
        self._level = {"ganciclovir": 0.0, "foscarnet": 0.0, "cidofovir": 0.0, "maribavir": 0.0}
        self._note()

    def take(self, given: Given, *, bare: bool = False) -> None:
        """A dose, now or later; `bare`: without the fluid or the probenecid that belongs to it."""
        step = given.start // STEP
        self._doses[step].append(given)
        if bare:
            self._dry[step] = True

    def advance(self, to: int) -> None:
        """Lives on to a minute."""
        while self._now + STEP <= to:
            self._step(self._now // STEP)
            self._now += STEP
            self._note()

    def _step(self, step: int) -> None:
        foscarnet = cidofovir = ganciclovir = maribavir = 0.0
        for dose in self._doses.pop(step, ()):
            self._last[dose.drug] = dose.start
            if dose.drug == "foscarnet":
                foscarnet += dose.per_kg
            elif dose.drug == "ganciclovir":
                ganciclovir += dose.per_kg
            elif dose.drug == "valganciclovir":
                ganciclovir += dose.amount / 180.0
            elif dose.drug == "cidofovir":
                cidofovir += dose.per_kg
            elif dose.drug == "maribavir":
                maribavir += dose.amount
        dry = self._dry.pop(step, False)
        acting = self._acting(step * STEP)
        crcl = self.kidney.full * self.kidney.share
        self.kidney.step(
            foscarnet,
            cidofovir,
            dry=dry,
            bare=dry,
            toxins=sum(drug in acting for drug in NEPHROTOXINS),
            blocked=any(drug in acting for drug in _BLOCKERS),
        )
        others = sum(drug in acting for drug in _ON_MARROW)
        day = step * STEP // DAY
        self.marrow.step(ganciclovir, cidofovir, crcl, day, others, gcsf="filgrastim" in acting)
        self.salts.step(foscarnet, self.kidney.share, "amphotericin b" in acting)
        self._expose(foscarnet, ganciclovir, cidofovir, maribavir, crcl)
        self.virus.step(day, self._level, letermovir="letermovir" in acting)

    def _acting(self, now: int) -> frozenset[str]:
        return frozenset(drug for drug, at in self._last.items() if now - at < _LASTS)

    def _expose(self, foscarnet: float, ganciclovir: float, cidofovir: float, maribavir: float, crcl: float) -> None:
        """Drug levels as shares of those that full doses bring at normal clearance, smoothed over about 2 d."""
        level = self._level
        arriving = {
            "foscarnet": foscarnet / 45.0 / (0.25 + 0.75 * min(1.2, max(0.15, crcl / 100.0))),
            "ganciclovir": ganciclovir / 2.5 / (0.12 + 0.88 * min(1.3, crcl / 90.0)),
            "maribavir": maribavir / 200.0,
        }
        for drug, rate in arriving.items():
            level[drug] += (rate - level[drug]) / 1.5 * DT
        level["cidofovir"] += 0.2 * cidofovir - level["cidofovir"] / 9.0 * DT

    def _note(self) -> None:
        trace, kidney, marrow = self.trace, self.kidney, self.marrow
        trace.creatinine.append(kidney.creatinine)
        trace.measurable.append(kidney.measurable)
        trace.clearance.append(kidney.full * self._who.creatinine / kidney.measurable)
        trace.protein.append(kidney.protein)
        trace.neutrophils.append(marrow.neutrophils)
        trace.platelets.append(marrow.platelets)
        trace.hemoglobin.append(marrow.hemoglobin)
        trace.lymphocytes.append(marrow.lymphocytes)
        trace.cd4.append(marrow.cd4)
        potassium, magnesium, phosphate, calcium = self.salts.values
        trace.potassium.append(potassium)
        trace.magnesium.append(magnesium)
        trace.phosphate.append(phosphate)
        trace.calcium.append(calcium)
        trace.load.append(self.virus.load)
