"""The worker's own pages: `/healthz`, `/readyz` and `/metrics`. None shows anything of a patient."""

from typing import Final

from aiohttp import web

from streams.live.pages import alive, guarded
from streams.live.worker import Monitor

STALLED_SECONDS: Final = 60.0
"""A message that is taken and not durable for so long means that commits stand still."""


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
    """The pages of a worker."""

    async def readyz(_request: web.Request) -> web.Response:
        why = not_ready(monitor)
        monitor.meters.ready.set(0 if why else 1)
        return web.Response(status=503 if why else 200, text=f"{why or 'ready'}\n")

    async def metrics(_request: web.Request) -> web.Response:
        monitor.meters.ready.set(0 if not_ready(monitor) else 1)
        return web.Response(body=monitor.meters.page(), content_type="text/plain", charset="utf-8")

    return guarded(token, {"/healthz": alive, "/readyz": readyz, "/metrics": metrics})
