"""A worker that stands still past its session, while another takes over, and then goes on."""

import signal
import time
from pathlib import Path

import pytest

from tests.live.driver import SAMPLE, Worker, assert_equal, parts, records, replayed, send, settings_for, until

pytestmark = pytest.mark.live


def stands_still(worker):
    return Path(f"/proc/{worker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def states(settings):
    """What a recovery would find: the last state of each key."""
    return {one.key: one.value for one in records(settings, "cmvigil-patient-state-changelog")}


@pytest.mark.parametrize("instant", ["on-the-wire:3", "on-the-wire:6", "before-alert:4", "tick:30"])
def test_what_it_had_begun_neither_undoes_nor_contradicts_what_the_next_owner_did(broker, prefix, tmp_path, instant):
    settings = settings_for(broker, prefix)
    first, second = parts(tmp_path, 2)
    send(settings, first, folder=tmp_path)
    paused = Worker(settings, tmp_path, kill=f"{instant}:SIGSTOP")
    running = [paused]
    try:
        until(lambda: stands_still(paused))
        # Ready means given partitions, so the session of the one that stands still is over. Equal topics alone would
        # not prove a takeover: it may have said all there is to say before it stood still.
        running.append(Worker(settings, tmp_path).ready())
        assert_equal(settings, replayed(first), running=running)
        time.sleep(1)
        written = states(settings)
        paused.process.send_signal(signal.SIGCONT)
        # It ends by itself, for a supervisor to start it anew.
        assert paused.process.wait(60) == 1
        stale = sum(written[key] != value for key, value in states(settings).items())
        assert stale > 0 or not instant.startswith("on-the-wire"), "nothing was tried"
        # Whatever of its writes arrived, a new owner recovers what the last owner knew.
        assert running[1].stop() == 0
        running.append(Worker(settings, tmp_path).ready())
        send(settings, second, folder=tmp_path)
        assert_equal(settings, replayed(SAMPLE), running=running[2:])
    finally:
        for one in running:
            if one.process.poll() is None:
                one.kill()
