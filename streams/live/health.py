"""What the worker's own pages (streams/live/pages.py) say of it."""

from typing import Final

from aiohttp import web

from streams.live.pages import own_pages
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
    """The pages as an application; `token` guards what tells more than life or death."""

    def why() -> str | None:
        found = not_ready(monitor)
        monitor.meters.ready.set(0 if found else 1)
        return found

    def metrics() -> bytes:
        why()
        return monitor.meters.page()

    return own_pages(why, metrics, token)
