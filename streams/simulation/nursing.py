"""Doses as they are given and charted: on time, late, missed, refused, stopped half way, charted twice or in error.

Each foscarnet dose has its saline before it and each cidofovir dose its saline and probenecid (facts.md, section 2.1),
unless the ward forgets.
"""

from dataclasses import dataclass
from typing import Final

from streams.simulation.body import Body
from streams.simulation.chance import Chance
from streams.simulation.clock import DAY, HOUR, iso
from streams.simulation.diary import Diary, Given
from streams.simulation.people import Person
from streams.simulation.record import Event, Record, rounded
from streams.simulation.regimens import PER_KG, infusion_minutes

ROUTES: Final = {"foscarnet": "iv", "ganciclovir": "iv", "cidofovir": "iv", "sodium chloride": "iv"}
_USAN: Final = {"ciclosporin": "cyclosporine"}

# Shares, of doses.
_LATE: Final = 0.012
_NOT_DONE: Final = 0.008
_STOPPED: Final = 0.003
_TOO_FAST: Final = 0.0015
_GIVEN_TWICE: Final = 0.0006
_CHARTED_FIRST: Final = 0.03
_CHARTED_LATE: Final = 0.01
_CHARTED_IN_ERROR: Final = 0.0008


@dataclass(slots=True)
class Order:
    """What is prescribed: an amount (mg/kg or mg) every so many hours, and why."""

    drug: str
    amount: float
    every: int
    intent: str
    phase: str


