"""Deliveries to real servers that fail, hang, close, refuse, ask for time, and to one behind a process killed -9."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter

import pytest
from fhir.resources.R4B.detectedissue import DetectedIssue
from standardwebhooks import Webhook, WebhookVerificationError

from monitor.times import parse_time
from streams.live.settings import SettingsError
from streams.sinks.desk import Desk, attend, is_away, judge
from streams.sinks.meters import SinkMeters
from streams.sinks.sending import NO_ANSWER, Answer, open_session
from streams.sinks.settings import AlertmanagerSink, FhirSink, WebhookSink
from streams.sinks.store import Delivery, Done, Record, Routes, due, open_store, take, wall
from streams.sinks.upkeep import loads, refused, retry_refused
from tests.streams.sink_changes import change, encoded
from tests.streams.sink_servers import CLOSE, HANG, SECRET, Server, attending, serving, soon

NOW = parse_time("2026-01-27T06:00:00Z")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path / "d.sqlite"


def hook(path, url, **more):
    given = {"timeout_seconds": 0.3, "longest_wait_seconds": 1} | more
    return WebhookSink(kind="webhook", name="hook", url=url, secret_file=path.with_name("secret"), **given)


def put(path, *alerts, sink="hook", stateful=()):
    """Takes changes into the store, as the reading thread does, through a connection of its own."""
    db = open_store(path)
    routes = Routes({sink: 0}, frozenset(), frozenset(stateful), frozenset())
    take(db, [Record("alert-log", 0, n, encoded(one)) for n, one in enumerate(alerts)], routes, wall())
    db.close()


def look(path, how):
    db = open_store(path)
    try:
        return how(db)
    finally:
        db.close()


def lives(count, changes=3):
    """Changes of several alerts, in between one another."""
    return [change(seq, "updated", alert_id=f"aki/-/-/{n}") for seq in range(1, changes + 1) for n in range(count)]


def assert_in_order(pairs):
    for alert_id in {one for one, _ in pairs}:
        seqs = [seq for one, seq in pairs if one == alert_id]
        assert seqs == sorted(seqs)


@pytest.mark.slow
def test_a_webhook_that_fails_in_every_way_gets_each_change_signed_once_taken_and_in_order(path):
    ways = [500, HANG, CLOSE, 502, (503, {"Retry-After": "0"}), 429, 408, 425, 302]

    async def run():
        def behave(number, got):
            return ways[number // 2 % len(ways)] if number <= 2 * len(ways) and number % 2 else 200

        put(path, *lives(4))
        async with serving(behave) as server, attending(path, hook(path, server.url)):
            await soon(lambda: len(server.taken) == 12)
            await asyncio.sleep(0.2)
            return server

    server = asyncio.run(run())
    assert sorted(server.pairs()) == sorted((one.alert_id, one.seq) for one in lives(4))
    assert_in_order(server.pairs())
    for got in server.taken:
        assert Webhook(SECRET).verify(got.body, got.headers) == got.json
        assert got.body in [encoded(one) for one in lives(4)]
    assert len({one.headers["webhook-id"] for one in server.taken}) == 12
    assert look(path, lambda db: loads(db, ["hook"])["hook"]) == (0, None, 0)


def test_an_outage_loses_nothing_and_what_comes_in_it_waits(path):
    async def run():
        server = await Server().start()
        port = server.port
        async with attending(path, hook(path, server.url)) as woken:
            put(path, change(alert_id="a"))
            woken.set()
            await soon(lambda: len(server.taken) == 1)
            await server.stop()
            put(path, *lives(3))
            woken.set()
            await asyncio.sleep(0.5)
            assert look(path, lambda db: loads(db, [])["hook"].pending) == 9
            async with serving(port=port) as back:
                await soon(lambda: len(back.taken) == 9)
                return back

    back = asyncio.run(run())
    assert_in_order(back.pairs())
    assert max(Counter(back.pairs()).values()) == 1


def test_a_refusal_is_put_aside_and_the_rest_goes_on(path):
    async def run():
        def behave(number, got):
            return 422 if got.json["alert_id"] == "bad" and got.json["seq"] == 1 else 200

        put(path, change(alert_id="bad"), change(2, "updated", alert_id="bad"), change(alert_id="good"))
        async with serving(behave) as server, attending(path, hook(path, server.url)) as woken:
            await soon(lambda: len(server.taken) == 2)
            assert look(path, lambda db: list(refused(db))) == [("hook", "bad", 1, 422)]
            server.behave = lambda number, got: 200
            assert look(path, lambda db: retry_refused(db, [], wall())) == 1
            woken.set()
            await soon(lambda: len(server.taken) == 3)
            return server

    server = asyncio.run(run())
    assert sum(one.json["alert_id"] == "bad" for one in server.got) == 3  # refused, its second, and again


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 410])
def test_what_an_expired_token_or_a_moved_address_turns_away_is_kept_until_it_is_mended(path, status, caplog):
    async def run():
        put(path, *lives(4))
        async with serving(lambda n, got: status) as server, attending(path, hook(path, server.url)) as woken:
            await soon(lambda: len(server.got) >= 2)
            assert look(path, lambda db: loads(db, [])["hook"])[::2] == (12, 0)
            server.behave = lambda number, got: 200
            woken.set()
            await soon(lambda: len(server.taken) == 12)
            return server

    server = asyncio.run(run())
    assert_in_order(server.pairs())
    assert look(path, lambda db: loads(db, ["hook"])["hook"]) == (0, None, 0)
    told = [one for one in caplog.records if "turns changes away" in one.message]
    assert [one.status for one in told] == [status]


def test_a_login_that_is_not_taken_is_tried_with_one_change_at_a_time(path):
    async def run():
        put(path, *lives(20, 1))
        async with serving(lambda n, got: 401) as server, attending(path, hook(path, server.url)):
            await soon(lambda: len(server.got) >= 8)
            await asyncio.sleep(0.4)
            return len(server.got)

    assert asyncio.run(run()) == 8


@pytest.mark.parametrize("status", [403, 404, 500])
def test_one_alert_that_a_sink_cannot_take_holds_up_no_other(path, status):
    async def run():
        put(path, change(alert_id="poison"), *lives(20, 1))
        async with (
            serving(lambda n, got: status if got.json["alert_id"] == "poison" else 200) as server,
            attending(path, hook(path, server.url, longest_wait_seconds=60)) as woken,
        ):
            await soon(lambda: len(server.taken) == 20, 3)
            await asyncio.sleep(1.5)
            put(path, change(alert_id="new"))
            woken.set()
            await soon(lambda: len(server.taken) == 21, 1)

    asyncio.run(run())


def test_a_sink_that_asks_for_time_is_left_alone_until_then_whatever_comes(path):
    async def run():
        put(path, change(alert_id="a"))
        async with (
            serving(lambda n, got: (503, {"Retry-After": "2"}) if n == 1 else 200) as server,
            attending(path, hook(path, server.url)) as woken,
        ):
            await soon(lambda: server.got)
            put(path, change(alert_id="b"))
            woken.set()
            await soon(lambda: len(server.taken) == 2)
            return server.got

    got = asyncio.run(run())
    assert got[1].at - got[0].at >= 2


@pytest.mark.slow
def test_a_sink_that_is_away_is_found_again_by_the_next_change(path):
    async def run():
        put(path, change(alert_id="a"))
        async with (
            serving(lambda n, got: CLOSE if n <= 4 else 200) as server,
            attending(path, hook(path, server.url, longest_wait_seconds=60)) as woken,
        ):
            await soon(lambda: len(server.got) == 4)
            put(path, change(alert_id="b"))
            woken.set()
            await soon(lambda: ("b", 1) in server.pairs(), 1)

    asyncio.run(run())


def test_a_redirect_is_not_followed(path):
    async def run():
        put(path, change())
        async with (
            serving() as other,
            serving(lambda n, got: (307, {"Location": other.url}) if n == 1 else 200) as server,
            attending(path, hook(path, server.url)),
        ):
            await soon(lambda: len(server.taken) == 1)
            assert other.got == []

    asyncio.run(run())


def test_a_change_that_cannot_even_be_sent_is_put_aside_alone(path):
    async def send(batch):
        if any(one.alert_id == "bad" for one in batch):
            raise KeyError
        return [Answer("delivered", 200)] * len(batch)

    async def run():
        put(path, change(alert_id="a"), change(alert_id="bad"), change(alert_id="c"))
        stopping = asyncio.Event()
        db = open_store(path)
        task = asyncio.create_task(
            attend(Desk("hook", 8, 1, send), db, asyncio.Event(), stopping, SinkMeters(["hook"]))
        )
        await soon(lambda: loads(db, ["hook"])["hook"].pending == 0)
        stopping.set()
        await task
        assert [one.alert_id for one in refused(db)] == ["bad"]
        db.close()

    asyncio.run(run())


def manager(url, **more):
    return AlertmanagerSink(kind="alertmanager", name="am", url=url, timeout_seconds=0.5, **more)


@pytest.mark.slow
def test_alertmanager_hears_of_open_alerts_again_and_again_and_of_their_end_once(path):
    async def run():
        put(path, change(alert_id="a", severity="warning"), change(alert_id="b"), sink="am", stateful=["am"])
        async with serving() as server, attending(path, manager(server.url, resend_seconds=1)) as woken:
            await soon(lambda: sum(len(one.json) for one in server.taken) >= 6)
            ended = change(2, "acknowledged", "acknowledged", alert_id="b", emitted_at="2026-01-27T05:58:00Z")
            put(path, change(2, "updated", alert_id="a"), ended, sink="am", stateful=["am"])
            woken.set()
            before = len(server.taken)
            await soon(lambda: len(server.taken) >= before + 4)
            return [one for got in server.taken for one in got.json], server.taken

    posted, taken = asyncio.run(run())
    assert {one.path for one in taken} == {"/in/api/v2/alerts"}
    names = {one["labels"]["alert"] for one in posted}
    assert len(names) == 2
    held = [one for one in posted if parse_time(one["endsAt"]) > wall()]
    assert max(Counter((one["labels"]["alert"], one["labels"]["severity"]) for one in held).values()) >= 3
    last = {(one["labels"]["alert"], one["labels"]["severity"]): one["endsAt"] for one in posted}
    assert sorted(parse_time(one) > wall() for one in last.values()) == [False, False, True]
    assert sum(one["annotations"]["state"] == "acknowledged" for one in posted) == 1


def test_alertmanager_that_was_started_anew_has_what_is_open_within_a_resend(path):
    async def run():
        put(path, *(change(alert_id=f"a{n:04}") for n in range(250)), sink="am", stateful=["am"])
        server = await Server().start()
        async with attending(path, manager(server.url, resend_seconds=1, at_once=64)):
            await soon(lambda: len(server.taken) >= 4)
            await soon(lambda: look(path, lambda db: loads(db, ["am"])["am"].pending) == 0)
            await server.stop()
            async with serving(port=server.port) as anew:
                await soon(lambda: len({one["labels"]["alert"] for got in anew.taken for one in got.json}) == 250)
                assert max(len(got.json) for got in anew.taken) == 100

    asyncio.run(run())


@pytest.mark.parametrize("conditional", [False, True])
def test_a_fhir_server_has_one_issue_an_alert_whatever_is_sent_again(path, conditional):
    async def run():
        end = change(3, "overridden", "overridden", alert_id="a b|c&d", reason="by rx1: benefit")
        put(path, change(alert_id="a b|c&d"), change(2, "updated", alert_id="a b|c&d"), end, sink="ehr")

        async with serving(lambda n, got: 500 if n % 2 else 201) as server:
            sink = FhirSink(kind="fhir", name="ehr", url=server.url, conditional=conditional, longest_wait_seconds=1)
            async with attending(path, sink):
                await soon(lambda: len(server.taken) == 3)
            return server.taken

    taken = asyncio.run(run())
    assert {(one.method, one.headers["Content-Type"]) for one in taken} == {("PUT", "application/fhir+json")}
    assert len({one.path for one in taken}) == 1
    for one in taken:
        DetectedIssue.model_validate(one.json)
        if conditional:
            from urllib.parse import parse_qs, urlsplit

            asked = parse_qs(urlsplit(one.path).query)["identifier"]
            assert asked == ["urn:x-cmvigil:alert-id|a b|c&d"]
            assert "id" not in one.json
        else:
            assert one.path == f"/in/DetectedIssue/{one.json['id']}"
    assert [one.json["extension"][0]["valuePositiveInt"] for one in taken] == [1, 2, 3]
    assert taken[2].json["mitigation"][0]["action"]["text"] == "overridden by rx1: benefit"


def test_a_bearer_token_goes_along(path):
    async def run():
        token = path.with_name("token")
        token.write_text("hush-hush\n")
        put(path, change())
        async with serving() as server, attending(path, hook(path, server.url, token_file=token)):
            await soon(lambda: server.taken)
            return server.taken[0].headers

    assert asyncio.run(run())["Authorization"] == "Bearer hush-hush"


def test_secrets_that_are_changed_count_from_the_next_attempt_on(path):
    async def run():
        put(path, change(alert_id="a"))
        async with serving() as server, attending(path, hook(path, server.url)) as woken:
            await soon(lambda: len(server.taken) == 1)
            path.with_name("secret").write_text("whsec_" + "QUJD" * 8)
            put(path, change(alert_id="b"))
            woken.set()
            await soon(lambda: len(server.taken) == 2)
            return server.taken

    first, second = asyncio.run(run())
    Webhook(SECRET).verify(first.body, first.headers)
    Webhook("QUJD" * 8).verify(second.body, second.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(second.body, second.headers)


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that only who has it trusts."""
    key, found = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(found)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found, key)
    return found, context


