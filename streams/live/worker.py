"""The live monitor: one Faust agent over all inputs, one keyed table of state bytes, and what makes them safe.

A message is acknowledged when the state that holds it is durable; alerts are sent when the state that owes them is; and
whatever cannot be written ends the process. The engine (streams/live/engine.py) knows what is to be written.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple

import faust
import msgspec
from aiokafka.errors import IllegalStateError
from faust.types import TP

from monitor.plan import Plan
from monitor.times import ALWAYS, Time, parse_time
from streams.codes import Codes
from streams.live.acks import Acks
from streams.live.app import open_app
from streams.live.canaries import is_canary
from streams.live.consumer import Transport
from streams.live.ending import die
from streams.live.engine import Engine, alert_id_of
from streams.live.logs import logger
from streams.live.messages import Packed, Refused, Tombstone, dead_letter
from streams.live.metrics import Meters
from streams.live.settings import Settings
from streams.live.table import StateTable
from streams.live.topics import INPUTS

TABLE: Final = "patient-state"
LINGER_SECONDS: Final = 0.02
"""How long states wait for more to come before they are written."""
BUSY: Final = 50
"""Messages in one linger that tell a backlog: then states wait longer, and one write serves more messages."""
BUSY_LINGER_SECONDS: Final = 0.5
MOST_UNWRITTEN: Final = 8_000
MOST_IN_FLIGHT: Final = 4_000
_EVENTS_BETWEEN_BREATHS: Final = 200
_STATES_BETWEEN_BREATHS: Final = 100

Hook = Callable[[str], None]
"""Called at named instants; the chaos tests kill the process there."""


class _Outgoing(NamedTuple):
    key: bytes
    change: bytes


class _Burial(NamedTuple):
    """Alerts of a forgotten patient, to be taken out of the compacted topic after all that was said of them.

    `told` goes to `alert-log` before, likewise behind all that was said: there it ends the patient's life.
    """

    key: bytes
    told: bytes | None
    alerts: list[str]
    done: Callable[[], None]


def no_hook(_instant: str) -> None:
    """Nothing happens at any instant."""


def wall() -> Time:
    """The time of day."""
    return time.time_ns() // 1000


class Monitor:
    """Drives the engine from a Faust app, and keeps its promises."""

    def __init__(self, app: faust.App, settings: Settings, plan: Plan, codes: Codes, hook: Hook = no_hook) -> None:
        self.app = app
        self.settings = settings
        self.meters = Meters(settings.override_reasons)
        self.hook = hook
        self.table = StateTable(
            app, name=TABLE, key_type=bytes, value_type=bytes, partitions=settings.partitions, recovery_buffer_size=1000
        )
        app.tables.add(self.table)
        self.table.recovered = self._assigned
        self.inputs = {settings.topic(name): name for name in INPUTS}
        self.engine = Engine(
            plan, codes, self.table.data.data, self.inputs, mode=settings.clock, wall=wall, meters=self.meters
        )
        self.acks: Acks[Any] = Acks(self._acknowledge)
        self.outgoing: deque[_Outgoing | _Burial] = deque()
        self.in_flight = 0
        self.beat = time.monotonic()
        self.generation = 0
        self.assigned = False
        self.finishing = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._send = asyncio.Event()
        self._ends: dict[TP, int] = {}
        self._seen: dict[TP, int] = {}
        self._last_take = 0.0
        self._changelog = self.table.changelog_topic.get_topic_name()
        self._alerts = settings.topic("alerts")
        self._log = settings.topic("alert-log")
        self._letters = settings.topic("dead-letters")
        self._unsent: dict[_Outgoing, float] = {}

    # Partitions come and go --------------------------------------------------------------------------------------

    async def _assigned(self, partitions: set[int]) -> None:
        """Takes over what was recovered. All that was not durable before is dropped, and comes again."""
        self._forget()
        if self.finishing:
            return
        self.meters.rebalances.inc()
        consumer = self.app.consumer
        tps = {TP(topic, number) for topic in self.inputs for number in partitions}
        # Together: each waits for its turn in the consumer's thread, behind a fetch that may take a second.
        ends, committed, first = await asyncio.gather(
            consumer.highwaters(*tps),
            consumer.seek_to_committed(),  # type: ignore[attr-defined] # of every consumer that Faust has
            consumer.earliest_offsets(*tps),
        )
        keys: dict[int, list[bytes]] = {number: [] for number in partitions}
        for key in list(self.table.data):
            number = self.table.partition_of.get(key, -1)
            if number in keys:
                keys[number].append(key)
            else:
                del self.table.data.data[key]
                self.table.partition_of.pop(key, None)
        for tp in tps:
            start, begin = committed.get(tp), first.get(tp) or 0
            if start is not None and 0 <= start < begin:
                self._skipped(tp, begin - start)
            self._seen[tp] = begin if start is None else max(start, begin)
            self._ends[tp] = ends.get(tp) or 0
        for number in sorted(partitions):
            behind = [tp.topic for tp in tps if tp.partition == number and self._seen[tp] < self._ends[tp]]
            self.engine.assign(number, keys[number], behind)
            self.table.ownership.take_over(number, wall())
        self.table.ownership.keep(partitions)
        for key, number in self.table.ownership.overwritten.items():
            if key in self.table.data:
                self.engine.write_anew(number, key)
        self.assigned = True
        # The clock's task starts only now, if this is the first time.
        self.beat = time.monotonic()
        self._measure()
        self.hook("assigned")
        self._wake.set()
        logger.info("partitions assigned", extra={"partitions": len(partitions), "states": len(self.table.data)})

    def _skipped(self, tp: TP, count: int) -> None:
        """Says aloud what nobody can mend here: the broker has deleted messages that were never taken."""
        self.meters.skipped.labels(self.inputs.get(tp.topic, tp.topic)).inc(count)
        logger.error(
            "messages deleted before they were read",
            extra={"topic": tp.topic, "partition": tp.partition, "messages": count},
        )

    async def revoked(self) -> None:
        """Called when a rebalance begins, before any other worker takes over: nothing of ours may arrive after that."""
        self.hook("revoked")
        self._forget()
        started = time.monotonic()
        while self.in_flight:
            if time.monotonic() - started > self.settings.session_timeout_seconds:
                die("writes stayed without an answer through a rebalance")
            await asyncio.sleep(0.01)

    async def finish(self) -> None:
        """Takes nothing more, and waits until all that was taken is written, sent and committed."""
        self.finishing = True
        consumer = self.app.consumer
        consumer.stop_flow()
        while self.assigned and self.owes():  # noqa: ASYNC110 - many things end it
            await asyncio.sleep(0.05)
        # A commit that is under way may lack what was acknowledged after it began: the first waits for it alone.
        await consumer.commit()
        await consumer.commit()
        await self.revoked()

    def _forget(self) -> None:
        self.generation += 1
        self.assigned = False
        self.engine.forget()
        self.acks.forget()
        self.outgoing.clear()
        self._unsent.clear()
        self._seen.clear()
        self._ends.clear()
        # Of what is another's now nothing may go on standing here.
        self.meters.lag.clear()
        self.meters.watermark_age.clear()
        # The agent may be waiting for room that nothing else would make.
        self._room.set()

    # Messages come in --------------------------------------------------------------------------------------------

    async def consume(self, stream: Any) -> None:
        """The agent. It yields nothing and waits for no broker but when too much is unwritten."""
        try:
            count = 0
            async for event in stream.noack().events():
                self.take(event)
                count += 1
                if not count % _EVENTS_BETWEEN_BREATHS:
                    await asyncio.sleep(0)
                while len(self.acks) > MOST_UNWRITTEN or self.in_flight > MOST_IN_FLIGHT:
                    self._wake.set()
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge the message and go on
            die("message", error)

    def take(self, event: Any) -> None:
        """Takes one message into the engine."""
        message = event.message
        partition = message.partition
        if self.finishing or not self.assigned or partition not in self.engine.partitions:
            return
        if message.reading != self.app.consumer.reading:  # type: ignore[attr-defined] # streams/live/consumer.py
            return
        started = time.perf_counter()
        tp = TP(message.topic, partition)
        self._seen[tp] = message.offset + 1
        self._last_take = started
        if self._seen[tp] >= self._ends.get(tp, 0):
            self.engine.caught_up(partition, message.topic)
        step = self.engine.take(partition, message.topic, message.key, message.value)
        letters = len(step.refused) + len(step.buried or ()) + (step.told is not None)
        done = self.acks.taken((message.topic, partition), event, step.keys, letters)
        if step.buried is not None:
            self._erase(partition, message.key, step.told, step.buried, done)
        elif step.told is not None:
            self.outgoing.append(_Burial(message.key, step.told, [], done))
            self._send.set()
        for one in step.refused:
            self.meters.refused(one.reason)
            self._dead_letter(
                one, f"{self.inputs.get(message.topic, message.topic)}/{partition}/{message.offset}", done
            )
        if self.engine.dirty:
            self._wake.set()

    def _erase(
        self, partition: int, key: bytes, told: bytes | None, alerts: list[str], done: Callable[[], None]
    ) -> None:
        """First the alerts, then the state that knows of them: a crash between comes back to both."""
        mine = [one for one in self.outgoing if isinstance(one, _Outgoing) and one.key == key]
        for one in mine:
            self.outgoing.remove(one)
            self._unsent.pop(one, None)
        waiting, generation = [len(alerts) + (told is not None)], self.generation

        def buried() -> None:
            done()
            waiting[0] -= 1
            if not waiting[0] and generation == self.generation:
                self.engine.erased(partition, key)
                self._wake.set()

        if waiting[0]:
            self.outgoing.append(_Burial(key, told, alerts, buried))
            self._send.set()
        else:
            self.engine.erased(partition, key)

    def _dead_letter(self, one: Refused, source: str, done: Callable[[], None]) -> None:
        self._spawn(self._put(self._letters, None, dead_letter(one, source), None, done))

    def _acknowledge(self, event: Any) -> None:
        if event.message.generation_id == self.app.consumer_generation_id:
            event.ack()

    # States go out -----------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Writes the states that have changed, a little after the first of them has."""
        while not self.app.should_stop:
            await self._wake.wait()
            until = time.monotonic() + BUSY_LINGER_SECONDS
            await asyncio.sleep(LINGER_SECONDS)
            while BUSY < len(self.acks) < MOST_UNWRITTEN and time.monotonic() < until:  # noqa: ASYNC110 - a linger
                await asyncio.sleep(LINGER_SECONDS)
            self._wake.clear()
            await self.flush()
            self._room.set()

    async def flush(self) -> None:
        """Hands every changed state to the producer."""
        generation = self.generation
        written = 0
        while self.engine.dirty and self.assigned:
            self._not_late()
            key, number = next(iter(self.engine.dirty.items()))
            packed = self.engine.pack(key)
            if packed.state is None:
                self.table.partition_of.pop(key, None)
            else:
                self.table.partition_of[key] = number
            durable = partial(self._durable, key, packed, self.acks.writing(key), generation)
            self.hook("before-changelog")
            await self._put(self._changelog, key, packed.state, number, durable, self.table.ownership.headers(number))
            if generation != self.generation:
                return
            written += 1
            if not written % _STATES_BETWEEN_BREATHS:
                await asyncio.sleep(0)
        self.engine.trim()

    def _durable(self, key: bytes, packed: Packed, done: Callable[[], None], generation: int) -> None:
        if generation != self.generation:
            return
        self._not_late()
        self.hook("changelog-acknowledged")
        done()
        if packed.sends:
            for change in packed.sends:
                one = _Outgoing(key, change)
                self.outgoing.append(one)
                self._unsent[one] = time.monotonic()
            self._send.set()

    async def _put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        done: Callable[[], None],
        headers: Any = None,
    ) -> None:
        """Hands a record to the producer; `done` is called when the broker has it. Otherwise the process ends."""
        self.in_flight += 1
        try:
            sent: Any = await self.app.producer.send(topic, key, value, partition, None, headers)
        except Exception as error:  # noqa: BLE001
            die(f"write to {topic}", error)
        sent.add_done_callback(partial(self._acknowledged, topic, done))

    def _acknowledged(self, topic: str, done: Callable[[], None], sent: Any) -> None:
        self.in_flight -= 1
        if sent.cancelled() or sent.exception() is not None:
            die(f"write to {topic}", None if sent.cancelled() else sent.exception())
        if topic == self._changelog and not self.table.ownership.written(sent.result()):
            # A worker that was paused, or the network. Whoever recovers passes over it, and writes anew what it hides.
            die("another has written to the changelog of a partition of ours")
        done()
        self._room.set()

    # Alerts go out -----------------------------------------------------------------------------------------------

    async def send(self) -> None:
        """Sends the changes whose states are durable, in order."""
        while not self.app.should_stop:
            await self._send.wait()
            self._send.clear()
            while self.outgoing:
                one = self.outgoing.popleft()
                if isinstance(one, _Burial):
                    self.hook("before-burial")
                    if one.told is not None:
                        await self._put(self._log, one.key, one.told, None, one.done)
                    for alert_id in one.alerts:
                        await self._put(self._alerts, alert_id.encode(), None, None, one.done)
                    continue
                key, change = one
                generation = self.generation
                self.hook("before-alert")
                both = [2]
                done = partial(self._sent, key, change, both, generation)
                await self._put(self._log, key, change, None, done)
                await self._put(self._alerts, alert_id_of(change).encode(), change, None, done)

    def _sent(self, key: bytes, change: bytes, both: list[int], generation: int) -> None:
        both[0] -= 1
        if both[0] or generation != self.generation:
            return
        self.hook("alert-acknowledged")
        if self.settings.clock == "wall" and not is_canary(key):
            self.meters.detection.observe(max(0.0, time.time() - _emitted(change)))
        self._unsent.pop(_Outgoing(key, change), None)
        self.engine.sent(key, change)
        self._wake.set()

    # Time --------------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Runs the clock of every partition, and watches over the process itself."""
        while not self.app.should_stop:
            await asyncio.sleep(self.settings.tick_seconds)
            self._not_late()
            self.beat = time.monotonic()
            if self.assigned and not self.app.rebalancing:
                await self._catch_up()
                for number in self.engine.partitions:
                    self.hook("tick")
                    for gone in self.engine.tick(number):
                        self._spawn(self._bury(gone))
                if self.engine.dirty:
                    self._wake.set()
            self._measure()

    def _not_late(self) -> None:
        if time.monotonic() - self.beat > self.settings.session_timeout_seconds:
            die("stood still for longer than the session timeout")

    async def _bury(self, gone: Tombstone) -> None:
        generation = self.generation

        def done() -> None:
            if generation == self.generation:
                self.engine.let_go(gone)
                self._wake.set()

        await self._put(self._alerts, gone.alert_id.encode(), None, None, done)

    async def _catch_up(self) -> None:
        """A topic may end in records that no consumer sees; having fetched past them is having caught up."""
        generation = self.generation
        for tp, end in list(self._ends.items()):
            if self._seen.get(tp, end) < end and time.perf_counter() - self._last_take > 2:
                try:
                    position = await self.app.consumer.position(tp)
                except IllegalStateError:  # a rebalance takes it away just now
                    return
                if generation != self.generation:
                    return
                if position is not None and position >= end and not self.acks:
                    self._seen[tp] = end
                    self.engine.caught_up(tp.partition, tp.topic)

    def _measure(self) -> None:
        meters, now = self.meters, wall()
        meters.patients.set(len(self.engine))
        meters.outbox_depth.set(self.engine.outbox_depth())
        meters.outbox_age.set(time.monotonic() - next(iter(self._unsent.values()), time.monotonic()))
        meters.unacknowledged_age.set(self.acks.oldest())
        meters.recovering.set(0 if self.assigned else 1)
        for number in self.engine.partitions:
            clock = self.engine.clock(number)
            if clock > ALWAYS:
                meters.watermark_age.labels(number).set(max(0.0, (now - clock) / 1e6))
        for tp, seen in self._seen.items():
            meters.lag.labels(self.inputs.get(tp.topic, tp.topic), tp.partition).set(max(0, self._end(tp) - seen))

    def owes(self) -> bool:
        """Whether anything is unwritten, unsent or without an answer."""
        return bool(self.engine.dirty or self.in_flight or self.outgoing or self.acks)

    def lag(self) -> int:
        """Messages that are known and not yet taken."""
        return sum(max(0, self._end(tp) - seen) for tp, seen in self._seen.items())

    def _end(self, tp: TP) -> int:
        """Where a partition ends, as far as was heard; of one that a rebalance takes away just now, when it came."""
        try:
            heard = self.app.consumer.highwater(tp) or 0
        except AssertionError:  # aiokafka's: it is not assigned
            heard = 0
        return max(heard, self._ends.get(tp, 0))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        _tasks.add(task)
        task.add_done_callback(_ended)


