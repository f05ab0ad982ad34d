"""A worker that kills itself, as `kill -9` would, when a named instant comes for the nth time: `INSTANT:N`.

With `INSTANT:N:SIGSTOP` it stands still there, as a machine that is paused would, until somebody sends SIGCONT; with
`INSTANT:N:SIGTERM` it is asked to stop there.
"""

import os
import signal
import sys
from collections import Counter

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.sender import SendProduceReqHandler

from streams.codes import NO_CODES
from streams.knowledge_files import read_plan
from streams.live.consumer import Consumer
from streams.live.run import run_worker
from streams.live.settings import load_settings

seen = Counter()
instant, count, *named = sys.argv[1].split(":")
sent = signal.Signals[named[0]] if named else signal.SIGKILL


def hook(now):
    seen[now] += 1
    if now == instant and seen[now] == int(count):
        os.kill(os.getpid(), sent)


def watch_the_wire():
    """An instant of its own: records are about to be written to the broker, and nothing can keep them back."""
    create = SendProduceReqHandler.create_request

    def create_request(self):
        if any("changelog" in tp.topic for tp in self._batches):
            hook("on-the-wire")
        return create(self)

    SendProduceReqHandler.create_request = create_request


def watch_recovery():
    """Once for each partition of the changelog whose records were fetched in recovery, none of them in use yet."""
    getmany = Consumer._getmany

    async def watched(self, *args, **named):
        found = await getmany(self, *args, **named)
        for tp, fetched in found.items():
            if self.app.in_recovery and fetched and self._is_changelog_tp(tp):
                hook("recovering")
        return found

    Consumer._getmany = watched


def watch_commits():
    """Before offsets are committed, and after the coordinator has them."""
    commit = GroupCoordinator.commit_offsets

    async def watched(self, *args, **named):
        hook("before-commit")
        await commit(self, *args, **named)
        hook("committed")

    GroupCoordinator.commit_offsets = watched


if __name__ == "__main__":
    watch_the_wire()
    watch_recovery()
    watch_commits()
    settings = load_settings()
    run_worker(settings, read_plan(list(settings.knowledge)), NO_CODES, hook)
