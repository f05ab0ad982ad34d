"""How far one load lies from another, in words."""

import pytest

from monitor.virology import change_text, halves_text

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


def test_half_decades():
    assert [halves_text(halves) for halves in (1, 2, 3)] == ["0.5", "1", "1.5"]
