"""`python -m tests.benchmarks.live`: what a live event costs, beside what else reads Kafka, on one broker in one run.

CPU (user and system) and wall time an event, each in a process of its own over the same preloaded topics. The others
(`peers/`) measure themselves from their first event; of a worker the whole process counts, less one that has nothing to
read. The log is a simulated cohort, every patient on therapy.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from streams.live.engine import CLOCK
from streams.live.topics import STATE
from tests.benchmarks.peers.trivial import TOPICS
from tests.live.broker import Kafka
from tests.live.driver import ROOT, Worker, records, send, settings_for

MOST_SECONDS = 300
RAW = "raw aiokafka, a trivial rule"
RAW_WRITING = "raw aiokafka, a trivial rule and a changelog write an event"
QUIX_DEFAULTS = "Quix Streams at its defaults, the same rule"
FAUST_DEFAULTS = "Faust at its defaults, the same rule"
OURS = "cmvigil worker, all rules"
TWO = "two cmvigil workers, all rules"

PEERS = Path(__file__).parent / "peers"
QUIX = ROOT / "requirements" / "peers.txt"


def cpu_of(process):
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime


def peer(python, script, broker, prefix, count, folder, *more):
    """CPU and wall seconds of something else that reads the same events, as it measures itself; None if it fails."""
    words = [PEERS / script, broker, prefix, count, uuid.uuid4().hex[:8], folder / uuid.uuid4().hex[:8], *more]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [str(python), *map(str, words)],
            cwd=folder,
            env=clean,
            capture_output=True,
            timeout=MOST_SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{script}: left out: {type(error).__name__}", (error.stderr or b"")[-600:].decode("utf-8", "replace"))
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["events"] == count
    return found["cpu"], found["wall"]


def quix_python():
    """Python with Quix Streams as it is pinned, in an environment kept between runs; None where that cannot be had."""
    mark = hashlib.sha256(QUIX.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = Path.home() / ".cache" / "cmvigil" / f"peers-{mark}"
    python = home / "bin" / "python"
    if not (home / "done").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
            command = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(QUIX)]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            print(f"Quix Streams: left out, cannot be installed here ({type(error).__name__})")
            return None
        (home / "done").touch()
    return python


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
    parser.add_argument("--patients", type=int, default=90)
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


def row(rows, what, cpu, rate):
    rows[what] = cpu
    print(f"{what:62} {cpu * 1e6:8.0f} us CPU an event {rate:9.0f} events/s", flush=True)


def compare(asked, broker, folder):
    log = folder / "log.ndjson"
    with log.open("wb") as out:
        words = ["simulate", "--patients", str(asked.patients), "--days", str(asked.days), "--seed", "3"]
        subprocess.run([str(Path(sys.executable).parent / "cmvigil"), *words], stdout=out, check=True)
    settings = settings_for(broker, f"b{uuid.uuid4().hex[:6]}-")
    empty = settings_for(broker, f"e{uuid.uuid4().hex[:6]}-")
    events = send(settings, log, folder=folder, marker_seconds=24 * 3600).events
    keyed = sum(one.key is not None for name in TOPICS for one in records(settings, name))
    size = log.stat().st_size / events
    print(
        f"{events} events, {size:.0f} bytes each; {asked.patients} patients, all on therapy; 4 partitions", flush=True
    )
    rows = {}
    for what, python, script, more in (
        (RAW, sys.executable, "raw.py", ()),
        (RAW_WRITING, sys.executable, "raw.py", (settings.topic("dead-letters"),)),
        (QUIX_DEFAULTS, quix_python(), "quix.py", ()),
        (FAUST_DEFAULTS, sys.executable, "faust_defaults.py", ()),
    ):
        found = python and peer(python, script, broker, settings.topic_prefix, keyed, folder, *more)
        if found:
            row(rows, what, found[0] / keyed, keyed / found[1])
    idle, still = worker(empty, folder, 0)
    for count in (1, 2):
        own = settings
        if count == 2:
            own = settings_for(broker, f"c{uuid.uuid4().hex[:6]}-")
            send(own, log, folder=folder, marker_seconds=24 * 3600)
        cpu, wall = worker(own, folder, events, count)
        row(rows, OURS if count == 1 else TWO, (cpu - idle * count) / events, events / max(wall - still, 1e-3))
    for one, other in ((OURS, FAUST_DEFAULTS), (OURS, QUIX_DEFAULTS), (OURS, RAW_WRITING), (TWO, OURS)):
        if one in rows and other in rows:
            print(f"CPU an event: {one} / {other}: {rows[one] / rows[other]:.2f}")
    print("{} facts kept, {:.1f} bytes of state each, {:.1f} at most".format(*bytes_a_fact(settings)))
    number, changes, median, high, _ = latency(
        settings_for(broker, f"l{uuid.uuid4().hex[:6]}-", clock="wall", tick_seconds=1.0), folder, 300, 30
    )
    print(
        f"latency at 300 events/s: {number} events, {changes} changes, from recording to readable:"
        f" median {median * 1e3:.0f} ms, p99 {high * 1e3:.0f} ms"
    )


def bytes_a_fact(settings):
    """Of the last record of each patient in the changelog: its bytes for each fact that it keeps, all and at most."""
    from monitor.state import load
    from streams.knowledge_files import read_plan

    plan, sizes = read_plan([]), []
    last = {one.key: one.value for one in records(settings, STATE) if not one.key.startswith(CLOCK)}
    for key, value in last.items():
        p = load(plan, key.decode(), value).patient
        sizes.append((len(value), sum(map(len, (p.lab_facts, p.dose_facts, p.people, p.acts, p.inbox)))))
    size, facts = map(sum, zip(*sizes, strict=True))
    return facts, size / facts, max(size / max(facts, 1) for size, facts in sizes)


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
    settings = settings_for(broker, f"r{uuid.uuid4().hex[:6]}-", session_timeout_seconds=30.0)
    events = send(settings, log, folder=folder, marker_seconds=24 * 3600).events
    cpu, wall = worker(settings, folder, events)
    print(f"{asked.untreated} patients, {events} events taken in {wall:.1f} s ({cpu:.1f} s CPU)")
    started = time.perf_counter()
    one = Worker(settings, folder).ready(120)
    wall = time.perf_counter() - started
    while not one.metric("cmvigil_patients"):
        time.sleep(0.1)
    print(f"recovered and ready in {wall:.1f} s, {one.metric('cmvigil_patients'):.0f} states")
    memory = int(
        next(
            line for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines() if "VmHWM" in line
        ).split()[1]
    )
    one.stop()
    print(f"peak memory {memory / 1024:.0f} MB")


if __name__ == "__main__":
    main()
