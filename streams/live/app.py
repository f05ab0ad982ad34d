"""The Faust app, without what nobody needs: directories, and a count of every message."""

from typing import Any

import faust


class App(faust.App):
    """An app that makes no directories: its states are in memory, and its root may be read-only."""

    def _create_directories(self) -> None:
        pass


class Unmeasured(faust.Monitor):
    """Faust's sensor, without its counts of every message: nobody reads them (streams/live/metrics.py has ours)."""

    def on_message_in(self, *_: Any) -> None:
        """Counts nothing."""

    def on_stream_event_in(self, *_: Any) -> None:
        """Counts nothing."""

    def on_stream_event_out(self, *_: Any) -> None:
        """Counts nothing."""
