"""The canary: one made-up patient a partition, sent each hour through the topics to prove that its alerts come.

Each round is a course of its own: a dose and a result that must raise alerts at once (which ones, the clinical core
says beforehand, under the site's knowledge), and a result of a little later, which only the worker's timers bring in.
Then all are withdrawn, which must close the alerts; then the patient is forgotten, so that nothing of it adds up. A
round has succeeded on a partition when its alerts were seen to open and to close.
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
from monitor.times import HOUR, MINUTE, SECOND, Time, iso
from streams.live.canaries import PREFIX, is_canary
from streams.live.clients import POSITION_MS, Record, open_consumer, partition_of, write
from streams.live.messages import Forget
from streams.live.produce import TOPIC_OF
from streams.live.settings import Settings
from streams.live.topics import INPUTS, BrokerError, TopicsError

LATER: Final = 3 * SECOND
"""After the rest of the course the worker's timers have to bring its last result in."""
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
            "From the sending of a course to the reading of the last alert that must come at once.",
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
    """What is sent of one canary; the alerts that must come of it at once, and those that only a timer brings."""

    events: list[Event]
    at_once: frozenset[str]
    timed: frozenset[str]

    @property
    def alerts(self) -> frozenset[str]:
        """All of them."""
        return self.at_once | self.timed


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
    """Foscarnet, and a potassium of 2.0 mmol/L on it, known at `now`; and what time has to bring.

    A magnesium of 0.5 mg/dL, recorded `LATER`, has to wait with the worker until its time has come. Raises CanaryError
    where one of the two raises no alert under the site's knowledge.
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
        _result("canary-potassium", patient_id, now, "2823-3", 2.0, "mmol/L"),
        _result("canary-magnesium", patient_id, now + LATER, "19123-9", 0.5, "mg/dL"),
    ]
    gate = Gate(plan)
    p = Patient(plan, patient_id)
    receive(p, [fact for fact in map(gate.admit, events) if fact is not None])
    at_once, timed = (
        frozenset(change.alert.alert_id for change in advance(p, to) if change.alert.status == "raised")
        for to in (now, now + LATER)
    )
    for alerts, what in ((at_once, "potassium of 2.0 mmol/L"), (timed, "magnesium of 0.5 mg/dL")):
        if not alerts:
            raise CanaryError(f"knowledge: a {what} on foscarnet raises nothing, so the canary proves nothing")
    return Course(events, at_once, timed)


def _result(event_id: str, patient_id: str, recorded: Time, code: str, value: float, unit: str) -> LabEvent:
    return LabEvent(
        event_id=event_id,
        patient_id=patient_id,
        recorded_at=iso(recorded),
        code=code,
        collected_at=iso(recorded - LATER - 30 * MINUTE),
        value=value,
        unit=unit,
    )


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
        last = now + LATER
        try:
            seen = _wait(read, {name: one.alerts for name, one in courses.items()}, wait, go_on, _is_open)
            opened = {name: one for name, one in courses.items() if seen[name].keys() >= one.alerts}
            for name, one in courses.items():
                if seen[name].keys() >= one.at_once:
                    meters.seconds.observe(max(seen[name][alert] for alert in one.at_once) - started)
            for name in opened:
                meters.seen.labels(names.index(name)).inc()
            # Later than anything that was sent: of two versions of a fact the one recorded last holds.
            last = max(_wall(), last + 1)
            _send(settings, (event for one in courses.values() for event in withdrawn(one.events, last)))
            # An alert that stayed away can neither be seen to close.
            closed = _wait(read, {name: one.alerts for name, one in opened.items()}, wait, go_on, _is_closed)
        finally:
            _forget(settings, names, max(_wall(), last + 1))
    done = {names.index(name) for name, alerts in closed.items() if alerts.keys() >= courses[name].alerts}
    for number in done:
        meters.success.labels(number).set(time.time())
    return done


def _is_open(state: str) -> bool:
    return state not in _CLOSED


def _is_closed(state: str) -> bool:
    return state in _CLOSED


def _wait(
    read: Callable[[], Iterator[_Said]],
    wanted: dict[str, frozenset[str]],
    wait: float,
    go_on: Callable[[], bool],
    counts: Callable[[str], bool],
) -> dict[str, dict[str, float]]:
    """When each wanted alert was first seen in such a state, by patient; returns once all were, or after `wait`."""
    found: dict[str, dict[str, float]] = {name: {} for name in wanted}
    left = sum(map(len, wanted.values()))
    until = time.monotonic() + wait
    while left and time.monotonic() < until and go_on():
        for said in read():
            seen = found.get(said.patient_id)
            if seen is not None and said.alert_id in wanted[said.patient_id] and counts(said.state):
                left -= said.alert_id not in seen
                seen.setdefault(said.alert_id, time.monotonic())
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
        # Asks the broker now, so that what is sent after this is read.
        if None in [consumer.position(tp, timeout_ms=POSITION_MS) for tp in tps]:
            raise BrokerError(f"topic {topic}: the broker has not said in time where it ends")

        def read() -> Iterator[_Said]:
            for records in consumer.poll(200).values():
                yield from (_said.decode(one.value) for one in records if one.key and is_canary(one.key))

        yield read


def _send(settings: Settings, events: Iterable[Event]) -> None:
    write(
        settings,
        (Record(settings.topic(TOPIC_OF[type(event)]), event.patient_id.encode(), _encode(event)) for event in events),
    )


def _forget(settings: Settings, names: Iterable[str], until: Time) -> None:
    write(
        settings,
        (
            Record(settings.topic(topic), name.encode(), _encode(Forget(name, iso(until))))
            for name in names
            for topic in INPUTS
        ),
    )


def _wall() -> Time:
    return time.time_ns() // 1000