def test_over_tls_only_a_certificate_that_is_trusted_gets_anything(path, certificate):
    authority, context = certificate

    async def run():
        put(path, change())
        async with serving(tls=context) as server:
            async with attending(path, hook(path, server.url, timeout_seconds=5)):
                await asyncio.sleep(1.5)
                assert server.got == []
                assert look(path, lambda db: loads(db, [])["hook"].pending) == 1
            async with attending(path, hook(path, server.url, timeout_seconds=5, ssl_cafile=authority)):
                await soon(lambda: len(server.taken) == 1)

    asyncio.run(run())


def test_certificates_that_cannot_be_used_are_refused_by_name(path):
    async def run():
        wrong = path.with_name("wrong.pem")
        wrong.write_text("no certificate")
        for given in ({"ssl_cafile": wrong}, {"ssl_certfile": wrong}, {"ssl_cafile": path.with_name("none")}):
            with pytest.raises(SettingsError, match="hook: ssl files"):
                open_session(hook(path, "https://127.0.0.1:1/", **given))

    asyncio.run(run())


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.streams.sink_servers import attending
from tests.streams.test_sinks_delivery import hook
async def run():
    path = Path(sys.argv[1])
    async with attending(path, hook(path, sys.argv[2], at_once=4)):
        await asyncio.sleep(60)