class Nursing:
    """Gives what is ordered and charts it."""

    def __init__(self, who: Person, chance: Chance, body: Body, diary: Diary, record: Record) -> None:
        """Begins with nothing given."""
        self._who, self._chance, self._body, self._diary, self._record = who, chance, body, diary, record

    def give(self, order: Order, due: int, *, first: bool) -> None:
        """One dose that is due at a minute."""
        chance, drug = self._chance, order.drug
        start = due + int(max(-75, min(75, chance.around(0, 22))))
        fate = chance.share()
        if fate < _NOT_DONE and not first:
            self._chart(order, start, start, self._milligrams(order), {"status": "not-done"}, recorded=start + 10)
            return
        if fate > 1 - _LATE:
            start += chance.whole(60, 190)
        bare = self._protect(order, start, first=first)
        milligrams = self._milligrams(order)
        minutes = infusion_minutes(drug, order.amount)
        if drug == "foscarnet" and chance.happens(_TOO_FAST):
            minutes = max(18, int(minutes * 0.35))
        fields: Event = {}
        if minutes and chance.happens(_STOPPED):
            milligrams, minutes = round(milligrams * 0.5), minutes // 2
            fields["status"] = "stopped"
        self._given(order, start, start + minutes, milligrams, bare=bare)
        self._chart(order, start, start + minutes, milligrams, fields, recorded=start + minutes + chance.whole(2, 25))
        if chance.happens(_GIVEN_TWICE):
            again = start + chance.whole(60, 150)
            self._given(order, again, again + minutes, milligrams, bare=bare)
            self._chart(order, again, again + minutes, milligrams, {}, recorded=again + minutes + chance.whole(2, 25))
        if chance.happens(_CHARTED_IN_ERROR):
            event_id = self._record.new_id("A")
            wrong = self._fields(order, start + 20, start + 20 + minutes, milligrams)
            self._record.write("administration", event_id, start + minutes + 40, wrong)
            gone = start + minutes + chance.whole(60, 600)
            self._record.write("administration", event_id, gone, wrong | {"status": "entered-in-error"})

    def hold(self, order: Order, due: int) -> None:
        """A dose that is held: charted as not given on half of the occasions."""
        if self._chance.happens(0.5):
            self._chart(order, due, due, self._milligrams(order), {"status": "not-done"}, recorded=due + 15)

    def give_plain(self, drug: str, milligrams: float, at: int, route: str) -> None:
        """One dose of a co-medication."""
        self._body.take(self._note(drug, at, at, milligrams, route))
        fields = self._plain(drug, milligrams, at, at, route)
        self._record.write("administration", self._record.new_id("A"), at + self._chance.whole(1, 20), fields)

    # Saline and probenecid -------------------------------------------------------------------------------------------

    def _protect(self, order: Order, start: int, *, first: bool) -> bool:
        """Gives what belongs before the dose. True if it was left out."""
        chance, who = self._chance, self._who
        if order.drug == "foscarnet":
            if not who.hydrates or chance.happens(who.team.omits_fluid):
                return True
            volume = 1000 if first else 750 if order.amount <= 60 else 1000
            self._fluid(volume, start - chance.whole(85, 115), start - chance.whole(2, 15))
            return False
        if order.drug == "cidofovir":
            bare = chance.happens(3 * who.team.omits_fluid)
            if not bare:
                self._fluid(1000, start - chance.whole(100, 130), start - chance.whole(5, 15))
            if chance.happens(0.01 + 2 * who.team.omits_fluid):
                return True
            self.give_plain("probenecid", 2000, start - chance.whole(150, 215), "oral")
            self.give_plain("probenecid", 1000, start + chance.whole(170, 200), "oral")
            self.give_plain("probenecid", 1000, start + chance.whole(530, 560), "oral")
            return bare
        return False

    def _fluid(self, volume: float, start: int, end: int) -> None:
        self._note("sodium chloride", start, end, volume, "iv")
        fields = self._plain("sodium chloride", volume, start, end, "iv") | {"unit": "mL"}
        self._record.write("administration", self._record.new_id("F"), end + self._chance.whole(1, 12), fields)

    # Charting --------------------------------------------------------------------------------------------------------

    def _milligrams(self, order: Order) -> float:
        """Rounded as a pharmacy does: foscarnet to 100 mg, ganciclovir and cidofovir to 5 mg."""
        if order.drug not in PER_KG:
            return order.amount
        nearest = 100 if order.drug == "foscarnet" else 5
        return round(order.amount * self._who.weight / nearest) * nearest

    def _given(self, order: Order, start: int, end: int, milligrams: float, *, bare: bool) -> None:
        per_kg = milligrams / self._who.weight
        route = ROUTES.get(order.drug, "oral")
        given = Given(order.drug, start, end, milligrams, per_kg, route, order.intent, order.phase, order.every)
        self._diary.doses[order.drug].append(given)
        self._body.take(given, bare=bare)

    def _note(self, drug: str, start: int, end: int, amount: float, route: str) -> Given:
        given = Given(drug, start, end, amount, amount / self._who.weight, route, "", "", 0)
        self._diary.doses[drug].append(given)
        return given

    def _fields(self, order: Order, start: int, end: int, milligrams: float) -> Event:
        fields = self._plain(order.drug, milligrams, start, end, ROUTES.get(order.drug, "oral"))
        if self._chance.happens(self._who.habits.labels):
            label = order.intent
            if order.phase == "maintenance" and order.intent != "prophylaxis":
                label = "maintenance"
            fields["indication"] = label
        return fields

    def _plain(self, drug: str, amount: float, start: int, end: int, route: str) -> Event:
        name = _USAN.get(drug, drug) if self._who.habits.usan else drug
        fields: Event = {"drug": name, "dose": rounded(amount, 1), "unit": "mg", "route": route}
        fields["started_at"] = iso(start)
        if end > start:
            fields["ended_at"] = iso(end)
        return fields

    def _chart(self, order: Order, start: int, end: int, milligrams: float, status: Event, *, recorded: int) -> None:
        chance, record = self._chance, self._record
        event_id = record.new_id("A")
        fields = self._fields(order, start, end, milligrams) | status
        if end > start and chance.happens(_CHARTED_FIRST):
            begun = {key: value for key, value in fields.items() if key not in ("ended_at", "status")}
            record.write("administration", event_id, start + chance.whole(0, 5), begun | {"status": "in-progress"})
        if chance.happens(_CHARTED_LATE):
            recorded += chance.whole(3 * HOUR, 2 * DAY)
        record.write("administration", event_id, recorded, fields)
