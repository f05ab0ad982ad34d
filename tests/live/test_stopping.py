"""Told to stop, a program is gone within 30 s, whatever goes on; and what it left is taken up by whoever comes next."""

import pytest
from kafka import TopicPartition

from streams.live.clients import open_consumer
from streams.live.forgetting import taken
from streams.live.topics import INPUTS
from tests.live.driver import SAMPLE, Command, Worker, assert_equal, parts, replayed, send, settings_for, until
from tests.live.test_sinks import TOPIC_SINK, Deliverer

pytestmark = pytest.mark.live


def all_committed(settings):
    """Waits until the workers have committed all that there is."""
    tps = [TopicPartition(settings.topic(name), number) for name in INPUTS for number in range(settings.partitions)]
    with open_consumer(settings) as consumer:
        ends = {tp: end for tp, end in consumer.end_offsets(tps).items() if end}
    return taken(settings, ends, 30)


def test_a_worker_stops_though_the_broker_answers_no_more(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    send(settings, SAMPLE, folder=tmp_path)
    one = Worker(settings, tmp_path).ready()
    own_kafka.pause()
    # What it has taken can be neither written nor committed now; it says so by its status.
    assert one.stop() == 1
    own_kafka.resume()
    other = Worker(settings, tmp_path)
    try:
        assert_equal(settings, replayed(SAMPLE), running=[other])
        assert all_committed(settings)
        own_kafka.pause()
        # All is written and committed. That the group cannot be told is no failure.
        assert other.stop() == 0
    finally:
        own_kafka.resume()
        other.kill()


def test_a_canary_stops_though_the_broker_answers_no_more(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix, clock="wall", canary_seconds=2, canary_wait_seconds=60)
    one = Command(settings, tmp_path, "canary")
    until(lambda: one.metric("cmvigil_canary_sent_total") > 0)
    own_kafka.pause()
    # Its events cannot be taken back now.
    assert one.stop() == 1


def test_a_deliverer_stops_though_the_broker_answers_no_more(own_kafka, prefix, tmp_path):
    settings = settings_for(own_kafka.bootstrap, prefix)
    one = Deliverer(settings, tmp_path, TOPIC_SINK).ready()
    own_kafka.pause()
    assert one.stop() in (0, 1)


@pytest.mark.parametrize("instant", ["revoked:1", "assigned:1", "recovering:1", "tick:5"])
def test_a_worker_told_to_stop_in_the_midst_of_things_is_gone_and_nothing_is_missed(broker, prefix, tmp_path, instant):
    settings = settings_for(broker, prefix)
    first, second = parts(tmp_path, 2)
    send(settings, first, folder=tmp_path)
    other = Worker(settings, tmp_path).ready()
    until(lambda: other.metric("cmvigil_events_total") > 1000)
    one = Worker(settings, tmp_path, kill=f"{instant}:SIGTERM")
    try:
        send(settings, second, folder=tmp_path)
        assert one.process.wait(60) == 0
        assert_equal(settings, replayed(SAMPLE), running=[other])
    finally:
        one.kill()
        other.kill()
