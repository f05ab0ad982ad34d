"""The pure parts of the sinks: signatures, messages, waits, escalation, settings."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from monitor.times import MINUTE, NEVER, SECOND, iso, parse_time
from streams.live.settings import SettingsError
from streams.sinks.alertmanager import postings
from streams.sinks.changes import UnreadableChange, fingerprint, read_change, stable_id
from streams.sinks.escalation import Urgency, next_step, urgency
from streams.sinks.retry import backoff_seconds, outcome_of, retry_after_seconds
from streams.sinks.settings import AlertmanagerSink, Step, load_delivery
from streams.sinks.topic import topic_layout
from streams.sinks.webhook import message_id, read_secrets, sign, webhook_headers
from tests.streams.sink_changes import change, encoded

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = parse_time("2026-01-27T06:00:00Z")


# Signing


def test_the_signature_is_the_published_one():
    """The example of Svix, from whom Standard Webhooks has its scheme."""
    keys = read_secrets(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "s")
    made = sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(1, 2**40), st.binary())
def test_standard_webhooks_own_library_accepts_every_message_and_none_that_was_changed(alert_id, seq, noise):
    body = json.dumps({"noise": base64.b64encode(noise).decode()}).encode()
    sent = int(datetime.now(UTC).timestamp())
    headers = webhook_headers(read_secrets([SECRET], "s"), alert_id, seq, sent, body)
    assert Webhook(SECRET).verify(body, headers)["noise"] is not None
    for wrong in (headers | {"webhook-timestamp": str(sent + 1)}, headers | {"webhook-id": "msg_other"}):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


def test_while_secrets_are_changed_both_verify():
    other = base64.b64encode(bytes(24)).decode()
    sent = int(datetime.now(UTC).timestamp())
    headers = webhook_headers(read_secrets([SECRET, other], "s"), "a", 1, sent, b"{}")
    assert Webhook(SECRET).verify(b"{}", headers) == Webhook(other).verify(b"{}", headers) == {}


def test_a_change_has_one_id_and_another_change_another():
    assert message_id("a/b/-/1", 2) == message_id("a/b/-/1", 2)
    assert len({message_id("a", 1), message_id("a", 2), message_id("b", 1), message_id("a/1", 1)}) == 4
    assert "." not in message_id("a.b", 1)


@pytest.mark.parametrize("texts", [[], ["whsec_no base64!"], ["c2hvcnQ="], [base64.b64encode(bytes(65)).decode()]])
def test_a_secret_that_is_none_is_refused_and_not_shown(texts):
    with pytest.raises(SettingsError, match="secret_file") as caught:
        read_secrets(texts, "pharmacy")
    assert not any(text in str(caught.value) for text in texts)


# Answers and waits


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(status, "delivered") for status in (200, 201, 202, 204, 299)],
        *[(status, "refused") for status in (400, 409, 412, 413, 414, 415, 422)],
        *[(status, "later") for status in (401, 402, 403, 404, 405, 406, 407, 410, 411, 416, 421, 423, 426, 428, 451)],
        *[(status, "later") for status in (408, 425, 429, 499, 300, 301, 307, 500, 502, 503, 599)],
    ],
)
def test_what_speaks_of_the_message_is_refused_and_all_else_comes_later(status, outcome):
    assert outcome_of(status) == outcome


def test_waits_double_up_to_the_longest_and_are_spread():
    assert [backoff_seconds(n, 60, 0) for n in (1, 2, 3, 6, 7, 8, 5000)] == [1, 2, 4, 32, 60, 60, 60]
    assert backoff_seconds(7, 60, 1) == 30
    assert 30 < backoff_seconds(7, 60, 0.5) < 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("Tue, 27 Jan 2026 06:01:30 GMT", 90),
        ("Tue, 27 Jan 2026 06:01:30 -0000", 90),
        ("Tue, 27 Jan 2026 05:00:00 GMT", 0),
        ("99999999999999999999", 3600),
        ("Tue, 27 Jan 2099 05:00:00 GMT", 3600),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("", None),
    ],
)
def test_a_sink_that_asks_for_time_gets_it(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds


# Changes


def test_a_change_is_read_and_what_is_none_is_refused_without_its_contents():
    assert read_change(encoded(change())) == change()
    assert read_change(b'{"new": 1, ' + encoded(change())[1:]) == change()
    for wrong in (
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        encoded(change(state="mrn-0042")),
        encoded(change(status="mrn-0042")),
        encoded(change(severity="mrn-0042")),
        encoded(change(seq=0)),
        encoded(change(alert_id="")),
        encoded(change(onset_at="mrn-0042")),
        encoded(change()).replace(b'"seq":1', b'"seq":"mrn-0042"'),
    ):
        with pytest.raises(UnreadableChange) as caught:
            read_change(wrong)
        assert "mrn-0042" not in str(caught.value)


# Alertmanager


def sink(**more):
    given = {"name": "am", "kind": "alertmanager", "url": "http://127.0.0.1:9093"} | more
    return AlertmanagerSink.model_validate(given)


def posted(alert, severities=(), **more):
    return postings(alert, severities, fingerprint(KEY, alert.alert_id), sink(**more), NOW)


def test_an_open_alert_fires_from_its_onset_and_is_held_from_now():
    (one,) = posted(change())
    assert one["labels"] == {
        "alertname": "cmvigil-aki",
        "code": "aki",
        "severity": "critical",
        "drug": "foscarnet",
        "alert": fingerprint(KEY, change().alert_id),
    }
    assert (one["startsAt"], one["endsAt"]) == ("2026-01-27T05:13:00Z", iso(NOW + 60 * MINUTE))


def test_nothing_in_it_tells_of_a_patient_unless_that_is_switched_on():
    for alert in (change(), change(2, "resolved", "resolved", reason="creatinine of mrn-0042")):
        text = json.dumps(posted(alert))
        assert not any(secret in text for secret in ("mrn", "0042", "300", "collected", "41431dc20c98540f"))
    assert posted(change(), with_patient_id=True)[0]["labels"]["patient_id"] == "mrn-0042"
    assert "300 umol/L" in posted(change(), with_text=True)[0]["annotations"]["summary"]


def test_the_fingerprint_stays_and_without_its_key_says_nothing():
    assert fingerprint(KEY, "a") == fingerprint(KEY, "a") != fingerprint(KEY, "b")
    assert fingerprint(KEY, "a") != fingerprint(bytes(32), "a")


@pytest.mark.parametrize("state", ["acknowledged", "snoozed", "overridden", "resolved", "retracted"])
def test_it_ends_when_nobody_must_act_any_more(state):
    (one,) = posted(change(2, state, state))
    assert one["endsAt"] == "2026-01-27T05:56:00Z"
    assert one["annotations"]["state"] == state


def test_an_end_is_never_before_the_start_nor_to_come():
    (late,) = posted(change(2, "retracted", "retracted", emitted_at="2026-01-27T05:00:00Z"))
    assert late["endsAt"] == late["startsAt"] == "2026-01-27T05:13:00Z"
    (ahead,) = posted(change(2, "resolved", "resolved", emitted_at="2026-01-27T07:00:00Z"))
    assert ahead["endsAt"] == iso(NOW)
    (onset_ahead,) = posted(change(onset_at="2026-01-27T07:00:00Z"))
    assert onset_ahead["startsAt"] == iso(NOW)


def test_another_severity_ends_the_old_one():
    ends = {one["labels"]["severity"]: one["endsAt"] for one in posted(change(2, "updated"), ("warning", "critical"))}
    assert ends == {"warning": "2026-01-27T05:56:00Z", "critical": iso(NOW + 60 * MINUTE)}
    closed = posted(change(3, "resolved", "resolved"), ("warning", "critical"))
    assert {one["endsAt"] for one in closed} == {"2026-01-27T05:56:00Z"}


def test_a_site_adds_labels_but_cannot_take_cmvigils_own():
    assert posted(change(), labels={"team": "pharmacy"})[0]["labels"]["team"] == "pharmacy"
    with pytest.raises(ValueError, match="severity is cmvigil's own"):
        sink(labels={"severity": "page"})


# Escalation

CHAIN = (Step(sink="second", after_minutes=10), Step(sink="third", after_minutes=30))
CRITICAL = ("critical",)


def test_an_open_critical_alert_waits_and_each_step_has_its_time():
    waits = urgency(None, change(), CRITICAL, NOW)
    assert waits == Urgency(NOW, 0)
    assert [next_step(waits._replace(steps=n), CHAIN) for n in range(3)] == [
        NOW + 10 * MINUTE,
        NOW + 30 * MINUTE,
        NEVER,
    ]
    assert next_step(waits, ()) == NEVER


def test_what_goes_on_in_the_meantime_does_not_begin_the_wait_anew():
    waits = Urgency(NOW, 1)
    assert urgency(waits, change(2, "updated"), CRITICAL, NOW + SECOND) == waits


@pytest.mark.parametrize("state", ["acknowledged", "snoozed", "overridden", "resolved", "retracted"])
def test_who_acts_ends_the_wait_and_it_begins_anew_when_that_ends(state):
    assert urgency(Urgency(NOW, 1), change(2, state, state), CRITICAL, NOW) is None
    assert urgency(None, change(3, "reopened"), CRITICAL, NOW + SECOND) == Urgency(NOW + SECOND, 0)


def test_a_milder_alert_does_not_wait_and_one_that_worsens_does():
    assert urgency(None, change(severity="warning"), CRITICAL, NOW) is None
    assert urgency(Urgency(NOW, 0), change(2, "updated", severity="warning"), CRITICAL, NOW) is None
    assert urgency(None, change(severity="warning"), ("critical", "warning"), NOW) == Urgency(NOW, 0)


# Settings

WEBHOOK = {"kind": "webhook", "name": "pharmacy", "url": "https://hook.example/in", "secret_file": "secret"}
TOPIC = {"kind": "fhir-topic", "name": "issues"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sinks": []}, "none is given"),
        ({"sinks": [WEBHOOK | {"sekret_file": "x"}]}, "sekret_file"),
        ({"sinks": [WEBHOOK | {"kind": "webhok"}]}, "sinks"),
        ({"sinks": [WEBHOOK | {"url": "http://hook.example/in"}]}, "allow_http"),
        ({"sinks": [WEBHOOK | {"url": "ftp://hook.example/in"}]}, "neither http"),
        ({"sinks": [WEBHOOK | {"url": "https://u:hush-hush@hook.example/in"}]}, "no login"),
        ({"sinks": [WEBHOOK | {"url": "https://hook.example:99999999/"}]}, "not a URL"),
        ({"sinks": [WEBHOOK, WEBHOOK]}, "two have one name"),
        ({"sinks": [WEBHOOK], "escalation": [{"sink": "nobody", "after_minutes": 5}]}, "no sink nobody"),
        ({"sinks": [WEBHOOK], "escalation": [{"sink": "pharmacy", "after_minutes": 5}]}, "none is told first"),
        (
            {
                "sinks": [WEBHOOK, TOPIC, TOPIC | {"name": "more"}],
                "escalation": [{"sink": "issues", "after_minutes": 5}, {"sink": "more", "after_minutes": 4}],
            },
            "goes down",
        ),
        ({"sinks": [WEBHOOK | {"name": "Pharmacy of St. Mary"}]}, "name"),
        (
            {"sinks": [{"kind": "alertmanager", "name": "am", "url": "http://[::1]:9093", "hold_minutes": 2}]},
            "hold_minutes",
        ),
        ({"sinks": [WEBHOOK], "topic_prefx": "a"}, "topic_prefx"),
        ({"sinks": [TOPIC | {"retention_hours": 23}]}, "retention_hours: less than 24"),
        ({"sinks": [TOPIC | {"retention_hours": -2}]}, "retention_hours"),
        ({"sinks": [TOPIC, TOPIC | {"name": "more", "retention_hours": 24}]}, "different retention_hours"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name_and_shows_no_secret(given, said):
    with pytest.raises(SettingsError, match=said) as caught:
        load_delivery(None, {}, **given)
    assert "hush-hush" not in str(caught.value)


def test_settings_stand_in_toml_with_those_of_the_connection(tmp_path):
    file = tmp_path / "deliver.toml"
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    file.write_text(
        f"""
