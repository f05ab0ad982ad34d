"""From lines to events: whole blocks at once where all is well, line by line where something is not."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from monitor.events import Event, decoder, reason_of

Reject = Callable[[int | None, int | None, str, bytes], None]
"""Takes (line, entry, reason, bytes) of an input that is no event."""


class Located(NamedTuple):
    """An event, where it stood, and the bytes it was read from."""

    event: Event
    line: int
    entry: int | None
    data: bytes


_BLANK: Final = b" \t\r\n"


def decode_block(data: bytes) -> list[Event] | None:
    """All events of a block of lines, if every line is one; None if any is not."""
    try:
        events = decoder.decode_lines(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return events if len(events) == data.count(b"\n") + (not data.endswith(b"\n")) else None


def decode_lines(data: bytes, first_line: int, reject: Reject) -> Iterator[Located]:
    """The events of a block, one by one; what is none is handed to `reject`. Empty lines are no input."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, first_line):
        text = line.strip(_BLANK)
        if not text:
            continue
        try:
            event = decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            reject(number, None, reason_of(error), line.removesuffix(b"\r"))
            continue
        yield Located(event, number, None, text)
