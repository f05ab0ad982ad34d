"""BOOTSTRAP PREFIX COUNT GROUP FOLDER: Faust as it comes: one agent, one table in memory with its changelog."""

import os
import sys

import faust
from trivial import TOPICS, Tally, judge

bootstrap, prefix, count, group, folder = sys.argv[1:]
app = faust.App(
    group,
    broker=f"kafka://{bootstrap}",
    store="memory://",
    topic_partitions=4,
    web_enabled=False,
    datadir=folder,
)
states = app.Table("figures", default=list, partitions=4)
tally = Tally(int(count))


@app.agent(app.topic(*(prefix + name for name in TOPICS), key_type=str))
async def watch(stream):
    async for key, event in stream.items():
        if key is None:
            continue
        states[key], rises = judge(states[key], event)
        if tally.count(rises):
            await app.producer.flush()
            tally.say()
            os._exit(0)


sys.argv = ["faust", "worker", "-l", "warn", "--without-web"]
app.main()
