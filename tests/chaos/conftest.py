from tests.live.conftest import broker, own_kafka, prefix  # noqa: F401 - the fixtures of the live tests
