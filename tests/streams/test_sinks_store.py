"""The store of the sinks: nothing lost, nothing twice, order per alert, also through kill -9 and full disks."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.times import DAY, NEVER, SECOND
from streams.sinks.settings import Step
from streams.sinks.store import (
    Done,
    Record,
    Routes,
    StoreError,
    begin,
    due,
    filled,
    fingerprint_key,
    finish,
    firing,
    lock_store,
    next_due,
    open_store,
    positions,
    take,
    welcome,
    writing,
)
from streams.sinks.upkeep import (
    drop_sink,
    escalate,
    forget,
    loads,
    next_escalation,
    open_count,
    prune,
    refused,
    retry_refused,
)
from tests.streams.sink_changes import MINUTE, change, encoded

ROUTES = Routes({"hook": 0, "am": 1}, frozenset({"second"}), frozenset({"am"}), frozenset({"critical"}))
CHAIN = (Step(sink="second", after_minutes=10),)
NOW = 1_800_000_000 * SECOND


def record(alert, offset=0):
    return Record("alert-log", 0, offset, alert if isinstance(alert, bytes) else encoded(alert))


def taken(db, *alerts, routes=ROUTES, now=NOW, first=0):
    return take(db, [record(one, first + n) for n, one in enumerate(alerts)], routes, now)


def waiting(db, sink="hook", now=NOW, limit=100):
    return [(one.alert_id, one.seq) for one in due(db, sink, now, limit)]


def deliver_all(db, sink="hook", now=NOW):
    """Delivers until nothing is left, and returns what went out, in order."""
    gone = []
    while batch := due(db, sink, now, 3):
        finish(db, [Done(one) for one in batch])
        gone += [(one.alert_id, one.seq) for one in batch]
    return gone


@pytest.fixture
def db(tmp_path):
    with_closing = open_store(tmp_path / "d.sqlite")
    yield with_closing
    with_closing.close()


def test_each_change_goes_once_to_each_sink_whatever_is_read_again(db, tmp_path):
    life = [change(), change(2, "updated"), change(3, "resolved", "resolved")]
    assert taken(db, *life) == (3, 0, 0, 0, 0)
    assert deliver_all(db) == [(life[0].alert_id, seq) for seq in (1, 2, 3)]
    db.close()
    again = open_store(tmp_path / "d.sqlite")
    assert taken(again, *life) == (0, 3, 0, 0, 0)
    assert deliver_all(again) == []
    assert deliver_all(again, "am") == [(life[0].alert_id, seq) for seq in (1, 2, 3)]
    again.close()


def test_positions_stand_with_what_was_taken(db):
    taken(db, change(), change(2, "updated"), first=40)
    take(db, [Record("alert-log", 3, 9, None)], ROUTES, NOW)
    assert positions(db, "alert-log") == {0: 42, 3: 10}
    assert positions(db, "other") == {}


def test_an_alert_that_fails_keeps_its_order_and_holds_up_no_other(db):
    taken(db, change(alert_id="a"), change(2, "updated", alert_id="a"), change(alert_id="b"))
    assert waiting(db) == [("a", 1), ("b", 1)]
    first = due(db, "hook", NOW, 1)[0]
    finish(db, [Done(first, due=NOW + MINUTE)])
    assert waiting(db) == [("b", 1)]
    assert next_due(db, "hook") == NOW
    assert deliver_all(db) == [("b", 1)]
    assert next_due(db, "hook") == NOW + MINUTE  # the second change of a waits for the first
    assert deliver_all(db, now=NOW + MINUTE) == [("a", 1), ("a", 2)]
    assert next_due(db, "hook") is None


def test_what_is_refused_is_kept_aside_and_lets_what_follows_pass(db):
    taken(db, change(alert_id="a"), change(2, "updated", alert_id="a"))
    finish(db, [Done(due(db, "hook", NOW, 1)[0], refused=422)])
    assert deliver_all(db) == [("a", 2)]
    assert list(refused(db)) == [("hook", "a", 1, 422)]
    assert loads(db, ["hook"])["hook"] == (0, None, 1)
    assert retry_refused(db, ["am"], NOW) == 1
    assert due(db, "hook", NOW, 1)[0].body == encoded(change(alert_id="a"))
    assert deliver_all(db) == [("a", 1)]


def test_a_stateful_sink_gets_nothing_that_was_overtaken(db):
    taken(db, change(2, "resolved", "resolved", alert_id="a"), change(1, alert_id="a"))
    assert waiting(db, "am") == [("a", 2)]
    assert deliver_all(db) == [("a", 1), ("a", 2)]
    assert firing(db, "am", "", 10) == []
    taken(db, change(1, alert_id="b"))
    finish(db, [Done(one, refused=400) for one in due(db, "am", NOW, 9) if one.alert_id == "b"])
    taken(db, change(2, "updated", alert_id="b"))
    assert retry_refused(db, ["am"], NOW) == 0
    assert waiting(db, "am") == [("a", 2), ("b", 2)]


def test_a_sink_hears_of_an_alert_from_its_least_severity_on_and_then_to_its_end(db):
    taken(db, change(1, severity="info"))
    assert (waiting(db, "hook"), waiting(db, "am")) == ([(change().alert_id, 1)], [])
    taken(db, change(2, "updated", severity="warning"), change(3, "updated", severity="info"))
    taken(db, change(4, "resolved", "resolved", severity="info"))
    assert [seq for _, seq in deliver_all(db, "am")] == [2, 3, 4]


def test_what_is_no_change_is_kept_with_its_place_and_stops_nothing(db):
    assert taken(db, b"junk", change(), b"\xff") == (1, 0, 2, 0, 0)
    assert taken(db, b"junk") == (0, 0, 1, 0, 0)
    kept = db.execute('SELECT "offset", value FROM unreadable').fetchall()
    assert kept == [(0, b"junk"), (2, b"\xff")]


def test_alertmanager_is_told_of_what_stands_open_and_owes_it_nothing(db):
    taken(db, change(alert_id="a", severity="warning"), change(alert_id="b"), change(alert_id="c", severity="info"))
    taken(db, change(2, "updated", alert_id="a"), change(2, "acknowledged", "acknowledged", alert_id="b"))
    assert firing(db, "am", "", 10) == []
    deliver_all(db, "am")
    assert firing(db, "am", "", 10) == [("a", encoded(change(2, "updated", alert_id="a")), ("warning", "critical"))]
    assert firing(db, "am", "a", 10) == []


def test_nobody_acts_and_the_next_sink_is_told_after_its_minutes_and_to_the_end(db, tmp_path):
    taken(db, change(), change(2, "updated"))
    assert next_escalation(db, CHAIN) == NOW + 10 * MINUTE
    assert not escalate(db, CHAIN, NOW + 10 * MINUTE - 1)
    db.close()
    db = open_store(tmp_path / "d.sqlite")
    assert escalate(db, CHAIN, NOW + 10 * MINUTE) == {"second": 1}
    assert not escalate(db, CHAIN, NOW + 20 * MINUTE)
    assert next_escalation(db, CHAIN) == NEVER
    later = NOW + 11 * MINUTE
    (told,) = due(db, "second", later, 9)
    assert (told.seq, told.escalated, told.body) == (2, True, encoded(change(2, "updated")))
    taken(db, change(3, "acknowledged", "acknowledged"), change(4, "resolved", "resolved"), now=later)
    assert [seq for _, seq in deliver_all(db, "second", later)] == [2, 3, 4]
    assert not due(db, "hook", NOW, 1)[0].escalated
    db.close()


@pytest.mark.parametrize("state", ["acknowledged", "snoozed", "overridden", "resolved", "retracted"])
def test_who_acts_in_time_keeps_the_next_sink_out_of_it_until_it_opens_again(db, state):
    taken(db, change(), change(2, state, state))
    assert not escalate(db, CHAIN, NOW + DAY)
    taken(db, change(3, "reopened"), now=NOW + DAY)
    assert not escalate(db, CHAIN, NOW + DAY + 9 * MINUTE)
    assert escalate(db, CHAIN, NOW + DAY + 10 * MINUTE) == {"second": 1}


def test_a_second_escalation_to_a_sink_that_has_the_change_doubles_nothing(db):
    taken(db, change())
    escalate(db, CHAIN, NOW + 10 * MINUTE)
    taken(db, change(2, "acknowledged", "acknowledged"), change(3, "reopened"))
    assert not +escalate(db, CHAIN, NOW + DAY)
    assert [seq for _, seq in deliver_all(db, "second", NOW + DAY)] == [1, 2, 3]


def test_each_step_of_a_chain_is_told_in_its_turn(db):
    chain = (*CHAIN, Step(sink="third", after_minutes=30))
    routes = ROUTES._replace(waiting=frozenset({"second", "third"}))
    taken(db, change(), routes=routes)
    assert escalate(db, chain, NOW + 29 * MINUTE) == {"second": 1}
    assert next_escalation(db, chain) == NOW + 30 * MINUTE
    assert escalate(db, chain, NOW + 30 * MINUTE) == {"third": 1}


def test_actions_are_told_up_to_the_change_that_is_delivered(db):
    taken(db, change(), change(2, "acknowledged", "acknowledged", reason="by rx1"))
    first = due(db, "hook", NOW, 1)[0]
    assert (first.actions, first.first_emitted_at) == ((), change().emitted_at)
    finish(db, [Done(first)])
    assert [one.reason for one in due(db, "hook", NOW, 1)[0].actions] == ["by rx1"]


def test_a_new_sink_is_told_of_what_is_open_and_once(db):
    taken(db, change(alert_id="a"), change(alert_id="b"), change(2, "resolved", "resolved", alert_id="b"))
    taken(db, change(alert_id="c", severity="info"), change(2, "acknowledged", "acknowledged", alert_id="a"))
    welcome(db, ROUTES, NOW)
    more = ROUTES._replace(direct={**ROUTES.direct, "fhir": 1})
    assert welcome(db, more, NOW) == 1
    assert welcome(db, more, NOW) == 0
    assert waiting(db, "fhir") == [("a", 2)]
    assert drop_sink(db, "fhir") == 1
    assert waiting(db, "fhir") == []


def test_what_is_closed_delivered_and_old_is_forgotten_and_nothing_else(db):
    taken(db, change(alert_id="a"), change(2, "resolved", "resolved", alert_id="a"))
    taken(db, change(alert_id="b"), change(alert_id="c"), change(2, "resolved", "resolved", alert_id="c"))
    for sink in ("hook", "am"):
        finish(db, [Done(one) for one in due(db, sink, NOW, 9) if one.alert_id != "c"])
        finish(db, [Done(one) for one in due(db, sink, NOW, 9) if one.alert_id != "c"])
    assert prune(db, NOW) == 0
    assert prune(db, NOW + 1) == 1
    assert open_count(db) == 1
    assert {one for (one,) in db.execute("SELECT DISTINCT alert_id FROM changes")} == {"b", "c"}
    assert {one for (one,) in db.execute("SELECT DISTINCT alert_id FROM follows")} == {"b", "c"}
    bodies = db.execute("SELECT alert_id, seq, body IS NOT NULL FROM changes ORDER BY 1, 2").fetchall()
    assert bodies == [("b", 1, 1), ("c", 1, 1), ("c", 2, 1)]


def test_the_bytes_of_what_is_delivered_do_not_pile_up(db):
    for seq in range(1, 50):
        taken(db, change(seq, "updated"))
        for sink in ("hook", "am") if seq > 40 else ():
            deliver_all(db, sink)
    assert db.execute("SELECT COUNT(*), COUNT(body) FROM changes").fetchone() == (49, 1)


def test_nor_do_the_bytes_of_what_no_sink_wants(db):
    routes = ROUTES._replace(direct={"am": 1})
    taken(db, *(change(seq, "updated", severity="info") for seq in range(1, 50)), routes=routes)
    assert db.execute("SELECT COUNT(*), COUNT(body) FROM changes").fetchone() == (49, 1)


def test_what_a_canary_says_is_read_and_goes_nowhere(db):
    assert taken(db, change(patient_id="cmvigil-canary-3"), first=6) == (0, 0, 0, 1, 0)
    assert positions(db, "alert-log") == {0: 7}
    assert waiting(db) == []
    assert open_count(db) == 0


def test_a_patient_that_is_to_be_forgotten_leaves_no_byte_on_the_disk(db, tmp_path):
    taken(db, change(alert_id="a"), change(2, "acknowledged", "acknowledged", alert_id="a", reason="mrn-0042 seen"))
    taken(db, change(alert_id="b", patient_id="mrn-0007"))
    finish(db, [Done(one) for one in due(db, "am", NOW, 9)])
    assert forget(db, "mrn-0042") == 1
    assert forget(db, "mrn-0042") == 0
    assert waiting(db) == [("b", 1)]
    for file in tmp_path.iterdir():
        assert b"mrn-0042" not in file.read_bytes(), file
    assert b"mrn-0007" in (tmp_path / "d.sqlite").read_bytes()


def asked(patient):
    return json.dumps({"type": "forget", "patient_id": patient, "recorded_at": "2026-03-05T00:00:00Z"}).encode()


def test_the_message_that_a_patient_is_forgotten_deletes_what_stood_before_it_from_the_disk_too(db, tmp_path):
    taken(db, change(alert_id="a"), change(alert_id="b", patient_id="mrn-0007"), b'{"patient_id":"mrn-0042"}')
    finish(db, [Done(due(db, "hook", NOW, 1)[0], refused=400)])
    assert taken(db, asked("mrn-0042"), first=3) == (0, 0, 0, 0, 1)
    assert waiting(db) == [("b", 1)]
    assert list(refused(db)) == []
    assert positions(db, "alert-log") == {0: 4}
    for file in tmp_path.iterdir():
        assert b"mrn-0042" not in file.read_bytes(), file
    assert b"mrn-0007" in (tmp_path / "d.sqlite").read_bytes()
    assert taken(db, asked("mrn-0042"), asked("nobody"), first=4) == (0, 0, 0, 0, 2)


def test_what_is_said_of_a_forgotten_patient_anew_is_delivered_though_its_numbers_are_the_old_ones(db):
    taken(db, change(alert_id="a"))
    assert deliver_all(db) == [("a", 1)]
    taken(db, asked("mrn-0042"), change(alert_id="a", reason="a new life"), first=1)
    assert deliver_all(db) == [("a", 1)]


def test_of_what_cannot_be_read_only_that_goes_that_names_the_patient_whole(db):
    others = [b'{"patient_id":"mrn-00421"}', b'{"patient_id":"my.mrn-0042"}', b"junk"]
    taken(db, b"\xff mrn-0042", *others, asked("mrn-0042"))
    assert [value for (value,) in db.execute("SELECT value FROM unreadable")] == others


def test_a_message_that_only_looks_like_one_to_forget_is_kept_as_unreadable(db):
    taken(db, change(alert_id="a"))
    assert taken(db, b'{"type":"forget","patient_id":7}', b'{"kind":"forget"}', first=1) == (0, 0, 2, 0, 0)
    assert waiting(db) == [("a", 1)]


def test_a_new_store_delivers_nothing_until_it_has_read_all_that_there_is(db):
    assert begin(db, "alert-log")
    taken(db, change(alert_id="a"), change(alert_id="b", patient_id="mrn-0007"))
    assert (waiting(db), next_due(db, "hook")) == ([], None)
    assert loads(db, ["hook"])["hook"].pending == 2
    assert begin(db, "alert-log")  # ended and started in between
    taken(db, asked("mrn-0042"), first=2)
    filled(db)
    assert waiting(db) == [("b", 1)]
    assert not begin(db, "alert-log")


def test_a_store_that_has_read_before_does_not_hold_back(db):
    taken(db, change(alert_id="a"))
    assert not begin(db, "alert-log")
    assert waiting(db) == [("a", 1)]


# Life of one alert after another: what may happen in any order

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("ab"), st.integers(1, 4)),
        st.tuples(st.sampled_from(("deliver", "fail", "refuse", "reopen", "retry")), st.sampled_from(("hook", "am"))),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(max_examples=30, deadline=None)
def test_whatever_happens_in_between_every_change_reaches_the_sink_once_and_in_order(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("store") / "d.sqlite"
    db = open_store(path)
    seen, gone, now = {}, [], NOW
    for step in steps:
        now += SECOND
        if step[0] == "take":
            # What was read so far is read again, then one more: as Kafka gives it after a crash.
            count = seen[step[1]] = max(seen.get(step[1], 0), step[2])
            taken(db, *(change(seq, "updated", alert_id=step[1]) for seq in range(1, count + 1)), now=now)
        elif step[0] == "reopen":
            db.close()
            db = open_store(path)
        elif step[0] == "retry":
            retry_refused(db, [], now)
        else:
            for one in due(db, step[1], now, 2):
                how = {"deliver": Done(one), "fail": Done(one, due=now + MINUTE), "refuse": Done(one, refused=400)}
                finish(db, [how[step[0]]])
                gone += [(step[1], one.alert_id, one.seq)] if step[0] == "deliver" else []
    retry_refused(db, [], now)
    for sink in ("hook", "am"):
        gone += [(sink, *one) for one in deliver_all(db, sink, now + DAY)]
    wanted = {(sink, one, seq) for sink in ("hook", "am") for one, count in seen.items() for seq in range(1, count + 1)}
    assert sorted(gone) == sorted(wanted)
    if not any(step[0] in ("refuse", "retry") for step in steps):
        for sink in ("hook", "am"):
            for alert_id in seen:
                seqs = [seq for told, one, seq in gone if (told, one) == (sink, alert_id)]
                assert seqs == sorted(seqs)
    db.close()


# The file

KILLED = """
import sys
from pathlib import Path
from streams.sinks.store import open_store, take
from tests.streams.test_sinks_store import NOW, ROUTES, change, record
db = open_store(Path(sys.argv[1]))
for offset in range(100_000):
    take(db, [record(change(offset + 1, "updated"), offset)], ROUTES, NOW)
    print(offset, flush=True)
