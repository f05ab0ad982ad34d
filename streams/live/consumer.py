"""Faust's consumer of Kafka, mended in three ways.

Without what it spends on every message: four tasks, to wait for what need not wait (docs/live.md, "Where the time
goes"). And without a way to lose messages: during recovery it may fetch from inputs whose messages nobody takes yet,
and goes back afterwards only where an offset was committed. Here every partition is read again from where it is to be
read, after all that was fetched before is out of the way, and what was fetched before is known by its `reading`. And
recovery does not pass through Faust's queues.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from inspect import iscoroutine
from types import coroutine
from typing import Any, Final

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


_LONGEST_FETCH: Final = 0.2
"""Seconds that a fetch may wait for messages: a rebalance waits for it."""


class Consumer(aiokafka.Consumer):
    """Reads every message that is not committed, and hands it to the stream at once where there is room."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reading = 0
        self._fetching: asyncio.Task[Any] | None = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109 - Faust's
        """The next messages; while they are fetched and handed on, `perform_seek` waits."""
        try:
            async for one in super().getmany(min(timeout, _LONGEST_FETCH)):
                yield one
        finally:
            self._fetching = None

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        self._fetching = asyncio.current_task()
        found = dict(await super()._getmany(active_partitions, timeout))
        if self.app.in_recovery:
            for tp, records in found.items():
                if records and self._is_changelog_tp(tp):
                    self.transport.recover(records)  # type: ignore[attr-defined]
                    found[tp] = records[-1:]
        return found

    def _to_message(self, tp: Any, record: Any) -> Any:
        message = super()._to_message(tp, record)
        message.reading = self.reading  # type: ignore[attr-defined]
        return message

    async def perform_seek(self) -> None:
        """Goes to where each partition is to be read from: its committed offset, or else its beginning.

        Whoever asks for it lets the flow go on afterwards.
        """
        self.stop_flow()
        while self._fetching not in (None, asyncio.current_task()):  # noqa: ASYNC110 - seldom, and soon over
            await asyncio.sleep(0.01)
        self.reading += 1
        await super().perform_seek()
        new = [tp for tp in self.assignment() if not self._is_changelog_tp(tp) and not self._read_offset[tp]]
        if new:
            for tp, offset in (await self.earliest_offsets(*new)).items():
                await self.seek(tp, offset or 0)

    async def leave(self) -> None:
        """Leaves the group at once, so that others need not wait for the session's end. Nothing can be read then."""
        if self._thread._consumer is not None:  # noqa: SLF001 - Faust leaves only by stopping all that it runs
            await self._thread.call_thread(self._thread._consumer.stop)  # noqa: SLF001

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
            gone = self._stopped.is_set() or self._crashed.is_set()
            return WaitResults([], [], stopped=True) if gone else WaitResults([first], [end.value], stopped=False)
        return await super().wait_first(_awaited(_resumed(first, waits_for)), *others)


class Transport(aiokafka.Transport):
    """Kafka by aiokafka, with that consumer.

    `recover` takes the changelog's records in recovery; of each fetch Faust then hears of the last one alone.
    """

    Consumer = Consumer
    recover: Callable[[Iterable[Any]], None]
