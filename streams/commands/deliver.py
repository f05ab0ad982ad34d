"""`cmvigil deliver`: alerts to where people see them, and the upkeep of what waits for that."""

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing

from streams.commands.common import OK, UNUSABLE, refuse
from streams.live.settings import SettingsError, kafka_options
from streams.live.topics import TopicLayout, TopicsError, check, create
from streams.sinks.run import run_deliver
from streams.sinks.settings import DeliverySettings, FhirTopicSink
from streams.sinks.store import StoreError, open_store, routes_of, wall
from streams.sinks.topic import topic_layout
from streams.sinks.upkeep import drop_sink, forget, refused, retry_refused

AWAY_SECONDS = 3.0
"""A broker that has not answered then is away: what the store holds is delivered all the same."""


def run(settings: DeliverySettings) -> int:
    """Checks the topics of its own, then delivers until it is told to stop."""
    try:
        settings.http_token()
        kafka_options(settings)
        wanted = [topic_layout(settings, sink) for sink in settings.sinks if isinstance(sink, FhirTopicSink)]
        wrong = _wrong_topics(settings, wanted) if wanted else []
        if wrong:
            print("\n".join(f"cmvigil: {one}" for one in wrong), file=sys.stderr)
            return UNUSABLE
        return run_deliver(settings)
    except (SettingsError, StoreError) as error:
        return refuse(error)


def _wrong_topics(settings: DeliverySettings, wanted: list[TopicLayout]) -> list[str]:
    """Makes topics that are missing, and says what is wrong. Where Kafka is away, that waits: the store has work."""
    try:
        create(settings, wanted, AWAY_SECONDS)
        return check(settings, wanted)
    except TopicsError as error:
        print(f"cmvigil: {error}; its topics are made when it is back", file=sys.stderr)
        return []


def list_refused(settings: DeliverySettings) -> int:
    """Writes what sinks refused to standard output, one line of NDJSON each."""

    def show(db: sqlite3.Connection) -> None:
        for one in refused(db):
            print(json.dumps(one._asdict()))

    return _in_store(settings, show)


def put_in_line(settings: DeliverySettings) -> int:
    """Puts what was refused in line again; a deliverer that runs finds it within seconds."""
    stateful = routes_of(settings).stateful
    return _in_store(settings, lambda db: f"{retry_refused(db, stateful, wall())} changes are in line again")


def forget_sink(settings: DeliverySettings, sink: str) -> int:
    """Forgets a sink that is no longer set, with what waits for it."""
    if any(one.name == sink for one in settings.sinks):
        return refuse(SettingsError("--drop-sink: it is still set"))
    return _in_store(settings, lambda db: f"{drop_sink(db, sink)} changes for that sink are forgotten")


def forget_patient(settings: DeliverySettings, patient_id: str) -> int:
    """Deletes a patient from the store; whoever was told of the patient's alerts has to be asked besides."""
    if not patient_id:
        return refuse(SettingsError("--forget: no patient id on standard input"))
    return _in_store(settings, lambda db: f"{forget(db, patient_id)} alerts are forgotten")


def _in_store(settings: DeliverySettings, work: Callable[[sqlite3.Connection], str | None]) -> int:
    """Does something in the store, also while a deliverer runs, and says what it did on standard error."""
    if not settings.store.exists():
        return refuse(StoreError("store: there is none"))
    try:
        with closing(open_store(settings.store)) as db:
            said = work(db)
    except (StoreError, sqlite3.Error) as error:
        return refuse(error if isinstance(error, StoreError) else StoreError(f"store: {type(error).__name__}"))
    if said:
        print(f"cmvigil: {said}", file=sys.stderr)
    return OK
