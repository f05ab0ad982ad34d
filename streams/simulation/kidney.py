"""A hidden kidney: filtration as a share of its usual, hurt by foscarnet and cidofovir, by chance, and mending.

Creatinine follows filtration by mass balance in 0.6 L of body water a kg, so it lags a falling filtration by a day or
more and overshoots a recovering one (facts.md, trap 27). Foscarnet's injury comes through a store that fills over days:
the hazard peaks in the second week and wanes 1 to 2 weeks after the last dose (facts.md, section 9.2).
"""

from streams.simulation.chance import Chance, exp
from streams.simulation.people import Person
from streams.simulation.regimens import clearance

DT = 0.25
"""Days in a step."""
_WET = 0.2
"""The share of foscarnet's injury left by a liter of saline a dose (label: 33 % against 12 % reach 2.0 mg/dL)."""
_BARE = 2.2
"""Cidofovir's injury without probenecid or saline, as a multiple."""


class Kidney:
    """Filtration, creatinine and urine protein of one patient."""

    def __init__(self, who: Person, chance: Chance) -> None:
        """Starts settled, or on the way there after a kidney transplant."""
        self._traits, self._chance, self._dialysis = who.traits, chance, who.dialysis
        self._usual = who.creatinine
        self.full = clearance(who.age, female=who.female, weight=who.weight, creatinine=who.creatinine)
        """Creatinine clearance when settled, mL/min."""
        self._turnover = self.full * 1.44 / (0.6 * who.weight)
        self._store = self._foscarnet = self._cidofovir = self._pending = 0.0
        self._insult = self._coming = 0.0
        self._drift = 0.0
        self._blocked = 1.0
        self._days = 0.0
        self.protein = 5.0
        self.share = 1.0
        """Filtration as a share of the usual."""
        since = None if who.transplant_day is None else who.enters - who.transplant_day
        if who.organ == "kidney" and since is not None and since < 9:
            self._insult = chance.between(0.1, 0.75) * (1 - since / 12)
        self._level = 1.0 / (1.0 - self._insult)

    @property
    def creatinine(self) -> float:
        """True creatinine by filtration, mg/dL."""
        if self._dialysis:
            # Three sessions a week: it rises between them and falls by half in each.
            return self._usual * (0.62 + 0.3 * (self._days % 2.33))
        return self._usual * self._level

    @property
    def measurable(self) -> float:
        """Creatinine that a laboratory would find, mg/dL: also raised by blocked secretion."""
        return self.creatinine * self._blocked

    def step(self, foscarnet: float, cidofovir: float, *, dry: bool, bare: bool, toxins: int, blocked: bool) -> None:
        """Six hours with these doses in mg/kg; `toxins`: other nephrotoxic drugs; `blocked`: secretion."""
        t, chance = self._traits, self._chance
        self._days += DT
        crcl = min(1.2, self.full * self.share / 100.0)
        arriving = foscarnet / 45.0 / (0.25 + 0.75 * max(0.15, crcl))
        self._store += (arriving - self._store) / 5.0 * DT
        hurt = t.foscarnet_hurt * (1.0 if dry else _WET) * self._store * self._store
        rest = max(0.06, 1.0 - self._store)
        self._foscarnet += (hurt * (1.0 - self._foscarnet) - self._foscarnet * rest / t.kidney_mends) * DT
        if cidofovir > 0:
            self._pending += t.cidofovir_hurt * cidofovir / 5.0 * (_BARE if bare else 1.0)
            self.protein += chance.lognormal(49.0, 0.9) * cidofovir / 5.0
        moved = self._pending / 4.0 * DT
        self._pending -= moved
        self._cidofovir += moved * (1.0 - self._cidofovir) - self._cidofovir / 40.0 * DT
        self.protein += (5.0 - self.protein) / 18.0 * DT
        if chance.happens(t.insults * DT * (1 + 1.2 * toxins)):
            self._coming += chance.between(0.15, 0.6)
        arrives = self._coming / 1.2 * DT
        self._coming -= arrives
        self._insult += arrives * (1 - self._insult) - self._insult / 6.0 * DT
        self._drift += -self._drift / 3.0 * DT + 0.018 * chance.normal()
        kept = (1 - self._foscarnet) * (1 - self._cidofovir) * (1 - self._insult)
        self.share = max(0.06, kept * exp(self._drift))
        self._level = (self._level + self._turnover * DT) / (1 + self._turnover * self.share * DT)
        self._blocked += ((t.secretion if blocked else 1.0) - self._blocked) / 2.0 * DT
