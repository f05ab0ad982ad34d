"""What really happened to a patient, written down as it happens: doses, draws, faults, and the hidden body."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.simulation.clock import STEP


class Given(NamedTuple):
    """A dose that the patient truly had. `amount`: mg, or mL of a fluid; `every`: the interval prescribed, h."""

    drug: str
    start: int
    end: int
    amount: float
    per_kg: float
    route: str
    intent: str
    phase: str
    every: int


class Happened(NamedTuple):
    """Something that truly was the case, in the words of the monitor's alert codes; times in minutes."""

    code: str
    drug: str | None
    start: int
    end: int | None
    severity: str
    why: str


@dataclass(slots=True)
class Trace:
    """The hidden body, every 6 h from `start` on. Units: mg/dL, mL/min, 10*3/uL, g/dL, mmol/L, log10 IU/mL, /uL."""

    start: int
    creatinine: list[float] = field(default_factory=list)
    """By filtration alone, without what blocks its secretion."""
    measurable: list[float] = field(default_factory=list)
    """Creatinine as a perfect laboratory would report it."""
    clearance: list[float] = field(default_factory=list)
    """Of creatinine, by Cockcroft and Gault without noise; blocked secretion lowers it."""
    protein: list[float] = field(default_factory=list)
    neutrophils: list[float] = field(default_factory=list)
    platelets: list[float] = field(default_factory=list)
    hemoglobin: list[float] = field(default_factory=list)
    lymphocytes: list[float] = field(default_factory=list)
    cd4: list[float] = field(default_factory=list)
    potassium: list[float] = field(default_factory=list)
    magnesium: list[float] = field(default_factory=list)
    phosphate: list[float] = field(default_factory=list)
    calcium: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    def at(self, series: list[float], minute: int) -> float:
        """The value of a series at a minute: the last one known by then."""
        step = (minute - self.start) // STEP
        return series[min(max(step, 0), len(series) - 1)]

    def minute(self, step: int) -> int:
        """When a step begins."""
        return self.start + step * STEP


@dataclass(slots=True)
class Diary:
    """All that the truth rests on. `draws`: valid results by analyte, as (collected, value)."""

    doses: dict[str, list[Given]] = field(default_factory=lambda: defaultdict(list))
    draws: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    faults: list[Happened] = field(default_factory=list)
    dies: int | None = None
    resistant: bool = False
    """Whether a ganciclovir-resistant strain had the upper hand at the end."""
