"""Pages for operators. Beyond loopback every page but `/healthz` asks for a bearer token."""

import hmac
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(token: str | None, handlers: Mapping[str, Handler]) -> web.Application:
    """Pages as an application; `token` guards what tells more than life or death."""

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

    app = web.Application(middlewares=[guard])
    app.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    return app


async def alive(_request: web.Request) -> web.Response:
    """The process lives."""
    return web.Response(text="alive\n")
