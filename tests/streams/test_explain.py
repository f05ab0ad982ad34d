"""`cmvigil explain`: the whole case for one alert, and what was known of it when."""

import json
import re
from fractions import Fraction
from functools import cache

import pytest
from typer.testing import CliRunner

from monitor.events import Gate, decoder
from monitor.times import parse_time
from monitor.types import Figure
from streams.cli import app
from streams.commands import explain as command
from streams.commands.explain import lines_of
from streams.explain import NoSuchAlert, explain
from streams.knowledge_files import read_plan
from streams.knowledge_view import thresholds, value_text
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


def potassium_figures(p, t):
    series = p.series[p.plan.analyte_index["potassium"]]
    value = Fraction(p.plan.value_of(series.x[series.last(t)]), 1_000_000)
    limits = ((3, "warning below", "below"), (Fraction(5, 2), "critical below", "critical_below"))
    return tuple(Figure("potassium", value, limit, "mmol/L", meaning, path) for limit, meaning, path in limits)


@pytest.fixture
def figured(monkeypatch):
    """The plan with the figures of one rule as this test has them, whatever the rule itself gives."""
    plan = read_plan([])
    for rule in plan.rules:
        if rule.code == "hypokalemia":
            say = rule.say
            rule.say = lambda p, t, level, episode, say=say: say(p, t, level, episode)._replace(
                figures=potassium_figures(p, t)
            )
    monkeypatch.setattr(command, "read_plan", lambda overlays: plan)
    return plan


def cells(moment):
    return {one["meaning"]: (one["value"], one["difference"], one["percent"]) for one in moment["margins"]}


def test_figures_thresholds_margins_and_sources(log, figured):
    case = json.loads(run(log, "--alert", id_of(log, "hypokalemia"), "--json"))
    assert (case["code"], case["drug"], case["now"]["severity"]) == ("hypokalemia", "foscarnet", "critical")
    (moment,) = case["moments"]
    assert (moment["what"], moment["at"], moment["severity"]) == ("last", "2026-03-06T10:00:00Z", "critical")
    assert cells(moment) == {"warning below": ("2.4", "-0.6", "-20"), "critical below": ("2.4", "-0.1", "-4")}
    for one in moment["margins"]:
        assert (one["figure"], one["unit"], one["tag"]) == ("potassium", "mmol/L", "F")
        assert "CTCAE" in one["source"]
    assert case["moments_then"] == []
    assert {number["path"] for number in case["numbers"]} >= {"below", "critical_below", "drugs.foscarnet.tail"}
    assert any("Foscarnet" in source for source in case["sources"])
    assert [alert["seq"] for alert in case["life"]] == list(range(1, len(case["life"]) + 1))
    text = run(log, "--alert", id_of(log, "hypokalemia"))
    assert "FIGURES AND THRESHOLDS\n  potassium: warning below 3 mmol/L  [F] Common" in text
    assert re.search(r"2\.4 mmol/L +-0\.1 mmol/L \(-4 %\) +last 2026-03-06T10:00:00Z\n", text)


def test_the_figures_known_then_stand_above_those_known_now(log, figured):
    arguments = (log, "--alert", id_of(log, "hypokalemia"), "--as-of", "2026-03-07T00:00:00Z")
    case = json.loads(run(*arguments, "--json"))
    (then,), (now,) = case["moments_then"], case["moments"]
    assert (then["what"], then["known_at"], now["known_at"]) == (
        "raised",
        "2026-03-07T00:00:00Z",
        "2026-03-08T12:00:00Z",
    )
    assert cells(then)["critical below"] == ("2.9", "+0.4", "+16")
    assert cells(now)["critical below"] == ("2.4", "-0.1", "-4")
    lines = run(*arguments).splitlines()
    at = next(i for i, line in enumerate(lines) if "critical below 2.5 mmol/L" in line and "[F]" in line)
    assert "2.9 mmol/L" in lines[at + 1]
    assert "known 2026-03-07T00:00:00Z" in lines[at + 1]
    assert "2.4 mmol/L" in lines[at + 2]
    before = json.loads(run(*arguments[:-1], "2026-03-04T00:00:00Z", "--json"))
    assert before["moments_then"] == []


def written(tmp_path, *events):
    path = tmp_path / "other.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_a_resolved_alert_has_its_worst_figures_and_those_that_ended_it(tmp_path, figured):
    path = written(tmp_path, *EVENTS, potassium("L4", 2.7, 7), potassium("L5", 3.6, 8))
    worst, ended = json.loads(run(path, "--alert", id_of(path, "hypokalemia"), "--json"))["moments"]
    assert (worst["what"], worst["at"], worst["severity"]) == ("worst", "2026-03-06T10:00:00Z", "critical")
    assert cells(worst)["critical below"] == ("2.4", "-0.1", "-4")
    assert (ended["what"], ended["at"]) == ("ended", "2026-03-08T10:00:00Z")
    assert cells(ended)["warning below"] == ("3.6", "+0.6", "+20")


