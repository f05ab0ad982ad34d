"""Apache Kafka for the tests: one that is named, one in a container, or one started from its own jars."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError

HERE = Path(__file__).parent
VERSION = "4.4.0"
IMAGE = f"apache/kafka:{VERSION}"


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
        copies = str(min(3, len(self.ports)))
        least = str(max(1, min(3, len(self.ports)) - 1))
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


def container():
    """A broker in a container, where a Docker engine answers; None where none does."""
    if shutil.which("docker") is None:
        return None
    if subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=60).returncode:
        return None
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    port = free_port()
    one = DockerContainer(IMAGE).with_bind_ports(9092, port)
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "LISTENERS": "CLIENTS://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"CLIENTS://127.0.0.1:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "INTER_BROKER_LISTENER_NAME": "CLIENTS",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    for name, value in settings.items():
        one = one.with_env(f"KAFKA_{name}", value)
    one.start()
    wait_for_logs(one, "Kafka Server started", timeout=120)
    return one, f"127.0.0.1:{port}"
