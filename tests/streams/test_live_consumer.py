"""Faust's consumer, as it is mended (streams/live/consumer.py)."""

import asyncio
from types import SimpleNamespace

import pytest
from faust.transport.drivers import aiokafka
from faust.types import TP

from streams.live.consumer import Consumer

NEW, OLD, CHANGELOG = TP("lab-results", 0), TP("lab-results", 1), TP("patient-state-changelog", 0)


@pytest.fixture
def consumer(monkeypatch):
    """A consumer with no broker: `sought` notes where it goes, `committed` what the broker would say."""
    one = Consumer.__new__(Consumer)
    one.reading, one._fetching = 0, None
    one.app = SimpleNamespace(in_recovery=False)
    one.recovered = []
    one.transport = SimpleNamespace(recover=one.recovered.extend)
    one._read_offset = {NEW: None, OLD: None}
    one.sought, one.committed = {}, {NEW: None, OLD: 700}
    one._stopped, one._crashed = asyncio.Event(), asyncio.Event()
    one.can_resume_flow, one.suspend_flow = asyncio.Event(), asyncio.Event()
    one.resume_flow()

    async def perform_seek(self):
        self._read_offset.update(self.committed)

    async def earliest_offsets(*tps):
        return dict.fromkeys(tps, 12)

    async def seek(tp, offset):
        one.sought[tp] = offset

    monkeypatch.setattr(aiokafka.Consumer, "perform_seek", perform_seek)
    monkeypatch.setattr(one, "earliest_offsets", earliest_offsets, raising=False)
    monkeypatch.setattr(one, "seek", seek, raising=False)
    monkeypatch.setattr(one, "assignment", lambda: {NEW, OLD}, raising=False)
    monkeypatch.setattr(one, "_is_changelog_tp", lambda tp: False, raising=False)
    return one


def test_what_was_never_committed_is_read_from_its_beginning(consumer):
    asyncio.run(consumer.perform_seek())
    assert consumer.sought == {NEW: 12}


def test_a_partition_committed_at_its_very_beginning_is_read_from_there(consumer):
    consumer.committed = {NEW: 0, OLD: 700}
    asyncio.run(consumer.perform_seek())
    assert consumer.sought == {NEW: 12}


def test_seeking_waits_until_what_was_fetched_before_is_handed_on_and_marks_it_as_old(consumer, monkeypatch):
    handed = []

    async def fetched(self, active_partitions, _seconds):
        return {}

    async def getmany(self, seconds):
        await self._getmany(None, seconds)
        for i in range(5):
            if not self.flow_active:
                return
            yield NEW, self._to_message(NEW, i)

    monkeypatch.setattr(aiokafka.Consumer, "getmany", getmany)
    monkeypatch.setattr(aiokafka.Consumer, "_getmany", fetched)
    monkeypatch.setattr(aiokafka.Consumer, "_to_message", lambda self, tp, record: SimpleNamespace(offset=record))

    async def drain():
        async for _, message in consumer.getmany(1.0):
            handed.append((message.offset, message.reading))
            await asyncio.sleep(0.02)

    async def both():
        draining = asyncio.ensure_future(drain())
        await asyncio.sleep(0.03)
        await consumer.perform_seek()
        before = len(handed)
        await draining
        assert len(handed) == before
        assert before < 5
        consumer.resume_flow()
        await drain()
        assert [offset for offset, reading in handed if reading == 1] == [0, 1, 2, 3, 4]

    asyncio.run(both())


@pytest.mark.parametrize("in_recovery", [True, False])
def test_in_recovery_the_changelog_is_taken_at_once_and_faust_hears_of_its_last_record(
    consumer, monkeypatch, in_recovery
):
    async def fetched(self, active_partitions, _seconds):
        return {CHANGELOG: [1, 2, 3], NEW: [4, 5]}

    monkeypatch.setattr(aiokafka.Consumer, "_getmany", fetched)
    monkeypatch.setattr(consumer, "_is_changelog_tp", lambda tp: tp == CHANGELOG, raising=False)
    consumer.app.in_recovery = in_recovery
    found = asyncio.run(consumer._getmany(None, 1.0))
    assert found == {CHANGELOG: [3] if in_recovery else [1, 2, 3], NEW: [4, 5]}
    assert consumer.recovered == ([1, 2, 3] if in_recovery else [])


def test_a_message_for_which_there_is_room_is_handed_on_at_once(consumer):
    async def handing_on():
        return "taken"

    async def first():
        waiting = asyncio.Event()
        before = len(asyncio.all_tasks())
        found = await consumer.wait_first(handing_on(), waiting.wait())
        assert len(asyncio.all_tasks()) == before
        return found

    assert asyncio.run(first()).results == ["taken"]


def test_a_message_that_must_wait_goes_on_when_there_is_room(consumer):
    async def first():
        room, never = asyncio.Event(), asyncio.Event()

        async def handing_on():
            await room.wait()
            await asyncio.sleep(0)
            return "taken"

        asyncio.get_running_loop().call_later(0.01, room.set)
        return await consumer.wait_first(handing_on(), never.wait())

    consumer.loop = None
    assert asyncio.run(first()).results == ["taken"]


def test_a_message_that_waits_is_let_go_when_the_flow_is_suspended(consumer):
    let_go = []

    async def first():
        room, suspended = asyncio.Event(), asyncio.Event()

        async def handing_on():
            try:
                await room.wait()
            except asyncio.CancelledError:
                let_go.append(True)
                raise

        asyncio.get_running_loop().call_later(0.01, suspended.set)
        await consumer.wait_first(handing_on(), suspended.wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    consumer.loop = None
    asyncio.run(first())
    assert let_go == [True]


def test_what_fails_at_once_is_raised(consumer):
    async def handing_on():
        raise ValueError

    async def first():
        never = asyncio.Event()
        waiting = never.wait()
        try:
            await consumer.wait_first(handing_on(), waiting)
        finally:
            waiting.close()

    with pytest.raises(ValueError):
        asyncio.run(first())
