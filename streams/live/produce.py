"""Sends a log into the input topics: in order of recording, keyed by patient, with clock markers.

What is FHIR in the log goes out as the native events that it states; native lines go out as they are, and what the
worker will refuse of them stands in its dead letters.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from heapq import merge
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.events import ActionEvent, AdministrationEvent, Event, LabEvent, PatientEvent
from monitor.plan import Plan
from monitor.times import ALWAYS, SECOND, Time, TimeError, iso, parse_time
from streams.codes import Codes
from streams.documents import split_documents
from streams.live.engine import UNCHARTED
from streams.live.settings import Settings, SettingsError, kafka_options
from streams.live.topics import INPUTS, LARGEST_REQUEST, BrokerError, TopicsError
from streams.logs import Block, LongLine, read_pieces
from streams.meds import is_meds, read_meds
from streams.rejects import Rejects
from streams.replay import located

TOPIC_OF: Final[dict[type, str]] = {
    LabEvent: "lab-results",
    AdministrationEvent: "medication-administrations",
    PatientEvent: "patients",
    ActionEvent: "alert-actions",
}
IN_MEMORY: Final = 1_000_000
LARGEST_BATCH: Final = 256 * 1024
_BATCH_HEAD: Final = 61
_RECORD_HEAD: Final = 4
"""Attributes, difference of time, difference of offset and number of headers: a byte each in a batch of one."""
_NO_LIMITS: Final[Mapping[str, int]] = {}
_encode: Final = msgspec.json.Encoder().encode


class Message(msgspec.Struct, array_like=True, gc=False, order=True):
    """What is to be sent: when it was recorded, as which of the log, and where to."""

    at: Time
    number: int
    topic: str
    key: bytes
    value: bytes


class Produced(NamedTuple):
    """How much was handed to the broker, and what it did not take: counts by the kind of its error."""

    events: int
    markers: int
    refused: dict[str, int]


def record_size(key: bytes, value: bytes) -> int:
    """The bytes of a batch that holds this message alone: what a broker holds against a topic's `max.message.bytes`."""
    body = _RECORD_HEAD + _varint_size(len(key)) + len(key) + _varint_size(len(value)) + len(value)
    return _BATCH_HEAD + _varint_size(body) + body


def _varint_size(number: int) -> int:
    # Zigzag: a bit more for the sign, seven bits a byte.
    return ((number << 1).bit_length() + 6) // 7 or 1


def read_messages(
    plan: Plan,
    sources: Iterable[str],
    codes: Codes,
    rejects: Rejects,
    folder: Path,
    *,
    limits: Mapping[str, int] = _NO_LIMITS,
    passed: Callable[[int], None] = lambda _count: None,
) -> Iterator[Message]:
    """The messages of some logs in order of recording, by sorted runs on disk where they are many.

    What is larger than its topic's limit in bytes (`limits`) is rejected: in a batch it would take others down with
    it. `passed` takes how many facts no rule watches, where they are left out (FHIR, MEDS); native ones are sent.
    Raises UnusableInput where a log cannot be read whole, before anything is returned.
    """
    kept: list[Message] = []
    runs: list[Path] = []
    for number, one in enumerate(_events(plan, sources, codes, rejects, passed)):
        event = one.event
        topic, key = TOPIC_OF[type(event)], event.patient_id.encode()
        limit = limits.get(topic)
        if limit is not None and record_size(key, one.data) > limit:
            rejects.add(one.source, one.line, one.entry, f"too large: topic takes {limit} bytes", one.data)
            continue
        kept.append(Message(_recorded(event), number, topic, key, one.data))
        if len(kept) >= IN_MEMORY:
            runs.append(_spill(kept, folder / f"run-{len(runs)}"))
            kept = []
    kept.sort()
    return merge(*map(_read_run, runs), kept)


def _spill(messages: list[Message], path: Path) -> Path:
    messages.sort()
    encode = msgspec.msgpack.Encoder().encode
    with path.open("wb") as out:
        for one in messages:
            data = encode(one)
            out.write(len(data).to_bytes(4, "big") + data)
    return path


def _read_run(path: Path) -> Iterator[Message]:
    decode = msgspec.msgpack.Decoder(Message).decode
    with path.open("rb") as run:
        while size := run.read(4):
            yield decode(run.read(int.from_bytes(size, "big")))


class _Read(NamedTuple):
    """An event as it is to be sent, and where it stood."""

    event: Event
    data: bytes
    source: str
    line: int
    entry: int | None


