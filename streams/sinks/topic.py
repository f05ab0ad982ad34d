"""DetectedIssue resources to a compacted Kafka topic, each acknowledged by every replica in sync.

The key is the resource's id, so that its last version stays and a forgotten patient's can be deleted; all of one
patient are on one partition, in order, and name the patient in a header.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from streams.live.clients import partition_of
from streams.live.messages import PATIENT_HEADER
from streams.live.settings import Settings, kafka_options
from streams.live.topics import COMPACTED, LARGEST_REQUEST, TopicLayout, TopicsError, create, kept_for
from streams.sinks.changes import read_change, stable_id
from streams.sinks.detected_issue import Story, detected_issue
from streams.sinks.sending import NO_ANSWER, Answer
from streams.sinks.settings import FhirTopicSink
from streams.sinks.store import Delivery

WAIT_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
TOO_LARGE: Final = 413
"""HTTP's word for what a broker refuses for its size."""


def topic_layout(settings: Settings, sink: FhirTopicSink) -> TopicLayout:
    """What the topic of a sink is to be."""
    limits = {
        "min.insync.replicas": str(settings.min_insync_replicas),
        "max.message.bytes": str(LARGEST_REQUEST),
    }
    ageing = kept_for(sink.retention_hours) | {"cleanup.policy": "compact,delete"} if sink.retention_hours > 0 else {}
    configs = COMPACTED | ageing | limits
    return TopicLayout(settings.topic(sink.topic), settings.partitions, settings.replication_factor, configs)


class TopicSender:
    """Sends to one topic; it connects when it first sends, and anew after a failure."""

    def __init__(self, settings: Settings, sink: FhirTopicSink) -> None:
        self._settings, self._sink = settings, sink
        self._topic = settings.topic(sink.topic)
        self._producer: Any = None
        self._partitions = 0

    async def send(self, deliveries: Sequence[Delivery]) -> list[Answer]:
        """Sends some changes, and waits for the broker's acknowledgment of each."""
        return await asyncio.to_thread(self._send, deliveries)

    async def close(self) -> None:
        """Ends the connections."""
        await asyncio.to_thread(self._disconnect)

    def _send(self, deliveries: Sequence[Delivery]) -> list[Answer]:
        try:
            if self._producer is None:
                create(self._settings, [topic_layout(self._settings, self._sink)], LOOK_SECONDS)
                self._producer = KafkaProducer(
                    **kafka_options(self._settings),
                    acks="all",
                    bootstrap_timeout_ms=int(LOOK_SECONDS * 1000),
                    client_id="cmvigil-deliver",
                    max_in_flight_requests_per_connection=1,
                    max_block_ms=int(WAIT_SECONDS * 1000),
                    delivery_timeout_ms=int(WAIT_SECONDS * 1000),
                    request_timeout_ms=int(WAIT_SECONDS * 1000),
                    max_request_size=LARGEST_REQUEST,
                )
                self._partitions = len(self._producer.partitions_for(self._topic))
            sent = [self._start(one) for one in deliveries]
            answers = [self._answer(one) for one in sent]
        except (KafkaError, TopicsError, OSError, ValueError):
            self._disconnect()
            return [NO_ANSWER] * len(deliveries)
        if NO_ANSWER in answers:
            self._disconnect()
        return answers

    def _start(self, delivery: Delivery) -> Any:
        change = read_change(delivery.body)
        resource = detected_issue(change, Story(delivery.first_emitted_at, delivery.actions), self._sink)
        patient = change.patient_id.encode()
        headers = [("alert_id", change.alert_id.encode()), ("seq", str(change.seq).encode()), (PATIENT_HEADER, patient)]
        try:
            return self._producer.send(
                self._topic,
                key=stable_id(change.alert_id).encode(),
                value=msgspec.json.encode(resource),
                headers=headers,
                partition=partition_of(patient, self._partitions),
            )
        except MessageSizeTooLargeError as error:
            return error

    def _answer(self, sent: Any) -> Answer:
        try:
            if isinstance(sent, MessageSizeTooLargeError):
                raise sent
            sent.get(timeout=WAIT_SECONDS)
        except MessageSizeTooLargeError:
            return Answer("refused", TOO_LARGE)
        except KafkaError:
            return NO_ANSWER
        return Answer("delivered")

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=1)
