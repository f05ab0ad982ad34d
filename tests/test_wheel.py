"""The wheel holds everything: unpacked into an empty folder, it replays and explains from anywhere."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("cmvigil-*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
        return folder, set(archive.namelist())


@pytest.mark.slow
def test_everything_is_in_it(wheel):
    _, names = wheel
    for folder in ("monitor", "streams", "seeds"):
        tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
        assert set(tracked.stdout.split()) <= names
    assert not any(name.startswith("tests/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_it_replays_and_explains_from_anywhere(wheel):
    folder, _ = wheel
    site = folder / "site"

    def run(*arguments):
        code = "import streams.cli as c, sys; assert c.__file__.startswith(sys.argv.pop(1)); c.main()"
        done = subprocess.run(
            [sys.executable, "-c", code, str(site), *map(str, arguments)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    log = site / "seeds" / "logs" / "sample.ndjson.gz"
    alerts = [json.loads(line) for line in run("replay", log, "--json").splitlines()]
    assert alerts
    assert alerts[0]["alert_id"] in run("explain", log, "--alert", alerts[0]["alert_id"])
    assert "usable" in run("rules", "--check", site / "seeds" / "sites" / "acyclovir.toml")
