"""How far one load lies from another, in words."""

import pytest

from monitor.types import AT_LEAST, EQUAL, MORE, Lab
from monitor.virology import change_text, distance_text, halves_text

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("value", "base", "log", "text"),
    [
        (100_000, 10_000, False, "1.00 log10 above"),
        (3_000, 10_000, False, "0.52 log10 below"),
        (10_000, 10_000, False, "level with"),
        (5 * MILLION, 4 * MILLION, True, "1.00 log10 above"),
        (3_500_000, 4 * MILLION, True, "0.50 log10 below"),
        (-MILLION, MILLION, True, "2.00 log10 below"),
        (10, 0, False, "1.00 log10 above"),
    ],
)
def test_a_change_in_log10(value, base, log, text):
    assert change_text(value, base, log=log) == text


@pytest.mark.parametrize(
    ("value", "mark", "base", "base_mark", "text"),
    [
        (3_000, EQUAL, 10_000, EQUAL, "0.52 log10 below"),
        (3_000, EQUAL, 10_000, MORE, "at least 0.52 log10 below"),
        (3_000, EQUAL, 10_000, AT_LEAST, "at least 0.52 log10 below"),
        (100_000, EQUAL, 10_000, MORE, "at most 1.00 log10 above"),
        (10_000, EQUAL, 10_000, MORE, "level with or below"),
        (3_000, MORE, 10_000, EQUAL, "at most 0.52 log10 below"),
        (100_000, AT_LEAST, 10_000, EQUAL, "at least 1.00 log10 above"),
        (10_000, MORE, 10_000, EQUAL, "level with or above"),
        (10_000, MORE, 10_000, MORE, "at an unknown distance from"),
    ],
)
def test_a_distance_from_or_to_a_load_above_what_can_be_counted_is_a_bound(value, mark, base, base_mark, text):
    load, peak = (Lab("e", 0, 0, 0, "72493-0", *one) for one in ((value, 0, mark), (base, 0, base_mark)))
    assert distance_text(load, peak, log=False) == text


def test_half_decades():
    assert [halves_text(halves) for halves in (1, 2, 3)] == ["0.5", "1", "1.5"]
