"""The table of states: what recovery makes of the changelog."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import faust
from faust.types import TP

from streams.live.ending import die
from streams.live.ownership import Ownership


class StateTable(faust.Table[bytes, bytes]):
    """A table of bytes that remembers which partition a recovered key came from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partition_of: dict[bytes, int] = {}
        self.ownership: Final = Ownership()
        self.recovered: Callable[[set[int]], Awaitable[None]] | None = None

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Called in recovery with records of the changelog."""
        counted = []
        for event in batch:
            message = event.message
            if self.ownership.admit(message.partition, message.offset, event.key, message.headers):
                self.partition_of[event.key] = message.partition
                counted.append(event)
        super().apply_changelog_batch(counted)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Called when every active partition is read to its end."""
        await super().on_recovery_completed(active_tps, standby_tps)
        try:
            if self.recovered is not None:
                await self.recovered({tp.partition for tp in active_tps})
        except Exception as error:  # noqa: BLE001 - Faust would go on without the state
            die("recovery", error)
