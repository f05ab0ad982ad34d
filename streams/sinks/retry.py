"""What an answer means for a delivery, and how long to wait for the next attempt."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from monitor.times import SECOND, Time

Outcome = Literal["delivered", "later", "refused"]
_OF_THE_MESSAGE: Final = frozenset((400, 409, 412, 413, 414, 415, 422))
"""Statuses that speak of what was sent: malformed, in conflict, too large, of a wrong kind, against their rules.

Every other 4xx speaks of the address, the credentials or the moment (401, 403, 404, 405, 407, 410, 421, 429, ...):
people or time mend it, and the same message is taken then. An expired token must not empty the line.
"""
_FIRST_SECONDS: Final = 1.0
LONGEST_ASKED_SECONDS: Final = 3600.0
"""A sink that asks for more time than this is asked again after an hour all the same."""


def outcome_of(status: int) -> Outcome:
    """What an HTTP status means: what speaks of the message is refused, all else that is not 2xx comes later."""
    if 200 <= status < 300:
        return "delivered"
    return "refused" if status in _OF_THE_MESSAGE else "later"


def backoff_seconds(failures: int, longest: float, chance: float) -> float:
    """The wait after so many failures in a row (1, 2, ...): doubling from 1 s to `longest`.

    `chance` in [0, 1] takes away up to half of it, so that many who wait do not come at once.
    """
    whole = min(longest, _FIRST_SECONDS * 2.0 ** min(failures - 1, 30))
    return whole * (1 - chance / 2)


def retry_after_seconds(header: str | None, now: Time) -> float | None:
    """How long a sink asks to be left alone (Retry-After: seconds or a date), at most an hour; None if it does not."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_ASKED_SECONDS)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date in `-0000` is UTC without saying so.
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return min(max(0.0, when.timestamp() - now / SECOND), LONGEST_ASKED_SECONDS)
