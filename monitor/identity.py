"""What an alert is: patient, code, drug, subject and onset. Never its text, severity or evidence."""

import hashlib

from monitor.times import Time, iso
from monitor.types import Episode, Rule


def alert_id(patient_id: str, rule: Rule, episode: Episode) -> str:
    """`code/drug or -/subject or -/hash`, the same in every run over the same facts."""
    return alert_id_of(patient_id, rule.code, episode.drug, rule.subject, episode.onset)


def alert_id_of(patient_id: str, code: str, drug: str | None, subject: str | None, onset: Time) -> str:
    """The id by its parts, where the rule that said the alert is gone."""
    parts = code, drug or "-", subject or "-"
    key = "\x1f".join((patient_id, *parts, iso(onset)))
    return "/".join((*parts, hashlib.sha256(key.encode()).hexdigest()[:16]))


def parts_of(alert_id: str) -> tuple[str, str | None, str | None] | None:
    """Code, drug and subject of an alert's id; None for what is none."""
    parts = alert_id.split("/")
    if len(parts) != 4:
        return None
    code, drug, subject, _ = parts
    return code, None if drug == "-" else drug, None if subject == "-" else subject
