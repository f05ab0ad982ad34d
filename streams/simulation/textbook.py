"""A textbook patient: every result normal and in time, every dose right, and nothing else. Used by `perfect.py`."""

from typing import Final

from streams.simulation.assays import COUNT, SALTS, three_figures
from streams.simulation.chance import LN10, Chance, exp
from streams.simulation.clock import DAY, HOUR, iso
from streams.simulation.record import Event, Record, rounded
from streams.simulation.regimens import infusion_minutes

START: Final = 4 * DAY + 10 * HOUR
"""The first dose, nominally."""
_JITTER: Final = 90
_NORMAL: Final = {
    "potassium": ("2823-3", "mmol/L", 4.1, 0.06, 1),
    "magnesium": ("19123-9", "mg/dL", 1.95, 0.05, 1),
    "phosphate": ("2777-1", "mg/dL", 3.5, 0.06, 1),
    "calcium": ("17861-6", "mg/dL", 9.2, 0.02, 1),
    "albumin": ("1751-7", "g/dL", 3.9, 0.03, 1),
    "anc": ("751-8", "10*3/uL", 3.6, 0.12, 2),
    "lymphocytes": ("731-0", "10*3/uL", 0.35, 0.1, 2),
    "platelets": ("777-3", "10*3/uL", 180, 0.08, 0),
    "hemoglobin": ("718-7", "g/dL", 11.6, 0.03, 1),
    "tacrolimus-level": ("11253-2", "ng/mL", 8.0, 0.15, 1),
    "ciclosporin-level": ("3520-4", "ng/mL", 210, 0.12, 0),
}
"""LOINC, unit, usual value, spread as a share, decimals."""


class Textbook:
    """Writes one course; times are minutes from the first nominal dose."""

    def __init__(self, patient_id: str, chance: Chance, weight: float, creatinine: float) -> None:
        """Starts a record; creatinine in mg/dL stays near this."""
        self.chance, self.weight, self.creatinine = chance, weight, creatinine
        self.record = Record(patient_id, 10**9)

    def person(self, birth_year: int, *, female: bool, clinical: Event) -> None:
        """Who it is, weight and height, and creatinines of the weeks before."""
        record = self.record
        sex = "female" if female else "male"
        born: Event = {"birth_date": f"{birth_year}-06-15", "sex": sex}
        record.write("patient", f"{record.patient_id}-P0", 2 * HOUR, born)
        record.write("patient", record.new_id("P"), 2 * HOUR + 1, clinical)
        for days in (60, 33, 12):
            taken = START - days * DAY
            fields: Event = {"code": "2160-0", "value": self._creatinine(), "unit": "mg/dL", "collected_at": iso(taken)}
            record.write("lab", record.new_id("L"), max(taken, 3 * HOUR), fields)

    def weigh(self, at: int) -> None:
        """Body weight."""
        kilograms = rounded(self.weight + self.chance.between(-0.3, 0.3), 1)
        self._lab(at, {"code": "29463-7", "value": kilograms, "unit": "kg"}, 5)

    def labs(self, at: int, analytes: tuple[str, ...]) -> None:
        """Normal results, reported within two hours."""
        at += self.chance.whole(-40, 40)
        ready = self.chance.whole(40, 115)
        for analyte in analytes:
            if analyte == "creatinine":
                fields: Event = {"code": "2160-0", "value": self._creatinine(), "unit": "mg/dL"}
            elif analyte == "urine-protein":
                fields = {"code": "20454-5", "result": self.chance.pick(("negative", "trace"))}
            else:
                code, unit, usual, spread, decimals = _NORMAL[analyte]
                value = usual * (1 + self.chance.between(-spread, spread))
                fields = {"code": code, "value": rounded(value, decimals), "unit": unit}
            self._lab(at, fields, ready)

    def load(self, at: int, log: float | None) -> None:
        """CMV DNA in plasma, reported within 20 h; None: not detected."""
        at += self.chance.whole(-40, 40)
        fields: Event = {"code": "72493-0"}
        if log is None:
            fields["result"] = "not-detected"
        else:
            fields |= {"value": three_figures(exp(log * LN10)), "unit": "[IU]/mL"}
        self._lab(at, fields, self.chance.whole(7 * HOUR, 20 * HOUR))

    def dose(self, drug: str, milligrams: float, at: int, label: str) -> int:
        """A dose near its nominal time; gives the minute at which it began."""
        start = START + at + self.chance.whole(-_JITTER, _JITTER)
        per_kg = milligrams / self.weight
        end = start + (infusion_minutes(drug, per_kg) if drug != "foscarnet" or per_kg > 46 else 70)
        fields: Event = {"dose": rounded(milligrams, 1), "unit": "mg", "indication": label}
        self._administer(drug, fields | {"route": "iv" if end > start else "oral"}, start, end)
        return start

    def fluid(self, volume: float, start: int, end: int) -> None:
        """Saline; times of the cohort's clock."""
        self._administer("sodium chloride", {"dose": rounded(volume, 0), "unit": "mL", "route": "iv"}, start, end)

    def tablet(self, drug: str, milligrams: float, start: int) -> None:
        """A co-medication; time of the cohort's clock."""
        self._administer(drug, {"dose": rounded(milligrams, 1), "unit": "mg", "route": "oral"}, start, start)

    def _creatinine(self) -> float | int:
        return rounded(self.creatinine * (1 + self.chance.between(-0.02, 0.02)), 2)

    def _lab(self, at: int, fields: Event, ready: int) -> None:
        record, collected = self.record, START + at
        record.write("lab", record.new_id("L"), collected + ready, fields | {"collected_at": iso(collected)})

    def _administer(self, drug: str, how: Event, start: int, end: int) -> None:
        times: Event = {"started_at": iso(start)}
        if end > start:
            times["ended_at"] = iso(end)
        charted = end + self.chance.whole(2, 15)
        self.record.write("administration", self.record.new_id("A"), charted, {"drug": drug} | how | times)


BASELINE: Final = ("creatinine", *COUNT)
FOSCARNET_LABS: Final = (*SALTS, *COUNT)
