"""Published rates beside those of a simulated cohort: the table of docs/cohort.md.

Each rate is read as a study reads it: from the results that a laboratory with its noise found in draws that the ward
ordered, over the denominator that the source used. Sources: facts.md, section 9.2.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from streams.simulation import measures, simulate
from streams.simulation.life import Life

PATIENTS: Final = 2000
DAYS: Final = 200
SEED: Final = 1
"""The cohort behind the table."""

Measure = Callable[[Life], list[float]]
"""What one patient adds: a 1 or 0 for each course in the denominator, or a number."""


class Rate(NamedTuple):
    """One row. `low` and `high`: what the simulated value must lie between."""

    name: str
    published: str
    source: str
    denominator: str
    kind: str
    """`share` in percent, `median`, or `week`: the week of therapy with the greatest hazard."""
    low: float
    high: float
    measure: Measure


class Found(NamedTuple):
    """A row as simulated; `rests_on`: how many courses or patients."""

    rate: Rate
    value: float
    rests_on: int

    @property
    def near(self) -> bool:
        """Whether it came out near the published one."""
        return self.rate.low <= self.value <= self.rate.high

    @property
    def text(self) -> str:
        """As printed in the table."""
        unit = " %" if self.rate.kind == "share" else ""
        shown = f"{self.value:.0f}" if self.rate.kind in ("share", "week") else f"{self.value:.1f}"
        return f"{shown}{unit} (n = {self.rests_on})"


# fmt: off
RATES: Final = (
    Rate("Foscarnet, HCT: acute kidney injury (KDIGO by creatinine)",
         "62.2 %, 62.9 %", "Stanford 2021, n = 107", "courses of ≥ 3 d", "share",
         53, 72, measures.injury_hct),
    Rate("Foscarnet without saline: creatinine up by ≥ 25 %",
         "66 % (37/56)", "Deray 1989", "HIV, courses of ≥ 3 d, wards that give no saline", "share",
         54, 78, measures.rise_dry),
    Rate("Foscarnet without saline: creatinine ≥ 2.0 mg/dL",
         "33 % of 189", "label (AIDS)", "the same", "share",
         22, 44, measures.two_dry),
    Rate("Foscarnet with saline: creatinine ≥ 2.0 mg/dL",
         "12 % (34/280)", "label (AIDS)", "HIV, courses of ≥ 3 d, wards that give it", "share",
         6, 18, measures.two_wet),
    Rate("Foscarnet: week with the greatest hazard of kidney injury",
         "2", "label", "first courses of ≥ 1 d", "week",
         2, 2, measures.injury_week),
    Rate("Foscarnet: days from the last dose to a creatinine < 1.25 times the usual",
         "7 to 14 and more", "facts.md 9.2", "courses that ended above 1.5 times", "median",
         6, 18, measures.mending),
    Rate("Foscarnet: hypomagnesemia (< 1.2 mg/dL)",
         "15-30 %", "label", "courses of ≥ 3 d", "share",
         15, 30, measures.magnesium),
    Rate("Foscarnet: hypokalemia (< 3.0 mmol/L)",
         "16-48 %", "label", "courses of ≥ 3 d", "share",
         16, 48, measures.potassium),
    Rate("Foscarnet: hypocalcemia (corrected < 8.0 mg/dL)",
         "15-30 %", "label", "courses of ≥ 3 d", "share",
         15, 30, measures.calcium),
    Rate("Foscarnet: hypophosphatemia (< 2.0 mg/dL)",
         "8-26 %", "label", "courses of ≥ 3 d", "share",
         8, 26, measures.phosphate),
    Rate("Foscarnet, HCT: neutrophils < 0.5",
         "4 % of 110", "Reusser 2002", "pre-emptive courses of ≥ 7 d", "share",
         0, 9, measures.foscarnet_neutrophils),
    Rate("Ganciclovir, HCT: neutrophils < 0.5",
         "11 % of 103", "Reusser 2002", "pre-emptive courses of ≥ 7 d", "share",
         6, 17, measures.ganciclovir_neutrophils),
    Rate("Valganciclovir treatment, HCT: neutrophils < 1.0",
         "52.9 % of 274", "AURORA", "courses of ≥ 7 d", "share",
         43, 63, measures.valganciclovir_neutrophils),
    Rate("Ganciclovir: platelets < 50",
         "7 %", "label (UK)", "courses of ≥ 7 d, higher before", "share",
         3, 12, measures.ganciclovir_platelets),
    Rate("Ganciclovir: hemoglobin < 8.0 g/dL",
         "20 %", "label (UK)", "courses of ≥ 7 d, higher before", "share",
         12, 28, measures.ganciclovir_hemoglobin),
    Rate("Valganciclovir prophylaxis, kidney: leukocytes < 3.5 in 6 months",
         "39.3 % of 542", "facts.md 9.2", "followed for ≥ 150 d", "share",
         30, 49, measures.prophylaxis_leukocytes),
    Rate("Valganciclovir prophylaxis, kidney: neutrophils < 1.0 in 6 months",
         "11.0 % of 542", "facts.md 9.2", "followed for ≥ 150 d", "share",
         6, 17, measures.prophylaxis_neutrophils),
    Rate("Valganciclovir prophylaxis, kidney: clearance, mL/min",
         "67", "post hoc 2025", "day 21 of prophylaxis", "median",
         57, 77, measures.prophylaxis_clearance),
    Rate("Cidofovir: renal toxicity (protein ≥ 2+, creatinine + 0.4, clearance ≤ 55)",
         "59 % (79/135)", "label", "courses of ≥ 2 doses", "share",
         48, 70, measures.cidofovir_toxic),
    Rate("Cidofovir: urine protein ≥ 100 mg/dL",
         "50 %", "label", "courses of ≥ 2 doses", "share",
         39, 61, measures.cidofovir_protein),
    Rate("Cidofovir: neutrophils ≤ 0.5",
         "24 %", "label", "courses of ≥ 2 doses", "share",
         15, 33, measures.cidofovir_neutrophils),
    Rate("Cidofovir: dose reduced to 3 mg/kg",
         "26-29 %", "label", "courses of ≥ 2 doses", "share",
         16, 38, measures.cidofovir_reduced),
    Rate("CMV untreated: doubling time, days",
         "about 1", "Emery 2000", "HCT, hidden loads of 1.5-3.5 log10", "median",
         0.8, 1.4, measures.doubling),
    Rate("CMV on (val)ganciclovir: half-life in plasma, days",
         "3.2 to 11.5", "Humar 2002, VICTOR", "loads of days 0-21 that fall", "median",
         5, 7, measures.half_life),
    Rate("SOT on (val)ganciclovir: < 600 copies/mL on day 21",
         "45.1, 48.4 %", "VICTOR, n = 321", "begun at ≥ 1000 IU/mL", "share",
         35, 58, measures.clear_21),
    Rate("SOT on (val)ganciclovir: < 600 copies/mL on day 49",
         "67.1, 70.1 %", "VICTOR, n = 321", "begun at ≥ 1000 IU/mL", "share",
         57, 80, measures.clear_49),
    Rate("Treated for 14 d and more: refractory or probably refractory",
         "10-40 %", "facts.md 9.2", "transplant, begun at ≥ 150 IU/mL", "share",
         10, 40, measures.refractory),
    Rate("Therapy that cleared the blood: relapse within 8 weeks",
         "31 %", "Avery 2016, n = 39", "transplant, followed for 8 weeks", "share",
         21, 41, measures.relapse),
    Rate("SOT treated with (val)ganciclovir: a resistant strain",
         "5-12 %", "facts.md 9.2", "patients", "share",
         4, 13, measures.resistance),
    Rate("Allogeneic HCT without prophylaxis: CMV in blood by day 100",
         "60-70 %", "facts.md 9.2", "followed to day 100", "share",
         55, 75, measures.reactivation),
)
# fmt: on


def measure(lives: Iterable[Life]) -> list[Found]:
    """Every rate of a cohort."""
    values: list[list[float]] = [[] for _ in RATES]
    for life in lives:
        for rate, found in zip(RATES, values, strict=True):
            found.extend(rate.measure(life))
    return [_summed(rate, found) for rate, found in zip(RATES, values, strict=True)]


def _summed(rate: Rate, values: list[float]) -> Found:
    if not values:
        return Found(rate, -1.0, 0)
    if rate.kind == "share":
        return Found(rate, 100 * sum(values) / len(values), len(values))
    if rate.kind == "week":
        return Found(rate, _worst_week(values), len(values))
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Found(rate, median, len(values))


def _worst_week(values: list[float]) -> float:
    """The week of the greatest hazard. A value is the day of the event, or minus the day until which there was none."""
    hazards = []
    for week in range(4):
        low, high = 7.0 * week, 7.0 * week + 7
        events = sum(low <= value < high for value in values)
        at_risk = sum(abs(value) >= low for value in values)
        hazards.append((events / at_risk if at_risk >= 10 else 0.0, -week))
    return float(1 - max(hazards)[1])


def table(found: list[Found]) -> str:
    """The table of docs/cohort.md."""
    rows = ["| what | published | source | simulated | denominator here |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {one.rate.name} | {one.rate.published} | {one.rate.source} | {one.text} | {one.rate.denominator} |"
        for one in found
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table(measure(simulate(PATIENTS, DAYS, SEED))))
