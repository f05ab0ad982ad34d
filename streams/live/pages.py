"""The pages of a program that runs: `/healthz`, `/readyz` and `/metrics`. None shows anything of a patient.

Beyond loopback every page but `/healthz` asks for a bearer token.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

SHUTDOWN_SECONDS: Final = 2.0
"""How long an answer that is being read may hold up the end."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def own_pages(not_ready: Callable[[], str | None], metrics: Callable[[], bytes], token: str | None) -> web.Application:
    """The pages as an application; `token` guards what tells more than life or death.

    `not_ready` says why the program is not ready, or None if it is; `metrics` gives what Prometheus scrapes.
    """

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
        why = not_ready()
        return web.Response(status=503 if why else 200, text=f"{why or 'ready'}\n")

    async def scrape(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), content_type="text/plain", charset="utf-8")

    app = web.Application(middlewares=[guard])
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app


async def serve(pages: web.Application, host: str, port: int) -> web.AppRunner:
    """Shows pages until the runner is cleaned up. Raises OSError where it cannot listen."""
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
