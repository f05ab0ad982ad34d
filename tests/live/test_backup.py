"""Backup and restore, proven by destroying what was backed up: the broker with all its data, or the states alone."""

import gzip
import json
import shutil
import stat
import time

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from streams.live.clients import open_consumer, read
from streams.live.topics import TopicsError, create
from tests.live.driver import SAMPLE, Command, assert_equal, records, replayed, send, settings_for, until, workers
from tests.live.test_faults import parts

pytestmark = pytest.mark.live
STATES = "cmvigil-patient-state-changelog"


def backup(settings, folder, path):
    return Command(settings, folder, "backup", str(path)).wait()


def restore(settings, folder, path):
    return Command(settings, folder, "restore", str(path)).wait()


def make_anew(settings, name):
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    admin.delete_topics([settings.topic(name)])
    until(lambda: settings.topic(name) not in admin.list_topics())
    admin.close()
    time.sleep(1)
    create(settings)


def test_the_broker_and_all_its_data_are_lost(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    first, second = parts(tmp_path, 2)
    file = tmp_path / "backup.gz"
    send(settings, first, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(first), running=running)
        until(lambda: running[0].metric("cmvigil_outbox_changes") == 0)
        done = backup(settings, tmp_path, file)
        assert done.returncode == 0, done.said()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # What comes after the backup is lost with the broker, and has to be sent again.
        send(settings, second, folder=tmp_path)
        until(lambda: running[0].metric("cmvigil_events_total") > 4000)
    own_kafka.stop()
    shutil.rmtree(own_kafka.folder / "data")
    own_kafka.start("9xN0vNmLQ5yq4oYb3aZ0Qw").wait()
    create(settings)

    done = restore(settings, tmp_path, file)
    assert done.returncode == 0, done.said()
    assert done.said().count("will be read from its start") == 4
    send(settings, second, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        # Every change of the whole log, byte for byte: of before from the backup, of after from the workers.
        assert_equal(settings, replayed(SAMPLE), running=running)
        assert running[0].stop() == 0
    again = restore(settings, tmp_path, file)
    assert again.returncode == 2
    assert "holds states" in again.said()


def test_the_states_alone_are_lost_and_the_inputs_are_read_on_from_the_backup(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    first, second = parts(tmp_path, 2)
    file = tmp_path / "backup.gz"
    send(settings, first, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(first), running=running)
        until(lambda: running[0].metric("cmvigil_outbox_changes") == 0)
        time.sleep(2)  # offsets are committed once a second
        assert backup(settings, tmp_path, file).returncode == 0
        send(settings, second, folder=tmp_path)
        assert_equal(settings, replayed(SAMPLE), running=running)
        refused = restore(settings, tmp_path, file)
        assert refused.returncode == 2
        assert "workers: stop them all first" in refused.said()
        assert running[0].stop() == 0
    make_anew(settings, STATES)
    done = restore(settings, tmp_path, file)
    assert done.returncode == 0, done.said()
    assert "alert-log: holds records, and is left as it is" in done.said()
    assert "start" not in done.said()
    with workers(settings, tmp_path) as running:
        running[0].ready()
        # Only the second half is taken again, and what it says is what was said of it before.
        again = len(second.read_bytes().splitlines())
        until(lambda: running[0].metric("cmvigil_events_total") >= again)
        until(lambda: running[0].metric("cmvigil_outbox_changes") == 0)
        assert_equal(settings, replayed(SAMPLE), running=running)
        assert running[0].metric("cmvigil_events_total") < again + 100
        assert running[0].metric("cmvigil_patients") > 0


def test_what_is_no_whole_backup_is_refused_and_nothing_is_written(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    file = tmp_path / "backup.gz"
    assert backup(settings, tmp_path, file).returncode == 0
    taken = backup(settings, tmp_path, file)
    assert taken.returncode == 2
    assert "File exists" in taken.said()
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    head = json.loads(lines[0])
    spoilt = {
        "cut": file.read_bytes()[:-20],
        "short": gzip.compress(lines[0]),
        "none": b"",
        "text": b"no backup",
        "newer": gzip.compress(json.dumps(head | {"cmvigil_backup": 2}).encode() + b"\n" + lines[-1]),
        "miscounted": gzip.compress(lines[0] + b'["alerts",0,null,"e30="]\n' + lines[-1]),
        "other": gzip.compress(json.dumps(head | {"partitions": 5}).encode() + b"\n" + lines[-1]),
    }
    for name, content in spoilt.items():
        path = tmp_path / name
        path.write_bytes(content)
        done = restore(settings, tmp_path, path)
        assert done.returncode == 2, name
        assert done.said().startswith("cmvigil: file: "), (name, done.said())
    assert records(settings, "alerts") == []
    assert "No such file" in restore(settings, tmp_path, tmp_path / "absent").said()


@pytest.mark.parametrize("vanish", ["pause", "kill"])
def test_a_broker_that_vanishes_while_it_is_read_is_said(own_kafka, prefix, vanish):
    settings = settings_for(own_kafka.bootstrap, prefix)
    topic = settings.topic("alert-log")
    producer = KafkaProducer(bootstrap_servers=own_kafka.bootstrap)
    for _ in range(40_000):  # more than the client fetches at a time
        producer.send(topic, value=bytes(500), partition=0)
    producer.close()
    got = []

    def take():
        with open_consumer(settings) as consumer:
            for one in read(consumer, topic, patience=5):
                if not got:
                    getattr(own_kafka, vanish)()
                got.append(one.offset)

    with pytest.raises(TopicsError, match="the broker has sent nothing for 5 s"):
        take()
    assert 0 < len(got) < 40_000
