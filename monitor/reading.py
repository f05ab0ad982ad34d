"""Holding a result against a cut-off, a censored one as far as it goes.

`<x` is below a cut-off at x or above it; `>x` reaches a cut-off at x or below it. Otherwise a censored value tells
nothing. Cut-offs are those of the unit that the result was reported in.
"""

from monitor.types import AT_LEAST, AT_MOST, EQUAL, LESS, MORE, Lab


def is_below(lab: Lab, cutoffs: tuple[int, ...]) -> bool | None:
    """Whether a result lies below its cut-off; None where a censored one leaves it open."""
    cutoff = cutoffs[lab.unit]
    mark = lab.mark
    if mark == EQUAL:
        return lab.canon < cutoff
    if mark == LESS:
        return True if lab.canon <= cutoff else None
    if mark == AT_MOST:
        return True if lab.canon < cutoff else None
    return False if mark in (MORE, AT_LEAST) and lab.canon >= cutoff else None
