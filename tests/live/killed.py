"""A worker that kills itself, as `kill -9` would, when a named instant comes for the nth time: `INSTANT:N`."""

import os
import signal
import sys
from collections import Counter

from streams.codes import NO_CODES
from streams.knowledge_files import read_plan
from streams.live.run import run_worker
from streams.live.settings import load_settings

seen = Counter()
instant, _, count = sys.argv[1].partition(":")


def hook(now):
    seen[now] += 1
    if now == instant and seen[now] == int(count):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    settings = load_settings()
    sys.exit(run_worker(settings, read_plan(list(settings.knowledge)), NO_CODES, hook))
