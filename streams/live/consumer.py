"""Faust's consumer of Kafka, without what it spends on every message: four tasks, to wait for what need not wait.

Measured: docs/live.md, "Where the time goes".
"""

from collections.abc import Awaitable, Coroutine
from inspect import iscoroutine
from types import coroutine
from typing import Any

import faust
from faust.transport.drivers import aiokafka
from mode.services import WaitResults


@coroutine
def _resumed(work: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    """Goes on with a coroutine that has begun to wait for something."""
    while True:
        try:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001 - what is thrown in is the coroutine's
                waits_for = work.throw(error)
            else:
                waits_for = work.send(value)
        except StopIteration as end:
            return end.value


async def _awaited(resumed: Awaitable[Any]) -> Any:
    return await resumed


class Consumer(aiokafka.Consumer):
    """Hands a message to the stream at once where there is room; else it waits as Faust does."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - Faust's
        """The first of several things that is done; the first named, if that needs no waiting."""
        first, *others = coros
        if not iscoroutine(first) or timeout is not None:
            return await super().wait_first(*coros, timeout=timeout)
        try:
            waits_for = first.send(None)
        except StopIteration as end:
            for other in others:
                if iscoroutine(other):
                    other.close()
            return WaitResults([first], [end.value], stopped=False)
        return await super().wait_first(_awaited(_resumed(first, waits_for)), *others)


class Transport(aiokafka.Transport):
    """Kafka by aiokafka, with that consumer."""

    Consumer = Consumer


class Unmeasured(faust.Monitor):
    """Faust's sensor, without its counts of every message: nobody reads them (streams/live/metrics.py has ours)."""

    def on_message_in(self, *_: Any) -> None:
        """Counts nothing."""

    def on_stream_event_in(self, *_: Any) -> None:
        """Counts nothing."""

    def on_stream_event_out(self, *_: Any) -> None:
        """Counts nothing."""
