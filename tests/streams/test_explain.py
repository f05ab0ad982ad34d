"""`cmvigil explain`: the whole case for one alert, and what was known of it when."""

import json
from functools import cache

import pytest
from typer.testing import CliRunner

from monitor.events import Gate, decoder
from monitor.times import parse_time
from streams.cli import app
from streams.commands.explain import lines_of
from streams.explain import NoSuchAlert, explain
from streams.knowledge_files import read_plan
from streams.rejects import Rejects
from streams.replay import judge_log, read_log
from streams.simulation import simulate, to_lines

DOSES = [
    {
        "type": "administration",
        "event_id": f"A{day}",
        "patient_id": "p1",
        "drug": "foscarnet",
        "dose": 6000,
        "unit": "mg",
        "route": "iv",
        "started_at": f"2026-03-{day:02d}T08:00:00Z",
        "recorded_at": f"2026-03-{day:02d}T10:05:00Z",
    }
    for day in range(4, 9)
]


def potassium(event_id, value, day, recorded=None):
    return {
        "type": "lab",
        "event_id": event_id,
        "patient_id": "p1",
        "code": "2823-3",
        "value": value,
        "unit": "mmol/L",
        "collected_at": f"2026-03-{day:02d}T10:00:00Z",
        "recorded_at": recorded or f"2026-03-{day:02d}T11:00:00Z",
    }


LATE = potassium("L3", 2.4, 6, "2026-03-08T12:00:00Z")
EVENTS = [*DOSES, potassium("L1", 4.0, 4), potassium("L2", 2.9, 5), LATE]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    return path


def run(*arguments, status=0):
    done = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert done.exit_code == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def id_of(log, code):
    done = CliRunner().invoke(app, ["replay", str(log), "--json"])
    return next(json.loads(line)["alert_id"] for line in done.stdout.splitlines() if json.loads(line)["code"] == code)


def test_figures_thresholds_margins_and_sources(log):
    case = json.loads(run(log, "--alert", id_of(log, "hypokalemia"), "--json"))
    assert (case["code"], case["drug"], case["now"]["severity"]) == ("hypokalemia", "foscarnet", "critical")
    margins = {(one["event_id"], one["name"]): one for one in case["margins"]}
    assert margins["L2", "below"]["difference"] == "-0.1 mmol/L (-3.3 %)"
    assert margins["L3", "critical below"]["difference"] == "-0.1 mmol/L (-4 %)"
    assert {number["path"] for number in case["numbers"]} >= {"below", "critical_below", "drugs.foscarnet.tail"}
    assert any("Foscarnet" in source for source in case["sources"])
    assert [alert["seq"] for alert in case["life"]] == list(range(1, len(case["life"]) + 1))


def test_what_was_known_then_beside_what_is_known_now(log):
    alert = id_of(log, "hypokalemia")
    case = json.loads(run(log, "--alert", alert, "--json", "--as-of", "2026-03-07T00:00:00Z"))
    assert case["then"]["severity"] == "warning"
    assert case["now"]["severity"] == "critical"
    assert {fact["event_id"] for fact in case["facts"] if fact["late"]} == {"L3", "A7", "A8"}
    text = run(log, "--alert", alert, "--as-of", "2026-03-07T00:00:00Z")
    assert "AS KNOWN AT 2026-03-07T00:00:00Z\n  open, warning: Foscarnet: potassium 2.9 mmol/L" in text
    assert "*+2026-03-06T10:00:00Z" in text
    assert "nothing was said of it yet" in run(log, "--alert", alert, "--as-of", "2026-03-04T00:00:00Z")


def test_the_timeline_is_drawn(log):
    lines = run(log, "--alert", id_of(log, "hypokalemia")).splitlines()
    (low,) = (line for line in lines if "potassium 2.4 mmol/L" in line and "known" in line)
    (high,) = (line for line in lines if "potassium 4 mmol/L" in line and "known" in line)
    assert low.index("o") < high.index("o")
    assert sum("foscarnet 6000 mg iv" in line for line in lines) == 5
    assert any("onset" in line for line in lines)


def test_an_unknown_alert_is_refused_with_near_ones(log):
    error = run(log, "--alert", "hypokalemia/foscarnet/-/0000000000000000", status=2)
    assert id_of(log, "hypokalemia") in error
    assert "no such alert" in run(log, "--alert", "nonsense", status=2)
    assert "--as-of" in run(log, "--alert", "x", "--as-of", "yesterday", status=2)


def test_a_retracted_alert_is_explained(tmp_path):
    gone = potassium("L2", 2.9, 5, "2026-03-08T13:00:00Z") | {"status": "entered-in-error"}
    plan = read_plan([])
    gate = Gate(plan)
    facts = [gate.admit(decoder.decode(json.dumps(event))) for event in (*DOSES, potassium("L2", 2.9, 5), gone)]
    path = tmp_path / "log"
    path.write_text("".join(json.dumps(event) + "\n" for event in (*DOSES, potassium("L2", 2.9, 5), gone)))
    case = explain(plan, {"p1": facts}, id_of(path, "hypokalemia"), parse_time("2026-03-09T00:00:00Z"), None)
    assert case.now.state == "retracted"
    assert case.onset_at == "2026-03-05T10:00:00Z"
    assert "retracted" in "\n".join(lines_of(case, asked=False))


def test_a_result_corrected_to_what_no_rule_watches_is_a_result(tmp_path):
    gone = potassium("L2", 2.9, 5, "2026-03-08T13:00:00Z") | {"status": "corrected", "code": "1234-5"}
    path = tmp_path / "log"
    path.write_text("".join(json.dumps(event) + "\n" for event in (*DOSES, potassium("L2", 2.9, 5), gone)))
    text = run(path, "--alert", id_of(path, "hypokalemia"))
    assert "L2 corrected to what no rule watches (potassium 2.9 mmol/L" in text
    assert "result  [corrected]" in text
    assert "action" not in text


@cache
def cohort(folder):
    path = folder / "log.ndjson"
    path.write_bytes(b"".join(to_lines(simulate(90, 90, 1))))
    plan = read_plan([])
    log = read_log(plan, [str(path)], Rejects(None))
    first = {}
    for change in judge_log(plan, log, log.last).changes:
        first.setdefault(change.code, change.alert)
    return plan, log, first


@pytest.mark.slow
def test_every_code_can_be_explained(tmp_path_factory):
    plan, log, first = cohort(tmp_path_factory.mktemp("cohort"))
    assert len(first) > 30
    for code, alert in first.items():
        own = {alert.patient_id: log.facts[alert.patient_id]}
        case = explain(plan, own, alert.alert_id, log.last, parse_time(alert.emitted_at))
        text = "\n".join(lines_of(case, asked=True))
        assert alert.alert_id in text, code
        assert case.then is not None
        assert case.then.title == alert.title
        with pytest.raises(NoSuchAlert):
            explain(plan, own, "nonsense", log.last, None)
