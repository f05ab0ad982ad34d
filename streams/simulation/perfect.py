"""Textbook courses: right doses (within 90 min of their time), fluids, timely normal labs. They must raise no alert.

Each is built to be silent by every rule of alerts.md: baseline labs on the day before, doses in the middle of a band,
an interval's wait between induction and maintenance (their doses must not add up in one window), Monday and Thursday or
Monday, Wednesday and Friday where the label says twice or three times a week, viral loads every week
that fall by more than 1 log10 in two weeks and stay quantifiable (so that no stop or step-down is due), levels of the
immunosuppressant twice a week. Treated patients have HIV retinitis, or a solid organ with the first load drawn just
after the first dose; otherwise the load itself would rightly call for treatment.
"""

from collections.abc import Callable, Iterator
from typing import Final

from streams.simulation.chance import Chance, exp
from streams.simulation.clock import DAY, HOUR, iso
from streams.simulation.record import Event
from streams.simulation.regimens import INDUCTION, MAINTENANCE, Dose, right_dose
from streams.simulation.textbook import BASELINE, FOSCARNET_LABS, START, Textbook

_INDICES: Final = {
    "foscarnet": (1.7, 1.2, 0.9, 0.7, 0.55, 0.45),
    "ganciclovir": (95.0, 60.0, 37.0, 17.0),
    "valganciclovir": (95.0, 50.0, 32.0, 17.0),
    "cidofovir": (75.0, 95.0, 120.0),
    "letermovir": (90.0, 45.0, 25.0),
    "maribavir": (90.0, 45.0, 25.0),
}
"""The clearances to try, mid-band: mL/min/kg for foscarnet, else mL/min."""
_RARE: Final = {"valganciclovir-twice-weekly": (20.8,), "ganciclovir-three-weekly": (8.0,)}
"""The clearances at which doses go by days of the week."""
_MONDAY_THURSDAY: Final = (0, 3)
_MONDAY_WEDNESDAY_FRIDAY: Final = (0, 2, 4)
_INDUCTION_DAYS: Final = 14


def perfect_course(name: str, seed: int) -> list[Event]:
    """The events of a textbook course, in order of `recorded_at`. Seeds 0, 1, 2 and so on go through its bands."""
    write, drug = COURSES[name]
    indices = _RARE.get(name) or _INDICES[drug]
    index = indices[seed % len(indices)]
    chance = Chance(seed, 10**6 + sorted(COURSES).index(name))
    age, female = chance.whole(28, 44), chance.happens(0.4)
    weight = round(chance.between(56, 86), 1)
    per_kg = index if drug == "foscarnet" else index / weight
    creatinine = (140 - age) * (0.85 if female else 1.0) / (72 * per_kg)
    if drug == "cidofovir":
        # Above 1.5 mg/dL the label forbids it, whatever the clearance.
        creatinine = min(creatinine, 1.3)
    book = Textbook(f"perfect-{name}-{seed}", chance, weight, creatinine)
    clinical, suppressant = _setting(name, drug, seed)
    book.person(2025 - age, female=female, clinical=clinical)
    write(book, index, suppressant)
    return book.record.in_order()


def _setting(name: str, drug: str, seed: int) -> tuple[Event, str]:
    """The population, and the immunosuppressant that goes with it."""
    if drug == "letermovir":
        transplant: Event = {"transplant": "hct-allogeneic", "transplant_at": iso(START - 7 * DAY)}
        suppressant = "ciclosporin" if name == "letermovir-ciclosporin" else "tacrolimus"
        return transplant | {"donor_cmv": "negative", "recipient_cmv": "positive"}, suppressant
    if name in ("valganciclovir-prophylaxis", "valganciclovir-twice-weekly"):
        transplant = {"transplant": "solid-organ", "transplant_at": iso(START - 5 * DAY)}
        return transplant | {"donor_cmv": "positive", "recipient_cmv": "negative"}, "tacrolimus"
    if drug == "maribavir" or (drug in ("ganciclovir", "valganciclovir") and seed % 2):
        transplant = {"transplant": "solid-organ", "transplant_at": iso(START - 120 * DAY)}
        return transplant | {"donor_cmv": "positive", "recipient_cmv": "positive"}, "tacrolimus"
    return {"hiv": True}, ""


# What courses share --------------------------------------------------------------------------------------------------


