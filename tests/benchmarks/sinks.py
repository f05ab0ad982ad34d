"""What taking and delivering a change costs, on this machine's disk: `python -m tests.benchmarks.sinks`.

The receiver runs in the same process, so that its share is in the figures too.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from streams.sinks.settings import WebhookSink
from streams.sinks.store import Record, Routes, open_store, take, wall
from streams.sinks.upkeep import loads
from tests.streams.sink_changes import change, encoded
from tests.streams.sink_servers import SECRET, attending, serving, soon

COUNT = 10_000


def fill(path, count):
    db = open_store(path)
    routes = Routes({"hook": 0}, frozenset(), frozenset(), frozenset())
    records = [
        Record("alert-log", 0, n, encoded(change(n % 4 + 1, "updated", alert_id=f"aki/-/-/{n // 4}")))
        for n in range(count)
    ]
    wall_began, cpu_began = time.perf_counter(), time.process_time()
    for first in range(0, count, 500):
        take(db, records[first : first + 500], routes, wall())
    spent = time.perf_counter() - wall_began, time.process_time() - cpu_began
    db.close()
    return spent


async def drain(path):
    async with serving() as server:
        sink = WebhookSink(kind="webhook", name="hook", url=server.url, secret_file=path.with_name("secret"))
        wall_began, cpu_began = time.perf_counter(), time.process_time()
        async with attending(path, sink):
            await soon(lambda: len(server.taken) >= COUNT, 600)
        return time.perf_counter() - wall_began, time.process_time() - cpu_began


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.sqlite"
        path.with_name("secret").write_text(SECRET)
        for what, (seconds, cpu) in (("taken", fill(path, COUNT)), ("delivered", asyncio.run(drain(path)))):
            print(f"{what}: {COUNT / seconds:,.0f} changes/s, {1e6 * cpu / COUNT:,.0f} us of CPU each")
            print(f"the store then: {path.stat().st_size / COUNT:,.0f} bytes a change")
        db = open_store(path)
        assert loads(db, ["hook"])["hook"].pending == 0
        db.close()


if __name__ == "__main__":
    main()
