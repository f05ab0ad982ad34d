"""`python -m tests.benchmarks.live`: what a live event costs, beside what else reads Kafka, on one broker in one run.

CPU (user and system) and wall time per event of a process of its own over the same preloaded topic, less what the same
process costs where there is nothing to read. The log is a simulated cohort, every patient on therapy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tests.live.broker import Kafka
from tests.live.driver import ROOT, Worker, records, send, settings_for

MOST_SECONDS = 120

RAW = """
import asyncio, sys, msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from monitor.events import Event
async def main(bootstrap, prefix, count, changelog):
    topics = [prefix + name for name in ("lab-results", "medication-administrations", "patients", "alert-actions")]
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, group_id=prefix + sys.argv[5],
        auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=262144)
    await consumer.start(); await producer.start()
    decode = msgspec.json.Decoder(Event).decode
    states, seen = {}, 0
    while seen < count:
        for tp, batch in (await consumer.getmany(timeout_ms=500, max_records=2000)).items():
            for one in batch:
                if one.key is None:
                    continue
                event = decode(one.value)
                states[one.key] = states.get(one.key, 0) + 1
                if changelog:
                    await producer.send(prefix + "dead-letters", b"%d" % states[one.key],
                        key=b"bench" + one.key, partition=tp.partition)
                seen += 1
    await producer.stop(); await consumer.stop()
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1"))
"""

FAUST = """
import asyncio, json, os, sys, faust
bootstrap, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
app = faust.App(prefix + "faust" + sys.argv[5], broker="kafka://" + bootstrap, store="memory://",
    topic_partitions=4, table_standby_replicas=0, web_enabled=False, consumer_auto_offset_reset="earliest")
topic = app.topic(prefix + "lab-results", prefix + "medication-administrations", key_type=str, value_type=bytes,
    value_serializer="raw")
table = app.Table("creatinine", default=list, partitions=4)
seen = 0
@app.agent(topic)
async def watch(stream):
    global seen
    async for event in stream.events():
        if event.key is None:
            continue
        lab = json.loads(event.value)
        if lab.get("code") == "2160-0":
            kept = table[event.key][-7:] + [(lab["collected_at"], lab["value"])]
            table[event.key] = kept
        seen += 1
        if seen >= count:
            await asyncio.sleep(3)
            os._exit(0)
@app.timer(60.0)
async def _end():
    if not count:
        os._exit(0)
@app.task
async def _nothing():
    if not count:
        await asyncio.sleep(6)
        os._exit(0)
