"""Sends deliveries to a sink and tells how it answered. What went wrong is an answer, never an exception."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec

from monitor.times import SECOND, Time
from streams.live.settings import SettingsError
from streams.sinks.alertmanager import postings
from streams.sinks.changes import fingerprint, read_change, stable_id
from streams.sinks.detected_issue import Story, System, detected_issue
from streams.sinks.retry import Outcome, outcome_of, retry_after_seconds
from streams.sinks.settings import AlertmanagerSink, FhirSink, WebhookSink
from streams.sinks.store import Delivery
from streams.sinks.webhook import read_secrets, webhook_headers

_encode: Final = msgspec.json.Encoder().encode
HttpSink = WebhookSink | AlertmanagerSink | FhirSink
Clock = Callable[[], Time]


class Answer(NamedTuple):
    """What came back: the HTTP status, None where nothing came, and for how long the sink asks to be left alone."""

    outcome: Outcome
    status: int | None = None
    asked: float | None = None


Send = Callable[[Sequence[Delivery]], Awaitable[list[Answer]]]
"""Sends some changes, of one alert at most one, and gives the answers in their order."""
NO_ANSWER: Final = Answer("later")


def open_session(sink: HttpSink) -> aiohttp.ClientSession:
    """The connections to one sink. Raises SettingsError where its certificates or secrets cannot be used."""
    sink.token()
    tls: ssl.SSLContext | bool = True
    if sink.ssl_cafile is not None or sink.ssl_certfile is not None:
        try:
            tls = ssl.create_default_context(cafile=None if sink.ssl_cafile is None else str(sink.ssl_cafile))
            if sink.ssl_certfile is not None:
                tls.load_cert_chain(sink.ssl_certfile, sink.ssl_keyfile)
        except OSError:
            raise SettingsError(f"{sink.name}: ssl files: cannot be used") from None
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=sink.at_once),
        timeout=aiohttp.ClientTimeout(total=sink.timeout_seconds),
        headers={"User-Agent": "cmvigil-deliver"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def sender(sink: HttpSink, session: aiohttp.ClientSession, key: bytes, clock: Clock) -> Send:
    """How changes are sent to a sink; `key` is that of fingerprints. Raises SettingsError for secrets that are none."""
    if isinstance(sink, WebhookSink):
        one = _webhook(sink, session, clock)
    elif isinstance(sink, AlertmanagerSink):
        one = _alertmanager(sink, session, key, clock)
    else:
        one = _fhir(sink, session, clock)

    async def send(deliveries: Sequence[Delivery]) -> list[Answer]:
        return list(await asyncio.gather(*map(one, deliveries)))

    return send


def _webhook(
    sink: WebhookSink, session: aiohttp.ClientSession, clock: Clock
) -> Callable[[Delivery], Awaitable[Answer]]:
    read_secrets(sink.secrets(), sink.name)

    async def one(delivery: Delivery) -> Answer:
        try:
            keys = read_secrets(sink.secrets(), sink.name)
        except SettingsError:
            return NO_ANSWER  # while the file is being replaced
        seconds = clock() // SECOND
        headers = webhook_headers(
            keys, delivery.alert_id, delivery.seq, seconds, delivery.body, escalated=delivery.escalated
        )
        return await _request(sink, session, clock, "POST", sink.url, delivery.body, headers)

    return one


def _alertmanager(
    sink: AlertmanagerSink, session: aiohttp.ClientSession, key: bytes, clock: Clock
) -> Callable[[Delivery], Awaitable[Answer]]:
    async def one(delivery: Delivery) -> Answer:
        return await resend(sink, session, key, clock, [(delivery.alert_id, delivery.body, delivery.severities)])

    return one


async def resend(
    sink: AlertmanagerSink,
    session: aiohttp.ClientSession,
    key: bytes,
    clock: Clock,
    alerts: Sequence[tuple[str, bytes, tuple[str, ...]]],
) -> Answer:
    """Posts alerts as they stand: id, latest change, every severity that they had."""
    now = clock()
    posted = [
        posting
        for alert_id, body, severities in alerts
        for posting in postings(read_change(body), severities, fingerprint(key, alert_id), sink, now)
    ]
    url = sink.url.rstrip("/") + "/api/v2/alerts"
    return await _request(sink, session, clock, "POST", url, _encode(posted), {"Content-Type": "application/json"})


def _fhir(sink: FhirSink, session: aiohttp.ClientSession, clock: Clock) -> Callable[[Delivery], Awaitable[Answer]]:
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}

    async def one(delivery: Delivery) -> Answer:
        story = Story(delivery.first_emitted_at, delivery.actions)
        resource = detected_issue(read_change(delivery.body), story, sink)
        url = f"{sink.url.rstrip('/')}/DetectedIssue"
        if sink.conditional:
            del resource["id"]
            url += f"?identifier={quote(f'{System.ALERT_ID}|{delivery.alert_id}', safe='')}"
        else:
            url += f"/{stable_id(delivery.alert_id)}"
        return await _request(sink, session, clock, "PUT", url, _encode(resource), headers)

    return one


async def _request(
    sink: HttpSink,
    session: aiohttp.ClientSession,
    clock: Clock,
    method: str,
    url: str,
    body: bytes,
    headers: dict[str, str],
) -> Answer:
    try:
        token = sink.token()
        if token is not None:
            headers = headers | {"Authorization": f"Bearer {token}"}
        # A redirect would carry a patient's data to where the settings do not send it.
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            asked = retry_after_seconds(response.headers.get("Retry-After"), clock())
            return Answer(outcome_of(response.status), response.status, asked)
    except (aiohttp.ClientError, TimeoutError, OSError, SettingsError):
        return NO_ANSWER
