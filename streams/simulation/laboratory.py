"""A laboratory: what it finds in a body, how it reports it, and what goes wrong on the way.

Faults, each rare: specimens that clot, results that come days late, a preliminary value before the final one, a value
corrected, another patient's value withdrawn, a wrong unit, an EDTA tube, hemolysis, and reports sent by two interfaces.
"""

from typing import Final

from streams.simulation.assays import (
    ASSAYS,
    DIPSTICK,
    EDTA,
    WHOLE_BLOOD,
    WHOLE_BLOOD_LOG,
    Report,
    grade_of,
    three_figures,
)
from streams.simulation.body import Body
from streams.simulation.chance import LN10, Chance, exp
from streams.simulation.clock import DAY, HOUR, iso
from streams.simulation.diary import Diary, Happened
from streams.simulation.people import Person
from streams.simulation.record import Event, Record, rounded

# Shares, of draws and of results.
_CLOTTED: Final = 0.006
_EDTA: Final = 0.004
_HEMOLYZED: Final = 0.003
_VERY_LATE: Final = 0.006
_TWICE: Final = 0.012
_TWICE_RENAMED: Final = 0.0006
_PRELIMINARY: Final = 0.008
_CORRECTED: Final = 0.002
_WITHDRAWN: Final = 0.0006
_WRONG_UNIT: Final = 0.0006
_LOST_POINT: Final = 0.003
_OTHER_ASSAY: Final = 0.006


