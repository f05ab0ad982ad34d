"""What was rejected, said aloud with its bytes: one NDJSON line each (contract, section 3)."""

import base64
import hashlib
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

KEPT: Final = 64 << 10
"""An input over this many bytes is cut, and identified by its size and hash."""


class Reject(msgspec.Struct, omit_defaults=True):
    """One rejected input."""

    source: str
    line: int | None
    entry: int | None
    reason: str
    input: str
    input_base64: str | None = None
    bytes: int | None = None
    sha256: str | None = None


class Rejects:
    """Counts rejected inputs, and writes them to a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self.kept = path is not None
        self._file: IO[bytes] | None = path.open("wb") if path is not None else None
        self._encode = msgspec.json.Encoder().encode

    def add(self, source: str, line: int | None, entry: int | None, reason: str, data: bytes) -> None:
        """Takes one rejected input."""
        self.count += 1
        if self._file is not None:
            size, digest = None, None
            if len(data) > KEPT:
                size, digest = len(data), hashlib.sha256(data).hexdigest()
            self._write(source, line, entry, reason, data[:KEPT], size, digest)

    def add_long(self, source: str, line: int, start: bytes, size: int, sha256: str) -> None:
        """Takes a line that was too long to be held."""
        self.count += 1
        if self._file is not None:
            self._write(source, line, None, "line too long", start[:KEPT], size, sha256)

    def _write(
        self,
        source: str,
        line: int | None,
        entry: int | None,
        reason: str,
        data: bytes,
        size: int | None,
        digest: str | None,
    ) -> None:
        assert self._file is not None
        text = data.decode("utf-8", "replace")
        # A file's name need not be UTF-8.
        source = source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raw = base64.b64encode(data).decode() if not _is_utf8(data, cut=size is not None) else None
        self._file.write(self._encode(Reject(source, line, entry, reason, text, raw, size, digest)) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _is_utf8(data: bytes, *, cut: bool) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A cut may fall inside a character.
        return cut and error.start >= len(data) - 3
    return True