def _falling(day: float, first: float) -> float:
    """log10 IU/mL: down by more than 1 in two weeks, never below 160 IU/mL."""
    return 2.21 + (first - 2.21) * exp(-day / 9.0)


def _weekly(book: Textbook, days: int, first: float | None) -> None:
    """Weight before the first dose and every week; a load just after the first dose and every week, if there is one."""
    book.weigh(-5 * HOUR)
    for day in range(0, days + 1, 7):
        if day:
            book.weigh(day * DAY - 3 * HOUR)
        if first is not None:
            book.load(day * DAY + 3 * HOUR, _falling(day, first))


def _suppress(book: Textbook, drug: str, days: int) -> None:
    """Tacrolimus or ciclosporin twice a day from two days before, with a level every three or four days."""
    if not drug:
        return
    milligrams = 3.0 if drug == "tacrolimus" else 150.0
    for half in range(-4, 2 * days):
        book.tablet(drug, milligrams, START + half * 12 * HOUR - HOUR + book.chance.whole(-30, 30))
    for day in range(-2, days, 3):
        book.labs(day * DAY - 4 * HOUR, (f"{drug}-level",))


def _phases(drug: str, index: float, days: int, column: int = 0) -> Iterator[tuple[int, Dose, str]]:
    """The doses of two weeks of induction and of maintenance after it: nominal minute, dose, label.

    Maintenance begins one of its intervals after the last dose of induction.
    """
    last, begin = 0, 0
    for phase, label in ((INDUCTION, "treatment"), (MAINTENANCE, "maintenance")):
        dose = right_dose(drug, phase, index, column)
        assert dose is not None
        every = dose.every * HOUR
        if phase == MAINTENANCE:
            begin = last + every
        for at in range(begin, (_INDUCTION_DAYS if phase == INDUCTION else days) * DAY, every):
            last = at
            yield at, dose, label


def _every(book: Textbook, drug: str, dose: Dose, days: int, label: str) -> None:
    """Tablets at one interval for so many days."""
    for at in range(0, days * DAY, dose.every * HOUR):
        book.dose(drug, dose.amount, at, label)


def _on_weekdays(days: int, weekdays: tuple[int, ...]) -> Iterator[int]:
    """The nominal minutes of doses on these days of each week, from the first of them on."""
    return (day * DAY for day in range(days) if day % 7 in weekdays)


# The courses ---------------------------------------------------------------------------------------------------------


def _foscarnet(book: Textbook, index: float, column: int) -> None:
    """Two weeks of induction, three of maintenance, each dose after its saline."""
    days = 35
    _weekly(book, days, 4.6)
    for day in range(-1, days):
        if (day % 2 == 1) if day < _INDUCTION_DAYS + 2 else (day % 7 == 2):
            book.labs(day * DAY - 4 * HOUR, FOSCARNET_LABS)
    for at, dose, label in _phases("foscarnet", index, days, column):
        start = book.dose("foscarnet", round(dose.amount * book.weight / 10) * 10, at, label)
        book.fluid(1000 if dose.amount > 60 or at == 0 else 750, start - 95, start - 5)


def _ganciclovir_labs(book: Textbook, days: int, suppressant: str) -> None:
    _weekly(book, days, 4.4)
    _suppress(book, suppressant, days)
    for day in range(-1, days):
        if (day % 2 == 1) if day <= _INDUCTION_DAYS else (day % 4 == 3):
            book.labs(day * DAY - 4 * HOUR, BASELINE)


def _ganciclovir(book: Textbook, index: float, suppressant: str) -> None:
    days = 28
    _ganciclovir_labs(book, days, suppressant)
    for at, dose, label in _phases("ganciclovir", index, days):
        book.dose("ganciclovir", round(dose.amount * book.weight, 1), at, label)


def _ganciclovir_rare(book: Textbook, index: float, suppressant: str) -> None:
    """On Mondays, Wednesdays and Fridays, as after hemodialysis."""
    days = 28
    _ganciclovir_labs(book, days, suppressant)
    for at in _on_weekdays(days, _MONDAY_WEDNESDAY_FRIDAY):
        phase, label = (INDUCTION, "treatment") if at < _INDUCTION_DAYS * DAY else (MAINTENANCE, "maintenance")
        dose = right_dose("ganciclovir", phase, index)
        assert dose is not None
        book.dose("ganciclovir", round(dose.amount * book.weight, 1), at, label)


