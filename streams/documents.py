"""JSON documents that do not keep to lines: printed over several, one after another, or two on one line.

Blocks of plain NDJSON never come here (`streams.replay` decodes them at once).
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from streams.logs import Block, Document, Piece

LIMIT: Final = 256 << 20
"""A larger document is never held in memory: it is read line by line."""
_BLANK: Final = b" \t\r\n"
_LOOK: Final = 1 << 16
_PATIENCE: Final = 16
"""How often in a row a document may be looked for that never ends, before lines are taken as lines."""
_NEXT: Final = re.compile(rb"(?m)^[{\[]")
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_INK: Final = re.compile(rb"[^ \t\r\n]")
_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*")
"""A line that is not blank, from its first character on."""
_TOKEN: Final = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|["{}\[\]]')
_json: Final = msgspec.json.Decoder(msgspec.Raw)


def split_documents(block: Block, more: Iterator[Piece]) -> Iterator[Piece]:
    """A block as blocks of lines and documents over several lines; `more` is what follows the block in its log.

    What looks like the beginning of a document and never ends is given back as lines, up to where another may begin.
    """
    behind: list[Piece] = []
    yield from _split(block, more, behind)
    yield from behind


class _Rest(NamedTuple):
    """What of some lines is not given out yet: what lies from `start` on, which is on line `line`.

    The lines themselves are not cut: many small documents in one block would copy what follows each of them.
    """

    data: bytes
    start: int
    line: int


def _split(block: Block, more: Iterator[Piece], behind: list[Piece]) -> Iterator[Piece]:
    """`behind` takes a piece that no document can reach over; it comes after all others."""
    patience = _PATIENCE
    rest = _enough(_Rest(block.data, 0, block.first_line), more, behind)
    seen: dict[int, bool] = {}
    while _INK.search(rest.data, rest.start):
        start = _beginning(rest, seen) if patience else -1
        if start < 0:
            yield _lines(rest, len(rest.data))
            return
        if start > rest.start:
            yield _lines(rest, start)
        document, after = _document(_from(rest, start), iter(()) if behind else more, behind)
        if document is not None:
            yield document
            # What follows a document of these lines was looked at with them.
            if after.data is not rest.data:
                after = _enough(after, more, behind)
                seen.clear()
            rest = after
            continue
        patience -= 1
        again = _NEXT.search(after.data, after.start + 1)
        cut = len(after.data) if again is None else again.start()
        yield _lines(after, cut)
        rest = _from(after, cut)
        seen.clear()


def documents_on(line: bytes) -> list[bytes]:
    """The documents that stand one after another on a line; none if they are not all whole."""
    found = []
    start = 0
    while start < len(line):
        _, end = _scan(line, start, 0)
        if end < 0 or not is_json(line[start:end]):
            return []
        found.append(line[start:end])
        space = _SPACE.match(line, end)
        start = space.end() if space is not None else end
    return found


def is_json(data: bytes | memoryview) -> bool:
    """Whether bytes are one JSON value."""
    try:
        _json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _from(rest: _Rest, start: int) -> _Rest:
    return _Rest(rest.data, start, rest.line + rest.data.count(b"\n", rest.start, start))


def _lines(rest: _Rest, end: int) -> Block:
    return Block(rest.data[rest.start : end], rest.line)


def _enough(rest: _Rest, more: Iterator[Piece], behind: list[Piece]) -> _Rest:
    """Some lines with what follows them, where the last of them alone do not tell whether a document begins there."""
    for _ in range(2):
        if behind or not _open_at_end(rest):
            break
        piece = next(more, None)
        if not isinstance(piece, Block):
            behind += [piece] if piece is not None else []
            break
        rest = _Rest(rest.data[rest.start :] + piece.data, 0, rest.line)
    return rest


def _open_at_end(rest: _Rest) -> bool:
    end = rest.data[max(rest.start, len(rest.data) - _LOOK) :]
    lines = [line for raw in end.rsplit(b"\n", 4)[-4:] if (line := raw.strip(_BLANK))][-2:]
    return any(line[:1] in (b"{", b"[") and not is_json(line) for line in lines)


def _beginning(rest: _Rest, seen: dict[int, bool]) -> int:
    """Where the first line stands that begins a document and does not end it; -1 if there is none.

    `seen`: whether what follows the last line that was asked of, by its end, may be the rest of it. Many documents may
    end on one long line, of which nothing is copied.
    """
    data, start, view = rest.data, rest.start, memoryview(rest.data)
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        ink = _INK.search(data, start, end)
        if ink is not None and data[ink.start()] in b"{[" and not is_json(view[start:end]):
            if end not in seen:
                seen.clear()
                seen[end] = _goes_on(data, end)
            if seen[end]:
                return start
        start = end + 1
    return -1


def _goes_on(data: bytes, end: int) -> bool:
    """Whether what follows a line, from its end on, may be the rest of it: a line that is itself an event follows a
    broken line.

    But the one event of an array printed over lines has the array's end after it.
    """
    lines = _LINE.finditer(data, end, end + _LOOK)
    first, second = (line[0].rstrip(_BLANK) if line else b"" for line in (next(lines, None), next(lines, None)))
    return bool(first) and (not (first[:1] == b"{" and is_json(first)) or second[:1] in (b"]", b","))


def _document(rest: _Rest, more: Iterator[Piece], behind: list[Piece]) -> tuple[Document | None, _Rest]:
    """The document that some lines begin with, and what is left; no document and all lines read, if it never ends."""
    depth, end = _scan(rest.data, rest.start, 0)
    if end >= 0:
        return Document(rest.data[rest.start : end], rest.line), _from(rest, end)
    held = [rest.data[rest.start :]]
    size = len(held[0])
    while True:
        piece = next(more, None) if depth and size <= LIMIT else None
        if not isinstance(piece, Block):
            behind += [piece] if piece is not None else []
            return None, _Rest(b"".join(held), 0, rest.line)
        depth, end = _scan(piece.data, 0, depth)
        if end >= 0:
            document = Document(b"".join([*held, piece.data[:end]]), rest.line)
            return document, _from(_Rest(piece.data, 0, piece.first_line), end)
        held.append(piece.data)
        size += len(piece.data)


def _scan(data: bytes, start: int, depth: int) -> tuple[int, int]:
    """How deep brackets are open at the end of some lines, and where the last one closes, else -1.

    The depth is 0 where no document can go on: at a string that its line does not end.
    """
    for token in _TOKEN.finditer(data, start):
        mark = data[token.start()]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth <= 0:
                return 0, token.end()
        elif token.end() - token.start() == 1:
            return 0, -1
    return depth, -1
