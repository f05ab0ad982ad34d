"""A hidden marrow: counts fall with ganciclovir's exposure over one to two weeks and recover in days after it.

Sources: facts.md sections 3 (onset in weeks 1-2, recovery 2 to 7 d after the last dose, G-CSF) and 9.2 (shares).
"""

from streams.simulation.chance import Chance, exp
from streams.simulation.people import HCT, Person

DT = 0.25


class Marrow:
    """Neutrophils, platelets (10*3/uL), hemoglobin (g/dL) and lymphocytes of one patient, CD4 (/uL)."""

    def __init__(self, who: Person, chance: Chance) -> None:
        """Starts without any drug."""
        self._who, self._chance = who, chance
        self._effect = self._cidofovir = self._help = self._hit = 0.0
        self._falling = self._falling_platelets = self._anemia = 0.0
        self._noise = self._platelet_noise = 0.0
        self._transfused = self._bags = 0.0
        since = 99 if who.transplant_day is None else who.enters - who.transplant_day
        self._engrafted = -12.0 + since if who.population == HCT else 30.0
        self.lymphocytes = who.traits.lymphocytes
        self.cd4 = who.traits.cd4

    @property
    def neutrophils(self) -> float:
        """10*3/uL."""
        return self._who.traits.neutrophils * exp(self._falling + self._noise)

    @property
    def platelets(self) -> float:
        """10*3/uL."""
        return self._who.traits.platelets * exp(self._falling_platelets + self._platelet_noise) + self._bags

    @property
    def hemoglobin(self) -> float:
        """g/dL."""
        return max(4.5, self._who.traits.hemoglobin - self._anemia + self._transfused)

    def step(self, ganciclovir: float, cidofovir: float, crcl: float, day: int, others: int, *, gcsf: bool) -> None:
        """Six hours with these doses (mg/kg of ganciclovir or its equal); `others`: other drugs on the marrow."""
        t, chance = self._who.traits, self._chance
        self._engrafted += DT
        exposure = ganciclovir / 2.5 / (0.12 + 0.88 * min(1.3, crcl / 90.0))
        self._effect += (exposure - self._effect) / 5.0 * DT
        self._cidofovir += 0.3 * cidofovir - self._cidofovir / 9.0 * DT
        self._help += ((1.5 if gcsf else 0.0) - self._help) / 1.5 * DT
        if chance.happens((0.005 + 0.001 * others) * DT):
            self._hit += chance.between(0.3, 2.3)
        self._hit -= self._hit / 7.0 * DT
        unripe = max(0.0, 8.0 - self._engrafted) / 8.0
        aim = -t.marrow_falls * (self._effect * (0.9 + 0.1 * others) + self._cidofovir)
        aim += self._help - self._hit - 1.5 * unripe
        self._falling += (aim - self._falling) / 2.5 * DT
        self._noise += -self._noise / 1.5 * DT + 0.07 * chance.normal()
        aim = -t.platelets_fall * self._effect - 0.5 * unripe - 0.3 * self._hit
        self._falling_platelets += (aim - self._falling_platelets) / 6.0 * DT
        self._platelet_noise += -self._platelet_noise / 4.0 * DT + 0.03 * chance.normal()
        self._anemia += (1.7 * self._effect + 0.25 * others + self._hit - self._anemia) / 18.0 * DT
        self._transfused -= self._transfused / 25.0 * DT
        self._bags -= self._bags / 2.5 * DT
        if day >= t.lymphocytes_from:
            self.lymphocytes += (1.6 - self.lymphocytes) / 60.0 * DT
        self.cd4 += t.cd4_gain * DT * max(0.0, 1 - self.cd4 / 600)

    def transfuse_red(self) -> None:
        """Two units of red cells."""
        self._transfused += 1.8

    def transfuse_platelets(self) -> None:
        """One unit of platelets."""
        self._bags += 25.0
