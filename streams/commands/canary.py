"""`cmvigil canary`: sends a made-up patient into the topics, and watches for its alerts."""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from monitor.knowledge import KnowledgeError
from monitor.plan import Plan
from streams.commands.common import FAILED, OK, Unusable, refuse
from streams.knowledge_files import read_plan
from streams.live.canaries import PREFIX
from streams.live.canary import CanaryError, CanaryMeters, course_of, fly
from streams.live.logs import logger, set_up_logs
from streams.live.pages import own_pages, serve
from streams.live.settings import Settings, SettingsError
from streams.live.topics import TopicsError, check
from streams.logs import UnusableInput

AGAIN_SECONDS = 60.0
"""After a round that failed the next comes sooner."""
GRACE_SECONDS = 25.0
"""How long a round may need to end, once it is told to."""


def run_canary(settings: Settings, *, once: bool) -> int:
    """Rounds until it is told to stop; with `once` one, and status 1 where an alert did not come on some partition."""
    try:
        if settings.clock != "wall":
            raise Unusable("clock: the canary lives by the wall's clock")  # noqa: TRY301 - refused like other arguments
        plan = read_plan(list(settings.knowledge))
        course_of(plan, PREFIX, time.time_ns() // 1000)
        token = settings.http_token()
        wrong = check(settings)
        if wrong:
            raise Unusable("\n".join(wrong))  # noqa: TRY301
        meters = CanaryMeters(settings.partitions, settings.canary_seconds)
        if once:
            return _once(settings, plan, meters)
    except (UnusableInput, Unusable, KnowledgeError, SettingsError, TopicsError, CanaryError) as error:
        return refuse(error)
    set_up_logs(settings.log_level)
    with asyncio.Runner() as runner:
        return runner.run(_rounds(settings, plan, meters, token))


def _once(settings: Settings, plan: Plan, meters: CanaryMeters) -> int:
    done = fly(settings, plan, meters, settings.canary_wait_seconds)
    for number in range(settings.partitions):
        print(f"partition {number}: {'alerts came and closed' if number in done else 'no alert in time'}")
    return OK if len(done) == settings.partitions else FAILED


async def _rounds(settings: Settings, plan: Plan, meters: CanaryMeters, token: str | None) -> int:
    stopping, told = asyncio.Event(), threading.Event()
    good = False

    def stop() -> None:
        stopping.set()
        told.set()
        # A round takes back its events before it ends; where the broker does not answer, that would last minutes.
        asyncio.get_running_loop().call_later(GRACE_SECONDS, os._exit, FAILED)

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop)
    pages = own_pages(lambda: None if good else "the last round failed", meters.page, token)
    try:
        runner = await serve(pages, settings.http_host, settings.canary_port)
    except OSError:
        print("cmvigil: canary_port: cannot listen", file=sys.stderr)
        return FAILED
    logger.info("canary starts", extra={"port": settings.canary_port, "ruleset": plan.ruleset})
    while not stopping.is_set():
        started = time.monotonic()
        try:
            done = await asyncio.to_thread(
                fly, settings, plan, meters, settings.canary_wait_seconds, lambda: not told.is_set()
            )
            good = len(done) == settings.partitions
            if not good and not stopping.is_set():
                logger.error("canary: no alert in time", extra={"partitions": settings.partitions - len(done)})
        except (TopicsError, CanaryError) as error:
            good = False
            logger.error("canary: round failed", extra={"why": str(error)})
        wait = settings.canary_seconds if good else min(AGAIN_SECONDS, settings.canary_seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), max(0.0, started + wait - time.monotonic()))
    await runner.cleanup()
    return OK
