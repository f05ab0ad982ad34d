"""One sink's desk: takes what is due from the store, sends it, notes the answers, and waits when the sink is away."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from monitor.times import SECOND, Time, parse_time
from streams.live.logs import logger
from streams.sinks.changes import read_change
from streams.sinks.meters import SinkMeters
from streams.sinks.retry import backoff_seconds
from streams.sinks.sending import Answer, Send
from streams.sinks.store import Delivery, Done, due, finish, firing, next_due, wall

IDLE_SECONDS: Final = 5.0
"""How long a desk sleeps at most: what another process puts in line again (`--retry-refused`) is found then."""
RESENT_AT_ONCE: Final = 100
_AWAY: Final = frozenset((None, 401, 407, 429, 503))
"""Answers that tell of the sink, whatever the message: none at all, no valid login, too many, not available.

403, 404 and the like may be meant for one message (a patient whom the login may not see), as 500 may: each such
delivery waits for itself, and holds up no other.
"""
_PASSING: Final = frozenset((408, 425, 429))
"""Answers that time alone mends."""

Resend = Callable[[Sequence[tuple[str, bytes, tuple[str, ...]]]], Awaitable[Answer]]


class Desk(NamedTuple):
    """What a desk needs: `resend` and its seconds only for a sink that forgets (Alertmanager)."""

    name: str
    at_once: int
    longest_wait: float
    send: Send
    resend: Resend | None = None
    resend_seconds: float = 0.0


def judge(
    batch: Sequence[Delivery], answers: Sequence[Answer], longest_wait: float, chance: float, now: Time
) -> tuple[list[Done], float | None]:
    """What answers make of deliveries, and for how many seconds the sink itself asks to be left alone."""
    done = []
    for delivery, answer in zip(batch, answers, strict=True):
        if answer.outcome == "delivered":
            done.append(Done(delivery))
        elif answer.outcome == "refused":
            done.append(Done(delivery, refused=answer.status or 0))
        else:
            wait = max(backoff_seconds(delivery.failures + 1, longest_wait, chance), answer.asked or 0.0)
            done.append(Done(delivery, due=now + round(wait * SECOND)))
    asked = [answer.asked for answer in answers if answer.asked is not None and answer.status in _AWAY]
    return done, max(asked, default=None)


def is_away(answers: Sequence[Answer]) -> bool:
    """Whether no answer was one to its message: then the sink is not there, and one attempt at a time will do."""
    return all(answer.outcome == "later" and answer.status in _AWAY for answer in answers)


async def attend(
    desk: Desk, db: sqlite3.Connection, woken: asyncio.Event, stopping: asyncio.Event, meters: SinkMeters
) -> None:
    """Delivers until it is told to stop. Raises sqlite3.Error where the store fails.

    New changes wake a desk that waits because its sink is away, but not one whose sink has asked for time.
    """
    failures, resent = 0, float("-inf")
    turned_away = False
    while not stopping.is_set():
        woken.clear()
        if desk.resend is not None and time.monotonic() - resent >= desk.resend_seconds:
            resent = time.monotonic()
            await _resend_all(desk, desk.resend, db, meters)
        batch = due(db, desk.name, wall(), 1 if failures else desk.at_once)
        if not batch:
            await _sleep(_until_due(desk, db, resent), woken, stopping)
            continue
        began = time.monotonic()
        answers = await _send(desk, batch)
        meters.attempts.labels(desk.name).observe(time.monotonic() - began)
        chance = random.random()  # noqa: S311 - spreads retries, hides nothing
        done, asked = judge(batch, answers, desk.longest_wait, chance, wall())
        finish(db, done)
        _tell(desk, batch, answers, meters, first=not failures)
        turned_away = _tell_turned_away(desk, answers, told=turned_away)
        if not is_away(answers):
            if failures:
                logger.info("sink is back", extra={"sink": desk.name})
            failures = 0
        else:
            failures += 1
            if asked is not None:
                await _sleep(asked, None, stopping)
            else:
                await _sleep(backoff_seconds(failures, desk.longest_wait, chance), woken, stopping)


async def _send(desk: Desk, batch: Sequence[Delivery]) -> list[Answer]:
    """Sends a batch. A change that cannot even be sent is put aside alone, and holds up no other."""
    try:
        return await desk.send(batch)
    except Exception as error:  # noqa: BLE001 - whatever a message may do to its sender
        if len(batch) == 1:
            logger.error("a change cannot be sent", extra={"sink": desk.name, "why": type(error).__name__})
            return [Answer("refused", 0)]
    return [answer for one in batch for answer in await _send(desk, [one])]


async def _resend_all(desk: Desk, resend: Resend, db: sqlite3.Connection, meters: SinkMeters) -> None:
    after = ""
    while alerts := firing(db, desk.name, after, RESENT_AT_ONCE):
        answer = await resend(alerts)
        meters.resends.labels(desk.name, answer.outcome).inc(len(alerts))
        if answer.outcome == "later":
            return  # the next round brings all of them
        after = alerts[-1][0]


def _until_due(desk: Desk, db: sqlite3.Connection, resent: float) -> float:
    waits = [IDLE_SECONDS]
    following = next_due(db, desk.name)
    if following is not None:
        waits.append(max(0.0, (following - wall()) / SECOND))
    if desk.resend is not None:
        waits.append(max(0.0, resent + desk.resend_seconds - time.monotonic()))
    return min(waits)


def _tell(desk: Desk, batch: Sequence[Delivery], answers: Sequence[Answer], meters: SinkMeters, *, first: bool) -> None:
    for delivery, answer in zip(batch, answers, strict=True):
        meters.deliveries.labels(desk.name, answer.outcome).inc()
        if answer.outcome == "delivered":
            said = parse_time(read_change(delivery.body).emitted_at)
            meters.delay.labels(desk.name).observe(max(0.0, (wall() - said) / SECOND))
        elif answer.outcome == "refused":
            logger.error(
                "a sink refused a change, which is put aside", extra={"sink": desk.name, "status": answer.status}
            )
    if first and is_away(answers):
        logger.warning("sink is away", extra={"sink": desk.name, "status": answers[0].status})


def _tell_turned_away(desk: Desk, answers: Sequence[Answer], *, told: bool) -> bool:
    """Says once, until something is delivered again, that people are needed; returns whether it is said."""
    statuses = [one.status for one in answers if one.outcome == "later" and one.status is not None]
    closed = [status for status in statuses if 400 <= status < 500 and status not in _PASSING]
    if closed and not told:
        logger.error(
            "a sink turns changes away, which are kept; look at its address and credentials",
            extra={"sink": desk.name, "status": closed[0]},
        )
    return bool(closed) or (told and not any(one.outcome == "delivered" for one in answers))


async def _sleep(seconds: float, woken: asyncio.Event | None, stopping: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(one.wait()) for one in (stopping, woken) if one is not None]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()
