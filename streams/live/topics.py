"""The topics: what they are to be, made where they are missing, checked where they are there."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streams.live.settings import Settings, SettingsError, kafka_options

INPUTS: Final = ("lab-results", "medication-administrations", "patients", "alert-actions")
STATE: Final = "cmvigil-patient-state-changelog"
SHOWN_WITHIN_SECONDS: Final = 10.0
LARGEST_REQUEST: Final = 8 * 1024 * 1024
"""Bytes of a record that we write ourselves, and of a request that holds it."""
PATIENCE_SECONDS: Final = 30.0
"""How long a broker is looked for."""
_SIZE: Final = "max.message.bytes"
_HOUR_MS: Final = 3_600_000
_FOREVER: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_BY_ARRIVAL: Final = {"message.timestamp.type": "LogAppendTime"}
"""Retention goes by a record's time; a log of the past must not be deleted as it arrives."""

COMPACTED: Final = _BY_ARRIVAL | {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    # What is deleted or replaced is off the disk within days, however quiet the topic: a segment that is still written
    # is never cleaned otherwise.
    "max.compaction.lag.ms": str(24 * _HOUR_MS),
}


class TopicsError(Exception):
    """The topics are not there or not as they should be, or the broker will not do what is asked."""


class BrokerError(TopicsError):
    """The broker cannot be reached, or fails: to be tried again, unlike what is set wrongly."""

    status = 1


