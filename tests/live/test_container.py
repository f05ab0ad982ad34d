"""The broker in a container, tested where no Docker engine is: testcontainers against one that is made up."""

import pytest
from kafka import KafkaConsumer

from tests.live.broker import IMAGE, NoBroker, container, engine, jars, without
from tests.live.fake_engine import Engine, serving


@pytest.fixture
def docker_at(monkeypatch):
    """Makes testcontainers ask another engine."""
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    # In a container itself, testcontainers would look for that one's network.
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)
    # Ryuk, which takes away what a killed test run leaves, is a second container.
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    return lambda where: monkeypatch.setenv("DOCKER_HOST", where)


def test_an_engine_that_answers_is_seen_and_one_that_does_not_is_none(docker_at, tmp_path):
    with serving(Engine(tmp_path)) as where:
        docker_at(where)
        assert engine()
    assert not engine()


@pytest.mark.live
def test_kafka_starts_from_what_its_image_is_given_and_is_reached_where_it_says(docker_at, tmp_path):
    try:
        jars()
    except NoBroker as error:
        without(str(error))
    made_up = Engine(tmp_path / "kafka")
    with serving(made_up) as where:
        docker_at(where)
        with container() as bootstrap:
            assert bootstrap == f"127.0.0.1:{made_up.port}"
            consumer = KafkaConsumer(bootstrap_servers=bootstrap)
            assert consumer.topics() == set()
            consumer.close()
            assert made_up.created["Image"] == IMAGE
            assert made_up.created["ExposedPorts"] == {"9092/tcp": {}}
        assert made_up.state == "removed"


def test_an_image_that_cannot_be_had_is_said_and_nothing_is_left(docker_at, tmp_path):
    with serving(Engine(tmp_path, images=())) as where:
        docker_at(where)
        with pytest.raises(NoBroker, match="does not start"), container():
            pass


@pytest.mark.slow
def test_a_container_that_ends_is_said_with_its_last_words_and_taken_away(docker_at, tmp_path, monkeypatch):
    made_up = Engine(tmp_path, dies=True)
    monkeypatch.setattr(made_up, "_run", lambda: None)
    with serving(made_up) as where:
        docker_at(where)
        with pytest.raises(NoBroker, match="ended"), container(5):
            pass
    assert made_up.state == "removed"
