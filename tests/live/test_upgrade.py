"""A rolling upgrade to another version of the state misses nothing, and says nothing twice differently."""

import pytest

from monitor.state import VERSION
from tests.live.driver import SAMPLE, Command, Worker, assert_equal, replayed, send, settings_for, until
from tests.live.test_canary import last
from tests.live.test_faults import parts

pytestmark = pytest.mark.live
STATES = "cmvigil-patient-state-changelog"


def newer(settings, folder):
    """A worker of the next state version."""
    return Command(settings, folder, "newer", module="tests.live.newer")


def versions(settings):
    """How many states there are of each version; a clock's record has none."""
    found = {}
    for key, value in last(settings, STATES).items():
        if not key.startswith(b"\0"):
            found[value[0]] = found.get(value[0], 0) + 1
    return found


def test_workers_of_the_next_version_join_the_old_go_and_nothing_is_missed(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    logs = list(parts(tmp_path, 4))
    old = [Worker(settings, tmp_path) for _ in range(2)]
    new = []
    try:
        for one in old:
            one.ready()
        send(settings, logs[0], folder=tmp_path)
        until(lambda: sum(one.metric("cmvigil_events_total") for one in old) > 1000)
        assert set(versions(settings)) == {VERSION}

        # One of the new joins two of the old, in the middle of events.
        new.append(newer(settings, tmp_path))
        send(settings, logs[1], folder=tmp_path)
        new[0].ready()
        assert old[0].process.poll() is not None or old[0].stop() == 0
        send(settings, logs[2], folder=tmp_path)

        # The last of the old makes room for the second of the new.
        new.append(newer(settings, tmp_path))
        new[1].ready()
        # It may have ended by itself: with a state before it that it cannot read, and has not touched.
        ended = old[1].process.poll()
        assert ended in (None, 1)
        if ended is None:
            assert old[1].stop() == 0
        send(settings, logs[3], folder=tmp_path)
        assert_equal(settings, replayed(SAMPLE), running=new)
        # Also of patients of whom nothing came any more.
        until(lambda: set(versions(settings)) == {VERSION + 1})

        for one in new:
            assert one.stop() == 0
        before = last(settings, STATES)
        late = Worker(settings, tmp_path)
        old.append(late)
        assert late.process.wait(60) == 1
        assert "StateError" in late.log.read_text()
        assert last(settings, STATES) == before
    finally:
        for one in (*old, *new):
            if one.process.poll() is None:
                one.kill()
