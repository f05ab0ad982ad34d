"""A hidden virus: the load in plasma, in log10 IU/mL.

Untreated it doubles in about a day (facts.md, section 9.2: Emery and Griffiths) up to a ceiling; on full treatment it
falls with a half-life that is lognormal between patients, at times after a hump; under too small doses it falls slowly
or not; a resistant strain or a failing host lets it rise; without therapy it returns unless immunity holds it.
"""

from typing import Final

from streams.simulation.chance import Chance
from streams.simulation.people import Person

DT: Final = 0.25
FLOOR: Final = -1.0
ABSENT: Final = -9.0
_ENOUGH: Final = 0.45
"""The share of the full exposure that already has the full effect: the label's maintenance doses hold the virus."""


class Virus:
    """One patient's viral load."""

    def __init__(self, who: Person, chance: Chance) -> None:
        """Starts where the virus is on the day of admission."""
        t = who.traits
        self._traits, self._chance = t, chance
        grown = (who.enters - t.cmv_from) * t.growth
        self.load = min(t.ceiling - 0.6, 0.6 + grown) if grown >= 0 else ABSENT
        self._ganciclovir_days = self._treated_days = self._idle_days = 0.0
        self._first = ""
        self._works = {
            "ganciclovir": 1.0,
            "foscarnet": 1.0 if chance.happens(0.85) else 0.4,
            "cidofovir": 0.85,
            "maribavir": 1.0 if chance.happens(0.75) else 0.4,
        }
        self._wobble = 0.0

    @property
    def resists(self) -> bool:
        """Whether a strain that resists ganciclovir has the upper hand."""
        t = self._traits
        return t.response == "resists" and self._ganciclovir_days >= t.resists_after

    def step(self, day: int, exposure: dict[str, float], *, letermovir: bool) -> None:
        """Six hours under shares of the full exposure to each drug; letermovir prevents, but does not treat."""
        t = self._traits
        if self.load == ABSENT:
            if day < t.cmv_from:
                return
            self.load = 0.6
        self._ganciclovir_days += min(1.0, exposure["ganciclovir"]) * DT
        drug, strength = self._strongest(exposure)
        if strength > 0.2:
            self._first = self._first or drug
            self._treated_days += DT
            self._idle_days = 0.0
        else:
            self._idle_days += DT
            if self._idle_days > 20:
                self._treated_days, self._first = 0.0, ""
        filled = max(0.0, self.load) / t.ceiling
        growth = t.growth * (1 - filled * filled * filled * filled)
        if day >= t.control_from:
            growth = -0.06
        elif letermovir and strength < 0.2:
            growth *= 0.4
        slope = (1 - strength) * growth - strength * self._decay(drug)
        self._wobble += -self._wobble / 2.0 * DT + 0.015 * self._chance.normal()
        self.load = max(FLOOR, self.load + (slope + self._wobble) * DT)

    def _strongest(self, exposure: dict[str, float]) -> tuple[str, float]:
        """The drug that works most, and how much of the full effect it has, 0 to 1."""
        best, most = "", 0.0
        for drug, share in exposure.items():
            works = 0.15 if drug == "ganciclovir" and self.resists else self._works[drug]
            strength = works * min(1.0, share / _ENOUGH)
            if strength > most:
                best, most = drug, strength
        return best, most

    def _decay(self, drug: str) -> float:
        """log10 a day on full treatment; negative while it rises."""
        t = self._traits
        if t.hump and self._treated_days < 6:
            # A transient rise in the first days: the fall is put off.
            return -t.hump / 4.0 if self._treated_days >= 2 else 0.02
        if t.response == "slow":
            return 0.016
        if t.response == "refractory" and drug == self._first:
            return -0.02 - 0.10 * t.growth
        return 0.301 / t.half_life
