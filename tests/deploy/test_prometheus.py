"""The alert rules on Prometheus's own evaluator: each fires on what it is for, and not a little short of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from streams.live.canary import CanaryMeters
from streams.live.metrics import Meters
from streams.sinks.meters import SinkMeters

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "cmvigil.rules.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")

W = '{job="cmvigil",instance="w1"'


def slow(share, hours):
    """Buckets of detection latency of which a share is slow, for some hours, 100 changes a minute."""
    fast = 100 - round(100 * share)
    return {
        f'cmvigil_detection_latency_seconds_bucket{W},le="2.5"}}': f"0+{fast}x{60 * hours}",
        f"cmvigil_detection_latency_seconds_count{W}}}": f"0+100x{60 * hours}",
    }


def few_slow(late):
    """An hour's six changes or so, of which the last ones are late: a large share, of very few."""
    return {
        f'cmvigil_detection_latency_seconds_bucket{W},le="2.5"}}': "0x60 1x55 2x5",
        f"cmvigil_detection_latency_seconds_count{W}}}": f"0x60 1x55 {2 + late}x5",
    }


def crash_loop(name, values):
    """What a worker that is up for 45 s and down for 15 s shows each 15 s, an hour long: `values` of each life."""
    lives = " ".join(f"{values(life)}x2 _" for life in range(60))
    return {f"{name}{W}}}": lives}


def feeds(lab, dose):
    """Events of two feeds, every half hour."""
    return {
        f'cmvigil_events_total{W},type="{kind}",outcome="taken"}}': values
        for kind, values in (("lab", lab), ("administration", dose))
    }


def canary(partitions):
    """When each partition's canary was last seen, in seconds, minute by minute."""
    job = '{job="cmvigil-canary",instance="c"'
    seen = {f'cmvigil_canary_last_success_timestamp_seconds{job},partition="{p}"}}': v for p, v in partitions.items()}
    return {f"cmvigil_canary_interval_seconds{job}}}": "3600x230", **seen}


def expected(days, raised):
    """Half-hourly patient-days and alerts, where five alerts at least are expected for 100 patient-days."""
    return {
        f"cmvigil_patient_days_total{W}}}": days,
        f'cmvigil_alert_changes_total{W},status="raised",code="aki"}}': raised,
        'cmvigil:expected_raised_per_100_patient_days:low{job="cmvigil",code="aki",ruleset="r"}': "5x432",
    }