"""


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_said_to_be_taken(tmp_path):
    path = tmp_path / "d.sqlite"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    said = [int(process.stdout.readline()) for _ in range(50)][-1]
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    said = max([said, *map(int, process.stdout.read().split()[:-1])])
    process.wait()
    db = open_store(path)
    there = positions(db, "alert-log")[0]
    assert there > said
    assert db.execute("SELECT COUNT(*) FROM changes").fetchone() == (there,)
    assert loads(db, [])["hook"].pending == loads(db, [])["am"].pending == there
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_full_disk_takes_all_of_what_was_read_or_none(db):
    taken(db, change())
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0] + 2}")
    with pytest.raises(sqlite3.OperationalError):
        taken(db, *(change(alert_id=f"a{n}", detail="x" * 1000) for n in range(100)), first=1)
    assert positions(db, "alert-log") == {0: 1}
    assert waiting(db) == [(change().alert_id, 1)]
    db.execute("PRAGMA max_page_count = 1000000")
    assert taken(db, change(2, "updated"), first=1).changes == 1


def test_the_store_is_its_owners_alone_durable_and_has_one_key_for_good(db, tmp_path):
    path = tmp_path / "d.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    again = open_store(path)
    assert fingerprint_key(again) == fingerprint_key(db)
    again.close()


def test_what_is_no_store_or_a_newer_one_is_refused_untouched(tmp_path):
    newer, junk = tmp_path / "newer", tmp_path / "junk"
    db = open_store(newer)
    db.execute("PRAGMA user_version = 99")
    db.close()
    junk.write_bytes(b"not a database " * 100)
    before = newer.read_bytes(), junk.read_bytes()
    with pytest.raises(StoreError, match="version 99"):
        open_store(newer)
    with pytest.raises(StoreError, match="DatabaseError"):
        open_store(junk)
    assert (newer.read_bytes(), junk.read_bytes()) == before
    with pytest.raises(StoreError, match="No such file"):
        open_store(tmp_path / "none" / "d.sqlite")


def test_two_deliverers_do_not_share_a_store(tmp_path):
    with lock_store(tmp_path / "d.sqlite"), pytest.raises(StoreError, match="another deliverer"):
        lock_store(tmp_path / "d.sqlite")
    lock_store(tmp_path / "d.sqlite").close()


def test_a_transaction_that_fails_leaves_nothing(db):
    def failing():
        with writing(db):
            db.execute("INSERT INTO sinks VALUES ('half')")
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert db.execute("SELECT COUNT(*) FROM sinks").fetchone() == (0,)
