"""Workers as processes, and what the topics hold, held against a replay."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from monitor.events import Gate, decoder
from monitor.state import load
from streams.codes import read_codes
from streams.knowledge_files import read_plan
from streams.live.produce import produce, read_messages
from streams.live.settings import load_settings
from streams.live.topics import check, create
from streams.rejects import Rejects
from tests.live.broker import free_port

CMVIGIL = str(Path(sys.executable).parent / "cmvigil")
ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "seeds" / "logs" / "sample.ndjson.gz"


def settings_for(broker, prefix, **more):
    given = {"partitions": 4, "clock": "event", "session_timeout_seconds": 6.0, "tick_seconds": 0.2} | more
    settings = load_settings(None, {}, bootstrap_servers=broker, topic_prefix=prefix, **given)
    create(settings)
    assert check(settings) == []
    return settings


def send(settings, *logs, folder, **more):
    """Sends logs as `cmvigil produce` does."""
    plan = read_plan(list(settings.knowledge))
    codes = read_codes(settings.codes, plan)
    messages = read_messages(plan, [str(log) for log in logs], codes, Rejects(None), folder)
    done = produce(settings, messages, marker_seconds=more.pop("marker_seconds", 3600), **more)
    assert not done.refused
    return done


class Command:
    """A command of cmvigil as a process of its own, with settings from its environment."""

    def __init__(self, settings, folder, *words, module=None, **environment):
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{words[0]}-{self.port}.log"
        given = settings.model_dump(mode="json", exclude_defaults=True)
        given |= {"http_port": self.port, "canary_port": self.port}
        if settings.sasl_password is not None:
            given["sasl_password"] = settings.password()
        variables = {f"CMVIGIL_{name.upper()}": _text(value) for name, value in given.items()}
        command = [sys.executable, "-m", module, *words] if module else [CMVIGIL, *words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CMVIGIL_")}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=clean | variables | environment, stdout=out, stderr=out
            )

    def page(self, path, **headers):
        try:
            asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self, seconds=180):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}: {self.log.read_text()[-800:]}")
            if self.page("/readyz")[0] == 200:
                return self
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.page('/readyz')}, {self.log.read_text()[-800:]}")

    def wait(self, seconds=180):
        self.returncode = self.process.wait(seconds)
        return self

    def said(self):
        """All that it wrote, on standard output and on standard error."""
        return self.log.read_text()

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def metric(self, name):
        """The sum of a metric over its labels."""
        lines = [line for line in self.page("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Worker(Command):
    """`cmvigil worker` as a process of its own; `kill` names an instant and a count at which it kills itself."""

    def __init__(self, settings, folder, kill=None, **environment):
        if kill:
            super().__init__(settings, folder, kill, module="tests.live.killed", **environment)
        else:
            super().__init__(settings, folder, "worker", **environment)


@contextmanager
def workers(settings, folder, count=1, **more):
    running = [Worker(settings, folder, **more) for _ in range(count)]
    try:
        yield running
    finally:
        for one in running:
            if one.process.poll() is None:
                one.kill()


def _text(value):
    if isinstance(value, list):
        return os.pathsep.join(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)


def records(settings, name):
    """Every record of a topic, from its start to its present end."""
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, enable_auto_commit=False)
    topic = settings.topic(name)
    tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(tps)
    consumer.seek_to_beginning(*tps)
    ends = consumer.end_offsets(tps)
    found = []
    while any(consumer.position(tp) < ends[tp] for tp in tps):
        for batch in consumer.poll(300).values():
            found += batch
    consumer.close()
    return found


def parts(folder, count, log=SAMPLE):
    """A log in order of recording, in parts, each instant in one of them."""
    lines = (gzip.decompress(log.read_bytes()) if log.suffix == ".gz" else log.read_bytes()).splitlines()
    instants = [list(group) for _, group in groupby(sorted(lines, key=_recorded), key=_recorded)]
    size = -(-len(instants) // count)
    for i in range(count):
        path = folder / f"part-{i}.ndjson"
        path.write_bytes(b"\n".join(chain.from_iterable(instants[i * size : (i + 1) * size])))
        yield path


def _recorded(line):
    return json.loads(line)["recorded_at"]


def limit(settings, topic, size):
    """Sets the most bytes of a topic's batches."""
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    name = settings.topic(topic)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": size})])
    admin.close()
    time.sleep(1)


