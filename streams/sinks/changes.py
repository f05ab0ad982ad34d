"""One change of an alert, as it is read from `alert-log`, and the names that the outside gets to know it by."""

import hashlib
import hmac
from typing import Final, get_args

import msgspec

from monitor.times import TimeError, parse_time
from monitor.types import Alert, Severity, State, Status

CLOSED: Final = frozenset(("resolved", "retracted"))
ACTIONS: Final = frozenset(("acknowledged", "snoozed", "overridden"))
SEVERITY_RANK: Final = {"info": 0, "warning": 1, "critical": 2}
_decoder: Final = msgspec.json.Decoder(Alert)
_WORDS: Final = {
    "status": frozenset(get_args(Status)),
    "state": frozenset(get_args(State)),
    "severity": frozenset(get_args(Severity)),
}


class UnreadableChange(ValueError):
    """What is no change of an alert. Names the field, and quotes nothing."""


def read_change(value: bytes) -> Alert:
    """The change that a record holds. Fields that are not known are ignored. Raises UnreadableChange."""
    try:
        change = _decoder.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableChange(f"change: {type(error).__name__}") from None
    for field, words in _WORDS.items():
        if getattr(change, field) not in words:
            raise UnreadableChange(f"{field}: no word of the contract")
    if not change.alert_id or not change.patient_id or not 1 <= change.seq < 1 << 62:
        raise UnreadableChange("alert_id, patient_id, seq: missing or out of range")
    for field in ("onset_at", "emitted_at"):
        try:
            parse_time(getattr(change, field))
        except TimeError as error:
            raise UnreadableChange(f"{field}: {error}") from None
    return change


def stable_id(alert_id: str) -> str:
    """A name for an alert of 40 letters and digits, fit for a FHIR id, the same in any run."""
    return "cmv-" + hashlib.sha256(alert_id.encode()).hexdigest()[:36]


def fingerprint(key: bytes, alert_id: str) -> str:
    """A name for an alert, 16 hexadecimal digits, from which without the key no patient can be guessed.

    The hash within an alert_id has no key: who knows an onset could try every record number against it.
    """
    return hmac.new(key, alert_id.encode(), hashlib.sha256).hexdigest()[:16]
