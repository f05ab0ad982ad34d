"""Deliveries to Alertmanager itself (Debian's package prometheus-alertmanager), which notifies a webhook in turn."""

import asyncio
import json
import shutil
import subprocess
import urllib.request

import pytest

from monitor.times import parse_time
from streams.sinks.settings import AlertmanagerSink
from streams.sinks.store import Record, Routes, open_store, take, wall
from tests.live.broker import free_port
from tests.streams.sink_changes import change, encoded
from tests.streams.sink_servers import attending, serving, soon

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="Alertmanager is not installed (Debian's package prometheus-alertmanager)"
    ),
]
ROUTES = Routes({"am": 0}, frozenset(), frozenset({"am"}), frozenset())
CONFIG = """
route: {{receiver: hook, group_by: [alertname, alert], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "{url}"}}]}}]
"""


class Alertmanager:
    def __init__(self, folder, hook):
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "am.yml").write_text(CONFIG.format(url=hook))

    def start(self):
        command = [PROGRAM, f"--config.file={self.folder}/am.yml", f"--storage.path={self.folder}/data"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        with (self.folder / "am.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def active(self):
        """The severities that fire now; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=2) as answer:
                return sorted(one["labels"]["severity"] for one in json.load(answer))
        except OSError:
            return None

    def first(self):
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=2) as answer:
            return json.load(answer)[0]


def notified(hook):
    return [(one.json["status"], one.json["alerts"][0]["annotations"]["state"]) for one in hook.taken]


def put(path, woken, *alerts):
    db = open_store(path)
    take(db, [Record("alert-log", 0, one.seq, encoded(one)) for one in alerts], ROUTES, wall())
    db.close()
    woken.set()


def test_an_alert_fires_changes_severity_ends_when_somebody_acts_and_survives_a_new_alertmanager(tmp_path):
    async def run():
        async with serving() as hook:
            manager = Alertmanager(tmp_path, hook.url).start()
            try:
                sink = AlertmanagerSink(
                    kind="alertmanager",
                    name="am",
                    url=manager.url,
                    resend_seconds=1,
                    hold_minutes=0.1,
                    longest_wait_seconds=1,
                )
                path = tmp_path / "d.sqlite"
                async with attending(path, sink) as woken:
                    put(path, woken, change(severity="warning"))
                    await soon(lambda: manager.active() == ["warning"], 30)
                    one = manager.first()
                    assert one["startsAt"].startswith("2026-01-27T05:13:00")
                    assert parse_time(one["endsAt"]) > wall()
                    put(path, woken, change(2, "updated"))
                    await soon(lambda: manager.active() == ["critical"])
                    await asyncio.sleep(8)  # longer than it is held without being told anew
                    assert manager.active() == ["critical"]
                    manager.kill()
                    manager.start()
                    await soon(lambda: manager.active() == ["critical"], 30)
                    put(path, woken, change(3, "acknowledged", "acknowledged"))
                    await soon(lambda: manager.active() == [])
                    await soon(lambda: ("resolved", "acknowledged") in notified(hook))
                    put(path, woken, change(4, "reopened"))
                    await soon(lambda: manager.active() == ["critical"])
                # Nobody tells it anew: it forgets.
                await soon(lambda: manager.active() == [], 15)
                assert notified(hook)[0] == ("firing", "open")
                return hook.taken
            finally:
                manager.kill()

    taken = asyncio.run(run())
    for one in taken:
        assert not any(secret in one.body.decode() for secret in ("mrn-0042", "41431dc20c98540f", "300 umol"))
