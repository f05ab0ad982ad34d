"""From bytes to events: whole blocks at once where all is well, line by line where something is not.

The format is told from the content: an object with a `resourceType` is FHIR, any other is a native event; an array
holds either.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from monitor.events import Event, decoder, is_utf8, reason_of
from monitor.plan import Plan
from streams.codes import NO_CODES, Codes
from streams.documents import documents_on

Reject = Callable[[int | None, int | None, str, bytes], None]
"""Takes (line, entry, reason, bytes) of an input that is no event."""
Pass = Callable[[str], None]
"""Takes the type or code of a resource that no rule watches."""


class Located(NamedTuple):
    """An event, where it stood, and the bytes it was read from."""

    event: Event
    line: int
    entry: int | None
    data: bytes | msgspec.Raw


class _Kind(msgspec.Struct, rename="camel", gc=False):
    resource_type: msgspec.Raw | None = None


_MARK: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"
_FHIR: Final = b'"resourceType"'
_ERRORS: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_kind: Final = msgspec.json.Decoder(_Kind)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def decode_block(data: bytes) -> list[Event] | None:
    """All events of a block of lines, if every line is a native one; None if any is not."""
    try:
        events = decoder.decode_lines(data)
    except _ERRORS:
        return None
    whole = len(events) == data.count(b"\n") + (not data.endswith(b"\n")) and is_utf8(data)
    return events if whole else None


def decode_lines(
    data: bytes, first_line: int, plan: Plan, reject: Reject, passed: Pass, codes: Codes = NO_CODES
) -> Iterator[Located]:
    """The events of a block, one by one; what is none is handed to `reject`. Empty lines are no input."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, first_line):
        # A log joined to another brings its byte order mark along.
        text = line.strip(_BLANK).removeprefix(_MARK)
        if not text:
            continue
        several = documents_on(text) if b"}{" in text or b"} {" in text else []
        for one in several if len(several) > 1 else ():
            yield from decode_document(one, number, plan, reject, passed, codes)
        if len(several) < 2:
            yield from decode_document(text, number, plan, reject, passed, codes, line.removesuffix(b"\r"))


def decode_document(
    text: bytes,
    line: int,
    plan: Plan,
    reject: Reject,
    passed: Pass,
    codes: Codes = NO_CODES,
    whole: bytes | None = None,
) -> Iterator[Located]:
    """The events of one JSON document that begins at a line: an event, a FHIR resource, or an array of them."""
    if text.startswith(b"["):
        try:
            parts = _array.decode(text)
        except _ERRORS as error:
            reject(line, None, reason_of(error), whole or text)
            return
        for index, part in enumerate(parts):
            yield from _one(bytes(part), line, index, plan, reject, passed, codes)
    else:
        yield from _one(text, line, None, plan, reject, passed, codes, whole)


def _one(
    text: bytes,
    line: int,
    entry: int | None,
    plan: Plan,
    reject: Reject,
    passed: Pass,
    codes: Codes,
    whole: bytes | None = None,
) -> Iterator[Located]:
    if _FHIR in text and _is_fhir(text):
        yield from _resource(text, line, entry, plan, reject, passed, codes, whole)
        return
    if not is_utf8(text):
        reject(line, entry, "not JSON", whole or text)
        return
    try:
        event = decoder.decode(text)
    except _ERRORS as error:
        reject(line, entry, reason_of(error), whole or text)
        return
    yield Located(event, line, entry, text)


def _is_fhir(text: bytes) -> bool:
    try:
        return _kind.decode(text).resource_type is not None
    except _ERRORS:
        # No JSON either way; FHIR's reader says why.
        return True


def _resource(
    text: bytes,
    line: int,
    entry: int | None,
    plan: Plan,
    reject: Reject,
    passed: Pass,
    codes: Codes,
    whole: bytes | None,
) -> Iterator[Located]:
    from streams.fhir import Found, Refused, read_resource  # noqa: PLC0415 - 15 ms that native logs need not wait

    for finding in read_resource(text, plan, codes):
        place = entry if finding.entry is None else finding.entry
        if isinstance(finding, Found):
            yield Located(finding.event, line, place, finding.data)
        elif isinstance(finding, Refused):
            reject(line, place, finding.reason, whole or finding.data if place is None else finding.data)
        else:
            passed(finding.what)
