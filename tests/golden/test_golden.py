"""The sample log and its alerts, and how well the rules do on a cohort: nothing of it changes unseen."""

import gzip
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.simulation import simulate, to_lines
from tests.golden import holds

SAMPLE = files("seeds") / "logs" / "sample.ndjson.gz"


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_the_sample_log_is_what_simulate_makes():
    assert gzip.decompress(SAMPLE.read_bytes()) == b"".join(to_lines(simulate(20, 45, 7)))


def test_the_alerts_of_the_sample_log():
    text = run("replay", SAMPLE, "--json")
    alerts = [json.loads(line) for line in text.splitlines()]
    assert alerts
    # The ruleset's hash changes with every word of the knowledge; the alerts do not.
    for alert in alerts:
        del alert["ruleset"]
    assert holds("sample.alerts.ndjson", "".join(json.dumps(alert, ensure_ascii=False) + "\n" for alert in alerts))


def test_the_readme_shows_what_the_sample_log_brings():
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    shown = next(
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"alert_id"' in block
    )
    alerts = [json.loads(line) for line in run("replay", SAMPLE, "--json").splitlines()]
    alert = next(one for one in alerts if (one["alert_id"], one["seq"]) == (shown["alert_id"], shown["seq"]))
    assert shown.pop("evidence") == [alert["evidence"][0], "..."]
    assert shown.items() <= alert.items()
    rows = re.findall(r"^ (\S+) (\S+) UTC +(\S+) +raised +(\S+) +(\S+) +(.*)$", text, re.MULTILINE)
    assert len(rows) > 2
    said = {(one["emitted_at"], one["patient_id"], one["severity"], one["code"], one["title"]) for one in alerts}
    assert {(f"{day}T{time}:00Z", *more) for day, time, *more in rows} <= said


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    with (folder / "truth.ndjson").open("wb") as truth:
        (folder / "log.ndjson").write_bytes(b"".join(to_lines(simulate(150, 90, 1), truth=truth)))
    return folder


@pytest.mark.slow
def test_no_change_of_rules_loses_sensitivity_or_adds_burden_unseen(cohort):
    report = json.loads(run("evaluate", cohort / "log.ndjson", "--truth", cohort / "truth.ndjson", "--json"))
    del report["ruleset"]
    assert holds("evaluate.json", json.dumps(report, indent=1) + "\n")
    (total,) = (code for code in report["codes"] if code["code"] == "*")
    assert total["per_100_patient_days"][0] <= 6
    assert total["sensitivity"][0] >= 0.75
