"""Time as whole microseconds since 1970-01-01T00:00:00Z, in and out of ISO 8601.

Integers compare exactly and fast, and 48 hours stay 48 hours across a change of daylight saving time.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

Time = int
"""Microseconds since 1970 in UTC."""

MICROSECOND: Final = timedelta(microseconds=1)
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = 1 << 62
ALWAYS: Final = -NEVER
"""Before everything; the clinical time of what is timeless."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_MIDNIGHT: Final = re.compile(r"(.{10}.)24(:?00(?::?00(?:[.,]0+)?)?(?:[-+Zz].*)?)", re.ASCII)
_LEAP: Final = re.compile(r"(.{10}.\d\d:\d\d:)60((?:[.,]\d+)?(?:[-+Zz].*)?)", re.ASCII)
_TWO: Final = tuple(f"{number:02d}" for number in range(60))
"""Hours, minutes and seconds in two digits: formatting each anew is most of the work of writing a time."""
_UNITS: Final = {"min": MINUTE, "h": HOUR, "d": DAY}


class TimeError(ValueError):
    """A text that is no time of the contract. The message says why and does not quote it."""


def parse_time(text: str) -> Time:
    """The time that an ISO 8601 text with an offset names.

    Raises TimeError without an offset, outside the years 1900 to 2100, or for what is no such text.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = _unusual(text)
    if when.tzinfo is None:
        raise TimeError("no offset")
    if not _FIRST_YEAR <= when.year <= _LAST_YEAR:
        raise TimeError("outside 1900-2100")
    since = when - _EPOCH
    return since.days * DAY + since.seconds * SECOND + since.microseconds


def _unusual(text: str) -> datetime:
    """What ISO 8601 allows and the library does not: 24:00, a leap second, and the small z of RFC 3339."""
    midnight, leap = _MIDNIGHT.fullmatch(text), _LEAP.fullmatch(text)
    if midnight:
        text, more = f"{midnight[1]}00{midnight[2]}", timedelta(days=1)
    elif leap:
        text, more = f"{leap[1]}59{leap[2]}", timedelta(seconds=1)
    else:
        more = timedelta()
    try:
        return datetime.fromisoformat(text.removesuffix("z") + "Z" if text.endswith("z") else text) + more
    except (ValueError, OverflowError):
        raise TimeError("not an ISO 8601 time") from None


def parse_date(text: str) -> Time:
    """The first moment (UTC) of a date `YYYY-MM-DD`, `YYYY-MM` or `YYYY`.

    An incomplete date counts as its first day: an older patient has the lower clearance, so the error is on
    the safe side. Raises TimeError for anything else and outside the years 1900 to 2100.
    """
    full = text + "-01" * (2 - text.count("-")) if 4 <= len(text) <= 7 else text
    try:
        day = date.fromisoformat(full) if len(full) == 10 else None
    except ValueError:
        day = None
    if day is None:
        raise TimeError("not a date")
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise TimeError("outside 1900-2100")
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) // MICROSECOND


def iso(at: Time) -> str:
    """A time as the contract writes it: UTC with `Z`, a fraction only where there is one."""
    days, rest = divmod(at, DAY)
    seconds, fraction = divmod(rest, SECOND)
    minutes, second = divmod(seconds, 60)
    text = f"{_date_text(days)}T{_TWO[minutes // 60]}:{_TWO[minutes % 60]}:{_TWO[second]}"
    return f"{text}.{fraction:06d}Z" if fraction else text + "Z"


def clock_text(at: Time) -> str:
    """A time for a reader: `2026-03-04 08:00 UTC`."""
    days, rest = divmod(at, DAY)
    minutes = rest // MINUTE
    return f"{_date_text(days)} {_TWO[minutes // 60]}:{_TWO[minutes % 60]} UTC"


@lru_cache(maxsize=4096)
def _date_text(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def parse_duration(text: object) -> int:
    """`48 h`, `7 d`, `90 min` in microseconds. Raises ValueError for anything else."""
    number, _, unit = text.partition(" ") if isinstance(text, str) else ("", "", "")
    if unit not in _UNITS:
        raise ValueError("not a duration such as '48 h', '7 d' or '90 min'")
    count = float(number)
    if not count > 0:
        raise ValueError("a duration is positive")
    return round(count * _UNITS[unit])


def duration_text(span: int) -> str:
    """A span for a reader: `35 min`, `3 h 20 min`, `2 d 4 h`, `12 d`."""
    if span < HOUR:
        return f"{span // MINUTE} min"
    if span < 2 * DAY:
        hours, minutes = span // HOUR, span % HOUR // MINUTE
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = span // DAY, span % DAY // HOUR
    return f"{days} d {hours} h" if hours else f"{days} d"


def age_span(birth: Time, at: Time) -> tuple[int, Time, Time]:
    """Completed years of age, and the birthdays between which they hold; of February 29 in other years March 1."""
    born, now = _EPOCH + birth * MICROSECOND, _EPOCH + at * MICROSECOND
    age = now.year - born.year - ((now.month, now.day) < (born.month, born.day))
    return age, _birthday(born, age), _birthday(born, age + 1)


def _birthday(born: datetime, age: int) -> Time:
    try:
        day = born.replace(year=born.year + age)
    except ValueError:
        day = born.replace(year=born.year + age, month=3, day=1)
    return (day - _EPOCH) // MICROSECOND
