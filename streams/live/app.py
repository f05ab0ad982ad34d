"""The Faust app: its settings, and it without what nobody needs: directories, and a count of every message."""

from typing import Any

import faust

from streams.live.credentials import credentials
from streams.live.settings import Settings
from streams.live.topics import LARGEST_REQUEST


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


def open_app(settings: Settings) -> App:
    """A worker's app, without agents, as the settings say."""
    return App(
        settings.topic("cmvigil"),
        broker=[f"kafka://{one.strip()}" for one in settings.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings),
        store="memory://",
        processing_guarantee="at_least_once",
        autodiscover=False,
        web_enabled=False,
        web_tables_enabled=False,
        web_router_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 10,
        broker_rebalance_timeout=settings.session_timeout_seconds,
        broker_request_timeout=40.0 + settings.session_timeout_seconds,
        producer_acks=-1,
        producer_request_timeout=30.0,
        producer_linger=0.005,
        producer_max_request_size=LARGEST_REQUEST,
        # A partition's next batch waits for the answer to its last, and a state is larger than the default of 16 KiB.
        producer_max_batch_size=512 * 1024,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
        Monitor=Unmeasured,
    )
