"""Runs one worker to its end."""

import asyncio
import gc
import os
import signal
from contextlib import suppress
from importlib.metadata import version
from typing import Final, NoReturn

from monitor.plan import Plan
from streams.codes import Codes
from streams.live.ending import die
from streams.live.health import pages
from streams.live.logs import logger, set_up_logs
from streams.live.pages import serve
from streams.live.settings import Settings
from streams.live.worker import Hook, Monitor, build, no_hook

GRACE_SECONDS: Final = 20.0
"""How long what was taken may need to be written and committed."""
LEAVE_SECONDS: Final = 5.0


def run_worker(settings: Settings, plan: Plan, codes: Codes, hook: Hook = no_hook) -> NoReturn:
    """Runs until SIGTERM or SIGINT, and ends the process: with 0 then, with 1 by whatever it cannot survive."""
    set_up_logs(settings.log_level)
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_run(settings, plan, codes, hook))


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - a worker without it is slower, not wrong
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _run(settings: Settings, plan: Plan, codes: Codes, hook: Hook) -> NoReturn:
    monitor = build(settings, plan, codes, hook)
    set_up_logs(settings.log_level)
    monitor.meters.build.info({"version": version("cmvigil"), "ruleset": plan.ruleset})
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stopping.set)
    try:
        await serve(pages(monitor, settings.http_token()), settings.http_host, settings.http_port)
    except OSError:
        die("http: cannot listen")
    # What is there now stays; and patients are many objects that form no cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    logger.info("worker starts", extra={"port": settings.http_port, "ruleset": plan.ruleset})
    starting = asyncio.ensure_future(monitor.app.start())
    watching = asyncio.ensure_future(_watch(monitor, starting))
    await stopping.wait()
    watching.cancel()
    logger.info("worker stops")
    await _stop(monitor)


async def _watch(monitor: Monitor, starting: "asyncio.Future[None]") -> None:
    """Ends the process where Faust could not start, has crashed or has stopped by itself."""
    app = monitor.app
    while True:
        if starting.done() and (error := starting.exception()) is not None:
            die("start", error)
        if app.crashed:
            die(f"faust: {type(app._crash_reason).__name__}")  # noqa: SLF001 - Faust says it nowhere else
        if app.should_stop:
            die("faust: stopped by itself")
        await asyncio.sleep(0.2)


async def _stop(monitor: Monitor) -> NoReturn:
    """Lets the monitor finish, leaves the group, and ends the process.

    Faust's own way of stopping waits for its threads, which may wait for a broker that does not answer, or for this
    loop, which then stands still: for ever. What is durable and committed needs none of it.
    """
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await monitor.finish()
    except Exception as error:  # noqa: BLE001 - left alone it would end in waiting for Faust's threads
        die("stopped before all was written and committed; it is taken again", error)
    with suppress(Exception):
        async with asyncio.timeout(LEAVE_SECONDS):
            # Otherwise the others wait for the session's end before they take over.
            await monitor.app.consumer.leave()  # type: ignore[attr-defined] # streams/live/consumer.py
    os._exit(0)
