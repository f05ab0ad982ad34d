"""Runs deploy/Dockerfile without a container engine: its steps in plain roots, what it makes as its user would.

As root, with Debian's debootstrap and util-linux, and a way to Debian's and Python's packages:

    debootstrap --variant=minbase bookworm /tmp/base
    python -m tests.deploy.plain_root /tmp/base [BOOTSTRAP]

The image's root is mounted read-only, with a `/tmp` and a store that may be written; its user has no capability and can
gain none. BOOTSTRAP is a Kafka broker, under which a worker is run too. What an engine does besides is not tried:
layers, the registry, the context's ignore file, networks between containers, seccomp.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SAMPLE = "seeds/logs/sample.ndjson.gz"
# Where this machine's packages come through a proxy of its own, pip needs its certificate; it stays in the build stage.
CERTIFICATE = os.environ.get("PIP_CERT")


class Image(NamedTuple):
    """What the last stage leaves."""

    root: Path
    env: Mapping[str, str]
    user: str
    health: list[str]
    command: list[str]
    entrypoint: list[str]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction with its words, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def inside(root: Path, script: str, env: Mapping[str, str], before: str = "", login: str = "") -> list[str]:
    """A command that runs a script in a root, with namespaces of mounts and processes of its own."""
    given = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    steps = (
        f"set -e; mount --make-rprivate /; mount --bind {root} {root}; {before}"
        f" mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev;"
        f" exec env -i {given} {login} chroot {root} /bin/sh -c {shlex.quote(script)}"
    )
    if login:
        # Who may not chroot is in the root before the rights go.
        steps = steps.replace(f"{login} chroot {root} /bin/sh", f"chroot {root} {login} /bin/sh")
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", steps]


def build(base: Path, work: Path) -> Image:
    """Takes the steps of the Dockerfile one by one."""
    stages: dict[str, Path] = {}
    root, env, folder, user = base, {}, "/", "0"
    words: dict[str, list[str]] = {"HEALTHCHECK": [], "ENTRYPOINT": [], "CMD": []}
    for word, rest in instructions((ROOT / "deploy" / "Dockerfile").read_text()):
        print("+", word, rest[:110], flush=True)
        if word == "FROM":
            name = rest.split(" AS ")[1] if " AS " in rest else "last"
            root, folder = work / name, "/"
            stages[name] = root
            subprocess.run(["cp", "-a", str(base), str(root)], check=True)
            shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
            env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
            (root / "tmp").chmod(0o1777)
        elif word == "RUN":
            more = {"DEBIAN_FRONTEND": "noninteractive"}
            if CERTIFICATE and name == "build":
                shutil.copy(CERTIFICATE, root / "tmp" / "machine.pem")
                more["PIP_CERT"] = "/tmp/machine.pem"
            subprocess.run(inside(root, f"cd {folder} && {rest}", env | more), check=True)
        elif word == "WORKDIR":
            folder = rest
            (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *sources, target = rest.split()
            come_from = ROOT
            if sources[0].startswith("--from="):
                come_from = stages[sources.pop(0).removeprefix("--from=")]
            to = root / (target if target.startswith("/") else f"{folder}/{target}").lstrip("/")
            for source in sources:
                path = come_from / source.lstrip("/")
                if path.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__") if come_from == ROOT else None
                    shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True, ignore=ignored)
                else:
                    to.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)
        elif word == "ENV":
            for one in shlex.split(rest):
                name_, _, value = one.partition("=")
                env = env | {name_: value.replace("$PATH", env["PATH"])}
        elif word == "USER":
            user = rest
        elif word in words:
            words[word] = json.loads(rest[rest.index("[") :])
        elif word not in ("ARG", "EXPOSE"):
            raise SystemExit(f"{word}: not known to this")
    return Image(root, env, user, words["HEALTHCHECK"], words["CMD"], words["ENTRYPOINT"])


class Container:
    """Runs commands in the image as its user would."""

    def __init__(self, image: Image, work: Path) -> None:
        """`work` holds what may be written."""
        self.image, self.work = image, work
        for name in ("store", "tmp"):
            (work / name).mkdir()
            os.chown(work / name, *map(int, image.user.split(":")))
            (work / name).chmod(0o700)

    def words(self, command: list[str], **env: str) -> list[str]:
        """A command in the read-only root."""
        root = self.image.root
        uid, gid = self.image.user.split(":")
        demo = root / "demo"
        before = (
            f"mount -o remount,bind,ro {root}; mount --bind {self.work}/tmp {root}/tmp;"
            f" mount --bind {self.work}/store {root}/var/lib/cmvigil;"
            f" mount --bind {ROOT / 'seeds' / 'logs'} {demo}; mount -o remount,bind,ro {demo};"
        )
        login = f"setpriv --reuid {uid} --regid {gid} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        return inside(root, "exec " + shlex.join(command), dict(self.image.env) | env, before, login)

    def run(self, *command: str, **env: str) -> "subprocess.CompletedProcess[bytes]":
        """Runs a command to its end."""
        return subprocess.run(self.words([*command], **env), capture_output=True, check=False)

    @contextmanager
    def running(self, *command: str, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Runs a command until the block is left, with SIGTERM then."""
        with subprocess.Popen(self.words([*command], **env)) as process:
            try:
                yield process
            finally:
                # `unshare` passes no signal on: the program is its child.
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
                if process.poll() is None:
                    os.kill(int(children.read_text().split()[0]), 15)
                process.wait(60)

    def healthy(self, within: float = 0, **env: str) -> bool:
        """What the health check says, or whether it says well in time."""
        until = time.monotonic() + within
        while self.run(*self.image.health, **env).returncode:
            if time.monotonic() > until:
                return False
            time.sleep(0.5)
        return True


