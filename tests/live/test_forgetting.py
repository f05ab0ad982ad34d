"""A patient forgotten by `cmvigil forget`: nothing is left where Kafka can delete, and what stays elsewhere is told."""

import gzip
import json
import re
from collections import Counter

import pytest

from streams.live.clients import partition_of
from streams.live.forgetting import ask, subject_of
from tests.live.driver import (
    SAMPLE,
    Command,
    Worker,
    assert_equal,
    records,
    replayed,
    send,
    settings_for,
    until,
    workers,
)
from tests.live.test_canary import last
from tests.live.test_faults import send_raw
from tests.live.test_sinks import TOPIC_SINK, Deliverer, Threaded, webhook

pytestmark = pytest.mark.live
SECRET = "a secret of the audit"


@pytest.fixture
def settings(broker, prefix, tmp_path):
    (tmp_path / "key").write_text(SECRET)
    return settings_for(broker, prefix, audit_key_file=tmp_path / "key")


def forget(settings, folder, patient, *words, **more):
    return Command(settings, folder, "forget", patient, "--by", "Lee", *words, **more).wait(240)


def events():
    return [json.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]


def chosen():
    """The patient of the sample log of whom most is said."""
    return Counter(json.loads(line)["patient_id"] for line in replayed(SAMPLE)).most_common(1)[0][0]


def others(patient):
    return [line for line in replayed(SAMPLE) if json.loads(line)["patient_id"] != patient]


def of(settings, patient):
    """Every alert of a patient that is in the compacted topic."""
    return [key for key, value in last(settings, "alerts").items() if json.loads(value)["patient_id"] == patient]


def states(settings):
    return {key.decode() for key in last(settings, "cmvigil-patient-state-changelog")}


def test_a_patient_is_forgotten_and_no_other_is(settings, tmp_path):
    patient = chosen()
    send(settings, SAMPLE, folder=tmp_path)
    # A dead letter of the patient, beside one of another.
    spoilt = [json.dumps({"type": "lab", "patient_id": name}).encode() for name in (patient, patient + "0")]
    send_raw(settings, "lab-results", [(patient.encode(), value) for value in spoilt])
    with workers(settings, tmp_path, 2) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        until(lambda: len(records(settings, "dead-letters")) == 2)
        assert of(settings, patient)

        dry = forget(settings, tmp_path, patient, "--dry-run")
        assert dry.returncode == 0, dry.said()
        assert f"alerts: {len(of(settings, patient))} would be deleted" in dry.said()
        assert patient in states(settings)
        topics = Counter(one["type"] for one in events() if one["patient_id"] == patient)
        spoilt_here = partition_of(patient.encode(), settings.partitions) == 0
        assert f"lab-results: {topics['lab'] + 2 * spoilt_here} records stay for ever" in dry.said()
        assert f"medication-administrations: {topics['administration']} records stay for ever" in dry.said()
        assert "dead-letters: 1 records stay" in dry.said()
        assert records(settings, "audit-log") == []

        done = forget(settings, tmp_path, patient, "--reason", "asked for it")
        assert done.returncode == 0, done.said()
        assert of(settings, patient) == []
        assert patient not in states(settings)
        audited = [json.loads(one.value) for one in records(settings, "audit-log")]
        assert [one["stage"] for one in audited] == ["asked", "done"]
        assert {one["subject"] for one in audited} == {subject_of(patient, SECRET)}
        assert {(one["by"], one["reason"]) for one in audited} == {("Lee", "asked for it")}
        assert audited[1]["state_deleted"] is True
        assert audited[1]["alerts_deleted"] == int(re.search(r"alerts: (\d+) to be", done.said())[1])
        text = done.said() + "".join(one.value.decode() for one in records(settings, "audit-log"))
        assert patient not in text
        assert sum(one.metric("cmvigil_forgotten_patients_total") for one in running) == 1
        assert all(patient not in one.log.read_text() for one in running)
        for one in running:
            assert one.stop() == 0
    # Who starts anew recovers nothing of it, and every other alert stands.
    with workers(settings, tmp_path) as running:
        running[0].ready()
        held = {json.loads(value)["alert_id"] for value in last(settings, "alerts").values()}
        assert running[0].metric("cmvigil_patients") == len(states(settings))
        assert patient not in states(settings)
        assert of(settings, patient) == []
        open_ones = {}
        for line in others(patient):
            change = json.loads(line)
            open_ones[change["alert_id"]] = change["state"]
        assert {key for key, state in open_ones.items() if state not in ("resolved", "retracted")} <= held
        again = forget(settings, tmp_path, patient)
        assert again.returncode == 0
        assert "state: none" in again.said()


def test_where_no_worker_is_it_says_so_and_it_is_done_once_one_runs(settings, tmp_path):
    patient = chosen()
    send(settings, SAMPLE, folder=tmp_path)
    waiting = forget(settings, tmp_path, patient, "--wait", "1")
    assert waiting.returncode == 1
    assert "no worker has taken it yet" in waiting.said()
    with workers(settings, tmp_path) as running:
        running[0].ready()
        done = forget(settings, tmp_path, patient)
        assert done.returncode == 0, done.said()
        assert patient not in states(settings)
        assert of(settings, patient) == []


