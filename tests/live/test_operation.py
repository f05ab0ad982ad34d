"""How a worker is run: started, asked, stopped; and what it refuses."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from streams.live.produce import record_size
from streams.live.settings import load_settings
from streams.live.topics import check, layout, retention
from tests.live.broker import Kafka, NoBroker, free_port, without
from tests.live.driver import (
    ROOT,
    SAMPLE,
    Worker,
    assert_equal,
    limit,
    records,
    replayed,
    send,
    settings_for,
    until,
    workers,
)

pytestmark = pytest.mark.live
CMVIGIL = str(Path(sys.executable).parent / "cmvigil")


def cmvigil(*words, **more):
    return subprocess.run([CMVIGIL, *words], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, **more)


def test_topics_are_made_once_and_checked(broker, prefix):
    made = cmvigil("topics", "--bootstrap", broker, "--prefix", prefix)
    assert made.returncode == 0, made.stderr
    assert f"made {prefix}lab-results" in made.stdout
    again = cmvigil("topics", "--bootstrap", broker, "--prefix", prefix)
    assert again.returncode == 0
    assert "made" not in again.stdout


def test_a_worker_refuses_a_wrong_layout_and_says_what_to_do(broker, prefix):
    missing = cmvigil("worker", "--bootstrap", broker, "--prefix", prefix)
    assert missing.returncode == 2
    assert f"topic {prefix}lab-results: missing; run `cmvigil topics`" in missing.stderr
    settings = settings_for(broker, prefix)
    wrong = cmvigil("worker", "--bootstrap", broker, "--prefix", prefix)
    assert wrong.returncode == 2
    assert f"{settings.partitions} partitions, 8 are set" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == len(layout(settings))


def test_topics_right_by_the_brokers_default_are_right_and_too_few_copies_are_named(broker, prefix):
    settings = settings_for(broker, prefix)
    wanted = next(one for one in layout(settings) if one.name.endswith("alert-log"))
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.delete_topics([wanted.name])
    # The broker's own cleanup.policy and retention.bytes are what is wanted.
    given = {name: value for name, value in wanted.configs.items() if name not in ("cleanup.policy", "retention.bytes")}
    until(lambda: wanted.name not in admin.list_topics())
    admin.create_topics([NewTopic(wanted.name, wanted.partitions, 1, topic_configs=given)])
    admin.close()
    until(lambda: check(settings) == [])
    few = cmvigil(
        "topics",
        "--check",
        "--bootstrap",
        broker,
        "--prefix",
        prefix,
        env=os.environ | {"CMVIGIL_PARTITIONS": str(settings.partitions), "CMVIGIL_REPLICATION_FACTOR": "2"},
    )
    assert few.returncode == 2
    said = few.stderr.splitlines()
    assert len(said) == len(layout(settings))
    assert all("replication 1, 2 is set; " in line for line in said)


def test_topics_are_made_with_the_retention_that_is_set_and_another_is_named(broker, prefix, tmp_path):
    where = ("--bootstrap", broker, "--prefix", prefix)
    config = tmp_path / "cmvigil.toml"
    config.write_text("alert_log_retention_hours = 87600\naudit_log_retention_hours = -1\n")
    env = os.environ | {"CMVIGIL_DEAD_LETTERS_RETENTION_HOURS": "720"}
    made = cmvigil("topics", "--config", str(config), *where, env=env)
    assert made.returncode == 0, made.stderr
    kept = retention(load_settings(None, {}, bootstrap_servers=broker, topic_prefix=prefix))
    assert (kept["alert-log"], kept["dead-letters"], kept["audit-log"]) == (87600 * 3_600_000, 720 * 3_600_000, -1)
    other = cmvigil("topics", "--check", *where, env=env)
    assert other.returncode == 2
    assert other.stderr.strip() == (
        f"cmvigil: topic {prefix}alert-log: retention.ms is 315360000000, not -1; alter it with kafka-configs"
    )


def test_a_message_that_its_topic_would_not_take_is_rejected_alone(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, partitions=1)
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
    labs = [line for line in lines if json.loads(line)["type"] == "lab"][:50]
    large = json.dumps(json.loads(labs[25]) | {"event_id": "large", "note": "x" * 1_100_000}).encode()
    log, rejects = tmp_path / "log.ndjson", tmp_path / "rejects"
    log.write_bytes(b"\n".join([*labs[:25], large, *labs[25:]]))
    sent = cmvigil("produce", str(log), "--bootstrap", broker, "--prefix", prefix, "--rejects", str(rejects))
    assert (sent.returncode, sent.stderr.count("\n")) == (0, 1), sent.stderr
    assert "50 events" in sent.stderr
    assert "1 rejected" in sent.stderr
    assert sorted(one.value for one in records(settings, "lab-results") if one.key) == sorted(labs)
    (one,) = map(json.loads, rejects.read_text().splitlines())
    assert (one["line"], one["bytes"], one["sha256"]) == (26, len(large), hashlib.sha256(large).hexdigest())
    assert one["reason"].startswith("too large: ")


def test_what_is_just_small_enough_is_taken_and_batches_stay_below_a_small_limit(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, partitions=1)
    size = 4000
    limit(settings, "lab-results", str(size))
    lab = {"type": "lab", "event_id": "e", "patient_id": "p", "code": "2160-0", "value": 1, "unit": "mg/dL"}
    lab |= {"collected_at": "2026-03-04T06:00:00Z", "recorded_at": "2026-03-04T07:00:00Z", "note": ""}
    room = size - record_size(b"p", json.dumps(lab).encode())
    # A byte more of the record's own length: see that it is exact.
    fits, over = (json.dumps(lab | {"note": "x" * count}) for count in (room, room + 1))
    small = [json.dumps(lab | {"event_id": f"e{i}"}) for i in range(200)]
    log = tmp_path / "log.ndjson"
    log.write_text("\n".join([*small, fits, over]))
    sent = cmvigil("produce", str(log), "--bootstrap", broker, "--prefix", prefix)
    assert sent.returncode == 0, sent.stderr
    assert "201 events" in sent.stderr
    assert "1 rejected" in sent.stderr
    assert {one.value.decode() for one in records(settings, "lab-results") if one.key} == {*small, fits}


def test_a_file_for_tls_that_is_missing_is_said_by_its_name():
    given = {"CMVIGIL_SECURITY_PROTOCOL": "SSL", "CMVIGIL_SSL_CAFILE": "/none/ca.pem", "CMVIGIL_LIVE": ""}
    for words in (["topics"], ["produce", str(SAMPLE)], ["worker"]):
        answer = cmvigil(*words, "--bootstrap", "127.0.0.1:1", env=os.environ | given)
        assert (answer.returncode, answer.stderr) == (2, "cmvigil: ssl_cafile: cannot be read\n")


def test_no_broker_is_a_failure_to_be_tried_again_and_no_wrong_setting():
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda command: cmvigil(command, "--bootstrap", "127.0.0.1:1"), ("worker", "canary"))
    for answer in answers:
        # With 2 systemd would not start it anew (deploy/systemd).
        assert answer.returncode == 1
        assert "broker" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_worker_whose_broker_is_gone_before_it_has_started_ends(tmp_path):
    settings = load_settings(None, {}, bootstrap_servers=f"127.0.0.1:{free_port()}")
    # It runs without a look at the topics first, as if the broker had gone just after it.
    one = Worker(settings, tmp_path, kill="assigned:1")
    assert one.process.wait(60) == 1
    assert '"worker ends","why":"start: ' in one.said()


def test_produce_sends_a_log_and_a_worker_says_what_a_replay_says(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    sent = cmvigil("produce", str(SAMPLE), "--bootstrap", broker, "--prefix", prefix, "--marker-seconds", "7200")
    assert sent.returncode == 0, sent.stderr
    assert "4409 events" in sent.stderr
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)


def test_a_worker_tells_its_health_stops_within_its_grace_and_logs_json(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    one = Worker(settings, tmp_path)
    try:
        one.ready()
        assert one.page("/healthz")[0] == 200
        assert_equal(settings, replayed(SAMPLE), running=[one])
        assert one.metric("cmvigil_events_total") == 4409
        assert one.metric("cmvigil_alert_changes_total") == len(replayed(SAMPLE))
        assert one.metric("cmvigil_outbox_changes") == 0
        raised = sum(json.loads(line)["status"] == "raised" for line in replayed(SAMPLE))
        assert 0 < one.metric("cmvigil_open_alerts") <= raised
        started = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - started < 30
    finally:
        if one.process.poll() is None:
            one.kill()
    lines = [json.loads(line) for line in one.log.read_text().splitlines()]
    assert {"worker starts", "worker stops"} <= {line["message"] for line in lines}
    patients = {json.loads(line)["patient_id"] for line in replayed(SAMPLE)}
    assert not any(patient in one.log.read_text() for patient in patients)


def test_a_worker_started_again_goes_on_and_repeats_nothing(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        first = assert_equal(settings, replayed(SAMPLE), running=running)
        assert running[0].stop() == 0
    with workers(settings, tmp_path) as running:
        running[0].ready()
        time.sleep(2)
        again = assert_equal(settings, replayed(SAMPLE), running=running)
        assert again.records == first.records
        assert running[0].metric("cmvigil_events_total") == 0
        assert running[0].metric("cmvigil_open_alerts") > 0


def test_beyond_loopback_a_token_is_asked_for(broker, prefix, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("a-long-enough-token\n")
    settings = settings_for(broker, prefix, http_host="0.0.0.0", http_token_file=secret)
    with workers(settings, tmp_path) as running:
        end = time.monotonic() + 30
        while running[0].page("/healthz")[0] != 200 and time.monotonic() < end:
            time.sleep(0.2)
        assert running[0].page("/metrics")[0] == 401
        assert running[0].page("/metrics", Authorization="Bearer wrong")[0] == 401
        assert running[0].page("/metrics", Authorization="Bearer a-long-enough-token")[0] == 200
    assert "a-long-enough-token" not in running[0].log.read_text()


def test_tls_and_scram(prefix, tmp_path):
    key, certificate, store = tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "store.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    store.write_text(key.read_text() + certificate.read_text())
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    more = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": login,
    }
    node = None
    try:
        node = Kafka(
            tmp_path / "kafka", protocol="SASL_SSL", scram="SCRAM-SHA-512=[name=watch,password=s3cret-word]", **more
        )
        node.start()
        end = time.monotonic() + 60
        given = {
            "security_protocol": "SASL_SSL",
            "ssl_cafile": certificate,
            "sasl_username": "watch",
            "sasl_password_file": tmp_path / "password",
        }
        (tmp_path / "password").write_text("s3cret-word\n")
        while True:
            try:
                settings = settings_for(node.bootstrap, prefix, **given)
                break
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
    except NoBroker as error:
        without(str(error))
    try:
        send(settings, SAMPLE, folder=tmp_path)
        with workers(settings, tmp_path) as running:
            running[0].ready()
            end = time.monotonic() + 180
            while running[0].metric("cmvigil_events_total") < 4409 and time.monotonic() < end:
                time.sleep(0.5)
            assert running[0].metric("cmvigil_events_total") == 4409
            until(lambda: running[0].metric("cmvigil_outbox_changes") == 0)
        assert "s3cret-word" not in running[0].log.read_text()
        (tmp_path / "password").write_text("wrong\n")
        refused = Worker(settings, tmp_path)
        # Tried again by whoever supervises it: the broker may be given the new password later than we.
        assert refused.process.wait(180) == 1
    finally:
        node.stop()


def test_a_secret_that_cannot_be_read_is_said_by_its_name(broker, prefix, tmp_path):
    answer = cmvigil(
        "worker",
        "--bootstrap",
        broker,
        "--prefix",
        prefix,
        env=os.environ | {"CMVIGIL_HTTP_TOKEN_FILE": str(tmp_path / "none"), "CMVIGIL_LIVE": ""},
    )
    assert answer.returncode == 2
    assert answer.stderr == "cmvigil: http_token_file: cannot be read\n"