def replayed(*logs, until=None, words=()):
    command = [CMVIGIL, "replay", "--json", *map(str, logs), *(["--until", until] if until else []), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout.splitlines()


def simulated(path, patients, days):
    """The log of a simulated cohort."""
    command = [CMVIGIL, "simulate", "--patients", str(patients), "--days", str(days), "--seed", "11"]
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return path


def taken(settings):
    """The events of each patient that the states hold, as a recovery would find them, by identity."""
    last = {one.key: one.value for one in records(settings, "cmvigil-patient-state-changelog")}
    plan, found = read_plan(list(settings.knowledge)), {}
    for key, value in last.items():
        if value is not None and not key.startswith(b"\x00"):
            p = load(plan, key.decode(), value).patient
            held = (*p.lab_facts, *p.dose_facts, *p.people, *p.acts, *(one.event_id for one in p.inbox))
            found[key.decode()] = set(held)
    return found


def watched(settings, log):
    """The events of each patient of a log that rules watch, by identity."""
    plan = read_plan(list(settings.knowledge))
    gate, found = Gate(plan), defaultdict(set)
    for line in log.read_bytes().splitlines():
        event = decoder.decode(line)
        if gate.admit(event) is not None:
            found[event.patient_id].add(event.event_id)
    return found


class Outcome(NamedTuple):
    """What live and replay say."""

    records: int
    changes: int
    missing: list
    extra: list
    two_contents: int
    states_differ: list


def outcome(settings, wanted):
    """What the topics hold, held against a replay's lines."""
    log = [one.value for one in records(settings, "alert-log")]
    contents, said, buried = {}, {}, {}
    for line in log:
        change = json.loads(line)
        contents.setdefault((change["alert_id"], change["seq"]), set()).add(line)
        said[change["alert_id"]] = max(said.get(change["alert_id"], (0,)), (change["seq"], *_stand(change)))
    for one in records(settings, "alerts"):
        buried[one.key.decode()] = one.value is None
    last = {}
    for line in wanted:
        change = json.loads(line)
        last[change["alert_id"]] = _stand(change)
    differ = [key for key, stand in last.items() if said.get(key, (0,))[1:] != stand]
    # What a replay never says may have been said by a clock that knew less, and taken back.
    differ += [key for key, one in said.items() if key not in last and one[1] != "retracted"]
    # The compacted topic holds all of them, but what has been closed for long.
    differ += [key for key in said if buried.get(key, True) and said[key][1] not in ("resolved", "retracted")]
    return Outcome(
        len(log),
        len(contents),
        sorted(set(wanted) - set(log)),
        sorted(set(log) - set(wanted)),
        sum(len(one) > 1 for one in contents.values()),
        differ,
    )


def _stand(change):
    return change["state"], change["severity"]


def settled(settings, wanted, seconds=300, running=()):
    """Waits until the topics hold all that a replay says, and returns what they hold."""
    until = time.monotonic() + seconds
    while True:
        for one in running:
            assert one.process.poll() is None, one.log.read_text()[-800:]
        found = outcome(settings, wanted)
        if (not found.missing and not found.states_differ) or time.monotonic() > until:
            return found
        time.sleep(0.5)


def until(true, seconds=180):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.2)
    assert true()


def assert_equal(settings, wanted, seconds=300, running=()):
    found = settled(settings, wanted, seconds, running)
    assert found.missing == []
    assert found.extra == []
    assert found.two_contents == 0
    assert found.states_differ == []
    return found
