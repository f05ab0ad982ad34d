"""What operators see of a worker: Prometheus metrics, with bounded labels and no patient in any of them."""

import re
import time
from collections import Counter as Counts
from collections.abc import Iterable
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from monitor.events import AdministrationEvent, Event, LabEvent

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_LAG: Final = (60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800)
_SHORT: Final = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 0.1, 1)
_BYTES: Final = (256, 1024, 4096, 16384, 65536, 262144, 1048576)
_REASONS: Final = sorted({"key", "too-late", "other"}.union(*(one.__struct_fields__ for one in get_args(Event))))
"""What most refusals are for, counted from zero: of a series that begins at 1 Prometheus sees no increase."""
UNMAPPED: Final = 200
"""Distinct unmapped codes that are counted by name, and as many units of codes; all others together."""
_TYPES: Final = ("lab", "administration", "patient", "action", "none")
"""`none` is an input that is no event, or a FHIR resource of a type that is not watched."""
OTHER: Final = "other"
_CODE: Final = re.compile(r"[0-9]{1,7}(-[0-9])?|[a-z]+(-[a-z]+)*|[A-Z][A-Za-z]+")
_UNIT: Final = re.compile(r"[^\s\d]\S{0,15}|10[*^][0-9]{1,2}(/\S{1,8})?")
"""What a LOINC or RxNorm code, a drug's name or a FHIR type looks like, and a unit. Anything else in their place is not
named: it may be anything, a patient's name too.
"""
_OUTCOMES: Final = ("taken", "unwatched", "rejected")


