"""What else is given: immunosuppressants, prophylaxis against other germs, and short courses for fever, nausea or pain.

Only what some rule may look at is charted. Short courses are what makes the rules on combinations and on the kidney
meet real coincidences; wards keep the worst of them away from cidofovir and, mostly, from foscarnet.
"""

from dataclasses import dataclass
from typing import Final

from streams.simulation.chance import Chance
from streams.simulation.clock import DAY, HOUR
from streams.simulation.nursing import Nursing
from streams.simulation.people import HCT, HIV, Person

NEVER: Final = 10**9


@dataclass(slots=True)
class Standing:
    """A drug given again and again: mg every so many hours."""

    drug: str
    milligrams: float
    every: int
    route: str
    due: int
    until: int = NEVER


# drug, mg, every h, route, days (low, high), courses a day by population
_SHORT: Final = (
    ("vancomycin", 1000.0, 12, "iv", (3, 7), {HCT: 0.006, "solid-organ": 0.002, HIV: 0.001}),
    ("amphotericin b", 250.0, 24, "iv", (4, 12), {HCT: 0.0012, "solid-organ": 0.0003, HIV: 0.0006}),
    ("ondansetron", 8.0, 8, "iv", (1, 3), {HCT: 0.008, "solid-organ": 0.002, HIV: 0.002}),
    ("imipenem", 500.0, 8, "iv", (4, 8), {HCT: 0.001, "solid-organ": 0.0006, HIV: 0.0003}),
    ("levofloxacin", 500.0, 24, "oral", (3, 7), {HCT: 0.003, "solid-organ": 0.003, HIV: 0.001}),
    ("haloperidol", 2.0, 24, "iv", (1, 2), {HCT: 0.0008, "solid-organ": 0.0005, HIV: 0.0005}),
    ("ibuprofen", 400.0, 12, "oral", (1, 3), {HCT: 0.0003, "solid-organ": 0.0006, HIV: 0.0015}),
    ("simvastatin", 20.0, 24, "oral", (10, 40), {HCT: 0.0002, "solid-organ": 0.0004, HIV: 0.0}),
    ("rifampin", 600.0, 24, "oral", (10, 40), {HCT: 0.0001, "solid-organ": 0.0002, HIV: 0.0003}),
    ("phenytoin", 300.0, 24, "oral", (10, 60), {HCT: 0.0006, "solid-organ": 0.0006, HIV: 0.0}),
)
_KEPT_FROM_FOSCARNET: Final = 0.75
"""The share of nephrotoxic courses that a pharmacist changes to something else while foscarnet runs."""
_KEPT_FROM_CIDOFOVIR: Final = 0.92
_HARMFUL: Final = frozenset(("vancomycin", "amphotericin b", "ibuprofen"))


class Comedication:
    """The other drugs of one patient."""

    def __init__(self, who: Person, chance: Chance, nursing: Nursing) -> None:
        """Starts what this patient is on already."""
        self._who, self._chance, self._nursing = who, chance, nursing
        self.standing: list[Standing] = []
        start = who.enters * DAY + 9 * HOUR
        if who.immunosuppressant:
            self._add(who.immunosuppressant, 2.0 if who.immunosuppressant == "tacrolimus" else 150.0, 12, start)
        if who.mycophenolate:
            self._add("mycophenolate", 750.0, 12, start)
        if who.population == HIV:
            if chance.happens(0.3):
                self._add("dolutegravir", 50.0, 24, start + chance.whole(0, 12) * DAY)
            if chance.happens(0.04):
                self._add("zidovudine", 300.0, 12, start)
            if chance.happens(0.03):
                self._add("tenofovir disoproxil", 300.0, 24, start)
        if chance.happens(0.45):
            self._add("trimethoprim", 80.0, 24, start + chance.whole(0, 8) * DAY)

    def is_on(self, drug: str) -> bool:
        """Whether a drug is being given."""
        return any(one.drug == drug for one in self.standing)

    def stop(self, drug: str) -> None:
        """Ends a drug."""
        self.standing = [one for one in self.standing if one.drug != drug]

    def start(self, drug: str, milligrams: float, every: int, route: str, *, begin: int, days: int) -> None:
        """Begins a drug for some days, if it is not being given."""
        if not self.is_on(drug):
            self.standing.append(Standing(drug, milligrams, every, route, begin, begin + days * DAY))

    def change_immunosuppressant(self, now: int) -> str:
        """From ciclosporin to tacrolimus or back."""
        old = "tacrolimus" if self.is_on("tacrolimus") else "ciclosporin"
        new = "ciclosporin" if old == "tacrolimus" else "tacrolimus"
        self.stop(old)
        self._add(new, 2.0 if new == "tacrolimus" else 150.0, 12, now + 12 * HOUR)
        return new

    def day(self, now: int, on: frozenset[str], *, inpatient: bool) -> None:
        """Begins what chance brings, and gives what is due until the next round; `on`: antivirals being given."""
        chance = self._chance
        for drug, milligrams, every, route, (low, high), rates in _SHORT:
            rate = rates[self._who.population]
            if rate and chance.share() < rate * (1.0 if inpatient else 0.4) and not self._kept_away(drug, on):
                begin = now + chance.whole(60, 300)
                self.start(drug, milligrams, every, route, begin=begin, days=chance.whole(low, high))
        for one in self.standing:
            while one.due < now + DAY and one.due < one.until:
                at = one.due + chance.whole(-20, 20)
                if chance.share() > 0.01:
                    self._nursing.give_plain(one.drug, one.milligrams, at, one.route)
                one.due += one.every * HOUR
        self.standing = [one for one in self.standing if one.due < one.until]

    def _kept_away(self, drug: str, on: frozenset[str]) -> bool:
        chance = self._chance
        if drug in _HARMFUL and "cidofovir" in on:
            return chance.happens(_KEPT_FROM_CIDOFOVIR)
        if drug in _HARMFUL and "foscarnet" in on:
            return chance.happens(_KEPT_FROM_FOSCARNET)
        if drug in ("rifampin", "simvastatin"):
            return "letermovir" in on and chance.happens(0.8)
        return drug == "imipenem" and bool(on & {"ganciclovir", "valganciclovir"}) and chance.happens(0.6)

    def _add(self, drug: str, milligrams: float, every: int, due: int) -> None:
        self.standing.append(Standing(drug, milligrams, every, "oral", due))
