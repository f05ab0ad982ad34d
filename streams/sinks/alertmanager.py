"""Alertmanager's v2 API: an alert fires while it stands open, that is, while somebody must act.

Acknowledged, snoozed or overridden, it ends there: a pharmacist has it, and the monitor opens it again if it worsens or
a snooze runs out. By default nothing in it tells of a patient; the label `alert` is a keyed fingerprint.
"""

from collections.abc import Collection

from monitor.times import MINUTE, Time, iso, parse_time
from monitor.types import Alert
from streams.sinks.settings import AlertmanagerSink

Posting = dict[str, object]


def labels_of(change: Alert, severity: str, fingerprint: str, sink: AlertmanagerSink) -> dict[str, str]:
    """The labels, which are the alert's identity to Alertmanager. An empty label would be no label."""
    labels = {
        "alertname": f"cmvigil-{change.code}",
        "code": change.code,
        "severity": severity,
        "alert": fingerprint,
        **({"drug": change.drug} if change.drug else {}),
        **({"patient_id": change.patient_id} if sink.with_patient_id else {}),
    }
    return labels | sink.labels


def annotations_of(change: Alert, sink: AlertmanagerSink) -> dict[str, str]:
    """What a notification says: where the alert stands, and only if switched on a patient's figures."""
    about = f"{change.code}, {change.drug}" if change.drug else change.code
    said = {"summary": f"{change.severity}: {about}", "state": change.state, "status": change.status}
    if sink.with_text:
        said |= {
            "summary": change.title,
            "description": change.detail,
            "recommendation": change.recommendation,
        }
    return said


def postings(
    change: Alert, severities: Collection[str], fingerprint: str, sink: AlertmanagerSink, now: Time
) -> list[Posting]:
    """What is posted of an alert that stands as `change` says.

    `severities` are those that it ever had. Each is an alert of its own to Alertmanager: the present one fires if the
    alert stands open, every other ends. What fires is held for `hold_minutes` from `now`.
    """
    firing = change.state == "open"
    starts = min(parse_time(change.onset_at), now)
    ended = max(starts, min(parse_time(change.emitted_at), now))
    said = annotations_of(change, sink)
    found: list[Posting] = []
    for severity in sorted({*severities, change.severity}):
        ends = now + round(sink.hold_minutes * MINUTE) if firing and severity == change.severity else ended
        found.append(
            {
                "labels": labels_of(change, severity, fingerprint, sink),
                "annotations": said,
                "startsAt": iso(starts),
                "endsAt": iso(ends),
            }
        )
    return found
