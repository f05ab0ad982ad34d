"""`cmvigil deliver` on a real broker: what the log holds is what the sinks get, through outages and kill -9."""

import asyncio
import json
import os
import subprocess
import threading
import time

import pytest
from fhir.resources.R4B.detectedissue import DetectedIssue
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from standardwebhooks import Webhook

from streams.live.clients import partition_of
from streams.sinks.detected_issue import STATUS_OF
from tests.live.broker import free_port
from tests.live.driver import (
    CMVIGIL,
    ROOT,
    SAMPLE,
    Worker,
    assert_equal,
    records,
    replayed,
    send,
    settings_for,
    until,
    workers,
)
from tests.streams.sink_changes import change, encoded
from tests.streams.sink_servers import SECRET, Server

pytestmark = pytest.mark.live


class Threaded:
    """A server of tests/streams/sink_servers.py in a thread, to be stopped and started on one port."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = Server(port=free_port())

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def start(self):
        self._do(self.server.start())
        return self

    def stop(self):
        self._do(self.server.stop())


class Deliverer(Worker):
    """`cmvigil deliver` as a process of its own."""

    def __init__(self, settings, folder, toml):
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "deliver.log"
        (folder / "secret").write_text(SECRET)
        config = folder / "deliver.toml"
        head = {"topic_prefix": settings.topic_prefix, "store": f"{folder}/d.sqlite", "partitions": settings.partitions}
        head |= {"bootstrap_servers": settings.bootstrap_servers, "http_port": self.port}
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in head.items()) + toml)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CMVIGIL_")}
        with self.log.open("ab") as out:
            command = [CMVIGIL, "deliver", "--config", str(config)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=out, stderr=out)

    def pending(self):
        return self.metric("cmvigil_sink_pending")


def webhook(name, server, folder, **more):
    given = {"kind": "webhook", "name": name, "url": server.server.url, "secret_file": f"{folder}/secret"}
    given |= {"timeout_seconds": 2, "longest_wait_seconds": 1} | more
    return "[[sinks]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())


TOPIC_SINK = '[[sinks]]\nkind = "fhir-topic"\nname = "issues"\n'


def logged(settings):
    return [one.value for one in records(settings, "alert-log")]


def pairs(lines):
    return {(one["alert_id"], one["seq"]) for one in map(json.loads, lines)}


def test_what_the_log_holds_is_what_the_sinks_get_through_an_outage_and_kill_9(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
    wanted = logged(settings)
    hook = Threaded()

    def slow(number, got):
        time.sleep(0.02)
        return 500 if number % 7 == 0 else 200

    hook.server.behave = slow
    hook.start()
    toml = webhook("pharmacy", hook, tmp_path, at_once=2) + TOPIC_SINK
    first = Deliverer(settings, tmp_path, toml)
    until(lambda: len(hook.server.taken) >= 20)
    first.kill()
    hook.stop()
    assert len(pairs(one.body for one in hook.server.taken)) < len(pairs(wanted))

    during = Deliverer(settings, tmp_path, toml).ready()
    until(lambda: during.metric("cmvigil_sink_lag_messages") == 0 and during.pending() > 0)
    until(lambda: during.metric("cmvigil_sink_oldest_pending_age_seconds") > 0)
    during.kill()

    hook.start()
    after = Deliverer(settings, tmp_path, toml).ready()
    until(lambda: after.pending() == 0)
    page = after.page("/metrics")[1]
    until(lambda: _committed(settings) == len(wanted), 30)
    assert after.stop() == 0

    bodies = {}
    for got in hook.server.taken:
        Webhook(SECRET).verify(got.body, got.headers)
        bodies.setdefault(got.headers["webhook-id"], set()).add(got.body)
    assert {body for found in bodies.values() for body in found} == set(wanted)
    assert len(bodies) == len(pairs(wanted))
    firsts = list(dict.fromkeys(hook.server.pairs()))
    for alert_id in {one for one, _ in firsts}:
        seqs = [seq for one, seq in firsts if one == alert_id]
        assert seqs == list(range(1, len(seqs) + 1))

    _assert_issues(settings, wanted)
    patients = {json.loads(line)["patient_id"] for line in wanted}
    log = after.log.read_text()
    assert not any(patient in page or patient in log for patient in patients)


def _assert_issues(settings, wanted):
    issues = records(settings, "detected-issues")
    sent = {(dict(one.headers)["alert_id"].decode(), int(dict(one.headers)["seq"])) for one in issues}
    assert sent == pairs(wanted)
    last = {(one["alert_id"], one["seq"]): one for one in map(json.loads, wanted)}
    stands = dict(sorted(last))
    found = {}
    for one in issues:
        resource = json.loads(one.value)
        DetectedIssue.model_validate(resource)
        patient = dict(one.headers)["patient_id"]
        assert resource["patient"]["reference"] == f"Patient/{patient.decode()}"
        assert one.key.decode() == resource["id"]
        assert one.partition == partition_of(patient, settings.partitions)
        found[resource["identifier"][0]["value"]] = resource["status"]
    assert found == {alert_id: STATUS_OF[last[alert_id, seq]["state"]] for alert_id, seq in stands.items()}


def _committed(settings):
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, group_id="cmvigil-deliver")
    topic = settings.topic("alert-log")
    tps = [TopicPartition(topic, number) for number in range(settings.partitions)]
    done = sum(consumer.committed(tp) or 0 for tp in tps)
    consumer.close()
    return done


def say(settings, *alerts):
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all")
    for one in alerts:
        value = one if isinstance(one, bytes) else encoded(one)
        producer.send(settings.topic("alert-log"), key=b"mrn-0042", value=value)
    producer.flush()
    producer.close()


def test_a_critical_alert_on_which_nobody_acts_goes_on_though_the_deliverer_was_killed(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    pharmacy, oncall = Threaded(), Threaded().start()
    toml = webhook("pharmacy", pharmacy, tmp_path) + webhook("oncall", oncall, tmp_path)
    toml += '[[escalation]]\nsink = "oncall"\nafter_minutes = 0.15\n'
    say(
        settings,
        b"no change",
        change(alert_id="acted"),
        change(alert_id="left"),
        change(alert_id="mild", severity="warning"),
    )
    first = Deliverer(settings, tmp_path, toml).ready()
    until(lambda: first.pending() == 3)  # the pharmacy is away
    began = time.monotonic()
    first.kill()
    say(settings, change(2, "acknowledged", "acknowledged", alert_id="acted"))
    second = Deliverer(settings, tmp_path, toml).ready()
    until(lambda: oncall.server.taken)
    assert time.monotonic() - began < 60
    assert oncall.server.pairs() == [("left", 1)]
    assert oncall.server.taken[0].headers["cmvigil-escalated"] == "true"
    assert second.metric("cmvigil_sink_escalations_total") == 1
    say(settings, change(2, "acknowledged", "acknowledged", alert_id="left"))
    until(lambda: oncall.server.pairs() == [("left", 1), ("left", 2)])
    pharmacy.start()
    until(lambda: second.pending() == 0)
    assert sorted(pharmacy.server.pairs()) == [("acted", 1), ("acted", 2), ("left", 1), ("left", 2), ("mild", 1)]
    assert oncall.server.pairs() == [("left", 1), ("left", 2)]
    second.stop()


def test_a_broker_that_is_away_stops_neither_delivery_nor_escalation(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    pharmacy, oncall = Threaded(), Threaded().start()
    toml = webhook("pharmacy", pharmacy, tmp_path) + webhook("oncall", oncall, tmp_path) + TOPIC_SINK
    toml += '[[escalation]]\nsink = "oncall"\nafter_minutes = 0.05\n'
    say(settings, change())
    one = Deliverer(settings, tmp_path, toml).ready()
    until(lambda: one.metric("cmvigil_sink_changes_total") == 1)
    own_kafka.kill()
    one.kill()
    one = Deliverer(settings, tmp_path, toml)
    pharmacy.start()
    until(lambda: pharmacy.server.pairs() == [(change().alert_id, 1)])
    until(lambda: oncall.server.pairs() == [(change().alert_id, 1)])
    assert one.page("/healthz")[0] == 200
    assert one.page("/readyz")[0] == 503
    own_kafka.start().wait()
    say(settings, change(2, "resolved", "resolved"))
    until(lambda: oncall.server.pairs() == [(change().alert_id, 1), (change().alert_id, 2)])
    until(lambda: one.pending() == 0)
    _assert_issues(settings, logged(settings))
    assert one.page("/readyz")[0] == 200
    one.stop()