# alert, series that fire it, series that do not, when to look
CASES = [
    ("CmvigilWorkerDown", {f"up{W}}}": "1 0x10"}, {f"up{W}}}": "1x5 0x0 1x5"}, "5m"),
    ("CmvigilNoWorker", {f"up{W}}}": "0x10"}, {f"up{W}}}": "1x10"}, "5m"),
    (
        "CmvigilBehind",
        {f'cmvigil_consumer_lag_messages{W},topic="patients",partition="0"}}': "10001x20"},
        {f'cmvigil_consumer_lag_messages{W},topic="patients",partition="0"}}': "10000x20"},
        "15m",
    ),
    ("CmvigilDetectionBurnsFast", slow(0.15, 2), slow(0.14, 2), "2h"),
    # One late change in a quiet hour is all of its changes; five are something.
    ("CmvigilDetectionBurnsFast", few_slow(5), few_slow(1), "120m"),
    ("CmvigilDetectionBurnsSlowly", slow(0.07, 8), slow(0.06, 8), "8h"),
    ("CmvigilDetectionBurnsSlowly", few_slow(9), few_slow(1), "140m"),
    (
        "CmvigilWorkerRestarts",
        crash_loop("cmvigil_start_time_seconds", lambda life: 1000 + 60 * life),
        # An upgrade, and another after it.
        {f"cmvigil_start_time_seconds{W}}}": "1000x20 2000x20 3000x20 4000x60"},
        "15m15s",
    ),
    (
        "CmvigilWorkerFlaps",
        {f"up{W}}}": "1 1 1 0 " * 120},
        # One outage of six minutes.
        {f"up{W}}}": "1x40 0x23 1x120"},
        "30m15s",
    ),
    # Down at one scrape of seven, and of twelve.
    ("CmvigilWorkerFlaps", {f"up{W}}}": "1x5 0 " * 40}, {f"up{W}}}": "1x10 0 " * 20}, "40m15s"),
    (
        "CmvigilNotReady",
        {f"cmvigil_ready{W}}}": "0x20"},
        # Down is CmvigilWorkerDown's: there is nothing to see then.
        {f"cmvigil_ready{W}}}": "0x8 1 0x9 _x5"},
        "16m",
    ),
    (
        "CmvigilClockStalled",
        {f'cmvigil_clock_age_seconds{W},partition="1"}}': "301x20"},
        {f'cmvigil_clock_age_seconds{W},partition="1"}}': "300x20"},
        "15m",
    ),
    (
        "CmvigilOutboxGrows",
        {f"cmvigil_outbox_age_seconds{W}}}": "11x20"},
        {f"cmvigil_outbox_age_seconds{W}}}": "10x20"},
        "4m15s",
    ),
    (
        "CmvigilOutboxGrows",
        # A broker that does not answer: the worker ends at 30 s, again and again.
        {f"cmvigil_outbox_age_seconds{W}}}": "0 12 27 _ " * 6},
        # One that was away for a moment.
        {f"cmvigil_outbox_age_seconds{W}}}": "0x9 12 0x20"},
        "4m15s",
    ),
    (
        "CmvigilNotDurable",
        {f"cmvigil_unacknowledged_age_seconds{W}}}": "0 12 27 _ " * 6},
        {f"cmvigil_unacknowledged_age_seconds{W}}}": "10x9 12 0x20"},
        "4m15s",
    ),
    (
        "CmvigilRecoveryStuck",
        {f"cmvigil_recovering{W}}}": "1x20"},
        # The first sample says nothing of ten minutes.
        {f"cmvigil_recovering{W}}}": "_x10 1x9"},
        "12m",
    ),
    ("CmvigilRecoveryStuck", {f"cmvigil_recovering{W}}}": "1x20"}, {f"cmvigil_recovering{W}}}": "1x5 0 1x14"}, "12m"),
    (
        "CmvigilRebalancesOften",
        {f"cmvigil_rebalances_total{W}}}": "0+1x40", f"cmvigil_start_time_seconds{W}}}": "1000x40"},
        {f"cmvigil_rebalances_total{W}}}": "0+0.1x40", f"cmvigil_start_time_seconds{W}}}": "1000x40"},
        "35m",
    ),
    (
        "CmvigilRebalancesOften",
        # Every life has one assignment: the counter stands at 1 for ever.
        crash_loop("cmvigil_rebalances_total", lambda life: 1)
        | crash_loop("cmvigil_start_time_seconds", lambda life: 1000 + 60 * life),
        {f"cmvigil_rebalances_total{W}}}": "1x60", f"cmvigil_start_time_seconds{W}}}": "1000x20 2000x40"},
        "15m15s",
    ),
    (
        "CmvigilCanarySilent",
        # Seen at minute 30 and never again; by minute 116 that is 86 minutes ago, ten of them too many.
        canary({"0": "0x29 1800x200", "1": "0+60x230"}),
        canary({"0": "0x29 1800x59 5400x140", "1": "0+60x230"}),
        "116m",
    ),
    (
        "CmvigilCanarySilent",
        # Never seen since it was started, on one partition of two.
        canary({"0": "0x200", "1": "0+60x200"}),
        canary({"0": "0x10 600x60", "1": "0+60x200"}),
        "87m",
    ),
    ("CmvigilNoCanary", {f"up{W}}}": "1x30"}, canary({"0": "0x30"}), "20m"),
    (
        "CmvigilDeadLetters",
        {f'cmvigil_dead_letters_total{W},reason="unit"}}': "0x10 1x90"},
        {f'cmvigil_dead_letters_total{W},reason="unit"}}': "5x100"},
        "60m",
    ),
    (
        "CmvigilDeadLetters",
        # The first of a reason that nobody foresaw.
        {
            f'cmvigil_dead_letters_total{W},reason="odd"}}': "_x10 1x90",
            f'cmvigil_events_total{W},type="lab",outcome="rejected"}}': "0x10 1x90",
        },
        {f'cmvigil_events_total{W},type="lab",outcome="rejected"}}': "5x100"},
        "61m",
    ),
    (
        "CmvigilManyRefused",
        {
            f'cmvigil_events_total{W},type="lab",outcome="rejected"}}': "0+2x60",
            f'cmvigil_events_total{W},type="lab",outcome="taken"}}': "0+98x60",
        },
        {
            f'cmvigil_events_total{W},type="lab",outcome="rejected"}}': "0+1x60",
            f'cmvigil_events_total{W},type="lab",outcome="taken"}}': "0+99x60",
        },
        "50m",
    ),
    (
        "CmvigilMessagesSkipped",
        {f'cmvigil_skipped_messages_total{W},topic="patients"}}': "0x10 3x60"},
        # Longer ago than an hour.
        {f'cmvigil_skipped_messages_total{W},topic="patients"}}': "3x90"},
        "65m",
    ),
    (
        "CmvigilMessagesSkipped",
        # Found before the first scrape of a worker that was not there before.
        {f'cmvigil_skipped_messages_total{W},topic="patients"}}': "_x10 3x90"},
        {f'cmvigil_skipped_messages_total{W},topic="patients"}}': "_x10 0x90"},
        "30m",
    ),
    (
        "CmvigilNewUnmappedCodes",
        {f'cmvigil_unmapped_codes_total{W},kind="lab",code="other"}}': "0+30x336 10170+90x96"},
        {f'cmvigil_unmapped_codes_total{W},kind="lab",code="other"}}': "0+30x432"},
        "9d",
    ),
    (
        "CmvigilNewUnmappedCodes",
        # Nothing is known of a week ago.
        {f'cmvigil_unmapped_codes_total{W},kind="lab",code="other"}}': "0+22x96"},
        {f'cmvigil_unmapped_codes_total{W},kind="lab",code="other"}}': "0+20x96"},
        "2d",
    ),
    (
        "CmvigilUnmappedUnits",
        {f'cmvigil_unmapped_units_total{W},kind="lab",code="2160-0",unit="furlong"}}': "3x60 4x60"},
        {f'cmvigil_unmapped_units_total{W},kind="lab",code="2160-0",unit="furlong"}}': "3x30 4x90"},
        "100m",
    ),
    (
        "CmvigilUnmappedUnits",
        # The first of its name.
        {f'cmvigil_unmapped_units_total{W},kind="lab",code="2160-0",unit="furlong"}}': "_x60 1x60"},
        {f'cmvigil_unmapped_units_total{W},kind="lab",code="other",unit="other"}}': "_x60 0x60"},
        "100m",
    ),
    (
        "CmvigilInputSilent",
        {f'cmvigil_events_total{W},type="lab",outcome="taken"}}': "7x80"},
        {f'cmvigil_events_total{W},type="lab",outcome="taken"}}': "0+1x80"},
        "75m",
    ),
    (
        "CmvigilInputSilent",
        # Laboratory results flow on, doses have ended.
        feeds("0+20x96", "0+20x48 960x48"),
        # Doses that come now and then may stay away for an hour.
        feeds("0+20x96", "0+10x48 480x48"),
        "26h",
    ),
    (
        "CmvigilInputSilent",
        # They ended two days ago: what was a week ago keeps the alert.
        feeds("0+20x432", "0+20x336 6720x96"),
        feeds("0+20x432", "0+20x432"),
        "9d",
    ),
    (
        "CmvigilRulesSilent",
        {f'cmvigil_alert_changes_total{W},status="raised",code="aki"}}': "0+0.06x672 40.32x96"},
        {f'cmvigil_alert_changes_total{W},status="raised",code="aki"}}': "0+0.06x768"},
        "15d12h",
    ),
    # 33.4 patient-days in half an hour, 5 or more alerts for 100: some 560 a week, of which a quarter are 140.
    ("CmvigilRulesSilent", expected("0+33.4x432", "0+0.41x432"), expected("0+33.4x432", "0+0.43x432"), "8d12h"),
    # No more than ten are to be expected in a week: nothing can be told of none.
    ("CmvigilRulesSilent", expected("0+0.61x432", "0x432"), expected("0+0.58x432", "0x432"), "8d"),
]


