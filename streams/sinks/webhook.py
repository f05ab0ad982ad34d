"""Signed webhooks, as Standard Webhooks (standardwebhooks.com) has them.

The receiver checks the signature over id, time and body, refuses what is old, and drops an id that it has seen.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from streams.live.settings import SettingsError
from streams.sinks.changes import stable_id

_PREFIX: Final = "whsec_"
_LENGTHS: Final = range(24, 65)


def read_secrets(texts: Sequence[str], sink: str) -> list[bytes]:
    """The keys behind secrets in their written form. Raises SettingsError for none, or for what is no such secret."""
    keys = []
    for text in texts:
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise SettingsError(f"{sink}: secret_file: not base64") from None
        if len(key) not in _LENGTHS:
            raise SettingsError(f"{sink}: secret_file: a secret has 24 to 64 bytes")
        keys.append(key)
    if not keys:
        raise SettingsError(f"{sink}: secret_file: empty")
    return keys


def message_id(alert_id: str, seq: int) -> str:
    """The id of one change: the same each time it is sent. It has no full stop, which parts what is signed."""
    return f"msg_{stable_id(alert_id)}_{seq}"


def sign(keys: Sequence[bytes], identity: str, timestamp: int, body: bytes) -> str:
    """The signatures over id, time (seconds since 1970) and body, one for each key."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)


def webhook_headers(
    keys: Sequence[bytes], alert_id: str, seq: int, timestamp: int, body: bytes, *, escalated: bool = False
) -> dict[str, str]:
    """The headers that go with the body of one change."""
    identity = message_id(alert_id, seq)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, identity, timestamp, body),
    }
    return headers | ({"cmvigil-escalated": "true"} if escalated else {})