@pytest.mark.parametrize("instant", ["before-burial:1", "before-changelog:1"])
def test_killed_while_it_forgets_it_ends_up_forgotten(settings, tmp_path, instant):
    patient = chosen()
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        until(lambda: running[0].metric("cmvigil_outbox_changes") == 0)
        assert running[0].stop() == 0
    one = Worker(settings, tmp_path, kill=instant)
    try:
        one.ready()
        ask(settings, patient)
        assert one.process.wait(60) == -9
    finally:
        if one.process.poll() is None:
            one.kill()
    assert patient in states(settings)
    with workers(settings, tmp_path) as running:
        until(lambda: patient not in states(settings))
        until(lambda: of(settings, patient) == [])
        running[0].ready()


def waits_for(folder):
    """What the store of a deliverer holds, as bytes."""
    return b"".join(file.read_bytes() for file in folder.glob("d.sqlite*"))


def audited(settings, patient):
    """The audit records of one patient, in order."""
    found = [json.loads(one.value) for one in records(settings, "audit-log")]
    return [one for one in found if one["subject"] == subject_of(patient, SECRET)]


def test_what_waits_to_be_delivered_goes_with_the_one_command_and_a_new_store_never_sends_it(settings, tmp_path):
    patient = chosen()
    send(settings, SAMPLE, folder=tmp_path)
    hook = Threaded()  # away: everything waits
    store, toml = tmp_path / "store", webhook("pharmacy", hook, tmp_path / "store")
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        deliverer = Deliverer(settings, store, toml).ready()
        until(lambda: deliverer.pending() == len(replayed(SAMPLE)))
        assert patient.encode() in waits_for(store)
        done = forget(settings, tmp_path, patient)
        assert done.returncode == 0, done.said()
        assert "deliverer cmvigil-deliver: what it kept of the patient is deleted" in done.said()
        assert deliverer.pending() == len(others(patient))
        assert deliverer.stop() == 0
        assert patient.encode() not in waits_for(store)
        assert audited(settings, patient)[-1]["deliverers"] == {"cmvigil-deliver": "done"}

        # While it is down there is nobody to delete: that is said, and made good once it runs.
        second = json.loads(others(patient)[0])["patient_id"]
        waiting = forget(settings, tmp_path, second, "--wait", "10")
        assert waiting.returncode == 1
        assert "a deliverer has not read of it yet" in waiting.said()
        assert audited(settings, second)[-1]["deliverers"] == {"cmvigil-deliver": "waiting"}
        assert audited(settings, second)[-1]["stage"] == "incomplete"
        deliverer = Deliverer(settings, store, toml).ready()
        assert forget(settings, tmp_path, second).returncode == 0
        assert deliverer.stop() == 0
        assert second.encode() not in waits_for(store)

    # A store that is new reads to the end of `alert-log`, which still holds all of it, before it delivers.
    for file in store.glob("d.sqlite*"):
        file.unlink()
    hook.start()
    deliverer = Deliverer(settings, store, toml).ready()
    left = [line for line in others(patient) if json.loads(line)["patient_id"] != second]
    until(lambda: len({one.body for one in hook.server.taken}) == len(left))
    until(lambda: deliverer.pending() == 0)
    assert {one.body for one in hook.server.taken} == set(left)
    assert deliverer.stop() == 0
    hook.stop()


def resources(settings, topic):
    """The patients of the resources that a topic holds, by key."""
    whose = {}
    for one in records(settings, topic):
        if one.value is None:
            del whose[one.key]
        else:
            whose[one.key] = dict(one.headers)["patient_id"].decode()
    return whose


def test_fhir_resources_in_kafka_are_deleted_in_every_topic_that_is_named(settings, tmp_path):
    patient = chosen()
    send(settings, SAMPLE, folder=tmp_path)
    toml = TOPIC_SINK + TOPIC_SINK.replace("issues", "ward") + 'topic = "of-the-ward"\n'
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        deliverer = Deliverer(settings, tmp_path / "store", toml).ready()
        until(lambda: deliverer.metric("cmvigil_sink_lag_messages") == 0 and deliverer.pending() == 0)
        held = resources(settings, "detected-issues")
        assert held == resources(settings, "of-the-ward")
        count = sum(one == patient for one in held.values())
        assert count == len({json.loads(line)["alert_id"] for line in replayed(SAMPLE)}) - len(
            {json.loads(line)["alert_id"] for line in others(patient)}
        )

        wrong = forget(settings, tmp_path, patient, "--fhir-topic", "nowhere")
        assert wrong.returncode == 2
        assert f"--fhir-topic: there is no {settings.topic('nowhere')}" in wrong.said()
        assert records(settings, "audit-log") == []
        done = forget(settings, tmp_path, patient)
        assert done.returncode == 0, done.said()
        assert f"detected-issues: {count} resources to be deleted" in done.said()
        left = {key: one for key, one in held.items() if one != patient}
        assert resources(settings, "detected-issues") == left
        assert resources(settings, "of-the-ward") == held
        assert audited(settings, patient)[-1]["issues_deleted"] == {"detected-issues": count}

        both = forget(settings, tmp_path, patient, "--fhir-topic", "detected-issues", "--fhir-topic", "of-the-ward")
        assert both.returncode == 0, both.said()
        assert "detected-issues: none" in both.said()
        assert resources(settings, "of-the-ward") == left
        assert audited(settings, patient)[-1]["issues_deleted"] == {"detected-issues": 0, "of-the-ward": count}
        assert deliverer.stop() == 0