class Meters:
    """Every metric of one worker, in a registry of its own."""

    def __init__(self, override_reasons: Iterable[str] = ()) -> None:
        """Starts at zero. Overrides are told apart by what their reason begins with, of `override_reasons`."""
        r = self.registry = CollectorRegistry()
        events = Counter("cmvigil_events", "Events by type and outcome.", ["type", "outcome"], registry=r)
        self._events = {(kind, outcome): events.labels(kind, outcome) for kind in _TYPES for outcome in _OUTCOMES}
        self.decoding = Histogram(
            "cmvigil_decoding_seconds", "Time to decode and check one message.", buckets=_SHORT, registry=r
        )
        self.judging = Histogram(
            "cmvigil_judging_seconds", "Time to judge what one message changed.", buckets=_SHORT, registry=r
        )
        self.detection = Histogram(
            "cmvigil_detection_latency_seconds",
            "From the recording (or due time) behind a change to its acknowledgment by the broker.",
            buckets=_SECONDS,
            registry=r,
        )
        self.laboratory_lag = Histogram(
            "cmvigil_laboratory_lag_seconds",
            "From collection or administration to recording.",
            buckets=_LAG,
            registry=r,
        )
        self.due_delay = Histogram(
            "cmvigil_due_delay_seconds", "By how much a due time was judged late.", buckets=_SECONDS, registry=r
        )
        self.changes = Counter(
            "cmvigil_alert_changes", "Changes of alerts.", ["code", "status", "severity"], registry=r
        )
        self._open = Gauge("cmvigil_open_alerts", "Alerts that are not closed.", ["code", "severity"], registry=r)
        self.dead_letters = Counter("cmvigil_dead_letters", "Refused inputs by field.", ["reason"], registry=r)
        for reason in _REASONS:
            self.dead_letters.labels(reason)
        self._unmapped = Counter(
            "cmvigil_unmapped_codes", "Events of codes and drugs that no rule watches.", ["kind", "code"], registry=r
        )
        self._unmapped_units = Counter(
            "cmvigil_unmapped_units",
            "Events refused for a unit that is not known for their code or drug.",
            ["kind", "code", "unit"],
            registry=r,
        )
        self.lag = Gauge("cmvigil_consumer_lag_messages", "Messages not taken yet.", ["topic", "partition"], registry=r)
        self.watermark_age = Gauge(
            "cmvigil_clock_age_seconds",
            "By how much a partition's clock is behind the wall.",
            ["partition"],
            registry=r,
        )
        self.acted = Histogram(
            "cmvigil_raised_to_action_seconds",
            "From an alert's raising to what a pharmacist did about it.",
            ["severity", "action"],
            buckets=_LAG,
            registry=r,
        )
        for severity in ("info", "warning", "critical"):
            for action in ("acknowledged", "snoozed", "overridden"):
                self.acted.labels(severity, action)
        self._overrides = Counter(
            "cmvigil_overrides",
            "Overridden alerts by the beginning of the reason that was given.",
            ["code", "reason"],
            registry=r,
        )
        self._reasons = tuple(override_reasons)
        self.unjudged = Counter(
            "cmvigil_unjudged", "Verdicts that could not be given for want of data.", ["code", "reason"], registry=r
        )
        self.state_bytes = Histogram(
            "cmvigil_state_bytes", "Size of a patient's state when written.", buckets=_BYTES, registry=r
        )
        self.patient_days = Counter(
            "cmvigil_patient_days",
            "Days on which something was recorded of a patient for whom a rule is in force.",
            registry=r,
        )
        self.patients = Gauge("cmvigil_patients", "Patients with a state on this worker.", registry=r)
        self.outbox_depth = Gauge("cmvigil_outbox_changes", "Changes not acknowledged yet.", registry=r)
        self.outbox_age = Gauge("cmvigil_outbox_age_seconds", "Age of the oldest change not sent.", registry=r)
        self.unacknowledged_age = Gauge(
            "cmvigil_unacknowledged_age_seconds", "Age of the oldest message taken and not durable.", registry=r
        )
        self.recovering = Gauge("cmvigil_recovering", "1 until the state has been recovered.", registry=r)
        self.recovering.set(1)
        self.ready = Gauge("cmvigil_ready", "1 while /readyz says ready.", registry=r)
        self.started = Gauge(
            "cmvigil_start_time_seconds", "When the process started, in seconds since 1970.", registry=r
        )
        self.started.set(time.time())
        self.skipped = Counter(
            "cmvigil_skipped_messages",
            "Messages that the broker had deleted before they were read.",
            ["topic"],
            registry=r,
        )
        self.rebalances = Counter("cmvigil_rebalances", "Assignments of partitions.", registry=r)
        self.forgotten = Counter("cmvigil_forgotten_patients", "Patients forgotten because it was asked.", registry=r)
        self.build = Info("cmvigil_build", "Version and ruleset.", registry=r)
        self._named: dict[Counter, set[tuple[str, ...]]] = {self._unmapped: set(), self._unmapped_units: set()}
        for kind in ("lab", "administration"):
            self._unmapped.labels(kind, "other")
            self._unmapped_units.labels(kind, "other", "other")
        self._unmapped.labels("fhir", "other")

    def count(self, event: Event | None, outcome: str) -> None:
        """Counts an event, or what is none, as `taken`, `unwatched` or `rejected`."""
        self._events[_kind(event), outcome].inc()

    def unwatched(self, event: Event | None, what: str = "") -> None:
        """Counts an event that no rule watches, by its code too; or `what` a FHIR resource is that is none."""
        self.count(event, "unwatched")
        kind = "fhir" if event is None else _kind(event)
        self._by_name(self._unmapped, kind, _named_code(what if event is None else _code(event)))

    def rejected(self, event: Event | None, reason: str) -> None:
        """Counts what was refused; where it is for its unit, by code and unit too."""
        self.count(event, "rejected")
        if isinstance(event, LabEvent | AdministrationEvent) and reason.startswith("unit: not known"):
            unit = event.unit or ""
            self._by_name(
                self._unmapped_units,
                _kind(event),
                _named_code(_code(event)),
                unit if _UNIT.fullmatch(unit) else OTHER,
            )

    def overridden(self, code: str, reason: str | None) -> None:
        """Counts an override by what its reason begins with, of those that are set; `other`, or `none`."""
        given = (reason or "").strip().lower()
        known = next((one for one in self._reasons if given.startswith(one.lower())), OTHER)
        self._overrides.labels(code, known if given else "none").inc()

    def _by_name(self, counter: Counter, kind: str, *names: str) -> None:
        """Counts by name while there are few names: they come from outside."""
        labels, known = (kind, *names), self._named[counter]
        if labels not in known:
            if len(known) >= UNMAPPED:
                labels = (kind, *(OTHER for _ in names))
            else:
                known.add(labels)
        counter.labels(*labels).inc()

    def expect_codes(self, codes: Iterable[tuple[str, str]]) -> None:
        """Counts from zero what may be raised."""
        for code, severity in codes:
            self.changes.labels(code, "raised", severity)

    def refused(self, reason: str) -> None:
        """Counts a dead letter by the field that its reason names."""
        field = reason.partition(":")[0]
        self.dead_letters.labels(field if field.replace("_", "").replace("-", "").isalnum() else "other").inc()

    def open_alerts(self, counts: Counts[tuple[str, str]]) -> None:
        """Sets the open alerts anew."""
        self._open.clear()
        self.add_open(counts)

    def add_open(self, delta: Counts[tuple[str, str]]) -> None:
        """Adds to the open alerts by code and severity."""
        for (code, severity), count in delta.items():
            if count:
                self._open.labels(code, severity).inc(count)

    def page(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry)


def _kind(event: Event | None) -> str:
    return "none" if event is None else str(event.__struct_config__.tag)


def _code(event: Event) -> str:
    if isinstance(event, LabEvent):
        return event.code or ""
    return event.drug or "" if isinstance(event, AdministrationEvent) else ""


def _named_code(code: str) -> str:
    return code if len(code) <= 40 and _CODE.fullmatch(code) else OTHER
