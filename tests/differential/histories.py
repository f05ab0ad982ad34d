"""Random histories of one patient, made to hit the boundaries of the rules. Same seed and theme, same events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

MIN, HOUR, DAY = 1, 60, 1440  # all times here are whole minutes since the start of 2026
START = datetime(2026, 1, 1, tzinfo=UTC)
LEAST, MOST = 20, 150  # events in a history

CODES = {
    "creatinine": ("2160-0", "2160-0", "38483-4"),
    "anc": ("751-8", "751-8", "26499-4"),
    "platelets": ("777-3", "26515-7"),
    "hemoglobin": ("718-7",),
    "calcium": ("17861-6",),
    "calcium-ionized": ("1994-3", "1995-0"),
    "albumin": ("1751-7",),
    "magnesium": ("19123-9",),
    "potassium": ("2823-3", "6298-4"),
    "phosphate": ("2777-1",),
    "urine-protein": ("2888-6", "5804-0"),
    "lymphocytes": ("731-0",),
    "cd4": ("24467-3",),
    "weight": ("29463-7",),
    "wbc": ("6690-2",),
    "neutrophil-percent": ("770-8", "26511-6"),
    "tacrolimus": ("11253-2",),
    "ciclosporin": ("3520-4",),
    "sirolimus": ("29247-4",),
    "everolimus": ("50544-6",),
}
UNIT = {
    "creatinine": "mg/dL",
    "anc": "10*3/uL",
    "platelets": "10*3/uL",
    "hemoglobin": "g/dL",
    "calcium": "mg/dL",
    "calcium-ionized": "mmol/L",
    "albumin": "g/dL",
    "magnesium": "mg/dL",
    "potassium": "mmol/L",
    "phosphate": "mg/dL",
    "urine-protein": "mg/dL",
    "lymphocytes": "10*3/uL",
    "cd4": "/uL",
    "weight": "kg",
    "wbc": "10*3/uL",
    "neutrophil-percent": "%",
    "tacrolimus": "ng/mL",
    "ciclosporin": "ng/mL",
    "sirolimus": "ng/mL",
    "everolimus": "ng/mL",
}
# Values on and about the cut-offs, in conventional and in SI units.
NEAR = {
    "anc": (0.3, 0.4, 0.49, 0.5, 0.6, 0.8, 0.9, 0.99, 1.0, 1.1, 1.4, 1.5, 2.0, 3.0),
    "platelets": (15, 24, 25, 26, 40, 49, 50, 51, 74, 75, 120, 200),
    "hemoglobin": (7.0, 7.5, 7.9, 8.0, 8.1, 8.9, 9.0, 11.0),
    "calcium": (6.5, 6.9, 7.0, 7.1, 7.5, 7.9, 8.0, 8.1, 9.0, 9.4),
    "calcium-ionized": (0.85, 0.89, 0.9, 0.95, 0.99, 1.0, 1.01, 1.15),
    "albumin": (2.0, 2.5, 3.0, 3.5, 4.0, 4.5),
    "magnesium": (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.6, 1.7, 2.0),
    "potassium": (2.2, 2.4, 2.5, 2.9, 3.0, 3.1, 3.4, 3.5, 4.0, 4.5),
    "phosphate": (0.9, 1.0, 1.5, 1.9, 2.0, 2.1, 3.0),
    "urine-protein": (0, 10, 30, 99, 100, 101, 299, 300, 500),
    "lymphocytes": (0.3, 0.4, 0.49, 0.5, 0.6, 1.0),
    "cd4": (50, 90, 99, 100, 101, 150),
    "wbc": (1.0, 2.0, 4.0),
    "neutrophil-percent": (20, 25, 40, 50),
    "tacrolimus": (5, 8.5, 12),
    "ciclosporin": (120, 200),
    "sirolimus": (6, 9),
    "everolimus": (4, 7),
}
SI = {
    "hemoglobin": ("g/L", (75, 79, 80, 81, 89, 90, 110)),
    "calcium": ("mmol/L", (1.7, 1.74, 1.75, 1.76, 1.9, 1.99, 2.0, 2.01, 2.2)),
    "magnesium": ("mmol/L", (0.35, 0.39, 0.4, 0.41, 0.49, 0.5, 0.51, 0.7, 0.8)),
    "phosphate": ("mmol/L", (0.3, 0.31, 0.32, 0.33, 0.5, 0.64, 0.65, 0.66, 1.0)),
    "albumin": ("g/L", (20, 25, 30, 35, 40, 45)),
    "anc": ("/uL", (300, 499, 500, 501, 900, 999, 1000, 1001, 1499, 1500, 2500)),
    "platelets": ("10*9/L", (20, 24, 25, 49, 50, 74, 75, 150)),
}
ABSURD = {
    "creatinine": (0.05, 30),
    "potassium": (0.9, 12),
    "calcium": (2, 19),
    "hemoglobin": (1, 25),
    "platelets": (4000,),
    "anc": (150,),
    "magnesium": (0.1, 12),
    "phosphate": (25,),
    "albumin": (0.2,),
    "weight": (1, 700),
}
APART = (24 * HOUR, 36 * HOUR, 48 * HOUR, 72 * HOUR, 84 * HOUR, 96 * HOUR, 7 * DAY, 8 * DAY, 14 * DAY, 21 * DAY)


class Story:
    """The events of one patient as they are written."""

    def __init__(self, seed: int, theme: str) -> None:
        self.random = Random(f"{theme}/{seed}")
        self.patient = f"{theme}-{seed}"
        self.theme = theme
        self.events: list[dict[str, Any]] = []
        self.times: list[int] = []  # of everything clinical so far: boundaries are measured from them
        self.start = 30 * DAY + self.random.randrange(24) * HOUR
        self.weight = self.random.choice((50, 60, 70, 70, 70, 80))
        self.late = self.random.choice((0.0, 0.05, 0.2))
        self.si = self.random.choice((0.0, 0.0, 0.2, 1.0))
        self.loose = self.random.random() < 0.6  # doses not on the minute
        self.sloppy = self.random.choice((0.0, 0.01, 0.04))  # doses left out, wrong, split, labeled otherwise

    # small choices

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def about(self, at: int) -> int:
        """Move a time to a boundary, or a minute beside one, now and then."""
        if self.times and self.chance(0.2):
            at = self.random.choice(self.times) + self.random.choice(APART)
        return at + self.pick(0, 0, 0, 0, -MIN, MIN)

    def between(self, start: int, end: int) -> int:
        """Return a time on the grid of hours, or on a boundary."""
        hours = max((end - start) // HOUR, 1)
        return self.about(start + self.random.randrange(hours + 1) * HOUR)

    # events

    def add(self, kind: str, at: int, recorded: int | None = None, **fields: Any) -> dict[str, Any]:
        event = {"type": kind, "event_id": f"e{len(self.events)}", "patient_id": self.patient}
        event["recorded_at"] = self.recorded(at) if recorded is None else recorded
        event.update({name: value for name, value in fields.items() if value is not None})
        self.events.append(event)
        return event

    def recorded(self, at: int) -> int:
        if self.chance(self.late):
            return at + self.pick(3 * HOUR, 12 * HOUR, DAY, 2 * DAY, 5 * DAY, 9 * DAY, 16 * DAY, 30 * DAY)
        return at + self.pick(0, 5, 10, 30, 60, 60, 65, 119, 120, 121, -30, -60)

    def lab(self, analyte: str, at: int, value: Any = None, unit: str | None = None, **more: Any) -> dict[str, Any]:
        if value is None and "result" not in more:
            if analyte in SI and self.chance(self.si):
                unit, values = SI[analyte]
                value = self.random.choice(values)
            else:
                value = self.random.choice(NEAR[analyte])
        if value is not None and unit is None:
            unit = UNIT[analyte]
        code = more.pop("code", None) or self.random.choice(CODES[analyte])
        self.times.append(at)
        return self.add("lab", at, code=code, value=value, unit=unit, collected_at=at, **more)

    def dose(self, drug: str, at: int, size: float, unit: str = "mg", **more: Any) -> dict[str, Any]:
        self.times.append(at)
        minutes = more.pop("minutes", None)
        end = at + minutes if minutes is not None else None
        return self.add("administration", at, drug=drug, dose=size, unit=unit, started_at=at, ended_at=end, **more)

    def run(self, drug: str, start: int, times: int, every: int, size: float, **more: Any) -> list[int]:
        """Give a drug so many times; return when."""
        unit, label = more.pop("unit", "mg"), more.pop("label", None)
        at, given = start, []
        for _ in range(times):
            if not self.chance(self.sloppy):
                real = at + (self.pick(0, 0, -60, -30, 30, 60, 90) if self.loose else 0)
                this = size * self.pick(0.5, 1.2, 2) if self.chance(self.sloppy) else size
                which = (
                    self.pick(None, "treatment", "maintenance", "prophylaxis") if self.chance(self.sloppy) else label
                )
                status = self.pick("not-done", "in-progress", "stopped") if self.chance(self.sloppy) else None
                if self.chance(self.sloppy):
                    for _ in range(2):
                        self.dose(drug, real, this / 2, unit, indication=which, status=status, **more)
                else:
                    self.dose(drug, real, this, unit, indication=which, status=status, **more)
                given.append(real)
            at += every + (self.pick(DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY) if self.chance(self.sloppy) else 0)
        return given or [start]

    def creatinine(self, at: int, base: float, **more: Any) -> dict[str, Any]:
        steps = (0, 0, 0.1, 0.2, 0.29, 0.3, 0.31, 0.4, 0.49, 0.5, 0.6, 1.0, -0.1)
        value = self.pick(base + self.random.choice(steps), base * self.pick(1.4, 1.49, 1.5, 1.6, 2.0, 3.0), base)
        if self.chance(0.04):
            value = self.pick(1.5, 1.6, 3.9, 4.0, 4.5)
        if self.chance(self.si):
            micromol = round(base * 88.4) + self.pick(0, 0, 10, 26, 26.4, 26.5, 27, 44, 44.2, 60, round(base * 44.2))
            return self.lab("creatinine", at, micromol, "umol/L", code="14682-9", **more)
        if self.chance(0.03):
            more["comparator"] = self.pick("<", ">")
        return self.lab("creatinine", at, round(value, 2), "mg/dL", **more)

    def load(self, at: int, value: float | None = None, code: str = "72493-0", unit: str = "[IU]/mL") -> dict[str, Any]:
        if value is None:
            chosen = (149, 150, 151, 200, 500, 800, 999, 1000, 1001, 1500, 3000, 3162, 3163, 5000, 10000, 10001, 30000)
            value = self.random.choice(chosen)
        if unit.startswith("{Log"):
            value = self.pick(2, 2.17, 2.18, 2.5, 2.9, 3, 3.1, 3.5, 3.6, 4, 4.1, 4.5, 5)
        kind = self.random.random()
        self.times.append(at)
        if kind < 0.05:
            return self.add("lab", at, code=code, result="detected", collected_at=at)
        if kind < 0.1:
            return self.clear_load(at, code, unit)
        sign = self.pick("<", ">") if kind < 0.14 else None
        return self.add("lab", at, code=code, value=value, unit=unit, comparator=sign, collected_at=at)

    def clear_load(self, at: int, code: str = "72493-0", unit: str = "[IU]/mL") -> dict[str, Any]:
        self.times.append(at)
        if self.chance(0.5):
            return self.add("lab", at, code=code, result="not-detected", collected_at=at)
        below = self.pick(2.0, 2.1) if unit.startswith("{Log") else self.pick(34.5, 137, 500)
        return self.add("lab", at, code=code, value=below, unit=unit, comparator="<", collected_at=at)

    def demographics(self, **facts: Any) -> None:
        """State who it is; something is missing now and then."""
        year = self.pick(1940, 1955, 1965, 1976, 1976, 1990, 2000) if not self.chance(0.05) else self.pick(2008, 2012)
        fields = {
            "birth_date": f"{year}-{self.random.randrange(1, 13):02}-{self.random.randrange(1, 29):02}",
            "sex": self.pick("male", "female", "male", "female", "other", "unknown")
            if self.chance(0.4)
            else self.pick("male", "female"),
            "donor_cmv": self.pick("positive", "negative"),
            "recipient_cmv": self.pick("positive", "negative"),
        }
        for name in list(fields):
            if self.chance(0.06):
                del fields[name]
        fields.update(facts)
        if "transplant_at" in fields:
            self.times.append(fields["transplant_at"])
        self.add("patient", self.start - 40 * DAY, recorded=self.start - self.pick(5, 10, 20) * DAY, **fields)
        if self.chance(0.05):
            again = {"birth_date": "1980-02-28", "sex": "female"}
            self.add("patient", self.start, recorded=self.start + 3 * DAY, **again)
        if self.chance(0.9):
            at = self.start - self.pick(1, 2, 6, 20, 80, 90, 95) * DAY
            pounds = self.chance(0.1)
            self.lab("weight", at, self.weight * 2 if pounds else self.weight, "[lb_av]" if pounds else "kg")
        if self.chance(0.12):
            self.lab("weight", self.start + self.pick(2, 5, 10) * DAY, self.weight + self.pick(-8, 4, 10))

    def transplanted(self, *kinds: str) -> dict[str, Any]:
        days = self.pick(0, 3, 7, 8, 14, 30, 60, 93)
        if self.chance(0.1):
            return {"transplant": self.random.choice(kinds)}
        return {"transplant": self.random.choice(kinds), "transplant_at": self.start - days * DAY}

    def dialysis(self, span: int) -> None:
        begin = self.between(self.start - 2 * DAY, self.start + span)
        self.add("patient", begin, recorded=begin, dialysis=True)
        if self.chance(0.7):
            end = begin + self.pick(2, 5, 9) * DAY
            self.add("patient", end, recorded=end, dialysis=False)

    # what befalls records

    def disturb(self) -> None:
        """Correct, withdraw, cancel, repeat: every history has some of it."""
        for event in list(self.events):
            if event["type"] == "patient":
                continue
            luck = self.random.random()
            later = event["recorded_at"] + self.pick(0, 30, 3 * HOUR, DAY, 4 * DAY, 10 * DAY)
            if luck < 0.015:
                self.events.append({**event, "recorded_at": later, "status": "entered-in-error"})
            elif luck < 0.03 and "value" in event:
                value = round(event["value"] * self.pick(0.7, 0.9, 1.1, 1.5), 2)
                self.events.append({**event, "recorded_at": later, "status": "corrected", "value": value})
            elif luck < 0.04 and "value" in event:
                event["status"] = "preliminary"
                value = round(event["value"] * self.pick(0.9, 1, 1.1), 2)
                self.events.append({**event, "recorded_at": later, "status": "final", "value": value})
            elif luck < 0.05 and "value" in event:
                event["status"] = "cancelled"
            elif luck < 0.055 and event["type"] == "lab":
                moved = event["collected_at"] - self.pick(1, 12, 48) * HOUR
                changed = {"recorded_at": later, "status": "corrected", "collected_at": moved}
                self.events.append({**event, **changed})
            elif luck < 0.065 and event["type"] == "administration" and later > event["recorded_at"]:
                changed = {"recorded_at": later, "dose": event["dose"] * self.pick(0.5, 2)}
                self.events.append({**event, **changed})
            elif luck < 0.085:
                self.events.append(dict(event))
            elif luck < 0.095 and "value" in event and event["type"] == "lab":
                twin = {**event, "event_id": event["event_id"] + "b", "value": round(event["value"] * 1.2, 2)}
                self.events.append(twin)

    def finish(self) -> list[dict[str, Any]]:
        while len(self.events) < LEAST:
            analyte = self.random.choice(tuple(NEAR))
            self.lab(analyte, self.between(self.start - 2 * DAY, max(self.times) + DAY))
        self.disturb()
        kept = self.events if len(self.events) <= MOST else self.random.sample(self.events, MOST)
        self.random.shuffle(kept)
        clock = ("recorded_at", "collected_at", "started_at", "ended_at", "transplant_at")
        done = []
        for event in kept:
            at = event.get("collected_at", event.get("started_at"))
            if at is not None:
                event["recorded_at"] = min(max(event["recorded_at"], at - HOUR), at + 399 * DAY)
            done.append({k: iso(v) if k in clock else v for k, v in event.items()})
        return done


def iso(minutes: int) -> str:
    return (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


# Themes ----------------------------------------------------------------------------------------------------------


def creatinine_before(s: Story, base: float) -> None:
    for days in (365, 200, 30, 8, 7, 7, 6, 3, 1, 0):
        if s.chance(0.25):
            s.lab("creatinine", s.start - days * DAY + s.pick(0, 0, -MIN, MIN), round(base + s.pick(0, 0.1, -0.1), 2))


def fluids(s: Story, times: list[int], share: float) -> None:
    for at in times:
        if s.chance(share):
            begin = at - s.pick(6 * HOUR, 2 * HOUR, HOUR, 90)
            minutes = s.pick(None, 60, 60, 120, 180)
            drug = s.pick("sodium chloride", "sodium chloride", "dextrose", "lactated ringer's", "9863")
            s.dose(drug, begin, s.pick(0.5, 0.75, 1), "L", route="iv", minutes=minutes)


def foscarnet(s: Story) -> None:
    s.demographics()
    base = s.pick(0.7, 0.8, 1.0, 1.2, 1.5)
    creatinine_before(s, base)
    every, per_kg = s.pick((8, 60), (12, 90), (12, 60), (12, 50), (24, 90), (24, 60), (48, 80), (48, 105), (12, 40))
    label = s.pick("treatment", "treatment", None, "maintenance", "preemptive", "prophylaxis")
    unit, size = s.pick(("mg", per_kg * s.weight), ("mg", per_kg * s.weight), ("mg/kg", per_kg))
    n = s.pick(4, 8, 16, 24, 32)
    minutes = s.pick(60, 120, 120, 120, 40, None)
    given = s.run("foscarnet", s.start, n, every * HOUR, size, unit=unit, label=label, route="iv", minutes=minutes)
    if s.chance(0.4):
        again = given[-1] + s.pick(3, 4, 4, 5, 14, 15) * DAY + s.pick(0, 0, MIN)
        more = s.run("foscarnet", again, s.pick(2, 6), 24 * HOUR, 90 * s.weight, label=s.pick(None, "maintenance"))
        given += more
    fluids(s, given[:20], s.pick(0.0, 0.3, 0.8))
    end = given[-1]
    for _ in range(s.pick(3, 6, 12)):
        s.creatinine(s.between(s.start, end + 25 * DAY), base)
    if s.chance(0.5):
        s.load(s.start - s.pick(1, 10, 30) * DAY, 5000)
    for drug in ("trimethoprim", "cimetidine", "dolutegravir", "vancomycin", "amphotericin b"):
        if s.chance(0.15):
            first = s.between(s.start - 20 * DAY, end)
            s.run(drug, first, s.pick(1, 3), 12 * HOUR, 500, route=s.pick("iv", "oral", None))
            if s.chance(0.7):  # the creatinine that such a drug brings, and what becomes of it
                steps = first + s.pick(1, 7, 13, 14, 14, 15) * DAY + s.pick(0, 0, MIN)
                s.lab("creatinine", steps - s.pick(24, 47, 48, 48, 49) * HOUR, base)
                s.lab("creatinine", steps, round(base + s.pick(0.2, 0.3, 0.3, 0.4, 0.5), 2))
                s.creatinine(steps + s.pick(12, 48, 96) * HOUR, base)
    if s.chance(0.12):
        s.dialysis(end - s.start)


def bands(s: Story) -> None:
    """Dose against renal function for the three drugs that have a table."""
    s.demographics()
    drug = s.pick("foscarnet", "ganciclovir", "valganciclovir")
    size = {
        "foscarnet": lambda: s.pick(40, 45, 50, 60, 70, 80, 90, 105, 120) * s.weight,
        "ganciclovir": lambda: s.pick(0.625, 1.25, 2.5, 5, 6, 7) * s.weight,
        "valganciclovir": lambda: s.pick(450, 450, 900, 900, 1350),
    }[drug]
    if s.chance(0.7):
        s.load(s.start - s.pick(1, 13, 14, 20, 30, 31) * DAY, s.pick(2000, 400))
    every = s.pick(8, 12, 12, 24, 24, 48, 72) * HOUR
    label = s.pick(None, None, "treatment", "prophylaxis", "maintenance")
    at = s.start
    for _ in range(s.pick(1, 2, 3)):
        given = s.run(drug, at, s.pick(3, 8, 20), every, size(), label=label, minutes=60)
        at = given[-1] + s.pick(every, every, 4 * DAY, 5 * DAY, 5 * DAY + MIN)
        label = s.pick(label, label, None, "treatment", "maintenance")
        every = s.pick(every, 12 * HOUR, 24 * HOUR)
    values = (0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 1.9, 2.2, 2.6, 3.0, 4.0, 6.0, 9.0)
    for _ in range(s.pick(2, 5, 10)):
        s.lab("creatinine", s.between(s.start - 3 * DAY, at), s.random.choice(values))
    if s.chance(0.15):
        s.dialysis(at - s.start)


def cidofovir(s: Story) -> None:
    s.demographics()
    base = s.pick(0.8, 1.0, 1.2, 1.4)
    creatinine_before(s, base)
    at, sizes = s.start, (5, 5, 5, 3, 3.3, 1, 1.5, 5.5, 5.6, 7.5, 8)
    for _ in range(s.pick(2, 3, 5)):
        per_kg = s.random.choice(sizes)
        unit, size = s.pick(("mg", per_kg * s.weight), ("mg/kg", per_kg))
        route = s.pick("iv", "iv", None, "intravitreal") if s.chance(0.3) else "iv"
        s.dose("cidofovir", at, size, unit, route=route, minutes=60, indication=s.pick(None, "treatment"))
        for analyte in ("creatinine", "urine-protein", "anc"):
            if s.chance(0.75):
                before = at - s.pick(0, 12, 47, 48, 48, 49) * HOUR - s.pick(0, 0, MIN)
                if analyte == "creatinine":
                    s.creatinine(before, base)
                elif analyte == "urine-protein" and s.chance(0.5):
                    stick = s.pick("negative", "trace", "1+", "2+", "3+", "4+")
                    s.lab(analyte, before, result=stick, code=s.pick("20454-5", "57735-3", "5804-0"))
                else:
                    s.lab(analyte, before)
        if s.chance(0.7):
            before = s.pick(90, 90, 180, 270, 270, 271, 89)
            s.dose("probenecid", at - before, s.pick(2, 2, 1, 1.5), "g", route="oral")
            if s.chance(0.2):
                s.dose("probenecid", at - 120, 1000, "mg", route="oral")
        if s.chance(0.7):
            minutes = s.pick(60, 120, None)
            s.dose("sodium chloride", at - s.pick(180, 120, 60, 200), 1000, "mL", route="iv", minutes=minutes)
        at += s.pick(5, 6, 7, 7, 11, 12, 14, 14, 20, 21, 22) * DAY + s.pick(0, 0, MIN, -MIN)
    for _ in range(s.pick(2, 5)):
        s.creatinine(s.between(s.start, at), base)
    for _ in range(s.pick(0, 2)):
        s.lab("urine-protein", s.between(s.start - 3 * DAY, at))
    for drug in ("gentamicin", "ketorolac", "foscarnet", "tenofovir disoproxil", "vancomycin", "pentamidine"):
        if s.chance(0.2):
            first = s.about(s.random.choice(s.times) + s.pick(-7, 7, 0, 3) * DAY)
            s.run(drug, first, s.pick(1, 2, 4), 24 * HOUR, 300, route=s.pick("iv", "iv", "oral", "inhaled", None))


def marrow(s: Story) -> None:
    s.demographics()
    drugs = s.random.sample(("ganciclovir", "valganciclovir", "cidofovir"), s.pick(1, 1, 2))
    at = s.start
    for drug in drugs:
        size = {"ganciclovir": 5 * s.weight, "valganciclovir": 900, "cidofovir": 5 * s.weight}[drug]
        every = s.pick(7, 14) * DAY if drug == "cidofovir" else s.pick(12, 24) * HOUR
        n = s.pick(1, 2) if drug == "cidofovir" else s.pick(3, 10, 25)
        given = s.run(drug, at, n, every, size, label=s.pick("treatment", None, "prophylaxis"))
        at = given[-1] + s.pick(12 * HOUR, DAY, 5 * DAY, 5 * DAY + MIN, 8 * DAY)
    for analyte in ("anc", "platelets", "hemoglobin"):
        for _ in range(s.pick(2, 5, 9)):
            when = s.pick(s.start - 7 * DAY, s.start, s.between(s.start - 8 * DAY, s.start + 3 * DAY))
            if s.chance(0.75):
                when = s.between(s.start, at + 9 * DAY)
            if analyte == "anc" and s.chance(0.15):
                s.lab("wbc", when)
                s.lab("neutrophil-percent", when)
            else:
                extra = (
                    {"value": s.pick(0.5, 1.0, 0.1), "comparator": "<"} if analyte == "anc" and s.chance(0.04) else {}
                )
                s.lab(analyte, when, **extra)


def electrolytes(s: Story) -> None:
    s.demographics()
    given = s.run("foscarnet", s.start, s.pick(2, 6, 16), s.pick(12, 24, 48) * HOUR, 90 * s.weight, label="treatment")
    end = given[-1]
    if s.chance(0.3):
        given += s.run("foscarnet", end + s.pick(2, 3, 4, 6) * DAY + s.pick(0, MIN), 3, 24 * HOUR, 90 * s.weight)
    for _ in range(s.pick(8, 20, 35)):
        analyte = s.pick("calcium", "calcium", "calcium-ionized", "calcium-ionized", "albumin", "magnesium")
        analyte = s.pick(analyte, "potassium", "phosphate", analyte)
        when = s.between(s.start - 2 * DAY, given[-1] + 3 * DAY)
        if analyte in ("calcium", "calcium-ionized") and s.chance(0.3):
            other = "calcium" if analyte == "calcium-ionized" else "calcium-ionized"
            s.lab(other, when + s.pick(0, 1, 119, 120, 121, -120))
        s.lab(analyte, when)
    for drug in ("ondansetron", "methadone", "amiodarone"):
        if s.chance(0.25):
            s.run(drug, s.between(s.start, end), s.pick(1, 3), s.pick(12, 24, 48) * HOUR, 8, route="oral")


def overdue(s: Story) -> None:
    s.demographics(**s.transplanted("hct-allogeneic", "solid-organ", "none"))
    drug = s.pick("foscarnet", "ganciclovir", "valganciclovir", "cidofovir", "letermovir", "maribavir")
    size = {"foscarnet": 90 * s.weight, "ganciclovir": 5 * s.weight, "cidofovir": 5 * s.weight, "letermovir": 480}
    every = s.pick(7, 14, 15) * DAY if drug == "cidofovir" else s.pick(12, 24, 24, 48, 72) * HOUR
    n = s.pick(2, 4) if drug == "cidofovir" else s.pick(5, 15, 40, 60)
    label = s.pick(None, "treatment", "maintenance", "prophylaxis")
    given = s.run(drug, s.start, n, every, size.get(drug, 900), label=label)
    end = given[-1]
    if drug == "valganciclovir" and s.chance(0.4):
        given += s.run(drug, s.start + 88 * DAY, 6, s.pick(1, 2, 3) * DAY, 900, label=label)
        given += s.run(drug, end + 84 * HOUR, 12, s.pick(2, 3, 4) * DAY, 450, label=label)
    span = max(given) + 20 * DAY
    for analyte in ("creatinine", "anc", "platelets", "calcium", "magnesium", "potassium", "phosphate"):
        for _ in range(s.pick(0, 1, 3, 6)):
            when = s.between(s.start - 8 * DAY, span)
            if s.chance(0.5):
                when = s.random.choice(s.times) + s.pick(30, 60, 84, 96, 192, 336, 360, 192, 193) * HOUR
            value = s.pick(0.8, 0.9) if analyte == "creatinine" else None
            s.lab(analyte, when + s.pick(0, 0, MIN, -MIN), value)
            if analyte == "anc" and s.chance(0.8):
                s.lab("platelets", when, 150)
    for _ in range(s.pick(0, 1, 4)):
        s.load(s.between(s.start - 30 * DAY, span + 40 * DAY))


def sized_per_dose(s: Story, drug: str) -> float:
    return {"ganciclovir": 5 * s.weight, "foscarnet": 90 * s.weight, "maribavir": 400, "letermovir": 480}.get(drug, 900)


def virus(s: Story) -> None:
    """Run a therapy or two with weekly loads that fall, rise, stay or come back."""
    kind = s.pick("hct-allogeneic", "solid-organ", "hct-autologous", None)
    facts: dict[str, Any] = {} if kind is None else s.transplanted(kind)
    hiv = s.chance(0.2)
    if hiv:
        facts["hiv"] = True
    s.demographics(**facts)
    drug = s.pick("ganciclovir", "valganciclovir", "foscarnet", "maribavir", s.pick("letermovir", "cidofovir"))
    days, hours = s.pick((14, 12), (15, 24), (20, 24), (25, 24), (25, 24), (40, 24), (40, 36))
    if hiv:
        days, hours = s.pick((95, 48), (95, 36), (110, 48))
    if drug == "cidofovir":
        hours = s.pick(7, 14) * 24
    label = s.pick("treatment", "treatment", "treatment", "preemptive", None)
    size = sized_per_dose(s, drug) * s.pick(1, 1, 1, 0.5)
    given = s.run(drug, s.start, days * 24 // hours, hours * HOUR, size, label=label)
    end = given[-1]
    if s.chance(0.5) and not hiv:
        other = s.pick("ganciclovir", "valganciclovir", "foscarnet", "maribavir", drug)
        again = end + s.pick(DAY, DAY, 2 * DAY, 3 * DAY, 3 * DAY + MIN, 5 * DAY, 20 * DAY, 50 * DAY)
        label = s.pick("treatment", "maintenance", None)
        given += s.run(other, again, s.pick(2, 10, 20), 24 * HOUR, sized_per_dose(s, other), label=label)
    if s.chance(0.7):
        for day in range(0, days, 6):
            s.lab("creatinine", s.start + day * DAY, s.pick(0.8, 0.8, 1.1), "mg/dL")
    viral_course(s, max(given))
    for analyte in ("lymphocytes", "cd4"):
        if hiv and analyte == "cd4":
            at = max(given) - s.pick(89, 90, 90, 91, 100) * DAY
            while at < max(given) + 3 * DAY:
                s.lab("cd4", at, s.pick(100, 101, 120, 150, 150, 99) if s.chance(0.4) else 150)
                at += s.pick(30, 30, 44, 45) * DAY + s.pick(0, 0, MIN, -MIN)
        for _ in range(s.pick(0, 2, 4)):
            s.lab(
                analyte,
                s.between(s.start, max(given) + 10 * DAY),
                s.pick(None, 0.6 if analyte == "lymphocytes" else 110),
            )


def viral_course(s: Story, end: int) -> None:
    codes = [("72493-0", "[IU]/mL")]
    if s.chance(0.3):
        codes.append(s.pick(("100675-8", "[IU]/mL"), ("100676-6", "{Log_IU}/mL"), ("29604-6", "{copies}/mL")))
    shape = s.pick("falls", "falls and comes back", "falls and comes back", "rises", "stays", "halves", "random")
    noisy = s.pick(0.0, 0.0, 0.05, 0.2)
    at = s.start - s.pick(14, 14, 7, 3, 2, 0) * DAY + s.pick(0, 0, MIN, -MIN)
    level = s.pick(2000, 3000, 10000, 10000)
    cleared = s.start + s.pick(3, 7, 10, 14) * DAY
    back = cleared + s.pick(12, 20, 40) * DAY
    last = end + s.pick(5, 20, 50, 60) * DAY
    weekly = s.pick((6, 7), (7, 7), (7, 8), (5, 6, 7, 8, 14))
    while at < last and len(s.events) < MOST - 15:
        for code, unit in codes:
            moved = at + s.pick(0, 0, 12 * HOUR)
            falls = shape.startswith("falls") and at >= cleared and not (shape != "falls" and at > back)
            if s.chance(noisy):
                s.load(moved, None, code, unit)
            elif falls:
                s.clear_load(moved, code, unit)
            elif shape == "random":
                s.load(moved, None, code, unit)
            else:
                s.load(moved, level, code, unit)
        if at > s.start + 5 * DAY:
            change = {"rises": s.pick(1, 2, 4, 10), "halves": s.pick(0.5, 0.3, 0.9), "stays": s.pick(1, 1, 0.99, 1.1)}
            level = min(round(level * change.get(shape, s.pick(0.5, 1, 2))), 10**9)
        at += s.random.choice(weekly) * DAY + s.pick(0, 0, 0, 0, MIN, -MIN)


def off_therapy(s: Story) -> None:
    """Surveillance, preemptive thresholds, breakthrough on prophylaxis."""
    s.demographics(**s.transplanted("hct-allogeneic", "hct-allogeneic", "solid-organ"))
    at = s.start
    if s.chance(0.5):
        drug = s.pick("letermovir", "valganciclovir", "ganciclovir")
        size = {"letermovir": 480, "valganciclovir": 900}.get(drug, 5 * s.weight)
        given = s.run(drug, at, s.pick(5, 20, 30), 24 * HOUR, size, label=s.pick("prophylaxis", "prophylaxis", None))
        at = given[-1] if s.chance(0.5) else at
    for _ in range(s.pick(4, 10, 16)):
        code, unit = s.pick(("72493-0", "[IU]/mL"), ("72493-0", "[IU]/mL"), ("100676-6", "{Log_IU}/mL"))
        if s.chance(0.3):
            s.clear_load(s.about(at), code, unit)
        else:
            s.load(s.about(at), s.pick(None, 120, 200, 400), code, unit)
        at += s.pick(1, 3, 7, 7, 9, 10, 10, 11, 14, 15, 28) * DAY + s.pick(0, 0, MIN)
    if s.chance(0.4):
        s.run(
            "valganciclovir",
            s.between(s.start, at),
            s.pick(1, 6),
            s.pick(12, 24) * HOUR,
            900,
            label=s.pick(None, "treatment"),
        )
    for _ in range(s.pick(0, 3)):
        s.lab("creatinine", s.between(s.start, at + 20 * DAY), 0.9)


def combinations(s: Story) -> None:
    s.demographics()
    pairs = (
        (
            "foscarnet",
            ("gentamicin", "vancomycin", "pentamidine", "cisplatin", "methotrexate", "ibuprofen", "cidofovir"),
        ),
        ("foscarnet", ("ondansetron", "haloperidol", "amiodarone", "levofloxacin", "azithromycin")),
        ("letermovir", ("cyclosporine", "simvastatin", "pitavastatin", "pimozide", "rifampicin", "ergotamine")),
        ("ganciclovir", ("valganciclovir", "maribavir", "imipenem", "zidovudine", "didanosine")),
        ("valganciclovir", ("ganciclovir", "maribavir", "zidovudine")),
        ("maribavir", ("carbamazepine", "phenytoin", "phenobarbital", "rifabutin", "ganciclovir")),
    )
    drug, others = s.random.choice((*pairs, *pairs[:2]))
    given = s.run(drug, s.start, s.pick(3, 8, 16), s.pick(12, 24, 24, 48) * HOUR, sized(s, drug), route=routed(drug))
    for other in s.random.sample(others, s.pick(1, 2, 3)):
        first = (
            s.random.choice(given) + s.pick(-24, -24, -12, -1, 0, 6, 12, 24, 24, 48) * HOUR + s.pick(0, 0, MIN, -MIN)
        )
        route = s.pick(routed(other), routed(other), "oral", "inhaled", None)
        s.run(other, first, s.pick(1, 2, 4, 8), s.pick(12, 24, 36, 48, 49) * HOUR, sized(s, other), route=route)
    for _ in range(s.pick(0, 4)):
        s.lab(s.pick("potassium", "magnesium"), s.between(s.start, given[-1] + 3 * DAY))


def sized(s: Story, drug: str) -> float:
    sizes = {
        "foscarnet": (90 * s.weight,),
        "ganciclovir": (5 * s.weight,),
        "cidofovir": (5 * s.weight,),
        "letermovir": (240, 480),
        "maribavir": (400, 800, 1200),
    }
    return s.random.choice(sizes.get(drug, (900,) if drug == "valganciclovir" else (100,)))


def routed(drug: str) -> str:
    by_mouth = ("valganciclovir", "letermovir", "maribavir", "cyclosporine", "tacrolimus", "sirolimus")
    return "oral" if drug in by_mouth else "iv"


def letermovir(s: Story) -> None:
    """Letermovir and maribavir beside immunosuppressants and inducers."""
    s.demographics(**s.transplanted("hct-allogeneic", "solid-organ"))
    drug = s.pick("letermovir", "letermovir", "maribavir")
    at, changes = s.start, s.pick(1, 2, 3)
    for _ in range(changes):
        size, every = (
            s.pick((480, 24), (240, 24), (240, 12), (120, 12))
            if drug == "letermovir"
            else s.pick((400, 12), (800, 12), (1200, 12))
        )
        given = s.run(drug, at, s.pick(2, 6, 12), every * HOUR, size, route="oral")
        at = given[-1] + s.pick(every * HOUR, 3 * DAY, 3 * DAY + MIN, 5 * DAY)
    partners = ("cyclosporine", "tacrolimus", "sirolimus", "everolimus")
    if drug == "maribavir":
        partners = (*partners, "carbamazepine", "phenytoin", "phenobarbital")
    for other in s.random.sample(partners, s.pick(1, 2)):
        first = s.random.choice(s.times) + s.pick(-96, -72, -72, -24, 0, 12, 48) * HOUR + s.pick(0, 0, -MIN, MIN)
        s.run(other, first, s.pick(1, 4, 10), s.pick(12, 24, 72) * HOUR, 100, route="oral")
    for _ in range(s.pick(0, 1, 4)):
        level = s.pick("tacrolimus", "ciclosporin", "sirolimus", "everolimus")
        s.lab(level, s.random.choice(s.times) + s.pick(0, 1, 48, 168, 169, 720) * HOUR)
    for _ in range(s.pick(0, 2, 4)):
        s.load(s.between(s.start - 10 * DAY, at + 10 * DAY))


def data(s: Story) -> None:
    s.demographics()
    drug = s.pick("foscarnet", "valganciclovir", "cidofovir", "letermovir")
    every = 14 * DAY if drug == "cidofovir" else 24 * HOUR
    given = s.run(drug, s.start, s.pick(1, 3, 8), every, sized(s, drug))
    for _ in range(s.pick(5, 12, 20)):
        at = s.between(s.start - 2 * DAY, given[-1] + 16 * DAY)
        kind = s.random.random()
        if kind < 0.35:
            analyte = s.random.choice(tuple(ABSURD))
            s.lab(analyte, at, s.random.choice(ABSURD[analyte]), UNIT[analyte])
        elif kind < 0.55:
            s.lab("potassium", at, s.pick(6.5, 6.6, 7.2))
            s.lab("calcium", at, s.pick(5.9, 6.0, 4.0, 2.5), "mg/dL")
            if s.chance(0.4):
                s.lab(s.pick("magnesium", "calcium-ionized"), at)
        elif kind < 0.65:
            s.lab("potassium", at, s.pick(7.0, 4.0))
        else:
            analyte = s.random.choice(
                ("potassium", "calcium", "magnesium", "anc", "platelets", "hemoglobin", "albumin")
            )
            s.lab(analyte, at)
        if s.chance(0.1):
            s.creatinine(at, 1.0)


ENDS_AFTER = {"foscarnet": 4, "ganciclovir": 4, "valganciclovir": 5, "cidofovir": 21, "letermovir": 3, "maribavir": 3}
LABELS = (None, None, "treatment", "treatment", "treatment", "preemptive", "maintenance", "prophylaxis")


def tangled(s: Story) -> None:
    """Several antivirals at once, with pauses at the bounds of course and therapy, and labels set right later."""
    tangle(s, 0.04, 0.05, (1, 1, 2, 5, 9, 16, 22))


def relabeled(s: Story) -> None:
    """The same with short runs, in which every third dose says what it is for as it likes, and every sixth anew."""
    tangle(s, 0.3, 0.15, (1, 1, 1, 2, 3, 9, 16))


def tangle(s: Story, other_label: float, label_changed: float, lengths: tuple[int, ...]) -> None:
    s.demographics(**s.transplanted("hct-allogeneic", "solid-organ"))
    if s.chance(0.1):
        s.add("patient", s.start, recorded=s.start - DAY, hiv=True)
    first, end = len(s.events), s.start
    for drug in s.random.sample(tuple(ENDS_AFTER), s.pick(2, 3, 3, 4)):
        at = s.pick(s.start, s.random.choice((s.start, *s.times)), s.about(s.start + 7 * DAY))
        end = max(end, tangled_courses(s, drug, at, other_label, lengths))
    for event in s.events[first:]:
        if event["type"] == "administration" and s.chance(label_changed):
            later = event["recorded_at"] + s.pick(HOUR, DAY, 3 * DAY, 9 * DAY)
            changed = {**event, "recorded_at": later}
            changed.pop("indication", None)
            label = s.random.choice(LABELS)
            s.events.append(changed if label is None else {**changed, "indication": label})
    viral_course(s, end)
    for _ in range(s.pick(1, 3, 5)):
        s.lab("creatinine", s.between(s.start - DAY, end), s.pick(0.8, 0.9, 1.1, 1.6))
    for _ in range(s.pick(0, 2, 3)):
        s.lab(s.pick("lymphocytes", "cd4"), s.between(s.start, end + 5 * DAY))


def tangled_courses(s: Story, drug: str, at: int, other_label: float, lengths: tuple[int, ...]) -> int:
    """Give one drug in a few runs; return when it ended."""
    gap = ENDS_AFTER[drug] * DAY
    label = s.random.choice(LABELS)
    for _ in range(s.pick(1, 2, 3, 4)):
        every = s.pick(7, 14, 21) * DAY if drug == "cidofovir" else s.pick(12, 24, 24, 36, 48, 72) * HOUR
        for _ in range(s.pick(1, 2) if drug == "cidofovir" else s.pick(*lengths)):
            status = s.pick("not-done", "in-progress", "in-progress", "stopped") if s.chance(0.06) else None
            this = s.random.choice(LABELS) if s.chance(other_label) else label
            s.dose(drug, at, sized_per_dose(s, drug) * s.pick(1, 1, 1, 0.5), indication=this, status=status)
            at += every
        pause = s.pick(every, DAY, 3 * DAY, 3 * DAY, gap, gap, 2 * gap, 20 * DAY)
        at = s.times[-1] + pause + s.pick(0, 0, 0, MIN, -MIN)
        label = s.random.choice(LABELS) if s.chance(0.5) else label
    return s.times[-1]


THEMES = {
    "foscarnet": foscarnet,
    "bands": bands,
    "cidofovir": cidofovir,
    "marrow": marrow,
    "electrolytes": electrolytes,
    "overdue": overdue,
    "virus": virus,
    "off-therapy": off_therapy,
    "combinations": combinations,
    "letermovir": letermovir,
    "data": data,
    "tangled": tangled,
    "relabeled": relabeled,
}
# Those of one question; in the others the drugs are entangled enough.
MIXABLE = tuple(name for name in THEMES if name not in ("tangled", "relabeled"))


def mixed(s: Story) -> None:
    chosen = s.random.sample(MIXABLE, 2)
    for name in chosen:
        THEMES[name](s)
        s.start += s.pick(0, 5, 12, 30) * DAY


def history(seed: int, theme: str | None = None) -> list[dict[str, Any]]:
    """Return native events of one patient, in random order. Without a theme the seed chooses one."""
    names = (*THEMES, "mixed")
    name = names[seed % len(names)] if theme is None else theme
    story = Story(seed, name)
    (mixed if name == "mixed" else THEMES[name])(story)
    return story.finish()
