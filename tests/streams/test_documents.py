"""JSON that does not keep to lines: documents over several, joined, broken, without an end."""

import json

import pytest

from streams import documents
from streams.documents import documents_on, split_documents
from streams.logs import Block, Document, LongLine

A, B = {"a": {"x": [1, "}["]}, "c": '\\"{'}, {"b": [{}, []]}
LINE = json.dumps(A).encode() + b"\n"
PRETTY = json.dumps(A, indent=1).encode() + b"\n"
OTHER = json.dumps(B, indent=4).replace("\n", "\r\n").encode() + b"\r\n"
OPEN = b'{\n "a": 1,\n'


def split(data, size=None, behind=()):
    """The pieces of a log that arrives in blocks of `size` lines."""
    lines = data.splitlines(keepends=True)
    size = size or len(lines)
    blocks = [Block(b"".join(lines[i : i + size]), i + 1) for i in range(0, len(lines), size)]
    more = iter([*blocks[1:], *behind])
    found = list(split_documents(blocks[0], more))
    while (block := next(more, None)) is not None:
        found += split_documents(block, more) if isinstance(block, Block) else [block]
    return found


def held(pieces):
    """What each document says and where it begins; of lines, only how many."""
    return [
        (json.loads(one.data), one.first_line) if isinstance(one, Document) else one.data.strip().count(b"\n") + 1
        for one in pieces
        if one.data.strip()
    ]


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PRETTY, [(A, 1)]),
        (b"\n" + PRETTY, [(A, 2)]),
        (PRETTY + OTHER, [(A, 1), (B, 10)]),
        (PRETTY.rstrip() + OTHER, [(A, 1), (B, 9)]),
        (LINE + PRETTY + LINE + LINE, [1, (A, 2), 2]),
        (b"[\n" + LINE.rstrip() + b"\n]\n", [([A], 1)]),
        (b"[\n" + LINE.rstrip() + b",\n" + LINE + b"]\n" + LINE, [([A, A], 1), 1]),
        (json.dumps([A, B], indent=2).encode(), [([A, B], 1)]),
        # Broken lines among good ones.
        (b"{\n" + LINE + LINE, [3]),
        (b'{"a": "\n"b": 1}\n' + LINE, [2, 1]),
        # A document without an end takes no other with it.
        (OPEN + PRETTY + OTHER, [2, (A, 3), (B, 12)]),
        (OPEN + LINE + LINE, [2, 2]),
    ],
)
def test_documents_and_lines(data, found, size):
    pieces = split(data, size)
    if size is None:
        assert held(pieces) == found
    assert [one for one in held(pieces) if isinstance(one, tuple)] == [one for one in found if isinstance(one, tuple)]
    assert b" ".join(one.data for one in pieces).split() == data.replace(b"}{", b"} {").split()


def test_a_broken_document_that_ends_is_one():
    (piece, rest) = split(PRETTY.replace(b'"c":', b'"c"') + LINE)
    assert isinstance(piece, Document)
    assert rest.data.strip() == LINE.strip()


def test_no_document_reaches_over_a_line_that_is_too_long():
    long = LongLine(b"{", 3, 1, "")
    for data in (OPEN, PRETTY[:-3]):
        pieces = split(data, 1, [long])
        assert pieces[-1] == long
        assert not [one for one in pieces if isinstance(one, Document)]


def test_a_document_over_the_limit_is_lines(monkeypatch):
    monkeypatch.setattr(documents, "LIMIT", 4)
    assert not [one for one in split(PRETTY, 1) if isinstance(one, Document)]


def test_many_documents_without_an_end_are_looked_for_a_few_times(monkeypatch):
    looked = []
    scan = documents._scan
    monkeypatch.setattr(documents, "_scan", lambda *more: looked.append(1) or scan(*more))
    pieces = split(OPEN * 1000)
    assert len(looked) == 16
    assert b"".join(one.data for one in pieces) == OPEN * 1000


class Copied(bytes):
    """Bytes that count how many of them are copied out of them, and out of what was."""

    copied = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if not isinstance(found, bytes):
            return found
        Copied.copied += len(found)
        return Copied(found)


@pytest.mark.parametrize(
    "data",
    [
        b"{\n}\n" * 2000,
        b'{"a":1}\n[\n{}\n]\n' * 800,
        PRETTY * 100,
        # On one line; and before a line that is itself an event, at an array's end.
        b"{\n}" + b"{}" * 4000 + b"\nx\n",
        b"{\n}" + b"{} " * 2000 + b'\n{"a":"' + b"x" * 2000 + b'"}\n]\n',
    ],
)
def test_each_byte_is_copied_and_scanned_a_few_times_however_many_documents_a_block_holds(monkeypatch, data):
    scanned = 0
    scan = documents._scan

    def counted(text, start, depth):
        nonlocal scanned
        found = scan(text, start, depth)
        scanned += (found[1] if found[1] >= 0 else len(text)) - start
        return found

    monkeypatch.setattr(documents, "_scan", counted)
    monkeypatch.setattr(Copied, "copied", 0)
    assert len(list(split_documents(Block(Copied(data), 1), iter(())))) >= 100
    assert scanned <= 2 * len(data)
    assert Copied.copied <= 4 * len(data)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"a":1}{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":"}{"} [1] {}', [b'{"a":"}{"}', b"[1]", b"{}"]),
        (b'{"a":1}{"b":2', []),
        (b'{"a":1}{b}', []),
        (b"5 {}", []),
        (b"", []),
    ],
)
def test_documents_on_one_line(line, found):
    assert documents_on(line) == found
