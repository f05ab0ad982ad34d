"""Who is told next, when nobody acts on an alert."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from monitor.times import MINUTE, NEVER, Time
from monitor.types import Alert
from streams.sinks.settings import Step


class Urgency(NamedTuple):
    """Since when an alert waits for somebody to act, and how many steps of the chain were taken since."""

    since: Time
    steps: int


def urgency(before: Urgency | None, change: Alert, severities: Collection[str], taken: Time) -> Urgency | None:
    """How an alert waits after a change; None where it does not.

    It waits while it stands open at a severity of escalation. What is acknowledged, snoozed, overridden, closed or
    milder waits no more, and begins anew if that ends. The wait begins when the change was taken, not when it was
    emitted: people get the whole of their minutes also after the deliverer was down.
    """
    if change.state != "open" or change.severity not in severities:
        return None
    return before or Urgency(taken, 0)


def next_step(waits: Urgency, chain: Sequence[Step]) -> Time:
    """When the next step of the chain is due; NEVER at its end."""
    if waits.steps >= len(chain):
        return NEVER
    return waits.since + round(chain[waits.steps].after_minutes * MINUTE)