class TopicLayout(NamedTuple):
    """What one topic is to be."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


def layout(settings: Settings) -> list[TopicLayout]:
    """Every topic, by the names that the broker knows."""
    safe = _BY_ARRIVAL | {"min.insync.replicas": str(settings.min_insync_replicas)}
    wanted = {
        **dict.fromkeys(INPUTS, kept_for(settings.retention_hours)),
        STATE: COMPACTED | {_SIZE: str(LARGEST_REQUEST)},
        "alerts": COMPACTED,
        "alert-log": kept_for(settings.alert_log_retention_hours),
        "audit-log": kept_for(settings.audit_log_retention_hours),
        "dead-letters": kept_for(settings.dead_letters_retention_hours) | {_SIZE: str(LARGEST_REQUEST)},
    }
    return [
        TopicLayout(settings.topic(name), settings.partitions, settings.replication_factor, safe | configs)
        for name, configs in wanted.items()
    ]


def kept_for(hours: int) -> dict[str, str]:
    """A topic of which records are deleted so many hours after they arrived; -1: never."""
    return _FOREVER | ({} if hours < 0 else {"retention.ms": str(hours * _HOUR_MS)})


def create(
    settings: Settings, more: Sequence[TopicLayout] | None = None, patience: float = PATIENCE_SECONDS
) -> list[str]:
    """Makes the topics that are missing, and returns their names. Raises TopicsError.

    The monitor's own, or those of `more` alone. A broker that is away is looked for `patience` seconds.
    """
    wanted = layout(settings) if more is None else more
    with open_admin(settings, patience) as admin:
        there = set(admin.list_topics())
        missing = [one for one in wanted if one.name not in there]
        topics = [
            NewTopic(one.name, one.partitions, one.replication_factor, topic_configs=one.configs) for one in missing
        ]
        try:
            if topics:
                admin.create_topics(topics, timeout_ms=30_000)
        except TopicAlreadyExistsError:
            pass  # another made it meanwhile; `check` says whether it is right
        # A broker answers before it shows what it has made.
        until = time.monotonic() + SHOWN_WITHIN_SECONDS
        while missing and any(_wrong(admin, missing)) and time.monotonic() < until:
            time.sleep(0.1)
        return [one.name for one in missing]


def check(settings: Settings, more: Sequence[TopicLayout] | None = None) -> list[str]:
    """What is not as it is to be, each with what to do; empty where all is right. Raises TopicsError."""
    with open_admin(settings) as admin:
        return list(_wrong(admin, layout(settings) if more is None else more))


def retention(settings: Settings) -> dict[str, int]:
    """For how long each topic keeps its records, in ms since they arrived; -1: forever. Raises TopicsError."""
    names = {one.name: one.name.removeprefix(settings.topic_prefix) for one in layout(settings)}
    with open_admin(settings) as admin:
        there = set(admin.list_topics())
        configs = _configs(admin, [name for name in names if name in there])
    return {names[topic]: int(given.get("retention.ms", -1)) for topic, given in configs.items()}


def size_limits(settings: Settings) -> dict[str, int]:
    """The most bytes that a batch of each input topic that is there may have. Raises TopicsError."""
    with open_admin(settings) as admin:
        there = set(admin.list_topics())
        names = {settings.topic(name): name for name in INPUTS if settings.topic(name) in there}
        configs = _configs(admin, list(names)) if names else {}
        return {names[topic]: int(given[_SIZE]) for topic, given in configs.items() if given.get(_SIZE)}


def _wrong(admin: Any, wanted: Sequence[TopicLayout]) -> Iterator[str]:
    there = set(admin.list_topics())
    present = [one for one in wanted if one.name in there]
    yield from (f"topic {one.name}: missing; run `cmvigil topics`" for one in wanted if one.name not in there)
    if present:
        copies = {
            one["name"]: [len(part["replica_nodes"]) for part in one["partitions"]]
            for one in admin.describe_topics([one.name for one in present])
        }
        configs = _configs(admin, [one.name for one in present])
        for one in present:
            yield from _differences(one, copies.get(one.name, []), configs.get(one.name, {}))


def _differences(one: TopicLayout, copies: list[int], configs: Mapping[str, str]) -> Iterator[str]:
    """`copies`: how many brokers each partition is to be kept by, whether they are up or not."""
    if len(copies) != one.partitions:
        yield (
            f"topic {one.name}: {len(copies)} partitions, {one.partitions} are set; set `partitions` to what is there,"
            " or make the topics anew (more partitions would part a patient's events)"
        )
    if copies and min(copies) < one.replication_factor:
        yield (
            f"topic {one.name}: replication {min(copies)}, {one.replication_factor} is set; add copies with"
            " kafka-reassign-partitions, or set `replication_factor` to what is there"
        )
    if not configs:
        yield f"topic {one.name}: the broker does not show its configuration; permit DescribeConfigs"
        return
    for name, value in one.configs.items():
        given = configs.get(name)
        if given != value:
            yield f"topic {one.name}: {name} is {given}, not {value}; alter it with kafka-configs"


def _configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    # What is right by the broker's own default is right, too: kafka-python leaves it out unless asked.
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answer = admin.describe_configs(resources, config_filter="all")
    return _read_configs(answer)


def _read_configs(answer: Any) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for topics in answer.values() if isinstance(answer, dict) else answer:
        for name, entries in topics.items():
            found[name] = {
                key: str(entry["value"] if isinstance(entry, dict) else entry) for key, entry in entries.items()
            }
    return found


@contextmanager
def open_admin(settings: Settings, patience: float = PATIENCE_SECONDS) -> Iterator[Any]:
    """Kafka's own administration. Raises TopicsError where the broker cannot be reached in time, or refuses."""
    try:
        admin = KafkaAdminClient(
            **kafka_options(settings),
            client_id="cmvigil-admin",
            request_timeout_ms=20_000,
            bootstrap_timeout_ms=int(patience * 1000),
        )
    except SettingsError as error:
        raise TopicsError(str(error)) from None
    except ValueError as error:
        raise TopicsError(f"broker: {type(error).__name__}") from None
    except (KafkaError, OSError) as error:
        raise BrokerError(f"broker: {type(error).__name__}") from None
    try:
        yield admin
    except KafkaError as error:
        raise BrokerError(f"broker: {type(error).__name__}") from None
    finally:
        admin.close()
