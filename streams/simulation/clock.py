"""The cohort's clock: whole minutes from its first midnight, in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
HOUR: Final = 60
DAY: Final = 24 * HOUR
STEP: Final = 6 * HOUR
"""The hidden body is known every 6 h."""


def iso(minute: int) -> str:
    """A minute as ISO 8601 in UTC."""
    return (START + timedelta(minutes=minute)).isoformat()[:19] + "Z"