sys.argv = ["faust", "worker", "-l", "warn", "--without-web"]
app.main()
"""


def cpu_of(process):
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime


def run(code, *words):
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.05)
        if time.perf_counter() - started > MOST_SECONDS:
            process.kill()
            print("one of the others did not come to an end, and is left out", flush=True)
    return cpu_of(process), time.perf_counter() - started


def worker(settings, folder, events, count=1):
    """CPU and wall seconds of workers from their start until all is taken and sent."""
    started = time.perf_counter()
    running = [Worker(settings, folder) for _ in range(count)]
    if events:
        while sum(one.metric("cmvigil_events_total") for one in running) < events or any(
            one.metric("cmvigil_outbox_changes") for one in running
        ):
            time.sleep(0.2)
            assert all(one.process.poll() is None for one in running), running[0].log.read_text()
    else:
        for one in running:
            one.ready()
    wall = time.perf_counter() - started
    for one in running:
        one.process.terminate()
    return sum(cpu_of(one.process) for one in running), wall


def latency(settings, folder, rate, seconds):
    """Sends at a rate by the wall clock; returns what the worker measured from recording to acknowledgment."""
    from kafka import KafkaProducer

    running = Worker(settings, folder).ready()
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all", linger_ms=1)
    started = time.perf_counter()
    number = 0
    while time.perf_counter() - started < seconds:
        while number < rate * (time.perf_counter() - started):
            now = time.time()
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
            patient = f"p{number % 200}"
            if number < 200:
                topic, event = (
                    "medication-administrations",
                    {
                        "type": "administration",
                        "drug": "foscarnet",
                        "dose": 6000,
                        "unit": "mg",
                        "route": "iv",
                        "started_at": at,
                        "indication": "treatment",
                    },
                )
            else:
                value = 4.0 - (number // 200 % 2) * 1.5
                topic, event = (
                    "lab-results",
                    {
                        "type": "lab",
                        "code": "2823-3",
                        "value": value,
                        "unit": "mmol/L",
                        "collected_at": at,
                    },
                )
            event |= {"event_id": f"e{number}", "patient_id": patient, "recorded_at": at}
            producer.send(settings.topic(topic), key=patient.encode(), value=json.dumps(event).encode())
            number += 1
        time.sleep(0.002)
    producer.flush()
    time.sleep(2)
    page = running.page("/metrics")[1]
    running.stop()
    arrivals = {}
    for one in records(settings, "alert-log"):
        change = json.loads(one.value)
        arrivals[change["alert_id"], change["seq"]] = one.timestamp / 1000 - _seconds(change["emitted_at"])
    delays = sorted(arrivals.values())
    return number, len(delays), delays[len(delays) // 2], delays[int(len(delays) * 0.99)], page


def _seconds(text):
    from monitor.times import parse_time

    return parse_time(text) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--untreated", type=int, default=0, help="measure recovery of so many states instead")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        node = Kafka(folder / "kafka").start().wait()
        try:
            (recovery if asked.untreated else compare)(asked, node.bootstrap, folder)
        finally:
            node.stop()


def compare(asked, broker, folder):
    log = folder / "log.ndjson"
    with log.open("wb") as out:
        words = ["simulate", "--patients", str(asked.patients), "--days", str(asked.days), "--seed", "3"]
        subprocess.run([str(Path(sys.executable).parent / "cmvigil"), *words], stdout=out, check=True)
    settings = settings_for(broker, f"b{uuid.uuid4().hex[:6]}-")
    empty = settings_for(broker, f"e{uuid.uuid4().hex[:6]}-")
    events = send(settings, log, folder=folder, marker_seconds=24 * 3600).events
    trivial = sum(len(records(settings, name)) for name in ("lab-results", "medication-administrations"))
    trivial -= (
        2
        * settings.partitions
        * sum(1 for one in records(settings, "patients") if one.key is None)
        // settings.partitions
    )
    size = log.stat().st_size / events
    print(f"{events} events, {size:.0f} bytes each; {asked.patients} patients, all on therapy; 4 partitions")
    rows = []
    for what, code, changelog, count in (
        ("raw aiokafka, decoding", RAW, 0, events),
        ("raw aiokafka, and a changelog write an event", RAW, 1, events),
        ("Faust at its defaults, one trivial rule", FAUST, 0, trivial),
    ):
        cpu, wall = run(code, broker, settings.topic_prefix, count, changelog, uuid.uuid4().hex[:6])
        idle, still = run(code, broker, empty.topic_prefix, 0, changelog, uuid.uuid4().hex[:6])
        rows.append((what, (cpu - idle) / count * 1e6, count / max(wall - still, 1e-3)))
    idle, still = worker(empty, folder, 0)
    for count in (1, 2):
        own = settings
        if count == 2:
            own = settings_for(broker, f"c{uuid.uuid4().hex[:6]}-")
            send(own, log, folder=folder, marker_seconds=24 * 3600)
        cpu, wall = worker(own, folder, events, count)
        what = f"cmvigil worker, all rules{'' if count == 1 else f', {count} workers'}"
        rows.append((what, (cpu - idle * count) / events * 1e6, events / max(wall - still, 1e-3)))
    for what, cpu, rate in rows:
        print(f"{what:50} {cpu:8.0f} us CPU an event {rate:9.0f} events/s")
    number, changes, median, high, _ = latency(
        settings_for(broker, f"l{uuid.uuid4().hex[:6]}-", clock="wall", tick_seconds=1.0), folder, 300, 30
    )
    print(
        f"latency at 300 events/s: {number} events, {changes} changes, from recording to readable:"
        f" median {median * 1e3:.0f} ms, p99 {high * 1e3:.0f} ms"
    )


def recovery(asked, broker, folder):
    """How long a worker takes from its start to ready with many states."""
    log = folder / "log.ndjson"
    lab = {"type": "lab", "code": "2160-0", "unit": "mg/dL"}
    with log.open("wb") as out:
        for number in range(asked.untreated):
            for i in range(3):
                day = f"2026-03-{i + 1:02d}T0"
                event = lab | {
                    "event_id": f"e{number}-{i}",
                    "patient_id": f"p{number}",
                    "value": 0.9,
                    "collected_at": f"{day}6:00:00Z",
                    "recorded_at": f"{day}7:00:00Z",
                }
                out.write(json.dumps(event).encode() + b"\n")
            if number % 100 == 0:
                dose = {
                    "type": "administration",
                    "drug": "foscarnet",
                    "dose": 6000,
                    "unit": "mg",
                    "route": "iv",
                    "started_at": "2026-03-03T08:00:00Z",
                    "recorded_at": "2026-03-03T08:30:00Z",
                    "event_id": f"d{number}",
                    "patient_id": f"p{number}",
                }
                out.write(json.dumps(dose).encode() + b"\n")
    settings = settings_for(broker, f"r{uuid.uuid4().hex[:6]}-")
    events = send(settings, log, folder=folder, marker_seconds=24 * 3600).events
    cpu, wall = worker(settings, folder, events)
    print(f"{asked.untreated} patients, {events} events taken in {wall:.1f} s ({cpu:.1f} s CPU)")
    started = time.perf_counter()
    one = Worker(settings, folder).ready(120)
    print(f"recovered and ready in {time.perf_counter() - started:.1f} s, {one.metric('cmvigil_patients'):.0f} states")
    memory = int(
        next(
            line for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines() if "VmHWM" in line
        ).split()[1]
    )
    one.stop()
    print(f"peak memory {memory / 1024:.0f} MB")


if __name__ == "__main__":
    main()
