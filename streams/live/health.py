"""The worker's own pages: `/healthz`, `/readyz` and `/metrics`. None shows anything of a patient.

Beyond loopback every page but `/healthz` asks for a bearer token.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streams.live.worker import Monitor

STALLED_SECONDS: Final = 60.0
"""A message that is taken and not durable for so long means that commits stand still."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def not_ready(monitor: Monitor) -> str | None:
    """Why a worker is not ready, or None if it is."""
    if not monitor.assigned or monitor.app.rebalancing or monitor.app.in_recovery:
        return "recovering"
    if monitor.acks.oldest() > STALLED_SECONDS:
        return "commits stand still"
    if monitor.lag() > monitor.settings.ready_lag:
        return "behind"
    return None


def pages(monitor: Monitor, token: str | None) -> web.Application:
    """The pages as an application; `token` guards what tells more than life or death."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token is not None and request.path != "/healthz":
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                return web.Response(status=401, text="a bearer token is required\n")
        response = await handler(request)
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        why = not_ready(monitor)
        monitor.meters.ready.set(0 if why else 1)
        return web.Response(status=503 if why else 200, text=f"{why or 'ready'}\n")

    async def metrics(_request: web.Request) -> web.Response:
        monitor.meters.ready.set(0 if not_ready(monitor) else 1)
        return web.Response(body=monitor.meters.page(), content_type="text/plain", charset="utf-8")

    app = web.Application(middlewares=[guard])
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app