def test_what_cannot_be_said_of_the_end_is_left_out(tmp_path, figured):
    rule = next(rule for rule in figured.rules if rule.code == "hypokalemia")
    say, end = rule.say, parse_time("2026-03-06T10:00:00Z")

    def fails(p, t, level, episode):
        assert t < end
        return say(p, t, level, episode)

    rule.say = fails
    path = written(tmp_path, *DOSES, potassium("L2", 2.9, 5), potassium("L3", 3.6, 6))
    (raised,) = json.loads(run(path, "--alert", id_of(path, "hypokalemia"), "--json"))["moments"]
    assert raised["what"] == "raised"


def test_a_retracted_alert_has_the_figures_that_it_had(tmp_path, figured):
    gone = potassium("L2", 2.9, 5, "2026-03-08T13:00:00Z") | {"status": "entered-in-error"}
    path = written(tmp_path, *DOSES, potassium("L2", 2.9, 5), gone)
    (moment,) = json.loads(run(path, "--alert", id_of(path, "hypokalemia"), "--json"))["moments"]
    assert (moment["what"], moment["known_at"]) == ("retracted", "2026-03-05T11:00:00Z")
    assert cells(moment)["warning below"] == ("2.9", "-0.1", "-3.3")


@pytest.mark.parametrize(
    ("value", "limit", "difference", "percent"),
    [
        (Fraction(5, 3), Fraction(3, 2), "+0.167", "+11.1"),
        (Fraction(1, 100_000), 0, "+0.00001", None),
        (2, 2, "0", "0"),
    ],
)
def test_figures_are_rounded_for_a_reader(log, figured, value, limit, difference, percent):
    figure = Figure("ratio", value, limit, "", "from", "nothing that is known")
    rule = next(rule for rule in figured.rules if rule.code == "hypokalemia")
    say = rule.say
    rule.say = lambda p, t, level, episode: say(p, t, level, episode)._replace(figures=(figure,))
    (moment,) = json.loads(run(log, "--alert", id_of(log, "hypokalemia"), "--json"))["moments"]
    (one,) = moment["margins"]
    assert (one["difference"], one["percent"], one["source"], one["tag"]) == (difference, percent, "", "")
    text = run(log, "--alert", id_of(log, "hypokalemia"))
    assert "  ratio: from " in text
    assert (f"{difference} ({percent} %)" in text) == (percent is not None)


def test_a_share_of_a_share_is_not_shown(log, figured):
    figure = Figure("of the least dose", 60, 80, "%", "warning below", "below")
    rule = next(rule for rule in figured.rules if rule.code == "hypokalemia")
    say = rule.say
    rule.say = lambda p, t, level, episode: say(p, t, level, episode)._replace(figures=(figure,))
    assert re.search(r"\n +60 % +-20 % +last ", run(log, "--alert", id_of(log, "hypokalemia")))


PERSON = {
    "type": "patient",
    "event_id": "P1",
    "patient_id": "p1",
    "sex": "female",
    "birth_date": "1975-07-01",
    "transplant": "hct-allogeneic",
    "transplant_at": "2026-02-01T00:00:00Z",
    "donor_cmv": "positive",
    "recipient_cmv": "negative",
    "recorded_at": "2026-03-01T00:00:00Z",
}


def test_what_is_known_of_the_person_is_shown(tmp_path):
    dialysis = {
        "type": "patient",
        "event_id": "P2",
        "patient_id": "p1",
        "dialysis": True,
        "hiv": False,
        "recorded_at": "2026-03-07T12:00:00Z",
    }
    path = written(tmp_path, PERSON, *EVENTS, dialysis)
    arguments = (path, "--alert", id_of(path, "hypokalemia"), "--as-of", "2026-03-07T00:00:00Z")
    text = run(*arguments)
    assert "PATIENT\n    known 2026-03-01T00:00:00Z  female, born 1975-07-01, allogeneic HCT 2026-02-01, " in text
    assert "CMV serology of the donor: positive, CMV serology of the recipient: negative\n" in text
    assert "   +known 2026-03-07T12:00:00Z  dialysis: yes, HIV: no\n" in text
    case = json.loads(run(*arguments, "--json"))
    assert [(one["event_id"], one["late"]) for one in case["patient"]] == [("P1", False), ("P2", True)]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"transplant": "none"}, "no transplant"),
        ({"transplant": "solid-organ"}, "solid-organ transplant"),
        ({}, "nothing that is read"),
    ],
)
def test_a_person_of_whom_less_is_said(tmp_path, fields, says):
    bare = {key: PERSON[key] for key in ("type", "event_id", "patient_id", "recorded_at")}
    path = written(tmp_path, bare | fields, *EVENTS)
    assert f"known 2026-03-01T00:00:00Z  {says}\n" in run(path, "--alert", id_of(path, "hypokalemia"))


