"""Facts of a log that is too large for memory: partitions by patient on disk, judged one at a time, and the sorted
runs of changes that they come to. Everything lies in one temporary folder that whoever opens it removes.
"""

import pickle
import zlib
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Final

from monitor.reconciliation import Change
from monitor.types import Fact

PARTITIONS: Final = 64
_CHUNK: Final = 500

Facts = dict[str, list[Fact]]
"""Facts by patient."""


class Spool:
    """Facts on disk, those of one patient always in one partition."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"facts-{number}" for number in range(PARTITIONS)]

    def add(self, facts: Facts) -> None:
        """Appends the facts of some patients."""
        parts: list[list[tuple[str, Fact]]] = [[] for _ in self._paths]
        for patient_id, some in facts.items():
            parts[zlib.crc32(patient_id.encode()) % PARTITIONS] += [(patient_id, fact) for fact in some]
        for path, part in zip(self._paths, parts, strict=True):
            if part:
                with path.open("ab") as file:
                    for start in range(0, len(part), _CHUNK):
                        pickle.dump(part[start : start + _CHUNK], file, pickle.HIGHEST_PROTOCOL)

    def partition(self, number: int, wanted: frozenset[str] | set[str]) -> Facts:
        """The facts of the wanted patients of a partition."""
        found: Facts = {}
        for patient_id, fact in _read(self._paths[number]):
            if patient_id in wanted:
                found.setdefault(patient_id, []).append(fact)
        return found


def write_run(path: Path, changes: list[Change]) -> None:
    """Sorted changes to a file."""
    with path.open("wb") as file:
        for start in range(0, len(changes), _CHUNK):
            pickle.dump(changes[start : start + _CHUNK], file, pickle.HIGHEST_PROTOCOL)


def merged(runs: list[Path]) -> Iterator[Change]:
    """The changes of several sorted runs in order, a chunk of each in memory."""
    return merge(*(_read(run) for run in runs))


def _read(path: Path) -> Iterator:  # type: ignore[type-arg]
    """What was dumped to a file of our own, chunk by chunk."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while file.peek(1):
            yield from pickle.load(file)  # noqa: S301 - written by this process in its own folder