def _interval(at):
    """Days are looked at half an hour apart, and what a scrape decides as often as that."""
    if at.endswith("s"):
        return "15s"
    return "30m" if "d" in at or at == "26h" else "1m"


def text():
    return RULES.read_text()


def alerts():
    return re.findall(r"- alert: (\w+)", text())


def test_every_alert_has_a_case_that_fires_it_and_one_that_does_not():
    assert set(alerts()) == {name for name, *_ in CASES}


def test_every_alert_has_a_section_in_the_guide():
    guide = (DEPLOY / "README.md").read_text()
    for name in alerts():
        assert f"deploy/README.md#{name.lower()}" in text()
        assert f"### {name}\n" in guide


@needs_promtool
def test_the_rules_parse():
    subprocess.run([PROMTOOL, "check", "rules", str(RULES)], check=True, capture_output=True)


MANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed (Debian's prometheus-alertmanager)")
def test_alertmanager_takes_its_file():
    subprocess.run(["amtool", "check-config", str(MANAGER)], check=True, capture_output=True)


def test_what_is_left_out_beside_another_alert_is_an_alert():
    named = re.findall(r'alertname=~?"(Cmvigil[^"]*)"', MANAGER.read_text())
    assert named
    for one in named:
        head, _, rest = one.partition("(")
        assert {head + end for end in rest.rstrip(")").split("|")} <= set(alerts()), one


@needs_promtool
def test_the_ticket_of_a_unit_names_it_and_its_code(tmp_path):
    series = f'cmvigil_unmapped_units_total{W},kind="lab",code="2160-0",unit="furlong"}}'
    wanted = {
        "summary": "Inputs were refused for units that are not known",
        "description": '2 of kind lab in the last hour, most of them 2160-0 in "furlong"; '
        "their bytes are in the topic dead-letters.",
        "runbook": "deploy/README.md#cmvigilunmappedunits",
    }
    labels = {"severity": "ticket", "job": "cmvigil", "kind": "lab"}
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": "_x70 2x30"}],
        "alert_rule_test": [
            {
                "alertname": "CmvigilUnmappedUnits",
                "eval_time": "90m",
                "exp_alerts": [{"exp_labels": labels, "exp_annotations": wanted}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize(("name", "fires", "rests", "at"), CASES, ids=[f"{name}-{at}" for name, _, _, at in CASES])
def test_an_alert_fires_on_what_it_is_for_and_not_short_of_it(tmp_path, name, fires, rests, at):
    tests = [
        {
            "name": f"{name} {'fires' if firing else 'rests'}",
            "interval": _interval(at),
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > 0 or vector(0)',
                    "eval_time": at,
                    "exp_samples": [{"labels": "{}", "value": 1 if firing else 0}],
                }
            ],
        }
        for given, firing in ((fires, True), (rests, False))
    ]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": _interval(at), "tests": tests}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def known():
    names = set()
    of_sinks = SinkMeters(["pharmacy"])
    of_sinks.resends.labels("pharmacy", "delivered")
    for metric in (
        *Meters().registry.collect(),
        *CanaryMeters(1, 3600).registry.collect(),
        *of_sinks.registry.collect(),
    ):
        names.add(metric.name)
        names |= {f"{metric.name}_{end}" for end in ("total", "bucket", "count", "sum", "info")}
    return names


def test_every_metric_that_a_rule_names_is_one_of_the_program():
    named = set(re.findall(r"\bcmvigil_\w+", text()))
    assert named
    assert named <= known()


def panels():
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield path.stem, panel["title"], target["expr"]


def test_every_metric_that_a_dashboard_names_is_one_of_the_program_or_recorded():
    recorded = set(re.findall(r"- record: (\S+)", text()))
    recorded |= {f"cmvigil:expected_raised_per_100_patient_days{bound}" for bound in ("", ":low", ":high")}
    found = list(panels())
    assert found
    for _, title, expression in found:
        named = set(re.findall(r"\bcmvigil_\w+", expression))
        assert named <= known(), title
        assert set(re.findall(r"\bcmvigil:\S+?(?=[\s{}\[)]|$)", expression)) <= recorded, title


def test_the_duty_dashboard_shows_what_becomes_of_deliveries_to_each_sink():
    shown = " ".join(expression for name, _, expression in panels() if name == "duty")
    for what in ("deliveries_total", "pending", "oldest_pending_age_seconds", "refused", "delay_seconds_bucket"):
        assert f"cmvigil_sink_{what}" in shown, what
    # What is asked of outcomes is asked of those that there are.
    outcomes = {one for found in re.findall(r'outcome=~?"([\w|]+)"', shown) for one in found.split("|")}
    made = {s.labels["outcome"] for m in SinkMeters(["a"]).deliveries.collect() for s in m.samples}
    assert outcomes
    assert outcomes <= made


# What is asked of each dashboard: (what it is to show, metric, labels that it is told apart by).
ASKED = {
    "duty": [
        ("lag", "cmvigil_consumer_lag_messages", "topic"),
        ("latency", "cmvigil_detection_latency_seconds_bucket", "le"),
        ("latency against its objective", "cmvigil:detection_slow:ratio_rate1h", ""),
        ("timers", "cmvigil_due_delay_seconds_bucket", "le"),
        ("timers", "cmvigil_clock_age_seconds", "instance"),
        ("outbox", "cmvigil_outbox_age_seconds", ""),
        ("dead letters", "cmvigil_dead_letters_total", "reason"),
        ("canary", "cmvigil_canary_last_success_timestamp_seconds", ""),
        ("workers", "cmvigil_ready", ""),
        ("skipped messages", "cmvigil_skipped_messages_total", ""),
        ("restarts", "cmvigil_start_time_seconds", ""),
    ],
    "clinic": [
        ("open alerts by code and severity", "cmvigil_open_alerts", "code, severity"),
        ("raised per 100 patient-days", "cmvigil:raised_per_100_patient_days:rate7d", "job"),
        ("time to act", "cmvigil_raised_to_action_seconds_bucket", "le, severity"),
        ("overrides by reason", "cmvigil_overrides_total", "reason"),
        ("overdue monitoring", 'cmvigil_open_alerts{job=~"$job",code=~"overdue-.*|baseline-labs-missing"}', "code"),
    ],
    "rules": [
        ("firing rate by code", "cmvigil:raised_per_100_patient_days:rate7d", ""),
        ("against expectation", "cmvigil:expected_raised_per_100_patient_days", "job, code"),
        ("ruleset", "cmvigil_build_info", "ruleset"),
        ("ruleset of the expectation", "cmvigil:expected_raised_per_100_patient_days", "ruleset"),
    ],
}


@pytest.mark.parametrize(
    ("name", "metric", "labels"),
    [(name, metric, labels) for name, asked in ASKED.items() for _, metric, labels in asked],
    ids=[f"{name}: {what}" for name, asked in ASKED.items() for what, *_ in asked],
)
def test_a_dashboard_shows_what_is_asked_of_it(name, metric, labels):
    shown = [expression for where, _, expression in panels() if where == name]
    assert any(metric in one and (not labels or f"by ({labels})" in one) for one in shown)


def test_time_to_act_is_shown_for_half_and_for_most_of_the_alerts():
    shown = " ".join(one for name, _, one in panels() if name == "clinic" and "raised_to_action" in one)
    assert set(re.findall(r"histogram_quantile\(([\d.]+)", shown)) == {"0.5", "0.9"}


def test_what_is_shown_is_of_the_job_that_was_chosen():
    endings = {"cmvigil_canary": "-canary", "cmvigil_sink": "-deliver"}
    for _, title, expression in panels():
        for metric, labels in re.findall(r"\b(up|cmvigil[_:]\w+(?::\w+)*)\b(\{[^}]*\})?", expression):
            ending = next((end for head, end in endings.items() if metric.startswith(head)), "")
            wanted = f'job=~"($job)({ending})?"' if ending else 'job=~"$job"'
            assert labels.removeprefix("{").startswith(wanted), (title, metric)


def test_a_single_number_is_seen_to_be_good_or_bad():
    """Each stat is colored by thresholds that rise, and green is among them."""
    stats = [
        panel
        for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")
        for panel in json.loads(path.read_text())["panels"]
        if panel["type"] == "stat"
    ]
    assert stats
    for panel in stats:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert "green" in {step["color"] for step in steps}, panel["title"]
        assert len(steps) > 1, panel["title"]
        assert steps[0]["value"] is None
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(set(values)), panel["title"]
        assert panel["options"]["colorMode"] == "background"


@needs_promtool
def test_every_expression_of_a_dashboard_parses(tmp_path):
    rules = [
        {"record": f"x:{number}", "expr": re.sub(r"\$__rate_interval|\$__range", "5m", one[2])}
        for number, one in enumerate(panels())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_what_the_code_makes(tmp_path):
    import runpy

    made = runpy.run_path(str(DEPLOY / "grafana" / "make.py"))["dashboards"]()
    kept = {path.stem: json.loads(path.read_text()) for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    assert made == kept