topic_prefix = "st-mary-"
store = "{tmp_path}/d.sqlite"
[[sinks]]
kind = "webhook"
name = "pharmacy"
url = "http://127.0.0.1:1/in"
secret_file = "{tmp_path}/secret"
[[sinks]]
kind = "fhir-topic"
name = "issues"
[[escalation]]
sink = "issues"
after_minutes = 10
"""
    )
    found = load_delivery(file, {"CMVIGIL_KEEP_DAYS": "7"})
    assert (found.topic("alert-log"), found.keep_days) == ("st-mary-alert-log", 7)
    assert read_secrets(found.sinks[0].secrets(), "pharmacy") == [KEY]
    with pytest.raises(SettingsError, match="CMVIGIL_KEEP_DAY: no such setting"):
        load_delivery(file, {"CMVIGIL_KEEP_DAY": "7"})


def issues(**given):
    """The topic that a sink of FHIR resources makes."""
    found = load_delivery(None, {}, sinks=[TOPIC | given], topic_prefix="st-mary-", retention_hours=48)
    return topic_layout(found, found.sinks[0])


def test_a_topic_of_fhir_resources_is_kept_as_its_own_sink_says():
    forever, a_day = issues().configs, issues(retention_hours=24).configs
    assert forever["cleanup.policy"] == "compact"
    assert "retention.ms" not in forever
    assert forever.items() ^ a_day.items() == {
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", str(24 * 3_600_000)),
        ("retention.bytes", "-1"),
    }
    assert issues(retention_hours=24).name == "st-mary-detected-issues"


def test_two_sinks_may_share_a_topic_that_both_keep_alike():
    two = [TOPIC | {"retention_hours": 24}, TOPIC | {"name": "more", "retention_hours": 24}]
    other = TOPIC | {"name": "other", "topic": "issues-of-the-ward"}
    assert len(load_delivery(None, {}, sinks=[*two, other]).sinks) == 3


def test_a_stable_id_is_one_of_fhir():
    assert len(stable_id("x")) == 40
    assert stable_id("x").replace("-", "").isalnum()
