"""The table of states: what recovery makes of the changelog."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.live.ending import die
from streams.live.logs import logger
from streams.live.ownership import Ownership


class StateTable(faust.Table[bytes, bytes]):
    """A table of bytes that remembers which partition a recovered key came from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partition_of: dict[bytes, int] = {}
        self.ownership: Final = Ownership()
        self.recovered: Callable[[set[int]], Awaitable[None]] | None = None

    def recover(self, records: Iterable[Any]) -> None:
        """Takes records of the changelog as they are fetched in recovery, in order of their offsets.

        Through Faust's queues each costs a sixth of a millisecond: minutes, for some hundred thousand.
        """
        states = self.data.data
        for one in records:
            if self.ownership.admit(one.partition, one.offset, one.key, one.headers):
                self.partition_of[one.key] = one.partition
                if one.value is None:
                    states.pop(one.key, None)
                else:
                    states[one.key] = one.value

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Faust's way in recovery: it counts the offsets, and what the records hold is taken already."""

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Called when every active partition is read to its end."""
        await super().on_recovery_completed(active_tps, standby_tps)
        try:
            if self.recovered is not None:
                await self.recovered({tp.partition for tp in active_tps})
        except IllegalStateError:
            # A rebalance takes partitions away just now: what it brings instead is recovered anew.
            logger.info("partitions taken away while they were taken over")
        except Exception as error:  # noqa: BLE001 - Faust would go on without the state
            die("recovery", error)
