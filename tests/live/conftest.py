import os
import sys
import uuid
from contextlib import ExitStack

import pytest

from tests.live.broker import Kafka, NoBroker, container, engine, without


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Where a broker listens: KAFKA_BOOTSTRAP, else a container, else Kafka from its jars, else a skip."""
    if os.environ.get("KAFKA_BOOTSTRAP"):
        yield os.environ["KAFKA_BOOTSTRAP"]
        return
    with ExitStack() as stack:
        try:
            where = stack.enter_context(container()) if engine() else None
        except NoBroker as error:
            # An engine that cannot have the image: the jars may still be had.
            print(f"no Kafka in a container: {error}", file=sys.stderr)
            where = None
        if where is None:
            try:
                node = Kafka(tmp_path_factory.mktemp("kafka")).start()
                stack.callback(node.stop)
                where = node.wait().bootstrap
            except NoBroker as error:
                without(str(error))
        yield where


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
