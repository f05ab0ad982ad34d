"""What operators see of a deliverer: Prometheus metrics by sink, with no patient in any label."""

import sqlite3
from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from monitor.times import SECOND, Time
from streams.sinks.store import Taken
from streams.sinks.upkeep import loads, open_count

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ARRIVAL: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class SinkMeters:
    """Every metric of one deliverer, in a registry of its own."""

    def __init__(self, sinks: Collection[str]) -> None:
        """Starts at zero, for each sink."""
        r = self.registry = CollectorRegistry()
        self.sinks = tuple(sinks)
        self.deliveries = Counter(
            "cmvigil_sink_deliveries", "Attempts to deliver, by outcome.", ["sink", "outcome"], registry=r
        )
        self.attempts = Histogram(
            "cmvigil_sink_attempt_seconds", "How long one attempt took.", ["sink"], buckets=_SECONDS, registry=r
        )
        self.delay = Histogram(
            "cmvigil_sink_delay_seconds",
            "From the monitor's saying so to its delivery.",
            ["sink"],
            buckets=_ARRIVAL,
            registry=r,
        )
        self.resends = Counter("cmvigil_sink_resends", "Open alerts told anew.", ["sink", "outcome"], registry=r)
        self.escalations = Counter(
            "cmvigil_sink_escalations", "Alerts sent on, by their next sink.", ["sink"], registry=r
        )
        self.changes = Counter("cmvigil_sink_changes", "Changes read, by outcome.", ["outcome"], registry=r)
        self.pending = Gauge("cmvigil_sink_pending", "Changes that wait to be delivered.", ["sink"], registry=r)
        self.oldest = Gauge(
            "cmvigil_sink_oldest_pending_age_seconds",
            "How long the oldest of them has waited; 0 where none waits.",
            ["sink"],
            registry=r,
        )
        self.refused = Gauge("cmvigil_sink_refused", "Changes that were refused and put aside.", ["sink"], registry=r)
        self.open_alerts = Gauge("cmvigil_sink_open_alerts", "Alerts that are not closed.", registry=r)
        self.lag = Gauge("cmvigil_sink_lag_messages", "Changes in alert-log that are not read.", registry=r)
        self.commits_fail = Gauge(
            "cmvigil_sink_commits_fail",
            "1 while Kafka does not take how far alert-log was read: `cmvigil forget` cannot see it then.",
            registry=r,
        )
        self.ready = Gauge("cmvigil_sink_ready", "1 while /readyz says ready.", registry=r)
        self.build = Info("cmvigil_sink_build", "Version.", registry=r)
        for sink in self.sinks:
            self.escalations.labels(sink)
            for outcome in ("delivered", "later", "refused"):
                self.deliveries.labels(sink, outcome)
        for outcome in Taken._fields:
            self.changes.labels(outcome)

    def count_taken(self, taken: Taken) -> None:
        """Counts what was read."""
        for outcome, count in taken._asdict().items():
            self.changes.labels(outcome).inc(count)

    def page(self, db: sqlite3.Connection, now: Time) -> bytes:
        """The exposition that Prometheus scrapes."""
        for sink, load in loads(db, self.sinks).items():
            self.pending.labels(sink).set(load.pending)
            self.oldest.labels(sink).set(0 if load.oldest is None else max(0, now - load.oldest) / SECOND)
            self.refused.labels(sink).set(load.refused)
        self.open_alerts.set(open_count(db))
        return generate_latest(self.registry)
