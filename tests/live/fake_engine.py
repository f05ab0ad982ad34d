"""As much of a Docker engine as starting one container asks for; a container of Kafka's image runs Kafka from its jars.

It reads the environment as the image documents it (apache/kafka, docker/examples/README.md), and follows the start
command's words: wait for a file, source it, start.
"""

import io
import json
import re
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.live.broker import Kafka, free_port


class Engine:
    """What the engine was asked, and its one container."""

    def __init__(self, folder, images=("apache/kafka",), dies=False):
        self.folder, self.images, self.dies = folder, images, dies
        self.asked, self.files, self.created = [], {}, None
        self.state, self.node, self.port = "created", None, free_port()

    def answer(self, method, path, body):
        """Status and JSON of an answer."""
        self.asked.append(f"{method} {path}")
        if path == "/_ping" or path == "/version":
            return 200, {"ApiVersion": "1.47", "MinAPIVersion": "1.24", "Version": "27.0"}
        if path.startswith("/images/"):
            held = any(path.startswith(f"/images/{name}:") for name in self.images)
            return (200, {"Id": "sha256:1", "RepoTags": []}) if held else (404, {"message": "no such image"})
        if path == "/containers/create":
            self.created = json.loads(body)
            return 201, {"Id": "c1", "Warnings": []}
        if path == "/containers/c1/start":
            self.state = "exited" if self.dies else "running"
            return 204, None
        if path == "/containers/c1/archive":
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                self.files |= {f"/{one.name.lstrip('/')}": tar.extractfile(one).read().decode() for one in tar}
            self._run()
            return 200, None
        if path == "/containers/c1/json":
            ports = {"9092/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(self.port)}]}
            return 200, {
                "Id": "c1",
                "State": {"Status": self.state},
                "NetworkSettings": {"Ports": ports},
                "Config": {"Tty": False},
            }
        if method == "DELETE" and path == "/containers/c1":
            self.state = "removed"
            self.stop()
            return 204, None
        return 404, {"message": path}

    def _run(self):
        """What the image does: its environment, and what was sourced, become server.properties."""
        waited, sourced = re.search(
            r"! -s (\S+) .*; \. (\S+); exec /etc/kafka/docker/run$", self.created["Cmd"][2]
        ).groups()
        assert waited == sourced
        lines = [*self.created["Env"], self.files[sourced].removeprefix("export ").strip()]
        given = dict(line.split("=", 1) for line in lines if line.startswith("KAFKA_"))
        settings = {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in given.items()}
        # The container's own ports, and that of them which is mapped, are free ones of this machine.
        inner, control = free_port(), free_port()
        moved = {"://:9092": f"://127.0.0.1:{self.port}", ":9093": f":{control}", ":9094": f":{inner}"}
        for name in ("listeners", "advertised.listeners", "controller.quorum.voters"):
            for old, new in moved.items():
                settings[name] = settings[name].replace(old, new)
        self.node = Kafka(self.folder)
        settings["log.dirs"] = str(self.node.folder / "data")
        self.node.config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.node.start()

    def stop(self):
        if self.node is not None:
            self.node.stop()


@contextmanager
def serving(engine):
    """The engine at an address, for DOCKER_HOST."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = re.sub(r"^/v1\.\d+", "", self.path.partition("?")[0])
            if path == "/containers/c1/logs":
                # A frame of standard output: what it is, its length, itself.
                status, sent = 200, b"\x01\0\0\0\0\0\0\x05ended"
            else:
                status, told = engine.answer(self.command, path, body)
                sent = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _do  # noqa: N815 - as http.server calls them

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        engine.stop()
