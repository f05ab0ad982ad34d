"""The Faust app of a worker."""

import asyncio
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


@pytest.mark.parametrize(("error", "ends"), [(IllegalStateError("not assigned"), False), (KeyError("state"), True)])
def test_taking_over_ends_the_worker_unless_a_rebalance_takes_it_back(monitor, monkeypatch, error, ends):
    async def recovered(_partitions):
        raise error

    ended = []
    monkeypatch.setattr("streams.live.table.die", lambda *why: ended.append(why))
    monitor.table.recovered = recovered
    asyncio.run(monitor.table.on_recovery_completed({TP("states", 0)}, set()))
    assert ended == ([("recovery", error)] if ends else [])
