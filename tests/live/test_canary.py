"""The canary against real workers: its alerts come, close and leave nothing; and where no worker is, it says so."""

import json
import time

import pytest

from streams.live.canaries import PREFIX
from tests.live.driver import Command, records, settings_for, until, workers

pytestmark = pytest.mark.live


def last(settings, name):
    """The last value of each key of a compacted topic, of those that are left."""
    found = {}
    for one in records(settings, name):
        found[one.key] = one.value
    return {key: value for key, value in found.items() if value is not None}


def test_its_alerts_come_on_every_partition_close_and_leave_nothing(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, clock="wall")
    with workers(settings, tmp_path, 2) as running:
        for one in running:
            one.ready()
        for _ in range(2):
            done = Command(settings, tmp_path, "canary", "--once").wait()
            assert done.returncode == 0, done.said()
            assert done.said().count("alerts came and closed") == settings.partitions
        until(lambda: last(settings, "cmvigil-patient-state-changelog") == {})
        until(lambda: last(settings, "alerts") == {})
        changes = [json.loads(one.value) for one in records(settings, "alert-log")]
        assert all(one["patient_id"].startswith(PREFIX) for one in changes)
        raised = [one for one in changes if one["status"] == "raised" and one["code"] == "hypokalemia"]
        assert len({one["alert_id"] for one in raised}) == 2 * settings.partitions
        # Nothing of it is in what a clinic counts.
        for one in running:
            assert one.metric("cmvigil_alert_changes_total") == 0
            assert one.metric("cmvigil_open_alerts") == 0
            assert one.metric("cmvigil_events_total") == 0
            assert one.metric("cmvigil_patients") == 0
        assert records(settings, "dead-letters") == []


def test_where_no_worker_is_no_alert_comes_and_it_says_so(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, clock="wall", canary_wait_seconds=2)
    done = Command(settings, tmp_path, "canary", "--once").wait()
    assert done.returncode == 1
    assert done.said().count("no alert in time") == settings.partitions


def test_it_goes_on_by_itself_and_tells_prometheus(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, clock="wall", canary_seconds=2, canary_wait_seconds=5)
    with workers(settings, tmp_path) as running:
        running[0].ready()
        one = Command(settings, tmp_path, "canary")
        try:
            until(lambda: one.metric("cmvigil_canary_seen_total") >= 2 * settings.partitions, 60)
            assert one.page("/healthz")[0] == 200
            assert one.page("/readyz")[0] == 200
            page = one.page("/metrics")[1]
            assert one.metric("cmvigil_canary_sent_total") >= one.metric("cmvigil_canary_seen_total")
            line = next(x for x in page.splitlines() if x.startswith("cmvigil_canary_last_success_timestamp_seconds{"))
            assert abs(time.time() - float(line.rsplit(" ", 1)[1])) < 30
            assert PREFIX not in page
            running[0].kill()
            until(lambda: one.page("/readyz")[0] == 503, 60)
        finally:
            assert one.stop(60) == 0
    assert PREFIX not in one.log.read_text()