def _events(
    plan: Plan, sources: Iterable[str], codes: Codes, rejects: Rejects, passed: Callable[[int], None]
) -> Iterator[_Read]:
    for source in sources:
        if is_meds(source):
            for row in read_meds(source, codes, lambda _code, count: passed(count)):
                if row.event is None:
                    rejects.add(source, row.number, None, row.fault, row.data)
                else:
                    yield _Read(row.event, _of_meds(row.event), source, row.number, None)
            continue

        def reject(line: int | None, entry: int | None, reason: str, data: bytes, source: str = source) -> None:
            rejects.add(source, line, entry, reason, data)

        pieces = read_pieces(source)
        for piece in pieces:
            if isinstance(piece, LongLine):
                rejects.add_long(source, piece.line, piece.start, piece.size, piece.sha256)
                continue
            for part in split_documents(piece, pieces) if isinstance(piece, Block) else (piece,):
                if isinstance(part, LongLine):
                    rejects.add_long(source, part.line, part.start, part.size, part.sha256)
                    continue
                for one in located(part, plan, codes, reject, lambda _what: passed(1)):
                    native = b'"resourceType"' not in one.data
                    data = bytes(one.data) if native and one.entry is None else _encode(one.event)
                    yield _Read(one.event, data, source, one.line, one.entry)


def _of_meds(event: Event) -> bytes:
    data = _encode(event)
    uncharted = isinstance(event, AdministrationEvent) and event.dose is None
    return data[:-1] + b"," + UNCHARTED + b"}" if uncharted else data


def _recorded(event: Event) -> Time:
    try:
        return parse_time(event.recorded_at)
    except TimeError:
        return ALWAYS


def produce(
    settings: Settings,
    messages: Iterable[Message],
    *,
    speed: float | None = None,
    marker_seconds: int = 60,
    until: Time | None = None,
    limits: Mapping[str, int] = _NO_LIMITS,
    progress: Callable[[int], None] = lambda _count: None,
) -> Produced:
    """Sends all messages and waits until the broker has them.

    A marker goes to every partition of every input when the recordings have come to another span of `marker_seconds`,
    and at the end (`until`, or the last recording). No batch is made larger than `limits`, in bytes by topic. Raises
    TopicsError where the broker cannot be reached.
    """
    refused: Counter[str] = Counter()
    noted = _noted(refused)
    producer = _producer(settings, limits)
    try:
        topics = {name: settings.topic(name) for name in INPUTS}
        counts = {name: len(producer.partitions_for(topic) or ()) for name, topic in topics.items()}
        if not all(counts.values()):
            raise TopicsError("topics: missing; run `cmvigil topics`")
        markers = events = 0
        span, last = None, ALWAYS
        started = first = None

        def mark(at: Time) -> int:
            value = _encode({"type": "clock", "recorded_at": iso(at)})
            for name, topic in topics.items():
                for number in range(counts[name]):
                    producer.send(topic, value=value, partition=number).add_errback(noted)
            return sum(counts.values())

        for one in messages:
            if one.at > ALWAYS:
                here = one.at // (marker_seconds * SECOND)
                if span is not None and here > span:
                    # All that was recorded before this span has been sent: on each partition it stands before this.
                    markers += mark(here * marker_seconds * SECOND - 1)
                span = here
                last = max(last, one.at)
                if speed is not None:
                    first, started = (
                        (one.at, time.monotonic()) if first is None or started is None else (first, started)
                    )
                    wait = (one.at - first) / SECOND / speed - (time.monotonic() - started)
                    if wait > 0:
                        producer.flush()
                        time.sleep(wait)
            producer.send(topics[one.topic], key=one.key, value=one.value).add_errback(noted)
            events += 1
            progress(1)
        if last > ALWAYS:
            markers += mark(last if until is None else max(last, until))
        producer.flush()
    except KafkaError as error:
        raise BrokerError(f"broker: {type(error).__name__}") from None
    finally:
        # Whatever keeps it from closing was said by `flush`, or kept that from being reached.
        with suppress(KafkaError):
            producer.close()
    return Produced(events, markers, dict(refused))


def _noted(refused: Counter[str]) -> Callable[[BaseException], None]:
    def note(error: BaseException) -> None:
        refused[type(error).__name__] += 1

    return note


def _producer(settings: Settings, limits: Mapping[str, int]) -> Any:
    try:
        return KafkaProducer(
            **kafka_options(settings),
            client_id="cmvigil-produce",
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            # The client reckons a record's head somewhat larger than it is.
            batch_size=min(LARGEST_BATCH, *limits.values()) if limits else LARGEST_BATCH,
            max_request_size=max(LARGEST_REQUEST, *limits.values()) + 1024 if limits else LARGEST_REQUEST,
            delivery_timeout_ms=120_000,
        )
    except SettingsError as error:
        raise TopicsError(str(error)) from None
    except (KafkaError, OSError, ValueError) as error:
        raise BrokerError(f"broker: {type(error).__name__}") from None