class Laboratory:
    """Draws from a body, writes to the record, and keeps the chart that the ward reads."""

    def __init__(self, who: Person, chance: Chance, body: Body, diary: Diary, record: Record) -> None:
        """Opens with nothing known."""
        self._who, self._chance, self._body, self._diary, self._record = who, chance, body, diary, record
        self._chart: dict[str, list[tuple[int, int, float]]] = {}

    def known(self, analyte: str, now: int) -> list[tuple[int, float]]:
        """The ward's results of an analyte that have come by now, as (collected, value).

        A load is in log10 IU/mL; one that is not quantifiable is 0, one that is not detected -1.
        """
        return [(at, value) for at, ready, value in self._chart.get(analyte, ()) if ready <= now]

    def latest(self, analyte: str, now: int) -> tuple[int, float] | None:
        """The last collected of what is known by now."""
        for at, ready, value in reversed(self._chart.get(analyte, ())):
            if ready <= now:
                return at, value
        return None

    def draw(self, at: int, analytes: tuple[str, ...], *, elsewhere: bool = False) -> bool:
        """Takes a specimen. False if nothing came of it. `elsewhere`: another hospital's, known only from now on."""
        chance = self._chance
        if not elsewhere and chance.happens(_CLOTTED):
            for analyte in analytes:
                self._cancel(analyte, at)
            return False
        spoiled = "potassium" in analytes and "calcium" in analytes and chance.happens(_EDTA)
        hemolyzed = chance.happens(_HEMOLYZED)
        late = chance.whole(1 * DAY, 4 * DAY) if chance.happens(_VERY_LATE) else 0
        twice = chance.happens(_TWICE)
        if spoiled:
            self._fault("suspect-sample", at, "calcium, potassium drawn into an EDTA tube")
        released: dict[tuple[float, float], int] = {}
        for analyte in analytes:
            hours = ASSAYS[analyte].hours
            if hours not in released:
                released[hours] = at + int(chance.between(*hours) * HOUR) + late
            ready = released[hours]
            value = self._measure(analyte, at)
            if hemolyzed and analyte == "potassium":
                value += chance.between(0.6, 1.8)
            if spoiled and analyte in EDTA:
                value *= chance.between(2.2, 2.8) if analyte == "potassium" else chance.between(0.4, 0.55)
            else:
                self._keep(analyte, at, ready, value)
            self._report(analyte, at, ready, value, twice=twice)
        return True

    def _keep(self, analyte: str, at: int, ready: int, value: float) -> None:
        self._chart.setdefault(analyte, []).append((at, ready, value))
        self._diary.draws[analyte].append((at, value))

    def _fault(self, code: str, at: int, why: str) -> None:
        self._diary.faults.append(Happened(code, None, at, at + DAY, "info", why))

    # What is found ---------------------------------------------------------------------------------------------------

    def _measure(self, analyte: str, at: int) -> float:
        """The true value with the assay's noise, on the analyte's own scale."""
        chance, who = self._chance, self._who
        if analyte == "cmv-dna":
            return self._load(at)
        trace = self._body.trace
        noise = 1.0 + ASSAYS[analyte].noise * chance.normal()
        if analyte == "creatinine":
            return trace.at(trace.measurable, at) * noise
        if analyte == "anc":
            return trace.at(trace.neutrophils, at) * noise
        if analyte == "calcium":
            return (trace.at(trace.calcium, at) - 0.8 * (4.0 - who.traits.albumin)) * noise
        if analyte == "calcium-ionized":
            return (1.2 + 0.167 * (trace.at(trace.calcium, at) - 9.2)) * noise
        if analyte == "urine-protein":
            return trace.at(trace.protein, at) * noise
        if analyte == "albumin":
            return who.traits.albumin * noise
        if analyte == "weight":
            return who.weight * noise
        if analyte in ("tacrolimus-level", "ciclosporin-level"):
            return chance.lognormal(8.5 if analyte == "tacrolimus-level" else 210.0, 0.3)
        series: list[float] = getattr(trace, analyte)
        return series[min(max((at - trace.start) // 360, 0), len(series) - 1)] * noise

    def _load(self, at: int) -> float:
        """log10 IU/mL; 0 if below quantification, -1 if nothing is found."""
        trace = self._body.trace
        true = trace.at(trace.load, at)
        noise = 0.14 if true > 3 else 0.24
        found = true + noise * self._chance.normal()
        limit = _LIMITS[self._who.habits.lloq]
        if found >= limit:
            return found
        return 0.0 if found > limit - 1.0 else -1.0

    # How it is reported ----------------------------------------------------------------------------------------------

    def _form(self, analyte: str, at: int) -> Report:
        habits = self._who.habits
        switched = habits.units_change_on is not None and at >= habits.units_change_on * DAY
        assay = ASSAYS[analyte]
        return assay.si if habits.si_units != switched else assay.usual

    def _report(self, analyte: str, at: int, ready: int, value: float, *, twice: bool) -> None:
        record, chance, habits = self._record, self._chance, self._who.habits
        if analyte == "cmv-dna":
            self._report_load(at, ready, value, twice=twice)
            return
        if analyte == "urine-protein" and habits.dipstick:
            fields: Event = {"code": DIPSTICK, "result": grade_of(value), "collected_at": iso(at)}
            self._send(record.new_id("L"), ready, fields, twice=twice)
            return
        form = self._form(analyte, at)
        if analyte == "anc" and habits.percent_neutrophils:
            trace = self._body.trace
            leukocytes = value + trace.at(trace.lymphocytes, at) + 0.4
            self._write_number(self._form("wbc", at), at, ready, leukocytes, twice=twice)
            percent = ASSAYS["neutrophil-percent"].usual
            self._write_number(percent, at, ready, 100 * value / leukocytes, twice=twice)
            return
        self._write_number(form, at, ready, value, twice=twice)
        if analyte == "weight" and chance.happens(_LOST_POINT):
            self._fault("implausible-result", at + 1, "body weight without its decimal point")
            wrong: Event = {"code": form.code, "value": round(value * 10), "unit": form.unit}
            record.write("lab", record.new_id("L"), ready + 2, wrong | {"collected_at": iso(at + 1)})
        elif analyte == "creatinine" and form.unit == "mg/dL" and chance.happens(_WRONG_UNIT):
            # The value in umol/L under the unit mg/dL, from the analyzer's other channel.
            wrong = {"code": form.code, "value": round(value * 88.42), "unit": form.unit}
            record.write("lab", record.new_id("L"), ready + 4, wrong | {"collected_at": iso(at + 3)})
            self._fault("implausible-result", at + 3, "creatinine in umol/L reported as mg/dL")

    def _write_number(self, form: Report, at: int, ready: int, value: float, *, twice: bool) -> None:
        """One numeric result, with what may befall it."""
        chance, record = self._chance, self._record
        event_id = record.new_id("L")
        number = rounded(value * form.factor, form.decimals)
        fields: Event = {"code": form.code, "value": number, "unit": form.unit, "collected_at": iso(at)}
        fate = chance.share()
        if fate < _PRELIMINARY:
            early = rounded(value * form.factor * chance.between(0.97, 1.03), form.decimals)
            sooner = max(at, ready - chance.whole(15, 50))
            record.write("lab", event_id, sooner, fields | {"value": early, "status": "preliminary"})
        elif fate < _PRELIMINARY + _CORRECTED:
            wrong = rounded(value * form.factor * chance.between(0.6, 1.6), form.decimals)
            record.write("lab", event_id, ready, fields | {"value": wrong})
            ready += chance.whole(40, 600)
            fields["status"] = "corrected"
        elif fate < _PRELIMINARY + _CORRECTED + _WITHDRAWN:
            other = record.new_id("L")
            strange = fields | {"value": rounded(value * form.factor * chance.between(0.4, 2.4), form.decimals)}
            seen = ready + chance.whole(1, 20)
            record.write("lab", other, seen, strange | {"collected_at": iso(at + 2)})
            gone = seen + chance.whole(1 * HOUR, 20 * HOUR)
            record.write("lab", other, gone, strange | {"collected_at": iso(at + 2), "status": "entered-in-error"})
        self._send(event_id, ready, fields, twice=twice)

    def _report_load(self, at: int, ready: int, value: float, *, twice: bool) -> None:
        record, chance, habits = self._record, self._chance, self._who.habits
        form, shift = ASSAYS["cmv-dna"].usual, 0.0
        if habits.whole_blood:
            form, shift = (WHOLE_BLOOD_LOG if habits.log_load else WHOLE_BLOOD), 0.45
        elif chance.share() < _OTHER_ASSAY:
            form, shift = WHOLE_BLOOD, 0.45
        fields: Event = {"code": form.code, "collected_at": iso(at)}
        if value > 0:
            log = value + shift
            number = rounded(log, 2) if form is WHOLE_BLOOD_LOG else three_figures(exp(log * LN10))
            fields |= {"value": number, "unit": form.unit}
        elif value < 0:
            fields["result"] = "not-detected"
        elif habits.bare_detected and form is not WHOLE_BLOOD_LOG:
            fields["result"] = "detected"
        elif form is WHOLE_BLOOD_LOG:
            fields |= {"value": rounded(_LIMITS[habits.lloq] + shift, 2), "unit": form.unit, "comparator": "<"}
        else:
            fields |= {"value": habits.lloq, "unit": form.unit, "comparator": "<"}
        event_id = record.new_id("L")
        if chance.happens(0.02):
            record.write("lab", event_id, max(at, ready - chance.whole(60, 400)), fields | {"status": "preliminary"})
        self._send(event_id, ready, fields, twice=twice)

    def _send(self, event_id: str, ready: int, fields: Event, *, twice: bool) -> None:
        record, chance = self._record, self._chance
        record.write("lab", event_id, ready, fields)
        if twice:
            record.write("lab", event_id, ready + chance.whole(0, 25), fields)
        elif chance.share() < _TWICE_RENAMED:
            record.write("lab", record.new_id("L"), ready + chance.whole(1, 25), fields)

    def _cancel(self, analyte: str, at: int) -> None:
        form = self._form(analyte, at)
        fields: Event = {"code": form.code, "status": "cancelled", "collected_at": iso(at)}
        self._record.write("lab", self._record.new_id("L"), at + self._chance.whole(30, 240), fields)


_LIMITS: Final = {137: 2.137, 35: 1.544, 50: 1.699}
"""log10 of the lower limits of quantification."""
