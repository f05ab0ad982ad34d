"""Log files as bytes: plain, gzip or zstd, a path or standard input; in blocks of whole lines, in bounded memory."""

import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

BLOCK: Final = 1 << 20
LINE_LIMIT: Final = 64 << 20
"""A longer line is no event: it is rejected without being held in memory."""
_KEPT: Final = 64 << 10
_SIP: Final = 1 << 10
"""Bytes of zstd unpacked at once: where every four of them stand for 128 KiB, 32 MiB come out."""
_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED: Final = b"\x2a\x4d\x18"
"""Ends the first four bytes of a frame without content; some packers begin with one."""
_PARQUET: Final = b"PAR1"


class UnusableInput(Exception):
    """An input that cannot be read to its end: missing, truncated or corrupt. Nothing of it may be judged."""


class Block(NamedTuple):
    """Some whole lines of a log, and the number of the first of them."""

    data: bytes
    first_line: int


class Document(NamedTuple):
    """A JSON document over several lines, and the line that it begins at."""

    data: bytes
    first_line: int


class LongLine(NamedTuple):
    """A line over the limit: its first bytes, its size and its hash."""

    start: bytes
    line: int
    size: int
    sha256: str


Piece = Block | Document | LongLine


def read_pieces(source: str, progress: Callable[[int], None] | None = None) -> Iterator[Piece]:
    """A log, block by block of lines. `-` is standard input.

    Raises UnusableInput for what is missing, truncated or corrupt.
    """
    try:
        with _open(source) as raw:
            counted = _Counted(raw, progress)
            yield from _lines(_decompressed(counted, source))
    except FileNotFoundError:
        raise UnusableInput(f"{source}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnusableInput(f"{source}: truncated or corrupt archive") from None
    except OSError as error:
        raise UnusableInput(f"{source}: {error.strerror or 'cannot be read'}") from None


def size_of(sources: list[str]) -> int | None:
    """The bytes that reading all sources will take; None where one is a stream."""
    try:
        return sum(Path(source).stat().st_size for source in sources)
    except OSError:
        return None


def _open(source: str) -> BinaryIO:
    if source == "-":
        if sys.stdin is None:
            raise UnusableInput("-: standard input is closed")
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), BLOCK)
    return Path(source).open("rb", buffering=0)


class _Counted(io.RawIOBase):
    """A stream that tells how many bytes were read from it."""

    def __init__(self, raw: BinaryIO, progress: Callable[[int], None] | None) -> None:
        self._raw = raw
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer)  # type: ignore[attr-defined]
        if self._progress is not None:
            self._progress(count)
        return int(count)


def _decompressed(raw: io.RawIOBase, source: str) -> IO[bytes]:
    """The stream behind an archive, told by its first bytes.

    What calls itself an archive by its name and is neither one nor JSON is corrupt.
    """
    stream: io.BufferedReader[io.RawIOBase] = io.BufferedReader(raw, BLOCK)
    magic = stream.peek(4)[:4]
    if magic[:2] == _GZIP:
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if magic == _ZSTD or (magic[1:] == _ZSTD_SKIPPED and magic[0] >> 4 == 5):
        return _zstd(stream, source)
    if magic == _PARQUET:
        raise UnusableInput(f"{source}: parquet is read from a file only, not from a stream or an archive")
    if source.endswith((".gz", ".zst", ".parquet")) and not magic.lstrip().startswith((b"{", b"[", _MARK)):
        raise EOFError
    return stream


def _zstd(stream: IO[bytes], source: str) -> IO[bytes]:
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError:
        raise UnusableInput(f"{source}: zstd needs the extra: pip install 'cmvigil[zstd]'") from None
    return io.BufferedReader(_Zstd(stream, zstandard.ZstdDecompressor()), BLOCK)


class _Zstd(io.RawIOBase):
    """Frames of zstd, one after another. A frame that does not end is an error; the library's own reader is silent."""

    def __init__(self, stream: IO[bytes], decompressor: Any) -> None:  # noqa: ANN401 - an extra without types
        self._stream = stream
        self._new = decompressor.decompressobj
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            packed = b""
            if self._frame is not None and self._frame.eof:
                packed = self._frame.unused_data
                self._frame = None
            if not packed:
                packed = self._stream.read(_SIP)
            if not packed:
                if self._frame is not None:
                    raise EOFError
                return 0
            if self._frame is None:
                self._frame = self._new()
            try:
                self._ready = memoryview(self._frame.decompress(packed))
            except Exception as error:
                raise EOFError from error
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def _lines(stream: IO[bytes]) -> Iterator[Block | LongLine]:
    """Cuts a stream after line ends. A byte order mark at its start is no part of it."""
    rest: list[bytes] = []
    held = 0
    line = 1
    while True:
        data = stream.read(BLOCK)
        if not data:
            break
        if line == 1 and not rest:
            data = data.removeprefix(_MARK)
        cut = data.rfind(b"\n") + 1
        if not cut:
            rest.append(data)
            held += len(data)
            if held > LINE_LIMIT:
                long, left = _skip_line(b"".join(rest), stream, line)
                yield long
                line += 1
                rest, held = ([left] if left else []), len(left)
            continue
        block = b"".join((*rest, data[:cut]))
        yield Block(block, line)
        line += block.count(b"\n")
        rest = [data[cut:]] if cut < len(data) else []
        held = len(data) - cut
    if rest:
        yield Block(b"".join(rest), line)


def _skip_line(start: bytes, stream: IO[bytes], line: int) -> tuple[LongLine, bytes]:
    """Reads to the end of an overlong line, keeping only what identifies it. Returns also what follows it."""
    digest = hashlib.sha256(start)
    size = len(start)
    while True:
        data = stream.read(BLOCK)
        cut = data.find(b"\n")
        part = data if cut < 0 else data[:cut]
        digest.update(part)
        size += len(part)
        if cut >= 0 or not data:
            left = data[cut + 1 :] if cut >= 0 else b""
            return LongLine(start[:_KEPT], line, size, digest.hexdigest()), left
