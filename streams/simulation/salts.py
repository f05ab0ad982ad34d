"""Hidden electrolytes: foscarnet binds divalent cations and wastes potassium and magnesium; repletion gives back.

Sources: facts.md sections 4 and 9.2 (label: hypocalcemia 15-30 %, hypophosphatemia 8-26 %, hypomagnesemia 15-30 %,
hypokalemia 16-48 %). Values are those before an infusion; the short fall of ionized calcium within one is not kept.
"""

from streams.simulation.chance import Chance
from streams.simulation.people import Person

DT = 0.25
_TIMES = (1.2, 2.5, 2.0, 2.5)
"""Days in which potassium, magnesium, phosphate and calcium approach their set points."""
_NOISE = (0.07, 0.035, 0.10, 0.055)
_REPLETION = (0.7, 0.45, 0.8, 0.7)
"""What a day of repletion adds to the set point."""


class Salts:
    """Potassium mmol/L, magnesium, phosphate and corrected calcium mg/dL of one patient."""

    def __init__(self, who: Person, chance: Chance) -> None:
        """Starts without any drug."""
        self._base, self._lost, self._chance = who.traits.salts, who.traits.salts_lost, chance
        self._store = 0.0
        self._given = [0.0, 0.0, 0.0, 0.0]
        self.values = list(who.traits.salts)

    def replete(self, which: int) -> None:
        """A day's repletion of one of the four."""
        self._given[which] = min(1.5, self._given[which] + 1.0)

    def step(self, foscarnet: float, share: float, amphotericin: int) -> None:
        """Six hours with this dose in mg/kg at this share of filtration."""
        chance, values, given = self._chance, self.values, self._given
        self._store += (foscarnet / 45.0 - self._store) / 3.0 * DT
        failing = max(0.0, 1.0 / max(share, 0.25) - 1.2)
        retained = (0.25 * failing, 0.08 * failing, 0.5 * failing, -0.1 * failing)
        for i in range(4):
            aim = self._base[i] - self._lost[i] * self._store + retained[i] + given[i] * _REPLETION[i]
            if amphotericin and i < 2:
                aim -= 0.5 if i == 0 else 0.25
            values[i] += (aim - values[i]) / _TIMES[i] * DT + _NOISE[i] * chance.normal() * 0.5
            given[i] -= given[i] / 1.5 * DT
        values[0] = max(1.7, values[0])
        values[1] = max(0.45, values[1])
        values[2] = max(0.5, values[2])
        values[3] = max(5.0, values[3])