def _valganciclovir(book: Textbook, index: float, suppressant: str) -> None:
    days = 20
    _weekly(book, days, 4.4)
    _suppress(book, suppressant, days)
    for day in (-1, 5, 12, 18):
        book.labs(day * DAY - 4 * HOUR, BASELINE)
    dose = right_dose("valganciclovir", INDUCTION, index)
    assert dose is not None
    _every(book, "valganciclovir", dose, days, "treatment")


def _prophylaxis_labs(book: Textbook, days: int, suppressant: str) -> None:
    _weekly(book, days, None)
    _suppress(book, suppressant, days)
    for day in range(-1, days, 14):
        book.labs(day * DAY - 4 * HOUR, BASELINE)
        book.load(day * DAY - 4 * HOUR, None)


def _prophylaxis(book: Textbook, index: float, suppressant: str) -> None:
    days = 60
    _prophylaxis_labs(book, days, suppressant)
    dose = right_dose("valganciclovir", MAINTENANCE, index)
    assert dose is not None
    _every(book, "valganciclovir", dose, days, "prophylaxis")


def _prophylaxis_rare(book: Textbook, index: float, suppressant: str) -> None:
    """On Mondays and Thursdays."""
    days = 60
    _prophylaxis_labs(book, days, suppressant)
    dose = right_dose("valganciclovir", MAINTENANCE, index)
    assert dose is not None
    for at in _on_weekdays(days, _MONDAY_THURSDAY):
        book.dose("valganciclovir", dose.amount, at, "prophylaxis")


def _cidofovir(book: Textbook, _index: float, _suppressant: str) -> None:
    """Days 0, 7, 21 and 35, with probenecid and two litres of saline; labs on the day before each and every week."""
    _weekly(book, 42, 4.6)
    for day in range(-1, 42, 7):
        book.labs(day * DAY - HOUR, (*BASELINE, "urine-protein"))
    for day, label in ((0, "treatment"), (7, "treatment"), (21, "maintenance"), (35, "maintenance")):
        start = book.dose("cidofovir", round(5 * book.weight), day * DAY, label)
        book.fluid(1000, start - 130, start - 10)
        book.fluid(1000, start, start + 120)
        for hours, milligrams in ((-3, 2000.0), (3, 1000.0), (9, 1000.0)):
            book.tablet("probenecid", milligrams, start + hours * HOUR + book.chance.whole(-60, 60))


def _letermovir(book: Textbook, _index: float, suppressant: str) -> None:
    days = 40
    _weekly(book, days, None)
    _suppress(book, suppressant, days)
    for day in range(-1, days, 7):
        book.labs(day * DAY - 4 * HOUR, BASELINE)
        book.load(day * DAY - 4 * HOUR, None)
    milligrams = 240.0 if suppressant == "ciclosporin" else 480.0
    _every(book, "letermovir", Dose(milligrams, 24), days, "prophylaxis")


def _maribavir(book: Textbook, _index: float, suppressant: str) -> None:
    days = 28
    _weekly(book, days, 4.4)
    _suppress(book, suppressant, days)
    for day in range(-1, days, 7):
        book.labs(day * DAY - 4 * HOUR, BASELINE)
    _every(book, "maribavir", Dose(400.0, 12), days, "treatment")


Writer = Callable[[Textbook, float, str], None]
COURSES: Final[dict[str, tuple[Writer, str]]] = {
    "foscarnet-q8h": (lambda book, index, _: _foscarnet(book, index, 0), "foscarnet"),
    "foscarnet-q12h": (lambda book, index, _: _foscarnet(book, index, 1), "foscarnet"),
    "ganciclovir": (_ganciclovir, "ganciclovir"),
    "ganciclovir-three-weekly": (_ganciclovir_rare, "ganciclovir"),
    "valganciclovir-treatment": (_valganciclovir, "valganciclovir"),
    "valganciclovir-prophylaxis": (_prophylaxis, "valganciclovir"),
    "valganciclovir-twice-weekly": (_prophylaxis_rare, "valganciclovir"),
    "cidofovir": (_cidofovir, "cidofovir"),
    "letermovir": (_letermovir, "letermovir"),
    "letermovir-ciclosporin": (_letermovir, "letermovir"),
    "maribavir": (_maribavir, "maribavir"),
}
"""What writes each course, and its drug."""
