"""In what order messages count as taken: never one before all that came before it on its partition.

Faust commits the end of the run of acknowledged offsets, and takes what is missing at its start for acknowledged
(faust-streaming issue 606): so an acknowledgment waits here for those before it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, Generic, TypeVar

import msgspec

Topic = tuple[str, int]
M = TypeVar("M")


class _Taken(msgspec.Struct, Generic[M], gc=False):
    message: M
    waits: int
    since: float


class Acks(Generic[M]):
    """Messages taken but not yet durable, by topic and partition, in order of their offsets."""

    def __init__(self, acknowledge: Callable[[M], None]) -> None:
        """`acknowledge` is called once for each message, in order."""
        self._acknowledge: Final = acknowledge
        self._queues: dict[Topic, deque[_Taken[M]]] = {}
        self._by_key: dict[bytes, list[tuple[Topic, _Taken[M]]]] = {}

    def taken(self, topic: Topic, message: M, keys: Iterable[bytes], letters: int = 0) -> Callable[[], None]:
        """Notes a message that waits for the writes of some keys and for some dead letters.

        Returns what is to be called as each dead letter is durable.
        """
        names = list(keys)
        one = _Taken(message, len(names) + letters, monotonic())
        self._queues.setdefault(topic, deque()).append(one)
        for key in names:
            self._by_key.setdefault(key, []).append((topic, one))
        if not one.waits:
            self._drain(topic)

        def done() -> None:
            self._done(topic, one)

        return done

    def writing(self, key: bytes) -> Callable[[], None]:
        """A key is written now; returns what is to be called when that is durable."""
        waiting = self._by_key.pop(key, [])

        def done() -> None:
            for topic, one in waiting:
                self._done(topic, one)

        return done

    def forget(self) -> None:
        """Drops all: what was not acknowledged comes again."""
        self._queues.clear()
        self._by_key.clear()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def oldest(self) -> float:
        """For how many seconds the oldest message waits; 0 where none does."""
        since = min((queue[0].since for queue in self._queues.values() if queue), default=None)
        return 0.0 if since is None else monotonic() - since

    def _done(self, topic: Topic, one: _Taken[M]) -> None:
        one.waits -= 1
        if not one.waits:
            self._drain(topic)

    def _drain(self, topic: Topic) -> None:
        queue = self._queues.get(topic)
        while queue and not queue[0].waits:
            self._acknowledge(queue.popleft().message)
