"""The command line teaches: every command and option says what it is for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from streams.cli import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = typer.main.get_command(app).commands


def test_every_command_and_option_has_a_help_text():
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_help_names_the_exit_statuses():
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "Exit status" in text
    for name in COMMANDS:
        assert name in text


def test_the_readme_names_every_command():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"`cmvigil {name}" in readme, name


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("cmvigil ")


@pytest.mark.parametrize("module", ["streams", "streams.cli"])
def test_it_runs_as_a_module(module):
    done = subprocess.run([sys.executable, "-m", module, "rules", "aki"], capture_output=True, cwd=ROOT, check=True)
    assert b"Acute kidney injury" in done.stdout


def test_a_reader_of_a_table_that_leaves_is_no_failure():
    cmvigil = Path(sys.executable).parent / "cmvigil"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([cmvigil, "rules"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_is_written_is_utf_8_whatever_the_locale(encoding):
    cmvigil = Path(sys.executable).parent / "cmvigil"
    lab = {"type": "lab", "event_id": "1", "patient_id": "p", "code": "K\u2026", "value": 1, "unit": "\u00b5"}
    times = {"collected_at": "2026-03-04T06:00:00Z", "recorded_at": "2026-03-04T06:00:00Z"}
    done = subprocess.run(
        [cmvigil, "unmapped", "-"],
        input=json.dumps(lab | times).encode(),
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "K\u2026" in done.stdout.decode()