def long_course(tmp_path):
    doses = [
        DOSES[0]
        | {
            "event_id": f"D{day}-{hour}",
            "started_at": f"2026-{3 + day // 30:02d}-{1 + day % 30:02d}T{hour:02d}:00:00Z",
            "recorded_at": f"2026-{3 + day // 30:02d}-{1 + day % 30:02d}T{hour + 2:02d}:00:00Z",
        }
        for day in range(60)
        for hour in (0, 6, 12, 18)
    ]
    low = potassium("L1", 2.9, 30) | {"collected_at": "2026-04-10T10:00:00Z", "recorded_at": "2026-04-10T11:00:00Z"}
    well = potassium("L2", 3.9, 30) | {"collected_at": "2026-04-25T10:00:00Z", "recorded_at": "2026-04-25T11:00:00Z"}
    return written(tmp_path, *doses, low, well)


def test_rows_that_are_left_out_are_counted_where_they_are(tmp_path):
    path = long_course(tmp_path)
    alert = id_of(path, "hypokalemia")
    lines = run(path, "--alert", alert).split("TIMELINE")[1].split("\n\n")[0].splitlines()[1:]
    doses = [line for line in lines if "foscarnet" in line]
    counts = [int(found[1]) for line in lines if (found := re.match(r" +\.\.\. (\d+) ", line))]
    assert len(counts) >= 3
    assert len(doses) + sum(counts) == 240
    assert "first dose of the course" in doses[0]
    assert doses[0].split()[0] == "2026-03-01T00:00:00Z"
    assert any("* 2026-04-10T10:00:00Z" in line for line in lines)
    assert any("* 2026-04-25T10:00:00Z" in line for line in lines)
    assert sum(" onset ---" in line for line in lines) == 1
    assert "of more than 14 d before the onset not shown" in lines[0]
    assert "of more than 3 d after the end not shown" in lines[-1]
    whole = run(path, "--alert", alert, "--all")
    assert sum("foscarnet 6000 mg iv" in line for line in whole.splitlines()) == 240
    assert "--all" not in whole
    case = json.loads(run(path, "--alert", alert, "--json"))
    assert case["earlier"] > 0
    assert case["later"] > 0
    assert case["earlier"] + case["later"] + len(case["facts"]) == 242
    assert len(json.loads(run(path, "--alert", alert, "--json", "--all"))["facts"]) == 242


def test_what_came_since_an_open_alert_began_is_in_its_case(tmp_path):
    path = written(tmp_path, *EVENTS, potassium("L4", 2.4, 12), potassium("L5", 2.3, 28))
    case = json.loads(run(path, "--alert", id_of(path, "hypokalemia"), "--json"))
    assert case["end_at"] is not None
    assert (case["facts"][-1]["event_id"], case["later"]) == ("L4", 1)
    doses = [DOSES[0] | {"event_id": f"B{day}", "started_at": f"2026-03-{day:02d}T08:00:00Z"} for day in range(9, 29)]
    doses = [one | {"recorded_at": one["started_at"].replace("T08", "T10")} for one in doses]
    path = written(tmp_path, *EVENTS, *doses, potassium("L4", 2.4, 12), potassium("L5", 2.3, 28))
    case = json.loads(run(path, "--alert", id_of(path, "hypokalemia"), "--json"))
    assert case["end_at"] is None
    assert (case["facts"][-1]["event_id"], case["later"]) == ("L5", 0)


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
        for one in (one for moment in (*case.moments, *case.moments_then) for one in moment.margins):
            assert one.tag, f"{code}: no number at {one.number}"
        with pytest.raises(NoSuchAlert):
            explain(plan, own, "nonsense", log.last, None)


def test_the_numbers_of_a_rule_have_those_that_it_shares_and_the_doses_of_its_bands():
    def texts(code, drug):
        return [f"{one.path}: {value_text(one.value)} [{one.tag}]" for one in thresholds(read_plan([]), code, drug)]

    above = texts("dose-above-renal-band", "valganciclovir")
    assert "renal.near_band: 0.1 [D]" in above
    assert above[-1] == (
        "drugs.valganciclovir.renal from 10 mL/min: induction 450 mg every 48 h; maintenance 450 mg every 84 h [F]"
    )
    assert not any("induction" in text for text in texts("dose-above-renal-band", None) + texts("aki", "foscarnet"))
    assert "viral.high: 1000 [IU]/mL [D]" in texts("relapse", None)
