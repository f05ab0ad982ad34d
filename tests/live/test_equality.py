"""What the live monitor ends up saying of a log is what a replay says of it."""

import gzip
import random

import pytest

from tests.live.driver import (
    ROOT,
    SAMPLE,
    assert_equal,
    records,
    replayed,
    send,
    settings_for,
    settled,
    simulated,
    until,
    workers,
)

MIMIC = ROOT.parent / "shared" / "data" / "mimic-iv-demo-meds" / "mimic_iv_demo_meds_events.parquet"
pytestmark = pytest.mark.live


def test_the_sample_log_by_the_events_clock_byte_for_byte(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        found = assert_equal(settings, replayed(SAMPLE), running=running)
        assert found.records == found.changes
        assert records(settings, "dead-letters") == []


def test_a_log_sent_twice_says_nothing_more(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        first = assert_equal(settings, replayed(SAMPLE), running=running)
        send(settings, SAMPLE, folder=tmp_path)
        running[0].ready()
        assert assert_equal(settings, replayed(SAMPLE), running=running).changes == first.changes


def test_live_by_the_wall_clock_all_alerts_stand_as_a_replay_says(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix, clock="wall")
    send(settings, SAMPLE, folder=tmp_path)
    until = "2026-11-26T00:00:00Z"
    with workers(settings, tmp_path) as running:
        running[0].ready()
        assert settled(settings, replayed(SAMPLE, until=until), 240, running).states_differ == []


def test_two_workers_share_the_patients(broker, prefix, tmp_path):
    settings = settings_for(broker, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    with workers(settings, tmp_path, 2) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)
        for one in running:
            one.ready()
            until(lambda one=one: one.metric("cmvigil_patients") > 0)


def test_lines_in_any_order_say_the_same(broker, prefix, tmp_path):
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
    random.Random(7).shuffle(lines)
    shuffled = tmp_path / "shuffled.ndjson"
    shuffled.write_bytes(b"\n".join(lines))
    settings = settings_for(broker, prefix)
    send(settings, shuffled, folder=tmp_path)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(SAMPLE), running=running)


@pytest.mark.parametrize(("patients", "days"), [(60, 45), (2000, 14)])
def test_a_simulated_cohort_whose_events_are_late_doubled_and_corrected(broker, prefix, tmp_path, patients, days):
    log = simulated(tmp_path / "cohort.ndjson", patients, days)
    settings = settings_for(broker, prefix)
    send(settings, log, folder=tmp_path, marker_seconds=24 * 3600)
    with workers(settings, tmp_path) as running:
        assert_equal(settings, replayed(log), 400, running)


@pytest.mark.shared
@pytest.mark.skipif(not MIMIC.exists(), reason="the MIMIC-IV demo is not in ../shared/data")
def test_the_mimic_demo_with_acyclovir_watched(broker, prefix, tmp_path):
    codes, site = ROOT / "seeds" / "codes" / "mimic-iv-demo.toml", ROOT / "seeds" / "sites" / "acyclovir.toml"
    settings = settings_for(broker, prefix, codes=codes, knowledge=(site,))
    send(settings, MIMIC, folder=tmp_path, marker_seconds=30 * 24 * 3600)
    wanted = replayed(MIMIC, words=("--codes", codes, "--knowledge", site))
    assert wanted
    with workers(settings, tmp_path) as running:
        assert_equal(settings, wanted, 400, running)
