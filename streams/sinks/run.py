"""Runs one deliverer to its end: a thread that reads, a desk for each sink, escalation, upkeep, pages."""

import asyncio
import logging
import signal
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from monitor.times import DAY
from streams.live.ending import kind_and_place
from streams.live.logs import logger, set_up_logs
from streams.live.pages import own_pages, serve
from streams.sinks.desk import Desk, attend
from streams.sinks.intake import Intake
from streams.sinks.meters import SinkMeters
from streams.sinks.sending import open_session, resend, sender
from streams.sinks.settings import AlertmanagerSink, DeliverySettings, FhirTopicSink
from streams.sinks.store import Taken, fingerprint_key, lock_store, open_store, routes_of, wall, welcome
from streams.sinks.topic import TopicSender
from streams.sinks.upkeep import PRUNED_AT_ONCE, escalate, loads, prune

ESCALATION_SECONDS: Final = 1.0
UPKEEP_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 20.0
"""For what is under way when it is told to stop; what is not answered then is sent again at the next start."""


def run_deliver(settings: DeliverySettings) -> int:
    """Runs until SIGTERM or SIGINT; returns 0 then, and 1 where it cannot go on.

    Raises StoreError where the store cannot be used, SettingsError for secrets that are none.
    """
    set_up_logs(settings.log_level)
    with lock_store(settings.store):
        return asyncio.run(_run(settings))


async def _run(settings: DeliverySettings) -> int:
    routes = routes_of(settings)
    meters = SinkMeters([one.name for one in settings.sinks])
    meters.build.info({"version": version("cmvigil")})
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stopping.set)
    woken = {one.name: asyncio.Event() for one in settings.sinks}

    def wake(taken: Taken) -> None:
        meters.count_taken(taken)
        for event in woken.values():
            event.set()

    def on_taken(taken: Taken) -> None:
        loop.call_soon_threadsafe(wake, taken)

    intake = Intake(settings, routes, on_taken)
    async with AsyncExitStack() as stack:
        db = open_store(settings.store)
        stack.callback(db.close)
        welcome(db, routes, wall())
        _warn_of_strangers(db, settings)
        desks = await _desks(settings, db, stack)
        if not await _listen(settings, intake, meters, db, stack):
            return 1
        logger.info("deliverer starts", extra={"port": settings.http_port, "count": len(desks)})
        work = [
            asyncio.create_task(attend(desk, db, woken[desk.name], stopping, meters), name=desk.name) for desk in desks
        ]
        work.append(asyncio.create_task(_escalate(settings, db, intake, woken, meters), name="escalation"))
        work.append(asyncio.create_task(_keep(settings, db), name="upkeep"))
        reading = _start_reading(settings, intake)
        status = await _until_stopped(work, reading, stopping)
        await _wind_up(work, reading, intake, stopping)
        logger.info("deliverer stops")
    logging.shutdown()
    return status


async def _desks(settings: DeliverySettings, db: sqlite3.Connection, stack: AsyncExitStack) -> list[Desk]:
    key = fingerprint_key(db)
    found = []
    for sink in settings.sinks:
        if isinstance(sink, FhirTopicSink):
            topic = TopicSender(settings, sink)
            stack.push_async_callback(topic.close)
            found.append(Desk(sink.name, sink.at_once, sink.longest_wait_seconds, topic.send))
            continue
        session = await stack.enter_async_context(open_session(sink))
        desk = Desk(sink.name, sink.at_once, sink.longest_wait_seconds, sender(sink, session, key, wall))
        if isinstance(sink, AlertmanagerSink):
            again = partial(resend, sink, session, key, wall)
            desk = desk._replace(resend=again, resend_seconds=sink.resend_seconds)
        found.append(desk)
    return found


async def _listen(
    settings: DeliverySettings, intake: Intake, meters: SinkMeters, db: sqlite3.Connection, stack: AsyncExitStack
) -> bool:
    def metrics() -> bytes:
        meters.ready.set(0 if not_ready(intake, settings.ready_lag) else 1)
        meters.lag.set(intake.lag or 0)
        meters.commits_fail.set(intake.commits_fail)
        return meters.page(db, wall())

    pages = own_pages(lambda: not_ready(intake, settings.ready_lag), metrics, settings.http_token())
    try:
        runner = await serve(pages, settings.http_host, settings.http_port)
    except OSError:
        logger.critical("deliverer ends", extra={"why": "http: cannot listen"})
        return False
    stack.push_async_callback(runner.cleanup)
    return True


def not_ready(intake: Intake, ready_lag: int) -> str | None:
    """Why a deliverer is not ready, or None if it is. Sinks that are away do not count: it is ready for them."""
    if not intake.reading or intake.lag is None:
        return "alert-log cannot be read"
    return "behind" if intake.lag > ready_lag else None


def _start_reading(settings: DeliverySettings, intake: Intake) -> "asyncio.Future[None]":
    """Starts the thread; the future has what it ended with."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end(how: Callable[[], None]) -> None:
        def once() -> None:
            if not ended.done():
                how()

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(once)

    def read() -> None:
        try:
            db = open_store(settings.store)
            try:
                intake.run(db)
            finally:
                db.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends
            end(partial(ended.set_exception, error))
        else:
            end(partial(ended.set_result, None))

    threading.Thread(target=read, name="intake", daemon=True).start()
    return ended


async def _escalate(
    settings: DeliverySettings,
    db: sqlite3.Connection,
    intake: Intake,
    woken: Mapping[str, asyncio.Event],
    meters: SinkMeters,
) -> None:
    while True:
        if settings.escalation and not intake.behind():
            for sink, count in escalate(db, settings.escalation, wall()).items():
                meters.escalations.labels(sink).inc(count)
                logger.warning("nobody has acted; alerts go on", extra={"sink": sink, "count": count})
                woken[sink].set()
        await asyncio.sleep(ESCALATION_SECONDS)


async def _keep(settings: DeliverySettings, db: sqlite3.Connection) -> None:
    while True:
        more = prune(db, wall() - round(settings.keep_days * DAY)) == PRUNED_AT_ONCE
        await asyncio.sleep(0 if more else UPKEEP_SECONDS)


async def _until_stopped(
    work: list["asyncio.Task[None]"], reading: "asyncio.Future[None]", stopping: asyncio.Event
) -> int:
    """Waits for the signal, or for what may not end to end: 1 then."""
    stopped = asyncio.ensure_future(stopping.wait())
    ends: list[asyncio.Future[Any]] = [*work, reading, stopped]
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failed = [error for one in done if (error := one.exception()) is not None]
    for error in failed:
        logger.critical("deliverer ends", extra={"why": kind_and_place(error)})
    stopped.cancel()
    return 1 if failed else 0


async def _wind_up(
    work: list["asyncio.Task[None]"], reading: "asyncio.Future[None]", intake: Intake, stopping: asyncio.Event
) -> None:
    stopping.set()
    intake.stopping.set()
    for one in work:
        if one.get_name() in ("escalation", "upkeep"):
            one.cancel()
    _, late = await asyncio.wait((*work, reading), timeout=GRACE_SECONDS)
    for task in work:
        if task in late:
            task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


def _warn_of_strangers(db: sqlite3.Connection, settings: DeliverySettings) -> None:
    names = {one.name for one in settings.sinks}
    for sink, load in loads(db, names).items():
        if sink not in names:
            logger.error(
                "changes wait for a sink that is not set; set it again, or --drop-sink it",
                extra={"sink": sink, "count": load.pending + load.refused},
            )