_tasks: Final[set[Any]] = set()


def _ended(task: Any) -> None:
    _tasks.discard(task)
    if not task.cancelled() and task.exception() is not None:
        die("task", task.exception())


class _When(msgspec.Struct):
    emitted_at: str


def _emitted(change: bytes) -> float:
    return parse_time(msgspec.json.decode(change, type=_When).emitted_at) / 1e6


def build(settings: Settings, plan: Plan, codes: Codes, hook: Hook = no_hook) -> Monitor:
    """The Faust app of one worker, ready to be started."""
    app = open_app(settings)
    transport = app.transport = Transport(app.conf.broker_consumer, app)
    monitor = Monitor(app, settings, plan, codes, hook)
    transport.recover = monitor.table.recover
    topic = app.topic(*monitor.inputs, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name="monitor")(monitor.consume)
    for task in (monitor.write, monitor.send, monitor.tick):
        app.task(_guarded(task))
    app.on_partitions_revoked.connect(_on_revoked(monitor), weak=False)
    return monitor


def _guarded(work: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run() -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001
            die(work.__name__, error)

    return run


def _on_revoked(monitor: Monitor) -> Callable[..., Awaitable[None]]:
    async def revoked(*_args: Any, **_kwargs: Any) -> None:
        await monitor.revoked()

    return revoked
