"""What a site's history lets expect: exact figures of a small log, what workers count, and what Prometheus reads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streams.expectation import as_rules, expectation
from streams.knowledge_files import read_plan
from streams.live.canaries import PREFIX
from streams.rejects import Rejects
from streams.replay import read_log
from tests.streams.test_live_engine import SAMPLE, World, log

PLAN = read_plan([])
CMVIGIL = str(Path(sys.executable).parent / "cmvigil")
PROMTOOL = shutil.which("promtool")


def dose(patient, day):
    at = f"2026-03-{day:02d}T08:00:00Z"
    return {
        "type": "administration",
        "event_id": f"A{day}",
        "patient_id": patient,
        "drug": "foscarnet",
        "dose": 6000,
        "unit": "mg",
        "route": "iv",
        "started_at": at,
        "recorded_at": at,
    }


def potassium(patient, day, value, hour=11):
    return {
        "type": "lab",
        "event_id": f"K{day}/{hour}",
        "patient_id": patient,
        "code": "2823-3",
        "value": value,
        "unit": "mmol/L",
        "collected_at": f"2026-03-{day:02d}T10:00:00Z",
        "recorded_at": f"2026-03-{day:02d}T{hour}:00:00Z",
    }


# Patient a: four days on therapy, one potassium too low. b: results alone. c: a result the day before therapy, then two
# days, one of which holds two recordings.
EVENTS = [
    *(dose("a", day) for day in (1, 2, 3, 6)),
    potassium("a", 2, 2.2),
    potassium("b", 2, 2.2),
    potassium("c", 1, 4.0),
    dose("c", 2),
    potassium("c", 2, 4.1),
    potassium("c", 3, 4.1),
]


def write(path, events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def found(path):
    return expectation(PLAN, read_log(PLAN, [str(path)], Rejects(None)))


def of(result, code):
    return next(one for one in result.codes if one.code == code)


def test_the_figures_of_a_small_log(tmp_path):
    result = found(write(tmp_path / "log.ndjson", EVENTS))
    assert (result.patients, result.patient_days) == (2, 6)
    one = of(result, "hypokalemia")
    # One alert in 6 days. Byar's interval of a count of 1 is 0.01307 to 5.5637.
    assert one.raised == 1
    assert one.per_100_patient_days.value == pytest.approx(100 / 6, abs=1e-3)
    assert one.per_100_patient_days.low == pytest.approx(100 * 0.01307 / 6, rel=0.01)
    assert one.per_100_patient_days.high == pytest.approx(100 * 5.5637 / 6, rel=0.001)
    none = of(result, "neutropenia")
    assert (none.raised, none.per_100_patient_days.value, none.per_100_patient_days.low) == (0, 0, 0)
    assert none.per_100_patient_days.high == pytest.approx(100 * 3.6689 / 6, rel=0.01)


def test_every_code_that_may_be_raised_is_told(tmp_path):
    result = found(write(tmp_path / "log.ndjson", EVENTS))
    assert [one.code for one in result.codes] == sorted({rule.code for rule in PLAN.rules})


def test_canaries_are_left_out(tmp_path):
    more = [event | {"patient_id": PREFIX + "1"} for event in EVENTS if event["patient_id"] == "a"]
    assert found(write(tmp_path / "b.ndjson", [*EVENTS, *more])) == found(write(tmp_path / "a.ndjson", EVENTS))


def test_the_order_of_lines_makes_no_difference(tmp_path):
    assert found(write(tmp_path / "a.ndjson", EVENTS)) == found(write(tmp_path / "b.ndjson", EVENTS[::-1]))


def metric(world, name, **labels):
    samples = [s for m in world.meters.registry.collect() for s in m.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def test_a_worker_counts_the_same_days_and_no_fewer_alerts():
    world = World("wall", wall="2026-01-01T00:00:00Z")
    result = expectation(PLAN, read_log(PLAN, [str(SAMPLE)], Rejects(None)))
    for event, line in log():
        world.now = max(world.now, _time(event["recorded_at"]))
        world.engine.tick(0)
        world.take(event, line)
        world.flush()
    assert metric(world, "cmvigil_patient_days_total") == result.patient_days
    assert result.patient_days > 500
    for one in result.codes:
        assert metric(world, "cmvigil_alert_changes_total", status="raised", code=one.code) >= one.raised, one.code


def test_by_the_events_clock_a_worker_counts_the_same_alerts():
    world = World("event")
    result = expectation(PLAN, read_log(PLAN, [str(SAMPLE)], Rejects(None)))
    last = None
    for event, line in log():
        if last is not None and event["recorded_at"] > last:
            world.mark(last)
        world.take(event, line)
        last = event["recorded_at"]
    world.mark(last)
    for one in result.codes:
        assert metric(world, "cmvigil_alert_changes_total", status="raised", code=one.code) == one.raised, one.code


def _time(text):
    from monitor.times import parse_time

    return parse_time(text)


def cmvigil(*words):
    return subprocess.run([CMVIGIL, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_writes_rules_and_says_what_it_cannot_use(tmp_path):
    path = write(tmp_path / "log.ndjson", EVENTS)
    done = cmvigil("expect", path, "--job", "west")
    assert done.returncode == 0, done.stderr
    assert done.stdout == as_rules(found(path), "west")
    assert "a" not in {line.strip() for line in done.stdout.splitlines()}
    assert json.loads(cmvigil("expect", path, "--json").stdout)["patient_days"] == 6
    for words, said in (
        ([path, "--job", 'a"b'], "--job"),
        ([tmp_path / "none.ndjson"], "none.ndjson"),
        ([write(tmp_path / "idle.ndjson", [potassium("b", 2, 2.2)])], "nothing to expect"),
    ):
        done = cmvigil("expect", *words)
        assert done.returncode == 2
        assert said in done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")
def test_prometheus_takes_what_is_written(tmp_path):
    rules = tmp_path / "cmvigil.expected.yml"
    rules.write_text(as_rules(found(write(tmp_path / "log.ndjson", EVENTS)), "west"))
    labels = f'job="west", code="hypokalemia", ruleset="{PLAN.ruleset}"'
    name = "cmvigil:expected_raised_per_100_patient_days"
    test = {
        "interval": "1m",
        "promql_expr_test": [
            {
                "expr": f'{name}{{code="hypokalemia"}}',
                "eval_time": "3m",
                "exp_samples": [{"labels": f"{name}{{{labels}}}", "value": 16.6667}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
