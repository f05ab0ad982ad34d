"""The command line teaches: every command and option says what it is for."""

import typer
from typer.testing import CliRunner

from streams.cli import app

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
    from pathlib import Path

    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"`cmvigil {name}" in readme, name


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("cmvigil ")
