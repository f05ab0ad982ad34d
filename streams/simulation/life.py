"""One patient's life in the cohort: the hidden body and the ward, day by day, and what is told of it afterwards."""

from dataclasses import dataclass

from streams.simulation.body import Body
from streams.simulation.care import ROUND, Care
from streams.simulation.chance import Chance
from streams.simulation.clock import DAY, HOUR, iso
from streams.simulation.diary import Diary, Trace
from streams.simulation.people import HIV, SOT, Person, person
from streams.simulation.record import Event, Record, rounded
from streams.simulation.truth import tell


@dataclass(frozen=True, slots=True)
class Life:
    """A patient: the events of the record in order of `recorded_at`, the truth, and what both were made from."""

    who: Person
    events: list[Event]
    truth: Event
    diary: Diary
    trace: Trace


def live(seed: int, index: int, days: int) -> Life:
    """The life of the patient of this index: the same whatever the cohort's size."""
    chance = Chance(seed, index)
    who = person(chance, index, days)
    end = days * DAY
    record, diary = Record(who.id, end), Diary()
    body = Body(who, chance)
    care = Care(who, chance, body, diary, record)
    _arrive(care)
    for day in range(who.enters, days):
        body.advance(day * DAY + 6 * HOUR)
        care.day(day)
        body.advance((day + 1) * DAY)
        if _dies(care, day):
            diary.dies = (day + 1) * DAY + ROUND
            break
    diary.resistant = body.virus.resists
    return Life(who, record.in_order(), tell(who, diary, body.trace, end), diary, body.trace)


def _arrive(care: Care) -> None:
    """What is written down on the day of admission: who it is, older results, weight, and the first panel."""
    who, record, chance = care.who, care.record, care.chance
    at = who.enters * DAY + 5 * HOUR + chance.whole(0, 90)
    person_fields: Event = {}
    if "birth" not in who.unknown:
        person_fields["birth_date"] = who.birth.isoformat()
    person_fields["sex"] = "unknown" if "sex" in who.unknown else "female" if who.female else "male"
    record.write("patient", f"{who.id}-P0", at, person_fields)
    clinical: Event = {}
    if who.transplant_day is not None:
        clinical |= {"transplant": who.population, "transplant_at": iso(who.transplant_day * DAY + 9 * HOUR)}
    for name, serology in (("donor_cmv", who.donor), ("recipient_cmv", who.recipient)):
        if serology:
            clinical[name] = serology
    if who.population == HIV:
        clinical["hiv"] = True
    if who.dialysis:
        clinical["dialysis"] = True
    if clinical:
        record.write("patient", record.new_id("P"), at + 2, clinical)
    record.write(
        "lab",
        record.new_id("L"),
        at + 6,
        {"code": "8302-2", "value": who.height, "unit": "cm", "collected_at": iso(at + 4)},
    )
    care.weigh(at + 5)
    _older_results(care, at)
    tests: tuple[str, ...] = ("creatinine", "potassium", "anc", "lymphocytes", "platelets", "hemoglobin", "cmv-dna")
    if who.population == HIV:
        tests += ("cd4",)
    if who.immunosuppressant:
        tests += (f"{who.immunosuppressant}-level",)
    if care.laboratory.draw(at + 12, tests):
        for group in ("chemistry", "count", "load", "level", "cd4", "weight"):
            care.last_drawn[group] = who.enters


def _older_results(care: Care, at: int) -> None:
    """Creatinines of the last year, sent by the referring doctor on admission."""
    who, chance, record = care.who, care.chance, care.record
    if chance.happens(0.2):
        return
    for _ in range(chance.whole(1, 4)):
        ago = chance.whole(9, 200)
        day = who.enters - ago
        value = who.creatinine * (1 + 0.05 * chance.normal())
        if who.population == SOT and who.transplant_day is not None and day < who.transplant_day + 7:
            # Before a transplant the failing organ speaks, not this one.
            value *= chance.between(1.2, 4.0) if who.organ == "kidney" else 1.1
        fields: Event = {"code": "2160-0", "value": rounded(value, 2), "unit": "mg/dL"}
        taken = day * DAY + 8 * HOUR + chance.whole(0, 300)
        record.write("lab", record.new_id("L"), at + chance.whole(20, 300), fields | {"collected_at": iso(taken)})


def _dies(care: Care, day: int) -> bool:
    """Deaths on therapy for a virus out of control (salvage series: 31 %), few otherwise."""
    load = care.body.virus.load
    hazard = 0.0002
    if load > 4.5:
        hazard = 0.003
    if "foscarnet" in care.courses and len(care.used) > 1:
        hazard += 0.003
    return day > care.who.enters + 5 and care.chance.happens(hazard)
