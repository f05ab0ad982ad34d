"""A real Prometheus scrapes a worker and a canary under the committed rules, and a real Alertmanager delivers.

The committed files are used as they are, but for addresses and for how long things take.
"""

import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.live.broker import free_port, without
from tests.live.driver import ROOT, Command, Worker, settings_for, until
from tests.live.test_faults import send_raw

pytestmark = pytest.mark.live
DEPLOY = ROOT / "deploy"
TOKEN = "a token of the pages"
PATIENT = "secret-patient"
RESULT = {
    "type": "lab",
    "event_id": "L1",
    "patient_id": PATIENT,
    "code": "2160-0",
    "value": 1.9,
    "unit": "mg/dL",
    "collected_at": "2026-03-04T06:00:00Z",
    "recorded_at": "2026-03-04T07:10:00Z",
}


def program(name):
    found = shutil.which(name)
    if found is None:
        without(f"{name} is not installed (Debian's packages prometheus and prometheus-alertmanager)")
    return found


class Receiver:
    """What the pager and the ticket system are sent, by their path."""

    def __init__(self):
        self.got = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, path, status="firing"):
        return {
            one["labels"]["alertname"]
            for at, message in self.got
            for one in message["alerts"]
            if at == path and one["status"] == status
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def replaced(text, *pairs):
    for pattern, by in pairs:
        text, count = re.subn(pattern, by, text)
        assert count, pattern
    return text


@contextmanager
def running(folder, name, *words):
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program(name), *map(str, words)], stdout=out, stderr=out, cwd=folder)
    try:
        yield process
        assert process.poll() is None, log.read_text()[-800:]
    finally:
        process.kill()
        process.wait()


@contextmanager
def watched(folder, worker_port, canary_port, receiver):
    """Prometheus and Alertmanager under the committed files; gives what asks Prometheus."""
    token = folder / "token"
    manager_port, port = free_port(), free_port()
    manager = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
    (folder / "alertmanager.yml").write_text(
        replaced(
            manager,
            ("http://pager.invalid/hook", f"http://127.0.0.1:{receiver.port}/pager"),
            ("http://tickets.invalid/hook", f"http://127.0.0.1:{receiver.port}/tickets"),
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_interval: 5m", "group_interval: 1s"),
        )
    )
    rules = (DEPLOY / "prometheus" / "cmvigil.rules.yml").read_text()
    (folder / "cmvigil.rules.yml").write_text(
        replaced(rules, (r"\bfor: \w+", "for: 2s"), (r"interval: 30s", "interval: 1s"))
    )
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(
        replaced(
            config,
            (r"_interval: 15s", "_interval: 1s"),
            (r'"alertmanager:9093"', f'"127.0.0.1:{manager_port}"'),
            (r'"worker-1:8002", "worker-2:8002"', f'"127.0.0.1:{worker_port}"'),
            (r'"canary:8003"', f'"127.0.0.1:{canary_port}"'),
            (r"/run/secrets/cmvigil_http_token", str(token)),
        )
    )

    def ask(expression):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return [float(one["value"][1]) for one in json.load(answer)["data"]["result"]]
        except OSError:
            return []

    alertmanager = running(
        folder,
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{manager_port}",
        "--cluster.listen-address=",
    )
    prometheus = running(
        folder,
        "prometheus",
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with alertmanager, prometheus:
        yield ask


def test_what_a_worker_tells_wakes_somebody_and_says_when_it_is_over(broker, prefix, tmp_path):
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    (tmp_path / "token").write_text(TOKEN)
    given = {"clock": "wall", "http_token_file": tmp_path / "token", "canary_seconds": 20, "canary_wait_seconds": 15}
    settings = settings_for(broker, prefix, **given)
    receiver = Receiver()
    worker = Worker(settings, tmp_path)
    canary = again = None
    try:
        until(lambda: worker.page("/readyz", Authorization=f"Bearer {TOKEN}")[0] == 200)
        canary = Command(settings, tmp_path, "canary")
        until(lambda: canary.page("/readyz", Authorization=f"Bearer {TOKEN}")[0] == 200)
        with watched(tmp_path, worker.port, canary.port, receiver) as ask:
            # All is well: scraped with its token, recorded, the canary seen, nobody woken.
            until(lambda: ask('up{job="cmvigil"}') == [1])
            until(lambda: ask("min(cmvigil_canary_last_success_timestamp_seconds) > 0") != [])
            until(lambda: len(ask("cmvigil:consumer_lag_messages:sum")) == 1)
            send_raw(settings, "lab-results", [(PATIENT.encode(), json.dumps(RESULT).encode())])
            until(lambda: ask("sum(rate(cmvigil_events_total[30m])) > 0") != [])
            until(lambda: ask('ALERTS{alertstate="firing"}') == [])
            assert "CmvigilCanarySilent" not in receiver.alerts("/pager")
            # An input that is refused is a ticket, from the first of its kind on.
            poison = json.dumps(RESULT | {"collected_at": "yesterday"}).encode()
            send_raw(settings, "lab-results", [(PATIENT.encode(), poison)])
            until(lambda: "CmvigilDeadLetters" in receiver.alerts("/tickets"), 60)
            assert "CmvigilNoWorker" not in receiver.alerts("/pager")
            # The only worker is gone: that wakes somebody.
            worker.kill()
            until(lambda: "CmvigilNoWorker" in receiver.alerts("/pager"))
            until(lambda: "CmvigilCanarySilent" in receiver.alerts("/pager"))
            # It is back, and says so.
            again = Worker(settings, tmp_path, CMVIGIL_HTTP_PORT=str(worker.port))
            until(lambda: "CmvigilNoWorker" in receiver.alerts("/pager", "resolved"))
            until(lambda: "CmvigilCanarySilent" in receiver.alerts("/pager", "resolved"))
        told = json.dumps(receiver.got)
        assert PATIENT not in told
        assert "cmvigil-canary-" not in told
        assert "deploy/README.md#cmvigilnoworker" in told
    finally:
        for one in (worker, canary, again):
            if one is not None and one.process.poll() is None:
                one.kill()
        receiver.close()
