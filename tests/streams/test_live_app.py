"""The Faust app of a worker."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.codes import NO_CODES
from streams.knowledge_files import read_plan
from streams.live.settings import Settings
from streams.live.worker import build


def test_a_worker_makes_no_directories_so_its_root_may_be_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = build(Settings(), read_plan([]), NO_CODES).app
    app._create_directories()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def monitor():
    return build(Settings(), read_plan([]), NO_CODES)


def test_a_partition_taken_away_ends_where_it_did_when_it_came(monitor, monkeypatch):
    here, gone = TP("lab-results", 0), TP("lab-results", 1)

    def highwater(tp):
        assert tp == here, "Partition is not assigned"
        return 9

    monkeypatch.setattr(type(monitor.app), "consumer", SimpleNamespace(highwater=highwater))
    monitor._ends |= {here: 7, gone: 7}
    monitor._seen |= {here: 4, gone: 4}
    assert monitor.lag() == (9 - 4) + (7 - 4)
    monitor._measure()
    lag = monitor.meters.lag
    assert [lag.labels("lab-results", number)._value.get() for number in (0, 1)] == [5, 3]


def test_what_a_rebalance_takes_away_stands_in_no_gauge_any_more(monitor, monkeypatch):
    monkeypatch.setattr(type(monitor.app), "consumer", SimpleNamespace(highwater=lambda _tp: 20_000))
    monitor.engine.assign(0, [], [])
    monitor._seen[TP("lab-results", 0)] = 4
    monitor._measure()
    page = monitor.meters.page().decode()
    assert "cmvigil_consumer_lag_messages{" in page
    assert "cmvigil_clock_age_seconds{" in page
    monitor._forget()
    monitor._measure()
    page = monitor.meters.page().decode()
    assert "cmvigil_consumer_lag_messages{" not in page
    assert "cmvigil_clock_age_seconds{" not in page


def test_a_clock_that_has_read_nothing_has_no_age(monitor):
    monitor.engine.assign(0, [], ["lab-results"])
    monitor._measure()
    assert "cmvigil_clock_age_seconds{" not in monitor.meters.page().decode()


def test_a_worker_is_recovering_until_it_has_recovered(monitor):
    assert monitor.meters.registry.get_sample_value("cmvigil_recovering") == 1
    assert monitor.meters.registry.get_sample_value("cmvigil_start_time_seconds") == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(("committed", "skipped"), [(9, 1), (10, 0), (11, 0), (None, 0), (-1, 0)])
def test_messages_deleted_before_they_were_read_are_counted(monitor, monkeypatch, committed, skipped):
    labs = TP("lab-results", 0)

    async def given(value):
        return value

    consumer = SimpleNamespace(
        highwater=lambda _tp: 12,
        highwaters=lambda *tps: given(dict.fromkeys(tps, 12)),
        seek_to_committed=lambda: given({labs: committed}),
        earliest_offsets=lambda *tps: given(dict.fromkeys(tps, 10)),
    )
    monkeypatch.setattr(type(monitor.app), "consumer", consumer)
    asyncio.run(monitor._assigned({0}))
    counted = monitor.meters.registry.get_sample_value("cmvigil_skipped_messages_total", {"topic": labs.topic})
    assert (counted or 0) == skipped
    assert monitor._seen[labs] == max(10, committed or 0)


@pytest.mark.parametrize(("error", "ends"), [(IllegalStateError("not assigned"), False), (KeyError("state"), True)])
def test_taking_over_ends_the_worker_unless_a_rebalance_takes_it_back(monitor, monkeypatch, error, ends):
    async def recovered(_partitions):
        raise error

    ended = []
    monkeypatch.setattr("streams.live.table.die", lambda *why: ended.append(why))
    monitor.table.recovered = recovered
    asyncio.run(monitor.table.on_recovery_completed({TP("states", 0)}, set()))
    assert ended == ([("recovery", error)] if ends else [])
