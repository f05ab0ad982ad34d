"""Reading CMV DNA results: which are quantifiable, which are clear."""

from bisect import bisect_left, bisect_right

from monitor.patient import Patient
from monitor.times import Time
from monitor.types import AT_LEAST, EQUAL, MORE, Lab

CMV = "cmv-dna"


def is_quantifiable(load: Lab) -> bool:
    """A number, or one above the upper limit of quantification; not a bare `detected`, not below a limit."""
    return load.mark in (EQUAL, MORE, AT_LEAST)


def quantifiable_between(p: Patient, start: Time, end: Time) -> bool:
    """Whether any quantifiable CMV DNA was collected between two times, both included."""
    series = p.series[p.plan.lab(CMV)]
    if series is None:
        return False
    return any(map(is_quantifiable, series.x[bisect_left(series.t, start) : bisect_right(series.t, end)]))
