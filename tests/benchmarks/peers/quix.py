"""BOOTSTRAP PREFIX COUNT GROUP FOLDER: Quix Streams as it comes: RocksDB, a changelog written every five seconds."""

import sys

from quixstreams import Application
from trivial import TOPICS, Tally, judge

bootstrap, prefix, count, group, folder = sys.argv[1:]
app = Application(
    broker_address=bootstrap,
    consumer_group=group,
    auto_offset_reset="earliest",
    state_dir=folder,
    loglevel="ERROR",
)
tally = Tally(int(count))


def watch(event, state):
    figures, rises = judge(state.get("figures", []), event)
    state.set("figures", figures)
    if tally.count(rises):
        app.stop()


for name in TOPICS:
    # Each of its own: to join topics, it would hold back the faster of them.
    stream = app.dataframe(app.topic(prefix + name, value_deserializer="json"))
    stream.filter(lambda event: event["type"] != "clock").update(watch, stateful=True)
app.run()
tally.say()
