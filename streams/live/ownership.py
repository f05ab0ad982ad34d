"""Whose a record of the changelog is: what a worker writes that has lost a partition does not count.

A worker that was paused, or cut off by the network, may still place a state after the next owner's. Each record so
carries its owner's epoch, and every owner's is above those that it recovers. Recovery passes over a record below the
highest epoch before it on its partition; one without an epoch, of an older version, counts. Who owns the partition
learns of such a record from the offsets of its own.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from monitor.times import Time

EPOCH: Final = "epoch"


class Ownership:
    """The epochs and offsets of some partitions of one changelog."""

    def __init__(self) -> None:
        self.overwritten: dict[bytes, int] = {}
        """Keys whose last record does not count, with their partition: to be written anew before compaction."""
        self._highest: dict[int, int] = {}
        self._following: dict[int, int] = {}

    def admit(self, partition: int, offset: int, key: bytes, headers: Iterable[tuple[str, bytes]] | None) -> bool:
        """Whether a record counts, which is recovered in order of offsets.

        Who goes back to earlier ones, as for a partition that was lost and is regained, reads all after them again.
        """
        if offset < self._following.get(partition, 0):
            self._highest.pop(partition, None)
        self._following[partition] = offset + 1
        epoch = next((int.from_bytes(value, "big") for name, value in headers or () if name == EPOCH), None)
        if epoch is not None:
            if epoch < self._highest.get(partition, 0):
                self.overwritten[key] = partition
                return False
            self._highest[partition] = epoch
        self.overwritten.pop(key, None)
        return True

    def keep(self, partitions: Iterable[int]) -> None:
        """Forgets every other partition: its next owner's epoch may be lower, by the clock of another machine."""
        kept = set(partitions)
        self._highest = {number: epoch for number, epoch in self._highest.items() if number in kept}
        self._following = {number: offset for number, offset in self._following.items() if number in kept}
        self.overwritten = {key: number for key, number in self.overwritten.items() if number in kept}

    def take_over(self, partition: int, now: Time) -> None:
        """Begins an epoch above all that were recovered, whatever the clocks of the machines say."""
        self._highest[partition] = max(now, self._highest.get(partition, 0) + 1)

    def headers(self, partition: int) -> list[tuple[str, bytes]]:
        """What a record of this owner carries."""
        return [(EPOCH, self._highest[partition].to_bytes(8, "big"))]

    def written(self, metadata: Any) -> bool:
        """Notes where the broker has put a record of ours; False where another's stands between it and the last."""
        if metadata.offset < 0:
            return True
        expected = self._following.get(metadata.partition)
        self._following[metadata.partition] = metadata.offset + 1
        return expected is None or metadata.offset <= expected


def counting(records: Iterable[Any]) -> Iterator[Any]:
    """Of a changelog's records, those of each partition in order of offsets, the ones that a recovery would take."""
    ownership = Ownership()
    return (one for one in records if ownership.admit(one.partition, one.offset, one.key, one.headers))