def held(what: str, *, holds: bool, said: object = "") -> None:
    """Says of one thing whether it is so; ends where it is not."""
    print("ok  " if holds else "NOT ", what, said if not holds else "", flush=True)
    if not holds:
        raise SystemExit(1)


def prove(one: Container, bootstrap: str | None) -> None:
    """Holds the image against what is said of it."""
    entry = one.image.entrypoint
    written = one.run("sh", "-c", "find / -xdev -not -path '/proc/*' -not -path '/dev/*' -writable -not -type l")
    places = set(written.stdout.decode().split())
    held("its user can write nowhere else", holds=places == {"/tmp", "/var/lib/cmvigil"}, said=places)
    bare = one.run("sh", "-c", "touch /tmp/x && ! touch /var/x")
    held("the root is read-only, /tmp is not", holds=bare.returncode == 0, said=bare.stderr)
    who = one.run("python3", "-c", "import os; print(os.getuid(), os.getgid(), open('/proc/self/status').read())")
    held(
        "it is not root and has no capability",
        holds=who.stdout.startswith(b"10001 10001 ") and b"CapEff:\t0000000000000000" in who.stdout,
    )
    version = one.run(*entry, "--version")
    held("--version", holds=version.returncode == 0 and b"0." in version.stdout, said=version)
    print("    ", version.stdout.decode().strip())
    replayed = one.run(*entry, "replay", f"/demo/{Path(SAMPLE).name}", "--json")
    here = subprocess.run(
        [str(Path(sys.executable).parent / "cmvigil"), "replay", str(ROOT / SAMPLE), "--json"],
        capture_output=True,
        check=True,
    )
    held(
        "replay says what it says here, byte for byte",
        holds=replayed.stdout == here.stdout != b"",
        said=replayed.stderr,
    )
    parts = one.run("python3", "-c", "import pyarrow, zstandard, uvloop")
    held("it reads parquet and zstd", holds=parts.returncode == 0, said=parts.stderr)
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    known = one.run("python3", "-c", code)
    held(
        "it knows the authorities of certificates, which https to sinks needs", holds=int(known.stdout) > 50, said=known
    )
    away = one.run(*entry, "topics", CMVIGIL_BOOTSTRAP_SERVERS="127.0.0.1:1")
    held("without a broker `topics` says so, status 2", holds=away.returncode == 2, said=away)
    held("the health check fails where nothing runs", holds=not one.healthy())
    settings = (
        (ROOT / "deploy" / "deliver.compose.toml").read_text().replace("http://alertmanager:9093", "http://127.0.0.1:1")
    )
    (one.work / "tmp" / "deliver.toml").write_text(settings.partition('[[sinks]]\nkind = "fhir-topic"')[0])
    (one.work / "tmp" / "deliver.toml").chmod(0o644)
    with one.running(
        *entry, "deliver", "--config", "/tmp/deliver.toml", "--bootstrap", "127.0.0.1:1", "--port", "8002"
    ) as process:
        held("`deliver` is alive where its store alone may be written", holds=one.healthy(30))
        held(
            "its store is its owner's alone",
            holds=(one.work / "store" / "deliver.sqlite").stat().st_mode & 0o777 == 0o600,
        )
    held("it ends on SIGTERM with status 0", holds=process.returncode == 0, said=process.returncode)
    held("the health check fails once it has ended", holds=not one.healthy())
    if bootstrap is None:
        print("--   a worker: not run, no broker is named")
        return
    env = {"CMVIGIL_BOOTSTRAP_SERVERS": bootstrap, "CMVIGIL_TOPIC_PREFIX": f"i{uuid.uuid4().hex[:8]}-"}
    made = one.run(*entry, "topics", **env)
    held("`topics` makes them", holds=made.returncode == 0, said=made)
    with one.running(*entry, *one.image.command, **env) as process:
        held("a worker becomes healthy within its start period", holds=one.healthy(60))
        sent = one.run(*entry, "produce", f"/demo/{Path(SAMPLE).name}", **env)
        held("the demo's `produce` sends the sample log", holds=sent.returncode == 0, said=sent)
    held("the worker ends on SIGTERM with status 0", holds=process.returncode == 0, said=process.returncode)


def main() -> None:
    """Builds below a folder for the time being, proves, and takes it away."""
    base, bootstrap = Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(prefix="cmvigil-image-") as folder:
        image = build(base, Path(folder))
        (image.root / "demo").mkdir()
        size = subprocess.run(
            ["du", "-sm", str(image.root)], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        print(f"the image's root holds {size} MB, of which the base", end=" ", flush=True)
        print(subprocess.run(["du", "-sm", str(base)], capture_output=True, text=True, check=True).stdout.split()[0])
        prove(Container(image, Path(folder)), bootstrap)


if __name__ == "__main__":
    main()
