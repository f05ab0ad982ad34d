"""`cmvigil deliver` as it is called: the upkeep of its store, what it refuses, how it starts and ends without Kafka."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.errors import GroupAuthorizationFailedError, KafkaError
from typer.testing import CliRunner

from streams.cli import app
from streams.sinks import intake as reading
from streams.sinks.intake import QUIET_SECONDS, Intake
from streams.sinks.run import not_ready
from streams.sinks.settings import load_delivery
from streams.sinks.store import Done, Record, Routes, due, finish, lock_store, open_store, take, wall
from streams.sinks.upkeep import loads, refused
from tests.live.broker import free_port
from tests.streams.sink_changes import change, encoded
from tests.streams.sink_servers import SECRET

ROUTES = Routes({"hook": 0, "old": 0}, frozenset(), frozenset(), frozenset())


@pytest.fixture
def config(tmp_path):
    """Settings without a broker, and a store with one change refused and one that waits, for `hook` and for `old`."""
    (tmp_path / "secret").write_text(SECRET)
    file = tmp_path / "deliver.toml"
    file.write_text(
        f'bootstrap_servers = "127.0.0.1:1"\nstore = "{tmp_path}/d.sqlite"\nhttp_port = {free_port()}\n'
        f'[[sinks]]\nkind = "webhook"\nname = "hook"\nurl = "http://127.0.0.1:{free_port()}/"\n'
        f'secret_file = "{tmp_path}/secret"\n'
    )
    db = open_store(tmp_path / "d.sqlite")
    changes = (change(alert_id="a"), change(alert_id="b", patient_id="mrn-0007"))
    take(db, [Record("alert-log", 0, n, encoded(one)) for n, one in enumerate(changes)], ROUTES, wall())
    finish(db, [Done(due(db, "hook", wall(), 1)[0], refused=422)])
    db.close()
    return file


def call(config, *words, stdin=None):
    done = CliRunner().invoke(app, ["deliver", "--config", str(config), *words], input=stdin)
    return done.exit_code, done.stdout, done.stderr


def look(config, how):
    db = open_store(config.with_name("d.sqlite"))
    try:
        return how(db)
    finally:
        db.close()


def test_what_was_refused_is_listed_and_put_in_line_again(config):
    status, out, _ = call(config, "--refused")
    assert (status, json.loads(out)) == (0, {"sink": "hook", "alert_id": "a", "seq": 1, "status": 422})
    assert call(config, "--retry-refused") == (0, "", "cmvigil: 1 changes are in line again\n")
    assert call(config, "--refused") == (0, "", "")
    assert look(config, lambda db: loads(db, []))["hook"].pending == 2


def test_a_sink_that_is_no_more_is_forgotten_and_one_that_is_set_is_not(config):
    assert call(config, "--drop-sink", "old") == (0, "", "cmvigil: 2 changes for that sink are forgotten\n")
    assert call(config, "--drop-sink", "hook")[0] == 2
    assert set(look(config, lambda db: loads(db, []))) == {"hook"}


def test_a_patient_named_on_standard_input_is_forgotten(config):
    assert call(config, "--forget", stdin="\n")[0] == 2
    assert call(config, "--forget", stdin="mrn-0042\n") == (0, "", "cmvigil: 1 alerts are forgotten\n")
    assert look(config, lambda db: list(refused(db))) == []
    assert b"mrn-0042" not in config.with_name("d.sqlite").read_bytes()


def test_upkeep_makes_no_store(config):
    config.with_name("d.sqlite").unlink()
    status, _, said = call(config, "--refused")
    assert (status, said) == (2, "cmvigil: store: there is none\n")
    assert not config.with_name("d.sqlite").exists()


def secured(file):
    login = f'sasl_username = "u"\nsasl_password_file = "{file.parent}/none"\n'
    file.write_text(f'security_protocol = "SASL_SSL"\n{login}' + file.read_text())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "secret").write_text("hush-hush"), "hook: secret_file"),
        (lambda folder: (folder / "secret").unlink(), "hook: secret_file: cannot be read"),
        (lambda folder: secured(folder / "deliver.toml"), "sasl_password_file: cannot be read"),
        (lambda folder: (folder / "d.sqlite").write_bytes(b"hush-hush" * 1000), "store: DatabaseError"),
    ],
)
def test_what_it_cannot_start_with_ends_it_with_status_2_and_is_not_shown(config, spoil, said):
    spoil(config.parent)
    status, out, shown = call(config)
    assert status == 2
    assert said in shown
    assert "hush-hush" not in out + shown


def test_a_store_that_another_has_is_left_alone(config):
    with lock_store(config.with_name("d.sqlite")):
        status, _, said = call(config)
    assert (status, said) == (2, "cmvigil: store: another deliverer uses it\n")


class Running:
    def __init__(self, config):
        command = [str(Path(sys.executable).parent / "cmvigil"), "deliver", "--config", str(config)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CMVIGIL_")}
        self.log = config.with_name("log")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, env=clean, stdout=out, stderr=out)
        self.port = load_delivery(config, {}).http_port
        until = time.monotonic() + 60
        while self.page("/healthz")[0] != 200:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def page(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


@pytest.mark.slow
def test_without_kafka_it_says_so_and_stops_when_it_is_told_to(config):
    running = Running(config)
    assert running.page("/readyz") == (503, "alert-log cannot be read\n")
    assert 'cmvigil_sink_pending{sink="hook"} 1.0' in running.page("/metrics")[1]
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    log = running.log.read_text()
    assert "changes wait for a sink that is not set" in log
    assert "mrn-" not in log


@pytest.mark.slow
def test_a_store_that_fails_ends_it_with_status_1_and_its_kind(config):
    running = Running(config)
    with sqlite3.connect(config.with_name("d.sqlite"), timeout=30) as db:
        db.execute("DROP TABLE deliveries")
    assert running.process.wait(60) == 1
    log = running.log.read_text()
    assert "deliverer ends" in log
    assert "OperationalError" in log
    assert "mrn-" not in log


def test_escalation_holds_back_while_a_backlog_is_read_and_not_for_ever(config, monkeypatch):
    intake = Intake(load_delivery(config, {}), ROUTES, lambda taken: None)
    assert intake.behind()  # nothing is known yet
    intake.lag = 3
    assert intake.behind()
    intake.lag = 0
    assert not intake.behind()
    intake.lag, intake.moved = None, time.monotonic() - QUIET_SECONDS
    assert not intake.behind()


def test_it_is_ready_when_it_reads_and_is_not_far_behind(config):
    intake = Intake(load_delivery(config, {}), ROUTES, lambda taken: None)
    assert not_ready(intake, 10) == "alert-log cannot be read"
    intake.reading, intake.lag = True, 11
    assert not_ready(intake, 10) == "behind"
    intake.lag = 10
    assert not_ready(intake, 10) is None


class Log:
    """As Kafka's consumer: one partition, whose records come one a poll."""

    def __init__(self, *values):
        self.values, self.read, self.due = values, 0, []
        self.assigned = set()
        self.asked, self.refuses, self.committed = 0, False, {}

    def topics(self):
        return {"alert-log"}

    def partitions_for_topic(self, topic):
        return {0}

    def assignment(self):
        return self.assigned

    def assign(self, wanted):
        self.assigned = set(wanted)

    def end_offsets(self, wanted):
        return {TopicPartition("alert-log", 0): len(self.values)}

    def seek(self, tp, offset):
        self.read = offset

    def seek_to_beginning(self, tp):
        self.read = 0

    def position(self, tp):
        return self.read

    def commit(self, offsets, timeout_ms=None):
        self.asked += 1
        if self.refuses:
            raise GroupAuthorizationFailedError
        self.committed = {tp.partition: one.offset for tp, one in offsets.items()}

    def poll(self, milliseconds):
        if self.read == len(self.values):
            return {}
        self.read += 1
        one = Record("alert-log", 0, self.read - 1, self.values[self.read - 1])
        return {TopicPartition("alert-log", 0): [one]}


