"""A synthetic cohort with ground truth (contract, section 3: `simulate`).

lives = simulate(patients=100, days=60, seed=1)
for line in to_lines(lives, fhir=False, truth=open("truth.ndjson", "wb")): ...
"""

from collections.abc import Iterator

from streams.simulation.fhir import as_fhir
from streams.simulation.life import Life, live
from streams.simulation.log import to_lines
from streams.simulation.perfect import COURSES, perfect_course
from streams.simulation.record import Event

__all__ = ["COURSES", "Event", "Life", "as_fhir", "live", "perfect_course", "simulate", "to_lines"]


def simulate(patients: int, days: int, seed: int) -> Iterator[Life]:
    """The lives of a cohort, in order of their patients' ids: p000001, p000002 and so on.

    Patient k is the same whatever the number of patients; the same arguments give the same bytes on every machine.
    """
    return (live(seed, index, days) for index in range(1, patients + 1))
