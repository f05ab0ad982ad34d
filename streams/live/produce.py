"""Sends a log into the input topics: in order of recording, keyed by patient, with clock markers.

What is FHIR in the log goes out as the native events that it states; native lines go out as they are, and what the
worker will refuse of them stands in its dead letters.
"""

import time
from collections.abc import Callable, Iterable, Iterator
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
from streams.live.topics import INPUTS, TopicsError
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
_encode: Final = msgspec.json.Encoder().encode


class Message(msgspec.Struct, array_like=True, gc=False, order=True):
    """What is to be sent: when it was recorded, as which of the log, and where to."""

    at: Time
    number: int
    topic: str
    key: bytes
    value: bytes


class Produced(NamedTuple):
    """How much was sent."""

    events: int
    markers: int
    failed: int


def read_messages(
    plan: Plan, sources: Iterable[str], codes: Codes, rejects: Rejects, folder: Path
) -> Iterator[Message]:
    """The messages of some logs in order of recording, by sorted runs on disk where they are many.

    Raises UnusableInput where a log cannot be read whole, before anything is returned.
    """
    kept: list[Message] = []
    runs: list[Path] = []
    for number, (event, data) in enumerate(_events(plan, sources, codes, rejects)):
        kept.append(Message(_recorded(event), number, TOPIC_OF[type(event)], event.patient_id.encode(), data))
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


def _events(plan: Plan, sources: Iterable[str], codes: Codes, rejects: Rejects) -> Iterator[tuple[Event, bytes]]:
    for source in sources:
        if is_meds(source):
            for row in read_meds(source, codes, lambda _code, _count: None):
                if row.event is None:
                    rejects.add(source, row.number, None, row.fault, row.data)
                else:
                    yield row.event, _of_meds(row.event)
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
                for one in located(part, plan, codes, reject, lambda _what: None):
                    native = b'"resourceType"' not in one.data
                    yield one.event, bytes(one.data) if native and one.entry is None else _encode(one.event)


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
    marker_seconds: int | None = 60,
    until: Time | None = None,
    progress: Callable[[int], None] = lambda _count: None,
) -> Produced:
    """Sends all messages and waits until the broker has them.

    A marker goes to every partition of every input when the recordings have come to another span of `marker_seconds`,
    and at the end (`until`, or the last recording); none where that is None. Raises TopicsError where the broker
    cannot be reached.
    """
    failed: list[str] = []
    producer = _producer(settings)
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
                    producer.send(topic, value=value, partition=number).add_errback(_noted(failed))
            return sum(counts.values())

        for one in messages:
            if one.at > ALWAYS and marker_seconds is not None:
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
            producer.send(topics[one.topic], key=one.key, value=one.value).add_errback(_noted(failed))
            events += 1
            progress(1)
        if last > ALWAYS:
            markers += mark(last if until is None else max(last, until))
        producer.flush()
    except KafkaError as error:
        raise TopicsError(f"broker: {type(error).__name__}") from None
    finally:
        producer.close()
    return Produced(events, markers, len(failed))


def _noted(failed: list[str]) -> Callable[[BaseException], None]:
    def note(error: BaseException) -> None:
        failed.append(type(error).__name__)

    return note


def _producer(settings: Settings) -> Any:
    try:
        return KafkaProducer(
            **kafka_options(settings),
            client_id="cmvigil-produce",
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            batch_size=256 * 1024,
            max_request_size=8 * 1024 * 1024,
            delivery_timeout_ms=120_000,
        )
    except SettingsError as error:
        raise TopicsError(str(error)) from None
    except (KafkaError, OSError, ValueError) as error:
        raise TopicsError(f"broker: {type(error).__name__}") from None
