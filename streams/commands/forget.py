"""`cmvigil forget`: deletes one patient, says what is left, and leaves a record of who asked that names nobody."""

import sys
from collections.abc import Sequence
from typing import Final

from streams.commands.common import FAILED, OK, Unusable, refuse
from streams.live.canaries import is_canary
from streams.live.forgetting import Audit, Found, ask, bury, delivered, look, note, now, subject_of, taken
from streams.live.settings import Settings, SettingsError
from streams.live.topics import TopicsError, check
from streams.sinks.settings import DeliverySettings, FhirTopicSink

_DELIVERERS: Final = {
    "done": "what it kept of the patient is deleted",
    "waiting": "keeps what it has until it reads of it",
    "none": "there is none, or none that may say in Kafka what it has read (cmvigil_sink_commits_fail)",
}


def run_forget(
    settings: Settings,
    patient: str,
    *,
    by: str | None,
    reason: str | None,
    dry_run: bool,
    wait: float,
    deliverers: Sequence[str] = (),
    fhir_topics: Sequence[str] = (),
) -> int:
    """Status 1 where no worker or deliverer has taken it in time: it will, once one runs; then run this again.

    `deliverers` are the groups under which alerts are delivered, `fhir_topics` the topics of FHIR resources; without
    them those of the default settings.
    """
    issues = fhir_topics or (FhirTopicSink.model_fields["topic"].default,)
    try:
        patient_id = sys.stdin.read().strip() if patient == "-" else patient
        key = settings.audit_key()
        _refuse(patient_id, by, reason, key, dry_run=dry_run)
        missing = [one for one in check(settings) if "missing" in one]
        if missing:
            raise Unusable("\n".join(missing))  # noqa: TRY301 - refused like other arguments
        before = look(settings, patient_id, issues)
        lacking = [one for one in fhir_topics if one not in before.issues]
        if lacking:
            raise Unusable(f"--fhir-topic: there is no {settings.topic(lacking[0])}")  # noqa: TRY301 - likewise
        _say(before, "would be" if dry_run else "to be")
        if dry_run:
            return OK
        assert key is not None
        assert by is not None
        audit = Audit(now(), "forget", "asked", subject_of(patient_id, key), by, reason)
        note(settings, audit)
        done = taken(settings, ask(settings, patient_id), wait)
        groups = deliverers or (DeliverySettings.model_fields["group"].default,)
        audit.deliverers = {one: delivered(settings, patient_id, one, wait) for one in groups} if done else None
        after = look(settings, patient_id, issues)
        if done and bury(settings, after):
            after = look(settings, patient_id, issues)
        remains = after.state or after.alerts or any(after.issues.values())
        clear = done and not remains and "waiting" not in (audit.deliverers or {}).values()
        audit.at, audit.stage = now(), "done" if clear else "incomplete"
        audit.state_deleted, audit.alerts_deleted = not after.state, len(before.alerts) - len(after.alerts)
        # A deliverer may make its topic meanwhile.
        audit.issues_deleted = {one: len(before.issues.get(one, ())) - len(left) for one, left in after.issues.items()}
        audit.left = after.left
        note(settings, audit)
    except (Unusable, SettingsError, TopicsError) as error:
        return refuse(error)
    return _end(audit, after, taken_up=done)


def _refuse(patient_id: str, by: str | None, reason: str | None, key: str | None, *, dry_run: bool) -> None:
    if not patient_id:
        raise Unusable("PATIENT: missing")
    if is_canary(patient_id):
        raise Unusable("PATIENT: a canary is nobody, and forgets itself")
    if dry_run:
        return
    if not by:
        raise Unusable("--by: who asks for it is needed")
    if key is None:
        raise Unusable("audit_key_file: needed, so that the audit record names nobody")
    if patient_id in by or (reason is not None and patient_id in reason):
        raise Unusable("--by, --reason: must not hold the patient's id")


def _say(found: Found, will: str) -> None:
    print(f"state: {f'{will} deleted' if found.state else 'none'}")
    print(f"alerts: {len(found.alerts)} {will} deleted" if found.alerts else "alerts: none")
    for topic, issues in found.issues.items():
        print(f"{topic}: {len(issues)} resources {will} deleted" if issues else f"{topic}: none")
    for one in found.left:
        until = "for ever: its retention is without end" if one.until is None else f"until {one.until} or later"
        print(f"{one.topic}: {one.records} records stay {until}")


def _end(audit: Audit, after: Found, *, taken_up: bool) -> int:
    for group, how in (audit.deliverers or {}).items():
        print(f"deliverer {group}: {_DELIVERERS[how]}")
    if audit.stage == "done":
        print(f"forgotten: {audit.alerts_deleted} alerts and the state deleted; audited as {audit.subject}")
        return OK
    if "waiting" in (audit.deliverers or {}).values():
        print(
            "cmvigil: a deliverer has not read of it yet; it will when it runs. Then run this again. (One that runs and"
            " may not commit to its group cannot show it: see its log, and cmvigil_sink_commits_fail.)",
            file=sys.stderr,
        )
    elif not taken_up:
        print("cmvigil: no worker has taken it yet; one will when it runs. Then run this again.", file=sys.stderr)
    else:
        print("cmvigil: more of the patient has come meanwhile; stop its feed and run this again", file=sys.stderr)
    return FAILED
