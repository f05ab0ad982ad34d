"""HTTP servers for the tests of the sinks: they fail, hang, close, and keep what they took."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from streams.sinks.desk import Desk, attend
from streams.sinks.meters import SinkMeters
from streams.sinks.sending import open_session, resend, sender
from streams.sinks.settings import AlertmanagerSink
from streams.sinks.store import fingerprint_key, open_store, wall

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HANG, CLOSE = "hang", "close"


class Got(NamedTuple):
    at: float
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """Answers as `behave(number, got)` says: a status, (status, headers), HANG or CLOSE."""

    def __init__(self, behave=lambda number, got: 200, port=0, tls=None):
        self.behave, self.port, self.got, self.taken, self.tls = behave, port, [], [], tls

    async def _handle(self, request):
        got = Got(time.monotonic(), request.method, request.path_qs, dict(request.headers), await request.read())
        self.got.append(got)
        answer = self.behave(len(self.got), got)
        if answer == HANG:
            await asyncio.sleep(30)
        if answer == CLOSE:
            request.transport.abort()
            return web.Response()
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if 200 <= status < 300:
            self.taken.append(got)
        return web.Response(status=status, headers=headers)

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        await self.runner.cleanup()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/in"

    def pairs(self):
        """(alert_id, seq) of what was taken, in order."""
        return [(one.json["alert_id"], one.json["seq"]) for one in self.taken]


@asynccontextmanager
async def serving(behave=lambda number, got: 200, port=0, tls=None):
    server = await Server(behave, port, tls).start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def attending(path, *sinks):
    """Desks for some sinks over a store, as the deliverer runs them. Gives what wakes them."""
    db = open_store(path)
    woken, stopping, tasks, sessions = asyncio.Event(), asyncio.Event(), [], []
    meters = SinkMeters([one.name for one in sinks])
    key = fingerprint_key(db)
    for sink in sinks:
        session = open_session(sink)
        sessions.append(session)
        desk = Desk(sink.name, sink.at_once, sink.longest_wait_seconds, sender(sink, session, key, wall))
        if isinstance(sink, AlertmanagerSink):

            async def again(alerts, sink=sink, session=session):
                return await resend(sink, session, key, wall, alerts)

            desk = desk._replace(resend=again, resend_seconds=sink.resend_seconds)
        tasks.append(asyncio.create_task(attend(desk, db, woken, stopping, meters)))
    try:
        yield woken
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
        for session in sessions:
            await session.close()
        db.close()


async def soon(true, seconds=20):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to that"
        await asyncio.sleep(0.01)
