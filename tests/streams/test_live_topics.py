"""What is said of topics, where a broker answers this or that."""

import pytest

from streams.live import topics
from streams.live.settings import load_settings
from streams.live.topics import TopicsError, check, layout, retention, size_limits

SETTINGS = load_settings(None, {}, partitions=2, replication_factor=3, min_insync_replicas=2, topic_prefix="x-")


class FakeAdmin:
    """A broker with the topics of SETTINGS as they are to be, but for what a test changes."""

    def __init__(self):
        self.configs = {one.name: dict(one.configs) | {"max.message.bytes": "1048588"} for one in layout(SETTINGS)}
        for one in layout(SETTINGS):
            self.configs[one.name] |= one.configs
        self.by_default = set()
        self.replicas = {one.name: [[1, 2, 3], [2, 3, 1]] for one in layout(SETTINGS)}

    def list_topics(self):
        return list(self.replicas)

    def describe_topics(self, names):
        return [{"name": name, "partitions": [{"replica_nodes": one} for one in self.replicas[name]]} for name in names]

    def describe_configs(self, resources, include_synonyms=False, config_filter="modified"):
        def shown(name):
            given = self.configs[name]
            return {
                key: {"value": value}
                for key, value in given.items()
                if config_filter == "all" or (name, key) not in self.by_default
            }

        return {"topic": {one.name: shown(one.name) for one in resources}}

    def close(self):
        pass


@pytest.fixture
def admin(monkeypatch):
    fake = FakeAdmin()
    monkeypatch.setattr(topics, "KafkaAdminClient", lambda **_options: fake)
    return fake


def test_topics_as_they_are_to_be(admin):
    assert check(SETTINGS) == []


def test_what_is_right_by_the_brokers_default_is_right(admin):
    admin.by_default = {("x-lab-results", "message.timestamp.type"), ("x-alerts", "cleanup.policy")}
    assert check(SETTINGS) == []


def test_what_is_wrong_by_the_brokers_default_is_shown_as_it_is(admin):
    admin.by_default = {("x-lab-results", "message.timestamp.type")}
    admin.configs["x-lab-results"]["message.timestamp.type"] = "CreateTime"
    (one,) = check(SETTINGS)
    assert one.startswith("topic x-lab-results: message.timestamp.type is CreateTime, not LogAppendTime")


@pytest.mark.parametrize(("replicas", "wrong"), [([1, 2, 3], 0), ([1, 2], 1), ([1, 2, 3, 4], 0)])
def test_a_partition_with_fewer_copies_than_set_is_named(admin, replicas, wrong):
    admin.replicas["x-alerts"][1] = replicas
    found = check(SETTINGS)
    assert len(found) == wrong
    assert all(one.startswith("topic x-alerts: replication 2, 3 is set; ") for one in found)


def test_other_partitions_than_set_are_named(admin):
    admin.replicas["x-patients"].pop()
    (one,) = check(SETTINGS)
    assert one.startswith("topic x-patients: 1 partitions, 2 are set")


RETENTIONS = {
    "retention_hours": {"lab-results", "medication-administrations", "patients", "alert-actions"},
    "alert_log_retention_hours": {"alert-log"},
    "audit_log_retention_hours": {"audit-log"},
    "dead_letters_retention_hours": {"dead-letters"},
}


def kept(**given):
    """For how many ms each topic keeps its records."""
    return {one.name: one.configs.get("retention.ms") for one in layout(load_settings(None, {}, **given))}


@pytest.mark.parametrize(("setting", "names"), RETENTIONS.items())
def test_each_retention_is_of_its_own_topics_and_of_no_other(setting, names):
    before, after = kept(), kept(**{setting: 48})
    assert {name for name in before if before[name] != after[name]} == names
    assert {after[name] for name in names} == {str(48 * 3_600_000)}
    assert {before[name] for name in names} == {"-1"}


def test_a_retention_that_is_set_and_is_not_the_topics_is_named_with_both(admin):
    given = load_settings(None, {}, **SETTINGS.model_dump() | {"alert_log_retention_hours": 8760})
    (one,) = check(given)
    assert one == "topic x-alert-log: retention.ms is -1, not 31536000000; alter it with kafka-configs"
    admin.configs["x-alert-log"]["retention.ms"] = "31536000000"
    assert check(given) == []
    assert retention(given)["alert-log"] == 31536000000
    assert check(SETTINGS) == ["topic x-alert-log: retention.ms is 31536000000, not -1; alter it with kafka-configs"]


def test_a_topic_that_is_missing_is_named(admin):
    del admin.replicas["x-alert-log"]
    assert check(SETTINGS) == ["topic x-alert-log: missing; run `cmvigil topics`"]


def test_a_configuration_that_is_not_shown_is_said_once(admin):
    admin.configs["x-alerts"] = {}
    assert check(SETTINGS) == [
        "topic x-alerts: the broker does not show its configuration; permit DescribeConfigs",
    ]


def test_size_limits_are_those_of_the_inputs_that_are_there(admin):
    admin.configs["x-patients"]["max.message.bytes"] = "77"
    del admin.replicas["x-alert-actions"]
    found = size_limits(SETTINGS)
    assert found == {"lab-results": 1048588, "medication-administrations": 1048588, "patients": 77}


def test_a_file_that_cannot_be_read_is_named_before_any_broker_is_asked(tmp_path):
    settings = load_settings(None, {}, security_protocol="SSL", ssl_cafile=tmp_path / "none.pem")
    with pytest.raises(TopicsError, match="ssl_cafile: cannot be read"):
        check(settings)
