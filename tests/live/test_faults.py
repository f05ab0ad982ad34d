"""What no input and no broker may do: be lost, stop the worker for good, or make it say what is not so."""

import gzip
import json
import time

import pytest
from kafka import KafkaProducer

from tests.live.broker import Kafka, NoBroker, free_port, without
from tests.live.driver import SAMPLE, Worker, assert_equal, limit, records, replayed, send, settings_for, until, workers

pytestmark = pytest.mark.live

GOOD = {
    "type": "lab",
    "event_id": "L1",
    "patient_id": "secret-patient",
    "code": "2160-0",
    "value": 1.9,
    "unit": "mg/dL",
    "collected_at": "2026-03-04T06:00:00Z",
    "recorded_at": "2026-03-04T07:10:00Z",
}
POISON = (
    (b"secret-patient", b"no json"),
    (b"secret-patient", b"\xff\xfe\x00"),
    (b"secret-patient", b"[" * 5000),
    (b"secret-patient", json.dumps(GOOD | {"value": -1}).encode()),
    (b"secret-patient", json.dumps(GOOD | {"unit": "furlong"}).encode()),
    (b"secret-patient", json.dumps(GOOD | {"recorded_at": "2099-01-01T00:00:00Z", "collected_at": None}).encode()),
    (b"another", json.dumps(GOOD).encode()),
    (None, json.dumps(GOOD).encode()),
    (b"secret-patient", b"{}"),
    (b"secret-patient", json.dumps({"resourceType": "Observation"}).encode()),
)


def send_raw(settings, topic, messages):
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all")
    for key, value in messages:
        producer.send(settings.topic(topic), key=key, value=value, partition=0)
    producer.flush()
    producer.close()


def test_poison_goes_to_the_dead_letters_with_its_bytes_and_the_good_go_on(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    send_raw(settings, "lab-results", POISON)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        until(lambda: len(records(settings, "dead-letters")) == len(POISON))
        page = running[0].page("/metrics")[1]
        log = running[0].log.read_text()
    letters = [json.loads(one.value) for one in records(settings, "dead-letters")]
    assert all(one["reason"] and one["source"].startswith("lab-results/0/") for one in letters)
    import base64

    kept = {one["input"].encode() if "input" in one else base64.b64decode(one["input_base64"]) for one in letters}
    assert kept == {value for _, value in POISON}
    assert all("secret" not in one["reason"] for one in letters)
    assert "secret" not in page
    assert "secret" not in log


def test_a_worker_that_cannot_write_dead_letters_ends_and_loses_none(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    with workers(settings, tmp_path) as running:
        running[0].ready()
        limit(settings, "dead-letters", "50")
        send_raw(settings, "lab-results", POISON[:3])
        assert running[0].process.wait(180) == 1
    assert records(settings, "dead-letters") == []
    limit(settings, "dead-letters", str(8 * 1024 * 1024))
    with workers(settings, tmp_path):
        until(lambda: len(records(settings, "dead-letters")) == 3)


def parts(folder, count):
    """The sample log in order of recording, in parts."""
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
    lines.sort(key=lambda line: json.loads(line)["recorded_at"])
    size = -(-len(lines) // count)
    for i in range(count):
        path = folder / f"part-{i}.ndjson"
        path.write_bytes(b"\n".join(lines[i * size : (i + 1) * size]))
        yield path


def test_from_one_worker_to_three_and_back(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    logs = list(parts(tmp_path, 4))
    first = Worker(settings, tmp_path).ready()
    send(settings, logs[0], folder=tmp_path)
    more = [Worker(settings, tmp_path) for _ in range(2)]
    try:
        send(settings, logs[1], folder=tmp_path)
        for one in more:
            one.ready()
        send(settings, logs[2], folder=tmp_path)
        assert more[0].stop() == 0
        more[1].kill()
        send(settings, logs[3], folder=tmp_path)
        assert_equal(settings, replayed(SAMPLE), running=[first])
        assert first.stop() == 0
    finally:
        for one in (first, *more):
            if one.process.poll() is None:
                one.kill()


class Supervised:
    """A worker that is started anew when it ends by itself, as systemd would."""

    def __init__(self, settings, folder):
        self.settings, self.folder, self.ends = settings, folder, []
        self.worker = Worker(settings, folder)

    def look(self):
        if self.worker.process.poll() is not None:
            self.ends.append(self.worker.process.returncode)
            self.worker = Worker(self.settings, self.folder)

    def over(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.5)


def settled_under(supervised, settings, wanted, seconds=400):
    from tests.live.driver import outcome

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        supervised.over(2)
        found = outcome(settings, wanted)
        if not found.missing and not found.states_differ:
            break
    assert (found.missing, found.extra, found.two_contents, found.states_differ) == ([], [], 0, [])
    assert 0 not in supervised.ends


def test_a_broker_killed_and_started_anew(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    logs = list(parts(tmp_path, 2))
    supervised = Supervised(settings, tmp_path)
    try:
        send(settings, logs[0], folder=tmp_path)
        supervised.over(4)
        own_kafka.kill()
        supervised.over(5)
        own_kafka.start().wait()
        send(settings, logs[1], folder=tmp_path)
        settled_under(supervised, settings, replayed(SAMPLE))
    finally:
        supervised.worker.kill()


def test_a_broker_out_of_reach_for_a_minute(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    supervised = Supervised(settings, tmp_path)
    try:
        supervised.worker.ready()
        send(settings, SAMPLE, folder=tmp_path)
        own_kafka.pause()
        supervised.over(60)
        own_kafka.resume()
        settled_under(supervised, settings, replayed(SAMPLE))
    finally:
        own_kafka.resume()
        supervised.worker.kill()


def test_one_of_three_brokers_lost(prefix, tmp_path):
    ports = {node: (free_port(), free_port()) for node in (1, 2, 3)}
    nodes = [Kafka(tmp_path / "kafka", node, ports) for node in ports]
    try:
        try:
            for one in nodes:
                one.start()
            for one in nodes:
                one.wait()
        except NoBroker as error:
            without(str(error))
        everywhere = ",".join(one.bootstrap for one in nodes)
        settings = settings_for(everywhere, prefix, replication_factor=3, min_insync_replicas=2)
        logs = list(parts(tmp_path, 2))
        supervised = Supervised(settings, tmp_path)
        send(settings, logs[0], folder=tmp_path)
        supervised.over(3)
        nodes[1].kill()
        send(settings, logs[1], folder=tmp_path)
        settled_under(supervised, settings, replayed(SAMPLE))
        supervised.worker.kill()
    finally:
        for one in nodes:
            one.stop()