def test_a_new_store_delivers_once_it_has_read_to_the_end_and_whoever_delivers_is_woken(config, tmp_path):
    db = open_store(tmp_path / "new.sqlite")
    told = []

    def on_taken(taken):
        told.append((sum(taken), len(due(db, "hook", wall(), 9))))
        if len(told) == 3:
            intake.stopping.set()

    intake = Intake(load_delivery(config, {}), ROUTES, on_taken)
    intake._follow(Log(encoded(change(alert_id="a")), encoded(change(alert_id="b"))), db)
    assert told == [(1, 0), (1, 0), (0, 2)]
    db.close()


@pytest.fixture
def follow(config, tmp_path, monkeypatch):
    """Lets an intake read a log, committing as often as it may, until something is true of both."""
    monkeypatch.setattr(reading, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(reading, "COMMIT_AGAIN_SECONDS", 0)
    db = open_store(tmp_path / "new.sqlite")

    def until(log, true):
        intake = Intake(load_delivery(config, {}), ROUTES, lambda taken: None)
        give, began = log.poll, time.monotonic()

        def poll(milliseconds):
            if true(intake):
                intake.stopping.set()
            assert time.monotonic() - began < 10, "it did not come to that"
            return give(milliseconds)

        monkeypatch.setattr(log, "poll", poll)
        intake._follow(log, db)
        return intake

    yield until
    db.close()


def test_a_commit_that_is_refused_is_said_once_and_made_good_when_it_may_be(follow, caplog):
    log = Log(encoded(change(alert_id="a")))
    log.refuses = True

    def granted(intake):
        if log.asked == 3:
            assert intake.commits_fail
            log.refuses = False
        return log.committed

    intake = follow(log, granted)
    assert log.committed == {0: 1}  # though nothing more has come since
    assert not intake.commits_fail
    said = [one.message for one in caplog.records if "cannot be committed" in one.message]
    assert len(said) == 1


def test_what_the_run_before_did_not_commit_is_committed_at_the_start(follow):
    lost = Log(encoded(change(alert_id="a")))
    lost.refuses = True
    follow(lost, lambda intake: lost.asked)
    again = Log(encoded(change(alert_id="a")))
    follow(again, lambda intake: again.committed)
    assert again.committed == {0: 1}


def test_a_broker_that_is_lost_before_it_says_where_the_log_begins_is_looked_for_again(follow):
    log = Log()
    log.position = lambda tp: None
    with pytest.raises(KafkaError):
        follow(log, lambda intake: False)
