"""Whose events are a canary's: a made-up patient, sent each hour to prove that alerts still come.

Whatever shows or counts alerts for a clinic leaves those of canaries out, by `is_canary` alone.
"""

from typing import Final

PREFIX: Final = "cmvigil-canary-"
"""Reserved: a patient whose id begins so is nobody, and appears in no clinical view."""
_BYTES: Final = PREFIX.encode()


def is_canary(patient: str | bytes) -> bool:
    """Whether a `patient_id`, or a key of a message, is a canary's."""
    return patient.startswith(PREFIX) if isinstance(patient, str) else patient.startswith(_BYTES)
