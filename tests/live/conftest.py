import os
import uuid

import pytest

from tests.live.broker import Kafka, NoBroker, container, without


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Where a broker listens: KAFKA_BOOTSTRAP, else a container, else Kafka from its jars, else a skip."""
    if os.environ.get("KAFKA_BOOTSTRAP"):
        yield os.environ["KAFKA_BOOTSTRAP"]
        return
    found = container()
    if found is not None:
        yield found[1]
        found[0].stop()
        return
    node = None
    try:
        node = Kafka(tmp_path_factory.mktemp("kafka")).start().wait()
    except NoBroker as error:
        without(str(error))
    yield node.bootstrap
    node.stop()


@pytest.fixture
def own_kafka(tmp_path):
    """A broker of the test's own, from its jars, to be stopped and started."""
    try:
        node = Kafka(tmp_path / "kafka").start().wait()
    except NoBroker as error:
        without(str(error))
    yield node
    node.stop()


@pytest.fixture
def prefix():
    """Topics of one test alone."""
    return f"t{uuid.uuid4().hex[:8]}-"