asyncio.run(run())
"""


@pytest.mark.slow
def test_kill_9_again_and_again_loses_nothing_and_repeats_only_the_same_under_the_same_id(path):
    async def run():
        put(path, *lives(40, 5))
        async with serving() as server:
            kills = 0
            while look(path, lambda db: loads(db, ["hook"])["hook"].pending):
                before = len(server.taken)
                process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), server.url])  # noqa: ASYNC220
                aim = before + 30 if kills < 5 else 10**9
                until = time.monotonic() + 30
                while len(server.taken) < aim and time.monotonic() < until:
                    await asyncio.sleep(0.001)
                    if not look(path, lambda db: loads(db, ["hook"])["hook"].pending):
                        break
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
            return server, kills

    server, kills = asyncio.run(run())
    assert kills >= 5
    assert set(server.pairs()) == {(one.alert_id, one.seq) for one in lives(40, 5)}
    bodies = {}
    for one in server.taken:
        bodies.setdefault(one.headers["webhook-id"], set()).add(one.body)
    assert len(bodies) == 200
    assert all(len(found) == 1 for found in bodies.values())
    firsts = list(dict.fromkeys(server.pairs()))
    assert_in_order(firsts)


# What a batch of answers makes


def delivery(number=1, failures=0):
    return Delivery(number, f"a{number}", 1, b"{}", failures, False, (), "", ())


def test_answers_become_what_the_store_notes():
    batch = [delivery(1), delivery(2, failures=2), delivery(3)]
    answers = [Answer("delivered", 200), Answer("later", 500), Answer("refused", 422)]
    done, asked = judge(batch, answers, 60, 0, NOW)
    assert done == [Done(batch[0]), Done(batch[1], due=NOW + 4_000_000), Done(batch[2], refused=422)]
    assert asked is None
    done, asked = judge(batch[:1], [Answer("later", 429, 90)], 60, 0, NOW)
    assert (done[0].due, asked) == (NOW + 90_000_000, 90)


def test_a_sink_is_away_only_where_no_answer_was_to_the_message():
    assert is_away([NO_ANSWER, Answer("later", 503)])
    assert not is_away([NO_ANSWER, Answer("later", 500)])
    assert not is_away([NO_ANSWER, Answer("delivered", 200)])
    assert not is_away([Answer("refused", 422)])
    assert is_away([Answer("later", 401), Answer("later", 407)])
    assert not is_away([Answer("later", 403)])
    assert not is_away([Answer("later", 404), NO_ANSWER])


def test_metrics_tell_by_sink_what_waits_and_nothing_of_a_patient(path):
    put(path, change(), change(2, "updated"))
    db = open_store(path)
    meters = SinkMeters(["hook", "am"])
    page = meters.page(db, wall() + 90_000_000).decode()
    assert 'cmvigil_sink_pending{sink="hook"} 2.0' in page
    assert 'cmvigil_sink_pending{sink="am"} 0.0' in page
    age = float(page.split('cmvigil_sink_oldest_pending_age_seconds{sink="hook"} ')[1].split()[0])
    assert 90 <= age < 120
    assert "mrn-0042" not in page
    assert "41431dc20c98540f" not in page
    for one in due(db, "hook", wall(), 1):
        assert json.loads(one.body)["patient_id"] == "mrn-0042"
    db.close()
