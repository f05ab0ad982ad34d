"""What passes between the engine and whoever drives it, and the messages on input topics that are no facts."""

from typing import Final, NamedTuple

import msgspec

from monitor.times import Time, TimeError, parse_time

PATIENT_HEADER: Final = "patient_id"
"""Names, on a record that is keyed by something else, whose it is."""


class Refused(NamedTuple):
    """An input that is no fact, with its bytes."""

    reason: str
    data: bytes


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """An input that is no fact, as it stands in `dead-letters`."""

    source: str
    reason: str
    input: str | None = None
    input_base64: bytes | None = None


class Step(NamedTuple):
    """What a message brought: keys whose state is to be written before it counts as taken, and what was refused."""

    keys: list[bytes]
    refused: list[Refused]
    buried: list[str] | None = None
    """Of a patient to be forgotten, the alerts that leave the compacted topic; `erased` is to be called after that."""
    told: bytes | None = None
    """What asked to forget, for `alert-log` behind all that was said: whoever keeps changes deletes the patient's."""


class Packed(NamedTuple):
    """A state to be written (None: to be deleted), and the alert changes that may be sent once it is durable."""

    state: bytes | None
    sends: list[bytes]


class Tombstone(NamedTuple):
    """A closed alert that leaves the compacted topic."""

    key: bytes
    alert_id: str


class _Marker(msgspec.Struct, tag="clock", tag_field="type"):
    recorded_at: str


class Forget(msgspec.Struct, tag="forget", tag_field="type"):
    """Asks that all that was recorded of a patient up to a moment be forgotten; sent to every input topic.

    Workers pass it on in `alert-log`: what stands before it there of the patient is of a life that is over.
    """

    patient_id: str
    recorded_at: str


_marker: Final = msgspec.json.Decoder(_Marker)
_forget: Final = msgspec.json.Decoder(Forget)


def marker_of(value: bytes) -> Time | None:
    """The time of a clock marker; None for what is none."""
    try:
        return parse_time(_marker.decode(value).recorded_at)
    except (msgspec.MsgspecError, TimeError):
        return None


def asked_to_forget(value: bytes) -> Forget | None:
    """What a message asks to be forgotten; None for what asks nothing such."""
    try:
        return _forget.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def dead_letter(one: Refused, source: str) -> bytes:
    """A refused input as it goes to `dead-letters`; `source` is topic/partition/offset."""
    try:
        letter = DeadLetter(source, one.reason, input=one.data.decode())
    except UnicodeDecodeError:
        letter = DeadLetter(source, one.reason, input_base64=one.data)
    return msgspec.json.encode(letter)
