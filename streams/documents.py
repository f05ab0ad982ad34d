"""JSON documents that do not keep to lines: printed over several, one after another, or two on one line.

Blocks of plain NDJSON never come here (`streams.replay` decodes them at once).
"""

import re
from collections.abc import Iterator
from typing import Final

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


def _split(block: Block, more: Iterator[Piece], behind: list[Piece]) -> Iterator[Piece]:
    """`behind` takes a piece that no document can reach over; it comes after all others."""
    patience = _PATIENCE
    block = _enough(block, more, behind)
    while _LINE.search(block.data):
        start = _beginning(block.data) if patience else -1
        if start < 0:
            yield block
            return
        if start:
            yield Block(block.data[:start], block.first_line)
        document, rest = _document(_after(block, start), iter(()) if behind else more, behind)
        if document is not None:
            yield document
            # What follows a document of this block was looked at with the block.
            within = start + len(document.data) + len(rest.data) == len(block.data)
            block = rest if within else _enough(rest, more, behind)
            continue
        patience -= 1
        again = _NEXT.search(rest.data, 1)
        cut = len(rest.data) if again is None else again.start()
        yield Block(rest.data[:cut], rest.first_line)
        block = _after(rest, cut)


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


def is_json(data: bytes) -> bool:
    """Whether bytes are one JSON value."""
    try:
        _json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _after(block: Block, start: int) -> Block:
    return Block(block.data[start:], block.first_line + block.data.count(b"\n", 0, start))


def _enough(block: Block, more: Iterator[Piece], behind: list[Piece]) -> Block:
    """A block with what follows it, where its last lines alone do not tell whether a document begins there."""
    for _ in range(2):
        if behind or not _open_at_end(block.data):
            break
        piece = next(more, None)
        if not isinstance(piece, Block):
            behind += [piece] if piece is not None else []
            break
        block = Block(block.data + piece.data, block.first_line)
    return block


def _open_at_end(data: bytes) -> bool:
    lines = [line for raw in data[-_LOOK:].rsplit(b"\n", 4)[-4:] if (line := raw.strip(_BLANK))][-2:]
    return any(line[:1] in (b"{", b"[") and not is_json(line) for line in lines)


def _beginning(data: bytes) -> int:
    """Where the first line stands that begins a document and does not end it; -1 if there is none."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].strip(_BLANK)
        if line[:1] in (b"{", b"[") and not is_json(line) and _goes_on(data, end):
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


def _document(block: Block, more: Iterator[Piece], behind: list[Piece]) -> tuple[Document | None, Block]:
    """The document that a block begins with, and what is left; no document and all lines read, if it never ends."""
    held = [block]
    size = len(block.data)
    depth, end = _scan(block.data, 0, 0)
    while end < 0:
        piece = next(more, None) if depth and size <= LIMIT else None
        if not isinstance(piece, Block):
            behind += [piece] if piece is not None else []
            return None, Block(b"".join(one.data for one in held), block.first_line)
        depth, end = _scan(piece.data, 0, depth)
        held.append(piece)
        size += len(piece.data)
    last = held.pop()
    data = b"".join([*(one.data for one in held), last.data[:end]])
    return Document(data, block.first_line), _after(last, end)


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
