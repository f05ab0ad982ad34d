"""The canary: one made-up patient a partition, sent each hour through the topics to prove that its alerts come.

Each round is a course of its own: a dose and a result that must raise alerts at once (which ones, the clinical core
says beforehand, under the site's knowledge); then both withdrawn, which must close them; then the patient is forgotten,
so that nothing of it adds up. A round has succeeded on a partition when its alerts were seen to open and to close.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
from kafka import TopicPartition
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from monitor.advance import advance, receive
from monitor.events import AdministrationEvent, Event, Gate, LabEvent
from monitor.patient import Patient
from monitor.plan import Plan
from monitor.times import HOUR, MINUTE, Time, iso
from streams.live.canaries import PREFIX, is_canary
from streams.live.clients import open_consumer, partition_of
from streams.live.messages import Forget
from streams.live.produce import TOPIC_OF, Message, produce
from streams.live.settings import Settings
from streams.live.topics import INPUTS, TopicsError

_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CLOSED: Final = frozenset(("resolved", "retracted"))
_encode: Final = msgspec.json.Encoder().encode


class CanaryError(Exception):
    """The canary cannot do its duty as it is set up."""


class _Said(msgspec.Struct):
    alert_id: str
    patient_id: str
    state: str


_said: Final = msgspec.json.Decoder(_Said)


class CanaryMeters:
    """Every metric of the canary, in a registry of its own."""

    def __init__(self, partitions: int, interval: float) -> None:
        """Every partition starts as never seen."""
        r = self.registry = CollectorRegistry()
        self.sent = Counter("cmvigil_canary_sent", "Courses sent.", ["partition"], registry=r)
        self.seen = Counter("cmvigil_canary_seen", "Courses whose alerts came in time.", ["partition"], registry=r)
        self.seconds = Histogram(
            "cmvigil_canary_seconds",
            "From the sending of a course to the reading of its last alert.",
            buckets=_SECONDS,
            registry=r,
        )
        self.success = Gauge(
            "cmvigil_canary_last_success_timestamp_seconds",
            "When a course's alerts were last seen to open and to close; 0: not since the start.",
            ["partition"],
            registry=r,
        )
        Gauge("cmvigil_canary_interval_seconds", "From one round to the next.", registry=r).set(interval)
        for number in range(partitions):
            for one in (self.sent, self.seen, self.success):
                one.labels(number)

    def page(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry)


class Course(NamedTuple):
    """What is sent of one canary, and the alerts that must come of it."""

    events: list[Event]
    alerts: frozenset[str]


def canaries(partitions: int) -> list[str]:
    """The id of a canary for each partition, by the partitioner that all producers use."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        name = f"{PREFIX}{number}"
        found.setdefault(partition_of(name.encode(), partitions), name)
        number += 1
    return [found[partition] for partition in range(partitions)]


def course_of(plan: Plan, patient_id: str, now: Time) -> Course:
    """Foscarnet, and a potassium of 2.0 mmol/L on it, known at `now`.

    Raises CanaryError where this raises no alert under the site's knowledge.
    """
    events: list[Event] = [
        AdministrationEvent(
            event_id="canary-dose",
            patient_id=patient_id,
            recorded_at=iso(now),
            drug="foscarnet",
            started_at=iso(now - 3 * HOUR),
            ended_at=iso(now - HOUR),
            dose=6000,
            unit="mg",
            route="iv",
            indication="treatment",
        ),
        LabEvent(
            event_id="canary-potassium",
            patient_id=patient_id,
            recorded_at=iso(now),
            code="2823-3",
            collected_at=iso(now - 30 * MINUTE),
            value=2.0,
            unit="mmol/L",
        ),
    ]
    gate = Gate(plan)
    p = Patient(plan, patient_id)
    receive(p, [fact for fact in map(gate.admit, events) if fact is not None])
    alerts = frozenset(change.alert.alert_id for change in advance(p, now) if change.alert.status == "raised")
    if not alerts:
        raise CanaryError(
            "knowledge: a potassium of 2.0 mmol/L on foscarnet raises nothing, so the canary proves nothing"
        )
    return Course(events, alerts)


