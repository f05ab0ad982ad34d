"""`make bench`: speed and memory of the core, as ratios to msgspec decoding the same bytes in the same run.

Each figure is CPU time (user and system) of a process of its own; the median of several runs is to be quoted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import logs

HERE = Path(__file__).resolve().parents[2]


def child(code, *arguments):
    """CPU seconds, wall seconds and peak MB of a fresh Python that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=HERE, capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout


DECODE = """
import sys, msgspec
from monitor.events import Event
decoder = msgspec.json.Decoder(Event)
data = open(sys.argv[1], "rb").read()
import time
start = time.process_time()
for line in data.splitlines():
    decoder.decode(line)
print(time.process_time() - start)
"""


def ratio(name, path, limit, runs):
    """CPU of `cmvigil replay --json`, start of the program included, over the CPU of decoding before and after it."""
    found = []
    for _ in range(runs):
        first = float(child(DECODE, path)[2])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with Path(os.devnull).open("wb") as nothing:
            subprocess.run(
                [str(Path(sys.executable).parent / "cmvigil"), "replay", "--json", str(path)],
                stdout=nothing,
                stderr=nothing,
                check=True,
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        decoded = (first + float(child(DECODE, path)[2])) / 2
        found.append((cpu / decoded, cpu, decoded))
    middle = statistics.median(one[0] for one in found)
    cpu, decoded = (statistics.median(one[i] for one in found) for i in (1, 2))
    runs_seen = ", ".join(f"{one[0]:.1f}" for one in found)
    print(
        f"{name}: {middle:.1f} x decoding (limit {limit}; runs {runs_seen}); {cpu:.2f} s CPU, decoding {decoded:.2f} s",
        flush=True,
    )


HISTORY = """
import sys, time, random
from monitor.advance import advance, receive
from monitor.events import Gate, decoder
from monitor.patient import Patient
from streams.knowledge_files import read_plan
from tests.benchmarks import logs
plan = read_plan([]); gate = Gate(plan)
size = int(sys.argv[1])
p = Patient(plan, "t1")
facts = [gate.admit(decoder.decode(line)) for line in logs.dense_patient("t1", size + 4000)]
facts = [fact for fact in facts if fact is not None]
facts.sort(key=lambda fact: fact.recorded)
warm, timed = facts[:size], facts[size:size + 4000]
for fact in warm:
    receive(p, [fact]); advance(p, fact.recorded)
start = time.process_time()
for fact in timed:
    receive(p, [fact]); advance(p, fact.recorded)
print((time.process_time() - start) / len(timed) * 1e6)
"""

MEMORY = """
import sys, random, resource
from datetime import timedelta
from monitor.events import Gate, decoder
from monitor.population import Population
from streams.knowledge_files import read_plan
from tests.benchmarks import logs
plan = read_plan([]); gate = Gate(plan); population = Population(plan)
rng = random.Random(1)
reported = logs.START + timedelta(minutes=50)
for i in range(int(sys.argv[1])):
    patient = f"u{i:06d}"
    facts = [
        gate.admit(
            decoder.decode(
                logs.lab(patient, f"{patient}-{k}", code, rng.uniform(low, high), unit, logs.START, reported)
            )
        )
        for k, (code, unit, low, high) in enumerate(logs.RESULTS)
    ]
    population.take(patient, facts, facts[0].recorded)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tenth of each log, for a quick look")
    options = parser.parse_args()
    part = 10 if options.small else 1
    with tempfile.TemporaryDirectory() as folder:
        for name, data, limit in (
            ("hospital mix, 1,000,000 events", lambda: logs.hospital_log(1_000_000 // part, 50_000 // part), "8"),
            ("every patient treated", lambda: logs.treated_log(600 // part, 28), "goal 40, at most 50"),
            ("simulated cohort, every patient treated", lambda: cohort(400 // part), "60"),
        ):
            path = Path(folder) / "log.ndjson"
            path.write_bytes(data())
            ratio(name, path, limit, options.runs)
        path.write_bytes(b"\n".join(logs.treated_log(2, 28).split(b"\n")[:1000]) + b"\n")
        waits = [first_alert(path) for _ in range(2 * options.runs + 1)]
        print(
            f"first alert of a 1,000-event log: {statistics.median(waits):.2f} s after the start (limit 0.6)",
            flush=True,
        )
    pairs = [[float(child(HISTORY, n)[2]) for n in (100, 10_000)] for _ in range(2 * options.runs + 1)]
    few, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"an event at 10,000 facts of history: {many / few:.2f} x one at 100 (limit 1.5); {few:.0f}, {many:.0f} us")
    patients = 1_000_000 // part
    print(
        f"{patients:,} untreated patients, ten results each: {float(child(MEMORY, patients)[2]):,.0f} MB (limit 1 GB)"
    )


def cohort(patients):
    """The log of `cmvigil simulate`: jitter, co-medication, corrections, repeats and late results."""
    command = [str(Path(sys.executable).parent / "cmvigil"), "simulate", "--days", "60", "--seed", "3"]
    return subprocess.run([*command, "--patients", str(patients)], check=True, capture_output=True).stdout


def first_alert(path):
    start = time.perf_counter()
    with subprocess.Popen(
        [str(Path(sys.executable).parent / "cmvigil"), "replay", "--json", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline()
        wait = time.perf_counter() - start
        process.stdout.read()
    return wait


if __name__ == "__main__":
    main()
