"""Apache Kafka for the tests: one that is named, one in a container, or one started from its own jars."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError

HERE = Path(__file__).parent
VERSION = "4.4.0"
IMAGE = f"apache/kafka:{VERSION}"
LISTENERS = "/tmp/listeners"


class NoBroker(Exception):
    """Why no broker can be had here."""


def without(why: str) -> NoReturn:
    """Skips, saying why; where the live tests are required (CI), fails."""
    if os.environ.get("CMVIGIL_LIVE") == "required":
        pytest.fail(f"the live tests are required, and there is no broker: {why}")
    pytest.skip(f"no Kafka broker: {why}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def jars() -> Path:
    """The folder of Kafka's jars, fetched by Maven once, each as its pinned checksum says."""
    home = Path(os.environ.get("CMVIGIL_KAFKA_HOME") or Path.home() / ".cache" / "cmvigil" / "kafka")
    folder = home / VERSION
    if shutil.which("java") is None:
        raise NoBroker("no Java 17")
    if not _complete(folder):
        if shutil.which("mvn") is None:
            raise NoBroker("no Maven to fetch its jars")
        command = ["mvn", "-q", "-B", "-f", HERE / "kafka-pom.xml", "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        for wait in (0, 5, 30):
            time.sleep(wait)
            done = subprocess.run(command, capture_output=True, check=False, timeout=600)
            if not done.returncode and _complete(folder):
                return folder
        raise NoBroker(f"Maven could not bring its jars as pinned (exit status {done.returncode})")
    return folder


def _complete(folder: Path) -> bool:
    for line in (HERE / "kafka-jars.sha256").read_text().splitlines():
        digest, name = line.split()
        path = folder / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return False
    return True


def common_settings(nodes):
    """What a broker of the tests is set to, wherever it runs."""
    copies, least = str(min(3, nodes)), str(max(1, min(3, nodes) - 1))
    return {
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "log.retention.ms": "-1",
        "log.cleaner.backoff.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }


class Kafka:
    """One node, broker and controller in one, of a cluster on loopback."""

    def __init__(self, folder: Path, node: int = 1, ports: dict[int, tuple[int, int]] | None = None, **more: str):
        self.ports = ports or {1: (free_port(), free_port())}
        self.node = node
        self.port, controller = self.ports[node]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.folder = folder / f"node-{node}"
        self.folder.mkdir(parents=True)
        self.process = None
        self.scram = more.pop("scram", None)
        protocol = more.pop("protocol", "PLAINTEXT")
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{p[1]}" for n, p in self.ports.items()),
            "listeners": f"CLIENTS://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}"
            + (f",INNER://127.0.0.1:{free_port()}" if protocol != "PLAINTEXT" else ""),
            "listener.security.protocol.map": f"CLIENTS:{protocol},CONTROLLER:PLAINTEXT,INNER:PLAINTEXT",
            "inter.broker.listener.name": "INNER" if protocol != "PLAINTEXT" else "CLIENTS",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.folder / "data"),
            **common_settings(len(self.ports)),
            **more,
        }
        self.config = self.folder / "server.properties"
        self.config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def _java(self, *words: str) -> list[str]:
        options = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return ["java", *options, "-cp", f"{jars()}/*", *words]

    def start(self, cluster: str = "4L6g3nShT-eMCtK--X86sw") -> "Kafka":
        if not (self.folder / "data").exists():
            command = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.config))
            command += ["--add-scram", self.scram] if self.scram else []
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._java("kafka.Kafka", str(self.config)), stdout=log, stderr=log, start_new_session=True
            )
        return self

    def wait(self, seconds: float = 90) -> "Kafka":
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise NoBroker(f"it ended with {self.process.returncode}: {self.tail()}")
            if answers(self.bootstrap):
                return self
            time.sleep(0.3)
        raise NoBroker(f"it did not answer: {self.tail()}")

    def tail(self) -> str:
        return (self.folder / "broker.log").read_text()[-600:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def answers(bootstrap: str) -> bool:
    try:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, bootstrap_timeout_ms=2000, request_timeout_ms=15000)
        consumer.topics()
        consumer.close()
    except (KafkaError, OSError, ValueError):
        return False
    return True


# A container --------------------------------------------------------------------------------------------------------

START = f"while [ ! -s {LISTENERS} ]; do sleep 0.1; done; . {LISTENERS}; exec /etc/kafka/docker/run"
"""Kafka tells its clients where it is reached, and that is known only once the container runs: until then it waits."""


def container_settings():
    """The environment that the image (apache/kafka) reads its settings from, all but where it is reached."""
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "CLIENTS://:9092,CONTROLLER://:9093,INNER://:9094",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,INNER:PLAINTEXT",
        "inter.broker.listener.name": "INNER",
        "controller.listener.names": "CONTROLLER",
    }
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in (settings | common_settings(1)).items()}


def engine():
    """Whether a Docker engine answers."""
    try:
        import docker
        from testcontainers.core.docker_client import DockerClient
    except ImportError:
        return False
    try:
        DockerClient(timeout=20).client.ping()
    except (docker.errors.DockerException, OSError):
        return False
    return True


@contextmanager
def container(seconds=180):
    """A broker in a container, and where it listens. Raises NoBroker where an engine answers and it still fails."""
    from testcontainers.core.container import DockerContainer

    one = DockerContainer(IMAGE).with_exposed_ports(9092).with_command(["sh", "-c", START])
    one = one.with_envs(**container_settings())
    try:
        try:
            one.start()
            where = f"{one.get_container_host_ip()}:{one.get_exposed_port(9092)}"
            advertised = f"export KAFKA_ADVERTISED_LISTENERS=CLIENTS://{where},INNER://localhost:9094\n"
            one.copy_into_container(advertised.encode(), LISTENERS)
            _wait_for_container(one, where, seconds)
        except NoBroker:
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting, the jars may still be had
            raise NoBroker(f"its container does not start: {error}: {_last_words(one)}") from None
        yield where
    finally:
        one.stop()


def _wait_for_container(one, where, seconds):
    until = time.monotonic() + seconds
    while not answers(where):
        one.reload()
        if one.status not in ("created", "running") or time.monotonic() > until:
            raise NoBroker(f"its container is {one.status}: {_last_words(one)}")
        time.sleep(0.5)


def _last_words(one):
    try:
        return b"".join(one.get_logs())[-600:].decode(errors="replace")
    except Exception as error:  # noqa: BLE001 - it may never have been made
        return f"no log ({type(error).__name__})"