def withdrawn(events: Iterable[Event], now: Time) -> list[Event]:
    """The same events, entered in error."""
    return [
        msgspec.structs.replace(event, recorded_at=iso(now), status="entered-in-error")
        for event in events
        if isinstance(event, LabEvent | AdministrationEvent)
    ]


def fly(
    settings: Settings, plan: Plan, meters: CanaryMeters, wait: float, go_on: Callable[[], bool] = lambda: True
) -> set[int]:
    """One round: returns the partitions on which it succeeded. Alerts have `wait` seconds to open, and again to close.

    Raises TopicsError where the broker cannot be reached, CanaryError as `course_of`.
    """
    names = canaries(settings.partitions)
    with _watching(settings) as read:
        now = _wall()
        courses = {name: course_of(plan, name, now) for name in names}
        started = time.monotonic()
        _send(settings, (event for one in courses.values() for event in one.events))
        for number in range(len(names)):
            meters.sent.labels(number).inc()
        try:
            opened = _wait(read, courses, wait, go_on, lambda state: state not in _CLOSED)
            for name, at in opened.items():
                meters.seconds.observe(at - started)
                meters.seen.labels(names.index(name)).inc()
            _send(settings, (event for one in courses.values() for event in withdrawn(one.events, _wall())))
            # An alert that stayed away can neither be seen to close.
            closed = _wait(read, {name: courses[name] for name in opened}, wait, go_on, lambda state: state in _CLOSED)
        finally:
            _forget(settings, names)
    done = {names.index(name) for name in closed}
    for number in done:
        meters.success.labels(number).set(time.time())
    return done


def _wait(
    read: Callable[[], Iterator[_Said]],
    courses: dict[str, Course],
    wait: float,
    go_on: Callable[[], bool],
    counts: Callable[[str], bool],
) -> dict[str, float]:
    """When the last alert of each course was seen in such a state; courses of which one was not are left out."""
    missing = {name: set(one.alerts) for name, one in courses.items()}
    found: dict[str, float] = {}
    until = time.monotonic() + wait
    while len(found) < len(courses) and time.monotonic() < until and go_on():
        for said in read():
            left = missing.get(said.patient_id)
            if left and counts(said.state):
                left.discard(said.alert_id)
                if not left:
                    found[said.patient_id] = time.monotonic()
    return found


@contextmanager
def _watching(settings: Settings) -> Iterator[Callable[[], Iterator[_Said]]]:
    """Gives what reads the changes of canaries from `alert-log`, from now on."""
    with open_consumer(settings, auto_offset_reset="latest") as consumer:
        topic = settings.topic("alert-log")
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not tps:
            raise TopicsError("topics: missing; run `cmvigil topics`")
        consumer.assign(tps)
        consumer.seek_to_end(*tps)
        for tp in tps:
            consumer.position(tp)  # asks the broker now: what is sent after this is read

        def read() -> Iterator[_Said]:
            for records in consumer.poll(200).values():
                yield from (_said.decode(one.value) for one in records if one.key and is_canary(one.key))

        yield read


def _send(settings: Settings, events: Iterable[Event]) -> None:
    _produce(settings, ((TOPIC_OF[type(event)], event.patient_id, _encode(event)) for event in events))


def _forget(settings: Settings, names: Iterable[str]) -> None:
    now = iso(_wall())
    _produce(settings, ((topic, name, _encode(Forget(name, now))) for name in names for topic in INPUTS))


def _produce(settings: Settings, records: Iterable[tuple[str, str, bytes]]) -> None:
    now = _wall()
    messages = [Message(now, i, topic, name.encode(), value) for i, (topic, name, value) in enumerate(records)]
    if produce(settings, messages, marker_seconds=None).refused:
        raise TopicsError("broker: did not take the canary's events")


def _wall() -> Time:
    return time.time_ns() // 1000
